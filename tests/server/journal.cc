// SPDX-License-Identifier: Apache-2.0

#include "tests/server/journal.h"

#include <unistd.h>

#include <cerrno>
#include <nlohmann/json.hpp>

#include "base/text.h"

namespace quayfs::testserver {
namespace {

using Json = nlohmann::json;

Json Pieces(const Blob& blob) {
  Json pieces = Json::array();
  for (const Piece& piece : blob.pieces()) {
    pieces.push_back(Json::array({piece.chunk->id(), piece.offset, piece.length}));
  }
  return pieces;
}

Json HeaderMap(const std::map<std::string, std::string>& headers) {
  Json map = Json::object();
  for (const auto& [name, value] : headers) map[name] = PercentEncode(value, true);
  return map;
}

Json Line(const char* operation, const std::string& bucket) {
  return Json{{"op", operation}, {"bucket", PercentEncode(bucket, true)}};
}

}  // namespace

std::string BucketLine(const std::string& bucket, int64_t created) {
  Json line = Line("bucket", bucket);
  line["created"] = created;
  return line.dump();
}

std::string NoBucketLine(const std::string& bucket) { return Line("no_bucket", bucket).dump(); }

std::string PutLine(const std::string& bucket, const Object& object, const std::string& upload_id) {
  Json line = Line("put", bucket);
  line["key"] = PercentEncode(object.key, true);
  line["headers"] = HeaderMap(object.headers);
  line["etag"] = object.etag;
  line["modified"] = object.modified;
  line["restored"] = object.restored;
  line["pieces"] = Pieces(object.body);
  if (!upload_id.empty()) line["upload"] = upload_id;
  return line.dump();
}

std::string DeleteLine(const std::string& bucket, const std::string& key) {
  Json line = Line("delete", bucket);
  line["key"] = PercentEncode(key, true);
  return line.dump();
}

std::string UploadLine(const std::string& bucket, const Upload& upload) {
  Json line = Line("upload", bucket);
  line["id"] = upload.id;
  line["key"] = PercentEncode(upload.key, true);
  line["headers"] = HeaderMap(upload.headers);
  line["initiated"] = upload.initiated;
  return line.dump();
}

std::string PartLine(const std::string& bucket, const std::string& id, int number,
                     const Part& part) {
  Json line = Line("part", bucket);
  line["id"] = id;
  line["number"] = number;
  line["etag"] = part.etag;
  line["md5"] = PercentEncode(part.md5, true);
  line["modified"] = part.modified;
  line["pieces"] = Pieces(part.body);
  return line.dump();
}

std::string AbortLine(const std::string& bucket, const std::string& id) {
  Json line = Line("abort", bucket);
  line["id"] = id;
  return line.dump();
}

Status Journal::Append(const std::string& line) {
  const std::string text = line + "\n";
  size_t done = 0;
  while (done < text.size()) {
    const ssize_t count = write(file_.get(), text.data() + done, text.size() - done);
    if (count < 0) return ErrnoError(errno, "cannot write the journal");
    done += static_cast<size_t>(count);
  }
  return {};
}

}  // namespace quayfs::testserver
