// SPDX-License-Identifier: Apache-2.0

#include "mount-configs/compose.h"

#include <fmt/format.h>

#include <map>
#include <string_view>

#include "mount-configs/loader.h"
#include "mount-configs/mount_config.h"
#include "mount-configs/options.h"
#include "mount-configs/values.h"

namespace quayfs {
namespace {

Error Refusal(const std::string& message) { return {Code::kInvalidArgument, message}; }

/// Lines by the name of their option.
using Lines = std::map<std::string, std::string>;

Status Add(std::string_view setting, Lines* lines) {
  const size_t equals = setting.find('=');
  const std::string name(setting.substr(0, equals));
  const NamedOption named = FindOptionByName(name);
  if (named.option == nullptr) {
    const std::string nearest = NearestOption("", name);
    return Refusal(
        fmt::format("unknown option '{}'{}", name,
                    nearest.empty() ? "" : fmt::format("; did you mean '{}'?", nearest)));
  }
  const Option& option = *named.option;
  if (option.is_secret()) {
    return Refusal(fmt::format("'{}' must not stand on a command line, where everybody can read it",
                               option.full_name()));
  }
  std::string value;
  if (equals != std::string_view::npos) {
    value = setting.substr(equals + 1);
  } else if (named.implied_value) {
    value = *named.implied_value;
  } else if (option.type == OptionType::kBool) {
    value = "true";
  } else {
    return Refusal(fmt::format("'{}' needs a value", name));
  }
  if (value.empty()) return {};
  MountConfig scratch;
  if (const Status set = SetFromText(option, value, scratch); !set)
    return Refusal(fmt::format("'{}' {}", option.full_name(), set.error().message()));
  (*lines)[option.full_name()] = fmt::format("{} = {}\n", option.key, ShowValue(option, scratch));
  return {};
}

std::string Text(const Lines& lines) {
  std::string text = "# Made by quayfs config new; every option is described in quayfs.toml(5).\n";
  std::string section;
  for (const Option& option : AllOptions()) {
    const auto line = lines.find(option.full_name());
    if (line == lines.end()) continue;
    if (option.section != section) {
      section = option.section;
      text += fmt::format("\n[{}]\n", section);
    }
    text += line->second;
  }
  return text;
}

}  // namespace

Result<std::string> ComposeMountConfig(const Settings& settings, const std::string& path) {
  Lines lines;
  for (const std::string& setting : settings.options) QUAY_TRY(Add(setting, &lines));
  constexpr std::string_view kSecret = "secret_access_key";
  if (!settings.secret_file.empty()) {
    lines[fmt::format("credentials.{}", kSecret)] =
        fmt::format("{} = {{ file = {} }}\n", kSecret, QuoteToml(settings.secret_file));
  } else if (!settings.secret.empty()) {
    lines[fmt::format("credentials.{}", kSecret)] =
        fmt::format("{} = {}\n", kSecret, QuoteToml(settings.secret));
  }
  const std::string text = Text(lines);
  LoadOptions form_only;
  form_only.resolve_secrets = false;
  QUAY_TRY(ParseMountConfig(text, path, false, form_only));
  return text;
}

}  // namespace quayfs
