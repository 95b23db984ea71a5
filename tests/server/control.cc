// SPDX-License-Identifier: Apache-2.0

#include "tests/server/control.h"

#include <nlohmann/json.hpp>

#include "base/text.h"

namespace quayfs::testserver {
namespace {

using Json = nlohmann::json;

Reply JsonReply(const Json& json) {
  Reply reply;
  reply.Set("Content-Type", "application/json");
  reply.text = json.dump(-1, ' ', false, Json::error_handler_t::replace) + "\n";
  return reply;
}

Reply Refusal(int status, const std::string& message) {
  Reply reply = JsonReply({{"error", message}});
  reply.status = status;
  return reply;
}

Reply LogReply(const ServerCore& core) {
  Reply reply;
  reply.Set("Content-Type", "application/json");
  for (const RequestRecord& record : core.log.Records()) reply.text += RecordJson(record) + "\n";
  return reply;
}

Reply KeysReply(const ServerCore& core, const std::string& bucket) {
  const Outcome<std::vector<Upload>> uploads = core.store->Uploads(bucket);
  if (!uploads) return Refusal(404, "no such bucket");
  return JsonReply({{"keys", core.store->Keys(bucket)}, {"unfinished_uploads", uploads->size()}});
}

Reply SetDelay(ServerCore& core, const std::string& text) {
  const Result<uint64_t> ms = ParseUint(text);
  if (!ms) return Refusal(400, "ms must be a number");
  core.delay_ms = static_cast<int64_t>(*ms);
  return JsonReply({{"delay_ms", *ms}});
}

/// Copies the field `name` to `*target` if it is there; false if it has another type.
template <typename T>
bool Take(Json& json, const char* name, T* target) {
  const auto found = json.find(name);
  if (found == json.end()) return true;
  bool fits = false;
  if constexpr (std::is_same_v<T, std::string>) {
    fits = found->is_string();
  } else if constexpr (std::is_same_v<T, bool>) {
    fits = found->is_boolean();
  } else if constexpr (std::is_same_v<T, double>) {
    fits = found->is_number();
  } else {
    fits = found->is_number_integer();
  }
  if (!fits) return false;
  *target = found->template get<T>();
  json.erase(found);
  return true;
}

}  // namespace

Result<Fault> ParseFault(const std::string& text) {
  Json json = Json::parse(text, nullptr, false);
  if (!json.is_object()) return Error(Code::kInvalidArgument, "a fault is a JSON object");
  Fault fault;
  std::string kind = "status";
  const bool fits =
      Take(json, "kind", &kind) && Take(json, "method", &fault.method) &&
      Take(json, "operation", &fault.operation) &&
      Take(json, "key_contains", &fault.key_contains) && Take(json, "skip", &fault.skip) &&
      Take(json, "count", &fault.count) && Take(json, "probability", &fault.probability) &&
      Take(json, "status", &fault.status) && Take(json, "code", &fault.code) &&
      Take(json, "retry_after", &fault.retry_after) && Take(json, "location", &fault.location) &&
      Take(json, "bytes_per_second", &fault.bytes_per_second) &&
      Take(json, "carry_out", &fault.carry_out);
  if (!fits) return Error(Code::kInvalidArgument, "a field of the fault has the wrong type");
  if (!json.empty()) {
    return Error(Code::kInvalidArgument, "unknown field '" + json.begin().key() + "'");
  }
  const std::optional<FaultKind> known = FaultByName(kind);
  if (!known) return Error(Code::kInvalidArgument, "unknown kind '" + kind + "'");
  fault.kind = *known;
  return fault;
}

Reply HandleControl(ServerCore& core, const RequestHead& head, const std::string& body) {
  const Query query(head.raw_query);
  const std::string what = head.method + " " + head.raw_path.substr(sizeof(kControlPath) - 1);
  if (what == "GET counts") {
    return JsonReply({{"counts", core.log.Counts()}, {"max_concurrent", core.log.MaxConcurrent()}});
  }
  if (what == "GET log") return LogReply(core);
  if (what == "GET keys") return KeysReply(core, query.Get("bucket"));
  if (what == "GET certificate" && core.tls) {
    Reply reply;
    reply.text = core.tls->certificate_pem();
    return reply;
  }
  if (what == "POST delay") return SetDelay(core, query.Get("ms"));
  if (what == "POST reset") {
    core.log.Reset();
    return JsonReply(Json::object());
  }
  if (what == "POST clear-faults") {
    core.faults.Clear();
    return JsonReply(Json::object());
  }
  if (what == "POST fault") {
    const Result<Fault> fault = ParseFault(body);
    if (!fault) return Refusal(400, fault.error().message());
    core.faults.Add(*fault);
    return JsonReply(Json::object());
  }
  return Refusal(404, "no such control");
}

}  // namespace quayfs::testserver
