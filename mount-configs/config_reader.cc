// SPDX-License-Identifier: Apache-2.0

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "base/text.h"
#include "mount-configs/loading.h"
#include "mount-configs/values.h"

namespace quayfs {
namespace {

using Kind = TomlValue::Kind;

bool TakesSources(const Option& option) {
  return option.type == OptionType::kSecret || option.type == OptionType::kSourced;
}

/// Forms leave fields blank; a blank field is one that was not filled in.
bool IsBlank(const Option& option, const TomlValue& value) {
  const bool may_be_blank = option.type == OptionType::kString || TakesSources(option) ||
                            option.type == OptionType::kChoice;
  return may_be_blank && value.kind == Kind::kString && TrimBlanks(value.text).empty();
}

std::string FullName(std::string_view section, std::string_view key) {
  return section.empty() ? std::string(key) : fmt::format("{}.{}", section, key);
}

std::string UnknownKey(std::string_view section, std::string_view key) {
  std::string text = fmt::format("unknown key '{}'", FullName(section, key));
  std::string nearest = NearestOption(section, key);
  if (nearest.empty()) return text;
  const std::string own = FullName(section, "");
  if (!section.empty() && nearest.rfind(own, 0) == 0) nearest.erase(0, own.size());
  return text + fmt::format(", did you mean '{}'?", nearest);
}

Result<SecretSource> ReadCommand(const TomlValue& value) {
  SecretSource source;
  source.kind = SecretSource::Kind::kCommand;
  const Error bad(Code::kInvalidArgument,
                  "'command' must be a list of strings: the full path of a program, then its "
                  "arguments");
  if (value.kind != Kind::kArray || value.items.empty()) return bad;
  for (const TomlValue& item : value.items) {
    if (item.kind != Kind::kString) return bad;
    source.command.push_back(item.text);
  }
  if (source.command.front().empty() || source.command.front().front() != '/') return bad;
  return source;
}

Result<SecretSource> ReadSource(const TomlValue& table, const Loading& loading) {
  const Error bad(Code::kInvalidArgument,
                  "must hold exactly one of file = \"...\", env = \"...\" or command = [...]");
  if (table.entries.size() != 1) return bad;
  const TomlEntry& entry = table.entries.front();
  if (entry.key == "command") return ReadCommand(entry.value);
  if (entry.value.kind != Kind::kString || entry.value.text.empty()) return bad;
  if (entry.key == "file") {
    return SecretSource{SecretSource::Kind::kFile, loading.AbsolutePath(entry.value.text), {}};
  }
  if (entry.key == "env") return SecretSource{SecretSource::Kind::kVariable, entry.value.text, {}};
  return bad;
}

/// A value of an option that is known.
void ReadKnown(const Option& option, const TomlEntry& entry, Loading& loading) {
  const Origin origin{entry.value.position.line != 0 ? entry.value.position : entry.position};
  const Origin key_origin{entry.position};
  if (IsBlank(option, entry.value)) return;
  loading.given[&option] = key_origin;
  if (TakesSources(option) && entry.value.kind == Kind::kTable) {
    Result<SecretSource> source = ReadSource(entry.value, loading);
    if (!source) {
      loading.AddProblem(origin,
                         fmt::format("'{}' {}", option.full_name(), source.error().message()));
      return;
    }
    loading.config.secret_sources[option.full_name()] = source->Describe();
    loading.pending_secrets.push_back({&option, *std::move(source), key_origin});
    return;
  }
  const Status set = SetFromToml(option, entry.value, loading.config);
  if (!set) {
    loading.AddProblem(origin, fmt::format("'{}' {}", option.full_name(), set.error().message()));
  } else if (option.is_secret()) {
    loading.NoteInlineSecret(key_origin, option.full_name());
  }
}

void ReadExtendedEntry(const TomlEntry& entry, Loading& loading) {
  const Origin origin{entry.position};
  std::string value;
  switch (entry.value.kind) {
    case Kind::kString:
      value = entry.value.text;
      break;
    case Kind::kInteger:
      value = std::to_string(entry.value.integer);
      break;
    case Kind::kBool:
      value = entry.value.boolean ? "true" : "false";
      break;
    default:
      loading.AddProblem(origin, fmt::format("extended parameter '{}' must be a string, a number, "
                                             "true or false, not {}",
                                             entry.key, TomlKindName(entry.value.kind)));
      return;
  }
  if (const Option* option = FindOption("extended", entry.key)) loading.given[option] = origin;
  ApplyExtendedParameters({{entry.key, std::string(TrimBlanks(value))}}, loading.config,
                          loading.extended);
  loading.TakeExtendedFindings(origin);
}

/// The one-string form. Read before the table, which thereby wins.
void ReadParameterString(Loading& loading) {
  if (loading.config.parameters.empty()) return;
  const Origin origin = loading.OriginOf("", "parameters");
  const std::vector<ExtendedParameter> parameters =
      SplitExtendedParameters(loading.config.parameters, loading.extended);
  for (const ExtendedParameter& parameter : parameters) {
    if (const Option* option = FindOption("extended", parameter.name)) {
      loading.given[option] = origin;
    }
  }
  ApplyExtendedParameters(parameters, loading.config, loading.extended);
  for (std::string& error : loading.extended.errors) error.insert(0, "'parameters': ");
  loading.TakeExtendedFindings(origin);
}

void ReadSection(const std::string& section, const TomlValue& table, Loading& loading) {
  for (const TomlEntry& entry : table.entries) {
    if (section == "extended") {
      ReadExtendedEntry(entry, loading);
    } else if (const Option* option = FindOption(section, entry.key)) {
      ReadKnown(*option, entry, loading);
    } else {
      loading.AddProblem({entry.position}, UnknownKey(section, entry.key));
    }
  }
}

void ReadUnknown(const TomlEntry& entry, Loading& loading) {
  if (entry.value.kind == Kind::kTable) {
    const std::string nearest = NearestName(entry.key, AllSections());
    if (!nearest.empty() || FindOption("", entry.key) == nullptr) {
      std::string text = fmt::format("unknown table [{}]", entry.key);
      if (!nearest.empty()) text += fmt::format(", did you mean [{}]?", nearest);
      loading.AddProblem({entry.position}, std::move(text));
      return;
    }
  }
  loading.AddProblem({entry.position}, UnknownKey("", entry.key));
}

bool IsSection(const std::string& key) {
  return std::find(AllSections().begin(), AllSections().end(), key) != AllSections().end();
}

}  // namespace

void ReadDocument(const TomlDocument& document, Loading& loading) {
  for (const TomlSyntaxError& error : document.errors) {
    loading.AddProblem({error.position}, error.message);
  }
  for (const TomlEntry& entry : document.root.entries) {
    if (IsSection(entry.key)) continue;
    if (const Option* option = FindOption("", entry.key)) {
      ReadKnown(*option, entry, loading);
    } else {
      ReadUnknown(entry, loading);
    }
  }
  ReadParameterString(loading);
  for (const TomlEntry& entry : document.root.entries) {
    if (!IsSection(entry.key)) continue;
    if (entry.value.kind == Kind::kTable) {
      ReadSection(entry.key, entry.value, loading);
    } else {
      loading.AddProblem({entry.position}, fmt::format("'{}' must be a table: write [{}] and its "
                                                       "keys below",
                                                       entry.key, entry.key));
    }
  }
}

}  // namespace quayfs
