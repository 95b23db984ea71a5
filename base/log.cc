// SPDX-License-Identifier: Apache-2.0

#include "base/log.h"

#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "base/clock.h"
#include "base/log_format.h"
#include "base/log_level.h"
#include "base/mutex.h"
#include "base/text.h"

namespace quayfs {
namespace {

std::atomic<LogLevel> threshold{LogLevel::kInfo};
std::atomic<LogFormat> format{LogFormat::kText};

// Never destroyed: threads may log until the very end. A null sink means stderr.
struct SinkHolder {
  Mutex mutex{LockRank::kLog};
  std::shared_ptr<const LogSink> sink QUAY_GUARDED_BY(mutex);
  LogRate rate QUAY_GUARDED_BY(mutex);
  // Since `window_began`, by event.
  std::map<std::string, uint64_t, std::less<>> seen QUAY_GUARDED_BY(mutex);
  SteadyTime window_began QUAY_GUARDED_BY(mutex){};
};

SinkHolder& Holder() {
  static SinkHolder* const kHolder = new SinkHolder();
  return *kHolder;
}

void WriteToStderr(std::string_view line) {
  std::string text(line);
  text += '\n';
  std::string_view rest = text;
  while (!rest.empty()) {
    const ssize_t written = ::write(STDERR_FILENO, rest.data(), rest.size());
    if (written < 0 && errno == EINTR) continue;
    if (written <= 0) return;  // nobody is left to tell
    rest.remove_prefix(static_cast<size_t>(written));
  }
}

bool IsPlain(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
         c == '_' || c == '.' || c == ':' || c == '+';
}

// The bytes of the UTF-8 character that `text` starts with (1 to 4), 0 if it does not start with
// one. Stores the character.
size_t DecodeUtf8(std::string_view text, uint32_t* character) {
  const auto lead = static_cast<uint8_t>(text[0]);
  *character = lead;
  if (lead < 0x80) return 1;
  const size_t length = lead < 0xc2 ? 0 : lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : lead < 0xf5 ? 4 : 0;
  if (length == 0 || text.size() < length) return 0;
  uint32_t value = lead & (0x7fU >> length);
  for (size_t i = 1; i < length; ++i) {
    const auto byte = static_cast<uint8_t>(text[i]);
    if ((byte & 0xc0) != 0x80) return 0;
    value = value << 6 | (byte & 0x3fU);
  }
  constexpr uint32_t kSmallest[] = {0, 0, 0x80, 0x800, 0x10000};
  if (value < kSmallest[length] || value > 0x10ffff || (value >= 0xd800 && value <= 0xdfff)) {
    return 0;
  }
  *character = value;
  return length;
}

// Characters that move a terminal's cursor, break a line, or change the direction of what follows.
bool IsUnsafe(uint32_t c) {
  return c < 0x20 || (c >= 0x7f && c < 0xa0) || (c >= 0x200e && c <= 0x200f) ||
         (c >= 0x2028 && c <= 0x202e) || (c >= 0x2066 && c <= 0x2069);
}

void AppendEscapedBytes(std::string* out, std::string_view bytes) {
  constexpr std::string_view kDigits = "0123456789abcdef";
  for (const char c : bytes) {
    const auto byte = static_cast<uint8_t>(c);
    *out += "\\x";
    *out += kDigits[byte >> 4];
    *out += kDigits[byte & 0xf];
  }
}

void AppendQuoted(std::string* out, std::string_view value) {
  *out += '"';
  while (!value.empty()) {
    uint32_t character = 0;
    const size_t length = DecodeUtf8(value, &character);
    const std::string_view bytes = value.substr(0, std::max<size_t>(1, length));
    value.remove_prefix(bytes.size());
    if (character == '"' || character == '\\') {
      *out += '\\';
      *out += bytes;
    } else if (character == '\n') {
      *out += "\\n";
    } else if (character == '\r') {
      *out += "\\r";
    } else if (character == '\t') {
      *out += "\\t";
    } else if (length == 0 || IsUnsafe(character)) {
      AppendEscapedBytes(out, bytes);
    } else {
      *out += bytes;
    }
  }
  *out += '"';
}

void AppendValue(std::string* out, std::string_view value) {
  if (!value.empty() && std::all_of(value.begin(), value.end(), IsPlain)) {
    *out += value;
  } else {
    AppendQuoted(out, value);
  }
}

void AppendJson(std::string* out, std::string_view value) {
  constexpr std::string_view kDigits = "0123456789abcdef";
  *out += '"';
  while (!value.empty()) {
    uint32_t character = 0;
    const size_t length = DecodeUtf8(value, &character);
    const std::string_view bytes = value.substr(0, std::max<size_t>(1, length));
    value.remove_prefix(bytes.size());
    if (length == 0) {
      // No text at all: the byte as text lines have it, its backslash escaped once more.
      *out += '\\';
      AppendEscapedBytes(out, bytes);
    } else if (character == '"' || character == '\\') {
      *out += '\\';
      *out += bytes;
    } else if (IsUnsafe(character)) {  // all of them below 2^16
      *out += "\\u";
      for (int shift = 12; shift >= 0; shift -= 4) *out += kDigits[character >> shift & 0xf];
    } else {
      *out += bytes;
    }
  }
  *out += '"';
}

std::string MakeJson(LogLevel level, std::string_view event,
                     std::initializer_list<LogField> fields) {
  std::string line = "{\"time\":\"" + FormatIsoExtended(SystemClock().Now()) + "\",\"level\":\"";
  line += LogLevelName(level);
  line += "\",\"event\":";
  AppendJson(&line, event);
  for (const LogField& field : fields) {
    line += ',';
    AppendJson(&line, field.key);
    line += ':';
    if (field.literal) {
      line += field.value;
    } else {
      AppendJson(&line, field.value);
    }
  }
  return line + '}';
}

std::string MakeText(LogLevel level, std::string_view event,
                     std::initializer_list<LogField> fields) {
  std::string line = FormatIsoExtended(SystemClock().Now());
  line += ' ';
  line += LogLevelName(level);
  line += ' ';
  AppendValue(&line, event);
  for (const LogField& field : fields) {
    line += ' ';
    AppendValue(&line, field.key);
    line += '=';
    AppendValue(&line, field.value);
  }
  return line;
}

std::string MakeLine(LogLevel level, std::string_view event,
                     std::initializer_list<LogField> fields) {
  const bool json = format.load(std::memory_order_relaxed) == LogFormat::kJson;
  return json ? MakeJson(level, event, fields) : MakeText(level, event, fields);
}

void Write(LogLevel level, const std::string& line) {
  std::shared_ptr<const LogSink> sink;
  {
    SinkHolder& holder = Holder();
    const MutexLock lock(holder.mutex);
    sink = holder.sink;
  }
  if (sink) {
    (*sink)(level, line);
  } else {
    WriteToStderr(line);
  }
}

struct LeftOut {
  std::string event;
  uint64_t lines = 0;
};

void EndWindowLocked(SinkHolder& holder, SteadyTime now, std::vector<LeftOut>* left_out)
    QUAY_REQUIRES(holder.mutex) {
  const auto allowed = static_cast<uint64_t>(holder.rate.lines);
  for (const auto& [event, lines] : holder.seen) {
    if (lines > allowed) left_out->push_back({event, lines - allowed});
  }
  holder.seen.clear();
  holder.window_began = now;
}

/// Whether a line of this event may be written. What was left out of the window before is to be
/// told by the caller.
bool TakeTurn(std::string_view event, std::vector<LeftOut>* left_out) {
  SinkHolder& holder = Holder();
  const MutexLock lock(holder.mutex);
  if (holder.rate.lines <= 0) return true;
  const SteadyTime now = SystemClock().Steady();
  if (now - holder.window_began >= holder.rate.window) EndWindowLocked(holder, now, left_out);
  auto seen = holder.seen.find(event);
  if (seen == holder.seen.end()) seen = holder.seen.emplace(event, 0).first;
  return ++seen->second <= static_cast<uint64_t>(holder.rate.lines);
}

void TellAll(const std::vector<LeftOut>& left_out) {
  for (const LeftOut& each : left_out) {
    Write(LogLevel::kWarning, MakeLine(LogLevel::kWarning, "log.left_out",
                                       {{"of", each.event},
                                        {"lines", each.lines},
                                        {"advice", "one event came again and again"}}));
  }
}

}  // namespace

void Log(LogLevel level, std::string_view event, std::initializer_list<LogField> fields) {
  if (!LogEnabled(level)) return;
  std::vector<LeftOut> left_out;
  const bool wanted = level == LogLevel::kDebug || TakeTurn(event, &left_out);
  TellAll(left_out);
  if (wanted) Write(level, MakeLine(level, event, fields));
}

void SetLogFormat(LogFormat now) { format.store(now, std::memory_order_relaxed); }

void SetLogRate(const LogRate& rate) {
  SinkHolder& holder = Holder();
  const MutexLock lock(holder.mutex);
  holder.rate = rate;
  holder.seen.clear();
  holder.window_began = SystemClock().Steady();
}

void TellLeftOut() {
  std::vector<LeftOut> left_out;
  {
    SinkHolder& holder = Holder();
    const MutexLock lock(holder.mutex);
    EndWindowLocked(holder, SystemClock().Steady(), &left_out);
  }
  TellAll(left_out);
}

bool LogEnabled(LogLevel level) { return level >= threshold.load(std::memory_order_relaxed); }

void SetLogThreshold(LogLevel level) { threshold.store(level, std::memory_order_relaxed); }

LogLevel LogThreshold() { return threshold.load(std::memory_order_relaxed); }

std::string_view LogLevelName(LogLevel level) {
  switch (level) {
    case LogLevel::kDebug:
      return "debug";
    case LogLevel::kInfo:
      return "info";
    case LogLevel::kWarning:
      return "warning";
    case LogLevel::kError:
      break;
  }
  return "error";
}

std::optional<LogLevel> LogLevelByName(std::string_view name) {
  for (const LogLevel level :
       {LogLevel::kDebug, LogLevel::kInfo, LogLevel::kWarning, LogLevel::kError}) {
    if (name == LogLevelName(level)) return level;
  }
  return std::nullopt;
}

LogSink SetLogSink(LogSink sink) {
  std::shared_ptr<const LogSink> next;
  if (sink) next = std::make_shared<const LogSink>(std::move(sink));
  {
    SinkHolder& holder = Holder();
    MutexLock lock(holder.mutex);
    next.swap(holder.sink);
  }
  if (next) return *next;
  return [](LogLevel /*level*/, std::string_view line) { WriteToStderr(line); };
}

bool IsSecretName(std::string_view name) {
  std::string plain = ToLower(name);
  std::replace(plain.begin(), plain.end(), '_', '-');
  // Whole names: these words are harmless inside longer ones (continuation-token,
  // x-amz-authorization-mode).
  constexpr std::string_view kWhole[] = {
      "authorization", "proxy-authorization", "cookie",     "set-cookie",
      "token",         "access-token",        "auth-token", "bearer-token"};
  for (const std::string_view secret : kWhole) {
    if (plain == secret) return true;
  }
  constexpr std::string_view kParts[] = {"security-token", "session-token", "secret",
                                         "password",       "passphrase",    "customer-key",
                                         "signature",      "private-key"};
  return std::any_of(std::begin(kParts), std::end(kParts), [&plain](std::string_view part) {
    return plain.find(part) != std::string::npos;
  });
}

}  // namespace quayfs
