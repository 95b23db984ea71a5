// SPDX-License-Identifier: Apache-2.0

#include "tests/server/routing.h"

#include <array>

#include "base/text.h"
#include "tests/server/identity_service.h"
#include "tests/server/kodo_service.h"
#include "tests/server/qingstor_service.h"

namespace quayfs::testserver {
namespace {

struct Rule {
  std::string_view method;
  std::string_view
      sub_resource;  // a query name that must be there; "" = none of the known ones may be
  std::string_view operation;
};

constexpr std::array<Rule, 11> kBucketRules = {{
    {"GET", "location", "GetBucketLocation"},
    {"GET", "uploads", "ListMultipartUploads"},
    {"GET", "versioning", "GetBucketVersioning"},
    {"GET", "acl", "GetBucketAcl"},
    {"GET", "", "ListObjects"},
    {"HEAD", "", "HeadBucket"},
    {"PUT", "acl", "PutBucketAcl"},
    {"PUT", "", "CreateBucket"},
    {"DELETE", "", "DeleteBucket"},
    {"POST", "delete", "DeleteObjects"},
    {"", "", ""},
}};

constexpr std::array<Rule, 14> kObjectRules = {{
    {"GET", "uploadId", "ListParts"},
    {"GET", "acl", "GetObjectAcl"},
    {"GET", "", "GetObject"},
    {"HEAD", "", "HeadObject"},
    {"PUT", "uploadId", "UploadPart"},
    {"PUT", "acl", "PutObjectAcl"},
    {"PUT", "", "PutObject"},
    {"POST", "uploads", "CreateMultipartUpload"},
    {"POST", "uploadId", "CompleteMultipartUpload"},
    {"POST", "restore", "RestoreObject"},
    {"DELETE", "uploadId", "AbortMultipartUpload"},
    {"DELETE", "", "DeleteObject"},
    {"", "", ""},
    {"", "", ""},
}};

/// Query names that turn a request into another operation. One that no rule serves must not be
/// ignored.
constexpr std::array<std::string_view, 34> kSubResources = {
    "accelerate",   "acl",          "analytics",
    "append",       "attributes",   "cors",
    "delete",       "encryption",   "intelligent-tiering",
    "inventory",    "legal-hold",   "lifecycle",
    "location",     "logging",      "metrics",
    "notification", "object-lock",  "ownershipControls",
    "policy",       "policyStatus", "publicAccessBlock",
    "renameObject", "replication",  "requestPayment",
    "restore",      "retention",    "select",
    "session",      "tagging",      "torrent",
    "uploadId",     "uploads",      "versioning",
    "versions"};

std::string_view SubResourceOf(const Query& query) {
  for (const std::string_view name : kSubResources) {
    if (query.Has(name)) return name;
  }
  return "";
}

template <size_t N>
std::string FindOperation(const std::array<Rule, N>& rules, std::string_view method,
                          std::string_view sub_resource) {
  for (const Rule& rule : rules) {
    if (!rule.method.empty() && rule.method == method && rule.sub_resource == sub_resource) {
      return std::string(rule.operation);
    }
  }
  return "Unsupported";
}

std::string HostBucket(const RequestHead& head, const std::string& domain) {
  std::string host = ToLower(head.headers.Get("host"));
  const size_t colon = host.rfind(':');
  if (colon != std::string::npos && host.find(']', colon) == std::string::npos) host.resize(colon);
  const std::string suffix = "." + ToLower(domain);
  if (host.size() <= suffix.size() || !host.ends_with(suffix)) return "";
  return host.substr(0, host.size() - suffix.size());
}

std::string ObjectOperation(const RequestHead& head, const Query& query) {
  std::string operation = FindOperation(kObjectRules, head.method, SubResourceOf(query));
  const bool copies = head.headers.Has("x-amz-copy-source");
  if (operation == "PutObject" && copies) return "CopyObject";
  if (operation == "UploadPart" && copies) return "UploadPartCopy";
  if ((operation == "GetObject" || operation == "HeadObject") && query.Has("partNumber")) {
    return "Unsupported";
  }
  return operation;
}

}  // namespace

void PlaceOfPath(const RequestHead& head, const std::string& host_bucket, Route* route) {
  const std::string_view path = std::string_view(head.raw_path).substr(1);
  route->host_bucket = host_bucket;
  if (!host_bucket.empty()) {
    route->bucket = host_bucket;
    route->key = PercentDecode(path, false);
    return;
  }
  const size_t slash = path.find('/');
  route->bucket = PercentDecode(path.substr(0, slash), false);
  if (slash != std::string_view::npos) route->key = PercentDecode(path.substr(slash + 1), false);
}

Route RouteRequest(const RequestHead& head, const Query& query, const ServerConfig& config) {
  if (config.protocol == Protocol::kQingStor) return RouteQingStor(head, query, config);
  Route route;
  route.operation = NativeOperation(head, config);
  if (!route.operation.empty()) return route;
  route.operation = IdentityOperation(head, config);
  if (!route.operation.empty()) return route;
  PlaceOfPath(head, HostBucket(head, config.domain), &route);
  if (route.bucket.empty()) {
    const bool lists = head.method == "GET" && SubResourceOf(query).empty() && route.key.empty();
    route.operation = lists ? "ListBuckets" : "Unsupported";
  } else if (route.key.empty()) {
    route.operation = FindOperation(kBucketRules, head.method, SubResourceOf(query));
    if (route.operation == "ListObjects" && query.Get("list-type") == "2" && config.list_v2) {
      route.operation = "ListObjectsV2";
    }
  } else {
    route.operation = ObjectOperation(head, query);
  }
  return route;
}

}  // namespace quayfs::testserver
