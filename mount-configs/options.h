// SPDX-License-Identifier: Apache-2.0
//
// The one table of options. It drives loading, `quayfs config` help, quayfs.toml(5), the -o
// options, and the rendering of the effective config: an option that is not here does not exist,
// and one that is here is documented.

#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "mount-configs/mount_config.h"

namespace quayfs {

enum class OptionType {
  kString,
  kBool,
  kInteger,   // within [min, max]
  kSize,      // bytes, "20GiB"; within [min, max]
  kDuration,  // "90s", "1h30m", "250ms"
  kChoice,    // one of `choices`; case, blanks, '-', '_' and ':' do not matter
  kMode,      // octal, in quotes: "0644"
  kUser,      // a number or a name
  kGroup,
  kSecret,       // a string, { file = ... }, { env = ... } or { command = [...] }; never shown
  kSourced,      // the same forms, but nothing to hide
  kHeaders,      // a list of "Name: value"
  kConsistency,  // a duration, "close-to-open" or "exclusive"
};

/// How a choice is stored: as the index into `choices`. `get` answers nothing where the option is
/// not set.
struct ChoiceBinding {
  void (*set)(MountConfig&, size_t index);
  std::optional<size_t> (*get)(const MountConfig&);
};

/// Where in a MountConfig the value lives.
using OptionBinding = std::variant<
    std::string& (*)(MountConfig&), bool& (*)(MountConfig&), std::optional<bool>& (*)(MountConfig&),
    uint64_t& (*)(MountConfig&), std::optional<uint64_t>& (*)(MountConfig&),
    std::optional<int64_t>& (*)(MountConfig&), uint32_t& (*)(MountConfig&),
    std::optional<uint32_t>& (*)(MountConfig&), Duration& (*)(MountConfig&),
    std::optional<Duration>& (*)(MountConfig&), std::vector<s3::HttpHeader>& (*)(MountConfig&),
    MountConfig::Consistency& (*)(MountConfig&), ChoiceBinding>;

/// What one provider does differently. Texts as a user would write them; "" for no difference.
struct ProviderRule {
  std::string_view provider;
  std::string_view default_text;
  std::string_view min_text;
  std::string_view max_text;
};

struct Option {
  std::string_view section;  // "" for the top of the file
  std::string_view key;
  OptionType type = OptionType::kString;
  std::string_view default_text;  // as a user would write it, without quotes; "" for none
  std::string_view default_note;  // what no value means, where default_text is ""
  std::string_view help;          // one line, a sentence without the full stop
  std::string_view seed_name;     // what vendors' forms call it, or ""
  std::string_view example;       // a value, without quotes
  /// Other names for -o. "name=value" stands for a whole setting: "ro" for read_only=true.
  std::vector<std::string_view> aliases;
  std::vector<std::string_view> choices;
  uint64_t min = 0;
  uint64_t max = UINT64_MAX;
  std::vector<ProviderRule> provider_rules;
  OptionBinding binding;

  /// "cache.size", or "bucket" at the top.
  std::string full_name() const;
  bool is_secret() const { return type == OptionType::kSecret; }
  bool is_extended() const { return section == "extended"; }
  const ProviderRule* RuleFor(std::string_view provider) const;
};

/// All options in the order in which they are shown. Made once, never destroyed.
const std::vector<Option>& AllOptions();

/// The tables that a file may have, in that order; "" (the top) is not among them.
const std::vector<std::string>& AllSections();
/// One line about a section, for help and the manual.
std::string_view SectionHelp(std::string_view section);

/// By place in the file; null if there is none. Names in [extended] compare without case.
const Option* FindOption(std::string_view section, std::string_view key);

struct NamedOption {
  const Option* option = nullptr;            // null: no such option
  std::optional<std::string> implied_value;  // of an alias that is a whole setting
};
/// By a name given to -o: "cache.size", "cache_size", "cache-size", a key that occurs once, or an
/// alias; case does not matter.
NamedOption FindOptionByName(std::string_view name);

/// The full name of the option that `section`.`key` was probably meant to be, or "".
std::string NearestOption(std::string_view section, std::string_view key);

}  // namespace quayfs
