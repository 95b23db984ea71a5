// SPDX-License-Identifier: Apache-2.0

#include "providers/credentials/sources.h"

#include <fmt/format.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <fstream>
#include <map>
#include <nlohmann/json.hpp>
#include <utility>

#include "base/clock.h"
#include "base/hash.h"
#include "base/text.h"
#include "providers/credentials/aws_profile.h"
#include "providers/endpoint.h"
#include "providers/json_text.h"
#include "s3/sign_v4.h"
#include "s3/uri.h"
#include "s3/xml_reader.h"

namespace quayfs {
namespace {

using Json = nlohmann::json;
using s3::IssuedCredentials;

constexpr size_t kReplyMax = 64 << 10;
constexpr std::string_view kInstanceEndpoint = "http://169.254.169.254";
constexpr std::string_view kContainerHost = "http://169.254.170.2";
constexpr std::string_view kStsVersion = "2011-06-15";
constexpr std::string_view kTokenSeconds = "21600";

Error Nothing(std::string text) { return Error(Code::kUnauthenticated, std::move(text)); }

std::string Get(const CredentialSurroundings& around, const std::string& name) {
  return around.variable ? around.variable(name).value_or("") : "";
}

/// A small file that an orchestrator or a tool of Amazon's wrote; its mode is their business.
Result<std::string> ReadText(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) {
    const Code code = errno == ENOENT || errno == ENOTDIR ? Code::kNotFound : Code::kIo;
    return Error(code, "cannot read " + path);
  }
  std::string text(kReplyMax, '\0');
  file.read(text.data(), static_cast<std::streamsize>(text.size()));
  text.resize(static_cast<size_t>(file.gcount()));
  return text;
}

// ---- Asking over HTTP.

struct Answer {
  int status = 0;
  std::string body;
};

class AnswerReader final : public s3::ResponseHandler {
 public:
  Status OnHeaders(int status, const s3::HttpHeaders& /*headers*/) override {
    answer_.status = status;
    return {};
  }
  Status OnData(std::span<const std::byte> data) override {
    if (answer_.body.size() + data.size() > kReplyMax) {
      return Error(Code::kCorrupt, "the reply is too long");
    }
    answer_.body.append(reinterpret_cast<const char*>(data.data()), data.size());
    return {};
  }
  Answer Take() { return std::move(answer_); }

 private:
  Answer answer_;
};

struct Question {
  std::string method = "GET";
  std::string url;
  s3::HttpHeaders headers;
  std::string body;
  /// Sign it with these keys (SigV4), for this region and service.
  const s3::Credentials* keys = nullptr;
  std::string region;
  std::string service;
};

class TextBody final : public s3::RequestBody {
 public:
  explicit TextBody(const std::string& text) : text_(text) {}
  uint64_t size() const override { return text_.size(); }
  Status Read(uint64_t offset, std::span<std::byte> out) const override {
    std::copy_n(reinterpret_cast<const std::byte*>(text_.data()) + offset, out.size(), out.data());
    return {};
  }

 private:
  const std::string& text_;
};

/// Made when it is first needed.
class Asker {
 public:
  explicit Asker(s3::HttpConfig config) : config_(std::move(config)) {}

  Result<Answer> Ask(const Question& question, const CallOptions& call) {
    if (client_ == nullptr) {
      QUAY_ASSIGN(client_, s3::MakeHttpClient(config_));
    }
    const size_t scheme = question.url.find("://");
    const size_t slash =
        scheme == std::string::npos ? std::string::npos : question.url.find('/', scheme + 3);
    const size_t mark = question.url.find('?');
    QUAY_ASSIGN(const Endpoint endpoint, ParseEndpoint(question.url.substr(0, slash)));
    s3::HttpRequest request;
    request.method = question.method;
    request.scheme = endpoint.scheme;
    request.host = endpoint.host;
    request.port = endpoint.port;
    request.path = slash == std::string::npos ? "/" : question.url.substr(slash, mark - slash);
    if (mark != std::string::npos) request.query = question.url.substr(mark + 1);
    request.headers = question.headers;
    if (question.keys != nullptr) {
      request.headers.Set("Host", s3::HostHeaderValue(request.scheme, request.host, request.port));
      const s3::SignerV4 signer(*question.keys, question.service);
      signer.Sign(&request, question.region, SystemClock().Now(), HexEncode(Sha256(question.body)));
    }
    const TextBody body(question.body);
    if (question.method == "POST") request.body = &body;
    AnswerReader reader;
    QUAY_TRY(client_->Do(request, reader, call));
    return reader.Take();
  }

 private:
  const s3::HttpConfig config_;
  std::unique_ptr<s3::HttpClient> client_;
};

/// For addresses of this machine or its network: nothing of the store's own settings.
s3::HttpConfig LocalHttp() {
  s3::HttpConfig http;
  http.connect_timeout = std::chrono::seconds(2);
  http.low_speed_time = std::chrono::seconds(5);
  return http;
}

// ---- Documents.

/// ISO 8601 in UTC, or with an offset such as +08:00, as some tools write it.
Result<WallTime> ParseExpiry(const std::string& text) {
  constexpr size_t kOffset = 6;
  if (text.size() <= kOffset) return ParseIso(text);
  const std::string offset = text.substr(text.size() - kOffset);
  if ((offset[0] != '+' && offset[0] != '-') || offset[3] != ':') return ParseIso(text);
  QUAY_ASSIGN(const uint64_t hours, ParseUint(offset.substr(1, 2)));
  QUAY_ASSIGN(const uint64_t minutes, ParseUint(offset.substr(4, 2)));
  QUAY_ASSIGN(const WallTime local, ParseIso(text.substr(0, text.size() - kOffset) + "Z"));
  const auto ahead = std::chrono::hours(hours) + std::chrono::minutes(minutes);
  return offset[0] == '+' ? local - ahead : local + ahead;
}

Result<IssuedCredentials> Issued(s3::Credentials keys, const std::string& expires,
                                 const std::string& where) {
  if (keys.access_key_id.empty() || keys.secret_access_key.empty()) {
    return Nothing(where + " answered without keys");
  }
  IssuedCredentials issued{std::move(keys), std::nullopt};
  if (expires.empty()) return issued;
  const Result<WallTime> time = ParseExpiry(expires);
  if (!time) return Nothing(where + " answered with an expiry that cannot be read");
  issued.expires = *time;
  return issued;
}

/// The document of a container, an instance and a process; the name of the token differs.
Result<IssuedCredentials> FromJson(const std::string& text, const char* token_name,
                                   const std::string& where) {
  const Json document = Json::parse(text, nullptr, false);
  if (!document.is_object()) return Nothing(where + " answered with no JSON object");
  return Issued({TextOf(document, "AccessKeyId"), TextOf(document, "SecretAccessKey"),
                 TextOf(document, token_name)},
                TextOf(document, "Expiration"), where);
}

// ---- The sources.

/// Whatever came of variables: it does not change.
Result<IssuedCredentials> FromVariables(const CredentialSurroundings& around) {
  return Issued({Get(around, "AWS_ACCESS_KEY_ID"), Get(around, "AWS_SECRET_ACCESS_KEY"),
                 Get(around, "AWS_SESSION_TOKEN")},
                "", "the environment");
}

struct WebIdentity {
  std::string role;
  std::string token_file;
  std::string session;
};

class Sources final : public s3::CredentialSource {
 public:
  Sources(CredentialRules rules, s3::HttpConfig http)
      : rules_(std::move(rules)), sts_(std::move(http)), local_(LocalHttp()) {}

  Result<IssuedCredentials> Fetch(const CallOptions& call) override {
    watched_.clear();
    if (rules_.asked != nullptr) asked_ = *rules_.asked;
    for (const std::string& file : rules_.files) Watch(file);
    switch (rules_.from) {
      case CredentialRules::From::kChain:
        return FromChain(call);
      case CredentialRules::From::kProfile:
        return FromProfile(call);
      case CredentialRules::From::kWebIdentity:
        return FromWebIdentity(IdentityOfVariables(), call);
      case CredentialRules::From::kContainer:
        return FromContainer(call);
      case CredentialRules::From::kInstance:
        return FromInstance(call);
      case CredentialRules::From::kReload: {
        QUAY_ASSIGN(s3::Credentials keys, rules_.reload());
        return IssuedCredentials{std::move(keys), std::nullopt};
      }
      case CredentialRules::From::kNowhere:
        break;
    }
    return Error(Code::kInternal, "no source of credentials");
  }

  bool MayHaveChanged() override {
    if (rules_.asked != nullptr && *rules_.asked != asked_) return true;
    for (const auto& [path, stamp] : watched_) {
      if (StampOf(path) != stamp) return true;
    }
    return false;
  }

 private:
  using Stamp = std::pair<int64_t, int64_t>;  // modification time in ns, size and inode

  static Stamp StampOf(const std::string& path) {
    struct stat facts {};
    if (::stat(path.c_str(), &facts) != 0) return {0, 0};
    return {static_cast<int64_t>(facts.st_mtim.tv_sec) * 1'000'000'000 + facts.st_mtim.tv_nsec,
            static_cast<int64_t>(facts.st_size) * 1'000'003 + static_cast<int64_t>(facts.st_ino)};
  }
  void Watch(const std::string& path) { watched_[path] = StampOf(path); }

  std::string Variable(const std::string& name) const { return Get(rules_.around, name); }

  /// The first that is there; one that is there and fails is the answer, not passed over.
  Result<IssuedCredentials> FromChain(const CallOptions& call) {
    if (!Variable("AWS_ACCESS_KEY_ID").empty()) return FromVariables(rules_.around);
    if (!Variable("AWS_WEB_IDENTITY_TOKEN_FILE").empty()) {
      return FromWebIdentity(IdentityOfVariables(), call);
    }
    Result<IssuedCredentials> profile = FromProfile(call);
    const bool named = !rules_.profile.empty() || !Variable("AWS_PROFILE").empty();
    if (profile || named || !profile.Is(Code::kNotFound)) return profile;
    if (!Variable("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI").empty() ||
        !Variable("AWS_CONTAINER_CREDENTIALS_FULL_URI").empty()) {
      return FromContainer(call);
    }
    if (EqualsIgnoreCase(Variable("AWS_EC2_METADATA_DISABLED"), "true")) {
      return Nothing(
          "no credentials: neither variables, web identity, a profile nor a container has any");
    }
    Result<IssuedCredentials> instance = FromInstance(call);
    if (instance) return instance;
    return Nothing(
        "no credentials: variables, web identity, profile, container and instance metadata have "
        "none (" +
        instance.error().message() + ")");
  }

  // ---- Profile.

  /// The text, "" if the file is not there.
  Result<std::string> SharedFile(const std::string& variable, const std::string& usual,
                                 bool secret) {
    std::string path = Variable(variable);
    if (path.empty()) path = Variable("HOME") + usual;
    Watch(path);
    Result<std::string> text = secret ? rules_.around.private_file(path) : ReadText(path);
    if (text.Is(Code::kNotFound)) return std::string();
    return text;
  }

  Result<IssuedCredentials> FromProfile(const CallOptions& call) {
    std::string name = rules_.profile.empty() ? Variable("AWS_PROFILE") : rules_.profile;
    if (name.empty()) name = "default";
    return FromProfile(name, {}, call);
  }

  /// `through`: the profiles whose role is to be taken on with what this one gives.
  Result<IssuedCredentials> FromProfile(const std::string& name,
                                        const std::vector<std::string>& through,
                                        const CallOptions& call) {
    QUAY_ASSIGN(const std::string credentials,
                SharedFile("AWS_SHARED_CREDENTIALS_FILE", "/.aws/credentials", true));
    QUAY_ASSIGN(const std::string config, SharedFile("AWS_CONFIG_FILE", "/.aws/config", false));
    const std::optional<AwsProfile> profile = FindAwsProfile(config, credentials, name);
    const std::string where = fmt::format("profile '{}'", name);
    if (!profile) {
      return Error(Code::kNotFound, where + " is neither in ~/.aws/credentials nor ~/.aws/config");
    }
    const auto setting = [&profile](const char* key) {
      const auto found = profile->find(key);
      return found == profile->end() ? std::string() : found->second;
    };
    if (!setting("web_identity_token_file").empty()) {
      return FromWebIdentity(
          {setting("role_arn"), setting("web_identity_token_file"), setting("role_session_name")},
          call);
    }
    // As a source, keys come before a role: it may be a profile that names itself.
    const bool source_with_keys = !through.empty() && !setting("aws_access_key_id").empty();
    if (!setting("role_arn").empty() && !source_with_keys) {
      return FromRole(name, *profile, through, call);
    }
    if (!setting("aws_access_key_id").empty()) {
      return Issued({setting("aws_access_key_id"), setting("aws_secret_access_key"),
                     setting("aws_session_token")},
                    "", where);
    }
    if (!setting("credential_process").empty()) {
      return FromProcess(setting("credential_process"), where);
    }
    return Error(Code::kNotFound, where + " holds no keys");
  }

  Result<IssuedCredentials> FromProcess(const std::string& line, const std::string& where) {
    const std::optional<std::vector<std::string>> command = SplitCommand(line);
    if (!command || command->empty()) {
      return Error(Code::kInvalidArgument, "credential_process of " + where + " is no command");
    }
    QUAY_ASSIGN(const std::string printed, rules_.around.run(*command));
    const Json document = Json::parse(printed, nullptr, false);
    if (!document.is_object() || document.value("Version", 0) != 1) {
      return Nothing("credential_process of " + where + " printed no document of version 1");
    }
    return FromJson(printed, "SessionToken", "credential_process of " + where);
  }

  // ---- A role that a profile takes on by way of another (STS AssumeRole).

  Result<IssuedCredentials> FromRole(const std::string& name, const AwsProfile& profile,
                                     std::vector<std::string> through, const CallOptions& call) {
    const std::string where = fmt::format("profile '{}'", name);
    const auto setting = [&profile](const char* key) {
      const auto found = profile.find(key);
      return found == profile.end() ? std::string() : found->second;
    };
    if (!setting("mfa_serial").empty()) {
      return Error(Code::kInvalidArgument,
                   where +
                       " wants a code from a device (mfa_serial), which nobody can enter for a "
                       "mount; use credential_process with a tool that keeps sessions");
    }
    if (std::find(through.begin(), through.end(), name) != through.end()) {
      return Error(Code::kInvalidArgument,
                   fmt::format("{}: source_profile leads round in a circle", where));
    }
    const std::string source = setting("source_profile");
    const std::string place = setting("credential_source");
    if (source.empty() == place.empty()) {
      return Error(Code::kInvalidArgument,
                   where + " has a role_arn and needs either source_profile or credential_source");
    }
    through.push_back(name);
    Result<IssuedCredentials> keys =
        source.empty() ? FromPlace(place, where, call) : FromProfile(source, through, call);
    if (!keys) return keys.error().WithContext("for the role of " + where);
    std::vector<s3::QueryParameter> form = {
        {"Action", "AssumeRole"},
        {"Version", std::string(kStsVersion)},
        {"RoleArn", setting("role_arn")},
        {"RoleSessionName",
         setting("role_session_name").empty() ? "quayfs" : setting("role_session_name")}};
    if (const std::string id = setting("external_id"); !id.empty())
      form.push_back({"ExternalId", id});
    if (const std::string seconds = setting("duration_seconds"); !seconds.empty())
      form.push_back({"DurationSeconds", seconds});
    return AskSts(form, setting("region"), &keys->keys, call);
  }

  Result<IssuedCredentials> FromPlace(const std::string& place, const std::string& where,
                                      const CallOptions& call) {
    if (EqualsIgnoreCase(place, "Environment")) return FromVariables(rules_.around);
    if (EqualsIgnoreCase(place, "Ec2InstanceMetadata")) return FromInstance(call);
    if (EqualsIgnoreCase(place, "EcsContainer")) return FromContainer(call);
    return Error(Code::kInvalidArgument,
                 fmt::format("{}: credential_source is '{}', not one of Environment, "
                             "Ec2InstanceMetadata, EcsContainer",
                             where, place));
  }

  // ---- STS.

  std::string StsRegion(const std::string& of_profile) const {
    if (!rules_.region.empty()) return rules_.region;
    if (!of_profile.empty()) return of_profile;
    std::string region = Variable("AWS_REGION");
    return region.empty() ? Variable("AWS_DEFAULT_REGION") : region;
  }

  std::string StsUrl(const std::string& region) const {
    std::string given = Variable("AWS_ENDPOINT_URL_STS");
    if (!given.empty()) return given;
    if (region.empty()) return "https://sts.amazonaws.com/";
    const bool china = region.starts_with("cn-");
    return fmt::format("https://sts.{}.amazonaws.com{}/", region, china ? ".cn" : "");
  }

  /// One question to STS, signed with `keys` unless that is null.
  Result<IssuedCredentials> AskSts(const std::vector<s3::QueryParameter>& form,
                                   const std::string& profile_region, const s3::Credentials* keys,
                                   const CallOptions& call) {
    const std::string region = StsRegion(profile_region);
    const std::string action = form.front().value.value_or("");
    Question question;
    question.method = "POST";
    question.url = StsUrl(region);
    question.headers.Set("Content-Type", "application/x-www-form-urlencoded");
    question.body = s3::EncodeQuery(form);
    question.keys = keys;
    question.region = region.empty() ? "us-east-1" : region;  // the scope of the global endpoint
    question.service = "sts";
    QUAY_ASSIGN(const Answer answer, sts_.Ask(question, call));
    const Result<s3::XmlDocument> document = s3::XmlDocument::Parse(answer.body, kReplyMax);
    if (answer.status != 200 || !document) {
      std::string code;
      if (document) code = document->root().Child("Error").ChildText("Code");
      return Nothing(fmt::format("STS refused {}: {} {}", action, answer.status, code));
    }
    const s3::XmlElement issued = document->root().Child(action + "Result").Child("Credentials");
    return Issued({issued.ChildText("AccessKeyId"), issued.ChildText("SecretAccessKey"),
                   issued.ChildText("SessionToken")},
                  issued.ChildText("Expiration"), "STS");
  }

  // ---- Web identity.

  WebIdentity IdentityOfVariables() const {
    return {Variable("AWS_ROLE_ARN"), Variable("AWS_WEB_IDENTITY_TOKEN_FILE"),
            Variable("AWS_ROLE_SESSION_NAME")};
  }

  Result<IssuedCredentials> FromWebIdentity(const WebIdentity& identity, const CallOptions& call) {
    if (identity.role.empty() || identity.token_file.empty()) {
      return Error(Code::kInvalidArgument,
                   "web identity needs AWS_ROLE_ARN and AWS_WEB_IDENTITY_TOKEN_FILE");
    }
    Watch(identity.token_file);
    Result<std::string> token = ReadText(identity.token_file);
    if (!token) return token.error().WithContext("web identity");
    return AskSts({{"Action", "AssumeRoleWithWebIdentity"},
                   {"Version", std::string(kStsVersion)},
                   {"RoleArn", identity.role},
                   {"RoleSessionName", identity.session.empty() ? "quayfs" : identity.session},
                   {"WebIdentityToken", std::string(TrimBlanks(*token))}},
                  "", nullptr, call);
  }

  // ---- Container.

  /// Plain http is for this machine and the two addresses that orchestrators use.
  static bool IsTrustedPlace(const std::string& url) {
    const Result<Endpoint> endpoint = ParseEndpoint(url.substr(0, url.find('?')));
    if (!endpoint) return false;
    if (endpoint->scheme == "https") return true;
    const std::string& host = endpoint->host;
    return host == "localhost" || host.starts_with("127.") || host == "::1" ||
           host == "169.254.170.2" || host == "169.254.170.23" || host == "fd00:ec2::23";
  }

  Result<IssuedCredentials> FromContainer(const CallOptions& call) {
    Question question;
    const std::string relative = Variable("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI");
    question.url = relative.empty() ? Variable("AWS_CONTAINER_CREDENTIALS_FULL_URI")
                                    : std::string(kContainerHost) + relative;
    if (question.url.empty()) {
      return Nothing("AWS_CONTAINER_CREDENTIALS_FULL_URI and ..._RELATIVE_URI are not set");
    }
    if (!IsTrustedPlace(question.url)) {
      return Error(Code::kInvalidArgument,
                   "AWS_CONTAINER_CREDENTIALS_FULL_URI must be https, or an address of this "
                   "machine or of its container agent");
    }
    std::string token = Variable("AWS_CONTAINER_AUTHORIZATION_TOKEN");
    const std::string token_file = Variable("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE");
    if (!token_file.empty()) {
      Watch(token_file);
      QUAY_ASSIGN(const std::string text, ReadText(token_file));
      token = TrimBlanks(text);
    }
    if (!token.empty()) question.headers.Set("Authorization", token);
    QUAY_ASSIGN(const Answer answer, local_.Ask(question, call));
    if (answer.status != 200) {
      return Nothing(fmt::format("the container endpoint answered {}", answer.status));
    }
    return FromJson(answer.body, "Token", "the container endpoint");
  }

  // ---- Instance.

  Result<IssuedCredentials> FromInstance(const CallOptions& call) {
    std::string base = Variable("AWS_EC2_METADATA_SERVICE_ENDPOINT");
    if (base.empty()) base = kInstanceEndpoint;
    while (!base.empty() && base.back() == '/') base.pop_back();
    Question question;
    question.method = "PUT";
    question.url = base + "/latest/api/token";
    question.headers.Set("x-aws-ec2-metadata-token-ttl-seconds", kTokenSeconds);
    QUAY_ASSIGN(const Answer token, local_.Ask(question, call));
    if (token.status != 200 || token.body.empty()) {
      return Nothing(fmt::format("instance metadata gives no session token ({})", token.status));
    }
    question.method = "GET";
    question.headers = {};
    question.headers.Set("x-aws-ec2-metadata-token", TrimBlanks(token.body));
    const std::string roles = base + "/latest/meta-data/iam/security-credentials/";
    question.url = roles;
    QUAY_ASSIGN(const Answer names, local_.Ask(question, call));
    const std::string role(TrimBlanks(Split(names.body, '\n')[0]));
    if (names.status != 200 || role.empty()) return Nothing("the instance has no role");
    question.url = roles + PercentEncode(role, false);
    QUAY_ASSIGN(const Answer answer, local_.Ask(question, call));
    if (answer.status != 200) {
      return Nothing(fmt::format("instance metadata answered {}", answer.status));
    }
    return FromJson(answer.body, "Token", "instance metadata");
  }

  const CredentialRules rules_;
  Asker sts_;
  Asker local_;
  uint64_t asked_ = 0;  // rules_.asked when it was last fetched
  std::map<std::string, Stamp> watched_;
};

}  // namespace

std::shared_ptr<s3::CredentialSource> MakeCredentialSource(const CredentialRules& rules,
                                                           const s3::HttpConfig& http) {
  if (rules.from == CredentialRules::From::kNowhere) return nullptr;
  s3::HttpConfig sts = http;
  sts.tls.insecure = false;  // what is said of the store's certificate says nothing of STS
  sts.tls.thumbprint.clear();
  sts.upload_bytes_per_second = 0;
  sts.download_bytes_per_second = 0;
  return std::make_shared<Sources>(rules, std::move(sts));
}

std::string DescribeCredentialRules(const CredentialRules& rules) {
  switch (rules.from) {
    case CredentialRules::From::kNowhere:
      return "the mount config";
    case CredentialRules::From::kChain:
      return "the usual chain (variables, web identity, profile, container, instance)";
    case CredentialRules::From::kProfile:
      return rules.profile.empty() ? "the default profile"
                                   : fmt::format("profile '{}'", rules.profile);
    case CredentialRules::From::kWebIdentity:
      return "web identity";
    case CredentialRules::From::kContainer:
      return "the container endpoint";
    case CredentialRules::From::kInstance:
      return "instance metadata";
    case CredentialRules::From::kReload:
      break;
  }
  return "files that the mount config names";
}

}  // namespace quayfs
