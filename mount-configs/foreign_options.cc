// SPDX-License-Identifier: Apache-2.0

#include "mount-configs/foreign_options.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <utility>

#include "base/text.h"

namespace quayfs {
namespace {

using Meaning = ForeignOption::Meaning;

/// How a value is written there, and becomes one of ours.
enum class Units {
  kSame,
  kMebibytes,    // a number of MiB
  kSeconds,      // a number of seconds
  kSwitch,       // no value, or 0 or 1
  kNotSwitch,    // the same, the other way round
  kLogLevel,     // of syslog
  kEncryption,   // of s3fs: nothing, 1, kmsid[:ID], custom...
  kIpVersion,    // ipv4, ipv6, whatever
  kMetadataTtl,  // seconds, "minimal" or "indefinite"
  kRegionName,   // no URL: the name of a region
};

struct ForeignRow {
  std::string_view name;
  Meaning meaning;
  std::string_view text;  // target, or why
  Units units = Units::kSame;
};

constexpr std::string_view kByItself = "quayfs does so by itself";
constexpr std::string_view kNothing = "it has no meaning here";
constexpr std::string_view kChecked = "quayfs check finds out what the store can do";
constexpr std::string_view kKernel = "quayfs settles that with the kernel by itself";
constexpr std::string_view kKeys = "say in [credentials] of a mount config where the keys are";

constexpr auto kRename = Meaning::kRename;
constexpr auto kIgnore = Meaning::kIgnore;
constexpr auto kRefuse = Meaning::kRefuse;

// Meanings are those of the programs' manuals.
constexpr std::array kRows = {
    // s3fs
    ForeignRow{"url", kRename, "endpoint"},
    ForeignRow{"host", kRename, "endpoint"},
    ForeignRow{"endpoint", kRename, "region", Units::kRegionName},
    ForeignRow{"use_path_request_style", kRename, "use_pathstyle", Units::kSwitch},
    ForeignRow{"use_cache", kRename, "cache.directory"},
    ForeignRow{"tmpdir", kIgnore, "everything is kept in cache.directory"},
    ForeignRow{"check_cache_dir_exist", kIgnore, "cache.directory is made where it is missing"},
    ForeignRow{"del_cache", kIgnore, "what waits in the cache for its upload is never deleted"},
    ForeignRow{"ensure_diskfree", kIgnore, "cache.size limits the cache"},
    ForeignRow{"free_space_ratio", kIgnore, "cache.size limits the cache"},
    ForeignRow{"multipart_size", kRename, "transfer.chunk_size", Units::kMebibytes},
    ForeignRow{"multipart_threshold", kRename, "transfer.upload_cutoff", Units::kMebibytes},
    ForeignRow{"multipart_copy_size", kIgnore, kByItself},
    ForeignRow{"singlepart_copy_limit", kIgnore, kByItself},
    ForeignRow{"max_dirty_data", kIgnore, "large files are sent while they are written"},
    ForeignRow{"bufferquick", kIgnore, kNothing},
    ForeignRow{"fake_diskfree", kIgnore, kNothing},
    ForeignRow{"max_thread_count", kRename, "transfer.max_in_flight"},
    ForeignRow{"parallel_count", kRename, "transfer.max_in_flight"},
    ForeignRow{"multireq_max", kIgnore, kByItself},
    ForeignRow{"list_object_max_keys", kIgnore, kByItself},
    ForeignRow{"retries", kRename, "extended.RetryCount"},
    ForeignRow{"connect_timeout", kRename, "network.connect_timeout", Units::kSeconds},
    ForeignRow{"readwrite_timeout", kRename, "network.stall_timeout", Units::kSeconds},
    ForeignRow{"stat_cache_expire", kRename, "consistency", Units::kSeconds},
    ForeignRow{"stat_cache_interval_expire", kRename, "consistency", Units::kSeconds},
    ForeignRow{"max_stat_cache_size", kIgnore, kByItself},
    ForeignRow{"disable_noobj_cache", kIgnore, "consistency says how long things are trusted"},
    ForeignRow{"enable_noobj_cache", kIgnore, kByItself},
    ForeignRow{"enable_negative_cache", kIgnore, kByItself},
    ForeignRow{"no_time_stamp_msg", kIgnore, kNothing},
    ForeignRow{"default_acl", kRename, "acl"},
    ForeignRow{"use_rrs", kRename, "storage_class=REDUCED_REDUNDANCY"},
    ForeignRow{"use_sse", kRename, "sse", Units::kEncryption},
    ForeignRow{"load_sse_c", kRefuse, "put credentials.sse_customer_key into a mount config"},
    ForeignRow{"public_bucket", kRename, "credentials.anonymous", Units::kSwitch},
    ForeignRow{"iam_role", kRefuse, kKeys},
    ForeignRow{"ecs", kRefuse, kKeys},
    ForeignRow{"ibm_iam_auth", kRefuse, kKeys},
    ForeignRow{"ibm_iam_endpoint", kRefuse, kKeys},
    ForeignRow{"credlib", kRefuse, kKeys},
    ForeignRow{"credlib_opts", kRefuse, kKeys},
    ForeignRow{"use_session_token", kRefuse, kKeys},
    ForeignRow{"imdsv1only", kIgnore, kNothing},
    ForeignRow{"no_check_certificate", kRename, "extended.Allow_Insecure_SSL", Units::kSwitch},
    ForeignRow{"ssl_verify_hostname", kRefuse,
               "extended.Cert_thumbprint accepts a certificate whatever its name"},
    ForeignRow{"ssl_client_cert", kRefuse, "that is network.client_certificate and client_key"},
    ForeignRow{"proxy_cred_file", kRefuse, "put network.proxy into a mount config"},
    ForeignRow{"ipresolve", kRename, "network.ipv6", Units::kIpVersion},
    ForeignRow{"mp_umask", kRename, "mount.umask"},
    ForeignRow{"sigv2", kRename, "extended.SignatureVersion=2"},
    ForeignRow{"sigv4", kRename, "extended.SignatureVersion=4"},
    ForeignRow{"nomultipart", kRename, "extended.Use_ClientMultiUpload", Units::kNotSwitch},
    ForeignRow{"enable_unsigned_payload", kRename, "extended.Use_UnsignedPayload", Units::kSwitch},
    ForeignRow{"streamupload", kIgnore, kByItself},
    ForeignRow{"use_xattr", kIgnore, kByItself},
    ForeignRow{"nocopyapi", kIgnore, kChecked},
    ForeignRow{"norenameapi", kIgnore, kChecked},
    ForeignRow{"nomixupload", kIgnore, kChecked},
    ForeignRow{"listobjectsv2", kIgnore, kByItself},
    ForeignRow{"compat_dir", kIgnore, kByItself},
    ForeignRow{"notsup_compat_dir", kIgnore, kByItself},
    ForeignRow{"complement_stat", kIgnore, kByItself},
    ForeignRow{"enable_content_md5", kIgnore, kByItself},
    ForeignRow{"update_parent_dir_stat", kIgnore, kByItself},
    ForeignRow{"hard_remove", kIgnore, kByItself},
    ForeignRow{"mime", kIgnore, kByItself},
    ForeignRow{"ahbe_conf", kRefuse, "put network.headers into a mount config"},
    ForeignRow{"bucket_size", kRename, "mount.capacity"},
    ForeignRow{"instance_name", kRename, "name"},
    ForeignRow{"dbglevel", kRename, "log.level", Units::kLogLevel},
    ForeignRow{"curldbg", kIgnore, "log.level=debug shows the requests"},
    ForeignRow{"set_check_cache_sigusr1", kIgnore, kNothing},
    ForeignRow{"servicepath", kRefuse, "append the path to endpoint"},
    // rclone
    ForeignRow{"vfs_cache_mode", kIgnore, kByItself},
    ForeignRow{"vfs_write_back", kIgnore, kByItself},
    ForeignRow{"vfs_cache_max_size", kRename, "cache.size"},
    ForeignRow{"vfs_cache_max_age", kIgnore, kByItself},
    ForeignRow{"vfs_cache_min_free_space", kIgnore, "cache.size limits the cache"},
    ForeignRow{"dir_cache_time", kRename, "consistency"},
    ForeignRow{"bwlimit", kRefuse, "use network.upload_limit and network.download_limit"},
    ForeignRow{"transfers", kRename, "transfer.max_in_flight"},
    ForeignRow{"args2env", kIgnore, kNothing},
    // mountpoint, geesefs, juicefs
    ForeignRow{"allow_delete", kIgnore, kByItself},
    ForeignRow{"allow_overwrite", kIgnore, kByItself},
    ForeignRow{"force_path_style", kRename, "use_pathstyle", Units::kSwitch},
    ForeignRow{"no_sign_request", kRename, "credentials.anonymous", Units::kSwitch},
    ForeignRow{"max_cache_size", kRename, "cache.size", Units::kMebibytes},
    ForeignRow{"metadata_ttl", kRename, "consistency", Units::kMetadataTtl},
    ForeignRow{"negative_metadata_ttl", kIgnore, "consistency says how long things are trusted"},
    ForeignRow{"upload_checksums", kIgnore, kByItself},
    ForeignRow{"writeback", kIgnore, kByItself},
    ForeignRow{"memory_limit", kIgnore, kByItself},
    // libfuse's and the kernel's own
    ForeignRow{"allow_root", kRefuse, "use allow_other; owners and modes still count"},
    ForeignRow{"kernel_cache", kIgnore, kKernel},
    ForeignRow{"auto_cache", kIgnore, kKernel},
    ForeignRow{"direct_io", kIgnore, kKernel},
    ForeignRow{"big_writes", kIgnore, kKernel},
    ForeignRow{"large_read", kIgnore, kKernel},
    ForeignRow{"max_read", kIgnore, kKernel},
    ForeignRow{"max_write", kIgnore, kKernel},
    ForeignRow{"max_readahead", kIgnore, kKernel},
    ForeignRow{"max_background", kIgnore, kKernel},
    ForeignRow{"congestion_threshold", kIgnore, kKernel},
    ForeignRow{"attr_timeout", kIgnore, "consistency says how long things are trusted"},
    ForeignRow{"entry_timeout", kIgnore, "consistency says how long things are trusted"},
    ForeignRow{"negative_timeout", kIgnore, "consistency says how long things are trusted"},
    ForeignRow{"use_ino", kIgnore, kKernel},
    ForeignRow{"readdir_ino", kIgnore, kKernel},
};

std::string Flat(std::string_view name) {
  while (!name.empty() && name.front() == '-') name.remove_prefix(1);
  std::string flat = ToLower(name);
  std::replace(flat.begin(), flat.end(), '-', '_');
  return flat;
}

const ForeignRow* FindRow(std::string_view name) {
  const std::string flat = Flat(name);
  const auto* const row = std::find_if(
      kRows.begin(), kRows.end(), [&flat](const ForeignRow& each) { return each.name == flat; });
  return row == kRows.end() ? nullptr : row;
}

bool IsNumber(std::string_view text) {
  return !text.empty() && text.find_first_not_of("0123456789") == std::string_view::npos;
}

Error BadValue(const ForeignRow& row, std::string_view value, std::string_view wanted) {
  return Error(Code::kInvalidArgument,
               fmt::format("'{}' must be {}, not '{}'", row.name, wanted, value));
}

Result<std::string> SwitchOf(const ForeignRow& row, const std::optional<std::string>& value,
                             bool as_it_is) {
  const std::string text = ToLower(value.value_or("1"));
  const bool on = text == "1" || text == "true" || text == "yes" || text == "on";
  const bool off = text == "0" || text == "false" || text == "no" || text == "off";
  if (!on && !off) return BadValue(row, text, "0 or 1");
  return std::string(on == as_it_is ? "true" : "false");
}

Result<std::string> LogLevelOf(const ForeignRow& row, const std::string& value) {
  const std::string text = ToLower(value);
  if (text == "crit" || text == "critical" || text == "err" || text == "error")
    return std::string("error");
  if (text == "warn" || text == "warning") return std::string("warning");
  if (text == "info" || text == "inf") return std::string("info");
  if (text == "dbg" || text == "debug") return std::string("debug");
  return BadValue(row, value, "one of crit, err, warn, info, dbg");
}

Result<std::string> EncryptionOf(const std::optional<std::string>& value) {
  const std::string text = ToLower(value.value_or("1"));
  if (text == "1" || text == "type1") return std::string("AES256");
  if (text == "kmsid" || text == "k") return std::string("aws:kms");
  return Error(Code::kInvalidArgument,
               "'use_sse' with a key: put sse and sse_kms_key_id, or credentials.sse_customer_key, "
               "into a mount config");
}

Result<std::string> Convert(const ForeignRow& row, const std::optional<std::string>& value) {
  switch (row.units) {
    case Units::kSwitch:
      return SwitchOf(row, value, true);
    case Units::kNotSwitch:
      return SwitchOf(row, value, false);
    case Units::kEncryption:
      return EncryptionOf(value);
    default:
      break;
  }
  std::string text = value.value_or("");
  switch (row.units) {
    case Units::kMebibytes:
      return IsNumber(text) ? text + "MiB" : text;
    case Units::kSeconds:
      return IsNumber(text) ? text + "s" : text;
    case Units::kLogLevel:
      return LogLevelOf(row, text);
    case Units::kIpVersion:
      return std::string(ToLower(text) == "ipv4" ? "false" : "true");
    case Units::kMetadataTtl:
      if (text == "minimal") return std::string("close-to-open");
      if (text == "indefinite") return std::string("exclusive");
      return IsNumber(text) ? text + "s" : text;
    default:
      return text;
  }
}

/// As ours it would be the same name with a value that fits: nobody has to be told.
bool IsMeantAsOurs(const ForeignRow& row, const std::string& value) {
  switch (row.units) {
    case Units::kRegionName:
      return value.find_first_of(":/.") != std::string::npos;
    case Units::kSeconds:
      return row.name == "connect_timeout" && !IsNumber(value);
    default:
      return false;
  }
}

}  // namespace

Result<ForeignOption> FindForeignOption(std::string_view name,
                                        const std::optional<std::string>& value) {
  const ForeignRow* const row = FindRow(name);
  if (row == nullptr || IsMeantAsOurs(*row, value.value_or(""))) return ForeignOption{};
  ForeignOption option;
  option.meaning = row->meaning;
  if (row->meaning == kIgnore) {
    if (row->text != kKernel) option.hint = fmt::format("'{}' is ignored: {}", name, row->text);
    return option;
  }
  if (row->meaning == kRefuse) {
    option.hint = fmt::format("'{}' is not known here: {}", name, row->text);
    return option;
  }
  option.target = row->text;
  if (const size_t equals = option.target.find('='); equals != std::string::npos) {
    option.value = option.target.substr(equals + 1);
    option.target.resize(equals);
  } else {
    QUAY_ASSIGN(option.value, Convert(*row, value));
  }
  option.hint = fmt::format("'{}' is called {}={} here", name, option.target, option.value);
  return option;
}

std::vector<std::string> ForeignOptionNames() {
  std::vector<std::string> names;
  names.reserve(kRows.size());
  for (const ForeignRow& row : kRows) names.emplace_back(row.name);
  return names;
}

}  // namespace quayfs
