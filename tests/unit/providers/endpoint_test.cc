// SPDX-License-Identifier: Apache-2.0

#include "providers/endpoint.h"

#include <gtest/gtest.h>

namespace quayfs {
namespace {

struct GoodCase {
  const char* text;
  const char* scheme;
  const char* host;
  int port;
  const char* base_path;
};

TEST(Endpoint, WhatIsTaken) {
  for (const GoodCase& good : std::initializer_list<GoodCase>{
           {"https://s3.example.org", "https", "s3.example.org", 0, ""},
           {"HTTPS://S3.Example.ORG/", "https", "s3.example.org", 0, ""},
           {" http://s3.example.org:9000 ", "http", "s3.example.org", 9000, ""},
           {"http://s3.example.org:80", "http", "s3.example.org", 0, ""},
           {"https://s3.example.org:443", "https", "s3.example.org", 0, ""},
           {"https://s3.example.org:80", "https", "s3.example.org", 80, ""},
           {"http://127.0.0.1:8080/swift/s3/", "http", "127.0.0.1", 8080, "/swift/s3"},
           {"https://[2001:db8::1]:9000", "https", "2001:db8::1", 9000, ""},
           {"https://[::1]/x", "https", "::1", 0, "/x"},
           {"http://localhost", "http", "localhost", 0, ""},
           {"http://under_score.internal", "http", "under_score.internal", 0, ""},
       }) {
    const auto endpoint = ParseEndpoint(good.text);
    ASSERT_TRUE(endpoint.ok()) << good.text << ": " << endpoint.error().message();
    EXPECT_EQ(endpoint->scheme, good.scheme) << good.text;
    EXPECT_EQ(endpoint->host, good.host) << good.text;
    EXPECT_EQ(endpoint->port, good.port) << good.text;
    EXPECT_EQ(endpoint->base_path, good.base_path) << good.text;
  }
}

TEST(Endpoint, WhatIsRefused) {
  for (const char* bad : {"",
                          "s3.example.org",
                          "ftp://s3.example.org",
                          "//s3.example.org",
                          "https:/s3.example.org",
                          "https://",
                          "https:///path",
                          "https://user:pw@host",
                          "https://user@host",
                          "https://host?x=1",
                          "https://host/#f",
                          "https://host:0",
                          "https://host:65536",
                          "https://host:",
                          "https://host:12a",
                          "https://host:-1",
                          "https://ho st",
                          "https://[::1",
                          "https://[::1]x",
                          "https://[nonsense]",
                          "https://a..b",
                          "https://-a.b",
                          "https://host\\x",
                          "https://h\nost",
                          "https://:9000",
                          "https://b\xc3\xa9.org"}) {
    const auto endpoint = ParseEndpoint(bad);
    ASSERT_TRUE(endpoint.Is(Code::kInvalidArgument)) << bad;
    EXPECT_TRUE(endpoint.error().message().starts_with("endpoint: ")) << endpoint.error().message();
  }
}

TEST(Endpoint, TheMessageSaysWhatIsNeeded) {
  EXPECT_NE(ParseEndpoint("s3.example.org").error().message().find("http:// or https://"),
            std::string::npos);
}

TEST(Endpoint, Addresses) {
  EXPECT_TRUE(ParseEndpoint("http://127.0.0.1").value().is_address());
  EXPECT_TRUE(ParseEndpoint("http://[::1]").value().is_address());
  EXPECT_FALSE(ParseEndpoint("http://localhost").value().is_address());
  EXPECT_FALSE(ParseEndpoint("http://1.2.3.example").value().is_address());
}

TEST(Endpoint, HostLabels) {
  EXPECT_TRUE(IsHostLabel("bucket-1"));
  EXPECT_FALSE(IsHostLabel("with.dot"));
  EXPECT_FALSE(IsHostLabel("Upper"));
  EXPECT_FALSE(IsHostLabel("under_score"));
  EXPECT_FALSE(IsHostLabel("-a"));
  EXPECT_FALSE(IsHostLabel(""));
}

}  // namespace
}  // namespace quayfs
