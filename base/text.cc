// SPDX-License-Identifier: Apache-2.0

#include "base/text.h"

#include <algorithm>
#include <array>
#include <cstddef>
#include <limits>
#include <numeric>
#include <utility>

namespace quayfs {
namespace {

bool IsDigit(char c) { return c >= '0' && c <= '9'; }

bool IsBlank(char c) { return c == ' ' || c == '\t' || c == '\r' || c == '\n'; }

char LowerChar(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; }

bool IsUnreserved(char c) {
  return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || IsDigit(c) || c == '-' || c == '_' ||
         c == '.' || c == '~';
}

// 0..15, or -1.
int HexValue(char c) {
  if (IsDigit(c)) return c - '0';
  const char lower = LowerChar(c);
  return lower >= 'a' && lower <= 'f' ? lower - 'a' + 10 : -1;
}

struct Unit {
  std::string_view name;  // lower case
  uint64_t bytes;
};

constexpr Unit kUnits[] = {
    {"", 1},
    {"b", 1},
    {"kib", uint64_t{1} << 10},
    {"mib", uint64_t{1} << 20},
    {"gib", uint64_t{1} << 30},
    {"tib", uint64_t{1} << 40},
    {"pib", uint64_t{1} << 50},
    {"eib", uint64_t{1} << 60},
    {"kb", 1'000},
    {"mb", 1'000'000},
    {"gb", 1'000'000'000},
    {"tb", 1'000'000'000'000},
    {"pb", 1'000'000'000'000'000},
    {"eb", 1'000'000'000'000'000'000},
};

Error BadSize(std::string_view text, std::string_view unit) {
  std::string message = "not a size: '" + std::string(text) + "'";
  if (unit.size() == 1 && std::string_view("kmgtpe").find(unit[0]) != std::string_view::npos) {
    const auto letter = static_cast<char>(unit[0] - 'a' + 'A');
    message += std::string("; write ") + letter + "iB for powers of 1024 or " + letter +
               "B for powers of 1000";
  }
  return {Code::kInvalidArgument, std::move(message)};
}

// Insertions, deletions, replacements, and swaps of two neighbours, each at a cost of one.
size_t EditDistance(std::string_view a, std::string_view b) {
  std::vector<size_t> before_last;
  std::vector<size_t> last(b.size() + 1);
  std::iota(last.begin(), last.end(), size_t{0});
  for (size_t i = 1; i <= a.size(); ++i) {
    std::vector<size_t> row(b.size() + 1);
    row[0] = i;
    for (size_t j = 1; j <= b.size(); ++j) {
      row[j] =
          std::min({last[j] + 1, row[j - 1] + 1, last[j - 1] + (a[i - 1] == b[j - 1] ? 0 : 1)});
      if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1]) {
        row[j] = std::min(row[j], before_last[j - 2] + 1);
      }
    }
    before_last = std::move(last);
    last = std::move(row);
  }
  return last[b.size()];
}

}  // namespace

std::string_view TrimBlanks(std::string_view text) {
  while (!text.empty() && IsBlank(text.front())) text.remove_prefix(1);
  while (!text.empty() && IsBlank(text.back())) text.remove_suffix(1);
  return text;
}

std::string ToLower(std::string_view text) {
  std::string result(text);
  std::transform(result.begin(), result.end(), result.begin(), LowerChar);
  return result;
}

std::string Printable(std::string_view text) {
  std::string printable(text);
  std::replace_if(
      printable.begin(), printable.end(),
      [](char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7f; }, '?');
  return printable;
}

bool EqualsIgnoreCase(std::string_view a, std::string_view b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(),
                    [](char x, char y) { return LowerChar(x) == LowerChar(y); });
}

std::vector<std::string_view> Split(std::string_view text, char separator) {
  std::vector<std::string_view> pieces;
  while (true) {
    const size_t end = text.find(separator);
    pieces.push_back(text.substr(0, end));
    if (end == std::string_view::npos) return pieces;
    text.remove_prefix(end + 1);
  }
}

Result<uint64_t> ParseUint(std::string_view text) {
  constexpr uint64_t kMax = std::numeric_limits<uint64_t>::max();
  uint64_t value = 0;
  bool good = !text.empty();
  for (const char c : text) {
    const auto digit = static_cast<uint64_t>(c - '0');
    good = good && IsDigit(c) && value <= (kMax - digit) / 10;
    if (!good) break;
    value = value * 10 + digit;
  }
  if (!good) return {Code::kInvalidArgument, "not a number: '" + std::string(text) + "'"};
  return value;
}

Result<uint64_t> ParseSize(std::string_view text) {
  const auto digits =
      static_cast<size_t>(std::find_if_not(text.begin(), text.end(), IsDigit) - text.begin());
  std::string_view rest = text.substr(digits);
  while (!rest.empty() && rest.front() == ' ') rest.remove_prefix(1);
  const std::string unit_name = ToLower(rest);
  const Unit* const unit =
      std::find_if(std::begin(kUnits), std::end(kUnits),
                   [&unit_name](const Unit& candidate) { return candidate.name == unit_name; });
  const Result<uint64_t> number = ParseUint(text.substr(0, digits));
  const bool blank_at_end = rest.empty() && digits < text.size();
  if (unit == std::end(kUnits) || !number.ok() || blank_at_end) return BadSize(text, unit_name);
  if (*number > std::numeric_limits<uint64_t>::max() / unit->bytes) return BadSize(text, "");
  return *number * unit->bytes;
}

std::string FormatSize(uint64_t bytes) {
  constexpr std::array<std::string_view, 7> kNames = {"B",   "KiB", "MiB", "GiB",
                                                      "TiB", "PiB", "EiB"};
  if (bytes < 1024) return std::to_string(bytes) + " B";
  size_t power = 1;
  while (power + 1 < kNames.size() && bytes >> (10 * (power + 1)) != 0) ++power;
  uint64_t unit = uint64_t{1} << (10 * power);
  uint64_t whole = bytes / unit;
  uint64_t tenths = (bytes % unit * 10 + unit / 2) / unit;
  if (tenths == 10) {
    ++whole;
    tenths = 0;
  }
  if (whole == 1024 && power + 1 < kNames.size()) {
    whole = 1;
    ++power;
  }
  std::string text = std::to_string(whole);
  if (tenths != 0) text += "." + std::to_string(tenths);
  text += ' ';
  text += kNames[power];
  return text;
}

std::string PercentEncode(std::string_view raw, bool keep_slash) {
  constexpr std::string_view kDigits = "0123456789ABCDEF";
  std::string text;
  text.reserve(raw.size() + raw.size() / 4);
  for (const char c : raw) {
    if (IsUnreserved(c) || (c == '/' && keep_slash)) {
      text += c;
      continue;
    }
    const auto byte = static_cast<uint8_t>(c);
    text += '%';
    text += kDigits[byte >> 4];
    text += kDigits[byte & 0xf];
  }
  return text;
}

std::string PercentDecode(std::string_view text, bool plus_is_space) {
  std::string raw;
  raw.reserve(text.size());
  for (size_t i = 0; i < text.size(); ++i) {
    const int high = text[i] == '%' && i + 2 < text.size() ? HexValue(text[i + 1]) : -1;
    const int low = high >= 0 ? HexValue(text[i + 2]) : -1;
    if (low >= 0) {
      raw += static_cast<char>(high * 16 + low);
      i += 2;
    } else {
      raw += text[i] == '+' && plus_is_space ? ' ' : text[i];
    }
  }
  return raw;
}

std::string NearestName(std::string_view word, const std::vector<std::string>& candidates) {
  const std::string lower = ToLower(word);
  std::string best;
  size_t best_distance = std::numeric_limits<size_t>::max();
  for (const std::string& candidate : candidates) {
    // One slip in three letters is a typing error; more is another word.
    const size_t longest = std::max(word.size(), candidate.size());
    const size_t allowed = longest < 2 ? 0 : (longest + 2) / 3;
    const size_t distance = EditDistance(lower, ToLower(candidate));
    if (distance > allowed || distance >= longest + (longest == 0 ? 1 : 0)) continue;
    if (distance < best_distance) {
      best = candidate;
      best_distance = distance;
    }
  }
  return best;
}

}  // namespace quayfs
