// SPDX-License-Identifier: Apache-2.0

#include "fs/program/control_client.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <nlohmann/json.hpp>
#include <utility>

#include "fs/program/control_protocol.h"

namespace quayfs::program {
namespace {

using nlohmann::json;

// A daemon that is well answers, or says how far it is, much sooner.
constexpr timeval kTimeout = {30, 0};

/// A code by its name: what the daemon's error was.
Code CodeByName(const std::string& name) {
  for (int value = 0; value <= static_cast<int>(Code::kInternal); ++value) {
    if (CodeName(static_cast<Code>(value)) == name) return static_cast<Code>(value);
  }
  return Code::kInternal;
}

SyncProgress ProgressOf(const json& reply) {
  const auto number = [&reply](const char* key) {
    const auto found = reply.find(key);
    return found != reply.end() && found->is_number_unsigned() ? found->get<uint64_t>() : 0;
  };
  return {number("files"), number("bytes"), number("removals"), number("sent"),
          reply.value("away", json(false)) == json(true)};
}

Status GoOn(const ControlClient::OnProgress& on_progress, const SyncProgress& progress) {
  if (!on_progress || on_progress(progress)) return {};
  return Error(Code::kCancelled, "it took too long");
}

Result<json> CheckReply(const std::string& line) {
  json reply = json::parse(line, nullptr, false);
  if (!reply.is_object() || !reply.contains("reply") || !reply["reply"].is_string()) {
    return Error(Code::kCorrupt, "the running quayfs gave an answer that makes no sense");
  }
  if (reply["reply"] == "error") {
    return Error(CodeByName(reply.value("code", "")), reply.value("message", "no reason given"));
  }
  return reply;
}

}  // namespace

Result<ControlClient> ControlClient::Connect(const std::string& socket_path) {
  const size_t slash = socket_path.rfind('/');
  const std::string directory_path = socket_path.substr(0, slash);
  const UniqueFd directory(::open(directory_path.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
  if (!directory.valid()) return ErrnoError(errno, "the control socket " + socket_path);
  // A socket's path may have 107 bytes; the descriptor of its directory makes any path short.
  const std::string path =
      "/proc/self/fd/" + std::to_string(directory.get()) + socket_path.substr(slash);
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.size() >= sizeof(address.sun_path))
    return Error(Code::kNameTooLong, "the control socket's name is too long");
  std::copy(path.begin(), path.end(), address.sun_path);
  UniqueFd fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (!fd.valid()) return ErrnoError(errno, "make a socket");
  ::setsockopt(fd.get(), SOL_SOCKET, SO_RCVTIMEO, &kTimeout, sizeof(kTimeout));
  ::setsockopt(fd.get(), SOL_SOCKET, SO_SNDTIMEO, &kTimeout, sizeof(kTimeout));
  const auto* const generic =
      reinterpret_cast<const sockaddr*>(&address);  // NOLINT: how the socket API takes addresses
  while (::connect(fd.get(), generic, sizeof(address)) != 0) {
    const int error = errno;
    if (error == EINTR) continue;
    if (error == ECONNREFUSED || error == ENOENT) {
      return Error(Code::kNotFound, "no quayfs listens at " + socket_path);
    }
    return ErrnoError(error, "the control socket " + socket_path);
  }
  ucred peer{};
  socklen_t size = sizeof(peer);
  if (::getsockopt(fd.get(), SOL_SOCKET, SO_PEERCRED, &peer, &size) != 0)
    return ErrnoError(errno, "ask who listens");
  return ControlClient(std::move(fd), peer.pid);
}

Result<ControlClient> ControlClient::ConnectTo(const MountEntry& mount) {
  const uid_t owner = mount.owner().value_or(::geteuid());
  QUAY_ASSIGN(const std::string directory, PrepareControlDirectory(owner, false));
  return Connect(directory + "/" + ControlSocketName(mount.mount_point));
}

Result<ControlClient> ControlClient::ConnectTo(const std::string& mount_point) {
  MountEntry entry;
  entry.mount_point = mount_point;
  return ConnectTo(entry);
}

Result<json> ControlClient::AskUploads() {
  QUAY_ASSIGN(const json reply, Ask("uploads", nullptr));
  return reply.value("uploads", json::object());
}

Result<json> ControlClient::AskStatus() {
  QUAY_ASSIGN(const json reply, Ask("status", nullptr));
  return reply.value("status", json::object());
}

Result<std::string> ControlClient::AskMetrics() {
  QUAY_ASSIGN(const json reply, Ask("metrics", nullptr));
  const json text = reply.value("text", json());
  if (!text.is_string()) return Error(Code::kCorrupt, "the running quayfs sent no metrics");
  return text.get<std::string>();
}

Result<std::string> ControlClient::AskLogLevel(const std::string& level) {
  json request = json::object();
  if (!level.empty()) request["level"] = level;
  QUAY_ASSIGN(const json reply, AskWith("log-level", std::move(request), nullptr));
  const json now = reply.value("level", json());
  if (!now.is_string()) return Error(Code::kCorrupt, "the running quayfs sent no level");
  return now.get<std::string>();
}

Result<json> ControlClient::AskWalk(const WalkRequest& request, const OnProgress& on_progress) {
  QUAY_ASSIGN(json reply,
              AskWith(request.evict ? "evict" : "prefetch", {{"inodes", request.inodes}},
                      [&](const SyncProgress& progress) { return GoOn(on_progress, progress); }));
  if (!reply.contains("files") || !reply.contains("bytes"))
    return Error(Code::kCorrupt, "the running quayfs did not say what it did");
  return json({{"files", reply["files"]}, {"bytes", reply["bytes"]}});
}

Status ControlClient::AskSync(const OnProgress& on_progress) {
  QUAY_TRY(Ask("sync", [&](const SyncProgress& progress) { return GoOn(on_progress, progress); }));
  return {};
}

Status ControlClient::AskWait(const std::function<Status()>& begun, const OnProgress& on_progress) {
  bool first = true;
  QUAY_TRY(Ask("wait", [&](const SyncProgress& progress) -> Status {
    if (first) {
      first = false;
      QUAY_TRY(begun());
    }
    return GoOn(on_progress, progress);
  }));
  return {};
}

Result<SyncProgress> ControlClient::AskEnd() {
  QUAY_ASSIGN(const json reply, Ask("end", nullptr));
  return ProgressOf(reply);
}

Result<json> ControlClient::Ask(const std::string& command,
                                const std::function<Status(const SyncProgress&)>& on_progress) {
  return AskWith(command, json::object(), on_progress);
}

Result<json> ControlClient::AskWith(const std::string& command, json asked,
                                    const std::function<Status(const SyncProgress&)>& on_progress) {
  asked["quayfs"] = kControlVersion;
  asked["command"] = command;
  const std::string request = asked.dump(-1, ' ', false, json::error_handler_t::replace) + "\n";
  if (::send(fd_.get(), request.data(), request.size(), MSG_NOSIGNAL) !=
      static_cast<ssize_t>(request.size())) {
    return ErrnoError(errno, "ask the running quayfs");
  }
  LineBuffer lines;
  std::array<char, 8192> buffer;
  while (!lines.too_long()) {
    while (const std::optional<std::string> line = lines.Take()) {
      QUAY_ASSIGN(const json reply, CheckReply(*line));
      if (reply["reply"] != "progress") return reply;
      if (on_progress) QUAY_TRY(on_progress(ProgressOf(reply)));
    }
    const ssize_t got = ::recv(fd_.get(), buffer.data(), buffer.size(), 0);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0 && errno == EAGAIN)
      return Error(Code::kTimedOut, "the running quayfs does not answer");
    if (got < 0) return ErrnoError(errno, "the answer of the running quayfs");
    if (got == 0) return Error(Code::kUnavailable, "the running quayfs ended before it answered");
    lines.Append({buffer.data(), static_cast<size_t>(got)});
  }
  return Error(Code::kCorrupt, "the answer of the running quayfs is too long");
}

}  // namespace quayfs::program
