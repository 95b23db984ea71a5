// SPDX-License-Identifier: Apache-2.0
//
// FileCore: contents to the store, in one request. multipart.cc has the rest.

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "base/check.h"
#include "base/hash.h"
#include "base/text.h"
#include "cache/file_core.h"
#include "cache/local_file.h"
#include "cache/unsettled.h"
#include "cache/waiting.h"

namespace quayfs {
namespace {

// A file that changes its kind (small, large) this often while it is being published is left for
// later.
constexpr int kMaxPlans = 16;
// A file that is written to this often while it is sent as it lies there is copied first.
constexpr int kMaxInterruptions = 3;

/// A PUT on its way through the transfers, and whoever waits for it.
struct PutState {
  Mutex mutex{LockRank::kUpload};
  CondVar wake;
  bool started QUAY_GUARDED_BY(mutex) = false;
  bool given_up QUAY_GUARDED_BY(mutex) = false;
  std::optional<Result<ObjectInfo>> result QUAY_GUARDED_BY(mutex);
};

std::optional<std::string> HashOf(const DataSource& source) {
  constexpr uint64_t kChunk = 1ull << 20;
  Hasher hasher(HashKind::kSha256);
  std::vector<std::byte> buffer(static_cast<size_t>(std::min(kChunk, source.size())));
  for (uint64_t offset = 0; offset < source.size();) {
    const std::span<std::byte> chunk(buffer.data(), static_cast<size_t>(std::min<uint64_t>(
                                                        buffer.size(), source.size() - offset)));
    if (!source.Read(offset, chunk)) return std::nullopt;
    hasher.Update(chunk);
    offset += chunk.size();
  }
  return hasher.Finish();
}

}  // namespace

Result<ObjectInfo> FileCore::Publish(const PublishRequest& request, const CallOptions& call) {
  {
    MutexLock lock(mutex_);
    while (publishing_) QUAY_TRY(WaitOnce(changed_, mutex_, call));
    publishing_ = true;
  }
  Result<ObjectInfo> result = PublishAlone(request, call);
  {
    MutexLock lock(mutex_);
    QUAY_DCHECK(!commit_in_flight_ && !writers_paused_);
    QUAY_DCHECK(extents_.publication_in_progress() == unsettled_.has_value());
    publishing_ = false;
    // Whatever happens next, sending ahead begins afresh.
    stream_halted_ = stream_halted_ || !result.ok();
    changed_.NotifyAll();
  }
  context_.budget.Enforce();
  return result;
}

Status FileCore::SettleNow(const CallOptions& call) {
  PublishRequest request;
  {
    MutexLock lock(mutex_);
    while (publishing_) QUAY_TRY(WaitOnce(changed_, mutex_, call));
    if (!unsettled_) return {};
    request.key = unsettled_->key;
    publishing_ = true;
  }
  const auto settled = ResolveUnsettled(&request, call);
  {
    MutexLock lock(mutex_);
    publishing_ = false;
    changed_.NotifyAll();
  }
  if (!settled) return settled.error();
  return {};
}

Result<ObjectInfo> FileCore::PublishAlone(PublishRequest request, const CallOptions& call) {
  QUAY_ASSIGN(Published before, ResolveUnsettled(&request, call));
  if (before) return *std::move(before);
  for (int i = 0; i < kMaxPlans; ++i) {
    UploadPlan::Kind kind;
    std::vector<std::stop_source> stops;
    {
      MutexLock lock(mutex_);
      QUAY_ASSIGN(const UploadPlan plan, PlanNow());
      kind = plan.kind;
      if (kind != UploadPlan::Kind::kMultipart && session_ != nullptr) {
        AbandonSession(std::exchange(session_, nullptr), &stops);
      }
    }
    for (std::stop_source& stop : stops) stop.request_stop();
    Result<Published> published =
        kind == UploadPlan::Kind::kPut           ? PutFromMemory(kind, request, call)
        : kind == UploadPlan::Kind::kPutFromFile ? PutFromFile(&request, call)
                                                 : PutMultipart(request, call);
    if (!published) return published.error();
    if (published->has_value()) return **std::move(published);
  }
  return Error(Code::kUnavailable,
               fmt::format("'{}' grows and shrinks too fast to be published", request.key));
}

Result<UploadPlan> FileCore::PlanNow() {
  if (!broken_.empty()) {
    return Error(Code::kIo,
                 "the cache disk lost bytes of this file in a failed write; write them again");
  }
  // What cannot be copied any more is sent, as far as it is here.
  const bool lost = lost_base_ && SameVersion(*lost_base_, base_);
  const Capabilities capabilities = context_.store.capabilities();
  UploadSubject subject{extents_.size(), &extents_.dirty(), lost ? 0 : extents_.base_limit()};
  ExtentSet holes;
  if (subject.size > context_.upload.put_size_max && context_.zeros.usable(capabilities)) {
    QUAY_ASSIGN(holes, Holes(context_.zeros.Least(capabilities)));
    subject.zeros_copy_max = context_.zeros.CopyMax(holes.total_bytes(), capabilities);
    if (subject.zeros_copy_max > 0) subject.zeros = &holes;
  }
  return PlanUpload(subject, capabilities, context_.upload);
}

Result<std::optional<uint64_t>> FileCore::GatherWhole(UploadPlan::Kind kind, UseRef* use,
                                                      const CallOptions& call) {
  MutexLock lock(mutex_);
  QUAY_ASSIGN(const UploadPlan plan, PlanNow());
  if (plan.kind != kind) return std::optional<uint64_t>();
  const uint64_t size = extents_.size();
  *use = AddUse({0, size});
  StartFetches({0, size}, context_.read.fetch_part, Transfers::Lane::kBulk);
  if (Status readable = WaitReadable(*use, true, call); !readable) {
    RemoveUse(*use);
    return readable.error();
  }
  return std::optional<uint64_t>(size);
}

Status FileCore::SnapshotWhole(std::span<std::byte> out) {
  std::shared_ptr<DiskFile> file = file_;
  if (file == nullptr && (on_disk_ || local_length_ > 0)) {
    QUAY_ASSIGN(file, OpenLocal());
  }
  if (file == nullptr) {
    std::fill(out.begin(), out.end(), std::byte{0});
    return {};
  }
  return ReadLocal(*file, 0, out, local_length_);
}

bool FileCore::StillWhole(uint64_t size) const {
  return extents_.size() == size && extents_.Readable({0, size}) && broken_.empty();
}

Result<FileCore::Published> FileCore::PutFromMemory(UploadPlan::Kind kind,
                                                    const PublishRequest& request,
                                                    const CallOptions& call) {
  while (true) {
    UseRef use;
    QUAY_ASSIGN(const std::optional<uint64_t> size, GatherWhole(kind, &use, call));
    if (!size) return Published();
    auto grant = context_.memory.Acquire(*size, call);
    std::unique_ptr<std::byte[]> bytes;
    if (grant) bytes = std::make_unique_for_overwrite<std::byte[]>(static_cast<size_t>(*size));
    const std::span<std::byte> body(bytes.get(), bytes == nullptr ? 0 : static_cast<size_t>(*size));
    {
      MutexLock lock(mutex_);
      RemoveUse(use);
      if (!grant) return grant.error();
      if (!StillWhole(*size)) continue;
      QUAY_TRY(SnapshotWhole(body));
      extents_.BeginPublication();
      commit_in_flight_ = true;
    }
    return PutAndSettle(request, MemorySource(std::span<const std::byte>(body)), call);
  }
}

// C6: a write ends the request before a byte of it is sent, and what the store has of a body that
// ends early is no object.
Result<FileCore::Published> FileCore::PutFromFile(PublishRequest* request,
                                                  const CallOptions& call) {
  for (int interrupted = 0; interrupted < kMaxInterruptions;) {
    UseRef use;
    QUAY_ASSIGN(const std::optional<uint64_t> size,
                GatherWhole(UploadPlan::Kind::kPutFromFile, &use, call));
    if (!size) return Published();
    const auto stale = std::make_shared<std::atomic<bool>>(false);
    std::shared_ptr<DiskFile> file;
    uint64_t length = 0;
    {
      MutexLock lock(mutex_);
      auto opened = OpenLocal();
      if (!opened || !StillWhole(*size)) {
        RemoveUse(use);
        if (!opened) return opened.error();
        continue;
      }
      file = *std::move(opened);
      length = local_length_;
      sending_ = stale;
      extents_.BeginPublication();
      commit_in_flight_ = true;
    }
    auto published =
        PutAndSettle(*request, LocalSource(std::move(file), {0, *size}, length, stale), call);
    {
      MutexLock lock(mutex_);
      RemoveUse(use);
      sending_.reset();
    }
    const bool again =
        !published && IsUnclear(published.code()) && stale->load() && !call.cancel.stop_requested();
    if (!again) return published;
    // An earlier try of the same request may have reached the store as a whole.
    QUAY_ASSIGN(Published before, ResolveUnsettled(request, call));
    if (before) return before;
    ++interrupted;
  }
  return PutFromCopy(*request, call);
}

Result<FileCore::Published> FileCore::PutFromCopy(const PublishRequest& request,
                                                  const CallOptions& call) {
  while (true) {
    UseRef use;
    QUAY_ASSIGN(const std::optional<uint64_t> size,
                GatherWhole(UploadPlan::Kind::kPutFromFile, &use, call));
    if (!size) return Published();
    {
      MutexLock lock(mutex_);
      if (!StillWhole(*size)) {
        RemoveUse(use);
        continue;
      }
      PauseWriters();
    }
    uint64_t length = 0;
    auto copy = PrivateCopy({{0, *size}}, &length);
    {
      MutexLock lock(mutex_);
      RemoveUse(use);
      ResumeWriters();
      if (copy) {
        extents_.BeginPublication();
        commit_in_flight_ = true;
      }
    }
    if (copy) return PutAndSettle(request, LocalSource(*copy, {0, *size}, length, nullptr), call);
    const bool full = copy.Is(Code::kNoSpace) || copy.Is(Code::kQuota);
    if (!full) return copy.error();
    if (*size > context_.upload.last_memory_max) {
      return Error(copy.code(),
                   fmt::format("'{}' ({}) changes while it is sent, and the cache's disk has no "
                               "room for a copy of it; make room there, or leave the file alone "
                               "until it is in the bucket",
                               request.key, FormatSize(*size)));
    }
    return PutFromMemory(UploadPlan::Kind::kPutFromFile, request, call);
  }
}

void FileCore::StopSending() {
  if (sending_ != nullptr) sending_->store(true);
}

Result<FileCore::Published> FileCore::PutAndSettle(const PublishRequest& request,
                                                   const DataSource& source,
                                                   const CallOptions& call) {
  Unsettled attempt{request.key, request.properties, request.condition, source.size(), "", {}, ""};
  // A source that cannot be read leaves no hash, and no object will be taken for ours.
  attempt.sha256 = HashOf(source).value_or("");
  bool started = false;
  Result<ObjectInfo> sent = TellPut(attempt);
  if (sent) sent = SendPut(request, source, call, &started);
  if (!started) {
    MutexLock lock(mutex_);
    commit_in_flight_ = false;
    extents_.CancelPublication();
    TellAttemptFailed();
    WakeAllUses();
    return sent.error();
  }
  QUAY_ASSIGN(ObjectInfo info, Settle(std::move(attempt), std::move(sent), call));
  return Published(std::move(info));
}

/// C8: the next mount has to know of it if we do not live to see the answer.
Result<ObjectInfo> FileCore::TellPut(const Unsettled& attempt) {
  MutexLock lock(mutex_);
  // Gone if Replace() or Rebase() came in between.
  const uint64_t generation = extents_.publication_in_progress() ? extents_.publication_generation()
                                                                 : extents_.generation();
  QUAY_TRY(TellAttempt(attempt, generation, nullptr));
  return ObjectInfo{};
}

Result<ObjectInfo> FileCore::SendPut(const PublishRequest& request, const DataSource& source,
                                     const CallOptions& call, bool* started) {
  const auto put = [this, &request, &source, &call] {
    ++context_.uploads_in_flight;
    auto result =
        context_.store.Put(request.key, source, request.properties, request.condition, call);
    if (result) context_.sent_bytes += source.size();
    --context_.uploads_in_flight;
    if (result) context_.dirty.Sent(source.size());
    return result;
  };
  std::optional<Result<ObjectInfo>> sent;
  if (context_.transfers.RunHere(inode_, [&] { sent.emplace(put()); })) {
    *started = true;
    return *std::move(sent);
  }
  auto state = std::make_shared<PutState>();
  // Runs to its end once it has started: it reads from the caller's stack.
  context_.transfers.Post(inode_, Transfers::Lane::kBulk, [state, &put] {
    {
      MutexLock lock(state->mutex);
      if (state->given_up) return;
      state->started = true;
    }
    auto result = put();
    MutexLock lock(state->mutex);
    state->result = std::move(result);
    state->wake.NotifyAll();
  });
  MutexLock lock(state->mutex);
  while (!state->result) {
    *started = state->started;
    if (state->started) {
      state->wake.Wait(state->mutex);
    } else if (Status waited = WaitOnce(state->wake, state->mutex, call);
               !waited && !state->started) {
      state->given_up = true;
      return waited.error();
    }
  }
  *started = true;
  return *std::move(state->result);
}

Result<std::shared_ptr<DiskFile>> FileCore::PrivateCopy(const std::vector<ByteRange>& ranges,
                                                        uint64_t* length) {
  std::shared_ptr<DiskFile> file;
  {
    MutexLock lock(mutex_);
    QUAY_ASSIGN(file, OpenLocal());
    *length = local_length_;
  }
  QUAY_ASSIGN(std::shared_ptr<DiskFile> copy,
              context_.disk.OpenTemporary(context_.config.directory));
  uint64_t copied = 0;
  for (const ByteRange& range : ranges) {
    QUAY_TRY(WithRoom([&] { return CopyLocal(*file, *copy, range, *length); }));
    copied = std::max(copied, range.end);
  }
  *length = std::min(*length, copied);
  // Zeros at its end have not been written.
  QUAY_TRY(copy->Truncate(*length));
  return copy;
}

void FileCore::PauseWriters() { writers_paused_ = true; }

void FileCore::ResumeWriters() {
  writers_paused_ = false;
  changed_.NotifyAll();
}

}  // namespace quayfs
