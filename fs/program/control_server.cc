// SPDX-License-Identifier: Apache-2.0

#include "fs/program/control_server.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <nlohmann/json.hpp>
#include <optional>
#include <stop_token>
#include <thread>
#include <utility>
#include <vector>

#include "base/executor.h"
#include "base/log.h"
#include "base/mutex.h"
#include "base/unique_fd.h"
#include "fs/program/control_client.h"
#include "fs/program/control_protocol.h"
#include "fs/program/dead_sockets.h"

namespace quayfs::program {
namespace {

using nlohmann::json;

constexpr size_t kConnectionsMax = 16;
constexpr int kRequestTimeoutMs = 10000;
constexpr timeval kSendTimeout = {10, 0};  // for a client that does not read
constexpr auto kProgressInterval = std::chrono::milliseconds(250);

// A path of a socket may have 107 bytes; the descriptor of its directory makes any path short.
std::optional<sockaddr_un> ShortAddress(int directory, const std::string& name) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  const std::string path = "/proc/self/fd/" + std::to_string(directory) + "/" + name;
  if (path.size() >= sizeof(address.sun_path)) return std::nullopt;
  std::copy(path.begin(), path.end(), address.sun_path);
  return address;
}

const sockaddr* Generic(const sockaddr_un& address) {
  return reinterpret_cast<const sockaddr*>(&address);  // NOLINT: how the socket API takes addresses
}

bool SendLine(int fd, const json& reply) {
  // Names of files may be any bytes; JSON must be UTF-8.
  const std::string line = reply.dump(-1, ' ', false, json::error_handler_t::replace) + "\n";
  std::string_view rest = line;
  while (!rest.empty()) {
    const ssize_t sent = ::send(fd, rest.data(), rest.size(), MSG_NOSIGNAL);
    if (sent < 0 && errno == EINTR) continue;
    if (sent <= 0) return false;
    rest.remove_prefix(static_cast<size_t>(sent));
  }
  return true;
}

json Reply(std::string_view kind) { return {{"quayfs", kControlVersion}, {"reply", kind}}; }

json ErrorReply(const Error& error) {
  json reply = Reply("error");
  reply["code"] = CodeName(error.code());
  reply["message"] = error.message();
  return reply;
}

/// What runs on another thread, and its outcome.
struct Running {
  Mutex mutex{LockRank::kProgram};
  CondVar changed;
  std::optional<Result<json>> outcome QUAY_GUARDED_BY(mutex);
  std::stop_source cancel;
};

class Server final : public ControlServer {
 public:
  Server(ControlHandlers handlers, UniqueFd directory, std::string name, UniqueFd listener,
         UniqueFd wake)
      : handlers_(std::move(handlers)),
        directory_(std::move(directory)),
        name_(std::move(name)),
        listener_(std::move(listener)),
        wake_(std::move(wake)),
        acceptor_([this] { AcceptAll(); }) {}

  ~Server() override {
    cancel_.request_stop();
    const uint64_t one = 1;
    if (::write(wake_.get(), &one, sizeof(one)) < 0) Log(LogLevel::kDebug, "control.wake_failed");
    acceptor_.join();
    ::unlinkat(directory_.get(), name_.c_str(), 0);
  }

 private:
  // True when `fd` can be read, false when it is time to go or `timeout_ms` has passed.
  bool WaitFor(int fd, int timeout_ms) {
    std::array<pollfd, 2> polled = {pollfd{fd, POLLIN, 0}, pollfd{wake_.get(), POLLIN, 0}};
    for (;;) {
      const int ready = ::poll(polled.data(), polled.size(), timeout_ms);
      if (ready < 0 && errno == EINTR) continue;
      return ready > 0 && polled[1].revents == 0;
    }
  }

  void AcceptAll() {
    while (WaitFor(listener_.get(), -1)) {
      const int accepted = ::accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC);
      if (accepted < 0) {
        if (errno == EMFILE || errno == ENFILE) std::this_thread::yield();
        continue;
      }
      connections_.Post([this, fd = std::make_shared<UniqueFd>(accepted)] { Serve(fd->get()); });
    }
  }

  void Serve(int fd) {
    ::setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &kSendTimeout, sizeof(kSendTimeout));
    if (!MayAsk(fd)) {
      SendLine(fd,
               ErrorReply(Error(Code::kPermissionDenied, "this mount belongs to another user")));
      return;
    }
    const std::optional<std::string> line = ReadRequest(fd);
    if (!line) return;
    const json request = json::parse(*line, nullptr, false);
    if (!request.is_object() || request.value("quayfs", json(0)) != json(kControlVersion)) {
      SendLine(fd, ErrorReply(Error(Code::kNotSupported,
                                    "the running quayfs speaks another version of the control "
                                    "protocol than this program; "
                                    "unmount with umount(8) and mount again")));
      return;
    }
    const json command = request.value("command", json());
    if (command == "status") {
      json reply = Reply("status");
      reply["status"] = handlers_.status();
      SendLine(fd, reply);
    } else if (command == "metrics" && handlers_.metrics) {
      json reply = Reply("metrics");
      reply["text"] = handlers_.metrics();
      SendLine(fd, reply);
    } else if (command == "log-level" && handlers_.log_level) {
      const json name = request.value("level", json(""));
      const auto level = handlers_.log_level(name.is_string() ? name.get<std::string>() : "");
      json reply = level ? Reply("log-level") : ErrorReply(level.error());
      if (level) reply["level"] = *level;
      SendLine(fd, reply);
    } else if (command == "uploads") {
      const auto uploads = handlers_.uploads();
      json reply = uploads ? Reply("uploads") : ErrorReply(uploads.error());
      if (uploads) reply["uploads"] = *uploads;
      SendLine(fd, reply);
    } else if ((command == "prefetch" || command == "evict") && handlers_.walk) {
      ServeWalk(fd, request, command == "evict");
    } else if (command == "sync") {
      ServeLong(fd, Plain(handlers_.sync));
    } else if (command == "wait") {
      // Says that it is heard before the caller does what makes the daemon end.
      SendLine(fd, Progress(handlers_.progress()));
      ServeLong(fd, Plain(handlers_.wait));
    } else if (command == "end") {
      json reply = Progress(handlers_.progress());
      reply["reply"] = "ending";
      SendLine(fd, reply);
      handlers_.end();
    } else {
      SendLine(fd, ErrorReply(Error(Code::kNotSupported,
                                    "the running quayfs does not know this command")));
    }
  }

  static bool MayAsk(int fd) {
    ucred peer{};
    socklen_t size = sizeof(peer);
    if (::getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) != 0) return false;
    return peer.uid == 0 || peer.uid == ::geteuid();
  }

  std::optional<std::string> ReadRequest(int fd) {
    LineBuffer lines;
    std::array<char, 4096> buffer;
    while (!lines.too_long() && WaitFor(fd, kRequestTimeoutMs)) {
      const ssize_t got = ::recv(fd, buffer.data(), buffer.size(), 0);
      if (got < 0 && errno == EINTR) continue;
      if (got <= 0) return std::nullopt;
      lines.Append({buffer.data(), static_cast<size_t>(got)});
      if (auto line = lines.Take()) return line;
    }
    return std::nullopt;
  }

  static json Progress(const SyncProgress& progress) {
    json reply = Reply("progress");
    reply["files"] = progress.files;
    reply["bytes"] = progress.bytes;
    reply["removals"] = progress.removals;
    reply["sent"] = progress.sent;
    reply["away"] = progress.away;
    return reply;
  }

  LongWork Plain(const std::function<Status(const CallOptions&)>& handler) const {
    const auto run = [&handler](const CallOptions& call) -> Result<json> {
      QUAY_TRY(handler(call));
      return json::object();
    };
    return {run, handlers_.progress};
  }

  void ServeWalk(int fd, const json& request, bool evict) {
    WalkRequest walk;
    walk.evict = evict;
    for (const json& inode : request.value("inodes", json::array())) {
      if (inode.is_number_unsigned()) walk.inodes.push_back(inode.get<uint64_t>());
    }
    ServeLong(fd, handlers_.walk(walk));
  }

  void ServeLong(int fd, const LongWork& work) {
    auto running = std::make_shared<Running>();
    const std::stop_callback stop(cancel_.get_token(),
                                  [running] { running->cancel.request_stop(); });
    syncs_.Post([work, running] {
      CallOptions call;
      call.cancel = running->cancel.get_token();
      Result<json> outcome = work.run(call);
      const MutexLock lock(running->mutex);
      running->outcome = std::move(outcome);
      running->changed.NotifyAll();
    });
    for (;;) {
      const std::optional<Result<json>> outcome = WaitForOutcome(*running);
      if (outcome) {
        json reply = outcome->ok() ? Reply("done") : ErrorReply(outcome->error());
        if (outcome->ok()) reply.update(**outcome);
        SendLine(fd, reply);
        return;
      }
      // Nobody listens any more: what is under way may finish, nobody waits for it.
      if (!SendLine(fd, Progress(work.progress()))) running->cancel.request_stop();
    }
  }

  static std::optional<Result<json>> WaitForOutcome(Running& running) {
    const SteadyTime deadline = std::chrono::steady_clock::now() + kProgressInterval;
    MutexLock lock(running.mutex);
    while (!running.outcome) {
      if (!running.changed.WaitUntil(running.mutex, deadline)) break;
    }
    return running.outcome;
  }

  const ControlHandlers handlers_;
  const UniqueFd directory_;
  const std::string name_;
  const UniqueFd listener_;
  const UniqueFd wake_;
  std::stop_source cancel_;
  // Destroyed, and so run to their end, before what they use: connections first, then the syncs
  // they wait for.
  ThreadPool syncs_{"quayfs-sync", kConnectionsMax};
  ThreadPool connections_{"quayfs-control", kConnectionsMax};
  std::thread acceptor_;
};

Status Bind(int listener, int directory, const std::string& name) {
  const std::optional<sockaddr_un> address = ShortAddress(directory, name);
  if (!address) return Error(Code::kNameTooLong, "the control socket's name is too long");
  ::unlinkat(directory, name.c_str(), 0);
  // Nobody may connect between bind and chmod.
  const mode_t before = ::umask(0177);
  const int bound = ::bind(listener, Generic(*address), sizeof(*address));
  const int error = errno;
  ::umask(before);
  if (bound != 0) return ErrnoError(error, "bind the control socket " + name);
  if (::listen(listener, static_cast<int>(kConnectionsMax)) != 0) {
    return ErrnoError(errno, "listen at the control socket");
  }
  return {};
}

}  // namespace

Result<std::unique_ptr<ControlServer>> ControlServer::Start(const std::string& mount_point,
                                                            ControlHandlers handlers) {
  QUAY_ASSIGN(const std::string path, PrepareControlDirectory(::geteuid(), true));
  UniqueFd directory(::open(path.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW));
  if (!directory.valid()) return ErrnoError(errno, "open " + path);
  UniqueFd listener(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (!listener.valid()) return ErrnoError(errno, "make the control socket");
  UniqueFd wake(::eventfd(0, EFD_CLOEXEC));
  if (!wake.valid()) return ErrnoError(errno, "make an event descriptor");
  const std::string name = ControlSocketName(mount_point);
  const std::string unfinished = ".new-" + std::to_string(::getpid());
  QUAY_TRY(Bind(listener.get(), directory.get(), unfinished));
  RemoveDeadSockets(path, directory.get());
  if (const auto other = ControlClient::Connect(path + "/" + name)) {
    ::unlinkat(directory.get(), unfinished.c_str(), 0);
    return Error(Code::kBusy, "already mounted: the quayfs with pid " +
                                  std::to_string(other->pid()) + " serves " + mount_point);
  }
  if (::renameat(directory.get(), unfinished.c_str(), directory.get(), name.c_str()) != 0) {
    const int error = errno;
    ::unlinkat(directory.get(), unfinished.c_str(), 0);
    return ErrnoError(error, "name the control socket");
  }
  return std::unique_ptr<ControlServer>(std::make_unique<Server>(
      std::move(handlers), std::move(directory), name, std::move(listener), std::move(wake)));
}

}  // namespace quayfs::program
