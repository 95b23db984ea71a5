// SPDX-License-Identifier: Apache-2.0

#include "mount-configs/values.h"

#include <fmt/format.h>
#include <grp.h>
#include <pwd.h>

#include <algorithm>
#include <array>
#include <limits>
#include <type_traits>
#include <utility>
#include <vector>

#include "base/log.h"
#include "base/text.h"

namespace quayfs {
namespace {

constexpr uint64_t kMaxDurationMs = uint64_t{366} * 24 * 3600 * 1000;
constexpr uint32_t kNobody = std::numeric_limits<uint32_t>::max();  // (uid_t)-1 means "leave alone"

struct TimeUnit {
  std::string_view name;
  uint64_t milliseconds;
};
constexpr std::array<TimeUnit, 5> kTimeUnits = {
    {{"d", 86400000}, {"h", 3600000}, {"m", 60000}, {"s", 1000}, {"ms", 1}}};

struct SizeUnit {
  std::string_view name;
  int shift;
};
constexpr std::array<SizeUnit, 5> kSizeUnits = {
    {{"PiB", 50}, {"TiB", 40}, {"GiB", 30}, {"MiB", 20}, {"KiB", 10}}};

template <typename Field>
using Getter = Field& (*)(MountConfig&);

/// What a message may say of a value that was refused.
std::string ShowRefused(const Option& option, std::string_view text) {
  if (option.is_secret()) return "what is there";
  return QuoteToml(text);
}

Error Wrong(const Option& option, const std::string& what) {
  return {Code::kInvalidArgument, "must be " + DescribeType(option) + ", not " + what};
}

/// Stores a number in whatever integer field the option has.
Status StoreNumber(const Option& option, uint64_t number, MountConfig& config) {
  return std::visit(
      [&](const auto& getter) -> Status {
        using Binding = std::decay_t<decltype(getter)>;
        if constexpr (std::is_same_v<Binding, Getter<uint64_t>> ||
                      std::is_same_v<Binding, Getter<std::optional<uint64_t>>>) {
          getter(config) = number;
        } else if constexpr (std::is_same_v<Binding, Getter<std::optional<int64_t>>>) {
          getter(config) = static_cast<int64_t>(number);
        } else if constexpr (std::is_same_v<Binding, Getter<uint32_t>> ||
                             std::is_same_v<Binding, Getter<std::optional<uint32_t>>>) {
          getter(config) = static_cast<uint32_t>(number);
        } else {
          return Error(Code::kInternal, "the option holds no number");
        }
        return {};
      },
      option.binding);
}

Status StoreText(const Option& option, std::string text, MountConfig& config) {
  const auto* getter = std::get_if<Getter<std::string>>(&option.binding);
  if (getter == nullptr) return Error(Code::kInternal, "the option holds no text");
  (*getter)(config) = std::move(text);
  return {};
}

Status StoreBool(const Option& option, bool value, MountConfig& config) {
  if (const auto* plain = std::get_if<Getter<bool>>(&option.binding)) {
    (*plain)(config) = value;
  } else if (const auto* optional = std::get_if<Getter<std::optional<bool>>>(&option.binding)) {
    (*optional)(config) = value;
  } else {
    return Error(Code::kInternal, "the option holds no truth value");
  }
  return {};
}

Status StoreDuration(const Option& option, Duration value, MountConfig& config) {
  if (const auto* plain = std::get_if<Getter<Duration>>(&option.binding)) {
    (*plain)(config) = value;
  } else if (const auto* optional = std::get_if<Getter<std::optional<Duration>>>(&option.binding)) {
    (*optional)(config) = value;
  } else {
    return Error(Code::kInternal, "the option holds no time");
  }
  return {};
}

Status SetString(const Option& option, std::string_view text, MountConfig& config) {
  const auto is_control = [](char c) {
    return static_cast<unsigned char>(c) < 0x20 || c == '\x7f';
  };
  if (std::any_of(text.begin(), text.end(), is_control)) {
    return Error(Code::kInvalidArgument, "must not hold control characters or line ends");
  }
  return StoreText(option, std::string(text), config);
}

Status SetNumber(const Option& option, uint64_t number, std::string_view shown,
                 MountConfig& config) {
  if (number < option.min || number > option.max) return Wrong(option, std::string(shown));
  return StoreNumber(option, number, config);
}

Status SetSize(const Option& option, std::string_view text, MountConfig& config) {
  const Result<uint64_t> size = ParseSize(text);
  if (!size) return Wrong(option, QuoteToml(text));
  return SetNumber(option, *size, QuoteToml(text), config);
}

Status SetDuration(const Option& option, std::string_view text, MountConfig& config) {
  const Result<Duration> duration = ParseDuration(text);
  if (!duration) return Wrong(option, QuoteToml(text));
  const auto milliseconds = static_cast<uint64_t>(
      std::chrono::duration_cast<std::chrono::milliseconds>(*duration).count());
  const bool below = milliseconds < option.min * 1000;
  const bool above = option.max != UINT64_MAX && milliseconds > option.max * 1000;
  if (below || above) return Wrong(option, QuoteToml(text));
  return StoreDuration(option, *duration, config);
}

Status SetChoice(const Option& option, std::string_view text, MountConfig& config) {
  for (size_t index = 0; index < option.choices.size(); ++index) {
    if (!SameChoice(option.choices[index], text)) continue;
    if (const auto* binding = std::get_if<ChoiceBinding>(&option.binding)) {
      binding->set(config, index);
      return {};
    }
    return StoreText(option, std::string(option.choices[index]), config);
  }
  const std::vector<std::string> names(option.choices.begin(), option.choices.end());
  const std::string nearest = NearestName(text, names);
  std::string shown = QuoteToml(text);
  if (!nearest.empty()) shown += "; did you mean " + QuoteToml(nearest) + "?";
  return Wrong(option, shown);
}

Status SetMode(const Option& option, std::string_view text, MountConfig& config) {
  uint64_t mode = 0;
  bool octal = !text.empty() && text.size() <= 5;
  for (const char c : text) {
    octal = octal && c >= '0' && c <= '7';
    mode = mode * 8 + static_cast<uint64_t>(c - '0');
  }
  if (!octal) return Wrong(option, QuoteToml(text));
  return SetNumber(option, mode, QuoteToml(text), config);
}

std::optional<uint32_t> LookUpUser(const std::string& name) {
  std::vector<char> buffer(64 * 1024);
  passwd entry{};
  passwd* found = nullptr;
  if (getpwnam_r(name.c_str(), &entry, buffer.data(), buffer.size(), &found) != 0) return {};
  if (found == nullptr) return {};
  return entry.pw_uid;
}

std::optional<uint32_t> LookUpGroup(const std::string& name) {
  std::vector<char> buffer(64 * 1024);
  group entry{};
  group* found = nullptr;
  if (getgrnam_r(name.c_str(), &entry, buffer.data(), buffer.size(), &found) != 0) return {};
  if (found == nullptr) return {};
  return entry.gr_gid;
}

Status SetOwner(const Option& option, std::string_view text, MountConfig& config) {
  const Result<uint64_t> number = ParseUint(text);
  if (number) {
    if (*number >= kNobody) return Wrong(option, QuoteToml(text));
    return StoreNumber(option, *number, config);
  }
  const bool is_user = option.type == OptionType::kUser;
  const std::string name(text);
  const std::optional<uint32_t> id = is_user ? LookUpUser(name) : LookUpGroup(name);
  if (!id) {
    return Error(Code::kInvalidArgument, fmt::format("names the {} {}, who is not known here",
                                                     is_user ? "user" : "group", QuoteToml(text)));
  }
  return StoreNumber(option, *id, config);
}

Status SetConsistency(const Option& option, std::string_view text, MountConfig& config) {
  const auto* getter = std::get_if<Getter<MountConfig::Consistency>>(&option.binding);
  if (getter == nullptr) return Error(Code::kInternal, "the option holds no consistency");
  MountConfig::Consistency& consistency = (*getter)(config);
  if (SameChoice(text, "close-to-open")) {
    consistency = {MountConfig::Trust::kCloseToOpen, Duration{0}};
  } else if (SameChoice(text, "exclusive")) {
    consistency = {MountConfig::Trust::kExclusive, Duration{0}};
  } else {
    const Result<Duration> ttl = ParseDuration(text);
    if (!ttl) return Wrong(option, QuoteToml(text));
    consistency = {MountConfig::Trust::kTtl, *ttl};
  }
  return {};
}

bool IsHeaderNameChar(char c) {
  const bool alphanumeric =
      (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
  return alphanumeric || c == '-' || c == '_';
}

Result<s3::HttpHeader> ParseHeader(std::string_view text) {
  const size_t colon = text.find(':');
  const std::string_view name = text.substr(0, colon);
  const bool good_name = colon != std::string_view::npos && !name.empty() &&
                         std::all_of(name.begin(), name.end(), IsHeaderNameChar);
  if (!good_name) return Error(Code::kInvalidArgument, "must be a list of \"Name: value\"");
  const std::string_view value = TrimBlanks(text.substr(colon + 1));
  const auto is_control = [](char c) {
    return static_cast<unsigned char>(c) < 0x20 || c == '\x7f';
  };
  if (std::any_of(value.begin(), value.end(), is_control)) {
    return Error(Code::kInvalidArgument,
                 fmt::format("has control characters in the value of {}", name));
  }
  for (const std::string_view own : {"host", "authorization", "content-length", "connection",
                                     "date", "expect", "transfer-encoding"}) {
    if (EqualsIgnoreCase(name, own)) {
      return Error(Code::kInvalidArgument, fmt::format("must not set {}, which quayfs does", name));
    }
  }
  return s3::HttpHeader{std::string(name), std::string(value)};
}

Status AddHeader(const Option& option, std::string_view text, MountConfig& config) {
  const auto* getter = std::get_if<Getter<std::vector<s3::HttpHeader>>>(&option.binding);
  if (getter == nullptr) return Error(Code::kInternal, "the option holds no headers");
  QUAY_ASSIGN(s3::HttpHeader header, ParseHeader(text));
  (*getter)(config).push_back(std::move(header));
  return {};
}

Status SetHeaders(const Option& option, const TomlValue& value, MountConfig& config) {
  if (value.kind != TomlValue::Kind::kArray) {
    return Wrong(option, std::string(TomlKindName(value.kind)));
  }
  for (const TomlValue& item : value.items) {
    if (item.kind != TomlValue::Kind::kString) {
      return Wrong(option, "a list with " + std::string(TomlKindName(item.kind)));
    }
    QUAY_TRY(AddHeader(option, item.text, config));
  }
  return {};
}

bool TakesInteger(OptionType type) {
  return type == OptionType::kInteger || type == OptionType::kSize || type == OptionType::kUser ||
         type == OptionType::kGroup;
}

bool TakesString(OptionType type) {
  return type != OptionType::kBool && type != OptionType::kInteger;
}

std::string ShowHeaders(const std::vector<s3::HttpHeader>& headers) {
  std::string text;
  for (const s3::HttpHeader& header : headers) {
    const bool hidden = IsSecretName(header.name);
    text += (text.empty() ? "" : ", ") +
            QuoteToml(header.name + ": " + (hidden ? "***" : header.value));
  }
  return text.empty() ? "" : "[" + text + "]";
}

std::string ShowConsistency(const MountConfig::Consistency& consistency) {
  switch (consistency.trust) {
    case MountConfig::Trust::kCloseToOpen:
      return "\"close-to-open\"";
    case MountConfig::Trust::kExclusive:
      return "\"exclusive\"";
    case MountConfig::Trust::kTtl:
      break;
  }
  return QuoteToml(FormatDuration(consistency.ttl));
}

std::string ShowNumber(const Option& option, uint64_t number) {
  if (option.type == OptionType::kSize) return QuoteToml(FormatExactSize(number));
  if (option.type == OptionType::kMode) return fmt::format("\"{:04o}\"", number);
  return std::to_string(number);
}

std::string ShowChoice(const Option& option, const ChoiceBinding& binding,
                       const MountConfig& config) {
  const std::optional<size_t> index = binding.get(config);
  if (!index || *index >= option.choices.size()) return "";
  return QuoteToml(option.choices[*index]);
}

struct Shower {
  const Option& option;

  std::string operator()(const std::string& text) const {
    return text.empty() ? "" : QuoteToml(text);
  }
  std::string operator()(bool value) const { return value ? "true" : "false"; }
  std::string operator()(uint64_t number) const { return ShowNumber(option, number); }
  std::string operator()(int64_t number) const { return std::to_string(number); }
  std::string operator()(uint32_t number) const { return ShowNumber(option, number); }
  std::string operator()(Duration duration) const { return QuoteToml(FormatDuration(duration)); }
  std::string operator()(const std::vector<s3::HttpHeader>& headers) const {
    return ShowHeaders(headers);
  }
  std::string operator()(const MountConfig::Consistency& consistency) const {
    return ShowConsistency(consistency);
  }
  template <typename Value>
  std::string operator()(const std::optional<Value>& value) const {
    return value ? (*this)(*value) : "";
  }
};

std::string DescribeRange(const Option& option) {
  if (option.type == OptionType::kSize) {
    const std::string low = FormatExactSize(option.min);
    if (option.max == UINT64_MAX) return option.min == 0 ? "" : " of at least " + low;
    return " from " + low + " to " + FormatExactSize(option.max);
  }
  if (option.max == UINT64_MAX) return "";
  if (option.type == OptionType::kDuration) {
    return fmt::format(" from {}s to {}s", option.min, option.max);
  }
  return fmt::format(" from {} to {}", option.min, option.max);
}

std::string DescribeChoices(const Option& option) {
  std::string text;
  for (const std::string_view choice : option.choices) {
    text += (text.empty() ? "" : ", ") + QuoteToml(choice);
  }
  return "one of " + text;
}

}  // namespace

Result<Duration> ParseDuration(std::string_view text) {
  const Error bad(Code::kInvalidArgument, "not a time such as \"90s\", \"1h30m\" or \"250ms\"");
  if (text == "0") return Duration{0};
  if (text.empty()) return bad;
  uint64_t total = 0;
  size_t next_unit = 0;
  while (!text.empty()) {
    const size_t digits = std::min(text.find_first_not_of("0123456789"), text.size());
    const Result<uint64_t> number = ParseUint(text.substr(0, digits));
    text.remove_prefix(digits);
    const size_t letters = std::min(text.find_first_of("0123456789"), text.size());
    const std::string_view name = text.substr(0, letters);
    text.remove_prefix(letters);
    const auto* const unit =
        std::find_if(kTimeUnits.begin() + next_unit, kTimeUnits.end(),
                     [name](const TimeUnit& each) { return each.name == name; });
    if (!number || unit == kTimeUnits.end()) return bad;
    if (*number > kMaxDurationMs / unit->milliseconds) return bad;
    total += *number * unit->milliseconds;
    if (total > kMaxDurationMs) return bad;
    next_unit = static_cast<size_t>(unit - kTimeUnits.begin()) + 1;
  }
  return Duration(std::chrono::milliseconds(total));
}

std::string FormatDuration(Duration duration) {
  auto rest = static_cast<uint64_t>(
      std::chrono::duration_cast<std::chrono::milliseconds>(duration).count());
  std::string text;
  for (const TimeUnit& unit : kTimeUnits) {
    // Below two minutes seconds read better: 60s and 90s, not 1m and 1m30s.
    if (unit.name == "m" && text.empty() && rest < 2 * unit.milliseconds) continue;
    const uint64_t count = rest / unit.milliseconds;
    if (count == 0) continue;
    text += fmt::format("{}{}", count, unit.name);
    rest -= count * unit.milliseconds;
  }
  return text.empty() ? "0" : text;
}

std::string FormatExactSize(uint64_t bytes) {
  for (const SizeUnit& unit : kSizeUnits) {
    const uint64_t one = uint64_t{1} << unit.shift;
    if (bytes != 0 && bytes % one == 0) return fmt::format("{}{}", bytes / one, unit.name);
  }
  return std::to_string(bytes);
}

Result<bool> ParseBool(std::string_view text) {
  for (const std::string_view word : {"true", "yes", "on", "1"}) {
    if (EqualsIgnoreCase(text, word)) return true;
  }
  for (const std::string_view word : {"false", "no", "off", "0"}) {
    if (EqualsIgnoreCase(text, word)) return false;
  }
  return Error(Code::kInvalidArgument, "neither true nor false");
}

std::string QuoteToml(std::string_view text) {
  std::string quoted = "\"";
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (c == '"' || c == '\\') {
      quoted += '\\';
      quoted += c;
    } else if (byte < 0x20 || byte == 0x7f) {
      quoted += fmt::format("\\u{:04X}", byte);
    } else {
      quoted += c;
    }
  }
  return quoted + "\"";
}

bool SameChoice(std::string_view a, std::string_view b) {
  const auto plain = [](std::string_view text) {
    std::string flat = ToLower(text);
    std::erase_if(flat, [](char c) { return c == ' ' || c == '-' || c == '_' || c == ':'; });
    return flat;
  };
  return plain(a) == plain(b);
}

Status SetFromToml(const Option& option, const TomlValue& value, MountConfig& config) {
  using Kind = TomlValue::Kind;
  if (option.type == OptionType::kHeaders) return SetHeaders(option, value, config);
  if (value.kind == Kind::kBool && option.type == OptionType::kBool) {
    return StoreBool(option, value.boolean, config);
  }
  if (value.kind == Kind::kString && TakesString(option.type)) {
    return SetFromText(option, value.text, config);
  }
  if (value.kind == Kind::kInteger && TakesInteger(option.type)) {
    if (value.integer < 0) return Wrong(option, std::to_string(value.integer));
    return SetFromText(option, std::to_string(value.integer), config);
  }
  if (value.kind == Kind::kString && !option.is_secret()) {
    return Wrong(option, "the text " + QuoteToml(value.text));
  }
  return Wrong(option, std::string(TomlKindName(value.kind)));
}

Status SetFromText(const Option& option, std::string_view text, MountConfig& config) {
  switch (option.type) {
    case OptionType::kString:
    case OptionType::kSecret:
    case OptionType::kSourced:
      return SetString(option, text, config);
    case OptionType::kBool: {
      const Result<bool> value = ParseBool(text);
      if (!value) return Wrong(option, ShowRefused(option, text));
      return StoreBool(option, *value, config);
    }
    case OptionType::kInteger: {
      const Result<uint64_t> number = ParseUint(text);
      if (!number) return Wrong(option, ShowRefused(option, text));
      return SetNumber(option, *number, text, config);
    }
    case OptionType::kSize:
      return SetSize(option, text, config);
    case OptionType::kDuration:
      return SetDuration(option, text, config);
    case OptionType::kChoice:
      return SetChoice(option, text, config);
    case OptionType::kMode:
      return SetMode(option, text, config);
    case OptionType::kUser:
    case OptionType::kGroup:
      return SetOwner(option, text, config);
    case OptionType::kHeaders:
      return AddHeader(option, text, config);
    case OptionType::kConsistency:
      return SetConsistency(option, text, config);
  }
  return Error(Code::kInternal, "an option of no known type");
}

std::string ShowValue(const Option& option, const MountConfig& config) {
  if (const auto* choice = std::get_if<ChoiceBinding>(&option.binding)) {
    return ShowChoice(option, *choice, config);
  }
  // The getters give references to change; this one only reads, from a copy.
  MountConfig copy = config;
  return std::visit(
      [&](const auto& getter) -> std::string {
        if constexpr (std::is_same_v<std::decay_t<decltype(getter)>, ChoiceBinding>) {
          return "";
        } else {
          return Shower{option}(getter(copy));
        }
      },
      option.binding);
}

std::string DescribeType(const Option& option) {
  const std::string example = QuoteToml(option.example);
  switch (option.type) {
    case OptionType::kString:
      return "a string" + (option.example.empty() ? "" : " such as " + example);
    case OptionType::kBool:
      return "true or false";
    case OptionType::kInteger:
      return "a number" + DescribeRange(option);
    case OptionType::kSize:
      return "a size such as " + example + DescribeRange(option);
    case OptionType::kDuration:
      return "a time such as " + example + DescribeRange(option);
    case OptionType::kChoice:
      return DescribeChoices(option);
    case OptionType::kMode:
      return "an octal mode in quotes such as " + example;
    case OptionType::kUser:
      return "a user's number or name";
    case OptionType::kGroup:
      return "a group's number or name";
    case OptionType::kSecret:
    case OptionType::kSourced:
      return "a string, { file = \"...\" }, { env = \"...\" } or { command = [...] }";
    case OptionType::kHeaders:
      return "a list of strings such as [" + example + "]";
    case OptionType::kConsistency:
      return "a time such as \"60s\", \"close-to-open\" or \"exclusive\"";
  }
  return "something else";
}

}  // namespace quayfs
