// SPDX-License-Identifier: Apache-2.0
//
// The sockets that libcurl has open for one HTTP client, found by their addresses: libcurl 7.88
// tells a request's callbacks the addresses of its connection, but not the descriptor. Belongs to
// the client's loop thread.

#pragma once

#include <string>
#include <unordered_map>

namespace quayfs::s3 {

/// Both ends of a TCP connection, addresses in the text form of inet_ntop.
struct SocketEnds {
  std::string peer;
  int peer_port = 0;
  std::string local;
  int local_port = 0;

  std::string ToKey() const;
};

class SocketTable {
 public:
  /// A new socket, closed on exec; -1 on failure.
  int Open(int family, int type, int protocol);
  /// REQUIRES: from Open.
  void Close(int fd);
  /// The connected socket with these ends, or -1.
  int Find(const SocketEnds& ends);
  bool Has(int fd) const { return key_of_.count(fd) != 0; }

 private:
  std::unordered_map<int, std::string> key_of_;  // "" as long as it is not known to be connected
  std::unordered_map<std::string, int> by_key_;
};

}  // namespace quayfs::s3
