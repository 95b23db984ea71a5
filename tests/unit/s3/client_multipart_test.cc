// SPDX-License-Identifier: Apache-2.0
//
// The S3 client: multipart uploads, against a scripted HttpClient.

#include "tests/unit/s3/client_fixture.h"

namespace quayfs::s3 {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::SizeIs;

using ClientMultipart = ClientTest;

std::string Initiated(std::string_view id) {
  return "<InitiateMultipartUploadResult><UploadId>" + std::string(id) +
         "</UploadId></InitiateMultipartUploadResult>";
}
std::string Completed(std::string_view etag = "\"e-2\"") {
  return "<CompleteMultipartUploadResult><ETag>" + std::string(etag) +
         "</ETag></CompleteMultipartUploadResult>";
}
std::string Upload(std::string_view key, std::string_view id, std::string_view initiated) {
  return "<Upload><Key>" + std::string(key) + "</Key><UploadId>" + std::string(id) +
         "</UploadId><Initiated>" + std::string(initiated) + "</Initiated></Upload>";
}

const std::vector<PartInfo> kParts = {{1, "\"0cc175b9c0f1b6a831c399e269772661\"", 5},
                                      {2, "\"92eb5ffee6ae2fec3ad71c777531578f\"", 3}};
// hex(md5(md5("a") md5("b")))-2
std::string KnownEtag() { return "\"" + HexEncode(Md5(Md5("a") + Md5("b"))) + "-2\""; }

// ---- Create.

TEST_F(ClientMultipart, Create) {
  config_.storage_class = "LINE";
  http_.Then(200, Initiated("u1"), {{"Date", Date(0)}});
  EXPECT_EQ(*client().CreateUpload("k", {"text/plain", "", "", "", "", "", {{"mode", "1"}}}, call_),
            "u1");
  const SentRequest sent = http_.sent(0);
  EXPECT_EQ(sent.line(), "POST /bkt/k?uploads");
  EXPECT_EQ(sent.header("content-type"), "text/plain");
  EXPECT_EQ(sent.header("x-amz-meta-mode"), "1");
  EXPECT_EQ(sent.header("x-amz-storage-class"), "LINE");
  ExpectScriptUsed(1);
}

TEST_F(ClientMultipart, CreateAlwaysHasAContentType) {
  http_.Then(200, Initiated("u1"));
  ASSERT_TRUE(client().CreateUpload("k", {}, call_).ok());
  EXPECT_EQ(http_.sent(0).header("content-type"), "binary/octet-stream");
}

TEST_F(ClientMultipart, AnOrphanOfALostReplyIsAborted) {
  http_.Then(200, Initiated("mine"), {{"Date", Date(0)}});
  ASSERT_TRUE(client().CreateUpload("k", {}, call_).ok());
  http_.ThenBroken()
      .Then(200, Initiated("u2"), {{"Date", Date(4)}})
      .Then(200, "<ListMultipartUploadsResult>" + Upload("k", "mine", "2013-05-24T00:00:00Z") +
                     Upload("k", "orphan", "2013-05-24T00:00:01Z") +
                     Upload("k", "u2", "2013-05-24T00:00:04Z") +
                     Upload("k", "old", "2013-05-23T23:00:00Z") +
                     Upload("k2", "other", "2013-05-24T00:00:01Z") +
                     "</ListMultipartUploadsResult>")
      .Then(204);
  EXPECT_EQ(*client().CreateUpload("k", {}, call_), "u2");
  EXPECT_THAT(http_.lines(),
              ElementsAre("POST /bkt/k?uploads", "POST /bkt/k?uploads", "POST /bkt/k?uploads",
                          "GET /bkt/?encoding-type=url&max-uploads=1000&prefix=k&uploads",
                          "DELETE /bkt/k?uploadId=orphan"));
}

TEST_F(ClientMultipart, ARefusedCreateLeavesNoOrphan) {
  http_.Then(503, ErrorBody("SlowDown")).Then(200, Initiated("u1"));
  EXPECT_TRUE(client().CreateUpload("k", {}, call_).ok());
  ExpectScriptUsed(2);
}

// ---- Parts.

TEST_F(ClientMultipart, UploadPart) {
  http_.Then(200, "", {{"ETag", "\"p\""}});
  const MemoryBody body("hello");
  const auto part = client().UploadPart({"k", "u/1", 3, &body}, call_);
  ASSERT_TRUE(part.ok());
  EXPECT_EQ(part->number, 3);
  EXPECT_EQ(part->etag, "\"p\"");
  EXPECT_EQ(part->size, 5u);
  EXPECT_EQ(http_.sent(0).line(), "PUT /bkt/k?partNumber=3&uploadId=u%2F1");
  EXPECT_EQ(http_.sent(0).body, "hello");
  EXPECT_FALSE(http_.sent(0).has("x-amz-storage-class"));
}

TEST_F(ClientMultipart, UploadPartFailures) {
  const MemoryBody body("hello");
  http_.Then(404, ErrorBody("NoSuchUpload"));
  EXPECT_TRUE(client().UploadPart({"k", "u", 1, &body}, call_).Is(Code::kNotFound));
  http_.Then(200);
  EXPECT_TRUE(client().UploadPart({"k", "u", 1, &body}, call_).Is(Code::kCorrupt)) << "no ETag";
  EXPECT_TRUE(client().UploadPart({"k", "u", 0, &body}, call_).Is(Code::kInvalidArgument));
  EXPECT_TRUE(client().UploadPart({"k", "u", 10001, &body}, call_).Is(Code::kInvalidArgument));
  EXPECT_TRUE(client().UploadPart({"k", "", 1, &body}, call_).Is(Code::kInvalidArgument));
  ExpectScriptUsed(2);
}

TEST_F(ClientMultipart, DamagedPartsAreSentAgain) {
  config_.etag_is_md5 = true;
  config_.unsigned_payload = true;
  const MemoryBody body("hello");
  http_.Then(200, "", {{"ETag", HexEncode(Md5("hullo"))}})
      .Then(200, "", {{"ETag", HexEncode(Md5("hello"))}});
  EXPECT_TRUE(client().UploadPart({"k", "u", 1, &body}, call_).ok());
  ExpectScriptUsed(2);
}

TEST_F(ClientMultipart, CopyPart) {
  http_.Then(200, ErrorBody("InternalError"))
      .Then(200, "<CopyPartResult><ETag>\"c\"</ETag></CopyPartResult>");
  const auto part = client().CopyPart({"k", "u", 2, "src", "\"s\"", ByteRange{10, 110}}, call_);
  ASSERT_TRUE(part.ok());
  EXPECT_EQ(part->size, 100u);
  EXPECT_EQ(part->etag, "\"c\"");
  const SentRequest sent = http_.sent(1);
  EXPECT_EQ(sent.line(), "PUT /bkt/k?partNumber=2&uploadId=u");
  EXPECT_EQ(sent.header("x-amz-copy-source"), "/bkt/src");
  EXPECT_EQ(sent.header("x-amz-copy-source-range"), "bytes=10-109");
  EXPECT_EQ(sent.header("x-amz-copy-source-if-match"), "\"s\"");
  http_.Then(412);
  EXPECT_TRUE(client()
                  .CopyPart({"k", "u", 2, "src", "\"s\"", ByteRange{10, 110}}, call_)
                  .Is(Code::kChanged));
  http_.Then(501, ErrorBody("NotImplemented"));
  EXPECT_TRUE(client()
                  .CopyPart({"k", "u", 2, "src", "\"s\"", ByteRange{10, 110}}, call_)
                  .Is(Code::kNotSupported));
  EXPECT_TRUE(client()
                  .CopyPart({"k", "u", 2, "src", "", ByteRange{10, 10}}, call_)
                  .Is(Code::kInvalidArgument));
}

// ---- Complete.

TEST_F(ClientMultipart, Complete) {
  http_.Then(200, "\n\n" + Completed(), {{"Date", Date(3)}});
  const auto done = client().CompleteUpload({"k", "u", kParts, {}}, call_);
  ASSERT_TRUE(done.ok());
  EXPECT_EQ(done->etag, "\"e-2\"");
  EXPECT_EQ(done->size, 8u);
  EXPECT_EQ(http_.sent(0).line(), "POST /bkt/k?uploadId=u");
  EXPECT_EQ(http_.sent(0).header("content-type"), "application/xml");
  EXPECT_THAT(http_.sent(0).body, HasSubstr("<PartNumber>2</PartNumber>"));
  ExpectScriptUsed(1);
}

TEST_F(ClientMultipart, CompleteChecksItsArguments) {
  EXPECT_TRUE(client().CompleteUpload({"k", "u", {}, {}}, call_).Is(Code::kInvalidArgument));
  EXPECT_TRUE(client()
                  .CompleteUpload({"k", "u", {kParts[1], kParts[0]}, {}}, call_)
                  .Is(Code::kInvalidArgument));
  EXPECT_TRUE(client()
                  .CompleteUpload({"k", "u", {kParts[0], kParts[0]}, {}}, call_)
                  .Is(Code::kInvalidArgument));
  EXPECT_TRUE(
      client().CompleteUpload({"k", "u", {{1, "", 5}}, {}}, call_).Is(Code::kInvalidArgument));
  ExpectScriptUsed(0);
}

TEST_F(ClientMultipart, AfterALostReplyTheObjectIsLookedAt) {
  config_.etag_is_md5 = true;
  http_.ThenBroken().Then(200, "", {{"Content-Length", "8"}, {"ETag", KnownEtag()}});
  const auto done = client().CompleteUpload({"k", "u", kParts, {}}, call_);
  ASSERT_TRUE(done.ok());
  EXPECT_EQ(done->etag, KnownEtag());
  EXPECT_THAT(http_.lines(), ElementsAre("POST /bkt/k?uploadId=u", "HEAD /bkt/k"));
}

TEST_F(ClientMultipart, TheOldObjectIsNotTakenForTheNewOne) {
  config_.etag_is_md5 = true;
  // The old object has the same size and number of parts, as after a small change in the middle.
  http_.ThenBroken()
      .Then(200, "", {{"Content-Length", "8"}, {"ETag", "\"00000000000000000000000000000000-2\""}})
      .Then(200, Completed());
  ASSERT_TRUE(client().CompleteUpload({"k", "u", kParts, {}}, call_).ok());
  EXPECT_THAT(http_.lines(),
              ElementsAre("POST /bkt/k?uploadId=u", "HEAD /bkt/k", "POST /bkt/k?uploadId=u"));
}

TEST_F(ClientMultipart, AnotherWritersObjectIsNotTakenForOurs) {
  config_.etag_is_md5 = true;
  http_.Then(200, Initiated("u"), {{"Date", Date(0)}});
  ASSERT_TRUE(client().CreateUpload("k", {}, call_).ok());
  // Of the right size and younger than the upload, but not made of its parts.
  http_.Then(404, ErrorBody("NoSuchUpload"))
      .Then(200, "",
            {{"Content-Length", "8"},
             {"ETag", "\"00000000000000000000000000000000-2\""},
             {"Last-Modified", Date(100)}});
  EXPECT_TRUE(client().CompleteUpload({"k", "u", kParts, {}}, call_).Is(Code::kNotFound));
}

TEST_F(ClientMultipart, WithoutMd5EtagsTheAgeIsEvidence) {
  http_.Then(200, Initiated("u"), {{"Date", Date(0)}});
  ASSERT_TRUE(client().CreateUpload("k", {}, call_).ok());
  http_.Then(500)
      .Then(200, "", {{"Content-Length", "8"}, {"ETag", "\"old-2\""}, {"Last-Modified", Date(-60)}})
      .Then(404, ErrorBody("NoSuchUpload"))
      .Then(200, "", {{"Content-Length", "8"}, {"ETag", "\"new-2\""}, {"Last-Modified", Date(5)}});
  const auto done = client().CompleteUpload({"k", "u", kParts, {}}, call_);
  ASSERT_TRUE(done.ok()) << done.error().ToString();
  EXPECT_EQ(done->etag, "\"new-2\"");
}

TEST_F(ClientMultipart, AnUploadThatIsGoneCountsAsDoneOnlyOnEvidence) {
  const auto complete = [&](std::vector<HttpHeader> found, Condition condition = {}) {
    http_.Then(404, ErrorBody("NoSuchUpload")).Then(200, "", std::move(found));
    const auto done = client().CompleteUpload({"k", "u", kParts, std::move(condition)}, call_);
    return done.ok();
  };
  const HttpHeader size{"Content-Length", "8"};
  EXPECT_FALSE(complete({size, {"Last-Modified", Date(100)}}))
      << "an upload this client did not begin";
  http_.Then(200, Initiated("u"), {{"Date", Date(0)}});
  ASSERT_TRUE(client().CreateUpload("k", {}, call_).ok());
  EXPECT_FALSE(complete({{"Content-Length", "9"}, {"Last-Modified", Date(100)}}));
  http_.Then(200, Initiated("u"), {{"Date", Date(0)}});
  ASSERT_TRUE(client().CreateUpload("k", {}, call_).ok());
  EXPECT_FALSE(complete({size, {"ETag", "\"x-7\""}, {"Last-Modified", Date(100)}}))
      << "seven parts";
  http_.Then(200, Initiated("u"), {{"Date", Date(0)}});
  ASSERT_TRUE(client().CreateUpload("k", {}, call_).ok());
  EXPECT_FALSE(complete({size, {"ETag", "\"was\""}, {"Last-Modified", Date(100)}},
                        {Condition::Kind::kIfEtag, "\"was\""}));
  http_.Then(200, Initiated("u"), {{"Date", Date(0)}});
  ASSERT_TRUE(client().CreateUpload("k", {}, call_).ok());
  EXPECT_TRUE(complete({size, {"ETag", "\"x-2\""}, {"Last-Modified", Date(100)}}));
}

// Without ETags that can be foretold: a caller that has lost the first answer asks again.
TEST_F(ClientMultipart, CompletingTwiceIsCompletingOnce) {
  const std::vector<HttpHeader> ours = {
      {"Content-Length", "8"}, {"ETag", "\"opaque\""}, {"Last-Modified", Date(3)}};
  http_.Then(200, Completed("\"opaque\""));
  ASSERT_TRUE(client().CompleteUpload({"k", "u", kParts, {}}, call_).ok());
  http_.Then(404, ErrorBody("NoSuchUpload")).Then(200, "", ours);
  const auto again = client().CompleteUpload({"k", "u", kParts, {}}, call_);
  ASSERT_TRUE(again.ok()) << again.error().ToString();
  EXPECT_EQ(again->etag, "\"opaque\"");
  EXPECT_EQ(again->size, 8u);
  // Somebody has replaced it by something of the same size: that is not what was completed.
  http_.Then(404, ErrorBody("NoSuchUpload"))
      .Then(200, "", {{"Content-Length", "8"}, {"ETag", "\"theirs\""}, {"Last-Modified", Date(9)}});
  EXPECT_TRUE(client().CompleteUpload({"k", "u", kParts, {}}, call_).Is(Code::kNotFound));
  ExpectScriptUsed(5);
}

TEST_F(ClientMultipart, NotToKnowIsNotToBeGone) {
  http_.Then(404, ErrorBody("NoSuchUpload")).Then(403, ErrorBody("AccessDenied"));
  const auto done = client().CompleteUpload({"k", "u", kParts, {}}, call_);
  EXPECT_TRUE(done.Is(Code::kPermissionDenied)) << done.error().ToString();
  ExpectScriptUsed(2);
}

TEST_F(ClientMultipart, AGoneUploadWithoutObjectIsNotFound) {
  http_.Then(404, ErrorBody("NoSuchUpload")).Then(404);
  EXPECT_TRUE(client().CompleteUpload({"k", "u", kParts, {}}, call_).Is(Code::kNotFound));
}

TEST_F(ClientMultipart, ErrorsInsideASuccessfulComplete) {
  config_.etag_is_md5 = true;
  for (const std::string& body :
       {ErrorBody("InternalError"), std::string(), std::string("<Compl")}) {
    http_.Then(200, body).Then(404).Then(200, Completed());
    EXPECT_TRUE(client().CompleteUpload({"k", "u", kParts, {}}, call_).ok()) << body;
  }
  ExpectScriptUsed(9);
}

TEST_F(ClientMultipart, ConditionsOfComplete) {
  http_.Then(412);
  EXPECT_TRUE(client()
                  .CompleteUpload({"k", "u", kParts, {Condition::Kind::kIfAbsent, ""}}, call_)
                  .Is(Code::kAlreadyExists));
  EXPECT_EQ(http_.sent(0).header("if-none-match"), "*");
  http_.Then(412);
  EXPECT_TRUE(client()
                  .CompleteUpload({"k", "u", kParts, {Condition::Kind::kIfEtag, "\"o\""}}, call_)
                  .Is(Code::kChanged));
  ExpectScriptUsed(2);
}

TEST_F(ClientMultipart, ConditionRefusedByItsOwnObject) {
  config_.etag_is_md5 = true;
  http_.ThenBroken().Then(404).Then(412).Then(200, "",
                                              {{"Content-Length", "8"}, {"ETag", KnownEtag()}});
  EXPECT_TRUE(
      client().CompleteUpload({"k", "u", kParts, {Condition::Kind::kIfAbsent, ""}}, call_).ok());
}

// ---- Abort and lists.

TEST_F(ClientMultipart, Abort) {
  http_.Then(204).Then(404, ErrorBody("NoSuchUpload")).Then(403, ErrorBody("AccessDenied"));
  EXPECT_TRUE(client().AbortUpload("k", "u", call_).ok());
  EXPECT_EQ(http_.sent(0).line(), "DELETE /bkt/k?uploadId=u");
  EXPECT_TRUE(client().AbortUpload("k", "u", call_).ok());
  EXPECT_TRUE(client().AbortUpload("k", "u", call_).Is(Code::kPermissionDenied));
  EXPECT_TRUE(client().AbortUpload("k", "", call_).Is(Code::kInvalidArgument))
      << "that would delete the object";
  ExpectScriptUsed(3);
}

std::string PartXml(int number) {
  return "<Part><PartNumber>" + std::to_string(number) +
         "</PartNumber><ETag>e</ETag><Size>1</Size></Part>";
}

TEST_F(ClientMultipart, ListParts) {
  http_
      .Then(200,
            "<ListPartsResult><IsTruncated>true</IsTruncated><NextPartNumberMarker>2</"
            "NextPartNumberMarker>" +
                PartXml(2) + PartXml(1) + "</ListPartsResult>")
      .Then(200, "<ListPartsResult>" + PartXml(3) + "</ListPartsResult>");
  const auto parts = client().ListParts("k", "u", call_);
  ASSERT_TRUE(parts.ok());
  ASSERT_THAT(*parts, SizeIs(3));
  for (int i = 0; i < 3; ++i) EXPECT_EQ((*parts)[static_cast<size_t>(i)].number, i + 1);
  EXPECT_THAT(http_.lines(),
              ElementsAre("GET /bkt/k?max-parts=1000&uploadId=u",
                          "GET /bkt/k?max-parts=1000&part-number-marker=2&uploadId=u"));
  http_.Then(404, ErrorBody("NoSuchUpload"));
  EXPECT_TRUE(client().ListParts("k", "u", call_).Is(Code::kNotFound));
}

TEST_F(ClientMultipart, ListsThatDoNotGetOnAreCorrupt) {
  const std::string parts =
      "<ListPartsResult><IsTruncated>true</IsTruncated><NextPartNumberMarker>2</"
      "NextPartNumberMarker>"
      "</ListPartsResult>";
  http_.Then(200, parts).Then(200, parts);
  EXPECT_TRUE(client().ListParts("k", "u", call_).Is(Code::kCorrupt));
  const std::string uploads =
      "<ListMultipartUploadsResult><IsTruncated>true</IsTruncated><NextKeyMarker>k</NextKeyMarker>"
      "<NextUploadIdMarker>u</NextUploadIdMarker></ListMultipartUploadsResult>";
  http_.Then(200, uploads).Then(200, uploads);
  EXPECT_TRUE(client().ListUploads("", call_).Is(Code::kCorrupt));
  ExpectScriptUsed(4);
}

TEST_F(ClientMultipart, ListUploads) {
  http_
      .Then(200,
            "<ListMultipartUploadsResult><IsTruncated>true</IsTruncated><NextKeyMarker>p/a</"
            "NextKeyMarker>"
            "<NextUploadIdMarker>u1</NextUploadIdMarker>" +
                Upload("p/a", "u1", "2013-05-24T00:00:00Z") + "</ListMultipartUploadsResult>")
      .Then(200, "<ListMultipartUploadsResult>" + Upload("p/b", "u2", "") +
                     "</ListMultipartUploadsResult>");
  const auto uploads = client().ListUploads("p/", call_);
  ASSERT_TRUE(uploads.ok());
  ASSERT_THAT(*uploads, SizeIs(2));
  EXPECT_EQ((*uploads)[1].key, "p/b");
  EXPECT_EQ(http_.sent(1).parameter("key-marker"), "p/a");
  EXPECT_EQ(http_.sent(1).parameter("upload-id-marker"), "u1");
}

}  // namespace
}  // namespace quayfs::s3
