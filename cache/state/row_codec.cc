// SPDX-License-Identifier: Apache-2.0

#include "cache/state/row_codec.h"

#include <array>
#include <cstdint>
#include <limits>
#include <utility>

namespace quayfs {
namespace {

constexpr char kPropertiesEncoding = 1;
constexpr char kRangesEncoding = 1;
constexpr char kSumsEncoding = 1;

constexpr uint64_t kMaxOffset = std::numeric_limits<int64_t>::max();

using Field = std::string ObjectProperties::*;
constexpr std::array<Field, 6> kFields = {
    &ObjectProperties::content_type,        &ObjectProperties::cache_control,
    &ObjectProperties::content_disposition, &ObjectProperties::content_encoding,
    &ObjectProperties::content_language,    &ObjectProperties::expires,
};

void PutNumber(std::string* out, uint64_t value) {
  while (value >= 0x80) {
    out->push_back(static_cast<char>(value | 0x80));
    value >>= 7;
  }
  out->push_back(static_cast<char>(value));
}

void PutString(std::string* out, std::string_view text) {
  PutNumber(out, text.size());
  out->append(text);
}

/// Takes values from the front; after the first that does not fit, `good` is false for ever.
class Taker {
 public:
  explicit Taker(std::string_view rest) : rest_(rest) {}

  char Byte() {
    if (rest_.empty()) {
      good_ = false;
      return 0;
    }
    const char byte = rest_.front();
    rest_.remove_prefix(1);
    return byte;
  }

  uint64_t Number() {
    uint64_t value = 0;
    for (int shift = 0; good_ && shift < 64; shift += 7) {
      const auto byte = static_cast<unsigned char>(Byte());
      const uint64_t bits = byte & 0x7f;
      if (shift == 63 && bits > 1) break;
      value |= bits << shift;
      if ((byte & 0x80) == 0) return value;
    }
    good_ = false;
    return 0;
  }

  std::string String() {
    const uint64_t length = Number();
    if (length > rest_.size()) good_ = false;
    if (!good_) return {};
    std::string text(rest_.substr(0, length));
    rest_.remove_prefix(length);
    return text;
  }

  bool good() const { return good_; }
  bool at_end() const { return good_ && rest_.empty(); }

 private:
  std::string_view rest_;
  bool good_ = true;
};

}  // namespace

std::optional<std::string> EncodeProperties(const ObjectProperties& properties) {
  bool any = !properties.metadata.empty();
  for (const Field field : kFields) any = any || !(properties.*field).empty();
  if (!any) return std::nullopt;
  std::string out(1, kPropertiesEncoding);
  for (const Field field : kFields) PutString(&out, properties.*field);
  for (const auto& [name, value] : properties.metadata) {
    PutString(&out, name);
    PutString(&out, value);
  }
  return out;
}

Result<ObjectProperties> DecodeProperties(std::string_view encoded) {
  Taker taker(encoded);
  if (taker.Byte() != kPropertiesEncoding)
    return Error(Code::kCorrupt, "properties in an unknown encoding");
  ObjectProperties properties;
  for (const Field field : kFields) properties.*field = taker.String();
  while (taker.good() && !taker.at_end()) {
    std::string name = taker.String();
    std::string value = taker.String();
    if (taker.good()) properties.metadata.insert_or_assign(std::move(name), std::move(value));
  }
  if (!taker.at_end()) return Error(Code::kCorrupt, "properties that end too early");
  return properties;
}

std::string EncodeRanges(const std::vector<ByteRange>& ranges) {
  std::string out(1, kRangesEncoding);
  uint64_t last = 0;
  for (const ByteRange& range : ranges) {
    PutNumber(&out, range.begin - last);
    PutNumber(&out, range.length());
    last = range.end;
  }
  return out;
}

Result<std::vector<ByteRange>> DecodeRanges(std::string_view encoded) {
  Taker taker(encoded);
  if (taker.Byte() != kRangesEncoding)
    return Error(Code::kCorrupt, "ranges in an unknown encoding");
  std::vector<ByteRange> ranges;
  uint64_t last = 0;
  while (taker.good() && !taker.at_end()) {
    const uint64_t gap = taker.Number();
    const uint64_t length = taker.Number();
    if (!taker.good()) break;
    if (gap > kMaxOffset - last || length == 0 || length > kMaxOffset - last - gap)
      return Error(Code::kCorrupt, "a range that no file can have");
    ranges.push_back(ByteRange::OfLength(last + gap, length));
    last = ranges.back().end;
  }
  if (!taker.at_end()) return Error(Code::kCorrupt, "ranges that end too early");
  return ranges;
}

// The size of a block, then runs: how many blocks lie between, how many follow, their sums in four
// bytes each, the low one first.
std::string EncodeSums(const std::vector<BlockSum>& sums) {
  std::string out(1, kSumsEncoding);
  PutNumber(&out, kSumBlock);
  uint64_t last = 0;
  for (size_t i = 0; i < sums.size();) {
    size_t end = i + 1;
    while (end < sums.size() && sums[end].block == sums[end - 1].block + 1) ++end;
    PutNumber(&out, sums[i].block - last);
    PutNumber(&out, end - i);
    last = sums[end - 1].block + 1;
    for (; i < end; ++i) {
      for (int shift = 0; shift < 32; shift += 8)
        out.push_back(static_cast<char>(sums[i].crc >> shift));
    }
  }
  return out;
}

Result<std::vector<BlockSum>> DecodeSums(std::string_view encoded) {
  Taker taker(encoded);
  if (taker.Byte() != kSumsEncoding || taker.Number() != kSumBlock)
    return Error(Code::kCorrupt, "sums in an unknown encoding");
  std::vector<BlockSum> sums;
  uint64_t last = 0;
  while (taker.good() && !taker.at_end()) {
    const uint64_t gap = taker.Number();
    const uint64_t count = taker.Number();
    if (gap > kMaxOffset / kSumBlock - last || count == 0 || count > encoded.size())
      return Error(Code::kCorrupt, "a block that no file can have");
    for (uint64_t i = 0; i < count && taker.good(); ++i) {
      BlockSum sum{last + gap + i, 0};
      for (int shift = 0; shift < 32; shift += 8)
        sum.crc |= static_cast<uint32_t>(static_cast<unsigned char>(taker.Byte())) << shift;
      sums.push_back(sum);
    }
    last += gap + count;
    if (last > kMaxOffset / kSumBlock)
      return Error(Code::kCorrupt, "a block that no file can have");
  }
  if (!taker.at_end()) return Error(Code::kCorrupt, "sums that end too early");
  return sums;
}

bool SortedAndApart(const std::vector<ByteRange>& ranges) {
  uint64_t last = 0;
  for (const ByteRange& range : ranges) {
    if (range.begin < last || range.begin >= range.end) return false;
    last = range.end;
  }
  return true;
}

}  // namespace quayfs
