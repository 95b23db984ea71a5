// SPDX-License-Identifier: Apache-2.0
//
// T3, C3 to C5: two mounts of one bucket that change the same files and know nothing of each other.
// Nothing is overwritten or deleted that its mount had not seen; what did not go under its own name
// is kept under another and shown.

#include "tests/mount/two_mounts.h"

#include <fcntl.h>
#include <fmt/chrono.h>
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstdio>
#include <cstring>
#include <functional>
#include <iostream>
#include <map>
#include <mutex>
#include <random>
#include <set>
#include <thread>

#include "base/clock.h"
#include "base/unique_fd.h"

namespace quayfs::mounttest {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

class ConflictsTest : public TwoMountsTest {
 protected:
  /// The copies of `name` that stand beside it.
  static std::vector<std::string> Copies(const std::map<std::string, std::string>& bucket,
                                         const std::string& name) {
    std::vector<std::string> copies;
    for (const auto& [key, body] : bucket) {
      if (key.rfind(name + ".conflict-", 0) == 0) copies.push_back(key);
    }
    return copies;
  }
  /// `theirs` has the name, `ours` lies beside it, and b says so.
  void ExpectBoth(const std::string& name, const std::string& theirs, const std::string& ours) {
    auto bucket = Bucket();
    EXPECT_TRUE(bucket[name] == theirs) << name << Logs();
    const std::vector<std::string> copies = Copies(bucket, name);
    ASSERT_EQ(copies.size(), 1U) << name << Logs();
    EXPECT_TRUE(bucket[copies[0]] == ours) << copies[0];
    if (!spaces_.empty()) {
      EXPECT_THAT(copies[0], HasSubstr(".conflict-" + b().host_name() + "-"));
    }
    EXPECT_THAT(b().ConflictFiles(), ::testing::Contains(copies[0]));
    EXPECT_THAT(b().StatusText(), HasSubstr(copies[0]));
    EXPECT_TRUE(ReadFile(b().Path(name)) == theirs);
    EXPECT_TRUE(ReadFile(b().Path(copies[0])) == ours);
  }
};

TEST_P(ConflictsTest, KeepBothVersions) {
  ASSERT_NO_FATAL_FAILURE(Mount("consistency=1h,upload_cutoff=6MiB,chunk_size=5MiB"));
  // Replaced, appended to, changed in the middle of an object that is made of parts.
  const std::string large = Pattern(13 << 20, 1);
  ASSERT_NO_FATAL_FAILURE(Share({{"replaced", "first"}, {"longer", "first"}, {"large", large}}));
  const auto change = [&](const Peer& peer, const std::string& text) {
    WriteFile(peer.Path("replaced"), text);
    const UniqueFd longer(::open(peer.Path("longer").c_str(), O_WRONLY | O_APPEND | O_CLOEXEC));
    EXPECT_EQ(::write(longer.get(), text.data(), text.size()), static_cast<ssize_t>(text.size()));
    const UniqueFd patched(::open(peer.Path("large").c_str(), O_RDWR | O_CLOEXEC));
    EXPECT_EQ(::pwrite(patched.get(), text.data(), text.size(), 7 << 20),
              static_cast<ssize_t>(text.size()));
    std::string expected = large;
    return expected.replace(7 << 20, text.size(), text);
  };
  const std::string large_a = change(a(), "by a");
  a().Sync();
  const std::string large_b = change(b(), "by the other one");
  b().Sync();
  ExpectBoth("replaced", "by a", "by the other one");
  ExpectBoth("longer", "firstby a", "firstby the other one");
  ExpectBoth("large", large_a, large_b);
  EXPECT_EQ(Bucket().size(), 6U);
  EXPECT_THAT(a().ConflictFiles(), IsEmpty());
  if (env().server() != nullptr) {
    EXPECT_EQ(env().server()->UnfinishedUploads("test"), 0U);
  }
  // Across a mount, until somebody has dealt with it.
  const std::vector<std::string> shown = b().ConflictFiles();
  ASSERT_NO_FATAL_FAILURE(b().Unmount());
  ASSERT_NO_FATAL_FAILURE(b().Mount("consistency=1h"));
  EXPECT_EQ(b().ConflictFiles(), shown);
  for (const std::string& copy : shown) EXPECT_EQ(::unlink(b().Path(copy).c_str()), 0) << copy;
  EXPECT_THAT(b().ConflictFiles(), IsEmpty());
}

TEST_P(ConflictsTest, FailTellsAndKeepsOursInTheCache) {
  ASSERT_NO_FATAL_FAILURE(Mount("consistency=1h,conflict=fail"));
  ASSERT_NO_FATAL_FAILURE(Share({{"f", "first"}}));
  const UniqueFd file(::open(b().Path("f").c_str(), O_WRONLY | O_CLOEXEC));
  EXPECT_EQ(::write(file.get(), "by b", 4), 4);
  WriteFile(a().Path("f"), "by a");
  a().Sync();
  EXPECT_EQ(Try(::fsync(file.get())), ESTALE) << Logs();
  EXPECT_NE(b().TrySync().status, 0);
  EXPECT_THAT(Bucket(), ElementsAre(std::make_pair("f", "by a")));
  EXPECT_EQ(ReadFile(b().Path("f")), "by bt");
  EXPECT_THAT(b().StatusText(), HasSubstr("f"));
  EXPECT_THAT(b().StatusText(), HasSubstr("another"));
  // Under another name nothing is in the way.
  EXPECT_EQ(::rename(b().Path("f").c_str(), b().Path("g").c_str()), 0);
  b().Sync();
  EXPECT_THAT(Bucket(), ElementsAre(std::make_pair("f", "by a"), std::make_pair("g", "by bt")));
}

TEST_P(ConflictsTest, OverwriteMakesTheLastWriterWin) {
  ASSERT_NO_FATAL_FAILURE(Mount("consistency=1h,conflict=overwrite"));
  ASSERT_NO_FATAL_FAILURE(Share({{"f", "first"}}));
  WriteFile(a().Path("f"), "by a");
  a().Sync();
  WriteFile(b().Path("f"), "by b");
  b().Sync();
  EXPECT_THAT(Bucket(), ElementsAre(std::make_pair("f", "by b")));
  EXPECT_THAT(b().ConflictFiles(), IsEmpty());
}

TEST_P(ConflictsTest, WhatTheOtherHasChangedIsNotDeleted) {
  ASSERT_NO_FATAL_FAILURE(Mount());
  // One at a time, and many at once: these go in batches.
  constexpr int kMany = 12;
  std::map<std::string, std::string> files = {{"one", "first"}};
  for (int i = 0; i < kMany; ++i) files["many" + std::to_string(i)] = "first";
  ASSERT_NO_FATAL_FAILURE(Share(files));
  WriteFile(a().Path("one"), "by a");
  for (int i = 0; i < kMany; i += 3) WriteFile(a().Path("many" + std::to_string(i)), "by a");
  a().Sync();
  EXPECT_EQ(::unlink(b().Path("one").c_str()), 0);
  b().Sync();
  EXPECT_EQ(b().Conflicts(), 1U) << Logs();
  for (int i = 0; i < kMany; ++i) {
    EXPECT_EQ(::unlink(b().Path("many" + std::to_string(i)).c_str()), 0);
  }
  b().Sync();
  std::map<std::string, std::string> expected = {{"one", "by a"}};
  for (int i = 0; i < kMany; i += 3) expected["many" + std::to_string(i)] = "by a";
  EXPECT_EQ(Bucket(), expected) << Logs();
  EXPECT_EQ(b().Conflicts(), expected.size());
  // And it shows up again.
  for (const auto& [name, text] : expected) EXPECT_EQ(ReadFile(b().Path(name)), text);
}

TEST_P(ConflictsTest, AChangeOutlivesTheOthersRemoval) {
  ASSERT_NO_FATAL_FAILURE(Mount());
  ASSERT_NO_FATAL_FAILURE(Share({{"f", "first"}}));
  EXPECT_EQ(::unlink(a().Path("f").c_str()), 0);
  a().Sync();
  WriteFile(b().Path("f"), "by b");
  b().Sync();
  EXPECT_EQ(Bucket()["f"], "by b") << Logs();
  EXPECT_THAT(b().ConflictFiles(), IsEmpty());
}

TEST_P(ConflictsTest, ARenameTakesWhatIsThere) {
  ASSERT_NO_FATAL_FAILURE(Mount());
  ASSERT_NO_FATAL_FAILURE(Share({{"f", "first"}}));
  WriteFile(a().Path("f"), "by a");
  a().Sync();
  EXPECT_EQ(::rename(b().Path("f").c_str(), b().Path("g").c_str()), 0);
  b().Sync();
  EXPECT_THAT(Bucket(), ElementsAre(std::make_pair("g", "by a"))) << Logs();
  EXPECT_EQ(ReadFile(b().Path("g")), "by a");
}

TEST_P(ConflictsTest, AChangeOfWhatTheOtherHasRenamedIsKept) {
  ASSERT_NO_FATAL_FAILURE(Mount());
  ASSERT_NO_FATAL_FAILURE(Share({{"f", "first"}}));
  EXPECT_EQ(::rename(a().Path("f").c_str(), a().Path("g").c_str()), 0);
  a().Sync();
  WriteFile(b().Path("f"), "by b");
  b().Sync();
  EXPECT_THAT(Bucket(), ElementsAre(std::make_pair("f", "by b"), std::make_pair("g", "first")))
      << Logs();
}

TEST_P(ConflictsTest, ARenameReplacesNothingUnseen) {
  ASSERT_NO_FATAL_FAILURE(Mount());
  ASSERT_NO_FATAL_FAILURE(
      Share({{"source", "moved"}, {"source2", "moved too"}, {"target", "first"}}));
  EXPECT_EQ(ReadFile(b().Path("target")), "first");
  EXPECT_EQ(Try(::access(b().Path("new").c_str(), F_OK)), ENOENT);
  WriteFile(a().Path("target"), "by a");
  WriteFile(a().Path("new"), "new by a");
  a().Sync();
  EXPECT_EQ(::rename(b().Path("source").c_str(), b().Path("target").c_str()), 0);
  EXPECT_EQ(::renameat2(AT_FDCWD, b().Path("source2").c_str(), AT_FDCWD, b().Path("new").c_str(),
                        RENAME_NOREPLACE),
            0);
  b().Sync();
  ExpectBoth("target", "by a", "moved");
  ExpectBoth("new", "new by a", "moved too");
  EXPECT_EQ(Bucket().size(), 4U);
}

TEST_P(ConflictsTest, NamesMadeByBothAreBothKept) {
  if (!checked()) GTEST_SKIP() << "new names are made without looking (C3)";
  ASSERT_NO_FATAL_FAILURE(Mount());
  // Both look before either has made something.
  for (const Peer* const peer : {&a(), &b()}) EXPECT_THAT(Names(peer->Path("")), IsEmpty());
  const auto create = [](const Peer& peer, const std::string& name, const std::string& text) {
    const UniqueFd file(
        ::open(peer.Path(name).c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644));
    ASSERT_TRUE(file.valid()) << std::strerror(errno);
    EXPECT_EQ(::write(file.get(), text.data(), text.size()), static_cast<ssize_t>(text.size()));
  };
  create(a(), "excl", "by a");
  create(b(), "excl", "by b");
  create(a(), "temporary", "renamed by a");
  create(b(), "temporary", "renamed by b");
  for (const Peer* const peer : {&a(), &b()}) {
    EXPECT_EQ(::renameat2(AT_FDCWD, peer->Path("temporary").c_str(), AT_FDCWD,
                          peer->Path("renamed").c_str(), RENAME_NOREPLACE),
              0);
  }
  // Either may have been first.
  a().Sync();
  b().Sync();
  auto bucket = Bucket();
  for (const std::string name : {"excl", "renamed"}) {
    const std::vector<std::string> copies = Copies(bucket, name);
    ASSERT_EQ(copies.size(), 1U) << name << Logs();
    EXPECT_NE(bucket[name], bucket[copies[0]]);
    std::vector<std::string> shown = a().ConflictFiles();
    for (const std::string& one : b().ConflictFiles()) shown.push_back(one);
    EXPECT_THAT(shown, ::testing::Contains(copies[0]));
  }
  EXPECT_EQ(bucket.size(), 4U);
}

TEST_P(ConflictsTest, FoldersOfBothGrowTogether) {
  ASSERT_NO_FATAL_FAILURE(Mount());
  ASSERT_EQ(::mkdir(a().Path("removed").c_str(), 0755), 0);
  ASSERT_EQ(::mkdir(a().Path("moved").c_str(), 0755), 0);
  ASSERT_NO_FATAL_FAILURE(Share({{"removed/f", "f"}, {"moved/f", "f"}}));
  EXPECT_THAT(Names(b().Path("removed")), ElementsAre("f"));
  EXPECT_THAT(Names(b().Path("moved")), ElementsAre("f"));
  // a adds to what b removes and moves.
  WriteFile(a().Path("removed/new"), "by a");
  WriteFile(a().Path("moved/new"), "by a");
  for (const Peer* const peer : {&a(), &b()}) {
    ASSERT_EQ(::mkdir(peer->Path("made").c_str(), 0755), 0);
    WriteFile(peer->Path("made/of " + peer->host_name()), peer->host_name());
  }
  a().Sync();
  EXPECT_EQ(::unlink(b().Path("removed/f").c_str()), 0);
  EXPECT_THAT(Try(::rmdir(b().Path("removed").c_str())), ::testing::AnyOf(0, ENOTEMPTY));
  EXPECT_EQ(::rename(b().Path("moved").c_str(), b().Path("there").c_str()), 0);
  b().Sync();
  const auto bucket = Bucket();
  EXPECT_TRUE(bucket.contains("made/of quay-a")) << Logs();
  EXPECT_TRUE(bucket.contains("made/of quay-b")) << Logs();
  EXPECT_TRUE(bucket.contains("removed/new")) << Logs();
  EXPECT_FALSE(bucket.contains("removed/f"));
  EXPECT_TRUE(bucket.contains("there/f")) << Logs();
  EXPECT_TRUE(bucket.contains("moved/new") || bucket.contains("there/new")) << Logs();
  ASSERT_NO_FATAL_FAILURE(b().Unmount());
  ASSERT_NO_FATAL_FAILURE(b().Mount(""));
  EXPECT_THAT(Names(b().Path("made")), ElementsAre("of quay-a", "of quay-b"));
}

/// Every version that somebody has written, and what became of it as far as the writers know.
class Ledger {
 public:
  /// What `version` looks like. Large ones are uploaded in parts.
  static std::string Text(const std::string& version, bool large) {
    const std::string head = version + "\n";
    return head + Pattern((large ? 300000 : 4096) - head.size(), std::hash<std::string>()(version));
  }
  static std::string VersionOf(const std::string& text) { return text.substr(0, text.find('\n')); }

  void Written(const std::string& name, const std::string& version, const std::string& replaced) {
    const std::lock_guard<std::mutex> lock(mutex_);
    names_[version] = name;
    if (!replaced.empty()) dealt_with_.insert(replaced);
  }
  void Deleted(const std::string& version) {
    const std::lock_guard<std::mutex> lock(mutex_);
    dealt_with_.insert(version);
  }
  /// A version of this name, nobody knows which.
  void DeletedUnread(const std::string& name) {
    const std::lock_guard<std::mutex> lock(mutex_);
    ++deleted_unread_[name];
  }
  /// For whoever has to find out how a version was lost.
  void Note(const std::string& name, const std::string& event) {
    const std::lock_guard<std::mutex> lock(mutex_);
    const auto when = SystemClock().Now().time_since_epoch() % std::chrono::hours(1);
    history_[name].push_back(fmt::format("{:%M:%S} {}", when, event));
  }
  size_t size() const { return names_.size(); }

  /// Versions that are neither in `bucket` nor were replaced or deleted by who had seen them.
  std::string Lost(const std::map<std::string, std::string>& bucket) const {
    std::set<std::string> there;
    std::string report;
    for (const auto& [name, text] : bucket) {
      const std::string version = VersionOf(text);
      there.insert(version);
      if (text != Text(version, name.rfind("large", 0) == 0)) report += name + " is torn\n";
    }
    std::map<std::string, int> unread = deleted_unread_;
    for (const auto& [version, name] : names_) {
      if (there.contains(version) || dealt_with_.contains(version)) continue;
      if (unread[name]-- > 0) continue;
      report += fmt::format("{} of {} is lost\n", version, name);
      for (const std::string& event : history_.at(name)) report += "  " + event + "\n";
    }
    return report;
  }

 private:
  std::mutex mutex_;
  std::map<std::string, std::string> names_;  // by version
  std::set<std::string> dealt_with_;
  std::map<std::string, int> deleted_unread_;
  std::map<std::string, std::vector<std::string>> history_;  // by name
};

/// One peer's user, who changes shared files at random.
class Changer {
 public:
  /// `gently`: only what a store can test that knows conditions for single PUTs and nothing else.
  Changer(const Peer& peer, Ledger& ledger, uint64_t seed, bool gently)
      : peer_(peer), ledger_(ledger), random_(seed), gently_(gently) {}

  void Run(int steps) {
    for (int i = 0; i < steps; ++i) {
      const bool large = random_() % 4 == 0 && !gently_;
      const std::string name = fmt::format("{}{}", large ? "large" : "f", random_() % 3);
      const UniqueFd file(::open(peer_.Path(name).c_str(), O_RDWR | O_CLOEXEC));
      const int error = file.valid() ? 0 : errno;
      if (error == ENOENT) {
        Create(name);
      } else if (file.valid() && random_() % 8 == 0 && !gently_) {
        Remove(name, file.get());
      } else if (file.valid()) {
        Change(name, file.get());
      } else {
        EXPECT_TRUE(error == ENOENT || error == ESTALE) << name << ": " << std::strerror(error);
      }
    }
  }

 private:
  std::string NewVersion() { return fmt::format("{}-{}", peer_.host_name(), ++count_); }
  std::string Text(const std::string& name, const std::string& version) const {
    return Ledger::Text(version, name.rfind("large", 0) == 0);
  }

  void Create(const std::string& name) {
    const UniqueFd file(
        ::open(peer_.Path(name).c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0644));
    if (file.valid()) return Write(name, file.get(), "");
    EXPECT_EQ(errno, EEXIST) << name;
  }

  /// "" if it cannot be read any more, or nothing has been written yet.
  std::string Seen(int file) {
    std::string text(300000, '\0');
    const ssize_t got = ::pread(file, text.data(), text.size(), 0);
    EXPECT_TRUE(got >= 0 || errno == ESTALE) << std::strerror(errno);
    text.resize(got > 0 ? static_cast<size_t>(got) : 0);
    return text.empty() ? "" : Ledger::VersionOf(text);
  }

  void Change(const std::string& name, int file) {
    const std::string seen = Seen(file);
    if (!seen.empty()) Write(name, file, seen);
  }

  void Write(const std::string& name, int file, const std::string& seen) {
    const std::string version = NewVersion();
    const std::string text = Text(name, version);
    ASSERT_EQ(::pwrite(file, text.data(), text.size(), 0), static_cast<ssize_t>(text.size()))
        << std::strerror(errno);
    ledger_.Written(name, version, seen);
    ledger_.Note(name, fmt::format("{} wrote {} over '{}', inode {}", peer_.host_name(), version,
                                   seen, Facts(file).stx_ino));
    if (random_() % 4 == 0) {
      EXPECT_EQ(Try(::fsync(file)), 0) << name;
    }
  }

  void Remove(const std::string& name, int file) {
    const std::string seen = Seen(file);
    if (::unlink(peer_.Path(name).c_str()) != 0) {
      EXPECT_EQ(errno, ENOENT) << name;
      ledger_.Note(name, fmt::format("{} did not find '{}' to remove", peer_.host_name(), seen));
      return;
    }
    // The name may have become another file's since it was opened: this mount had just met it as a
    // conflict, and nobody has read it here.
    const struct statx facts = Facts(file);
    if (facts.stx_nlink == 0) {
      ledger_.Deleted(seen);
    } else {
      ledger_.DeletedUnread(name);
    }
    ledger_.Note(name, fmt::format("{} removed '{}', inode {}, links {}", peer_.host_name(), seen,
                                   facts.stx_ino, facts.stx_nlink));
  }
  /// As the mount knows them: the kernel counts the links of what it took to lie under a name.
  static struct statx Facts(int file) {
    struct statx facts = {};
    EXPECT_EQ(::statx(file, "", AT_EMPTY_PATH | AT_STATX_FORCE_SYNC, STATX_BASIC_STATS, &facts), 0);
    return facts;
  }

  const Peer& peer_;
  Ledger& ledger_;
  std::mt19937_64 random_;
  const bool gently_;
  int count_ = 0;
};

TEST_P(ConflictsTest, NothingIsLostByManyChangesAtOnce) {
  if (!checked()) GTEST_SKIP() << "between looking and writing there is a moment (C3)";
  const uint64_t seed = TestSeed();
  const int steps = LongRun() ? 3000 : 200;
  ASSERT_NO_FATAL_FAILURE(Mount("consistency=1h,upload_cutoff=256KiB,chunk_size=5MiB"));
  Ledger ledger;
  std::map<std::string, std::string> files;
  for (const std::string name : {"f0", "f1", "f2", "large0", "large1", "large2"}) {
    files[name] = Ledger::Text("first of " + name, name[0] == 'l');
    ledger.Written(name, "first of " + name, "");
  }
  ASSERT_NO_FATAL_FAILURE(Share(files));
  const bool gently = GetParam() == "radosgw";
  if (env().server() != nullptr) env().server()->SetDelay(std::chrono::milliseconds(5));
  Changer one(a(), ledger, seed, gently);
  Changer other(b(), ledger, seed + 1, gently);
  std::thread at_once([&] { one.Run(steps); });
  other.Run(steps);
  at_once.join();
  a().Sync();
  b().Sync();
  const auto bucket = Bucket();
  EXPECT_EQ(ledger.Lost(bucket), "") << Logs();
  std::set<std::string> copies;
  for (const auto& [name, text] : bucket) {
    if (name.find(".conflict-") != std::string::npos) copies.insert(name);
  }
  std::set<std::string> shown;
  for (const Peer* const peer : {&a(), &b()}) {
    for (const std::string& name : peer->ConflictFiles()) shown.insert(name);
  }
  // Of a mount at most a hundred are shown.
  if (copies.size() < 100) {
    EXPECT_EQ(shown, copies);
  }
  EXPECT_FALSE(copies.empty()) << "nothing has met";
  std::cout << ledger.size() << " versions, " << copies.size() << " conflict copies" << std::endl;
}

INSTANTIATE_TEST_SUITE_P(Backends, ConflictsTest, ::testing::ValuesIn(TwoMountsBackends()),
                         BackendName);

}  // namespace
}  // namespace quayfs::mounttest
