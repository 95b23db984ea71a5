// SPDX-License-Identifier: Apache-2.0

#include "mount-configs/loader.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <system_error>
#include <utility>

#include "base/text.h"
#include "mount-configs/loading.h"

namespace quayfs {
namespace {

constexpr std::string_view kSuffix = ".toml";
constexpr std::string_view kSystemDirectory = "/etc/quayfs";

bool EndsWith(std::string_view text, std::string_view end) {
  return text.size() >= end.size() && text.substr(text.size() - end.size()) == end;
}

bool IsPath(std::string_view path_or_name) {
  return path_or_name.find('/') != std::string_view::npos || EndsWith(path_or_name, kSuffix);
}

bool Exists(const std::string& path) { return access(path.c_str(), F_OK) == 0; }

std::string Variable(const LoadOptions& options, const char* name) {
  if (options.environment) return options.environment(name).value_or("");
  const char* value = std::getenv(name);
  return value == nullptr ? "" : value;
}

std::vector<std::string> Directories(const LoadOptions& options) {
  if (!options.config_directories.empty()) return options.config_directories;
  std::vector<std::string> directories = {std::string(kSystemDirectory)};
  const std::string base = Variable(options, "XDG_CONFIG_HOME");
  const std::string home = Variable(options, "HOME");
  if (!base.empty() && base.front() == '/') {
    directories.push_back(base + "/quayfs");
  } else if (!home.empty()) {
    directories.push_back(home + "/.config/quayfs");
  }
  if (geteuid() != 0) std::reverse(directories.begin(), directories.end());
  return directories;
}

/// The names that would be found, for the hint in an error.
std::vector<std::string> KnownNames(const std::vector<std::string>& directories) {
  std::vector<std::string> names;
  for (const std::string& directory : directories) {
    std::error_code failed;
    std::filesystem::directory_iterator entries(directory, failed);
    while (!failed && entries != std::filesystem::directory_iterator()) {
      const std::string file = entries->path().filename().string();
      if (EndsWith(file, kSuffix)) names.push_back(file.substr(0, file.size() - kSuffix.size()));
      entries.increment(failed);
    }
  }
  return names;
}

constexpr std::string_view kScheme = "://";

bool IsAddress(std::string_view text) {
  const size_t scheme = text.find(kScheme);
  return scheme != 0 && scheme < text.find('/');
}

/// "my-bucket/host-a" -> "my-bucket-host-a".
std::string NameOf(std::string_view place) {
  std::string name;
  for (const std::string_view part : Split(place, '/')) {
    if (part.empty()) continue;
    if (!name.empty()) name += '-';
    name += part;
  }
  return name;
}

/// What the address says, as options.
Result<std::vector<std::string>> AddressOptions(const std::string& address) {
  const size_t scheme = address.find(kScheme);
  const std::string provider = address.substr(0, scheme);
  const std::string place = address.substr(scheme + kScheme.size());
  const size_t slash = provider == "local" ? std::string::npos : place.find('/');
  const std::string bucket = place.substr(0, slash);
  if (bucket.empty() || bucket.find('@') != std::string::npos) {
    return Error(Code::kInvalidArgument,
                 "the address of a bucket is PROVIDER://BUCKET/PREFIX, such as "
                 "s3://nightly-backups/host-a, or local:///srv/objects/nightly");
  }
  if (provider == "http" || provider == "https") {
    return Error(Code::kInvalidArgument,
                 fmt::format("{} is the address of an endpoint: write s3://BUCKET/PREFIX, with the "
                             "option endpoint={}",
                             address, address));
  }
  std::vector<std::string> options = {"provider=" + provider, "bucket=" + bucket};
  std::string_view prefix = slash == std::string::npos ? "" : std::string_view(place).substr(slash);
  while (!prefix.empty() && prefix.front() == '/') prefix.remove_prefix(1);
  if (!prefix.empty()) options.push_back("prefix=" + std::string(prefix));
  options.push_back("name=" + NameOf(place));
  return options;
}

Result<MountConfig> LoadFromAddress(const std::string& address, const LoadOptions& options) {
  QUAY_ASSIGN(std::vector<std::string> said, AddressOptions(address));
  LoadOptions with = options;
  said.insert(said.end(), options.mount_options.begin(), options.mount_options.end());
  with.mount_options = std::move(said);
  auto loaded = ParseMountConfig("", "/", false, with);
  if (loaded) loaded->path = address;
  return loaded;
}

}  // namespace

Result<std::string> FindMountConfig(const std::string& path_or_name, const LoadOptions& options) {
  if (path_or_name.empty()) {
    return Error(Code::kInvalidArgument, "the name of a mount config is empty");
  }
  if (IsPath(path_or_name)) {
    if (Exists(path_or_name)) return path_or_name;
    return Error(Code::kNotFound, fmt::format("there is no mount config {}", path_or_name));
  }
  const std::vector<std::string> directories = Directories(options);
  std::string looked;
  for (const std::string& directory : directories) {
    std::string path = fmt::format("{}/{}{}", directory, path_or_name, kSuffix);
    if (Exists(path)) return path;
    looked += (looked.empty() ? "" : " and ") + path;
  }
  std::string text =
      fmt::format("there is no mount config '{}'; looked for {}", path_or_name, looked);
  const std::string nearest = NearestName(path_or_name, KnownNames(directories));
  if (nearest.empty()) text += fmt::format("; a bucket is written PROVIDER://{}", path_or_name);
  if (!nearest.empty()) text += fmt::format("; did you mean '{}'?", nearest);
  return Error(Code::kNotFound, std::move(text));
}

Result<MountConfig> ParseMountConfig(std::string_view text, const std::string& path,
                                     bool readable_by_others, const LoadOptions& options) {
  Loading loading(path, readable_by_others, options);
  const TomlDocument document = ParseToml(text);
  ReadDocument(document, loading);
  // After a syntax error there is nothing to check: every key would be missing.
  if (!document.errors.empty()) return std::move(loading).Finish();
  ReadMountOptions(loading);
  ApplyProviderRules(loading);
  CheckConfig(loading);
  FetchCredentials(loading);
  return std::move(loading).Finish();
}

Result<MountConfig> LoadMountConfig(const std::string& path_or_name, const LoadOptions& options) {
  if (IsAddress(path_or_name)) return LoadFromAddress(path_or_name, options);
  QUAY_ASSIGN(const std::string path, FindMountConfig(path_or_name, options));
  QUAY_ASSIGN(const FileText file, ReadConfigFile(path));
  return ParseMountConfig(file.text, path, file.readable_by_others, options);
}

}  // namespace quayfs
