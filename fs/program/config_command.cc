// SPDX-License-Identifier: Apache-2.0

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <optional>
#include <string>
#include <system_error>
#include <vector>

#include "base/unique_fd.h"
#include "fs/program/commands.h"
#include "fs/program/exit_status.h"
#include "fs/program/launch.h"
#include "fs/program/load.h"
#include "fs/program/messages.h"
#include "mount-configs/import.h"
#include "mount-configs/render.h"
#include "providers/open.h"
#include "providers/profiles.h"

namespace quayfs::program {
namespace {

std::string_view YesNo(Support support) {
  switch (support) {
    case Support::kYes:
      return "yes";
    case Support::kNo:
      return "no";
    case Support::kProbe:
      break;
  }
  return "depends; quayfs check finds out";
}

void Row(std::string_view name, std::string_view value) {
  if (!value.empty()) fmt::print("  {:<22} {}\n", name, value);
}

/// How it is spoken to, and what it honours.
void PrintWire(const Profile& profile) {
  const auto yes = [](bool value) { return value ? "yes" : "no"; };
  if (profile.protocol == Protocol::kS3) {
    const bool host = profile.style == s3::AddressingStyle::kVirtualHost;
    Row("bucket in", host ? "the host name" : "the path");
    Row("signatures", profile.signature_v2 ? "V4, V2" : "V4");
    Row("listing", profile.list_version == s3::ListVersion::kV2 ? "version 2" : "version 1");
  }
  Row("conditional writes", YesNo(profile.put_if_absent));
  Row("ACL", yes(profile.acl));
  Row("encryption", !profile.sse                    ? "no"
                    : profile.sse_customer_key_only ? "with keys of your own"
                                                    : "yes");
  Row("anonymous", yes(profile.anonymous));
  Row("copies of parts", yes(profile.part_copy));
  if (profile.move) Row("moves", "yes");
  Row("parts",
      fmt::format("up to {}, {} to {} MiB each{}", profile.parts_max, profile.part_size_min >> 20,
                  profile.part_size_max >> 20, profile.equal_parts ? ", all of one size" : ""));
  Row("objects deleted", profile.batch_delete_max == 0
                             ? std::string("one by one")
                             : fmt::format("{} at a time", profile.batch_delete_max));
}

void PrintProvider(const Profile& profile) {
  const auto& row = Row;
  fmt::print("{} ({})\n", profile.id, profile.title);
  std::string aliases;
  for (const std::string_view alias : profile.aliases)
    aliases += fmt::format("{}{}", aliases.empty() ? "" : ", ", alias);
  row("also", aliases);
  row("endpoint", profile.endpoint);
  row("default region", profile.default_region);
  for (const ProfileRegion& region : profile.regions)
    row("region", fmt::format("{:<20} {}", region.id, region.name));
  for (const ProfileStorageClass& storage : profile.storage_classes) {
    row("storage class", fmt::format("{:<20} {}", storage.wire, storage.name));
  }
  if (profile.protocol != Protocol::kLocal) PrintWire(profile);
  row("to know", profile.quirks);
}

}  // namespace

int RunConfigCheck(const std::string& config, const std::vector<std::string>& options,
                   bool secrets) {
  const auto loaded =
      LoadConfig(config, options, secrets ? SecretUse::kResolve : SecretUse::kCheck);
  if (!loaded) {
    PrintError(loaded.error().message());
    return kExitUsage;
  }
  PrintWarnings(*loaded);
  // What depends on the vendor, such as its regions, is known only where the store is made; no
  // request is sent.
  const auto store = OpenStore(loaded->store);
  if (!store) {
    PrintError(ExplainStoreError(store.error(), *loaded));
    return kExitUsage;
  }
  fmt::print("{}: ok\n", loaded->path);
  return kExitOk;
}

int RunConfigShow(const std::string& config, const std::vector<std::string>& options) {
  const auto loaded = LoadConfig(config, options, SecretUse::kIgnore);
  if (!loaded) {
    PrintError(loaded.error().message());
    return kExitUsage;
  }
  PrintWarnings(*loaded);
  fmt::print("{}", RenderEffectiveConfig(*loaded));
  return kExitOk;
}

int RunConfigOptions() {
  fmt::print("{}", DescribeOptions());
  return kExitOk;
}

int RunConfigNew(const std::string& from, const std::string& bucket, const std::string& file) {
  const Environment environment = [](const std::string& name) -> std::optional<std::string> {
    const char* const value = std::getenv(name.c_str());
    return value == nullptr ? std::nullopt : std::optional<std::string>(value);
  };
  const auto text = ImportMountConfig(from, bucket, environment);
  if (!text) {
    PrintError(text.error().message());
    return kExitFailed;
  }
  const UniqueFd made(::open(file.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600));
  const bool written = made.valid() && ::write(made.get(), text->data(), text->size()) ==
                                           static_cast<ssize_t>(text->size());
  if (!written) {
    PrintError(fmt::format("cannot write {}: {}", file, std::generic_category().message(errno)));
    return kExitFailed;
  }
  fmt::print("{} is written; try it with: quayfs check {}\n", file, file);
  return kExitOk;
}

int RunProviders(const std::string& name) {
  if (name.empty()) {
    for (const Profile& profile : Profiles()) fmt::print("{:<16} {}\n", profile.id, profile.title);
    fmt::print("\nquayfs providers NAME shows regions, storage classes and what to know.\n");
    return kExitOk;
  }
  const auto profile = FindProfile(name);
  if (!profile) {
    PrintError(profile.error().message());
    return kExitFailed;
  }
  PrintProvider(**profile);
  return kExitOk;
}

}  // namespace quayfs::program
