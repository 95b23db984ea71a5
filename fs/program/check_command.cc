// SPDX-License-Identifier: Apache-2.0

#include <fmt/format.h>

#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/clock.h"
#include "fs/program/commands.h"
#include "fs/program/endpoint_check.h"
#include "fs/program/exit_status.h"
#include "fs/program/launch.h"
#include "fs/program/load.h"
#include "fs/program/messages.h"
#include "fs/program/probe_use.h"
#include "fs/program/process_setup.h"
#include "fs/program/reach.h"
#include "fs/program/store_check.h"
#include "providers/open.h"

namespace quayfs::program {
namespace {

using nlohmann::json;

int ExitStatusFor(CheckResult worst) {
  switch (worst) {
    case CheckResult::kFailed:
      return kExitCheckFailed;
    case CheckResult::kWarning:
      return kExitWarnings;
    default:
      return kExitOk;
  }
}

void Append(std::vector<CheckRow> more, std::vector<CheckRow>* rows) {
  for (CheckRow& row : more) rows->push_back(std::move(row));
}

void Remember(const MountConfig& config, const ProbeReport& report, std::vector<CheckRow>* rows) {
  const auto file = RememberProbe(config.store, report, SystemClock().Now());
  if (file) {
    rows->push_back({"remembered", CheckResult::kOk,
                     fmt::format("mounts go by this for {} days: {}",
                                 ProbeMemory::kGoodFor.count() / 24, *file)});
  } else if (!file.Is(Code::kNotSupported)) {
    rows->push_back({"remembered", CheckResult::kWarning,
                     fmt::format("mounts go by the profile alone, the result cannot be kept: {}",
                                 OneLine(file.error().message()))});
  }
}

std::vector<CheckRow> CheckConfig(const MountConfig& config) {
  std::vector<CheckRow> rows = {{"config", CheckResult::kOk, config.path}};
  for (const std::string& warning : config.warnings)
    rows.push_back({"config", CheckResult::kWarning, OneLine(warning)});
  const auto store = OpenStore(config.store);
  if (!store) {
    rows.push_back({"store", CheckResult::kFailed,
                    ExplainStoreError(WithRegion(store.error(), config), config)});
    return rows;
  }
  Append(CheckEndpoint(config), &rows);
  Append(CheckStore(config, **store), &rows);
  if (Worst(rows) == CheckResult::kFailed || config.mount.read_only) return rows;
  OpenOptions everything;
  everything.try_everything = true;
  const auto scratch = OpenStore(config.store, everything);
  if (!scratch) {
    rows.push_back({"probe", CheckResult::kFailed, ExplainStoreError(scratch.error(), config)});
    return rows;
  }
  std::optional<ProbeReport> report;
  Append(CheckCapabilities(config, **scratch, (*store)->capabilities(), &report), &rows);
  if (report) Remember(config, *report, &rows);
  return rows;
}

void PrintTable(const std::vector<CheckRow>& rows) {
  for (const CheckRow& row : rows)
    fmt::print("{:<22} {:<8} {}\n", row.name, CheckResultName(row.result), row.text);
}

void PrintJson(const std::string& config, const std::vector<CheckRow>& rows) {
  json list = json::array();
  for (const CheckRow& row : rows) {
    list.push_back(
        {{"check", row.name}, {"result", CheckResultName(row.result)}, {"text", row.text}});
  }
  const json report = {
      {"config", config}, {"result", CheckResultName(Worst(rows))}, {"checks", list}};
  fmt::print("{}\n", report.dump(2, ' ', false, json::error_handler_t::replace));
}

}  // namespace

int RunCheck(const CheckRequest& request) {
  ForbidCoreDumps();
  const auto config = LoadConfig(request.config, request.options, SecretUse::kResolve);
  if (!config && !request.json) {
    PrintError(config.error().message());
    return kExitCheckFailed;
  }
  std::vector<CheckRow> rows;
  if (config) {
    rows = CheckConfig(*config);
  } else {
    rows.push_back({"config", CheckResult::kFailed, OneLine(config.error().message())});
  }
  if (request.json) {
    PrintJson(config ? config->path : request.config, rows);
  } else {
    PrintTable(rows);
  }
  return ExitStatusFor(Worst(rows));
}

}  // namespace quayfs::program
