// SPDX-License-Identifier: Apache-2.0
//
// Two mounts of one bucket, each with a cache and, where the backend says so, a network and a host
// name of its own.

#pragma once

#include <gtest/gtest.h>

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "tests/mount/mount_fixture.h"
#include "tests/mount/namespace.h"

namespace quayfs::mounttest {

/// One of the two.
class Peer {
 public:
  /// `space` may be nullptr.
  Peer(MountEnvironment& environment, const std::string& name, const Namespace* space);
  ~Peer();
  Peer(const Peer&) = delete;
  Peer& operator=(const Peer&) = delete;

  void Mount(const std::string& options);
  void Unmount();
  std::string Path(const std::string& name) const { return mount_point_ + "/" + name; }
  /// Everything is in the bucket afterwards; with what sync said otherwise.
  ProgramResult TrySync() const;
  void Sync() const;
  /// What status shows as kept beside somebody else's version, without the prefix.
  std::vector<std::string> ConflictFiles() const;
  /// How often somebody else had changed something.
  uint64_t Conflicts() const;
  std::string StatusText() const;
  std::string LogText() const;
  const std::string& host_name() const { return host_name_; }

 private:
  ProgramResult Run(const std::vector<std::string>& arguments) const;

  MountEnvironment& environment_;
  const std::string name_;
  const Namespace* const space_;
  std::string host_name_;
  std::string mount_point_;
};

/// On "server": the test server, both mounts here, and nobody has told them what it honours.
/// "namespaces": the same, but each in a network of its own, and after `quayfs check`. "radosgw":
/// as that, with a real gateway.
class TwoMountsTest : public ::testing::TestWithParam<std::string> {
 protected:
  void SetUp() override;
  void TearDown() override;

  MountEnvironment& env() { return *environment_; }
  Peer& a() { return *a_; }
  Peer& b() { return *b_; }
  static bool checked() { return GetParam() != "server"; }
  /// Both, with a trust in what was seen that outlasts the test unless `options` say otherwise.
  void Mount(const std::string& options = "consistency=1h");
  /// a writes them, both know them. Not for a folder that b has looked into before.
  void Share(const std::map<std::string, std::string>& files);
  /// Past both mounts, by name.
  std::map<std::string, std::string> Bucket();
  /// What both mounts and the test server have logged, for people.
  std::string Logs() const;

  std::optional<MountEnvironment> environment_;
  std::vector<std::unique_ptr<Namespace>> spaces_;
  std::vector<std::unique_ptr<Relay>> relays_;
  std::unique_ptr<Peer> a_;
  std::unique_ptr<Peer> b_;
};

std::vector<std::string> TwoMountsBackends();

}  // namespace quayfs::mounttest
