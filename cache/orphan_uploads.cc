// SPDX-License-Identifier: Apache-2.0

#include "cache/orphan_uploads.h"

#include <algorithm>
#include <charconv>
#include <chrono>
#include <optional>
#include <set>
#include <utility>

#include "cache/attempt_record.h"

namespace quayfs {
namespace {

constexpr std::chrono::seconds kAbortTime(10);
constexpr std::chrono::milliseconds kFirstPause(500);
constexpr std::chrono::milliseconds kLongestPause(300000);

constexpr std::string_view kUnknown = "\x01quayfs-unknown ";
// Stores tell the time in seconds, and not quite ours.
constexpr std::chrono::seconds kClockSlack(5);

/// When it was created, if `upload_id` stands for one whose id is not known.
std::optional<WallTime> UnknownSince(std::string_view upload_id) {
  if (!upload_id.starts_with(kUnknown)) return std::nullopt;
  int64_t nanoseconds = 0;
  std::from_chars(upload_id.data() + kUnknown.size(), upload_id.data() + upload_id.size(),
                  nanoseconds);
  return WallTime(Duration(nanoseconds));
}

/// Stands for the id of an upload that is being created from `now` on.
std::string UnknownUpload(WallTime now) {
  return std::string(kUnknown) + std::to_string(now.time_since_epoch().count());
}

}  // namespace

Result<std::string> CreateRecorded(const UploadRecords& records, const std::string& key,
                                   const ObjectProperties& properties, WallTime now,
                                   const CallOptions& call, std::string* unknown) {
  *unknown = UnknownUpload(now);
  if (records.state != nullptr)
    QUAY_TRY(records.state->Apply(StateBatch().PutOrphan(key, *unknown), Persist::kSurvivesKill));
  auto upload_id = records.store.CreateUpload(key, properties, call);
  if (upload_id) return upload_id;
  if (!IsUnclear(upload_id.code())) {
    if (records.state != nullptr)
      Ignore(records.state->Apply(StateBatch().DropOrphan(key, *unknown), Persist::kSurvivesKill));
  } else if (records.orphans != nullptr) {
    records.orphans->Add(key, *unknown);
  }
  return upload_id;
}

OrphanUploads::~OrphanUploads() { Stop(); }

void OrphanUploads::Stop() {
  std::thread thread;
  {
    MutexLock lock(mutex_);
    stopped_ = true;
    stop_.request_stop();
    changed_.NotifyAll();
    thread = std::move(thread_);
  }
  if (thread.joinable()) thread.join();
}

void OrphanUploads::Add(std::string key, std::string upload_id) {
  std::thread ended;
  {
    MutexLock lock(mutex_);
    if (stopped_) return;
    waiting_.push_back({std::move(key), std::move(upload_id), clock_.Now()});
    changed_.NotifyAll();
    if (running_) return;
    running_ = true;
    ended = std::exchange(thread_, std::thread([this] { Run(); }));
  }
  if (ended.joinable()) ended.join();
}

void OrphanUploads::Run() {
  auto pause = kFirstPause;
  size_t failures = 0;  // in a row; once all that wait have failed, there is a pause
  MutexLock lock(mutex_);
  while (!stopped_ && !waiting_.empty()) {
    if (failures >= waiting_.size()) {
      const auto until = std::chrono::steady_clock::now() + pause;
      const size_t before = waiting_.size();
      while (!stopped_ && waiting_.size() == before && changed_.WaitUntil(mutex_, until)) {
      }
      if (stopped_) break;
      pause = std::min(pause * 2, kLongestPause);
      failures = 0;
    }
    Orphan orphan = std::move(waiting_.front());
    waiting_.pop_front();
    lock.Unlock();
    const bool gone = Abort(orphan);
    lock.Lock();
    if (gone) {
      pause = kFirstPause;
      failures = 0;
    } else {
      waiting_.push_back(std::move(orphan));
      ++failures;
    }
  }
  running_ = false;
}

bool OrphanUploads::Abort(const Orphan& orphan) {
  const CallOptions call{stop_.get_token(), std::chrono::steady_clock::now() + kAbortTime};
  const auto since = UnknownSince(orphan.upload_id);
  const Status aborted = since ? AbortUnknown(orphan, *since, call)
                               : store_.AbortUpload(orphan.key, orphan.upload_id, call);
  if (!aborted && !aborted.Is(Code::kNotFound)) return false;
  // A row that stays is tried once more by the next mount, which harms nobody.
  Ignore(
      state_.Apply(StateBatch().DropOrphan(orphan.key, orphan.upload_id), Persist::kSurvivesKill));
  return true;
}

Status OrphanUploads::AbortUnknown(const Orphan& orphan, WallTime since, const CallOptions& call) {
  const auto listed = store_.ListUploads(orphan.key, call);
  // Without the right to list there is nothing to be found, today or tomorrow.
  if (listed.Is(Code::kPermissionDenied) || listed.Is(Code::kNotSupported)) return {};
  if (!listed) return listed.error();
  std::set<std::string> used;
  QUAY_TRY(state_.ReadUploads(
      [&](const UploadRow& row, const std::vector<PartRow>&) { used.insert(UploadIdOf(row)); }));
  for (const UploadInfo& upload : *listed) {
    const bool ours = upload.key == orphan.key && upload.initiated >= since - kClockSlack &&
                      upload.initiated <= orphan.until + kClockSlack;
    if (!ours || used.contains(upload.upload_id)) continue;
    Status aborted = store_.AbortUpload(upload.key, upload.upload_id, call);
    if (!aborted && !aborted.Is(Code::kNotFound)) return aborted;
  }
  return {};
}

}  // namespace quayfs
