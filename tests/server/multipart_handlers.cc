// SPDX-License-Identifier: Apache-2.0

#include <tinyxml2.h>

#include <algorithm>

#include "base/hash.h"
#include "base/text.h"
#include "tests/server/s3_service.h"
#include "tests/server/xml.h"

namespace quayfs::testserver {
namespace {

constexpr uint64_t kCompleteBodyMax = 4 << 20;

struct NamedPart {
  int number = 0;
  std::string etag;  // without quotes
};

std::string TextOf(const tinyxml2::XMLElement& parent, const char* name) {
  const tinyxml2::XMLElement* element = parent.FirstChildElement(name);
  const char* text = element == nullptr ? nullptr : element->GetText();
  return text == nullptr ? "" : text;
}

/// The parts in the order of the request.
Outcome<std::vector<NamedPart>> ParseCompletion(const std::string& body) {
  const S3Error malformed(400, "MalformedXML", "not a well-formed CompleteMultipartUpload");
  tinyxml2::XMLDocument document;
  if (document.Parse(body.data(), body.size()) != tinyxml2::XML_SUCCESS) return malformed;
  const tinyxml2::XMLElement* root = document.FirstChildElement("CompleteMultipartUpload");
  if (root == nullptr) return malformed;
  std::vector<NamedPart> parts;
  for (const tinyxml2::XMLElement* part = root->FirstChildElement("Part"); part != nullptr;
       part = part->NextSiblingElement("Part")) {
    const Result<uint64_t> number = ParseUint(TrimBlanks(TextOf(*part, "PartNumber")));
    std::string etag(TrimBlanks(TextOf(*part, "ETag")));
    std::erase(etag, '"');
    if (!number || *number < 1 || *number > 1000000 || etag.empty()) return malformed;
    parts.push_back({static_cast<int>(*number), std::move(etag)});
  }
  if (parts.empty()) return malformed;
  return parts;
}

Outcome<uint64_t> NumberFrom(const Query& query, const char* name, uint64_t fallback) {
  const std::string* text = query.Find(name);
  if (text == nullptr || text->empty()) return fallback;
  const Result<uint64_t> number = ParseUint(*text);
  if (!number) {
    return S3Error(400, "InvalidArgument", std::string(name) + " is not a number")
        .With("ArgumentName", name);
  }
  return *number;
}

/// Behind the markers of a ListMultipartUploads request?
bool IsBehind(const Upload& upload, const std::string& key_marker, const std::string& id_marker,
              const std::vector<Upload>& all) {
  if (key_marker.empty()) return true;
  if (upload.key != key_marker) return upload.key > key_marker;
  if (id_marker.empty()) return false;
  // Uploads of one key are in order of time: behind means later in the list than the marker.
  bool seen = false;
  for (const Upload& other : all) {
    if (other.id == upload.id) return seen;
    if (other.id == id_marker) seen = true;
  }
  return false;
}

struct UploadsPage {
  std::vector<const Upload*> uploads;
  std::vector<std::string> prefixes;
  bool truncated = false;
  std::string next_key;
  std::string next_id;
};

UploadsPage PageOfUploads(const std::vector<Upload>& all, const Query& query, uint64_t max) {
  UploadsPage page;
  const std::string prefix = query.Get("prefix");
  const std::string delimiter = query.Get("delimiter");
  const std::string key_marker = query.Get("key-marker");
  const std::string id_marker = query.Get("upload-id-marker");
  for (const Upload& upload : all) {
    if (!upload.key.starts_with(prefix)) continue;
    const size_t cut =
        delimiter.empty() ? std::string::npos : upload.key.find(delimiter, prefix.size());
    const std::string group =
        cut == std::string::npos ? "" : upload.key.substr(0, cut + delimiter.size());
    if (!group.empty() &&
        (group <= key_marker || (!page.prefixes.empty() && page.prefixes.back() == group))) {
      continue;
    }
    if (group.empty() && !IsBehind(upload, key_marker, id_marker, all)) continue;
    if (page.uploads.size() + page.prefixes.size() == max) {
      page.truncated = max > 0;
      break;
    }
    page.next_key = group.empty() ? upload.key : group;
    page.next_id = group.empty() ? upload.id : "";
    if (group.empty()) {
      page.uploads.push_back(&upload);
    } else {
      page.prefixes.push_back(group);
    }
  }
  return page;
}

}  // namespace

Outcome<int> S3Service::PartNumber(const S3Request& request) const {
  const Result<uint64_t> number = ParseUint(request.query.Get("partNumber"));
  if (!number || *number < 1 || *number > static_cast<uint64_t>(config_.part_count_max)) {
    return S3Error(400, "InvalidArgument",
                   "the part number must be 1 to " + std::to_string(config_.part_count_max))
        .With("ArgumentName", "partNumber");
  }
  return static_cast<int>(*number);
}

Outcome<Reply> S3Service::CreateMultipartUpload(S3Request& request) {
  const Outcome<std::string> nothing = ReceiveText(request.payload(), 0);
  if (!nothing) return nothing.error();
  Outcome<std::map<std::string, std::string>> headers = NewObjectHeaders(request);
  if (!headers) return headers.error();
  Upload upload;
  upload.key = request.route.key;
  upload.headers = std::move(*headers);
  upload.initiated = NowSeconds();
  upload.id = HexEncode(RandomBytes(8)) + "." + std::to_string(upload_counter_.fetch_add(1));
  XmlWriter xml("InitiateMultipartUploadResult");
  xml.Element("Bucket", request.route.bucket).Element("Key", upload.key);
  xml.Element("UploadId", upload.id);
  if (Problem problem = store_.CreateUpload(request.route.bucket, std::move(upload)))
    return *problem;
  return XmlReply(xml.Finish());
}

Outcome<Reply> S3Service::UploadPart(S3Request& request) {
  const Outcome<int> number = PartNumber(request);
  if (!number) return number.error();
  const std::string& bucket = request.route.bucket;
  const std::string& key = request.route.key;
  const std::string id = request.query.Get("uploadId");
  const Outcome<Upload> upload = store_.FindUpload(bucket, key, id);
  if (!upload) return upload.error();
  const Outcome<uint64_t> length = PayloadLength(request.payload());
  if (!length) return length.error();
  if (*length > config_.part_size_max) {
    return S3Error(400, "EntityTooLarge", "the part is too large")
        .With("ProposedSize", std::to_string(*length))
        .With("MaxSizeAllowed", std::to_string(config_.part_size_max));
  }
  Outcome<ReceivedBlob> received = ReceiveBlob(request.payload(), store_.chunks(), WantsMd5());
  if (!received) return received.error();
  Part part;
  part.body = std::move(received->blob);
  part.md5 = received->md5;
  part.etag = NewEtag(part.md5, part.body.size());
  part.modified = NowSeconds();
  Reply reply;
  reply.Set("ETag", Quoted(part.etag));
  if (Problem problem = store_.AddPart(bucket, key, id, *number, std::move(part))) return *problem;
  return reply;
}

Outcome<Object> S3Service::AssembleParts(const S3Request& request, const Upload& upload,
                                         const std::string& body) {
  const Outcome<std::vector<NamedPart>> named = ParseCompletion(body);
  if (!named) return named.error();
  Object object;
  std::string digests;
  int previous = 0;
  for (const NamedPart& name : *named) {
    if (name.number <= previous) {
      return S3Error(400, "InvalidPartOrder", "the parts are not in ascending order");
    }
    previous = name.number;
    const auto part = upload.parts.find(name.number);
    if (part == upload.parts.end() || part->second->etag != name.etag) {
      return S3Error(400, "InvalidPart", "a part was not uploaded or has another ETag")
          .With("PartNumber", std::to_string(name.number))
          .With("ETag", name.etag);
    }
    const uint64_t size = part->second->body.size();
    if (&name != &named->back() && size < config_.part_size_min) {
      return S3Error(400, "EntityTooSmall", "a part that is not the last is too small")
          .With("ProposedSize", std::to_string(size))
          .With("MinSizeAllowed", std::to_string(config_.part_size_min))
          .With("PartNumber", std::to_string(name.number))
          .With("ETag", name.etag);
    }
    object.body.Append(part->second->body);
    digests += config_.fast_etag ? part->second->etag : part->second->md5;
  }
  const std::string announced = request.Header("x-amz-mp-object-size");
  if (!announced.empty() && announced != std::to_string(object.body.size())) {
    return S3Error(400, "InvalidRequest", "the parts do not add up to x-amz-mp-object-size");
  }
  object.key = upload.key;
  object.headers = upload.headers;
  object.etag = HexEncode(Md5(digests)) + "-" + std::to_string(named->size());
  object.modified = NowSeconds();
  return object;
}

Outcome<Reply> S3Service::CompleteMultipartUpload(S3Request& request) {
  const Outcome<std::string> body = ReceiveText(request.payload(), kCompleteBodyMax);
  if (!body) return body.error();
  const std::string& bucket = request.route.bucket;
  const std::string id = request.query.Get("uploadId");
  const Outcome<Upload> upload = store_.FindUpload(bucket, request.route.key, id);
  if (!upload) return upload.error();
  Outcome<Object> object = AssembleParts(request, *upload, *body);
  if (!object) return object.error();
  XmlWriter xml("CompleteMultipartUploadResult");
  xml.Element("Location", request.head.raw_path).Element("Bucket", bucket);
  xml.Element("Key", object->key).Element("ETag", Quoted(object->etag));
  if (Problem problem =
          store_.CompleteUpload(bucket, id, std::move(*object), ConditionOf(request))) {
    return *problem;
  }
  return XmlReply(xml.Finish());
}

Outcome<Reply> S3Service::AbortMultipartUpload(S3Request& request) {
  if (Problem problem = store_.CheckBucket(request.route.bucket)) return *problem;
  if (Problem problem = store_.AbortUpload(request.route.bucket, request.route.key,
                                           request.query.Get("uploadId"))) {
    return *problem;
  }
  Reply reply;
  reply.status = 204;
  return reply;
}

Outcome<Reply> S3Service::ListParts(S3Request& request) {
  const auto page_max = static_cast<uint64_t>(config_.page_size_max);
  const Outcome<uint64_t> max = NumberFrom(request.query, "max-parts", page_max);
  if (!max) return max.error();
  const Outcome<uint64_t> marker = NumberFrom(request.query, "part-number-marker", 0);
  if (!marker) return marker.error();
  const uint64_t limit = std::min(*max, page_max);
  const Outcome<Upload> upload =
      store_.FindUpload(request.route.bucket, request.route.key, request.query.Get("uploadId"));
  if (!upload) return upload.error();
  XmlWriter xml("ListPartsResult");
  xml.Element("Bucket", request.route.bucket).Element("Key", upload->key);
  xml.Element("UploadId", upload->id).Element("PartNumberMarker", *marker);
  const auto clamped = static_cast<int>(std::min<uint64_t>(*marker, 1000000));
  const auto first = upload->parts.upper_bound(clamped);
  const auto count = static_cast<uint64_t>(std::distance(first, upload->parts.end()));
  const auto shown = static_cast<int64_t>(std::min(count, limit));
  const auto last = std::next(first, shown);
  const bool truncated = last != upload->parts.end() && limit > 0;
  xml.Element("MaxParts", limit).Element("IsTruncated", truncated);
  if (truncated) {
    xml.Element("NextPartNumberMarker", static_cast<uint64_t>(std::prev(last)->first));
  }
  for (auto it = first; it != last; ++it) {
    xml.Open("Part").Element("PartNumber", static_cast<uint64_t>(it->first));
    xml.Element("LastModified", XmlDate(it->second->modified));
    xml.Element("ETag", Quoted(it->second->etag));
    xml.Element("Size", it->second->body.size()).Close();
  }
  return XmlReply(xml.Finish());
}

Outcome<Reply> S3Service::ListMultipartUploads(S3Request& request) {
  const auto page_max = static_cast<uint64_t>(config_.page_size_max);
  const Outcome<uint64_t> max = NumberFrom(request.query, "max-uploads", page_max);
  if (!max) return max.error();
  const uint64_t limit = std::min(*max, page_max);
  const Outcome<std::vector<Upload>> all = store_.Uploads(request.route.bucket);
  if (!all) return all.error();
  const UploadsPage page = PageOfUploads(*all, request.query, limit);
  const bool url = config_.encoding_type && request.query.Get("encoding-type") == "url";
  const auto encoded = [url](const std::string& text) {
    return url ? PercentEncode(text, true) : text;
  };
  XmlWriter xml("ListMultipartUploadsResult");
  xml.Element("Bucket", request.route.bucket);
  xml.Element("KeyMarker", encoded(request.query.Get("key-marker")));
  xml.Element("UploadIdMarker", request.query.Get("upload-id-marker"));
  xml.Element("Prefix", encoded(request.query.Get("prefix")));
  if (request.query.Has("delimiter")) {
    xml.Element("Delimiter", encoded(request.query.Get("delimiter")));
  }
  if (url) xml.Element("EncodingType", "url");
  xml.Element("MaxUploads", limit).Element("IsTruncated", page.truncated);
  if (page.truncated) {
    xml.Element("NextKeyMarker", encoded(page.next_key))
        .Element("NextUploadIdMarker", page.next_id);
  }
  for (const Upload* upload : page.uploads) {
    xml.Open("Upload").Element("Key", encoded(upload->key)).Element("UploadId", upload->id);
    xml.Element("StorageClass", "STANDARD")
        .Element("Initiated", XmlDate(upload->initiated))
        .Close();
  }
  for (const std::string& prefix : page.prefixes) {
    xml.Open("CommonPrefixes").Element("Prefix", encoded(prefix)).Close();
  }
  return XmlReply(xml.Finish());
}

}  // namespace quayfs::testserver
