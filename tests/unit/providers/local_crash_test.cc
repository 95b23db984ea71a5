// SPDX-License-Identifier: Apache-2.0
//
// Whatever happens to the disk, an object of a local store is the whole old or the whole new one;
// and what was acknowledged is there after a power cut. Each operation is broken at its first,
// second, ... system call until it gets through.

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <map>
#include <random>

#include "base/hash.h"
#include "providers/local_store.h"
#include "tests/unit/providers/faulty_disk.h"

namespace quayfs {
namespace {

namespace fs = std::filesystem;

/// Keys with everything that is known of them: "CONTENT|META".
using State = std::map<std::string, std::string>;

const std::string kLong(300'000, 'L');

ObjectProperties Meta(const std::string& value) {
  ObjectProperties properties;
  properties.metadata["m"] = value;
  return properties;
}

Status Put(ObjectStore& store, const std::string& key, const std::string& text,
           const Condition& condition = Condition::None()) {
  const auto info =
      store.Put(key, MemorySource(text), Meta("of " + text.substr(0, 8)), condition, {});
  if (!info) return info.error();
  return {};
}

std::string Stored(const std::string& text) { return text + "|of " + text.substr(0, 8); }

struct Scenario {
  std::string name;
  std::function<Status(ObjectStore&)> run;
  State after;
  bool atomic = true;  // all keys change at once
};

const State kBefore = {
    {"a", Stored("old a")}, {"d/b", Stored("old b")}, {"d/e/f", Stored("old f")}};

State With(const State& changes) {
  State state = kBefore;
  for (const auto& [key, value] : changes) {
    if (value.empty()) {
      state.erase(key);
    } else {
      state[key] = value;
    }
  }
  return state;
}

template <typename T>
Status Plain(const Result<T>& result) {
  if (!result.ok()) return result.error();
  return {};
}

Status Upload(ObjectStore& store, const std::string& key) {
  QUAY_ASSIGN(const std::string id, store.CreateUpload(key, Meta("of LLLLLLLL"), {}));
  QUAY_ASSIGN(const PartInfo one, store.UploadPart(key, id, 1, MemorySource(kLong), {}));
  QUAY_ASSIGN(const PartInfo two, store.CopyPart(key, id, 2, "a", "", ByteRange{0, 5}, {}));
  return Plain(store.CompleteUpload(key, id, {one, two}, Condition::None(), {}));
}

std::vector<Scenario> Scenarios() {
  return {
      {"Replace", [](ObjectStore& s) { return Put(s, "a", kLong); }, With({{"a", Stored(kLong)}})},
      {"Create",
       [](ObjectStore& s) { return Put(s, "new/deep/c", "new c", Condition::IfAbsent()); },
       With({{"new/deep/c", Stored("new c")}})},
      {"CreateBeside", [](ObjectStore& s) { return Put(s, "d/b/c", "new c"); },
       With({{"d/b/c", Stored("new c")}})},
      {"Delete", [](ObjectStore& s) { return s.Delete("d/e/f", Condition::None(), {}); },
       With({{"d/e/f", ""}})},
      {"DeleteMany",
       [](ObjectStore& s) -> Status {
         QUAY_ASSIGN(const auto outcomes, s.DeleteMany({"a", "d/b", "none", "d/e/f"}, {}));
         for (const DeleteOutcome& outcome : outcomes) QUAY_TRY(outcome.status);
         return {};
       },
       State{}, /*atomic=*/false},
      {"Copy",
       [](ObjectStore& s) {
         return Plain(s.Copy("a", "", "copy/of", std::nullopt, Condition::None(), {}));
       },
       With({{"copy/of", Stored("old a")}})},
      {"NewProperties",
       [](ObjectStore& s) {
         return Plain(s.Copy("a", "", "a", Meta("fresh"), Condition::None(), {}));
       },
       With({{"a", "old a|fresh"}})},
      {"Move", [](ObjectStore& s) { return Plain(s.Move("d/e/f", "g/h", {})); },
       With({{"d/e/f", ""}, {"g/h", Stored("old f")}})},
      {"MoveOnto", [](ObjectStore& s) { return Plain(s.Move("d/e/f", "a", {})); },
       With({{"d/e/f", ""}, {"a", Stored("old f")}})},
      {"Upload", [](ObjectStore& s) { return Upload(s, "a"); },
       With({{"a", kLong + "old a|of LLLLLLLL"}})},
  };
}

class LocalCrash : public testing::TestWithParam<DiskFault> {
 protected:
  void SetUp() override {
    top_ = fs::temp_directory_path() / ("quayfs-crash-" + HexEncode(RandomBytes(8)));
    fs::create_directories(top_);
  }
  void TearDown() override {
    std::error_code ignored;
    fs::remove_all(top_, ignored);
  }

  std::string bucket() const { return (top_ / "bucket").string(); }
  std::string stash() const { return (top_ / "stash").string(); }

  void Prepare() {
    fs::remove_all(top_);
    fs::create_directories(bucket());
    fs::create_directories(stash());
    const auto store = OpenLocalStore(bucket()).value();
    ASSERT_TRUE(Put(*store, "a", "old a").ok());
    ASSERT_TRUE(Put(*store, "d/b", "old b").ok());
    ASSERT_TRUE(Put(*store, "d/e/f", "old f").ok());
  }

  static State Read(ObjectStore& store) {
    State state;
    const auto page = store.List(ListRequest{"", "", "", 1000}, {});
    EXPECT_TRUE(page.ok()) << page.error().ToString();
    if (!page) return state;
    for (const ObjectInfo& info : page->objects) {
      StringSink sink;
      const auto head = store.Get(GetRequest{info.key, {}, {}}, sink, {});
      EXPECT_TRUE(head.ok()) << info.key << ": " << head.error().ToString();
      if (!head) continue;
      const auto meta = head->properties.metadata.find("m");
      state[info.key] =
          sink.text() + "|" + (meta == head->properties.metadata.end() ? "" : meta->second);
    }
    return state;
  }

  /// The state is the old or the new one; only the new one if the operation said so.
  static void Check(const Scenario& scenario, const State& state, bool acknowledged,
                    const std::string& where) {
    if (acknowledged) {
      EXPECT_TRUE(state == scenario.after) << where << ": acknowledged, but not there";
      return;
    }
    if (scenario.atomic) {
      EXPECT_TRUE(state == kBefore || state == scenario.after) << where << ": neither old nor new";
      return;
    }
    for (const auto& [key, value] : state) {
      const auto old = kBefore.find(key);
      const auto now = scenario.after.find(key);
      const bool is_old = old != kBefore.end() && old->second == value;
      const bool is_new = now != scenario.after.end() && now->second == value;
      EXPECT_TRUE(is_old || is_new) << where << ": " << key;
    }
  }

  /// The folder works, and what was left half done is out of the way.
  void CheckWorking(const std::string& where) {
    const auto store = OpenLocalStore(bucket()).value();
    EXPECT_TRUE(Put(*store, "again", "again").ok()) << where;
    EXPECT_TRUE(store->Delete("again", Condition::None(), {}).ok()) << where;
    const auto left = SystemDisk().List(bucket() + "/.quayfs-tmp");
    EXPECT_TRUE(!left || left->empty()) << where << ": " << left->size() << " temporary files left";
    const auto uploads = store->ListUploads("", {});
    ASSERT_TRUE(uploads.ok()) << where;
    for (const UploadInfo& upload : *uploads) {
      EXPECT_TRUE(store->AbortUpload(upload.key, upload.upload_id, {}).ok()) << where;
    }
    // A prefix is listed if and only if something is below it.
    const auto page = store->List(ListRequest{"", "/", "", 1000}, {});
    ASSERT_TRUE(page.ok());
    for (const std::string& prefix : page->common_prefixes) {
      const auto below = store->List(ListRequest{prefix, "", "", 1}, {});
      EXPECT_TRUE(below.ok() && !below->objects.empty()) << where << ": nothing below " << prefix;
    }
  }

  fs::path top_;
};

TEST_P(LocalCrash, OldOrNew) {
  std::mt19937 random(20130524);
  for (const Scenario& scenario : Scenarios()) {
    bool struck = true;
    for (int64_t at = 1; struck; ++at) {
      ASSERT_LT(at, 1000) << scenario.name << " never gets through";
      Prepare();
      FaultyDisk disk(GetParam(), at, stash());
      Status status;
      {
        const auto store = OpenLocalStore(bucket(), disk).value();
        status = scenario.run(*store);
      }
      struck = disk.struck();
      std::string where = fmt::format("{} broken at operation {}", scenario.name, at);
      EXPECT_TRUE(struck || status.ok()) << where << " failed by itself";
      if (GetParam() == DiskFault::kPowerCut) {
        const size_t keep = at % 2 == 0 ? 0 : random() % 8;
        disk.PowerCut(keep);
        where += fmt::format(", first {} unsynced changes kept", keep);
      }
      const auto reopened = OpenLocalStore(bucket()).value();
      Check(scenario, Read(*reopened), status.ok(), where);
      CheckWorking(where);
    }
  }
}

// What comes after an acknowledged change must not be needed for it to last.
TEST_P(LocalCrash, AcknowledgedIsDurable) {
  if (GetParam() != DiskFault::kPowerCut) GTEST_SKIP() << "about power cuts";
  for (const Scenario& scenario : Scenarios()) {
    Prepare();
    FaultyDisk disk(DiskFault::kNone, 0, stash());
    {
      const auto store = OpenLocalStore(bucket(), disk).value();
      ASSERT_TRUE(scenario.run(*store).ok()) << scenario.name;
    }
    disk.PowerCut(0);
    const auto reopened = OpenLocalStore(bucket()).value();
    EXPECT_TRUE(Read(*reopened) == scenario.after) << scenario.name;
  }
}

TEST_P(LocalCrash, AnUploadGoesOnAfterwards) {
  if (GetParam() != DiskFault::kPowerCut) GTEST_SKIP() << "about power cuts";
  Prepare();
  FaultyDisk disk(DiskFault::kNone, 0, stash());
  std::string id;
  PartInfo one;
  {
    const auto store = OpenLocalStore(bucket(), disk).value();
    id = store->CreateUpload("a", Meta("uploaded"), {}).value();
    one = store->UploadPart("a", id, 1, MemorySource(kLong), {}).value();
  }
  disk.PowerCut(0);
  const auto store = OpenLocalStore(bucket()).value();
  const auto parts = store->ListParts("a", id, {});
  ASSERT_TRUE(parts.ok()) << parts.error().ToString();
  ASSERT_EQ(parts->size(), 1u);
  EXPECT_TRUE(SameEtag((*parts)[0].etag, one.etag));
  const PartInfo two =
      store->UploadPart("a", id, 2, MemorySource(std::string_view("x")), {}).value();
  ASSERT_TRUE(store->CompleteUpload("a", id, {one, two}, Condition::None(), {}).ok());
  EXPECT_EQ(Read(*store)["a"], kLong + "x|uploaded");
}

std::string FaultName(const testing::TestParamInfo<DiskFault>& fault) {
  switch (fault.param) {
    case DiskFault::kError:
      return "Error";
    case DiskFault::kFull:
      return "Full";
    case DiskFault::kKilled:
      return "Killed";
    case DiskFault::kPowerCut:
      return "PowerCut";
    case DiskFault::kNone:
      break;
  }
  return "None";
}

INSTANTIATE_TEST_SUITE_P(Faults, LocalCrash,
                         testing::Values(DiskFault::kError, DiskFault::kFull, DiskFault::kKilled,
                                         DiskFault::kPowerCut),
                         FaultName);

}  // namespace
}  // namespace quayfs
