// SPDX-License-Identifier: Apache-2.0
//
// Kodo's native API, next to its S3 gateway (protocol.md 1.6): the few things that S3 has not, a
// move on the server, one that refuses to replace, and many of either in one request. Objects'
// bytes and attributes stay the S3 client's business.
//
// What it is not: a way for bytes. An upload with insertOnly in its policy would create exclusively
// in one request, where this writes aside through S3 and moves without replacing. But the
// attributes of files travel as x-amz-meta-*, and nobody documents that what an upload stores as
// x-qn-meta-* is read as that by the gateway, or that storage class and encryption can be asked for
// in the same way; nor does the S3 side say how a policy's upload hosts are found for a private
// installation. A request saved is not worth files without owner and mode.
//
// - Thread safety: every method may be called by any number of threads at once. They block until
//   done, CallOptions says otherwise, or the retry policy gives up.
// - Errors: kNotFound (no such object), kAlreadyExists (a move that must not replace),
//   kInvalidArgument (no such bucket: the native name of a bucket can differ from its S3 name),
//   kPermissionDenied, kUnauthenticated, kClockSkew, kThrottled, kUnavailable.
// - Repetition: an unclear move is not repeated here, since its meaning depends on what the caller
//   knows (MayHaveBeenMoved).

#pragma once

#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/call.h"
#include "base/clock.h"
#include "base/result.h"
#include "providers/kodo/move_queue.h"
#include "providers/kodo/native_step.h"
#include "s3/credential_keeper.h"
#include "s3/http.h"
#include "s3/retry.h"

namespace quayfs::kodo {

struct NativeConfig {
  std::string scheme = "https";
  std::string host;  // of the resource manager ("rs")
  uint16_t port = 0;
  std::string bucket;          // the native name
  std::string scratch_prefix;  // where objects wait that are to be created exclusively
  s3::Credentials credentials;
  std::shared_ptr<s3::CredentialSource> credential_source;  // in place of them, if set
  s3::RetryConfig retry;
  std::function<Duration()> clock_offset;  // the server's clock minus ours; may be empty
};

/// The host of a region's resource manager, by the region's S3 id; others are taken as they are.
std::string ResourceHost(std::string_view region);

/// The S3 id of a region by Kodo's own id ("z0"); others are taken as they are.
std::string S3Region(std::string_view native);

class NativeClient {
 public:
  /// `http` and `clock` outlive it.
  NativeClient(NativeConfig config, s3::HttpClient& http, Clock& clock);

  /// Sent once, together with the moves that other threads want meanwhile.
  Status Move(const std::string& key, const std::string& target, bool replace,
              const CallOptions& call);

  /// In as few requests as allowed, in their order; one outcome per step. The Result itself fails
  /// only if nothing could be sent. Deletions of what is not there succeed.
  Result<std::vector<Status>> Batch(const std::vector<NativeStep>& steps, const CallOptions& call);

  const NativeConfig& config() const { return config_; }

 private:
  struct Answer {
    int status = 0;
    std::string body;
  };
  Result<Answer> Post(const std::string& path, const std::string& body, bool repeatable,
                      const CallOptions& call);
  Result<Answer> PostOnce(const std::string& path, const std::string& body, bool repeatable,
                          const CallOptions& call);
  Result<std::vector<Status>> BatchOnce(const std::vector<NativeStep>& steps, size_t first,
                                        size_t count, const CallOptions& call);
  Result<std::vector<Status>> SendMoves(const std::vector<NativeStep>& steps,
                                        const CallOptions& call);
  std::string PathOf(const NativeStep& step) const;

  const NativeConfig config_;
  s3::HttpClient& http_;
  Clock& clock_;
  s3::CredentialKeeper keeper_;
  s3::Retrier retrier_;
  MoveQueue moves_;
};

/// Whether a move that failed so may all the same have been carried out.
bool MayHaveBeenMoved(const Error& error);

/// The Error for a native status; `said` is the service's own text.
Error NativeError(int status, std::string_view said, std::string_view doing);

}  // namespace quayfs::kodo
