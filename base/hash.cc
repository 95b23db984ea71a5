// SPDX-License-Identifier: Apache-2.0

#include "base/hash.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <sys/random.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <limits>
#include <utility>

#include "base/check.h"

namespace quayfs {
namespace {

// Looking an algorithm up by name costs more than hashing a short string, so each is fetched once
// and kept.
const EVP_MD* Fetch(const char* name) {
  const EVP_MD* md = EVP_MD_fetch(nullptr, name, nullptr);
  QUAY_CHECK(md != nullptr);
  return md;
}

const EVP_MD* Algorithm(HashKind kind) {
  static const EVP_MD* const kMd5Algorithm = Fetch("MD5");
  static const EVP_MD* const kSha1Algorithm = Fetch("SHA1");
  static const EVP_MD* const kSha256Algorithm = Fetch("SHA256");
  switch (kind) {
    case HashKind::kMd5:
      return kMd5Algorithm;
    case HashKind::kSha1:
      return kSha1Algorithm;
    case HashKind::kSha256:
      break;
  }
  return kSha256Algorithm;
}

std::string AsString(const unsigned char* data, size_t size) {
  return {reinterpret_cast<const char*>(data), size};
}

const unsigned char* AsUnsigned(std::string_view text) {
  // OpenSSL takes a null pointer for "no key" where an empty one is meant.
  return reinterpret_cast<const unsigned char*>(text.empty() ? "" : text.data());
}

std::string Digest(HashKind kind, std::string_view data) {
  std::array<unsigned char, EVP_MAX_MD_SIZE> out;
  unsigned int size = 0;
  QUAY_CHECK(
      EVP_Digest(AsUnsigned(data), data.size(), out.data(), &size, Algorithm(kind), nullptr) == 1);
  return AsString(out.data(), size);
}

std::string Hmac(HashKind kind, std::string_view key, std::string_view data) {
  QUAY_CHECK(key.size() <= static_cast<size_t>(std::numeric_limits<int>::max()));
  std::array<unsigned char, EVP_MAX_MD_SIZE> out;
  unsigned int size = 0;
  QUAY_CHECK(HMAC(Algorithm(kind), AsUnsigned(key), static_cast<int>(key.size()), AsUnsigned(data),
                  data.size(), out.data(), &size) != nullptr);
  return AsString(out.data(), size);
}

// CRC32C, reflected polynomial.
constexpr uint32_t kPolynomial = 0x82f63b78;

using CrcTables = std::array<std::array<uint32_t, 256>, 8>;

// Table k moves a byte past k further bytes, so that eight bytes take one step.
constexpr CrcTables MakeCrcTables() {
  CrcTables tables{};
  for (uint32_t i = 0; i < 256; ++i) {
    uint32_t crc = i;
    for (int bit = 0; bit < 8; ++bit) crc = (crc >> 1) ^ ((crc & 1) != 0 ? kPolynomial : 0);
    tables[0][i] = crc;
  }
  for (size_t k = 1; k < 8; ++k) {
    for (size_t i = 0; i < 256; ++i) {
      const uint32_t before = tables[k - 1][i];
      tables[k][i] = (before >> 8) ^ tables[0][before & 0xff];
    }
  }
  return tables;
}

constexpr CrcTables kCrcTables = MakeCrcTables();

#if defined(__x86_64__)
__attribute__((target("sse4.2"))) uint32_t Crc32cByInstruction(Bytes data, uint32_t seed) {
  uint64_t crc = ~seed;
  const std::byte* p = data.data();
  size_t left = data.size();
  for (; left >= 8; left -= 8, p += 8) {
    uint64_t word = 0;
    std::memcpy(&word, p, sizeof(word));
    crc = __builtin_ia32_crc32di(crc, word);
  }
  auto narrow = static_cast<uint32_t>(crc);
  for (; left > 0; --left, ++p) {
    narrow = __builtin_ia32_crc32qi(narrow, std::to_integer<uint8_t>(*p));
  }
  return ~narrow;
}
#endif

constexpr std::string_view kBase64Alphabet =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

constexpr std::array<int8_t, 256> MakeBase64Values() {
  std::array<int8_t, 256> values{};
  for (int8_t& value : values) value = -1;
  for (size_t i = 0; i < kBase64Alphabet.size(); ++i) {
    values[static_cast<uint8_t>(kBase64Alphabet[i])] = static_cast<int8_t>(i);
  }
  return values;
}

constexpr std::array<int8_t, 256> kBase64Values = MakeBase64Values();

}  // namespace

struct Hasher::State {
  struct FreeContext {
    void operator()(EVP_MD_CTX* c) const { EVP_MD_CTX_free(c); }
  };
  std::unique_ptr<EVP_MD_CTX, FreeContext> context{EVP_MD_CTX_new()};
  bool finished = false;
};

Hasher::Hasher(HashKind kind) : state_(std::make_unique<State>()) {
  QUAY_CHECK(state_->context != nullptr);
  QUAY_CHECK(EVP_DigestInit_ex2(state_->context.get(), Algorithm(kind), nullptr) == 1);
}

Hasher::~Hasher() = default;
Hasher::Hasher(Hasher&&) noexcept = default;
Hasher& Hasher::operator=(Hasher&&) noexcept = default;

void Hasher::Update(Bytes data) {
  QUAY_CHECK(!state_->finished);
  QUAY_CHECK(EVP_DigestUpdate(state_->context.get(), data.data(), data.size()) == 1);
}

std::string Hasher::Finish() {
  QUAY_CHECK(!std::exchange(state_->finished, true));
  std::array<unsigned char, EVP_MAX_MD_SIZE> out;
  unsigned int size = 0;
  QUAY_CHECK(EVP_DigestFinal_ex(state_->context.get(), out.data(), &size) == 1);
  return AsString(out.data(), size);
}

std::string Md5(std::string_view data) { return Digest(HashKind::kMd5, data); }
std::string Sha1(std::string_view data) { return Digest(HashKind::kSha1, data); }
std::string Sha256(std::string_view data) { return Digest(HashKind::kSha256, data); }

std::string HmacSha1(std::string_view key, std::string_view data) {
  return Hmac(HashKind::kSha1, key, data);
}

std::string HmacSha256(std::string_view key, std::string_view data) {
  return Hmac(HashKind::kSha256, key, data);
}

uint32_t internal::Crc32cByTable(Bytes data, uint32_t seed) {
  uint32_t crc = ~seed;
  const auto byte = [&data](size_t i) { return std::to_integer<uint32_t>(data[i]); };
  size_t i = 0;
  for (; data.size() - i >= 8; i += 8) {
    crc ^= byte(i) | byte(i + 1) << 8 | byte(i + 2) << 16 | byte(i + 3) << 24;
    crc = kCrcTables[7][crc & 0xff] ^ kCrcTables[6][(crc >> 8) & 0xff] ^
          kCrcTables[5][(crc >> 16) & 0xff] ^ kCrcTables[4][crc >> 24] ^
          kCrcTables[3][byte(i + 4)] ^ kCrcTables[2][byte(i + 5)] ^ kCrcTables[1][byte(i + 6)] ^
          kCrcTables[0][byte(i + 7)];
  }
  for (; i < data.size(); ++i) crc = (crc >> 8) ^ kCrcTables[0][(crc ^ byte(i)) & 0xff];
  return ~crc;
}

uint32_t Crc32c(Bytes data, uint32_t seed) {
#if defined(__x86_64__)
  static const bool kHasInstruction = __builtin_cpu_supports("sse4.2") != 0;
  if (kHasInstruction) return Crc32cByInstruction(data, seed);
#endif
  return internal::Crc32cByTable(data, seed);
}

std::string HexEncode(std::string_view raw) {
  constexpr std::string_view kDigits = "0123456789abcdef";
  std::string text;
  text.reserve(raw.size() * 2);
  for (const char c : raw) {
    const auto byte = static_cast<uint8_t>(c);
    text += kDigits[byte >> 4];
    text += kDigits[byte & 0xf];
  }
  return text;
}

std::string Base64Encode(std::string_view raw) {
  std::string text;
  text.reserve((raw.size() + 2) / 3 * 4);
  for (size_t i = 0; i < raw.size(); i += 3) {
    const size_t count = std::min<size_t>(3, raw.size() - i);
    uint32_t group = 0;
    for (size_t k = 0; k < 3; ++k) {
      group = group << 8 | (k < count ? static_cast<uint8_t>(raw[i + k]) : 0U);
    }
    for (size_t k = 0; k < 4; ++k) {
      text += k <= count ? kBase64Alphabet[(group >> (18 - 6 * k)) & 0x3f] : '=';
    }
  }
  return text;
}

bool Base64Decode(std::string_view text, std::string* raw) {
  raw->clear();
  if (text.size() % 4 != 0) return false;
  size_t padding = 0;
  while (padding < 2 && padding < text.size() && text[text.size() - 1 - padding] == '=') ++padding;
  std::string result;
  result.reserve(text.size() / 4 * 3);
  uint32_t group = 0;
  for (size_t i = 0; i < text.size(); ++i) {
    const bool pad = i >= text.size() - padding;
    const int8_t value = pad ? int8_t{0} : kBase64Values[static_cast<uint8_t>(text[i])];
    if (value < 0) return false;
    group = group << 6 | static_cast<uint32_t>(value);
    if (i % 4 != 3) continue;
    result += static_cast<char>(group >> 16 & 0xff);
    result += static_cast<char>(group >> 8 & 0xff);
    result += static_cast<char>(group & 0xff);
    group = 0;
  }
  // The bits that padding cuts off must be zero, or two texts would mean the same bytes.
  for (size_t i = 0; i < padding; ++i) {
    if (result.back() != '\0') return false;
    result.pop_back();
  }
  *raw = std::move(result);
  return true;
}

bool ConstantTimeEqual(std::string_view a, std::string_view b) {
  return a.size() == b.size() && CRYPTO_memcmp(AsUnsigned(a), AsUnsigned(b), a.size()) == 0;
}

std::string RandomBytes(size_t count) {
  std::string bytes(count, '\0');
  for (size_t done = 0; done < count;) {
    const ssize_t got = ::getrandom(bytes.data() + done, count - done, 0);
    QUAY_CHECK(got >= 0 || errno == EINTR);
    if (got > 0) done += static_cast<size_t>(got);
  }
  return bytes;
}

}  // namespace quayfs
