// SPDX-License-Identifier: Apache-2.0

#include "tests/unit/server/test_client.h"

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <chrono>

#include "base/clock.h"
#include "base/hash.h"
#include "base/text.h"

namespace quayfs::testserver {
namespace {

/// The Authorization header over all of `headers` (sorted, lower-case names).
std::string Authorization(const Call& call, const std::map<std::string, std::string>& headers,
                          const std::string& payload_hash, const std::string& timestamp) {
  std::vector<std::string> pairs;
  if (!call.query.empty()) {
    for (const std::string_view pair : Split(call.query, '&')) {
      pairs.emplace_back(pair.find('=') == std::string_view::npos ? std::string(pair) + "="
                                                                  : std::string(pair));
    }
  }
  std::sort(pairs.begin(), pairs.end());
  std::string canonical = call.method + "\n" + call.path + "\n";
  for (size_t i = 0; i < pairs.size(); ++i) canonical += (i == 0 ? "" : "&") + pairs[i];
  canonical += "\n";
  std::string names;
  for (const auto& [name, value] : headers) {
    canonical.append(name).append(":").append(value).append("\n");
    names += (names.empty() ? "" : ";") + name;
  }
  canonical += "\n" + names + "\n" + payload_hash;
  const std::string date = timestamp.substr(0, 8);
  const std::string scope = date + "/" + call.region + "/s3/aws4_request";
  const std::string to_sign =
      "AWS4-HMAC-SHA256\n" + timestamp + "\n" + scope + "\n" + HexEncode(Sha256(canonical));
  std::string key = "AWS4" + call.secret;
  for (const std::string& step :
       {date, call.region, std::string("s3"), std::string("aws4_request")}) {
    key = HmacSha256(key, step);
  }
  return "AWS4-HMAC-SHA256 Credential=" + call.access_key + "/" + scope +
         ", SignedHeaders=" + names + ", Signature=" + HexEncode(HmacSha256(key, to_sign));
}

}  // namespace

std::string Response::Xml(const std::string& name) const {
  const std::vector<std::string> all = XmlAll(name);
  return all.empty() ? "" : all.front();
}

std::vector<std::string> Response::XmlAll(const std::string& name) const {
  std::vector<std::string> found;
  const std::string open = "<" + name + ">";
  const std::string close = "</" + name + ">";
  size_t at = 0;
  while ((at = body.find(open, at)) != std::string::npos) {
    const size_t begin = at + open.size();
    const size_t end = body.find(close, begin);
    if (end == std::string::npos) break;
    found.push_back(body.substr(begin, end - begin));
    at = end;
  }
  return found;
}

void TestClient::Connect() {
  if (fd_.valid()) return;
  pending_.clear();
  ++connections_;
  fd_.Reset(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(port_);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  ASSERT_EQ(0, connect(fd_.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)));
  // A hang of the server shall fail a test, not stop it.
  const timeval limit{20, 0};
  setsockopt(fd_.get(), SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
}

std::string TestClient::Bytes(const Call& call) const {
  const std::string host = call.host.empty() ? "127.0.0.1:" + std::to_string(port_) : call.host;
  std::map<std::string, std::string> headers = {{"host", host}};
  for (const auto& [name, value] : call.headers) headers[ToLower(name)] = value;
  if (call.sign) {
    const std::string hash =
        call.unsigned_payload ? "UNSIGNED-PAYLOAD" : HexEncode(Sha256(call.body));
    const std::string timestamp =
        FormatIsoBasic(SystemClock().Now() + std::chrono::seconds(call.clock_offset));
    headers.try_emplace("x-amz-date", timestamp);
    headers.try_emplace("x-amz-content-sha256", hash);
    if (!call.token.empty()) headers["x-amz-security-token"] = call.token;
    headers["authorization"] =
        Authorization(call, headers, headers["x-amz-content-sha256"], headers["x-amz-date"]);
  }
  std::string bytes = call.method + " " + call.path + (call.query.empty() ? "" : "?" + call.query) +
                      " HTTP/1.1\r\n";
  for (const auto& [name, value] : headers)
    bytes.append(name).append(": ").append(value).append("\r\n");
  const bool length = !headers.contains("content-length") && !headers.contains("transfer-encoding");
  if (length && (call.method == "PUT" || call.method == "POST" || !call.body.empty())) {
    bytes += "Content-Length: " + std::to_string(call.body.size()) + "\r\n";
  }
  return bytes + "\r\n" + call.body;
}

void TestClient::SendRaw(std::string_view bytes) {
  Connect();
  while (!bytes.empty()) {
    const ssize_t count = send(fd_.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (count < 0) return;  // what the server answered, if anything, is still to be read
    bytes.remove_prefix(static_cast<size_t>(count));
  }
}

bool TestClient::Fill(Response* response) {
  char buffer[65536];
  const ssize_t count = recv(fd_.get(), buffer, sizeof(buffer), 0);
  if (count <= 0) {
    response->read_error = count < 0 ? errno : 0;
    fd_.Reset();
    return false;
  }
  pending_.append(buffer, static_cast<size_t>(count));
  response->raw.append(buffer, static_cast<size_t>(count));
  return true;
}

Response TestClient::Read(bool head_request) {
  Response response;
  response.raw = pending_;
  size_t end = 0;
  while ((end = pending_.find("\r\n\r\n")) == std::string::npos) {
    if (!Fill(&response)) return response;
  }
  bool first = true;
  for (const std::string_view line : Split(std::string_view(pending_).substr(0, end), '\n')) {
    const std::string_view text = TrimBlanks(line);
    if (first) {
      const Result<uint64_t> status = ParseUint(text.substr(9, 3));
      response.status = status ? static_cast<int>(*status) : 0;
      first = false;
      continue;
    }
    const size_t colon = text.find(':');
    response.headers[ToLower(text.substr(0, colon))] = TrimBlanks(text.substr(colon + 1));
  }
  pending_.erase(0, end + 4);
  if (response.status == 100) return response;
  const bool bodiless = head_request || response.status == 204 || response.status == 304;
  const Result<uint64_t> announced = ParseUint(response.Header("content-length"));
  const uint64_t length = bodiless || !announced ? 0 : *announced;
  while (pending_.size() < length && Fill(&response)) {
  }
  response.complete = pending_.size() >= length;
  response.body = pending_.substr(0, length);
  pending_.erase(0, length);
  if (response.Header("connection") == "close") fd_.Reset();
  return response;
}

std::string TestClient::ReadUntilClosed(int timeout_ms) {
  Response response;
  pollfd waiting{fd_.get(), POLLIN, 0};
  while (fd_.valid() && poll(&waiting, 1, timeout_ms) > 0 && Fill(&response)) {
  }
  return std::exchange(pending_, "");
}

bool TestClient::IsSilent(int timeout_ms) {
  pollfd waiting{fd_.get(), POLLIN, 0};
  return poll(&waiting, 1, timeout_ms) == 0;
}

Response TestClient::Do(const Call& call) {
  SendRaw(Bytes(call));
  return Read(call.method == "HEAD");
}

Response TestClient::Get(const std::string& path, const std::string& query, HeaderPairs headers) {
  return Do({.path = path, .query = query, .headers = std::move(headers)});
}

Response TestClient::Head(const std::string& path, HeaderPairs headers) {
  return Do({.method = "HEAD", .path = path, .headers = std::move(headers)});
}

Response TestClient::Put(const std::string& path, const std::string& body, HeaderPairs headers,
                         const std::string& query) {
  return Do(
      {.method = "PUT", .path = path, .query = query, .headers = std::move(headers), .body = body});
}

Response TestClient::Post(const std::string& path, const std::string& query,
                          const std::string& body, HeaderPairs headers) {
  return Do({.method = "POST",
             .path = path,
             .query = query,
             .headers = std::move(headers),
             .body = body});
}

Response TestClient::Delete(const std::string& path, const std::string& query,
                            HeaderPairs headers) {
  return Do({.method = "DELETE", .path = path, .query = query, .headers = std::move(headers)});
}

std::unique_ptr<Server> StartServer(const ServerConfig& config) {
  Result<std::unique_ptr<Server>> server = Server::Start(config);
  EXPECT_TRUE(server.ok()) << (server.ok() ? "" : server.error().ToString());
  return server.ok() ? std::move(*server) : nullptr;
}

}  // namespace quayfs::testserver
