// SPDX-License-Identifier: Apache-2.0
//
// A store that is away while the mount is in use: what is known goes on, the rest waits.

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <fstream>
#include <iostream>
#include <map>
#include <memory>
#include <thread>
#include <vector>

#include "base/unique_fd.h"
#include "tests/mount/crash_model.h"
#include "tests/mount/mount_fixture.h"
#include "tests/mount/program.h"

namespace quayfs::mounttest {
namespace {

class OutageTest : public ServerTest {
 protected:
  void GoAway() {
    testserver::Fault fault;
    fault.status = 500;
    fault.code = "InternalError";
    fault.count = -1;
    server().AddFault(fault);
  }
  /// With a retry mode that gives up quickly, so that what happens then is seen.
  void Mount(std::vector<std::string> arguments = {}) {
    arguments.insert(arguments.end(), {"-o", "RetryMode=Standard"});
    env().Mount(arguments);
  }
  void ComeBack() { server().ClearFaults(); }
};

TEST_F(OutageTest, CachedFilesAndChangesGoOnAndTheRestWaits) {
  env().SetTopLines("consistency = \"1ms\"");
  Mount();
  env().PutObject("cold", "not read before");
  WriteFile(Path("warm"), "read before");
  env().Sync();
  EXPECT_EQ(ReadFile(Path("warm")), "read before");
  struct stat facts {};
  EXPECT_EQ(::stat(Path("cold").c_str(), &facts), 0);

  GoAway();
  EXPECT_EQ(ReadFile(Path("warm")), "read before") << "though nothing is trusted for longer";
  WriteFile(Path("new"), "written while the store was away");
  EXPECT_EQ(ReadFile(Path("new")), "written while the store was away");
  EXPECT_EQ(::rename(Path("new").c_str(), Path("newer").c_str()), 0);

  std::atomic<bool> read{false};
  std::string contents;
  std::thread patient([&] {
    contents = ReadFile(Path("cold"));
    read = true;
  });
  // Long enough for every retry below the mount to have given up.
  const uint64_t before = Requests();
  EXPECT_TRUE(Eventually([&] { return Requests() > before + 4; }));
  EXPECT_FALSE(read);
  ComeBack();
  patient.join();
  EXPECT_EQ(contents, "not read before");
  EXPECT_EQ(env().ObjectBody("newer"), "written while the store was away");
}

TEST_F(OutageTest, AnFsyncWaitsUntilTheFileIsInTheBucket) {
  Mount();
  const UniqueFd file(::open(Path("f").c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0644));
  ASSERT_TRUE(file.valid());
  GoAway();
  EXPECT_EQ(::write(file.get(), "contents", 8), 8);
  std::atomic<bool> synced{false};
  int result = -1;
  std::thread patient([&] {
    result = ::fsync(file.get());
    synced = true;
  });
  const uint64_t before = Requests();
  EXPECT_TRUE(Eventually([&] { return Requests() > before + 4; }));
  EXPECT_FALSE(synced);
  ComeBack();
  patient.join();
  EXPECT_EQ(result, 0);
  EXPECT_EQ(env().ObjectBody("f"), "contents");
}

TEST_F(OutageTest, PatienceEndsWhereTheConfigSaysSo) {
  Mount({"-o", "timeout=3s"});
  env().PutObject("cold", "x");
  GoAway();
  struct stat facts {};
  EXPECT_EQ(::stat(Path("cold").c_str(), &facts), -1);
  EXPECT_TRUE(errno == EIO || errno == ETIMEDOUT) << errno;
  ComeBack();
  EXPECT_TRUE(Eventually([&] { return ::stat(Path("cold").c_str(), &facts) == 0; }));
}

TEST_F(OutageTest, WithATimeoutOnlyWhatNeedsTheStoreFails) {
  Mount({"-o", "timeout=1s"});
  env().PutObject("cold", "x");
  WriteFile(Path("warm"), "read before");
  env().Sync();
  EXPECT_EQ(ReadFile(Path("warm")), "read before");
  GoAway();
  const UniqueFd file(::open(Path("new").c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0644));
  ASSERT_TRUE(file.valid()) << errno;
  EXPECT_EQ(::write(file.get(), "contents", 8), 8);
  const int synced = Try(::fsync(file.get()));
  EXPECT_TRUE(synced == EIO || synced == ETIMEDOUT) << synced;
  struct stat facts {};
  const int looked = Try(::stat(Path("cold").c_str(), &facts));
  EXPECT_TRUE(looked == EIO || looked == ETIMEDOUT) << looked;
  EXPECT_EQ(ReadFile(Path("warm")), "read before");
  EXPECT_EQ(Try(::rename(Path("new").c_str(), Path("newer").c_str())), 0);
  EXPECT_EQ(Try(::chmod(Path("newer").c_str(), 0600)), 0);
  EXPECT_EQ(::write(file.get(), " and more", 9), 9);
  ComeBack();
  EXPECT_TRUE(Eventually([&] { return ::fsync(file.get()) == 0; }));
  EXPECT_EQ(env().ObjectBody("newer"), "contents and more");
}

TEST_F(OutageTest, CtrlCEndsAReadThatWaits) {
  Mount({"-o", "interrupt_grace=1s,stall_timeout=5s"});
  env().PutObject("cold", std::string(100000, 'x'));
  struct stat facts {};
  ASSERT_EQ(::stat(Path("cold").c_str(), &facts), 0);
  // Not even an answer: the request itself hangs.
  testserver::Fault hole;
  hole.kind = testserver::FaultKind::kBlackHole;
  hole.operation = "GetObject";
  hole.count = -1;
  server().AddFault(hole);
  const std::string path = Path("cold");
  const pid_t reader = ::fork();
  ASSERT_GE(reader, 0);
  if (reader == 0) {
    ::signal(SIGINT, SIG_DFL);  // whoever started the test may have it ignored
    ::execlp("cat", "cat", path.c_str(), nullptr);
    ::_exit(127);
  }
  EXPECT_TRUE(Eventually([&] {
    // In the system call, waiting for us.
    std::string text;
    std::getline(std::ifstream("/proc/" + std::to_string(reader) + "/wchan"), text);
    return text.find("fuse") != std::string::npos || text.find("folio") != std::string::npos ||
           text.find("page") != std::string::npos;
  }));
  EXPECT_EQ(::kill(reader, SIGINT), 0);
  int status = 0;
  EXPECT_TRUE(Eventually([&] { return ::waitpid(reader, &status, WNOHANG) == reader; }));
  EXPECT_TRUE(WIFSIGNALED(status) && WTERMSIG(status) == SIGINT) << status;
  ComeBack();
  EXPECT_EQ(ReadFile(path).size(), 100000U);
}

// What writers do meanwhile is in the bucket afterwards, without a restart.
TEST_F(OutageTest, WritersGoOnAndAllOfItArrives) {
  const uint64_t seed = TestSeed();
  // fsync waits for the bucket, and says so in the end; everything else goes on.
  Mount({"-o", "timeout=1s,consistency=exclusive", "-o", "upload_cutoff=256KiB,chunk_size=5MiB",
         "-o", "stall_timeout=2s"});
  std::vector<std::unique_ptr<CrashWriter>> writers;
  for (int i = 0; i < 3; ++i) {
    const std::string folder = Path("w" + std::to_string(i));
    ASSERT_EQ(::mkdir(folder.c_str(), 0755), 0);
    writers.push_back(std::make_unique<CrashWriter>(folder, seed + static_cast<uint64_t>(i)));
    LoadShape shape;
    shape.faults = true;
    writers.back()->SetShape(shape);
  }
  WriteFile(Path("warm"), "read before");
  env().Sync();
  EXPECT_EQ(ReadFile(Path("warm")), "read before");
  std::atomic<bool> stop{false};
  const std::atomic<bool> dying{false};
  std::vector<std::thread> threads;
  for (const auto& writer : writers) threads.emplace_back([&] { writer->Run(stop, dying); });
  const auto steps = [&] {
    size_t sum = 0;
    for (const auto& writer : writers) sum += writer->steps();
    return sum;
  };
  for (const testserver::FaultKind kind :
       {testserver::FaultKind::kResetBefore, testserver::FaultKind::kBlackHole,
        testserver::FaultKind::kStatus}) {
    // Some of it gets through between two outages.
    const size_t before = steps();
    EXPECT_TRUE(Eventually([&] { return steps() > before + 100; })) << steps();
    testserver::Fault away;
    away.kind = kind;
    away.count = -1;
    away.code = "ServiceUnavailable";
    server().AddFault(away);
    const uint64_t requests = Requests();
    const size_t begun = steps();
    const int laps = LongRun() ? 600 : 4;
    // The length of the outage is the test's input.
    for (int lap = 0; lap < laps; ++lap) {
      std::this_thread::sleep_for(std::chrono::seconds(1));
      EXPECT_EQ(ReadFile(Path("warm")), "read before");
    }
    EXPECT_GT(steps(), begun + 20) << "the writers stood still";
    // What was under way, and a few per second: one is tried at a time, and each fsync tries its
    // own.
    EXPECT_LE(Requests() - requests, static_cast<uint64_t>(60 + 40 * laps))
        << Shown() << env().LogText();
    std::cout << steps() - begun << " steps and " << Requests() - requests << " requests in "
              << laps << " s away" << std::endl;
    ComeBack();
  }
  stop = true;
  for (std::thread& thread : threads) thread.join();
  for (const auto& writer : writers) writer->CloseAll();
  EXPECT_TRUE(Eventually([&] {
    return RunQuayfs({"sync", env().mount_point()}).status == 0;
  })) << env().LogText();
  std::map<std::string, std::string> expected = {{env().prefix() + "warm", "read before"}};
  for (size_t i = 0; i < writers.size(); ++i) {
    EXPECT_EQ(writers[i]->Verify(), "");
    writers[i]->AddObjects(env().prefix() + "w" + std::to_string(i), &expected);
  }
  std::map<std::string, std::string> found;
  for (const std::string& key : server().Keys("test")) {
    if (key != env().prefix()) found[key] = server().Body("test", key).value_or("");
  }
  EXPECT_TRUE(found == expected) << found.size() << " objects instead of " << expected.size();
  EXPECT_TRUE(Eventually([&] { return server().UnfinishedUploads("test") == 0; }));
}

TEST_F(OutageTest, AnUnmountDoesNotWaitForThoseWhoWait) {
  Mount();
  env().PutObject("cold", "x");
  GoAway();
  std::atomic<int> error{0};
  std::thread patient([&] {
    struct stat facts {};
    error = ::stat(Path("cold").c_str(), &facts) == 0 ? 0 : errno;
  });
  const uint64_t before = Requests();
  EXPECT_TRUE(Eventually([&] { return Requests() > before + 4; }));
  env().Kill();
  patient.join();
  EXPECT_NE(error, 0);
  ComeBack();
}

}  // namespace
}  // namespace quayfs::mounttest
