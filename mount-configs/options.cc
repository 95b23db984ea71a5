// SPDX-License-Identifier: Apache-2.0

#include "mount-configs/options.h"

#include <algorithm>
#include <array>
#include <utility>

#include "base/text.h"
#include "mount-configs/option_rows.h"

namespace quayfs {
namespace {

struct Section {
  std::string name;
  std::string_view help;
};

const std::vector<Section>& Sections() {
  static const auto* const sections = new std::vector<Section>{
      {"credentials", "Who signs the requests. Each value may stand here, or come from elsewhere"},
      {"extended",
       "Parameters of S3-compatible endpoints, by their usual names. The same may be written as "
       "one string at the top of the file: parameters = \"RetryCount=6;Use_PathStyle=true\""},
      {"cache", "The local disk"},
      {"durability", "When a call may say that data is safe"},
      {"transfer", "How contents travel"},
      {"network", "Connections"},
      {"mount", "What the mount looks like from the outside"},
      {"log", "Messages"},
      {"metrics", "Counts and gauges for Prometheus"},
  };
  return *sections;
}

std::vector<Option> MakeAllOptions() {
  std::vector<Option> all;
  for (const auto rows :
       {StoreRows, CredentialRows, ExtendedRows, LocalRows, TransferRows, NetworkRows, MountRows}) {
    for (Option& option : rows()) all.push_back(std::move(option));
  }
  return all;
}

/// How -o compares names: case, '-', '_' and the dot after the section do not matter.
std::string Flatten(std::string_view name) {
  std::string flat = ToLower(name);
  std::replace_if(
      flat.begin(), flat.end(), [](char c) { return c == '-' || c == '.'; }, '_');
  return flat;
}

bool SameName(const Option& option, std::string_view key) {
  return option.is_extended() ? EqualsIgnoreCase(option.key, key) : option.key == key;
}

NamedOption FindAlias(std::string_view flat_name) {
  for (const Option& option : AllOptions()) {
    for (const std::string_view alias : option.aliases) {
      const size_t equals = alias.find('=');
      if (Flatten(alias.substr(0, equals)) != flat_name) continue;
      if (equals == std::string_view::npos) return {&option, std::nullopt};
      return {&option, std::string(alias.substr(equals + 1))};
    }
  }
  return {};
}

}  // namespace

std::string Option::full_name() const {
  if (section.empty()) return std::string(key);
  return std::string(section) + "." + std::string(key);
}

const ProviderRule* Option::RuleFor(std::string_view provider) const {
  const auto rule =
      std::find_if(provider_rules.begin(), provider_rules.end(),
                   [provider](const ProviderRule& each) { return each.provider == provider; });
  return rule == provider_rules.end() ? nullptr : &*rule;
}

const std::vector<Option>& AllOptions() {
  static const auto* const options = new std::vector<Option>(MakeAllOptions());
  return *options;
}

const std::vector<std::string>& AllSections() {
  static const auto* const names = [] {
    auto* const made = new std::vector<std::string>;
    for (const Section& section : Sections()) made->push_back(section.name);
    return made;
  }();
  return *names;
}

std::string_view SectionHelp(std::string_view section) {
  for (const Section& each : Sections()) {
    if (each.name == section) return each.help;
  }
  return "The bucket, and what is promised about it";
}

const Option* FindOption(std::string_view section, std::string_view key) {
  for (const Option& option : AllOptions()) {
    if (option.section == section && SameName(option, key)) return &option;
  }
  return nullptr;
}

NamedOption FindOptionByName(std::string_view name) {
  const std::string flat = Flatten(name);
  const Option* by_key = nullptr;
  bool several = false;
  for (const Option& option : AllOptions()) {
    if (Flatten(option.full_name()) == flat) return {&option, std::nullopt};
    if (Flatten(option.key) != flat) continue;
    several = several || by_key != nullptr;
    by_key = &option;
  }
  if (by_key != nullptr && !several) return {by_key, std::nullopt};
  return FindAlias(flat);
}

std::string NearestOption(std::string_view section, std::string_view key) {
  std::vector<std::string> here;
  for (const Option& option : AllOptions()) {
    if (option.section == section) here.emplace_back(option.key);
    if (option.section != section && option.key == key) return option.full_name();
  }
  const std::string nearest = NearestName(key, here);
  if (!nearest.empty()) return section.empty() ? nearest : std::string(section) + "." + nearest;
  const NamedOption named = FindOptionByName(key);
  if (named.option != nullptr) return named.option->full_name();
  for (const Option& option : AllOptions()) {
    if (!NearestName(key, {std::string(option.key)}).empty()) return option.full_name();
  }
  return "";
}

}  // namespace quayfs
