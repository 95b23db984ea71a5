// SPDX-License-Identifier: Apache-2.0

#include <fmt/format.h>
#include <unistd.h>

#include <array>
#include <utility>

#include "base/hash.h"
#include "base/text.h"
#include "mount-configs/loading.h"
#include "mount-configs/values.h"

namespace quayfs {
namespace {

constexpr std::string_view kSection = "credentials";
constexpr size_t kCustomerKeyBytes = 32;

struct VariablePair {
  std::string_view provider;  // "" for all
  std::string key;
  std::string secret;
  std::string token;  // "" for none
};

/// In the order in which they are tried; protocol.md 2.8 for QingStor.
const std::vector<VariablePair>& Variables() {
  static const auto* const pairs = new std::vector<VariablePair>{
      {"qingstor", "QINGSTOR_ACCESS_KEY_ID", "QINGSTOR_SECRET_ACCESS_KEY", ""},
      {"qingstor", "QS_ACCESS_KEY_ID", "QS_SECRET_ACCESS_KEY", ""},
      {"qingstor", "QS_ACCESS_KEY", "QS_SECRET_KEY", ""},
      {"kodo", "QINIU_ACCESS_KEY", "QINIU_SECRET_KEY", ""},
      {"", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"},
  };
  return *pairs;
}

bool Applies(const VariablePair& pair, const std::string& provider) {
  if (!pair.provider.empty()) return pair.provider == provider;
  return provider != "qingstor";
}

std::string Unquote(std::string_view text) {
  const bool quoted = text.size() >= 2 && (text.front() == '"' || text.front() == '\'') &&
                      text.back() == text.front();
  return std::string(quoted ? text.substr(1, text.size() - 2) : text);
}

/// The two keys out of the YAML file that QingStor's own tools use: top-level `name: value` lines.
Result<s3::Credentials> ReadQingStorFile(const std::string& path) {
  QUAY_ASSIGN(const std::string text, ReadPrivateFile(path));
  s3::Credentials credentials;
  for (const std::string_view line : Split(text, '\n')) {
    const size_t colon = line.find(':');
    if (colon == std::string_view::npos) continue;
    const std::string_view name = TrimBlanks(line.substr(0, colon));
    const std::string value = Unquote(TrimBlanks(line.substr(colon + 1)));
    if (name == "access_key_id" || name == "qy_access_key_id") credentials.access_key_id = value;
    if (name == "secret_access_key" || name == "qy_secret_access_key") {
      credentials.secret_access_key = value;
    }
  }
  if (credentials.access_key_id.empty() || credentials.secret_access_key.empty()) {
    return Error(Code::kInvalidArgument, path + " holds no access_key_id and secret_access_key");
  }
  return credentials;
}

/// `place` becomes what MountConfig::keys_from says.
Result<s3::Credentials> FromEnvironment(const Loading& loading, std::string* place) {
  const std::string& provider = loading.config.store.provider;
  const Environment& environment = loading.environment();
  std::string tried;
  for (const VariablePair& pair : Variables()) {
    if (!Applies(pair, provider)) continue;
    s3::Credentials found;
    found.access_key_id = environment(pair.key).value_or("");
    found.secret_access_key = environment(pair.secret).value_or("");
    if (!pair.token.empty()) found.session_token = environment(pair.token).value_or("");
    if (!found.access_key_id.empty() && !found.secret_access_key.empty()) {
      *place = fmt::format("the environment variables {} and {}", pair.key, pair.secret);
      return found;
    }
    tried += fmt::format("{}{} and {}", tried.empty() ? "" : ", ", pair.key, pair.secret);
  }
  const std::string file = environment("QINGSTOR_CONFIG_PATH").value_or("");
  if (provider == "qingstor" && !file.empty()) {
    *place = fmt::format("the file {}, which QINGSTOR_CONFIG_PATH names", file);
    return ReadQingStorFile(loading.AbsolutePath(file));
  }
  return Error(
      Code::kInvalidArgument,
      "'credentials.env_auth' is set, but the environment has no keys; looked for " + tried);
}

/// One line of an s3fs password file; nothing for a comment, a blank line or another bucket.
std::optional<s3::Credentials> ReadPasswdLine(std::string_view line, const std::string& bucket) {
  line = TrimBlanks(line);
  if (line.empty() || line.front() == '#') return std::nullopt;
  const std::vector<std::string_view> parts = Split(line, ':');
  const bool named = parts.size() == 3 && parts[0] == bucket;
  if (!named && parts.size() != 2) return std::nullopt;
  const size_t first = parts.size() - 2;
  return s3::Credentials{std::string(parts[first]), std::string(parts[first + 1]), ""};
}

Result<s3::Credentials> FromPasswdFile(const std::string& path, const std::string& bucket) {
  QUAY_ASSIGN(const std::string text, ReadPrivateFile(path));
  std::optional<s3::Credentials> common;
  for (const std::string_view line : Split(text, '\n')) {
    std::optional<s3::Credentials> found = ReadPasswdLine(line, bucket);
    if (!found) continue;
    const bool for_this_bucket = Split(TrimBlanks(line), ':').size() == 3;
    if (for_this_bucket) return *std::move(found);
    if (!common) common = std::move(found);
  }
  if (common && !common->access_key_id.empty() && !common->secret_access_key.empty()) {
    return *std::move(common);
  }
  return Error(Code::kInvalidArgument,
               fmt::format("{} holds no KEY:SECRET and no line for bucket '{}'", path, bucket));
}

bool IsKeyGiven(const Loading& loading, std::string_view key) {
  return loading.IsGiven(kSection, key);
}

/// Which of the keys and ways to get keys were given together.
void CheckCombination(Loading& loading) {
  const bool access = IsKeyGiven(loading, "access_key_id");
  const bool secret = IsKeyGiven(loading, "secret_access_key");
  const auto origin = [&loading](std::string_view key) { return loading.OriginOf(kSection, key); };
  if (access && !secret) {
    loading.AddProblem(origin("access_key_id"),
                       "'credentials.access_key_id' needs 'credentials.secret_access_key'");
  }
  if (secret && !access) {
    loading.AddProblem(origin("secret_access_key"),
                       "'credentials.secret_access_key' needs 'credentials.access_key_id'");
  }
  if (IsKeyGiven(loading, "session_token") && !access) {
    loading.AddProblem(origin("session_token"),
                       "'credentials.session_token' needs 'credentials.access_key_id'");
  }
  if ((access || secret) && loading.config.env_auth) {
    loading.AddWarning(origin("env_auth"), "'credentials.env_auth' is ignored: there are keys");
  }
  if (!loading.config.passwd_file.empty() && (access || secret)) {
    loading.AddProblem(origin("passwd_file"),
                       "'credentials.passwd_file' and keys in the file exclude each other");
  }
  const bool any =
      access || secret || !loading.config.passwd_file.empty() || loading.config.env_auth;
  if (loading.config.store.anonymous && any) {
    loading.AddProblem(origin("anonymous"), "'credentials.anonymous' and keys exclude each other");
  }
}

// ---- Sources that are asked at run time.

/// A program by its path, or found in PATH.
std::string FindProgram(const std::string& name, const Environment& environment) {
  if (name.empty() || name.find('/') != std::string::npos) return name;
  const std::string path = environment("PATH").value_or("/usr/local/bin:/usr/bin:/bin");
  for (const std::string_view directory : Split(path, ':')) {
    std::string candidate = fmt::format("{}/{}", directory, name);
    if (!directory.empty() && ::access(candidate.c_str(), X_OK) == 0) return candidate;
  }
  return name;
}

CredentialSurroundings Surroundings(const Loading& loading) {
  CredentialSurroundings around;
  around.variable = loading.environment();
  around.private_file = ReadPrivateFile;
  around.run = [environment = loading.environment(), timeout = loading.options().command_timeout](
                   std::vector<std::string> command) -> Result<std::string> {
    if (!command.empty()) command.front() = FindProgram(command.front(), environment);
    return RunSecretCommand(command, timeout);
  };
  return around;
}

/// Keys that stand in files are read again when a file has changed.
void WatchFiles(Loading& loading) {
  CredentialRules& rules = loading.config.store.credential_rules;
  if (rules.from != CredentialRules::From::kNowhere) return;
  const MountConfig& config = loading.config;
  const std::string bucket = config.store.bucket;
  if (!config.passwd_file.empty()) {
    rules.files = {config.passwd_file};
    rules.reload = [path = config.passwd_file, bucket] { return FromPasswdFile(path, bucket); };
  } else {
    std::vector<PendingSecret> sources;
    for (const PendingSecret& pending : loading.pending_secrets) {
      if (pending.option->key == "sse_customer_key") continue;
      if (pending.source.kind == SecretSource::Kind::kFile) {
        rules.files.push_back(pending.source.name);
      }
      sources.push_back(pending);
    }
    if (rules.files.empty()) return;
    rules.reload = [sources, keys = config.store.credentials, environment = loading.environment(),
                    timeout =
                        loading.options().command_timeout]() mutable -> Result<s3::Credentials> {
      s3::Credentials fresh = keys;
      for (const PendingSecret& pending : sources) {
        QUAY_ASSIGN(std::string value, ResolveSecret(pending.source, environment, timeout));
        const std::string_view key = pending.option->key;
        std::string& field = key == "access_key_id"       ? fresh.access_key_id
                             : key == "secret_access_key" ? fresh.secret_access_key
                                                          : fresh.session_token;
        field = std::move(value);
      }
      return fresh;
    };
  }
  rules.from = CredentialRules::From::kReload;
}

/// A source of its own, besides keys, passwd_file and env_auth.
void PrepareSource(Loading& loading) {
  CredentialRules& rules = loading.config.store.credential_rules;
  const bool named = !rules.profile.empty();
  if (named && rules.from == CredentialRules::From::kNowhere) {
    rules.from = CredentialRules::From::kProfile;
  }
  if (rules.from == CredentialRules::From::kNowhere) return;
  const std::string_view key = IsKeyGiven(loading, "source") ? "source" : "profile";
  for (const std::string_view other : {"access_key_id", "secret_access_key", "session_token",
                                       "passwd_file", "env_auth", "anonymous"}) {
    if (!IsKeyGiven(loading, other)) continue;
    loading.AddProblem(
        loading.OriginOf(kSection, key),
        fmt::format("'credentials.{}' and 'credentials.{}' exclude each other", key, other));
    return;
  }
  using From = CredentialRules::From;
  if (named && rules.from != From::kProfile && rules.from != From::kChain) {
    loading.AddProblem(loading.OriginOf(kSection, "profile"),
                       "'credentials.profile' needs source = \"profile\" or \"chain\"");
  }
  rules.around = Surroundings(loading);
}

void TakeCredentials(Result<s3::Credentials> found, std::string_view key, Loading& loading) {
  if (found) {
    loading.config.store.credentials = *std::move(found);
    return;
  }
  loading.AddProblem(loading.OriginOf(kSection, key), found.error().message(), found.code());
}

void ResolvePending(Loading& loading) {
  for (const PendingSecret& pending : loading.pending_secrets) {
    const std::string name = pending.option->full_name();
    Result<std::string> value =
        ResolveSecret(pending.source, loading.environment(), loading.options().command_timeout);
    if (!value) {
      loading.AddProblem(pending.origin, fmt::format("'{}': {}", name, value.error().message()),
                         value.code());
      continue;
    }
    const Status set = SetFromText(*pending.option, *value, loading.config);
    if (!set) {
      loading.AddProblem(pending.origin, fmt::format("'{}' {}", name, set.error().message()));
    }
  }
}

/// Stands for a secret that is not looked at.
std::string StandIn(const Option& option) {
  return option.key == "sse_customer_key" ? Base64Encode(std::string(kCustomerKeyBytes, '\0'))
                                          : "not-resolved";
}

void CheckPending(Loading& loading) {
  for (const PendingSecret& pending : loading.pending_secrets) {
    const Status there = CheckSecretSource(pending.source);
    if (!there) {
      loading.AddProblem(
          pending.origin,
          fmt::format("'{}': {}", pending.option->full_name(), there.error().message()),
          there.code());
      continue;
    }
    Ignore(SetFromText(*pending.option, StandIn(*pending.option), loading.config));
  }
}

/// Sees that secrets can be there, without looking at one.
void CheckSources(bool from_file, bool from_environment, Loading& loading) {
  CheckPending(loading);
  if (!from_file && !from_environment) return;
  const Status there = from_file ? CheckPrivateFile(loading.config.passwd_file) : Status();
  const s3::Credentials stand_in{"not-resolved", "not-resolved", ""};
  TakeCredentials(there ? Result<s3::Credentials>(stand_in) : there.error(), "passwd_file",
                  loading);
}

void CheckCustomerKey(Loading& loading) {
  const std::string& key = loading.config.store.sse_customer_key;
  if (key.empty()) return;
  std::string raw;
  if (Base64Decode(key, &raw) && raw.size() == kCustomerKeyBytes) return;
  loading.AddProblem(loading.OriginOf(kSection, "sse_customer_key"),
                     "'credentials.sse_customer_key' must be 32 bytes in base64");
}

}  // namespace

void FetchCredentials(Loading& loading) {
  CheckCombination(loading);
  PrepareSource(loading);
  const bool from_source =
      loading.config.store.credential_rules.from != CredentialRules::From::kNowhere;
  const MountConfig& config = loading.config;
  const bool has_keys =
      IsKeyGiven(loading, "access_key_id") || IsKeyGiven(loading, "secret_access_key");
  const bool from_file = !config.passwd_file.empty();
  const bool from_environment = config.env_auth && !has_keys && !from_file;
  if (config.store.provider == "qingstor" && !has_keys && !from_file && !from_environment &&
      !from_source) {
    loading.config.store.anonymous = true;
  }
  if (loading.ok() && loading.options().resolve_secrets) {
    ResolvePending(loading);
    std::string place;
    if (from_file) {
      place = "the password file " + config.passwd_file;
      TakeCredentials(FromPasswdFile(config.passwd_file, config.store.bucket), "passwd_file",
                      loading);
    }
    if (from_environment) TakeCredentials(FromEnvironment(loading, &place), "env_auth", loading);
    loading.config.keys_from = std::move(place);
    WatchFiles(loading);
  }
  if (loading.ok() && !loading.options().resolve_secrets &&
      loading.options().check_secret_sources) {
    CheckSources(from_file, from_environment, loading);
  }
  CheckCustomerKey(loading);
}

}  // namespace quayfs
