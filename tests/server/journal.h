// SPDX-License-Identifier: Apache-2.0
//
// Changes of a directory-backed store, one JSON line each, appended to one file; replayed and
// rewritten at start. Keys and header values are percent-encoded, so any bytes go through.

#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "base/result.h"
#include "base/unique_fd.h"
#include "tests/server/store.h"

namespace quayfs::testserver {

// The lines.
std::string BucketLine(const std::string& bucket, int64_t created);
std::string NoBucketLine(const std::string& bucket);
/// With `upload_id` the line ends that upload too.
std::string PutLine(const std::string& bucket, const Object& object, const std::string& upload_id);
std::string DeleteLine(const std::string& bucket, const std::string& key);
std::string UploadLine(const std::string& bucket, const Upload& upload);
std::string PartLine(const std::string& bucket, const std::string& id, int number,
                     const Part& part);
std::string AbortLine(const std::string& bucket, const std::string& id);

/// The open file. Thread-compatible.
class Journal {
 public:
  Journal(UniqueFd file, UniqueFd lock) : file_(std::move(file)), lock_(std::move(lock)) {}
  Status Append(const std::string& line);

 private:
  UniqueFd file_;
  UniqueFd lock_;
};

}  // namespace quayfs::testserver
