// SPDX-License-Identifier: Apache-2.0
//
// The S3 client: single objects, against a scripted HttpClient.

#include "s3/sign_v4.h"
#include "tests/unit/s3/client_fixture.h"

namespace quayfs::s3 {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

using ClientObjects = ClientTest;

FakeReply Part(std::string body, std::string range, std::string etag = "\"e\"") {
  return {206,
          {{"Content-Range", "bytes " + range},
           {"ETag", std::move(etag)},
           {"Content-Length", std::to_string(body.size())}},
          std::move(body)};
}
FakeReply Whole(std::string body, std::string etag = "\"e\"") {
  return {200, {{"ETag", std::move(etag)}, {"Content-Length", std::to_string(body.size())}}, body};
}
// `reply` cut off after `count` bytes.
FakeReply Cut(FakeReply reply, size_t count) {
  reply.body.resize(count);
  reply.broken = Error(Code::kUnavailable, "connection reset");
  return reply;
}

// ---- Head.

TEST_F(ClientObjects, Head) {
  http_.Then(200, "",
             {{"Content-Length", "12345678901"},
              {"ETag", "\"abc\""},
              {"Last-Modified", "Fri, 24 May 2013 00:00:00 GMT"},
              {"Content-Type", "text/plain"},
              {"Cache-Control", "no-cache"},
              {"x-amz-storage-class", "GLACIER"},
              {"X-Amz-Meta-Mode", "33188"},
              {"x-amz-meta-name", "%C3%A9"}});
  const auto head = client().Head("a", call_);
  ASSERT_TRUE(head.ok());
  EXPECT_EQ(head->info.key, "a");
  EXPECT_EQ(head->info.size, 12345678901u);
  EXPECT_EQ(head->info.etag, "\"abc\"");
  EXPECT_EQ(FormatIsoBasic(head->info.last_modified), "20130524T000000Z");
  EXPECT_EQ(head->info.storage_class, "GLACIER");
  EXPECT_EQ(head->properties.content_type, "text/plain");
  EXPECT_EQ(head->properties.cache_control, "no-cache");
  EXPECT_EQ(head->properties.metadata.at("mode"), "33188");
  EXPECT_EQ(head->properties.metadata.at("name"), "é");
}

TEST_F(ClientObjects, HeadFailures) {
  http_.Then(404);
  EXPECT_TRUE(client().Head("a", call_).Is(Code::kNotFound));
  http_.Then(200);
  EXPECT_TRUE(client().Head("a", call_).Is(Code::kCorrupt));
  http_.Then(200, "", {{"Content-Length", "-5"}});
  EXPECT_TRUE(client().Head("a", call_).Is(Code::kCorrupt));
  EXPECT_TRUE(client().Head("", call_).Is(Code::kInvalidArgument));
  ExpectScriptUsed(3);
}

// ---- Get.

TEST_F(ClientObjects, GetWhole) {
  http_.Then(Whole(Digits(5000)));
  TextSink sink;
  const auto head = client().Get({"k", {}, ""}, sink, call_);
  ASSERT_TRUE(head.ok());
  EXPECT_EQ(sink.text, Digits(5000));
  EXPECT_EQ(head->info.size, 5000u);
  EXPECT_EQ(head->info.etag, "\"e\"");
  EXPECT_FALSE(http_.sent(0).has("range"));
  EXPECT_FALSE(http_.sent(0).has("if-match"));
}

TEST_F(ClientObjects, GetRange) {
  http_.Then(Part("34567", "3-7/100"));
  TextSink sink;
  const auto head = client().Get({"k", ByteRange{3, 8}, "\"e\""}, sink, call_);
  ASSERT_TRUE(head.ok());
  EXPECT_EQ(sink.text, "34567");
  EXPECT_EQ(head->info.size, 100u);
  EXPECT_EQ(http_.sent(0).header("range"), "bytes=3-7");
  EXPECT_EQ(http_.sent(0).header("if-match"), "\"e\"");
  EXPECT_THAT(http_.sent(0).header("authorization"), HasSubstr("range"));
}

TEST_F(ClientObjects, ARangeBeyondTheEndIsCut) {
  http_.Then(Part("89", "8-9/10"));
  TextSink sink;
  const auto head = client().Get({"k", ByteRange{8, 100}, ""}, sink, call_);
  ASSERT_TRUE(head.ok());
  EXPECT_EQ(sink.text, "89");
  EXPECT_EQ(head->info.size, 10u);
}

TEST_F(ClientObjects, EmptyObjectAndEmptyRange) {
  http_.Then(Whole(""));
  TextSink sink;
  EXPECT_EQ(client().Get({"k", {}, ""}, sink, call_)->info.size, 0u);
  EXPECT_TRUE(client().Get({"k", ByteRange{5, 5}, ""}, sink, call_).Is(Code::kInvalidArgument));
  http_.Then(416, ErrorBody("InvalidRange"));
  EXPECT_TRUE(client().Get({"k", ByteRange{5, 6}, ""}, sink, call_).Is(Code::kInvalidArgument));
  http_.Then(Whole(""));
  EXPECT_TRUE(client().Get({"k", ByteRange{0, 6}, ""}, sink, call_).Is(Code::kInvalidArgument));
  EXPECT_THAT(sink.text, IsEmpty());
}

TEST_F(ClientObjects, ErrorBodiesNeverReachTheSink) {
  TextSink sink;
  http_.Then(404, ErrorBody("NoSuchKey"));
  EXPECT_TRUE(client().Get({"k", {}, ""}, sink, call_).Is(Code::kNotFound));
  http_.Then(412, ErrorBody("PreconditionFailed"));
  EXPECT_TRUE(client().Get({"k", {}, "\"e\""}, sink, call_).Is(Code::kChanged));
  http_.Then(403, ErrorBody("InvalidObjectState"));
  EXPECT_TRUE(client().Get({"k", {}, ""}, sink, call_).Is(Code::kArchived));
  http_.Then(503, ErrorBody("SlowDown")).Then(Whole("ok"));
  EXPECT_TRUE(client().Get({"k", {}, ""}, sink, call_).ok());
  EXPECT_EQ(sink.text, "ok");
}

TEST_F(ClientObjects, RepliesThatDoNotFitAreCorruptAndNotDelivered) {
  const auto get = [&](FakeReply reply, std::optional<ByteRange> range) {
    http_.Then(std::move(reply));
    TextSink sink;
    const auto head = client().Get({"k", range, ""}, sink, call_);
    EXPECT_THAT(sink.text, IsEmpty());
    return head.ok() ? Code::kInternal : head.code();
  };
  const ByteRange range{3, 8};
  EXPECT_EQ(get(Part("45678", "4-8/100"), range), Code::kCorrupt) << "another offset";
  EXPECT_EQ(get(Part("4567", "4-7/100"), range), Code::kCorrupt) << "another offset, the right end";
  EXPECT_EQ(get(Part("3456", "3-6/100"), range), Code::kCorrupt) << "shorter";
  EXPECT_EQ(get(Part("345678", "3-8/100"), range), Code::kCorrupt) << "longer";
  EXPECT_EQ(get(Part("34567", "3-7/*"), range), Code::kCorrupt) << "no size";
  EXPECT_EQ(get(Part("34567", "7-3/100"), range), Code::kCorrupt) << "backwards";
  EXPECT_EQ(get(Part("34567", "3-7/5"), range), Code::kCorrupt) << "beyond the size";
  EXPECT_EQ(get(Part("34567", "bogus"), range), Code::kCorrupt);
  EXPECT_EQ(get(Whole(Digits(100)), range), Code::kCorrupt) << "the range was ignored";
  EXPECT_EQ(get(Whole(Digits(100)), ByteRange{0, 5}), Code::kCorrupt) << "the range was ignored";
  EXPECT_EQ(get(Part("01234", "0-4/5"), std::nullopt), Code::kCorrupt)
      << "a part of what was asked whole";
  FakeReply wrong_length = Part("34567", "3-7/100");
  wrong_length.headers.back().value = "6";
  EXPECT_EQ(get(wrong_length, range), Code::kCorrupt);
}

TEST_F(ClientObjects, AWholeObjectThatTheRangeCoversIsFine) {
  http_.Then(Whole("01234"));
  TextSink sink;
  ASSERT_TRUE(client().Get({"k", ByteRange{0, 100}, ""}, sink, call_).ok());
  EXPECT_EQ(sink.text, "01234");
}

TEST_F(ClientObjects, AnotherVersionIsNotDelivered) {
  http_.Then(Part("34567", "3-7/100", "\"other\""));
  TextSink sink;
  EXPECT_TRUE(client().Get({"k", ByteRange{3, 8}, "\"e\""}, sink, call_).Is(Code::kChanged));
  FakeReply no_etag = Part("34567", "3-7/100");
  no_etag.headers.erase(no_etag.headers.begin() + 1);
  http_.Then(no_etag);
  EXPECT_TRUE(client().Get({"k", ByteRange{3, 8}, "\"e\""}, sink, call_).Is(Code::kCorrupt));
  EXPECT_THAT(sink.text, IsEmpty());
  http_.Then(Part("34567", "3-7/100", "W/\"E\""));
  EXPECT_TRUE(client().Get({"k", ByteRange{3, 8}, "\"e\""}, sink, call_).ok())
      << "the same, written otherwise";
}

TEST_F(ClientObjects, ABrokenTransferGoesOnWhereItStopped) {
  const std::string body = Digits(5000);
  http_.Then(Cut(Whole(body), 2500))
      .Then(Cut(Part(body.substr(2500), "2500-4999/5000"), 1000))
      .Then(Part(body.substr(3500), "3500-4999/5000"));
  TextSink sink;
  const auto head = client().Get({"k", {}, ""}, sink, call_);
  ASSERT_TRUE(head.ok()) << head.error().ToString();
  EXPECT_EQ(sink.text, body);
  EXPECT_EQ(head->info.size, 5000u);
  EXPECT_EQ(http_.sent(1).header("range"), "bytes=2500-4999");
  EXPECT_EQ(http_.sent(1).header("if-match"), "\"e\"");
  EXPECT_EQ(http_.sent(2).header("range"), "bytes=3500-4999");
  ExpectScriptUsed(3);
}

TEST_F(ClientObjects, ABrokenRangeGoesOn) {
  const std::string body = Digits(5000);
  http_.Then(Cut(Part(body.substr(10, 4000), "10-4009/5000"), 1500))
      .Then(Part(body.substr(1510, 2500), "1510-4009/5000"));
  TextSink sink;
  ASSERT_TRUE(client().Get({"k", ByteRange{10, 4010}, ""}, sink, call_).ok());
  EXPECT_EQ(sink.text, body.substr(10, 4000));
}

TEST_F(ClientObjects, AShortBodyWithoutAnErrorIsBroken) {
  FakeReply reply = Whole(Digits(50));
  reply.body.resize(20);
  http_.Then(reply).Then(Part(Digits(50).substr(20), "20-49/50"));
  TextSink sink;
  ASSERT_TRUE(client().Get({"k", {}, ""}, sink, call_).ok());
  EXPECT_EQ(sink.text, Digits(50));
}

TEST_F(ClientObjects, MoreThanAnnouncedIsCorrupt) {
  FakeReply reply = Part("34567", "3-7/100");
  reply.body = "345678";
  http_.Then(reply);
  TextSink sink;
  EXPECT_TRUE(client().Get({"k", ByteRange{3, 8}, ""}, sink, call_).Is(Code::kCorrupt));
}

TEST_F(ClientObjects, ABreakAfterTheLastByteIsNone) {
  http_.Then(Cut(Whole("abc"), 3));
  TextSink sink;
  EXPECT_TRUE(client().Get({"k", {}, ""}, sink, call_).ok());
  EXPECT_EQ(sink.text, "abc");
  ExpectScriptUsed(1);
}

TEST_F(ClientObjects, AnObjectThatChangesMeanwhileIsNotMixed) {
  http_.Then(Cut(Whole(Digits(5000)), 2000)).Then(412, ErrorBody("PreconditionFailed"));
  TextSink sink;
  EXPECT_TRUE(client().Get({"k", {}, ""}, sink, call_).Is(Code::kChanged));
  http_.Then(Cut(Whole(Digits(5000)), 2000))
      .Then(Part(Digits(5000).substr(2000), "2000-4999/5000", "\"new\""));
  TextSink second;
  EXPECT_TRUE(client().Get({"k", {}, ""}, second, call_).Is(Code::kChanged))
      << "the service ignored If-Match";
  EXPECT_EQ(second.text, Digits(2000));
}

TEST_F(ClientObjects, WithoutAnEtagATransferDoesNotGoOn) {
  FakeReply reply = Cut(Whole(Digits(5000)), 2000);
  reply.headers.erase(reply.headers.begin());
  http_.Then(reply);
  TextSink sink;
  EXPECT_TRUE(client().Get({"k", {}, ""}, sink, call_).Is(Code::kUnavailable));
  ExpectScriptUsed(1);
}

TEST_F(ClientObjects, AFailingSinkEndsTheTransfer) {
  http_.Then(Whole(Digits(5000)));
  TextSink sink;
  sink.fail_at = 2500;
  const auto head = client().Get({"k", {}, ""}, sink, call_);
  ASSERT_TRUE(head.Is(Code::kUnavailable));
  EXPECT_THAT(head.error().message(), HasSubstr("the sink is full"));
  ExpectScriptUsed(1);
}

// ---- Put.

TEST_F(ClientObjects, Put) {
  config_.storage_class = "LINE";
  config_.acl = "private";
  config_.sse = "aws:kms";
  config_.sse_kms_key_id = "key-1";
  config_.content_md5 = true;
  http_.Then(200, "", {{"ETag", "\"new\""}, {"Date", Date(5)}});
  const MemoryBody body("hello");
  const auto put = client().Put(
      {"k", &body, {"text/plain", "", "", "", "", "", {{"mode", "33188"}}}, {}}, call_);
  ASSERT_TRUE(put.ok());
  EXPECT_EQ(put->etag, "\"new\"");
  EXPECT_EQ(put->size, 5u);
  EXPECT_EQ(FormatIsoBasic(put->last_modified), "20130524T000005Z");
  const SentRequest sent = http_.sent(0);
  EXPECT_EQ(sent.line(), "PUT /bkt/k");
  EXPECT_EQ(sent.body, "hello");
  EXPECT_EQ(sent.header("content-type"), "text/plain");
  EXPECT_EQ(sent.header("x-amz-meta-mode"), "33188");
  EXPECT_EQ(sent.header("x-amz-storage-class"), "LINE");
  EXPECT_EQ(sent.header("x-amz-acl"), "private");
  EXPECT_EQ(sent.header("x-amz-server-side-encryption"), "aws:kms");
  EXPECT_EQ(sent.header("x-amz-server-side-encryption-aws-kms-key-id"), "key-1");
  EXPECT_EQ(sent.header("content-md5"), Base64Encode(Md5("hello")));
  EXPECT_EQ(sent.header("x-amz-content-sha256"), HexEncode(Sha256("hello")));
  EXPECT_FALSE(sent.has("if-match"));
}

TEST_F(ClientObjects, PutOfNothing) {
  http_.Then(200, "", {{"ETag", "\"new\""}});
  EXPECT_EQ(client().Put({"dir/", nullptr, {}, {}}, call_)->size, 0u);
  EXPECT_TRUE(http_.sent(0).has_body);
  EXPECT_EQ(http_.sent(0).header("x-amz-content-sha256"), kEmptyPayloadHash);
}

TEST_F(ClientObjects, PayloadIsUnsignedOnlyOverTlsOrWhenForced) {
  const MemoryBody body("hello");
  const auto hash = [&](const std::string& scheme, bool forced) {
    config_.scheme = scheme;
    config_.unsigned_payload = true;
    config_.force_unsigned_payload = forced;
    FakeHttp http;
    http.Then(200, "", {{"ETag", "\"x\""}});
    Client client(config_, http, clock_);
    EXPECT_TRUE(client.Put({"k", &body, {}, {}}, call_).ok());
    return http.sent(0).header("x-amz-content-sha256");
  };
  EXPECT_EQ(hash("https", false), kUnsignedPayload);
  EXPECT_EQ(hash("http", false), HexEncode(Sha256("hello")));
  EXPECT_EQ(hash("http", true), kUnsignedPayload);
}

TEST_F(ClientObjects, CustomerKeys) {
  config_.sse_customer_key = std::string(32, 'k');
  http_.Then(200, "", {{"ETag", "\"x\""}})
      .Then(200, "", {{"Content-Length", "0"}})
      .Then(Whole(""))
      .Then(200, "<CopyObjectResult><ETag>x</ETag></CopyObjectResult>");
  TextSink sink;
  ASSERT_TRUE(client().Put({"k", nullptr, {}, {}}, call_).ok());
  ASSERT_TRUE(client().Head("k", call_).ok());
  ASSERT_TRUE(client().Get({"k", {}, ""}, sink, call_).ok());
  ASSERT_TRUE(client().Copy({"k", "", "l", {}, {}}, call_).ok());
  for (const SentRequest& sent : http_.sent()) {
    EXPECT_EQ(sent.header("x-amz-server-side-encryption-customer-algorithm"), "AES256");
    EXPECT_EQ(sent.header("x-amz-server-side-encryption-customer-key"),
              Base64Encode(std::string(32, 'k')));
    EXPECT_EQ(sent.header("x-amz-server-side-encryption-customer-key-md5"),
              Base64Encode(Md5(std::string(32, 'k'))));
  }
  EXPECT_EQ(http_.sent(3).header("x-amz-copy-source-server-side-encryption-customer-algorithm"),
            "AES256");
}

TEST_F(ClientObjects, PropertiesCannotBreakOut) {
  EXPECT_TRUE(client()
                  .Put({"k", nullptr, {"a\r\nX: y", "", "", "", "", "", {}}, {}}, call_)
                  .Is(Code::kInvalidArgument));
  EXPECT_TRUE(client()
                  .Put({"k", nullptr, {"", "", "", "", "", "", {{"a\nb", "1"}}}, {}}, call_)
                  .Is(Code::kInvalidArgument));
  EXPECT_TRUE(client()
                  .Put({"k", nullptr, {}, {Condition::Kind::kIfEtag, "a\r\nb"}}, call_)
                  .Is(Code::kInvalidArgument));
  http_.Then(200, "", {{"ETag", "\"x\""}});
  EXPECT_TRUE(
      client().Put({"k", nullptr, {"", "", "", "", "", "", {{"a", "1\r\nX: y"}}}, {}}, call_).ok());
  EXPECT_EQ(http_.sent(0).header("x-amz-meta-a"), "1%0D%0AX: y");
  ExpectScriptUsed(1);
}

TEST_F(ClientObjects, PutsAreRepeated) {
  http_.ThenBroken().Then(500, ErrorBody("InternalError")).Then(200, "", {{"ETag", "\"x\""}});
  const MemoryBody body("hello");
  ASSERT_TRUE(client().Put({"k", &body, {}, {}}, call_).ok());
  EXPECT_EQ(http_.sent(2).body, "hello");
  ExpectScriptUsed(3);
}

TEST_F(ClientObjects, PutWithAnErrorInTheReplyIsRepeated) {
  http_.Then(200, ErrorBody("InternalError")).Then(200, "", {{"ETag", "\"x\""}});
  EXPECT_TRUE(client().Put({"k", nullptr, {}, {}}, call_).ok());
  ExpectScriptUsed(2);
}

TEST_F(ClientObjects, ConditionsOfPut) {
  http_.Then(412, ErrorBody("PreconditionFailed"));
  EXPECT_TRUE(client()
                  .Put({"k", nullptr, {}, {Condition::Kind::kIfAbsent, ""}}, call_)
                  .Is(Code::kAlreadyExists));
  EXPECT_EQ(http_.sent(0).header("if-none-match"), "*");
  http_.Then(412, ErrorBody("PreconditionFailed"));
  EXPECT_TRUE(client()
                  .Put({"k", nullptr, {}, {Condition::Kind::kIfEtag, "\"o\""}}, call_)
                  .Is(Code::kChanged));
  EXPECT_EQ(http_.sent(1).header("if-match"), "\"o\"");
  http_.Then(404, ErrorBody("NoSuchKey"));
  EXPECT_TRUE(client()
                  .Put({"k", nullptr, {}, {Condition::Kind::kIfEtag, "\"o\""}}, call_)
                  .Is(Code::kChanged));
  http_.Then(501, ErrorBody("NotImplemented"));
  EXPECT_TRUE(client()
                  .Put({"k", nullptr, {}, {Condition::Kind::kIfAbsent, ""}}, call_)
                  .Is(Code::kNotSupported));
  ExpectScriptUsed(4);
}

// The first attempt was carried out, its reply lost; the second is refused by the object that the
// first made.
TEST_F(ClientObjects, AConditionalPutRecognisesItsOwnObject) {
  const ObjectProperties properties{"", "", "", "", "", "", {{"mtime", "1.000000001"}}};
  http_.ThenBroken()
      .Then(412, ErrorBody("PreconditionFailed"), {{"Date", Date(2)}})
      .Then(200, "",
            {{"Content-Length", "5"},
             {"ETag", "\"x\""},
             {"Last-Modified", Date(0)},
             {"Date", Date(2)},
             {"x-amz-meta-mtime", "1.000000001"}});
  const MemoryBody body("hello");
  const auto put = client().Put({"k", &body, properties, {Condition::Kind::kIfAbsent, ""}}, call_);
  ASSERT_TRUE(put.ok()) << put.error().ToString();
  EXPECT_EQ(put->etag, "\"x\"");
}

TEST_F(ClientObjects, AConditionalPutDoesNotTakeAnotherObjectForItsOwn) {
  const ObjectProperties properties{"", "", "", "", "", "", {{"mtime", "1.000000001"}}};
  const MemoryBody body("hello");
  const auto put = [&](std::vector<HttpHeader> found, const ObjectProperties& with) {
    http_.ThenBroken().Then(412, ErrorBody("PreconditionFailed"), {{"Date", Date(2)}});
    found.push_back({"Date", Date(2)});
    http_.Then(200, "", std::move(found));
    return client().Put({"k", &body, with, {Condition::Kind::kIfAbsent, ""}}, call_).code();
  };
  const HttpHeader size{"Content-Length", "5"};
  const HttpHeader fresh{"Last-Modified", Date(0)};
  const HttpHeader mtime{"x-amz-meta-mtime", "1.000000001"};
  EXPECT_EQ(put({{"Content-Length", "6"}, fresh, mtime}, properties), Code::kAlreadyExists);
  EXPECT_EQ(put({size, fresh, {"x-amz-meta-mtime", "2"}}, properties), Code::kAlreadyExists);
  EXPECT_EQ(put({size, {"Last-Modified", Date(-60)}, mtime}, properties), Code::kAlreadyExists);
  EXPECT_EQ(put({size, fresh}, {}), Code::kAlreadyExists) << "nothing to know it by";
}

TEST_F(ClientObjects, AConditionalPutRecognisesItsOwnObjectByEtag) {
  config_.etag_is_md5 = true;
  http_.ThenBroken().Then(412).Then(
      200, "", {{"Content-Length", "5"}, {"ETag", "\"" + HexEncode(Md5("hello")) + "\""}});
  const MemoryBody body("hello");
  EXPECT_TRUE(client().Put({"k", &body, {}, {Condition::Kind::kIfAbsent, ""}}, call_).ok());
  http_.ThenBroken().Then(412).Then(
      200, "", {{"Content-Length", "5"}, {"ETag", "\"" + HexEncode(Md5("other")) + "\""}});
  EXPECT_TRUE(client()
                  .Put({"k", &body, {}, {Condition::Kind::kIfAbsent, ""}}, call_)
                  .Is(Code::kAlreadyExists));
}

TEST_F(ClientObjects, EtagsThatAreMd5AreVerified) {
  config_.etag_is_md5 = true;
  config_.content_md5 = true;
  const MemoryBody body("hello");
  const std::string right = "\"" + HexEncode(Md5("hello")) + "\"";
  const std::string wrong = "\"" + HexEncode(Md5("hullo")) + "\"";
  http_.Then(200, "", {{"ETag", right}});
  EXPECT_TRUE(client().Put({"k", &body, {}, {}}, call_).ok());
  http_.Then(200, "", {{"ETag", wrong}}).Then(200, "", {{"ETag", right}});
  EXPECT_TRUE(client().Put({"k", &body, {}, {}}, call_).ok()) << "damaged once, sent again";
  http_.Then(200, "", {{"ETag", wrong}})
      .Then(200, "", {{"ETag", wrong}})
      .Then(200, "", {{"ETag", wrong}});
  EXPECT_TRUE(client().Put({"k", &body, {}, {}}, call_).Is(Code::kCorrupt));
  http_.Then(200, "", {{"ETag", wrong}, {"x-amz-server-side-encryption", "aws:kms"}});
  EXPECT_TRUE(client().Put({"k", &body, {}, {}}, call_).ok()) << "encrypted: no MD5";
  http_.Then(200, "", {{"ETag", "\"opaque\""}});
  EXPECT_TRUE(client().Put({"k", &body, {}, {}}, call_).ok());
  ExpectScriptUsed(8);
}

TEST_F(ClientObjects, AnUnreadableSourceFailsThePut) {
  class Bad final : public RequestBody {
    uint64_t size() const override { return 10; }
    Status Read(uint64_t, std::span<std::byte>) const override {
      return Error(Code::kIo, "disk error");
    }
  };
  const Bad body;
  EXPECT_TRUE(client().Put({"k", &body, {}, {}}, call_).Is(Code::kIo));
  ExpectScriptUsed(0);
}

TEST_F(ClientObjects, LargeSourcesAreReadInPieces) {
  class Watched final : public RequestBody {
   public:
    uint64_t size() const override { return 1'000'003; }
    Status Read(uint64_t offset, std::span<std::byte> out) const override {
      largest = std::max(largest, out.size());
      EXPECT_LE(offset + out.size(), size());
      std::fill(out.begin(), out.end(), std::byte{'x'});
      return {};
    }
    mutable size_t largest = 0;
  };
  const Watched body;
  std::string hash;
  http_.Then({200, {{"ETag", "\"x\""}}, "", std::nullopt, [&](const SentRequest& sent) {
                hash = sent.header("x-amz-content-sha256");
                body.largest = 0;
              }});
  size_t largest_before = 0;
  ASSERT_TRUE(client().Put({"k", &body, {}, {}}, call_).ok());
  largest_before = body.largest;
  EXPECT_LE(largest_before, 1u << 20);
  EXPECT_EQ(hash, HexEncode(Sha256(std::string(1'000'003, 'x'))));
}

// ---- Copy.

constexpr std::string_view kCopied =
    "<CopyObjectResult><ETag>&quot;c&quot;</ETag><LastModified>2013-05-24T00:00:09.000Z</"
    "LastModified></CopyObjectResult>";

TEST_F(ClientObjects, Copy) {
  config_.storage_class = "LINE";
  http_.Then(200, " \n" + std::string(kCopied));
  const auto copy = client().Copy({"a b/é", "\"s\"", "dst", {}, {}}, call_);
  ASSERT_TRUE(copy.ok());
  EXPECT_EQ(copy->etag, "\"c\"");
  EXPECT_EQ(copy->key, "dst");
  EXPECT_EQ(FormatIsoBasic(copy->last_modified), "20130524T000009Z");
  const SentRequest sent = http_.sent(0);
  EXPECT_EQ(sent.line(), "PUT /bkt/dst");
  EXPECT_EQ(sent.header("x-amz-copy-source"), "/bkt/a%20b/%C3%A9");
  EXPECT_EQ(sent.header("x-amz-copy-source-if-match"), "\"s\"");
  EXPECT_EQ(sent.header("x-amz-storage-class"), "LINE");
  EXPECT_FALSE(sent.has("x-amz-metadata-directive"));
}

TEST_F(ClientObjects, CopyWithNewProperties) {
  http_.Then(200, std::string(kCopied));
  const ObjectProperties properties{"text/plain", "no-cache", "", "", "", "", {{"mode", "1"}}};
  ASSERT_TRUE(client().Copy({"k", "", "k", properties, {}}, call_).ok());
  const SentRequest sent = http_.sent(0);
  EXPECT_EQ(sent.header("x-amz-metadata-directive"), "REPLACE");
  EXPECT_EQ(sent.header("content-type"), "text/plain");
  EXPECT_EQ(sent.header("cache-control"), "no-cache");
  EXPECT_EQ(sent.header("x-amz-meta-mode"), "1");
}

TEST_F(ClientObjects, ErrorsInsideASuccessfulCopy) {
  for (const std::string& body :
       {ErrorBody("InternalError"), std::string(), std::string("  "), std::string("<Copy")}) {
    http_.Then(200, body).Then(200, std::string(kCopied));
    EXPECT_TRUE(client().Copy({"a", "", "b", {}, {}}, call_).ok()) << body;
  }
  http_.Then(200, ErrorBody("SlowDown"))
      .Then(200, ErrorBody("SlowDown"))
      .Then(200, ErrorBody("SlowDown"));
  const auto failed = client().Copy({"a", "", "b", {}, {}}, call_);
  ASSERT_FALSE(failed.ok());
  EXPECT_EQ(failed.error().detail().service_code, "SlowDown");
  ExpectScriptUsed(11);
}

TEST_F(ClientObjects, ConditionsOfCopy) {
  http_.Then(412);
  EXPECT_TRUE(client().Copy({"a", "\"s\"", "b", {}, {}}, call_).Is(Code::kChanged));
  http_.Then(412);
  EXPECT_TRUE(client()
                  .Copy({"a", "", "b", {}, {Condition::Kind::kIfAbsent, ""}}, call_)
                  .Is(Code::kAlreadyExists));
  http_.Then(412).Then(200, "", {{"Content-Length", "1"}});
  EXPECT_TRUE(client()
                  .Copy({"a", "\"s\"", "b", {}, {Condition::Kind::kIfAbsent, ""}}, call_)
                  .Is(Code::kAlreadyExists));
  http_.Then(412).Then(404);
  EXPECT_TRUE(client()
                  .Copy({"a", "\"s\"", "b", {}, {Condition::Kind::kIfAbsent, ""}}, call_)
                  .Is(Code::kChanged));
  http_.Then(404, ErrorBody("NoSuchKey"));
  EXPECT_TRUE(client().Copy({"a", "", "b", {}, {}}, call_).Is(Code::kNotFound));
}

TEST_F(ClientObjects, ACopyOntoItselfRecognisesItsOwnWork) {
  const ObjectProperties properties{"", "", "", "", "", "", {{"mtime", "5.000000001"}}};
  http_.ThenBroken()
      .Then(412, "", {{"Date", Date(1)}})
      .Then(200, "",
            {{"Content-Length", "7"},
             {"ETag", "\"new\""},
             {"Last-Modified", Date(0)},
             {"Date", Date(1)},
             {"x-amz-meta-mtime", "5.000000001"}});
  const auto copy = client().Copy({"k", "\"old\"", "k", properties, {}}, call_);
  ASSERT_TRUE(copy.ok()) << copy.error().ToString();
  EXPECT_EQ(copy->etag, "\"new\"");
}

// ---- Delete.

TEST_F(ClientObjects, Delete) {
  http_.Then(204).Then(404, ErrorBody("NoSuchKey")).Then(412).Then(403, ErrorBody("AccessDenied"));
  EXPECT_TRUE(client().Delete("k", {}, call_).ok());
  EXPECT_EQ(http_.sent(0).line(), "DELETE /bkt/k");
  EXPECT_TRUE(client().Delete("k", {}, call_).ok());
  EXPECT_TRUE(client().Delete("k", {Condition::Kind::kIfEtag, "\"e\""}, call_).Is(Code::kChanged));
  EXPECT_EQ(http_.sent(2).header("if-match"), "\"e\"");
  EXPECT_TRUE(client().Delete("k", {}, call_).Is(Code::kPermissionDenied));
  EXPECT_TRUE(
      client().Delete("k", {Condition::Kind::kIfAbsent, ""}, call_).Is(Code::kInvalidArgument));
  EXPECT_TRUE(client().Delete("", {}, call_).Is(Code::kInvalidArgument))
      << "that would be the bucket";
  ExpectScriptUsed(4);
}

TEST(S3Types, EtagsMatch) {
  EXPECT_TRUE(EtagsMatch("\"abc\"", "abc"));
  EXPECT_TRUE(EtagsMatch("W/\"ABC\"", "\"abc\""));
  EXPECT_FALSE(EtagsMatch("\"abc\"", "\"abd\""));
  EXPECT_FALSE(EtagsMatch("", ""));
  EXPECT_FALSE(EtagsMatch("\"\"", "\"\""));
}

}  // namespace
}  // namespace quayfs::s3
