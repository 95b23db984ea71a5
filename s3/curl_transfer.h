// SPDX-License-Identifier: Apache-2.0
//
// One request on its way through libcurl: sets an easy handle up, feeds the body, takes the reply,
// and says what came of it. Internal to the HTTP client; only here and in curl_client is libcurl
// known.
//
// Thread: the caller makes it and waits for it (Wait); everything else happens on the client's loop
// thread.

#pragma once

#include <curl/curl.h>

#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/call.h"
#include "base/mutex.h"
#include "base/result.h"
#include "s3/http.h"
#include "s3/rate_budget.h"
#include "s3/socket_table.h"
#include "s3/tls_pin.h"

namespace quayfs::s3 {

/// What all transfers of a client have in common. Filled in once; what follows `share` changes on
/// the loop thread only.
struct CurlSettings {
  explicit CurlSettings(const HttpConfig& http)
      : config(http),
        upload(http.upload_bytes_per_second),
        download(http.download_bytes_per_second) {}

  const HttpConfig config;
  std::optional<TlsPin> pin;
  std::string ca_file;    // "" when no chain is checked, or where libcurl's own default must do
  bool no_chain = false;  // the chain is not checked by libcurl, so no CA is loaded
  CURLSH* share = nullptr;
  SocketTable sockets;
  RateBudget upload;
  RateBudget download;
  /// Transfers that a callback has paused because the budget was used up, by id.
  std::vector<uint64_t> paused_uploads;
  std::vector<uint64_t> paused_downloads;
};

class CurlTransfer {
 public:
  /// All references must outlive the transfer. REQUIRES: CheckRequest(request) passed.
  CurlTransfer(uint64_t id, const HttpRequest& request, ResponseHandler& handler,
               CurlSettings& settings);
  CurlTransfer(const CurlTransfer&) = delete;
  CurlTransfer& operator=(const CurlTransfer&) = delete;

  uint64_t id() const { return id_; }
  /// scheme://host:port. A copy, because it is needed when the transfer may be gone already.
  std::string pool_key() const { return pool_key_; }

  // --- The caller's side ---

  /// Blocks until Complete; false when `deadline` passed first (call again without one).
  bool Wait(const std::optional<SteadyTime>& deadline);
  /// REQUIRES: Wait returned true. Once.
  Result<HttpReply> TakeResult();

  // --- The loop's side ---

  /// Sets all options of `easy`, which has just been made or reset.
  Status Prepare(CURL* easy);
  /// libcurl has ended the transfer before a byte was sent, because the idle connection that it had
  /// picked had something to say. Prepare it again and start anew: it will use a new connection.
  bool wants_fresh_connection() const { return spoiled_ && !fresh_connection_; }
  CURL* easy() const { return easy_; }

  /// The result of a transfer that libcurl has finished with `code`; to be called before the handle
  /// is reset.
  Result<HttpReply> Outcome(CURLcode code);
  /// The result of a transfer that is ended early: kCancelled or kTimedOut, with what was known.
  Error Aborted(Code code, std::string_view why);
  /// Hands the result to the caller, who may destroy the transfer at once. `easy` must not be used
  /// by libcurl any more.
  void Complete(Result<HttpReply> result);

  /// It has got its turn at the rate budget again; libcurl is told by the loop.
  void ClearPaused() { paused_ = false; }

  /// How long too little may move before the transfer is given up. Zero: for ever.
  Duration patience() const;
  /// When MovesFastEnough is to be called next; absent: never.
  std::optional<SteadyTime> next_check() const;
  /// False when too little has moved for all of patience().
  bool MovesFastEnough(SteadyTime now);

  // --- libcurl's side: callbacks ---

  size_t OnHeaderLine(std::string_view line);
  size_t OnBody(std::span<const std::byte> data);
  size_t FillUpload(std::span<std::byte> out);
  int SeekUpload(curl_off_t offset);
  int OnBeforeRequest(const SocketEnds& ends);
  CURLcode OnTlsContext(void* ssl_context);

 private:
  struct SlistDeleter {
    void operator()(curl_slist* list) const { curl_slist_free_all(list); }
  };

  void SetConnectionOptions();
  void SetTlsOptions();
  void SetMethod();
  Status SetHeaders();
  void SetCallbacks();
  template <typename T>
  void Set(CURLoption option, T value);
  template <typename T>
  void SetUnlessEmpty(CURLoption option, const T& value);

  size_t FinishHeaders();
  void Pause(std::vector<uint64_t>* queue);
  bool ConnectionIsSpoiled() const;
  int64_t WirePosition() const;
  Error Explain(CURLcode code);
  Error MakeError(Code code, std::string message) const;

  const uint64_t id_;
  const HttpRequest& request_;
  ResponseHandler& handler_;
  CurlSettings& settings_;
  const std::string target_;  // host:port
  const std::string pool_key_;
  const std::string url_;

  CURL* easy_ = nullptr;
  std::unique_ptr<curl_slist, SlistDeleter> header_list_;
  CURLcode option_error_ = CURLE_OK;
  std::array<char, CURL_ERROR_SIZE> error_text_{};
  std::shared_ptr<PinObservation> pin_seen_;

  uint64_t upload_offset_ = 0;
  int times_sent_ = 0;  // counted when sending begins
  int socket_ = -1;     // may have been closed since: see SocketTable::Has
  bool spoiled_ = false;
  bool fresh_connection_ = false;
  bool paused_ = false;

  HttpReply reply_;
  size_t header_bytes_ = 0;
  bool headers_complete_ = false;
  std::optional<Error>
      local_error_;  // of the handler, the body, or our own checks: wins over libcurl's

  SteadyTime last_good_{};
  SteadyTime last_check_{};
  int64_t last_position_ = 0;
  bool paused_since_check_ = false;

  Mutex mutex_{LockRank::kHttp};
  CondVar done_changed_;
  bool done_ QUAY_GUARDED_BY(mutex_) = false;
  std::optional<Result<HttpReply>> result_ QUAY_GUARDED_BY(mutex_);
};

}  // namespace quayfs::s3
