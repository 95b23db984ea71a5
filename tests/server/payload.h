// SPDX-License-Identifier: Apache-2.0
//
// The payload of a request: its body, with aws-chunked taken off where the signature says so, and
// every digest that the client announced checked at the end. Blocking; thread-compatible.

#pragma once

#include <memory>
#include <string>

#include "base/hash.h"
#include "tests/server/auth.h"
#include "tests/server/blob.h"
#include "tests/server/http_connection.h"

namespace quayfs::testserver {

/// Bytes of a payload, decoded.
class PayloadReader {
 public:
  virtual ~PayloadReader() = default;
  /// The next bytes; 0 at the end.
  virtual Outcome<size_t> Read(std::span<char> out) = 0;
  /// Header lines behind the last chunk.
  virtual const HeaderList& trailers() const = 0;
  /// The announced number of decoded bytes.
  virtual uint64_t length() const = 0;
};

/// Fails if the encoding is not announced as it must be.
Outcome<std::unique_ptr<PayloadReader>> MakePayloadReader(RequestBody& body,
                                                          const HeaderList& headers,
                                                          const Identity& identity);

struct ReceivedBlob {
  Blob blob;
  std::string md5;  // raw; "" when nobody asked for it
};

struct PayloadContext {
  RequestBody& body;
  const HeaderList& headers;
  const Identity& identity;
};

/// The number of bytes that the payload will have. Fails with MissingContentLength.
Outcome<uint64_t> PayloadLength(const PayloadContext& context);

/// Streams the payload into `chunks`. `want_md5`: compute it even if no Content-MD5 was sent.
Outcome<ReceivedBlob> ReceiveBlob(const PayloadContext& context, ChunkStore& chunks, bool want_md5);
/// The payload as text. Fails with `MaxMessageLengthExceeded` above `limit`.
Outcome<std::string> ReceiveText(const PayloadContext& context, uint64_t limit);

/// The digests that a request announced.
class PayloadVerifier {
 public:
  PayloadVerifier(const PayloadContext& context, bool want_md5);
  ~PayloadVerifier();
  PayloadVerifier(const PayloadVerifier&) = delete;
  PayloadVerifier& operator=(const PayloadVerifier&) = delete;

  void Update(std::span<const char> data);
  /// BadDigest, InvalidDigest, XAmzContentSHA256Mismatch, IncompleteBody.
  Problem Finish(const HeaderList& trailers, uint64_t expected_length);
  const std::string& md5() const { return md5_; }
  /// Content-MD5 or a checksum was announced.
  static bool HasIntegrity(const HeaderList& headers);

 private:
  struct Checksum;
  Problem CheckMd5();
  Problem CheckChecksums(const HeaderList& trailers);

  const PayloadContext context_;
  std::unique_ptr<Hasher> md5_hasher_;
  std::unique_ptr<Hasher> sha256_hasher_;
  std::vector<std::unique_ptr<Checksum>> checksums_;
  uint64_t length_ = 0;
  std::string md5_;
};

}  // namespace quayfs::testserver
