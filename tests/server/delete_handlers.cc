// SPDX-License-Identifier: Apache-2.0

#include <tinyxml2.h>

#include "tests/server/s3_service.h"
#include "tests/server/xml.h"

namespace quayfs::testserver {
namespace {

constexpr uint64_t kDeleteBodyMax = 4 << 20;
constexpr size_t kDeleteKeysMax = 1000;

struct Doomed {
  std::string key;
  std::string etag;  // condition, "" for none
  bool versioned = false;
};

struct DeleteOrder {
  bool quiet = false;
  std::vector<Doomed> objects;
};

std::string TextOf(const tinyxml2::XMLElement& parent, const char* name) {
  const tinyxml2::XMLElement* element = parent.FirstChildElement(name);
  const char* text = element == nullptr ? nullptr : element->GetText();
  return text == nullptr ? "" : text;
}

Outcome<DeleteOrder> ParseOrder(const std::string& body) {
  const S3Error malformed(400, "MalformedXML", "not a well-formed Delete of 1 to 1000 objects");
  tinyxml2::XMLDocument document;
  if (document.Parse(body.data(), body.size()) != tinyxml2::XML_SUCCESS) return malformed;
  const tinyxml2::XMLElement* root = document.FirstChildElement("Delete");
  if (root == nullptr) return malformed;
  DeleteOrder order;
  order.quiet = TextOf(*root, "Quiet") == "true";
  for (const tinyxml2::XMLElement* object = root->FirstChildElement("Object"); object != nullptr;
       object = object->NextSiblingElement("Object")) {
    Doomed doomed{TextOf(*object, "Key"), TextOf(*object, "ETag"), false};
    const std::string version = TextOf(*object, "VersionId");
    doomed.versioned = !version.empty() && version != "null";
    if (doomed.key.empty()) return malformed;
    order.objects.push_back(std::move(doomed));
  }
  if (order.objects.empty() || order.objects.size() > kDeleteKeysMax) return malformed;
  return order;
}

}  // namespace

Outcome<Reply> S3Service::DeleteObject(S3Request& request) {
  WriteCondition condition = ConditionOf(request);
  condition.if_none_match.clear();
  if (Problem problem = store_.Delete(request.route.bucket, request.route.key, condition)) {
    return *problem;
  }
  Reply reply;
  reply.status = 204;
  return reply;
}

Outcome<Reply> S3Service::DeleteObjects(S3Request& request) {
  if (!config_.batch_delete) return S3Error(501, "NotImplemented", "DeleteObjects is not offered");
  if (!PayloadVerifier::HasIntegrity(request.head.headers)) {
    return S3Error(400, "InvalidRequest", "Content-MD5 or a checksum is needed");
  }
  const Outcome<std::string> body = ReceiveText(request.payload(), kDeleteBodyMax);
  if (!body) return body.error();
  const Outcome<DeleteOrder> order = ParseOrder(*body);
  if (!order) return order.error();
  const std::string& bucket = request.route.bucket;
  if (Problem problem = store_.CheckBucket(bucket)) return *problem;
  XmlWriter xml("DeleteResult");
  for (const Doomed& doomed : order->objects) {
    Problem problem;
    if (doomed.versioned) {
      problem = S3Error(404, "NoSuchVersion", "versions are not kept here");
    } else {
      const WriteCondition condition{config_.conditional_writes ? doomed.etag : "", ""};
      problem = store_.Delete(bucket, doomed.key, condition);
    }
    if (problem) {
      xml.Open("Error").Element("Key", doomed.key).Element("Code", problem->code);
      xml.Element("Message", problem->message).Close();
    } else if (!order->quiet) {
      xml.Open("Deleted").Element("Key", doomed.key).Close();
    }
  }
  return XmlReply(xml.Finish());
}

}  // namespace quayfs::testserver
