// SPDX-License-Identifier: Apache-2.0

#include "fs/program/translate.h"

#include <gtest/gtest.h>

namespace quayfs::program {
namespace {

MountPlace Place() { return {"/mnt/n", 1000, 1001, "host"}; }

TEST(Translate, CarriesEverySetting) {
  MountConfig config;
  config.name = "nightly";
  config.prefix = "host-a/";
  config.store.bucket = "b";
  config.cache.directory = "/var/cache/quayfs/nightly";
  config.cache.size = 11;
  config.cache.dirty_limit = 17;
  config.cache.block_size = 12;
  config.cache.fetch_size = 13;
  config.cache.read_ahead = 14;
  config.cache.memory = 15;
  config.transfer.max_in_flight = 16;
  config.transfer.upload_concurrency = 3;
  config.transfer.upload_cutoff = 17;
  config.transfer.chunk_size = 18;
  config.mount.read_only = true;
  config.mount.allow_other = true;
  config.mount.trust_special = true;
  config.mount.capacity = 19;
  config.mount.folder_times = true;
  config.mount.interrupt_grace = std::chrono::seconds(20);
  config.mount.kernel_flags = {"noexec"};
  const RoomConfigs rooms = Translate(config, Place());
  EXPECT_EQ(rooms.store.bucket, "b");
  EXPECT_EQ(rooms.cache.directory, "/var/cache/quayfs/nightly");
  EXPECT_EQ(rooms.cache.size_limit, 11U);
  EXPECT_EQ(rooms.cache.dirty_limit, 17U);
  EXPECT_EQ(rooms.cache.fetch_block, 12U);
  EXPECT_EQ(rooms.cache.fetch_part, 13U);
  EXPECT_EQ(rooms.cache.read_ahead_max, 14U);
  EXPECT_EQ(rooms.cache.snapshot_memory, 15U);
  EXPECT_EQ(rooms.cache.transfers, 16U);
  EXPECT_EQ(rooms.cache.upload_concurrency, 3U);
  EXPECT_EQ(rooms.cache.put_size_max, 17U);
  EXPECT_EQ(rooms.cache.part_size, 18U);
  EXPECT_EQ(rooms.file_system.prefix, "host-a/");
  EXPECT_TRUE(rooms.file_system.read_only);
  EXPECT_TRUE(rooms.file_system.trust_special_bits);
  EXPECT_EQ(rooms.file_system.capacity_bytes, 19U);
  EXPECT_TRUE(rooms.file_system.folder_times);
  EXPECT_EQ(rooms.file_system.host_name, "host");
  EXPECT_EQ(rooms.fuse.mountpoint, "/mnt/n");
  EXPECT_EQ(rooms.fuse.source, "nightly");
  EXPECT_TRUE(rooms.fuse.allow_other);
  EXPECT_TRUE(rooms.fuse.read_only);
  EXPECT_TRUE(rooms.fuse.trust_special_bits);
  EXPECT_EQ(rooms.fuse.interrupt_grace, std::chrono::seconds(20));
  EXPECT_EQ(rooms.fuse.kernel_flags, std::vector<std::string>{"noexec"});
}

TEST(Translate, WhoeverMountsOwnsWhatHasNoOwner) {
  MountConfig config;
  config.mount.umask = 0027;
  RoomConfigs rooms = Translate(config, Place());
  EXPECT_EQ(rooms.file_system.default_uid, 1000U);
  EXPECT_EQ(rooms.file_system.default_gid, 1001U);
  EXPECT_EQ(rooms.file_system.default_file_mode, 0640U);
  EXPECT_EQ(rooms.file_system.default_directory_mode, 0750U);
  config.mount.uid = 7;
  config.mount.gid = 8;
  config.mount.file_mode = 0666;
  config.mount.directory_mode = 0777;
  EXPECT_EQ(Translate(config, Place()).file_system.default_file_mode, 0640U);
  EXPECT_EQ(Translate(config, Place()).file_system.default_directory_mode, 0750U);
  config.mount.umask = 0;
  EXPECT_EQ(Translate(config, Place()).file_system.default_file_mode, 0666U);
  EXPECT_EQ(Translate(config, Place()).file_system.default_directory_mode, 0777U);
  rooms = Translate(config, Place());
  EXPECT_EQ(rooms.file_system.default_uid, 7U);
  EXPECT_EQ(rooms.file_system.default_gid, 8U);
}

TEST(Translate, PoliciesKeepTheirMeaning) {
  MountConfig config;
  EXPECT_EQ(Translate(config, Place()).file_system.conflict, ConflictPolicy::kKeepBoth);
  EXPECT_EQ(Translate(config, Place()).file_system.metadata, MetadataMode::kPosix);
  EXPECT_EQ(Translate(config, Place()).file_system.consistency, std::chrono::seconds(60));
  config.conflict = MountConfig::Conflict::kFail;
  config.metadata = MountConfig::Metadata::kPlain;
  config.consistency.trust = MountConfig::Trust::kExclusive;
  EXPECT_EQ(Translate(config, Place()).file_system.conflict, ConflictPolicy::kFail);
  EXPECT_EQ(Translate(config, Place()).file_system.metadata, MetadataMode::kPlain);
  EXPECT_EQ(Translate(config, Place()).file_system.consistency, Duration::max());
  config.conflict = MountConfig::Conflict::kOverwrite;
  config.consistency.trust = MountConfig::Trust::kCloseToOpen;
  EXPECT_EQ(Translate(config, Place()).file_system.conflict, ConflictPolicy::kOverwrite);
  EXPECT_TRUE(Translate(config, Place()).file_system.close_to_open);

  using Durability = FileSystemConfig::Durability;
  EXPECT_EQ(Translate(config, Place()).file_system.fsync, Durability::kRemote);
  EXPECT_EQ(Translate(config, Place()).file_system.close, Durability::kLocal);
  config.fsync = MountConfig::Fsync::kLocal;
  config.close = MountConfig::Close::kRemote;
  EXPECT_EQ(Translate(config, Place()).file_system.fsync, Durability::kLocal);
  EXPECT_EQ(Translate(config, Place()).file_system.close, Durability::kRemote);
}

}  // namespace
}  // namespace quayfs::program
