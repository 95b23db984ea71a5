// SPDX-License-Identifier: Apache-2.0
//
// A network and a host name of their own for programs that a test starts, as if they ran on another
// machine. Nothing of it has a name anywhere: it is gone with the object and the programs in it,
// however the test ends.

#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "base/unique_fd.h"

namespace quayfs::mounttest {

/// Connections to 127.0.0.1:`port` where `listening` was made go on to 127.0.0.1:`port` here. It
/// can be cut: then open connections move nothing and new ones stay without an answer.
class Relay {
 public:
  Relay(UniqueFd listening, uint16_t port);
  ~Relay();
  Relay(const Relay&) = delete;
  Relay& operator=(const Relay&) = delete;

  void Cut(bool cut) { cut_ = cut; }

 private:
  void Accept();
  void Carry(int inside) const;

  const UniqueFd listening_;
  const uint16_t port_;
  std::atomic<bool> cut_{false};
  std::atomic<bool> stop_{false};
  std::vector<std::thread> connections_;  // of the accepting thread, until it has ended
  std::thread accepting_;
};

class Namespace {
 public:
  /// nullptr, and why, where the kernel does not allow it.
  static std::unique_ptr<Namespace> Make(const std::string& host_name, std::string* why);

  /// In a thread inside; returns when `work` does. Programs that `work` starts are inside, too.
  void Run(const std::function<void()>& work) const;
  /// What listens outside on 127.0.0.1:`port` can be reached inside under the same address.
  std::unique_ptr<Relay> Reach(uint16_t port) const;

 private:
  Namespace(UniqueFd network, UniqueFd host_name)
      : network_(std::move(network)), host_name_(std::move(host_name)) {}

  UniqueFd network_;
  UniqueFd host_name_;
};

}  // namespace quayfs::mounttest
