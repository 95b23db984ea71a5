// SPDX-License-Identifier: Apache-2.0

#include "tests/mount/namespace.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <gtest/gtest.h>
#include <net/if.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <utility>

namespace quayfs::mounttest {
namespace {

constexpr int kPollMs = 20;  // how soon a relay notices that it is to end, or was cut or mended
constexpr int kBacklog = 128;

sockaddr_in Loopback(uint16_t port) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  return address;
}

const sockaddr* Generic(const sockaddr_in& address) {
  return reinterpret_cast<const sockaddr*>(&address);
}

bool BringLoopbackUp() {
  const UniqueFd socket(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  ifreq request{};
  std::strncpy(request.ifr_name, "lo", sizeof(request.ifr_name) - 1);
  if (::ioctl(socket.get(), SIOCGIFFLAGS, &request) != 0) return false;
  request.ifr_flags = static_cast<short>(request.ifr_flags | IFF_UP);
  return ::ioctl(socket.get(), SIOCSIFFLAGS, &request) == 0;
}

UniqueFd OpenOwn(const char* kind) {
  return UniqueFd(
      ::open((std::string("/proc/thread-self/ns/") + kind).c_str(), O_RDONLY | O_CLOEXEC));
}

/// What is readable at `from` goes to `to`; false at its end.
bool Pass(int from, int to) {
  std::array<char, 65536> buffer;
  const ssize_t got = ::read(from, buffer.data(), buffer.size());
  if (got <= 0) return false;
  for (ssize_t at = 0; at < got;) {
    const ssize_t sent =
        ::send(to, buffer.data() + at, static_cast<size_t>(got - at), MSG_NOSIGNAL);
    if (sent <= 0) return false;
    at += sent;
  }
  return true;
}

}  // namespace

Relay::Relay(UniqueFd listening, uint16_t port) : listening_(std::move(listening)), port_(port) {
  accepting_ = std::thread([this] { Accept(); });
}

Relay::~Relay() {
  stop_ = true;
  accepting_.join();
  for (std::thread& connection : connections_) connection.join();
}

void Relay::Accept() {
  while (!stop_) {
    pollfd polled{listening_.get(), POLLIN, 0};
    if (::poll(&polled, 1, kPollMs) <= 0) continue;
    const int inside = ::accept4(listening_.get(), nullptr, nullptr, SOCK_CLOEXEC);
    if (inside >= 0) connections_.emplace_back([this, inside] { Carry(inside); });
  }
}

void Relay::Carry(int inside) const {
  const UniqueFd one(inside);
  const UniqueFd other(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  const sockaddr_in address = Loopback(port_);
  if (::connect(other.get(), Generic(address), sizeof(address)) != 0) return;
  const int yes = 1;
  for (const int fd : {one.get(), other.get()})
    ::setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof(yes));
  while (!stop_) {
    std::array<pollfd, 2> polled = {pollfd{one.get(), POLLIN, 0}, pollfd{other.get(), POLLIN, 0}};
    const bool cut = cut_;
    if (::poll(polled.data(), cut ? 0 : polled.size(), kPollMs) <= 0 || cut) continue;
    if (polled[0].revents != 0 && !Pass(one.get(), other.get())) return;
    if (polled[1].revents != 0 && !Pass(other.get(), one.get())) return;
  }
}

std::unique_ptr<Namespace> Namespace::Make(const std::string& host_name, std::string* why) {
  std::unique_ptr<Namespace> made;
  std::thread([&] {
    if (::unshare(CLONE_NEWNET | CLONE_NEWUTS) != 0) {
      *why = std::string("no namespaces here: ") + std::strerror(errno);
      return;
    }
    if (!BringLoopbackUp() || ::sethostname(host_name.data(), host_name.size()) != 0) {
      *why = std::string("a new namespace cannot be set up: ") + std::strerror(errno);
      return;
    }
    made.reset(new Namespace(OpenOwn("net"), OpenOwn("uts")));
  }).join();
  return made;
}

void Namespace::Run(const std::function<void()>& work) const {
  std::thread([&] {
    ASSERT_EQ(::setns(network_.get(), CLONE_NEWNET), 0) << std::strerror(errno);
    ASSERT_EQ(::setns(host_name_.get(), CLONE_NEWUTS), 0) << std::strerror(errno);
    work();
  }).join();
}

std::unique_ptr<Relay> Namespace::Reach(uint16_t port) const {
  // A socket stays in the network where it was made.
  UniqueFd listening;
  Run([&] {
    listening.Reset(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    const sockaddr_in address = Loopback(port);
    ASSERT_EQ(::bind(listening.get(), Generic(address), sizeof(address)), 0)
        << std::strerror(errno);
    ASSERT_EQ(::listen(listening.get(), kBacklog), 0) << std::strerror(errno);
  });
  return std::make_unique<Relay>(std::move(listening), port);
}

}  // namespace quayfs::mounttest
