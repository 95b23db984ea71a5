// SPDX-License-Identifier: Apache-2.0
//
// The S3 client over the real HTTP client against the test server, which verifies signatures with
// code of its own and misbehaves on command.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <set>
#include <thread>

#include "base/hash.h"
#include "base/text.h"
#include "s3/client.h"
#include "tests/server/server.h"

namespace quayfs::s3 {
namespace {

using std::chrono::hours;
using std::chrono::minutes;
using ::testing::ElementsAre;
using ::testing::UnorderedElementsAreArray;
using testserver::Fault;
using testserver::FaultKind;
using testserver::Server;
using testserver::ServerConfig;

// The real time, but nobody waits: delays between attempts pass at once.
class HastyClock final : public Clock {
 public:
  WallTime Now() const override { return SystemClock().Now(); }
  SteadyTime Steady() const override { return SystemClock().Steady(); }
  bool Sleep(Duration /*duration*/, const std::stop_token& cancel) override {
    return !cancel.stop_requested();
  }
};

class Sink final : public ByteSink {
 public:
  Status Write(std::span<const std::byte> data) override {
    text.append(reinterpret_cast<const char*>(data.data()), data.size());
    return {};
  }
  std::string text;
};

std::string Noise(size_t size) {
  std::string text(size, '\0');
  uint32_t state = 12345;
  for (char& c : text) {
    state = state * 1664525 + 1013904223;
    c = static_cast<char>(state >> 24);
  }
  return text;
}

class ClientServerTest : public ::testing::Test {
 protected:
  ClientServerTest() {
    server_config_.part_size_min = 1;
    config_.scheme = "http";
    config_.host = "127.0.0.1";
    config_.bucket = "test";
    config_.credentials = {"test-key", "test-secret", ""};
    config_.retry.mode = RetryMode::kStandard;
    config_.http.low_speed_time = std::chrono::seconds(20);
  }

  Client& client() {
    if (client_ == nullptr) Start();
    return *client_;
  }
  Server& server() {
    if (server_ == nullptr) Start();
    return *server_;
  }
  void Start() {
    auto server = Server::Start(server_config_);
    QUAY_CHECK(server.ok());
    server_ = *std::move(server);
    config_.port = server_->port();
    if (server_config_.tls) {
      config_.scheme = "https";
      config_.http.tls.thumbprint = server_->certificate_sha256();
    }
    auto http = MakeHttpClient(config_.http);
    QUAY_CHECK(http.ok());
    http_ = *std::move(http);
    client_ = std::make_unique<Client>(config_, *http_, clock_);
  }

  void AddFault(FaultKind kind, std::string operation, int count = 1) {
    Fault fault;
    fault.kind = kind;
    fault.operation = std::move(operation);
    fault.count = count;
    server().AddFault(fault);
  }

  Result<ObjectInfo> Put(const std::string& key, std::string_view text,
                         const ObjectProperties& properties = {}, const Condition& condition = {}) {
    const MemoryBody body(text);
    return client().Put({key, &body, properties, condition}, call_);
  }
  std::string Get(const std::string& key, std::optional<ByteRange> range = {},
                  const std::string& etag = "") {
    Sink sink;
    const auto head = client().Get({key, range, etag}, sink, call_);
    EXPECT_TRUE(head.ok()) << head.error().ToString();
    return sink.text;
  }
  std::vector<std::string> ListAll(const std::string& prefix, const std::string& delimiter,
                                   int page) {
    std::vector<std::string> names;
    ListRequest request{prefix, delimiter, "", page};
    do {
      const auto reply = client().List(request, call_);
      EXPECT_TRUE(reply.ok()) << reply.error().ToString();
      if (!reply) break;
      for (const ObjectInfo& info : reply->objects) names.push_back(info.key);
      names.insert(names.end(), reply->common_prefixes.begin(), reply->common_prefixes.end());
      request.token = reply->next_token;
    } while (!request.token.empty());
    return names;
  }
  // An upload of `parts` to `key`, completed.
  Result<ObjectInfo> Multipart(const std::string& key, const std::vector<std::string>& parts) {
    QUAY_ASSIGN(const std::string id, client().CreateUpload(key, {}, call_));
    CompleteRequest complete{key, id, {}, {}};
    for (const std::string& text : parts) {
      const MemoryBody body(text);
      const int number = static_cast<int>(complete.parts.size()) + 1;
      QUAY_ASSIGN(PartInfo part, client().UploadPart({key, id, number, &body}, call_));
      complete.parts.push_back(std::move(part));
    }
    return client().CompleteUpload(complete, call_);
  }

  ServerConfig server_config_;
  ClientConfig config_;
  HastyClock clock_;
  CallOptions call_;
  std::unique_ptr<Server> server_;
  std::unique_ptr<HttpClient> http_;
  std::unique_ptr<Client> client_;
};

const std::vector<std::string>& OddKeys() {
  static const std::vector<std::string> keys = {"plain",
                                                "dir/a b+c=é~!*'()&$@,;:%.txt",
                                                "a/./b/../c//d",
                                                "/lead",
                                                " blank ",
                                                "100%25",
                                                "+",
                                                "%2F",
                                                "a\x01z",
                                                "tab\tnl\n",
                                                "<&>\"'",
                                                "中文/文件",
                                                "\U0001F600",
                                                "a?b#c",
                                                "dir/",
                                                "..",
                                                ".",
                                                "a\\b"};
  return keys;
}

// ---- Round trips in every way of signing and addressing.

struct Way {
  std::string name;
  SignatureVersion signature = SignatureVersion::kV4;
  bool tls = false;
  bool unsigned_payload = false;
  bool content_md5 = false;
  bool etag_is_md5 = false;
  std::string session_token;
};

class EveryWay : public ClientServerTest, public ::testing::WithParamInterface<Way> {
 protected:
  EveryWay() {
    const Way& way = GetParam();
    config_.signature = way.signature;
    server_config_.tls = way.tls;
    config_.unsigned_payload = way.unsigned_payload;
    config_.content_md5 = way.content_md5;
    config_.etag_is_md5 = way.etag_is_md5;
    config_.credentials.session_token = way.session_token;
    server_config_.accounts = {{"test-key", "test-secret", way.session_token}};
  }
};

TEST_P(EveryWay, ObjectsThereAndBack) {
  const ObjectProperties properties{"text/x-odd; a=\"b\"",
                                    "no-cache",
                                    "attachment; filename=\"a b\"",
                                    "",
                                    "",
                                    "",
                                    {{"mode", "33188"}, {"odd", " é\r\n%  x"}, {"empty", ""}}};
  for (const std::string& key : OddKeys()) {
    const std::string text = "content of " + key;
    const auto put = Put(key, text, properties);
    ASSERT_TRUE(put.ok()) << key << ": " << put.error().ToString();
    const auto head = client().Head(key, call_);
    ASSERT_TRUE(head.ok()) << key << ": " << head.error().ToString();
    EXPECT_EQ(head->info.size, text.size());
    EXPECT_TRUE(EtagsMatch(head->info.etag, put->etag));
    EXPECT_EQ(head->properties.content_type, properties.content_type);
    EXPECT_EQ(head->properties.cache_control, properties.cache_control);
    EXPECT_EQ(head->properties.content_disposition, properties.content_disposition);
    EXPECT_EQ(head->properties.metadata, properties.metadata) << key;
    EXPECT_EQ(Get(key), text);
    EXPECT_EQ(Get(key, ByteRange{3, 7}, head->info.etag), text.substr(3, 4));
    EXPECT_EQ(server().Body("test", key), text) << key;
  }
  EXPECT_THAT(ListAll("", "", 1000), UnorderedElementsAreArray(OddKeys()));
  const auto outcomes = client().DeleteMany(OddKeys(), call_);
  ASSERT_TRUE(outcomes.ok());
  for (const DeleteOutcome& outcome : *outcomes) EXPECT_TRUE(outcome.status.ok()) << outcome.key;
  EXPECT_THAT(server().Keys("test"), ElementsAre());
}

TEST_P(EveryWay, MultipartAndCopies) {
  const auto made = Multipart("a big/one", {Noise(70'000), "tail"});
  ASSERT_TRUE(made.ok()) << made.error().ToString();
  EXPECT_EQ(made->size, 70'004u);
  EXPECT_EQ(Get("a big/one"), Noise(70'000) + "tail");

  const auto id = client().CreateUpload("copy", {}, call_);
  ASSERT_TRUE(id.ok());
  const auto part =
      client().CopyPart({"copy", *id, 1, "a big/one", made->etag, ByteRange{100, 50'000}}, call_);
  ASSERT_TRUE(part.ok()) << part.error().ToString();
  const auto listed = client().ListParts("copy", *id, call_);
  ASSERT_TRUE(listed.ok());
  ASSERT_EQ(listed->size(), 1u);
  EXPECT_EQ(listed->front().size, 49'900u);
  EXPECT_TRUE(EtagsMatch(listed->front().etag, part->etag));
  const auto uploads = client().ListUploads("cop", call_);
  ASSERT_TRUE(uploads.ok());
  ASSERT_EQ(uploads->size(), 1u);
  EXPECT_EQ(uploads->front().upload_id, *id);
  ASSERT_TRUE(client().CompleteUpload({"copy", *id, {*part}, {}}, call_).ok());
  EXPECT_EQ(Get("copy"), Noise(70'000).substr(100, 49'900));

  const ObjectProperties fresh{"", "", "", "", "", "", {{"mode", "1"}}};
  const auto copied = client().Copy({"copy", "", "copy é+", fresh, {}}, call_);
  ASSERT_TRUE(copied.ok()) << copied.error().ToString();
  EXPECT_EQ(client().Head("copy é+", call_)->properties.metadata, fresh.metadata);
  EXPECT_TRUE(client().Copy({"copy", "\"stale\"", "x", {}, {}}, call_).Is(Code::kChanged));
  EXPECT_TRUE(client().Copy({"none", "", "x", {}, {}}, call_).Is(Code::kNotFound));

  const auto other = client().CreateUpload("gone", {}, call_);
  ASSERT_TRUE(client().AbortUpload("gone", *other, call_).ok());
  ASSERT_TRUE(client().AbortUpload("gone", *other, call_).ok());
  EXPECT_EQ(server().UnfinishedUploads("test"), 0u);
}

TEST_P(EveryWay, PresignedLinksWork) {
  // The test server takes a token only from the headers of a V2 request; sign_v2_test covers the
  // query form.
  if (config_.signature == SignatureVersion::kV2 && !config_.credentials.session_token.empty())
    return;
  ASSERT_TRUE(Put("a b", "linked").ok());
  const auto link = client().PresignGet("a b", minutes(5));
  ASSERT_TRUE(link.ok());
  HttpRequest request;
  request.method = "GET";
  request.scheme = config_.scheme;
  request.host = config_.host;
  request.port = config_.port;
  const std::string rest = link->substr(link->find('/', 8));
  request.path = rest.substr(0, rest.find('?'));
  request.query = rest.substr(rest.find('?') + 1);
  BodyCollector body;
  const auto reply = http_->Do(request, body, call_);
  ASSERT_TRUE(reply.ok());
  EXPECT_EQ(reply->status, 200) << body.body();
  EXPECT_EQ(body.body(), "linked");
}

INSTANTIATE_TEST_SUITE_P(S3, EveryWay,
                         ::testing::Values(Way{"V4"}, Way{"V2", SignatureVersion::kV2},
                                           Way{"TlsUnsigned", SignatureVersion::kV4, true, true},
                                           Way{"Md5", SignatureVersion::kV4, false, false, true,
                                               true},
                                           Way{"TokenV4", SignatureVersion::kV4, false, false,
                                               false, false, "tok/en+=="},
                                           Way{"TokenV2", SignatureVersion::kV2, false, false,
                                               false, false, "tok/en+=="}),
                         [](const auto& one) { return one.param.name; });

// ---- The bucket.

TEST_F(ClientServerTest, Bucket) {
  EXPECT_TRUE(client().HeadBucket(call_).ok());
  ClientConfig other = config_;
  other.bucket = "nothere";
  EXPECT_TRUE(Client(other, *http_, clock_).HeadBucket(call_).Is(Code::kNotFound));
  EXPECT_TRUE(Client(other, *http_, clock_).CreateBucket("", call_).ok());
  EXPECT_TRUE(Client(other, *http_, clock_).HeadBucket(call_).ok());
  EXPECT_THAT(*client().ListBuckets(call_), UnorderedElementsAreArray({"test", "nothere"}));
  other.credentials.secret_access_key = "wrong";
  EXPECT_TRUE(Client(other, *http_, clock_).List({}, call_).Is(Code::kUnauthenticated));
}

TEST_F(ClientServerTest, VirtualHostStyleIsNotPossibleWithAnAddress) {
  config_.style = AddressingStyle::kVirtualHost;
  EXPECT_TRUE(Put("k", "x").ok());
}

TEST_F(ClientServerTest, RegionIsLearned) {
  server_config_.region = "eu-west-1";
  ASSERT_TRUE(Put("k", "x").ok());
  EXPECT_EQ(client().region(), "eu-west-1");
  EXPECT_EQ(server().Count("PutObject"), 2u);
  ASSERT_TRUE(Put("k", "x").ok());
  EXPECT_EQ(server().Count("PutObject"), 3u);
}

TEST_F(ClientServerTest, ClockIsCorrected) {
  server_config_.clock_offset = hours(3);
  ASSERT_TRUE(Put("k", "x").ok());
  EXPECT_GT(client().clock_offset(), hours(3) - minutes(1));
  EXPECT_LT(client().clock_offset(), hours(3) + minutes(1));
  EXPECT_EQ(Get("k"), "x");
}

TEST_F(ClientServerTest, ClockIsCorrectedByAHead) {
  server_config_.clock_offset = -hours(3);
  EXPECT_TRUE(client().Head("k", call_).Is(Code::kNotFound));
  EXPECT_LT(client().clock_offset(), -hours(2));
}

TEST_F(ClientServerTest, RedirectsElsewhereAreNotFollowed) {
  ServerConfig elsewhere_config;
  auto elsewhere = Server::Start(elsewhere_config);
  ASSERT_TRUE(elsewhere.ok());
  Fault fault;
  fault.kind = FaultKind::kRedirect;
  fault.location = (*elsewhere)->endpoint() + "/test/k";
  fault.count = -1;
  server().AddFault(fault);
  EXPECT_TRUE(Put("k", "x").Is(Code::kWrongRegion));
  EXPECT_TRUE((*elsewhere)->Log().empty());
}

// ---- Listing.

TEST_F(ClientServerTest, ListingInEveryDialect) {
  std::set<std::string> expected;
  for (int i = 0; i < 25; ++i) {
    const std::string key = "p/" + std::to_string(i) + (i % 3 == 0 ? "/sub" : "");
    ASSERT_TRUE(Put(key, "x").ok());
    expected.insert(i % 3 == 0 ? key.substr(0, key.size() - 3) : key);
  }
  ASSERT_TRUE(Put("q", "x").ok());
  for (const ListVersion version : {ListVersion::kV2, ListVersion::kV1}) {
    for (const bool encode : {true, false}) {
      for (const int page : {1, 7, 1000}) {
        ClientConfig config = config_;
        config.list_version = version;
        config.list_url_encode = encode;
        client_ = std::make_unique<Client>(config, *http_, clock_);
        const std::vector<std::string> names = ListAll("p/", "/", page);
        EXPECT_EQ(std::set<std::string>(names.begin(), names.end()), expected);
        EXPECT_EQ(names.size(), expected.size());
        EXPECT_EQ(ListAll("p/", "", page).size(), 25u);
      }
    }
  }
}

TEST_F(ClientServerTest, AServiceWithoutV2) {
  server_config_.list_v2 = false;
  std::vector<std::string> keys;
  for (int i = 0; i < 12; ++i) {
    keys.push_back("k" + std::to_string(i));
    ASSERT_TRUE(Put(keys.back(), "x").ok());
  }
  EXPECT_THAT(ListAll("", "", 5), UnorderedElementsAreArray(keys));
  EXPECT_EQ(client().list_version(), ListVersion::kV1);
}

TEST_F(ClientServerTest, ShuffledListings) {
  server_config_.shuffle_listings = true;
  std::vector<std::string> keys;
  for (int i = 0; i < 30; ++i) {
    keys.push_back("k" + std::to_string(i));
    ASSERT_TRUE(Put(keys.back(), "x").ok());
  }
  EXPECT_THAT(ListAll("", "", 7), UnorderedElementsAreArray(keys));
}

TEST_F(ClientServerTest, AServiceWithoutTheExtras) {
  server_config_.batch_delete = false;
  server_config_.part_copy = false;
  ASSERT_TRUE(Put("a", "xx").ok());
  ASSERT_TRUE(Put("b", "xx").ok());
  const auto id = client().CreateUpload("c", {}, call_);
  ASSERT_TRUE(id.ok());
  EXPECT_TRUE(
      client().CopyPart({"c", *id, 1, "a", "", ByteRange{0, 2}}, call_).Is(Code::kNotSupported));
  ASSERT_TRUE(client().DeleteMany({"a", "b", "none"}, call_).ok());
  EXPECT_THAT(server().Keys("test"), ElementsAre());
  EXPECT_FALSE(client().batch_delete_supported());
}

// ---- Conditions.

TEST_F(ClientServerTest, Conditions) {
  const Condition absent{Condition::Kind::kIfAbsent, ""};
  const auto first = Put("k", "one", {}, absent);
  ASSERT_TRUE(first.ok());
  EXPECT_TRUE(Put("k", "two", {}, absent).Is(Code::kAlreadyExists));
  EXPECT_TRUE(Put("k", "two", {}, {Condition::Kind::kIfEtag, "\"stale\""}).Is(Code::kChanged));
  EXPECT_TRUE(Put("none", "two", {}, {Condition::Kind::kIfEtag, first->etag}).Is(Code::kChanged));
  const auto second = Put("k", "two", {}, {Condition::Kind::kIfEtag, first->etag});
  ASSERT_TRUE(second.ok());
  Sink sink;
  EXPECT_TRUE(client().Get({"k", {}, first->etag}, sink, call_).Is(Code::kChanged));
  EXPECT_TRUE(client().Get({"k", ByteRange{3, 4}, ""}, sink, call_).Is(Code::kInvalidArgument));
  EXPECT_TRUE(client().Get({"none", {}, ""}, sink, call_).Is(Code::kNotFound));
  EXPECT_EQ(sink.text, "");
}

// ---- Faults.

TEST_F(ClientServerTest, BrokenRequestsAreRepeated) {
  for (const FaultKind kind : {FaultKind::kResetBefore, FaultKind::kResetInRequest,
                               FaultKind::kLostReply, FaultKind::kStatus, FaultKind::kErrorIn200}) {
    AddFault(kind, "PutObject");
    const std::string key = "k" + std::to_string(static_cast<int>(kind));
    ASSERT_TRUE(Put(key, Noise(300'000)).ok()) << key;
    EXPECT_EQ(server().Body("test", key), Noise(300'000)) << key;
  }
}

TEST_F(ClientServerTest, BrokenDownloadsGoOn) {
  const std::string body = Noise(3'000'000);
  ASSERT_TRUE(Put("k", body).ok());
  for (const FaultKind kind :
       {FaultKind::kResetInReply, FaultKind::kTruncateBody, FaultKind::kResetBefore,
        FaultKind::kLostReply, FaultKind::kStatus}) {
    AddFault(kind, "GetObject");
    EXPECT_EQ(Get("k"), body) << static_cast<int>(kind);
    AddFault(kind, "GetObject");
    EXPECT_EQ(Get("k", ByteRange{1000, 2'000'000}), body.substr(1000, 1'999'000))
        << static_cast<int>(kind);
  }
}

TEST_F(ClientServerTest, ADownloadDoesNotMixVersions) {
  ASSERT_TRUE(Put("k", Noise(3'000'000)).ok());
  AddFault(FaultKind::kResetInReply, "GetObject");
  class Overwriter final : public ByteSink {
   public:
    explicit Overwriter(Server& server) : server_(server) {}
    Status Write(std::span<const std::byte> data) override {
      if (std::exchange(first_, false))
        server_.PutDirect("test", "k", std::string(3'000'000, 'n'), {});
      count += data.size();
      return {};
    }
    size_t count = 0;

   private:
    Server& server_;
    bool first_ = true;
  };
  Overwriter sink(server());
  EXPECT_TRUE(client().Get({"k", {}, ""}, sink, call_).Is(Code::kChanged));
  EXPECT_LT(sink.count, 3'000'000u);
}

TEST_F(ClientServerTest, WrongRangesAreNotDelivered) {
  const std::string body = Noise(100'000);
  ASSERT_TRUE(Put("k", body).ok());
  for (const FaultKind kind : {FaultKind::kWrongRange, FaultKind::kIgnoreRange}) {
    AddFault(kind, "GetObject");
    Sink sink;
    EXPECT_TRUE(client().Get({"k", ByteRange{100, 200}, ""}, sink, call_).Is(Code::kCorrupt));
    EXPECT_EQ(sink.text, "");
  }
  AddFault(FaultKind::kExtraBytes, "GetObject");
  EXPECT_EQ(Get("k"), body);
  EXPECT_EQ(Get("k"), body) << "what was left over is not the next reply";
}

TEST_F(ClientServerTest, WrongEtagsOfUploadsAreNoticed) {
  config_.etag_is_md5 = true;
  config_.content_md5 = true;
  AddFault(FaultKind::kWrongEtag, "PutObject");
  ASSERT_TRUE(Put("k", "x").ok());
  EXPECT_EQ(server().Count("PutObject"), 2u);
  AddFault(FaultKind::kWrongEtag, "PutObject", -1);
  EXPECT_TRUE(Put("k", "x").Is(Code::kCorrupt));
}

TEST_F(ClientServerTest, AConditionalPutWithALostReply) {
  AddFault(FaultKind::kLostReply, "PutObject");
  const ObjectProperties properties{"", "", "", "", "", "", {{"mtime", "1700000000.123456789"}}};
  EXPECT_TRUE(Put("k", "mine", properties, {Condition::Kind::kIfAbsent, ""}).ok());
  server().PutDirect("test", "k2", "theirs", {});
  AddFault(FaultKind::kResetBefore, "PutObject");
  EXPECT_TRUE(
      Put("k2", "mine", properties, {Condition::Kind::kIfAbsent, ""}).Is(Code::kAlreadyExists));
}

// libcurl sends a request again when a connection that was used before dies without a reply. A
// condition would then meet its own object, unnoticed by the client.
TEST_F(ClientServerTest, AConditionalPutWithALostReplyOnAUsedConnection) {
  const ObjectProperties properties{"", "", "", "", "", "", {{"mtime", "1700000000.123456789"}}};
  for (int i = 0; i < 3; ++i) {
    const std::string key = "k" + std::to_string(i);
    ASSERT_TRUE(Put("before", "x").ok());
    AddFault(FaultKind::kLostReply, "PutObject");
    const auto put = Put(key, "mine", properties, {Condition::Kind::kIfAbsent, ""});
    ASSERT_TRUE(put.ok()) << put.error().ToString();
    AddFault(FaultKind::kLostReply, "PutObject");
    const auto again = Put(key, "more", properties, {Condition::Kind::kIfEtag, put->etag});
    ASSERT_TRUE(again.ok()) << again.error().ToString();
    EXPECT_EQ(server().Body("test", key), "more");
  }
}

TEST_F(ClientServerTest, ErrorsInsideSuccessfulCopies) {
  ASSERT_TRUE(Put("a", "x").ok());
  AddFault(FaultKind::kErrorIn200, "CopyObject");
  EXPECT_TRUE(client().Copy({"a", "", "b", {}, {}}, call_).ok());
  EXPECT_EQ(server().Body("test", "b"), "x");
  AddFault(FaultKind::kErrorIn200, "UploadPartCopy");
  const auto id = client().CreateUpload("c", {}, call_);
  EXPECT_TRUE(client().CopyPart({"c", *id, 1, "a", "", ByteRange{0, 1}}, call_).ok());
}

TEST_F(ClientServerTest, CompleteWithALostReply) {
  for (const bool md5 : {true, false}) {
    config_.etag_is_md5 = md5;
    if (client_ != nullptr) client_ = std::make_unique<Client>(config_, *http_, clock_);
    const std::string key = md5 ? "a" : "b";
    // Something of the same size is there before.
    server().PutDirect("test", key, std::string(10'004, 'o'), {});
    AddFault(FaultKind::kLostReply, "CompleteMultipartUpload");
    const auto made = Multipart(key, {Noise(10'000), "tail"});
    ASSERT_TRUE(made.ok()) << made.error().ToString();
    EXPECT_EQ(Get(key, {}, made->etag), Noise(10'000) + "tail");
    EXPECT_EQ(server().UnfinishedUploads("test"), 0u);
  }
}

TEST_F(ClientServerTest, AConditionalCompleteWithALostReplyIsSentOnce) {
  ASSERT_TRUE(Put("before", "x").ok());
  const auto id = client().CreateUpload("k", {}, call_);
  ASSERT_TRUE(id.ok());
  const MemoryBody body("part");
  const auto part = client().UploadPart({"k", *id, 1, &body}, call_);
  ASSERT_TRUE(part.ok());
  AddFault(FaultKind::kLostReply, "CompleteMultipartUpload");
  const auto done =
      client().CompleteUpload({"k", *id, {*part}, {Condition::Kind::kIfAbsent, ""}}, call_);
  ASSERT_TRUE(done.ok()) << done.error().ToString();
  EXPECT_EQ(server().Count("CompleteMultipartUpload"), 1u);
}

// A service may copy gigabytes without a byte of a reply.
TEST_F(ClientServerTest, SilentWorkIsWaitedFor) {
  config_.http.low_speed_time = std::chrono::milliseconds(200);
  config_.work_patience = minutes(1);
  ASSERT_TRUE(Put("a", Noise(100)).ok());
  const auto id = client().CreateUpload("c", {}, call_);
  ASSERT_TRUE(id.ok());
  server().SetDelay(std::chrono::milliseconds(1200));
  const auto copied = client().Copy({"a", "", "b", {}, {}}, call_);
  EXPECT_TRUE(copied.ok()) << copied.error().ToString();
  const auto part = client().CopyPart({"c", *id, 1, "a", "", ByteRange{0, 100}}, call_);
  ASSERT_TRUE(part.ok()) << part.error().ToString();
  const auto done = client().CompleteUpload({"c", *id, {*part}, {}}, call_);
  EXPECT_TRUE(done.ok()) << done.error().ToString();
  EXPECT_EQ(server().Count("CopyObject"), 1u);
  EXPECT_EQ(server().Count("UploadPartCopy"), 1u);
  EXPECT_EQ(server().Count("CompleteMultipartUpload"), 1u);
  EXPECT_TRUE(client().Head("a", call_).Is(Code::kTimedOut)) << "other requests are not";
}

TEST_F(ClientServerTest, SilentWorkIsNotWaitedForForEver) {
  config_.http.low_speed_time = std::chrono::milliseconds(100);
  config_.work_patience = std::chrono::milliseconds(300);
  ASSERT_TRUE(Put("a", "x").ok());
  AddFault(FaultKind::kBlackHole, "CopyObject", -1);
  EXPECT_TRUE(client().Copy({"a", "", "b", {}, {}}, call_).Is(Code::kTimedOut));
}

// A small copy whose connection has died must not be waited for like one of gigabytes.
TEST_F(ClientServerTest, SilentWorkIsWaitedForNoLongerThanItsSizeDemands) {
  config_.http.low_speed_time = std::chrono::milliseconds(100);
  config_.work_patience = minutes(10);
  ASSERT_TRUE(Put("a", "x").ok());
  AddFault(FaultKind::kBlackHole, "CopyObject", 1);
  CallOptions call = call_;
  call.work_bytes = 1;
  const auto copied = client().Copy({"a", "", "b", {}, {}}, call);
  EXPECT_TRUE(copied.ok()) << copied.error().ToString();
  EXPECT_EQ(server().Count("CopyObject"), 2u);
}

TEST_F(ClientServerTest, CompleteThatFailsInsideASuccess) {
  for (const bool carried_out : {true, false}) {
    Fault fault;
    fault.kind = FaultKind::kErrorIn200;
    fault.operation = "CompleteMultipartUpload";
    fault.carry_out = carried_out;
    server().AddFault(fault);
    const auto made = Multipart(carried_out ? "a" : "b", {Noise(10'000), "tail"});
    ASSERT_TRUE(made.ok()) << carried_out << made.error().ToString();
  }
  EXPECT_EQ(server().Body("test", "a"), Noise(10'000) + "tail");
  EXPECT_EQ(server().Body("test", "b"), Noise(10'000) + "tail");
}

TEST_F(ClientServerTest, CreateWithALostReplyLeavesNoOrphan) {
  AddFault(FaultKind::kLostReply, "CreateMultipartUpload");
  const auto id = client().CreateUpload("k", {}, call_);
  ASSERT_TRUE(id.ok());
  const auto uploads = client().ListUploads("", call_);
  ASSERT_TRUE(uploads.ok());
  ASSERT_EQ(uploads->size(), 1u);
  EXPECT_EQ(uploads->front().upload_id, *id);
}

TEST_F(ClientServerTest, BrokenListingsAndDeletes) {
  ASSERT_TRUE(Put("a", "x").ok());
  for (const FaultKind kind :
       {FaultKind::kTruncateBody, FaultKind::kResetInReply, FaultKind::kErrorIn200}) {
    AddFault(kind, "ListObjectsV2");
    EXPECT_THAT(ListAll("", "", 1000), ElementsAre("a")) << static_cast<int>(kind);
  }
  AddFault(FaultKind::kLostReply, "DeleteObjects");
  EXPECT_TRUE(client().DeleteMany({"a"}, call_)->front().status.ok());
  EXPECT_THAT(server().Keys("test"), ElementsAre());
}

TEST_F(ClientServerTest, DeadlinesAndCancellation) {
  ASSERT_TRUE(Put("a", "x").ok());
  AddFault(FaultKind::kBlackHole, "GetObject", -1);
  Sink sink;
  CallOptions soon;
  soon.deadline = SystemClock().Steady() + std::chrono::milliseconds(50);
  EXPECT_TRUE(client().Get({"a", {}, ""}, sink, soon).Is(Code::kTimedOut));
  std::stop_source stop;
  CallOptions cancelled;
  cancelled.cancel = stop.get_token();
  std::thread canceller([&] { stop.request_stop(); });
  EXPECT_TRUE(client().Get({"a", {}, ""}, sink, cancelled).Is(Code::kCancelled));
  canceller.join();
}

// ---- Many threads, while region and clock are being learned.

TEST_F(ClientServerTest, ManyThreads) {
  server_config_.region = "eu-west-1";
  server_config_.clock_offset = hours(1);
  // Five attempts, so that the faults below practically never hit all of one request's.
  config_.retry.mode = RetryMode::kLegacy;
  Start();
  Fault fault;
  fault.kind = FaultKind::kStatus;
  fault.count = -1;
  fault.probability = 0.02;
  server().AddFault(fault);
  std::vector<std::string> failures(8);
  std::vector<std::thread> threads;
  for (size_t t = 0; t < failures.size(); ++t) {
    threads.emplace_back([&, t] {
      for (int i = 0; i < 20 && failures[t].empty(); ++i) {
        const std::string key = std::to_string(t) + "/" + std::to_string(i);
        const MemoryBody body(key);
        Sink sink;
        if (const auto put = client_->Put({key, &body, {}, {}}, call_); !put) {
          failures[t] = put.error().ToString();
        } else if (const auto got = client_->Get({key, {}, put->etag}, sink, call_);
                   !got || sink.text != key) {
          failures[t] = got ? sink.text : got.error().ToString();
        } else if (const auto page = client_->List({key, "", "", 10}, call_);
                   !page || page->objects.empty()) {
          failures[t] = page ? "not listed" : page.error().ToString();
        }
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_THAT(failures, ::testing::Each(""));
  EXPECT_EQ(server().Keys("test").size(), 160u);
}

}  // namespace
}  // namespace quayfs::s3
