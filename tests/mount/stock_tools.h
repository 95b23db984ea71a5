// SPDX-License-Identifier: Apache-2.0
//
// Shell scripts in namespaces of their own, in which /sbin has our helpers as an installation would
// put them there: nothing of it is seen outside, and no process outlives it. For tests of one
// source file each; needs root.

#pragma once

#include <fmt/format.h>
#include <unistd.h>

#include <string>

#include "tests/mount/mount_fixture.h"

namespace quayfs::mounttest {

// $dir: the test's folder; $mnt, $config. `say` shows a command, what it printed, and its status.
// The mounts of other tests are let go of: they would not end before this namespace does.
inline constexpr const char* kStockPrologue = R"sh(
set -u
umount --all --internal-only --lazy --types fuse.quayfs || true
mkdir -p "$dir/sbin.orig" "$dir/sbin.new" "$dir/quayfs"
mount --bind "$(realpath /sbin)" "$dir/sbin.orig"
for program in "$dir"/sbin.orig/*; do ln -sf "$program" "$dir/sbin.new/"; done
for name in mount.quayfs mount.fuse.quayfs umount.quayfs umount.fuse.quayfs; do
  ln -sf "$quayfs" "$dir/sbin.new/$name"
done
mount --bind "$dir/sbin.new" "$(realpath /sbin)"
mount -t tmpfs tmpfs /run
ln -sf "$config" "$dir/quayfs/test.toml"
export XDG_CONFIG_HOME=$dir
say() {
  local status
  echo "+ ${*//$dir/DIR}"
  "$@" 2>&1 | sed "s,$dir,DIR,g"
  status=${PIPESTATUS[0]}
  ((status == 0)) || echo "= $status"
}
)sh";

class StockToolsTest : public ServerTest {
 protected:
  void SetUp() override {
    if (::geteuid() != 0) GTEST_SKIP() << "needs root";
    ServerTest::SetUp();
    if (!environment_) return;
    env().WriteConfig();
    const ProgramResult namespaces = RunCommand({"unshare", "-m", "-p", "-f", "true"});
    if (namespaces.status != 0) GTEST_SKIP() << "no namespaces here: " << namespaces.err;
  }
  /// What the script printed; its standard error is in it.
  std::string Run(const std::string& script) {
    const std::string variables =
        fmt::format("dir='{}' mnt='{}' config='{}' quayfs='{}' endpoint='{}'\n", env().directory(),
                    env().mount_point(), env().config_path(), QUAYFS_PROGRAM, server().endpoint());
    const ProgramResult result =
        RunCommand({"unshare", "-m", "-p", "-f", "--kill-child", "--mount-proc", "bash", "-c",
                    variables + kStockPrologue + "{ " + script + "\n} 2>&1"});
    EXPECT_EQ(result.status, 0) << result.out << result.err;
    return result.out;
  }
  void HoldPuts() {
    testserver::Fault fault;
    fault.kind = testserver::FaultKind::kBlackHole;
    fault.method = "PUT";
    fault.count = -1;
    server().AddFault(fault);
  }
};

}  // namespace quayfs::mounttest
