// SPDX-License-Identifier: Apache-2.0
//
// Digests, over OpenSSL (CRC32C by the CPU's instruction where there is one). All functions are
// thread-safe; a Hasher belongs to one thread at a time.

#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>

namespace quayfs {

using Bytes = std::span<const std::byte>;

inline Bytes AsBytes(std::string_view text) {
  return std::as_bytes(std::span(text.data(), text.size()));
}

enum class HashKind { kMd5, kSha1, kSha256 };

/// A running digest. Update any number of times, Finish once.
class Hasher {
 public:
  explicit Hasher(HashKind kind);
  ~Hasher();
  Hasher(Hasher&&) noexcept;
  Hasher& operator=(Hasher&&) noexcept;

  void Update(Bytes data);
  void Update(std::string_view text) { Update(AsBytes(text)); }
  /// The raw digest: 16, 20 or 32 bytes.
  std::string Finish();

 private:
  struct State;
  std::unique_ptr<State> state_;
};

/// Raw digests.
std::string Md5(std::string_view data);
std::string Sha1(std::string_view data);
std::string Sha256(std::string_view data);
std::string HmacSha1(std::string_view key, std::string_view data);
std::string HmacSha256(std::string_view key, std::string_view data);

/// CRC32C (Castagnoli). `seed` is the CRC of what came before, 0 at the start.
uint32_t Crc32c(Bytes data, uint32_t seed = 0);

namespace internal {
/// What Crc32c falls back to without the instruction. Named here so that a test can hold the two
/// against each other.
uint32_t Crc32cByTable(Bytes data, uint32_t seed);
}  // namespace internal

std::string HexEncode(std::string_view raw);  // lower case
std::string Base64Encode(std::string_view raw);
/// False if `text` is not canonical padded base64.
bool Base64Decode(std::string_view text, std::string* raw);

/// Same bytes, in time that does not depend on where they differ. For secrets and signatures.
bool ConstantTimeEqual(std::string_view a, std::string_view b);

/// `count` bytes from the system's random generator.
std::string RandomBytes(size_t count);

}  // namespace quayfs
