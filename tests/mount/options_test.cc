// SPDX-License-Identifier: Apache-2.0
//
// What an option does to a mount: the way from the config or -o to the room that it is for is the
// program's own here. Which test shows the effect of which option stands in
// tests/unit/mount_configs/options_test.cc.

#include <fcntl.h>
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>
#include <thread>
#include <vector>

#include "base/text.h"
#include "base/unique_fd.h"
#include "tests/mount/mount_fixture.h"

namespace quayfs::mounttest {
namespace {

using ::testing::AllOf;
using ::testing::Contains;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::Pair;
using ::testing::StartsWith;
using testserver::FaultKind;
using testserver::RequestRecord;

constexpr uint64_t kKiB = 1024;
constexpr uint64_t kMiB = 1024 * kKiB;

class OptionEffectTest : public ServerTest {
 protected:
  void MountWith(const std::string& options) { env().Mount({"-o", options}); }
  /// Headers of the last request of a kind.
  std::map<std::string, std::string> Sent(const std::string& operation) {
    std::map<std::string, std::string> headers;
    for (const RequestRecord& record : server().Log()) {
      if (record.operation == operation) headers = record.headers;
    }
    return headers;
  }
  /// First byte and length of each GET of an object since ResetLog.
  std::vector<std::pair<uint64_t, uint64_t>> Ranges() {
    std::vector<std::pair<uint64_t, uint64_t>> ranges;
    for (const RequestRecord& record : server().Log()) {
      if (record.operation != "GetObject") continue;
      const auto found = record.headers.find("range");
      if (found == record.headers.end()) {
        ranges.emplace_back(0, record.reply_bytes);
        continue;
      }
      unsigned long long first = 0;
      unsigned long long last = 0;
      EXPECT_EQ(std::sscanf(found->second.c_str(), "bytes=%llu-%llu", &first, &last), 2)
          << found->second;
      ranges.emplace_back(first, last - first + 1);
    }
    return ranges;
  }
  uint64_t BytesAskedFor() {
    uint64_t bytes = 0;
    for (const auto& [first, length] : Ranges()) bytes += length;
    return bytes;
  }
  /// One byte, without the kernel's read-ahead.
  void ReadByte(const std::string& name, off_t at) {
    const UniqueFd file(::open(Path(name).c_str(), O_RDONLY | O_CLOEXEC));
    ASSERT_TRUE(file.valid());
    ::posix_fadvise(file.get(), 0, 0, POSIX_FADV_RANDOM);
    char byte = 0;
    EXPECT_EQ(::pread(file.get(), &byte, 1, at), 1);
  }
  void ReadFirst(const std::string& name, size_t size) {
    const UniqueFd file(::open(Path(name).c_str(), O_RDONLY | O_CLOEXEC));
    ASSERT_TRUE(file.valid());
    std::string buffer(64 * kKiB, '\0');
    for (size_t at = 0; at < size; at += buffer.size())
      ASSERT_EQ(::read(file.get(), buffer.data(), buffer.size()),
                static_cast<ssize_t>(buffer.size()));
  }
  void Hold(const std::string& method) {
    testserver::Fault fault;
    fault.kind = FaultKind::kBlackHole;
    fault.method = method;
    fault.count = -1;
    server().AddFault(fault);
  }
  struct stat Look(const std::string& name) {
    struct stat facts {};
    EXPECT_EQ(::lstat(Path(name).c_str(), &facts), 0) << name;
    return facts;
  }
};

// ---- Which bucket, and what is told to it.

TEST_F(OptionEffectTest, NameIsWhatDfShows) {
  ASSERT_NO_FATAL_FAILURE(MountWith("name=weekly"));
  EXPECT_THAT(RunCommand({"findmnt", "-n", "-o", "SOURCE", env().mount_point()}).out,
              StartsWith("weekly"));
}

TEST_F(OptionEffectTest, PrefixIsTheRootOfTheMount) {
  server().PutDirect("test", "elsewhere/there", "x", {});
  server().PutDirect("test", "outside", "x", {});
  ASSERT_NO_FATAL_FAILURE(MountWith("prefix=elsewhere"));
  EXPECT_EQ(Names(env().mount_point()), std::vector<std::string>{"there"});
  WriteFile(Path("new"), "y");
  env().Sync();
  EXPECT_EQ(server().Body("test", "elsewhere/new"), "y");
}

TEST_F(OptionEffectTest, WhatIsWrittenHasClassAclEncryptionAndType) {
  ASSERT_NO_FATAL_FAILURE(
      MountWith("storage_class=STANDARD_IA,acl=public-read,sse=aws:kms,"
                "sse_kms_key_id=key-1,content_type=plain"));
  WriteFile(Path("page.html"), "x");
  env().Sync();
  EXPECT_THAT(Sent("PutObject"),
              AllOf(Contains(Pair("x-amz-storage-class", "STANDARD_IA")),
                    Contains(Pair("x-amz-acl", "public-read")),
                    Contains(Pair("x-amz-server-side-encryption", "aws:kms")),
                    Contains(Pair("x-amz-server-side-encryption-aws-kms-key-id", "key-1")),
                    Contains(Pair("content-type", "application/octet-stream"))));
  env().Remount();
  WriteFile(Path("other.html"), "x");
  env().Sync();
  EXPECT_THAT(Sent("PutObject"), AllOf(Not(Contains(Pair("x-amz-storage-class", "STANDARD_IA"))),
                                       Not(Contains(Pair("x-amz-acl", "public-read"))),
                                       Contains(Pair("content-type", "text/html"))));
}

TEST_F(OptionEffectTest, RequesterPaysAndHeadersGoWithEveryRequest) {
  ASSERT_NO_FATAL_FAILURE(MountWith("requester_pays,headers=X-Department: archive"));
  WriteFile(Path("f"), "x");
  env().Sync();
  EXPECT_GE(server().Log().size(), 2U);
  for (const RequestRecord& record : server().Log()) {
    EXPECT_THAT(record.headers, AllOf(Contains(Pair("x-amz-request-payer", "requester")),
                                      Contains(Pair("x-department", "archive"))));
  }
}

TEST_F(OptionEffectTest, ABucketThatIsMissingIsMadeWithItsAcl) {
  EXPECT_NE(env().TryMount({"-o", "bucket=fresh"}).status, 0);
  ASSERT_NO_FATAL_FAILURE(MountWith("bucket=fresh,create_bucket,bucket_acl=public-read"));
  EXPECT_THAT(Sent("CreateBucket"), Contains(Pair("x-amz-acl", "public-read")));
  WriteFile(Path("f"), "x");
  ASSERT_NO_FATAL_FAILURE(env().Unmount());
  EXPECT_EQ(server().Body("fresh", "host-a/f"), "x");
}

TEST_F(OptionEffectTest, PlainMetadataStoresNothingAndShowsWhatTheConfigSays) {
  server().PutDirect("test", "host-a/theirs", "x", {{"x-amz-meta-mode", "33152"}});
  server().PutDirect("test", "host-a/d/f", "x", {});
  ASSERT_NO_FATAL_FAILURE(MountWith("metadata=plain,uid=77,gid=78,file_mode=0640,dir_mode=0710"));
  WriteFile(Path("mine"), "x");
  env().Sync();
  EXPECT_THAT(Sent("PutObject"), Not(Contains(Pair("x-amz-meta-mode", ::testing::_))));
  EXPECT_EQ(Look("theirs").st_mode & 07777, 0640U);
  EXPECT_EQ(Look("theirs").st_uid, 77U);
  EXPECT_EQ(Look("theirs").st_gid, 78U);
  EXPECT_EQ(Look("d").st_mode & 07777, 0710U);
}

TEST_F(OptionEffectTest, ModesOfObjectsWithoutAnyAreThoseOfTheConfig) {
  server().PutDirect("test", "host-a/f", "x", {});
  server().PutDirect("test", "host-a/d/f", "x", {});
  ASSERT_NO_FATAL_FAILURE(MountWith("file_mode=0660,dir_mode=0770,umask=0007"));
  EXPECT_EQ(Look("f").st_mode & 07777, 0660U);
  EXPECT_EQ(Look("d").st_mode & 07777, 0770U);
}

TEST_F(OptionEffectTest, SetUidBitsOfTheBucketCountIfItIsTrusted) {
  server().PutDirect("test", "host-a/f", "x", {{"x-amz-meta-mode", "35309"}});  // 0104755
  ASSERT_NO_FATAL_FAILURE(env().Mount());
  EXPECT_EQ(Look("f").st_mode & 07777, 0755U);
  ASSERT_NO_FATAL_FAILURE(env().Unmount());
  ASSERT_NO_FATAL_FAILURE(MountWith("trust_special"));
  EXPECT_EQ(Look("f").st_mode & 07777, 04755U);
}

// ---- How requests are made.

TEST_F(OptionEffectTest, SignatureVersionTwoAndNoPartsAreUsed) {
  ASSERT_NO_FATAL_FAILURE(
      MountWith("SignatureVersion=2,Use_ClientMultiUpload=false,upload_cutoff=1MiB"));
  server().ResetLog();
  WriteFile(Path("large"), Pattern(12 * kMiB, 1));
  env().Sync();
  EXPECT_EQ(server().Count("PutObject"), 1U);
  EXPECT_EQ(server().Count("UploadPart"), 0U);
  EXPECT_THAT(Sent("PutObject"), Not(Contains(Pair("x-amz-content-sha256", ::testing::_))))
      << "a header of version 4";
}

TEST_F(OptionEffectTest, MaxInFlightIsHowManyAreSentAtOnce) {
  for (const int limit : {1, 16}) {
    ASSERT_NO_FATAL_FAILURE(MountWith(fmt::format("max_in_flight={}", limit)));
    server().SetDelay(std::chrono::milliseconds(100));
    server().ResetLog();
    for (int i = 0; i < 16; ++i) WriteFile(Path(fmt::format("f{}-{}", limit, i)), "x");
    env().Sync();
    server().SetDelay(std::chrono::milliseconds(0));
    if (limit == 1) {
      EXPECT_LE(server().MaxConcurrent(), 2) << "an upload, and a question beside it";
    } else {
      EXPECT_GE(server().MaxConcurrent(), 4);
    }
    ASSERT_NO_FATAL_FAILURE(env().Unmount());
  }
}

TEST_F(OptionEffectTest, AStalledTransferIsTriedAgainAfterTheTime) {
  server().PutDirect("test", "host-a/f", "x", {});
  ASSERT_NO_FATAL_FAILURE(MountWith("stall_timeout=1s,RetryInterval=100"));
  testserver::Fault fault;
  fault.kind = FaultKind::kBlackHole;
  fault.operation = "GetObject";
  server().AddFault(fault);
  std::atomic<bool> done = false;
  std::thread reader([&] {
    EXPECT_EQ(ReadFile(Path("f")), "x");
    done = true;
  });
  // Half of what it takes by default.
  EXPECT_TRUE(Eventually([&] { return done.load(); }, std::chrono::seconds(15)));
  reader.join();
}

// ---- Where keys come from.

TEST_F(OptionEffectTest, KeysComeFromWhereTheConfigSays) {
  env().SetValue("access_key_id", "\"\"");
  env().SetValue("secret_access_key", "\"\"");
  env().WriteConfig();
  const std::string folder = env().directory();
  WriteFile(folder + "/passwd", "test-key:test-secret\n");
  WriteFile(folder + "/aws",
            "[nightly]\naws_access_key_id = test-key\n"
            "aws_secret_access_key = test-secret\n");
  for (const char* name : {"/passwd", "/aws"})
    std::filesystem::permissions(folder + name, std::filesystem::perms(0600));
  const auto mount = [&](const std::string& options) {
    return RunCommand({"env", "AWS_ACCESS_KEY_ID=test-key", "AWS_SECRET_ACCESS_KEY=test-secret",
                       "AWS_SHARED_CREDENTIALS_FILE=" + folder + "/aws",
                       "AWS_CONFIG_FILE=/dev/null", "HOME=" + folder, QUAYFS_PROGRAM, "mount",
                       env().config_path(), env().mount_point(), "-o", options});
  };
  for (const std::string& options :
       {std::string("env_auth"), "passwd_file=" + folder + "/passwd", std::string("source=chain"),
        std::string("credentials.profile=nightly")}) {
    SCOPED_TRACE(options);
    const ProgramResult mounted = mount(options);
    EXPECT_EQ(mounted.status, 0) << mounted.err;
    if (mounted.status == 0) env().Unmount();
  }
  EXPECT_NE(mount("ro").status, 0) << "nobody has said where from";
  EXPECT_NE(mount("credentials.profile=missing").status, 0);
}

TEST_F(OptionEffectTest, AnonymousSignsNothing) {
  testserver::ServerConfig config;
  config.allow_anonymous = true;
  auto anybody = testserver::Server::Start(config);
  ASSERT_TRUE(anybody.ok());
  (*anybody)->PutDirect("test", "host-a/f", "x", {});
  env().SetValue("endpoint", '"' + (*anybody)->endpoint() + '"');
  env().SetValue("access_key_id", "\"\"");
  env().SetValue("secret_access_key", "\"\"");
  EXPECT_NE(env().TryMount().status, 0);
  (*anybody)->ResetLog();
  ASSERT_NO_FATAL_FAILURE(MountWith("anonymous,ro"));
  EXPECT_EQ(ReadFile(Path("f")), "x");
  for (const RequestRecord& record : (*anybody)->Log())
    EXPECT_THAT(record.headers, Not(Contains(Pair("x-amz-date", ::testing::_))));
  ASSERT_NO_FATAL_FAILURE(env().Unmount());
}

// ---- The cache.

TEST_F(OptionEffectTest, TheCacheLiesInItsDirectory) {
  const std::string place = env().directory() + "/another-cache";
  ASSERT_NO_FATAL_FAILURE(MountWith("cache.directory=" + place));
  EXPECT_TRUE(std::filesystem::exists(place + "/state.db"));
  EXPECT_FALSE(std::filesystem::exists(env().directory() + "/cache"));
}

TEST_F(OptionEffectTest, NoMoreIsKeptThanTheCachesSize) {
  for (const char* const name : {"a", "b", "c"})
    server().PutDirect("test", std::string("host-a/") + name, Pattern(kMiB, 1), {});
  for (const bool small : {true, false}) {
    ASSERT_NO_FATAL_FAILURE(MountWith(small ? "cache.size=1MiB" : "cache.size=8MiB"));
    for (const char* const name : {"a", "b", "c"}) ReadFile(Path(name));
    server().ResetLog();
    for (const char* const name : {"a", "b", "c"}) {
      // The kernel's own copy is not what is looked at.
      const UniqueFd file(::open(Path(name).c_str(), O_RDONLY | O_CLOEXEC));
      ASSERT_EQ(::posix_fadvise(file.get(), 0, 0, POSIX_FADV_DONTNEED), 0);
      ReadFile(Path(name));
    }
    if (small) {
      EXPECT_GE(BytesAskedFor(), 2 * kMiB);
    } else {
      EXPECT_EQ(BytesAskedFor(), 0U);
    }
    ASSERT_NO_FATAL_FAILURE(env().Unmount());
  }
}

TEST_F(OptionEffectTest, WritersStopAtTheDirtyLimit) {
  constexpr int kFiles = 16;
  ASSERT_NO_FATAL_FAILURE(
      MountWith("dirty_limit=1MiB,RetryMode=Standard,RetryCount=0,RetryInterval=100"));
  testserver::Fault refused;
  refused.method = "PUT";
  refused.count = -1;
  server().AddFault(refused);
  const auto pending = [&]() -> uint64_t {
    const ProgramResult status = RunQuayfs({"status", "--json", env().mount_point()});
    const auto json = nlohmann::json::parse(status.out, nullptr, false);
    if (json.is_discarded()) return 0;
    return json["mounts"][0]["pending"]["bytes"].get<uint64_t>();
  };
  std::atomic<int> written = 0;
  std::thread writer([&] {
    for (; written < kFiles; ++written)
      WriteFile(Path(std::to_string(written)), Pattern(256 * kKiB, 1));
  });
  EXPECT_TRUE(Eventually([&] { return pending() >= 900 * kKiB; })) << pending();
  // Whatever happens now, the rest does not fit while nothing goes to the bucket.
  server().ResetLog();
  EXPECT_TRUE(Eventually([&] { return server().Log().size() >= 2; }));
  EXPECT_LE(pending(), kMiB);
  EXPECT_LT(written, 5);
  server().ClearFaults();
  writer.join();
  env().Sync();
  EXPECT_EQ(env().ObjectNames().size(), size_t{kFiles});
}

TEST_F(OptionEffectTest, ABlockIsTheLeastThatIsFetched) {
  server().PutDirect("test", "host-a/f", Pattern(8 * kMiB, 1), {});
  for (const uint64_t block : {4 * kKiB, kMiB}) {
    ASSERT_NO_FATAL_FAILURE(MountWith(
        fmt::format("block_size={},cache.directory={}/cache-{}", block, env().directory(), block)));
    ReadByte("f", 5 * kMiB + 100);
    server().ResetLog();
    ASSERT_NO_FATAL_FAILURE(ReadByte("f", 3 * kMiB + 100));
    for (const auto& [first, length] : Ranges()) {
      EXPECT_EQ(first % block, 0U);
      EXPECT_EQ(length % block, 0U);
      EXPECT_TRUE(block == kMiB || length < kMiB) << length;
    }
    EXPECT_GE(Ranges().size(), 1U);
    ASSERT_NO_FATAL_FAILURE(env().Unmount());
  }
}

TEST_F(OptionEffectTest, FetchSizeAndReadAheadAreTheMostOfASequentialReader) {
  server().PutDirect("test", "host-a/f", Pattern(32 * kMiB, 1), {});
  const auto read = [&](const std::string& options, const std::string& cache) {
    env().Mount({"-o", options, "-o", "cache.directory=" + env().directory() + "/" + cache});
    server().ResetLog();
    ASSERT_NO_FATAL_FAILURE(ReadFirst("f", 4 * kMiB));
  };
  const auto longest = [&] {
    uint64_t most = 0;
    for (const auto& [first, length] : Ranges()) most = std::max(most, length);
    return most;
  };
  ASSERT_NO_FATAL_FAILURE(read("cache.size=1GiB", "usual"));
  // How soon it counts as sequential depends on the order in which the kernel's requests come.
  bool ahead = false;
  for (uint64_t end = 4 * kMiB; end <= 16 * kMiB && !ahead; end += 4 * kMiB) {
    ASSERT_NO_FATAL_FAILURE(ReadFirst("f", end));
    ahead = Eventually([&] { return BytesAskedFor() >= end + 8 * kMiB; }, std::chrono::seconds(5));
  }
  EXPECT_TRUE(ahead) << BytesAskedFor();
  EXPECT_GE(longest(), 4 * kMiB);
  ASSERT_NO_FATAL_FAILURE(env().Unmount());
  ASSERT_NO_FATAL_FAILURE(read("read_ahead=0", "no-ahead"));
  EXPECT_LE(BytesAskedFor(), 8 * kMiB);
  ASSERT_NO_FATAL_FAILURE(env().Unmount());
  ASSERT_NO_FATAL_FAILURE(read("fetch_size=256KiB", "small-pieces"));
  // What somebody waits for may take two pieces at once.
  EXPECT_LE(longest(), 512 * kKiB);
}

// ---- What is promised.

TEST_F(OptionEffectTest, FsyncMayBeLocalAndCloseRemote) {
  ASSERT_NO_FATAL_FAILURE(MountWith("fsync=local,timeout=2s"));
  Hold("PUT");
  const auto write = [&](bool sync) {
    UniqueFd file(::open(Path("f").c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0644));
    EXPECT_EQ(::write(file.get(), "x", 1), 1);
    if (sync) return Try(::fsync(file.get()));
    return Try(::close(file.Release()));
  };
  EXPECT_EQ(write(true), 0) << "although nothing gets to the bucket";
  server().ClearFaults();
  ASSERT_NO_FATAL_FAILURE(env().Kill());

  testserver::Fault refused;
  refused.operation = "PutObject";
  refused.status = 403;
  refused.code = "AccessDenied";
  refused.count = -1;
  ASSERT_NO_FATAL_FAILURE(MountWith("close=remote"));
  env().Sync();
  server().AddFault(refused);
  EXPECT_EQ(write(false), EACCES);
  server().ClearFaults();
}

TEST_F(OptionEffectTest, TheLogHoldsWhatIsImportantEnough) {
  ASSERT_NO_FATAL_FAILURE(MountWith("log.level=error"));
  ASSERT_NO_FATAL_FAILURE(env().Unmount());
  EXPECT_EQ(env().LogText(), "");
  ASSERT_NO_FATAL_FAILURE(env().Mount());
  EXPECT_THAT(env().LogText(), HasSubstr(" info "));
}

TEST_F(OptionEffectTest, OthersAreLetInIfTheConfigSaysSo) {
  if (::geteuid() != 0) GTEST_SKIP() << "needs root";
  server().PutDirect("test", "host-a/f", "x", {});
  std::filesystem::permissions(env().directory(), std::filesystem::perms(0711));
  const std::vector<std::string> look = {"setpriv",        "--reuid=4242", "--regid=4242",
                                         "--clear-groups", "cat",          Path("f")};
  ASSERT_NO_FATAL_FAILURE(env().Mount());
  EXPECT_NE(RunCommand(look).status, 0);
  ASSERT_NO_FATAL_FAILURE(env().Unmount());
  ASSERT_NO_FATAL_FAILURE(MountWith("allow_other"));
  EXPECT_EQ(RunCommand(look).out, "x");
}

}  // namespace
}  // namespace quayfs::mounttest
