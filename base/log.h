// SPDX-License-Identifier: Apache-2.0
//
// Structured logging: one event, one line.
//
//   Log(LogLevel::kWarning, "upload.failed", {{"key", key}, {"error", error.ToString()}});
//
// prints `2026-01-02T03:04:05.678Z warning upload.failed key="a/b" error="..."`, or an object of
// JSON (base/log_format.h). Library code logs
// at kDebug only; the boundary that turns an Error into an errno or an exit status logs the
// failure, once. Secrets are never passed to Log.

#pragma once

#include <cmath>
#include <concepts>
#include <functional>
#include <initializer_list>
#include <string>
#include <string_view>

namespace quayfs {

enum class LogLevel { kDebug, kInfo, kWarning, kError };

/// One key=value of a line. Values are quoted and escaped where needed: a value can never start a
/// new line.
struct LogField {
  LogField(std::string_view k, std::string_view v) : key(k), value(v) {}
  LogField(std::string_view k, const char* v) : key(k), value(v) {}
  LogField(std::string_view k, const std::string& v) : key(k), value(v) {}
  LogField(std::string_view k, bool v) : key(k), value(v ? "true" : "false"), literal(true) {}
  template <std::integral T>
  LogField(std::string_view k, T v) : key(k), value(std::to_string(v)), literal(true) {}
  LogField(std::string_view k, double v)
      : key(k), value(std::to_string(v)), literal(std::isfinite(v)) {}

  std::string_view key;
  std::string value;
  bool literal = false;  // a number or truth value, which JSON knows
};

/// Thread-safe; a line is written whole. Cheap when `level` is below the threshold, but the fields
/// are made first: guard expensive ones with LogEnabled.
void Log(LogLevel level, std::string_view event, std::initializer_list<LogField> fields = {});

bool LogEnabled(LogLevel level);
void SetLogThreshold(LogLevel level);

/// Where finished lines go (without a newline); the default writes to stderr. Returns the previous
/// sink. Not meant to be called while other threads log.
using LogSink = std::function<void(LogLevel level, std::string_view line)>;
LogSink SetLogSink(LogSink sink);

/// True for header and field names whose values must not be shown: authorization, security tokens,
/// SSE-C keys, cookies.
bool IsSecretName(std::string_view name);

}  // namespace quayfs
