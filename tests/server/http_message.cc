// SPDX-License-Identifier: Apache-2.0

#include "tests/server/http_message.h"

#include <algorithm>

#include "base/text.h"

namespace quayfs::testserver {
namespace {

const std::string* FindIn(const NameValues& pairs, std::string_view name) {
  for (const auto& [key, value] : pairs) {
    if (key == name) return &value;
  }
  return nullptr;
}

}  // namespace

const std::string* HeaderList::Find(std::string_view name) const { return FindIn(fields_, name); }

std::string HeaderList::Get(std::string_view name) const {
  const std::string* value = Find(name);
  return value == nullptr ? std::string() : *value;
}

std::string HeaderList::Joined(std::string_view name, std::string_view separator) const {
  std::string joined;
  bool first = true;
  for (const auto& [key, value] : fields_) {
    if (key != name) continue;
    if (!first) joined += separator;
    joined += value;
    first = false;
  }
  return joined;
}

size_t HeaderList::Count(std::string_view name) const {
  return static_cast<size_t>(std::count_if(fields_.begin(), fields_.end(),
                                           [&](const auto& field) { return field.first == name; }));
}

void HeaderList::Remove(std::string_view name) {
  std::erase_if(fields_, [&](const auto& field) { return field.first == name; });
}

Query::Query(std::string_view raw) {
  if (raw.empty()) return;
  for (const std::string_view piece : Split(raw, '&')) {
    if (piece.empty()) continue;
    const size_t equals = piece.find('=');
    const std::string_view name = piece.substr(0, equals);
    const std::string_view value =
        equals == std::string_view::npos ? std::string_view() : piece.substr(equals + 1);
    pairs_.emplace_back(PercentDecode(name, true), PercentDecode(value, true));
  }
}

const std::string* Query::Find(std::string_view name) const { return FindIn(pairs_, name); }

std::string Query::Get(std::string_view name) const {
  const std::string* value = Find(name);
  return value == nullptr ? std::string() : *value;
}

void Reply::Set(std::string_view name, std::string value) {
  for (auto& [key, old] : headers) {
    if (EqualsIgnoreCase(key, name)) {
      old = std::move(value);
      return;
    }
  }
  headers.emplace_back(std::string(name), std::move(value));
}

std::string_view ReasonPhrase(int status) {
  switch (status) {
    case 100:
      return "Continue";
    case 200:
      return "OK";
    case 202:
      return "Accepted";
    case 204:
      return "No Content";
    case 206:
      return "Partial Content";
    case 301:
      return "Moved Permanently";
    case 304:
      return "Not Modified";
    case 307:
      return "Temporary Redirect";
    case 400:
      return "Bad Request";
    case 403:
      return "Forbidden";
    case 404:
      return "Not Found";
    case 405:
      return "Method Not Allowed";
    case 409:
      return "Conflict";
    case 411:
      return "Length Required";
    case 412:
      return "Precondition Failed";
    case 416:
      return "Range Not Satisfiable";
    case 429:
      return "Too Many Requests";
    case 500:
      return "Internal Server Error";
    case 501:
      return "Not Implemented";
    case 502:
      return "Bad Gateway";
    case 503:
      return "Service Unavailable";
    case 504:
      return "Gateway Timeout";
    case 507:
      return "Insufficient Storage";
    default:
      return "Status";
  }
}

}  // namespace quayfs::testserver
