// SPDX-License-Identifier: Apache-2.0

#include "fs/program/probe_use.h"

#include <fmt/format.h>
#include <unistd.h>

#include <cstdlib>

#include "base/disk.h"
#include "base/log.h"
#include "fs/program/messages.h"
#include "fs/program/process_setup.h"

namespace quayfs::program {
namespace {

constexpr size_t kDateChars = 10;  // of an ISO time

std::string AbsoluteVariable(const char* name) {
  const char* const value = std::getenv(name);
  return value != nullptr && value[0] == '/' ? value : "";
}

std::string ProbeDirectory() {
  const std::string state = StateDirectory();
  return state.empty() ? "" : state + "/probes";
}

}  // namespace

std::string StateDirectory() {
  if (const std::string state = AbsoluteVariable("XDG_STATE_HOME"); !state.empty())
    return state + "/quayfs";
  if (::geteuid() == 0) return "/var/lib/quayfs";
  const std::string home = AbsoluteVariable("HOME");
  return home.empty() ? "" : home + "/.local/state/quayfs";
}

ProbeInUse RecallProbe(const StoreConfig& store, const std::string& config_name, WallTime now) {
  const std::optional<std::string> subject = ProbeSubject(store);
  if (!subject) return {};
  const std::string directory = ProbeDirectory();
  const ProbeMemory memory(directory, SystemDisk());
  const std::string path = memory.PathOf(*subject);
  const Result<RememberedProbe> probe = directory.empty()
                                            ? Error(Code::kNotFound, "there is no home directory")
                                            : memory.Recall(*subject, now);
  ProbeInUse use;
  if (probe) {
    use.probe = *probe;
    use.note =
        fmt::format("of {}, in {}", FormatIsoExtended(probe->probed).substr(0, kDateChars), path);
    Log(LogLevel::kInfo, "probe.used",
        {{"file", path}, {"probed", FormatIsoExtended(probe->probed)}});
  } else if (probe.Is(Code::kNotFound)) {
    use.note = fmt::format("none; quayfs check {} finds out more", config_name);
    Log(LogLevel::kInfo, "probe.none", {{"file", path}});
  } else {
    const std::string why = OneLine(probe.error().message());
    use.note = fmt::format("not used, {}; quayfs check {} makes a new one", why, config_name);
    Log(LogLevel::kWarning, "probe.not_used", {{"file", path}, {"why", why}});
  }
  return use;
}

Result<std::string> RememberProbe(const StoreConfig& store, const ProbeReport& report,
                                  WallTime now) {
  const std::optional<std::string> subject = ProbeSubject(store);
  if (!subject) return Error(Code::kNotSupported, "nothing has to be known of this store");
  const std::string directory = ProbeDirectory();
  if (directory.empty()) return Error(Code::kNotFound, "there is no home directory");
  QUAY_TRY(MakeDirectories(directory));
  ProbeMemory memory(directory, SystemDisk());
  QUAY_TRY(memory.Remember(*subject, report, now));
  return memory.PathOf(*subject);
}

}  // namespace quayfs::program
