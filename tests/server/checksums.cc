// SPDX-License-Identifier: Apache-2.0

#include "tests/server/checksums.h"

#include <array>
#include <cstdint>

#include "base/hash.h"

namespace quayfs::testserver {
namespace {

template <typename Word>
std::string BigEndian(Word value) {
  std::string raw(sizeof(Word), '\0');
  for (size_t i = 0; i < sizeof(Word); ++i) {
    raw[sizeof(Word) - 1 - i] = static_cast<char>(value & 0xff);
    value >>= 8;
  }
  return raw;
}

/// A reflected CRC with all ones before and after.
template <typename Word, Word kPolynomial>
class TableCrc final : public RunningChecksum {
 public:
  void Update(std::span<const char> data) override {
    static const std::array<Word, 256> table = MakeTable();
    for (const char c : data) {
      value_ = table[(value_ ^ static_cast<unsigned char>(c)) & 0xff] ^ (value_ >> 8);
    }
  }
  std::string Finish() override { return Base64Encode(BigEndian<Word>(~value_)); }

 private:
  static std::array<Word, 256> MakeTable() {
    std::array<Word, 256> table{};
    for (size_t i = 0; i < table.size(); ++i) {
      Word value = static_cast<Word>(i);
      for (int bit = 0; bit < 8; ++bit) value = (value >> 1) ^ ((value & 1) != 0 ? kPolynomial : 0);
      table[i] = value;
    }
    return table;
  }

  Word value_ = ~Word{0};
};

class Crc32cChecksum final : public RunningChecksum {
 public:
  void Update(std::span<const char> data) override { value_ = Crc32c(std::as_bytes(data), value_); }
  std::string Finish() override { return Base64Encode(BigEndian<uint32_t>(value_)); }

 private:
  uint32_t value_ = 0;
};

class DigestChecksum final : public RunningChecksum {
 public:
  explicit DigestChecksum(HashKind kind) : hasher_(kind) {}
  void Update(std::span<const char> data) override { hasher_.Update(std::as_bytes(data)); }
  std::string Finish() override { return Base64Encode(hasher_.Finish()); }

 private:
  Hasher hasher_;
};

}  // namespace

std::unique_ptr<RunningChecksum> MakeChecksum(std::string_view name) {
  if (name == "crc32") return std::make_unique<TableCrc<uint32_t, 0xedb88320u>>();
  if (name == "crc32c") return std::make_unique<Crc32cChecksum>();
  if (name == "crc64nvme") return std::make_unique<TableCrc<uint64_t, 0x9a6c9329ac4bc9b5ull>>();
  if (name == "sha1") return std::make_unique<DigestChecksum>(HashKind::kSha1);
  if (name == "sha256") return std::make_unique<DigestChecksum>(HashKind::kSha256);
  return nullptr;
}

}  // namespace quayfs::testserver
