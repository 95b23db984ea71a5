// SPDX-License-Identifier: Apache-2.0

#include "providers/profiles.h"

#include <gtest/gtest.h>

#include <map>
#include <set>

namespace quayfs {
namespace {

const Profile& Get(std::string_view name) { return *FindProfile(name).value(); }

TEST(Profiles, IdsAndAliasesAreUniqueAndLowerCase) {
  std::set<std::string_view> names;
  for (const Profile& profile : Profiles()) {
    EXPECT_TRUE(names.insert(profile.id).second) << profile.id;
    for (const std::string_view alias : profile.aliases) {
      EXPECT_TRUE(names.insert(alias).second) << alias;
    }
    EXPECT_FALSE(profile.title.empty());
  }
  for (const std::string_view name : names) {
    for (const char c : name) EXPECT_FALSE(c >= 'A' && c <= 'Z') << name;
  }
}

TEST(Profiles, EveryVendorThatIsPromisedIsThere) {
  for (const char* id :
       {"aws",      "kodo",   "minio",  "ceph",         "r2",        "oss",      "cos",
        "obs",      "wasabi", "b2",     "digitalocean", "spaces",    "scaleway", "ovh",
        "gcs",      "storj",  "idrive", "garage",       "seaweedfs", "tigris",   "qingstor-s3",
        "qingstor", "s3",     "other",  "local",        "KODO",      " Qiniu "}) {
    EXPECT_TRUE(FindProfile(id).ok()) << id;
  }
}

TEST(Profiles, AnUnknownNameIsAnsweredWithTheNearest) {
  const auto found = FindProfile("kodoo");
  ASSERT_TRUE(found.Is(Code::kInvalidArgument));
  EXPECT_NE(found.error().message().find("'kodo'"), std::string::npos) << found.error().message();
  EXPECT_NE(found.error().message().find("provider"), std::string::npos);
}

TEST(Profiles, NumbersMakeSense) {
  for (const Profile& profile : Profiles()) {
    EXPECT_LT(profile.part_size_min, profile.part_size_max) << profile.id;
    EXPECT_GT(profile.parts_max, 0) << profile.id;
    EXPECT_LE(profile.batch_delete_max, 1000) << profile.id;
    EXPECT_GE(profile.key_size_max, 850) << profile.id;
    std::set<std::string_view> ids;
    for (const ProfileRegion& region : profile.regions) {
      EXPECT_TRUE(ids.insert(region.id).second) << profile.id << " " << region.id;
    }
  }
}

TEST(Profiles, KodoHasItsNineRegions) {
  // protocol.md 1.1.
  const std::map<std::string, std::string> regions = {
      {"East China-Zhejiang", "cn-east-1"},
      {"East China-Zhejiang 2", "cn-east-2"},
      {"North China-Hebei", "cn-north-1"},
      {"South China-Guangdong", "cn-south-1"},
      {"Northwest-Shaanxi", "cn-northwest-1"},
      {"North America-Los Angeles", "us-north-1"},
      {"Asia Pacific-Singapore", "ap-southeast-1"},
      {"Asia Pacific-Hanoi", "ap-southeast-2"},
      {"Asia Pacific-Ho Chi Minh", "ap-southeast-3"},
  };
  const Profile& kodo = Get("kodo");
  EXPECT_EQ(kodo.regions.size(), regions.size());
  for (const auto& [name, id] : regions) {
    EXPECT_EQ(ResolveRegion(kodo, name).value(), id);
    EXPECT_EQ(ResolveRegion(kodo, id).value(), id);
    EXPECT_EQ(RegionHost(kodo, id), "s3." + id + ".qiniucs.com");
  }
  EXPECT_EQ(ResolveRegion(kodo, "  EAST CHINA-zhejiang 2 ").value(), "cn-east-2");
  EXPECT_EQ(ResolveRegion(kodo, "east china zhejiang").value(), "cn-east-1");
  EXPECT_EQ(ResolveRegion(kodo, "CN-East-1").value(), "cn-east-1");
  EXPECT_EQ(ResolveRegion(kodo, "my-private-9").value(), "my-private-9") << "custom ids are taken";
  EXPECT_EQ(RegionHost(kodo, "my-private-9"), "s3.my-private-9.qiniucs.com");
}

TEST(Profiles, BadRegions) {
  const Profile& kodo = Get("kodo");
  const auto misspelt = ResolveRegion(kodo, "East China-Zhejang!");
  ASSERT_TRUE(misspelt.Is(Code::kInvalidArgument));
  EXPECT_NE(misspelt.error().message().find("'East China-Zhejiang'"), std::string::npos)
      << misspelt.error().message();
  EXPECT_TRUE(ResolveRegion(kodo, "").Is(Code::kInvalidArgument));
  EXPECT_TRUE(ResolveRegion(kodo, "cn_east.1/x").Is(Code::kInvalidArgument));
  EXPECT_EQ(ResolveRegion(Get("minio"), "").value(), "us-east-1");
}

TEST(Profiles, KodoStorageClasses) {
  // protocol.md 1.4.
  const std::map<std::string, std::string> classes = {
      {"Standard", "STANDARD"},         {"Infrequent Access", "LINE"},
      {"Archive", "GLACIER"},           {"Archive (Direct Read)", "GLACIER_IR"},
      {"Deep Archive", "DEEP_ARCHIVE"}, {"Intelligent Tiering", "INTELLIGENT_TIERING"},
  };
  const Profile& kodo = Get("kodo");
  EXPECT_EQ(kodo.storage_classes.size(), classes.size());
  for (const auto& [name, wire] : classes) {
    EXPECT_EQ(ResolveStorageClass(kodo, name).value(), wire);
    EXPECT_EQ(ResolveStorageClass(kodo, wire).value(), wire);
  }
  EXPECT_EQ(ResolveStorageClass(kodo, "infrequent access").value(), "LINE");
  EXPECT_EQ(ResolveStorageClass(kodo, "").value(), "");
  const auto wrong = ResolveStorageClass(kodo, "STANDARD_IA");
  ASSERT_TRUE(wrong.Is(Code::kInvalidArgument)) << "Kodo refuses it with a 400";
  EXPECT_NE(wrong.error().message().find("LINE"), std::string::npos);
}

TEST(Profiles, StorageClassesElsewhere) {
  EXPECT_EQ(ResolveStorageClass(Get("ceph"), "MY_CLASS").value(), "MY_CLASS");
  EXPECT_TRUE(ResolveStorageClass(Get("ceph"), "a b\r\nx: y").Is(Code::kInvalidArgument));
  EXPECT_TRUE(ResolveStorageClass(Get("qingstor-s3"), "STANDARD").Is(Code::kInvalidArgument));
}

struct HostCase {
  const char* host;
  const char* profile;
  const char* region;
  const char* bucket;
};

TEST(Profiles, HostsAreRecognised) {
  for (const HostCase& expected : std::initializer_list<HostCase>{
           {"s3.cn-east-1.qiniucs.com", "kodo", "cn-east-1", ""},
           {"S3-CN-East-1.QiniuCS.com", "kodo", "cn-east-1", ""},
           {"mine.s3.cn-south-1.qiniucs.com", "kodo", "cn-south-1", "mine"},
           {"s3.amazonaws.com", "aws", "", ""},
           {"s3.us-west-2.amazonaws.com", "aws", "us-west-2", ""},
           {"s3-eu-west-1.amazonaws.com", "aws", "eu-west-1", ""},
           {"s3.dualstack.eu-west-1.amazonaws.com", "aws", "eu-west-1", ""},
           {"my.bucket.s3.us-west-2.amazonaws.com", "aws", "us-west-2", "my.bucket"},
           {"s3.pek3a.qingstor.com", "qingstor-s3", "pek3a", ""},
           {"0123abcd.r2.cloudflarestorage.com", "r2", "", ""},
           {"oss-cn-hangzhou.aliyuncs.com", "oss", "cn-hangzhou", ""},
           {"b-125.cos.ap-beijing.myqcloud.com", "cos", "ap-beijing", "b-125"},
           {"obs.cn-north-4.myhuaweicloud.com", "obs", "cn-north-4", ""},
           {"s3.eu-central-1.wasabisys.com", "wasabi", "eu-central-1", ""},
           {"s3.us-west-004.backblazeb2.com", "b2", "us-west-004", ""},
           {"fra1.digitaloceanspaces.com", "digitalocean", "fra1", ""},
           {"s3.fr-par.scw.cloud", "scaleway", "fr-par", ""},
           {"storage.googleapis.com", "gcs", "", ""},
           {"gateway.eu1.storjshare.io", "storj", "", ""},
       }) {
    const auto found = RecogniseHost(expected.host);
    ASSERT_TRUE(found.has_value()) << expected.host;
    EXPECT_EQ(found->profile->id, expected.profile) << expected.host;
    EXPECT_EQ(found->region, expected.region) << expected.host;
    EXPECT_EQ(found->bucket, expected.bucket) << expected.host;
  }
}

TEST(Profiles, OtherHostsAreNot) {
  for (const char* host : {"s3.example.org", "127.0.0.1", "qiniucs.com", "s3.qiniucs.com",
                           "s3.cn-east-1.qiniucs.com.evil.example", "localhost",
                           "evil-s3.amazonaws.com.example.org", ""}) {
    EXPECT_FALSE(RecogniseHost(host).has_value()) << host;
  }
}

TEST(Profiles, AnUnknownAnswerCountsAsNo) {
  const Capabilities generic = ProfileCapabilities(Get("s3"));
  EXPECT_FALSE(generic.put_if_absent);
  EXPECT_FALSE(generic.complete_if_match);
  const Capabilities kodo = ProfileCapabilities(Get("kodo"));
  EXPECT_FALSE(kodo.put_if_absent) << "Kodo answers 200 and overwrites";
  EXPECT_EQ(kodo.part_size_min, 1u << 20);
  EXPECT_EQ(kodo.part_size_max, 1u << 30);
  EXPECT_TRUE(ProfileCapabilities(Get("aws")).put_if_absent);
  EXPECT_FALSE(ProfileCapabilities(Get("gcs")).batch_delete);
  EXPECT_TRUE(ProfileCapabilities(Get("r2")).equal_parts);
}

}  // namespace
}  // namespace quayfs
