// SPDX-License-Identifier: Apache-2.0
//
// mount(8), umount(8), findmnt(8), df(1) and a line of fstab, as an administrator has them.

#include "tests/mount/stock_tools.h"

#include <gmock/gmock.h>

#include <filesystem>
#include <string>
#include <thread>

namespace quayfs::mounttest {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

TEST_F(StockToolsTest, ALineOfFstabMountsAndEverythingElseFollows) {
  const std::string out = Run(R"sh(
cat >"$dir/fstab" <<END
test $mnt quayfs _netdev,nofail,noatime,x-systemd.automount,allow_other,umask=0027 0 0
END
say mount -T "$dir/fstab" -a
say findmnt -n -o SOURCE,FSTYPE "$mnt"
say findmnt -n -o OPTIONS "$mnt"
say mount -T "$dir/fstab" -a -v
say df --output=source,target "$mnt"
say cp /etc/passwd "$mnt/copy"
say mount -o remount,ro "$mnt"
say touch "$mnt/refused"
say mount -o remount,rw "$mnt"
say touch "$mnt/allowed"
say umount "$mnt"
say findmnt "$mnt"
)sh");
  EXPECT_THAT(out, HasSubstr("fstab -a\n+ findmnt")) << "mount says nothing when all is well";
  EXPECT_THAT(out, HasSubstr("test   fuse.quayfs\n"));
  EXPECT_THAT(out, HasSubstr("noatime"));
  EXPECT_THAT(out, HasSubstr("allow_other"));
  EXPECT_THAT(out, HasSubstr("already mounted"));
  EXPECT_THAT(out, HasSubstr("test           DIR/mnt"));
  EXPECT_THAT(out, HasSubstr("touch: cannot touch 'DIR/mnt/refused': Read-only file system\n= 1"));
  EXPECT_THAT(out, HasSubstr("+ touch DIR/mnt/allowed\n+ umount DIR/mnt\n+ findmnt DIR/mnt\n= 1"));
  EXPECT_EQ(env().ObjectBody("copy"), ReadFile("/etc/passwd"));
  EXPECT_TRUE(env().ObjectBody("allowed").has_value());
  EXPECT_FALSE(env().ObjectBody("refused").has_value());
}

TEST_F(StockToolsTest, EveryFormOfTheSourceMounts) {
  env().PutObject("there", "x");
  const std::string out = Run(R"sh(
(umask 077; echo test-key:test-secret >"$dir/passwd")
say mount -t quayfs "$config" "$mnt"
say cat "$mnt/there"
echo
say umount "$mnt"
say mount -t fuse.quayfs test "$mnt" -o ro
say touch "$mnt/refused"
say umount "$mnt"
say mount -t quayfs s3://test/host-a "$mnt" -o "url=$endpoint,use_path_request_style,passwd_file=$dir/passwd,use_cache=$dir/c2"
say findmnt -n -o SOURCE "$mnt"
say cat "$mnt/there"
echo
say umount "$mnt"
)sh");
  EXPECT_THAT(out, HasSubstr("/mnt/there\nx\n+ umount"));
  EXPECT_THAT(out, HasSubstr("Read-only file system"));
  EXPECT_THAT(out, HasSubstr("'url' is called endpoint=http"));
  EXPECT_THAT(out, HasSubstr("\ns3://test/host-a\n"));
  EXPECT_THAT(out, Not(HasSubstr("test-secret")));
  EXPECT_THAT(out, Not(HasSubstr("= 32")));
}

TEST_F(StockToolsTest, WhatCannotBeMountedSaysWhy) {
  const std::string out = Run(R"sh(
say mount -t quayfs test "$mnt" -o alow_other
say mount -t quayfs test "$mnt" -o secret_access_key=hunter2
say mount -t quayfs none-such "$mnt"
say mount -t quayfs test "$mnt" -o bucket=missing
say mount -t quayfs test "$dir/nowhere"
say mount -t quayfs test "$mnt" -s -o alow_other
say mount -o remount,noexec "$mnt"
say findmnt -n -o OPTIONS "$mnt"
say umount "$mnt"
)sh");
  EXPECT_THAT(out, HasSubstr("did you mean 'allow_other'?\n= 32"));
  EXPECT_THAT(out, HasSubstr("must not stand on a command line"));
  EXPECT_THAT(out, HasSubstr("there is no mount config 'none-such'"));
  EXPECT_THAT(out, HasSubstr("missing"));
  EXPECT_THAT(out, HasSubstr("ignored"));
  EXPECT_THAT(out, HasSubstr("noexec"));
}

TEST_F(StockToolsTest, WhatADeadDaemonLeftIsMountedOver) {
  const std::string out = Run(R"sh(
cat >"$dir/fstab" <<END
test $mnt quayfs _netdev 0 0
END
say mount -T "$dir/fstab" "$mnt"
echo kept >"$mnt/f"
pid=$("$quayfs" status --json "$mnt" | sed -n 's/.*"pid": \([0-9]*\).*/\1/p')
kill -9 "$pid"
tail --pid="$pid" -f /dev/null
say ls "$mnt"
say mount -T "$dir/fstab" "$mnt"
say cat "$mnt/f"
say umount "$mnt"
)sh");
  EXPECT_THAT(out, HasSubstr("Transport endpoint is not connected"));
  EXPECT_THAT(out, HasSubstr("left behind by a quayfs that is gone"));
  EXPECT_THAT(out, HasSubstr("+ cat DIR/mnt/f\nkept\n+ umount DIR/mnt\n"));
  EXPECT_EQ(env().ObjectBody("f"), "kept\n");
}

TEST_F(StockToolsTest, LibmountsTableHasOneLineForAMountThatComesBackAndAgain) {
  const std::string out = Run(R"sh(
for i in 1 2 3; do
  "$quayfs" mount test "$mnt"
  pid=$("$quayfs" status --json "$mnt" | sed -n 's/.*"pid": \([0-9]*\).*/\1/p')
  kill -9 "$pid"
  tail --pid="$pid" -f /dev/null
done
"$quayfs" mount test "$mnt" -o name=other
grep -c "TARGET=$mnt " /run/mount/utab
umount "$mnt"
echo left: $(grep -c "TARGET=$mnt " /run/mount/utab)
# Somebody has the lock and does not give it back.
flock /run/mount/utab.lock sleep infinity &
until ! flock -n /run/mount/utab.lock true; do :; done
"$quayfs" mount test "$mnt" && echo mounted
kill %1
umount "$mnt"
)sh");
  EXPECT_THAT(out, HasSubstr("\n1\nleft: 0\n"));
  EXPECT_THAT(out, HasSubstr("\nmounted\n"));
}

TEST_F(StockToolsTest, ALazyUmountSaysWhatItsDaemonGoesOnWith) {
  HoldPuts();
  const std::string out = Run(R"sh(
say mount -t quayfs test "$mnt"
echo one >"$mnt/f"
say umount -l "$mnt"
say findmnt "$mnt"
say "$quayfs" status "$mnt"
)sh");
  EXPECT_THAT(out, HasSubstr("1 file, 4 B, is not in the bucket yet: its daemon"));
  EXPECT_THAT(out, HasSubstr("+ findmnt DIR/mnt\n= 1"));
  EXPECT_THAT(out, HasSubstr("leaving"));
}

TEST_F(StockToolsTest, AUserMountsAndUnmountsWhatFstabAllows) {
  const std::string out = Run(R"sh(
home=$dir/home
mkdir -p "$home/.config/quayfs" "$home/mnt"
echo "tester:x:4242:4242::$home:/bin/sh" | cat /etc/passwd - >"$dir/passwd"
mount --bind "$dir/passwd" /etc/passwd
sed "s,^directory = .*,directory = \"$home/cache\"," "$config" >"$home/.config/quayfs/mine.toml"
chmod 600 "$home/.config/quayfs/mine.toml"
chown -R 4242:4242 "$home"
chmod 755 "$dir"
cat >"$dir/fstab" <<END
mine $home/mnt quayfs user,noauto,_netdev 0 0
END
mount --bind "$dir/fstab" /etc/fstab
mknod -m 666 "$dir/fuse" c 10 229
mount --bind "$dir/fuse" /dev/fuse
unset XDG_CONFIG_HOME
as_user() { setpriv --reuid=4242 --regid=4242 --clear-groups env HOME="$home" "$@"; }
say as_user mount "$home/mnt"
say as_user findmnt -n -o SOURCE,FSTYPE "$home/mnt"
say as_user sh -c "echo mine >$home/mnt/f && stat -c %u $home/mnt/f"
say cat "$home/mnt/f"
say as_user umount "$home/mnt"
say findmnt "$home/mnt"
)sh");
  EXPECT_THAT(out, HasSubstr("mine   fuse.quayfs\n"));
  EXPECT_THAT(out, HasSubstr("/mnt/f\n4242\n"));
  EXPECT_THAT(out, HasSubstr("Permission denied")) << "it is the user's alone, root or not";
  EXPECT_THAT(out, ::testing::EndsWith("+ findmnt DIR/home/mnt\n= 1\n"));
  EXPECT_EQ(env().ObjectBody("f"), "mine\n");
}

TEST_F(StockToolsTest, NoWaitLeavesTheRestForTheNextMount) {
  HoldPuts();
  const std::string out = Run(R"sh(
say mount -t quayfs test "$mnt"
echo one >"$mnt/f"
exec 7<"$mnt/f"
say umount.quayfs "$mnt" --no-wait
exec 7<&-
say umount.quayfs "$mnt" --no-wait
say findmnt "$mnt"
say "$quayfs" status "$mnt"
)sh");
  EXPECT_THAT(out, HasSubstr("is busy")) << "open files are not taken away";
  EXPECT_THAT(out, HasSubstr("1 file, 4 B, is not in the bucket yet, and kept in DIR/cache"));
  EXPECT_THAT(out, HasSubstr("does not lie in a quayfs mount"));
  server().ClearFaults();
  EXPECT_EQ(Run("say mount -t quayfs test \"$mnt\"\nsay cat \"$mnt/f\"\nsay umount \"$mnt\""),
            "+ mount -t quayfs test DIR/mnt\n+ cat DIR/mnt/f\none\n+ umount DIR/mnt\n");
  EXPECT_EQ(env().ObjectBody("f"), "one\n") << Shown();
}

TEST_F(StockToolsTest, UmountWaitsHoweverItWasMounted) {
  server().SetDelay(std::chrono::milliseconds(300));
  const std::string out = Run(R"sh(
say mount -t quayfs test "$mnt"
echo one >"$mnt/f1"
say umount "$mnt"
say "$quayfs" status "$mnt"
say "$quayfs" mount test "$mnt" -o _netdev
echo two >"$mnt/f2"
say umount "$mnt"
say "$quayfs" status "$mnt"
cat /run/mount/utab
say mount -t quayfs test "$mnt" -o x-systemd.automount
say "$quayfs" umount "$mnt"
cat /run/mount/utab
)sh");
  EXPECT_THAT(out, Not(HasSubstr("TARGET="))) << "nothing is left in libmount's table";
  EXPECT_THAT(out, HasSubstr("umount DIR/mnt\n+ "));
  EXPECT_THAT(out, Not(HasSubstr("leaving")));
  EXPECT_EQ(env().ObjectBody("f1"), "one\n");
  EXPECT_EQ(env().ObjectBody("f2"), "two\n");
}

/// The block of docs/quick-start.md that begins with a prompt.
std::string QuickStartTranscript() {
  const std::string page = ReadFile(QUAYFS_SOURCE_DIR "/docs/quick-start.md");
  const size_t begin = page.find("```\n# ");
  if (begin == std::string::npos) return "";
  const size_t text = begin + 4;
  return page.substr(text, page.find("```", text) - text);
}

TEST_F(StockToolsTest, TheQuickStartIsWhatHappens) {
  const std::string transcript = QuickStartTranscript();
  ASSERT_THAT(transcript, HasSubstr("# mount /mnt/nightly\n"));
  std::string script = R"sh(
mv "$dir/quayfs/test.toml" "$dir/quayfs/nightly.toml"
mount -t tmpfs tmpfs /mnt
mkdir /mnt/nightly
echo "nightly /mnt/nightly quayfs _netdev,nofail 0 0" >"$dir/fstab"
mount --bind "$dir/fstab" /etc/fstab
exec 2>&1
)sh";
  for (size_t at = 0; at < transcript.size();) {
    const size_t end = transcript.find('\n', at);
    const std::string line = transcript.substr(at, end - at);
    at = end + 1;
    if (line.rfind("# ", 0) != 0) continue;
    script += "cat <<'END'\n" + line + "\nEND\n" + line.substr(2) + "\n";
  }
  EXPECT_EQ(Run(script), transcript);
}

TEST_F(StockToolsTest, MountWaitsForTheStoreAndNotForEver) {
  testserver::Fault refused;
  refused.kind = testserver::FaultKind::kResetBefore;
  refused.count = -1;
  server().AddFault(refused);
  const std::string given_up =
      Run("say mount -t quayfs test \"$mnt\" -o start_timeout=2s,retries=0");
  EXPECT_THAT(given_up, HasSubstr("= 32"));
  EXPECT_THAT(given_up, HasSubstr(server().endpoint()));

  server().ResetLog();
  std::thread comes_up([this] {
    EXPECT_TRUE(Eventually([this] { return server().Log().size() > 3; }));
    server().ClearFaults();
  });
  const std::string waited = Run(R"sh(
say mount -t quayfs test "$mnt" -o _netdev,retries=0
say umount "$mnt"
)sh");
  comes_up.join();
  EXPECT_THAT(waited, Not(HasSubstr("= 32")));
}

}  // namespace
}  // namespace quayfs::mounttest
