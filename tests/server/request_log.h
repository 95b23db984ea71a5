// SPDX-License-Identifier: Apache-2.0
//
// What the server was asked, and how many requests were in service at once. Thread-safe.

#pragma once

#include <deque>
#include <map>
#include <string>
#include <vector>

#include "base/mutex.h"
#include "base/unique_fd.h"
#include "tests/server/server.h"

namespace quayfs::testserver {

/// One line of JSON, without a newline.
std::string RecordJson(const RequestRecord& record);

class RequestLog {
 public:
  /// `file` may be -1: no log file.
  RequestLog(size_t limit, UniqueFd file) : limit_(limit), file_(std::move(file)) {}

  /// A request's head has been read: it is in service. Returns its number.
  uint64_t Begin();
  /// Exactly once for each Begin, before the last byte of the reply goes out: whoever has seen the
  /// reply finds the record, and his next request is not counted as concurrent with this one.
  void Finish(const RequestRecord& record);
  /// After the reply: how much of it was really sent, if it broke off.
  void Amend(uint64_t number, uint64_t reply_bytes);

  std::vector<RequestRecord> Records() const;
  std::map<std::string, uint64_t> Counts() const;
  int Concurrent() const;  // now
  int MaxConcurrent() const;
  void Reset();

 private:
  const size_t limit_;
  mutable Mutex mutex_{LockRank::kTestServer};
  UniqueFd file_ QUAY_GUARDED_BY(mutex_);
  uint64_t next_number_ QUAY_GUARDED_BY(mutex_) = 1;
  std::deque<RequestRecord> records_ QUAY_GUARDED_BY(mutex_);
  std::map<std::string, uint64_t> counts_ QUAY_GUARDED_BY(mutex_);
  int concurrent_ QUAY_GUARDED_BY(mutex_) = 0;
  int max_concurrent_ QUAY_GUARDED_BY(mutex_) = 0;
};

}  // namespace quayfs::testserver
