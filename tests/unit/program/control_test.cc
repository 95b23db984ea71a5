// SPDX-License-Identifier: Apache-2.0

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <thread>

#include "base/unique_fd.h"
#include "fs/program/control_client.h"
#include "fs/program/control_protocol.h"
#include "fs/program/control_server.h"
#include "fs/program/dead_sockets.h"

namespace quayfs::program {
namespace {

using nlohmann::json;

TEST(ControlSocketName, IsReadableUniqueAndAPathOfOneName) {
  const std::string name = ControlSocketName("/mnt/two words");
  EXPECT_EQ(name.rfind("mnt-two-words-", 0), 0U) << name;
  EXPECT_EQ(name.find('/'), std::string::npos);
  EXPECT_NE(name, ControlSocketName("/mnt/two-words"));
  EXPECT_LT(ControlSocketName("/" + std::string(4000, 'x')).size(), 64U);
  EXPECT_NE(ControlSocketName("/"), ControlSocketName("//"));
}

TEST(LineBuffer, TakesWholeLinesOnly) {
  LineBuffer lines;
  lines.Append("one\ntw");
  EXPECT_EQ(lines.Take(), "one");
  EXPECT_EQ(lines.Take(), std::nullopt);
  lines.Append("o\n\n");
  EXPECT_EQ(lines.Take(), "two");
  EXPECT_EQ(lines.Take(), "");
  EXPECT_FALSE(lines.too_long());
  lines.Append(std::string(kControlLineMax + 1, 'x'));
  EXPECT_TRUE(lines.too_long());
}

class ControlTest : public ::testing::Test {
 protected:
  void SetUp() override {
    // A mount point of its own gives a socket of its own, wherever sockets lie for this user.
    mount_point_ = std::filesystem::temp_directory_path().string() + "/quayfs-control-test-" +
                   std::to_string(::getpid());
    handlers_.status = [] { return json({{"mount_point", "here"}}); };
    handlers_.sync = [](const CallOptions&) { return Status(); };
    handlers_.progress = [] { return SyncProgress{2, 300, 1, 40, true}; };
    handlers_.wait = [](const CallOptions&) { return Status(); };
    handlers_.uploads = [] { return Result<json>(json({{"continuing", {"id"}}})); };
    handlers_.end = [] {};
  }
  std::string SocketPath() const {
    return ControlDirectory(::geteuid()) + "/" + ControlSocketName(mount_point_);
  }
  std::unique_ptr<ControlServer> Start() {
    auto server = ControlServer::Start(mount_point_, handlers_);
    EXPECT_TRUE(server.ok()) << server.error().ToString();
    return server.ok() ? *std::move(server) : nullptr;
  }

  std::string mount_point_;
  ControlHandlers handlers_;
};

TEST_F(ControlTest, AnswersStatusAndSaysWhoItIs) {
  const auto server = Start();
  auto client = ControlClient::Connect(SocketPath());
  ASSERT_TRUE(client.ok()) << client.error().ToString();
  EXPECT_EQ(client->pid(), ::getpid());
  const auto status = client->AskStatus();
  ASSERT_TRUE(status.ok()) << status.error().ToString();
  EXPECT_EQ(status->at("mount_point"), "here");
  struct stat facts {};
  ASSERT_EQ(::stat(SocketPath().c_str(), &facts), 0);
  EXPECT_EQ(facts.st_mode & 0777, 0600U);
}

TEST_F(ControlTest, SyncReportsProgressUntilItIsDone) {
  std::atomic<bool> finish = false;
  handlers_.sync = [&finish](const CallOptions&) {
    while (!finish) std::this_thread::yield();
    return Status();
  };
  const auto server = Start();
  auto client = ControlClient::Connect(SocketPath());
  ASSERT_TRUE(client.ok());
  int reports = 0;
  const Status synced = client->AskSync([&](const SyncProgress& progress) {
    EXPECT_EQ(progress, (SyncProgress{2, 300, 1, 40, true}));
    if (++reports == 2) finish = true;
    return true;
    return true;
  });
  EXPECT_TRUE(synced.ok());
  EXPECT_GE(reports, 2);
}

TEST_F(ControlTest, EnoughIsEnough) {
  std::atomic<bool> cancelled = false;
  handlers_.sync = [&cancelled](const CallOptions& call) {
    while (!call.cancel.stop_requested()) std::this_thread::yield();
    cancelled = true;
    return Status(Error(Code::kCancelled, "stopped"));
  };
  const auto server = Start();
  {
    auto client = ControlClient::Connect(SocketPath());
    ASSERT_TRUE(client.ok());
    EXPECT_TRUE(client->AskSync([](const SyncProgress&) { return false; }).Is(Code::kCancelled));
  }
  // Whoever hangs up does not keep the daemon busy.
  while (!cancelled) std::this_thread::yield();
}

TEST_F(ControlTest, WaitTellsHowTheDaemonEnded) {
  std::atomic<bool> ended = false;
  handlers_.wait = [&ended](const CallOptions&) {
    while (!ended) std::this_thread::yield();
    return Status(Error(Code::kUnavailable, "3 files are left"));
  };
  auto server = Start();
  auto client = ControlClient::Connect(SocketPath());
  ASSERT_TRUE(client.ok());
  const Status waited = client->AskWait(
      [&ended] {
        ended = true;
        return Status();
      },
      nullptr);
  ASSERT_FALSE(waited.ok());
  EXPECT_EQ(waited.error().message(), "3 files are left");
  auto second = ControlClient::Connect(SocketPath());
  EXPECT_TRUE(
      second->AskWait([] { return Status(Error(Code::kBusy, "no")); }, nullptr).Is(Code::kBusy));
}

TEST_F(ControlTest, EndRepliesBeforeTheDaemonEnds) {
  std::atomic<bool> ended = false;
  handlers_.end = [&ended] { ended = true; };
  const auto server = Start();
  auto client = ControlClient::Connect(SocketPath());
  ASSERT_TRUE(client.ok());
  const auto left = client->AskEnd();
  ASSERT_TRUE(left.ok()) << left.error().ToString();
  EXPECT_EQ(left->files, 2U);
  EXPECT_EQ(left->bytes, 300U);
  while (!ended) std::this_thread::yield();
}

TEST_F(ControlTest, AnErrorKeepsItsCodeAndMessage) {
  handlers_.sync = [](const CallOptions&) {
    return Status(Error(Code::kQuota, "the bucket is full"));
  };
  const auto server = Start();
  auto client = ControlClient::Connect(SocketPath());
  ASSERT_TRUE(client.ok());
  const Status synced = client->AskSync(nullptr);
  ASSERT_FALSE(synced.ok());
  EXPECT_EQ(synced.code(), Code::kQuota);
  EXPECT_EQ(synced.error().message(), "the bucket is full");
}

TEST_F(ControlTest, StoppingCancelsASyncThatIsUnderWay) {
  std::atomic<bool> begun = false;
  handlers_.sync = [&begun](const CallOptions& call) {
    begun = true;
    while (!call.cancel.stop_requested()) std::this_thread::yield();
    return Status(Error(Code::kCancelled, "stopped"));
  };
  auto server = Start();
  auto client = ControlClient::Connect(SocketPath());
  ASSERT_TRUE(client.ok());
  Status synced;
  std::thread asking([&] { synced = client->AskSync(nullptr); });
  while (!begun) std::this_thread::yield();
  server.reset();
  asking.join();
  EXPECT_FALSE(synced.ok());
}

TEST_F(ControlTest, ANewServerRemovesWhatDeadOnesLeft) {
  auto server = Start();
  const std::string dead =
      ControlDirectory(::geteuid()) + "/" + ControlSocketName(mount_point_ + "/dead");
  ASSERT_EQ(::link(SocketPath().c_str(), dead.c_str()), 0);
  server.reset();
  ASSERT_EQ(::access(dead.c_str(), F_OK), 0);
  server = Start();
  EXPECT_NE(::access(dead.c_str(), F_OK), 0);
  EXPECT_TRUE(ControlClient::Connect(SocketPath()).ok());
}

// Another daemon that starts just then must not take it for the dead one.
TEST_F(ControlTest, ASocketThatTakesADeadOnesPlaceIsNotLost) {
  const std::string folder = ControlDirectory(::geteuid());
  const UniqueFd directory(::open(folder.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
  ASSERT_TRUE(directory.valid());
  const std::string kept = SocketPath() + ".kept";
  for (int round = 0; round < 200; ++round) {
    auto server = Start();
    ASSERT_EQ(::link(SocketPath().c_str(), kept.c_str()), 0);
    server.reset();
    ASSERT_EQ(::rename(kept.c_str(), SocketPath().c_str()), 0);
    std::atomic<bool> started = false;
    std::thread other([&] {
      while (!started) RemoveDeadSocket(folder, directory.get(), ControlSocketName(mount_point_));
    });
    server = Start();
    started = true;
    other.join();
    ASSERT_TRUE(ControlClient::Connect(SocketPath()).ok()) << "round " << round;
  }
}

TEST_F(ControlTest, ASecondServerIsRefusedAndAStaleSocketReplaced) {
  auto server = Start();
  EXPECT_TRUE(ControlServer::Start(mount_point_, handlers_).Is(Code::kBusy));
  // What a daemon that was killed leaves: the name without a listener.
  const std::string kept = SocketPath() + ".kept";
  ASSERT_EQ(::link(SocketPath().c_str(), kept.c_str()), 0);
  server.reset();
  EXPECT_TRUE(ControlClient::Connect(SocketPath()).Is(Code::kNotFound));
  ASSERT_EQ(::rename(kept.c_str(), SocketPath().c_str()), 0);
  EXPECT_TRUE(ControlClient::Connect(SocketPath()).Is(Code::kNotFound));
  server = Start();
  EXPECT_TRUE(ControlClient::Connect(SocketPath()).ok());
  server.reset();
  EXPECT_NE(::access(SocketPath().c_str(), F_OK), 0);
}

}  // namespace
}  // namespace quayfs::program
