// SPDX-License-Identifier: Apache-2.0

#include "tests/server/payload.h"

#include "base/text.h"
#include "tests/server/aws_chunked.h"
#include "tests/server/checksums.h"

namespace quayfs::testserver {
namespace {

constexpr std::string_view kChecksumPrefix = "x-amz-checksum-";

class PlainPayloadReader final : public PayloadReader {
 public:
  explicit PlainPayloadReader(RequestBody& body) : body_(body) {}
  Outcome<size_t> Read(std::span<char> out) override {
    const Result<size_t> count = body_.Read(out);
    if (!count) return S3Error::ConnectionLost();
    return *count;
  }
  const HeaderList& trailers() const override { return none_; }
  uint64_t length() const override { return body_.length(); }

 private:
  RequestBody& body_;
  HeaderList none_;
};

bool IsChunked(const Identity& identity) {
  return identity.payload == PayloadKind::kChunksSigned ||
         identity.payload == PayloadKind::kChunksTrailer ||
         identity.payload == PayloadKind::kChunksUnsigned;
}

/// Reads the whole payload through `verifier`. `space` gives room, `advance` takes what was filled.
template <typename Space, typename Advance>
Problem Pump(const PayloadContext& context, PayloadVerifier* verifier, const Space& space,
             const Advance& advance) {
  const Outcome<std::unique_ptr<PayloadReader>> reader =
      MakePayloadReader(context.body, context.headers, context.identity);
  if (!reader) return reader.error();
  while (true) {
    const std::span<char> room = space();
    const Outcome<size_t> count = (*reader)->Read(room);
    if (!count) return count.error();
    if (*count == 0) break;
    verifier->Update(room.first(*count));
    if (Problem problem = advance(*count)) return problem;
  }
  return verifier->Finish((*reader)->trailers(), (*reader)->length());
}

}  // namespace

struct PayloadVerifier::Checksum {
  std::string name;  // of the header or trailer
  bool in_trailer = false;
  std::unique_ptr<RunningChecksum> running;
};

Outcome<std::unique_ptr<PayloadReader>> MakePayloadReader(RequestBody& body,
                                                          const HeaderList& headers,
                                                          const Identity& identity) {
  if (!IsChunked(identity)) {
    return std::unique_ptr<PayloadReader>(std::make_unique<PlainPayloadReader>(body));
  }
  const Result<uint64_t> decoded = ParseUint(headers.Get("x-amz-decoded-content-length"));
  if (!decoded) {
    return S3Error(411, "MissingContentLength", "x-amz-decoded-content-length is missing");
  }
  return MakeAwsChunkedReader(body, identity, *decoded);
}

Outcome<uint64_t> PayloadLength(const PayloadContext& context) {
  if (!IsChunked(context.identity)) return context.body.length();
  const Outcome<std::unique_ptr<PayloadReader>> reader =
      MakePayloadReader(context.body, context.headers, context.identity);
  if (!reader) return reader.error();
  return (*reader)->length();
}

Outcome<ReceivedBlob> ReceiveBlob(const PayloadContext& context, ChunkStore& chunks,
                                  bool want_md5) {
  PayloadVerifier verifier(context, want_md5);
  const Outcome<uint64_t> length = PayloadLength(context);
  if (!length) return length.error();
  ReceivedBlob received;
  if (*length == 0) {
    char nothing[1];
    const Problem problem = Pump(
        context, &verifier, [&] { return std::span<char>(nothing); },
        [](size_t) -> Problem { return std::nullopt; });
    if (problem) return *problem;
    received.md5 = verifier.md5();
    return received;
  }
  Result<std::unique_ptr<BlobWriter>> writer = chunks.NewBlob(*length);
  if (!writer) return S3Error::Internal(writer.error().message());
  const Problem problem = Pump(
      context, &verifier, [&] { return (*writer)->Space(); },
      [&](size_t count) -> Problem {
        const Status advanced = (*writer)->Advance(count);
        if (!advanced) return S3Error::Internal(advanced.error().message());
        return std::nullopt;
      });
  if (problem) return *problem;
  Result<Blob> blob = (*writer)->Finish();
  if (!blob) return S3Error::Internal(blob.error().message());
  received.blob = std::move(*blob);
  received.md5 = verifier.md5();
  return received;
}

Outcome<std::string> ReceiveText(const PayloadContext& context, uint64_t limit) {
  const Outcome<uint64_t> length = PayloadLength(context);
  if (!length) return length.error();
  if (*length > limit) return S3Error(400, "MaxMessageLengthExceeded", "the request is too long");
  PayloadVerifier verifier(context, false);
  std::string text;
  char buffer[8192];
  const Problem problem = Pump(
      context, &verifier, [&] { return std::span<char>(buffer); },
      [&](size_t count) -> Problem {
        text.append(buffer, count);
        return std::nullopt;
      });
  if (problem) return *problem;
  return text;
}

PayloadVerifier::PayloadVerifier(const PayloadContext& context, bool want_md5) : context_(context) {
  if (want_md5 || context.headers.Has("content-md5")) {
    md5_hasher_ = std::make_unique<Hasher>(HashKind::kMd5);
  }
  if (context.identity.payload == PayloadKind::kSha256) {
    sha256_hasher_ = std::make_unique<Hasher>(HashKind::kSha256);
  }
  const auto add = [this](std::string_view name, bool in_trailer) {
    if (!name.starts_with(kChecksumPrefix)) return;
    std::unique_ptr<RunningChecksum> running = MakeChecksum(name.substr(kChecksumPrefix.size()));
    if (running == nullptr) return;
    auto checksum = std::make_unique<Checksum>();
    checksum->name = name;
    checksum->in_trailer = in_trailer;
    checksum->running = std::move(running);
    checksums_.push_back(std::move(checksum));
  };
  for (const auto& [name, value] : context.headers.fields()) add(name, false);
  const std::string announced = context.headers.Get("x-amz-trailer");
  for (const std::string_view name : Split(announced, ',')) {
    add(ToLower(TrimBlanks(name)), true);
  }
}

PayloadVerifier::~PayloadVerifier() = default;

bool PayloadVerifier::HasIntegrity(const HeaderList& headers) {
  if (headers.Has("content-md5")) return true;
  if (ToLower(headers.Get("x-amz-trailer")).starts_with(kChecksumPrefix)) return true;
  for (const auto& [name, value] : headers.fields()) {
    if (name.starts_with(kChecksumPrefix) &&
        MakeChecksum(std::string_view(name).substr(kChecksumPrefix.size())) != nullptr) {
      return true;
    }
  }
  return false;
}

void PayloadVerifier::Update(std::span<const char> data) {
  length_ += data.size();
  const std::string_view text(data.data(), data.size());
  if (md5_hasher_) md5_hasher_->Update(text);
  if (sha256_hasher_) sha256_hasher_->Update(text);
  for (const auto& checksum : checksums_) checksum->running->Update(data);
}

Problem PayloadVerifier::CheckMd5() {
  if (!md5_hasher_) return std::nullopt;
  md5_ = md5_hasher_->Finish();
  const std::string* announced = context_.headers.Find("content-md5");
  if (announced == nullptr) return std::nullopt;
  std::string raw;
  if (!Base64Decode(*announced, &raw) || raw.size() != 16) {
    return S3Error(400, "InvalidDigest", "Content-MD5 is not a base64 MD5")
        .With("Content-MD5", *announced);
  }
  if (raw == md5_) return std::nullopt;
  return S3Error(400, "BadDigest", "the body does not have the announced Content-MD5")
      .With("ExpectedDigest", *announced)
      .With("CalculatedDigest", Base64Encode(md5_));
}

Problem PayloadVerifier::CheckChecksums(const HeaderList& trailers) {
  for (const auto& checksum : checksums_) {
    const HeaderList& place = checksum->in_trailer ? trailers : context_.headers;
    const std::string* announced = place.Find(checksum->name);
    if (announced == nullptr) {
      return S3Error(400, "MalformedTrailerError", "the announced trailer did not come");
    }
    if (checksum->running->Finish() != *announced) {
      return S3Error(400, "BadDigest", "the body does not have the announced " + checksum->name);
    }
  }
  return std::nullopt;
}

Problem PayloadVerifier::Finish(const HeaderList& trailers, uint64_t expected_length) {
  if (length_ != expected_length) {
    return S3Error(400, "IncompleteBody", "the body does not have the announced length");
  }
  if (sha256_hasher_) {
    const std::string computed = HexEncode(sha256_hasher_->Finish());
    if (computed != context_.identity.payload_sha256) {
      return S3Error(400, "XAmzContentSHA256Mismatch",
                     "the body does not have the digest of x-amz-content-sha256")
          .With("ClientComputedContentSHA256", context_.identity.payload_sha256)
          .With("S3ComputedContentSHA256", computed);
    }
  }
  if (Problem problem = CheckMd5()) return problem;
  return CheckChecksums(trailers);
}

}  // namespace quayfs::testserver
