// SPDX-License-Identifier: Apache-2.0
//
// What common operations cost, in requests, as the server counts them.

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "tests/mount/mount_fixture.h"

namespace quayfs::mounttest {
namespace {

class RequestsTest : public ServerTest {
 protected:
  /// Of all requests' bodies.
  uint64_t RequestBytes() {
    uint64_t bytes = 0;
    for (const auto& request : server().Log()) bytes += request.request_bytes;
    return bytes;
  }
};

TEST_F(RequestsTest, CreateWriteCloseIsOnePut) {
  ASSERT_NO_FATAL_FAILURE(environment_->Mount());
  ASSERT_EQ(::mkdir(Path("d").c_str(), 0755), 0);
  environment_->Sync();
  server().ResetLog();
  for (int i = 0; i < 10; ++i) WriteFile(Path("d/f" + std::to_string(i)), "contents");
  environment_->Sync();
  EXPECT_EQ(server().Count("PutObject"), 10U) << Shown();
  EXPECT_EQ(Requests(), 10U) << Shown();
}

/// How many of the server's requests of this kind overlapped.
int MostAtOnce(const std::vector<testserver::RequestRecord>& log, const std::string& operation) {
  int most = 0;
  for (const auto& one : log) {
    if (one.operation != operation) continue;
    const auto at_its_start = [&](const auto& other) {
      return other.operation == operation && other.started <= one.started &&
             one.started < other.finished;
    };
    most = std::max(most, static_cast<int>(std::count_if(log.begin(), log.end(), at_its_start)));
  }
  return most;
}

TEST_F(RequestsTest, UploadConcurrencyLimitsThePartsOfAFile) {
  for (const bool limited : {false, true}) {
    std::vector<std::string> options = {"-o", "chunk_size=5MiB"};
    if (limited) options[1] += ",upload_concurrency=1";
    ASSERT_NO_FATAL_FAILURE(environment_->Mount(options));
    server().ResetLog();
    // Longer than it takes to send another part.
    server().SetDelay(std::chrono::milliseconds(300));
    WriteFile(Path("f"), Pattern(32 << 20, limited ? 1 : 2));
    environment_->Sync();
    server().SetDelay(std::chrono::milliseconds(0));
    EXPECT_GE(server().Count("UploadPart"), 6U) << Shown();
    if (limited) {
      EXPECT_EQ(MostAtOnce(server().Log(), "UploadPart"), 1);
    } else {
      EXPECT_GT(MostAtOnce(server().Log(), "UploadPart"), 1);
    }
    ASSERT_NO_FATAL_FAILURE(environment_->Unmount());
  }
}

TEST_F(RequestsTest, AModeThatIsAlreadyThereCostsNothing) {
  ASSERT_NO_FATAL_FAILURE(environment_->Mount());
  WriteFile(Path("f"), "x");
  ASSERT_EQ(::chmod(Path("f").c_str(), 0640), 0);
  environment_->Sync();
  server().ResetLog();
  ASSERT_EQ(::chmod(Path("f").c_str(), 0640), 0);
  environment_->Sync();
  EXPECT_EQ(Requests(), 0U) << Shown();
  ASSERT_EQ(::chmod(Path("f").c_str(), 0600), 0);
  environment_->Sync();
  EXPECT_EQ(server().Count("PutObject") + server().Count("CopyObject"), 1U) << Shown();
}

TEST_F(RequestsTest, TheSecondLookCostsNothing) {
  for (int i = 0; i < 50; ++i) {
    ASSERT_NO_FATAL_FAILURE(environment_->PutObject("d/f" + std::to_string(i), "contents"));
  }
  ASSERT_NO_FATAL_FAILURE(environment_->Mount());
  ASSERT_EQ(RunCommand({"ls", "-lR", environment_->mount_point()}).status, 0);
  EXPECT_LE(server().Count("HeadObject"), 60U) << Shown();
  server().ResetLog();
  ASSERT_EQ(RunCommand({"ls", "-lR", environment_->mount_point()}).status, 0);
  EXPECT_EQ(Requests(), 0U) << Shown();
}

TEST_F(RequestsTest, AFileThatWasReadIsNotReadAgain) {
  ASSERT_NO_FATAL_FAILURE(environment_->PutObject("big", Pattern(3 << 20, 5)));
  ASSERT_NO_FATAL_FAILURE(environment_->Mount());
  EXPECT_TRUE(ReadFile(Path("big")) == Pattern(3 << 20, 5));
  server().ResetLog();
  EXPECT_TRUE(ReadFile(Path("big")) == Pattern(3 << 20, 5));
  EXPECT_EQ(server().Count("GetObject"), 0U) << Shown();
}

TEST_F(RequestsTest, AnIdleMountSendsNothing) {
  ASSERT_NO_FATAL_FAILURE(environment_->Mount());
  WriteFile(Path("f"), "x");
  ASSERT_EQ(RunQuayfs({"sync", environment_->mount_point()}).status, 0);
  server().ResetLog();
  ASSERT_EQ(RunQuayfs({"status", environment_->mount_point()}).status, 0);
  ASSERT_EQ(RunQuayfs({"sync", environment_->mount_point()}).status, 0);
  EXPECT_EQ(Requests(), 0U) << Shown();
}

/// A row of the table in quayfs-semantics(7).
struct Cost {
  std::string what;
  std::function<int()> operation;
  std::string requests;
};

TEST_F(RequestsTest, EachOperationCostsWhatTheTableSays) {
  for (const std::string name : {"seen", "unseen", "doomed", "linked", "old", "far/away"})
    ASSERT_NO_FATAL_FAILURE(environment_->PutObject(name, "contents"));
  ASSERT_NO_FATAL_FAILURE(environment_->PutObject("large", Pattern(8 << 20, 1)));
  // What the store honours is known; else changes cost a HeadObject more.
  environment_->WriteConfig();
  ASSERT_LE(RunQuayfs({"check", environment_->config_path()}).status, 1);
  ASSERT_NO_FATAL_FAILURE(environment_->Mount());
  const auto at = [this](const std::string& name) { return Path(name); };
  const auto status = [&](const std::string& name) {
    struct stat facts {};
    return Try(::stat(at(name).c_str(), &facts));
  };
  Names(environment_->mount_point());
  for (const std::string name : {"seen", "doomed", "linked", "old", "large"})
    ASSERT_EQ(status(name), 0);
  ASSERT_EQ(::mkdir(at("made").c_str(), 0755), 0);
  ASSERT_EQ(::mkdir(at("empty").c_str(), 0755), 0);
  environment_->Sync();
  const auto write = [&](const std::string& name) {
    WriteFile(at(name), "new contents");
    return 0;
  };
  const auto sync_file = [&](const std::string& name) {
    const UniqueFd fd(::open(at(name).c_str(), O_RDONLY | O_CLOEXEC));
    return Try(::fsync(fd.get()));
  };
  const std::vector<Cost> rows = {
      {"stat of what is known", [&] { return status("seen"); }, ""},
      {"a name that is not there, in a known folder",
       [&] { return status("none") == ENOENT ? 0 : 1; }, ""},
      {"a name that is not there, in a folder never looked at",
       [&] { return status("far/none") == ENOENT ? 0 : 1; }, "ListObjectsV2=1 "},
      {"list of a known folder", [&] { return Names(at("far")).size() == 1 ? 0 : 1; }, ""},
      {"stat of an object never seen", [&] { return status("far/away"); }, "HeadObject=1 "},
      {"first read", [&] { return ReadFile(at("seen")) == "contents" ? 0 : 1; }, "GetObject=1 "},
      {"second read", [&] { return ReadFile(at("seen")) == "contents" ? 0 : 1; }, ""},
      {"create, write, close", [&] { return write("made/a"); }, "PutObject=1 "},
      {"create, write, rename over another",
       [&] {
         write("made/tmp");
         return Try(::rename(at("made/tmp").c_str(), at("made/a").c_str()));
       },
       "PutObject=1 "},
      {"create and remove",
       [&] {
         write("made/tmp");
         return Try(::unlink(at("made/tmp").c_str()));
       },
       ""},
      {"overwrite", [&] { return write("old"); }, "PutObject=1 "},
      {"truncate", [&] { return Try(::truncate(at("old").c_str(), 0)); }, "PutObject=1 "},
      {"fsync of what is in the bucket", [&] { return sync_file("old"); }, ""},
      {"mkdir", [&] { return Try(::mkdir(at("made/d").c_str(), 0755)); }, "PutObject=1 "},
      {"symlink", [&] { return Try(::symlink("x", at("made/l").c_str())); }, "PutObject=1 "},
      {"mkfifo", [&] { return Try(::mkfifo(at("made/p").c_str(), 0644)); }, "PutObject=1 "},
      {"chmod", [&] { return Try(::chmod(at("seen").c_str(), 0600)); },
       "CopyObject=1 HeadObject=1 "},
      {"chmod to the same", [&] { return Try(::chmod(at("seen").c_str(), 0600)); }, ""},
      {"chmod of a folder", [&] { return Try(::chmod(at("made").c_str(), 0700)); }, "PutObject=1 "},
      {"setxattr", [&] { return Try(::setxattr(at("seen").c_str(), "user.a", "1", 1, 0)); },
       "CopyObject=1 HeadObject=1 "},
      {"rename", [&] { return Try(::rename(at("seen").c_str(), at("made/seen").c_str())); },
       "CopyObject=1 DeleteObject=1 "},
      {"link", [&] { return Try(::link(at("linked").c_str(), at("made/link").c_str())); },
       "CopyObject=1 HeadObject=1 PutObject=2 "},
      {"unlink of the further name", [&] { return Try(::unlink(at("made/link").c_str())); },
       "CopyObject=1 DeleteObject=2 HeadObject=1 "},
      {"unlink", [&] { return Try(::unlink(at("doomed").c_str())); }, "DeleteObject=1 "},
      {"rmdir", [&] { return Try(::rmdir(at("empty").c_str())); }, "DeleteObject=1 "},
      {"copy of a large file",
       [&] {
         const UniqueFd from(::open(at("large").c_str(), O_RDONLY | O_CLOEXEC));
         const UniqueFd to(::open(at("made/copy").c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0644));
         return ::copy_file_range(from.get(), nullptr, to.get(), nullptr, 8 << 20, 0) == 8 << 20
                    ? 0
                    : errno;
       },
       "CopyObject=1 HeadObject=1 PutObject=1 "},
      {"statfs",
       [&] {
         struct statvfs facts {};
         return Try(::statvfs(at("").c_str(), &facts));
       },
       ""},
  };
  for (const Cost& row : rows) {
    server().ResetLog();
    EXPECT_EQ(row.operation(), 0) << row.what;
    environment_->Sync();
    EXPECT_EQ(Shown(), row.requests) << row.what;
  }
}

TEST_F(RequestsTest, ACopyOfAWholeFileIsMadeByTheStore) {
  ASSERT_NO_FATAL_FAILURE(environment_->Mount());
  const std::string text = Pattern(20 << 20, 4);
  WriteFile(Path("from"), text);
  ASSERT_EQ(::chmod(Path("from").c_str(), 0640), 0);
  ASSERT_NO_FATAL_FAILURE(environment_->Unmount());
  std::filesystem::remove_all(environment_->directory() + "/cache");
  ASSERT_NO_FATAL_FAILURE(environment_->Mount());
  server().ResetLog();
  UniqueFd from(::open(Path("from").c_str(), O_RDONLY | O_CLOEXEC));
  UniqueFd to(::open(Path("to").c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0600));
  ASSERT_EQ(::copy_file_range(from.get(), nullptr, to.get(), nullptr, text.size(), 0),
            static_cast<ssize_t>(text.size()))
      << std::strerror(errno);
  EXPECT_EQ(server().Count("CopyObject"), 1U) << Shown();
  EXPECT_EQ(server().Count("PutObject"), 1U) << Shown();
  EXPECT_EQ(server().Count("GetObject"), 0U) << Shown();
  EXPECT_TRUE(server().Body("test", environment_->prefix() + "to") == text);
  EXPECT_TRUE(ReadFile(Path("to")) == text);
  // It is a file like others from now on.
  ASSERT_EQ(::pwrite(to.get(), "patch", 5, 1000), 5);
  ASSERT_EQ(::fsync(to.get()), 0) << std::strerror(errno);
  std::string patched = text;
  patched.replace(1000, 5, "patch");
  from.Reset();
  to.Reset();
  ASSERT_NO_FATAL_FAILURE(environment_->Remount());
  EXPECT_TRUE(ReadFile(Path("to")) == patched);
  EXPECT_TRUE(ReadFile(Path("from")) == text);
  struct stat facts {};
  ASSERT_EQ(::stat(Path("to").c_str(), &facts), 0);
  EXPECT_EQ(facts.st_mode & 07777, 0600U);
  EXPECT_EQ(Names(environment_->mount_point()), (std::vector<std::string>{"from", "to"}));
}

TEST_F(RequestsTest, TimesOfFoldersCostOneRequestPerFolder) {
  ASSERT_NO_FATAL_FAILURE(environment_->Mount({"-o", "mount.folder_times=true"}));
  ASSERT_EQ(::mkdir(Path("d").c_str(), 0755), 0);
  environment_->Sync();
  server().ResetLog();
  for (int i = 0; i < 10; ++i) WriteFile(Path("d/f" + std::to_string(i)), "contents");
  UniqueFd file(::open(Path("d/f0").c_str(), O_WRONLY | O_CLOEXEC));
  ASSERT_EQ(::fsync(file.get()), 0);
  file.Reset();
  environment_->Sync();
  EXPECT_EQ(Requests(), 11U) << Shown();
  struct stat before {};
  ASSERT_EQ(::stat(Path("d").c_str(), &before), 0);
  ASSERT_NO_FATAL_FAILURE(environment_->Unmount());
  std::filesystem::remove_all(environment_->directory() + "/cache");
  ASSERT_NO_FATAL_FAILURE(environment_->Mount());
  struct stat after {};
  ASSERT_EQ(::stat(Path("d").c_str(), &after), 0);
  EXPECT_EQ(after.st_mtim.tv_sec, before.st_mtim.tv_sec);
  EXPECT_EQ(after.st_mtim.tv_nsec, before.st_mtim.tv_nsec);
}

TEST_F(RequestsTest, ASparseFileCostsNoUploadForItsHoles) {
  ASSERT_NO_FATAL_FAILURE(environment_->Mount());
  const uint64_t size = LongRun() ? 1ULL << 30 : 256ULL << 20;
  const std::string data = Pattern(1 << 20, 5);
  const uint64_t at = size / 2 + 12345;
  {
    const UniqueFd file(::open(Path("sparse").c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0644));
    ASSERT_EQ(::ftruncate(file.get(), static_cast<off_t>(size)), 0);
    ASSERT_EQ(::pwrite(file.get(), data.data(), data.size(), static_cast<off_t>(at)),
              static_cast<ssize_t>(data.size()));
  }
  environment_->Sync();
  EXPECT_EQ(server().Count("CreateMultipartUpload"), 1U) << Shown();
  EXPECT_EQ(server().Count("AbortMultipartUpload"), 0U) << Shown();
  // The object of zeros, once, and the data, rounded up to a part.
  EXPECT_LE(RequestBytes(), (16ULL << 20) + (6ULL << 20)) << Shown();
  EXPECT_LE(Requests(), size / (16 << 20) + 16) << Shown();
  server().ResetLog();
  ASSERT_EQ(::rename(Path("sparse").c_str(), Path("moved").c_str()), 0);
  {
    const UniqueFd file(::open(Path("second").c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0644));
    ASSERT_EQ(::ftruncate(file.get(), static_cast<off_t>(size)), 0);
  }
  environment_->Sync();
  EXPECT_LE(RequestBytes(), 1ULL << 20) << Shown();
  // Another client.
  ASSERT_NO_FATAL_FAILURE(environment_->Unmount());
  std::filesystem::remove_all(environment_->directory() + "/cache");
  ASSERT_NO_FATAL_FAILURE(environment_->Mount());
  EXPECT_EQ(Names(environment_->mount_point()), (std::vector<std::string>{"moved", "second"}));
  std::string wanted(size, '\0');
  EXPECT_TRUE(ReadFile(Path("second")) == wanted);
  wanted.replace(at, data.size(), data);
  EXPECT_TRUE(ReadFile(Path("moved")) == wanted);
}

TEST_F(RequestsTest, ALargeRangeIsCopiedByTheStore) {
  ASSERT_NO_FATAL_FAILURE(environment_->Mount());
  const std::string text = Pattern(70 << 20, 6);
  const std::string head = Pattern(6 << 20, 7);
  WriteFile(Path("from"), text);
  WriteFile(Path("to"), head);
  environment_->Sync();
  server().ResetLog();
  {
    const UniqueFd from(::open(Path("from").c_str(), O_RDONLY | O_CLOEXEC));
    const UniqueFd to(::open(Path("to").c_str(), O_WRONLY | O_CLOEXEC));
    off64_t source = 1 << 20;
    off64_t target = 6 << 20;
    ASSERT_EQ(::copy_file_range(from.get(), &source, to.get(), &target, 64 << 20, 0), 64 << 20)
        << std::strerror(errno);
  }
  EXPECT_EQ(server().Count("UploadPartCopy"), 2U) << Shown();
  EXPECT_EQ(server().Count("UploadPart"), 0U) << Shown();
  EXPECT_EQ(server().Count("GetObject"), 0U) << Shown();
  const std::string wanted = head + text.substr(1 << 20, 64 << 20);
  EXPECT_TRUE(server().Body("test", environment_->prefix() + "to") == wanted);
  EXPECT_TRUE(ReadFile(Path("to")) == wanted);
  ASSERT_NO_FATAL_FAILURE(environment_->Remount());
  EXPECT_TRUE(ReadFile(Path("to")) == wanted);
}

TEST_F(RequestsTest, APatchOfALargeFileSendsLittle) {
  ASSERT_NO_FATAL_FAILURE(environment_->Mount());
  WriteFile(Path("large"), Pattern(64 << 20, 3));
  environment_->Sync();
  server().ResetLog();
  const UniqueFd file(::open(Path("large").c_str(), O_WRONLY | O_CLOEXEC));
  ASSERT_EQ(::pwrite(file.get(), "patch", 5, 33 << 20), 5);
  ASSERT_EQ(::fsync(file.get()), 0) << std::strerror(errno);
  EXPECT_LE(server().Count("UploadPart"), 1U) << Shown();
  EXPECT_GE(server().Count("UploadPartCopy"), 1U) << Shown();
  EXPECT_LE(Requests(), 10U) << Shown();
}

}  // namespace
}  // namespace quayfs::mounttest
