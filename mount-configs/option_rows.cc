// SPDX-License-Identifier: Apache-2.0

#include "mount-configs/option_rows.h"

#include <utility>

namespace quayfs {
namespace {

constexpr uint64_t kKiB = 1024;
constexpr uint64_t kMiB = 1024 * kKiB;
constexpr uint64_t kGiB = 1024 * kMiB;
constexpr uint64_t kTiB = 1024 * kGiB;
constexpr uint64_t kExtendedMax = 2147483646;  // protocol.md 4.2

constexpr std::string_view kProviderDecides = "the provider's own";
constexpr std::string_view kNone = "none";

const std::vector<std::string_view>& CannedAcls() {
  static const auto* const acls = new std::vector<std::string_view>{
      "private",       "public-read",       "public-read-write",         "authenticated-read",
      "aws-exec-read", "bucket-owner-read", "bucket-owner-full-control", "log-delivery-write",
      "default"};
  return *acls;
}

// clang-format off
// A getter for one field, as a plain function pointer.
#define QUAY_FIELD(name) (+[](MountConfig& config) -> auto& { return config.name; })
// The same for an enumeration whose values are the indexes of the choices.
#define QUAY_CHOICE(name)                                                              \
  (ChoiceBinding{[](MountConfig& config, size_t index) {                               \
                   config.name = static_cast<decltype(MountConfig::name)>(index);      \
                 },                                                                    \
                 [](const MountConfig& config) -> std::optional<size_t> {              \
                   return static_cast<size_t>(config.name);                            \
                 }})
// clang-format on

ChoiceBinding SignatureBinding() {
  return {[](MountConfig& config, size_t index) {
            config.store.signature_version = static_cast<s3::SignatureVersion>(index);
          },
          [](const MountConfig& config) -> std::optional<size_t> {
            if (!config.store.signature_version) return std::nullopt;
            return static_cast<size_t>(*config.store.signature_version);
          }};
}

ChoiceBinding RetryModeBinding() {
  return {[](MountConfig& config, size_t index) {
            config.store.retry_mode = static_cast<s3::RetryMode>(index);
          },
          [](const MountConfig& config) -> std::optional<size_t> {
            if (!config.store.retry_mode) return std::nullopt;
            return static_cast<size_t>(*config.store.retry_mode);
          }};
}

ChoiceBinding CredentialSourceBinding() {
  using From = CredentialRules::From;
  return {[](MountConfig& config, size_t index) {
            config.store.credential_rules.from = static_cast<From>(index);
          },
          [](const MountConfig& config) -> std::optional<size_t> {
            const From from = config.store.credential_rules.from;
            return from == From::kReload ? size_t{0} : static_cast<size_t>(from);
          }};
}

std::vector<Option> PlaceRows() {
  return {
      {.key = "name",
       .default_note = "the name of the file, without .toml",
       .help = "What this mount is called in messages, in df and in its default cache directory",
       .seed_name = "Storage Name",
       .example = "nightly",
       .aliases = {"instance_name", "fsname"},
       .binding = QUAY_FIELD(name)},
      {.key = "provider",
       .default_text = "s3",
       .help = "Who keeps the objects; \"quayfs providers\" lists them. \"local\" keeps them in a "
               "directory of this machine",
       .seed_name = "Provider",
       .example = "kodo",
       .binding = QUAY_FIELD(store.provider)},
      {.key = "bucket",
       .default_note = "required",
       .help = "The bucket, which must exist; with provider = \"local\" a directory",
       .seed_name = "Bucket name",
       .example = "nightly-backups",
       .binding = QUAY_FIELD(store.bucket)},
      {.key = "prefix",
       .default_note = "the whole bucket",
       .help = "Mount only the objects whose keys begin with this",
       .example = "host-a/",
       .aliases = {"subdir"},
       .binding = QUAY_FIELD(prefix)},
      {.key = "region",
       .default_note = kProviderDecides,
       .help = "The bucket's region: its id, the name that the vendor's console shows, or one of "
               "your own",
       .seed_name = "Region",
       .example = "East China-Zhejiang",
       .binding = QUAY_FIELD(store.region)},
      {.key = "zone",
       .default_note = kNone,
       .help = "QingStor: the bucket's zone, which goes before the endpoint's host; \"none\" for a "
               "private installation without zones",
       .seed_name = "Zone",
       .example = "sh1a",
       .provider_rules = {{"qingstor", "pek3a", "", ""}},
       .binding = QUAY_FIELD(store.zone)},
      {.key = "endpoint",
       .default_note = kProviderDecides,
       .help = "Where the service listens, beginning with http:// or https://, with a port and a "
               "path if need be",
       .seed_name = "Endpoint",
       .example = "https://s3.example.org:9000",
       .aliases = {"url", "endpoint_url"},
       .provider_rules = {{"qingstor", "https://qingstor.com:443", "", ""}},
       .binding = QUAY_FIELD(store.endpoint)},
      {.key = "parameters",
       .default_note = kNone,
       .help = "Extended parameters as one string, separated by semicolons; see [extended]",
       .seed_name = "Extended parameters",
       .example = "RetryCount=6;Use_PathStyle=true",
       .binding = QUAY_FIELD(parameters)},
  };
}

std::vector<Option> ObjectRows() {
  return {
      {.key = "storage_class",
       .default_note = "the bucket's own",
       .help = "Class of objects that are written: the name that the vendor's console shows, or "
               "the one on the wire",
       .seed_name = "Storage Type/Class",
       .example = "Infrequent Access",
       .binding = QUAY_FIELD(store.storage_class)},
      {.key = "acl",
       .type = OptionType::kChoice,
       .default_note = "the bucket's own",
       .help = "Access that others have to objects that are written",
       .seed_name = "ACL",
       .example = "private",
       .aliases = {"default_acl"},
       .choices = CannedAcls(),
       .binding = QUAY_FIELD(store.acl)},
      {.key = "bucket_acl",
       .type = OptionType::kChoice,
       .default_note = "that of acl",
       .help = "Access that others have to a bucket that create_bucket makes",
       .seed_name = "Bucket ACL",
       .example = "private",
       .choices = CannedAcls(),
       .binding = QUAY_FIELD(store.bucket_acl)},
      {.key = "create_bucket",
       .type = OptionType::kBool,
       .default_text = "false",
       .help = "Make the bucket if it is not there, in region and with bucket_acl",
       .example = "true",
       .binding = QUAY_FIELD(store.create_bucket)},
      {.key = "sse",
       .type = OptionType::kChoice,
       .default_note = "the bucket's own",
       .help = "Encryption at rest that is asked of the service",
       .seed_name = "Server-side Encryption",
       .example = "AES256",
       .aliases = {"server_side_encryption"},
       .choices = {"AES256", "aws:kms"},
       .binding = QUAY_FIELD(store.sse)},
      {.key = "sse_kms_key_id",
       .default_note = "the account's own key",
       .help = "Key for sse = \"aws:kms\"",
       .example = "arn:aws:kms:eu-west-1:111122223333:key/example",
       .binding = QUAY_FIELD(store.sse_kms_key_id)},
      {.key = "content_type",
       .type = OptionType::kChoice,
       .default_text = "by-name",
       .help = "Content-Type of files that are written: the one that belongs to the extension of "
               "the name, such as text/html, or application/octet-stream for all of them. A type "
               "that somebody has set stays",
       .example = "plain",
       .choices = {"by-name", "plain"},
       .binding = QUAY_CHOICE(content_type)},
      {.key = "native",
       .type = OptionType::kBool,
       .default_text = "false",
       .help = "Kodo: use its native API beside S3, for renames without a copy, for deletions, and "
               "for creating files without ever replacing what somebody else has just made (which "
               "takes two requests instead of one). It is not documented whether a move keeps an "
               "object's attributes: the first one is checked, and without that it is not used "
               "again",
       .example = "true",
       .binding = QUAY_FIELD(store.native)},
      {.key = "native_endpoint",
       .default_note = "that of the region",
       .help = "Kodo: where the resource manager of a private installation listens",
       .example = "https://rs.example.org",
       .binding = QUAY_FIELD(store.native_endpoint)},
      {.key = "native_bucket",
       .default_note = "that of bucket",
       .help = "Kodo: the bucket's own name, if its S3 name is another one",
       .example = "nightly",
       .binding = QUAY_FIELD(store.native_bucket)},
      {.key = "discovery_endpoint",
       .default_note = "Kodo's own, for buckets of Kodo's own",
       .help = "Kodo: the service of a private installation that knows the regions of buckets. It "
               "is asked, by quayfs check and by a mount that fails, when region is missing or "
               "seems to be wrong, and what it says is suggested",
       .example = "https://uc.example.org",
       .binding = QUAY_FIELD(store.discovery_endpoint)},
      {.key = "requester_pays",
       .type = OptionType::kBool,
       .default_text = "false",
       .help = "Agree to pay for requests and traffic to somebody else's bucket",
       .seed_name = "Requester Pays",
       .example = "true",
       .binding = QUAY_FIELD(store.requester_pays)},
  };
}

std::vector<Option> PromiseRows() {
  return {
      {.key = "conflict",
       .type = OptionType::kChoice,
       .default_text = "keep-both",
       .help = "When somebody else changed an object since our version: publish ours beside it, "
               "fail with ESTALE, or overwrite it",
       .example = "fail",
       .choices = {"keep-both", "fail", "overwrite"},
       .binding = QUAY_CHOICE(conflict)},
      {.key = "metadata",
       .type = OptionType::kChoice,
       .default_text = "posix",
       .help = "Store and read owners, modes, times and links as object metadata, or leave them "
               "alone and show fixed ones",
       .example = "plain",
       .choices = {"posix", "plain"},
       .binding = QUAY_CHOICE(metadata)},
      {.key = "consistency",
       .type = OptionType::kConsistency,
       .default_text = "60s",
       .help = "How long listings and attributes are trusted: a time, \"close-to-open\" (ask again "
               "at each open) or \"exclusive\" (nobody else writes here)",
       .example = "close-to-open",
       .binding = QUAY_FIELD(consistency)},
  };
}

}  // namespace

std::vector<Option> StoreRows() {
  std::vector<Option> rows = PlaceRows();
  for (Option& row : ObjectRows()) rows.push_back(std::move(row));
  for (Option& row : PromiseRows()) rows.push_back(std::move(row));
  return rows;
}

std::vector<Option> CredentialRows() {
  constexpr std::string_view kSection = "credentials";
  return {
      {.section = kSection,
       .key = "access_key_id",
       .type = OptionType::kSourced,
       .default_note = kNone,
       .help = "The access key. Without keys: qingstor reads anonymously, other providers want "
               "anonymous = true",
       .seed_name = "Access Key ID",
       .example = "AKIDEXAMPLE",
       .binding = QUAY_FIELD(store.credentials.access_key_id)},
      {.section = kSection,
       .key = "secret_access_key",
       .type = OptionType::kSecret,
       .default_note = kNone,
       .help = "The secret that belongs to it",
       .seed_name = "Secret Access Key",
       .binding = QUAY_FIELD(store.credentials.secret_access_key)},
      {.section = kSection,
       .key = "session_token",
       .type = OptionType::kSecret,
       .default_note = kNone,
       .help = "Token of temporary credentials",
       .binding = QUAY_FIELD(store.credentials.session_token)},
      {.section = kSection,
       .key = "env_auth",
       .type = OptionType::kBool,
       .default_text = "false",
       .help = "Take the keys from the environment if both are left blank; see ENVIRONMENT",
       .seed_name = "Environment Auth",
       .example = "true",
       .binding = QUAY_FIELD(env_auth)},
      {.section = kSection,
       .key = "source",
       .type = OptionType::kChoice,
       .default_text = "config",
       .help =
           "Where the keys come from: this file; the places where Amazon's tools look, in their "
           "order; a profile of ~/.aws; a web identity token (STS); the endpoint of a "
           "container; instance metadata (version 2). They are renewed before they expire",
       .example = "chain",
       .choices = {"config", "chain", "profile", "web-identity", "container", "instance"},
       .binding = CredentialSourceBinding()},
      {.section = kSection,
       .key = "profile",
       .default_note = "AWS_PROFILE, or default",
       .help = "Take the keys from this profile of ~/.aws/credentials and ~/.aws/config, with "
               "credential_process and web identity",
       .example = "nightly",
       .binding = QUAY_FIELD(store.credential_rules.profile)},
      {.section = kSection,
       .key = "passwd_file",
       .default_note = kNone,
       .help = "Take the keys from an s3fs password file: lines KEY:SECRET or BUCKET:KEY:SECRET",
       .example = "/etc/passwd-s3fs",
       .binding = QUAY_FIELD(passwd_file)},
      {.section = kSection,
       .key = "anonymous",
       .type = OptionType::kBool,
       .default_text = "false",
       .help = "Send requests without a signature",
       .example = "true",
       .aliases = {"no_sign_request", "public_bucket"},
       .binding = QUAY_FIELD(store.anonymous)},
      {.section = kSection,
       .key = "sse_customer_key",
       .type = OptionType::kSecret,
       .default_note = kNone,
       .help = "Key for encryption with a key of your own (SSE-C): 32 bytes in base64",
       .binding = QUAY_FIELD(store.sse_customer_key)},
  };
}

std::vector<Option> ExtendedRows() {
  constexpr std::string_view kSection = "extended";
  return {
      {.section = kSection,
       .key = "SignatureVersion",
       .type = OptionType::kChoice,
       .default_text = "",
       .default_note = "4",
       .help = "Version of the signature",
       .seed_name = "SignatureVersion",
       .example = "2",
       .aliases = {"sigv4=4", "sigv2=2"},
       .choices = {"4", "2"},
       .binding = SignatureBinding()},
      {.section = kSection,
       .key = "RetryInterval",
       .type = OptionType::kInteger,
       .default_note = "30000",
       .help = "Milliseconds to wait before connecting again after the connection was interrupted",
       .seed_name = "RetryInterval",
       .example = "10000",
       .max = kExtendedMax,
       .binding = QUAY_FIELD(store.retry_interval_ms)},
      {.section = kSection,
       .key = "RetryCount",
       .type = OptionType::kInteger,
       .default_note = "6",
       .help = "How often to connect again after the connection was interrupted; 0 for never",
       .seed_name = "RetryCount",
       .example = "6",
       .aliases = {"retries"},
       .max = kExtendedMax,
       .binding = QUAY_FIELD(store.retry_count)},
      {.section = kSection,
       .key = "RetryMode",
       .type = OptionType::kChoice,
       .default_note = kProviderDecides,
       .help = "How requests that did not succeed are repeated. Anything else counts as Legacy, "
               "with a warning",
       .seed_name = "RetryMode",
       .example = "Standard",
       .choices = {"Legacy", "Standard", "Adaptive"},
       .provider_rules = {{"s3", "Legacy", "", ""}},
       .binding = RetryModeBinding()},
      {.section = kSection,
       .key = "Allow_Insecure_SSL",
       .type = OptionType::kBool,
       .default_text = "false",
       .help = "Accept any certificate of the server. Whoever is on the way can then read and "
               "change everything; Cert_thumbprint is better",
       .seed_name = "Allow_Insecure_SSL",
       .example = "true",
       .aliases = {"no_check_certificate"},
       .binding = QUAY_FIELD(store.allow_insecure_tls)},
      {.section = kSection,
       .key = "Cert_thumbprint",
       .default_note = kNone,
       .help = "Accept only a server whose certificate has this thumbprint: SHA-1 (40 hex digits) "
               "or SHA-256 (64), blanks, colons and dashes allowed",
       .seed_name = "Cert_thumbprint",
       .example = "0123456789abcdef0123456789abcdef01234567",
       .binding = QUAY_FIELD(store.certificate_thumbprint)},
      {.section = kSection,
       .key = "Use_PathStyle",
       .type = OptionType::kBool,
       .default_note = kProviderDecides,
       .help = "Address the bucket in the path of the URL instead of the host name",
       .seed_name = "Use_PathStyle",
       .example = "true",
       .aliases = {"use_path_request_style", "force_path_style"},
       .binding = QUAY_FIELD(store.path_style)},
      {.section = kSection,
       .key = "Use_ClientMultiUpload",
       .type = OptionType::kBool,
       .default_note = "true",
       .help = "Send large files in parts; without it files of more than 5 GiB cannot be written",
       .seed_name = "Use_ClientMultiUpload",
       .example = "true",
       .aliases = {"nomultipart=false"},
       .binding = QUAY_FIELD(store.client_multipart)},
      {.section = kSection,
       .key = "Use_UnsignedPayload",
       .type = OptionType::kBool,
       .default_note = kProviderDecides,
       .help = "Leave the body out of the signature; over https:// only",
       .seed_name = "Use_UnsignedPayload",
       .example = "true",
       .aliases = {"enable_unsigned_payload"},
       .binding = QUAY_FIELD(store.unsigned_payload)},
  };
}

std::vector<Option> LocalRows() {
  constexpr std::string_view kCache = "cache";
  constexpr std::string_view kDurability = "durability";
  return {
      {.section = kCache,
       .key = "directory",
       .default_note = "/var/cache/quayfs/NAME for root, else ~/.cache/quayfs/NAME",
       .help = "Where files wait for their upload and what was read is kept. One mount each, made "
               "with mode 0700",
       .example = "/var/cache/quayfs/nightly",
       .aliases = {"use_cache", "cache_dir"},
       .binding = QUAY_FIELD(cache.directory)},
      {.section = kCache,
       .key = "size",
       .type = OptionType::kSize,
       .default_text = "10GiB",
       .help = "How much of what was read is kept. What is not in the bucket yet comes on top and "
               "is never dropped",
       .example = "20GiB",
       .aliases = {"vfs_cache_max_size"},
       .min = kMiB,
       .max = 1024 * kTiB,
       .binding = QUAY_FIELD(cache.size)},
      {.section = kCache,
       .key = "dirty_limit",
       .type = OptionType::kSize,
       .default_text = "16GiB",
       .help =
           "How much may wait for its upload. From half of it on writers are slowed down towards "
           "the speed at which the store takes data, and stop at the limit until there is less",
       .example = "4GiB",
       .min = kMiB,
       .max = 1024 * kTiB,
       .binding = QUAY_FIELD(cache.dirty_limit)},
      {.section = kCache,
       .key = "block_size",
       .type = OptionType::kSize,
       .default_text = "128KiB",
       .help = "The least that a read at a random place fetches",
       .example = "64KiB",
       .min = 4 * kKiB,
       .max = 16 * kMiB,
       .binding = QUAY_FIELD(cache.block_size)},
      {.section = kCache,
       .key = "fetch_size",
       .type = OptionType::kSize,
       .default_text = "8MiB",
       .help = "What one request of a sequential reader fetches",
       .example = "16MiB",
       .min = 128 * kKiB,
       .max = kGiB,
       .binding = QUAY_FIELD(cache.fetch_size)},
      {.section = kCache,
       .key = "read_ahead",
       .type = OptionType::kSize,
       .default_text = "64MiB",
       .help = "How far ahead of a sequential reader to fetch, at most, for each open file",
       .example = "128MiB",
       .max = 16 * kGiB,
       .binding = QUAY_FIELD(cache.read_ahead)},
      {.section = kCache,
       .key = "memory",
       .type = OptionType::kSize,
       .default_text = "64MiB",
       .help = "Memory for small files while they are being sent",
       .example = "32MiB",
       .min = kMiB,
       .max = 64 * kGiB,
       .binding = QUAY_FIELD(cache.memory)},
      {.section = kDurability,
       .key = "fsync",
       .type = OptionType::kChoice,
       .default_text = "remote",
       .help = "fsync returns when the file, and every earlier change to its path, is in the "
               "bucket, or "
               "when it is safe on the local disk",
       .example = "local",
       .choices = {"remote", "local"},
       .binding = QUAY_CHOICE(fsync)},
      {.section = kDurability,
       .key = "close",
       .type = OptionType::kChoice,
       .default_text = "local",
       .help =
           "close returns at once while the upload follows, or it uploads and reports the error",
       .example = "remote",
       .choices = {"local", "remote"},
       .binding = QUAY_CHOICE(close)},
  };
}

std::vector<Option> TransferRows() {
  constexpr std::string_view kSection = "transfer";
  return {
      {.section = kSection,
       .key = "max_in_flight",
       .type = OptionType::kInteger,
       .default_text = "32",
       .help = "Requests for contents at the same time",
       .example = "64",
       .aliases = {"transfers", "max_uploads"},
       .min = 1,
       .max = 1024,
       .binding = QUAY_FIELD(transfer.max_in_flight)},
      {.section = kSection,
       .key = "upload_cutoff",
       .type = OptionType::kSize,
       .default_text = "8MiB",
       .help = "Larger files are uploaded in chunks; 0 for all files",
       .seed_name = "Upload Cutoff",
       .example = "200MiB",
       .max = 5 * kGiB,
       .provider_rules = {{"qingstor", "200MiB", "", ""}},
       .binding = QUAY_FIELD(transfer.upload_cutoff)},
      {.section = kSection,
       .key = "chunk_size",
       .type = OptionType::kSize,
       .default_text = "16MiB",
       .help = "Size of the chunks; it grows with the file so that no service's limit is met",
       .seed_name = "Chunk Size",
       .example = "32MiB",
       .min = kMiB,
       .max = 5 * kGiB,
       .provider_rules = {{"qingstor", "4MiB", "4MiB", "1GiB"}, {"kodo", "", "", "1GiB"}},
       .binding = QUAY_FIELD(transfer.chunk_size)},
      {.section = kSection,
       .key = "upload_concurrency",
       .type = OptionType::kInteger,
       .default_note = "as many as max_in_flight allows",
       .help = "Chunks of the same file that are uploaded at the same time",
       .seed_name = "Upload Concurrency",
       .example = "8",
       .min = 1,
       .max = 64,
       .provider_rules = {{"qingstor", "1", "", ""}},
       .binding = QUAY_FIELD(transfer.upload_concurrency)},
  };
}

std::vector<Option> NetworkRows() {
  constexpr std::string_view kSection = "network";
  std::vector<Option> rows = {
      {.section = kSection,
       .key = "connection_retries",
       .type = OptionType::kInteger,
       .default_note = "that of RetryCount",
       .help = "How often to connect again; another name for RetryCount",
       .seed_name = "Connection Retries",
       .example = "3",
       .max = kExtendedMax,
       .provider_rules = {{"qingstor", "3", "", ""}},
       .binding = QUAY_FIELD(connection_retries)},
      {.section = kSection,
       .key = "connect_timeout",
       .type = OptionType::kDuration,
       .default_note = "15s",
       .help = "How long to wait for a connection",
       .example = "5s",
       .min = 1,
       .max = 3600,
       .binding = QUAY_FIELD(store.connect_timeout)},
      {.section = kSection,
       .key = "stall_timeout",
       .type = OptionType::kDuration,
       .default_note = "30s",
       .help = "A transfer that has not moved for so long is given up and tried again",
       .example = "60s",
       .aliases = {"readwrite_timeout"},
       .min = 1,
       .max = 3600,
       .binding = QUAY_FIELD(store.stall_timeout)},
      {.section = kSection,
       .key = "max_connections",
       .type = OptionType::kInteger,
       .default_text = "128",
       .help = "Connections to one host at the same time",
       .example = "64",
       .min = 1,
       .max = 1024,
       .binding = QUAY_FIELD(store.max_connections)},
      {.section = kSection,
       .key = "ipv6",
       .type = OptionType::kBool,
       .default_text = "true",
       .help = "Use IPv6 where the name of the endpoint has such an address",
       .example = "false",
       .binding = QUAY_FIELD(store.ipv6)},
      {.section = kSection,
       .key = "proxy",
       .default_note = kNone,
       .help = "Go through this proxy, whatever the environment says: http://, https:// or "
               "socks5h://",
       .example = "http://proxy.example.org:3128",
       .binding = QUAY_FIELD(store.proxy)},
  };
  for (Option& row : std::vector<Option>{
           {.section = kSection,
  .key = "ca_file",
  .default_note = "the system's",
  .help = "Certificates of the authorities that are trusted, as a PEM file",
  .example = "/etc/quayfs/ca.pem",
  .aliases = {"ca_bundle"},
  .binding = QUAY_FIELD(store.ca_file)},
           {.section = kSection,
           .key = "client_certificate",
           .default_note = kNone,
           .help = "Our own certificate, as a PEM file, for servers that want one",
           .example = "/etc/quayfs/client.pem",
           .binding = QUAY_FIELD(store.client_certificate)},
           {.section = kSection,
           .key = "client_key",
           .default_note = kNone,
           .help = "The key that belongs to client_certificate, as a PEM file",
           .example = "/etc/quayfs/client.key",
           .binding = QUAY_FIELD(store.client_key)},
           {.section = kSection,
           .key = "upload_limit",
           .type = OptionType::kSize,
           .default_text = "0",
           .help = "Bytes per second that are sent at most; 0 for no limit",
           .example = "20MiB",
           .binding = QUAY_FIELD(store.upload_limit)},
           {.section = kSection,
           .key = "download_limit",
           .type = OptionType::kSize,
           .default_text = "0",
           .help = "Bytes per second that are fetched at most; 0 for no limit",
           .example = "20MiB",
           .binding = QUAY_FIELD(store.download_limit)},
           {.section = kSection,
           .key = "headers",
           .type = OptionType::kHeaders,
           .default_note = kNone,
           .help = "Headers to add to every request, as a list",
           .example = "X-Department: archive",
           .binding = QUAY_FIELD(store.extra_headers)},
       }) {
    rows.push_back(std::move(row));
  }
  return rows;
}

std::vector<Option> MountRows() {
  constexpr std::string_view kSection = "mount";
  std::vector<Option> rows = {
      {.section = kSection,
       .key = "read_only",
       .type = OptionType::kBool,
       .default_text = "false",
       .help = "Refuse every change",
       .example = "true",
       .aliases = {"ro=true", "rw=false"},
       .binding = QUAY_FIELD(mount.read_only)},
      {.section = kSection,
       .key = "allow_other",
       .type = OptionType::kBool,
       .default_text = "false",
       .help = "Let other users in, as far as modes and owners allow. A user who is not root needs "
               "user_allow_other in /etc/fuse.conf",
       .example = "true",
       .binding = QUAY_FIELD(mount.allow_other)},
      {.section = kSection,
       .key = "uid",
       .type = OptionType::kUser,
       .default_note = "whoever mounts",
       .help = "Owner of objects that carry none: a number or a name",
       .example = "backup",
       .binding = QUAY_FIELD(mount.uid)},
      {.section = kSection,
       .key = "gid",
       .type = OptionType::kGroup,
       .default_note = "the group of whoever mounts",
       .help = "Group of objects that carry none: a number or a name",
       .example = "backup",
       .binding = QUAY_FIELD(mount.gid)},
      {.section = kSection,
       .key = "umask",
       .type = OptionType::kMode,
       .default_text = "0000",
       .help = "Permissions taken away from file_mode and dir_mode",
       .example = "0077",
       .max = 0777,
       .binding = QUAY_FIELD(mount.umask)},
      {.section = kSection,
       .key = "file_mode",
       .type = OptionType::kMode,
       .default_text = "0644",
       .help = "Permissions of files that carry none",
       .example = "0640",
       .aliases = {"file_perms"},
       .max = 0777,
       .binding = QUAY_FIELD(mount.file_mode)},
      {.section = kSection,
       .key = "dir_mode",
       .type = OptionType::kMode,
       .default_text = "0755",
       .help = "Permissions of directories that carry none",
       .example = "0750",
       .aliases = {"dir_perms"},
       .max = 0777,
       .binding = QUAY_FIELD(mount.directory_mode)},
  };
  rows.push_back({.section = kSection,
                  .key = "trust_special",
                  .type = OptionType::kBool,
                  .default_text = "false",
                  .help = "Set-uid and set-gid bits and device files that are found in the bucket "
                          "count; whoever can write to the bucket can then become root here",
                  .example = "true",
                  .binding = QUAY_FIELD(mount.trust_special)});
  rows.push_back({.section = kSection,
                  .key = "folder_times",
                  .type = OptionType::kBool,
                  .default_text = "false",
                  .help =
                      "The bucket learns when something was made or removed in a folder, too; a "
                      "request per changed folder, some seconds after the last change",
                  .example = "true",
                  .binding = QUAY_FIELD(mount.folder_times)});
  rows.push_back({.section = kSection,
                  .key = "interrupt_grace",
                  .type = OptionType::kDuration,
                  .default_text = "10s",
                  .help = "How long a call goes on after its process got a signal, before it fails "
                          "with EINTR",
                  .example = "30s",
                  .max = 3600,
                  .binding = QUAY_FIELD(mount.interrupt_grace)});
  rows.push_back({.section = kSection,
                  .key = "timeout",
                  .type = OptionType::kDuration,
                  .default_text = "0s",
                  .help = "How long a call that needs the store waits while the store does not "
                          "answer, before it fails; 0 waits until it does",
                  .example = "5m",
                  .max = 30 * 86400,
                  .binding = QUAY_FIELD(mount.timeout)});
  rows.push_back({.section = kSection,
                  .key = "start_timeout",
                  .type = OptionType::kDuration,
                  .default_note = "15s; 90s with _netdev, which says that the network may just be "
                                  "coming up",
                  .help = "How long mounting waits for the network and the store before it fails",
                  .example = "2m",
                  .min = 1,
                  .max = 86400,
                  .binding = QUAY_FIELD(mount.start_timeout)});
  rows.push_back({.section = kSection,
                  .key = "capacity",
                  .type = OptionType::kSize,
                  .default_note = "the store's own where it tells (local: of the folder's file "
                                  "system), else 1PiB",
                  .help = "The size of the file system that df shows",
                  .example = "10TiB",
                  .aliases = {"bucket_size"},
                  .min = kMiB,
                  .max = 8ull << 60,
                  .binding = QUAY_FIELD(mount.capacity)});
  rows.push_back({.section = "log",
                  .key = "level",
                  .type = OptionType::kChoice,
                  .default_text = "info",
                  .help = "The least important messages that are still written",
                  .example = "debug",
                  .choices = {"debug", "info", "warning", "error"},
                  .binding = QUAY_CHOICE(log_level)});
  rows.push_back({.section = "log",
                  .key = "format",
                  .type = OptionType::kChoice,
                  .default_text = "text",
                  .help = "How a line of the log looks: key=value for people, or an object of JSON",
                  .example = "json",
                  .choices = {"text", "json"},
                  .binding = QUAY_CHOICE(log_format)});
  rows.push_back(
      {.section = "metrics",
       .key = "port",
       .type = OptionType::kInteger,
       .default_note = "none is opened",
       .help = "A port of 127.0.0.1 at which Prometheus may ask for this mount's metrics",
       .example = "9817",
       .min = 1,
       .max = 65535,
       .binding = QUAY_FIELD(metrics_port)});
  return rows;
}

#undef QUAY_FIELD
#undef QUAY_CHOICE

}  // namespace quayfs
