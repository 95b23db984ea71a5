// SPDX-License-Identifier: Apache-2.0

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <utility>

#include "base/text.h"
#include "mount-configs/foreign_options.h"
#include "mount-configs/loading.h"
#include "mount-configs/values.h"

namespace quayfs {
namespace {

// For mount(8), systemd or the boot, or without meaning here: accepted and dropped. "suid" and
// "dev" among them: they are defaults that fstab and systemd add, not a decision to trust what a
// bucket says.
constexpr std::array<std::string_view, 34> kDropped = {
    "auto",       "noauto",      "user",          "users",
    "nouser",     "owner",       "noowner",       "group",
    "nogroup",    "nofail",      "defaults",      "exec",
    "suid",       "dev",         "async",         "atime",
    "diratime",   "relatime",    "norelatime",    "strictatime",
    "lazytime",   "nolazytime",  "nostrictatime", "mand",
    "nomand",     "silent",      "loud",          "iversion",
    "noiversion", "nonempty",    "subtype",       "default_permissions",
    "comment",    "auto_unmount"};

// For the kernel, which is told by whoever mounts.
constexpr std::array<std::string_view, 7> kForKernel = {"noexec",     "nosuid", "nodev",  "noatime",
                                                        "nodiratime", "sync",   "dirsync"};

template <size_t kSize>
bool Contains(const std::array<std::string_view, kSize>& names, std::string_view name) {
  return std::find(names.begin(), names.end(), name) != names.end();
}

bool IsDropped(std::string_view name) {
  return Contains(kDropped, name) || name.substr(0, 2) == "x-" || name.substr(0, 2) == "X-";
}

std::string UnknownMountOption(std::string_view name) {
  std::vector<std::string> known;
  for (const Option& option : AllOptions()) {
    known.push_back(option.full_name());
    known.emplace_back(option.key);
    for (const std::string_view alias : option.aliases) {
      known.emplace_back(alias.substr(0, alias.find('=')));
    }
  }
  for (std::string& foreign : ForeignOptionNames()) known.push_back(std::move(foreign));
  std::string text = fmt::format("unknown option '{}'", name);
  const std::string nearest = NearestName(name, known);
  return nearest.empty() ? text : text + fmt::format(", did you mean '{}'?", nearest);
}

Result<std::string> ValueOf(const NamedOption& named, std::string_view name,
                            const std::optional<std::string>& value) {
  if (named.implied_value) {
    if (value) return Error(Code::kInvalidArgument, fmt::format("'{}' takes no value", name));
    return *named.implied_value;
  }
  if (value) return *value;
  if (named.option->type == OptionType::kBool) return std::string("true");
  return Error(Code::kInvalidArgument,
               fmt::format("'{}' needs a value: {}={}", name, name, named.option->example));
}

Status SetMountOption(std::string_view name, const std::optional<std::string>& value,
                      const Origin& origin, Loading& loading) {
  const NamedOption named = FindOptionByName(name);
  if (named.option == nullptr) return Error(Code::kInvalidArgument, UnknownMountOption(name));
  const Option& option = *named.option;
  const bool holds_password =
      option.full_name() == "network.proxy" && value && value->find('@') != std::string::npos;
  if (option.is_secret() || holds_password) {
    return Error(Code::kInvalidArgument,
                 fmt::format("'{}' holds a secret, which must not stand on a command line or in "
                             "fstab; put it into the config file",
                             name));
  }
  QUAY_ASSIGN(const std::string text, ValueOf(named, name, value));
  loading.given[&option] = origin;
  if (option.is_extended()) {
    loading.extended.seen.clear();
    ApplyExtendedParameters({{std::string(option.key), text}}, loading.config, loading.extended);
    loading.TakeExtendedFindings(origin);
    return {};
  }
  const Status set = SetFromText(option, text, loading.config);
  if (set) return {};
  return Error(Code::kInvalidArgument, fmt::format("'{}' {}", name, set.error().message()));
}

/// An option that another file system has, too, or instead: said in our words, dropped, or refused.
/// False if it is none.
Result<bool> SetForeignOption(std::string_view name, const std::optional<std::string>& value,
                              const Origin& origin, Loading& loading) {
  using Meaning = ForeignOption::Meaning;
  QUAY_ASSIGN(const ForeignOption foreign, FindForeignOption(name, value));
  if (foreign.meaning == Meaning::kNone) return false;
  if (foreign.meaning == Meaning::kRefuse) return Error(Code::kInvalidArgument, foreign.hint);
  if (foreign.meaning == Meaning::kRename)
    QUAY_TRY(SetMountOption(foreign.target, foreign.value, origin, loading));
  if (!foreign.hint.empty()) loading.AddWarning(origin, foreign.hint);
  return true;
}

Status ReadMountOption(std::string_view text, const Origin& origin, Loading& loading) {
  const size_t equals = text.find('=');
  const std::string_view name = TrimBlanks(text.substr(0, equals));
  if (text.empty() || IsDropped(name)) return {};
  if (name == "_netdev") {
    loading.config.mount.needs_network = true;
    return {};
  }
  if (Contains(kForKernel, name)) {
    loading.config.mount.kernel_flags.emplace_back(name);
    return {};
  }
  std::optional<std::string> value;
  if (equals != std::string_view::npos) value = std::string(text.substr(equals + 1));
  QUAY_ASSIGN(const bool foreign, SetForeignOption(name, value, origin, loading));
  if (foreign) return {};
  if (loading.options().ignore_unknown && FindOptionByName(name).option == nullptr) {
    loading.AddWarning(origin, UnknownMountOption(name) + "; ignored");
    return {};
  }
  return SetMountOption(name, value, origin, loading);
}

}  // namespace

void ReadMountOptions(Loading& loading) {
  Origin origin;
  origin.from_command_line = true;
  for (const std::string& each : loading.options().mount_options) {
    const Status read = ReadMountOption(TrimBlanks(each), origin, loading);
    if (!read) loading.AddProblem(origin, read.error().message());
  }
}

std::vector<std::string> SplitMountOptions(std::string_view text) {
  std::vector<std::string> options;
  std::string current;
  bool quoted = false;
  for (size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (c == '\\' && i + 1 < text.size()) {
      current += text[++i];
    } else if (c == '"') {
      quoted = !quoted;
    } else if (c == ',' && !quoted) {
      if (!current.empty()) options.push_back(std::exchange(current, {}));
    } else {
      current += c;
    }
  }
  if (!current.empty()) options.push_back(std::move(current));
  return options;
}

}  // namespace quayfs
