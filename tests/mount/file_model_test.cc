// SPDX-License-Identifier: Apache-2.0
//
// One file under random reads, writes, truncates, mappings and holes, through several kinds of
// handles, against a string: after every operation, across closes, syncs, remounts and kills.
// QUAYFS_TEST_SEED repeats a run, QUAYFS_TEST_OPERATIONS sets the count.

#include <fcntl.h>
#include <fmt/format.h>
#include <gtest/gtest.h>
#include <linux/falloc.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <filesystem>
#include <iostream>
#include <random>

#include "tests/mount/mount_fixture.h"

namespace quayfs::mounttest {
namespace {

constexpr size_t kHistory = 60;
constexpr uint64_t kPage = 4096;
constexpr uint64_t kTellEvery = 100'000;

struct ModelShape {
  uint64_t size_max = 0;
  uint64_t length_max = 0;
  uint64_t operations = 0;
  uint64_t remount_every = 0;
};

class FileModelTest : public ServerTest {
 protected:
  void SetUp() override {
    ASSERT_NO_FATAL_FAILURE(ServerTest::SetUp());
    if (IsSkipped()) return;
    env().SetTopLines("parameters = \"RetryMode=Standard;RetryInterval=20;RetryCount=30\"");
  }
  uint64_t Draw(uint64_t below) { return below == 0 ? 0 : random_() % below; }

  void Mount() {
    // Whoever stops the tests for a while does not make calls fail.
    env().Mount(
        {"-o", "upload_cutoff=64KiB,chunk_size=5MiB", "-o", "cache.size=64MiB,interrupt_grace=1h"});
  }
  void OpenAll() {
    both_ = UniqueFd(::open(Path("f").c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0644));
    writer_ = UniqueFd(::open(Path("f").c_str(), O_WRONLY | O_CLOEXEC));
    appender_ = UniqueFd(::open(Path("f").c_str(), O_WRONLY | O_APPEND | O_CLOEXEC));
    reader_ = UniqueFd(::open(Path("f").c_str(), O_RDONLY | O_CLOEXEC));
    direct_ = UniqueFd(::open(Path("f").c_str(), O_RDWR | O_DIRECT | O_CLOEXEC));
    ASSERT_TRUE(both_.valid() && writer_.valid() && appender_.valid() && reader_.valid() &&
                direct_.valid())
        << std::strerror(errno);
  }
  void CloseAll() {
    mapping_written_ = false;  // a close writes pages back
    for (UniqueFd* fd : {&both_, &writer_, &appender_, &reader_, &direct_}) fd->Reset();
  }
  /// 0 is what the call has to answer; where the store fails, it may say so.
  bool Answered(int result) const { return result == 0 || (faults_ && errno == EIO); }
  void Note(const std::string& operation) {
    history_.push_back(operation);
    if (history_.size() > kHistory) history_.pop_front();
  }
  std::string History() const {
    std::string text = "the last operations:\n";
    for (const std::string& operation : history_) text += "  " + operation + "\n";
    return text;
  }
  void ExpectBytes(const std::string& found, uint64_t offset, const std::string& how) {
    const std::string wanted =
        offset < model_.size() ? model_.substr(offset, found.size()) : std::string();
    if (found == wanted) return;
    const auto at = std::mismatch(found.begin(), found.end(), wanted.begin(), wanted.end());
    FAIL() << how << ": other bytes from "
           << offset + static_cast<uint64_t>(at.first - found.begin()) << "; " << found.size()
           << " bytes instead of " << wanted.size() << "\n"
           << History();
  }

  void Read() {
    const int fd = Draw(3) == 0 ? both_.get() : reader_.get();
    const uint64_t offset = Draw(model_.size() + 5000);
    std::string found(1 + Draw(shape_.length_max), '\0');
    const uint64_t wanted =
        std::min<uint64_t>(found.size(), model_.size() - std::min<uint64_t>(offset, model_.size()));
    Note(fmt::format("read {} at {}", found.size(), offset));
    const ssize_t got = ::pread(fd, found.data(), found.size(), static_cast<off_t>(offset));
    ASSERT_EQ(got, static_cast<ssize_t>(wanted)) << std::strerror(errno) << History();
    found.resize(wanted);
    ExpectBytes(found, offset, "read");
  }
  void ReadDirect() {
    const uint64_t offset = Draw(model_.size() / kPage + 1) * kPage;
    const uint64_t length = (1 + Draw(8)) * kPage;
    const std::unique_ptr<char, decltype(&::free)> buffer(
        static_cast<char*>(::aligned_alloc(kPage, length)), ::free);
    Note(fmt::format("read {} at {} past the page cache", length, offset));
    const ssize_t got = ::pread(direct_.get(), buffer.get(), length, static_cast<off_t>(offset));
    ASSERT_GE(got, 0) << std::strerror(errno) << History();
    ASSERT_EQ(static_cast<uint64_t>(got),
              std::min<uint64_t>(length, model_.size() - std::min(offset, model_.size())))
        << History();
    ExpectBytes(std::string(buffer.get(), static_cast<size_t>(got)), offset, "direct read");
  }
  void Change(uint64_t offset, const std::string& bytes) {
    if (model_.size() < offset + bytes.size()) model_.resize(offset + bytes.size(), '\0');
    model_.replace(offset, bytes.size(), bytes);
  }
  void Write() {
    const uint64_t how = Draw(8);
    const bool appends = how == 0;
    const int fd = appends ? appender_.get() : how < 4 ? writer_.get() : both_.get();
    const uint64_t offset = appends        ? model_.size()
                            : Draw(6) == 0 ? Draw(shape_.size_max)
                                           : Draw(model_.size() + 1);
    const uint64_t room = shape_.size_max - std::min(offset, shape_.size_max);
    const std::string bytes = Pattern(std::min(1 + Draw(shape_.length_max), room), random_());
    Note(fmt::format("write {} at {} by handle {}", bytes.size(), offset, how));
    ASSERT_EQ(::pwrite(fd, bytes.data(), bytes.size(), static_cast<off_t>(offset)),
              static_cast<ssize_t>(bytes.size()))
        << std::strerror(errno) << History();
    if (!bytes.empty()) Change(offset, bytes);
  }
  void WriteDirect() {
    const uint64_t offset = Draw(model_.size() / kPage + 1) * kPage;
    const uint64_t length = (1 + Draw(8)) * kPage;
    const std::unique_ptr<char, decltype(&::free)> buffer(
        static_cast<char*>(::aligned_alloc(kPage, length)), ::free);
    const std::string bytes = Pattern(length, random_());
    std::memcpy(buffer.get(), bytes.data(), length);
    Note(fmt::format("write {} at {} past the page cache", length, offset));
    ASSERT_EQ(::pwrite(direct_.get(), buffer.get(), length, static_cast<off_t>(offset)),
              static_cast<ssize_t>(length))
        << std::strerror(errno) << History();
    Change(offset, bytes);
  }
  void Map() {
    if (model_.empty()) return;
    const bool writes = Draw(2) == 0;
    const uint64_t offset = Draw(model_.size());
    const uint64_t length = std::min(1 + Draw(shape_.length_max), model_.size() - offset);
    const uint64_t begin = offset / kPage * kPage;
    const uint64_t mapped = offset + length - begin;
    Note(fmt::format("{} {} at {} in a mapping", writes ? "write" : "read", length, offset));
    void* const memory = ::mmap(nullptr, mapped, PROT_READ | (writes ? PROT_WRITE : 0), MAP_SHARED,
                                both_.get(), static_cast<off_t>(begin));
    ASSERT_NE(memory, MAP_FAILED) << std::strerror(errno) << History();
    char* const bytes = static_cast<char*>(memory) + (offset - begin);
    ExpectBytes(std::string(bytes, length), offset, "mapping");
    if (writes) {
      const std::string changed = Pattern(length, random_());
      std::memcpy(bytes, changed.data(), length);
      Change(offset, changed);
      mapping_written_ = true;
      if (Draw(2) == 0) {
        EXPECT_TRUE(Answered(::msync(memory, mapped, MS_SYNC))) << std::strerror(errno);
      }
    }
    ::munmap(memory, mapped);
  }
  void Truncate() {
    const uint64_t size = Draw(3) == 0 ? Draw(shape_.size_max) : Draw(model_.size() + 1);
    Note(fmt::format("truncate to {}", size));
    ASSERT_EQ(Draw(2) == 0 ? ::ftruncate(both_.get(), static_cast<off_t>(size))
                           : ::truncate(Path("f").c_str(), static_cast<off_t>(size)),
              0)
        << std::strerror(errno);
    model_.resize(size, '\0');
  }
  void Allocate() {
    const uint64_t offset = Draw(model_.size() + 10000);
    const uint64_t length = std::min(1 + Draw(3 * shape_.length_max),
                                     shape_.size_max - std::min(offset, shape_.size_max));
    if (length == 0) return;
    const uint64_t kind = Draw(4);
    const int mode = kind == 0   ? 0
                     : kind == 1 ? FALLOC_FL_KEEP_SIZE
                     : kind == 2 ? FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE
                                 : FALLOC_FL_ZERO_RANGE;
    Note(fmt::format("fallocate {:#x} {} at {}", mode, length, offset));
    ASSERT_EQ(
        ::fallocate(both_.get(), mode, static_cast<off_t>(offset), static_cast<off_t>(length)), 0)
        << std::strerror(errno);
    const bool grows = (mode & FALLOC_FL_KEEP_SIZE) == 0;
    if (grows && model_.size() < offset + length) model_.resize(offset + length, '\0');
    if (kind >= 2 && offset < model_.size()) {
      const uint64_t end = std::min<uint64_t>(offset + length, model_.size());
      std::fill(model_.begin() + static_cast<ptrdiff_t>(offset),
                model_.begin() + static_cast<ptrdiff_t>(end), '\0');
    }
  }
  void CopyRange() {
    uint64_t from = Draw(model_.size());
    uint64_t length = std::min(Draw(shape_.length_max), model_.size() - from);
    const uint64_t to = Draw(model_.size());
    // Not onto itself.
    if (from < to) length = std::min(length, to - from);
    if (to <= from) length = std::min(length, from - to);
    length = std::min(length, shape_.size_max - std::min(to, shape_.size_max));
    if (length == 0) return;
    Note(fmt::format("copy {} from {} to {}", length, from, to));
    const std::string bytes = model_.substr(from, length);
    auto source = static_cast<off64_t>(from);
    auto target = static_cast<off64_t>(to);
    for (uint64_t left = length; left > 0;) {
      const ssize_t some = ::copy_file_range(reader_.get(), &source, both_.get(), &target, left, 0);
      ASSERT_GT(some, 0) << std::strerror(errno) << History();
      left -= static_cast<uint64_t>(some);
    }
    Change(to, bytes);
  }
  // What SEEK_HOLE finds is zeros, and so is what SEEK_DATA passes over.
  void Seek() {
    const uint64_t offset = Draw(model_.size() + 10);
    Note(fmt::format("seek from {}", offset));
    const auto at = static_cast<off_t>(offset);
    // By a handle that may be mapped for writing everything is data.
    if (Draw(2) == 0) {
      CloseAll();
      reader_ = UniqueFd(::open(Path("f").c_str(), O_RDONLY | O_CLOEXEC));
    }
    const off_t data = ::lseek(reader_.get(), at, SEEK_DATA);
    const int data_error = errno;
    const off_t hole = ::lseek(reader_.get(), at, SEEK_HOLE);
    if (offset >= model_.size()) {
      ASSERT_EQ(data, -1);
      ASSERT_EQ(data_error, ENXIO);
      ASSERT_EQ(hole, -1);
      CloseAll();
      ASSERT_NO_FATAL_FAILURE(OpenAll());
      return;
    }
    const uint64_t data_at = data < 0 ? model_.size() : static_cast<uint64_t>(data);
    ASSERT_TRUE(data >= at || (data < 0 && data_error == ENXIO)) << data << History();
    ASSERT_TRUE(std::all_of(model_.begin() + at, model_.begin() + static_cast<ptrdiff_t>(data_at),
                            [](char byte) { return byte == '\0'; }))
        << "data before " << data_at << History();
    ASSERT_GE(hole, at);
    ASSERT_LE(static_cast<uint64_t>(hole), model_.size());
    if (both_.valid()) return;
    CloseAll();
    ASSERT_NO_FATAL_FAILURE(OpenAll());
  }
  void Rest() {
    const uint64_t what = Draw(10);
    if (what < 4) {
      Note("fsync");
      ASSERT_TRUE(Answered(::fsync(both_.get()))) << std::strerror(errno) << env().LogText();
    } else if (what < 6) {
      Note("drop pages");
      ASSERT_EQ(::posix_fadvise(reader_.get(), 0, 0, POSIX_FADV_DONTNEED), 0);
    } else if (what < 9) {
      Note("close and open");
      CloseAll();
      ASSERT_NO_FATAL_FAILURE(OpenAll());
    } else {
      struct stat facts {};
      ASSERT_EQ(::fstat(reader_.get(), &facts), 0);
      ASSERT_EQ(static_cast<uint64_t>(facts.st_size), model_.size()) << History();
    }
  }
  /// What a call has answered is there afterwards; pages that nobody has written back are not.
  void KillAndMount() {
    if (mapping_written_ || Draw(2) == 0) CloseAll();
    Note("kill");
    ASSERT_NO_FATAL_FAILURE(env().Kill());
    CloseAll();
    ASSERT_NO_FATAL_FAILURE(Mount());
    ASSERT_NO_FATAL_FAILURE(OpenAll());
    ASSERT_TRUE(ReadFile(Path("f")) == model_) << History();
  }
  void Remount() {
    const bool cold = Draw(2) == 0;
    Note(cold ? "remount with an empty cache" : "remount");
    CloseAll();
    ASSERT_NO_FATAL_FAILURE(env().Unmount());
    ASSERT_TRUE(server().Body("test", env().prefix() + "f") == model_) << "the object is another\n"
                                                                       << History();
    if (cold) std::filesystem::remove_all(env().directory() + "/cache");
    ASSERT_NO_FATAL_FAILURE(Mount());
    ASSERT_NO_FATAL_FAILURE(OpenAll());
    ASSERT_TRUE(ReadFile(Path("f")) == model_) << History();
  }
  void Operate() {
    const uint64_t what = Draw(100);
    if (what < 25) return Read();
    if (what < 30) return ReadDirect();
    if (what < 53) return Write();
    if (what < 57) return WriteDirect();
    if (what < 70) return Map();
    if (what < 76) return Truncate();
    if (what < 86) return Allocate();
    if (what < 90) return CopyRange();
    if (what < 96) return Seek();
    return Rest();
  }
  void Run(const ModelShape& shape) {
    const uint64_t seed = TestSeed();
    SCOPED_TRACE("seed " + std::to_string(seed));
    random_.seed(seed);
    shape_ = shape;
    if (const char* const given = std::getenv("QUAYFS_TEST_OPERATIONS"); given != nullptr)
      shape_.operations = std::strtoull(given, nullptr, 10);
    ASSERT_NO_FATAL_FAILURE(Mount());
    ASSERT_NO_FATAL_FAILURE(OpenAll());
    for (uint64_t i = 1; i <= shape_.operations; ++i) {
      ASSERT_NO_FATAL_FAILURE(Operate()) << "operation " << i;
      if (HasFailure()) return;
      if (i % shape_.remount_every == 0) {
        ASSERT_NO_FATAL_FAILURE(Remount());
      } else if (i % (shape_.remount_every / 2) == 0) {
        ASSERT_NO_FATAL_FAILURE(KillAndMount());
      }
      if (i % kTellEvery == 0) std::cout << i << " operations" << std::endl;
    }
    ASSERT_NO_FATAL_FAILURE(Remount());
    CloseAll();
    std::cout << shape_.operations << " operations" << std::endl;
  }

  std::mt19937_64 random_;
  ModelShape shape_;
  bool faults_ = false;
  bool mapping_written_ = false;  // since the file was last closed
  std::string model_;
  std::deque<std::string> history_;
  UniqueFd both_;
  UniqueFd writer_;
  UniqueFd appender_;
  UniqueFd reader_;
  UniqueFd direct_;
};

TEST_F(FileModelTest, AFileOfOneRequestAgreesWithAString) {
  Run({256 << 10, 20000, LongRun() ? 10'000'000u : 92'000u, 4000});
}

TEST_F(FileModelTest, AFileOfSeveralPartsAgreesWithAString) {
  Run({14 << 20, 400000, LongRun() ? 500'000u : 2'000u, 500});
}

TEST_F(FileModelTest, AStoreThatFailsNowAndThenChangesNothing) {
  faults_ = true;
  FailNowAndThen();
  Run({256 << 10, 20000, LongRun() ? 1'000'000u : 6'000u, 1000});
}

}  // namespace
}  // namespace quayfs::mounttest
