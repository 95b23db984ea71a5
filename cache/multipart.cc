// SPDX-License-Identifier: Apache-2.0
//
// FileCore: contents to the store as a multipart upload.
//
// Parts are read from the local file while writers go on. A write makes the parts it hits stale;
// when all parts have been sent and some are stale, another round sends those again. A round in
// which nothing changed ends with every part holding the content of one moment: now. After kRounds
// such attempts what is still to be sent is copied aside while writers wait, and sent from there.

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "base/check.h"
#include "base/hash.h"
#include "cache/file_core.h"
#include "cache/local_file.h"
#include "cache/part_task.h"
#include "cache/unsettled.h"
#include "cache/waiting.h"

namespace quayfs {
namespace {

constexpr int kRounds = 3;
// How often missing bytes are fetched before writers have to wait for that, too.
constexpr int kGatherTries = 8;
// Missing bytes under this many parts are fetched at once.
constexpr size_t kPartsAhead = 4;
constexpr uint64_t kHashChunk = 1ull << 20;

/// Asking again for the same copy would end the same way.
bool RefusesCopy(Code code) {
  return code == Code::kNotFound || code == Code::kChanged || code == Code::kNotSupported ||
         code == Code::kPermissionDenied || code == Code::kInvalidArgument ||
         code == Code::kTooLarge || code == Code::kArchived;
}

}  // namespace

/// One publication by multipart upload. Belongs to the publishing thread.
struct FileCore::PublishRun {
  const PublishRequest& request;
  const CallOptions& call;
  SessionRef session;
  std::vector<PlannedPart> parts;
  uint64_t size = 0;  // that `parts` cover
  /// What parts are read from, if not from the file itself.
  std::shared_ptr<DiskFile> copy;
  uint64_t copy_length = 0;
};

Result<FileCore::Published> FileCore::PutMultipart(const PublishRequest& request,
                                                   const CallOptions& call) {
  for (int attempt = 0;; ++attempt) {
    bool adopted = false;
    QUAY_ASSIGN(SessionRef session, OpenSession(request, call, &adopted));
    PublishRun run{request, call, session, {}, 0, nullptr, 0};
    Result<Published> published = [&] {
      const std::stop_callback on_cancel(call.cancel, [&session] { session->stop.request_stop(); });
      return RunSession(run);
    }();
    const bool complete = published && published->has_value();
    std::vector<std::stop_source> stops;
    {
      MutexLock lock(mutex_);
      // An upload that may have been completed is not aborted: completing it again will tell.
      if (!complete && !unsettled_) {
        extents_.CancelPublication();
        if (!published && KeepsUpload(published.code()) && session_ == session) {
          PauseSession(session, &stops);
        } else {
          AbandonSession(session, &stops);
        }
      }
      if (session_ == session && session->phase != UploadSession::Phase::kPaused) {
        session_ = nullptr;
      }
    }
    for (std::stop_source& stop : stops) stop.request_stop();
    // An upload that was begun long ago may have been cleaned up by the store since.
    const bool vanished = published.Is(Code::kNotFound) && adopted && attempt == 0;
    if (!vanished) return published;
  }
}

Result<FileCore::SessionRef> FileCore::OpenSession(const PublishRequest& request,
                                                   const CallOptions& call, bool* adopted) {
  SessionRef session;
  std::vector<std::stop_source> stops;
  {
    MutexLock lock(mutex_);
    while (session_ != nullptr) {
      const bool fits =
          session_->key == request.key && SameProperties(session_->properties, request.properties);
      const bool paused = session_->phase == UploadSession::Phase::kPaused;
      if (!fits || (session_->first_error && !paused)) {
        AbandonSession(std::exchange(session_, nullptr), &stops);
      } else if (paused && session_->in_flight == 0) {
        session_ = session_->Resumed();
      } else if (session_->phase == UploadSession::Phase::kOpen && session_->verified) {
        *adopted = true;
        return session_;
      } else if (session_->phase == UploadSession::Phase::kOpen) {
        const SessionRef left = session_;
        lock.Unlock();
        Status verified = VerifySession(left, call);
        lock.Lock();
        QUAY_TRY(std::move(verified));
      } else {
        QUAY_TRY(WaitOnce(changed_, mutex_, call));
      }
    }
    session = std::make_shared<UploadSession>();
    session->key = request.key;
    session->properties = request.properties;
    session_ = session;
  }
  for (std::stop_source& stop : stops) stop.request_stop();

  std::string unknown;
  auto upload_id = CreateUpload(*session, call, &unknown);
  MutexLock lock(mutex_);
  if (!upload_id) {
    session->phase = UploadSession::Phase::kAbandoned;
    session_ = nullptr;
    return upload_id.error();
  }
  session->upload_id = *std::move(upload_id);
  session->phase = UploadSession::Phase::kOpen;
  // C7: an upload that is not in the database is not used.
  if (Status told = TellUpload(*session); !told) {
    session_ = nullptr;
    AbandonSession(session, &stops);
    return told.error();
  }
  ForgetUnknown(request.key, unknown);
  return session;
}

Result<std::string> FileCore::CreateUpload(const UploadSession& session, const CallOptions& call,
                                           std::string* unknown) {
  return CreateRecorded({context_.store, &context_.state, &context_.orphans}, session.key,
                        session.properties, context_.clock.Now(), call, unknown);
}

// If that fails, the next mount looks for an upload that is not there.
void FileCore::ForgetUnknown(const std::string& key, const std::string& unknown) {
  Ignore(context_.state.Apply(StateBatch().DropOrphan(key, unknown), Persist::kSurvivesKill));
}

Status FileCore::VerifySession(const SessionRef& session, const CallOptions& call) {
  auto listed = context_.store.ListParts(session->key, session->upload_id, call);
  std::vector<std::stop_source> stops;
  {
    MutexLock lock(mutex_);
    if (session_ != session || session->verified) return {};
    if (listed) {
      TakeListing(*session, *listed);
      QUAY_ASSIGN(const UploadPlan plan, PlanNow());
      const int last = session->at_store.empty() ? 0 : session->at_store.rbegin()->first;
      // Some services refuse to leave a part out.
      if (last <= static_cast<int>(plan.parts.size())) return {};
    } else if (!listed.Is(Code::kNotFound) && !listed.Is(Code::kNotSupported)) {
      return listed.error();
    }
    AbandonSession(std::exchange(session_, nullptr), &stops);
  }
  for (std::stop_source& stop : stops) stop.request_stop();
  return {};
}

void FileCore::TakeListing(UploadSession& session, const std::vector<PartInfo>& listed) {
  session.verified = true;
  session.at_store.clear();
  for (const PartInfo& part : listed) session.at_store[part.number] = part;
  StateBatch batch;
  for (auto it = session.parts.begin(); it != session.parts.end();) {
    const PartRecord& record = it->second;
    const auto there = session.at_store.find(it->first);
    const bool same = there != session.at_store.end() &&
                      SameEtag(there->second.etag, record.info.etag) &&
                      there->second.size == record.part.range.length();
    if (same) {
      session.at_store.erase(there);
      ++it;
    } else {
      batch.DropPart(inode_, it->first);
      it = session.parts.erase(it);
    }
  }
  // Rows that stay are found wanting again.
  if (!batch.empty()) Ignore(context_.state.Apply(std::move(batch), Persist::kSurvivesKill));
}

void FileCore::PauseSession(const SessionRef& session, std::vector<std::stop_source>* stops) {
  if (attempt_) {
    // The row speaks of an attempt to complete it, which is known to have failed.
    attempt_.reset();
    if (!TellUpload(*session)) return AbandonSession(session, stops);
  }
  session->phase = UploadSession::Phase::kPaused;
  stops->push_back(session->stop);
  stream_at_ = 0;
}

Result<FileCore::Published> FileCore::RunSession(PublishRun& run) {
  for (int round = 1;; ++round) {
    QUAY_ASSIGN(const Round outcome, round <= kRounds ? SendRound(run) : SendFrozen(run));
    if (outcome == Round::kOtherPlan) return Published();
    if (outcome == Round::kAgain) continue;
    QUAY_ASSIGN(ObjectInfo info, Complete(run));
    return Published(std::move(info));
  }
}

Result<FileCore::Round> FileCore::SendRound(PublishRun& run) {
  {
    MutexLock lock(mutex_);
    QUAY_ASSIGN(UploadPlan plan, PlanNow());
    if (plan.kind != UploadPlan::Kind::kMultipart) return Round::kOtherPlan;
    run.parts = std::move(plan.parts);
    run.size = extents_.size();
    run.session->changed = false;
    run.session->touched.Clear();
  }
  QUAY_TRY(SendParts(run));
  MutexLock lock(mutex_);
  QUAY_TRY(WaitIdle(run));
  if (run.session->changed) return Round::kAgain;
  run.session->frozen = true;
  extents_.BeginPublication();
  commit_in_flight_ = true;
  return Round::kReady;
}

Result<FileCore::Round> FileCore::SendFrozen(PublishRun& run) {
  Result<Round> paused = PauseReadable(run);
  std::vector<ByteRange> ranges;
  if (paused && *paused == Round::kReady) {
    {
      MutexLock lock(mutex_);
      for (PlannedPart& part : run.parts) {
        const auto record = run.session->parts.find(part.number);
        const bool have = record != run.session->parts.end() && record->second.part.Serves(part) &&
                          !record->second.stale->load();
        if (have || part.source == PartSource::kCopy) continue;
        // Whether a hole is one is looked up when its part is sent, and the file goes on changing.
        part.source = PartSource::kLocal;
        ranges.push_back(part.range);
      }
    }
    if (auto copy = PrivateCopy(ranges, &run.copy_length); copy) {
      run.copy = *std::move(copy);
    } else {
      paused = copy.error();
    }
  }
  {
    MutexLock lock(mutex_);
    if (paused && *paused == Round::kReady) {
      // The content of this moment is what will be published; later writes are for the next time.
      run.session->frozen = true;
      extents_.BeginPublication();
    }
    ResumeWriters();
  }
  if (!paused || *paused != Round::kReady) return paused;

  QUAY_TRY(SendParts(run));
  MutexLock lock(mutex_);
  QUAY_TRY(WaitIdle(run));
  if (!extents_.publication_in_progress()) {
    return Error(Code::kBusy, "the file was given another base while it was being published");
  }
  commit_in_flight_ = true;
  return Round::kReady;
}

/// Stops the writers at a moment when everything that has to be uploaded is there. They go on
/// waiting on return, whatever it is.
Result<FileCore::Round> FileCore::PauseReadable(PublishRun& run) {
  for (int attempt = 1;; ++attempt) {
    MutexLock lock(mutex_);
    PauseWriters();
    QUAY_ASSIGN(UploadPlan plan, PlanNow());
    if (plan.kind != UploadPlan::Kind::kMultipart) return Round::kOtherPlan;
    run.parts = std::move(plan.parts);
    run.size = extents_.size();
    bool readable = true;
    for (const PlannedPart& part : run.parts) {
      if (part.source != PartSource::kLocal || extents_.Readable(part.range)) continue;
      readable = false;
      if (attempt < kGatherTries) ResumeWriters();
      const UseRef use = AddUse(part.range);
      const Status fetched = WaitReadable(use, true, run.call);
      RemoveUse(use);
      if (!fetched) return fetched.error();
    }
    if (!readable) continue;
    run.session->changed = false;
    run.session->touched.Clear();
    return Round::kReady;
  }
}

Status FileCore::SendParts(PublishRun& run) {
  for (size_t i = 0; i < run.parts.size(); ++i) {
    MutexLock lock(mutex_);
    if (run.session->first_error) return *run.session->first_error;
    // The plan is for another size now. What has been sent of it may still serve the next one.
    if (run.copy == nullptr && extents_.size() != run.size) return {};
    QUAY_ASSIGN(const bool needed, PartNeeded(run, run.parts[i]));
    if (!needed) continue;
    if (run.copy == nullptr) {
      for (size_t next = i; next < std::min(i + kPartsAhead, run.parts.size()); ++next) {
        if (run.parts[next].source != PartSource::kLocal) continue;
        StartFetches(run.parts[next].range, context_.read.fetch_part, Transfers::Lane::kBulk);
      }
    }
    UseRef use = AddUse(run.parts[i].range);
    Status sent = SendPart(run, run.parts[i], &use);
    if (use != nullptr) RemoveUse(use);
    if (!sent) return sent;
  }
  return {};
}

/// Takes over `use` if it posts the part.
Status FileCore::SendPart(PublishRun& run, const PlannedPart& part, UseRef* use) {
  UploadSession& session = *run.session;
  while (session.in_flight >= static_cast<int>(context_.part_slots())) {
    QUAY_TRY(WaitOnce(changed_, mutex_, run.call));
    if (session.first_error) return *session.first_error;
  }
  PartTask task{run.session, part, nullptr, 0, nullptr, *use, base_, run.call.deadline, false, {}};
  if (part.source != PartSource::kLocal && !session.frozen &&
      session.touched.Overlaps(part.range)) {
    // Written to since the plan was made: the base's bytes, or zeros, are not ours any more.
    return {};
  }
  if (part.source == PartSource::kCopy) {
    // Nothing of it is needed here.
  } else if (run.copy != nullptr) {
    task.file = run.copy;
    task.file_length = run.copy_length;
  } else {
    QUAY_TRY(WaitReadable(*use, true, run.call));
    if (extents_.size() != run.size) return {};
  }
  QUAY_TRY(PostPart(std::move(task)));
  use->reset();
  return {};
}

Result<bool> FileCore::PartNeeded(PublishRun& run, const PlannedPart& part) {
  auto& records = run.session->parts;
  while (true) {
    const auto it = records.find(part.number);
    if (it == records.end()) return true;
    const PartRecord& record = it->second;
    if (record.part.Serves(part) && !record.stale->load()) return false;
    if (record.sent) {
      records.erase(it);
      return true;
    }
    QUAY_TRY(WaitOnce(changed_, mutex_, run.call));
    if (run.session->first_error) return *run.session->first_error;
  }
}

Status FileCore::WaitIdle(PublishRun& run) {
  while (run.session->in_flight > 0 && !run.session->first_error) {
    QUAY_TRY(WaitOnce(changed_, mutex_, run.call));
  }
  if (run.session->first_error) return *run.session->first_error;
  return {};
}

Result<ObjectInfo> FileCore::Complete(PublishRun& run) {
  const PublishRequest& request = run.request;
  Unsettled attempt{
      request.key, request.properties, request.condition, run.size, run.session->upload_id, {}, ""};
  {
    MutexLock lock(mutex_);
    for (const PlannedPart& part : run.parts) {
      const auto record = run.session->parts.find(part.number);
      QUAY_CHECK(record != run.session->parts.end() && record->second.sent &&
                 record->second.part.Serves(part) && !record->second.stale->load());
      attempt.parts.push_back(record->second.info);
    }
    // Gone if Replace() or Rebase() came in between.
    const uint64_t generation = extents_.publication_in_progress()
                                    ? extents_.publication_generation()
                                    : extents_.generation();
    if (Status told = TellAttempt(attempt, generation, run.session.get()); !told) {
      commit_in_flight_ = false;
      WakeAllUses();
      return told.error();
    }
  }
  auto completed =
      context_.store.CompleteUpload(request.key, attempt.upload_id, attempt.parts,
                                    request.condition, WithWork(run.call, attempt.size));
  return Settle(std::move(attempt), std::move(completed), run.call);
}

// ---- one part

Status FileCore::PostPart(PartTask task) {
  if (task.part.source != PartSource::kCopy && task.file == nullptr) {
    QUAY_ASSIGN(task.file, OpenLocal());
    task.file_length = local_length_;
  }
  PartRecord record;
  record.part = task.part;
  record.generation = extents_.generation();
  task.stale = record.stale;
  UploadSession& session = *task.session;
  if (const auto there = session.at_store.find(task.part.number); there != session.at_store.end()) {
    if (there->second.size == task.part.range.length()) task.candidate = there->second;
    session.at_store.erase(there);
  }
  QUAY_DCHECK(!session.parts.contains(task.part.number));
  session.parts.emplace(task.part.number, std::move(record));
  ++session.in_flight;
  QUAY_DCHECK(session.CheckInvariants().empty());
  ++context_.uploads_in_flight;
  context_.transfers.Post(
      inode_, Transfers::Lane::kBulk,
      [self = shared_from_this(), task = std::move(task)] { self->RunPart(task); });
  return {};
}

/// The store may have finished the part without our having noted it (C7): its ETag tells, where it
/// is the MD5 of the bytes.
bool FileCore::HoldsCandidate(const PartTask& task) {
  if (!task.candidate) return false;
  const LocalSource source(task.file, task.part.range, task.file_length, task.stale);
  Hasher hasher(HashKind::kMd5);
  std::vector<std::byte> buffer(static_cast<size_t>(std::min(kHashChunk, source.size())));
  for (uint64_t offset = 0; offset < source.size();) {
    const std::span<std::byte> chunk(buffer.data(), static_cast<size_t>(std::min<uint64_t>(
                                                        buffer.size(), source.size() - offset)));
    if (!source.Read(offset, chunk)) return false;
    hasher.Update(chunk);
    offset += chunk.size();
  }
  return SameEtag(task.candidate->etag, HexEncode(hasher.Finish()));
}

void FileCore::RunPart(const PartTask& task) {
  const UploadSession& session = *task.session;
  const CallOptions call{session.stop.get_token(), task.deadline, task.part.range.length()};
  ObjectStore& store = context_.store;
  Result<PartInfo> result = Error(Code::kCancelled, "the upload was called off");
  bool sent_bytes = task.part.source == PartSource::kLocal;
  if (call.cancel.stop_requested()) {
    // Nothing to undo.
  } else if (task.part.source == PartSource::kCopy) {
    result = store.CopyPart(session.key, session.upload_id, task.part.number, task.base.key,
                            task.base.etag, task.part.range, call);
  } else if (task.part.source == PartSource::kZeros) {
    result = SendZeros(task, call, &sent_bytes);
  } else if (HoldsCandidate(task)) {
    result = *task.candidate;
  } else {
    const LocalSource source(task.file, task.part.range, task.file_length, task.stale);
    result = store.UploadPart(session.key, session.upload_id, task.part.number, source, call);
  }
  if (result && task.part.source != PartSource::kCopy) {
    context_.dirty.Sent(task.part.range.length());
  }
  if (result && sent_bytes) context_.sent_bytes += task.part.range.length();
  PartFinished(task, std::move(result));
}

// What the local file system says of holes is not trusted with the contents of an object: reading
// them costs little, compared with sending them.
Result<PartInfo> FileCore::SendZeros(const PartTask& task, const CallOptions& call,
                                     bool* sent_bytes) {
  const UploadSession& session = *task.session;
  ObjectStore& store = context_.store;
  const LocalSource source(task.file, task.part.range, task.file_length, task.stale);
  QUAY_ASSIGN(const bool zeros, ReadsAsZeros(source));
  if (zeros) {
    const auto object = context_.zeros.Get(source.size(), call);
    if (object) {
      // Elsewhere the version would cost two requests of its own, and nobody else writes there.
      const bool tested = store.capabilities().copy_if_source_match;
      auto copied = store.CopyPart(session.key, session.upload_id, task.part.number, object->key,
                                   tested ? object->etag : "", {0, source.size()}, call);
      if (copied || !RefusesCopy(copied.code())) return copied;
      context_.zeros.Failed(*object);
    } else if (object.Is(Code::kCancelled)) {
      return object.error();
    }
  }
  *sent_bytes = true;
  return store.UploadPart(session.key, session.upload_id, task.part.number, source, call);
}

void FileCore::PartFinished(const PartTask& task, Result<PartInfo> result) {
  bool failed = false;
  std::vector<std::stop_source> stops;
  {
    MutexLock lock(mutex_);
    UploadSession& session = *task.session;
    RemoveUse(task.use);
    --session.in_flight;
    --context_.uploads_in_flight;
    const auto it = session.parts.find(task.part.number);
    QUAY_CHECK(it != session.parts.end() && !it->second.sent);
    PartRecord& record = it->second;
    // A part that went stale under way has to be sent again, whatever became of this one.
    const bool stale = record.stale->load();
    if (result && !stale) {
      record.info = *result;
      record.info.number = task.part.number;
      // C7: it counts once it is in the database.
      if (Status told = TellPart(session, record); !told) result = told.error();
    }
    if (result && !stale) {
      record.sent = true;
    } else {
      session.parts.erase(it);
    }
    QUAY_DCHECK(session.CheckInvariants().empty());
    if (task.part.source == PartSource::kCopy &&
        (result.Is(Code::kChanged) || result.Is(Code::kNotFound))) {
      lost_base_ = task.base;
    }
    if (!result && (!stale || session.stop.stop_requested())) {
      failed = true;
      if (!session.first_error) session.first_error = result.error();  // C8
    }
    if (session.phase == UploadSession::Phase::kAbandoned) {
      if (session.in_flight == 0) PostAbort(session.key, session.upload_id);
    } else if (failed && task.ahead && !publishing_ && session_ == task.session) {
      // Nobody has asked for this upload yet, so nobody needs to hear of it.
      stream_halted_ = true;
      if (KeepsUpload(result.code())) {
        if (session.phase == UploadSession::Phase::kOpen) PauseSession(task.session, &stops);
      } else {
        AbandonSession(std::exchange(session_, nullptr), &stops);
      }
    } else {
      PumpStream();
    }
    changed_.NotifyAll();
  }
  if (failed) task.session->stop.request_stop();
  for (std::stop_source& stop : stops) stop.request_stop();
}

}  // namespace quayfs
