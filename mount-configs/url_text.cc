// SPDX-License-Identifier: Apache-2.0

#include "mount-configs/url_text.h"

#include <algorithm>
#include <array>

#include "base/text.h"
#include "providers/endpoint.h"

namespace quayfs {

Result<std::string> NormalizeEndpoint(std::string_view text) {
  if (HasUserInfo(text)) {
    return Error(Code::kInvalidArgument,
                 "endpoint: must have no user name or password ('@'); keys belong into "
                 "[credentials]");
  }
  QUAY_ASSIGN(const Endpoint endpoint, ParseEndpoint(text));
  const std::string_view trimmed = TrimBlanks(text);
  std::string normal = endpoint.scheme + std::string(trimmed.substr(endpoint.scheme.size()));
  while (normal.back() == '/') normal.pop_back();
  return normal;
}

Status CheckProxy(std::string_view text) {
  constexpr std::array<std::string_view, 6> kSchemes = {"http",    "https",  "socks4",
                                                        "socks4a", "socks5", "socks5h"};
  const size_t mark = text.find("://");
  const std::string scheme = ToLower(text.substr(0, mark));
  if (mark == std::string_view::npos ||
      std::find(kSchemes.begin(), kSchemes.end(), scheme) == kSchemes.end()) {
    return Error(Code::kInvalidArgument,
                 "must begin with http://, https://, socks4://, socks4a://, socks5:// or "
                 "socks5h://");
  }
  std::string_view rest = text.substr(mark + 3);
  const size_t at = rest.rfind('@');
  if (at != std::string_view::npos) rest.remove_prefix(at + 1);
  if (ParseEndpoint("http://" + std::string(rest)).ok()) return {};
  return Error(Code::kInvalidArgument, "must name a host, and perhaps a port, after ://");
}

bool HasUserInfo(std::string_view url) { return url.find('@') != std::string_view::npos; }

std::string WithoutUserInfo(std::string_view url) {
  const size_t at = url.rfind('@');
  if (at == std::string_view::npos) return std::string(url);
  const size_t mark = url.find("://");
  const size_t begin = mark == std::string_view::npos ? 0 : mark + 3;
  return std::string(url.substr(0, std::min(begin, at))) + "***" + std::string(url.substr(at));
}

}  // namespace quayfs
