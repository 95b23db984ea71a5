// SPDX-License-Identifier: Apache-2.0

#include "s3/metadata_codec.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/text.h"

namespace quayfs::s3 {
namespace {

constexpr size_t kNameLimit = 256;

bool IsTokenCharacter(char c) {
  if ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9')) return true;
  return std::string_view("!#$%&'*+-.^_`|~").find(c) != std::string_view::npos;
}

}  // namespace

std::string EncodeMetadataValue(std::string_view value) {
  constexpr char kHex[] = "0123456789ABCDEF";
  std::string encoded;
  encoded.reserve(value.size());
  for (size_t i = 0; i < value.size(); ++i) {
    const char c = value[i];
    bool plain = c > ' ' && c <= '~' && c != '%';
    if (c == ' ') plain = i > 0 && i + 1 < value.size() && value[i - 1] != ' ';
    if (plain) {
      encoded += c;
      continue;
    }
    const auto byte = static_cast<unsigned char>(c);
    encoded += '%';
    encoded += kHex[byte >> 4];
    encoded += kHex[byte & 15];
  }
  return encoded;
}

std::string DecodeMetadataValue(std::string_view text) { return PercentDecode(text, false); }

bool IsHeaderName(std::string_view name) {
  return !name.empty() && std::all_of(name.begin(), name.end(), IsTokenCharacter);
}

bool IsHeaderValue(std::string_view value) {
  return std::all_of(value.begin(), value.end(), [](char c) {
    const auto byte = static_cast<unsigned char>(c);
    return byte == '\t' || (byte >= 0x20 && byte != 0x7f);
  });
}

bool IsMetadataName(std::string_view name) {
  return name.size() <= kNameLimit && IsHeaderName(name) && ToLower(name) == name;
}

Status AddMetadataHeaders(const std::map<std::string, std::string>& metadata, HttpHeaders* headers,
                          std::string_view prefix) {
  for (const auto& [name, value] : metadata) {
    const std::string lowered = ToLower(name);
    if (!IsMetadataName(lowered)) {
      return Error(Code::kInvalidArgument,
                   fmt::format("metadata name '{}' cannot be the name of a header",
                               EncodeMetadataValue(name)));
    }
    headers->Add(std::string(prefix) + lowered, EncodeMetadataValue(value));
  }
  return {};
}

std::map<std::string, std::string> MetadataFromHeaders(const HttpHeaders& headers,
                                                       std::string_view prefix) {
  std::map<std::string, std::string> raw;
  for (const HttpHeader& header : headers.all()) {
    if (header.name.size() <= prefix.size()) continue;
    const std::string name = ToLower(header.name);
    if (!name.starts_with(prefix)) continue;
    const auto [entry, is_new] = raw.emplace(name.substr(prefix.size()), TrimBlanks(header.value));
    if (!is_new) {
      entry->second += ',';
      entry->second += TrimBlanks(header.value);
    }
  }
  for (auto& [name, value] : raw) value = DecodeMetadataValue(value);
  return raw;
}

}  // namespace quayfs::s3
