// SPDX-License-Identifier: Apache-2.0
//
// FileCore: bytes from the store.

#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <utility>

#include "cache/file_core.h"
#include "cache/waiting.h"

namespace quayfs {
namespace {

// Bytes are written to the local file in pieces of at least this much, unless somebody waits for
// them.
constexpr size_t kFillChunk = 128ull << 10;

/// Writes into the caller's memory.
class SpanSink final : public DataSink {
 public:
  explicit SpanSink(std::span<std::byte> out) : out_(out) {}
  Status Write(std::span<const std::byte> data) override {
    if (data.size() > out_.size())
      return Error(Code::kCorrupt, "the store sent more bytes than it was asked for");
    std::memcpy(out_.data(), data.data(), data.size());
    out_ = out_.subspan(data.size());
    return {};
  }
  bool full() const { return out_.empty(); }

 private:
  std::span<std::byte> out_;
};

Error Incomplete(const std::string& key, uint64_t at) {
  return {
      Code::kUnavailable,
      fmt::format("the store sent less of '{}' than it was asked for: it ended at {}", key, at)};
}

}  // namespace

/// Takes what a GET delivers. Belongs to the fetch's task.
class FileCore::FetchSink final : public DataSink {
 public:
  FetchSink(FileCore& core, FetchRef fetch)
      : core_(core), fetch_(std::move(fetch)), written_(fetch_->range.begin) {
    buffer_.reserve(kFillChunk);
  }

  Status Write(std::span<const std::byte> data) override {
    if (data.size() > fetch_->range.end - arrived()) {
      return Error(Code::kCorrupt, fmt::format("the store sent more of '{}' than it was asked for",
                                               fetch_->base.key));
    }
    if (buffer_.empty() && data.size() >= kFillChunk) return Fill(data);
    buffer_.insert(buffer_.end(), data.begin(), data.end());
    const uint64_t awaited = fetch_->awaited_until.load();
    if (buffer_.size() >= kFillChunk || (written_ < awaited && arrived() >= awaited))
      return Flush();
    return {};
  }

  Status Flush() {
    if (buffer_.empty()) return {};
    QUAY_TRY(Fill(buffer_));
    buffer_.clear();
    return {};
  }

  uint64_t arrived() const { return written_ + buffer_.size(); }

 private:
  Status Fill(std::span<const std::byte> data) {
    QUAY_TRY(core_.FillFrom(fetch_, written_, data));
    written_ += data.size();
    core_.context_.budget.Enforce();
    return {};
  }

  FileCore& core_;
  const FetchRef fetch_;
  uint64_t written_;  // up to here
  std::vector<std::byte> buffer_;
};

Status FileCore::FillFrom(const FetchRef& fetch, uint64_t offset, std::span<const std::byte> data) {
  return WithRoom([&]() -> Status {
    MutexLock lock(mutex_);
    if (fetch->owed.empty()) return Error(Code::kCancelled, "nobody needs these bytes any more");
    if (seal_stuck_) return Error(Code::kIo, "the cache disk takes no more notes of this file");
    const ByteRange arrived = ByteRange::OfLength(offset, data.size());
    for (const ByteRange& range : fetch->owed.Within(arrived)) {
      // A publication needs the bytes to make room.
      if (!publishing_) QUAY_TRY(context_.room.Take(range.length()));
      QUAY_ASSIGN(std::shared_ptr<DiskFile> file, OpenLocal());
      QUAY_TRY(file->Write(range.begin, data.subspan(static_cast<size_t>(range.begin - offset),
                                                     static_cast<size_t>(range.length()))));
      local_length_ = std::max(local_length_, range.end);
      extents_.Filled(range);
      fetch->owed.Remove(range);
      context_.budget.Add(shared_from_this(), range);
    }
    WakeUses(arrived);
    return {};
  });
}

void FileCore::RunFetch(const FetchRef& fetch) {
  Status outcome;
  if (fetch->stop.stop_requested()) {
    outcome = Error(Code::kCancelled, "the read was called off");
  } else {
    FetchSink sink(*this, fetch);
    auto got = context_.store.Get({fetch->base.key, fetch->range, fetch->base.etag}, sink,
                                  {fetch->stop.get_token(), std::nullopt});
    if (!got) {
      outcome = got.error();
    } else if (sink.arrived() != fetch->range.end) {
      outcome = Incomplete(fetch->base.key, sink.arrived());
    } else {
      outcome = sink.Flush();
    }
  }
  MutexLock lock(mutex_);
  fetch->done = true;
  if (!outcome) fetch->error = outcome.error();
  fetches_.remove(fetch);
  NoteSums();
  for (const UseRef& use : uses_) {
    if (use->range.Overlaps(fetch->range)) use->wake.NotifyAll();
  }
}

void FileCore::StartFetches(ByteRange wanted, uint64_t piece, Transfers::Lane lane) {
  wanted.end = std::min(wanted.end, extents_.base_limit());
  if (wanted.begin >= wanted.end) return;
  ExtentSet needed;
  for (const ByteRange& range : extents_.Missing(wanted)) needed.Add(range);
  for (const FetchRef& fetch : fetches_) {
    for (const ByteRange& range : fetch->owed.Within(wanted)) needed.Remove(range);
  }
  for (auto it = sums_.lower_bound(wanted.begin / kSumBlock);
       unchecked_ > 0 && it != sums_.end() && it->first * kSumBlock < wanted.end; ++it) {
    if (!it->second.checked) needed.Remove(BlockRange(it->first));
  }
  for (const PlannedFetch& planned :
       PlanFetches(needed.ranges(), context_.read.fetch_block, piece)) {
    auto fetch = std::make_shared<Fetch>();
    fetch->range = planned.range;
    fetch->base = base_;
    for (const ByteRange& range : planned.wanted) fetch->owed.Add(range);
    fetches_.push_back(fetch);
    context_.transfers.Post(inode_, lane,
                            [self = shared_from_this(), fetch] { self->RunFetch(fetch); });
  }
}

std::optional<Error> FileCore::FetchFailure(const std::vector<ByteRange>& missing,
                                            std::vector<FetchRef>* mine) {
  std::optional<Error> failure;
  std::erase_if(*mine, [&](const FetchRef& fetch) QUAY_REQUIRES(mutex_) {
    if (!fetch->done) return false;
    // A failure matters to those whose bytes it did not bring; and not when the bytes lie elsewhere
    // by now.
    const bool concerns_us =
        fetch->error && SameVersion(fetch->base, base_) &&
        std::any_of(missing.begin(), missing.end(),
                    [&](const ByteRange& range) { return fetch->owed.Overlaps(range); });
    if (concerns_us && !failure) failure = fetch->error;
    return !concerns_us;
  });
  return failure;
}

Status FileCore::WaitReadable(const UseRef& use, bool may_block, const CallOptions& call) {
  std::vector<FetchRef> mine;
  while (true) {
    CheckSums(use->range);
    const std::vector<ByteRange> missing = extents_.Missing(use->range);
    if (missing.empty()) return {};
    const std::optional<Error> failure = FetchFailure(missing, &mine);
    // While a publication is being committed, "changed" may be our own doing: the new base will
    // tell.
    const bool base_unclear =
        failure && commit_in_flight_ &&
        (failure->code() == Code::kChanged || failure->code() == Code::kNotFound);
    if (failure && unsettled_ &&
        (failure->code() == Code::kChanged || failure->code() == Code::kNotFound)) {
      return Error(Code::kUnavailable,
                   "it is not known yet whether the last upload of this file arrived");
    }
    if (failure && !base_unclear) return *failure;
    if (!base_unclear) {
      for (const ByteRange& range : missing) {
        StartFetches(range, 2 * context_.read.fetch_part, Transfers::Lane::kUrgent);
      }
      for (const FetchRef& fetch : fetches_) {
        for (const ByteRange& range : missing) {
          if (!fetch->owed.Overlaps(range)) continue;
          if (std::find(mine.begin(), mine.end(), fetch) == mine.end()) mine.push_back(fetch);
          const uint64_t until = std::min(range.end, fetch->range.end);
          if (fetch->awaited_until.load() < until) fetch->awaited_until.store(until);
        }
      }
    }
    if (!may_block) return Error(Code::kWouldBlock, "the bytes are still on their way");
    use->waited_for = true;
    QUAY_TRY(WaitOnce(use->wake, mutex_, call));
  }
}

void FileCore::AbandonFetches(std::vector<std::stop_source>* stops) {
  for (const FetchRef& fetch : fetches_) {
    fetch->owed.Clear();
    stops->push_back(fetch->stop);
  }
  fetches_.clear();
}

/// For when the local disk cannot take the bytes: what is missing goes straight to the reader.
Result<size_t> FileCore::ReadAround(uint64_t offset, std::span<std::byte> out,
                                    const CallOptions& call) {
  const ByteRange whole = ByteRange::OfLength(offset, out.size());
  std::vector<ByteRange> missing;
  BaseVersion base;
  {
    MutexLock lock(mutex_);
    if (offset + out.size() > extents_.size() || broken_.Overlaps(whole)) {
      return Error(Code::kIo, "the cache disk cannot hold these bytes");
    }
    missing = extents_.Missing(whole);
    base = base_;
    ExtentSet present(whole);
    for (const ByteRange& range : missing) present.Remove(range);
    for (const ByteRange& range : present.ranges()) {
      const auto part = out.subspan(static_cast<size_t>(range.begin - offset),
                                    static_cast<size_t>(range.length()));
      std::memset(part.data(), 0, part.size());
      if (range.begin >= local_length_) continue;
      QUAY_ASSIGN(std::shared_ptr<DiskFile> file, OpenLocal());
      QUAY_ASSIGN(const size_t count, file->Read(range.begin, part));
      if (range.begin + count < std::min(range.end, local_length_)) {
        return Error(Code::kIo, "a cache file is shorter than it should be");
      }
    }
  }
  for (const ByteRange& range : missing) {
    SpanSink sink(out.subspan(static_cast<size_t>(range.begin - offset),
                              static_cast<size_t>(range.length())));
    auto got = context_.store.Get({base.key, range, base.etag}, sink, call);
    if (!got) return got.error();
    if (!sink.full()) return Incomplete(base.key, range.end);
  }
  return out.size();
}

}  // namespace quayfs
