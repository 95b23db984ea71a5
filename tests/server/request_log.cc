// SPDX-License-Identifier: Apache-2.0

#include "tests/server/request_log.h"

#include <unistd.h>

#include <algorithm>
#include <nlohmann/json.hpp>

namespace quayfs::testserver {

std::string RecordJson(const RequestRecord& record) {
  const auto taken = std::chrono::duration<double, std::milli>(record.finished - record.started);
  const nlohmann::json line = {
      {"number", record.number},
      {"method", record.method},
      {"operation", record.operation},
      {"bucket", record.bucket},
      {"key", record.key},
      {"query", record.query},
      {"status", record.status},
      {"request_bytes", record.request_bytes},
      {"reply_bytes", record.reply_bytes},
      {"milliseconds", taken.count()},
      {"fault", record.fault},
      {"headers", record.headers},
  };
  // Keys and header values are bytes; what is not UTF-8 is replaced.
  return line.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

uint64_t RequestLog::Begin() {
  const MutexLock lock(mutex_);
  ++concurrent_;
  max_concurrent_ = std::max(max_concurrent_, concurrent_);
  return next_number_++;
}

void RequestLog::Finish(const RequestRecord& record) {
  const MutexLock lock(mutex_);
  --concurrent_;
  ++counts_[record.operation];
  records_.push_back(record);
  if (records_.size() > limit_) records_.pop_front();
  if (!file_.valid()) return;
  const std::string line = RecordJson(record) + "\n";
  // A log that cannot be written must not fail the request it tells about.
  [[maybe_unused]] const ssize_t written = write(file_.get(), line.data(), line.size());
}

void RequestLog::Amend(uint64_t number, uint64_t reply_bytes) {
  const MutexLock lock(mutex_);
  const auto found =
      std::find_if(records_.rbegin(), records_.rend(),
                   [&](const RequestRecord& record) { return record.number == number; });
  if (found == records_.rend()) return;
  found->reply_bytes = reply_bytes;
  found->finished = std::chrono::steady_clock::now();
}

std::vector<RequestRecord> RequestLog::Records() const {
  const MutexLock lock(mutex_);
  return {records_.begin(), records_.end()};
}

std::map<std::string, uint64_t> RequestLog::Counts() const {
  const MutexLock lock(mutex_);
  return counts_;
}

int RequestLog::Concurrent() const {
  const MutexLock lock(mutex_);
  return concurrent_;
}

int RequestLog::MaxConcurrent() const {
  const MutexLock lock(mutex_);
  return max_concurrent_;
}

void RequestLog::Reset() {
  const MutexLock lock(mutex_);
  records_.clear();
  counts_.clear();
  max_concurrent_ = concurrent_;
}

}  // namespace quayfs::testserver
