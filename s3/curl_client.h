// SPDX-License-Identifier: Apache-2.0
//
// The HttpClient over libcurl: one thread that drives all transfers of the client through one multi
// handle.
//
// Callers put a transfer into the inbox, wake the loop and wait on the transfer itself. A caller
// whose deadline passes, or whose call is cancelled, puts the transfer's id into the inbox as well
// and waits on until the loop has let go of it: so nothing of the caller is touched after Do() has
// returned. Ids of transfers that are gone already are ignored.
//
// The number of connections per host is kept here, by a queue per host, and not by libcurl, whose
// own queue counts the time in it against the connect timeout.

#pragma once

#include <curl/curl.h>

#include <atomic>
#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <unordered_map>
#include <vector>

#include "base/mutex.h"
#include "s3/curl_transfer.h"
#include "s3/http.h"

namespace quayfs::s3 {

class CurlHttpClient final : public HttpClient {
 public:
  /// See MakeHttpClient.
  static Result<std::unique_ptr<CurlHttpClient>> Make(const HttpConfig& config);
  ~CurlHttpClient() override;

  Result<HttpReply> Do(const HttpRequest& request, ResponseHandler& handler,
                       const CallOptions& call) override;

 private:
  struct EasyDeleter {
    void operator()(CURL* easy) const { curl_easy_cleanup(easy); }
  };
  struct MultiDeleter {
    void operator()(CURLM* multi) const { curl_multi_cleanup(multi); }
  };
  struct ShareDeleter {
    void operator()(CURLSH* share) const { curl_share_cleanup(share); }
  };
  using Easy = std::unique_ptr<CURL, EasyDeleter>;

  struct Abort {
    uint64_t id = 0;
    Code code = Code::kCancelled;
  };
  struct Host {
    size_t active = 0;
    std::deque<CurlTransfer*> waiting;
  };
  struct Active {
    CurlTransfer* transfer = nullptr;
    Easy easy;
  };

  explicit CurlHttpClient(const HttpConfig& config) : settings_(config) {}
  Status Init();
  Status InitTrust();

  // Any thread.
  void Submit(CurlTransfer* transfer);
  void RequestAbort(uint64_t id, Code code);

  // The loop thread only, from here on.
  void Loop();
  bool TakeInbox();
  void Enqueue(CurlTransfer* transfer);
  void StartWaiting(const std::string& key);
  void Start(CurlTransfer* transfer, Host& host);
  Status Launch(CurlTransfer* transfer, CURL* easy);
  void Reap();
  void Finish(CurlTransfer* transfer, CURLcode code);
  void End(CurlTransfer* transfer, Result<HttpReply> result);
  void Release(std::unordered_map<uint64_t, Active>::iterator place, bool reusable);
  void AbortTransfer(const Abort& abort);
  bool AbortWaiting(const Abort& abort);
  void AdjustCache();
  void ResumePaused();
  void Resume(RateBudget* budget, std::deque<uint64_t>* queue, std::vector<uint64_t>* fresh);
  void CheckSpeeds();
  int PollTimeout();
  Easy TakeEasy();

  CurlSettings settings_;
  std::unique_ptr<CURLSH, ShareDeleter> share_;
  std::unique_ptr<CURLM, MultiDeleter> multi_;
  std::atomic<uint64_t> next_id_{1};

  Mutex inbox_mutex_{LockRank::kHttp};
  std::vector<CurlTransfer*> submitted_ QUAY_GUARDED_BY(inbox_mutex_);
  std::vector<Abort> aborts_ QUAY_GUARDED_BY(inbox_mutex_);
  bool stopping_ QUAY_GUARDED_BY(inbox_mutex_) = false;

  // Of the loop thread.
  std::map<std::string, Host> hosts_;
  std::unordered_map<uint64_t, Active> active_;
  // Waiting for their turn at a rate budget, first come first served; ids that are gone are
  // skipped.
  std::deque<uint64_t> paused_uploads_;
  std::deque<uint64_t> paused_downloads_;
  std::vector<Easy> idle_easies_;
  std::optional<SteadyTime> next_speed_check_;

  std::thread thread_;
};

}  // namespace quayfs::s3
