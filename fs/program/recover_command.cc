// SPDX-License-Identifier: Apache-2.0

#include <fmt/format.h>
#include <unistd.h>

#include <chrono>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <utility>

#include "base/disk.h"
#include "base/executor.h"
#include "base/log.h"
#include "base/text.h"
#include "cache/cache.h"
#include "fs/file_system.h"
#include "fs/inode_flags.h"
#include "fs/program/commands.h"
#include "fs/program/exit_status.h"
#include "fs/program/held_export.h"
#include "fs/program/held_state.h"
#include "fs/program/launch.h"
#include "fs/program/load.h"
#include "fs/program/messages.h"
#include "fs/program/probe_use.h"
#include "fs/program/process_setup.h"
#include "fs/program/progress.h"
#include "fs/program/reach.h"
#include "fs/program/status_report.h"
#include "fs/program/translate.h"
#include "providers/open.h"

namespace quayfs::program {
namespace {

using nlohmann::json;

constexpr size_t kBackgroundThreads = 16;
constexpr auto kStartTimeout = std::chrono::seconds(15);
constexpr auto kShowPause = std::chrono::milliseconds(200);
constexpr int kAttempts = 3;  // of a store that answers badly
constexpr auto kAttemptPause = std::chrono::seconds(1);

int Fail(const std::string& message) {
  PrintError(OneLine(message));
  return kExitRecoverFailed;
}

std::string Count(uint64_t count, std::string_view what) {
  return fmt::format("{} {}{}", count, what, count == 1 ? "" : "s");
}

std::string_view KindOf(const HeldItem& item) {
  if (item.content) return "content";
  if ((item.row.flags & inode_flags::kIsName) != 0) return "name";
  if ((item.row.flags & inode_flags::kMoved) != 0) return "renamed";
  if ((item.row.flags & inode_flags::kPublished) != 0) return "attributes";
  return S_ISDIR(item.row.mode) ? "directory" : "new";
}

std::string Remark(const HeldItem& item) {
  if (item.guessed) return "  (name not known)";
  if (item.short_file) return "  (the cache disk has lost bytes of it)";
  if (item.verdict == LeftVerdict::kAsSealed)
    return "  (restarted before the last changes were synced: the synced version counts)";
  if (item.verdict == LeftVerdict::kUnusable) return "  (restarted before it was synced)";
  if (!item.missing().empty()) return "  (other bytes of it are in the bucket)";
  return "";
}

void PrintHeld(const HeldState& held) {
  for (const HeldItem& item : held.items) {
    const std::string name =
        item.path.empty() ? fmt::format("(inode {})", item.row.ino) : OneLine(item.path);
    fmt::print("{:<11} {:>10}  {}{}\n", KindOf(item),
               item.content ? FormatSize(item.dirty_bytes()) : "", name, Remark(item));
  }
  if (held.removals > 0) fmt::print("{} still to be removed\n", Count(held.removals, "object"));
  if (const size_t uploads = held.known_uploads.aborting.size(); uploads > 0)
    fmt::print("{} still to be aborted\n", Count(uploads, "upload"));
  for (const SetAside& one : held.set_aside) {
    fmt::print("{:<11} {:>10}  {}  ({})\n", "set aside", FormatSize(one.bytes), OneLine(one.path),
               OneLine(one.why));
  }
}

json HeldJson(const HeldState& held, const std::string& directory) {
  json items = json::array();
  for (const HeldItem& item : held.items) {
    json one = {{"path", item.path}, {"inode", item.row.ino}, {"kind", KindOf(item)}};
    if (item.content) one["bytes"] = item.dirty_bytes();
    if (const std::string remark = Remark(item); !remark.empty())
      one["remark"] = remark.substr(3, remark.size() - 4);  // without "  (" and ")"
    items.push_back(std::move(one));
  }
  json set_aside = json::array();
  for (const SetAside& one : held.set_aside)
    set_aside.push_back({{"path", one.path}, {"bytes", one.bytes}, {"why", one.why}});
  return {{"directory", directory},
          {"bucket", held.bucket},
          {"damage", held.damage},
          {"nothing_left", held.nothing()},
          {"bytes", held.content_bytes()},
          {"items", std::move(items)},
          {"removals", held.removals},
          {"uploads_to_abort", held.known_uploads.aborting.size()},
          {"set_aside", std::move(set_aside)}};
}

void PrintJson(const json& value) {
  // Names of files may be any bytes; JSON must be UTF-8.
  fmt::print("{}\n", value.dump(2, ' ', false, json::error_handler_t::replace));
}

/// One line: how much there is, and whose.
std::string Summary(const HeldState& held, const std::string& directory) {
  if (held.nothing()) return fmt::format("{} holds nothing that is not in its bucket", directory);
  std::string text = fmt::format("{} holds {}, {}", directory, Count(held.items.size(), "change"),
                                 FormatSize(held.content_bytes()));
  if (!held.set_aside.empty())
    text += fmt::format(", and {} set aside", Count(held.set_aside.size(), "file"));
  if (!held.bucket.empty()) text += fmt::format("; it belongs to {}", held.bucket);
  return text;
}

int List(const RecoverRequest& request, const HeldState& held) {
  if (request.json) {
    PrintJson(HeldJson(held, request.directory));
    return held.nothing() ? kExitOk : kExitLeft;
  }
  PrintHeld(held);
  fmt::print("{}\n", Summary(held, request.directory));
  if (!held.damage.empty()) PrintError(OneLine(held.damage));
  if (held.nothing()) return kExitOk;
  if (!request.list) {
    fmt::print("upload it with --config CONFIG, or write it out with --export DIR\n");
  }
  return kExitLeft;
}

Result<std::unique_ptr<ObjectStore>> StoreOf(const MountConfig& config, ProbeInUse* probe) {
  *probe = RecallProbe(config.store, config.path, SystemClock().Now());
  OpenOptions options;
  if (probe->probe) options.probed = probe->probe->report;
  return OpenStore(config.store, options);
}

int Export(const RecoverRequest& request, const HeldState& held, const MountConfig* config) {
  std::unique_ptr<ObjectStore> store;
  if (config != nullptr) {
    ProbeInUse probe;
    auto opened = StoreOf(*config, &probe);
    if (!opened) return Fail(ExplainStoreError(opened.error(), *config));
    store = *std::move(opened);
  }
  if (!held.damage.empty()) PrintError(OneLine(held.damage));
  const auto report = ExportHeld(held, request.export_to, SystemDisk(), store.get());
  if (!report) return Fail(report.error().message());
  const int status = report->complete() && held.damage.empty() ? kExitOk : kExitLeft;
  if (request.json) {
    json result = HeldJson(held, request.directory);
    result["exported"] = {{"to", request.export_to},
                          {"files", report->files},
                          {"bytes", report->bytes},
                          {"notes", report->notes},
                          {"failed", report->failed}};
    PrintJson(result);
    return status;
  }
  for (const std::string& note : report->notes) fmt::print("{}\n", OneLine(note));
  for (const std::string& failed : report->failed) PrintError(OneLine(failed));
  fmt::print("exported {}, {}, to {}; {} is as it was\n", Count(report->files, "file"),
             FormatSize(report->bytes), request.export_to, request.directory);
  return status;
}

/// A mount without a mount point.
class Uploader {
 public:
  explicit Uploader(const MountConfig& config) : config_(config) {}

  Status Open() {
    MountPlace place;
    place.uid = ::geteuid();
    place.gid = ::getegid();
    place.host_name = HostName();
    const RoomConfigs rooms = Translate(config_, place);
    ProbeInUse probe;
    auto store = StoreOf(config_, &probe);
    if (!store) return Explained(store.error());
    store_ = *std::move(store);
    CallOptions call;
    call.deadline = std::chrono::steady_clock::now() + kStartTimeout;
    if (Status reached = ReachBucket(*store_, config_.prefix, call); !reached)
      return Explained(reached.error());
    QUAY_ASSIGN(cache_, Cache::Open(rooms.cache, *store_, SystemDisk()));
    auto file_system =
        FileSystem::Open(rooms.file_system, *store_, *cache_, background_, SystemClock(), call);
    if (!file_system) return Explained(file_system.error());
    file_system_ = *std::move(file_system);
    return {};
  }

  Status Drain(ProgressDisplay& display) {
    Status drained;
    for (int attempt = 1; attempt <= kAttempts; ++attempt) {
      if (attempt > 1) SystemClock().Sleep(kAttemptPause, {});
      drained = DrainOnce(display);
      const PendingWork pending = file_system_->pending();
      if (drained && pending.files == 0 && pending.removals == 0) return {};
    }
    return drained ? drained : Explained(drained.error());
  }

 private:
  Status Explained(const Error& error) const {
    return Error(error.code(), ExplainStoreError(error, config_));
  }

  Status DrainOnce(ProgressDisplay& display) {
    std::optional<Status> outcome;
    Mutex mutex{LockRank::kProgram};
    ThreadPool one("quayfs-drain", 1);
    one.Post([&] {
      OpContext context;
      context.uid = ::geteuid();
      context.gid = ::getegid();
      context.pid = ::getpid();
      Status synced = file_system_->SyncAll(context);
      const MutexLock lock(mutex);
      outcome = std::move(synced);
    });
    for (;;) {
      {
        const MutexLock lock(mutex);
        if (outcome) return *outcome;
      }
      const PendingWork pending = file_system_->pending();
      display.Show({pending.files, pending.bytes, pending.removals, cache_->stats().sent_bytes,
                    pending.store_away},
                   std::chrono::steady_clock::now());
      SystemClock().Sleep(kShowPause, {});
    }
  }

  const MountConfig& config_;
  // Each uses those above it, and is destroyed before them.
  std::unique_ptr<ObjectStore> store_;
  std::unique_ptr<Cache> cache_;
  ThreadPool background_{"quayfs-back", kBackgroundThreads};
  std::unique_ptr<FileSystem> file_system_;
};

int Upload(const RecoverRequest& request, const MountConfig& config) {
  {
    Uploader uploader(config);
    if (const Status opened = uploader.Open(); !opened) return Fail(opened.error().message());
    ProgressDisplay display(ProgressDisplay::StyleFor(request.quiet));
    const Status drained = uploader.Drain(display);
    display.Clear();
    if (!drained) PrintError(OneLine(drained.error().message()));
  }
  const auto lock = LockHeld(request.directory);
  if (!lock) return Fail(lock.error().message());
  const auto left = ReadHeld(request.directory, SystemDisk());
  if (!left) return Fail(left.error().message());
  if (request.json) {
    PrintJson(HeldJson(*left, request.directory));
  } else {
    PrintHeld(*left);
    fmt::print("{}\n", Summary(*left, request.directory));
  }
  return left->nothing() ? kExitOk : kExitLeft;
}

Result<MountConfig> ConfigFor(const RecoverRequest& request) {
  QUAY_ASSIGN(MountConfig config, LoadConfig(request.config, {}, SecretUse::kResolve));
  PrintWarnings(config);
  config.cache.directory = request.directory;
  // What was written is brought home, even if the mount is to be read-only from now on.
  config.mount.read_only = false;
  return config;
}

}  // namespace

int RunRecover(const RecoverRequest& given) {
  ForbidCoreDumps();
  RecoverRequest request = given;
  while (request.directory.size() > 1 && request.directory.ends_with('/'))
    request.directory.pop_back();
  std::optional<MountConfig> config;
  if (!request.config.empty()) {
    auto loaded = ConfigFor(request);
    if (!loaded) return Fail(loaded.error().message());
    config = *std::move(loaded);
    SetLogThreshold(config->log_level);
  }
  RaiseFileLimit();
  std::optional<HeldState> held;
  {
    const auto lock = LockHeld(request.directory);
    if (!lock) return Fail(lock.error().message());
    auto read = ReadHeld(request.directory, SystemDisk());
    if (!read) return Fail(read.error().message());
    held = *std::move(read);
    if (!request.list && !request.export_to.empty())
      return Export(request, *held, config ? &*config : nullptr);
    if (request.list || !config) return List(request, *held);
  }
  if (!held->damage.empty()) {
    return Fail(held->damage +
                "; what it holds cannot be uploaded, but --export writes it out as files");
  }
  return Upload(request, *config);
}

}  // namespace quayfs::program
