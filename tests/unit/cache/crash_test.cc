// SPDX-License-Identifier: Apache-2.0
//
// C1 to C3, C6 and C7 (FORMAT.md, cache/file_core.h): the power fails, or the daemon is killed, at
// every single operation of a workload on the disk, the database and the store. What is there
// afterwards is compared with what had been acknowledged.

#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <set>

#include "cache/left_files.h"
#include "tests/unit/cache/cache_fixture.h"
#include "tests/unit/cache/crash_world.h"

namespace quayfs {
namespace {

using Kind = FakeRequest::Kind;

/// What one file went through.
struct Story {
  std::string key;
  std::vector<std::string> states;     // acknowledged, oldest first
  std::optional<std::string> pending;  // asked for when everything ended
  size_t published = 0;                // of `states`, when has_object
  bool has_object = false;
  std::optional<size_t> sealed;  // of `states`
  bool seal_asked = false;       // a seal may be there though it was not acknowledged
  bool publish_asked = false;    // since the last acknowledged publication
  bool removed = false;
  bool remove_asked = false;
  std::string etag;  // of the object, as the owner knows it
  bool written = false;

  const std::string& now() const { return states.back(); }
  bool IsState(const std::string& text, size_t from) const {
    if (pending && *pending == text) return true;
    return std::find(states.begin() + static_cast<ptrdiff_t>(std::min(from, states.size())),
                     states.end(), text) != states.end();
  }
};

enum class End { kKill, kPowerCut };

/// How one life ends and what the next one finds.
struct Ending {
  End end = End::kKill;
  int at = -1;
  Unsynced unsynced = Unsynced::kKept;
  enum class Log { kAll, kFlushed, kSome } log = Log::kAll;
  uint64_t seed = 0;
  int again_at = -1;  // in the takeover
};

std::ostream& operator<<(std::ostream& out, const Ending& ending) {
  return out << (ending.end == End::kKill ? "kill" : "power cut") << " at " << ending.at
             << ", unsynced " << static_cast<int>(ending.unsynced) << ", log "
             << static_cast<int>(ending.log) << ", again at " << ending.again_at << ", seed "
             << ending.seed;
}

/// One machine, from its first boot to the last check.
class Machine {
 public:
  explicit Machine(const std::string& directory)
      : config_(SmallConfig(directory + "/cache")), disk_(power_, config_.directory) {
    std::filesystem::create_directories(config_.directory);
    std::filesystem::permissions(config_.directory, std::filesystem::perms::owner_all);
    config_.put_size_max = 8 << 10;
    config_.part_size = 8 << 10;
    config_.fetch_block = 4 << 10;
    config_.fetch_part = 16 << 10;
    config_.size_limit = 48 << 10;
    config_.upload_concurrency = 2;
    config_.keep_block = 2 << 10;
    config_.sum_delay = std::chrono::milliseconds(1);
    store_.before = [this](const FakeRequest& request) -> Status {
      if (request.kind == Kind::kCreate) created_at_ = power_.operations();
      return Step();
    };
    store_.after = [this](const FakeRequest&) { return Step(); };
  }
  ~Machine() { Stop(); }

  Status Boot(bool same_boot, bool first) {
    const std::string folder = config_.directory + "-db" + std::to_string(boots_++);
    std::filesystem::create_directory(folder);
    auto opened = Cache::OpenWith(
        config_, store_, disk_, SystemClock(),
        [&](const std::string&, const StateIdentity&) -> Result<std::unique_ptr<StateDb>> {
          QUAY_ASSIGN(std::unique_ptr<StateDb> db, Rebuild(folder, log_, log_.batches.size()));
          return std::unique_ptr<StateDb>(
              std::make_unique<PoweredDb>(std::move(db), power_, log_, same_boot, first));
        });
    if (!opened) return opened.error();
    cache_ = *std::move(opened);
    return {};
  }

  /// Everything that was running is gone, and what has not survived is, too.
  void Crash(const Ending& ending) {
    power_.CutNow();
    Stop();
    std::mt19937_64 random(ending.seed);
    size_t count = log_.batches.size();
    if (ending.end == End::kKill) {
      if (ending.log != Ending::Log::kAll) count = log_.acknowledged;
      disk_.Crash(Unsynced::kKept, ending.seed);
    } else {
      if (ending.log == Ending::Log::kFlushed) count = log_.flushed;
      if (ending.log == Ending::Log::kSome)
        count = log_.flushed + random() % (log_.batches.size() - log_.flushed + 1);
      disk_.Crash(ending.unsynced, ending.seed);
    }
    if (ending.at >= 0) mere_creation_ = created_at_ >= 0 && created_at_ + 1 >= ending.at;
    log_.batches.resize(count);
    power_.Restore();
  }

  void Stop() {
    files_.clear();
    cache_.reset();
  }

  FileData& file(uint64_t inode) { return *files_.at(inode); }
  bool off() const { return power_.off(); }

  // ---- what is done, and what of it is acknowledged
  void Create(uint64_t inode, const std::string& key) {
    if (off()) return;
    auto file = cache_->Create(inode);
    if (!file) return;
    files_[inode] = *std::move(file);
    stories[inode].key = key;
    stories[inode].states = {""};
  }
  void OpenObject(uint64_t inode, const std::string& key, const std::string& data) {
    if (off()) return;
    Story& story = stories[inode];
    story.key = key;
    story.states = {data};
    story.has_object = true;
    story.etag = store_.SetObject(key, data);
    auto file = cache_->Open(inode, {key, story.etag, data.size()});
    if (file) files_[inode] = *std::move(file);
  }
  void Write(uint64_t inode, uint64_t offset, size_t size, uint64_t seed) {
    if (off()) return;
    Story& story = stories[inode];
    std::string next = story.now();
    if (next.size() < offset + size) next.resize(offset + size, '\0');
    const std::string text = RandomText(size, seed);
    next.replace(offset, size, text);
    story.pending = next;
    story.written = true;
    if (file(inode).Write(offset, BytesOf(text))) Done(story);
  }
  void Truncate(uint64_t inode, uint64_t size) {
    if (off()) return;
    Story& story = stories[inode];
    std::string next = story.now();
    next.resize(size, '\0');
    story.pending = next;
    story.written = true;
    if (file(inode).Truncate(size)) Done(story);
  }
  void Seal(uint64_t inode) {
    if (off()) return;
    Story& story = stories[inode];
    story.seal_asked = true;
    if (!file(inode).SyncLocal() || off()) return;
    story.sealed = story.states.size() - 1;
  }
  void Publish(uint64_t inode) {
    if (off()) return;
    Story& story = stories[inode];
    PublishRequest request{story.key, {}, Condition::IfAbsent()};
    if (story.has_object) request.condition = Condition::IfEtag(story.etag);
    const size_t state = story.states.size() - 1;
    story.publish_asked = true;
    auto info = file(inode).Publish(request, {});
    if (!info || off()) return;
    story.publish_asked = false;
    story.has_object = true;
    story.etag = info->etag;
    story.published = state;
    if (story.sealed && *story.sealed <= state) {
      story.sealed.reset();
      story.seal_asked = false;
    }
    // As the owner of names and attributes does.
    Ignore(cache_->state()->Apply(StateBatch().DropContentIfClean(inode), Persist::kSurvivesKill));
  }
  void Remove(uint64_t inode) {
    if (off()) return;
    stories[inode].remove_asked = true;
    cache_->Remove(inode);
    files_.erase(inode);
    if (!off()) stories[inode].removed = true;
  }
  /// Reads an object that is larger than the cache may be.
  void Evict() {
    if (off()) return;
    const std::string data = RandomText(60000, 99);
    auto file = cache_->Open(100, {"filler", store_.SetObject("filler", data), data.size()});
    if (!file) return;
    ReadPattern pattern;
    std::string out(data.size(), '?');
    auto read = (*file)->Read(0, std::as_writable_bytes(std::span(out)), pattern, true, {});
    EXPECT_TRUE(!read || off() || out == data);
  }
  void Read(uint64_t inode) {
    if (off()) return;
    auto text = ReadFile(file(inode));
    EXPECT_TRUE(!text || off() || *text == stories[inode].now()) << inode;
  }
  static Result<std::string> ReadFile(FileData& file) {
    ReadPattern pattern;
    std::string out(file.size(), '?');
    QUAY_ASSIGN(const size_t count,
                file.Read(0, std::as_writable_bytes(std::span(out)), pattern, true, {}));
    out.resize(count);
    return out;
  }
  /// A hook for the next PUT: what happens to the file while it is under way.
  void DuringPut(std::function<void()> action) {
    store_.mid_body = [this, action = std::move(action)](const FakeRequest& request) -> Status {
      if (request.kind != Kind::kPut || off()) return {};
      store_.mid_body = nullptr;
      action();
      return {};
    };
  }

  void Run() {
    Create(1, "small");
    Write(1, 0, 3000, 1);
    Write(1, 3000, 3000, 2);
    Write(1, 1000, 700, 3);
    Seal(1);
    Write(1, 6000, 1500, 4);  // beside the seal
    Write(1, 500, 600, 5);    // into it
    Truncate(1, 4000);
    Truncate(1, 5500);
    Seal(1);
    Write(1, 5500, 500, 6);
    Create(2, "removed");
    Write(2, 0, 5000, 7);
    Seal(2);
    Publish(1);
    Remove(2);
    Write(1, 100, 200, 8);
    Seal(1);
    OpenObject(3, "big", RandomText(40000, 9));
    Read(3);
    Write(3, 10000, 2000, 10);
    Evict();
    Read(1);
    Truncate(3, 35000);
    Seal(3);
    Write(3, 20000, 100, 11);
    Publish(3);
    Publish(1);
    Create(4, "large");
    for (uint64_t part = 0; part < 5; ++part) Write(4, part * 7000, 7000, 20 + part);
    Seal(4);
    Write(4, 35000, 3000, 30);
    Publish(4);
    Write(4, 9000, 50, 31);
    Write(3, 100, 50, 32);
    Seal(3);
    Evict();
    Publish(4);
    Create(5, "busy");
    Write(5, 0, 6000, 33);
    Seal(5);
    DuringPut([this] {
      Write(5, 2000, 100, 34);
      Seal(5);
      Write(5, 6000, 100, 35);
    });
    Publish(5);
    store_.mid_body = nullptr;
    Create(6, "empty");
    Publish(6);
    Create(7, "database");
    Write(7, 0, 7000, 36);
    Seal(7);
    Write(7, 100, 50, 37);  // each changes sealed bytes in place
    Write(7, 5000, 900, 38);
    Write(7, 150, 50, 39);
    Truncate(7, 3000);
    Write(7, 3000, 5000, 40);
    Truncate(7, 0);
    Write(7, 0, 2000, 41);
    Seal(7);
    Write(7, 0, 10, 42);
  }

  // ---- afterwards
  void CheckObjects() {
    for (const auto& [inode, story] : stories) {
      const auto object = store_.Find(story.key);
      if (!object) {
        EXPECT_FALSE(story.has_object) << "C6 " << story.key;
        continue;
      }
      EXPECT_TRUE(story.IsState(object->data, story.published)) << "C6: torn " << story.key;
    }
  }

  /// Takes up what is left, checks it, publishes it, and checks the bucket.
  void TakeUp(const Ending& ending) {
    std::map<uint64_t, RestoredFile> left;
    for (const RestoredFile& file : cache_->restored()) left.emplace(file.inode, file);
    std::set<std::string> noted;
    ASSERT_TRUE(cache_->state()
                    ->ReadNotes([&](const NoteRow& note) {
                      if (note.kind == kSetAsideNote) noted.insert(note.path);
                    })
                    .ok());
    for (auto& [inode, story] : stories) {
      SCOPED_TRACE(testing::Message() << "inode " << inode);
      const auto it = left.find(inode);
      const RestoredFile* file = it == left.end() ? nullptr : &it->second;
      if (file != nullptr && !file->set_aside.empty()) {
        EXPECT_TRUE(noted.contains(file->set_aside)) << "C3: not listed";
        EXPECT_TRUE(disk_.Content(file->set_aside).has_value()) << "C3: not set aside";
      }
      EXPECT_TRUE(!story.removed || ending.end != End::kKill || file == nullptr) << "C1";
      if (story.remove_asked) {
        cache_->Remove(inode);
        continue;
      }
      if (ending.end == End::kKill) {
        CheckKilled(inode, story, file);
      } else {
        CheckPowerCut(inode, story, file);
      }
    }
    Stop();
    // An upload that the store has made, and nobody has been told of.
    if (mere_creation_) store_.ForgetUploads();
  }

 private:
  Status Step() {
    return power_.Take() == Power::Step::kRuns
               ? Status()
               : Status(Error(Code::kUnavailable, "nobody is there to hear it"));
  }
  void Done(Story& story) { story.states.push_back(*std::exchange(story.pending, std::nullopt)); }

  /// C1: whatever was acknowledged is there.
  void CheckKilled(uint64_t inode, Story& story, const RestoredFile* file) {
    if (file != nullptr) {
      EXPECT_TRUE(file->usable) << "C1";
      EXPECT_EQ(file->set_aside, "") << "C1";
    }
    Adopt(inode, story, file);
    const std::string content = Drain(inode, story);
    EXPECT_TRUE(content == story.now() || (story.pending && content == *story.pending)) << "C1";
  }

  void CheckPowerCut(uint64_t inode, Story& story, const RestoredFile* file) {
    if (file != nullptr && !file->usable) {
      EXPECT_FALSE(story.sealed.has_value()) << "C2: a sealed generation is lost";
      // The object is as it was.
      cache_->Remove(inode);
      return;
    }
    if (file != nullptr && file->state.dirty) {
      EXPECT_TRUE(story.seal_asked) << "C3: what was never sealed would be published";
    }
    const size_t oldest =
        std::max(story.sealed.value_or(0), story.has_object ? story.published : size_t{0});
    Adopt(inode, story, file);
    const std::string content = Drain(inode, story);
    EXPECT_TRUE(story.IsState(content, oldest)) << "C2: torn, or older than its seal";
  }

  /// As the owner would.
  void Adopt(uint64_t inode, Story& story, const RestoredFile* file) {
    if (file != nullptr) {
      auto restored = cache_->Restore(inode);
      EXPECT_TRUE(restored.ok());
      files_[inode] = *std::move(restored);
      if (file->state.base.exists()) story.etag = file->state.base.etag;
      story.has_object = file->state.base.exists();
    } else if (const auto object = store_.Find(story.key); object) {
      files_[inode] = *cache_->Open(inode, {story.key, object->etag, object->data.size()});
      story.etag = object->etag;
    } else {
      files_[inode] = *cache_->Create(inode);
    }
  }

  /// C6: publishes what is not in the bucket, and returns it. An earlier success of ours is never
  /// taken for somebody else's change.
  std::string Drain(uint64_t inode, const Story& story) {
    // Unclear, and so not to be read, until the last attempt is cleared up.
    auto before = ReadFile(file(inode));
    EXPECT_TRUE(before.ok() || before.Is(Code::kUnavailable)) << before.error().ToString();
    if (file(inode).dirty()) {
      PublishRequest request{story.key, {}, Condition::IfAbsent()};
      if (story.has_object) request.condition = Condition::IfEtag(story.etag);
      auto info = file(inode).Publish(request, {});
      EXPECT_TRUE(info.ok()) << info.error().ToString();
    }
    EXPECT_FALSE(file(inode).dirty());
    auto after = ReadFile(file(inode));
    EXPECT_TRUE(after.ok()) << after.error().ToString();
    if (!after) return "";
    const auto object = store_.Find(story.key);
    EXPECT_TRUE(object && object->data == *after) << "C6: " << story.key;
    return *after;
  }

  CacheConfig config_;
  Power power_;
  CrashDisk disk_;
  StateLog log_;
  Capabilities capabilities_ = [] {
    Capabilities capabilities;
    capabilities.part_size_min = 4 << 10;
    return capabilities;
  }();
  FakeObjectStore store_{capabilities_};
  std::map<uint64_t, std::shared_ptr<FileData>> files_;
  std::unique_ptr<Cache> cache_;
  int boots_ = 0;
  bool mere_creation_ = false;
  int created_at_ = -1;

 public:
  std::map<uint64_t, Story> stories;
  FakeObjectStore& store() { return store_; }
  Power& power() { return power_; }
};

/// In memory where there is such a place: every round flushes its database.
std::string QuickPlace() {
  return std::filesystem::is_directory("/dev/shm")
             ? "/dev/shm"
             : std::filesystem::temp_directory_path().string();
}

class CrashTest : public testing::Test {
 protected:
  /// False if the workload was over before it could be cut.
  bool Round(
      const Ending& ending, const std::function<void(Machine&)>& work = &Machine::Run,
      const std::function<void(Machine&)>& check = [](Machine&) {}) {
    SCOPED_TRACE(testing::Message() << ending);
    const std::string folder = directory_.path() + "/" + std::to_string(rounds_++);
    std::filesystem::create_directory(folder);
    bool cut = false;
    {
      Machine machine(folder);
      Status booted = machine.Boot(true, true);
      EXPECT_TRUE(booted.ok()) << booted.error().ToString();
      machine.power().Restore();
      if (ending.at >= 0) machine.power().CutAt(ending.at);
      work(machine);
      cut = machine.off();
      machine.CheckObjects();
      machine.Crash(ending);
      if (ending.again_at >= 0) {
        machine.power().CutAt(ending.again_at);
        Ignore(machine.Boot(ending.end == End::kKill, false));
        machine.Crash({End::kKill, -1, Unsynced::kKept, Ending::Log::kAll, ending.seed});
      }
      booted = machine.Boot(ending.end == End::kKill, false);
      EXPECT_TRUE(booted.ok()) << booted.error().ToString();
      if (booted) machine.TakeUp(ending);
      // Once more: nothing is left to do, and no upload remains (C7).
      booted = machine.Boot(true, false);
      EXPECT_TRUE(booted.ok());
      EXPECT_TRUE(Eventually([&] { return machine.store().open_uploads() == 0; })) << "C7";
      check(machine);
    }
    std::filesystem::remove_all(folder);
    return cut;
  }

  TempDirectory directory_{QuickPlace()};
  int rounds_ = 0;
};

TEST_F(CrashTest, C1C6C7AKillAtAnyMomentLosesNothing) {
  for (int at = 0; !HasFailure(); ++at) {
    const auto log = at % 2 == 0 ? Ending::Log::kAll : Ending::Log::kSome;
    if (!Round({End::kKill, at, Unsynced::kKept, log, static_cast<uint64_t>(at)})) break;
  }
}

TEST_F(CrashTest, C7AnUploadGoesOnWithThePartsThatTheStoreHas) {
  constexpr int kParts = 10;
  constexpr int kAtOnce = 2;  // Machine's upload_concurrency
  const auto work = [](Machine& machine) {
    machine.Create(1, "large");
    machine.Write(1, 0, kParts * (8 << 10), 1);
    machine.Publish(1);
  };
  bool cut = true;
  for (int at = 0; cut && !HasFailure(); ++at) {
    cut =
        Round({End::kKill, at, Unsynced::kKept, Ending::Log::kSome, 1}, work, [](Machine& machine) {
          EXPECT_LE(machine.store().Count(Kind::kCreate), 2);
          EXPECT_LE(machine.store().Count(Kind::kPart), kParts + kAtOnce);
        });
  }
}

TEST_F(CrashTest, C2C3C6C7APowerCutAtAnyMomentTearsNothing) {
  const std::vector<std::pair<Unsynced, Ending::Log>> ways = {
      {Unsynced::kDropped, Ending::Log::kFlushed}, {Unsynced::kDropped, Ending::Log::kAll},
      {Unsynced::kKept, Ending::Log::kFlushed},    {Unsynced::kKept, Ending::Log::kAll},
      {Unsynced::kTorn, Ending::Log::kSome},       {Unsynced::kTorn, Ending::Log::kAll},
  };
  const uint64_t first = std::random_device{}();
  bool cut = true;
  for (int at = 0; cut && !HasFailure(); ++at) {
    for (size_t i = static_cast<size_t>(at) % 2; i < ways.size(); i += 2) {
      const auto& [unsynced, log] = ways[i];
      const uint64_t seed = first + static_cast<uint64_t>(rounds_);
      const int again = seed % 3 == 0 ? static_cast<int>(seed / 3 % 20) : -1;
      cut = Round({End::kPowerCut, at, unsynced, log, seed, again});
      if (HasFailure()) break;
    }
  }
}

}  // namespace
}  // namespace quayfs
