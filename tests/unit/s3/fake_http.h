// SPDX-License-Identifier: Apache-2.0
//
// An HttpClient that answers from a script and remembers what it was asked. Thread-safe.

#pragma once

#include <algorithm>
#include <deque>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/mutex.h"
#include "base/text.h"
#include "s3/http.h"
#include "s3/uri.h"

namespace quayfs::s3 {

/// A request as it was sent, its body read to the end.
struct SentRequest {
  HttpRequest request;
  std::string body;
  bool has_body = false;

  std::string line() const {
    return request.method + " " + request.path + (request.query.empty() ? "" : "?" + request.query);
  }
  std::string header(std::string_view name) const { return std::string(request.headers.Get(name)); }
  bool has(std::string_view name) const { return request.headers.Has(name); }
  std::string parameter(std::string_view name) const {
    for (const QueryParameter& one : DecodeQuery(request.query)) {
      if (one.name == name) return one.value.value_or("");
    }
    return "(absent)";
  }
};

struct FakeReply {
  int status = 200;
  std::vector<HttpHeader> headers;
  std::string body;
  /// The transfer fails with this after the body (before the headers if `status` is 0).
  std::optional<Error> broken = std::nullopt;
  /// Runs when the request arrives.
  std::function<void(const SentRequest&)> seen = {};
};

class FakeHttp final : public HttpClient {
 public:
  FakeHttp& Then(FakeReply reply) {
    MutexLock lock(mutex_);
    script_.push_back(std::move(reply));
    return *this;
  }
  FakeHttp& Then(int status, std::string body = "", std::vector<HttpHeader> headers = {}) {
    return Then(FakeReply{status, std::move(headers), std::move(body)});
  }
  /// No reply at all.
  FakeHttp& ThenBroken(Code code = Code::kUnavailable) {
    return Then(FakeReply{0, {}, "", Error(code, "broken")});
  }

  Result<HttpReply> Do(const HttpRequest& request, ResponseHandler& handler,
                       const CallOptions& call) override {
    FakeReply reply;
    {
      SentRequest sent{request, "", request.body != nullptr};
      if (sent.has_body) {
        sent.body.resize(static_cast<size_t>(request.body->size()));
        const Status read = request.body->Read(
            0, std::as_writable_bytes(std::span(sent.body.data(), sent.body.size())));
        if (!read) return read.error();
      }
      sent.request.body = nullptr;
      MutexLock lock(mutex_);
      sent_.push_back(sent);
      if (call.cancel.stop_requested()) return Error(Code::kCancelled, "cancelled");
      if (script_.empty())
        return Error(Code::kInternal, "the script has no reply for " + sent.line());
      reply = std::move(script_.front());
      script_.pop_front();
      if (reply.seen) reply.seen(sent);
    }
    return Deliver(reply, handler);
  }

  std::vector<SentRequest> sent() const {
    MutexLock lock(mutex_);
    return sent_;
  }
  SentRequest sent(size_t i) const {
    MutexLock lock(mutex_);
    return sent_.at(i);
  }
  std::vector<std::string> lines() const {
    std::vector<std::string> lines;
    for (const SentRequest& one : sent()) lines.push_back(one.line());
    return lines;
  }
  size_t left() const {
    MutexLock lock(mutex_);
    return script_.size();
  }

 private:
  static Result<HttpReply> Deliver(const FakeReply& reply, ResponseHandler& handler) {
    HttpReply done;
    done.status = reply.status;
    for (const HttpHeader& header : reply.headers) done.headers.Add(header.name, header.value);
    if (reply.status != 0) {
      if (Status taken = handler.OnHeaders(reply.status, done.headers); !taken)
        return taken.error();
      // In pieces, as it would come from a socket.
      for (size_t at = 0; at < reply.body.size(); at += kPiece) {
        const std::string_view piece = std::string_view(reply.body).substr(at, kPiece);
        if (Status taken = handler.OnData(std::as_bytes(std::span(piece.data(), piece.size())));
            !taken) {
          return taken.error();
        }
      }
    }
    if (reply.broken) return *reply.broken;
    done.body_bytes = reply.body.size();
    return done;
  }

  static constexpr size_t kPiece = 1000;
  mutable Mutex mutex_{LockRank::kLeaf};
  std::deque<FakeReply> script_ QUAY_GUARDED_BY(mutex_);
  std::vector<SentRequest> sent_ QUAY_GUARDED_BY(mutex_);
};

}  // namespace quayfs::s3
