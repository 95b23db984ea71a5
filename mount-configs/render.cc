// SPDX-License-Identifier: Apache-2.0

#include "mount-configs/render.h"

#include <fmt/format.h>

#include <algorithm>
#include <string_view>
#include <vector>

#include "base/text.h"
#include "mount-configs/options.h"
#include "mount-configs/url_text.h"
#include "mount-configs/values.h"

namespace quayfs {
namespace {

constexpr size_t kHelpWidth = 78;
constexpr size_t kHelpIndent = 6;
constexpr std::string_view kMask = "\"***\"";

std::vector<std::string> SectionsWithTop() {
  std::vector<std::string> sections = {""};
  sections.insert(sections.end(), AllSections().begin(), AllSections().end());
  return sections;
}

std::vector<const Option*> OptionsOf(const std::string& section) {
  std::vector<const Option*> options;
  for (const Option& option : AllOptions()) {
    if (option.section == section) options.push_back(&option);
  }
  return options;
}

std::string ShowSafely(const Option& option, const MountConfig& config) {
  const auto source = config.secret_sources.find(option.full_name());
  if (source != config.secret_sources.end()) return source->second;
  // The parameters stand, one by one, under [extended].
  if (option.full_name() == "parameters") return "";
  // Keys that came from elsewhere are not part of the file.
  const bool fetched = config.env_auth || !config.passwd_file.empty();
  const bool is_key =
      option.section == "credentials" && (option.key == "access_key_id" || option.is_secret());
  if (fetched && is_key && option.key != "sse_customer_key") return "";
  if (option.full_name() == "network.proxy" && HasUserInfo(config.store.proxy)) {
    return QuoteToml(WithoutUserInfo(config.store.proxy));
  }
  std::string value = ShowValue(option, config);
  if (option.is_secret() && !value.empty()) return std::string(kMask);
  return value;
}

std::string DefaultOf(const Option& option) {
  if (option.default_text.empty()) return std::string(option.default_note);
  return std::string(option.default_text);
}

/// "default 8MiB; qingstor: 200MiB"
std::string DescribeDefaults(const Option& option) {
  std::string text = DefaultOf(option);
  for (const ProviderRule& rule : option.provider_rules) {
    if (!rule.default_text.empty())
      text += fmt::format("; {}: {}", rule.provider, rule.default_text);
  }
  return text;
}

std::string DescribeLimits(const Option& option) {
  std::string text;
  for (const ProviderRule& rule : option.provider_rules) {
    if (rule.min_text.empty() && rule.max_text.empty()) continue;
    text += fmt::format(" With provider \"{}\"", rule.provider);
    if (!rule.min_text.empty()) text += fmt::format(" at least {}", rule.min_text);
    if (!rule.max_text.empty()) {
      text += fmt::format("{} at most {}", rule.min_text.empty() ? "" : " and", rule.max_text);
    }
    text += ".";
  }
  return text;
}

std::string Wrap(std::string_view text) {
  const std::string indent(kHelpIndent, ' ');
  std::string wrapped;
  std::string line = indent;
  for (const std::string_view word : Split(text, ' ')) {
    if (line.size() > kHelpIndent && line.size() + 1 + word.size() > kHelpWidth) {
      wrapped += line + "\n";
      line = indent;
    }
    if (line.size() > kHelpIndent) line += ' ';
    line += word;
  }
  return wrapped + line + "\n";
}

std::string DescribeOption(const Option& option) {
  std::string text = fmt::format("  {}\n", option.key);
  text += Wrap(fmt::format("{}.{}", option.help, DescribeLimits(option)));
  text += Wrap(fmt::format("Is {}. Default: {}.", DescribeType(option), DescribeDefaults(option)));
  return text;
}

/// Escapes what troff would take for itself.
std::string Troff(std::string_view text) {
  std::string escaped;
  for (const char c : text) {
    if (c == '\\') {
      escaped += "\\e";
    } else if (c == '-') {
      escaped += "\\-";
    } else if (c == '\'') {
      escaped += "\\(aq";
    } else if (c == '"') {
      escaped += "\\(dq";
    } else if (c == '~') {
      escaped += "\\(ti";
    } else if (c == '^') {
      escaped += "\\(ha";
    } else {
      escaped += c;
    }
  }
  // A dot or quote at the start of a line would make it a request.
  if (!escaped.empty() && escaped.front() == '.') escaped.insert(0, "\\&");
  return escaped;
}

std::string ManAliases(const Option& option) {
  std::string names;
  for (const std::string_view alias : option.aliases) {
    names += fmt::format("{}{}", names.empty() ? "" : ", ", alias.substr(0, alias.find('=')));
  }
  return names.empty() ? "" : fmt::format(" With \\-o also: {}.", Troff(names));
}

std::string ManOption(const Option& option) {
  std::string text = fmt::format(".TP\n.B {}\n", Troff(option.key));
  text += fmt::format("{}.{}\n", Troff(option.help), Troff(DescribeLimits(option)));
  text += fmt::format("Takes {}.\n", Troff(DescribeType(option)));
  text += fmt::format("Default: {}.{}\n", Troff(DescribeDefaults(option)), ManAliases(option));
  if (!option.seed_name.empty()) {
    text += fmt::format("In vendors\\(aq forms: \\(lq{}\\(rq.\n", Troff(option.seed_name));
  }
  return text;
}

}  // namespace

std::string RenderEffectiveConfig(const MountConfig& config) {
  std::string text = fmt::format("# {}\n", config.path.empty() ? "the defaults" : config.path);
  for (const std::string& section : SectionsWithTop()) {
    std::string body;
    for (const Option* option : OptionsOf(section)) {
      const std::string value = ShowSafely(*option, config);
      if (!value.empty()) body += fmt::format("{} = {}\n", option->key, value);
    }
    if (body.empty()) continue;
    if (!section.empty()) text += fmt::format("\n[{}]\n", section);
    text += body;
  }
  return text;
}

std::string DescribeOptions() {
  std::string text;
  for (const std::string& section : SectionsWithTop()) {
    text += section.empty() ? "At the top of the file\n" : fmt::format("\n[{}]\n", section);
    for (const Option* option : OptionsOf(section)) text += DescribeOption(*option);
  }
  return text;
}

std::string OptionsManSource() {
  std::string text;
  for (const std::string& section : SectionsWithTop()) {
    text += section.empty() ? ".SS At the top of the file\n" : fmt::format(".SS [{}]\n", section);
    text += fmt::format("{}.\n", Troff(SectionHelp(section)));
    for (const Option* option : OptionsOf(section)) text += ManOption(*option);
  }
  return text;
}

}  // namespace quayfs
