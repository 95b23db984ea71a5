// SPDX-License-Identifier: Apache-2.0
//
// The state of a file's bytes, against a model that keeps one record per byte.

#include "cache/file_extents.h"

#include <gtest/gtest.h>

#include <random>
#include <vector>

namespace quayfs {
namespace {

enum class State { kMissing, kClean, kDirty };

/// Contents as version numbers: what the file is, what the local file holds, what the base holds.
struct Model {
  std::vector<int> content;
  std::vector<State> state;
  std::vector<bool> hole;
  std::vector<int> base;
  std::vector<int> publishing;
  bool in_publication = false;
  int next = 1;

  void Resize(size_t size) {
    content.resize(size, 0);
    state.resize(size, State::kDirty);
    hole.resize(size, true);
  }
  uint64_t Count(State wanted, bool holes) const {
    uint64_t bytes = 0;
    for (size_t i = 0; i < state.size(); ++i) bytes += state[i] == wanted && hole[i] == holes;
    return bytes;
  }
};

class FileExtentsModel {
 public:
  explicit FileExtentsModel(uint64_t seed) : random_(seed) {
    const size_t size = Below(80);
    if (Below(2) == 0) {
      for (size_t i = 0; i < size; ++i) model_.base.push_back(model_.next++);
      model_.content = model_.base;
      model_.state.assign(size, State::kMissing);
      model_.hole.assign(size, false);
      extents_ = FileExtents::OfBase(size);
    }
  }

  void Step() {
    const size_t size = model_.content.size();
    const uint64_t begin = Below(size + 20);
    const ByteRange range{begin, begin + 1 + Below(30)};
    switch (Below(9)) {
      case 0:
      case 1:
        return Write(range);
      case 2:
        return Truncate(Below(120));
      case 3:
        return Fill(range);
      case 4:
        return Evict(range);
      case 5:
        if (!model_.in_publication) Begin();
        return;
      case 6:
        if (model_.in_publication && Below(3) == 0) Commit();
        return;
      case 7:
        return Zero(range);
      default:
        if (model_.in_publication && Below(8) == 0) {
          model_.in_publication = false;
          extents_.CancelPublication();
        }
    }
  }

  void Check() const {
    ASSERT_EQ(extents_.CheckInvariants(), "");
    ASSERT_EQ(extents_.size(), model_.content.size());
    uint64_t dirty = 0;
    for (size_t i = 0; i < model_.content.size(); ++i) {
      const ByteRange byte{i, i + 1};
      ASSERT_EQ(extents_.clean().Contains(byte), model_.state[i] == State::kClean) << i;
      ASSERT_EQ(extents_.dirty().Contains(byte), model_.state[i] == State::kDirty) << i;
      ASSERT_EQ(extents_.Readable(byte), model_.state[i] != State::kMissing) << i;
      ASSERT_EQ(extents_.holes().Contains(byte), model_.hole[i]) << i;
      // The promise that all of it is about: what is not dirty can be had from the base.
      if (model_.state[i] != State::kDirty) {
        ASSERT_LT(i, model_.base.size());
        ASSERT_LT(i, extents_.base_limit());
        ASSERT_EQ(model_.base[i], model_.content[i]) << i;
      }
      dirty += model_.state[i] == State::kDirty ? 1 : 0;
    }
    ASSERT_EQ(extents_.dirty_bytes(), dirty);
    ASSERT_EQ(extents_.written_bytes(), model_.Count(State::kDirty, false));
    ASSERT_EQ(extents_.nothing_cached(), model_.Count(State::kClean, false) == 0);
    if (!extents_.modified()) {
      ASSERT_EQ(model_.content, model_.base);
    }
  }

 private:
  uint64_t Below(uint64_t limit) { return random_() % limit; }

  void Change(ByteRange range, bool zeros) {
    if (range.end > model_.content.size()) model_.Resize(range.end);
    for (uint64_t i = range.begin; i < range.end; ++i) {
      model_.content[i] = zeros ? 0 : model_.next++;
      model_.state[i] = State::kDirty;
      model_.hole[i] = zeros;
    }
  }
  /// The bytes that are reported as lost are those that took room.
  void ExpectLost(const std::vector<ByteRange>& lost, uint64_t before) {
    uint64_t bytes = 0;
    for (const ByteRange& range : lost) bytes += range.length();
    ASSERT_EQ(bytes, before - model_.Count(State::kClean, false));
  }
  void Write(ByteRange range) {
    const uint64_t generation = extents_.generation();
    const uint64_t stored = model_.Count(State::kClean, false);
    Change(range, false);
    ExpectLost(extents_.Write(range).clean_lost, stored);
    ASSERT_GT(extents_.generation(), generation);
  }
  void Zero(ByteRange range) {
    const uint64_t stored = model_.Count(State::kClean, false);
    Change(range, true);
    ExpectLost(extents_.Zero(range).clean_lost, stored);
  }
  void Truncate(uint64_t size) {
    const uint64_t stored = model_.Count(State::kClean, false);
    model_.Resize(size);
    ExpectLost(extents_.Truncate(size).clean_lost, stored);
  }
  void Fill(ByteRange range) {
    for (const ByteRange& missing : extents_.Missing(range)) {
      extents_.Filled(missing);
      for (uint64_t i = missing.begin; i < missing.end; ++i) {
        ASSERT_EQ(model_.state[i], State::kMissing);
        model_.state[i] = State::kClean;
      }
    }
  }
  void Evict(ByteRange range) {
    const uint64_t stored = model_.Count(State::kClean, false);
    for (uint64_t i = range.begin; i < std::min<uint64_t>(range.end, model_.state.size()); ++i) {
      if (model_.state[i] != State::kClean) continue;
      model_.state[i] = State::kMissing;
      model_.hole[i] = false;
    }
    ExpectLost(extents_.Drop(range), stored);
  }
  void Begin() {
    model_.in_publication = true;
    model_.publishing = model_.content;
    extents_.BeginPublication();
    touched_from_ = extents_.generation();
  }
  void Commit() {
    model_.in_publication = false;
    model_.base = model_.publishing;
    extents_.CommitPublication();
    // Which of the dirty bytes became clean is the subject's choice; that it may is checked in
    // Check(), and that it does here.
    for (size_t i = 0; i < model_.state.size(); ++i) {
      const bool same = i < model_.base.size() && model_.base[i] == model_.content[i];
      if (model_.state[i] != State::kDirty) continue;
      if (!extents_.dirty().Contains({i, i + 1})) {
        ASSERT_TRUE(same) << i;
        model_.state[i] = State::kClean;
      } else if (same && model_.content[i] != 0) {
        ADD_FAILURE() << "byte " << i << " was published and is still dirty";
      }
    }
    if (extents_.generation() == touched_from_) {
      ASSERT_FALSE(extents_.modified());
    }
  }

  std::mt19937_64 random_;
  Model model_;
  FileExtents extents_;
  uint64_t touched_from_ = 0;
};

TEST(FileExtentsTest, AgreesWithAByteArray) {
  const uint64_t first = std::random_device{}();
  for (uint64_t seed = first; seed < first + 60; ++seed) {
    SCOPED_TRACE(testing::Message() << "seed " << seed);
    FileExtentsModel model(seed);
    for (int step = 0; step < 400; ++step) {
      SCOPED_TRACE(testing::Message() << "step " << step);
      model.Step();
      model.Check();
      if (testing::Test::HasFailure()) return;
    }
  }
}

TEST(FileExtentsTest, ANewFileIsModifiedUntilPublished) {
  FileExtents extents;
  EXPECT_TRUE(extents.modified());
  extents.BeginPublication();
  extents.CommitPublication();
  EXPECT_FALSE(extents.modified());
}

TEST(FileExtentsTest, CuttingOffIsAModificationWithoutDirtyBytes) {
  FileExtents extents = FileExtents::OfBase(100);
  EXPECT_FALSE(extents.modified());
  extents.Truncate(50);
  EXPECT_TRUE(extents.modified());
  EXPECT_EQ(extents.dirty_bytes(), 0u);
  EXPECT_EQ(extents.base_limit(), 50u);
  extents.Truncate(100);
  EXPECT_EQ(extents.dirty().ranges(), (std::vector<ByteRange>{{50, 100}}));
}

TEST(FileExtentsTest, WritingBeyondTheEndMakesDirtyZeros) {
  FileExtents extents = FileExtents::OfBase(10);
  const FileExtents::Change change = extents.Write({20, 30});
  EXPECT_EQ(change.range, (ByteRange{10, 30}));
  EXPECT_TRUE(extents.dirty().Contains({10, 30}));
}

TEST(FileExtentsTest, HolesWaitForNothingAndTakeNoRoom) {
  constexpr uint64_t kTerabyte = 1ull << 40;
  FileExtents extents;
  extents.Truncate(kTerabyte);
  EXPECT_EQ(extents.dirty_bytes(), kTerabyte);
  EXPECT_EQ(extents.written_bytes(), 0u);
  extents.Write({100, 200});
  extents.Write({kTerabyte + 100, kTerabyte + 200});
  EXPECT_EQ(extents.written_bytes(), 200u);
  extents.BeginPublication();
  EXPECT_EQ(extents.WithoutHoles(extents.CommitPublication()),
            (std::vector<ByteRange>{{100, 200}, {kTerabyte + 100, kTerabyte + 200}}));
  EXPECT_TRUE(extents.Readable({0, kTerabyte}));
  EXPECT_EQ(extents.Drop({0, 2 * kTerabyte}).size(), 2u);
  EXPECT_TRUE(extents.holes().empty());
}

TEST(FileExtentsTest, TruncatingToTheSameSizeChangesNothing) {
  FileExtents extents = FileExtents::OfBase(10);
  extents.Truncate(10);
  EXPECT_FALSE(extents.modified());
  EXPECT_EQ(extents.generation(), 0u);
}

TEST(FileExtentsTest, WritesDuringAPublicationStayDirty) {
  FileExtents extents;
  extents.Write({0, 100});
  extents.BeginPublication();
  extents.Write({10, 20});
  extents.Truncate(80);
  extents.Truncate(90);
  const std::vector<ByteRange> cleaned = extents.CommitPublication();
  EXPECT_EQ(cleaned, (std::vector<ByteRange>{{0, 10}, {20, 80}}));
  EXPECT_EQ(extents.base_limit(), 80u);
  EXPECT_TRUE(extents.modified());
}

}  // namespace
}  // namespace quayfs
