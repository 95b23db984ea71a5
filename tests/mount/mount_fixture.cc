// SPDX-License-Identifier: Apache-2.0

#include "tests/mount/mount_fixture.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <random>
#include <sstream>
#include <utility>

#include "base/executor.h"
#include "base/hash.h"
#include "providers/open.h"

namespace quayfs::mounttest {
namespace {

constexpr const char* kGatewayVariables[] = {
    "QUAYFS_TEST_RADOSGW_ENDPOINT", "QUAYFS_TEST_RADOSGW_ACCESS_KEY",
    "QUAYFS_TEST_RADOSGW_SECRET_KEY", "QUAYFS_TEST_RADOSGW_BUCKET"};
constexpr size_t kPutsInFlight = 32;

std::string Variable(const char* name) {
  const char* const value = std::getenv(name);
  return value == nullptr ? "" : value;
}

std::string Quoted(const std::string& text) { return "\"" + text + "\""; }
std::string Unquoted(const std::string& text) {
  return text.size() < 2 ? "" : text.substr(1, text.size() - 2);
}

bool IsKodo(const std::string& backend) { return backend.rfind("kodo", 0) == 0; }

std::string MakeTemporaryDirectory() {
  std::string name = Variable("TMPDIR");
  name = (name.empty() ? "/tmp" : name) + "/quayfs-mount-test.XXXXXX";
  if (::mkdtemp(name.data()) == nullptr)
    ADD_FAILURE() << "mkdtemp " << name << ": " << std::strerror(errno);
  return std::filesystem::canonical(name).string();
}

}  // namespace

std::vector<std::string> KodoBackends() { return {"kodo", "kodo_native"}; }

std::vector<std::string> Backends() {
  std::vector<std::string> backends = {"local", "server", "qingstor"};
  if (!Variable(kGatewayVariables[0]).empty()) backends.emplace_back("radosgw");
  return backends;
}

std::string BackendName(const ::testing::TestParamInfo<std::string>& info) { return info.param; }

MountEnvironment::MountEnvironment(const std::string& backend)
    : directory_(MakeTemporaryDirectory()),
      mount_point_(directory_ + "/mnt"),
      config_path_(directory_ + "/test.toml") {
  std::filesystem::create_directory(mount_point_);
  // What the program keeps for later goes where it is removed with the rest.
  ::setenv("XDG_STATE_HOME", (directory_ + "/state").c_str(), 1);
  ChooseBackend(backend);
  good_values_ = values_;
}

void MountEnvironment::ChooseBackend(const std::string& backend) {
  if (backend == "local") {
    const std::string bucket = directory_ + "/bucket";
    std::filesystem::create_directory(bucket);
    values_ = {{"provider", "\"local\""}, {"bucket", Quoted(bucket)}};
    return;
  }
  values_["provider"] = "\"s3\"";
  if (backend == "server" || backend == "qingstor" || IsKodo(backend)) {
    testserver::ServerConfig config;
    if (backend == "qingstor") {
      config.protocol = testserver::Protocol::kQingStor;
      config.region = "pek3a";
      values_["provider"] = "\"qingstor\"";
    }
    if (IsKodo(backend)) {
      config.protocol = testserver::Protocol::kKodo;
      config.region = "cn-east-1";
      values_["provider"] = "\"kodo\"";
      values_["region"] = "\"cn-east-1\"";
    }
    auto server = testserver::Server::Start(config);
    ASSERT_TRUE(server.ok()) << server.error().ToString();
    server_ = *std::move(server);
    prefix_ = "host-a/";
    values_["endpoint"] = Quoted(server_->endpoint());
    if (backend == "kodo_native") {
      values_["native"] = "true";
      values_["native_endpoint"] = values_["endpoint"];
    }
    values_["bucket"] = "\"test\"";
    values_["access_key_id"] = "\"test-key\"";
    values_["secret_access_key"] = "\"test-secret\"";
  } else {
    shared_bucket_ = true;
    prefix_ = "mount-test-" + HexEncode(RandomBytes(4)) + "/";
    values_["endpoint"] = Quoted(Variable(kGatewayVariables[0]));
    values_["access_key_id"] = Quoted(Variable(kGatewayVariables[1]));
    values_["secret_access_key"] = Quoted(Variable(kGatewayVariables[2]));
    values_["bucket"] = Quoted(Variable(kGatewayVariables[3]));
  }
  values_["prefix"] = Quoted(prefix_);
}

MountEnvironment::~MountEnvironment() { CleanUp(); }

void MountEnvironment::CleanUp() {
  // Ending daemons first would leave mount points that answer nobody.
  if (IsMounted(mount_point_)) RunQuayfs({"umount", mount_point_}, std::chrono::seconds(60));
  while (IsMounted(mount_point_) && ::umount2(mount_point_.c_str(), MNT_DETACH) == 0) {
  }
  for (const pid_t pid : QuayfsWith(config_path_)) {
    if (!Eventually([pid] { return IsGone(pid); }, std::chrono::seconds(20))) {
      ADD_FAILURE() << "a daemon did not end: " << pid;
      ::kill(pid, SIGKILL);
      Eventually([pid] { return IsGone(pid); });
    }
  }
  if (shared_bucket_) {
    std::vector<std::string> keys;
    for (const std::string& name : ObjectNames()) keys.push_back(prefix_ + name);
    if (!keys.empty()) {
      const auto deleted = store().DeleteMany(keys, {});
      EXPECT_TRUE(deleted.ok());
    }
  }
  ASSERT_FALSE(IsMounted(mount_point_));
  std::error_code failed;
  std::filesystem::remove_all(directory_, failed);
  EXPECT_FALSE(failed) << failed.message();
}

void MountEnvironment::WriteConfig() {
  std::string text = top_lines_ + "\n";
  std::string credentials = "[credentials]\n";
  for (const auto& [key, value] : values_) {
    const bool secret = key.find("access_key") != std::string::npos || key == "session_token";
    (secret ? credentials : text) += fmt::format("{} = {}\n", key, value);
  }
  text += credentials + "[cache]\ndirectory = " + Quoted(directory_ + "/cache") + "\n";
  const UniqueFd file(::open(config_path_.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600));
  ASSERT_TRUE(file.valid()) << std::strerror(errno);
  ASSERT_EQ(::write(file.get(), text.data(), text.size()), static_cast<ssize_t>(text.size()));
}

ProgramResult MountEnvironment::TryMount(const std::vector<std::string>& more_arguments) {
  WriteConfig();
  std::vector<std::string> arguments = {"mount", config_path_, mount_point_, "--log-file",
                                        directory_ + "/log"};
  arguments.insert(arguments.end(), more_arguments.begin(), more_arguments.end());
  return RunQuayfs(arguments);
}

void MountEnvironment::Mount(const std::vector<std::string>& more_arguments) {
  const ProgramResult result = TryMount(more_arguments);
  ASSERT_EQ(result.status, 0) << result.err;
  ASSERT_EQ(result.out + result.err, "");
  ASSERT_TRUE(IsMounted(mount_point_));
}

void MountEnvironment::Unmount() {
  const ProgramResult result = RunQuayfs({"umount", mount_point_});
  ASSERT_EQ(result.status, 0) << result.err << LogText();
  ASSERT_FALSE(IsMounted(mount_point_));
}

void MountEnvironment::Kill() {
  const pid_t pid = DaemonPid();
  ASSERT_GT(pid, 0);
  EXPECT_EQ(::kill(pid, SIGKILL), 0);
  EXPECT_TRUE(Eventually([pid] { return IsGone(pid); }));
  ASSERT_EQ(::umount2(mount_point_.c_str(), MNT_DETACH), 0) << std::strerror(errno);
  // What it had sent is carried out all the same, and may come late on a machine that is busy.
  EXPECT_TRUE(server_ == nullptr || Eventually([this] { return server_->Concurrent() == 0; }));
}

pid_t MountEnvironment::DaemonPid() const {
  std::vector<pid_t> pids = QuayfsWith(config_path_);
  pids.erase(std::remove_if(pids.begin(), pids.end(), IsGone), pids.end());
  if (pids.size() != 1) {
    ADD_FAILURE() << pids.size() << " daemons where one is expected";
    return -1;
  }
  return pids.front();
}

std::string MountEnvironment::LogText() const {
  std::ifstream file(directory_ + "/log");
  std::stringstream text;
  text << file.rdbuf();
  return text.str();
}

ObjectStore& MountEnvironment::store() {
  if (store_ == nullptr) {
    const auto value = [this](const char* key) { return Unquoted(good_values_[key]); };
    StoreConfig config;
    config.provider = value("provider");
    config.bucket = value("bucket");
    config.endpoint = value("endpoint");
    config.region = value("region");
    config.credentials.access_key_id = value("access_key_id");
    config.credentials.secret_access_key = value("secret_access_key");
    auto opened = OpenStore(config);
    if (!opened) ADD_FAILURE() << opened.error().ToString();
    store_ = *std::move(opened);
  }
  return *store_;
}

void MountEnvironment::Sync() {
  if (!IsMounted(mount_point_)) return;
  const ProgramResult synced = RunQuayfs({"sync", mount_point_});
  EXPECT_EQ(synced.status, 0) << synced.err;
}

std::optional<std::string> MountEnvironment::ObjectBody(const std::string& name) {
  Sync();
  StringSink sink;
  GetRequest request;
  request.key = prefix_ + name;
  const auto got = store().Get(request, sink, {});
  if (got.Is(Code::kNotFound)) return std::nullopt;
  EXPECT_TRUE(got.ok()) << got.error().ToString();
  return sink.text();
}

void MountEnvironment::PutObject(const std::string& name, const std::string& body) {
  const auto put = store().Put(prefix_ + name, MemorySource(body), {}, Condition::None(), {});
  ASSERT_TRUE(put.ok()) << put.error().ToString();
}

void MountEnvironment::BeginUpload(const std::string& name) {
  const auto begun = store().CreateUpload(prefix_ + name, {}, {});
  ASSERT_TRUE(begun.ok()) << begun.error().ToString();
}

void MountEnvironment::PutObjects(const std::vector<std::string>& names) {
  ThreadPool pool("puts", kPutsInFlight);
  ObjectStore& bucket = store();
  const Status put = ParallelFor(pool, names.size(), kPutsInFlight, [&](size_t index) -> Status {
    QUAY_TRY(bucket.Put(prefix_ + names[index], MemorySource(std::string_view()), {},
                        Condition::None(), {}));
    return {};
  });
  ASSERT_TRUE(put.ok()) << put.error().ToString();
}

std::vector<std::string> MountEnvironment::ObjectNames() {
  Sync();
  std::vector<std::string> names;
  ListRequest request;
  request.prefix = prefix_;
  do {
    const auto page = store().List(request, {});
    if (!page) {
      ADD_FAILURE() << page.error().ToString();
      break;
    }
    for (const ObjectInfo& info : page->objects) names.push_back(info.key.substr(prefix_.size()));
    request.token = page->next_token;
  } while (!request.token.empty());
  std::sort(names.begin(), names.end());
  return names;
}

void ServerTest::FailNowAndThen() {
  testserver::Fault fault;
  fault.count = -1;
  fault.probability = 0.03;
  for (const auto kind : {testserver::FaultKind::kStatus, testserver::FaultKind::kResetBefore,
                          testserver::FaultKind::kLostReply}) {
    fault.kind = kind;
    server().AddFault(fault);
  }
}

uint64_t ServerTest::Requests() const {
  uint64_t total = 0;
  for (const auto& [operation, count] : environment_->server()->Counts()) total += count;
  return total;
}

std::string ServerTest::Shown() const {
  std::string text;
  for (const auto& [operation, count] : environment_->server()->Counts())
    text += fmt::format("{}={} ", operation, count);
  return text;
}

bool LongRun() { return !Variable("QUAYFS_TEST_LONG").empty(); }

uint64_t TestSeed() {
  const std::string given = Variable("QUAYFS_TEST_SEED");
  const uint64_t seed =
      given.empty() ? std::random_device{}() : std::strtoull(given.c_str(), nullptr, 10);
  std::cout << "QUAYFS_TEST_SEED=" << seed << std::endl;
  return seed;
}

}  // namespace quayfs::mounttest
