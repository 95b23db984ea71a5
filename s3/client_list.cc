// SPDX-License-Identifier: Apache-2.0
//
// The S3 client: listing, and deleting many.

#include <fmt/format.h>

#include <algorithm>
#include <unordered_map>
#include <unordered_set>
#include <utility>

#include "base/hash.h"
#include "base/text.h"
#include "s3/client_impl.h"
#include "s3/errors.h"

namespace quayfs::s3 {

// ---- Listing. A page token is "1" + marker or "2" + continuation token, so that a listing goes on
// in the version it began in.

Result<ListPage> Client::List(const ListRequest& request, const CallOptions& call) {
  if (request.max_keys < 1) return Error(Code::kInvalidArgument, "a listing of no keys");
  if (!request.token.empty() && request.token[0] != '1' && request.token[0] != '2') {
    return Error(Code::kInvalidArgument, "the token of a listing is none that a listing gave");
  }
  const bool v2 = request.token.empty() ? impl_->list_v2.load() : request.token[0] == '2';
  const std::string position = request.token.empty() ? "" : request.token.substr(1);

  Operation operation = impl_->BucketOperation("list bucket", "GET");
  const ListVersion version = v2 ? ListVersion::kV2 : ListVersion::kV1;
  operation.query =
      impl_->dialect.ListQuery({request, position, version, impl_->config.list_url_encode});
  operation.reply_limit = kXmlReplyLimit;

  QUAY_ASSIGN(const Reply reply, impl_->Run(operation, call));
  Result<ListReply> parsed = impl_->dialect.ParseList(reply.body, request, version);
  if (!parsed) return parsed.error().WithContext("cannot " + operation.doing);
  if (v2 && parsed->is_v1) {
    // A continuation token means nothing to V1: this page would be the first one again.
    if (!position.empty()) {
      return Error(Code::kCorrupt, fmt::format("cannot {}: the service changed to another version",
                                               operation.doing));
    }
    impl_->list_v2 = false;
  }
  ListPage page;
  page.objects = std::move(parsed->objects);
  page.common_prefixes = std::move(parsed->common_prefixes);
  if (!parsed->truncated) return page;
  page.next_token = (parsed->is_v1 ? "1" : "2") + parsed->next;
  if (page.next_token == request.token) {
    return Error(Code::kCorrupt,
                 fmt::format("cannot {}: the listing does not get on", operation.doing));
  }
  return page;
}

// ---- Deleting many.

namespace {

using Outcomes = std::unordered_map<std::string, Status>;

// What the service said of single keys; those it did not mention stay out.
Outcomes OutcomesOf(const DeleteReply& reply) {
  Outcomes outcomes;
  for (const std::string& key : reply.deleted) outcomes.insert_or_assign(key, Status());
  for (const DeleteReply::Failure& failure : reply.failures) {
    if (CodeForService(failure.code) == Code::kNotFound) {
      outcomes.insert_or_assign(failure.key, Status());
      continue;
    }
    ServiceDetail detail;
    detail.http_status = 200;
    detail.service_code = failure.code;
    const Code code = CodeForService(failure.code).value_or(Code::kUnavailable);
    const std::string& why = failure.message.empty() ? failure.code : failure.message;
    outcomes.insert_or_assign(
        failure.key,
        Error(code,
              fmt::format("cannot delete object '{}': {}", Printable(failure.key), Printable(why)),
              std::move(detail)));
  }
  return outcomes;
}

bool HasNoBatchDelete(const Error& error) {
  return error.code() == Code::kNotSupported || error.detail().http_status == 501 ||
         error.detail().http_status == 405;
}

bool WorthAnotherTry(const Status& status) {
  return !status && (status.Is(Code::kUnavailable) || status.Is(Code::kThrottled));
}

}  // namespace

// Sends one request for `keys` and again for those that failed for a passing reason. Every key gets
// an outcome.
Result<std::unordered_map<std::string, Status>> Client::Impl::DeleteBatch(
    std::vector<std::string> keys, const CallOptions& call) {
  Outcomes outcomes;
  Corrections corrections;
  const auto attempt = [&](int /*number*/) -> Status {
    Operation operation = BucketOperation("delete objects in bucket", "POST");
    operation.query = {{"delete", std::nullopt}};
    operation.reply_limit = kXmlReplyLimit;
    const std::string text = dialect.WriteDelete(keys);
    const MemoryBody body{text};
    AddDocument(&body, text, &operation);
    operation.headers.Set("Content-MD5", Base64Encode(Md5(text)));
    QUAY_ASSIGN(const Reply reply, Exchange(operation, nullptr, &corrections, call));
    Result<DeleteReply> parsed = dialect.ParseDelete(reply.body);
    if (!parsed) return parsed.error().WithContext("cannot " + operation.doing);
    // Some services answer quietly although they were asked not to.
    const bool quiet = parsed->deleted.empty();
    Outcomes said = OutcomesOf(*parsed);
    std::vector<std::string> again;
    Status passing;
    for (const std::string& key : keys) {
      const auto found = said.find(key);
      Status outcome = found != said.end() ? found->second : Status();
      if (found == said.end() && !quiet) {
        outcome = Error(Code::kUnavailable,
                        fmt::format("cannot delete object '{}': the reply does not mention it",
                                    Printable(key)));
      }
      if (WorthAnotherTry(outcome)) {
        again.push_back(key);
        passing = outcome;
      }
      outcomes.insert_or_assign(key, std::move(outcome));
    }
    keys = std::move(again);
    return passing;
  };
  const Status done = retrier.Run(RetryTraits{}, call, attempt);
  // With outcomes at hand the failure that is left is already among them.
  if (!done && outcomes.empty()) return done.error();
  return outcomes;
}

Result<std::vector<DeleteOutcome>> Client::DeleteMany(const std::vector<std::string>& keys,
                                                      const CallOptions& call) {
  std::unordered_map<std::string, Status> outcomes;
  std::vector<std::string> batch;
  std::vector<std::string> single;
  std::optional<Error> failed;  // of a request as a whole: what follows is not sent
  bool sent = false;

  const auto flush = [&] {
    if (batch.empty()) return;
    Result<std::unordered_map<std::string, Status>> done =
        failed ? Result<std::unordered_map<std::string, Status>>(*failed)
               : impl_->DeleteBatch(batch, call);
    if (done) {
      sent = true;
      outcomes.merge(*done);
    } else if (!failed && HasNoBatchDelete(done.error())) {
      impl_->batch_delete = false;
      single.insert(single.end(), batch.begin(), batch.end());
    } else {
      if (!failed) failed = done.error();
    }
    batch.clear();
  };
  std::unordered_set<std::string_view> seen;
  for (const std::string& key : keys) {
    if (!seen.insert(key).second) continue;
    if (!impl_->batch_delete || !impl_->dialect.DocumentCarriesKey(key)) {
      single.push_back(key);
      continue;
    }
    batch.push_back(key);
    if (batch.size() >= static_cast<size_t>(impl_->config.delete_batch_max)) flush();
  }
  flush();
  for (const std::string& key : single) {
    if (failed) break;
    Status done = Delete(key, Condition{}, call);
    const bool hopeless =
        !done && (done.error().detail().http_status == 0 || done.Is(Code::kUnauthenticated)) &&
        !done.Is(Code::kInvalidArgument);
    if (hopeless) failed = done.error();
    sent = sent || !hopeless;
    outcomes.insert_or_assign(key, std::move(done));
  }
  if (failed && !sent) return *failed;

  std::vector<DeleteOutcome> result;
  result.reserve(keys.size());
  for (const std::string& key : keys) {
    const auto found = outcomes.find(key);
    QUAY_CHECK(found != outcomes.end() || failed);
    result.push_back({key, found != outcomes.end() ? found->second : Status(*failed)});
  }
  return result;
}

}  // namespace quayfs::s3
