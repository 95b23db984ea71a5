// SPDX-License-Identifier: Apache-2.0
//
// T1 on a cache disk that fills up and is emptied again at random moments: a call says ENOSPC and
// has done nothing, or has done it; nothing acknowledged is lost, nothing torn reaches the bucket,
// and with room everything goes on. The database is on that disk, too.

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <iostream>
#include <map>
#include <random>

#include "base/unique_fd.h"
#include "tests/mount/mount_fixture.h"

namespace quayfs::mounttest {
namespace {

class FullDiskTest : public ServerTest {
 protected:
  void SetUp() override {
    ASSERT_NO_FATAL_FAILURE(ServerTest::SetUp());
    if (IsSkipped()) return;
    cache_ = env().directory() + "/cache";
    ASSERT_EQ(::mkdir(cache_.c_str(), 0700), 0);
    if (::mount("tmpfs", cache_.c_str(), "tmpfs", 0, "size=12m,mode=0700") != 0)
      GTEST_SKIP() << "cannot mount: " << std::strerror(errno);
    mounted_ = true;
  }
  void TearDown() override {
    if (environment_) server().ClearFaults();
    if (mounted_) {
      ::unlink((cache_ + "/ballast").c_str());
      if (IsMounted(env().mount_point())) RunQuayfs({"umount", env().mount_point()});
      ::umount2(cache_.c_str(), MNT_DETACH);
    }
  }

  /// All but `left` bytes, or what is there.
  void Fill(uint64_t left) {
    const UniqueFd fd(
        ::open((cache_ + "/ballast").c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600));
    const std::string block(4096, 'x');
    while (::write(fd.get(), block.data(), block.size()) > 0) {
    }
    struct stat facts = {};
    ASSERT_EQ(::fstat(fd.get(), &facts), 0);
    const off_t keep = facts.st_size - static_cast<off_t>(left);
    ASSERT_EQ(::ftruncate(fd.get(), std::max<off_t>(keep, 0)), 0);
  }
  void Empty() { ::unlink((cache_ + "/ballast").c_str()); }

  /// 0, or ENOSPC; fsync and close may also tell that the store is away.
  int Check(int result, const std::string& what) {
    const int error = Try(result);
    history_ += fmt::format("{} {}\n", what, error == 0 ? "ok" : std::strerror(error));
    if (error == ENOSPC) ++refused_;
    const bool away = (error == EIO || error == ETIMEDOUT) && (what == "fsync" || what == "close");
    EXPECT_TRUE(error == 0 || error == ENOSPC || away) << what << ": " << std::strerror(error);
    return error;
  }
  void Step(std::mt19937_64& random);
  void Write(const std::string& name, std::mt19937_64& random);
  void ExpectTree() {
    std::vector<std::string> names;
    for (const auto& [name, text] : model_) {
      names.push_back(name);
      const std::string found = ReadFile(Path(name));
      const auto at = std::mismatch(text.begin(), text.end(), found.begin(), found.end()).first;
      EXPECT_TRUE(found == text) << name << ": " << found.size() << " bytes instead of "
                                 << text.size() << ", others from " << at - text.begin();
    }
    EXPECT_EQ(Names(env().mount_point()), names);
  }

  std::string cache_;
  bool mounted_ = false;
  std::map<std::string, std::string> model_;
  size_t refused_ = 0;
  std::string history_;  // for people
};

void FullDiskTest::Write(const std::string& name, std::mt19937_64& random) {
  history_ += name + ": ";
  const int fd = ::open(Path(name).c_str(), O_WRONLY | O_CLOEXEC);
  if (Check(fd, "open") != 0) return;
  std::string& text = model_[name];
  const std::string bytes = Pattern(1 + random() % (random() % 8 == 0 ? 600000 : 20000), random());
  const size_t at = random() % (text.size() + 1);
  history_ += fmt::format("  {} bytes at {} of {}: ", bytes.size(), at, text.size());
  const ssize_t written = ::pwrite(fd, bytes.data(), bytes.size(), static_cast<off_t>(at));
  if (Check(static_cast<int>(written), "write") == 0) {
    const auto count = static_cast<size_t>(written);
    if (text.size() < at + count) text.resize(at + count);
    text.replace(at, count, bytes, 0, count);
  }
  if (random() % 6 == 0) Check(::fsync(fd), "fsync");
  Check(::close(fd), "close");
}

void FullDiskTest::Step(std::mt19937_64& random) {
  const std::string name = "f" + std::to_string(random() % 12);
  const std::string other = "f" + std::to_string(random() % 12);
  const bool there = model_.contains(name);
  history_ += fmt::format("{} ({}): ", name, other);
  if (!there) {
    const int fd = ::open(Path(name).c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
    if (Check(fd, "create") != 0) return;
    model_[name] = "";
    Check(::close(fd), "close");
    return;
  }
  switch (random() % 8) {
    case 0:
      if (Check(::unlink(Path(name).c_str()), "unlink") == 0) model_.erase(name);
      return;
    case 1:
      if (name == other || Check(::rename(Path(name).c_str(), Path(other).c_str()), "rename") != 0)
        return;
      model_[other] = std::move(model_[name]);
      model_.erase(name);
      return;
    case 2: {
      const size_t size = random() % 30000;
      history_ += fmt::format("  to {} of {}: ", size, model_[name].size());
      const int failed =
          Check(::truncate(Path(name).c_str(), static_cast<off_t>(size)), "truncate");
      // The size may be there while the time that goes with it had no room.
      struct stat facts = {};
      EXPECT_EQ(::stat(Path(name).c_str(), &facts), 0);
      history_ += fmt::format("  {} then\n", facts.st_size);
      if (failed == 0 || static_cast<size_t>(facts.st_size) == size) model_[name].resize(size);
      return;
    }
    case 3:
      Check(::chmod(Path(name).c_str(), random() % 2 == 0 ? 0600 : 0644), "chmod");
      return;
    default:
      Write(name, random);
  }
}

TEST_F(FullDiskTest, NothingAcknowledgedIsLostAndNothingTornIsPublished) {
  std::mt19937_64 random(TestSeed());
  const std::vector<std::string> options = {
      "-o", "upload_cutoff=256KiB,chunk_size=5MiB,timeout=1s,consistency=exclusive", "-o",
      "RetryMode=Standard"};
  ASSERT_NO_FATAL_FAILURE(env().Mount(options));
  const int rounds = LongRun() ? 200 : 3;
  for (int round = 0; round < rounds; ++round) {
    SCOPED_TRACE("round " + std::to_string(round));
    for (int i = 0; i < 25; ++i) Step(random);
    // The store may take what is there, which makes room, or not.
    if (random() % 2 == 0) {
      testserver::Fault away;
      away.code = "ServiceUnavailable";
      away.count = -1;
      server().AddFault(away);
    }
    Fill(random() % 3 == 0 ? 0 : random() % 200000);
    for (int i = 0; i < 40; ++i) Step(random);
    server().ClearFaults();
    ExpectTree();
    const bool killed = random() % 2 == 0;
    history_ += killed ? "killed\n" : "drained\n";
    if (killed) {
      ASSERT_NO_FATAL_FAILURE(env().Kill());
    }
    Empty();
    if (killed) {
      ASSERT_NO_FATAL_FAILURE(env().Mount(options));
    }
    ExpectTree();
    if (HasFailure()) break;
    ASSERT_TRUE(Eventually([&] {
      return RunQuayfs({"sync", env().mount_point()}).status == 0;
    })) << env().LogText();
    std::map<std::string, std::string> bucket;
    for (const std::string& key : server().Keys("test")) {
      if (key != env().prefix())
        bucket[key.substr(env().prefix().size())] = server().Body("test", key).value_or("");
    }
    ASSERT_TRUE(bucket == model_) << bucket.size() << " objects, " << model_.size() << " files";
  }
  EXPECT_GT(refused_, 0U) << "the disk was never full";
  if (HasFailure()) ADD_FAILURE() << history_ << env().LogText();
  std::cout << refused_ << " calls had no room" << std::endl;
}

}  // namespace
}  // namespace quayfs::mounttest
