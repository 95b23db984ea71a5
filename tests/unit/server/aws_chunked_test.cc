// SPDX-License-Identifier: Apache-2.0
//
// aws-chunked bodies: the two published examples (protocol.md 7.1 a 6 and 7), whole and damaged.

#include "tests/server/aws_chunked.h"

#include <gtest/gtest.h>
#include <sys/socket.h>

#include <thread>

#include "tests/server/auth_v4.h"
#include "tests/server/http_parser.h"

namespace quayfs::testserver {
namespace {

constexpr char kScope[] = "20130524/us-east-1/s3/aws4_request";
constexpr char kC1[] = "ad80c730a21e5b8d04586a2213dd63b9a0e99e0e2307b0ade35a65485a288648";
constexpr char kC2[] = "0055627c9e194cb4542bae2aa5492e3c1575bbb81b612b7d234b86a503ef5497";
constexpr char kC3[] = "b6c6ea8a5354eaf15b3cb7646744f4275b71ea724fed81ceb9323e279d449df9";

Identity ChunkedIdentity(PayloadKind kind, const std::string& seed) {
  Identity identity;
  identity.payload = kind;
  identity.chunks = {
      V4SigningKey("wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY", "20130524", "us-east-1"),
      "20130524T000000Z", kScope, seed};
  return identity;
}

std::string Chunk(const std::string& length, const std::string& signature,
                  const std::string& data) {
  return length + ";chunk-signature=" + signature + "\r\n" + data + "\r\n";
}

std::string SignedBody() {
  return Chunk("10000", kC1, std::string(65536, 'a')) + Chunk("400", kC2, std::string(1024, 'a')) +
         Chunk("0", kC3, "");
}

/// Sends `body` through a socket pair and reads it decoded.
Outcome<std::string> Decode(const std::string& body, const Identity& identity,
                            HeaderList* trailers = nullptr) {
  int pair[2] = {-1, -1};
  EXPECT_EQ(0, socketpair(AF_UNIX, SOCK_STREAM, 0, pair));
  const UniqueFd ours(pair[0]);
  UniqueFd theirs(pair[1]);
  std::thread sender([&] {
    std::string_view rest = body;
    while (!rest.empty()) {
      const ssize_t count = send(theirs.get(), rest.data(), rest.size(), MSG_NOSIGNAL);
      if (count < 0) break;
      rest.remove_prefix(static_cast<size_t>(count));
    }
    theirs.Reset();
  });
  RequestHead head;
  head.content_length = body.size();
  std::string decoded;
  std::optional<S3Error> error;
  {
    HttpConnection connection(MakePlainStream(ours.get()));
    RequestBody request_body(connection, head);
    const auto reader = MakeAwsChunkedReader(request_body, identity, 66560);
    char buffer[1000];
    while (true) {
      const Outcome<size_t> count = reader->Read(buffer);
      if (!count) {
        error = count.error();
        break;
      }
      if (*count == 0) break;
      decoded.append(buffer, *count);
    }
    if (trailers != nullptr) *trailers = reader->trailers();
  }
  shutdown(ours.get(), SHUT_RDWR);
  sender.join();
  if (error) return *error;
  return decoded;
}

TEST(AwsChunkedTest, KnownAnswer) {
  const std::string body = SignedBody();
  EXPECT_EQ(66824u, body.size());
  const Outcome<std::string> decoded = Decode(
      body, ChunkedIdentity(PayloadKind::kChunksSigned,
                            "4f232c4386841ef735655705268965c44a0e4690baa4adea153f7db9fa80a0a9"));
  ASSERT_TRUE(decoded.ok()) << decoded.error().code;
  EXPECT_EQ(std::string(66560, 'a'), *decoded);
}

TEST(AwsChunkedTest, ChangedDataIsRefused) {
  std::string body = SignedBody();
  body[66000] = 'b';  // in the second chunk
  const Outcome<std::string> decoded = Decode(
      body, ChunkedIdentity(PayloadKind::kChunksSigned,
                            "4f232c4386841ef735655705268965c44a0e4690baa4adea153f7db9fa80a0a9"));
  ASSERT_FALSE(decoded.ok());
  EXPECT_EQ("SignatureDoesNotMatch", decoded.error().code);
}

TEST(AwsChunkedTest, MissingLastChunkIsRefused) {
  const std::string body = Chunk("10000", kC1, std::string(65536, 'a'));
  const Outcome<std::string> decoded = Decode(
      body, ChunkedIdentity(PayloadKind::kChunksSigned,
                            "4f232c4386841ef735655705268965c44a0e4690baa4adea153f7db9fa80a0a9"));
  ASSERT_FALSE(decoded.ok());
  EXPECT_EQ("IncompleteBody", decoded.error().code);
}

std::string TrailerBody(const std::string& value) {
  return Chunk("10000", "b474d8862b1487a5145d686f57f013e54db672cee1c953b3010fb58501ef5aa2",
               std::string(65536, 'a')) +
         Chunk("400", "1c1344b170168f8e65b41376b44b20fe354e373826ccbbe2c1d40a8cae51e5c7",
               std::string(1024, 'a')) +
         "0;chunk-signature=2ca2aba2005185cf7159c6277faf83795951dd77a3a99e6e65d5c9f85863f992\r\n"
         "x-amz-checksum-crc32c:" +
         value +
         "\r\nx-amz-trailer-signature:"
         "d81f82fc3505edab99d459891051a732e8730629a2e4a59689829ca17fe2e435\r\n\r\n";
}

TEST(AwsChunkedTest, TrailerKnownAnswer) {
  const Identity identity =
      ChunkedIdentity(PayloadKind::kChunksTrailer,
                      "106e2a8a18243abcf37539882f36619c00e2dfc72633413f02d3b74544bfeb8e");
  HeaderList trailers;
  const Outcome<std::string> decoded = Decode(TrailerBody("sOO8/Q=="), identity, &trailers);
  ASSERT_TRUE(decoded.ok()) << decoded.error().code << " " << decoded.error().message;
  EXPECT_EQ(66560u, decoded->size());
  EXPECT_EQ("sOO8/Q==", trailers.Get("x-amz-checksum-crc32c"));
  const Outcome<std::string> changed = Decode(TrailerBody("tOO8/Q=="), identity);
  ASSERT_FALSE(changed.ok());
  EXPECT_EQ("SignatureDoesNotMatch", changed.error().code);
}

TEST(AwsChunkedTest, UnsignedWithTrailer) {
  HeaderList trailers;
  const Outcome<std::string> decoded =
      Decode("5\r\nhello\r\n0\r\nx-amz-checksum-crc32:NhCmhg==\r\n\r\n",
             ChunkedIdentity(PayloadKind::kChunksUnsigned, ""), &trailers);
  ASSERT_TRUE(decoded.ok()) << decoded.error().code;
  EXPECT_EQ("hello", *decoded);
  EXPECT_EQ("NhCmhg==", trailers.Get("x-amz-checksum-crc32"));
}

TEST(AwsChunkedTest, DataBehindTheEndIsRefused) {
  const Outcome<std::string> decoded =
      Decode("5\r\nhello\r\n0\r\n\r\nmore", ChunkedIdentity(PayloadKind::kChunksUnsigned, ""));
  ASSERT_FALSE(decoded.ok());
  EXPECT_EQ("IncompleteBody", decoded.error().code);
}

}  // namespace
}  // namespace quayfs::testserver
