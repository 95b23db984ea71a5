// SPDX-License-Identifier: Apache-2.0
//
// Which multipart uploads a cache directory knows to be its own (C7), by their ids.

#pragma once

#include <nlohmann/json_fwd.hpp>
#include <set>
#include <string>

#include "base/result.h"
#include "cache/state/state_db.h"

namespace quayfs::program {

struct KnownUploads {
  std::set<std::string> continuing;  // a mount goes on with them
  std::set<std::string> aborting;    // nobody does; they are to be aborted
};

Result<KnownUploads> ReadKnownUploads(StateDb& state);

/// For the control socket; an id is ASCII, a key need not be. kTooLarge: more than fits into a
/// reply.
Result<nlohmann::json> KnownUploadsJson(const KnownUploads& uploads);
KnownUploads KnownUploadsOf(const nlohmann::json& object);

/// What the cache directory at `directory` knows: its daemon is asked, or, if none uses it, a copy
/// of its database. Nothing if there is no such directory.
Result<KnownUploads> FindKnownUploads(const std::string& directory);

}  // namespace quayfs::program
