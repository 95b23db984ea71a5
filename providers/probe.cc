// SPDX-License-Identifier: Apache-2.0

#include "providers/probe.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <utility>

#include "base/hash.h"

namespace quayfs {
namespace {

// AWS copies ranges of objects above 5 MiB only.
constexpr uint64_t kCopySourceSize = (5ull << 20) + 1;
constexpr std::string_view kOther = "another version";

class ZeroSource final : public DataSource {
 public:
  explicit ZeroSource(uint64_t size) : size_(size) {}
  uint64_t size() const override { return size_; }
  Status Read(uint64_t /*offset*/, std::span<std::byte> out) const override {
    std::fill(out.begin(), out.end(), std::byte{0});
    return {};
  }

 private:
  const uint64_t size_;
};

/// One probe of one store. Every scratch key is remembered and removed at the end.
class Prober {
 public:
  Prober(ObjectStore& store, std::string prefix, const CallOptions& call)
      : store_(store), prefix_(std::move(prefix)), call_(call) {}

  Result<ProbeReport> Run() {
    Status status = Everything();
    CleanUp();
    if (!status.ok()) return status.error();
    return std::move(report_);
  }

 private:
  Status Everything() {
    QUAY_TRY(Puts());
    QUAY_TRY(Deletes());
    QUAY_TRY(Copies());
    QUAY_TRY(Completes());
    QUAY_TRY(PartCopies());
    return {};
  }

  Status Puts();
  Status Deletes();
  Status Copies();
  Status Completes();
  Status PartCopies();
  ProbeVerdict TryComplete(const std::string& key, const Condition& condition, const char* what);
  void CleanUp();

  std::string Scratch(std::string_view name) {
    std::string key = fmt::format("{}/{}", prefix_, name);
    if (std::find(keys_.begin(), keys_.end(), key) == keys_.end()) keys_.push_back(key);
    return key;
  }
  Result<ObjectInfo> Write(const std::string& key, std::string_view text,
                           const Condition& condition = Condition::None()) {
    return store_.Put(key, MemorySource(text), {}, condition, call_);
  }

  /// Judges a write that had to fail: only the right refusal, with the object untouched, proves
  /// anything.
  template <typename T>
  ProbeVerdict Judge(const Result<T>& result, Code proof, const std::string& key,
                     std::string_view etag, const char* what) {
    if (result.ok()) return ProbeVerdict::kIgnored;
    if (result.Is(Code::kNotSupported)) return ProbeVerdict::kRefused;
    if (!result.Is(proof)) return Failed(what, result.error());
    const auto head = store_.Head(key, call_);
    if (!head) return Failed(what, head.error());
    if (SameEtag(head->info.etag, etag)) return ProbeVerdict::kHonoured;
    report_.notes.push_back(fmt::format("{}: refused, but carried out all the same", what));
    return ProbeVerdict::kIgnored;
  }
  ProbeVerdict Failed(const char* what, const Error& error) {
    report_.notes.push_back(fmt::format("{}: {}", what, error.ToString()));
    return SaysNothing(error.code()) ? ProbeVerdict::kUntested : ProbeVerdict::kFailed;
  }
  /// Bad weather, which must not be remembered as a lack of the store.
  static bool SaysNothing(Code code) {
    return code == Code::kUnavailable || code == Code::kThrottled || code == Code::kTimedOut ||
           code == Code::kCancelled || code == Code::kClockSkew || code == Code::kQuota;
  }

  ObjectStore& store_;
  const std::string prefix_;
  const CallOptions& call_;
  std::vector<std::string> keys_;
  ProbeReport report_;
};

/// A condition that must hold and a condition that must not.
Status Prober::Puts() {
  const Capabilities caps = store_.capabilities();
  const std::string key = Scratch("put");
  QUAY_ASSIGN(ObjectInfo info, Write(key, "first"));
  if (caps.put_if_absent) {
    report_.put_if_absent = Judge(Write(key, kOther, Condition::IfAbsent()), Code::kAlreadyExists,
                                  key, info.etag, "PUT If-None-Match");
    const std::string fresh = Scratch("put-fresh");
    const auto made = Write(fresh, "fresh", Condition::IfAbsent());
    if (!made && report_.put_if_absent == ProbeVerdict::kHonoured) {
      report_.put_if_absent = Failed("PUT If-None-Match on a new key", made.error());
    }
  }
  if (caps.put_if_match) {
    QUAY_ASSIGN(const ObjectInfo old, Write(key, "second"));
    QUAY_ASSIGN(info, Write(key, "third"));
    report_.put_if_match = Judge(Write(key, kOther, Condition::IfEtag(old.etag)), Code::kChanged,
                                 key, info.etag, "PUT If-Match");
    const auto changed = Write(key, "fourth", Condition::IfEtag(info.etag));
    if (!changed && report_.put_if_match == ProbeVerdict::kHonoured) {
      report_.put_if_match = Failed("PUT If-Match with the right ETag", changed.error());
    }
  }
  return {};
}

Status Prober::Deletes() {
  const Capabilities caps = store_.capabilities();
  const std::string key = Scratch("delete");
  QUAY_ASSIGN(const ObjectInfo old, Write(key, "first"));
  QUAY_ASSIGN(const ObjectInfo info, Write(key, "second"));
  if (caps.delete_if_match) {
    const Status deleted = store_.Delete(key, Condition::IfEtag(old.etag), call_);
    report_.delete_if_match = Judge(deleted, Code::kChanged, key, info.etag, "DELETE If-Match");
  }
  if (caps.batch_delete) {
    QUAY_TRY(Write(key, "third"));
    const auto outcomes = store_.DeleteMany({key, Scratch("never-there")}, call_);
    if (!outcomes) {
      report_.batch_delete = Failed("multi-object delete", outcomes.error());
    } else if (!store_.capabilities().batch_delete) {
      report_.batch_delete = ProbeVerdict::kRefused;  // and done one by one
    } else {
      report_.batch_delete = store_.Head(key, call_).Is(Code::kNotFound) ? ProbeVerdict::kHonoured
                                                                         : ProbeVerdict::kIgnored;
    }
  }
  return {};
}

Status Prober::Copies() {
  const std::string source = Scratch("copy-source");
  const std::string target = Scratch("copy-target");
  QUAY_TRY(Write(source, "source"));
  const auto copied = store_.Copy(source, "", target, std::nullopt, Condition::None(), call_);
  if (copied.Is(Code::kNotSupported)) {
    report_.copy = ProbeVerdict::kRefused;
    return {};
  }
  if (!copied) {
    report_.copy = Failed("copy", copied.error());
    return {};
  }
  report_.copy = ProbeVerdict::kHonoured;
  if (!store_.capabilities().copy_if_absent) return {};
  QUAY_ASSIGN(const ObjectInfo info, Write(target, "target"));
  report_.copy_if_absent =
      Judge(store_.Copy(source, "", target, std::nullopt, Condition::IfAbsent(), call_),
            Code::kAlreadyExists, target, info.etag, "copy If-None-Match");
  return {};
}

/// An upload of one part onto an existing object, whose completion has to be refused.
ProbeVerdict Prober::TryComplete(const std::string& key, const Condition& condition,
                                 const char* what) {
  const auto info = Write(key, "the object that is there");
  if (!info) return Failed(what, info.error());
  const auto upload = store_.CreateUpload(key, {}, call_);
  if (!upload) return Failed(what, upload.error());
  ProbeVerdict verdict = ProbeVerdict::kFailed;
  const auto part = store_.UploadPart(key, *upload, 1, MemorySource(kOther), call_);
  if (part) {
    verdict =
        Judge(store_.CompleteUpload(key, *upload, {*part}, condition, call_),
              condition.kind == Condition::Kind::kIfAbsent ? Code::kAlreadyExists : Code::kChanged,
              key, info->etag, what);
  } else {
    verdict = Failed(what, part.error());
  }
  const Status aborted = store_.AbortUpload(key, *upload, call_);
  if (!aborted.ok()) report_.notes.push_back(fmt::format("abort: {}", aborted.error().ToString()));
  return verdict;
}

Status Prober::Completes() {
  const Capabilities caps = store_.capabilities();
  if (!caps.multipart) return {};
  const std::string key = Scratch("complete");
  QUAY_ASSIGN(const ObjectInfo old, Write(key, "old"));
  if (caps.complete_if_absent) {
    report_.complete_if_absent = TryComplete(key, Condition::IfAbsent(), "Complete If-None-Match");
  }
  if (caps.complete_if_match) {
    report_.complete_if_match = TryComplete(key, Condition::IfEtag(old.etag), "Complete If-Match");
  }
  return {};
}

Status Prober::PartCopies() {
  const Capabilities caps = store_.capabilities();
  if (!caps.multipart) return {};
  const std::string source = Scratch("part-source");
  const std::string key = Scratch("part-target");
  QUAY_ASSIGN(const ObjectInfo info,
              store_.Put(source, ZeroSource(kCopySourceSize), {}, Condition::None(), call_));
  const auto upload = store_.CreateUpload(key, {}, call_);
  if (!upload) {
    report_.multipart = upload.Is(Code::kNotSupported) ? ProbeVerdict::kRefused
                                                       : Failed("multipart", upload.error());
    return {};
  }
  report_.multipart = ProbeVerdict::kHonoured;
  if (caps.part_copy) {
    const auto part =
        store_.CopyPart(key, *upload, 1, source, info.etag, ByteRange{1, 1025}, call_);
    if (part.Is(Code::kNotSupported)) {
      report_.part_copy = ProbeVerdict::kRefused;
    } else if (!part) {
      report_.part_copy = Failed("part copy", part.error());
    } else {
      const auto done = store_.CompleteUpload(key, *upload, {*part}, Condition::None(), call_);
      const auto head = store_.Head(key, call_);
      const bool right = done.ok() && head.ok() && head->info.size == 1024;
      report_.part_copy = right ? ProbeVerdict::kHonoured : ProbeVerdict::kIgnored;
    }
  }
  const Status aborted = store_.AbortUpload(key, *upload, call_);
  if (!aborted.ok()) report_.notes.push_back(fmt::format("abort: {}", aborted.error().ToString()));
  return {};
}

void Prober::CleanUp() {
  for (const std::string& key : keys_) {
    const Status deleted = store_.Delete(key, Condition::None(), call_);
    if (!deleted.ok()) {
      report_.notes.push_back(
          fmt::format("'{}' is left behind: {}", key, deleted.error().ToString()));
    }
  }
}

}  // namespace

std::string_view ProbeVerdictName(ProbeVerdict verdict) {
  switch (verdict) {
    case ProbeVerdict::kHonoured:
      return "honoured";
    case ProbeVerdict::kIgnored:
      return "ignored";
    case ProbeVerdict::kRefused:
      return "refused";
    case ProbeVerdict::kUntested:
      return "not tested";
    case ProbeVerdict::kFailed:
      return "failed";
  }
  return "unknown";
}

const std::vector<ProbeRow>& ProbeRows() {
  static const std::vector<ProbeRow> rows = {
      {"put if absent", &ProbeReport::put_if_absent},
      {"put if unchanged", &ProbeReport::put_if_match},
      {"complete if absent", &ProbeReport::complete_if_absent},
      {"complete if unchanged", &ProbeReport::complete_if_match},
      {"delete if unchanged", &ProbeReport::delete_if_match},
      {"copy if absent", &ProbeReport::copy_if_absent},
      {"multipart upload", &ProbeReport::multipart},
      {"copy", &ProbeReport::copy},
      {"part copy", &ProbeReport::part_copy},
      {"multi-object delete", &ProbeReport::batch_delete},
  };
  return rows;
}

Result<ProbeReport> ProbeCapabilities(ObjectStore& store, const std::string& prefix,
                                      const CallOptions& call) {
  return Prober(store, prefix, call).Run();
}

std::string NewProbePrefix() { return ".quayfs/probe-" + HexEncode(RandomBytes(6)); }

Capabilities ApplyProbe(Capabilities declared, const ProbeReport& report) {
  const auto apply = [](ProbeVerdict verdict, bool* flag) {
    if (verdict == ProbeVerdict::kHonoured) *flag = true;
    if (verdict != ProbeVerdict::kHonoured && verdict != ProbeVerdict::kUntested) *flag = false;
  };
  apply(report.put_if_absent, &declared.put_if_absent);
  apply(report.put_if_match, &declared.put_if_match);
  apply(report.complete_if_absent, &declared.complete_if_absent);
  apply(report.complete_if_match, &declared.complete_if_match);
  apply(report.delete_if_match, &declared.delete_if_match);
  apply(report.copy_if_absent, &declared.copy_if_absent);
  apply(report.copy, &declared.copy);
  apply(report.part_copy, &declared.part_copy);
  apply(report.batch_delete, &declared.batch_delete);
  if (report.multipart == ProbeVerdict::kRefused) declared.multipart = false;
  if (!declared.multipart) {
    declared.complete_if_absent = false;
    declared.complete_if_match = false;
    declared.part_copy = false;
  }
  return declared;
}

}  // namespace quayfs
