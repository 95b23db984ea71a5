// SPDX-License-Identifier: Apache-2.0

#include "mount-configs/import.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <optional>
#include <utility>
#include <vector>

#include "base/hash.h"
#include "base/text.h"
#include "mount-configs/loader.h"
#include "mount-configs/url_text.h"
#include "mount-configs/values.h"
#include "providers/credentials/aws_profile.h"

namespace quayfs {
namespace {

using Settings = AwsProfile;

std::string Setting(const Settings& settings, const std::string& name) {
  const auto found = settings.find(name);
  return found == settings.end() ? "" : found->second;
}

/// The lines of a config, in sections.
class Writer {
 public:
  void Top(std::string_view key, std::string_view value) { Line(&top_, key, value); }
  void Flag(std::string_view key) { top_ += fmt::format("{} = true\n", key); }
  void Credential(std::string_view key, std::string_view value) { Line(&credentials_, key, value); }
  void CredentialFlag(std::string_view key) { credentials_ += fmt::format("{} = true\n", key); }
  void Extended(std::string_view key, std::string_view value) { Line(&extended_, key, value); }
  void Transfer(std::string_view key, std::string_view value) { Line(&transfer_, key, value); }
  /// What is not a number is left for the reader of the new file to find.
  void TransferNumber(std::string_view key, std::string_view value) {
    if (!value.empty()) transfer_ += fmt::format("{} = {}\n", key, value);
  }
  void NetworkNumber(std::string_view key, std::string_view value) {
    if (!value.empty()) network_ += fmt::format("{} = {}\n", key, value);
  }

  std::string Text(std::string_view origin) const {
    std::string text = fmt::format("# Made from {}.\n{}", origin, top_);
    for (const auto& [name, lines] :
         {std::pair("credentials", &credentials_), std::pair("extended", &extended_),
          std::pair("transfer", &transfer_), std::pair("network", &network_)}) {
      if (!lines->empty()) text += fmt::format("\n[{}]\n{}", name, *lines);
    }
    return text;
  }

 private:
  static void Line(std::string* lines, std::string_view key, std::string_view value) {
    if (!value.empty()) *lines += fmt::format("{} = {}\n", key, QuoteToml(value));
  }

  std::string top_;
  std::string credentials_;
  std::string extended_;
  std::string transfer_;
  std::string network_;
};

Error NoBucket() {
  return Error(Code::kInvalidArgument, "it names no bucket; add one with --bucket");
}

std::string WithScheme(const std::string& endpoint) {
  if (endpoint.empty() || endpoint.find("://") != std::string::npos) return endpoint;
  return "https://" + endpoint;
}

/// "BUCKET/a/b" to the two lines.
Status WritePlace(std::string_view place, std::string_view bucket, Writer* writer) {
  const size_t slash = place.find('/');
  const std::string_view named = place.substr(0, slash);
  const std::string_view chosen = bucket.empty() ? named : bucket;
  if (chosen.empty()) return NoBucket();
  writer->Top("bucket", chosen);
  if (slash == std::string_view::npos) return {};
  std::string_view prefix = place.substr(slash + 1);
  while (!prefix.empty() && prefix.front() == '/') prefix.remove_prefix(1);
  writer->Top("prefix", prefix);
  return {};
}

// ---- rclone.

struct ProviderName {
  std::string_view rclone;
  std::string_view quayfs;
};

constexpr std::array<ProviderName, 17> kRcloneProviders = {{
    {"AWS", "aws"},
    {"Alibaba", "oss"},
    {"Ceph", "ceph"},
    {"Cloudflare", "r2"},
    {"DigitalOcean", "digitalocean"},
    {"GCS", "gcs"},
    {"HuaweiOBS", "obs"},
    {"IDrive", "idrive"},
    {"Minio", "minio"},
    {"OVHcloud", "ovh"},
    {"Qiniu", "kodo"},
    {"Scaleway", "scaleway"},
    {"SeaweedFS", "seaweedfs"},
    {"Storj", "storj"},
    {"TencentCOS", "cos"},
    {"Wasabi", "wasabi"},
    {"Other", "s3"},
}};

std::string_view ProviderOf(const std::string& rclone) {
  for (const ProviderName& row : kRcloneProviders) {
    if (EqualsIgnoreCase(row.rclone, rclone)) return row.quayfs;
  }
  return "s3";
}

void WriteKeys(const Settings& remote, Writer* writer) {
  if (!Setting(remote, "profile").empty()) {
    writer->Credential("profile", Setting(remote, "profile"));
    return;
  }
  const std::string key = Setting(remote, "access_key_id");
  if (key.empty() && EqualsIgnoreCase(Setting(remote, "env_auth"), "true")) {
    const bool qingstor = Setting(remote, "type") == "qingstor";
    if (qingstor) {
      writer->CredentialFlag("env_auth");
    } else {
      writer->Credential("source", "chain");
    }
    return;
  }
  if (key.empty()) {
    writer->CredentialFlag("anonymous");
    return;
  }
  writer->Credential("access_key_id", key);
  writer->Credential("secret_access_key", Setting(remote, "secret_access_key"));
  writer->Credential("session_token", Setting(remote, "session_token"));
}

/// "4Mi" and "4M" to "4MiB": rclone's units are binary.
std::string SizeOf(std::string text) {
  if (text.empty() || (text.back() >= '0' && text.back() <= '9')) return text;
  if (text.back() == 'B') text.pop_back();
  if (!text.empty() && text.back() == 'i') text.pop_back();
  return text + "iB";
}

/// rclone takes the key for SSE-C in base64, or as the 32 bytes themselves.
std::string CustomerKeyOf(const Settings& remote) {
  const std::string raw = Setting(remote, "sse_customer_key");
  return raw.empty() ? Setting(remote, "sse_customer_key_base64") : Base64Encode(raw);
}

void WriteTransfer(const Settings& remote, Writer* writer) {
  writer->Transfer("upload_cutoff", SizeOf(Setting(remote, "upload_cutoff")));
  writer->Transfer("chunk_size", SizeOf(Setting(remote, "chunk_size")));
  writer->TransferNumber("upload_concurrency", Setting(remote, "upload_concurrency"));
}

void WriteS3Remote(const Settings& remote, Writer* writer) {
  writer->Top("provider", ProviderOf(Setting(remote, "provider")));
  writer->Top("region", Setting(remote, "region"));
  writer->Top("endpoint", WithScheme(Setting(remote, "endpoint")));
  writer->Top("storage_class", Setting(remote, "storage_class"));
  writer->Top("acl", Setting(remote, "acl"));
  writer->Top("bucket_acl", Setting(remote, "bucket_acl"));
  writer->Top("sse", Setting(remote, "server_side_encryption"));
  writer->Top("sse_kms_key_id", Setting(remote, "sse_kms_key_id"));
  if (EqualsIgnoreCase(Setting(remote, "requester_pays"), "true")) writer->Flag("requester_pays");
  if (EqualsIgnoreCase(Setting(remote, "v2_auth"), "true")) {
    writer->Extended("SignatureVersion", "2");
  }
  writer->Extended("Use_PathStyle", ToLower(Setting(remote, "force_path_style")));
  writer->Credential("sse_customer_key", CustomerKeyOf(remote));
  WriteTransfer(remote, writer);
}

void WriteQingStorRemote(const Settings& remote, Writer* writer) {
  writer->Top("provider", "qingstor");
  writer->Top("zone", Setting(remote, "zone"));
  writer->Top("endpoint", WithScheme(Setting(remote, "endpoint")));
  WriteTransfer(remote, writer);
  writer->NetworkNumber("connection_retries", Setting(remote, "connection_retries"));
}

Result<std::string> FromRclone(std::string_view rest, std::string_view bucket,
                               const Environment& environment) {
  const size_t colon = rest.find(':');
  const std::string remote_name(rest.substr(0, colon));
  std::string path = environment("RCLONE_CONFIG").value_or("");
  if (path.empty()) {
    const std::string home = environment("HOME").value_or("");
    path = environment("XDG_CONFIG_HOME").value_or(home + "/.config") + "/rclone/rclone.conf";
  }
  QUAY_ASSIGN(const std::string text, ReadPrivateFile(path));
  if (text.find("RCLONE_ENCRYPT_V") != std::string::npos) {
    return Error(Code::kInvalidArgument,
                 path + " is encrypted; make a plain one with: rclone config encryption remove");
  }
  const std::optional<Settings> remote = FindAwsProfile("", text, remote_name);
  if (!remote) {
    return Error(Code::kNotFound, fmt::format("{} has no remote '{}'", path, remote_name));
  }
  const std::string type = Setting(*remote, "type");
  Writer writer;
  if (type == "qingstor") {
    WriteQingStorRemote(*remote, &writer);
  } else if (type == "s3") {
    WriteS3Remote(*remote, &writer);
  } else {
    return Error(Code::kNotSupported,
                 fmt::format("the remote '{}' is of type '{}'; s3 and qingstor can be mounted",
                             remote_name, type));
  }
  const std::string_view place =
      colon == std::string_view::npos ? std::string_view() : rest.substr(colon + 1);
  QUAY_TRY(WritePlace(place, bucket, &writer));
  WriteKeys(*remote, &writer);
  return writer.Text(fmt::format("the rclone remote '{}'", remote_name));
}

// ---- s3fs.

std::string Upper(std::string text) {
  std::transform(text.begin(), text.end(), text.begin(),
                 [](char c) { return c >= 'a' && c <= 'z' ? static_cast<char>(c - 32) : c; });
  return text;
}

/// The options of the line of fstab that mounts this bucket with s3fs; empty if there is none.
std::string FstabOptions(std::string_view fstab, std::string_view source) {
  for (std::string_view line : Split(fstab, '\n')) {
    std::vector<std::string> fields;
    for (const std::string_view field : Split(line, ' ')) {
      for (const std::string_view word : Split(field, '\t')) {
        if (!word.empty()) fields.emplace_back(word);
      }
    }
    if (fields.size() < 4 || fields[0].front() == '#') continue;
    const bool with_type = fields[2] == "fuse.s3fs" && fields[0] == source;
    const bool old_form = fields[2] == "fuse" && fields[0] == "s3fs#" + std::string(source);
    if (with_type || old_form) return fields[3];
  }
  return "";
}

Result<std::string> FromS3fs(std::string_view rest, std::string_view bucket,
                             const Environment& environment) {
  Writer writer;
  writer.Top("provider", "s3");
  const size_t colon = rest.find(':');
  std::string place(rest.substr(0, colon));
  if (colon != std::string_view::npos) place += rest.substr(colon + 1);
  QUAY_TRY(WritePlace(place, bucket, &writer));
  const std::string fstab = environment("FSTAB_FILE").value_or("/etc/fstab");
  const Result<FileText> table = ReadConfigFile(fstab);
  std::string endpoint = "https://s3.amazonaws.com";
  std::string passwd;
  for (const std::string& option :
       SplitMountOptions(table ? FstabOptions(table->text, rest) : "")) {
    const size_t equals = option.find('=');
    const std::string name = option.substr(0, equals);
    const std::string value = equals == std::string::npos ? "" : option.substr(equals + 1);
    if (name == "url" || name == "host") endpoint = value;
    if (name == "endpoint" || name == "region") writer.Top("region", value);
    if (name == "passwd_file") passwd = value;
    if (name == "default_acl") writer.Top("acl", value);
    if (name == "storage_class") writer.Top("storage_class", Upper(value));
    if (name == "use_path_request_style") writer.Extended("Use_PathStyle", "true");
    if (name == "sigv2") writer.Extended("SignatureVersion", "2");
  }
  writer.Top("endpoint", WithScheme(endpoint));
  const std::string own = environment("HOME").value_or("") + "/.passwd-s3fs";
  if (passwd.empty()) passwd = CheckPrivateFile(own) ? own : "/etc/passwd-s3fs";
  writer.Credential("passwd_file", passwd);
  return writer.Text(fmt::format("the s3fs bucket '{}'", rest));
}

// ---- Amazon's tools.

Result<std::string> FromAws(std::string_view profile, std::string_view bucket,
                            const Environment& environment) {
  Writer writer;
  writer.Top("provider", "aws");
  if (bucket.empty()) return NoBucket();
  writer.Top("bucket", bucket);
  const std::string home = environment("HOME").value_or("");
  const auto read = [&](const char* variable, const char* usual) {
    std::string path = environment(variable).value_or("");
    if (path.empty()) path = home + usual;
    const Result<FileText> file = ReadConfigFile(path);
    return file ? file->text : std::string();
  };
  const std::string name(profile.empty() ? "default" : profile);
  const std::optional<Settings> found =
      FindAwsProfile(read("AWS_CONFIG_FILE", "/.aws/config"),
                     read("AWS_SHARED_CREDENTIALS_FILE", "/.aws/credentials"), name);
  if (!found) {
    return Error(
        Code::kNotFound,
        fmt::format("neither ~/.aws/config nor ~/.aws/credentials has a profile '{}'", name));
  }
  writer.Top("region", Setting(*found, "region"));
  writer.Top("endpoint", Setting(*found, "endpoint_url"));
  writer.Credential("profile", name);
  return writer.Text(fmt::format("the profile '{}' of Amazon's tools", name));
}

}  // namespace

Result<std::string> ImportMountConfig(std::string_view from, std::string_view bucket,
                                      const Environment& environment) {
  const size_t colon = from.find(':');
  const std::string_view kind = from.substr(0, colon);
  const std::string_view rest =
      colon == std::string_view::npos ? std::string_view() : from.substr(colon + 1);
  Result<std::string> text = Error(
      Code::kInvalidArgument, "--from must be rclone:REMOTE:BUCKET, s3fs:BUCKET or aws:PROFILE");
  if (kind == "rclone" && !rest.empty()) text = FromRclone(rest, bucket, environment);
  if (kind == "s3fs" && !rest.empty()) text = FromS3fs(rest, bucket, environment);
  if (kind == "aws") text = FromAws(rest, bucket, environment);
  if (!text) return text;
  LoadOptions options;
  options.environment = environment;
  options.resolve_secrets = false;
  const Result<MountConfig> parsed = ParseMountConfig(*text, "new", false, options);
  if (!parsed) return parsed.error().WithContext("what was found makes no mount config");
  return text;
}

}  // namespace quayfs
