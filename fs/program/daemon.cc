// SPDX-License-Identifier: Apache-2.0

#include "fs/program/daemon.h"

#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <memory>
#include <nlohmann/json.hpp>
#include <thread>
#include <utility>

#include "base/disk.h"
#include "base/executor.h"
#include "base/log.h"
#include "base/mutex.h"
#include "cache/cache.h"
#include "fs/file_system.h"
#include "fs/fuse/fuse_mount.h"
#include "fs/program/control_server.h"
#include "fs/program/exit_status.h"
#include "fs/program/messages.h"
#include "fs/program/mount_point.h"
#include "fs/program/probe_use.h"
#include "fs/program/process_setup.h"
#include "fs/program/reach.h"
#include "fs/program/signals.h"
#include "fs/program/status_report.h"
#include "fs/program/translate.h"
#include "providers/open.h"

namespace quayfs::program {
namespace {

constexpr size_t kBackgroundThreads = 96;
// A store that cannot be reached is somebody's mistake when a mount starts; later it is bad
// weather.
constexpr auto kStartTimeout = std::chrono::seconds(15);
// How long a daemon that has been unmounted goes on trying to reach the store.
constexpr auto kLeaveLimit = std::chrono::minutes(30);
constexpr auto kLeavePauseFirst = std::chrono::seconds(1);
constexpr auto kLeavePauseMax = std::chrono::seconds(30);

/// It may work when tried again.
bool IsTransient(Code code) {
  return code == Code::kUnavailable || code == Code::kThrottled || code == Code::kTimedOut ||
         code == Code::kBusy || code == Code::kNoSpace || code == Code::kQuota ||
         code == Code::kClockSkew || code == Code::kUnauthenticated ||
         code == Code::kPermissionDenied;
}

class Daemon {
 public:
  Daemon(const MountConfig& config, std::string mount_point)
      : config_(config), mount_point_(std::move(mount_point)), started_(SystemClock().Now()) {}

  int Run(Readiness& readiness) {
    const Status opened = Open();
    if (!opened) {
      readiness.Failed(OneLine(opened.error().message()));
      return kExitFailed;
    }
    const Status served = Serve(readiness);
    if (!served) Log(LogLevel::kError, "mount.failed", {{"error", served.error().ToString()}});
    const bool published = PublishRest();
    control_.reset();
    Log(LogLevel::kInfo, "mount.ended", {{"mount_point", mount_point_}});
    return served.ok() && published ? kExitOk : kExitFailed;
  }

 private:
  // Messages of the store and the file system are about the store; the others are already for a
  // person.
  Status Explained(const Error& error) const {
    return Error(error.code(), ExplainStoreError(error, config_));
  }

  Status Open() {
    MountPlace place;
    place.mount_point = mount_point_;
    place.uid = ::geteuid();
    place.gid = ::getegid();
    place.host_name = HostName();
    const RoomConfigs rooms = Translate(config_, place);

    probe_ = RecallProbe(config_.store, config_.path, started_);
    OpenOptions options;
    if (probe_.probe) options.probed = probe_.probe->report;
    auto store = OpenStore(rooms.store, options);
    if (!store) return Explained(store.error());
    store_ = *std::move(store);
    capabilities_at_start_ = store_->capabilities();

    CallOptions call;
    call.deadline = std::chrono::steady_clock::now() + kStartTimeout;
    const Status reachable = ReachBucket(*store_, config_.prefix, call);
    if (!reachable) return Explained(reachable.error());

    QUAY_TRY(MakeDirectories(rooms.cache.directory));
    QUAY_ASSIGN(cache_, Cache::Open(rooms.cache, *store_, SystemDisk()));
    auto file_system =
        FileSystem::Open(rooms.file_system, *store_, *cache_, background_, SystemClock(), call);
    if (!file_system) return Explained(file_system.error());
    file_system_ = *std::move(file_system);

    QUAY_ASSIGN(mount_, FuseMount::Mount(rooms.fuse, *file_system_));
    QUAY_ASSIGN(signals_,
                SignalWatcher::Start([this](int signal, int count) { OnSignal(signal, count); }));
    return OpenControlSocket();
  }

  Status OpenControlSocket() {
    ControlHandlers handlers;
    handlers.status = [this] { return MakeStatus(Facts(), config_); };
    handlers.sync = [this](const CallOptions& call) { return Publish(call); };
    handlers.progress = [this] {
      const PendingWork pending = file_system_->pending();
      return SyncProgress{pending.files, pending.bytes};
    };
    auto control = ControlServer::Start(mount_point_, std::move(handlers));
    if (control) {
      control_ = *std::move(control);
      return {};
    }
    if (control.Is(Code::kBusy)) return control.error();
    // Everything else works without it.
    Log(LogLevel::kWarning, "control.unavailable", {{"error", control.error().ToString()}});
    return {};
  }

  StatusFacts Facts() const {
    StatusFacts facts;
    facts.mount_point = mount_point_;
    facts.store = store_->name();
    facts.pid = ::getpid();
    facts.started = started_;
    facts.now = SystemClock().Now();
    facts.pending = file_system_->pending();
    facts.cache = cache_->stats();
    facts.capabilities = store_->capabilities();
    facts.capabilities_at_start = capabilities_at_start_;
    facts.probe = probe_.probe;
    facts.probe_note = probe_.note;
    facts.state = leaving_ ? "leaving" : "serving";
    return facts;
  }

  Status Serve(Readiness& readiness) {
    Status served = mount_->Run([this, &readiness] {
      Log(LogLevel::kInfo, "mount.ready",
          {{"mount_point", mount_point_},
           {"store", store_->name()},
           {"pid", static_cast<int64_t>(::getpid())}});
      readiness.Ready();
    });
    unmounted_ = true;
    leaving_ = true;
    std::thread stopper;
    {
      const MutexLock lock(mutex_);
      stopper = std::move(stopper_);
      may_stop_ = false;
    }
    if (stopper.joinable()) stopper.join();
    return served;
  }

  Status Publish(const CallOptions& call) {
    OpContext context;
    context.uid = ::geteuid();
    context.gid = ::getegid();
    context.pid = ::getpid();
    context.call = call;
    return file_system_->SyncAll(context);
  }

  // On the signal watcher's thread, which must stay free to take the second signal.
  void OnSignal(int signal, int count) {
    if (count > 1) EndNow();
    Log(LogLevel::kInfo, "mount.stopping", {{"signal", signal}, {"mount_point", mount_point_}});
    const MutexLock lock(mutex_);
    if (!may_stop_) return;
    may_stop_ = false;
    leaving_ = true;
    stopper_ = std::thread([this] {
      const Status published = Publish({});
      if (!published)
        Log(LogLevel::kWarning, "publish.failed", {{"error", published.error().ToString()}});
      mount_->Stop();
    });
  }

  [[noreturn]] void EndNow() {
    LogPending(LogLevel::kError, "mount.ended_early");
    // Whatever may be mounted there after Run() has returned is not ours.
    if (!unmounted_) mount_->Stop();
    ::_exit(kExitFailed);
  }

  void LogPending(LogLevel level, std::string_view event) const {
    const PendingWork pending = file_system_->pending();
    Log(level, event,
        {{"mount_point", mount_point_},
         {"files_not_in_bucket", pending.files},
         {"bytes_not_in_bucket", pending.bytes},
         {"cache_directory", config_.cache.directory}});
  }

  /// After the last request: brings what is left to the bucket. False if something stayed behind.
  bool PublishRest() {
    const SteadyTime limit = std::chrono::steady_clock::now() + kLeaveLimit;
    Duration pause = kLeavePauseFirst;
    for (;;) {
      const Status published = Publish({});
      if (published) return true;
      Log(LogLevel::kError, "publish.failed", {{"error", published.error().ToString()}});
      LogPending(LogLevel::kError, "publish.pending");
      if (!IsTransient(published.code()) || std::chrono::steady_clock::now() + pause >= limit)
        return false;
      SystemClock().Sleep(pause, {});
      pause = std::min<Duration>(pause * 2, kLeavePauseMax);
    }
  }

  const MountConfig& config_;
  const std::string mount_point_;
  const WallTime started_;
  std::atomic<bool> leaving_ = false;
  std::atomic<bool> unmounted_ = false;  // Run() has returned
  Mutex mutex_{LockRank::kProgram};
  bool may_stop_ QUAY_GUARDED_BY(mutex_) = true;
  std::thread stopper_ QUAY_GUARDED_BY(mutex_);
  ProbeInUse probe_;
  Capabilities capabilities_at_start_;
  // Each uses those above it, and is destroyed before them.
  std::unique_ptr<ObjectStore> store_;
  std::unique_ptr<Cache> cache_;
  ThreadPool background_{"quayfs-back", kBackgroundThreads};
  std::unique_ptr<FileSystem> file_system_;
  std::unique_ptr<FuseMount> mount_;
  std::unique_ptr<SignalWatcher> signals_;
  std::unique_ptr<ControlServer> control_;
};

}  // namespace

int ServeMount(const MountConfig& config, const std::string& mount_point, Readiness& readiness) {
  Daemon daemon(config, mount_point);
  return daemon.Run(readiness);
}

}  // namespace quayfs::program
