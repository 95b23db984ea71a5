// SPDX-License-Identifier: Apache-2.0
//
// What umount(8) has to know to call our helper. It asks the kernel for the type of a file system,
// which is "fuse" for all of FUSE, unless libmount's own table (/run/mount/utab) says more about
// the mount point; then "uhelper=quayfs" there leads it to /sbin/umount.quayfs. mount(8) and
// umount(8) themselves change the table, in their modes that do nothing else (--fake
// --internal-only), so that its format and lock stay libmount's business.
//
// Only root has entries there. Failures cost the wait of umount(8), never the mount. Blocks as long
// as mount(8) takes, five seconds at most: the table's lock may be held by somebody who hangs.

#pragma once

#include <string>

namespace quayfs::program {

/// After mounting. What the table says of an earlier mount there is replaced.
void RecordMount(const std::string& source, const std::string& mount_point);

/// After it has been unmounted by anybody but umount(8), which does so itself.
void ForgetMount(const std::string& mount_point);

/// Whether the text of libmount's table has a line about `mount_point`.
bool IsRecorded(const std::string& table, const std::string& mount_point);
/// Whether it has the line that RecordMount makes.
bool IsRecordedAs(const std::string& table, const std::string& source,
                  const std::string& mount_point);

}  // namespace quayfs::program
