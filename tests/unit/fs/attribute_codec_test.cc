// SPDX-License-Identifier: Apache-2.0

#include "fs/attribute_codec.h"

#include <gtest/gtest.h>

#include <random>

#include "base/text.h"

namespace quayfs {
namespace {

constexpr int64_t kNanos = 1'000'000'000;

WallTime At(int64_t seconds, int64_t nanos = 0) {
  return WallTime(std::chrono::nanoseconds(seconds * kNanos + nanos));
}

DecodedAttributes Decode(const UserMetadata& metadata, std::string_view key = "k",
                         uint64_t size = 1, const std::string& content_type = "") {
  ObjectProperties properties;
  properties.content_type = content_type;
  properties.metadata = metadata;
  return DecodeAttributes(key, size, properties);
}

TEST(AttributeCodec, WhatIsWrittenIsRead) {
  const unsigned seed = std::random_device{}();
  SCOPED_TRACE("seed " + std::to_string(seed));
  std::mt19937_64 random(seed);
  for (const mode_t type : {S_IFREG, S_IFLNK, S_IFIFO, S_IFSOCK, S_IFCHR, S_IFBLK}) {
    for (int i = 0; i < 200; ++i) {
      Attributes attributes;
      attributes.mode = type | (random() & 07777);
      attributes.uid = static_cast<uid_t>(random() % 0xffffffff);
      attributes.gid = static_cast<gid_t>(random() % 0xffffffff);
      attributes.mtime = At(static_cast<int64_t>(random() % 5'000'000'000),
                            static_cast<int64_t>(random() % kNanos));
      attributes.ctime =
          At(-static_cast<int64_t>(random() % 1000), static_cast<int64_t>(random() % kNanos));
      attributes.atime = At(static_cast<int64_t>(random() % 1000));
      attributes.rdev = type == S_IFCHR || type == S_IFBLK ? random() % 65536 : 0;
      ObjectProperties properties;
      EncodeAttributes(attributes, &properties);
      const DecodedAttributes decoded = DecodeAttributes("k", 0, properties);
      EXPECT_EQ(decoded.type, type);
      EXPECT_EQ(decoded.permissions, attributes.mode & 07777);
      EXPECT_EQ(decoded.uid, attributes.uid);
      EXPECT_EQ(decoded.gid, attributes.gid);
      EXPECT_EQ(decoded.mtime, attributes.mtime);
      EXPECT_EQ(decoded.ctime, attributes.ctime) << properties.metadata["ctime"];
      EXPECT_EQ(decoded.atime, attributes.atime);
      EXPECT_EQ(decoded.rdev, attributes.rdev);
    }
  }
}

TEST(AttributeCodec, WritesTheDialectOfS3fs) {
  Attributes attributes;
  attributes.mode = S_IFREG | 0644;
  attributes.uid = 1000;
  attributes.mtime = At(1'700'000'000, 5);
  attributes.ctime = At(1'700'000'001);
  ObjectProperties properties;
  properties.metadata = {
      {"colour", "blue"}, {"file-permissions", "0100600"}, {"s3cmd-attrs", "mode:1"}};
  EncodeAttributes(attributes, &properties);
  EXPECT_EQ(properties.metadata["mode"], "33188");
  EXPECT_EQ(properties.metadata["mtime"], "1700000000.000000005");
  EXPECT_EQ(properties.metadata["ctime"], "1700000001");
  EXPECT_EQ(properties.metadata["colour"], "blue");
  EXPECT_FALSE(properties.metadata.contains("file-permissions")) << "it would contradict";
  EXPECT_FALSE(properties.metadata.contains("s3cmd-attrs"));
  EXPECT_EQ(properties.content_type, "application/octet-stream");
  attributes.mode = S_IFDIR | 0755;
  EncodeAttributes(attributes, &properties);
  EXPECT_EQ(properties.content_type, "application/x-directory");
}

TEST(AttributeCodec, ReadsEveryFormOfMode) {
  EXPECT_EQ(Decode({{"mode", "33188"}}).permissions, 0644u);
  EXPECT_EQ(Decode({{"mode", "0100600"}}).permissions, 0600u);
  EXPECT_EQ(Decode({{"mode", "0x81a4"}}).permissions, 0644u);
  EXPECT_EQ(Decode({{"mode", "100664"}}).permissions, 0664u)
      << "octal without a zero, as rclone writes it";
  EXPECT_EQ(Decode({{"mode", "41471"}}).type, static_cast<mode_t>(S_IFLNK));
  EXPECT_EQ(Decode({{"file-permissions", "0100755"}}).permissions, 0755u);
  EXPECT_EQ(Decode({{"goog-reserved-posix-mode", "640"}}).permissions, 0640u);
  EXPECT_FALSE(Decode({{"mode", "rw-r--r--"}}).permissions.has_value());
  EXPECT_FALSE(Decode({{"mode", "99999999999999999999"}}).permissions.has_value());
  EXPECT_FALSE(Decode({{"mode", ""}}).permissions.has_value());
}

TEST(AttributeCodec, ReadsEveryFormOfTime) {
  EXPECT_EQ(Decode({{"mtime", "1700000000"}}).mtime, At(1'700'000'000));
  EXPECT_EQ(Decode({{"mtime", "1700000000.5"}}).mtime, At(1'700'000'000, 500'000'000))
      << "a decimal fraction";
  EXPECT_EQ(Decode({{"mtime", "1700000000.5"}, {"ctime", "1"}}).mtime, At(1'700'000'000, 5))
      << "s3fs counts nanoseconds";
  EXPECT_EQ(Decode({{"file-mtime", "1700000000000"}}).mtime, At(1'700'000'000));
  EXPECT_EQ(Decode({{"file-mtime", "1700000000000000001ns"}}).mtime, At(1'700'000'000, 1));
  EXPECT_EQ(Decode({{"goog-reserved-file-mtime", "1700000000"}}).mtime, At(1'700'000'000));
  EXPECT_EQ(Decode({{"gcsfuse_mtime", "2023-11-14T22:13:20Z"}}).mtime, At(1'700'000'000));
  for (const char* bad : {"", "x", "1.x", "-", "99999999999999", "1e9", " 5"}) {
    EXPECT_FALSE(Decode({{"mtime", bad}}).mtime.has_value()) << bad;
  }
}

TEST(AttributeCodec, ReadsS3cmd) {
  const auto decoded = Decode(
      {{"s3cmd-attrs", "atime:1/ctime:2/gid:30/gname:g/md5:00/mode:33152/mtime:4/uid:5/uname:u"}});
  EXPECT_EQ(decoded.permissions, 0600u);
  EXPECT_EQ(decoded.uid, 5u);
  EXPECT_EQ(decoded.gid, 30u);
  EXPECT_EQ(decoded.mtime, At(4));
}

TEST(AttributeCodec, DecidesWhatKindOfFileItIs) {
  EXPECT_EQ(Decode({}, "d/", 0).type, static_cast<mode_t>(S_IFDIR));
  EXPECT_EQ(Decode({{"mode", "33188"}}, "d/", 0).type, static_cast<mode_t>(S_IFDIR));
  EXPECT_EQ(Decode({}, "d", 0, "application/x-directory; charset=UTF-8").type,
            static_cast<mode_t>(S_IFDIR));
  EXPECT_EQ(Decode({}, "d", 5, "application/x-directory").type, static_cast<mode_t>(S_IFREG))
      << "data is not hidden";
  EXPECT_EQ(Decode({{"mode", "16877"}}, "f", 5).type, static_cast<mode_t>(S_IFREG));
  EXPECT_EQ(Decode({}, "l", 5, "application/symlink").type, static_cast<mode_t>(S_IFLNK));
  const auto link = Decode({{"--symlink-target", "a%20b"}}, "l", 0);
  EXPECT_EQ(link.type, static_cast<mode_t>(S_IFLNK));
  EXPECT_EQ(link.symlink_target, "a b");
}

TEST(AttributeCodec, NoValueMakesItFail) {
  const unsigned seed = std::random_device{}();
  SCOPED_TRACE("seed " + std::to_string(seed));
  std::mt19937_64 random(seed);
  const std::vector<std::string> names = {"mode",
                                          "uid",
                                          "gid",
                                          "mtime",
                                          "ctime",
                                          "atime",
                                          "rdev",
                                          "file-mtime",
                                          "file-permissions",
                                          "s3cmd-attrs",
                                          "goog-reserved-posix-mode",
                                          "gcsfuse_mtime"};
  for (int i = 0; i < 5000; ++i) {
    UserMetadata metadata;
    for (const std::string& name : names) {
      std::string value(random() % 24, '\0');
      for (char& c : value) c = "0123456789.-x:/mode"[random() % 19];
      metadata[name] = value;
    }
    const DecodedAttributes decoded = Decode(metadata);
    EXPECT_NE(decoded.type, 0u);
  }
}

}  // namespace
}  // namespace quayfs
