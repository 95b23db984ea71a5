// SPDX-License-Identifier: Apache-2.0
//
// What is particular to the local store; what it shares with all others is in tests/conformance.

#include "providers/local_store.h"

#include <fmt/format.h>
#include <gtest/gtest.h>
#include <sys/file.h>
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <thread>

#include "base/hash.h"
#include "base/unique_fd.h"
#include "providers/local_names.h"

namespace quayfs {
namespace {

namespace fs = std::filesystem;

class LocalStoreTest : public testing::Test {
 protected:
  LocalStoreTest()
      : folder_(fs::temp_directory_path() / ("quayfs-local-" + HexEncode(RandomBytes(8)))) {
    fs::create_directory(folder_);
    store_ = OpenLocalStore(folder_.string()).value();
  }
  ~LocalStoreTest() override {
    std::error_code ignored;
    fs::remove_all(folder_, ignored);
  }

  void Put(const std::string& key, std::string_view text) {
    const auto info = store_->Put(key, MemorySource(text), {}, Condition::None(), {});
    ASSERT_TRUE(info.ok()) << info.error().ToString();
  }
  std::vector<std::string> Keys(ObjectStore& store) {
    std::vector<std::string> keys;
    const auto page = store.List(ListRequest{}, {});
    EXPECT_TRUE(page.ok());
    for (const ObjectInfo& info : page->objects) keys.push_back(info.key);
    return keys;
  }

  const fs::path folder_;
  std::unique_ptr<ObjectStore> store_;
};

TEST_F(LocalStoreTest, LookingDoesNotTouchTheFolder) {
  EXPECT_TRUE(store_->CheckBucket({}).ok());
  EXPECT_TRUE(store_->Head("a", {}).Is(Code::kNotFound));
  EXPECT_TRUE(Keys(*store_).empty());
  EXPECT_TRUE(store_->ListUploads("", {}).value().empty());
  EXPECT_TRUE(fs::is_empty(folder_));
}

TEST_F(LocalStoreTest, TheBodyLiesAtTheStartOfItsFile) {
  Put("dir/a.txt", "hello");
  std::ifstream file(folder_ / "dir" / "a.txt=");
  std::string text(5, '\0');
  file.read(text.data(), 5);
  EXPECT_EQ(text, "hello");
}

TEST_F(LocalStoreTest, VersionsHaveNamesOfTheirOwnAndKeepThem) {
  Put("a", "same");
  const std::string first = store_->Head("a", {}).value().info.etag;
  Put("a", "same");
  const std::string second = store_->Head("a", {}).value().info.etag;
  EXPECT_FALSE(SameEtag(first, second)) << "new with every write, whatever was written";
  store_ = OpenLocalStore(folder_.string()).value();
  EXPECT_EQ(store_->Head("a", {}).value().info.etag, second);
}

TEST_F(LocalStoreTest, OtherFilesAreLeftAlone) {
  Put("a", "x");
  fs::create_directory(folder_ / "lost+found");
  fs::create_directory(folder_ / "empty");
  std::ofstream(folder_ / "README") << "somebody's";
  std::ofstream(folder_ / "odd name=") << "somebody's";
  EXPECT_EQ(Keys(*store_), std::vector<std::string>{"a"});
  const auto page = store_->List(ListRequest{"", "/", "", 1000}, {});
  EXPECT_TRUE(page->common_prefixes.empty()) << "an empty directory is no prefix";
  ASSERT_TRUE(store_->Delete("a", Condition::None(), {}).ok());
  EXPECT_TRUE(fs::exists(folder_ / "README"));
}

TEST_F(LocalStoreTest, ADamagedObjectIsListedAndSaysSo) {
  Put("a", "hello");
  Put("b", "hello");
  fs::resize_file(folder_ / "a=", 7);
  EXPECT_EQ(Keys(*store_), (std::vector<std::string>{"a", "b"}));
  EXPECT_TRUE(store_->Head("a", {}).Is(Code::kCorrupt));
  StringSink sink;
  EXPECT_TRUE(store_->Get(GetRequest{"a", {}, {}}, sink, {}).Is(Code::kCorrupt));
  EXPECT_EQ(sink.text(), "");
  Put("a", "again");
  EXPECT_TRUE(store_->Head("a", {}).ok());
}

TEST_F(LocalStoreTest, AnotherFormatIsNotTouched) {
  std::ofstream(folder_ / ".quayfs-bucket") << "quayfs-local 2\n";
  const auto info =
      store_->Put("a", MemorySource(std::string_view("x")), {}, Condition::None(), {});
  EXPECT_TRUE(info.Is(Code::kNotSupported));
  EXPECT_FALSE(fs::exists(folder_ / "a="));
}

TEST_F(LocalStoreTest, EmptyDirectoriesGo) {
  Put("d/e/f/g", "x");
  Put("d/h", "x");
  ASSERT_TRUE(store_->Delete("d/e/f/g", Condition::None(), {}).ok());
  EXPECT_FALSE(fs::exists(folder_ / "d" / "e"));
  EXPECT_TRUE(fs::exists(folder_ / "d" / "h="));
}

TEST_F(LocalStoreTest, AWriterWaitsForTheLockOfAnotherProcess) {
  Put("a", "x");
  UniqueFd lock(open((folder_ / ".quayfs-bucket").c_str(), O_RDWR | O_CLOEXEC));
  ASSERT_EQ(flock(lock.get(), LOCK_EX), 0);
  EXPECT_TRUE(store_->Head("a", {}).ok()) << "reading needs no lock";
  CallOptions impatient;
  impatient.deadline = std::chrono::steady_clock::now() + std::chrono::milliseconds(50);
  EXPECT_TRUE(store_->Delete("a", Condition::None(), impatient).Is(Code::kTimedOut));
  std::stop_source stop;
  CallOptions call;
  call.cancel = stop.get_token();
  Status status;
  std::thread waiting([&] { status = store_->Delete("a", Condition::None(), call); });
  stop.request_stop();
  waiting.join();
  EXPECT_TRUE(status.Is(Code::kCancelled));
  lock.Reset();
  EXPECT_TRUE(store_->Delete("a", Condition::None(), {}).ok());
}

TEST_F(LocalStoreTest, ProcessesDoNotOverwriteEachOther) {
  constexpr int kProcesses = 4;
  constexpr int kKeys = 20;
  std::vector<pid_t> children;
  for (int p = 0; p < kProcesses; ++p) {
    const pid_t pid = fork();
    ASSERT_GE(pid, 0);
    if (pid == 0) {
      // Exit status: how many of the keys this process made.
      const auto store = OpenLocalStore(folder_.string()).value();
      int made = 0;
      for (int i = 0; i < kKeys; ++i) {
        const std::string text = fmt::format("process {}", p);
        const auto info =
            store->Put(fmt::format("k/{}", i), MemorySource(text), {}, Condition::IfAbsent(), {});
        if (info.ok()) ++made;
        if (!info && !info.Is(Code::kAlreadyExists)) _exit(200);
      }
      _exit(made);
    }
    children.push_back(pid);
  }
  int total = 0;
  for (const pid_t pid : children) {
    int status = 0;
    ASSERT_EQ(waitpid(pid, &status, 0), pid);
    ASSERT_TRUE(WIFEXITED(status));
    ASSERT_NE(WEXITSTATUS(status), 200);
    total += WEXITSTATUS(status);
  }
  EXPECT_EQ(total, kKeys);
}

TEST_F(LocalStoreTest, TemporariesOfTheLivingAreKept) {
  class PeekingSource final : public DataSource {
   public:
    explicit PeekingSource(const fs::path& folder) : folder_(folder) {}
    uint64_t size() const override { return 10; }
    Status Read(uint64_t /*offset*/, std::span<std::byte> out) const override {
      std::fill(out.begin(), out.end(), std::byte{'x'});
      // Another process comes and looks for what is abandoned.
      const auto other = OpenLocalStore(folder_.string()).value();
      return other->Delete("nothing", Condition::None(), {});
    }

   private:
    const fs::path& folder_;
  };
  fs::create_directory(folder_ / ".quayfs-tmp");
  std::ofstream(folder_ / ".quayfs-tmp" / "abandoned") << "by a process that is gone";
  const auto info = store_->Put("a", PeekingSource(folder_), {}, Condition::None(), {});
  ASSERT_TRUE(info.ok()) << info.error().ToString();
  EXPECT_EQ(store_->Head("a", {}).value().info.size, 10u);
  EXPECT_TRUE(fs::is_empty(folder_ / ".quayfs-tmp"));
}

TEST_F(LocalStoreTest, ALongListingReadsADirectoryOnce) {
  for (int i = 0; i < 50; ++i) Put(fmt::format("d/{:02}", i), "");
  auto first = store_->List(ListRequest{"d/", "/", "", 10}, {});
  ASSERT_TRUE(first.ok());
  // Names made since then belong to another listing.
  Put("d/99", "");
  std::vector<std::string> rest;
  std::string token = first->next_token;
  while (!token.empty()) {
    const auto page = store_->List(ListRequest{"d/", "/", token, 10}, {});
    ASSERT_TRUE(page.ok());
    for (const ObjectInfo& info : page->objects) rest.push_back(info.key);
    token = page->next_token;
  }
  EXPECT_EQ(rest.size(), 40u);
  // A token outlives what was remembered for it.
  store_ = OpenLocalStore(folder_.string()).value();
  const auto resumed = store_->List(ListRequest{"d/", "/", first->next_token, 1000}, {});
  ASSERT_TRUE(resumed.ok());
  EXPECT_EQ(resumed->objects.size(), 41u);
  EXPECT_TRUE(store_->List(ListRequest{"", "", "nonsense", 10}, {}).Is(Code::kInvalidArgument));
}

TEST_F(LocalStoreTest, UploadIdsAreNoPaths) {
  Put("a", "x");
  for (const char* id : {"..", "../..", "", "/", "0123456789abcdef0123456789abcde/"}) {
    EXPECT_TRUE(store_->ListParts("a", id, {}).Is(Code::kNotFound)) << id;
    EXPECT_TRUE(store_->AbortUpload("a", id, {}).ok()) << id;
    EXPECT_TRUE(
        store_->CompleteUpload("a", id, {{1, "x", 1}}, Condition::None(), {}).Is(Code::kNotFound));
  }
  EXPECT_TRUE(store_->Head("a", {}).ok());
}

TEST_F(LocalStoreTest, ACopyOntoItselfDoesNotLoseAWriteBetween) {
  Put("a", "first");
  std::thread writer([&] {
    for (int i = 0; i < 50; ++i) Put("a", fmt::format("version {}", i));
  });
  for (int i = 0; i < 50; ++i) {
    ObjectProperties properties;
    properties.metadata["i"] = std::to_string(i);
    EXPECT_TRUE(store_->Copy("a", "", "a", properties, Condition::None(), {}).ok());
  }
  writer.join();
  StringSink sink;
  ASSERT_TRUE(store_->Get(GetRequest{"a", {}, {}}, sink, {}).ok());
  EXPECT_EQ(sink.text(), "version 49");
}

}  // namespace
}  // namespace quayfs
