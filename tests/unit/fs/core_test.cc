// SPDX-License-Identifier: Apache-2.0

#include <gmock/gmock.h>

#include <algorithm>
#include <atomic>
#include <string>
#include <thread>

#include "tests/unit/fs/core_fixture.h"

namespace quayfs {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

#define EXPECT_OK(expression)                                                  \
  do {                                                                         \
    const auto& expect_ok_result = (expression);                               \
    EXPECT_TRUE(expect_ok_result.ok()) << expect_ok_result.error().ToString(); \
  } while (false)

#define EXPECT_CODE(expression, expected)                                       \
  do {                                                                          \
    const auto& expect_code_result = (expression);                              \
    ASSERT_FALSE(expect_code_result.ok()) << "expected " << CodeName(expected); \
    EXPECT_EQ(CodeName(expect_code_result.code()), CodeName(expected))          \
        << expect_code_result.error().ToString();                               \
  } while (false)

TEST_F(CoreTest, ANewFileIsOnePut) {
  ASSERT_TRUE(List("").ok());
  store_->Reset();
  EXPECT_OK(WriteFile("a", "hello"));
  EXPECT_EQ(GetObject("a"), "hello");
  EXPECT_EQ(store_->Count("Put"), 1);
  EXPECT_EQ(store_->Total(), 1);
  EXPECT_EQ(*ReadFile("a"), "hello");
  EXPECT_EQ(store_->Total(), 1) << "reading back what was just written needs no request";
}

TEST_F(CoreTest, NothingIsSentForAFileThatIsRemovedBeforeItIsClosed) {
  ASSERT_TRUE(List("").ok());
  store_->Reset();
  const auto file = Open("gone", O_CREAT | O_RDWR);
  ASSERT_TRUE(file.ok());
  EXPECT_OK(WriteAt(*file, 0, "text"));
  EXPECT_OK(Remove("gone"));
  EXPECT_EQ(*ReadAt(*file, 0, 10), "text");
  EXPECT_OK(Close(*file));
  EXPECT_EQ(store_->Total(), 0);
  EXPECT_THAT(Keys(), IsEmpty());
}

TEST_F(CoreTest, AttributesTravelWithTheContents) {
  const auto file = Open("a", O_CREAT | O_WRONLY, 0600);
  ASSERT_TRUE(file.ok());
  EXPECT_OK(WriteAt(*file, 0, "x"));
  AttributeChange change;
  change.mode = 0640;
  change.uid = 12;
  change.gid = 34;
  change.mtime = WallTime(std::chrono::nanoseconds(1'600'000'000'000'000'005));
  EXPECT_OK(Change("a", change));
  store_->Reset();
  EXPECT_OK(Close(*file));
  Sync();
  EXPECT_EQ(store_->Total(), 1) << "one PUT, and no copy for the attributes";
  const auto head = local_->Head("a", {});
  ASSERT_TRUE(head.ok());
  EXPECT_EQ(head->properties.metadata.at("mode"), std::to_string(S_IFREG | 0640));
  EXPECT_EQ(head->properties.metadata.at("mtime"), "1600000000.000000005");

  Mount();
  const auto attributes = Stat("a");
  ASSERT_TRUE(attributes.ok());
  EXPECT_EQ(attributes->mode, S_IFREG | 0640u);
  EXPECT_EQ(attributes->uid, 12u);
  EXPECT_EQ(attributes->gid, 34u);
  EXPECT_EQ(attributes->mtime, *change.mtime);
  EXPECT_EQ(attributes->size, 1u);
}

TEST_F(CoreTest, ChmodOfAPublishedFileIsOneCopyAndToTheSameModeNone) {
  EXPECT_OK(WriteFile("a", "x"));
  store_->Reset();
  AttributeChange change;
  change.mode = 0600;
  EXPECT_OK(Change("a", change));
  Sync();
  EXPECT_EQ(store_->Count("Copy"), 1);
  EXPECT_EQ(store_->Total(), 1);
  EXPECT_OK(Change("a", change));
  Sync();
  EXPECT_EQ(store_->Total(), 1);
  EXPECT_EQ(GetObject("a"), "x");
}

TEST_F(CoreTest, AChmodThatTheBucketRefusesIsKeptAndShown) {
  EXPECT_OK(WriteFile("a", "x"));
  store_->before = [](const std::string& operation, const std::string&) -> Status {
    if (operation == "Copy") return Error(Code::kPermissionDenied, "no");
    return {};
  };
  AttributeChange change;
  change.mode = 0600;
  EXPECT_OK(Change("a", change));
  EXPECT_EQ(Stat("a")->mode, S_IFREG | 0600u);
  EXPECT_CODE(fs_->SyncAll(ctx_), Code::kPermissionDenied);
  ASSERT_EQ(fs_->pending().retried.size(), 1u);
  EXPECT_EQ(fs_->pending().retried[0].path, "a");
  EXPECT_THAT(fs_->pending().retried[0].error, HasSubstr("no"));
  store_->before = nullptr;
  EXPECT_OK(fs_->SyncAll(ctx_));
  EXPECT_THAT(fs_->pending().retried, IsEmpty());
}

TEST_F(CoreTest, AFailedUploadIsReportedOnceKeptAndRepeated) {
  store_->before = [](const std::string& operation, const std::string&) -> Status {
    if (operation == "Put") return Error(Code::kUnavailable, "down");
    return {};
  };
  const auto file = Open("a", O_CREAT | O_WRONLY);
  ASSERT_TRUE(file.ok());
  EXPECT_OK(WriteAt(*file, 0, "precious"));
  EXPECT_CODE(fs_->Fsync(ctx_, **file), Code::kUnavailable);
  EXPECT_OK(Close(*file));
  EXPECT_EQ(fs_->pending().files, 1u);
  EXPECT_THAT(fs_->pending().last_error, HasSubstr("down"));
  EXPECT_EQ(*ReadFile("a"), "precious") << "readable from the cache meanwhile";
  store_->before = nullptr;
  EXPECT_OK(fs_->SyncAll(ctx_));
  EXPECT_EQ(GetObject("a"), "precious");
  EXPECT_EQ(fs_->pending().files, 0u);
}

TEST_F(CoreTest, AnUploadThatFailsInTheBackgroundIsReportedByTheNextClose) {
  store_->before = [](const std::string& operation, const std::string&) -> Status {
    if (operation == "Put") return Error(Code::kPermissionDenied, "no");
    return {};
  };
  const auto first = Open("a", O_CREAT | O_WRONLY);
  const auto second = Open("a", O_WRONLY);
  EXPECT_OK(WriteAt(*first, 0, "x"));
  EXPECT_OK(Close(*first));
  Sync();
  EXPECT_CODE(Close(*second), Code::kPermissionDenied);
  store_->before = nullptr;
  EXPECT_EQ(GetObject("a"), "x");
}

TEST_F(CoreTest, CloseWaitsForTheBucketIfToldTo) {
  config_.close = FileSystemConfig::Durability::kRemote;
  Mount();
  const auto file = Open("a", O_CREAT | O_WRONLY);
  EXPECT_OK(WriteAt(*file, 0, "x"));
  EXPECT_OK(Close(*file));
  EXPECT_EQ(store_->Count("Put"), 1);
}

TEST_F(CoreTest, NothingWaitsForTheBucketUntilItIsQuietAndThenItIsOneRequest) {
  ASSERT_TRUE(List("").ok());
  store_->Reset();
  const auto file = Open("tmp", O_CREAT | O_WRONLY);
  EXPECT_OK(WriteAt(*file, 0, "x"));
  EXPECT_OK(Close(*file));
  AttributeChange change;
  change.mode = 0600;
  change.uid = 5;
  EXPECT_OK(Change("tmp", change));
  EXPECT_OK(Rename("tmp", "final"));
  EXPECT_EQ(store_->Total(), 0);
  clock_.Advance(config_.write_delay);
  while (fs_->pending().files > 0) std::this_thread::yield();
  EXPECT_EQ(store_->Count("Put"), 1);
  EXPECT_EQ(store_->Total(), 1);
  EXPECT_THAT(Keys(), ElementsAre("final"));
}

TEST_F(CoreTest, WhileManyFilesAreWrittenTheyWaitForAPauseOrTheLimit) {
  // The first ones were due before it showed that there are many.
  std::atomic<int> later_ones = 0;
  store_->before = [&](const std::string& operation, const std::string& key) -> Status {
    if (operation == "Put" && std::stoi(key.substr(1)) >= 60) ++later_ones;
    return {};
  };
  const auto write = [&](const std::string& name) {
    const auto file = Open(name, O_CREAT | O_WRONLY);
    EXPECT_OK(WriteAt(*file, 0, "x"));
    EXPECT_OK(Close(*file));
    clock_.Advance(std::chrono::milliseconds(5));
  };
  ASSERT_TRUE(List("").ok());
  store_->Reset();
  constexpr int kFiles = 300;
  for (int i = 0; i < kFiles; ++i) write("a" + std::to_string(i));
  EXPECT_EQ(later_ones, 0);
  clock_.Advance(config_.write_delay);
  while (fs_->pending().files > 0) std::this_thread::yield();
  EXPECT_EQ(store_->Count("Put"), kFiles);
  later_ones = 0;
  for (int i = 0; later_ones == 0; ++i) write("b" + std::to_string(i));  // without a pause
  Sync();
  store_->before = nullptr;
}

TEST_F(CoreTest, WhatWaitsForAFailureDoesNotShortenItsPause) {
  EXPECT_OK(WriteFile("a", "old"));
  store_->Reset();
  store_->before = [](const std::string& operation, const std::string&) -> Status {
    if (operation == "Move") return Error(Code::kPermissionDenied, "no");
    return {};
  };
  EXPECT_OK(Rename("a", "b"));
  const auto file = Open("a", O_CREAT | O_WRONLY);  // has to wait until the old one has moved
  EXPECT_OK(WriteAt(*file, 0, "new"));
  EXPECT_OK(Close(*file));
  clock_.Advance(config_.write_delay);
  while (store_->Count("Move") == 0) std::this_thread::yield();
  // Requests that somebody waits for take the time of many more, if nothing held those back.
  const auto other = Open("other", O_CREAT | O_WRONLY);
  for (int i = 0; i < 100; ++i) {
    EXPECT_OK(WriteAt(*other, 0, "x"));
    EXPECT_OK(fs_->Fsync(ctx_, **other));
  }
  EXPECT_OK(Close(*other));
  EXPECT_EQ(store_->Count("Move"), 1);
  store_->before = nullptr;
  EXPECT_EQ(GetObject("a"), "new");
  EXPECT_EQ(GetObject("b"), "old");
}

TEST_F(CoreTest, AChangedSymbolicLinkThatOthersHaveRemovedIsBack) {
  ASSERT_TRUE(fs_->MakeSymlink(ctx_, kRootIno, "link", "target").ok());
  EXPECT_OK(fs_->SyncAll(ctx_));
  ASSERT_TRUE(local_->Delete("link", Condition::None(), {}).ok());
  AttributeChange change;
  change.uid = 5;
  EXPECT_OK(Change("link", change));
  EXPECT_OK(fs_->SyncAll(ctx_));
  EXPECT_THAT(Keys(), ElementsAre("link"));
}

TEST_F(CoreTest, TwoFilesThatSwapTheirNames) {
  EXPECT_OK(WriteFile("a", "one"));
  EXPECT_OK(WriteFile("b", "two"));
  EXPECT_OK(Rename("a", "tmp"));
  EXPECT_OK(Rename("b", "a"));
  EXPECT_OK(Rename("tmp", "b"));
  EXPECT_EQ(*ReadFile("a"), "two");
  EXPECT_OK(fs_->SyncAll(ctx_));
  EXPECT_EQ(GetObject("a"), "two");
  EXPECT_EQ(GetObject("b"), "one");
  EXPECT_THAT(Keys(), ElementsAre("a", "b")) << "nothing stays parked";
}

TEST_F(CoreTest, AChainOfNamesMovesOnInItsOrder) {
  for (int i = 0; i < 5; ++i) EXPECT_OK(WriteFile("f" + std::to_string(i), std::to_string(i)));
  for (int i = 4; i >= 0; --i)
    EXPECT_OK(Rename("f" + std::to_string(i), "f" + std::to_string(i + 1)));
  EXPECT_OK(fs_->SyncAll(ctx_));
  for (int i = 0; i < 5; ++i) EXPECT_EQ(GetObject("f" + std::to_string(i + 1)), std::to_string(i));
  EXPECT_EQ(Keys().size(), 5u);
}

TEST_F(CoreTest, WhatWasRemovedOrMovedAwayIsNotSeenAgainBeforeTheBucketFollows) {
  EXPECT_OK(MakeDir("d"));
  EXPECT_OK(WriteFile("d/a", "x"));
  EXPECT_OK(WriteFile("b", "y"));
  EXPECT_OK(Remove("b"));
  EXPECT_OK(Rename("d", "e"));
  clock_.Advance(std::chrono::seconds(61));  // nothing is trusted any more
  store_->before = [](const std::string& operation, const std::string&) -> Status {
    if (operation == "List" || operation == "Head") return {};
    return Error(Code::kUnavailable, "down");
  };
  EXPECT_THAT(*List(""), ElementsAre("e"));
  EXPECT_THAT(*List("e"), ElementsAre("a"));
  EXPECT_CODE(Walk("d"), Code::kNotFound);
  EXPECT_EQ(*ReadFile("e/a"), "x");
  store_->before = nullptr;
  EXPECT_THAT(Keys(), ElementsAre("e/", "e/a"));
}

TEST_F(CoreTest, AFileMadeAnewUnderARemovedNameReplacesTheOldObject) {
  EXPECT_OK(WriteFile("a", "old"));
  EXPECT_OK(Remove("a"));
  const auto file = Open("a", O_CREAT | O_EXCL | O_WRONLY);
  ASSERT_TRUE(file.ok());
  EXPECT_OK(WriteAt(*file, 0, "new"));
  EXPECT_OK(Close(*file));
  EXPECT_EQ(GetObject("a"), "new");
  EXPECT_EQ(fs_->pending().removals, 0u);
}

TEST_F(CoreTest, NothingThatNeedsTheNetworkIsDoneWhenItMayNotWait) {
  PutObject("there", "x");
  OpContext quick;
  quick.may_block = false;
  EXPECT_CODE(fs_->Lookup(quick, kRootIno, "there"), Code::kWouldBlock);
  EXPECT_EQ(store_->Total(), 0);
  ASSERT_TRUE(Walk("there").ok());
  store_->Reset();
  EXPECT_OK(fs_->Lookup(quick, kRootIno, "there"));
  EXPECT_OK(fs_->Lookup(quick, kRootIno, "absent"));
  EXPECT_EQ(store_->Total(), 0);
  EXPECT_OK(fs_->MakeDirectory(quick, kRootIno, "d", 0755));
  EXPECT_OK(fs_->Unlink(quick, kRootIno, "there"));
  EXPECT_EQ(store_->Total(), 0) << "the bucket follows later";
  EXPECT_THAT(Keys(), ElementsAre("d/"));
}

TEST_F(CoreTest, ObjectsOfOtherToolsHaveSensibleAttributes) {
  PutObject("plain.txt", "12345");
  PutObject("deep/in/side", "x");
  EXPECT_THAT(*List(""), ElementsAre("deep", "plain.txt"));
  const auto file = Stat("plain.txt");
  ASSERT_TRUE(file.ok());
  EXPECT_EQ(file->mode, S_IFREG | 0644u);
  EXPECT_EQ(file->size, 5u);
  EXPECT_GT(file->mtime.time_since_epoch().count(), 0);
  const auto directory = Stat("deep/in");
  ASSERT_TRUE(directory.ok());
  EXPECT_EQ(directory->mode, S_IFDIR | 0755u);
  EXPECT_EQ(*ReadFile("deep/in/side"), "x");
}

TEST_F(CoreTest, AListingIsTrustedForItsTimeAndUnchangedFilesAreNotAskedForAgain) {
  PutObject("a", "1");
  PutObject("b", "2");
  EXPECT_OK(Stat("a"));
  EXPECT_OK(Stat("b"));
  EXPECT_EQ(store_->Count("List"), 1);
  EXPECT_EQ(store_->Count("Head"), 2);
  store_->Reset();
  clock_.Advance(std::chrono::seconds(59));
  EXPECT_OK(Stat("a"));
  EXPECT_EQ(store_->Total(), 0);
  clock_.Advance(std::chrono::seconds(2));
  EXPECT_OK(Stat("a"));
  EXPECT_OK(Stat("b"));
  EXPECT_EQ(store_->Count("List"), 1);
  EXPECT_EQ(store_->Count("Head"), 0);
}

TEST_F(CoreTest, ChangesOfOthersAppearAfterTheTime) {
  PutObject("a", "old");
  PutObject("b", "x");
  EXPECT_EQ(*ReadFile("a"), "old");
  PutObject("a", "newer");
  PutObject("c", "y");
  ASSERT_TRUE(local_->Delete("b", Condition::None(), {}).ok());
  clock_.Advance(std::chrono::seconds(61));
  EXPECT_THAT(*List(""), ElementsAre("a", "c"));
  EXPECT_EQ(*ReadFile("a"), "newer");
  EXPECT_CODE(Walk("b"), Code::kNotFound);
}

TEST_F(CoreTest, AReaderSeesOneVersionOrAnError) {
  PutObject("a", std::string(1 << 20, 'o'));
  const auto file = Open("a", O_RDONLY);
  ASSERT_TRUE(file.ok());
  PutObject("a", std::string(1 << 20, 'n'));
  EXPECT_CODE(ReadAt(*file, 0, 100), Code::kChanged);
  EXPECT_OK(Close(*file));
  EXPECT_EQ(ReadFile("a")->substr(0, 3), "nnn");
}

TEST_F(CoreTest, DirectoriesAreMarkersAndNeedNoListingOnceMadeHere) {
  EXPECT_OK(MakeDir("d"));
  EXPECT_THAT(Keys(), ElementsAre("d/"));
  store_->Reset();
  EXPECT_CODE(Walk("d/absent"), Code::kNotFound);
  EXPECT_THAT(*List("d"), IsEmpty());
  EXPECT_EQ(store_->Total(), 0);
  EXPECT_CODE(MakeDir("d"), Code::kAlreadyExists);
  EXPECT_OK(WriteFile("d/f", "x"));
  EXPECT_CODE(RemoveDir("d"), Code::kNotEmpty);
  EXPECT_CODE(Remove("d"), Code::kIsDirectory);
  EXPECT_CODE(RemoveDir("d/f"), Code::kNotDirectory);
  EXPECT_OK(Remove("d/f"));
  EXPECT_OK(RemoveDir("d"));
  EXPECT_THAT(Keys(), IsEmpty());
}

TEST_F(CoreTest, ADirectoryOutlivesTheLastObjectThatImpliedIt) {
  PutObject("d/only", "x");
  EXPECT_OK(Remove("d/only"));
  EXPECT_THAT(Keys(), ElementsAre("d/"));
  EXPECT_THAT(*List("d"), IsEmpty());
}

TEST_F(CoreTest, RmdirNeverRemovesWhatWasNotSeen) {
  EXPECT_OK(MakeDir("d"));
  clock_.Advance(std::chrono::seconds(61));
  PutObject("d/theirs", "x");
  EXPECT_CODE(RemoveDir("d"), Code::kNotEmpty);
  EXPECT_EQ(GetObject("d/theirs"), "x");
}

TEST_F(CoreTest, SymlinksAreObjectsWhoseBodyIsTheTarget) {
  EXPECT_OK(fs_->MakeSymlink(ctx_, kRootIno, "link", "some/where"));
  EXPECT_EQ(GetObject("link"), "some/where");
  Mount();
  const auto entry = Walk("link");
  ASSERT_TRUE(entry.ok());
  EXPECT_TRUE(S_ISLNK(entry->attributes.mode));
  EXPECT_EQ(*fs_->ReadLink(ctx_, entry->ino), "some/where");
  EXPECT_CODE(fs_->ReadLink(ctx_, kRootIno), Code::kInvalidArgument);
}

TEST_F(CoreTest, RenameFollowsTheRulesOfRename2) {
  EXPECT_OK(WriteFile("f", "f"));
  EXPECT_OK(WriteFile("g", "g"));
  EXPECT_OK(MakeDir("d"));
  EXPECT_OK(MakeDir("e"));
  EXPECT_OK(WriteFile("e/x", "x"));
  EXPECT_CODE(Rename("absent", "y"), Code::kNotFound);
  EXPECT_CODE(Rename("f", "d"), Code::kIsDirectory);
  EXPECT_CODE(Rename("d", "f"), Code::kNotDirectory);
  EXPECT_CODE(Rename("d", "e"), Code::kNotEmpty);
  EXPECT_CODE(Rename("d", "d/below"), Code::kInvalidArgument);
  EXPECT_CODE(Rename("f", "g", {.no_replace = true}), Code::kAlreadyExists);
  EXPECT_OK(Rename("f", "f"));
  EXPECT_OK(Rename("f", "g"));
  EXPECT_EQ(*ReadFile("g"), "f");
  EXPECT_CODE(Walk("f"), Code::kNotFound);
  EXPECT_OK(Rename("e", "d"));
  EXPECT_THAT(Keys(), ElementsAre("d/", "d/x", "g"));
  EXPECT_EQ(*ReadFile("d/x"), "x");
}

TEST_F(CoreTest, RenameOfAnUnpublishedFileCostsNothing) {
  ASSERT_TRUE(List("").ok());
  const auto file = Open("tmp", O_CREAT | O_WRONLY);
  ASSERT_TRUE(file.ok());
  EXPECT_OK(WriteAt(*file, 0, "x"));
  store_->Reset();
  EXPECT_OK(Rename("tmp", "final"));
  EXPECT_EQ(store_->Total(), 0);
  EXPECT_OK(Close(*file));
  EXPECT_THAT(Keys(), ElementsAre("final"));
  EXPECT_EQ(store_->Count("Put"), 1);
}

TEST_F(CoreTest, AFileThatIsWrittenAndRenamedOverAnotherReplacesIt) {
  EXPECT_OK(WriteFile("final", "old"));
  const auto file = Open("tmp", O_CREAT | O_WRONLY);
  ASSERT_TRUE(file.ok());
  EXPECT_OK(WriteAt(*file, 0, "new"));
  EXPECT_OK(Rename("tmp", "final"));
  EXPECT_OK(WriteAt(*file, 3, "er"));
  EXPECT_OK(Close(*file));
  EXPECT_THAT(Keys(), ElementsAre("final"));
  EXPECT_EQ(GetObject("final"), "newer");
}

TEST_F(CoreTest, RenameOfADirectoryMovesItsObjectsAndOpenFilesStayReadable) {
  EXPECT_OK(MakeDir("d"));
  EXPECT_OK(MakeDir("d/sub"));
  EXPECT_OK(WriteFile("d/a", "a"));
  EXPECT_OK(WriteFile("d/sub/b", "b"));
  PutObject("d/theirs", std::string(300'000, 't'));
  Mount();
  const auto reader = Open("d/theirs", O_RDONLY);
  ASSERT_TRUE(reader.ok());
  const auto writer = Open("d/new", O_CREAT | O_WRONLY);
  ASSERT_TRUE(writer.ok());
  EXPECT_OK(WriteAt(*writer, 0, "n"));
  EXPECT_OK(Rename("d", "moved"));
  EXPECT_EQ(ReadAt(*reader, 299'999, 5).value(), "t");
  EXPECT_OK(Close(*writer));
  EXPECT_OK(Close(*reader));
  EXPECT_THAT(Keys(), ElementsAre("moved/", "moved/a", "moved/new", "moved/sub/", "moved/sub/b",
                                  "moved/theirs"));
  EXPECT_EQ(*ReadFile("moved/sub/b"), "b");
  EXPECT_CODE(Walk("d"), Code::kNotFound);
}

TEST_F(CoreTest, ADirectoryRenameThatFailsHalfWayIsWholeInTheMountAndGoesOn) {
  EXPECT_OK(MakeDir("d"));
  for (const char* name : {"d/1", "d/2", "d/3", "d/4"}) EXPECT_OK(WriteFile(name, name));
  store_->before = [](const std::string& operation, const std::string& key) -> Status {
    if ((operation == "Copy" || operation == "Move") && key == "e/3")
      return Error(Code::kPermissionDenied, "no");
    return {};
  };
  EXPECT_OK(Rename("d", "e"));
  EXPECT_CODE(fs_->SyncAll(ctx_), Code::kPermissionDenied);
  clock_.Advance(std::chrono::seconds(61));
  EXPECT_THAT(*List("e"), ElementsAre("1", "2", "3", "4"));
  EXPECT_THAT(*List(""), ElementsAre("e"));
  EXPECT_EQ(*ReadFile("e/3"), "d/3");
  store_->before = nullptr;
  EXPECT_OK(fs_->SyncAll(ctx_));
  EXPECT_THAT(Keys(), ElementsAre("e/", "e/1", "e/2", "e/3", "e/4"));
}

TEST_F(CoreTest, AnUnlinkedOpenFileStaysReadableToItsEnd) {
  PutObject("big", std::string(400'000, 'b'));
  const auto file = Open("big", O_RDONLY);
  ASSERT_TRUE(file.ok());
  EXPECT_OK(Remove("big"));
  EXPECT_CODE(Walk("big"), Code::kNotFound);
  EXPECT_EQ(ReadAt(*file, 399'990, 100)->size(), 10u);
  EXPECT_OK(Close(*file));
  EXPECT_THAT(Keys(), IsEmpty()) << "nothing is left in the reserved folder";
}

TEST_F(CoreTest, AFileRenamedOverWhileOpenStaysReadable) {
  PutObject("target", std::string(400'000, 'o'));
  EXPECT_OK(WriteFile("source", "n"));
  const auto file = Open("target", O_RDONLY);
  ASSERT_TRUE(file.ok());
  EXPECT_OK(Rename("source", "target"));
  EXPECT_EQ(*ReadAt(*file, 399'999, 10), "o");
  EXPECT_OK(Close(*file));
  EXPECT_EQ(GetObject("target"), "n");
  EXPECT_THAT(Keys(), ElementsAre("target"));
}

TEST_F(CoreTest, ConflictsKeepBothVersions) {
  config_.host_name = "here";
  Mount();
  EXPECT_OK(WriteFile("a", "base"));
  const auto file = Open("a", O_WRONLY);
  ASSERT_TRUE(file.ok());
  EXPECT_OK(WriteAt(*file, 0, "ours"));
  PutObject("a", "theirs");
  EXPECT_OK(Close(*file));
  EXPECT_EQ(GetObject("a"), "theirs");
  const auto keys = Keys();
  EXPECT_EQ(fs_->pending().conflicts, 1u);
  ASSERT_EQ(keys.size(), 2u);
  EXPECT_THAT(keys[1], HasSubstr("a.conflict-here-"));
  EXPECT_EQ(GetObject(keys[1]), "ours");
  EXPECT_EQ(List("")->size(), 2u);
  EXPECT_EQ(*ReadFile("a"), "theirs");

  // It is shown until somebody has dealt with it, whatever is mounted and unmounted meanwhile.
  EXPECT_THAT(fs_->pending().conflict_files, ElementsAre(keys[1]));
  Mount();
  EXPECT_THAT(fs_->pending().conflict_files, ElementsAre(keys[1]));
  EXPECT_OK(Rename(keys[1], "merged"));
  EXPECT_THAT(fs_->pending().conflict_files, ElementsAre());
  Mount();
  EXPECT_THAT(fs_->pending().conflict_files, ElementsAre());
}

TEST_F(CoreTest, ConflictsFailOrOverwriteIfTheUserSaysSo) {
  config_.conflict = ConflictPolicy::kFail;
  Mount();
  EXPECT_OK(WriteFile("a", "base"));
  auto file = Open("a", O_WRONLY);
  EXPECT_OK(WriteAt(*file, 0, "ours"));
  PutObject("a", "theirs");
  EXPECT_CODE(fs_->Fsync(ctx_, **file), Code::kChanged);
  EXPECT_EQ(fs_->pending().files, 1u) << "ours is kept in the cache";
  EXPECT_OK(Close(*file));  // fsync has told it already
  EXPECT_EQ(GetObject("a"), "theirs");

  config_.conflict = ConflictPolicy::kOverwrite;
  Mount();
  file = Open("a", O_WRONLY | O_TRUNC);
  EXPECT_OK(WriteAt(*file, 0, "last"));
  PutObject("a", "theirs again");
  EXPECT_OK(Close(*file));
  EXPECT_EQ(GetObject("a"), "last");
}

TEST_F(CoreTest, WithoutConditionsAConflictIsSeenByLookingFirst) {
  store_->ChangeCapabilities([](Capabilities& can) {
    can.put_if_absent = can.put_if_match = can.complete_if_absent = can.complete_if_match = false;
  });
  EXPECT_OK(WriteFile("a", "base"));
  const auto file = Open("a", O_WRONLY);
  EXPECT_OK(WriteAt(*file, 0, "ours"));
  PutObject("a", "theirs");
  EXPECT_OK(Close(*file));
  EXPECT_EQ(GetObject("a"), "theirs");
  EXPECT_EQ(Keys().size(), 2u);
}

TEST_F(CoreTest, AWriteWhoseAnswerWasLostIsNotTakenForAConflict) {
  bool first = true;
  std::string stored;
  store_->before = [&](const std::string& operation, const std::string& key) -> Status {
    if (operation != "Put" || !first) return {};
    first = false;
    return Error(Code::kAlreadyExists, "the first attempt had arrived: " + key);
  };
  const auto file = Open("a", O_CREAT | O_WRONLY);
  EXPECT_OK(WriteAt(*file, 0, "ours"));
  const auto attributes = Stat("a");
  ObjectProperties properties;
  properties.content_type = "application/octet-stream";
  // What the lost attempt left behind: our bytes with our attributes.
  PutObject("a", "ours", [&] {
    ObjectProperties same = properties;
    same.metadata = {{"mode", std::to_string(attributes->mode)},
                     {"uid", "0"},
                     {"gid", "0"},
                     {"mtime", "1700000000"},
                     {"ctime", "1700000000"},
                     {"atime", "1700000000"}};
    return same;
  }());
  EXPECT_OK(Close(*file));
  EXPECT_THAT(Keys(), ElementsAre("a"));
  EXPECT_EQ(fs_->pending().conflicts, 0u);
}

TEST_F(CoreTest, TruncateWithoutAnOpenFileIsPublished) {
  EXPECT_OK(WriteFile("a", "0123456789"));
  AttributeChange change;
  change.size = 4;
  EXPECT_OK(Change("a", change));
  EXPECT_EQ(GetObject("a"), "0123");
  change.size = 6;
  EXPECT_OK(Change("a", change));
  EXPECT_EQ(GetObject("a"), std::string("0123\0\0", 6));
  EXPECT_EQ(Stat("a")->size, 6u);
}

TEST_F(CoreTest, OpenWithTruncAndAppend) {
  EXPECT_OK(WriteFile("a", "0123456789"));
  auto file = Open("a", O_WRONLY | O_APPEND);
  EXPECT_OK(WriteAt(*file, 0, "x"));
  EXPECT_OK(Close(*file));
  EXPECT_EQ(GetObject("a"), "0123456789x");
  file = Open("a", O_WRONLY | O_TRUNC);
  EXPECT_OK(Close(*file));
  EXPECT_EQ(GetObject("a"), "");
  EXPECT_CODE(Open("a", O_CREAT | O_EXCL | O_WRONLY), Code::kAlreadyExists);
}

TEST_F(CoreTest, ReadOnlyMountsRefuseEveryChange) {
  PutObject("a", "x");
  config_.read_only = true;
  Mount();
  EXPECT_EQ(*ReadFile("a"), "x");
  EXPECT_CODE(Open("a", O_WRONLY), Code::kReadOnly);
  EXPECT_CODE(Open("b", O_CREAT | O_WRONLY), Code::kReadOnly);
  EXPECT_CODE(MakeDir("d"), Code::kReadOnly);
  EXPECT_CODE(Remove("a"), Code::kReadOnly);
  EXPECT_CODE(Rename("a", "b"), Code::kReadOnly);
  AttributeChange change;
  change.mode = 0600;
  EXPECT_CODE(Change("a", change), Code::kReadOnly);
}

TEST_F(CoreTest, TheReservedFolderIsHiddenAndCannotBeMade) {
  PutObject(".quayfs/secret", "x");
  EXPECT_THAT(*List(""), IsEmpty());
  EXPECT_CODE(Walk(".quayfs"), Code::kNotFound);
  EXPECT_CODE(MakeDir(".quayfs"), Code::kNotPermitted);
  EXPECT_CODE(WriteFile(".quayfs", "x"), Code::kNotPermitted);
}

TEST_F(CoreTest, OddKeysHaveNamesAndNothingIsShadowed) {
  PutObject("a", "file");
  PutObject("a/b", "below");
  PutObject("x//y", "empty segment");
  PutObject("./dot", "d");
  PutObject("../dots", "dd");
  PutObject("%~z", "escape");
  PutObject(std::string(300, 'l'), "too long to be a name");
  EXPECT_THAT(*List(""), ElementsAre("%~%25~z", "%~%2E", "%~%2E%2E", "%~a%f", "a", "x"));
  EXPECT_EQ(*ReadFile("a/b"), "below");
  EXPECT_EQ(*ReadFile("%~a%f"), "file");
  EXPECT_EQ(*ReadFile("x/%~/y"), "empty segment");
  EXPECT_EQ(*ReadFile("%~%2E%2E/dots"), "dd");
  EXPECT_OK(Remove("%~a%f"));
  EXPECT_EQ(GetObject("a/b"), "below");
}

TEST_F(CoreTest, APrefixIsARoot) {
  PutObject("host/f", "mine");
  PutObject("other", "not mine");
  config_.prefix = "host/";
  Mount();
  EXPECT_THAT(*List(""), ElementsAre("f"));
  EXPECT_OK(WriteFile("g", "x"));
  EXPECT_EQ(GetObject("host/g"), "x");
  AttributeChange change;
  change.mode = 0700;
  auto changed = fs_->SetAttributes(ctx_, kRootIno, change, nullptr);
  EXPECT_OK(changed);
  Mount();
  EXPECT_EQ(fs_->GetAttributes(ctx_, kRootIno)->attributes.mode, S_IFDIR | 0700u);
}

TEST_F(CoreTest, TheBucketsRootKeepsItsAttributesToo) {
  AttributeChange change;
  change.mode = 0711;
  EXPECT_OK(fs_->SetAttributes(ctx_, kRootIno, change, nullptr));
  Mount();
  EXPECT_EQ(fs_->GetAttributes(ctx_, kRootIno)->attributes.mode, S_IFDIR | 0711u);
  EXPECT_THAT(*List(""), IsEmpty());
}

TEST_F(CoreTest, LongListingsStreamInPagesAndAreCompleteAfterwards) {
  store_->page_size = 7;
  for (int i = 0; i < 40; ++i) PutObject("f" + std::to_string(100 + i), "x");
  for (int i = 0; i < 40; ++i) PutObject("d" + std::to_string(100 + i) + "/in", "x");
  const auto entry = fs_->OpenDir(ctx_, kRootIno);
  ASSERT_TRUE(entry.ok());
  // Three at a time, as a small getdents buffer would.
  std::vector<std::string> names;
  uint64_t offset = 0;
  while (true) {
    int taken = 0;
    EXPECT_OK(
        fs_->ReadDir(ctx_, **entry, offset, false, [&](const DirectoryEntry& item, uint64_t next) {
          if (taken == 3) return false;
          ++taken;
          offset = next;
          names.push_back(item.name);
          return true;
        }));
    if (taken == 0) break;
  }
  fs_->ReleaseDir(*entry);
  EXPECT_EQ(names.size(), 82u);
  std::sort(names.begin(), names.end());
  EXPECT_EQ(std::unique(names.begin(), names.end()), names.end());
  store_->Reset();
  EXPECT_CODE(Walk("f999"), Code::kNotFound);
  EXPECT_EQ(List("")->size(), 80u);
  EXPECT_EQ(store_->Total(), 0);
}

TEST_F(CoreTest, AWalkThroughAnUnknownDirectoryAsksForManyAttributesAtOnce) {
  for (int i = 0; i < 200; ++i) PutObject("f" + std::to_string(1000 + i), "x");
  ASSERT_EQ(List("")->size(), 200u);
  EXPECT_EQ(store_->Count("Head"), 0);
  for (int i = 0; i < 200; ++i) EXPECT_OK(Stat("f" + std::to_string(1000 + i)));
  EXPECT_EQ(store_->Count("Head"), 200) << "one each, however they were asked for";
  EXPECT_EQ(store_->Count("List"), 1);
}

TEST_F(CoreTest, NamesInALargeDirectoryAreAskedForOneByOne) {
  store_->page_size = 10;
  for (int i = 0; i < 50; ++i) PutObject("f" + std::to_string(100 + i), "x");
  EXPECT_OK(Stat("f149"));
  EXPECT_LE(store_->Total(), 3);
  EXPECT_CODE(Walk("absent"), Code::kNotFound);
  EXPECT_LE(store_->Total(), 5);
}

TEST_F(CoreTest, CreatedFilesInheritTheGroupOfASetgidDirectory) {
  EXPECT_OK(MakeDir("d"));
  AttributeChange change;
  change.mode = 02775;
  change.gid = 77;
  EXPECT_OK(Change("d", change));
  EXPECT_OK(WriteFile("d/f", "x"));
  EXPECT_OK(MakeDir("d/sub"));
  EXPECT_EQ(Stat("d/f")->gid, 77u);
  EXPECT_EQ(Stat("d/sub")->gid, 77u);
  EXPECT_EQ(Stat("d/sub")->mode & S_ISGID, static_cast<mode_t>(S_ISGID));
}

TEST_F(CoreTest, PlainModeStoresNoAttributesAndAsksForNone) {
  config_.metadata = MetadataMode::kPlain;
  config_.default_file_mode = 0640;
  Mount();
  PutObject("theirs", "x");
  EXPECT_EQ(Stat("theirs")->mode, S_IFREG | 0640u);
  EXPECT_EQ(store_->Count("Head"), 0);
  EXPECT_OK(WriteFile("ours", "y"));
  EXPECT_THAT(local_->Head("ours", {})->properties.metadata, IsEmpty());
  EXPECT_CODE(fs_->MakeSymlink(ctx_, kRootIno, "l", "t"), Code::kNotPermitted);
}

TEST_F(CoreTest, ForeignMetadataSurvivesAChmod) {
  ObjectProperties properties;
  properties.content_type = "text/plain";
  properties.cache_control = "no-cache";
  properties.metadata = {{"colour", "blue"}};
  PutObject("a", "x", properties);
  AttributeChange change;
  change.mode = 0600;
  EXPECT_OK(Change("a", change));
  const auto head = local_->Head("a", {});
  EXPECT_EQ(head->properties.content_type, "text/plain");
  EXPECT_EQ(head->properties.cache_control, "no-cache");
  EXPECT_EQ(head->properties.metadata.at("colour"), "blue");
}

TEST_F(CoreTest, SetUidBitsOfABucketCountOnlyIfTrusted) {
  ObjectProperties properties;
  properties.metadata = {{"mode", std::to_string(S_IFREG | 06755)}};
  PutObject("a", "x", properties);
  EXPECT_EQ(Stat("a")->mode, S_IFREG | 0755u);
  config_.trust_special_bits = true;
  Mount();
  EXPECT_EQ(Stat("a")->mode, S_IFREG | 06755u);
}

TEST_F(CoreTest, ManyThreadsAtWorkInOneTreeLeaveItConsistent) {
  for (const char* name : {"p", "q"}) EXPECT_OK(MakeDir(name));
  std::vector<std::thread> threads;
  threads.reserve(8);
  for (int t = 0; t < 8; ++t) {
    threads.emplace_back([this, t] {
      const std::string mine = "p/t" + std::to_string(t);
      for (int i = 0; i < 30; ++i) {
        EXPECT_OK(WriteFile(mine, std::string(static_cast<size_t>(i) * 100, 'x')));
        EXPECT_OK(Rename(mine, "q/t" + std::to_string(t)));
        EXPECT_OK(List("q"));
        EXPECT_OK(Rename("q/t" + std::to_string(t), mine));
        EXPECT_OK(Stat(mine));
        if (i % 10 == 9) EXPECT_OK(Remove(mine));
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_THAT(*List("p"), IsEmpty());
  EXPECT_THAT(*List("q"), IsEmpty());
  EXPECT_THAT(Keys(), ElementsAre("p/", "q/"));
}

TEST_F(CoreTest, FilesAndADirectoryBeingRenamedDoNotLoseEachOther) {
  EXPECT_OK(MakeDir("d0"));
  std::atomic<bool> stop = false;
  std::thread renamer([&] {
    int at = 0;
    while (!stop) {
      EXPECT_OK(Rename("d" + std::to_string(at), "d" + std::to_string(1 - at)));
      at = 1 - at;
    }
    if (at == 1) EXPECT_OK(Rename("d1", "d0"));
  });
  const Ino directory = Walk("d0").ok() ? Walk("d0")->ino : Walk("d1")->ino;
  for (int i = 0; i < 30; ++i) {
    auto created = fs_->Create(ctx_, directory, "f" + std::to_string(i), 0644, O_WRONLY);
    ASSERT_TRUE(created.ok()) << created.error().ToString();
    EXPECT_OK(WriteAt(created->opened.file, 0, "x"));
    EXPECT_OK(Close(created->opened.file));
  }
  stop = true;
  renamer.join();
  EXPECT_EQ(List("d0")->size(), 30u);
  EXPECT_EQ(Keys().size(), 31u);
}

}  // namespace
}  // namespace quayfs
