// SPDX-License-Identifier: Apache-2.0
//
// From a mount config to the config structs of the rooms. The only place that knows both sides: no
// room sees TOML, and the loader knows nothing of caches or kernels.

#pragma once

#include <sys/types.h>

#include <string>

#include "cache/cache.h"
#include "fs/config.h"
#include "fs/fuse/fuse_mount.h"
#include "mount-configs/mount_config.h"
#include "providers/config.h"

namespace quayfs::program {

/// Who mounts, where.
struct MountPlace {
  std::string mount_point;  // absolute
  uid_t uid = 0;            // owns objects that carry no owner, unless the config names one
  gid_t gid = 0;
  std::string host_name;
  std::string source;  // what mount(8) and df(1) show; "": the config's name
};

struct RoomConfigs {
  StoreConfig store;
  CacheConfig cache;
  FileSystemConfig file_system;
  FuseConfig fuse;
};

/// Pure.
RoomConfigs Translate(const MountConfig& config, const MountPlace& place);

}  // namespace quayfs::program
