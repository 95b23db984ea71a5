// SPDX-License-Identifier: Apache-2.0
//
// What an fsync that has returned means, and what a killed upload costs.

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstring>
#include <random>
#include <set>
#include <thread>

#include "tests/mount/mount_fixture.h"

namespace quayfs::mounttest {
namespace {

class DurabilityTest : public ServerTest {
 protected:
  std::optional<std::string> Object(const std::string& name) {
    return server().Body("test", env().prefix() + name);
  }
  /// Writes `size` bytes that depend on the offset, in pieces.
  void WriteLarge(int fd, uint64_t size) {
    constexpr uint64_t kPiece = 8 << 20;
    for (uint64_t at = 0; at < size; at += kPiece) {
      const std::string piece = Pattern(std::min(kPiece, size - at), at);
      ASSERT_EQ(::pwrite(fd, piece.data(), piece.size(), static_cast<off_t>(at)),
                static_cast<ssize_t>(piece.size()))
          << std::strerror(errno);
    }
  }
  void ExpectLarge(const std::string& name, uint64_t size) {
    constexpr uint64_t kPiece = 8 << 20;
    const auto body = Object(name);
    ASSERT_TRUE(body.has_value());
    ASSERT_EQ(body->size(), size);
    for (uint64_t at = 0; at < size; at += kPiece) {
      const std::string piece = Pattern(std::min(kPiece, size - at), at);
      ASSERT_TRUE(std::string_view(*body).substr(at, piece.size()) == piece) << "at " << at;
    }
  }
  /// Numbers of the parts that the server has taken since ResetLog.
  std::multiset<std::string> PartsTaken() {
    std::multiset<std::string> parts;
    for (const auto& record : server().Log()) {
      if (record.operation != "UploadPart" || record.status != 200) continue;
      const size_t at = record.query.find("partNumber=");
      parts.insert(record.query.substr(at, record.query.find('&', at) - at));
    }
    return parts;
  }
  void FsyncAtRandom(int worker, uint64_t seed, int count);
};

// C7.
TEST_F(DurabilityTest, AKilledUploadGoesOnWithThePartsThatTheServerHas) {
  const uint64_t size = LongRun() ? 2ull << 30 : 96 << 20;
  const size_t parts = size / (8 << 20);
  constexpr size_t kAtOnce = 3;
  const std::vector<std::string> options = {
      "-o", fmt::format("chunk_size=8MiB,upload_concurrency={}", kAtOnce)};
  ASSERT_NO_FATAL_FAILURE(env().Mount(options));
  // The other half of the parts is never answered, so that the kill falls between parts at any
  // speed.
  testserver::Fault hole;
  hole.kind = testserver::FaultKind::kBlackHole;
  hole.operation = "UploadPart";
  hole.skip = static_cast<int>(parts / 2);
  hole.count = -1;
  server().AddFault(hole);
  {
    const UniqueFd file(::open(Path("large").c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0644));
    ASSERT_TRUE(file.valid());
    ASSERT_NO_FATAL_FAILURE(WriteLarge(file.get(), size));
  }
  ASSERT_TRUE(Eventually([&] { return PartsTaken().size() >= parts / 2; })) << env().LogText();
  ASSERT_NO_FATAL_FAILURE(env().Kill());
  server().ClearFaults();
  const std::multiset<std::string> before = PartsTaken();
  EXPECT_EQ(before.size(), parts / 2);
  EXPECT_EQ(server().UnfinishedUploads("test"), 1U);
  server().ResetLog();

  ASSERT_NO_FATAL_FAILURE(env().Mount(options));
  env().Sync();
  size_t again = 0;
  for (const std::string& part : PartsTaken()) again += before.count(part) != 0 ? 1 : 0;
  // A part whose answer had not been read by the daemon is sent again.
  EXPECT_LE(again, kAtOnce) << before.size() << " parts were there; " << Shown();
  EXPECT_EQ(server().Count("CreateMultipartUpload"), 0U) << Shown();
  EXPECT_EQ(server().UnfinishedUploads("test"), 0U);
  ExpectLarge("large", size);
}

// One thread's share: files of its own in folders of its own, changed and forced out at random.
void DurabilityTest::FsyncAtRandom(int worker, uint64_t seed, int count) {
  std::mt19937_64 random(seed);
  std::map<std::string, std::string> texts;
  for (int i = 0; i < count; ++i) {
    const std::string folder = fmt::format("d{}-{}", worker, random() % 4);
    const std::string name = fmt::format("{}/f{}", folder, random() % 3);
    if (::mkdir(Path(folder).c_str(), 0755) != 0) {
      ASSERT_EQ(errno, EEXIST);
    }
    const UniqueFd file(::open(Path(name).c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0644));
    ASSERT_TRUE(file.valid()) << std::strerror(errno);
    std::string& text = texts[name];
    const auto pieces = 1 + random() % 3;
    for (uint64_t k = 0; k < pieces; ++k) {
      const std::string bytes =
          Pattern(1 + random() % (random() % 10 == 0 ? 400000 : 5000), random());
      const uint64_t at = random() % (text.size() + 1);
      ASSERT_EQ(::pwrite(file.get(), bytes.data(), bytes.size(), static_cast<off_t>(at)),
                static_cast<ssize_t>(bytes.size()));
      if (text.size() < at + bytes.size()) text.resize(at + bytes.size());
      text.replace(at, bytes.size(), bytes);
    }
    std::string now = name;
    if (random() % 4 == 0) {
      now = fmt::format("{}/r{}", folder, i);
      ASSERT_EQ(::rename(Path(name).c_str(), Path(now).c_str()), 0) << std::strerror(errno);
      texts[now] = text;
      texts.erase(name);
    }
    // Either handle will do, and so will the folder's.
    const bool of_folder = now != name && random() % 2 == 0;
    const UniqueFd directory(::open(Path(folder).c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    ASSERT_EQ(::fsync(of_folder ? directory.get() : file.get()), 0) << std::strerror(errno);
    const auto object = Object(now);
    EXPECT_TRUE(object.has_value()) << now << " is not in the bucket, fsync " << i;
    EXPECT_TRUE(object == texts[now]) << now << " is another one in the bucket, fsync " << i;
    EXPECT_TRUE(Object(folder + "/").has_value()) << folder << ", fsync " << i;
    if (of_folder) {
      EXPECT_FALSE(Object(name).has_value()) << name << ", fsync " << i;
    }
  }
}

// durability.fsync = "remote": the object, and what led to it, were in the bucket when it returned.
TEST_F(DurabilityTest, AnFsyncThatReturnedHasPublished) {
  constexpr int kThreads = 5;
  const int count = (LongRun() ? 1000 : 200) / kThreads;
  const uint64_t seed = TestSeed();
  ASSERT_NO_FATAL_FAILURE(env().Mount({"-o", "upload_cutoff=256KiB,chunk_size=5MiB"}));
  server().SetDelay(std::chrono::milliseconds(3));
  std::vector<std::thread> threads;
  threads.reserve(kThreads);
  for (int i = 0; i < kThreads; ++i)
    threads.emplace_back([=, this] { FsyncAtRandom(i, seed + static_cast<uint64_t>(i), count); });
  for (std::thread& thread : threads) thread.join();
  server().SetDelay(std::chrono::milliseconds(0));
}

// C8, T4: a refusal is told to whoever asks next, and shown until it succeeds.
TEST_F(DurabilityTest, ARefusedUploadIsToldAndKeptUntilItSucceeds) {
  ASSERT_NO_FATAL_FAILURE(env().Mount());
  testserver::Fault refusal;
  refusal.operation = "PutObject";
  refusal.key_contains = "refused";
  refusal.status = 403;
  refusal.code = "AccessDenied";
  refusal.count = -1;
  server().AddFault(refusal);
  const UniqueFd file(::open(Path("refused").c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0644));
  ASSERT_TRUE(file.valid());
  ASSERT_EQ(::write(file.get(), "contents", 8), 8);
  EXPECT_EQ(Try(::fsync(file.get())), EACCES);
  const auto status = [&] { return RunQuayfs({"status", env().mount_point()}).out; };
  EXPECT_NE(status().find("refused"), std::string::npos) << status();
  EXPECT_NE(status().find("AccessDenied"), std::string::npos) << status();
  EXPECT_EQ(Try(::fsync(file.get())), EACCES) << "it still is not there";
  // Others are not held up, and what was refused can be read.
  WriteFile(Path("other"), "x");
  const UniqueFd other(::open(Path("other").c_str(), O_WRONLY | O_CLOEXEC));
  EXPECT_EQ(Try(::fsync(other.get())), 0);
  EXPECT_EQ(Object("other"), "x");
  EXPECT_EQ(ReadFile(Path("refused")), "contents");
  EXPECT_NE(RunQuayfs({"sync", env().mount_point()}).status, 0);

  // One that fails in the background is told to the next close.
  const int second = ::open(Path("refused2").c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0644);
  ASSERT_EQ(::write(second, "more", 4), 4);
  EXPECT_NE(RunQuayfs({"sync", env().mount_point()}).status, 0);
  EXPECT_EQ(Try(::close(second)), EACCES);

  // A kill does not make it forgotten.
  ASSERT_NO_FATAL_FAILURE(env().Kill());
  ASSERT_NO_FATAL_FAILURE(env().Mount());
  EXPECT_EQ(ReadFile(Path("refused")), "contents");
  EXPECT_TRUE(Eventually([&] { return status().find("AccessDenied") != std::string::npos; }))
      << status();
  server().ClearFaults();
  EXPECT_EQ(RunQuayfs({"sync", env().mount_point()}).status, 0);
  EXPECT_EQ(Object("refused"), "contents");
  EXPECT_EQ(Object("refused2"), "more");
  EXPECT_NE(status().find("everything is in the bucket"), std::string::npos) << status();
}

}  // namespace
}  // namespace quayfs::mounttest
