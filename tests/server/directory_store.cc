// SPDX-License-Identifier: Apache-2.0
//
// Opens a store that lives below a directory: DIR/lock, DIR/journal, DIR/chunks/NUMBER.

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <set>

#include "base/text.h"
#include "tests/server/journal.h"
#include "tests/server/store.h"

namespace quayfs::testserver {

using Json = nlohmann::json;

/// Applies journal lines to a store that nobody else uses yet.
class JournalReplay {
 public:
  explicit JournalReplay(Store& store) : store_(store) {}

  /// False if the line makes no sense.
  bool Apply(const Json& line) QUAY_NO_THREAD_SAFETY_ANALYSIS {
    const std::string operation = line.value("op", "");
    const std::string name = Decode(line, "bucket");
    if (operation == "bucket") {
      store_.buckets_[name].created = line.value("created", int64_t{0});
      return true;
    }
    if (operation == "no_bucket") return store_.buckets_.erase(name) == 1;
    const auto found = store_.buckets_.find(name);
    if (found == store_.buckets_.end()) return false;
    Store::Bucket& bucket = found->second;
    const std::string id = line.value("id", "");
    if (operation == "put") {
      Put(line, bucket);
    } else if (operation == "delete") {
      bucket.objects.erase(Decode(line, "key"));
    } else if (operation == "upload") {
      Upload& upload = bucket.uploads[id];
      upload.id = id;
      upload.key = Decode(line, "key");
      upload.headers = Headers(line);
      upload.initiated = line.value("initiated", int64_t{0});
    } else if (operation == "part") {
      auto part = std::make_shared<Part>();
      part->etag = line.value("etag", "");
      part->md5 = Decode(line, "md5");
      part->modified = line.value("modified", int64_t{0});
      part->body = Body(line);
      bucket.uploads[id].parts[line.value("number", 0)] = part;
    } else if (operation == "abort") {
      bucket.uploads.erase(id);
    } else {
      return false;
    }
    return true;
  }

  /// The lines that make an empty store equal to this one.
  std::vector<std::string> Lines() const QUAY_NO_THREAD_SAFETY_ANALYSIS {
    std::vector<std::string> lines;
    for (const auto& [name, bucket] : store_.buckets_) {
      lines.push_back(BucketLine(name, bucket.created));
      for (const auto& [key, object] : bucket.objects) lines.push_back(PutLine(name, *object, ""));
      for (const auto& [id, upload] : bucket.uploads) {
        lines.push_back(UploadLine(name, upload));
        for (const auto& [number, part] : upload.parts) {
          lines.push_back(PartLine(name, id, number, *part));
        }
      }
    }
    return lines;
  }

  /// Names of all chunk files in use.
  std::set<std::string> Chunks() const QUAY_NO_THREAD_SAFETY_ANALYSIS {
    std::set<std::string> used;
    const auto add = [&used](const Blob& blob) {
      for (const Piece& piece : blob.pieces()) used.insert(piece.chunk->id());
    };
    for (const auto& [name, bucket] : store_.buckets_) {
      for (const auto& [key, object] : bucket.objects) add(object->body);
      for (const auto& [id, upload] : bucket.uploads) {
        for (const auto& [number, part] : upload.parts) add(part->body);
      }
    }
    return used;
  }

  void Attach(std::unique_ptr<Journal> journal) QUAY_NO_THREAD_SAFETY_ANALYSIS {
    store_.journal_ = std::move(journal);
  }

 private:
  static std::string Decode(const Json& line, const char* field) {
    return PercentDecode(line.value(field, ""), false);
  }

  static std::map<std::string, std::string> Headers(const Json& line) {
    std::map<std::string, std::string> headers;
    // Named: items() refers to what it is called on, which must outlive the loop.
    const Json stored = line.value("headers", Json::object());
    for (const auto& [name, value] : stored.items()) {
      headers[name] = PercentDecode(value.get<std::string>(), false);
    }
    return headers;
  }

  Blob Body(const Json& line) {
    Blob blob;
    for (const Json& piece : line.value("pieces", Json::array())) {
      blob.Append(Piece{Chunk(piece.at(0)), piece.at(1), piece.at(2)});
    }
    return blob;
  }

  // One object per file, however many blobs share it: its end removes the file.
  std::shared_ptr<const testserver::Chunk> Chunk(const std::string& id) {
    std::weak_ptr<const testserver::Chunk>& known = chunks_[id];
    std::shared_ptr<const testserver::Chunk> chunk = known.lock();
    if (chunk == nullptr) {
      chunk = store_.chunks().Reopen(id);
      known = chunk;
      all_.push_back(chunk);
    }
    return chunk;
  }

  void Put(const Json& line, Store::Bucket& bucket) {
    auto object = std::make_shared<Object>();
    object->key = Decode(line, "key");
    object->body = Body(line);
    object->headers = Headers(line);
    object->etag = line.value("etag", "");
    object->modified = line.value("modified", int64_t{0});
    object->restored = line.value("restored", false);
    bucket.objects[object->key] = object;
    bucket.uploads.erase(line.value("upload", ""));
  }

  Store& store_;
  std::map<std::string, std::weak_ptr<const testserver::Chunk>> chunks_;
  // Held until the replay is over: a chunk whose first user is gone may come back in a later line
  // (a part that went into an object).
  std::vector<std::shared_ptr<const testserver::Chunk>> all_;
};

namespace {

Status MakeDirectory(const std::string& path) {
  std::error_code failure;
  std::filesystem::create_directories(path, failure);
  if (failure) return ErrnoError(failure.value(), "cannot make " + path);
  return {};
}

Result<UniqueFd> OpenFile(const std::string& path, int flags) {
  UniqueFd fd(open(path.c_str(), flags | O_CLOEXEC, 0600));
  if (!fd.valid()) return ErrnoError(errno, "cannot open " + path);
  return fd;
}

uint64_t NextChunkNumber(const std::string& directory) {
  uint64_t next = 1;
  std::error_code failure;
  for (const auto& entry : std::filesystem::directory_iterator(directory, failure)) {
    const Result<uint64_t> number = ParseUint(entry.path().filename().string());
    if (number) next = std::max(next, *number + 1);
  }
  return next;
}

void RemoveOrphans(const std::string& directory, const std::set<std::string>& used) {
  std::vector<std::filesystem::path> orphans;
  std::error_code failure;
  for (const auto& entry : std::filesystem::directory_iterator(directory, failure)) {
    if (!used.contains(entry.path().filename().string())) orphans.push_back(entry.path());
  }
  for (const auto& path : orphans) std::filesystem::remove(path, failure);
}

Status Replay(const std::string& path, JournalReplay* replay) {
  std::ifstream file(path);
  std::string text;
  while (std::getline(file, text)) {
    const Json line = Json::parse(text, nullptr, false);
    // A last line that was cut off by the end of the process belongs to a request that was never
    // answered.
    if (line.is_discarded()) {
      if (file.peek() == std::ifstream::traits_type::eof()) break;
      return Error(Code::kCorrupt, path + " has a line that is not JSON");
    }
    if (!replay->Apply(line))
      return Error(Code::kCorrupt, path + " has a line that makes no sense");
  }
  return {};
}

}  // namespace

Result<std::unique_ptr<Store>> OpenDirectoryStore(const std::string& directory,
                                                  std::optional<uint64_t> shuffle_seed) {
  const std::string chunks = directory + "/chunks";
  QUAY_TRY(MakeDirectory(chunks));
  QUAY_ASSIGN(UniqueFd lock, OpenFile(directory + "/lock", O_RDWR | O_CREAT));
  if (flock(lock.get(), LOCK_EX | LOCK_NB) != 0) {
    return Error(Code::kBusy, directory + " is in use by another server");
  }
  auto store = std::make_unique<Store>(MakeFileChunkStore(chunks, NextChunkNumber(chunks)), nullptr,
                                       shuffle_seed);
  const std::string path = directory + "/journal";
  {
    JournalReplay replay(*store);
    QUAY_TRY(Replay(path, &replay));
    RemoveOrphans(chunks, replay.Chunks());
    QUAY_ASSIGN(UniqueFd file, OpenFile(path + ".new", O_WRONLY | O_CREAT | O_TRUNC | O_APPEND));
    auto journal = std::make_unique<Journal>(std::move(file), std::move(lock));
    for (const std::string& line : replay.Lines()) QUAY_TRY(journal->Append(line));
    if (rename((path + ".new").c_str(), path.c_str()) != 0) {
      return ErrnoError(errno, "cannot rename the journal");
    }
    replay.Attach(std::move(journal));
  }
  return store;
}

}  // namespace quayfs::testserver
