// SPDX-License-Identifier: Apache-2.0

#include "fs/program/mount_table.h"

#include <gtest/gtest.h>
#include <sys/sysmacros.h>

namespace quayfs::program {
namespace {

constexpr std::string_view kTable =
    "22 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw\n"
    "36 22 0:32 / /mnt/two\\040words rw,nosuid,nodev - fuse.quayfs nightly "
    "rw,user_id=1000,group_id=1000,default_permissions\n"
    "37 22 0:33 / /mnt/a rw shared:2 master:3 - fuse.quayfs first rw,user_id=0\n"
    "38 37 0:34 / /mnt/a rw - tmpfs second rw\n"
    "39 22 0:35 / /mnt/back\\134slash rw - fuse.sshfs x rw\n"
    "nonsense\n"
    "40 22 zero:1 / /x rw - tmpfs y rw\n";

TEST(MountTable, ReadsEveryLineThatMakesSense) {
  const auto table = ParseMountTable(kTable);
  ASSERT_EQ(table.size(), 5U);
  EXPECT_EQ(table[1].mount_point, "/mnt/two words");
  EXPECT_EQ(table[1].type, "fuse.quayfs");
  EXPECT_EQ(table[1].source, "nightly");
  EXPECT_EQ(table[1].options, "rw,nosuid,nodev");
  EXPECT_EQ(table[1].device, makedev(0, 32));
  EXPECT_TRUE(table[1].is_quayfs());
  EXPECT_EQ(table[1].owner(), std::optional<uid_t>(1000));
  EXPECT_EQ(table[0].owner(), std::nullopt);
  EXPECT_FALSE(table[0].is_quayfs());
  EXPECT_EQ(table[4].mount_point, "/mnt/back\\slash");
}

TEST(MountTable, TheTopmostMountAtAPathCounts) {
  const auto table = ParseMountTable(kTable);
  ASSERT_NE(FindMountAt(table, "/mnt/a"), nullptr);
  EXPECT_EQ(FindMountAt(table, "/mnt/a")->source, "second");
  EXPECT_EQ(FindMountAt(table, "/mnt"), nullptr);
}

TEST(MountTable, APathLiesInTheDeepestMountAboveIt) {
  const auto table = ParseMountTable(kTable);
  EXPECT_EQ(FindMountContaining(table, "/mnt/two words/x/y")->source, "nightly");
  EXPECT_EQ(FindMountContaining(table, "/mnt/two words")->source, "nightly");
  EXPECT_EQ(FindMountContaining(table, "/mnt/two wordsx")->source, "/dev/sda1");
  EXPECT_EQ(FindMountContaining(table, "/mnt/a/b")->source, "second");
  EXPECT_EQ(FindMountContaining(table, "relative"), nullptr);
}

TEST(MountTable, ThisMachineHasOne) {
  const auto table = ReadMountTable();
  ASSERT_TRUE(table.ok());
  EXPECT_NE(FindMountContaining(*table, "/proc"), nullptr);
}

}  // namespace
}  // namespace quayfs::program
