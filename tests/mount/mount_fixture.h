// SPDX-License-Identifier: Apache-2.0
//
// A bucket, a mount config, a mount point, and the real program between them. Whatever a test does,
// its daemon is ended, its mount point is free, and its files are gone afterwards.

#pragma once

#include <gtest/gtest.h>

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "providers/object_store.h"
#include "tests/mount/program.h"
#include "tests/server/server.h"

namespace quayfs::mounttest {

/// "local", "server" (S3), "qingstor" (the server in that dialect), and "radosgw" where the
/// environment names one (tests/radosgw/README.md).
std::vector<std::string> Backends();

/// "kodo" and "kodo_native": the server in that dialect, without and with the native API. For
/// tests that differ there; the rest is S3 like any other.
std::vector<std::string> KodoBackends();

class MountEnvironment {
 public:
  /// `backend` as above. Makes everything but the mount.
  explicit MountEnvironment(const std::string& backend);
  ~MountEnvironment();
  MountEnvironment(const MountEnvironment&) = delete;
  MountEnvironment& operator=(const MountEnvironment&) = delete;

  /// Lines before the first table of the config, such as `consistency = "1ms"`. Takes effect with
  /// the next Mount.
  void SetTopLines(std::string lines) { top_lines_ = std::move(lines); }
  /// Replaces a key of the config, such as "bucket" or "secret_access_key"; the value as TOML.
  void SetValue(const std::string& key, const std::string& value) { values_[key] = value; }
  void WriteConfig();

  /// A failure to mount is a failure of the test.
  void Mount(const std::vector<std::string>& more_arguments = {});
  ProgramResult TryMount(const std::vector<std::string>& more_arguments = {});
  void Unmount();
  void Remount() {
    Unmount();
    Mount();
  }
  /// SIGKILL to the daemon; the mount point is free afterwards.
  void Kill();
  /// The daemon's pid; fails the test if there is not exactly one.
  pid_t DaemonPid() const;
  std::string LogText() const;

  std::string Path(const std::string& name) const { return mount_point_ + "/" + name; }
  const std::string& mount_point() const { return mount_point_; }
  const std::string& config_path() const { return config_path_; }
  const std::string& directory() const { return directory_; }
  const std::string& prefix() const { return prefix_; }
  testserver::Server* server() const { return server_.get(); }

  // The bucket, past the mount. Names are relative to the mount's prefix.
  /// What has been done in the mount is in the bucket afterwards. Nothing if it is not mounted.
  void Sync();
  /// After Sync().
  std::optional<std::string> ObjectBody(const std::string& name);
  void PutObject(const std::string& name, const std::string& body);
  /// Another writer's multipart upload, begun and not finished.
  void BeginUpload(const std::string& name);
  void PutObjects(const std::vector<std::string>& names);  // empty ones
  std::vector<std::string> ObjectNames();

 private:
  void ChooseBackend(const std::string& backend);
  ObjectStore& store();
  void CleanUp();

  std::string directory_;
  std::string mount_point_;
  std::string config_path_;
  std::string prefix_;
  std::string top_lines_;
  std::map<std::string, std::string> values_;
  std::map<std::string, std::string> good_values_;
  bool shared_bucket_ = false;
  std::unique_ptr<testserver::Server> server_;
  std::unique_ptr<ObjectStore> store_;
};

/// One mount per test, on every backend.
class MountTest : public ::testing::TestWithParam<std::string> {
 protected:
  void SetUp() override {
    if (const std::string why = WhyNoFuse(); !why.empty()) GTEST_SKIP() << why;
    environment_.emplace(GetParam());
    environment_->Mount();
  }
  MountEnvironment& env() { return *environment_; }
  std::string Path(const std::string& name) const { return environment_->Path(name); }

  std::optional<MountEnvironment> environment_;
};

/// On the test server, which does what it is told; not mounted yet.
class ServerTest : public ::testing::Test {
 protected:
  void SetUp() override {
    if (const std::string why = WhyNoFuse(); !why.empty()) GTEST_SKIP() << why;
    environment_.emplace("server");
  }
  MountEnvironment& env() { return *environment_; }
  testserver::Server& server() { return *environment_->server(); }
  std::string Path(const std::string& name) const { return environment_->Path(name); }
  /// Each with 3 in 100: an error, no connection, an answer that is lost.
  void FailNowAndThen();
  uint64_t Requests() const;
  /// Requests by kind, for people.
  std::string Shown() const;

  std::optional<MountEnvironment> environment_;
};

/// `scripts/test --long`: larger inputs and counts.
bool LongRun();
/// Of QUAYFS_TEST_SEED, or a random one; printed.
uint64_t TestSeed();

std::string BackendName(const ::testing::TestParamInfo<std::string>& info);

}  // namespace quayfs::mounttest

// NOLINTNEXTLINE(cppcoreguidelines-macro-usage): gtest's own macro takes a name, too
#define INSTANTIATE_FOR_ALL_BACKENDS(suite)                                                       \
  INSTANTIATE_TEST_SUITE_P(Backends, suite, ::testing::ValuesIn(::quayfs::mounttest::Backends()), \
                           ::quayfs::mounttest::BackendName)

// NOLINTNEXTLINE(cppcoreguidelines-macro-usage): as above
#define INSTANTIATE_FOR_KODO(suite)                                                               \
  INSTANTIATE_TEST_SUITE_P(Kodo, suite, ::testing::ValuesIn(::quayfs::mounttest::KodoBackends()), \
                           ::quayfs::mounttest::BackendName)
