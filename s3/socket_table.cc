// SPDX-License-Identifier: Apache-2.0

#include "s3/socket_table.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstring>

namespace quayfs::s3 {
namespace {

bool Describe(const sockaddr_storage& address, std::string* text, int* port) {
  char buffer[INET6_ADDRSTRLEN] = {};
  const char* written = nullptr;
  if (address.ss_family == AF_INET) {
    sockaddr_in v4{};
    std::memcpy(&v4, &address, sizeof v4);
    written = ::inet_ntop(AF_INET, &v4.sin_addr, buffer, sizeof buffer);
    *port = ntohs(v4.sin_port);
  } else if (address.ss_family == AF_INET6) {
    sockaddr_in6 v6{};
    std::memcpy(&v6, &address, sizeof v6);
    written = ::inet_ntop(AF_INET6, &v6.sin6_addr, buffer, sizeof buffer);
    *port = ntohs(v6.sin6_port);
  }
  if (written == nullptr) return false;
  *text = written;
  return true;
}

/// Empty if the socket is not connected.
std::string KeyOf(int fd) {
  SocketEnds ends;
  sockaddr_storage address{};
  socklen_t size = sizeof address;
  if (::getpeername(fd, reinterpret_cast<sockaddr*>(&address), &size) != 0) return {};
  if (!Describe(address, &ends.peer, &ends.peer_port)) return {};
  size = sizeof address;
  if (::getsockname(fd, reinterpret_cast<sockaddr*>(&address), &size) != 0) return {};
  if (!Describe(address, &ends.local, &ends.local_port)) return {};
  return ends.ToKey();
}

}  // namespace

std::string SocketEnds::ToKey() const {
  return local + " " + std::to_string(local_port) + " " + peer + " " + std::to_string(peer_port);
}

int SocketTable::Open(int family, int type, int protocol) {
  const int fd = ::socket(family, type | SOCK_CLOEXEC, protocol);
  if (fd >= 0) key_of_[fd] = std::string();
  return fd;
}

void SocketTable::Close(int fd) {
  if (const auto place = key_of_.find(fd); place != key_of_.end()) {
    const auto by_key = by_key_.find(place->second);
    if (by_key != by_key_.end() && by_key->second == fd) by_key_.erase(by_key);
    key_of_.erase(place);
  }
  ::close(fd);
}

int SocketTable::Find(const SocketEnds& ends) {
  const std::string wanted = ends.ToKey();
  if (const auto place = by_key_.find(wanted); place != by_key_.end()) return place->second;
  // Asked for the first time, so it was connected since the last question.
  for (auto& [fd, key] : key_of_) {
    if (!key.empty()) continue;
    key = KeyOf(fd);
    if (!key.empty()) by_key_[key] = fd;
  }
  const auto place = by_key_.find(wanted);
  return place == by_key_.end() ? -1 : place->second;
}

}  // namespace quayfs::s3
