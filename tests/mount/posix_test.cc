// SPDX-License-Identifier: Apache-2.0
//
// Calls that programs make on any file system: exchange, fallocate, appends of several processes,
// shared mappings, locks, a database, a read-only mount (N1, N6, S1 to S4, L1, E2, A9).

#include <fcntl.h>
#include <linux/falloc.h>
#include <spawn.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <climits>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <limits>
#include <memory>
#include <string>

#include "base/unique_fd.h"
#include "tests/mount/mount_fixture.h"

namespace quayfs::mounttest {
namespace {

constexpr unsigned kNoReplace = 1;
constexpr unsigned kExchange = 2;

class PosixTest : public MountTest {
 protected:
  int Rename(const std::string& from, const std::string& to, unsigned flags) {
    return Try(::renameat2(AT_FDCWD, Path(from).c_str(), AT_FDCWD, Path(to).c_str(), flags));
  }
  UniqueFd Open(const std::string& name, int flags) {
    UniqueFd fd(::open(Path(name).c_str(), flags | O_CLOEXEC, 0644));
    EXPECT_TRUE(fd.valid()) << name << ": " << errno;
    return fd;
  }
  void RemountCold() {
    ASSERT_NO_FATAL_FAILURE(env().Unmount());
    std::filesystem::remove_all(env().directory() + "/cache");
    ASSERT_NO_FATAL_FAILURE(env().Mount());
  }
};

TEST_P(PosixTest, ExchangeAndNoReplace) {
  WriteFile(Path("a"), "was a");
  WriteFile(Path("b"), "was b");
  ASSERT_EQ(::mkdir(Path("d").c_str(), 0755), 0);
  WriteFile(Path("d/in"), "inside");
  EXPECT_EQ(Rename("a", "b", kNoReplace), EEXIST);
  EXPECT_EQ(Rename("a", "none", kExchange), ENOENT);
  EXPECT_EQ(Rename("d", "d/in", kExchange), EINVAL);
  env().Sync();
  EXPECT_EQ(Rename("a", "b", kExchange), 0);
  EXPECT_EQ(ReadFile(Path("a")), "was b");
  EXPECT_EQ(Rename("b", "d", kExchange), 0);
  EXPECT_EQ(ReadFile(Path("d")), "was a");
  EXPECT_EQ(ReadFile(Path("b/in")), "inside");
  ASSERT_EQ(::mkdir(Path("e").c_str(), 0755), 0);
  WriteFile(Path("e/in"), "other inside");
  env().Sync();
  EXPECT_EQ(Rename("b", "e", kExchange), 0);
  ASSERT_NO_FATAL_FAILURE(RemountCold());
  EXPECT_EQ(ReadFile(Path("a")), "was b");
  EXPECT_EQ(ReadFile(Path("d")), "was a");
  EXPECT_EQ(ReadFile(Path("e/in")), "inside");
  EXPECT_EQ(ReadFile(Path("b/in")), "other inside");
}

TEST_P(PosixTest, FallocateZeroesAndGrows) {
  const std::string text = Pattern(300000, 7);
  WriteFile(Path("f"), text);
  ASSERT_NO_FATAL_FAILURE(RemountCold());
  const UniqueFd fd = Open("f", O_RDWR);
  EXPECT_EQ(Try(::fallocate(fd.get(), FALLOC_FL_KEEP_SIZE, 0, 1 << 20)), 0);
  EXPECT_EQ(Try(::fallocate(fd.get(), FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 1000, 50000)), 0);
  EXPECT_EQ(Try(::fallocate(fd.get(), FALLOC_FL_ZERO_RANGE, 299990, 20)), 0);
  EXPECT_EQ(Try(::fallocate(fd.get(), 0, 300000, 100000)), 0);
  EXPECT_EQ(Try(::fallocate(fd.get(), FALLOC_FL_COLLAPSE_RANGE, 0, 4096)), EOPNOTSUPP);
  std::string expected = text;
  std::fill_n(expected.begin() + 1000, 50000, '\0');
  std::fill_n(expected.begin() + 299990, 10, '\0');
  expected.resize(400000);
  EXPECT_EQ(ReadFile(Path("f")), expected);
  EXPECT_EQ(env().ObjectBody("f"), expected);
  // What a mapping may change is data.
  EXPECT_EQ(::lseek(fd.get(), 0, SEEK_DATA), 0);
  EXPECT_EQ(::lseek(fd.get(), 0, SEEK_HOLE), 400000);
  EXPECT_EQ(Try(static_cast<int>(::lseek(fd.get(), 400000, SEEK_DATA))), ENXIO);
}

TEST_P(PosixTest, CopyFileRangeCopies) {
  const std::string text = Pattern(200000, 9);
  WriteFile(Path("from"), text);
  const UniqueFd from = Open("from", O_RDONLY);
  const UniqueFd to = Open("to", O_RDWR | O_CREAT);
  size_t copied = 0;
  while (copied < text.size()) {
    const ssize_t some =
        ::copy_file_range(from.get(), nullptr, to.get(), nullptr, text.size() - copied, 0);
    ASSERT_GT(some, 0) << errno;
    copied += static_cast<size_t>(some);
  }
  EXPECT_EQ(ReadFile(Path("to")), text);
}

TEST_P(PosixTest, HolesAreFoundAndTakeNoRoomInTheCache) {
  constexpr off_t kMiB = 1 << 20;
  const std::string text = Pattern(kMiB, 3);
  UniqueFd fd = Open("f", O_WRONLY | O_CREAT);
  ASSERT_EQ(::pwrite(fd.get(), text.data(), kMiB, 0), kMiB);
  ASSERT_EQ(::pwrite(fd.get(), text.data(), kMiB, 4 * kMiB), kMiB);
  ASSERT_EQ(::ftruncate(fd.get(), 6 * kMiB), 0);
  EXPECT_EQ(::lseek(fd.get(), 0, SEEK_HOLE), kMiB);
  EXPECT_EQ(::lseek(fd.get(), kMiB, SEEK_DATA), 4 * kMiB);
  EXPECT_EQ(::lseek(fd.get(), 4 * kMiB, SEEK_HOLE), 5 * kMiB);
  EXPECT_EQ(Try(static_cast<int>(::lseek(fd.get(), 5 * kMiB, SEEK_DATA))), ENXIO);
  EXPECT_EQ(Try(static_cast<int>(::lseek(fd.get(), 6 * kMiB, SEEK_HOLE))), ENXIO);
  constexpr int kPunch = FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE;
  ASSERT_EQ(Try(::fallocate(fd.get(), kPunch, 0, kMiB)), 0);
  EXPECT_EQ(::lseek(fd.get(), 0, SEEK_DATA), 4 * kMiB);
  uint64_t blocks = 0;
  for (const auto& entry :
       std::filesystem::recursive_directory_iterator(env().directory() + "/cache/data")) {
    struct stat facts {};
    if (entry.is_regular_file() && ::stat(entry.path().c_str(), &facts) == 0)
      blocks += static_cast<uint64_t>(facts.st_blocks) * 512;
  }
  EXPECT_LE(blocks, 2U * kMiB);
  const std::string zeros(static_cast<size_t>(6 * kMiB), '\0');
  std::string expected = zeros;
  expected.replace(4 * kMiB, text.size(), text);
  fd.Reset();
  EXPECT_TRUE(env().ObjectBody("f") == expected);
  ASSERT_NO_FATAL_FAILURE(RemountCold());
  EXPECT_TRUE(ReadFile(Path("f")) == expected);
}

TEST_P(PosixTest, AppendsOfSeveralProcessesAllArrive) {
  constexpr int kProcesses = 4;
  constexpr int kLines = 50;
  WriteFile(Path("log"), "");
  for (int process = 0; process < kProcesses; ++process) {
    const pid_t child = ::fork();
    ASSERT_GE(child, 0);
    if (child != 0) continue;
    const int fd = ::open(Path("log").c_str(), O_WRONLY | O_APPEND | O_CLOEXEC);
    const std::string line = std::string(31, static_cast<char>('a' + process)) + "\n";
    int failed = fd < 0 ? 1 : 0;
    for (int i = 0; i < kLines && failed == 0; ++i)
      failed = ::write(fd, line.data(), line.size()) == static_cast<ssize_t>(line.size()) ? 0 : 1;
    ::_exit(failed);
  }
  for (int process = 0; process < kProcesses; ++process) {
    int status = 0;
    ASSERT_GT(::wait(&status), 0);
    EXPECT_EQ(status, 0);
  }
  const std::string text = ReadFile(Path("log"));
  ASSERT_EQ(text.size(), 32U * kProcesses * kLines);
  std::array<int, kProcesses> seen{};
  for (size_t at = 0; at < text.size(); at += 32) {
    ASSERT_EQ(text.substr(at, 32), std::string(31, text[at]) + "\n");
    ++seen.at(static_cast<size_t>(text[at] - 'a'));
  }
  for (const int lines : seen) EXPECT_EQ(lines, kLines);
}

TEST_P(PosixTest, SharedMappingsReachTheBucket) {
  WriteFile(Path("m"), std::string(8192, '.'));
  {
    const UniqueFd fd = Open("m", O_RDWR);
    void* memory = ::mmap(nullptr, 8192, PROT_READ | PROT_WRITE, MAP_SHARED, fd.get(), 0);
    ASSERT_NE(memory, MAP_FAILED) << errno;
    static_cast<char*>(memory)[5000] = '!';
    EXPECT_EQ(Try(::msync(memory, 8192, MS_SYNC)), 0);
    ::munmap(memory, 8192);
  }
  std::string expected(8192, '.');
  expected[5000] = '!';
  EXPECT_EQ(env().ObjectBody("m"), expected);
}

TEST_P(PosixTest, PagesOfAMappingGoToTheirPlaceEvenByAHandleThatAppends) {
  WriteFile(Path("m"), std::string(5000, '.'));
  {
    const UniqueFd fd = Open("m", O_RDWR | O_APPEND);
    void* memory = ::mmap(nullptr, 5000, PROT_READ | PROT_WRITE, MAP_SHARED, fd.get(), 0);
    ASSERT_NE(memory, MAP_FAILED) << errno;
    static_cast<char*>(memory)[100] = '!';
    EXPECT_EQ(Try(::msync(memory, 5000, MS_SYNC)), 0);
    ::munmap(memory, 5000);
    EXPECT_EQ(::write(fd.get(), "end", 3), 3);
  }
  std::string expected(5000, '.');
  expected[100] = '!';
  EXPECT_EQ(env().ObjectBody("m"), expected + "end");
}

TEST_P(PosixTest, TruncatingAnEmptyFileMovesItsTime) {
  WriteFile(Path("f"), "");
  const timespec old = {1'000'000'000, 0};
  const std::array<timespec, 2> times = {old, old};
  ASSERT_EQ(::utimensat(AT_FDCWD, Path("f").c_str(), times.data(), 0), 0);
  { const UniqueFd fd = Open("f", O_WRONLY | O_TRUNC); }
  ASSERT_NO_FATAL_FAILURE(RemountCold());
  struct stat facts {};
  ASSERT_EQ(::stat(Path("f").c_str(), &facts), 0);
  EXPECT_GT(facts.st_mtim.tv_sec, old.tv_sec);
}

TEST_P(PosixTest, LocksHoldBetweenProcesses) {
  const UniqueFd fd = Open("lock", O_RDWR | O_CREAT);
  ASSERT_EQ(::flock(fd.get(), LOCK_EX), 0);
  struct flock range {};
  range.l_type = F_WRLCK;
  range.l_len = 10;
  ASSERT_EQ(::fcntl(fd.get(), F_SETLK, &range), 0);
  const pid_t child = ::fork();
  if (child == 0) {
    const int other = ::open(Path("lock").c_str(), O_RDWR | O_CLOEXEC);
    const bool flocked = ::flock(other, LOCK_EX | LOCK_NB) == 0;
    const bool ranged = ::fcntl(other, F_SETLK, &range) == 0;
    ::_exit(flocked || ranged ? 1 : 0);
  }
  int status = 0;
  ::waitpid(child, &status, 0);
  EXPECT_EQ(status, 0);
}

TEST_P(PosixTest, SqliteWorksInBothJournalModes) {
  if (RunCommand({"sqlite3", "--version"}).status != 0) GTEST_SKIP() << "no sqlite3";
  for (const std::string mode : {"delete", "wal"}) {
    const std::string file = Path(mode + ".db");
    const ProgramResult made = RunCommand(
        {"sqlite3", file,
         "PRAGMA journal_mode=" + mode +
             "; CREATE TABLE t(x); WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n "
             "WHERE i<500) INSERT INTO t SELECT i FROM n; UPDATE t SET x=x*2;"});
    ASSERT_EQ(made.status, 0) << made.err;
    EXPECT_EQ(made.out, mode + "\n");
  }
  ASSERT_NO_FATAL_FAILURE(RemountCold());
  for (const std::string mode : {"delete", "wal"}) {
    const ProgramResult read = RunCommand(
        {"sqlite3", Path(mode + ".db"), "PRAGMA integrity_check; SELECT sum(x) FROM t;"});
    EXPECT_EQ(read.out, "ok\n250500\n") << read.err;
  }
}

TEST_P(PosixTest, ProcessesShareASqliteDatabaseAndAKillLosesNoCommit) {
  if (RunCommand({"sqlite3", "--version"}).status != 0) GTEST_SKIP() << "no sqlite3";
  for (const std::string mode : {"delete", "wal"}) {
    const std::string file = Path(mode + ".db");
    const ProgramResult made =
        RunCommand({"sqlite3", file, "PRAGMA journal_mode=" + mode + "; CREATE TABLE t(x);"});
    ASSERT_EQ(made.status, 0) << made.err;
    // Each commit is a process of its own: they take turns by locks on the file.
    const ProgramResult filled = RunCommand(
        {"sh", "-c",
         "for p in 1 2 3; do (for i in 1 2 3 4 5; do sqlite3 -cmd '.timeout 60000' \"$0\" "
         "'INSERT INTO t VALUES(1)' || touch \"$0.failed\"; done) & done; wait",
         file});
    EXPECT_EQ(filled.status, 0) << filled.err;
    EXPECT_EQ(filled.err, "");
  }
  ASSERT_NO_FATAL_FAILURE(env().Kill());
  ASSERT_NO_FATAL_FAILURE(env().Mount());
  for (const std::string mode : {"delete", "wal"}) {
    const ProgramResult read = RunCommand(
        {"sqlite3", Path(mode + ".db"), "PRAGMA integrity_check; SELECT count(*) FROM t;"});
    EXPECT_EQ(read.out, "ok\n15\n") << read.err;
  }
}

TEST_P(PosixTest, ReadsAndWritesPastThePageCache) {
  constexpr size_t kBlock = 4096;
  const std::string text = Pattern(8 * kBlock, 11);
  const std::unique_ptr<char, decltype(&::free)> buffer(
      static_cast<char*>(::aligned_alloc(kBlock, text.size())), ::free);
  {
    const UniqueFd direct(::open(Path("f").c_str(), O_RDWR | O_CREAT | O_DIRECT | O_CLOEXEC, 0644));
    ASSERT_TRUE(direct.valid()) << std::strerror(errno);
    std::memcpy(buffer.get(), text.data(), text.size());
    ASSERT_EQ(::pwrite(direct.get(), buffer.get(), text.size(), 0),
              static_cast<ssize_t>(text.size()))
        << std::strerror(errno);
    // What others see through the page cache is the same, either way.
    EXPECT_EQ(ReadFile(Path("f")), text);
    const UniqueFd cached(::open(Path("f").c_str(), O_RDWR | O_CLOEXEC));
    ASSERT_EQ(::pwrite(cached.get(), "patch", 5, kBlock), 5);
    ASSERT_EQ(::pread(direct.get(), buffer.get(), kBlock, kBlock), static_cast<ssize_t>(kBlock));
    EXPECT_EQ(std::string(buffer.get(), 5), "patch");
  }
  ASSERT_NO_FATAL_FAILURE(RemountCold());
  std::string patched = text;
  patched.replace(kBlock, 5, "patch");
  EXPECT_EQ(ReadFile(Path("f")), patched);
}

TEST_P(PosixTest, WhatCannotBeDoneSaysSo) {
  EXPECT_EQ(Try(::open(env().mount_point().c_str(), O_TMPFILE | O_RDWR | O_CLOEXEC, 0600)),
            EOPNOTSUPP);
}

TEST_P(PosixTest, PathsThatLeadNowhereFailAsEverywhere) {
  ASSERT_EQ(::symlink("loop2", Path("loop1").c_str()), 0);
  ASSERT_EQ(::symlink("loop1", Path("loop2").c_str()), 0);
  EXPECT_EQ(Try(::open(Path("loop1").c_str(), O_RDONLY | O_CLOEXEC)), ELOOP);
  EXPECT_EQ(Try(::open(Path("loop1/f").c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0644)), ELOOP);
  EXPECT_EQ(Try(::open(Path("loop1").c_str(), O_RDONLY | O_NOFOLLOW | O_CLOEXEC)), ELOOP);
  std::string deep = env().mount_point();
  while (deep.size() < PATH_MAX) deep += "/.";
  EXPECT_EQ(Try(::access(deep.c_str(), F_OK)), ENAMETOOLONG);
  EXPECT_EQ(Try(::mkdir(deep.c_str(), 0755)), ENAMETOOLONG);
  EXPECT_EQ(Try(::symlink(std::string(PATH_MAX, 'x').c_str(), Path("l").c_str())), ENAMETOOLONG);
  WriteFile(Path("f"), "x");
  EXPECT_EQ(Try(::open(Path("f/g").c_str(), O_RDONLY | O_CLOEXEC)), ENOTDIR);
  EXPECT_EQ(Try(::open(Path("f").c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC)), ENOTDIR);
  EXPECT_EQ(Try(::open(env().mount_point().c_str(), O_WRONLY | O_CLOEXEC)), EISDIR);
  EXPECT_EQ(Try(::truncate(env().mount_point().c_str(), 0)), EISDIR);
  EXPECT_EQ(Try(::rename(Path("f").c_str(), (env().directory() + "/f").c_str())), EXDEV);
}

TEST_P(PosixTest, AFileIsNoLargerThanTheStoreTakes) {
  const UniqueFd file = Open("f", O_RDWR | O_CREAT);
  const off_t most = std::numeric_limits<off_t>::max();
  EXPECT_EQ(Try(::ftruncate(file.get(), most)), EFBIG);
  EXPECT_EQ(Try(::truncate(Path("f").c_str(), most)), EFBIG);
  EXPECT_EQ(Try(::fallocate(file.get(), 0, most - 10, 10)), EFBIG);
  EXPECT_EQ(Try(static_cast<int>(::pwrite(file.get(), "x", 1, most - 1))), EFBIG);
  struct stat facts {};
  ASSERT_EQ(::fstat(file.get(), &facts), 0);
  EXPECT_EQ(facts.st_size, 0);
}

TEST_P(PosixTest, AProgramThatRunsIsNotWrittenTo) {
  std::filesystem::copy_file("/bin/sleep", Path("program"));
  ASSERT_EQ(::chmod(Path("program").c_str(), 0755), 0);
  std::string name = Path("program");
  std::string argument = "600";
  const std::array<char*, 3> words = {name.data(), argument.data(), nullptr};
  pid_t pid = -1;
  ASSERT_EQ(::posix_spawn(&pid, name.c_str(), nullptr, nullptr, words.data(), environ), 0);
  EXPECT_EQ(Try(::open(name.c_str(), O_WRONLY | O_CLOEXEC)), ETXTBSY);
  EXPECT_EQ(Try(::truncate(name.c_str(), 0)), ETXTBSY);
  ::kill(pid, SIGKILL);
  ::waitpid(pid, nullptr, 0);
  const UniqueFd writer = Open("program", O_WRONLY);
  EXPECT_EQ(::posix_spawn(&pid, name.c_str(), nullptr, nullptr, words.data(), environ), ETXTBSY);
}

TEST_P(PosixTest, InAStickyFolderOnlyOwnersRemove) {
  if (::geteuid() != 0) GTEST_SKIP() << "needs root to act as somebody else";
  ASSERT_NO_FATAL_FAILURE(env().Unmount());
  ASSERT_NO_FATAL_FAILURE(env().Mount({"-o", "allow_other"}));
  ASSERT_EQ(::mkdir(Path("tmp").c_str(), 0755), 0);
  ASSERT_EQ(::chmod(Path("tmp").c_str(), 01777), 0);
  WriteFile(Path("tmp/roots"), "x");
  WriteFile(Path("tmp/theirs"), "x");
  ASSERT_EQ(::chmod(Path("tmp/roots").c_str(), 0666), 0);
  ASSERT_EQ(::chown(Path("tmp/theirs").c_str(), 4711, 4711), 0);
  const pid_t child = ::fork();
  if (child == 0) {
    // The way to the mount point may be closed to others.
    if (::chdir(Path("tmp").c_str()) != 0) ::_exit(1);
    if (::setgid(4711) != 0 || ::setuid(4711) != 0) ::_exit(1);
    const auto fails = [](int result) { return result == -1 && errno == EPERM; };
    if (!fails(::unlink("roots")) || !fails(::rename("roots", "other"))) ::_exit(2);
    if (!fails(::rename("theirs", "roots"))) ::_exit(3);
    if (::chmod("theirs", 0600) != 0 || !fails(::chmod("roots", 0600))) ::_exit(4);
    if (!fails(::chown("theirs", 4712, 4711))) ::_exit(5);
    ::_exit(::rename("theirs", "renamed") == 0 && ::unlink("renamed") == 0 ? 0 : 6);
  }
  int status = 0;
  ::waitpid(child, &status, 0);
  EXPECT_EQ(status, 0);
  EXPECT_EQ(Names(Path("tmp")), (std::vector<std::string>{"roots"}));
}

TEST_P(PosixTest, SetIdBitsGoWhenSomebodyElseWrites) {
  if (::geteuid() != 0) GTEST_SKIP() << "needs root to act as somebody else";
  ASSERT_NO_FATAL_FAILURE(env().Unmount());
  ASSERT_NO_FATAL_FAILURE(env().Mount({"-o", "allow_other"}));
  WriteFile(Path("f"), "x");
  ASSERT_EQ(::chmod(Path("f").c_str(), 06777), 0);
  const pid_t child = ::fork();
  if (child == 0) {
    // The way to the mount point may be closed to others.
    if (::chdir(env().mount_point().c_str()) != 0) ::_exit(1);
    if (::setgid(4711) != 0 || ::setuid(4711) != 0) ::_exit(1);
    const int fd = ::open("f", O_WRONLY | O_CLOEXEC);
    ::_exit(fd >= 0 && ::write(fd, "y", 1) == 1 ? 0 : 1);
  }
  int status = 0;
  ::waitpid(child, &status, 0);
  EXPECT_EQ(status, 0);
  struct stat facts {};
  ASSERT_EQ(::stat(Path("f").c_str(), &facts), 0);
  EXPECT_EQ(facts.st_mode & 07777, 0777U);
}

TEST_P(PosixTest, AReadOnlyMountRefusesEveryChange) {
  WriteFile(Path("f"), "text");
  ASSERT_EQ(::mkdir(Path("d").c_str(), 0755), 0);
  ASSERT_NO_FATAL_FAILURE(env().Unmount());
  ASSERT_NO_FATAL_FAILURE(env().Mount({"-o", "ro"}));
  const std::string f = Path("f");
  EXPECT_EQ(ReadFile(f), "text");
  EXPECT_EQ(Try(::open(f.c_str(), O_WRONLY | O_CLOEXEC)), EROFS);
  EXPECT_EQ(Try(::open(f.c_str(), O_RDWR | O_CLOEXEC)), EROFS);
  EXPECT_EQ(Try(::open(f.c_str(), O_RDONLY | O_TRUNC | O_CLOEXEC)), EROFS);
  EXPECT_EQ(Try(::open(Path("n").c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0644)), EROFS);
  EXPECT_EQ(Try(::truncate(f.c_str(), 0)), EROFS);
  EXPECT_EQ(Try(::unlink(f.c_str())), EROFS);
  EXPECT_EQ(Try(::rmdir(Path("d").c_str())), EROFS);
  EXPECT_EQ(Try(::mkdir(Path("e").c_str(), 0755)), EROFS);
  EXPECT_EQ(Try(::mkfifo(Path("p").c_str(), 0644)), EROFS);
  EXPECT_EQ(Try(::symlink("x", Path("l").c_str())), EROFS);
  EXPECT_EQ(Try(::link(f.c_str(), Path("g").c_str())), EROFS);
  EXPECT_EQ(Try(::mknod(Path("s").c_str(), S_IFSOCK | 0644, 0)), EROFS);
  EXPECT_EQ(Try(::rename(f.c_str(), Path("g").c_str())), EROFS);
  EXPECT_EQ(Rename("f", "d", kExchange), EROFS);
  EXPECT_EQ(Rename("f", "g", kNoReplace), EROFS);
  EXPECT_EQ(Try(::chmod(Path("d").c_str(), 0700)), EROFS);
  EXPECT_EQ(Try(::lchown(f.c_str(), 1, 1)), EROFS);
  EXPECT_EQ(Try(::chmod(f.c_str(), 0600)), EROFS);
  EXPECT_EQ(Try(::chown(f.c_str(), 1, 1)), EROFS);
  EXPECT_EQ(Try(::utimensat(AT_FDCWD, f.c_str(), nullptr, 0)), EROFS);
  EXPECT_EQ(Try(::setxattr(f.c_str(), "user.a", "1", 1, 0)), EROFS);
  EXPECT_EQ(Try(::removexattr(f.c_str(), "user.a")), EROFS);
  EXPECT_EQ(Try(::access(f.c_str(), W_OK)), EROFS);
  EXPECT_EQ(ReadFile(f), "text");
  EXPECT_EQ(Names(env().mount_point()), (std::vector<std::string>{"d", "f"}));
}

// What a plain mount gives up fails, or is kept here and nowhere else.
TEST_P(PosixTest, PlainMountsSayWhatTheyCannotDo) {
  ASSERT_NO_FATAL_FAILURE(env().Unmount());
  env().SetTopLines("metadata = \"plain\"");
  ASSERT_NO_FATAL_FAILURE(env().Mount());
  const std::string f = Path("f");
  WriteFile(f, "text");
  EXPECT_EQ(Try(::symlink("f", Path("l").c_str())), EPERM);
  EXPECT_EQ(Try(::link(f.c_str(), Path("g").c_str())), EPERM);
  EXPECT_EQ(Try(::mkfifo(Path("p").c_str(), 0644)), EPERM);
  EXPECT_EQ(Try(::mknod(Path("s").c_str(), S_IFSOCK | 0644, 0)), EPERM);
  EXPECT_EQ(Try(::setxattr(f.c_str(), "user.a", "1", 1, 0)), EOPNOTSUPP);
  std::array<char, 16> value{};
  EXPECT_EQ(Try(static_cast<int>(::getxattr(f.c_str(), "user.a", value.data(), value.size()))),
            ENODATA);
  const timespec old = {1'000'000'000, 0};
  const std::array<timespec, 2> times = {old, old};
  EXPECT_EQ(Try(::chmod(f.c_str(), 0600)), 0);
  EXPECT_EQ(Try(::utimensat(AT_FDCWD, f.c_str(), times.data(), 0)), 0);
  struct stat facts {};
  ASSERT_EQ(::stat(f.c_str(), &facts), 0);
  EXPECT_EQ(facts.st_mode & 07777, 0600U);
  EXPECT_EQ(facts.st_mtim.tv_sec, old.tv_sec);
  // Contents and names are as on any mount.
  ASSERT_EQ(::mkdir(Path("d").c_str(), 0755), 0);
  ASSERT_EQ(Rename("f", "d/f", kNoReplace), 0);
  ASSERT_NO_FATAL_FAILURE(RemountCold());
  EXPECT_EQ(ReadFile(Path("d/f")), "text");
  ASSERT_EQ(::stat(Path("d/f").c_str(), &facts), 0);
  EXPECT_EQ(facts.st_mode & 07777, 0644U);
  EXPECT_GT(facts.st_mtim.tv_sec, old.tv_sec);
}

INSTANTIATE_FOR_ALL_BACKENDS(PosixTest);

}  // namespace
}  // namespace quayfs::mounttest
