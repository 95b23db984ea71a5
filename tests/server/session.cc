// SPDX-License-Identifier: Apache-2.0

#include "tests/server/session.h"

#include <poll.h>
#include <sys/socket.h>

#include <algorithm>
#include <optional>

#include "base/hash.h"
#include "tests/server/control.h"
#include "tests/server/http_connection.h"
#include "tests/server/http_parser.h"
#include "tests/server/reply_writer.h"
#include "tests/server/xml.h"

namespace quayfs::testserver {
namespace {

/// What becomes of the connection after a request.
enum class After { kNextRequest, kClose, kReset, kDrop };

std::string RequestId(uint64_t number) {
  char text[17];
  std::snprintf(text, sizeof(text), "%016llX", static_cast<unsigned long long>(number));
  return text;
}

/// Another ETag of the same length.
std::string OtherEtag(std::string etag) {
  for (char& c : etag) {
    if ((c >= '0' && c <= '9') || (c >= 'a' && c <= 'f')) {
      c = c == '0' ? '1' : '0';
      break;
    }
  }
  return etag;
}

void FalsifyEtag(Reply* reply) {
  for (auto& [name, value] : reply->headers) {
    if (name == "ETag") value = OtherEtag(value);
  }
  const std::string mark = "<ETag>&quot;";
  const size_t found = reply->text.find(mark);
  if (found == std::string::npos) return;
  const size_t begin = found + mark.size();
  const size_t end = reply->text.find("&quot;", begin);
  reply->text.replace(begin, end - begin, OtherEtag(reply->text.substr(begin, end - begin)));
}

/// One request on its way.
class Exchange {
 public:
  Exchange(ServerCore& core, HttpConnection& connection, const RequestHead& head)
      : core_(core),
        connection_(connection),
        head_(head),
        query_(head.raw_query),
        route_(RouteRequest(head, query_, core.config)),
        body_(connection, head),
        request_{head_, query_, route_, body_, "", false, false, {}} {}

  After Run() {
    Begin();
    core_.Pause(std::chrono::milliseconds(core_.delay_ms.load()));
    fault_ = core_.faults.Pick(head_.method, route_.operation, route_.key);
    if (fault_) record_.fault = FaultName(fault_->kind);
    if (const std::optional<After> broken = BreakOff()) return *broken;
    Reply reply = MakeReply();
    if (reply.drop || Is(FaultKind::kLostReply)) {
      FinishRecord(0, 0);
      return reply.drop ? After::kDrop : After::kReset;
    }
    return SendReply(std::move(reply));
  }

 private:
  bool Is(FaultKind kind) const { return fault_ && fault_->kind == kind; }

  void Begin() {
    record_.started = std::chrono::steady_clock::now();
    record_.number = core_.log.Begin();
    record_.method = head_.method;
    record_.operation = route_.operation;
    record_.bucket = route_.bucket;
    record_.key = route_.key;
    record_.query = head_.raw_query;
    for (const auto& [name, value] : head_.headers.fields()) {
      if (name == "authorization") continue;
      const auto [known, fresh] = record_.headers.emplace(name, value);
      if (!fresh) known->second += "," + value;
    }
    request_.request_id = RequestId(record_.number);
  }

  void FinishRecord(int status, uint64_t reply_bytes) {
    record_.status = status;
    record_.request_bytes = body_.received();
    record_.reply_bytes = reply_bytes;
    record_.finished = std::chrono::steady_clock::now();
    core_.log.Finish(record_);
  }

  /// The faults that leave the request without an answer and without effect.
  std::optional<After> BreakOff() {
    if (Is(FaultKind::kResetBefore)) {
      FinishRecord(0, 0);
      return After::kReset;
    }
    if (Is(FaultKind::kResetInRequest)) {
      // A client that has gone already needs no reset.
      Ignore(body_.Skip(body_.length() / 2));
      FinishRecord(0, 0);
      return After::kReset;
    }
    if (Is(FaultKind::kBlackHole)) {
      Ignore(body_.SkipAll());  // the same
      FinishRecord(0, 0);
      WaitForEnd();
      return After::kDrop;
    }
    return std::nullopt;
  }

  /// Until the client closes, or the server shuts the socket down.
  void WaitForEnd() {
    char ignored[4096];
    while (recv(connection_.stream().fd(), ignored, sizeof(ignored), 0) > 0) {
    }
  }

  Reply MakeReply() {
    if (Is(FaultKind::kStatus)) {
      Reply reply = core_.ErrorReply(
          S3Error(fault_->status, fault_->code, "a fault of the test server"), request_);
      if (!fault_->retry_after.empty()) reply.Set("Retry-After", fault_->retry_after);
      return reply;
    }
    if (Is(FaultKind::kRedirect)) {
      Reply reply = core_.ErrorReply(
          S3Error(307, "TemporaryRedirect", "a fault of the test server"), request_);
      reply.Set("Location", fault_->location);
      return reply;
    }
    if (Is(FaultKind::kErrorIn200)) {
      if (fault_->carry_out && core_.Handle(request_).drop) return Dropped();
      Reply reply =
          core_.ErrorReply(S3Error(200, fault_->code, "a fault of the test server"), request_);
      return reply;
    }
    request_.ignore_range = Is(FaultKind::kIgnoreRange);
    request_.wrong_range = Is(FaultKind::kWrongRange);
    Reply reply = core_.Handle(request_);
    if (Is(FaultKind::kWrongEtag)) FalsifyEtag(&reply);
    return reply;
  }

  static Reply Dropped() {
    Reply reply;
    reply.drop = true;
    return reply;
  }

  Spoil MakeSpoil(const Reply& reply) {
    Spoil spoil;
    const uint64_t size = reply.body_size();
    if (Is(FaultKind::kResetInReply) || Is(FaultKind::kTruncateBody)) spoil.stop_after = size / 2;
    if (Is(FaultKind::kTruncateBody) && size == 0) spoil.length_added = 16;
    if (Is(FaultKind::kExtraBytes)) spoil.extra = "bytes that do not belong here";
    if (Is(FaultKind::kCorruptBody)) spoil.flip_at = size / 2;
    if (Is(FaultKind::kSlowDrip)) {
      spoil.bytes_per_second = std::max<uint64_t>(1, fault_->bytes_per_second);
      spoil.pause = [this](std::chrono::milliseconds time) { return core_.Pause(time); };
    }
    return spoil;
  }

  After SendReply(Reply reply) {
    bool keep_alive = head_.keep_alive && !reply.close;
    if (!body_.at_end()) {
      // A client that waits for a 100 gets its answer now and must not send the body; any other one
      // may be unable to read before it has written everything.
      if (body_.awaits_continue()) {
        keep_alive = false;
      } else if (!body_.SkipAll()) {
        FinishRecord(0, 0);
        return After::kDrop;
      }
    }
    const ReplyFrame frame{head_.method == "HEAD", keep_alive, FormatHttpDate(core_.Now()),
                           request_.request_id};
    const Spoil spoil = MakeSpoil(reply);
    ReplyWriter writer(connection_.stream(), reply, frame, spoil);
    bool finished = false;
    const Status sent = writer.Send([&] {
      finished = true;
      FinishRecord(reply.status, writer.planned());
    });
    if (!finished) {
      FinishRecord(reply.status, writer.sent());
    } else if (!sent) {
      core_.log.Amend(record_.number, writer.sent());
    }
    if (!sent) return After::kDrop;
    if (Is(FaultKind::kResetInReply)) return After::kReset;
    if (Is(FaultKind::kTruncateBody)) return After::kClose;
    return keep_alive ? After::kNextRequest : After::kClose;
  }

  ServerCore& core_;
  HttpConnection& connection_;
  const RequestHead& head_;
  const Query query_;
  const Route route_;
  RequestBody body_;
  S3Request request_;
  RequestRecord record_;
  std::optional<Fault> fault_;
};

/// A reply outside the log: to a head that cannot be parsed, or of the control surface.
After SendUnlogged(ServerCore& core, HttpConnection& connection, const Reply& reply, bool head_only,
                   bool keep_alive) {
  const ReplyFrame frame{head_only, keep_alive, FormatHttpDate(core.Now()), RequestId(0)};
  const Spoil spoil;
  ReplyWriter writer(connection.stream(), reply, frame, spoil);
  if (!writer.Send([] {})) return After::kDrop;
  return keep_alive ? After::kNextRequest : After::kClose;
}

After ServeControl(ServerCore& core, HttpConnection& connection, const RequestHead& head) {
  RequestBody body(connection, head);
  std::string text;
  char buffer[4096];
  while (!body.at_end()) {
    const Result<size_t> count = body.Read(buffer);
    if (!count) return After::kDrop;
    text.append(buffer, *count);
  }
  return SendUnlogged(core, connection, HandleControl(core, head, text), head.method == "HEAD",
                      head.keep_alive);
}

After ServeRequest(ServerCore& core, HttpConnection& connection, const std::string& text) {
  const Outcome<RequestHead> head = ParseRequestHead(text);
  if (!head) {
    Reply reply;
    reply.status = head.error().status;
    reply.Set("Content-Type", "application/xml");
    reply.text = ErrorXml(head.error(), "", RequestId(0));
    return SendUnlogged(core, connection, reply, false, false);
  }
  if (head->raw_path.starts_with(kControlPath)) return ServeControl(core, connection, *head);
  return Exchange(core, connection, *head).Run();
}

}  // namespace

void ServeConnection(ServerCore& core, int fd) {
  HttpConnection connection(core.tls ? core.tls->MakeStream(fd) : MakePlainStream(fd));
  After after = After::kNextRequest;
  while (after == After::kNextRequest && !core.stopping()) {
    const Result<std::optional<std::string>> head = connection.ReadHead();
    if (!head) {
      if (!head.Is(Code::kTooLarge)) return;
      Reply reply;
      reply.status = 400;
      reply.text = ErrorXml(S3Error(400, "RequestHeaderSectionTooLarge", head.error().message()),
                            "", RequestId(0));
      after = SendUnlogged(core, connection, reply, false, false);
      break;
    }
    if (!*head) {
      after = After::kClose;
      break;
    }
    after = ServeRequest(core, connection, **head);
  }
  if (after == After::kReset) {
    WaitUntilSent(fd);
    ResetOnClose(fd);
  } else if (after == After::kClose) {
    connection.CloseGently();
  }
}

}  // namespace quayfs::testserver
