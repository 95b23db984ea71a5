// SPDX-License-Identifier: Apache-2.0

#include <algorithm>

#include "base/hash.h"
#include "base/text.h"
#include "tests/server/s3_service.h"
#include "tests/server/xml.h"

namespace quayfs::testserver {
namespace {

constexpr std::string_view kTokenPrefix = "quayfs-token:";

/// What both versions ask for.
struct Asked {
  std::string prefix;
  std::string delimiter;
  size_t max = 0;
  bool url = false;

  /// Text as the reply carries it. A space becomes '+', as AWS sends it.
  std::string Encoded(const std::string& text) const {
    if (!url) return text;
    std::string encoded = PercentEncode(text, true);
    size_t at = 0;
    while ((at = encoded.find("%20", at)) != std::string::npos) encoded.replace(at, 3, "+");
    return encoded;
  }
};

Outcome<Asked> ParseAsked(const S3Request& request, const ServerConfig& config) {
  Asked asked;
  asked.prefix = request.query.Get("prefix");
  asked.delimiter = request.query.Get("delimiter");
  asked.max = static_cast<size_t>(config.page_size_max);
  if (const std::string* max_keys = request.query.Find("max-keys")) {
    const Result<uint64_t> parsed = ParseUint(*max_keys);
    if (!parsed) return S3Error(400, "InvalidArgument", "max-keys is not a number");
    asked.max = std::min<uint64_t>(asked.max, *parsed);
  }
  if (const std::string* encoding = request.query.Find("encoding-type")) {
    if (*encoding != "url") return S3Error(400, "InvalidArgument", "unknown encoding-type");
    asked.url = config.encoding_type;
  }
  return asked;
}

void WriteEntries(const ListPage& page, const Asked& asked, bool with_owner, XmlWriter* xml) {
  for (const ListEntry& entry : page.entries) {
    if (entry.object == nullptr) continue;
    xml->Open("Contents")
        .Element("Key", asked.Encoded(entry.name))
        .Element("LastModified", XmlDate(entry.object->modified))
        .Element("ETag", Quoted(entry.object->etag))
        .Element("Size", entry.object->body.size());
    if (with_owner) {
      xml->Open("Owner").Element("ID", "owner").Element("DisplayName", "owner").Close();
    }
    xml->Element("StorageClass", StorageClassOf(*entry.object)).Close();
  }
  for (const ListEntry& entry : page.entries) {
    if (entry.object != nullptr) continue;
    xml->Open("CommonPrefixes").Element("Prefix", asked.Encoded(entry.name)).Close();
  }
}

void WriteAsked(const S3Request& request, const Asked& asked, XmlWriter* xml) {
  xml->Element("Name", request.route.bucket).Element("Prefix", asked.Encoded(asked.prefix));
  if (!asked.delimiter.empty()) xml->Element("Delimiter", asked.Encoded(asked.delimiter));
  xml->Element("MaxKeys", uint64_t{asked.max});
  if (asked.url) xml->Element("EncodingType", "url");
}

std::string MakeToken(const std::string& next) {
  return Base64Encode(std::string(kTokenPrefix) + next);
}

Outcome<std::string> ParseToken(const std::string& token) {
  std::string raw;
  if (!Base64Decode(token, &raw) || !raw.starts_with(kTokenPrefix)) {
    return S3Error(400, "InvalidArgument", "the continuation token is not one that was given out")
        .With("ArgumentName", "continuation-token");
  }
  return raw.substr(kTokenPrefix.size());
}

}  // namespace

Outcome<Reply> S3Service::ListObjectsV1(S3Request& request) {
  const Outcome<Asked> asked = ParseAsked(request, config_);
  if (!asked) return asked.error();
  const std::string marker = request.query.Get("marker");
  const Outcome<ListPage> page =
      store_.List(request.route.bucket, {asked->prefix, asked->delimiter, marker, asked->max});
  if (!page) return page.error();
  XmlWriter xml("ListBucketResult");
  WriteAsked(request, *asked, &xml);
  xml.Element("Marker", asked->Encoded(marker)).Element("IsTruncated", page->truncated);
  // Only with a delimiter, or where the client could not know how to go on.
  if (page->truncated && (!asked->delimiter.empty() || config_.shuffle_listings)) {
    xml.Element("NextMarker", asked->Encoded(page->next));
  }
  WriteEntries(*page, *asked, true, &xml);
  return XmlReply(xml.Finish());
}

Outcome<Reply> S3Service::ListObjectsV2(S3Request& request) {
  const Outcome<Asked> asked = ParseAsked(request, config_);
  if (!asked) return asked.error();
  ListQuery query{asked->prefix, asked->delimiter, "", asked->max};
  const std::string* token = request.query.Find("continuation-token");
  const std::string start_after = request.query.Get("start-after");
  if (token != nullptr) {
    const Outcome<std::string> after = ParseToken(*token);
    if (!after) return after.error();
    query.after = *after;
  } else if (!start_after.empty()) {
    if (config_.shuffle_listings) {
      return S3Error(501, "NotImplemented", "start-after needs a listing in order");
    }
    query.after = start_after;
  }
  const Outcome<ListPage> page = store_.List(request.route.bucket, query);
  if (!page) return page.error();
  XmlWriter xml("ListBucketResult");
  WriteAsked(request, *asked, &xml);
  xml.Element("KeyCount", uint64_t{page->entries.size()}).Element("IsTruncated", page->truncated);
  if (!start_after.empty()) xml.Element("StartAfter", asked->Encoded(start_after));
  if (token != nullptr) xml.Element("ContinuationToken", *token);
  if (page->truncated) xml.Element("NextContinuationToken", MakeToken(page->next));
  WriteEntries(*page, *asked, request.query.Get("fetch-owner") == "true", &xml);
  return XmlReply(xml.Finish());
}

}  // namespace quayfs::testserver
