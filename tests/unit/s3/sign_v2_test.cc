// SPDX-License-Identifier: Apache-2.0
//
// The known answers of protocol.md 7.2.

#include "s3/sign_v2.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/text.h"
#include "s3/uri.h"

namespace quayfs::s3 {
namespace {

using ::testing::HasSubstr;

const Credentials kKeys{"AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY", ""};
constexpr std::string_view kBucket = "awsexamplebucket1";

struct Known {
  std::string method;
  std::string path;
  std::string query;
  std::string date_slot;
  std::vector<HttpHeader> headers;
  std::string_view host_bucket;
  std::string_view to_sign;
  std::string_view signature;
};

void Check(const Known& known) {
  HttpRequest request;
  request.method = known.method;
  request.path = known.path;
  request.query = known.query;
  for (const HttpHeader& header : known.headers) request.headers.Add(header.name, header.value);
  const std::string to_sign = StringToSignV2(request, known.host_bucket, known.date_slot);
  EXPECT_EQ(to_sign, known.to_sign);
  EXPECT_EQ(SignatureV2(kKeys.secret_access_key, to_sign), known.signature);
}

TEST(SignV2, Get) {
  Check({"GET",
         "/photos/puppy.jpg",
         "",
         "Tue, 27 Mar 2007 19:36:42 +0000",
         {},
         kBucket,
         "GET\n\n\nTue, 27 Mar 2007 19:36:42 +0000\n/awsexamplebucket1/photos/puppy.jpg",
         "qgk2+6Sv9/oM7G3qLEjTH1a1l1g="});
}

TEST(SignV2, PathStyleSignsTheSame) {
  Check({"GET",
         "/awsexamplebucket1/photos/puppy.jpg",
         "",
         "Tue, 27 Mar 2007 19:36:42 +0000",
         {},
         "",
         "GET\n\n\nTue, 27 Mar 2007 19:36:42 +0000\n/awsexamplebucket1/photos/puppy.jpg",
         "qgk2+6Sv9/oM7G3qLEjTH1a1l1g="});
}

TEST(SignV2, Put) {
  Check({"PUT",
         "/photos/puppy.jpg",
         "",
         "Tue, 27 Mar 2007 21:15:45 +0000",
         {{"Content-Type", "image/jpeg"}},
         kBucket,
         "PUT\n\nimage/jpeg\nTue, 27 Mar 2007 21:15:45 +0000\n/awsexamplebucket1/photos/puppy.jpg",
         "iqRzw+ileNPu1fhspnRs8nOjjIA="});
}

TEST(SignV2, ListDoesNotSignItsParameters) {
  Check({"GET",
         "/",
         "prefix=photos&max-keys=50&marker=puppy",
         "Tue, 27 Mar 2007 19:42:41 +0000",
         {},
         kBucket,
         "GET\n\n\nTue, 27 Mar 2007 19:42:41 +0000\n/awsexamplebucket1/",
         "m0WP8eCtspQl5Ahe6L1SozdX9YA="});
}

TEST(SignV2, SubResource) {
  Check({"GET",
         "/",
         "acl",
         "Tue, 27 Mar 2007 19:44:46 +0000",
         {},
         kBucket,
         "GET\n\n\nTue, 27 Mar 2007 19:44:46 +0000\n/awsexamplebucket1/?acl",
         "82ZHiFIjc+WbcwFKGUVEQspPn+0="});
}

TEST(SignV2, CnameAndRepeatedHeaders) {
  Check({"PUT",
         "/db-backup.dat.gz",
         "",
         "Tue, 27 Mar 2007 21:06:08 +0000",
         {{"x-amz-acl", "public-read"},
          {"content-type", "application/x-download"},
          {"Content-MD5", "4gJE4saaMU4BqNR0kLY+lw=="},
          {"X-Amz-Meta-ReviewedBy", "joe@awsexamplebucket1.net"},
          {"X-Amz-Meta-ReviewedBy", "jane@awsexamplebucket1.net"},
          {"X-Amz-Meta-FileChecksum", "0x02661779"},
          {"X-Amz-Meta-ChecksumAlgorithm", "crc32"},
          {"Content-Encoding", "gzip"}},
         "static.awsexamplebucket1.net",
         "PUT\n4gJE4saaMU4BqNR0kLY+lw==\napplication/x-download\nTue, 27 Mar 2007 21:06:08 +0000\n"
         "x-amz-acl:public-read\nx-amz-meta-checksumalgorithm:crc32\nx-amz-meta-filechecksum:"
         "0x02661779\n"
         "x-amz-meta-reviewedby:joe@awsexamplebucket1.net,jane@awsexamplebucket1.net\n"
         "/static.awsexamplebucket1.net/db-backup.dat.gz",
         "dKZcB+bz2EPXgSdXZp9ozGeOM4I="});
}

TEST(SignV2, ListBuckets) {
  Check({"GET",
         "/",
         "",
         "Wed, 28 Mar 2007 01:29:59 +0000",
         {},
         "",
         "GET\n\n\nWed, 28 Mar 2007 01:29:59 +0000\n/",
         "qGdzdERIC03wnaRNKh6OqZehG9s="});
}

TEST(SignV2, PathIsSignedAsSent) {
  Check({"GET",
         "/dictionary/fran%C3%A7ais/pr%c3%a9f%c3%a8re",
         "",
         "Wed, 28 Mar 2007 01:49:49 +0000",
         {},
         "",
         "GET\n\n\nWed, 28 Mar 2007 01:49:49 +0000\n/dictionary/fran%C3%A7ais/pr%c3%a9f%c3%a8re",
         "DNEZGsoieTZ92F3bUfSPQcbGmlM="});
}

TEST(SignV2, DeleteWithAmzDate) {
  Check({"DELETE",
         "/photos/puppy.jpg",
         "",
         "",
         {{"x-amz-date", "Tue, 27 Mar 2007 21:20:26 +0000"}},
         kBucket,
         "DELETE\n\n\n\nx-amz-date:Tue, 27 Mar 2007 21:20:26 "
         "+0000\n/awsexamplebucket1/photos/puppy.jpg",
         "Ri1hpB1zpS9pGqR7y8kuNFCl4sE="});
}

TEST(SignV2, DeleteAsThePagePrintsIt) {
  Check({"DELETE",
         "/photos/puppy.jpg",
         "",
         "Tue, 27 Mar 2007 21:20:26 +0000",
         {},
         kBucket,
         "DELETE\n\n\nTue, 27 Mar 2007 21:20:26 +0000\n/awsexamplebucket1/photos/puppy.jpg",
         "XbyTlbQdu9Xw5o8P4iMwPktxQd8="});
}

TEST(SignV2, QueryForm) {
  Check({"GET",
         "/photos/puppy.jpg",
         "",
         "1175139620",
         {},
         "johnsmith",
         "GET\n\n\n1175139620\n/johnsmith/photos/puppy.jpg",
         "NpgCjnDzrM+WFzoENXmpNDUsSn8="});
  Check({"GET",
         "/photos/puppy.jpg",
         "",
         "1175139620",
         {},
         kBucket,
         "GET\n\n\n1175139620\n/awsexamplebucket1/photos/puppy.jpg",
         "1No4mq5ETf02z8aet9voy6gui6E="});
  HttpRequest request;
  request.method = "GET";
  request.path = "/photos/puppy.jpg";
  PresignV2(&request, kKeys, "johnsmith", 1175139620);
  EXPECT_EQ(request.query,
            "AWSAccessKeyId=AKIAIOSFODNN7EXAMPLE&Expires=1175139620&Signature=NpgCjnDzrM%"
            "2BWFzoENXmpNDUsSn8%3D");
}

TEST(SignV2, QueryFormWithToken) {
  Credentials keys = kKeys;
  keys.session_token = "to/ken";
  HttpRequest request;
  request.method = "GET";
  request.path = "/b/key";
  PresignV2(&request, keys, "", 1175139620);
  const std::string signature = SignatureV2(
      keys.secret_access_key, "GET\n\n\n1175139620\nx-amz-security-token:to/ken\n/b/key");
  EXPECT_EQ(request.query, "AWSAccessKeyId=AKIAIOSFODNN7EXAMPLE&Expires=1175139620&Signature=" +
                               PercentEncode(signature, false) + "&x-amz-security-token=to%2Fken");
  EXPECT_FALSE(request.headers.Has("x-amz-security-token"));
}

TEST(SignV2, OlderEdition) {
  constexpr std::string_view kOld = "johnsmith";
  const auto signature = [&](const HttpRequest& request, std::string_view host_bucket,
                             std::string_view date) {
    return SignatureV2(kKeys.secret_access_key, StringToSignV2(request, host_bucket, date));
  };
  HttpRequest get;
  get.method = "GET";
  get.path = "/photos/puppy.jpg";
  EXPECT_EQ(signature(get, kOld, "Tue, 27 Mar 2007 19:36:42 +0000"),
            "bWq2s1WEIj+Ydj0vQ697zp+IXMU=");
  HttpRequest put = get;
  put.method = "PUT";
  put.headers.Set("Content-Type", "image/jpeg");
  EXPECT_EQ(signature(put, kOld, "Tue, 27 Mar 2007 21:15:45 +0000"),
            "MyyxeRY7whkBe+bq8fHCL/2kKUg=");
  HttpRequest list;
  list.method = "GET";
  list.path = "/";
  list.query = "prefix=photos&max-keys=50&marker=puppy";
  EXPECT_EQ(signature(list, kOld, "Tue, 27 Mar 2007 19:42:41 +0000"),
            "htDYFYduRNen8P9ZfE/s9SuKy0U=");
  list.query = "acl";
  EXPECT_EQ(signature(list, kOld, "Tue, 27 Mar 2007 19:44:46 +0000"),
            "c2WLPFtWHVgbEmeEG93a4cG37dM=");
  HttpRequest upload;
  upload.method = "PUT";
  upload.path = "/db-backup.dat.gz";
  for (const auto& [name, value] : std::vector<std::pair<std::string, std::string>>{
           {"x-amz-acl", "public-read"},
           {"content-type", "application/x-download"},
           {"Content-MD5", "4gJE4saaMU4BqNR0kLY+lw=="},
           {"X-Amz-Meta-ReviewedBy", "joe@johnsmith.net"},
           {"X-Amz-Meta-ReviewedBy", "jane@johnsmith.net"},
           {"X-Amz-Meta-FileChecksum", "0x02661779"},
           {"X-Amz-Meta-ChecksumAlgorithm", "crc32"}}) {
    upload.headers.Add(name, value);
  }
  EXPECT_EQ(signature(upload, "static.johnsmith.net", "Tue, 27 Mar 2007 21:06:08 +0000"),
            "ilyl83RwaSoYIEdixDQcA4OnAnc=");
}

TEST(SignV2, SubResourcesAreSortedAndNotEncoded) {
  HttpRequest request;
  request.method = "PUT";
  request.path = "/b/key";
  request.query = EncodeQuery({{"uploadId", "a/b+c=="}, {"partNumber", "3"}, {"prefix", "x"}});
  EXPECT_EQ(CanonicalResourceV2(request, ""), "/b/key?partNumber=3&uploadId=a/b+c==");
  request.query = EncodeQuery({{"uploads", std::nullopt}});
  EXPECT_EQ(CanonicalResourceV2(request, ""), "/b/key?uploads");
  request.query =
      EncodeQuery({{"response-content-type", "text/plain; charset=utf-8"}, {"versionId", "null"}});
  EXPECT_EQ(CanonicalResourceV2(request, ""),
            "/b/key?response-content-type=text/plain; charset=utf-8&versionId=null");
  request.query =
      EncodeQuery({{"delete", std::nullopt}, {"list-type", "2"}, {"website-redirect", "x"}});
  EXPECT_EQ(CanonicalResourceV2(request, ""), "/b/key?delete");
}

TEST(SignV2, SignSetsDateAndToken) {
  Credentials keys = kKeys;
  keys.session_token = "token";
  HttpRequest request;
  request.method = "GET";
  request.path = "/b/key";
  SignV2(&request, keys, "", ParseIso("2007-03-27T19:36:42Z").value());
  EXPECT_EQ(request.headers.Get("date"), "Tue, 27 Mar 2007 19:36:42 GMT");
  EXPECT_EQ(request.headers.Get("x-amz-security-token"), "token");
  const std::string expected =
      SignatureV2(keys.secret_access_key,
                  "GET\n\n\nTue, 27 Mar 2007 19:36:42 GMT\nx-amz-security-token:token\n/b/key");
  EXPECT_EQ(request.headers.Get("authorization"), "AWS AKIAIOSFODNN7EXAMPLE:" + expected);
}

}  // namespace
}  // namespace quayfs::s3
