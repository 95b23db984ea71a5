// SPDX-License-Identifier: Apache-2.0

#include "s3/uri.h"

#include <gtest/gtest.h>

namespace quayfs::s3 {
namespace {

ClientConfig Config(AddressingStyle style) {
  ClientConfig config;
  config.host = "s3.example.org";
  config.bucket = "bucket";
  config.style = style;
  return config;
}

TEST(Uri, PathStyle) {
  const ClientConfig config = Config(AddressingStyle::kPath);
  EXPECT_EQ(ObjectAddress(config, config.host, "a/b").path, "/bucket/a/b");
  EXPECT_EQ(ObjectAddress(config, config.host, "a/b").host, "s3.example.org");
  EXPECT_EQ(ObjectAddress(config, config.host, "").path, "/bucket/");
  EXPECT_EQ(ObjectAddress(config, config.host, "/x").path, "/bucket//x");
  EXPECT_EQ(ObjectAddress(config, config.host, "a/../b/.").path, "/bucket/a/../b/.");
  EXPECT_EQ(ServiceAddress(config, config.host).path, "/");
}

TEST(Uri, VirtualHostStyle) {
  const ClientConfig config = Config(AddressingStyle::kVirtualHost);
  const Address address = ObjectAddress(config, config.host, "a b");
  EXPECT_EQ(address.host, "bucket.s3.example.org");
  EXPECT_EQ(address.path, "/a%20b");
  EXPECT_EQ(ObjectAddress(config, config.host, "").path, "/");
}

TEST(Uri, BasePathComesFirstAndIsEncodedOnce) {
  ClientConfig config = Config(AddressingStyle::kPath);
  for (const char* base : {"/gate way/", "gate%20way", "/gate way"}) {
    config.base_path = base;
    EXPECT_EQ(ObjectAddress(config, config.host, "k").path, "/gate%20way/bucket/k") << base;
    EXPECT_EQ(ServiceAddress(config, config.host).path, "/gate%20way/") << base;
  }
  config.base_path = "/";
  EXPECT_EQ(ObjectAddress(config, config.host, "k").path, "/bucket/k");
}

TEST(Uri, VirtualHostOnlyWherePossible) {
  struct Row {
    std::string scheme, host;
    uint16_t port;
    std::string bucket;
    AddressingStyle expected;
  };
  constexpr AddressingStyle kPath = AddressingStyle::kPath;
  constexpr AddressingStyle kHost = AddressingStyle::kVirtualHost;
  for (const Row& row : std::vector<Row>{
           {"https", "s3.example.org", 0, "bucket", kHost},
           {"https", "s3.example.org", 443, "bucket", kHost},
           {"https", "s3.example.org", 9000, "bucket", kPath},
           {"http", "s3.example.org", 443, "bucket", kPath},
           {"https", "192.0.2.1", 0, "bucket", kPath},
           {"https", "2001:db8::1", 0, "bucket", kPath},
           {"https", "s3.example.org", 0, "with.dot", kPath},
           {"http", "s3.example.org", 0, "with.dot", kHost},
           {"http", "s3.example.org", 0, "with..dot", kPath},
           {"https", "s3.example.org", 0, "Upper", kPath},
           {"https", "s3.example.org", 0, "under_score", kPath},
           {"https", "s3.example.org", 0, "-dash", kPath},
           {"https", "s3.example.org", 0, std::string(64, 'a'), kPath},
       }) {
    ClientConfig config = Config(kHost);
    config.scheme = row.scheme;
    config.host = row.host;
    config.port = row.port;
    config.bucket = row.bucket;
    EXPECT_EQ(EffectiveStyle(config), row.expected)
        << row.scheme << row.host << row.port << row.bucket;
  }
}

TEST(Uri, HostHeader) {
  EXPECT_EQ(HostHeaderValue("https", "S3.Example.org", 0), "s3.example.org");
  EXPECT_EQ(HostHeaderValue("https", "s3.example.org", 443), "s3.example.org");
  EXPECT_EQ(HostHeaderValue("http", "s3.example.org", 443), "s3.example.org:443");
  EXPECT_EQ(HostHeaderValue("http", "::1", 8080), "[::1]:8080");
}

TEST(Uri, HostFollowsTheRegion) {
  EXPECT_EQ(HostForRegion("s3.us-east-1.amazonaws.com", "us-east-1", "eu-west-1"),
            "s3.eu-west-1.amazonaws.com");
  EXPECT_EQ(HostForRegion("s3-us-west-2.amazonaws.com", "us-west-2", "eu-west-1"),
            "s3-eu-west-1.amazonaws.com");
  EXPECT_EQ(HostForRegion("s3.amazonaws.com", "us-east-1", "eu-west-1"),
            "s3.eu-west-1.amazonaws.com");
  EXPECT_EQ(HostForRegion("s3.cn-east-1.qiniucs.com", "cn-east-1", "z0"), "s3.z0.qiniucs.com");
  EXPECT_EQ(HostForRegion("minio.example.org", "us-east-1", "eu-west-1"), "minio.example.org");
  EXPECT_EQ(HostForRegion("10.0.0.1", "10", "eu-west-1"), "10.0.0.1");
}

TEST(Uri, RegionNames) {
  EXPECT_TRUE(IsRegionName("us-east-1"));
  for (const char* bad : {"", "a/b", "A", "a b", "evil.example.org", "a\nb"})
    EXPECT_FALSE(IsRegionName(bad)) << bad;
  EXPECT_FALSE(IsRegionName(std::string(65, 'a')));
}

TEST(Uri, QueryRoundTrip) {
  const std::string query = EncodeQuery({{"b", "2 +&="}, {"a", std::nullopt}, {"b", "1"}});
  EXPECT_EQ(query, "a&b=1&b=2%20%2B%26%3D");
  const std::vector<QueryParameter> decoded = DecodeQuery(query);
  ASSERT_EQ(decoded.size(), 3u);
  EXPECT_EQ(decoded[0].name, "a");
  EXPECT_FALSE(decoded[0].value.has_value());
  EXPECT_EQ(decoded[2].value, "2 +&=");
}

}  // namespace
}  // namespace quayfs::s3
