// SPDX-License-Identifier: Apache-2.0
//
// One mount, as its TOML file and the -o options describe it. Plain data: the program translates it
// into the config structs of the rooms, none of which ever sees TOML. Sizes are bytes.
// Thread-compatible.

#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/log.h"
#include "base/log_format.h"
#include "providers/config.h"

namespace quayfs {

struct MountConfig {
  enum class Fsync { kRemote, kLocal };
  enum class Close { kLocal, kRemote };
  enum class Conflict { kKeepBoth, kFail, kOverwrite };
  enum class Metadata { kPosix, kPlain };
  enum class ContentType { kByName, kPlain };
  enum class Trust { kTtl, kCloseToOpen, kExclusive };

  /// How long what is known of the bucket is believed; `ttl` counts only with kTtl.
  struct Consistency {
    Trust trust = Trust::kTtl;
    Duration ttl = std::chrono::seconds(60);
    friend bool operator==(const Consistency&, const Consistency&) = default;
  };

  struct CacheOptions {
    std::string directory;  // never empty after loading
    uint64_t size = 10ull << 30;
    uint64_t dirty_limit = 16ull << 30;
    uint64_t block_size = 128ull << 10;
    uint64_t fetch_size = 8ull << 20;
    uint64_t read_ahead = 64ull << 20;
    uint64_t memory = 64ull << 20;  // for small files that are being sent
  };

  struct TransferOptions {
    uint64_t max_in_flight = 32;
    uint64_t upload_cutoff = 8ull << 20;  // larger files go in chunks; 0: all do
    uint64_t chunk_size = 16ull << 20;
    std::optional<uint64_t>
        upload_concurrency;  // chunks of one file; absent: only max_in_flight limits
  };

  struct MountOptions {
    bool read_only = false;
    bool allow_other = false;
    std::optional<uint32_t> uid;  // owner of objects that carry none; absent: whoever mounts
    std::optional<uint32_t> gid;
    uint32_t umask = 0;         // taken away from the two modes below
    uint32_t file_mode = 0644;  // of objects that carry none
    uint32_t directory_mode = 0755;
    bool trust_special =
        false;  // set-uid and set-gid bits and device files found in the bucket count
    Duration interrupt_grace = std::chrono::seconds(10);
    Duration timeout{0};  // 0: none
    /// How long mounting waits for the store; absent: the program decides, by needs_network.
    std::optional<Duration> start_timeout;
    bool needs_network = false;        // "_netdev": the network may just be coming up
    bool folder_times = false;         // in the bucket, too
    std::optional<uint64_t> capacity;  // what df shows; absent: what the store says
    /// Flags for the kernel that came with -o, such as "noexec" or "noatime", to be handed on as
    /// they are.
    std::vector<std::string> kernel_flags;
  };

  std::string
      name;  // of the file without .toml, unless it says otherwise; never empty after loading
  std::string path;       // of the file this came from
  std::string prefix;     // "" or ends with '/'
  StoreConfig store;      // with the credentials in it, unless LoadOptions said not to fetch them
  bool env_auth = false;  // already followed, as are the three below
  std::string passwd_file;
  std::string parameters;  // the string of extended parameters, as it was written
  std::optional<int64_t> connection_retries;

  Fsync fsync = Fsync::kRemote;
  Close close = Close::kLocal;
  Conflict conflict = Conflict::kKeepBoth;
  Metadata metadata = Metadata::kPosix;
  Consistency consistency;
  ContentType content_type = ContentType::kByName;
  CacheOptions cache;
  TransferOptions transfer;
  MountOptions mount;
  LogLevel log_level = LogLevel::kInfo;
  LogFormat log_format = LogFormat::kText;
  std::optional<int64_t> metrics_port;  // of the loopback interface

  /// Where each secret came from, as TOML that is safe to show: "credentials.secret_access_key" ->
  /// `{ file = "/etc/quayfs/n.secret" }`. A secret that stands in the file itself is not listed.
  std::map<std::string, std::string> secret_sources;
  /// Where the keys in `store.credentials` came from if that is neither the file nor one of those:
  /// "the environment variables A and B", "the password file /etc/passwd-s3fs". "" otherwise.
  std::string keys_from;
  /// What deserves a second look but does not stop a mount; one sentence each, with file and line.
  std::vector<std::string> warnings;
};

}  // namespace quayfs
