// SPDX-License-Identifier: Apache-2.0

#include "fs/acl.h"

#include <algorithm>

namespace quayfs {
namespace {

constexpr uint32_t kVersion = 2;
constexpr size_t kHeaderSize = 4;
constexpr size_t kEntrySize = 8;
constexpr uint16_t kUserOwner = 0x01;
constexpr uint16_t kUser = 0x02;
constexpr uint16_t kGroupOwner = 0x04;
constexpr uint16_t kGroup = 0x08;
constexpr uint16_t kMask = 0x10;
constexpr uint16_t kOther = 0x20;

uint32_t Number(std::string_view raw, size_t at, size_t bytes) {
  uint32_t value = 0;
  for (size_t i = bytes; i-- > 0;) value = value << 8 | static_cast<unsigned char>(raw[at + i]);
  return value;
}

void Append(uint32_t value, size_t bytes, std::string* raw) {
  for (size_t i = 0; i < bytes; ++i) raw->push_back(static_cast<char>(value >> (8 * i) & 0xff));
}

const AclEntry* FindTag(const Acl& acl, uint16_t tag) {
  const auto it = std::find_if(acl.begin(), acl.end(),
                               [tag](const AclEntry& entry) { return entry.tag == tag; });
  return it == acl.end() ? nullptr : &*it;
}

AclEntry* FindTag(Acl& acl, uint16_t tag) {
  const auto it = std::find_if(acl.begin(), acl.end(),
                               [tag](const AclEntry& entry) { return entry.tag == tag; });
  return it == acl.end() ? nullptr : &*it;
}

// One entry each for the owner, the group and others; a mask where anybody else is named; nobody
// named twice.
bool IsValid(const Acl& acl) {
  size_t named = 0;
  for (const AclEntry& entry : acl) {
    const bool alone = entry.tag != kUser && entry.tag != kGroup;
    const auto same = std::count_if(acl.begin(), acl.end(), [&](const AclEntry& other) {
      return other.tag == entry.tag && (alone || other.id == entry.id);
    });
    if (same != 1 || entry.permissions > 7) return false;
    if (!alone) {
      ++named;
    } else if (entry.tag != kUserOwner && entry.tag != kGroupOwner && entry.tag != kMask &&
               entry.tag != kOther) {
      return false;
    }
  }
  return FindTag(acl, kUserOwner) != nullptr && FindTag(acl, kGroupOwner) != nullptr &&
         FindTag(acl, kOther) != nullptr && (named == 0 || FindTag(acl, kMask) != nullptr);
}

// The entry whose permissions the group bits of the mode are.
uint16_t GroupBitsTag(const Acl& acl) {
  return FindTag(acl, kMask) != nullptr ? kMask : kGroupOwner;
}

}  // namespace

Result<Acl> ParseAcl(std::string_view raw) {
  const Error wrong(Code::kInvalidArgument, "this is no valid access control list");
  if (raw.size() < kHeaderSize || (raw.size() - kHeaderSize) % kEntrySize != 0) return wrong;
  if (Number(raw, 0, 4) != kVersion) return wrong;
  Acl acl;
  for (size_t at = kHeaderSize; at < raw.size(); at += kEntrySize) {
    acl.push_back({static_cast<uint16_t>(Number(raw, at, 2)),
                   static_cast<uint16_t>(Number(raw, at + 2, 2)), Number(raw, at + 4, 4)});
  }
  if (!IsValid(acl)) return wrong;
  return acl;
}

std::string FormatAcl(const Acl& acl) {
  std::string raw;
  Append(kVersion, 4, &raw);
  for (const AclEntry& entry : acl) {
    Append(entry.tag, 2, &raw);
    Append(entry.permissions, 2, &raw);
    Append(entry.id, 4, &raw);
  }
  return raw;
}

mode_t ModeOfAcl(const Acl& acl) {
  const auto bits = [&acl](uint16_t tag) -> mode_t {
    const AclEntry* entry = FindTag(acl, tag);
    return entry == nullptr ? 0 : entry->permissions & 7;
  };
  return bits(kUserOwner) << 6 | bits(GroupBitsTag(acl)) << 3 | bits(kOther);
}

bool IsMinimal(const Acl& acl) { return acl.size() == 3; }

Acl ChangeMode(Acl acl, mode_t mode) {
  const uint16_t group_tag = GroupBitsTag(acl);
  for (const auto& [tag, bits] : {std::pair<uint16_t, mode_t>{kUserOwner, mode >> 6},
                                  {group_tag, mode >> 3},
                                  {kOther, mode}}) {
    if (AclEntry* entry = FindTag(acl, tag); entry != nullptr)
      entry->permissions = static_cast<uint16_t>(bits & 7);
  }
  return acl;
}

std::optional<Acl> InheritAcl(const Acl& default_acl, mode_t* mode) {
  const mode_t both = ModeOfAcl(default_acl) & *mode & 0777;
  Acl acl = ChangeMode(default_acl, both);
  *mode = (*mode & ~mode_t{0777}) | both;
  if (IsMinimal(acl)) return std::nullopt;
  return acl;
}

}  // namespace quayfs
