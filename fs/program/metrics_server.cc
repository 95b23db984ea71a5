// SPDX-License-Identifier: Apache-2.0

#include "fs/program/metrics_server.h"

#include <arpa/inet.h>
#include <fmt/format.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <string_view>
#include <thread>
#include <utility>

#include "base/clock.h"
#include "base/log.h"
#include "base/unique_fd.h"

namespace quayfs::program {
namespace {

constexpr size_t kRequestMax = 16 << 10;
constexpr auto kRequestTimeout = std::chrono::seconds(5);
constexpr timeval kSendTimeout = {5, 0};
constexpr int kBacklog = 8;

std::string Reply(std::string_view status, std::string_view type, const std::string& body) {
  return fmt::format(
      "HTTP/1.1 {}\r\nContent-Type: {}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{}",
      status, type, body.size(), body);
}

class Server final : public MetricsServer {
 public:
  Server(UniqueFd listener, UniqueFd wake, std::function<std::string()> metrics)
      : listener_(std::move(listener)),
        wake_(std::move(wake)),
        metrics_(std::move(metrics)),
        thread_([this] { ServeAll(); }) {}

  ~Server() override {
    const uint64_t one = 1;
    if (::write(wake_.get(), &one, sizeof(one)) < 0) Log(LogLevel::kDebug, "metrics.wake_failed");
    thread_.join();
  }

 private:
  /// False when it is time to go, or too late.
  bool Readable(int fd, int timeout_ms) const {
    std::array<pollfd, 2> polled = {pollfd{fd, POLLIN, 0}, pollfd{wake_.get(), POLLIN, 0}};
    for (;;) {
      const int ready = ::poll(polled.data(), polled.size(), timeout_ms);
      if (ready < 0 && errno == EINTR) continue;
      return ready > 0 && polled[1].revents == 0;
    }
  }

  void ServeAll() {
    while (Readable(listener_.get(), -1)) {
      const UniqueFd asker(::accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC));
      if (asker.valid()) Serve(asker.get());
    }
  }

  void Serve(int fd) const {
    ::setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &kSendTimeout, sizeof(kSendTimeout));
    const std::string request = ReadHead(fd);
    if (request.empty()) return;
    std::string_view line = std::string_view(request).substr(0, request.find("\r\n"));
    const std::string_view method = line.substr(0, line.find(' '));
    line.remove_prefix(std::min(line.size(), method.size() + 1));
    const std::string_view path = line.substr(0, line.find_first_of(" ?"));
    if (method != "GET") {
      Send(fd, Reply("405 Method Not Allowed", "text/plain", "GET only\n"));
    } else if (path != "/metrics") {
      Send(fd, Reply("404 Not Found", "text/plain", "there is /metrics and nothing else\n"));
    } else {
      Send(fd, Reply("200 OK", "text/plain; version=0.0.4; charset=utf-8", metrics_()));
    }
  }

  /// Up to the empty line; "" if that does not come in time.
  std::string ReadHead(int fd) const {
    const SteadyTime deadline = std::chrono::steady_clock::now() + kRequestTimeout;
    std::string head;
    std::array<char, 2048> buffer;
    while (head.size() < kRequestMax) {
      const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(
          deadline - std::chrono::steady_clock::now());
      if (left.count() <= 0 || !Readable(fd, static_cast<int>(left.count()))) return "";
      const ssize_t got = ::recv(fd, buffer.data(), buffer.size(), 0);
      if (got < 0 && errno == EINTR) continue;
      if (got <= 0) return "";
      head.append(buffer.data(), static_cast<size_t>(got));
      if (head.find("\r\n\r\n") != std::string::npos) return head;
    }
    return "";
  }

  static void Send(int fd, const std::string& reply) {
    std::string_view rest = reply;
    while (!rest.empty()) {
      const ssize_t sent = ::send(fd, rest.data(), rest.size(), MSG_NOSIGNAL);
      if (sent < 0 && errno == EINTR) continue;
      if (sent <= 0) return;  // who does not read gets nothing
      rest.remove_prefix(static_cast<size_t>(sent));
    }
    ::shutdown(fd, SHUT_WR);
  }

  const UniqueFd listener_;
  const UniqueFd wake_;
  const std::function<std::string()> metrics_;
  std::thread thread_;
};

}  // namespace

Result<std::unique_ptr<MetricsServer>> MetricsServer::Start(uint16_t port,
                                                            std::function<std::string()> metrics) {
  UniqueFd listener(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (!listener.valid()) return ErrnoError(errno, "make a socket for metrics");
  const int yes = 1;
  ::setsockopt(listener.get(), SOL_SOCKET, SO_REUSEADDR, &yes, sizeof(yes));
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  const auto* const generic =
      reinterpret_cast<const sockaddr*>(&address);  // NOLINT: how the socket API takes addresses
  if (::bind(listener.get(), generic, sizeof(address)) != 0 ||
      ::listen(listener.get(), kBacklog) != 0) {
    if (errno == EADDRINUSE)
      return Error(Code::kBusy,
                   fmt::format("port {} of 127.0.0.1 is in use; change metrics.port", port));
    return ErrnoError(errno, fmt::format("listen at 127.0.0.1:{}", port));
  }
  UniqueFd wake(::eventfd(0, EFD_CLOEXEC));
  if (!wake.valid()) return ErrnoError(errno, "make an event descriptor");
  return std::unique_ptr<MetricsServer>(
      std::make_unique<Server>(std::move(listener), std::move(wake), std::move(metrics)));
}

}  // namespace quayfs::program
