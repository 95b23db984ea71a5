// SPDX-License-Identifier: Apache-2.0
//
// A store that is away while the mount is in use: what is known goes on, the rest waits.

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <chrono>
#include <thread>

#include "base/unique_fd.h"
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
