// SPDX-License-Identifier: Apache-2.0

#include "tests/server/aws_chunked.h"

#include <charconv>
#include <cstring>
#include <optional>

#include "base/text.h"
#include "tests/server/auth_v4.h"

namespace quayfs::testserver {
namespace {

constexpr size_t kLineMax = 4096;

S3Error Incomplete(const char* what) { return {400, "IncompleteBody", what}; }

class AwsChunkedReader final : public PayloadReader {
 public:
  AwsChunkedReader(RequestBody& body, const Identity& identity, uint64_t decoded_length)
      : body_(body),
        auth_(identity.chunks),
        signed_chunks_(identity.payload != PayloadKind::kChunksUnsigned),
        has_trailers_(identity.payload != PayloadKind::kChunksSigned),
        decoded_length_(decoded_length),
        previous_(identity.chunks.seed) {}

  Outcome<size_t> Read(std::span<char> out) override {
    while (true) {
      if (finished_ || out.empty()) return size_t{0};
      if (in_chunk_ == 0) {
        if (Problem problem = NextChunk()) return *problem;
        continue;
      }
      const size_t wanted = std::min<uint64_t>(out.size(), in_chunk_);
      const Outcome<size_t> count = Fill(out.first(wanted));
      if (!count) return count.error();
      if (*count == 0) return Incomplete("the body ends inside a chunk");
      if (signed_chunks_) hasher_->Update(std::string_view(out.data(), *count));
      in_chunk_ -= *count;
      if (in_chunk_ == 0) {
        if (Problem problem = EndChunk()) return *problem;
      }
      return *count;
    }
  }

  const HeaderList& trailers() const override { return trailers_; }
  uint64_t length() const override { return decoded_length_; }

 private:
  Outcome<size_t> Fill(std::span<char> out) {
    if (used_ < have_) {
      const size_t count = std::min(out.size(), have_ - used_);
      std::memcpy(out.data(), buffer_ + used_, count);
      used_ += count;
      return {count};
    }
    const Result<size_t> count = body_.Read(out);
    if (!count) return S3Error::ConnectionLost();
    return *count;
  }

  Outcome<std::string> Line() {
    std::string line;
    while (line.size() < kLineMax) {
      if (used_ == have_) {
        const Result<size_t> count = body_.Read(buffer_);
        if (!count) return S3Error::ConnectionLost();
        if (*count == 0) return Incomplete("the body ends inside a line of its framing");
        used_ = 0;
        have_ = *count;
      }
      line += buffer_[used_++];
      if (line.ends_with("\r\n")) return line.substr(0, line.size() - 2);
    }
    return Incomplete("a framing line is too long");
  }

  /// Reads "LENGTH[;chunk-signature=...]" and gets ready for the data.
  Problem NextChunk() {
    const Outcome<std::string> line = Line();
    if (!line) return line.error();
    const size_t semicolon = line->find(';');
    const std::string digits = line->substr(0, semicolon);
    const char* end = digits.data() + digits.size();
    const auto parsed = std::from_chars(digits.data(), end, in_chunk_, 16);
    if (digits.empty() || parsed.ec != std::errc() || parsed.ptr != end) {
      return Incomplete("malformed chunk length");
    }
    claimed_.clear();
    if (signed_chunks_) {
      constexpr std::string_view kName = ";chunk-signature=";
      if (semicolon == std::string::npos || !line->substr(semicolon).starts_with(kName)) {
        return Incomplete("a chunk has no signature");
      }
      claimed_ = line->substr(semicolon + kName.size());
      hasher_.emplace(HashKind::kSha256);
    }
    return in_chunk_ == 0 ? EndBody() : std::nullopt;
  }

  Problem CheckChunk() {
    if (!signed_chunks_) return std::nullopt;
    const std::string expected = V4ChunkSignature(auth_, previous_, HexEncode(hasher_->Finish()));
    if (!ConstantTimeEqual(expected, claimed_)) {
      return S3Error(403, "SignatureDoesNotMatch", "the signature of a chunk is wrong");
    }
    previous_ = expected;
    return std::nullopt;
  }

  Problem EndChunk() {
    const Outcome<std::string> line = Line();
    if (!line) return line.error();
    if (!line->empty()) return Incomplete("a chunk is longer than it says");
    return CheckChunk();
  }

  /// The chunk of length zero, the trailers, and nothing else.
  Problem EndBody() {
    if (Problem problem = CheckChunk()) return problem;
    std::string canonical;
    std::string claimed;
    while (true) {
      const Outcome<std::string> line = Line();
      if (!line) return line.error();
      if (line->empty()) break;
      const size_t colon = line->find(':');
      if (!has_trailers_ || colon == std::string::npos) return Incomplete("malformed trailer");
      const std::string name = ToLower(line->substr(0, colon));
      const std::string value(TrimBlanks(line->substr(colon + 1)));
      if (name == "x-amz-trailer-signature") {
        claimed = value;
      } else {
        canonical.append(name).append(":").append(value).append("\n");
        trailers_.Add(name, value);
      }
    }
    if (signed_chunks_ && has_trailers_) {
      const std::string expected =
          V4TrailerSignature(auth_, previous_, HexEncode(Sha256(canonical)));
      if (!ConstantTimeEqual(expected, claimed)) {
        return S3Error(403, "SignatureDoesNotMatch", "the signature of the trailers is wrong");
      }
    }
    // The outer framing must end here as well.
    char rest = 0;
    const Result<size_t> behind = body_.Read({&rest, 1});
    if (!behind) return S3Error::ConnectionLost();
    if (used_ != have_ || *behind > 0) return Incomplete("data behind the last chunk");
    finished_ = true;
    return std::nullopt;
  }

  RequestBody& body_;
  const ChunkAuth auth_;
  const bool signed_chunks_;
  const bool has_trailers_;
  const uint64_t decoded_length_;
  std::string previous_;  // signature
  std::string claimed_;   // signature of the current chunk
  std::optional<Hasher> hasher_;
  uint64_t in_chunk_ = 0;
  bool finished_ = false;
  HeaderList trailers_;
  // Framing lines are read through here; what was read too far is data.
  char buffer_[1024] = {};
  size_t used_ = 0;
  size_t have_ = 0;
};

}  // namespace

std::unique_ptr<PayloadReader> MakeAwsChunkedReader(RequestBody& body, const Identity& identity,
                                                    uint64_t decoded_length) {
  return std::make_unique<AwsChunkedReader>(body, identity, decoded_length);
}

}  // namespace quayfs::testserver
