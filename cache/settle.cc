// SPDX-License-Identifier: Apache-2.0
//
// FileCore: what became of a publication.

#include <utility>

#include "base/hash.h"
#include "cache/file_core.h"
#include "cache/unsettled.h"

namespace quayfs {
namespace {

class HashSink final : public DataSink {
 public:
  Status Write(std::span<const std::byte> data) override {
    hasher_.Update(data);
    return {};
  }
  std::string Finish() { return hasher_.Finish(); }

 private:
  Hasher hasher_{HashKind::kSha256};
};

/// Nothing if the object at the key is not what was sent.
Result<std::optional<ObjectInfo>> FindPut(ObjectStore& store, const Unsettled& put,
                                          const CallOptions& call) {
  auto head = store.Head(put.key, call);
  if (head.Is(Code::kNotFound)) return std::optional<ObjectInfo>();
  if (!head) return head.error();
  const bool unchanged = put.condition.kind == Condition::Kind::kIfEtag &&
                         SameEtag(put.condition.etag, head->info.etag);
  if (unchanged || head->info.size != put.size) return std::optional<ObjectInfo>();
  HashSink sink;
  if (put.size > 0) {
    auto got = store.Get({put.key, std::nullopt, head->info.etag}, sink, call);
    if (got.Is(Code::kChanged) || got.Is(Code::kNotFound)) return std::optional<ObjectInfo>();
    if (!got) return got.error();
  }
  if (sink.Finish() != put.sha256) return std::optional<ObjectInfo>();
  return std::optional<ObjectInfo>(std::move(head->info));
}

// Nobody else ends our uploads. If one is gone and its object not there, the completion is under
// way: that of a process that was killed goes on in the store.
constexpr int kLooks = 6;
constexpr Duration kBetweenLooks = std::chrono::milliseconds(500);

Result<std::optional<ObjectInfo>> FindUpload(ObjectStore& store, Clock& clock,
                                             const Unsettled& upload, CallOptions call) {
  call.work_bytes = upload.size;
  for (int look = 1;; ++look) {
    auto completed =
        store.CompleteUpload(upload.key, upload.upload_id, upload.parts, upload.condition, call);
    if (completed) return std::optional<ObjectInfo>(*std::move(completed));
    if (IsUnclear(completed.code())) return completed.error();
    if (!completed.Is(Code::kNotFound) || look == kLooks) return std::optional<ObjectInfo>();
    if (!clock.Sleep(kBetweenLooks, call.cancel)) return Error(Code::kCancelled, "called off");
  }
}

}  // namespace

bool IsUnclear(Code code) {
  return code == Code::kUnavailable || code == Code::kTimedOut || code == Code::kCancelled ||
         code == Code::kCorrupt || code == Code::kInternal;
}

Condition AfterOwnChange(const Condition& condition, const Unsettled& settled,
                         const std::string& etag) {
  if (condition.kind == Condition::Kind::kNone || condition.kind != settled.condition.kind) {
    return condition;
  }
  if (condition.kind == Condition::Kind::kIfEtag &&
      !SameEtag(condition.etag, settled.condition.etag)) {
    return condition;
  }
  return Condition::IfEtag(etag);
}

Result<ObjectInfo> FileCore::Settle(Unsettled attempt, Result<ObjectInfo> sent,
                                    const CallOptions& call) {
  if (sent && sent->etag.empty()) {
    // Without its version the object could not be read from safely.
    auto head = context_.store.Head(attempt.key, call);
    sent = head ? Result<ObjectInfo>(head->info) : Result<ObjectInfo>(head.error());
  }
  MutexLock lock(mutex_);
  commit_in_flight_ = false;
  // The publication is gone if Replace() or Rebase() came in between: what the caller knows then is
  // newer.
  if (extents_.publication_in_progress()) {
    if (sent) {
      Commit(attempt.key, sent->etag);
    } else if (IsUnclear(sent.code())) {
      unsettled_ = std::move(attempt);
    } else {
      extents_.CancelPublication();
      if (attempt.upload_id.empty()) TellAttemptFailed();
    }
  }
  WakeAllUses();
  changed_.NotifyAll();
  return sent;
}

void FileCore::Commit(const std::string& key, const std::string& etag) {
  DropSumsForSize(extents_.publication_size());
  base_ = {key, etag, extents_.publication_size()};
  sums_changed_ = sums_changed_ || has_row_;
  NoteSums();
  const std::vector<ByteRange> cleaned = extents_.CommitPublication();
  for (const ByteRange& range : extents_.WithoutHoles(cleaned)) {
    context_.budget.Add(shared_from_this(), range);
  }
  NoteDirtyBytes();
  TellPublished(cleaned);
}

/// C3: a power cut has taken the file back to its seal, but a later generation had been sent as a
/// whole before, and is there.
void FileCore::TakeLater(const BaseVersion& base) {
  extents_.CancelPublication();
  DropClean({0, extents_.size()});
  extents_.Reset(base.size);
  base_ = base;
  broken_.Clear();
  NoteDirtyBytes();
  // The seal goes before its bytes do.
  TellPublished({});
  TruncateForNewBase();
}

Result<FileCore::Published> FileCore::ResolveUnsettled(PublishRequest* request,
                                                       const CallOptions& call) {
  Unsettled attempt;
  {
    MutexLock lock(mutex_);
    if (!unsettled_) return Published();
    attempt = *unsettled_;
    if (request->key != attempt.key && attempt.key != base_.key) {
      // It was meant for a name that this file has no longer; whoever owns the names sees to what
      // may have come of it there. Nothing of the file is taken to be in the bucket.
      ForgetUnsettled();
      extents_.CancelPublication();
      WakeAllUses();
      return Published();
    }
  }
  QUAY_ASSIGN(Published found, attempt.upload_id.empty()
                                   ? FindPut(context_.store, attempt, call)
                                   : FindUpload(context_.store, context_.clock, attempt, call));
  MutexLock lock(mutex_);
  const bool dropped = !unsettled_.has_value();
  unsettled_.reset();
  if (dropped || !found) {
    extents_.CancelPublication();
    if (!dropped && attempt.upload_id.empty()) TellAttemptFailed();
    if (!found && !attempt.upload_id.empty()) {
      TellOrphan(attempt.key, attempt.upload_id);
      PostAbort(attempt.key, attempt.upload_id);
    }
    WakeAllUses();
    return Published();
  }
  if (attempt_ && *attempt_ > extents_.generation()) {
    TakeLater({attempt.key, found->etag, attempt.size});
  } else {
    Commit(attempt.key, found->etag);
  }
  WakeAllUses();
  if (request->key != attempt.key) return Published();
  if (!extents_.modified() && SameProperties(request->properties, attempt.properties)) return found;
  request->condition = AfterOwnChange(request->condition, attempt, found->etag);
  return Published();
}

}  // namespace quayfs
