// SPDX-License-Identifier: Apache-2.0

#include "fs/program/daemon.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <csignal>
#include <functional>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <thread>
#include <utility>

#include "base/disk.h"
#include "base/executor.h"
#include "base/log.h"
#include "base/log_format.h"
#include "base/log_level.h"
#include "base/mutex.h"
#include "base/text.h"
#include "cache/cache.h"
#include "cache/cache_directory.h"
#include "fs/file_system.h"
#include "fs/fuse/fuse_mount.h"
#include "fs/program/cache_walk.h"
#include "fs/program/control_server.h"
#include "fs/program/exit_status.h"
#include "fs/program/fresh_credentials.h"
#include "fs/program/known_uploads.h"
#include "fs/program/messages.h"
#include "fs/program/metrics.h"
#include "fs/program/metrics_server.h"
#include "fs/program/mount_point.h"
#include "fs/program/mount_record.h"
#include "fs/program/mount_table.h"
#include "fs/program/other_daemon.h"
#include "fs/program/probe_use.h"
#include "fs/program/process_setup.h"
#include "fs/program/progress.h"
#include "fs/program/reach.h"
#include "fs/program/set_aside_list.h"
#include "fs/program/signals.h"
#include "fs/program/status_report.h"
#include "fs/program/translate.h"
#include "providers/open.h"
#include "s3/request_counters.h"

namespace quayfs::program {
namespace {

constexpr size_t kBackgroundThreads = 96;
// A store that cannot be reached is somebody's mistake when a mount starts; later it is bad
// weather.
constexpr auto kStartTimeout = std::chrono::seconds(15);
constexpr auto kNetworkStartTimeout = std::chrono::seconds(90);  // with "_netdev"
constexpr auto kStartPause = std::chrono::seconds(1);
// How long a daemon that has been unmounted goes on trying to reach the store.
constexpr auto kLeaveLimit = std::chrono::minutes(30);
constexpr auto kLeavePauseFirst = std::chrono::seconds(1);
constexpr auto kLeavePauseMax = std::chrono::seconds(30);
constexpr auto kProgressPause = std::chrono::milliseconds(200);
constexpr auto kReportPause = std::chrono::seconds(1);
// Asked for again and again while it leaves, which ends by itself after kLeaveLimit. Microseconds.
constexpr std::string_view kMoreTime = "EXTEND_TIMEOUT_USEC=60000000\n";
constexpr auto kLookAgain = std::chrono::milliseconds(500);

/// It may work when tried again.
bool IsTransient(Code code) {
  return code == Code::kUnavailable || code == Code::kThrottled || code == Code::kTimedOut ||
         code == Code::kBusy || code == Code::kNoSpace || code == Code::kQuota ||
         code == Code::kClockSkew || code == Code::kUnauthenticated ||
         code == Code::kPermissionDenied;
}

class Daemon {
 public:
  Daemon(const MountConfig& config, const ServeRequest& request)
      : config_(config),
        mount_point_(request.mount_point),
        source_(request.source),
        on_terminal_(request.on_terminal),
        service_(request.service),
        read_again_(request.read_again),
        reopen_log_(request.reopen_log),
        started_(SystemClock().Now()) {}

  int Run(Readiness& readiness) {
    const Status opened = Open();
    if (!opened) {
      readiness.Failed(OneLine(opened.error().message()));
      return kExitFailed;
    }
    const Status served = Serve(readiness);
    if (!served) Log(LogLevel::kError, "mount.failed", {{"error", served.error().ToString()}});
    {
      const MutexLock lock(mutex_);
      ShowProgressLocked();
    }
    const Status published = PublishRest();
    {
      const MutexLock lock(mutex_);
      progress_shower_.request_stop();
      reporter_.request_stop();
      outcome_ = published;
      ended_.NotifyAll();
    }
    control_.reset();
    metrics_.reset();
    TellLeftOut();
    Log(LogLevel::kInfo, "mount.ended", {{"mount_point", mount_point_}});
    return served.ok() && published.ok() ? kExitOk : kExitFailed;
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
    place.source = source_;
    RoomConfigs rooms = Translate(config_, place);
    FreshCredentials::Attach(fresh_credentials_, &rooms.store);

    probe_ = RecallProbe(config_.store, config_.path, started_);
    OpenOptions options;
    if (probe_.probe) options.probed = probe_.probe->report;
    options.counters = &requests_;
    auto store = OpenStore(rooms.store, options);
    if (!store) return Explained(WithRegion(store.error(), config_));
    store_ = *std::move(store);
    capabilities_at_start_ = store_->capabilities();

    CallOptions call;
    call.deadline = std::chrono::steady_clock::now() +
                    config_.mount.start_timeout.value_or(
                        config_.mount.needs_network ? kNetworkStartTimeout : kStartTimeout);
    const Status reachable = WaitForBucket(call);
    if (!reachable) return Explained(WithRegion(reachable.error(), config_));

    QUAY_TRY(MakeDirectories(rooms.cache.directory));
    QUAY_TRY(CheckRoom(rooms.cache.directory));
    auto cache = Cache::Open(rooms.cache, *store_, SystemDisk());
    if (!cache) return cache.Is(Code::kBusy) ? CacheInUse(cache.error()) : cache.error();
    cache_ = *std::move(cache);
    auto file_system =
        FileSystem::Open(rooms.file_system, *store_, *cache_, background_, SystemClock(), call);
    if (!file_system) return Explained(file_system.error());
    file_system_ = *std::move(file_system);

    QUAY_ASSIGN(mount_, FuseMount::Mount(rooms.fuse, *file_system_));
    QUAY_ASSIGN(signals_,
                SignalWatcher::Start([this](int signal, int count) { OnSignal(signal, count); }));
    OpenMetricsPort();
    return OpenControlSocket();
  }

  /// While the network is coming up, names cannot be resolved and nothing answers.
  Status WaitForBucket(const CallOptions& call) {
    for (;;) {
      Status reached = ReachBucket(*store_, config_.prefix, call);
      const bool may_come = reached.Is(Code::kUnavailable) || reached.Is(Code::kTimedOut);
      if (!may_come || std::chrono::steady_clock::now() + kStartPause >= call.deadline)
        return reached;
      SystemClock().Sleep(kStartPause, {});
    }
  }

  void OpenMetricsPort() {
    if (!config_.metrics_port) return;
    auto server = MetricsServer::Start(static_cast<uint16_t>(*config_.metrics_port),
                                       [this] { return Metrics(); });
    if (server) {
      metrics_ = *std::move(server);
    } else {
      // Nothing else needs it.
      Log(LogLevel::kWarning, "metrics.unavailable", {{"error", server.error().message()}});
    }
  }

  /// Who has it, if that can be found out.
  Error CacheInUse(const Error& error) const {
    for (const OtherDaemon& other : ListDaemons()) {
      const auto cache = other.status.find("cache");
      if (cache == other.status.end() || !cache->is_object() ||
          cache->value("directory", nlohmann::json()) != nlohmann::json(config_.cache.directory))
        continue;
      if (other.leaving()) return Error(Code::kBusy, WhyStillThere(other));
      return Error(Code::kBusy,
                   fmt::format("the cache directory {} is in use by the quayfs (pid {}) that "
                               "serves {}; every mount needs its own: cache.directory",
                               config_.cache.directory, other.pid, other.mount_point()));
    }
    return error;
  }

  Status OpenControlSocket() {
    ControlHandlers handlers;
    handlers.status = [this] { return MakeStatus(Facts(), config_); };
    handlers.sync = [this](const CallOptions& call) { return Publish(call); };
    handlers.progress = [this] { return Progress(); };
    handlers.metrics = [this] { return Metrics(); };
    handlers.log_level = [](const std::string& name) -> Result<std::string> {
      if (!name.empty()) {
        const std::optional<LogLevel> level = LogLevelByName(name);
        if (!level) {
          return Error(Code::kInvalidArgument,
                       fmt::format("the level '{}' is none of debug, info, warning, error", name));
        }
        SetLogThreshold(*level);
      }
      return std::string(LogLevelName(LogThreshold()));
    };
    handlers.wait = [this](const CallOptions& call) { return WaitForOutcome(call); };
    handlers.walk = [this](const WalkRequest& request) { return Walk(request); };
    handlers.uploads = [this]() -> Result<nlohmann::json> {
      QUAY_ASSIGN(const KnownUploads known, ReadKnownUploads(*cache_->state()));
      return KnownUploadsJson(known);
    };
    handlers.end = [this] { EndNow("asked to"); };
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

  LongWork Walk(const WalkRequest& request) {
    const auto walk = std::make_shared<CacheWalk>(*file_system_, background_);
    const auto run = [this, walk, request](const CallOptions& call) -> Result<nlohmann::json> {
      QUAY_ASSIGN(const WalkResult done,
                  request.evict ? walk->Evict(request.inodes, call)
                                : walk->Prefetch(request.inodes, config_.cache.size, call));
      return nlohmann::json({{"files", done.files}, {"bytes", done.bytes}});
    };
    return {run, [walk] { return walk->progress(); }};
  }

  SyncProgress Progress() const {
    const PendingWork pending = file_system_->pending();
    return {pending.files, pending.bytes, pending.removals, cache_->stats().sent_bytes,
            pending.store_away};
  }

  std::string Metrics() const {
    MetricsFacts facts;
    facts.mount_point = mount_point_;
    facts.store = store_->name();
    facts.leaving = leaving_;
    facts.uptime_seconds = static_cast<uint64_t>(std::max<int64_t>(
        0,
        std::chrono::duration_cast<std::chrono::seconds>(SystemClock().Now() - started_).count()));
    facts.resident_bytes = ResidentBytes();
    facts.pending = file_system_->pending();
    facts.cache = cache_->stats();
    facts.cache_limit = config_.cache.size;
    facts.dirty_limit = config_.cache.dirty_limit;
    facts.set_aside = ListSetAside(*cache_->state(), SystemDisk()).size();
    if (config_.store.provider != "local") facts.requests = &requests_;
    facts.operations = mount_->OperationCounts();
    return MakeMetrics(facts);
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
    facts.set_aside = ListSetAside(*cache_->state(), SystemDisk());
    if (config_.store.provider != "local") facts.requests = &requests_;
    facts.state = leaving_ ? "leaving" : "serving";
    const MutexLock lock(mutex_);
    facts.leaving_since = leaving_since_;
    facts.leaving_until = leaving_until_;
    if (!leave_error_.empty()) facts.pending.last_error = leave_error_;
    return facts;
  }

  Status Serve(Readiness& readiness) {
    Status served = mount_->Run([this, &readiness] {
      Log(LogLevel::kInfo, "mount.ready",
          {{"mount_point", mount_point_},
           {"store", store_->name()},
           {"pid", static_cast<int64_t>(::getpid())}});
      // mount(8), which gives us a source, makes an entry by itself where there is _netdev.
      if (source_.empty() || !config_.mount.needs_network)
        RecordMount(source_.empty() ? config_.name : source_, mount_point_);
      service_.Tell("READY=1");
      StartReports();
      readiness.Ready();
    });
    unmounted_ = true;
    leaving_ = true;
    ForgetIfGone();
    std::thread stopper;
    {
      const MutexLock lock(mutex_);
      stopper = std::move(stopper_);
      may_stop_ = false;
    }
    if (stopper.joinable()) stopper.join();
    return served;
  }

  void ForgetIfGone() const {
    const auto table = ReadMountTable();
    if (table && FindMountAt(*table, mount_point_) == nullptr) ForgetMount(mount_point_);
  }

  Status Publish(const CallOptions& call) {
    OpContext context;
    context.uid = ::geteuid();
    context.gid = ::getegid();
    context.pid = ::getpid();
    context.call = call;
    return file_system_->SyncAll(context);
  }

  /// On the terminal that the daemon runs on, until it ends.
  void ShowProgressLocked() QUAY_REQUIRES(mutex_) {
    if (!on_terminal_ || progress_shower_.joinable()) return;
    progress_shower_ = std::jthread([this](const std::stop_token& stop) {
      ProgressDisplay display(ProgressDisplay::Style::kTerminal);
      while (!stop.stop_requested()) {
        display.Show(Progress(), std::chrono::steady_clock::now());
        SystemClock().Sleep(kProgressPause, stop);
      }
    });
  }

  /// For the service manager: how it goes, a sign of life, and more time as long as it is leaving.
  void StartReports() {
    if (!service_.present()) return;
    const MutexLock lock(mutex_);
    reporter_ = std::jthread([this](const std::stop_token& stop) {
      const Duration pause = service_.watchdog() > Duration(0)
                                 ? std::min<Duration>(kReportPause, service_.watchdog() / 3)
                                 : kReportPause;
      std::string told;
      bool stopping = false;
      while (!stop.stop_requested()) {
        std::string message;
        const std::string status = ServiceStatus(mount_point_, leaving_, Progress());
        if (status != told) message += "STATUS=" + status + "\n";
        told = status;
        if (service_.watchdog() > Duration(0)) message += "WATCHDOG=1\n";
        if (leaving_ && !std::exchange(stopping, true)) message += "STOPPING=1\n";
        if (leaving_) message += kMoreTime;
        if (!message.empty()) service_.Tell(message);
        SystemClock().Sleep(pause, stop);
      }
    });
  }

  Status WaitForOutcome(const CallOptions& call) {
    const MutexLock lock(mutex_);
    while (!outcome_) {
      if (call.cancel.stop_requested()) return Error(Code::kCancelled, "nobody waits any more");
      ended_.WaitUntil(mutex_, std::chrono::steady_clock::now() + kLookAgain);
    }
    return *outcome_;
  }

  // On the signal watcher's thread, which must stay free to take the second signal.
  void OnSignal(int signal, int count) {
    if (signal == SIGHUP) return OnHangUp();
    if (count > 1) EndNow("a second signal");
    Log(LogLevel::kInfo, "mount.stopping",
        {{"signal", signal},
         {"mount_point", mount_point_},
         {"advice", "a second signal ends the daemon without what is not uploaded yet"}});
    const MutexLock lock(mutex_);
    if (!may_stop_) return;
    may_stop_ = false;
    leaving_ = true;
    leaving_since_ = SystemClock().Now();
    ShowProgressLocked();
    stopper_ = std::thread([this] {
      const Status published = Publish({});
      if (!published)
        Log(LogLevel::kWarning, "publish.failed", {{"error", published.error().ToString()}});
      mount_->Stop();
    });
  }

  /// The log file may have been renamed, and keys renewed. Secrets may come from programs that take
  /// their time.
  void OnHangUp() {
    const Status reopened = reopen_log_ ? reopen_log_() : Status();
    if (!reopened) Log(LogLevel::kError, "log.lost", {{"error", reopened.error().ToString()}});
    background_.Post([this] { ReadCredentialsAgain(); });
  }

  void ReadCredentialsAgain() {
    const auto config = read_again_ ? read_again_() : Result<MountConfig>(config_);
    if (!config) {
      Log(LogLevel::kError, "config.not_reloaded",
          {{"config", config_.path},
           {"error", OneLine(config.error().message())},
           {"advice", "the credentials stay what they were; mend it and reload again"}});
      return;
    }
    fresh_credentials_->Offer(config->store.credentials);
    Log(LogLevel::kInfo, "config.reloaded",
        {{"config", config_.path},
         {"taken", "credentials"},
         {"advice", "anything else takes effect with the next mount"}});
  }

  /// Waits for nothing: requests to the store, and those who have called the file system, may be
  /// stuck for as long as they like.
  [[noreturn]] void EndNow(std::string_view why) {
    const bool complete = file_system_->pending().files == 0;
    LogPending(complete ? LogLevel::kInfo : LogLevel::kError, "mount.ended_early", why);
    // Whatever may be mounted there after Run() has returned is not ours, nor what came after a
    // lazy unmount.
    const auto table = ReadMountTable();
    const MountEntry* const entry = table ? FindMountAt(*table, mount_point_) : nullptr;
    if (!unmounted_ && entry != nullptr && entry->is_quayfs()) mount_->Stop();
    ::_exit(complete ? kExitOk : kExitFailed);
  }

  void LogPending(LogLevel level, std::string_view event, std::string_view why) const {
    const PendingWork pending = file_system_->pending();
    Log(level, event,
        {{"mount_point", mount_point_},
         {"why", why},
         {"files_not_in_bucket", pending.files},
         {"bytes_not_in_bucket", pending.bytes},
         {"cache_directory", config_.cache.directory}});
  }

  /// After the last request: brings what is left to the bucket. An error says what stayed behind.
  Status PublishRest() {
    const SteadyTime limit = std::chrono::steady_clock::now() + kLeaveLimit;
    {
      const WallTime now = SystemClock().Now();
      const MutexLock lock(mutex_);
      leaving_since_ = leaving_since_.value_or(now);
      leaving_until_ = now + kLeaveLimit;
    }
    Duration pause = kLeavePauseFirst;
    for (;;) {
      const Status published = Publish({});
      if (published) return {};
      Log(LogLevel::kError, "publish.failed", {{"error", published.error().ToString()}});
      LogPending(LogLevel::kError, "publish.pending", "it is tried again");
      {
        const MutexLock lock(mutex_);
        leave_error_ = OneLine(published.error().message());
      }
      if (!IsTransient(published.code()) || std::chrono::steady_clock::now() + pause >= limit)
        return NotInBucket(published.error());
      SystemClock().Sleep(pause, {});
      pause = std::min<Duration>(pause * 2, kLeavePauseMax);
    }
  }

  Error NotInBucket(const Error& error) const {
    const PendingWork pending = file_system_->pending();
    return Error(error.code(), fmt::format("{} file{}, {}, did not get into {}: {}", pending.files,
                                           pending.files == 1 ? "" : "s", FormatSize(pending.bytes),
                                           store_->name(), OneLine(error.message())));
  }

  const MountConfig& config_;
  const std::string mount_point_;
  const std::string source_;
  const bool on_terminal_;
  const ServiceManager service_;
  const std::function<Result<MountConfig>()> read_again_;
  const std::function<Status()> reopen_log_;
  const std::shared_ptr<FreshCredentials> fresh_credentials_ = std::make_shared<FreshCredentials>();
  const WallTime started_;
  std::atomic<bool> leaving_ = false;
  std::atomic<bool> unmounted_ = false;  // Run() has returned
  mutable Mutex mutex_{LockRank::kProgram};
  bool may_stop_ QUAY_GUARDED_BY(mutex_) = true;
  std::thread stopper_ QUAY_GUARDED_BY(mutex_);
  std::optional<WallTime> leaving_since_ QUAY_GUARDED_BY(mutex_);
  std::optional<WallTime> leaving_until_ QUAY_GUARDED_BY(mutex_);
  std::string leave_error_ QUAY_GUARDED_BY(mutex_);
  std::optional<Status> outcome_ QUAY_GUARDED_BY(mutex_);  // of PublishRest
  CondVar ended_;
  ProbeInUse probe_;
  Capabilities capabilities_at_start_;
  s3::RequestCounters requests_;
  // Each uses those above it, and is destroyed before them.
  std::unique_ptr<ObjectStore> store_;
  std::unique_ptr<Cache> cache_;
  ThreadPool background_{"quayfs-back", kBackgroundThreads};
  std::unique_ptr<FileSystem> file_system_;
  std::unique_ptr<FuseMount> mount_;
  std::unique_ptr<SignalWatcher> signals_;
  std::unique_ptr<ControlServer> control_;
  std::unique_ptr<MetricsServer> metrics_;
  std::jthread progress_shower_ QUAY_GUARDED_BY(mutex_);
  std::jthread reporter_ QUAY_GUARDED_BY(mutex_);
};

}  // namespace

int ServeMount(const MountConfig& config, const ServeRequest& request, Readiness& readiness) {
  Daemon daemon(config, request);
  return daemon.Run(readiness);
}

}  // namespace quayfs::program
