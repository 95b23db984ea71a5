// SPDX-License-Identifier: Apache-2.0

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <system_error>
#include <vector>

#include "base/text.h"
#include "base/unique_fd.h"
#include "fs/program/commands.h"
#include "fs/program/exit_status.h"
#include "fs/program/launch.h"
#include "fs/program/load.h"
#include "fs/program/messages.h"
#include "mount-configs/import.h"
#include "mount-configs/render.h"
#include "providers/open.h"

namespace quayfs::program {
namespace {

/// Warnings and errors are those that people get to read.
void PrintCheck(const std::string& path, const std::vector<std::string>& warnings,
                std::string_view errors) {
  nlohmann::json result = {{"config", path},
                           {"ok", errors.empty()},
                           {"warnings", warnings},
                           {"errors", nlohmann::json::array()}};
  for (const std::string_view line : Split(errors, '\n')) {
    if (!line.empty()) result["errors"].push_back(line);
  }
  fmt::print("{}\n", result.dump(2, ' ', false, nlohmann::json::error_handler_t::replace));
}

}  // namespace

int RunConfigCheck(const std::string& config, const std::vector<std::string>& options, bool secrets,
                   bool json) {
  const auto loaded =
      LoadConfig(config, options, secrets ? SecretUse::kResolve : SecretUse::kCheck);
  std::string errors;
  if (!loaded) {
    errors = loaded.error().message();
  } else if (const auto store = OpenStore(loaded->store); !store) {
    // What depends on the vendor, such as its regions, is known only where the store is made; no
    // request is sent.
    errors = ExplainStoreError(store.error(), *loaded);
  }
  if (json) {
    PrintCheck(loaded ? loaded->path : config,
               loaded ? loaded->warnings : std::vector<std::string>(), errors);
    return errors.empty() ? kExitOk : kExitUsage;
  }
  if (loaded) PrintWarnings(*loaded);
  if (!errors.empty()) {
    PrintError(errors);
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

}  // namespace quayfs::program
