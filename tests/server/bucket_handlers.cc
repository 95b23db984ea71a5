// SPDX-License-Identifier: Apache-2.0

#include <tinyxml2.h>

#include <algorithm>

#include "tests/server/s3_service.h"
#include "tests/server/xml.h"

namespace quayfs::testserver {
namespace {

constexpr uint64_t kConfigurationMax = 64 << 10;
constexpr char kGranteeAttributes[] =
    "xmlns:xsi=\"http://www.w3.org/2001/XMLSchema-instance\" xsi:type=\"CanonicalUser\"";

bool IsBucketName(const std::string& name) {
  const auto alphanumeric = [](char c) { return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9'); };
  return name.size() >= 3 && name.size() <= 63 && alphanumeric(name.front()) &&
         alphanumeric(name.back()) && name.find("..") == std::string::npos &&
         std::all_of(name.begin(), name.end(),
                     [&](char c) { return alphanumeric(c) || c == '-' || c == '.'; });
}

/// The LocationConstraint of a CreateBucket body, "" if there is none.
Outcome<std::string> LocationOf(const std::string& body) {
  if (body.empty()) return std::string();
  tinyxml2::XMLDocument document;
  const bool parsed = document.Parse(body.data(), body.size()) == tinyxml2::XML_SUCCESS;
  const tinyxml2::XMLElement* root =
      parsed ? document.FirstChildElement("CreateBucketConfiguration") : nullptr;
  if (root == nullptr) return S3Error(400, "MalformedXML", "not a CreateBucketConfiguration");
  const tinyxml2::XMLElement* location = root->FirstChildElement("LocationConstraint");
  const char* text = location == nullptr ? nullptr : location->GetText();
  return std::string(text == nullptr ? "" : text);
}

}  // namespace

Outcome<Reply> S3Service::ListBuckets(S3Request& request) {
  XmlWriter xml("ListAllMyBucketsResult");
  xml.Open("Owner").Element("ID", "owner").Element("DisplayName", "owner").Close();
  xml.Open("Buckets");
  for (const auto& [name, created] : store_.Buckets()) {
    xml.Open("Bucket").Element("Name", name).Element("CreationDate", XmlDate(created)).Close();
  }
  static_cast<void>(request);
  return XmlReply(xml.Finish());
}

Outcome<Reply> S3Service::CreateBucket(S3Request& request) {
  const Outcome<std::string> body = ReceiveText(request.payload(), kConfigurationMax);
  if (!body) return body.error();
  const std::string& bucket = request.route.bucket;
  if (!IsBucketName(bucket)) {
    return S3Error(400, "InvalidBucketName", "the bucket name is not valid")
        .With("BucketName", bucket);
  }
  const Outcome<std::string> location = LocationOf(*body);
  if (!location) return location.error();
  const bool home = config_.region == "us-east-1" ? location->empty() : *location == config_.region;
  if (!home) {
    return S3Error(400, "IllegalLocationConstraintException",
                   "the location constraint is not that of the region of this endpoint");
  }
  if (Problem problem = store_.CreateBucket(bucket, NowSeconds())) return *problem;
  Reply reply;
  reply.Set("Location", "/" + bucket);
  return reply;
}

Outcome<Reply> S3Service::DeleteBucket(S3Request& request) {
  if (Problem problem = store_.DeleteBucket(request.route.bucket)) return *problem;
  Reply reply;
  reply.status = 204;
  return reply;
}

Outcome<Reply> S3Service::HeadBucket(S3Request& request) {
  if (Problem problem = store_.CheckBucket(request.route.bucket)) return *problem;
  Reply reply;
  reply.Set("x-amz-bucket-region", config_.region);
  return reply;
}

Outcome<Reply> S3Service::GetBucketLocation(S3Request& request) {
  if (Problem problem = store_.CheckBucket(request.route.bucket)) return *problem;
  const std::string region = config_.region == "us-east-1" ? "" : XmlEscape(config_.region);
  return XmlReply("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<LocationConstraint xmlns=\"" +
                  std::string(kS3Namespace) + "\">" + region + "</LocationConstraint>");
}

Outcome<Reply> S3Service::GetBucketVersioning(S3Request& request) {
  if (Problem problem = store_.CheckBucket(request.route.bucket)) return *problem;
  return XmlReply(XmlWriter("VersioningConfiguration").Finish());
}

Outcome<Reply> S3Service::GetAcl(S3Request& request) {
  if (Problem problem = store_.CheckBucket(request.route.bucket)) return *problem;
  if (!request.route.key.empty()) {
    const Outcome<ObjectPtr> object = store_.Find(request.route.bucket, request.route.key);
    if (!object) return object.error();
  }
  XmlWriter xml("AccessControlPolicy");
  xml.Open("Owner").Element("ID", "owner").Element("DisplayName", "owner").Close();
  xml.Open("AccessControlList").Open("Grant");
  xml.Open("Grantee", kGranteeAttributes)
      .Element("ID", "owner")
      .Element("DisplayName", "owner")
      .Close();
  xml.Element("Permission", "FULL_CONTROL");
  return XmlReply(xml.Finish());
}

Outcome<Reply> S3Service::PutAcl(S3Request& request) {
  const Outcome<std::string> body = ReceiveText(request.payload(), kConfigurationMax);
  if (!body) return body.error();
  if (Problem problem = store_.CheckBucket(request.route.bucket)) return *problem;
  const Outcome<std::map<std::string, std::string>> headers = NewObjectHeaders(request);
  if (!headers) return headers.error();
  if (request.route.key.empty()) return Reply();
  const Outcome<ObjectPtr> found = store_.Find(request.route.bucket, request.route.key);
  if (!found) return found.error();
  Object object = **found;
  const std::string acl = request.Header("x-amz-acl");
  if (!acl.empty()) object.headers["x-amz-acl"] = acl;
  // Not if somebody else has replaced the object meanwhile.
  if (Problem problem = store_.Put(request.route.bucket, object, {object.etag, ""}))
    return *problem;
  return Reply();
}

}  // namespace quayfs::testserver
