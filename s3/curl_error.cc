// SPDX-License-Identifier: Apache-2.0

#include "s3/curl_error.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "base/text.h"

namespace quayfs::s3 {
namespace {

struct Row {
  CURLcode curl;
  Code code;
  std::string_view what;
};

// Everything else is kUnavailable: a broken connection may be whole the next time.
constexpr std::array kRows = {
    Row{CURLE_COULDNT_RESOLVE_HOST, Code::kUnavailable, "the host name cannot be resolved"},
    Row{CURLE_COULDNT_RESOLVE_PROXY, Code::kUnavailable, "the proxy's name cannot be resolved"},
    Row{CURLE_COULDNT_CONNECT, Code::kUnavailable, "cannot connect"},
    Row{CURLE_PROXY, Code::kUnavailable, "the proxy refused"},
    Row{CURLE_SSL_CONNECT_ERROR, Code::kUnavailable, "the TLS handshake failed"},
    Row{CURLE_SEND_ERROR, Code::kUnavailable, "the connection broke while sending"},
    Row{CURLE_RECV_ERROR, Code::kUnavailable, "the connection broke while receiving"},
    Row{CURLE_GOT_NOTHING, Code::kUnavailable, "the connection was closed without a reply"},
    Row{CURLE_PARTIAL_FILE, Code::kUnavailable, "the reply ended early"},
    Row{CURLE_SEND_FAIL_REWIND, Code::kUnavailable, "the request could not be sent again"},
    Row{CURLE_UNSUPPORTED_PROTOCOL, Code::kUnavailable, "the reply is not HTTP"},
    Row{CURLE_WEIRD_SERVER_REPLY, Code::kUnavailable, "the reply is not HTTP"},
    Row{CURLE_OPERATION_TIMEDOUT, Code::kTimedOut, "timed out while connecting"},
    Row{CURLE_PEER_FAILED_VERIFICATION, Code::kUntrusted, "the server's certificate is refused"},
    Row{CURLE_SSL_ISSUER_ERROR, Code::kUntrusted, "the server's certificate is refused"},
    Row{CURLE_SSL_INVALIDCERTSTATUS, Code::kUntrusted, "the server's certificate is refused"},
    Row{CURLE_SSL_CACERT_BADFILE, Code::kUntrusted, "the CA file cannot be used"},
    Row{CURLE_SSL_CERTPROBLEM, Code::kUntrusted, "the client certificate cannot be used"},
    Row{CURLE_SSL_CLIENTCERT, Code::kUntrusted, "the server wants a client certificate"},
    Row{CURLE_URL_MALFORMAT, Code::kInvalidArgument, "the address is not valid"},
    Row{CURLE_OUT_OF_MEMORY, Code::kInternal, "out of memory"},
    Row{CURLE_BAD_FUNCTION_ARGUMENT, Code::kInternal, "libcurl refuses the request"},
    Row{CURLE_UNKNOWN_OPTION, Code::kInternal, "libcurl refuses the request"},
};

/// A server that does not like our certificate says so by an alert, which libcurl reports as any
/// other failure to read.
bool IsCertificateAlert(std::string_view detail) {
  return detail.find("alert") != std::string_view::npos &&
         (detail.find("certificate") != std::string_view::npos ||
          detail.find("unknown ca") != std::string_view::npos);
}

}  // namespace

CurlFailure ExplainCurlCode(CURLcode code, std::string_view target, std::string_view detail) {
  const auto* row = std::find_if(kRows.begin(), kRows.end(),
                                 [&](const Row& candidate) { return candidate.curl == code; });
  CurlFailure failure;
  std::string_view what = "the transfer failed";
  if (row != kRows.end()) {
    failure.code = row->code;
    what = row->what;
  }
  if (IsCertificateAlert(detail)) {
    failure.code = Code::kUntrusted;
    what = "the server refuses our certificate";
  }
  detail = TrimBlanks(detail);
  if (detail.empty()) detail = curl_easy_strerror(code);
  if (detail.ends_with('.')) detail.remove_suffix(1);
  failure.message = fmt::format("{}: {} ({})", target, what, detail);
  return failure;
}

}  // namespace quayfs::s3
