// SPDX-License-Identifier: Apache-2.0

#include "tests/mount/two_mounts.h"

#include <fmt/format.h>
#include <sys/mount.h>

#include <algorithm>
#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <nlohmann/json.hpp>

namespace quayfs::mounttest {
namespace {

using nlohmann::json;

json Status(const std::string& mount_point) {
  const ProgramResult shown = RunQuayfs({"status", mount_point, "--json"});
  EXPECT_EQ(shown.status, 0) << shown.err;
  const json all = json::parse(shown.out, nullptr, /*allow_exceptions=*/false);
  if (!all.is_object() || all["mounts"].size() != 1) {
    ADD_FAILURE() << shown.out;
    return json::object();
  }
  return all["mounts"][0];
}

uint16_t GatewayPort() {
  const char* const endpoint = std::getenv("QUAYFS_TEST_RADOSGW_ENDPOINT");
  const std::string text = endpoint == nullptr ? "" : endpoint;
  return static_cast<uint16_t>(std::atoi(text.substr(text.rfind(':') + 1).c_str()));
}

}  // namespace

Peer::Peer(MountEnvironment& environment, const std::string& name, const Namespace* space)
    : environment_(environment),
      name_(name),
      space_(space),
      host_name_("quay-" + name),
      mount_point_(environment.directory() + "/" + name) {
  std::filesystem::create_directory(mount_point_);
}

Peer::~Peer() {
  if (IsMounted(mount_point_)) RunQuayfs({"umount", mount_point_});
  while (IsMounted(mount_point_) && ::umount2(mount_point_.c_str(), MNT_DETACH) == 0) {
  }
  for (const pid_t pid : QuayfsWith(mount_point_)) {
    if (Eventually([pid] { return IsGone(pid); }, std::chrono::seconds(20))) continue;
    ADD_FAILURE() << "a daemon did not end: " << pid;
    ::kill(pid, SIGKILL);
  }
}

ProgramResult Peer::Run(const std::vector<std::string>& arguments) const {
  ProgramResult result;
  if (space_ == nullptr) return RunQuayfs(arguments);
  space_->Run([&] { result = RunQuayfs(arguments); });
  return result;
}

void Peer::Mount(const std::string& options) {
  const std::string cache = environment_.directory() + "/cache-" + name_;
  const ProgramResult mounted =
      Run({"mount", environment_.config_path(), mount_point_, "-o",
           "cache.directory=" + cache + (options.empty() ? "" : "," + options), "--log-file",
           environment_.directory() + "/log-" + name_});
  ASSERT_EQ(mounted.status, 0) << mounted.err;
  ASSERT_TRUE(IsMounted(mount_point_));
}

void Peer::Unmount() {
  const ProgramResult result = Run({"umount", mount_point_});
  ASSERT_EQ(result.status, 0) << result.err << LogText();
}

ProgramResult Peer::TrySync() const { return RunQuayfs({"sync", mount_point_}); }

void Peer::Sync() const {
  const ProgramResult synced = TrySync();
  EXPECT_EQ(synced.status, 0) << synced.err << LogText();
}

std::vector<std::string> Peer::ConflictFiles() const {
  std::vector<std::string> names;
  for (const json& one : Status(mount_point_).value("conflict_files", json::array()))
    names.push_back(one.get<std::string>().substr(environment_.prefix().size()));
  return names;
}

uint64_t Peer::Conflicts() const { return Status(mount_point_).value("conflicts", uint64_t{0}); }

std::string Peer::StatusText() const {
  const ProgramResult shown = RunQuayfs({"status", mount_point_});
  EXPECT_EQ(shown.status, 0) << shown.err;
  return shown.out;
}

std::string Peer::LogText() const {
  const std::string path = environment_.directory() + "/log-" + name_;
  return std::filesystem::exists(path) ? ReadFile(path) : "";
}

void TwoMountsTest::SetUp() {
  if (const std::string why = WhyNoFuse(); !why.empty()) GTEST_SKIP() << why;
  const bool gateway = GetParam() == "radosgw";
  if (GetParam() != "server") {
    for (const char* const name : {"quay-a", "quay-b"}) {
      std::string why;
      spaces_.push_back(Namespace::Make(name, &why));
      if (spaces_.back() == nullptr) GTEST_SKIP() << why;
    }
  }
  environment_.emplace(gateway ? "radosgw" : "server");
  // Its profile knows how it wants its conditions.
  if (gateway) env().SetValue("provider", "\"ceph\"");
  for (const auto& space : spaces_)
    relays_.push_back(space->Reach(gateway ? GatewayPort() : env().server()->port()));
  a_ = std::make_unique<Peer>(env(), "a", spaces_.empty() ? nullptr : spaces_[0].get());
  b_ = std::make_unique<Peer>(env(), "b", spaces_.empty() ? nullptr : spaces_[1].get());
}

void TwoMountsTest::TearDown() {
  if (environment_ && env().server() != nullptr) env().server()->ClearFaults();
  for (const auto& relay : relays_) relay->Cut(false);
  a_.reset();
  b_.reset();
}

void TwoMountsTest::Mount(const std::string& options) {
  env().WriteConfig();
  // What the store honours is known, except on "server": there objects are looked at before.
  if (checked()) {
    ASSERT_LE(RunQuayfs({"check", env().config_path()}).status, 1);
  }
  ASSERT_NO_FATAL_FAILURE(a().Mount(options));
  ASSERT_NO_FATAL_FAILURE(b().Mount(options));
}

void TwoMountsTest::Share(const std::map<std::string, std::string>& files) {
  for (const auto& [name, text] : files) WriteFile(a().Path(name), text);
  a().Sync();
  for (const auto& [name, text] : files) EXPECT_TRUE(ReadFile(b().Path(name)) == text) << name;
}

std::map<std::string, std::string> TwoMountsTest::Bucket() {
  std::map<std::string, std::string> bucket;
  for (const std::string& name : env().ObjectNames()) {
    if (!name.empty() && name.back() != '/') bucket[name] = env().ObjectBody(name).value_or("");
  }
  return bucket;
}

std::string TwoMountsTest::Logs() const {
  std::string text = "\na:\n" + a_->LogText() + "b:\n" + b_->LogText();
  if (environment_->server() == nullptr) return text;
  for (const auto& record : environment_->server()->Log()) {
    text += fmt::format("{} {} {} {}", record.method, record.operation, record.key, record.status);
    for (const char* const name : {"if-match", "if-none-match", "x-amz-copy-source-if-match"}) {
      const auto found = record.headers.find(name);
      if (found != record.headers.end()) text += fmt::format(" {}: {}", name, found->second);
    }
    text += "\n";
  }
  return text;
}

std::vector<std::string> TwoMountsBackends() {
  std::vector<std::string> backends = {"server", "namespaces"};
  if (std::getenv("QUAYFS_TEST_RADOSGW_ENDPOINT") != nullptr) backends.emplace_back("radosgw");
  return backends;
}

}  // namespace quayfs::mounttest
