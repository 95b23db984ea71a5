// SPDX-License-Identifier: Apache-2.0

#include "s3/curl_client.h"

#include <pthread.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <stop_token>
#include <utility>

#include "base/check.h"
#include "s3/http_request.h"

namespace quayfs::s3 {
namespace {

constexpr Duration kLongestPoll = std::chrono::seconds(60);

bool InitCurlOnce() {
  static const CURLcode code = curl_global_init(CURL_GLOBAL_DEFAULT);
  return code == CURLE_OK;
}

Error NotSent(Code code, std::string message) {
  ServiceDetail detail;
  detail.request_not_sent = true;
  return Error(code, std::move(message), std::move(detail));
}

std::string_view AbortReason(Code code, bool started) {
  if (code == Code::kCancelled) return "cancelled";
  return started ? "not finished before the deadline"
                 : "the deadline passed while waiting for a free connection";
}

/// What libcurl was built to trust, if that is one readable file.
std::string DefaultCaFile() {
  const curl_version_info_data* info = curl_version_info(CURLVERSION_NOW);
  if (info == nullptr || info->age < CURLVERSION_SEVENTH || info->cainfo == nullptr) return {};
  return ::access(info->cainfo, R_OK) == 0 ? info->cainfo : "";
}

/// The proxy is never shown in a message: it may hold a password.
Status CheckProxy(const HttpConfig& config) {
  if (config.proxy.empty()) return {};
  CURLU* url = curl_url();
  if (url == nullptr) return Error(Code::kInternal, "out of memory");
  char* scheme = nullptr;
  const bool parsed = curl_url_set(url, CURLUPART_URL, config.proxy.c_str(),
                                   CURLU_NON_SUPPORT_SCHEME) == CURLUE_OK &&
                      curl_url_get(url, CURLUPART_SCHEME, &scheme, 0) == CURLUE_OK;
  const std::string name = parsed ? scheme : "";
  curl_free(scheme);
  curl_url_cleanup(url);
  if (!parsed) return Error(Code::kInvalidArgument, "the proxy is not a valid URL");
  constexpr std::string_view kSchemes[] = {"http",    "https",  "socks4",
                                           "socks4a", "socks5", "socks5h"};
  if (std::find(std::begin(kSchemes), std::end(kSchemes), name) == std::end(kSchemes)) {
    return Error(Code::kInvalidArgument, "a proxy cannot be reached by '" + name + "'");
  }
  // The pin callback would be asked about the proxy's certificate as well.
  if (name == "https" && !config.tls.thumbprint.empty()) {
    return Error(Code::kInvalidArgument,
                 "a certificate thumbprint cannot be combined with an https:// proxy");
  }
  return {};
}

/// Signals are for other threads, and SIGPIPE, which OpenSSL can raise when a peer is gone, is for
/// nobody.
class AllSignalsBlocked {
 public:
  AllSignalsBlocked() {
    sigset_t all;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &saved_);
  }
  ~AllSignalsBlocked() { pthread_sigmask(SIG_SETMASK, &saved_, nullptr); }
  AllSignalsBlocked(const AllSignalsBlocked&) = delete;
  AllSignalsBlocked& operator=(const AllSignalsBlocked&) = delete;

 private:
  sigset_t saved_;
};

}  // namespace

// --- Making and ending ---

Result<std::unique_ptr<CurlHttpClient>> CurlHttpClient::Make(const HttpConfig& config) {
  std::unique_ptr<CurlHttpClient> client(new CurlHttpClient(config));
  QUAY_TRY(client->Init());
  return client;
}

Status CurlHttpClient::Init() {
  if (!InitCurlOnce()) return Error(Code::kInternal, "libcurl cannot be initialised");
  if (settings_.config.max_connections_per_host == 0) {
    return Error(Code::kInvalidArgument, "at least one connection per host is needed");
  }
  QUAY_TRY(CheckProxy(settings_.config));
  QUAY_TRY(InitTrust());
  share_.reset(curl_share_init());
  multi_.reset(curl_multi_init());
  if (share_ == nullptr || multi_ == nullptr) return Error(Code::kInternal, "out of memory");
  // Only the loop thread uses the share, so it needs no lock functions.
  curl_share_setopt(share_.get(), CURLSHOPT_SHARE, CURL_LOCK_DATA_SSL_SESSION);
  settings_.share = share_.get();
  curl_multi_setopt(multi_.get(), CURLMOPT_PIPELINING, static_cast<long>(CURLPIPE_NOTHING));
  const AllSignalsBlocked blocked;
  thread_ = std::thread([this] { Loop(); });
  pthread_setname_np(thread_.native_handle(), "quayfs-http");
  return {};
}

Status CurlHttpClient::InitTrust() {
  const TlsConfig& tls = settings_.config.tls;
  QUAY_TRY(CheckTlsFiles(tls));
  if (!tls.thumbprint.empty()) {
    QUAY_ASSIGN(settings_.pin, TlsPin::Parse(tls.thumbprint));
  }
  settings_.no_chain = settings_.pin.has_value() || tls.insecure;
  settings_.ca_file = tls.ca_file.empty() ? DefaultCaFile() : tls.ca_file;
  return {};
}

CurlHttpClient::~CurlHttpClient() {
  if (!thread_.joinable()) return;
  {
    MutexLock lock(inbox_mutex_);
    stopping_ = true;
  }
  curl_multi_wakeup(multi_.get());
  thread_.join();
  QUAY_CHECK(active_.empty() && hosts_.empty());
}

// --- Any thread ---

Result<HttpReply> CurlHttpClient::Do(const HttpRequest& request, ResponseHandler& handler,
                                     const CallOptions& call) {
  QUAY_TRY(CheckRequest(request));
  if (request.scheme != "https" && settings_.pin) {
    return NotSent(Code::kInvalidArgument, "a certificate thumbprint needs an https:// endpoint");
  }
  if (call.cancel.stop_requested()) {
    return NotSent(Code::kCancelled, HostAndPort(request) + ": cancelled");
  }
  if (call.deadline && *call.deadline <= std::chrono::steady_clock::now()) {
    return NotSent(Code::kTimedOut, HostAndPort(request) + ": the deadline had passed before");
  }
  CurlTransfer transfer(next_id_.fetch_add(1, std::memory_order_relaxed), request, handler,
                        settings_);
  Submit(&transfer);
  const std::stop_callback on_cancel(
      call.cancel, [this, id = transfer.id()] { RequestAbort(id, Code::kCancelled); });
  if (!transfer.Wait(call.deadline)) {
    RequestAbort(transfer.id(), Code::kTimedOut);
    transfer.Wait(std::nullopt);
  }
  return transfer.TakeResult();
}

void CurlHttpClient::Submit(CurlTransfer* transfer) {
  {
    MutexLock lock(inbox_mutex_);
    QUAY_CHECK(!stopping_);
    submitted_.push_back(transfer);
  }
  curl_multi_wakeup(multi_.get());
}

void CurlHttpClient::RequestAbort(uint64_t id, Code code) {
  {
    MutexLock lock(inbox_mutex_);
    aborts_.push_back({id, code});
  }
  curl_multi_wakeup(multi_.get());
}

// --- The loop ---

void CurlHttpClient::Loop() {
  while (TakeInbox()) {
    int running = 0;
    CURLMcode code = curl_multi_perform(multi_.get(), &running);
    Reap();
    ResumePaused();
    CheckSpeeds();
    if (code == CURLM_OK) {
      code = curl_multi_poll(multi_.get(), nullptr, 0, PollTimeout(), nullptr);
    }
    // Out of memory or of descriptors: transfers time out or are cancelled as usual; do not spin
    // until then.
    if (code != CURLM_OK) std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
}

bool CurlHttpClient::TakeInbox() {
  std::vector<CurlTransfer*> submitted;
  std::vector<Abort> aborts;
  {
    MutexLock lock(inbox_mutex_);
    if (stopping_) return false;
    submitted.swap(submitted_);
    aborts.swap(aborts_);
  }
  for (CurlTransfer* transfer : submitted) Enqueue(transfer);
  // After the submissions, so that an abort never arrives before its transfer.
  for (const Abort& abort : aborts) AbortTransfer(abort);
  return true;
}

void CurlHttpClient::Enqueue(CurlTransfer* transfer) {
  const std::string key = transfer->pool_key();
  hosts_[key].waiting.push_back(transfer);
  StartWaiting(key);
}

void CurlHttpClient::StartWaiting(const std::string& key) {
  const auto place = hosts_.find(key);
  if (place == hosts_.end()) return;
  Host& host = place->second;
  while (!host.waiting.empty() && host.active < settings_.config.max_connections_per_host) {
    CurlTransfer* transfer = host.waiting.front();
    host.waiting.pop_front();
    Start(transfer, host);
  }
  if (host.waiting.empty() && host.active == 0) hosts_.erase(place);
}

void CurlHttpClient::Start(CurlTransfer* transfer, Host& host) {
  Easy easy = TakeEasy();
  if (easy == nullptr) {
    transfer->Complete(NotSent(Code::kInternal, "out of memory"));
    return;
  }
  if (Status launched = Launch(transfer, easy.get()); !launched) {
    transfer->Complete(launched.error());
    return;
  }
  ++host.active;
  active_[transfer->id()] = Active{transfer, std::move(easy)};
  AdjustCache();
  if (const auto check = transfer->next_check();
      check && (!next_speed_check_ || *check < *next_speed_check_)) {
    next_speed_check_ = check;
  }
}

Status CurlHttpClient::Launch(CurlTransfer* transfer, CURL* easy) {
  QUAY_TRY(transfer->Prepare(easy));
  if (curl_multi_add_handle(multi_.get(), easy) == CURLM_OK) return {};
  return NotSent(Code::kInternal, "libcurl refuses another transfer");
}

CurlHttpClient::Easy CurlHttpClient::TakeEasy() {
  if (idle_easies_.empty()) return Easy(curl_easy_init());
  Easy easy = std::move(idle_easies_.back());
  idle_easies_.pop_back();
  return easy;
}

/// libcurl closes the oldest idle connection when there are more connections, busy ones included,
/// than this limit.
void CurlHttpClient::AdjustCache() {
  const size_t limit = active_.size() + std::max<size_t>(settings_.config.max_idle_connections, 1);
  curl_multi_setopt(multi_.get(), CURLMOPT_MAXCONNECTS, static_cast<long>(limit));
}

void CurlHttpClient::Reap() {
  int left = 0;
  while (const CURLMsg* message = curl_multi_info_read(multi_.get(), &left)) {
    if (message->msg != CURLMSG_DONE) continue;
    // The message does not outlive the removal of its handle.
    const CURLcode code = message->data.result;
    char* pointer = nullptr;
    curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, &pointer);
    Finish(static_cast<CurlTransfer*>(static_cast<void*>(pointer)), code);
  }
}

void CurlHttpClient::Finish(CurlTransfer* transfer, CURLcode code) {
  if (code == CURLE_OK || !transfer->wants_fresh_connection()) {
    End(transfer, transfer->Outcome(code));
    return;
  }
  const auto place = active_.find(transfer->id());
  QUAY_CHECK(place != active_.end());
  Easy broken_off = std::exchange(place->second.easy, Easy(curl_easy_init()));
  curl_multi_remove_handle(multi_.get(), broken_off.get());
  CURL* fresh = place->second.easy.get();
  const Status launched =
      fresh == nullptr ? NotSent(Code::kInternal, "out of memory") : Launch(transfer, fresh);
  if (!launched) End(transfer, launched.error());
}

/// The last the loop does with a transfer. The handle is taken from libcurl first, then the caller
/// may go on.
void CurlHttpClient::End(CurlTransfer* transfer, Result<HttpReply> result) {
  const std::string key = transfer->pool_key();
  const auto place = active_.find(transfer->id());
  QUAY_CHECK(place != active_.end());
  Release(place, result.ok());
  transfer->Complete(std::move(result));
  StartWaiting(key);
}

/// A handle whose transfer broke off keeps some of its state, reset or not: one that never got a
/// connection refuses a buffer size from then on. So only those of good transfers are used again.
void CurlHttpClient::Release(std::unordered_map<uint64_t, Active>::iterator place, bool reusable) {
  Easy easy = std::move(place->second.easy);
  --hosts_[place->second.transfer->pool_key()].active;
  active_.erase(place);
  curl_multi_remove_handle(multi_.get(), easy.get());
  AdjustCache();
  if (!reusable) return;
  if (idle_easies_.size() >= std::max<size_t>(settings_.config.max_idle_connections, 1)) return;
  curl_easy_reset(easy.get());
  idle_easies_.push_back(std::move(easy));
}

void CurlHttpClient::AbortTransfer(const Abort& abort) {
  const auto place = active_.find(abort.id);
  if (place == active_.end()) {
    AbortWaiting(abort);
    return;
  }
  CurlTransfer* transfer = place->second.transfer;
  End(transfer, transfer->Aborted(abort.code, AbortReason(abort.code, true)));
}

bool CurlHttpClient::AbortWaiting(const Abort& abort) {
  for (auto& [key, host] : hosts_) {
    const auto place =
        std::find_if(host.waiting.begin(), host.waiting.end(),
                     [&](const CurlTransfer* transfer) { return transfer->id() == abort.id; });
    if (place == host.waiting.end()) continue;
    CurlTransfer* transfer = *place;
    host.waiting.erase(place);
    transfer->Complete(transfer->Aborted(abort.code, AbortReason(abort.code, false)));
    return true;
  }
  return false;
}

// --- Rates and speeds ---

void CurlHttpClient::ResumePaused() {
  Resume(&settings_.upload, &paused_uploads_, &settings_.paused_uploads);
  Resume(&settings_.download, &paused_downloads_, &settings_.paused_downloads);
}

/// At most one per turn of the loop: libcurl visits its transfers always in the same order, so
/// waking all would feed the first and starve the last.
void CurlHttpClient::Resume(RateBudget* budget, std::deque<uint64_t>* queue,
                            std::vector<uint64_t>* fresh) {
  queue->insert(queue->end(), fresh->begin(), fresh->end());
  fresh->clear();
  while (!queue->empty() && budget->Open(std::chrono::steady_clock::now())) {
    const auto place = active_.find(queue->front());
    queue->pop_front();
    if (place == active_.end()) continue;
    CurlTransfer* transfer = place->second.transfer;
    transfer->ClearPaused();
    const CURLcode code = curl_easy_pause(transfer->easy(), CURLPAUSE_CONT);
    if (code != CURLE_OK) Finish(transfer, code);
    return;
  }
}

void CurlHttpClient::CheckSpeeds() {
  const SteadyTime now = std::chrono::steady_clock::now();
  if (!next_speed_check_ || now < *next_speed_check_) return;
  next_speed_check_.reset();
  std::vector<CurlTransfer*> slow;
  for (auto& [id, active] : active_) {
    auto due = active.transfer->next_check();
    if (!due) continue;
    if (*due <= now) {
      if (!active.transfer->MovesFastEnough(now)) slow.push_back(active.transfer);
      due = active.transfer->next_check();
    }
    if (!next_speed_check_ || *due < *next_speed_check_) next_speed_check_ = due;
  }
  for (CurlTransfer* transfer : slow) {
    End(transfer,
        transfer->Aborted(Code::kTimedOut, "given up because too few bytes moved for too long"));
  }
}

int CurlHttpClient::PollTimeout() {
  const SteadyTime now = std::chrono::steady_clock::now();
  Duration wait = kLongestPoll;
  if (next_speed_check_) wait = std::min<Duration>(wait, *next_speed_check_ - now);
  const auto consider = [&](RateBudget& budget, bool wanted) {
    if (wanted) wait = std::min(wait, budget.Open(now) ? Duration(0) : budget.Wait());
  };
  consider(settings_.upload, !paused_uploads_.empty() || !settings_.paused_uploads.empty());
  consider(settings_.download, !paused_downloads_.empty() || !settings_.paused_downloads.empty());
  if (wait <= Duration(0)) return 0;
  return static_cast<int>(std::chrono::ceil<std::chrono::milliseconds>(wait).count());
}

Result<std::unique_ptr<HttpClient>> MakeHttpClient(const HttpConfig& config) {
  QUAY_ASSIGN(std::unique_ptr<CurlHttpClient> client, CurlHttpClient::Make(config));
  return std::unique_ptr<HttpClient>(std::move(client));
}

}  // namespace quayfs::s3
