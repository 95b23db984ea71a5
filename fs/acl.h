// SPDX-License-Identifier: Apache-2.0
//
// POSIX access control lists as the kernel hands them over in the extended attributes
// system.posix_acl_access and system.posix_acl_default: a version (2) and entries of tag,
// permissions and id, little-endian (acl(5), xattr(7), linux/posix_acl_xattr.h). The kernel checks
// them; what is done here is what a file system does beside that: what a list says about the mode,
// what chmod says about the list, and what a new file gets from its directory (POSIX 1003.1e draft
// 17, section 23.1). Pure functions.

#pragma once

#include <sys/types.h>

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace quayfs {

inline constexpr std::string_view kAccessAclName = "system.posix_acl_access";
inline constexpr std::string_view kDefaultAclName = "system.posix_acl_default";

struct AclEntry {
  uint16_t tag = 0;
  uint16_t permissions = 0;
  uint32_t id = 0;
};
using Acl = std::vector<AclEntry>;

/// kInvalidArgument: not a list, or one that acl_valid(3) would refuse.
Result<Acl> ParseAcl(std::string_view raw);
std::string FormatAcl(const Acl& acl);

/// The nine permission bits that go with the list.
mode_t ModeOfAcl(const Acl& acl);
/// The list says no more than these bits do.
bool IsMinimal(const Acl& acl);
/// The list after chmod.
Acl ChangeMode(Acl acl, mode_t mode);
/// What a new file gets where its directory has `default_acl`. `mode` as asked for, without the
/// umask; changed to what the file gets. Absent: the mode says it all.
std::optional<Acl> InheritAcl(const Acl& default_acl, mode_t* mode);

}  // namespace quayfs
