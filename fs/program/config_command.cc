// SPDX-License-Identifier: Apache-2.0

#include <fmt/format.h>

#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "base/text.h"
#include "fs/program/commands.h"
#include "fs/program/exit_status.h"
#include "fs/program/launch.h"
#include "fs/program/load.h"
#include "fs/program/messages.h"
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

}  // namespace quayfs::program
