// SPDX-License-Identifier: Apache-2.0

#include "tests/server/http_parser.h"

#include <algorithm>

#include "base/text.h"

namespace quayfs::testserver {
namespace {

S3Error BadRequest(std::string message) { return {400, "BadRequest", std::move(message)}; }

bool IsTokenChar(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
         std::string_view("!#$%&'*+-.^_`|~").find(c) != std::string_view::npos;
}

bool IsToken(std::string_view text) {
  return !text.empty() && std::all_of(text.begin(), text.end(), IsTokenChar);
}

bool IsFieldValue(std::string_view text) {
  return std::all_of(text.begin(), text.end(), [](char c) {
    const auto byte = static_cast<unsigned char>(c);
    return byte == '\t' || (byte >= 0x20 && byte != 0x7f);
  });
}

Problem ParseRequestLine(std::string_view line, RequestHead* head) {
  const std::vector<std::string_view> words = Split(line, ' ');
  if (words.size() != 3 || !IsToken(words[0])) return BadRequest("malformed request line");
  if (words[2] != "HTTP/1.1" && words[2] != "HTTP/1.0") return BadRequest("not HTTP/1.x");
  std::string_view target = words[1];
  const bool printable = std::all_of(target.begin(), target.end(),
                                     [](char c) { return c > 0x20 && c < 0x7f && c != '#'; });
  if (target.empty() || target.front() != '/' || !printable) {
    return BadRequest("the request target must be an encoded path");
  }
  head->method = words[0];
  head->http10 = words[2] == "HTTP/1.0";
  head->keep_alive = !head->http10;
  const size_t question = target.find('?');
  head->raw_path = target.substr(0, question);
  if (question != std::string_view::npos) head->raw_query = target.substr(question + 1);
  return std::nullopt;
}

Problem ApplyFramingHeaders(RequestHead* head) {
  const HeaderList& headers = head->headers;
  if (!head->http10 && headers.Count("host") != 1) return BadRequest("exactly one Host is needed");
  if (headers.Count("content-length") > 1) return BadRequest("more than one Content-Length");
  if (const std::string* length = headers.Find("content-length")) {
    const Result<uint64_t> parsed = ParseUint(*length);
    if (!parsed) return BadRequest("malformed Content-Length");
    head->content_length = *parsed;
  }
  head->chunked = headers.Has("transfer-encoding");
  if (head->chunked && head->content_length) {
    return BadRequest("Content-Length and Transfer-Encoding together");
  }
  head->expect_continue = EqualsIgnoreCase(headers.Get("expect"), "100-continue");
  const std::string connection = ToLower(headers.Get("connection"));
  if (connection.find("close") != std::string::npos) head->keep_alive = false;
  if (head->http10 && connection.find("keep-alive") != std::string::npos) head->keep_alive = true;
  return std::nullopt;
}

}  // namespace

Outcome<RequestHead> ParseRequestHead(std::string_view text) {
  RequestHead head;
  bool first = true;
  while (true) {
    const size_t end = text.find("\r\n");
    if (end == std::string_view::npos) return BadRequest("the request head does not end");
    const std::string_view line = text.substr(0, end);
    text.remove_prefix(end + 2);
    if (first) {
      if (Problem problem = ParseRequestLine(line, &head)) return *problem;
      first = false;
      continue;
    }
    if (line.empty()) break;
    const size_t colon = line.find(':');
    if (colon == std::string_view::npos || !IsToken(line.substr(0, colon))) {
      return BadRequest("malformed header line");
    }
    const std::string_view value = TrimBlanks(line.substr(colon + 1));
    if (!IsFieldValue(value)) return BadRequest("control character in a header value");
    head.headers.Add(ToLower(line.substr(0, colon)), std::string(value));
  }
  if (Problem problem = ApplyFramingHeaders(&head)) return *problem;
  return head;
}

}  // namespace quayfs::testserver
