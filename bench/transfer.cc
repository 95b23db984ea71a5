// SPDX-License-Identifier: Apache-2.0
//
// What a mount's transfers are measured against: the least a program can do to move one object with
// libcurl.
//
//   bench_transfer down ...   parallel ranged GETs, each written to its place in a file
//   bench_transfer up ...     a parallel multipart upload of a file, and with --final-copy a
//                             copy of the object onto itself with other metadata
//
// One thread, one multi handle, as many easy handles as parts in flight. No retries, no checks of
// the content, no memory of its own beyond libcurl's buffers. Bodies are not signed unless asked
// for. Prints one line: seconds, MB/s, bytes, requests.

#include <curl/curl.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/clock.h"
#include "base/hash.h"
#include "base/result.h"
#include "base/text.h"
#include "base/unique_fd.h"
#include "s3/config.h"
#include "s3/http.h"
#include "s3/sign_v4.h"
#include "s3/uri.h"

namespace quayfs::bench {
namespace {

constexpr long kBufferSize = 512 * 1024;

struct Options {
  std::string endpoint;
  std::string bucket;
  std::string key;
  std::string file;
  std::string region = "us-east-1";
  uint64_t part_size = 16ull << 20;
  int parallel = 16;
  bool sign_payload = false;
  bool final_copy = false;
};

struct ByteSpan {
  uint64_t offset = 0;
  uint64_t length = 0;
};

/// What one request is about. The body to send, if any, is either `text` or `file_range` of the
/// file.
struct Job {
  std::string method = "GET";
  std::vector<s3::QueryParameter> query;
  std::vector<s3::HttpHeader> headers;
  std::string text;
  std::optional<ByteSpan> file_range;  // PUT: bytes to send; GET: where the bytes go
};

struct Outcome {
  int status = 0;
  std::string etag;
  std::optional<uint64_t> content_length;
  std::string text;  // the beginning of a body that did not go to the file
};

Result<s3::ClientConfig> MakeConfig(const Options& options) {
  s3::ClientConfig config;
  const size_t scheme_end = options.endpoint.find("://");
  if (scheme_end == std::string::npos) {
    return Error(Code::kInvalidArgument, "the endpoint must begin with http:// or https://");
  }
  config.scheme = options.endpoint.substr(0, scheme_end);
  std::string rest = options.endpoint.substr(scheme_end + 3);
  while (!rest.empty() && rest.back() == '/') rest.pop_back();
  if (const size_t colon = rest.rfind(':'); colon != std::string::npos) {
    QUAY_ASSIGN(const uint64_t port, ParseUint(std::string_view(rest).substr(colon + 1)));
    if (port == 0 || port > 65535) return Error(Code::kInvalidArgument, "no such port");
    config.port = static_cast<uint16_t>(port);
    rest.resize(colon);
  }
  config.host = rest;
  config.bucket = options.bucket;
  config.region = options.region;
  config.style = s3::AddressingStyle::kPath;
  const char* const access_key = std::getenv("S3_ACCESS_KEY");
  const char* const secret_key = std::getenv("S3_SECRET_KEY");
  if (access_key == nullptr || secret_key == nullptr) {
    return Error(Code::kInvalidArgument, "set S3_ACCESS_KEY and S3_SECRET_KEY in the environment");
  }
  config.credentials.access_key_id = access_key;
  config.credentials.secret_access_key = secret_key;
  return config;
}

/// One easy handle, used for one request after another.
class Slot {
 public:
  Slot(const Options& options, const s3::ClientConfig& config, const s3::SignerV4& signer, int file)
      : options_(options), config_(config), signer_(signer), file_(file), easy_(curl_easy_init()) {}
  ~Slot() {
    curl_slist_free_all(header_list_);
    curl_easy_cleanup(easy_);
  }
  Slot(const Slot&) = delete;
  Slot& operator=(const Slot&) = delete;

  CURL* easy() const { return easy_; }
  size_t index() const { return index_; }
  const Outcome& outcome() const { return outcome_; }

  Status Prepare(size_t index, Job job) {
    index_ = index;
    job_ = std::move(job);
    outcome_ = {};
    moved_ = 0;
    QUAY_ASSIGN(const s3::HttpRequest request, Sign());
    curl_easy_reset(easy_);
    SetUrl(request);
    SetHeaders(request);
    SetTransfer();
    return {};
  }

  Status Finish(CURLcode code) {
    if (code != CURLE_OK) {
      return Error(Code::kUnavailable,
                   fmt::format("{}: {}", job_.method, curl_easy_strerror(code)));
    }
    long status = 0;
    curl_easy_getinfo(easy_, CURLINFO_RESPONSE_CODE, &status);
    outcome_.status = static_cast<int>(status);
    if (status / 100 != 2) {
      return Error(Code::kUnavailable,
                   fmt::format("{}: HTTP {} {}", job_.method, status, outcome_.text));
    }
    if (job_.file_range && moved_ != job_.file_range->length) {
      return Error(Code::kCorrupt, fmt::format("{}: {} bytes instead of {}", job_.method, moved_,
                                               job_.file_range->length));
    }
    return {};
  }

 private:
  Result<s3::HttpRequest> Sign() {
    const s3::Address address = s3::ObjectAddress(config_, config_.host, options_.key);
    s3::HttpRequest request;
    request.method = job_.method;
    request.scheme = config_.scheme;
    request.host = address.host;
    request.port = config_.port;
    request.path = address.path;
    request.query = s3::EncodeQuery(job_.query);
    request.headers.Set("Host", s3::HostHeaderValue(config_.scheme, address.host, config_.port));
    for (const s3::HttpHeader& header : job_.headers)
      request.headers.Set(header.name, header.value);
    QUAY_ASSIGN(const std::string hash, PayloadHash());
    signer_.Sign(&request, config_.region, SystemClock().Now(), hash);
    return request;
  }

  Result<std::string> PayloadHash() const {
    if (job_.method != "PUT" && job_.method != "POST") return std::string(s3::kEmptyPayloadHash);
    if (!job_.file_range) return HexEncode(Sha256(job_.text));
    if (!options_.sign_payload) return std::string(s3::kUnsignedPayload);
    Hasher hasher(HashKind::kSha256);
    std::vector<char> buffer(1 << 20);
    for (uint64_t done = 0; done < job_.file_range->length;) {
      const size_t want = std::min<uint64_t>(buffer.size(), job_.file_range->length - done);
      const ssize_t got =
          pread(file_, buffer.data(), want, static_cast<off_t>(job_.file_range->offset + done));
      if (got <= 0) return ErrnoError(got < 0 ? errno : EIO, "reading the file");
      hasher.Update(std::string_view(buffer.data(), static_cast<size_t>(got)));
      done += static_cast<uint64_t>(got);
    }
    return HexEncode(hasher.Finish());
  }

  void SetUrl(const s3::HttpRequest& request) {
    std::string url =
        fmt::format("{}://{}{}", request.scheme, request.headers.Get("Host"), request.path);
    if (!request.query.empty()) url += "?" + request.query;
    curl_easy_setopt(easy_, CURLOPT_URL, url.c_str());
    curl_easy_setopt(easy_, CURLOPT_PATH_AS_IS, 1L);
    curl_easy_setopt(easy_, CURLOPT_HTTP_VERSION, static_cast<long>(CURL_HTTP_VERSION_1_1));
    curl_easy_setopt(easy_, CURLOPT_NOPROXY, "*");
    curl_easy_setopt(easy_, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(easy_, CURLOPT_BUFFERSIZE, kBufferSize);
    curl_easy_setopt(easy_, CURLOPT_UPLOAD_BUFFERSIZE, kBufferSize);
    curl_easy_setopt(easy_, CURLOPT_PRIVATE, static_cast<void*>(this));
  }

  void SetHeaders(const s3::HttpRequest& request) {
    curl_slist_free_all(header_list_);
    header_list_ = curl_slist_append(nullptr, "Expect:");
    for (const s3::HttpHeader& header : request.headers.all()) {
      header_list_ =
          curl_slist_append(header_list_, fmt::format("{}: {}", header.name, header.value).c_str());
    }
    curl_easy_setopt(easy_, CURLOPT_HTTPHEADER, header_list_);
  }

  void SetTransfer() {
    curl_easy_setopt(easy_, CURLOPT_HEADERFUNCTION, &Slot::OnHeader);
    curl_easy_setopt(easy_, CURLOPT_HEADERDATA, static_cast<void*>(this));
    curl_easy_setopt(easy_, CURLOPT_WRITEFUNCTION, &Slot::OnData);
    curl_easy_setopt(easy_, CURLOPT_WRITEDATA, static_cast<void*>(this));
    if (job_.method == "DELETE") {
      curl_easy_setopt(easy_, CURLOPT_CUSTOMREQUEST, "DELETE");
    } else if (job_.method == "HEAD") {
      curl_easy_setopt(easy_, CURLOPT_NOBODY, 1L);
    } else if (job_.method == "POST") {
      curl_easy_setopt(easy_, CURLOPT_POST, 1L);
      curl_easy_setopt(easy_, CURLOPT_POSTFIELDSIZE_LARGE,
                       static_cast<curl_off_t>(job_.text.size()));
      curl_easy_setopt(easy_, CURLOPT_POSTFIELDS, job_.text.c_str());
    } else if (job_.method == "PUT") {
      curl_easy_setopt(easy_, CURLOPT_UPLOAD, 1L);
      curl_easy_setopt(easy_, CURLOPT_READFUNCTION, &Slot::OnRead);
      curl_easy_setopt(easy_, CURLOPT_READDATA, static_cast<void*>(this));
      curl_easy_setopt(easy_, CURLOPT_INFILESIZE_LARGE,
                       static_cast<curl_off_t>(job_.file_range->length));
    }
  }

  static size_t OnRead(char* out, size_t size, size_t count, void* self) {
    auto* const slot = static_cast<Slot*>(self);
    const ByteSpan range = *slot->job_.file_range;
    const size_t want = std::min<uint64_t>(size * count, range.length - slot->moved_);
    const ssize_t got =
        pread(slot->file_, out, want, static_cast<off_t>(range.offset + slot->moved_));
    if (got < 0) return CURL_READFUNC_ABORT;
    slot->moved_ += static_cast<uint64_t>(got);
    return static_cast<size_t>(got);
  }

  static size_t OnData(char* data, size_t size, size_t count, void* self) {
    auto* const slot = static_cast<Slot*>(self);
    const size_t length = size * count;
    long status = 0;
    curl_easy_getinfo(slot->easy_, CURLINFO_RESPONSE_CODE, &status);
    if (slot->job_.method != "GET" || !slot->job_.file_range || status / 100 != 2) {
      slot->outcome_.text.append(
          data,
          std::min<size_t>(length, 4096 - std::min<size_t>(4096, slot->outcome_.text.size())));
      return length;
    }
    for (size_t done = 0; done < length;) {
      const ssize_t put = pwrite(slot->file_, data + done, length - done,
                                 static_cast<off_t>(slot->job_.file_range->offset + slot->moved_));
      if (put < 0) return 0;
      done += static_cast<size_t>(put);
      slot->moved_ += static_cast<uint64_t>(put);
    }
    return length;
  }

  static size_t OnHeader(char* data, size_t size, size_t count, void* self) {
    auto* const slot = static_cast<Slot*>(self);
    const std::string_view line(data, size * count);
    const size_t colon = line.find(':');
    if (colon == std::string_view::npos) return line.size();
    const std::string_view name = line.substr(0, colon);
    const std::string_view value = TrimBlanks(line.substr(colon + 1));
    if (EqualsIgnoreCase(name, "etag")) slot->outcome_.etag = value;
    if (EqualsIgnoreCase(name, "content-length")) {
      if (const Result<uint64_t> length = ParseUint(value); length.ok())
        slot->outcome_.content_length = *length;
    }
    return line.size();
  }

  const Options& options_;
  const s3::ClientConfig& config_;
  const s3::SignerV4& signer_;
  const int file_;
  CURL* const easy_;
  curl_slist* header_list_ = nullptr;
  size_t index_ = 0;
  Job job_;
  uint64_t moved_ = 0;
  Outcome outcome_;
};

/// Runs jobs, so many at a time. Belongs to one thread.
class Runner {
 public:
  Runner(const Options& options, const s3::ClientConfig& config, int file)
      : signer_(config.credentials), multi_(curl_multi_init()) {
    for (int i = 0; i < options.parallel; ++i) {
      slots_.push_back(std::make_unique<Slot>(options, config, signer_, file));
    }
  }
  ~Runner() { curl_multi_cleanup(multi_); }
  Runner(const Runner&) = delete;
  Runner& operator=(const Runner&) = delete;

  uint64_t requests() const { return requests_; }

  Result<Outcome> RunOne(const Job& job) {
    QUAY_ASSIGN(std::vector<Outcome> outcomes, RunAll(1, [&job](size_t) { return job; }));
    return std::move(outcomes[0]);
  }

  /// Job `i` is made when its turn comes. Outcomes in the order of the jobs; the first failure ends
  /// it all.
  Result<std::vector<Outcome>> RunAll(size_t count, const std::function<Job(size_t)>& make) {
    std::vector<Outcome> outcomes(count);
    size_t next = 0;
    size_t running = 0;
    const auto start = [&](Slot& slot) -> Status {
      QUAY_TRY(slot.Prepare(next, make(next)));
      ++next;
      ++running;
      ++requests_;
      curl_multi_add_handle(multi_, slot.easy());
      return {};
    };
    for (size_t i = 0; i < slots_.size() && next < count; ++i) QUAY_TRY(start(*slots_[i]));
    Status status;
    while (running > 0 && status.ok()) {
      int still = 0;
      curl_multi_perform(multi_, &still);
      int left = 0;
      while (const CURLMsg* message = curl_multi_info_read(multi_, &left)) {
        if (message->msg != CURLMSG_DONE) continue;
        --running;
        Slot& slot = SlotOf(message->easy_handle);
        const CURLcode code = message->data.result;
        curl_multi_remove_handle(multi_, slot.easy());
        if (status.ok()) status = slot.Finish(code);
        outcomes[slot.index()] = slot.outcome();
        if (status.ok() && next < count) status = start(slot);
      }
      if (running > 0 && status.ok()) curl_multi_poll(multi_, nullptr, 0, 1000, nullptr);
    }
    if (!status.ok()) {
      for (const auto& slot : slots_) curl_multi_remove_handle(multi_, slot->easy());
      return status.error();
    }
    return outcomes;
  }

 private:
  static Slot& SlotOf(CURL* easy) {
    char* slot = nullptr;
    curl_easy_getinfo(easy, CURLINFO_PRIVATE, &slot);
    return *static_cast<Slot*>(static_cast<void*>(slot));
  }

  const s3::SignerV4 signer_;
  CURLM* const multi_;
  std::vector<std::unique_ptr<Slot>> slots_;
  uint64_t requests_ = 0;
};

std::vector<ByteSpan> Parts(uint64_t size, uint64_t part_size) {
  std::vector<ByteSpan> parts;
  for (uint64_t offset = 0; offset < size; offset += part_size) {
    parts.push_back({offset, std::min(part_size, size - offset)});
  }
  return parts;
}

Result<uint64_t> Down(const Options& options, Runner& runner, int file) {
  QUAY_ASSIGN(const Outcome head, runner.RunOne({.method = "HEAD"}));
  if (!head.content_length)
    return Error(Code::kCorrupt, "the server does not tell the object's size");
  const uint64_t size = *head.content_length;
  if (ftruncate(file, static_cast<off_t>(size)) != 0) return ErrnoError(errno, "sizing the file");
  const std::vector<ByteSpan> parts = Parts(size, options.part_size);
  QUAY_TRY(runner.RunAll(parts.size(), [&](size_t i) {
    const uint64_t last = parts[i].offset + parts[i].length - 1;
    return Job{.method = "GET",
               .headers = {{"Range", fmt::format("bytes={}-{}", parts[i].offset, last)},
                           {"If-Match", head.etag}},
               .file_range = parts[i]};
  }));
  return size;
}

/// What stands between <name> and </name>, "" if that is not there. Enough for the one field that
/// is needed.
std::string Between(std::string_view text, std::string_view name) {
  const size_t begin = text.find(fmt::format("<{}>", name));
  const size_t end = text.find(fmt::format("</{}>", name));
  if (begin == std::string_view::npos || end == std::string_view::npos || end < begin) return "";
  return std::string(text.substr(begin + name.size() + 2, end - begin - name.size() - 2));
}

Status SendParts(const Options& options, Runner& runner, uint64_t size,
                 const std::string& upload_id) {
  const std::vector<ByteSpan> parts = Parts(size, options.part_size);
  QUAY_ASSIGN(const std::vector<Outcome> sent, runner.RunAll(parts.size(), [&](size_t i) {
    return Job{.method = "PUT",
               .query = {{"partNumber", std::to_string(i + 1)}, {"uploadId", upload_id}},
               .file_range = parts[i]};
  }));
  std::string body = "<CompleteMultipartUpload>";
  for (size_t i = 0; i < sent.size(); ++i) {
    body +=
        fmt::format("<Part><PartNumber>{}</PartNumber><ETag>{}</ETag></Part>", i + 1, sent[i].etag);
  }
  body += "</CompleteMultipartUpload>";
  QUAY_ASSIGN(const Outcome completed,
              runner.RunOne({.method = "POST", .query = {{"uploadId", upload_id}}, .text = body}));
  if (completed.text.find("<CompleteMultipartUploadResult") == std::string::npos) {
    return Error(Code::kUnavailable, "the upload was not completed: " + completed.text);
  }
  return {};
}

Status CopyOntoItself(const Options& options, Runner& runner) {
  QUAY_ASSIGN(
      const Outcome copied,
      runner.RunOne({.method = "PUT",
                     .headers = {{"x-amz-copy-source",
                                  "/" + PercentEncode(options.bucket, /*keep_slash=*/false) + "/" +
                                      PercentEncode(options.key, /*keep_slash=*/true)},
                                 {"x-amz-metadata-directive", "REPLACE"},
                                 {"x-amz-meta-mtime", "0"}},
                     .file_range = ByteSpan{}}));
  if (copied.text.find("<CopyObjectResult") == std::string::npos)
    return Error(Code::kUnavailable, "the object was not copied: " + copied.text);
  return {};
}

Result<uint64_t> Up(const Options& options, Runner& runner, int file) {
  struct stat info {};
  if (fstat(file, &info) != 0) return ErrnoError(errno, "looking at the file");
  const auto size = static_cast<uint64_t>(info.st_size);
  if (size == 0) return Error(Code::kInvalidArgument, "the file is empty");
  QUAY_ASSIGN(const Outcome created,
              runner.RunOne({.method = "POST", .query = {{"uploads", std::nullopt}}}));
  const std::string upload_id = Between(created.text, "UploadId");
  if (upload_id.empty()) return Error(Code::kCorrupt, "no upload id in the reply: " + created.text);
  const Status sent = SendParts(options, runner, size, upload_id);
  if (!sent.ok()) {
    // What is reported is why the parts did not get there, not whether the upload could be taken
    // back.
    Ignore(runner.RunOne({.method = "DELETE", .query = {{"uploadId", upload_id}}}));
    return sent.error();
  }
  if (options.final_copy) QUAY_TRY(CopyOntoItself(options, runner));
  return size;
}

Status Run(const Options& options, bool up) {
  QUAY_ASSIGN(const s3::ClientConfig config, MakeConfig(options));
  const UniqueFd file(
      up ? open(options.file.c_str(), O_RDONLY | O_CLOEXEC)
         : open(options.file.c_str(), O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600));
  if (!file.valid()) return ErrnoError(errno, "opening " + options.file);
  Runner runner(options, config, file.get());
  const auto start = std::chrono::steady_clock::now();
  QUAY_ASSIGN(const uint64_t bytes,
              up ? Up(options, runner, file.get()) : Down(options, runner, file.get()));
  const double seconds =
      std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  fmt::print("{} {:.3f} s {:.1f} MB/s {} bytes {} requests\n", up ? "up" : "down", seconds,
             static_cast<double>(bytes) / 1e6 / seconds, bytes, runner.requests());
  return {};
}

int Main(int argc, char** argv) {
  CLI::App app(
      "Moves one object with libcurl and as little else as possible; keys come from S3_ACCESS_KEY "
      "and S3_SECRET_KEY.");
  Options options;
  std::string direction;
  app.add_option("direction", direction, "up or down")
      ->required()
      ->check(CLI::IsMember({"up", "down"}));
  app.add_option("--endpoint", options.endpoint, "such as http://127.0.0.1:9000")->required();
  app.add_option("--bucket", options.bucket)->required();
  app.add_option("--key", options.key)->required();
  app.add_option("--file", options.file, "read by up, written by down")->required();
  app.add_option("--region", options.region)->capture_default_str();
  app.add_option("--part-size", options.part_size, "bytes, or with a unit such as 16MiB")
      ->transform(CLI::AsSizeValue(false))
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
  app.add_option("--parallel", options.parallel, "requests in flight")
      ->check(CLI::Range(1, 256))
      ->capture_default_str();
  app.add_flag("--sign-payload", options.sign_payload,
               "hash every part and sign the hash, as quayfs does over http");
  app.add_flag("--final-copy", options.final_copy,
               "up: copy the object onto itself with other metadata, as quayfs does");
  CLI11_PARSE(app, argc, argv);

  curl_global_init(CURL_GLOBAL_DEFAULT);
  const Status status = Run(options, direction == "up");
  curl_global_cleanup();
  if (!status.ok()) {
    fmt::print(stderr, "bench_transfer: {}\n", status.error().message());
    return 1;
  }
  return 0;
}

}  // namespace
}  // namespace quayfs::bench

int main(int argc, char** argv) { return quayfs::bench::Main(argc, argv); }
