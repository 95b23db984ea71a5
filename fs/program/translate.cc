// SPDX-License-Identifier: Apache-2.0

#include "fs/program/translate.h"

namespace quayfs::program {
namespace {

/// What a cache directory belongs to. Neither credentials nor region: those may be corrected.
std::string Identity(const MountConfig& config) {
  return config.store.provider + " " + config.store.endpoint + " " + config.store.bucket + " " +
         config.prefix;
}

CacheConfig TranslateCache(const MountConfig& config) {
  CacheConfig cache;
  cache.directory = config.cache.directory;
  cache.identity = Identity(config);
  cache.size_limit = config.cache.size;
  cache.dirty_limit = config.cache.dirty_limit;
  cache.put_size_max = config.transfer.upload_cutoff;
  cache.part_size = config.transfer.chunk_size;
  cache.fetch_block = config.cache.block_size;
  cache.fetch_part = config.cache.fetch_size;
  cache.read_ahead_max = config.cache.read_ahead;
  cache.transfers = static_cast<size_t>(config.transfer.max_in_flight);
  cache.upload_concurrency = static_cast<size_t>(config.transfer.upload_concurrency.value_or(0));
  cache.snapshot_memory = config.cache.memory;
  // In a folder, copying zeros is writing them.
  if (config.store.provider != "local") cache.zeros.prefix = config.prefix + ".quayfs/zeros/";
  return cache;
}

ConflictPolicy TranslateConflict(MountConfig::Conflict conflict) {
  switch (conflict) {
    case MountConfig::Conflict::kKeepBoth:
      return ConflictPolicy::kKeepBoth;
    case MountConfig::Conflict::kFail:
      return ConflictPolicy::kFail;
    case MountConfig::Conflict::kOverwrite:
      break;
  }
  return ConflictPolicy::kOverwrite;
}

void TranslateConsistency(const MountConfig::Consistency& from, FileSystemConfig* to) {
  switch (from.trust) {
    case MountConfig::Trust::kTtl:
      to->consistency = from.ttl;
      break;
    case MountConfig::Trust::kCloseToOpen:
      to->consistency = from.ttl;
      to->close_to_open = true;
      break;
    case MountConfig::Trust::kExclusive:
      to->consistency = Duration::max();
      break;
  }
}

FileSystemConfig TranslateFileSystem(const MountConfig& config, const MountPlace& place) {
  FileSystemConfig fs;
  fs.prefix = config.prefix;
  fs.metadata = config.metadata == MountConfig::Metadata::kPlain ? MetadataMode::kPlain
                                                                 : MetadataMode::kPosix;
  fs.conflict = TranslateConflict(config.conflict);
  TranslateConsistency(config.consistency, &fs);
  fs.content_type_by_name = config.content_type == MountConfig::ContentType::kByName;
  fs.read_only = config.mount.read_only;
  fs.default_uid = config.mount.uid.value_or(place.uid);
  fs.default_gid = config.mount.gid.value_or(place.gid);
  fs.default_file_mode = config.mount.file_mode & ~config.mount.umask;
  fs.default_directory_mode = config.mount.directory_mode & ~config.mount.umask;
  fs.trust_special_bits = config.mount.trust_special;
  fs.folder_times = config.mount.folder_times;
  fs.capacity_bytes = config.mount.capacity;
  fs.host_name = place.host_name;
  using Durability = FileSystemConfig::Durability;
  fs.fsync = config.fsync == MountConfig::Fsync::kLocal ? Durability::kLocal : Durability::kRemote;
  fs.close = config.close == MountConfig::Close::kLocal ? Durability::kLocal : Durability::kRemote;
  fs.work_in_flight = static_cast<size_t>(config.transfer.max_in_flight);
  return fs;
}

FuseConfig TranslateFuse(const MountConfig& config, const MountPlace& place) {
  FuseConfig fuse;
  fuse.mountpoint = place.mount_point;
  fuse.source = place.source.empty() ? config.name : place.source;
  fuse.allow_other = config.mount.allow_other;
  fuse.read_only = config.mount.read_only;
  fuse.trust_special_bits = config.mount.trust_special;
  fuse.interrupt_grace = config.mount.interrupt_grace;
  fuse.timeout = config.mount.timeout;
  fuse.kernel_flags = config.mount.kernel_flags;
  return fuse;
}

}  // namespace

RoomConfigs Translate(const MountConfig& config, const MountPlace& place) {
  RoomConfigs rooms;
  rooms.store = config.store;
  rooms.cache = TranslateCache(config);
  rooms.file_system = TranslateFileSystem(config, place);
  rooms.fuse = TranslateFuse(config, place);
  return rooms;
}

}  // namespace quayfs::program
