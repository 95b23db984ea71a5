// SPDX-License-Identifier: Apache-2.0

#include "fs/program/command_line.h"

#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/text.h"
#include "fs/program/commands.h"
#include "fs/program/completions.h"
#include "fs/program/exit_status.h"
#include "fs/program/help_text.h"
#include "fs/program/launch.h"
#include "fs/program/mount_helper.h"
#include "fs/program/version.h"

namespace quayfs::program {
namespace {

constexpr const char* kAbout =
    "Mounts a bucket of an object store as a file system, as a TOML file describes it, which is "
    "given by path or by name: 'nightly' is /etc/quayfs/nightly.toml.";

constexpr const char* kFooter =
    "Exit status: 0 done; 1 it could not be done; 2 the call or the config is wrong.\n"
    "Manual: quayfs(1), quayfs.toml(5), quayfs-semantics(7). Example:\n"
    "  quayfs mount nightly /mnt/nightly";

constexpr const char* kOptionsHelp =
    "Win over the config, as in fstab: ro, allow_other, uid=, any key such as cache.size=5GiB; no "
    "secrets";

constexpr const char* kJsonHelp = "For programs";
constexpr const char* kQuietHelp = "No progress on standard error, only errors";

// What the command line says; each command fills in its own.
struct Line {
  MountRequest mount;
  UnmountRequest unmount;
  std::string sync_path;
  bool sync_quiet = false;
  WarmRequest warm;
  StatusRequest status;
  CheckRequest check;
  bool orphans = false;
  OrphansRequest orphans_request;
  RecoverRequest recover;
  bool json = false;
  std::string config;
  std::vector<std::string> config_options;
  bool config_secrets = false;
  ConfigNewRequest config_new;
  std::string provider;
  std::string shell;
  std::string log_level;
};

/// The command that was chosen, to be run once the line has been read.
using Chosen = std::function<int()>;

void AddOptions(CLI::App* command, std::vector<std::string>* options) {
  command->add_option("-o,--options", *options, kOptionsHelp)->allow_extra_args(false);
}

void AddMount(CLI::App& app, Line& line, Chosen* chosen) {
  CLI::App* const command = app.add_subcommand("mount", "Mount; returns when the mount is usable");
  command->add_option("CONFIG", line.mount.config, "A mount config, by path or name")->required();
  command->add_option("MOUNT_POINT", line.mount.mount_point, "An existing directory")->required();
  AddOptions(command, &line.mount.options);
  command->add_flag("-f,--foreground", line.mount.foreground,
                    "Stay in the foreground; the log goes to standard error");
  command->add_option("--log-file", line.mount.log_file,
                      "Append the log to this file instead of the journal (syslog)");
  command->callback([&line, chosen] { *chosen = [&line] { return RunMount(line.mount); }; });
  SetExamples(command, {"quayfs mount nightly /mnt/nightly",
                        "quayfs mount ./test.toml /mnt/test -o ro,cache.size=1GiB"});
}

void AddUnmount(CLI::App& app, Line& line, Chosen* chosen) {
  CLI::App* const command =
      app.add_subcommand("umount", "Unmount; returns when everything is in the bucket")
          ->alias("unmount");
  command->add_option("MOUNT_POINT", line.unmount.mount_point)->required();
  command->add_flag("--force", line.unmount.force,
                    "Unmount although something cannot be brought to the bucket");
  command->add_flag("-q,--quiet", line.unmount.quiet, kQuietHelp);
  CLI::Option* const no_wait = command->add_flag(
      "--no-wait", line.unmount.no_wait,
      "Return at once: what is not in the bucket stays in the cache for the next mount");
  command
      ->add_flag("-l,--lazy", line.unmount.lazy,
                 "Return at once, even if files are open: the daemon goes on by itself")
      ->excludes(no_wait);
  command->add_flag("--if-dead", line.unmount.if_dead,
                    "Only clear away what a daemon that is gone has left there");
  command->callback([&line, chosen] { *chosen = [&line] { return RunUnmount(line.unmount); }; });
  SetExamples(command, {"quayfs umount /mnt/nightly"});
}

void AddSync(CLI::App& app, Line& line, Chosen* chosen) {
  CLI::App* const command = app.add_subcommand("sync", "Return when everything is in the bucket");
  command->add_option("PATH", line.sync_path, "A mount point or anything in it")->required();
  command->add_flag("-q,--quiet", line.sync_quiet, kQuietHelp);
  command->callback(
      [&line, chosen] { *chosen = [&line] { return RunSync(line.sync_path, line.sync_quiet); }; });
  SetExamples(command, {"quayfs sync /mnt/nightly"});
}

void AddWarm(CLI::App& app, Line& line, Chosen* chosen) {
  const auto add = [&](const char* name, const char* help, const char* example, bool evict) {
    CLI::App* const command = app.add_subcommand(name, help);
    command
        ->add_option("PATH", line.warm.paths,
                     "Files and folders in a mount; a mount point is all of it")
        ->required();
    command->add_flag("--json", line.warm.json, kJsonHelp);
    command->add_flag("-q,--quiet", line.warm.quiet, kQuietHelp);
    SetExamples(command, {example});
    command->callback([&line, chosen, evict] {
      *chosen = [&line, evict] {
        line.warm.evict = evict;
        return RunWarm(line.warm);
      };
    });
  };
  add("prefetch", "Bring files, and all below folders, into the cache",
      "quayfs prefetch /mnt/nightly/2026", false);
  add("evict", "Drop files from the cache; what the bucket lacks stays",
      "quayfs evict /mnt/nightly", true);
}

void AddStatus(CLI::App& app, Line& line, Chosen* chosen) {
  CLI::App* const command = app.add_subcommand("status", "What a mount, or every mount, is doing");
  command->add_option("MOUNT_POINT", line.status.mount_point,
                      "A mount point or anything in it; all mounts without it");
  command->add_flag("--json", line.status.json, kJsonHelp);
  command->add_flag("--watch", line.status.watch, "A live view: rates, requests, cache, errors");
  command->callback([&line, chosen] { *chosen = [&line] { return RunStatus(line.status); }; });
  SetExamples(command, {"quayfs status --watch", "quayfs status --json /mnt/nightly"});
}

void AddMetrics(CLI::App& app, Line& line, Chosen* chosen) {
  CLI::App* const command =
      app.add_subcommand("metrics", "Counts and gauges of mounts, as Prometheus reads them");
  command->add_option("MOUNT_POINT", line.status.mount_point,
                      "A mount point or anything in it; all mounts without it");
  command->callback(
      [&line, chosen] { *chosen = [&line] { return RunMetrics(line.status.mount_point); }; });
  SetExamples(command, {"quayfs metrics /mnt/nightly"});
}

void AddLogLevel(CLI::App& app, Line& line, Chosen* chosen) {
  CLI::App* const command =
      app.add_subcommand("log-level", "Show or set how much a mount logs, until it ends");
  command->add_option("MOUNT_POINT", line.status.mount_point, "A mount point or anything in it")
      ->required();
  command->add_option("LEVEL", line.log_level, "debug, info, warning or error");
  command->callback([&line, chosen] {
    *chosen = [&line] { return RunLogLevel(line.status.mount_point, line.log_level); };
  });
  SetExamples(command, {"quayfs log-level /mnt/nightly debug"});
}

void AddCheck(CLI::App& app, Line& line, Chosen* chosen) {
  CLI::App* const command =
      app.add_subcommand("check", "Try all that a mount needs of its bucket; say what to change");
  command->add_option("CONFIG", line.check.config, "A mount config, by path or name")->required();
  AddOptions(command, &line.check.options);
  command->add_flag("--json", line.check.json, kJsonHelp);
  CLI::Option* const orphans = command->add_flag(
      "--orphans", line.orphans,
      "Instead: list multipart uploads below the prefix that nobody has completed");
  CLI::Option* const abort =
      command->add_flag("--abort", line.orphans_request.abort,
                        "Abort those that a mount with this cache directory has given up");
  abort->needs(orphans);
  command
      ->add_option("--older-than", line.orphans_request.older_than,
                   "With --abort: also those that are not recorded here, if they were begun longer "
                   "ago than this, such as 7d")
      ->needs(abort);
  command->callback([&line, chosen] {
    *chosen = [&line] {
      if (!line.orphans) return RunCheck(line.check);
      line.orphans_request.config = line.check.config;
      line.orphans_request.options = line.check.options;
      line.orphans_request.json = line.check.json;
      return RunOrphans(line.orphans_request);
    };
  });
  SetExamples(command,
              {"quayfs check nightly", "quayfs check nightly --orphans --abort --older-than 7d"});
}

void AddRecover(CLI::App& app, Line& line, Chosen* chosen) {
  CLI::App* const command =
      app.add_subcommand("recover", "Show, upload or write out what a cache directory still holds");
  RecoverRequest& request = line.recover;
  command->add_option("CACHE_DIR", request.directory, "cache.directory of a mount")->required();
  command->add_option("--config", request.config,
                      "The mount config, by path or name: upload (or, with --export, fetch what is "
                      "in the bucket only)");
  command->add_option("--export", request.export_to, "Write files to this new or empty directory");
  command->add_flag("--list", request.list, "Only show what there is")->excludes("--export");
  command->add_flag("--json", request.json, kJsonHelp);
  command->add_flag("-q,--quiet", request.quiet, kQuietHelp);
  command->callback([&line, chosen] { *chosen = [&line] { return RunRecover(line.recover); }; });
  SetExamples(command, {"quayfs recover /var/cache/quayfs/nightly",
                        "quayfs recover /var/cache/quayfs/nightly --export /root/rescued"});
}

void AddConfigNew(CLI::App* command, Line& line, Chosen* chosen) {
  CLI::App* const make =
      command->add_subcommand("new", "Write a mount config; on a terminal it asks what it needs");
  ConfigNewRequest& request = line.config_new;
  make->add_option("FILE", request.file, "The file to make; only its owner can read it")
      ->required();
  make->add_option("--from", request.from,
                   "From what others have: rclone:REMOTE:BUCKET, s3fs:BUCKET or aws:PROFILE");
  make->add_option("--bucket", request.bucket, "The bucket, where --from names none");
  make->add_option("-o,--options", request.options,
                   "What it says: provider=kodo, region=, any key; no secrets")
      ->allow_extra_args(false);
  make->add_option("--secret-file", request.secret_file,
                   "The file that holds the secret key, and is read at each mount");
  make->callback([&line, chosen] { *chosen = [&line] { return RunConfigNew(line.config_new); }; });
  SetExamples(make, {"quayfs config new /etc/quayfs/new.toml -o provider=aws,bucket=backups",
                     "quayfs config new /etc/quayfs/old.toml --from s3fs:BUCKET"});
}

void AddConfig(CLI::App& app, Line& line, Chosen* chosen) {
  CLI::App* const command = app.add_subcommand("config", "Look at mount configs");
  command->require_subcommand(1);
  CLI::App* const check =
      command->add_subcommand("check", "Check a mount config without asking the store");
  check->add_option("CONFIG", line.config, "A mount config, by path or name")->required();
  AddOptions(check, &line.config_options);
  check->add_flag("--secrets", line.config_secrets,
                  "Also read secrets from their files and variables, and run their commands");
  check->add_flag("--json", line.json, kJsonHelp);
  check->callback([&line, chosen] {
    *chosen = [&line] {
      return RunConfigCheck(line.config, line.config_options, line.config_secrets, line.json);
    };
  });
  SetExamples(check, {"quayfs config check nightly"});
  CLI::App* const show =
      command->add_subcommand("show", "The config in effect, defaults included, secrets masked");
  show->add_option("CONFIG", line.config, "A mount config, by path or name")->required();
  AddOptions(show, &line.config_options);
  show->callback([&line, chosen] {
    *chosen = [&line] { return RunConfigShow(line.config, line.config_options); };
  });
  SetExamples(show, {"quayfs config show nightly -o ro"});
  AddConfigNew(command, line, chosen);
  CLI::App* const options =
      command->add_subcommand("options", "Every key with its meaning and default");
  options->callback([chosen] { *chosen = RunConfigOptions; });
  SetExamples(options, {"quayfs config options | less"});
  SetExamples(command, {"quayfs config check nightly"});
}

void AddProviders(CLI::App& app, Line& line, Chosen* chosen) {
  CLI::App* const command =
      app.add_subcommand("providers", "Services that are known, their regions and storage classes");
  command->add_option("NAME", line.provider, "One of them");
  command->add_flag("--json", line.json, kJsonHelp);
  command->callback(
      [&line, chosen] { *chosen = [&line] { return RunProviders(line.provider, line.json); }; });
  SetExamples(command, {"quayfs providers kodo"});
}

void AddCompletions(CLI::App& app, Line& line, Chosen* chosen) {
  CLI::App* const command =
      app.add_subcommand("completions", "Print completions for a shell: bash, zsh or fish");
  command->add_option("SHELL", line.shell)->required();
  command->callback([&app, &line, chosen] {
    *chosen = [&app, &line] {
      const auto text = MakeCompletions(DescribeCommands(app), line.shell);
      if (!text) {
        PrintError(text.error().message());
        return kExitUsage;
      }
      fmt::print("{}", *text);
      return kExitOk;
    };
  });
  SetExamples(command, {"quayfs completions bash >/etc/bash_completion.d/quayfs"});
}

/// One line: what is wrong, and where to read more.
int RefuseLine(const CLI::Error& error, const CLI::App& app) {
  std::string message = error.what();
  if (const size_t end = message.find('\n'); end != std::string::npos) message.resize(end);
  PrintError(message + "; see: " + app.get_name() + " --help");
  return kExitUsage;
}

}  // namespace

int RunProgram(int argc, char** argv) {
  const std::vector<std::string> words(argv, argv + argc);
  if (const Helper helper = HelperNamed(words.empty() ? "" : words[0]); helper != Helper::kNone)
    return RunHelper(helper, words);
  CLI::App app(kAbout, "quayfs");
  app.footer(kFooter);
  app.formatter(std::make_shared<HelpFormatter>());
  app.set_help_flag("-h,--help", "This page");
  app.set_version_flag("-V,--version", "quayfs " + Version(), "Which version this is");
  app.require_subcommand(1);
  Line line;
  Chosen chosen;
  AddMount(app, line, &chosen);
  AddUnmount(app, line, &chosen);
  AddSync(app, line, &chosen);
  AddWarm(app, line, &chosen);
  AddStatus(app, line, &chosen);
  AddMetrics(app, line, &chosen);
  AddLogLevel(app, line, &chosen);
  AddCheck(app, line, &chosen);
  AddRecover(app, line, &chosen);
  AddConfig(app, line, &chosen);
  AddProviders(app, line, &chosen);
  AddCompletions(app, line, &chosen);
  try {
    app.parse(argc, argv);
  } catch (const CLI::Success& success) {
    return app.exit(success);  // help or version
  } catch (const CLI::Error& error) {
    return RefuseLine(error, app);
  }
  return chosen();
}

}  // namespace quayfs::program
