// SPDX-License-Identifier: Apache-2.0

#include "providers/probe_memory.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <sstream>

#include "tests/unit/providers/faulty_disk.h"

namespace quayfs {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

StoreConfig Config() {
  StoreConfig config;
  config.endpoint = "https://s3.example.org:9000/base";
  config.bucket = "nightly";
  config.credentials = {"the-key-id", "the-secret", "the-token"};
  return config;
}

class ProbeMemoryTest : public ::testing::Test {
 protected:
  ProbeMemoryTest() {
    std::string name = ::testing::TempDir() + "probe-memory.XXXXXX";
    EXPECT_NE(::mkdtemp(name.data()), nullptr);
    directory_ = name;
    report_.put_if_absent = ProbeVerdict::kHonoured;
    report_.put_if_match = ProbeVerdict::kIgnored;
    report_.copy = ProbeVerdict::kRefused;
    report_.part_copy = ProbeVerdict::kFailed;
    report_.notes = {"a note with the-secret"};
  }
  ~ProbeMemoryTest() override { std::filesystem::remove_all(directory_); }

  void Overwrite(const std::string& text) const {
    std::ofstream(ProbeMemory(directory_, SystemDisk()).PathOf(subject_), std::ios::trunc) << text;
  }
  std::string Text() const {
    std::ifstream file(ProbeMemory(directory_, SystemDisk()).PathOf(subject_));
    std::stringstream text;
    text << file.rdbuf();
    return text.str();
  }

  const WallTime now_ = ParseIso("2026-03-01T12:00:00Z").value();
  const std::string subject_ = ProbeSubject(Config()).value_or("");
  std::string directory_;
  ProbeReport report_;
};

TEST_F(ProbeMemoryTest, WhatWasFoundIsKnownLater) {
  ProbeMemory memory(directory_, SystemDisk());
  EXPECT_TRUE(memory.Recall(subject_, now_).Is(Code::kNotFound));
  ASSERT_TRUE(memory.Remember(subject_, report_, now_).ok());
  const auto recalled = memory.Recall(subject_, now_ + std::chrono::hours(24));
  ASSERT_TRUE(recalled.ok()) << recalled.error().ToString();
  EXPECT_EQ(recalled->probed, now_);
  for (const ProbeRow& row : ProbeRows()) {
    EXPECT_EQ(recalled->report.*row.verdict, report_.*row.verdict) << row.name;
  }
  EXPECT_THAT(Text(), Not(HasSubstr("the-")));
  report_.put_if_absent = ProbeVerdict::kRefused;
  ASSERT_TRUE(memory.Remember(subject_, report_, now_).ok());
  EXPECT_EQ(memory.Recall(subject_, now_)->report.put_if_absent, ProbeVerdict::kRefused);
}

TEST_F(ProbeMemoryTest, TheSubjectIsEndpointBucketAndProfile) {
  EXPECT_THAT(subject_, HasSubstr("https://s3.example.org:9000/base"));
  EXPECT_THAT(subject_, Not(HasSubstr("the-")));
  StoreConfig other = Config();
  other.bucket = "daily";
  EXPECT_NE(ProbeSubject(other), subject_);
  other = Config();
  other.endpoint = "https://s3.example.org/base";
  EXPECT_NE(ProbeSubject(other), subject_);
  other = Config();
  other.provider = "minio";
  EXPECT_NE(ProbeSubject(other), subject_);
  other = Config();
  other.credentials.access_key_id = "another";
  EXPECT_EQ(ProbeSubject(other), subject_);
  other.provider = "local";
  other.bucket = "/srv/objects";
  EXPECT_EQ(ProbeSubject(other), std::nullopt);
  EXPECT_EQ(ProbeSubject(StoreConfig()), std::nullopt) << "no store can be opened with that";
}

TEST_F(ProbeMemoryTest, OldAndFutureFilesDoNotCount) {
  ProbeMemory memory(directory_, SystemDisk());
  ASSERT_TRUE(memory.Remember(subject_, report_, now_).ok());
  EXPECT_TRUE(memory.Recall(subject_, now_ + ProbeMemory::kGoodFor).ok());
  const auto old = memory.Recall(subject_, now_ + ProbeMemory::kGoodFor + std::chrono::seconds(1));
  ASSERT_FALSE(old.ok());
  EXPECT_THAT(old.error().message(), HasSubstr("90 days"));
  EXPECT_TRUE(memory.Recall(subject_, now_ - std::chrono::hours(1)).ok());
  EXPECT_FALSE(memory.Recall(subject_, now_ - std::chrono::hours(25)).ok());
}

TEST_F(ProbeMemoryTest, WhatCannotBeUnderstoodDoesNotCount) {
  ProbeMemory memory(directory_, SystemDisk());
  ASSERT_TRUE(memory.Remember(subject_, report_, now_).ok());
  const std::string good = Text();
  const auto with = [&good](const std::string& from, const std::string& to) {
    std::string text = good;
    const size_t at = text.find(from);
    EXPECT_NE(at, std::string::npos) << from;
    return text.replace(at, from.size(), to);
  };
  for (const std::string& text :
       {std::string(), std::string("[]"), good.substr(0, good.size() / 2),
        std::string(1 << 20, ' ') + good, with("\"quayfs-probe\": 1", "\"quayfs-probe\": 2"),
        with("nightly", "daily"), with("\"probed\": \"2026", "\"probed\": \"x"),
        with("\"verdicts\": {", "\"verdicts\": 7, \"x\": {")}) {
    Overwrite(text);
    const auto recalled = memory.Recall(subject_, now_);
    ASSERT_FALSE(recalled.ok()) << text.substr(0, 200);
    EXPECT_FALSE(recalled.Is(Code::kNotFound));
  }
  Overwrite(with("\"honoured\"", "\"marvellous\""));
  ASSERT_TRUE(memory.Recall(subject_, now_).ok());
  EXPECT_EQ(memory.Recall(subject_, now_)->report.put_if_absent, ProbeVerdict::kUntested);
}

TEST_F(ProbeMemoryTest, AFailedWriteLeavesTheOldResult) {
  ProbeMemory memory(directory_, SystemDisk());
  ASSERT_TRUE(memory.Remember(subject_, report_, now_).ok());
  ProbeReport other = report_;
  other.put_if_absent = ProbeVerdict::kRefused;
  const std::string stash = directory_ + "/stash";
  std::filesystem::create_directory(stash);
  int failures = 0;
  for (int64_t at = 0; at < 8; ++at) {
    FaultyDisk disk(DiskFault::kFull, at, stash);
    if (ProbeMemory(directory_, disk).Remember(subject_, other, now_)) continue;
    ++failures;
    EXPECT_TRUE(memory.Recall(subject_, now_).ok());
  }
  EXPECT_GE(failures, 3);
  std::filesystem::remove_all(stash);
  EXPECT_EQ(std::distance(std::filesystem::directory_iterator(directory_), {}), 1)
      << "something is left behind";
}

}  // namespace
}  // namespace quayfs
