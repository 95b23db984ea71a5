// SPDX-License-Identifier: Apache-2.0

#include "fs/program/known_uploads.h"

#include <nlohmann/json.hpp>
#include <optional>
#include <utility>
#include <vector>

#include "base/disk.h"
#include "cache/attempt_record.h"
#include "fs/program/control_client.h"
#include "fs/program/control_protocol.h"
#include "fs/program/held_state.h"
#include "fs/program/other_daemon.h"

namespace quayfs::program {
namespace {

using nlohmann::json;

std::set<std::string> Ids(const json& object, const char* key) {
  std::set<std::string> ids;
  const auto found = object.find(key);
  if (found == object.end() || !found->is_array()) return ids;
  for (const json& id : *found) {
    if (id.is_string()) ids.insert(id.get<std::string>());
  }
  return ids;
}

Result<KnownUploads> AskDaemon(const std::string& directory, const Error& busy) {
  for (const OtherDaemon& daemon : ListDaemons()) {
    const auto cache = daemon.status.find("cache");
    if (cache == daemon.status.end() || !cache->is_object() ||
        cache->value("directory", json()) != json(directory))
      continue;
    QUAY_ASSIGN(ControlClient client, ControlClient::ConnectTo(daemon.mount_point()));
    QUAY_ASSIGN(const json uploads, client.AskUploads());
    return KnownUploadsOf(uploads);
  }
  return busy;
}

}  // namespace

Result<KnownUploads> ReadKnownUploads(StateDb& state) {
  KnownUploads known;
  QUAY_TRY(state.ReadUploads([&](const UploadRow& row, const std::vector<PartRow>&) {
    if (std::string id = UploadIdOf(row); !id.empty()) known.continuing.insert(std::move(id));
  }));
  QUAY_TRY(state.ReadOrphans(
      [&](const std::string&, std::string id) { known.aborting.insert(std::move(id)); }));
  return known;
}

Result<json> KnownUploadsJson(const KnownUploads& uploads) {
  constexpr size_t kRoom = 1024;  // for the rest of the line
  json object = {{"continuing", uploads.continuing}, {"aborting", uploads.aborting}};
  if (object.dump(-1, ' ', false, json::error_handler_t::replace).size() + kRoom > kControlLineMax)
    return Error(Code::kTooLarge, "there are too many uploads to be told");
  return object;
}

KnownUploads KnownUploadsOf(const json& object) {
  if (!object.is_object()) return {};
  return {Ids(object, "continuing"), Ids(object, "aborting")};
}

Result<KnownUploads> FindKnownUploads(const std::string& directory) {
  const auto lock = LockHeld(directory);
  if (lock.Is(Code::kNotFound)) return KnownUploads();
  if (lock.Is(Code::kBusy)) return AskDaemon(directory, lock.error());
  if (!lock) return lock.error();
  QUAY_ASSIGN(const HeldState held, ReadHeld(directory, SystemDisk()));
  if (!held.damage.empty()) return Error(Code::kCorrupt, held.damage);
  return held.known_uploads;
}

}  // namespace quayfs::program
