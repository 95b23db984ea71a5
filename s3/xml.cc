// SPDX-License-Identifier: Apache-2.0

#include "s3/xml.h"

#include <fmt/format.h>

#include <algorithm>
#include <limits>
#include <utility>

#include "base/text.h"
#include "s3/xml_reader.h"

namespace quayfs::s3 {
namespace {

constexpr int kMaxPartNumber = 10000;

Error Corrupt(std::string what) { return Error(Code::kCorrupt, std::move(what)); }

// Parses and checks the root, of which `names` are the acceptable ones.
Result<XmlDocument> ParseRooted(std::string_view body,
                                std::initializer_list<std::string_view> names) {
  QUAY_ASSIGN(XmlDocument document, XmlDocument::Parse(body, kXmlReplyLimit));
  const std::string_view root = document.root().name();
  if (std::find(names.begin(), names.end(), root) == names.end()) {
    return Corrupt(
        fmt::format("the reply is a <{}> where a <{}> was expected", root, *names.begin()));
  }
  return document;
}

Result<uint64_t> ParseNumber(const XmlElement& parent, std::string_view name) {
  const std::string text = parent.ChildText(name);
  Result<uint64_t> number = ParseUint(TrimBlanks(text));
  if (!number)
    return Corrupt(fmt::format("<{}> in the reply is no number: '{}'", name, text.substr(0, 40)));
  return number;
}

Result<int> ParsePartNumber(const XmlElement& parent, std::string_view name) {
  QUAY_ASSIGN(const uint64_t number, ParseNumber(parent, name));
  if (number > kMaxPartNumber)
    return Corrupt(fmt::format("<{}> in the reply is out of range: {}", name, number));
  return static_cast<int>(number);
}

Result<bool> ParseTruncated(const XmlElement& root) {
  const std::string text(TrimBlanks(root.ChildText("IsTruncated")));
  if (text == "true" || text == "True" || text == "1") return true;
  if (text.empty() || text == "false" || text == "False" || text == "0") return false;
  return Corrupt(fmt::format("<IsTruncated> in the reply is neither true nor false: '{}'",
                             text.substr(0, 40)));
}

WallTime ParseTime(const XmlElement& parent, std::string_view name) {
  const std::string text = parent.ChildText(name);
  const Result<WallTime> time = ParseIso(TrimBlanks(text));
  return time ? *time : WallTime{};
}

// Undoes EncodingType=url where the reply declares it.
class NameDecoder {
 public:
  explicit NameDecoder(const XmlElement& root)
      : encoded_(TrimBlanks(root.ChildText("EncodingType")) == "url") {}
  std::string operator()(std::string text) const {
    return encoded_ ? PercentDecode(text, true) : std::move(text);
  }

 private:
  bool encoded_;
};

Result<ObjectInfo> ParseContents(const XmlElement& element, const NameDecoder& decode,
                                 const std::string& prefix) {
  ObjectInfo info;
  info.key = decode(element.ChildText("Key"));
  if (info.key.empty()) return Corrupt("a listed object has no key");
  if (!info.key.starts_with(prefix)) {
    return Corrupt(
        fmt::format("the listing of '{}' holds a key outside of it: '{}'", prefix, info.key));
  }
  QUAY_ASSIGN(info.size, ParseNumber(element, "Size"));
  info.etag = TrimBlanks(element.ChildText("ETag"));
  info.last_modified = ParseTime(element, "LastModified");
  info.storage_class = TrimBlanks(element.ChildText("StorageClass"));
  return info;
}

Result<std::string> ParseCommonPrefix(const XmlElement& element, const NameDecoder& decode,
                                      const ListRequest& request) {
  std::string prefix = decode(element.ChildText("Prefix"));
  if (!prefix.starts_with(request.prefix)) {
    return Corrupt(fmt::format("the listing of '{}' holds a common prefix outside of it: '{}'",
                               request.prefix, prefix));
  }
  if (prefix.size() <= request.prefix.size() || !prefix.ends_with(request.delimiter)) {
    return Corrupt(fmt::format("the listing of '{}' holds an odd common prefix: '{}'",
                               request.prefix, prefix));
  }
  return prefix;
}

bool LooksLikeV1(const XmlElement& root, ListVersion asked, bool truncated) {
  if (root.Child("KeyCount").exists() || root.Child("NextContinuationToken").exists()) return false;
  if (root.Child("Marker").exists() || root.Child("NextMarker").exists()) return true;
  return asked == ListVersion::kV1 || truncated;
}

std::string NextMarker(const XmlElement& root, const NameDecoder& decode, const ListReply& reply) {
  std::string marker = decode(root.ChildText("NextMarker"));
  if (!marker.empty()) return marker;
  if (!reply.objects.empty()) marker = reply.objects.back().key;
  if (!reply.common_prefixes.empty()) marker = std::max(marker, reply.common_prefixes.back());
  return marker;
}

void AppendElement(std::string_view name, std::string_view text, std::string* xml) {
  *xml += fmt::format("<{}>{}</{}>", name, EscapeXml(text), name);
}

// The length of the UTF-8 sequence that `text` begins with, 0 if it is not valid or no XML
// character.
size_t XmlCharacterLength(std::string_view text) {
  const auto byte = [&](size_t i) { return static_cast<unsigned char>(text[i]); };
  const unsigned char lead = byte(0);
  if (lead < 0x80) return lead >= 0x20 ? 1 : 0;
  const size_t length = lead >= 0xf0 ? 4 : lead >= 0xe0 ? 3 : lead >= 0xc2 ? 2 : 0;
  if (length == 0 || lead > 0xf4 || text.size() < length) return 0;
  uint32_t code = lead & (0x7fu >> length);
  for (size_t i = 1; i < length; ++i) {
    if ((byte(i) & 0xc0) != 0x80) return 0;
    code = (code << 6) | (byte(i) & 0x3fu);
  }
  const uint32_t smallest = length == 4 ? 0x10000 : length == 3 ? 0x800 : 0x80;
  if (code < smallest || code > 0x10ffff || (code >= 0xd800 && code <= 0xdfff)) return 0;
  if (code == 0xfffe || code == 0xffff) return 0;
  return length;
}

}  // namespace

std::optional<ErrorDocument> ParseError(std::string_view body) {
  const Result<XmlDocument> document = XmlDocument::Parse(body, kXmlErrorLimit);
  if (!document) return std::nullopt;
  const XmlElement root = document->root();
  const XmlElement error = root.name() == "Error" ? root : root.Child("Error");
  if (!error.exists() || (root.name() != "Error" && root.name() != "ErrorResponse"))
    return std::nullopt;
  const auto field = [&](std::string_view name) {
    return std::string(TrimBlanks(error.ChildText(name)));
  };
  ErrorDocument result{field("Code"),   field("Message"),  field("RequestId"),
                       field("Region"), field("Endpoint"), field("ServerTime")};
  if (result.request_id.empty()) result.request_id = TrimBlanks(root.ChildText("RequestId"));
  return result;
}

Result<ListReply> ParseList(std::string_view body, const ListRequest& request, ListVersion asked) {
  QUAY_ASSIGN(const XmlDocument document,
              ParseRooted(body, {"ListBucketResult", "ListBucketV2Result"}));
  const XmlElement root = document.root();
  const NameDecoder decode(root);
  ListReply reply;
  QUAY_ASSIGN(reply.truncated, ParseTruncated(root));
  for (XmlElement child = root.FirstChild(); child.exists(); child = child.Next()) {
    if (child.name() == "Contents") {
      QUAY_ASSIGN(ObjectInfo info, ParseContents(child, decode, request.prefix));
      reply.objects.push_back(std::move(info));
    } else if (child.name() == "CommonPrefixes") {
      QUAY_ASSIGN(std::string prefix, ParseCommonPrefix(child, decode, request));
      reply.common_prefixes.push_back(std::move(prefix));
    }
  }
  reply.is_v1 = LooksLikeV1(root, asked, reply.truncated);
  if (!reply.truncated) return reply;
  reply.next =
      reply.is_v1 ? NextMarker(root, decode, reply) : root.ChildText("NextContinuationToken");
  if (reply.next.empty())
    return Corrupt("the listing is truncated and does not say where it goes on");
  return reply;
}

Result<CopyReply> ParseCopy(std::string_view body) {
  QUAY_ASSIGN(const XmlDocument document,
              ParseRooted(body, {"CopyObjectResult", "CopyPartResult"}));
  CopyReply reply;
  reply.etag = TrimBlanks(document.root().ChildText("ETag"));
  reply.last_modified = ParseTime(document.root(), "LastModified");
  if (reply.etag.empty()) return Corrupt("the reply to a copy has no ETag");
  return reply;
}

Result<std::string> ParseInitiate(std::string_view body) {
  QUAY_ASSIGN(const XmlDocument document, ParseRooted(body, {"InitiateMultipartUploadResult"}));
  std::string upload_id(TrimBlanks(document.root().ChildText("UploadId")));
  if (upload_id.empty()) return Corrupt("the reply to the start of an upload has no upload id");
  return upload_id;
}

Result<std::string> ParseComplete(std::string_view body) {
  QUAY_ASSIGN(const XmlDocument document, ParseRooted(body, {"CompleteMultipartUploadResult"}));
  return std::string(TrimBlanks(document.root().ChildText("ETag")));
}

Result<PartsReply> ParseParts(std::string_view body) {
  QUAY_ASSIGN(const XmlDocument document, ParseRooted(body, {"ListPartsResult"}));
  const XmlElement root = document.root();
  PartsReply reply;
  QUAY_ASSIGN(reply.truncated, ParseTruncated(root));
  for (XmlElement child = root.FirstChild(); child.exists(); child = child.Next()) {
    if (child.name() != "Part") continue;
    PartInfo part;
    QUAY_ASSIGN(part.number, ParsePartNumber(child, "PartNumber"));
    QUAY_ASSIGN(part.size, ParseNumber(child, "Size"));
    part.etag = TrimBlanks(child.ChildText("ETag"));
    if (part.number < 1) return Corrupt("a listed part has no number");
    reply.parts.push_back(std::move(part));
  }
  if (!reply.truncated) return reply;
  if (root.Child("NextPartNumberMarker").exists()) {
    QUAY_ASSIGN(reply.next_marker, ParsePartNumber(root, "NextPartNumberMarker"));
  } else if (!reply.parts.empty()) {
    reply.next_marker = reply.parts.back().number;
  }
  return reply;
}

Result<UploadsReply> ParseUploads(std::string_view body, std::string_view prefix) {
  QUAY_ASSIGN(const XmlDocument document, ParseRooted(body, {"ListMultipartUploadsResult"}));
  const XmlElement root = document.root();
  const NameDecoder decode(root);
  UploadsReply reply;
  QUAY_ASSIGN(reply.truncated, ParseTruncated(root));
  for (XmlElement child = root.FirstChild(); child.exists(); child = child.Next()) {
    if (child.name() != "Upload") continue;
    UploadInfo upload;
    upload.key = decode(child.ChildText("Key"));
    upload.upload_id = TrimBlanks(child.ChildText("UploadId"));
    upload.initiated = ParseTime(child, "Initiated");
    if (upload.key.empty() || upload.upload_id.empty())
      return Corrupt("a listed upload has no key or no id");
    if (!upload.key.starts_with(prefix)) {
      return Corrupt(
          fmt::format("the uploads below '{}' hold a key outside of it: '{}'", prefix, upload.key));
    }
    reply.uploads.push_back(std::move(upload));
  }
  if (!reply.truncated) return reply;
  reply.next_key_marker = decode(root.ChildText("NextKeyMarker"));
  reply.next_upload_id_marker = TrimBlanks(root.ChildText("NextUploadIdMarker"));
  if (reply.next_key_marker.empty() && !reply.uploads.empty()) {
    reply.next_key_marker = reply.uploads.back().key;
    reply.next_upload_id_marker = reply.uploads.back().upload_id;
  }
  return reply;
}

Result<DeleteReply> ParseDelete(std::string_view body) {
  QUAY_ASSIGN(const XmlDocument document, ParseRooted(body, {"DeleteResult"}));
  DeleteReply reply;
  for (XmlElement child = document.root().FirstChild(); child.exists(); child = child.Next()) {
    if (child.name() == "Deleted") {
      reply.deleted.push_back(child.ChildText("Key"));
    } else if (child.name() == "Error") {
      reply.failures.push_back({child.ChildText("Key"),
                                std::string(TrimBlanks(child.ChildText("Code"))),
                                std::string(TrimBlanks(child.ChildText("Message")))});
    }
  }
  return reply;
}

Result<std::vector<std::string>> ParseBuckets(std::string_view body) {
  QUAY_ASSIGN(const XmlDocument document, ParseRooted(body, {"ListAllMyBucketsResult"}));
  std::vector<std::string> names;
  const XmlElement buckets = document.root().Child("Buckets");
  for (XmlElement bucket = buckets.FirstChild(); bucket.exists(); bucket = bucket.Next()) {
    std::string name = bucket.ChildText("Name");
    if (bucket.name() == "Bucket" && !name.empty()) names.push_back(std::move(name));
  }
  return names;
}

std::string EscapeXml(std::string_view text) {
  std::string escaped;
  escaped.reserve(text.size());
  for (const char c : text) {
    switch (c) {
      case '&':
        escaped += "&amp;";
        break;
      case '<':
        escaped += "&lt;";
        break;
      case '>':
        escaped += "&gt;";
        break;
      case '"':
        escaped += "&quot;";
        break;
      default:
        if (static_cast<unsigned char>(c) < 0x20) {
          escaped += fmt::format("&#{};", static_cast<int>(c));
        } else {
          escaped += c;
        }
    }
  }
  return escaped;
}

bool XmlCarriesKey(std::string_view key) {
  if (key.empty() || key.front() == ' ' || key.back() == ' ') return false;
  while (!key.empty()) {
    const size_t length = XmlCharacterLength(key);
    if (length == 0) return false;
    key.remove_prefix(length);
  }
  return true;
}

std::string WriteComplete(const std::vector<PartInfo>& parts) {
  std::string xml = "<CompleteMultipartUpload xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">";
  for (const PartInfo& part : parts) {
    xml += "<Part>";
    AppendElement("PartNumber", std::to_string(part.number), &xml);
    AppendElement("ETag", part.etag, &xml);
    xml += "</Part>";
  }
  return xml + "</CompleteMultipartUpload>";
}

std::string WriteDelete(const std::vector<std::string>& keys) {
  std::string xml =
      "<Delete xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\"><Quiet>false</Quiet>";
  for (const std::string& key : keys) {
    xml += "<Object>";
    AppendElement("Key", key, &xml);
    xml += "</Object>";
  }
  return xml + "</Delete>";
}

std::string WriteCreateBucket(std::string_view region) {
  std::string xml = "<CreateBucketConfiguration xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">";
  AppendElement("LocationConstraint", region, &xml);
  return xml + "</CreateBucketConfiguration>";
}

}  // namespace quayfs::s3
