// SPDX-License-Identifier: Apache-2.0

#include "fs/program/mount_helper.h"

#include <fmt/format.h>
#include <pwd.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <string_view>

#include "fs/program/commands.h"
#include "fs/program/exit_status.h"
#include "fs/program/launch.h"
#include "mount-configs/loader.h"

namespace quayfs::program {
namespace {

constexpr const char* kMountUsage =
    "usage: mount.quayfs SOURCE MOUNT_POINT [-sfnv] [-o OPTION,...]\n"
    "SOURCE: a mount config (path or name), or PROVIDER://BUCKET/PREFIX; see mount.quayfs(8)";
constexpr const char* kUnmountUsage =
    "usage: umount.quayfs MOUNT_POINT [-flnrv] [--no-wait] [--quiet]; see mount.quayfs(8)";

/// Words in the way getopt(3) reads them: flags anywhere, several after one '-', values attached or
/// in the next word.
class Words {
 public:
  Words(const std::vector<std::string>& words, std::string_view flags_with_value)
      : words_(words), with_value_(flags_with_value) {}

  /// The next flag (its letter, or 1 for a word that is none, or 2 for a long one); 0 at the end.
  char Next() {
    if (inside_.empty()) {
      if (at_ == words_.size()) return 0;
      const std::string& word = words_[at_++];
      if (plain_only_ || word.size() < 2 || word[0] != '-') {
        value_ = word;
        return 1;
      }
      if (word == "--") {
        plain_only_ = true;
        return Next();
      }
      if (word[1] == '-') {
        value_ = word;
        return 2;
      }
      inside_ = word.substr(1);
    }
    const char flag = inside_.front();
    inside_.erase(0, 1);
    if (with_value_.find(flag) == std::string_view::npos) return flag;
    if (!inside_.empty()) {
      value_ = std::exchange(inside_, {});
    } else if (at_ < words_.size()) {
      value_ = words_[at_++];
    } else {
      missing_ = flag;
    }
    return flag;
  }
  const std::string& value() const { return value_; }
  char missing() const { return missing_; }

 private:
  const std::vector<std::string>& words_;
  const std::string_view with_value_;
  size_t at_ = 0;
  bool plain_only_ = false;
  std::string inside_;  // rest of a word of several flags
  std::string value_;
  char missing_ = 0;
};

constexpr char kPlain = 1;
constexpr char kLong = 2;

void TakeOptions(const std::string& text, MountHelperCall* call) {
  for (std::string& option : SplitMountOptions(text)) {
    if (option == "remount") {
      call->remount = true;
    } else {
      call->options.push_back(std::move(option));
    }
  }
}

/// SplitMountOptions undone: what reads options splits them again.
std::string Escaped(const std::string& option) {
  std::string text;
  for (const char c : option) {
    if (c == ',' || c == '\\' || c == '"') text += '\\';
    text += c;
  }
  return text;
}

int Usage(const std::string& problem, const char* usage) {
  PrintError(problem);
  fmt::print(stderr, "{}\n", usage);
  return kHelperUsage;
}

int RunMountHelper(const std::vector<std::string>& words) {
  std::string problem;
  const MountHelperCall call = ParseMountCall(words, &problem);
  if (!problem.empty()) return Usage(problem, kMountUsage);
  if (call.fake) return kExitOk;
  if (call.remount)
    return RunRemount(call.mount_point, call.options) == kExitOk ? kExitOk : kHelperFailed;
  MountRequest request;
  request.config = call.source;
  request.mount_point = call.mount_point;
  for (const std::string& option : call.options) request.options.push_back(Escaped(option));
  request.source = call.source;
  request.ignore_unknown = call.sloppy;
  return RunMount(request) == kExitOk ? kExitOk : kHelperFailed;
}

int RunUnmountHelper(const std::vector<std::string>& words) {
  std::string problem;
  const UnmountHelperCall call = ParseUnmountCall(words, &problem);
  if (!problem.empty()) return Usage(problem, kUnmountUsage);
  UnmountRequest request;
  request.mount_point = call.mount_point;
  request.lazy = call.lazy;
  request.force = call.force && !call.lazy;
  request.no_wait = call.no_wait && !call.lazy;
  request.quiet = call.quiet;
  return RunUnmount(request) == kExitOk ? kExitOk : kHelperFailed;
}

/// mount(8) is set-uid and keeps little of the environment of a user who may mount ("user" in
/// fstab); where the user's config and cache are is told by the home directory.
void SetHome() {
  if (::geteuid() == 0 || std::getenv("HOME") != nullptr) return;
  const passwd* const entry = ::getpwuid(::geteuid());  // NOLINT(concurrency-mt-unsafe): no threads
  if (entry != nullptr) ::setenv("HOME", entry->pw_dir, 1);  // NOLINT(concurrency-mt-unsafe)
}

}  // namespace

Helper HelperNamed(std::string_view argv0) {
  const std::string_view name = argv0.substr(argv0.rfind('/') + 1);
  if (name == "mount.quayfs" || name == "mount.fuse.quayfs") return Helper::kMount;
  if (name == "umount.quayfs" || name == "umount.fuse.quayfs") return Helper::kUnmount;
  return Helper::kNone;
}

MountHelperCall ParseMountCall(const std::vector<std::string>& words, std::string* problem) {
  MountHelperCall call;
  std::vector<std::string> plain;
  Words reader(words, "oNt");
  while (const char flag = reader.Next()) {
    switch (flag) {
      case kPlain:
        plain.push_back(reader.value());
        break;
      case 'o':
        TakeOptions(reader.value(), &call);
        break;
      case 's':
        call.sloppy = true;
        break;
      case 'f':
        call.fake = true;
        break;
      case 'r':
        call.options.emplace_back("ro");
        break;
      case 'w':
        call.options.emplace_back("rw");
        break;
      case 'n':
      case 'v':
      case 't':
        break;
      case 'N':
        *problem = "mounting in another namespace (-N) is not supported; use nsenter -m";
        return call;
      default:
        *problem = flag == kLong ? fmt::format("unknown argument {}", reader.value())
                                 : fmt::format("unknown argument -{}", flag);
        return call;
    }
  }
  if (reader.missing() != 0) *problem = fmt::format("-{} needs a value", reader.missing());
  if (problem->empty() && plain.size() != 2) *problem = "a source and a mount point are needed";
  if (!problem->empty()) return call;
  call.source = plain[0];
  call.mount_point = plain[1];
  return call;
}

UnmountHelperCall ParseUnmountCall(const std::vector<std::string>& words, std::string* problem) {
  UnmountHelperCall call;
  std::vector<std::string> plain;
  Words reader(words, "Nt");
  while (const char flag = reader.Next()) {
    if (flag == kPlain) {
      plain.push_back(reader.value());
    } else if (flag == 'l' || (flag == kLong && reader.value() == "--lazy")) {
      call.lazy = true;
    } else if (flag == 'f') {
      call.force = true;
    } else if (flag == 'q' || (flag == kLong && reader.value() == "--quiet")) {
      call.quiet = true;
    } else if (flag == kLong && reader.value() == "--no-wait") {
      call.no_wait = true;
    } else if (flag == 'N') {
      *problem = "unmounting in another namespace (-N) is not supported; use nsenter -m";
      return call;
    } else if (flag == kLong || std::string_view("nrvt").find(flag) == std::string_view::npos) {
      *problem = flag == kLong ? fmt::format("unknown argument {}", reader.value())
                               : fmt::format("unknown argument -{}", flag);
      return call;
    }
  }
  if (plain.size() != 1) {
    *problem = "a mount point is needed";
    return call;
  }
  call.mount_point = plain[0];
  return call;
}

int RunHelper(Helper helper, const std::vector<std::string>& words) {
  SetHome();
  const std::vector<std::string> rest(words.begin() + 1, words.end());
  for (const std::string& word : rest) {
    if (word != "--help" && word != "-h") continue;
    fmt::print("{}\n", helper == Helper::kMount ? kMountUsage : kUnmountUsage);
    return kExitOk;
  }
  return helper == Helper::kMount ? RunMountHelper(rest) : RunUnmountHelper(rest);
}

}  // namespace quayfs::program
