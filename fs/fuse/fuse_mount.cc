// SPDX-License-Identifier: Apache-2.0

#include "fs/fuse/fuse_mount.h"

#include <fcntl.h>
#include <pthread.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <optional>
#include <thread>
#include <vector>

#include "base/log.h"
#include "base/unique_fd.h"
#include "fs/fuse/notifier.h"
#include "fs/fuse/operations.h"

namespace quayfs {
namespace {

constexpr unsigned kMaxWriteBytes = 1 << 20;
constexpr unsigned kMaxBackground = 128;
// Interrupts the wait of libfuse's loop so that it looks at its exit flag.
constexpr int kWakeSignal = SIGUSR2;

void OnInit(void* /*userdata*/, fuse_conn_info* connection) {
  connection->max_write = kMaxWriteBytes;
  connection->max_background = kMaxBackground;
  connection->congestion_threshold = kMaxBackground * 3 / 4;
  // The kernel clears set-id bits itself then, by setattr, before a write or chown that must lose
  // them.
  connection->want &= ~static_cast<unsigned>(FUSE_CAP_HANDLE_KILLPRIV);
  connection->want &= ~static_cast<unsigned>(FUSE_CAP_WRITEBACK_CACHE);
  connection->want &= ~static_cast<unsigned>(FUSE_CAP_SPLICE_READ);
  // Access control lists: the kernel checks them, and leaves the umask to us, because a directory's
  // default list takes its place.
  const unsigned lists = FUSE_CAP_POSIX_ACL | FUSE_CAP_DONT_MASK;
  if ((connection->capable & lists) == lists) connection->want |= lists;
}

fuse_lowlevel_ops MakeOperations() {
  fuse_lowlevel_ops ops = fuse_operations::Table();
  ops.init = OnInit;
  return ops;
}

// fuse_args owns copies of the strings it is given.
class Arguments {
 public:
  Arguments() { Add("quayfs"); }
  ~Arguments() { fuse_opt_free_args(&args_); }
  Arguments(const Arguments&) = delete;
  Arguments& operator=(const Arguments&) = delete;

  void Add(const std::string& argument) {
    if (fuse_opt_add_arg(&args_, argument.c_str()) != 0) failed_ = true;
  }
  void AddOption(const std::string& option) {
    Add("-o");
    Add(option);
  }
  bool failed() const { return failed_; }
  fuse_args* get() { return &args_; }

 private:
  fuse_args args_ = {0, nullptr, 0};
  bool failed_ = false;
};

// Commas separate mount options and backslashes quote them.
std::string QuoteOption(const std::string& value) {
  std::string quoted;
  for (const char c : value) {
    if (c == ',' || c == '\\') quoted += '\\';
    quoted += c;
  }
  return quoted;
}

Status CheckMountpoint(const std::string& path) {
  struct stat info {};
  if (::stat(path.c_str(), &info) != 0) {
    const int error = errno;
    if (error == ENOTCONN) {
      return Error(Code::kBusy,
                   "the mount point " + path +
                       " belongs to a file system whose daemon is gone; run: umount -l " + path);
    }
    if (error == ENOENT)
      return Error(Code::kNotFound,
                   "the mount point " + path + " does not exist; create it with mkdir");
    return ErrnoError(error, "the mount point " + path);
  }
  if (!S_ISDIR(info.st_mode))
    return Error(Code::kNotDirectory, "the mount point " + path + " is not a directory");
  return {};
}

class Mount final : public FuseMount {
 public:
  Mount(const FuseConfig& config, FileSystem& file_system)
      : config_(config),
        service_(file_system, config.waiters, config.interrupt_grace, config.timeout) {}

  ~Mount() override {
    if (session_ == nullptr) return;
    notifier_.reset();
    fuse_session_unmount(session_);
    fuse_session_destroy(session_);
  }

  Status Start() {
    QUAY_TRY(CheckMountpoint(config_.mountpoint));
    Arguments arguments;
    arguments.AddOption("fsname=" + QuoteOption(config_.source));
    arguments.AddOption("subtype=quayfs");
    arguments.AddOption("default_permissions");
    if (config_.allow_other) arguments.AddOption("allow_other");
    if (config_.read_only) arguments.AddOption("ro");
    if (::geteuid() == 0) {
      arguments.AddOption(config_.trust_special_bits ? "suid" : "nosuid");
      arguments.AddOption(config_.trust_special_bits ? "dev" : "nodev");
    }
    for (const std::string& flag : config_.kernel_flags) arguments.AddOption(flag);
    if (arguments.failed()) return Error(Code::kInternal, "out of memory for mount options");
    static const fuse_lowlevel_ops operations = MakeOperations();
    session_ = fuse_session_new(arguments.get(), &operations, sizeof(operations), &service_);
    if (session_ == nullptr) return Error(Code::kInternal, "libfuse refused the mount options");
    if (fuse_session_mount(session_, config_.mountpoint.c_str()) != 0) {
      fuse_session_destroy(session_);
      session_ = nullptr;
      return Error(
          Code::kPermissionDenied,
          "mounting at " + config_.mountpoint +
              " was refused; it needs root or fusermount3, /dev/fuse, and for allow_other the line"
              " user_allow_other in /etc/fuse.conf");
    }
    notifier_.emplace(service_.file_system(), session_);
    return {};
  }

  Status Run(const std::function<void()>& on_ready) override {
    InstallWakeHandler();
    loop_thread_ = pthread_self();
    running_ = true;
    std::thread ready([this, &on_ready] { BecomeReady(on_ready); });
    fuse_loop_config* loop = fuse_loop_cfg_create();
    fuse_loop_cfg_set_clone_fd(loop, 0);
    fuse_loop_cfg_set_max_threads(loop, static_cast<unsigned>(config_.workers));
    fuse_loop_cfg_set_idle_threads(loop, static_cast<unsigned>(config_.workers));
    const int result = fuse_session_loop_mt(session_, loop);
    fuse_loop_cfg_destroy(loop);
    running_ = false;
    service_.Drain();
    notifier_->Stop();
    ready.join();
    // 0 is an unmount; a positive value is the signal or exit that Stop() asked for.
    if (result < 0 && !stopping_)
      return ErrnoError(-result, "serving the mount point " + config_.mountpoint);
    return {};
  }

  void Stop() override {
    if (stopping_.exchange(true)) return;
    Detach();
    service_.StopWaiting();
    notifier_->Stop();  // while calls are still answered
    fuse_session_exit(session_);
    if (running_) pthread_kill(loop_thread_, kWakeSignal);
  }

  std::vector<OperationCount> OperationCounts() const override {
    std::vector<OperationCount> counts;
    for (size_t i = 0; i < fuse_operations::kOperationNames.size(); ++i)
      counts.push_back({fuse_operations::kOperationNames[i], service_.count(i), service_.waits(i)});
    return counts;
  }

 private:
  static void InstallWakeHandler() {
    struct sigaction action {};
    action.sa_handler = [](int) {};
    sigemptyset(&action.sa_mask);
    sigaction(kWakeSignal, &action, nullptr);
  }

  // Lazily, so that it works while somebody has a file open.
  void Detach() {
    if (::umount2(config_.mountpoint.c_str(), MNT_DETACH | UMOUNT_NOFOLLOW) == 0 ||
        ::geteuid() == 0)
      return;
    const pid_t pid = ::fork();
    if (pid == 0) {
      ::execlp("fusermount3", "fusermount3", "-u", "-z", "-q", "--", config_.mountpoint.c_str(),
               nullptr);
      ::_exit(127);
    }
    if (pid > 0) ::waitpid(pid, nullptr, 0);
  }

  void BecomeReady(const std::function<void()>& on_ready) {
    struct stat info {};
    if (::stat(config_.mountpoint.c_str(), &info) != 0)
      return;  // stopped before anybody could use it
    if (::geteuid() == 0) RaiseReadAhead(info.st_dev);
    if (on_ready) on_ready();
  }

  // The kernel's default of 128 KiB costs two thirds of a sequential reader's speed.
  void RaiseReadAhead(dev_t device) const {
    const std::string path = "/sys/class/bdi/" + std::to_string(major(device)) + ":" +
                             std::to_string(minor(device)) + "/read_ahead_kb";
    const UniqueFd fd(::open(path.c_str(), O_WRONLY | O_CLOEXEC));
    if (!fd.valid()) return;
    const std::string text = std::to_string(config_.read_ahead_bytes / 1024);
    if (::write(fd.get(), text.data(), text.size()) < 0) {
      Log(LogLevel::kDebug, "fuse.read_ahead_unchanged", {{"path", path}});
    }
  }

  const FuseConfig config_;
  fuse_operations::Service service_;
  fuse_session* session_ = nullptr;
  std::optional<Notifier> notifier_;  // once mounted
  pthread_t loop_thread_{};
  std::atomic<bool> running_ = false;
  std::atomic<bool> stopping_ = false;
};

}  // namespace

Result<std::unique_ptr<FuseMount>> FuseMount::Mount(const FuseConfig& config,
                                                    FileSystem& file_system) {
  auto mount = std::make_unique<quayfs::Mount>(config, file_system);
  QUAY_TRY(mount->Start());
  return std::unique_ptr<FuseMount>(std::move(mount));
}

}  // namespace quayfs
