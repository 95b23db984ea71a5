// SPDX-License-Identifier: Apache-2.0
//
// A small client on raw sockets for the test server's own tests: what it reads are the bytes on the
// wire, and how the connection ended. Signs with SigV4 in a few lines of its own.

#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/unique_fd.h"
#include "tests/server/server.h"

namespace quayfs::testserver {

using HeaderPairs = std::vector<std::pair<std::string, std::string>>;

struct Response {
  int status = 0;                              // 0: not even a status line came
  std::map<std::string, std::string> headers;  // lower-case names
  std::string body;                            // as far as it came
  bool complete = false;                       // the body has the length that was announced
  std::string raw;                             // every byte
  int read_error = 0;                          // errno that ended the reading, 0 for a clean end

  std::string Header(const std::string& name) const {
    const auto found = headers.find(name);
    return found == headers.end() ? "" : found->second;
  }
  /// The text of the first <name> element of the body.
  std::string Xml(const std::string& name) const;
  /// The texts of all of them.
  std::vector<std::string> XmlAll(const std::string& name) const;
  std::string ErrorCode() const { return Xml("Code"); }
};

struct Call {
  std::string method = "GET";
  std::string path = "/";  // encoded
  std::string query;       // encoded, without '?'
  HeaderPairs headers;
  std::string body;
  bool sign = true;
  bool unsigned_payload = false;
  std::string region = "us-east-1";
  std::string access_key = "test-key";
  std::string secret = "test-secret";
  std::string token;
  std::string host;          // "" = 127.0.0.1:PORT
  int64_t clock_offset = 0;  // seconds
};

/// One connection, opened on first use and again after it ended. Thread-compatible.
class TestClient {
 public:
  explicit TestClient(uint16_t port) : port_(port) {}

  /// Sends `call` and reads one response.
  Response Do(const Call& call);
  Response Get(const std::string& path, const std::string& query = "", HeaderPairs headers = {});
  Response Head(const std::string& path, HeaderPairs headers = {});
  Response Put(const std::string& path, const std::string& body, HeaderPairs headers = {},
               const std::string& query = "");
  Response Post(const std::string& path, const std::string& query, const std::string& body,
                HeaderPairs headers = {});
  Response Delete(const std::string& path, const std::string& query = "", HeaderPairs headers = {});

  /// The request as it goes on the wire.
  std::string Bytes(const Call& call) const;
  void SendRaw(std::string_view bytes);
  /// Reads one response. `head_request`: it has no body whatever its headers say.
  Response Read(bool head_request);
  /// Everything until the server closes or `timeout_ms` passes in silence.
  std::string ReadUntilClosed(int timeout_ms = 5000);
  /// True if nothing comes for so long.
  bool IsSilent(int timeout_ms);
  void Close() { fd_.Reset(); }
  int connections() const { return connections_; }

 private:
  void Connect();
  /// Appends to `pending_`; false at the end.
  bool Fill(Response* response);

  const uint16_t port_;
  UniqueFd fd_;
  std::string pending_;
  int connections_ = 0;
};

/// Starts a server or fails the test.
std::unique_ptr<Server> StartServer(const ServerConfig& config = {});

}  // namespace quayfs::testserver
