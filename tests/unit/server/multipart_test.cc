// SPDX-License-Identifier: Apache-2.0

#include <gtest/gtest.h>

#include <algorithm>

#include "base/hash.h"
#include "base/text.h"
#include "tests/unit/server/test_client.h"

namespace quayfs::testserver {
namespace {

class MultipartTest : public testing::Test {
 protected:
  void Start(const ServerConfig& config) {
    server_ = StartServer(config);
    client_ = std::make_unique<TestClient>(server_->port());
  }
  void SetUp() override { Start({.part_size_min = 4}); }

  std::string Create(const std::string& key, HeaderPairs headers = {}) {
    return client_->Post("/test/" + key, "uploads", "", std::move(headers)).Xml("UploadId");
  }
  Response Part(const std::string& key, const std::string& id, int number,
                const std::string& body) {
    return client_->Put("/test/" + key, body, {},
                        "partNumber=" + std::to_string(number) + "&uploadId=" + id);
  }
  Response Complete(const std::string& key, const std::string& id,
                    const std::vector<std::pair<int, std::string>>& parts,
                    HeaderPairs headers = {}) {
    std::string body = "<CompleteMultipartUpload>";
    for (const auto& [number, etag] : parts) {
      body += "<Part><PartNumber>" + std::to_string(number) + "</PartNumber><ETag>" + etag +
              "</ETag></Part>";
    }
    return client_->Post("/test/" + key, "uploadId=" + id, body + "</CompleteMultipartUpload>",
                         std::move(headers));
  }
  static std::string Etag(const std::string& body) { return "\"" + HexEncode(Md5(body)) + "\""; }

  std::unique_ptr<Server> server_;
  std::unique_ptr<TestClient> client_;
};

TEST_F(MultipartTest, Completes) {
  const std::string id = Create("k", {{"x-amz-meta-a", "1"}});
  ASSERT_FALSE(id.empty());
  EXPECT_EQ(1u, server_->UnfinishedUploads("test"));
  EXPECT_EQ(Etag("2222"), Part("k", id, 2, "2222").Header("etag"));
  EXPECT_EQ(200, Part("k", id, 7, "7").status);
  EXPECT_EQ(200, Part("k", id, 1, "xxxx").status);
  EXPECT_EQ(200, Part("k", id, 1, "1111").status);  // replaces
  EXPECT_EQ(404, client_->Get("/test/k").status);
  const Response response =
      Complete("k", id, {{1, Etag("1111")}, {2, Etag("2222")}, {7, Etag("7")}});
  ASSERT_EQ(200, response.status) << response.body;
  const std::string etag = HexEncode(Md5(Md5("1111") + Md5("2222") + Md5("7"))) + "-3";
  EXPECT_EQ("&quot;" + etag + "&quot;", response.Xml("ETag"));
  const Response get = client_->Get("/test/k", "", {{"range", "bytes=3-8"}});
  EXPECT_EQ("122227", get.body);
  EXPECT_EQ("\"" + etag + "\"", get.Header("etag"));
  EXPECT_EQ("1", get.Header("x-amz-meta-a"));
  EXPECT_EQ(0u, server_->UnfinishedUploads("test"));
  EXPECT_EQ("NoSuchUpload", Complete("k", id, {{1, Etag("1111")}}).ErrorCode());
  // A copy is a single upload: its ETag is the MD5 of the whole.
  EXPECT_EQ(200, client_->Put("/test/copy", "", {{"x-amz-copy-source", "test/k"}}).status);
  EXPECT_EQ(Etag("111122227"), server_->Headers("test", "copy").at("etag"));
}

TEST_F(MultipartTest, Rules) {
  const std::string id = Create("k");
  ASSERT_EQ(200, Part("k", id, 1, "111").status);
  ASSERT_EQ(200, Part("k", id, 2, "2222").status);
  const auto code = [&](const std::vector<std::pair<int, std::string>>& parts) {
    return Complete("k", id, parts).ErrorCode();
  };
  EXPECT_EQ("EntityTooSmall", code({{1, Etag("111")}, {2, Etag("2222")}}));
  EXPECT_EQ("InvalidPartOrder", code({{2, Etag("2222")}, {1, Etag("111")}}));
  EXPECT_EQ("InvalidPartOrder", code({{2, Etag("2222")}, {2, Etag("2222")}}));
  EXPECT_EQ("InvalidPart", code({{2, Etag("other")}}));
  EXPECT_EQ("InvalidPart", code({{3, Etag("2222")}}));
  EXPECT_EQ("MalformedXML", code({}));
  EXPECT_EQ("MalformedXML", client_->Post("/test/k", "uploadId=" + id, "<x").ErrorCode());
  EXPECT_EQ("InvalidArgument", Part("k", id, 0, "x").ErrorCode());
  EXPECT_EQ("InvalidArgument", Part("k", id, 10001, "x").ErrorCode());
  EXPECT_EQ("NoSuchUpload", Part("other", id, 1, "x").ErrorCode());
  EXPECT_EQ("NoSuchUpload", Part("k", "none", 1, "x").ErrorCode());
  EXPECT_EQ("InvalidRequest",
            Complete("k", id, {{2, Etag("2222")}}, {{"x-amz-mp-object-size", "5"}}).ErrorCode());
  EXPECT_EQ(200, code({{1, Etag("111")}}).empty()
                     ? 200
                     : 0);  // the last may be small, others be left out
  EXPECT_EQ("111", server_->Body("test", "k"));
}

TEST_F(MultipartTest, ConditionsAtCompletion) {
  const std::string id = Create("k");
  ASSERT_EQ(200, Part("k", id, 1, "new").status);
  server_->PutDirect("test", "k", "old", {});
  const auto complete = [&](const std::string& name, const std::string& value) {
    return Complete("k", id, {{1, Etag("new")}}, {{name, value}}).status;
  };
  EXPECT_EQ(412, complete("if-none-match", "*"));
  EXPECT_EQ(412, complete("if-match", Etag("other")));
  EXPECT_EQ("old", server_->Body("test", "k"));
  EXPECT_EQ(1u, server_->UnfinishedUploads("test"));
  EXPECT_EQ(200, complete("if-match", Etag("old")));
  EXPECT_EQ("new", server_->Body("test", "k"));
}

TEST_F(MultipartTest, Aborts) {
  const std::string id = Create("k");
  ASSERT_EQ(200, Part("k", id, 1, "x").status);
  EXPECT_EQ(204, client_->Delete("/test/k", "uploadId=" + id).status);
  EXPECT_EQ("NoSuchUpload", client_->Delete("/test/k", "uploadId=" + id).ErrorCode());
  EXPECT_EQ("NoSuchUpload", Part("k", id, 2, "x").ErrorCode());
  EXPECT_EQ(0u, server_->UnfinishedUploads("test"));
}

TEST_F(MultipartTest, CopiesParts) {
  server_->PutDirect("test", "source", "0123456789", {});
  const std::string id = Create("k");
  const auto copy = [&](int number, HeaderPairs headers) {
    headers.emplace_back("x-amz-copy-source", "/test/source");
    return client_->Put("/test/k", "", std::move(headers),
                        "partNumber=" + std::to_string(number) + "&uploadId=" + id);
  };
  EXPECT_EQ("&quot;" + HexEncode(Md5("2345")) + "&quot;",
            copy(1, {{"x-amz-copy-source-range", "bytes=2-5"}}).Xml("ETag"));
  EXPECT_EQ(200, copy(2, {{"x-amz-copy-source-if-match", Etag("0123456789")}}).status);
  EXPECT_EQ(412, copy(3, {{"x-amz-copy-source-if-match", "\"x\""}}).status);
  EXPECT_EQ("InvalidArgument", copy(3, {{"x-amz-copy-source-range", "bytes=2-10"}}).ErrorCode());
  EXPECT_EQ("InvalidArgument", copy(3, {{"x-amz-copy-source-range", "bytes=2-"}}).ErrorCode());
  EXPECT_EQ(200, Complete("k", id, {{1, Etag("2345")}, {2, Etag("0123456789")}}).status);
  EXPECT_EQ("23450123456789", server_->Body("test", "k"));
  EXPECT_EQ(5u, server_->Count("UploadPartCopy"));
  Start({.part_copy = false});
  EXPECT_EQ(501, copy(1, {}).status);
}

TEST_F(MultipartTest, ListsParts) {
  const std::string id = Create("k");
  for (const int number : {5, 1, 3}) ASSERT_EQ(200, Part("k", id, number, "body").status);
  const Response first = client_->Get("/test/k", "max-parts=2&uploadId=" + id);
  EXPECT_EQ((std::vector<std::string>{"1", "3"}), first.XmlAll("PartNumber"));
  EXPECT_EQ("true", first.Xml("IsTruncated"));
  EXPECT_EQ("3", first.Xml("NextPartNumberMarker"));
  const Response second = client_->Get("/test/k", "part-number-marker=3&uploadId=" + id);
  EXPECT_EQ((std::vector<std::string>{"5"}), second.XmlAll("PartNumber"));
  EXPECT_EQ("false", second.Xml("IsTruncated"));
  EXPECT_EQ("4", second.Xml("Size"));
}

TEST_F(MultipartTest, ListsUploads) {
  std::vector<std::string> ids;
  for (const char* key : {"a", "a", "b/1", "b/2", "c"}) ids.push_back(Create(key));
  std::vector<std::string> seen;
  std::string markers;
  for (int page = 0; page < 9; ++page) {
    const Response response = client_->Get("/test", markers + "max-uploads=2&uploads");
    for (const std::string& key : response.XmlAll("Upload")) {
      Response inner;
      inner.body = key;
      seen.push_back(inner.Xml("Key") + " " + inner.Xml("UploadId"));
    }
    if (response.Xml("IsTruncated") == "false") break;
    markers = "key-marker=" + PercentEncode(response.Xml("NextKeyMarker"), false) +
              "&upload-id-marker=" + response.Xml("NextUploadIdMarker") + "&";
  }
  std::sort(seen.begin(), seen.end());
  EXPECT_EQ(5u, seen.size());
  EXPECT_EQ(seen.end(), std::adjacent_find(seen.begin(), seen.end()));
  const Response grouped = client_->Get("/test", "delimiter=%2F&prefix=b&uploads");
  EXPECT_NE(std::string::npos, grouped.body.find("<CommonPrefixes><Prefix>b/</Prefix>"));
}

TEST_F(MultipartTest, PartLimits) {
  Start({.part_size_max = 10, .part_count_max = 3});
  const std::string id = Create("k");
  EXPECT_EQ("EntityTooLarge", Part("k", id, 1, "01234567890").ErrorCode());
  EXPECT_EQ("InvalidArgument", Part("k", id, 4, "x").ErrorCode());
  EXPECT_EQ(200, Part("k", id, 3, "0123456789").status);
}

}  // namespace
}  // namespace quayfs::testserver
