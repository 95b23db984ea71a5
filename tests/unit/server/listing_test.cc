// SPDX-License-Identifier: Apache-2.0

#include "tests/server/listing.h"

#include <gtest/gtest.h>

#include <random>
#include <set>

#include "base/text.h"
#include "tests/unit/server/test_client.h"

namespace quayfs::testserver {
namespace {

std::string Encoded(const std::string& text) { return PercentEncode(text, false); }

class ListingTest : public testing::Test {
 protected:
  void Start(const ServerConfig& config) {
    server_ = StartServer(config);
    client_ = std::make_unique<TestClient>(server_->port());
  }
  void SetUp() override { Start({}); }
  void Add(const std::vector<std::string>& keys) {
    for (const std::string& key : keys) server_->PutDirect("test", key, "x", {});
  }
  static std::vector<std::string> Prefixes(const Response& response) {
    std::vector<std::string> prefixes;
    for (const std::string& block : response.XmlAll("CommonPrefixes")) {
      Response inner;
      inner.body = block;
      prefixes.push_back(inner.Xml("Prefix"));
    }
    return prefixes;
  }

  std::unique_ptr<Server> server_;
  std::unique_ptr<TestClient> client_;
};

TEST_F(ListingTest, DelimiterAndPrefix) {
  Add({"a", "b/1", "b/2", "b/c/3", "b0", "c/"});
  const Response all = client_->Get("/test", "delimiter=%2F&list-type=2");
  EXPECT_EQ((std::vector<std::string>{"a", "b0"}), all.XmlAll("Key"));
  EXPECT_EQ((std::vector<std::string>{"b/", "c/"}), Prefixes(all));
  EXPECT_EQ("4", all.Xml("KeyCount"));
  EXPECT_EQ("false", all.Xml("IsTruncated"));
  const Response below = client_->Get("/test", "delimiter=%2F&list-type=2&prefix=b%2F");
  EXPECT_EQ((std::vector<std::string>{"b/1", "b/2"}), below.XmlAll("Key"));
  EXPECT_EQ((std::vector<std::string>{"b/c/"}), Prefixes(below));
  const Response marker_object = client_->Get("/test", "delimiter=%2F&list-type=2&prefix=c%2F");
  EXPECT_EQ((std::vector<std::string>{"c/"}), marker_object.XmlAll("Key"));
}

TEST_F(ListingTest, CommonPrefixesCountTowardTheLimit) {
  Add({"a/1", "a/2", "b", "c/1", "d"});
  const Response first = client_->Get("/test", "delimiter=%2F&list-type=2&max-keys=2");
  EXPECT_EQ((std::vector<std::string>{"b"}), first.XmlAll("Key"));
  EXPECT_EQ((std::vector<std::string>{"a/"}), Prefixes(first));
  EXPECT_EQ("true", first.Xml("IsTruncated"));
  const Response second =
      client_->Get("/test", "continuation-token=" + Encoded(first.Xml("NextContinuationToken")) +
                                "&delimiter=%2F&list-type=2&max-keys=2");
  EXPECT_EQ((std::vector<std::string>{"d"}), second.XmlAll("Key"));
  EXPECT_EQ((std::vector<std::string>{"c/"}), Prefixes(second));
  EXPECT_EQ("false", second.Xml("IsTruncated"));
  EXPECT_EQ("", second.Xml("NextContinuationToken"));
}

TEST_F(ListingTest, NextMarkerOnlyWithADelimiter) {
  Add({"a", "b/1", "c"});
  const Response plain = client_->Get("/test", "max-keys=1");
  EXPECT_EQ("true", plain.Xml("IsTruncated"));
  EXPECT_EQ(std::string::npos, plain.body.find("NextMarker"));
  const Response grouped = client_->Get("/test", "delimiter=%2F&marker=a&max-keys=1");
  EXPECT_EQ("b/", grouped.Xml("NextMarker"));
  const Response rest = client_->Get("/test", "delimiter=%2F&marker=b%2F&max-keys=1");
  EXPECT_EQ((std::vector<std::string>{"c"}), rest.XmlAll("Key"));
  EXPECT_TRUE(Prefixes(rest).empty());
}

TEST_F(ListingTest, UrlEncoding) {
  Add({"a b", "c\x01", "d+\xc3\xa9/x"});
  const Response url = client_->Get("/test", "encoding-type=url&list-type=2");
  EXPECT_EQ("url", url.Xml("EncodingType"));
  EXPECT_EQ((std::vector<std::string>{"a+b", "c%01", "d%2B%C3%A9/x"}), url.XmlAll("Key"));
  const Response raw = client_->Get("/test", "list-type=2");
  EXPECT_EQ((std::vector<std::string>{"a b", "c&#1;", "d+\xc3\xa9/x"}), raw.XmlAll("Key"));
  Start({.encoding_type = false});
  Add({"a b"});
  const Response ignored = client_->Get("/test", "encoding-type=url&list-type=2");
  EXPECT_EQ("", ignored.Xml("EncodingType"));
  EXPECT_EQ("a b", ignored.Xml("Key"));
}

TEST_F(ListingTest, StartAfterMaxKeysAndErrors) {
  Add({"a", "b", "c"});
  EXPECT_EQ((std::vector<std::string>{"c"}),
            client_->Get("/test", "list-type=2&start-after=b").XmlAll("Key"));
  EXPECT_EQ("false", client_->Get("/test", "list-type=2&max-keys=0").Xml("IsTruncated"));
  EXPECT_EQ("InvalidArgument", client_->Get("/test", "list-type=2&max-keys=-1").ErrorCode());
  EXPECT_EQ("InvalidArgument",
            client_->Get("/test", "continuation-token=x&list-type=2").ErrorCode());
  Start({.page_size_max = 2});
  Add({"a", "b", "c"});
  EXPECT_EQ(2u, client_->Get("/test", "list-type=2&max-keys=1000").XmlAll("Key").size());
}

TEST_F(ListingTest, ListV2CanBeMissing) {
  Start({.list_v2 = false});
  Add({"a", "b"});
  const Response response = client_->Get("/test", "list-type=2&max-keys=1");
  EXPECT_EQ(std::string::npos, response.body.find("KeyCount"));
  EXPECT_NE(std::string::npos, response.body.find("<Marker>"));
  EXPECT_EQ(1u, server_->Count("ListObjects"));
  EXPECT_EQ(0u, server_->Count("ListObjectsV2"));
}

TEST_F(ListingTest, ShuffledListingsGiveEverythingOnce) {
  Start({.shuffle_listings = true, .seed = 5});
  std::vector<std::string> keys;
  keys.reserve(25);
  for (int i = 0; i < 25; ++i) keys.push_back("k" + std::to_string(100 + i));
  Add(keys);
  Add({"d/1", "d/2"});
  std::vector<std::string> seen;
  std::string marker;
  for (int page = 0; page < 20; ++page) {
    const Response response = client_->Get(
        "/test", "delimiter=%2F" + (marker.empty() ? "" : "&marker=" + marker) + "&max-keys=4");
    for (const std::string& key : response.XmlAll("Key")) seen.push_back(key);
    for (const std::string& prefix : Prefixes(response)) seen.push_back(prefix);
    if (response.Xml("IsTruncated") == "false") break;
    marker = response.Xml("NextMarker");
    ASSERT_FALSE(marker.empty());
  }
  EXPECT_EQ(26u, seen.size());
  EXPECT_FALSE(std::is_sorted(seen.begin(), seen.end()));
  std::vector<std::string> expected = keys;
  expected.emplace_back("d/");
  std::sort(expected.begin(), expected.end());
  std::sort(seen.begin(), seen.end());
  EXPECT_EQ(expected, seen);
  EXPECT_EQ("InvalidArgument", client_->Get("/test", "marker=k100").ErrorCode());
}

/// The pages of any size, put together, are what a plain walk finds.
TEST(ListingModelTest, PagesAddUp) {
  const uint64_t seed = std::random_device{}();
  SCOPED_TRACE("seed " + std::to_string(seed));
  std::mt19937_64 random(seed);
  for (int round = 0; round < 200; ++round) {
    std::map<std::string, ObjectPtr> objects;
    for (int i = 0; i < 40; ++i) {
      std::string key;
      const size_t length = 1 + random() % 6;
      for (size_t k = 0; k < length; ++k) key += "ab/\xff"[random() % 4];
      objects[key] = std::make_shared<Object>();
    }
    ListQuery query;
    query.delimiter = random() % 3 == 0 ? "" : "/";
    const size_t prefix_length = random() % 3;
    for (size_t k = 0; k < prefix_length; ++k) query.prefix += "ab/\xff"[random() % 4];
    std::set<std::string> expected;
    for (const auto& [key, object] : objects) {
      if (!key.starts_with(query.prefix)) continue;
      const size_t cut =
          query.delimiter.empty() ? std::string::npos : key.find('/', query.prefix.size());
      expected.insert(cut == std::string::npos ? key : key.substr(0, cut + 1));
    }
    query.max = 1 + random() % 7;
    std::vector<std::string> seen;
    while (true) {
      const ListPage page = ListInOrder(objects, query);
      ASSERT_LE(page.entries.size(), query.max);
      for (const ListEntry& entry : page.entries) seen.push_back(entry.name);
      if (!page.truncated) break;
      ASSERT_EQ(query.max, page.entries.size());
      ASSERT_LT(query.after, page.next) << "no progress";
      query.after = page.next;
    }
    EXPECT_EQ(std::vector<std::string>(expected.begin(), expected.end()), seen)
        << "prefix " << query.prefix << " delimiter " << query.delimiter;
  }
}

}  // namespace
}  // namespace quayfs::testserver
