// SPDX-License-Identifier: Apache-2.0
//
// What is known of each vendor, as data: where it is, what its names are, and what it really
// honours. One row per vendor; code never asks which vendor it talks to, only what the row says.
// Facts from protocol.md 1, 2.10, 3.8 and 5.2.
//
// A row gives defaults: probes and replies correct them, what the user says wins over all.
// Immutable; thread-safe.

#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "providers/object_store.h"
#include "s3/config.h"

namespace quayfs {

/// A place, by the id that goes into signatures and host names and by the name that people see.
struct ProfileRegion {
  std::string_view id;
  std::string_view name;
};

struct ProfileStorageClass {
  std::string_view name;  // for people, and accepted in a config
  std::string_view wire;  // x-amz-storage-class
};

/// Whether a store honours something. kProbe: unknown; taken as "no" until a probe has shown it.
enum class Support { kNo, kYes, kProbe };

/// What it takes to talk to the vendor.
enum class Protocol { kLocal, kS3, kQingStor };

struct Profile {
  std::string_view id;     // in a config, lower case
  std::string_view title;  // for people
  Protocol protocol = Protocol::kS3;
  std::span<const std::string_view> aliases;

  // Where. "{region}" in a pattern stands for the region's id, "*" for one label that says nothing;
  // "" means that the user must give an endpoint.
  std::string_view endpoint;
  std::span<const std::string_view> other_hosts;  // further patterns to recognise the vendor by
  std::string_view default_region;                // "" if the user must choose
  std::span<const ProfileRegion> regions;  // those with a name; any other id is taken as it is

  // Names.
  std::span<const ProfileStorageClass> storage_classes;  // empty: any
  bool storage_class = true;                             // whether there are classes at all
  bool acl = true;
  bool sse = true;
  bool sse_customer_key_only = false;  // no encryption with keys of the service
  bool requester_pays = true;
  bool anonymous = true;  // unsigned requests can work
  bool signature_v2 = true;
  bool https_only = false;

  // How.
  s3::AddressingStyle style = s3::AddressingStyle::kPath;
  bool path_style_possible = true;
  s3::ListVersion list_version = s3::ListVersion::kV2;
  bool list_url_encode = true;
  bool multipart_etag = true;  // an ETag of a multipart object can be computed from its parts
  bool content_md5 = false;  // send it with every body: the service does not check the signed hash
  bool unsigned_payload = false;

  // How much.
  uint64_t part_size_min = 5ull << 20;
  uint64_t part_size_max = 5ull << 30;
  int parts_max = 10000;
  bool equal_parts = false;
  uint64_t put_size_max = 5ull << 30;
  uint64_t copy_size_max = 5ull << 30;
  uint64_t object_size_max = 5ull << 40;
  int key_size_max = 1024;
  int batch_delete_max = 1000;  // 0: one by one
  bool part_copy = true;
  bool list_in_byte_order = true;
  bool move = false;

  // What it honours (protocol.md 3.8).
  Support put_if_absent = Support::kProbe;
  Support put_if_match = Support::kProbe;
  Support complete_if = Support::kProbe;
  Support delete_if_match = Support::kProbe;
  Support copy_if_absent = Support::kProbe;

  bool source_conditions = false;     // copies honour x-amz-copy-source-if-match
  bool bare_etag_conditions = false;  // If-Match on a write takes the ETag without its quotes only

  std::string_view quirks;  // for people: what to know
};

/// All of them, in the order to show them.
std::span<const Profile> Profiles();

/// By id or alias, without regard to case. kInvalidArgument names the valid ones and the nearest.
Result<const Profile*> FindProfile(std::string_view name);

/// The vendor that a host belongs to, and the region it names ("" if it names none); nothing for
/// unknown hosts.
struct RecognisedHost {
  const Profile* profile = nullptr;
  std::string region;
  std::string bucket;  // of a virtual-host style name, "" otherwise
  std::string host;    // without the bucket
};
std::optional<RecognisedHost> RecogniseHost(std::string_view host);

/// A region's id from what the user wrote: an id or a human name, without regard to case; any other
/// id is taken as it is. kInvalidArgument for what can be neither.
Result<std::string> ResolveRegion(const Profile& profile, std::string_view text);

/// The wire name of a storage class from either of its names, without regard to case; "" for "".
/// kInvalidArgument.
Result<std::string> ResolveStorageClass(const Profile& profile, std::string_view text);

/// The host of a region, "" if the profile has no pattern.
std::string RegionHost(const Profile& profile, std::string_view region);

/// What the row promises. kProbe counts as no.
Capabilities ProfileCapabilities(const Profile& profile);

}  // namespace quayfs
