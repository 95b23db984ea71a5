// SPDX-License-Identifier: Apache-2.0

#include "tests/server/kodo_service.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <set>
#include <utility>
#include <vector>

#include "base/hash.h"
#include "base/text.h"

namespace quayfs::testserver {
namespace {

using nlohmann::json;

constexpr uint64_t kBodyMax = 4 << 20;
constexpr size_t kBatchMax = 1000;
constexpr std::string_view kForm = "application/x-www-form-urlencoded";
constexpr auto kSkewMax = std::chrono::minutes(15);

std::vector<std::string> Pieces(std::string_view path) {
  std::vector<std::string> pieces;
  for (const std::string_view piece : Split(path.substr(1), '/')) pieces.emplace_back(piece);
  return pieces;
}

Reply JsonReply(int status, const std::string& text) {
  Reply reply;
  reply.status = status;
  reply.Set("Content-Type", "application/json");
  reply.text = text;
  return reply;
}

std::string HeaderSpelling(const std::string& name) {
  std::string spelled;
  for (const std::string_view word : Split(name, '-')) {
    if (!spelled.empty()) spelled += "-";
    std::string letters(word);
    if (!letters.empty() && letters[0] >= 'a' && letters[0] <= 'z') letters[0] -= 'a' - 'A';
    spelled += letters;
  }
  return spelled;
}

}  // namespace

std::string NativeOperation(const RequestHead& head, const ServerConfig& config) {
  if (config.protocol != Protocol::kKodo) return "";
  const std::string& path = head.raw_path;
  if (head.method == "POST" && path == "/batch") return "NativeBatch";
  if (head.method == "POST" && path.starts_with("/move/")) return "NativeMove";
  if (head.method == "POST" && path.starts_with("/delete/")) return "NativeDelete";
  if (head.method == "GET" && path.starts_with("/stat/")) return "NativeStat";
  if (head.method == "GET" && path == "/v4/query") return "NativeWhere";
  return "";
}

std::string QiniuStringToSign(const RequestHead& head, const std::string& body) {
  std::string text = head.method + " " + head.raw_path;
  if (!head.raw_query.empty()) text += "?" + head.raw_query;
  text += "\nHost: " + head.headers.Get("host");
  const std::string type = head.headers.Get("content-type");
  if (!type.empty()) text += "\nContent-Type: " + type;
  std::set<std::string> own;
  for (const auto& [name, value] : head.headers.fields()) {
    if (name.size() > 8 && name.starts_with("x-qiniu-"))
      own.insert("\n" + HeaderSpelling(name) + ": " + head.headers.Get(name));
  }
  for (const std::string& line : own) text += line;
  text += "\n\n";
  if (type == kForm || type == "application/json") text += body;
  return text;
}

Problem KodoService::Authenticate(const RequestHead& head, const std::string& body) const {
  const std::string authorization = head.headers.Get("authorization");
  const size_t colon = authorization.find(':');
  if (!authorization.starts_with("Qiniu ") || colon == std::string::npos)
    return S3Error(401, "", "bad token");
  const std::string access_key = authorization.substr(6, colon - 6);
  Problem wrong = S3Error(401, "", "bad token");
  const auto account =
      std::find_if(config_.accounts.begin(), config_.accounts.end(),
                   [&](const Account& a) { return a.access_key_id == access_key; });
  if (account == config_.accounts.end()) return wrong;
  std::string signature =
      Base64Encode(HmacSha1(account->secret_access_key, QiniuStringToSign(head, body)));
  std::replace(signature.begin(), signature.end(), '+', '-');
  std::replace(signature.begin(), signature.end(), '/', '_');
  if (authorization.substr(colon + 1) != signature) return wrong;
  const auto date = ParseIso(head.headers.Get("x-qiniu-date"));
  if (head.headers.Has("x-qiniu-date") &&
      (!date || *date > now_() + kSkewMax || *date < now_() - kSkewMax))
    return S3Error(403, "", "request time is too far off");
  return std::nullopt;
}

std::optional<std::pair<std::string, std::string>> KodoService::Entry(
    std::string_view encoded) const {
  std::string plain(encoded);
  std::replace(plain.begin(), plain.end(), '-', '+');
  std::replace(plain.begin(), plain.end(), '_', '/');
  std::string entry;
  if (!Base64Decode(plain, &entry)) return std::nullopt;
  const size_t colon = entry.find(':');
  if (colon == std::string::npos || colon + 1 == entry.size()) return std::nullopt;
  std::pair<std::string, std::string> named(entry.substr(0, colon), entry.substr(colon + 1));
  if (config_.kodo_bucket.empty()) return named;
  // The only bucket there is, by its native name.
  named.first = named.first == config_.kodo_bucket ? config_.buckets.front() : "";
  return named;
}

KodoService::Result KodoService::Stat(const std::string& bucket, const std::string& key) const {
  const Outcome<ObjectPtr> object = store_.Find(bucket, key);
  if (!object) return {612, "no such file or directory", ""};
  const json facts = {{"fsize", (*object)->body.size()}, {"hash", (*object)->etag}};
  return {200, "", facts.dump()};
}

KodoService::Result KodoService::Move(const std::string& source, const std::string& target,
                                      bool force) {
  const auto from = Entry(source);
  const auto to = Entry(target);
  if (!from || !to) return {400, "invalid argument", ""};
  if (store_.CheckBucket(from->first) || store_.CheckBucket(to->first))
    return {631, "no such bucket", ""};
  const Outcome<ObjectPtr> object = store_.Find(from->first, from->second);
  if (!object) return {612, "no such file or directory", ""};
  if (!force && store_.Find(to->first, to->second)) return {614, "file exists", ""};
  Object moved = **object;
  moved.key = to->second;
  if (!config_.kodo_move_keeps_metadata) {
    for (auto header = moved.headers.begin(); header != moved.headers.end();)
      header = header->first.starts_with("x-amz-meta-") ? moved.headers.erase(header)
                                                        : std::next(header);
  }
  const Problem written = store_.Put(to->first, std::move(moved), {});
  const bool onto_itself = from == to;
  const Problem removed =
      written || onto_itself ? written : store_.Delete(from->first, from->second, {});
  if (removed) return {599, removed->message, ""};
  return {};
}

KodoService::Result KodoService::Perform(const std::string& path) {
  const std::vector<std::string> pieces = Pieces(path);
  const bool moves = pieces[0] == "move" && (pieces.size() == 3 || pieces.size() == 5);
  if (moves && (pieces.size() == 3 || pieces[3] == "force"))
    return Move(pieces[1], pieces[2], pieces.size() == 5 && pieces[4] == "true");
  if (pieces.size() != 2) return {400, "invalid argument", ""};
  const auto entry = Entry(pieces[1]);
  if (!entry) return {400, "invalid argument", ""};
  if (store_.CheckBucket(entry->first)) return {631, "no such bucket", ""};
  if (pieces[0] == "stat") return Stat(entry->first, entry->second);
  if (pieces[0] != "delete") return {400, "invalid argument", ""};
  if (!store_.Find(entry->first, entry->second)) return {612, "no such file or directory", ""};
  if (store_.Delete(entry->first, entry->second, {})) return {599, "internal error", ""};
  return {};
}

Reply KodoService::Batch(const std::string& body) {
  json outcomes = json::array();
  bool some_failed = false;
  const std::vector<std::string_view> parts = Split(body, '&');
  if (parts.size() > kBatchMax)
    return JsonReply(400, json({{"error", "too many operations"}}).dump());
  for (const std::string_view part : parts) {
    const std::string path = part.starts_with("op=") ? PercentDecode(part.substr(3), true) : "";
    if (!path.starts_with("/")) return JsonReply(400, json({{"error", "bad op"}}).dump());
    const Result result = Perform(path);
    json outcome = {{"code", result.status}};
    if (!result.error.empty()) outcome["data"] = {{"error", result.error}};
    some_failed = some_failed || result.status != 200;
    outcomes.push_back(std::move(outcome));
  }
  return JsonReply(some_failed ? 298 : 200, outcomes.dump());
}

// Asked without a signature, and by the bucket's own name.
Reply KodoService::Where(const Query& query) const {
  const auto said = [](int status, const char* why) {
    return JsonReply(status, json({{"error", why}}).dump());
  };
  const bool known =
      std::any_of(config_.accounts.begin(), config_.accounts.end(),
                  [&](const Account& a) { return a.access_key_id == query.Get("ak"); });
  if (!known) return said(612, "no such entry");
  const std::string own =
      config_.kodo_bucket.empty() ? config_.buckets.front() : config_.kodo_bucket;
  if (query.Get("bucket") != own) return said(631, "no such bucket");
  const json place = {
      {"region", "z0"},
      {"ttl", 86400},
      {"rs", {{"domains", {"rs-z0.qiniuapi.com"}}}},
      {"s3",
       {{"region_alias", config_.region}, {"domains", {"s3." + config_.region + ".qiniucs.com"}}}}};
  return JsonReply(200, json({{"hosts", {place}}}).dump());
}

std::optional<Reply> KodoService::Handle(S3Request& request) {
  const std::string& operation = request.route.operation;
  if (!operation.starts_with("Native")) return std::nullopt;
  if (operation == "NativeWhere") return Where(request.query);
  const PayloadContext payload{request.body, request.head.headers, request.identity};
  const Outcome<std::string> body = ReceiveText(payload, kBodyMax);
  if (!body) return JsonReply(400, json({{"error", body.error().message}}).dump());
  if (const Problem problem = Authenticate(request.head, *body))
    return JsonReply(problem->status, json({{"error", problem->message}}).dump());
  if (operation == "NativeBatch") return Batch(*body);
  const Result result = Perform(request.head.raw_path);
  if (!result.error.empty())
    return JsonReply(result.status, json({{"error", result.error}}).dump());
  return JsonReply(result.status, result.data.empty() ? "{}" : result.data);
}

}  // namespace quayfs::testserver
