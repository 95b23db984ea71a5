// SPDX-License-Identifier: Apache-2.0
//
// FileCore: parts of a growing new file, sent before it is published.

#include <utility>

#include "cache/file_core.h"
#include "cache/part_task.h"

namespace quayfs {
namespace {

constexpr int kPartsAhead = 8;  // in flight

}  // namespace

void FileCore::AllowStreaming(const std::string& key, const ObjectProperties& properties) {
  std::vector<std::stop_source> stops;
  {
    MutexLock lock(mutex_);
    if (stream_ && stream_->key == key && SameProperties(stream_->properties, properties)) return;
    stream_ = StreamTarget{key, properties};
    stream_halted_ = false;
    stream_at_ = 0;
    if (session_ != nullptr && !publishing_ &&
        (session_->key != key || !SameProperties(session_->properties, properties))) {
      AbandonSession(std::exchange(session_, nullptr), &stops);
    }
    PumpStream();
  }
  for (std::stop_source& stop : stops) stop.request_stop();
}

std::optional<UploadUnderWay> FileCore::upload() const {
  MutexLock lock(mutex_);
  if (session_ == nullptr || session_->phase == UploadSession::Phase::kCreating ||
      session_->phase == UploadSession::Phase::kAbandoned) {
    return std::nullopt;
  }
  UploadUnderWay upload{session_->key, session_->properties, 0};
  for (const auto& [number, record] : session_->parts) {
    if (record.sent && !record.stale->load()) upload.sent_bytes += record.part.range.length();
  }
  return upload;
}

void FileCore::AbandonUpload() {
  std::vector<std::stop_source> stops;
  {
    MutexLock lock(mutex_);
    stream_.reset();
    if (session_ != nullptr && !publishing_)
      AbandonSession(std::exchange(session_, nullptr), &stops);
  }
  for (std::stop_source& stop : stops) stop.request_stop();
}

void FileCore::PumpStream() {
  if (!stream_ || stream_halted_ || publishing_ || removed_ || handles_ == 0 ||
      extents_.base_limit() > 0 || extents_.size() <= stream_at_) {
    return;
  }
  if (session_ != nullptr && (session_->phase != UploadSession::Phase::kOpen ||
                              !session_->verified || session_->in_flight >= kPartsAhead)) {
    return;
  }
  const Capabilities capabilities = context_.store.capabilities();
  auto grid = PartGrid::For(0, capabilities, context_.upload);
  if (!grid || !capabilities.multipart || grid->parts_max() < 2) {
    stream_halted_ = true;
    return;
  }
  if (session_ == nullptr) {
    // One part alone is not worth an upload that may have to be aborted.
    stream_at_ = std::max(grid->Part(2).end, context_.upload.put_size_max);
    if (extents_.size() <= stream_at_) return;
    // The publication sees to holes, by other parts than these.
    stream_halted_ = context_.zeros.CopyMax(extents_.holes().total_bytes(), capabilities) > 0;
    if (!stream_halted_) BeginStream();
    return;
  }
  UploadSession& session = *session_;
  while (session.in_flight < kPartsAhead && session.next_ahead <= grid->parts_max()) {
    const ByteRange range = grid->Part(session.next_ahead).Intersection({0, extents_.size()});
    const ByteRange whole = grid->Part(session.next_ahead);
    stream_at_ = whole.end;
    if (range != whole || extents_.size() == whole.end) return;
    if (broken_.Overlaps(whole)) return;
    if (session.parts.contains(session.next_ahead)) {
      ++session.next_ahead;
      continue;
    }
    if (context_.zeros.usable(capabilities) && IsHole(whole)) {
      // The publication sees to holes.
      stream_halted_ = true;
      return;
    }
    const PlannedPart part{session.next_ahead, whole, PartSource::kLocal};
    PartTask task{session_,      part,  nullptr,      0,    nullptr,
                  AddUse(whole), base_, std::nullopt, true, {}};
    const UseRef use = task.use;
    if (!PostPart(std::move(task))) {
      RemoveUse(use);
      stream_halted_ = true;
      return;
    }
    ++session.next_ahead;
  }
  // A slot that falls free comes back here.
  stream_at_ = 0;
}

void FileCore::BeginStream() {
  session_ = std::make_shared<UploadSession>();
  session_->key = stream_->key;
  session_->properties = stream_->properties;
  context_.transfers.Post(
      inode_, Transfers::Lane::kBulk,
      [self = shared_from_this(), session = session_] { self->RunCreate(session); });
}

void FileCore::RunCreate(const SessionRef& session) {
  std::string unknown;
  auto upload_id = CreateUpload(*session, {session->stop.get_token(), std::nullopt}, &unknown);
  std::vector<std::stop_source> stops;  // of nothing: no part has been sent yet
  MutexLock lock(mutex_);
  if (!upload_id) {
    session->phase = UploadSession::Phase::kAbandoned;
    if (session_ == session) {
      session_ = nullptr;
      stream_halted_ = true;
    }
  } else {
    session->upload_id = *std::move(upload_id);
    if (session->phase == UploadSession::Phase::kCreating) {
      session->phase = UploadSession::Phase::kOpen;
      // C7: an upload that is not in the database is not used.
      if (!TellUpload(*session)) {
        stream_halted_ = true;
        AbandonSession(session, &stops);
        if (session_ == session) session_ = nullptr;
      }
    } else {
      TellOrphan(session->key, session->upload_id);
      PostAbort(session->key, session->upload_id);
    }
    ForgetUnknown(session->key, unknown);
    stream_at_ = 0;
    PumpStream();
  }
  changed_.NotifyAll();
}

void FileCore::AbandonSession(const SessionRef& session, std::vector<std::stop_source>* stops) {
  if (session->phase == UploadSession::Phase::kAbandoned) return;
  const bool created = session->phase != UploadSession::Phase::kCreating;
  session->phase = UploadSession::Phase::kAbandoned;
  stops->push_back(session->stop);
  stream_at_ = 0;
  if (!created) return;
  TellOrphan(session->key, session->upload_id);
  if (session->in_flight == 0) PostAbort(session->key, session->upload_id);
}

void FileCore::PostAbort(const std::string& key, const std::string& upload_id) {
  context_.orphans.Add(key, upload_id);
}

}  // namespace quayfs
