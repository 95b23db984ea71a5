// SPDX-License-Identifier: Apache-2.0

#include "fs/program/mount_helper.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "fs/program/mount_record.h"

namespace quayfs::program {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

MountHelperCall Mount(const std::vector<std::string>& words) {
  std::string problem;
  MountHelperCall call = ParseMountCall(words, &problem);
  EXPECT_EQ(problem, "");
  return call;
}

std::string MountProblem(const std::vector<std::string>& words) {
  std::string problem;
  ParseMountCall(words, &problem);
  return problem;
}

TEST(MountHelper, IsChosenByTheNameItIsCalledBy) {
  EXPECT_EQ(HelperNamed("/sbin/mount.quayfs"), Helper::kMount);
  EXPECT_EQ(HelperNamed("mount.fuse.quayfs"), Helper::kMount);
  EXPECT_EQ(HelperNamed("/usr/sbin/umount.quayfs"), Helper::kUnmount);
  EXPECT_EQ(HelperNamed("umount.fuse.quayfs"), Helper::kUnmount);
  EXPECT_EQ(HelperNamed("/usr/bin/quayfs"), Helper::kNone);
  EXPECT_EQ(HelperNamed("/mount.quayfs/quayfs"), Helper::kNone);
  EXPECT_EQ(HelperNamed(""), Helper::kNone);
}

TEST(MountHelper, ReadsWhatMountHandsOver) {
  const MountHelperCall call = Mount(
      {"nightly", "/mnt/n", "-n", "-s", "-o", "rw,_netdev,prefix=a\\,b", "-t", "fuse.quayfs"});
  EXPECT_EQ(call.source, "nightly");
  EXPECT_EQ(call.mount_point, "/mnt/n");
  EXPECT_THAT(call.options, ElementsAre("rw", "_netdev", "prefix=a,b"));
  EXPECT_TRUE(call.sloppy);
  EXPECT_FALSE(call.fake);
  EXPECT_FALSE(call.remount);
}

TEST(MountHelper, ReadsFlagsAnywhereAndTogether) {
  EXPECT_TRUE(Mount({"-sfnv", "a", "/b"}).fake);
  EXPECT_THAT(Mount({"-oro", "a", "/b", "-o", "uid=1"}).options, ElementsAre("ro", "uid=1"));
  EXPECT_THAT(Mount({"-r", "a", "/b"}).options, ElementsAre("ro"));
  EXPECT_EQ(Mount({"--", "-a", "/b"}).source, "-a");
  const MountHelperCall remount = Mount({"a", "/b", "-o", "remount,ro"});
  EXPECT_TRUE(remount.remount);
  EXPECT_THAT(remount.options, ElementsAre("ro"));
}

TEST(MountHelper, SaysWhatIsWrongWithACall) {
  EXPECT_THAT(MountProblem({"a"}), HasSubstr("a source and a mount point"));
  EXPECT_THAT(MountProblem({"a", "b", "c"}), HasSubstr("a source and a mount point"));
  EXPECT_THAT(MountProblem({"a", "b", "-x"}), HasSubstr("-x"));
  EXPECT_THAT(MountProblem({"a", "b", "--force"}), HasSubstr("--force"));
  EXPECT_THAT(MountProblem({"a", "b", "-o"}), HasSubstr("-o needs a value"));
  EXPECT_THAT(MountProblem({"a", "b", "-N", "1"}), HasSubstr("nsenter"));
}

TEST(UnmountHelper, ReadsWhatUmountHandsOver) {
  std::string problem;
  UnmountHelperCall call = ParseUnmountCall({"/mnt", "-l", "-n", "-t", "fuse.quayfs"}, &problem);
  EXPECT_THAT(problem, IsEmpty());
  EXPECT_EQ(call.mount_point, "/mnt");
  EXPECT_TRUE(call.lazy);
  call = ParseUnmountCall({"-rvf", "/mnt"}, &problem);
  EXPECT_THAT(problem, IsEmpty());
  EXPECT_TRUE(call.force);
  EXPECT_FALSE(call.lazy);
  call = ParseUnmountCall({"/mnt", "--no-wait", "--quiet"}, &problem);
  EXPECT_THAT(problem, IsEmpty());
  EXPECT_TRUE(call.no_wait);
  EXPECT_TRUE(call.quiet);
  ParseUnmountCall({"/mnt", "/other"}, &problem);
  EXPECT_THAT(problem, HasSubstr("a mount point"));
  ParseUnmountCall({"/mnt", "--all"}, &problem);
  EXPECT_THAT(problem, HasSubstr("--all"));
}

TEST(MountRecord, IsFoundByItsMountPoint) {
  const std::string table =
      "SRC=nightly TARGET=/mnt/two\\040words ROOT=/ OPTS=uhelper=quayfs\n"
      "SRC=/mnt/other TARGET=/mnt/a ROOT=/ OPTS=_netdev\n";
  EXPECT_TRUE(IsRecorded(table, "/mnt/two words"));
  EXPECT_TRUE(IsRecorded(table, "/mnt/a"));
  EXPECT_FALSE(IsRecorded(table, "/mnt/other"));
  EXPECT_FALSE(IsRecorded(table, "/mnt/two"));
  EXPECT_FALSE(IsRecorded("", "/mnt/a"));
  EXPECT_TRUE(IsRecordedAs(table, "nightly", "/mnt/two words"));
  EXPECT_FALSE(IsRecordedAs(table, "weekly", "/mnt/two words"));
  EXPECT_FALSE(IsRecordedAs(table, "/mnt/other", "/mnt/a")) << "without our helper";
}

}  // namespace
}  // namespace quayfs::program
