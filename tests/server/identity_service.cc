// SPDX-License-Identifier: Apache-2.0

#include "tests/server/identity_service.h"

#include <nlohmann/json.hpp>
#include <utility>

#include "tests/server/xml.h"

namespace quayfs::testserver {
namespace {

constexpr std::string_view kStsNamespace = "https://sts.amazonaws.com/doc/2011-06-15/";
constexpr std::string_view kStsVersion = "2011-06-15";
constexpr std::string_view kRolesPath = "/latest/meta-data/iam/security-credentials/";
constexpr char kRole[] = "test-role";
constexpr char kMetadataToken[] = "metadata-session";
constexpr uint64_t kFormMax = 64 << 10;

Reply TextReply(int status, std::string text) {
  Reply reply;
  reply.status = status;
  reply.Set("Content-Type", "text/plain");
  reply.text = std::move(text);
  return reply;
}

}  // namespace

std::string IdentityOperation(const RequestHead& head, const ServerConfig& config) {
  if (!config.issued) return "";
  if (head.method == "POST" && head.raw_path == "/") return "Sts";
  if (head.method == "PUT" && head.raw_path == "/latest/api/token") return "MetadataToken";
  if (head.method == "GET" && head.raw_path == kRolesPath) return "MetadataRole";
  if (head.method == "GET" && head.raw_path == std::string(kRolesPath) + kRole)
    return "MetadataKeys";
  if (head.method == "GET" && head.raw_path == "/container/credentials") return "ContainerKeys";
  return "";
}

std::optional<Reply> IdentityService::Handle(S3Request& request) const {
  const std::string& operation = request.route.operation;
  if (operation == "Sts") return Sts(request);
  if (operation == "ContainerKeys") return TextReply(200, Document());
  if (operation.starts_with("Metadata")) return Metadata(request);
  return std::nullopt;
}

Reply IdentityService::Metadata(const S3Request& request) const {
  if (request.route.operation == "MetadataToken") {
    const bool asked = !request.Header("x-aws-ec2-metadata-token-ttl-seconds").empty();
    return asked ? TextReply(200, kMetadataToken) : TextReply(400, "");
  }
  if (request.Header("x-aws-ec2-metadata-token") != kMetadataToken) return TextReply(401, "");
  return TextReply(200, request.route.operation == "MetadataRole" ? kRole : Document());
}

std::string IdentityService::Expiration() const {
  return FormatIsoExtended(now_() + config_.issued_life);
}

std::string IdentityService::Document() const {
  const nlohmann::json document = {{"Code", "Success"},
                                   {"Type", "AWS-HMAC"},
                                   {"AccessKeyId", config_.issued->access_key_id},
                                   {"SecretAccessKey", config_.issued->secret_access_key},
                                   {"Token", config_.issued->session_token},
                                   {"Expiration", Expiration()}};
  return document.dump();
}

Outcome<std::string> IdentityService::Assume(S3Request& request) const {
  const std::string type = request.Header("content-type");
  if (!type.starts_with("application/x-www-form-urlencoded")) {
    return S3Error(400, "MalformedInput", "a form is needed");
  }
  // Whoever has a token needs no keys; the signature of the others says "sts".
  const bool is_signed = request.head.headers.Has("authorization");
  if (is_signed) {
    const AuthContext context{config_.accounts, config_.region, false, now_(), "sts"};
    const Outcome<Identity> identity = Authenticate({request.head, request.query, ""}, context);
    if (!identity) return identity.error();
    request.identity = *identity;
  }
  const Outcome<std::string> body = ReceiveText(request.payload(), kFormMax);
  if (!body) return body.error();
  const Query form(*body);
  std::string action = form.Get("Action");
  if (form.Get("Version") != kStsVersion) {
    return S3Error(400, "InvalidAction", "no such version of the API");
  }
  const bool by_token = action == "AssumeRoleWithWebIdentity";
  if (!by_token && action != "AssumeRole") return S3Error(400, "InvalidAction", "no such action");
  if (!by_token && !is_signed) {
    return S3Error(403, "MissingAuthenticationToken", "the request is not signed");
  }
  const bool complete = form.Get("RoleArn").starts_with("arn:") &&
                        !form.Get("RoleSessionName").empty() &&
                        (!by_token || !form.Get("WebIdentityToken").empty());
  if (!complete) return S3Error(400, "ValidationError", "a parameter is missing or malformed");
  return action;
}

Reply IdentityService::Sts(S3Request& request) const {
  const Outcome<std::string> action = Assume(request);
  Reply reply;
  reply.Set("Content-Type", "text/xml");
  if (!action) {
    reply.status = action.error().status;
    XmlWriter xml("ErrorResponse", kStsNamespace);
    xml.Open("Error").Element("Type", "Sender").Element("Code", action.error().code);
    xml.Element("Message", action.error().message).Close();
    reply.text = xml.Finish();
    return reply;
  }
  XmlWriter xml(*action + "Response", kStsNamespace);
  xml.Open(*action + "Result").Open("Credentials");
  xml.Element("AccessKeyId", config_.issued->access_key_id);
  xml.Element("SecretAccessKey", config_.issued->secret_access_key);
  xml.Element("SessionToken", config_.issued->session_token);
  xml.Element("Expiration", Expiration());
  reply.text = xml.Finish();
  return reply;
}

}  // namespace quayfs::testserver
