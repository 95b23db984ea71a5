// SPDX-License-Identifier: Apache-2.0

#include <algorithm>

#include "base/check.h"
#include "base/text.h"
#include "s3/http.h"

namespace quayfs::s3 {
namespace {

bool IsSafe(std::string_view text) {
  return text.find_first_of(std::string_view("\r\n\0", 3)) == std::string_view::npos;
}

}  // namespace

void HttpHeaders::Add(std::string_view name, std::string_view value) {
  QUAY_CHECK(IsSafe(name) && IsSafe(value));
  headers_.push_back({std::string(name), std::string(value)});
}

void HttpHeaders::Set(std::string_view name, std::string_view value) {
  QUAY_CHECK(IsSafe(name) && IsSafe(value));
  HttpHeader fresh{std::string(name), std::string(value)};  // both may point into what is removed
  Remove(fresh.name);
  headers_.push_back(std::move(fresh));
}

void HttpHeaders::Remove(std::string_view name) {
  std::erase_if(headers_,
                [&](const HttpHeader& header) { return EqualsIgnoreCase(header.name, name); });
}

std::string_view HttpHeaders::Get(std::string_view name) const {
  for (const HttpHeader& header : headers_) {
    if (EqualsIgnoreCase(header.name, name)) return header.value;
  }
  return {};
}

bool HttpHeaders::Has(std::string_view name) const {
  return std::any_of(headers_.begin(), headers_.end(),
                     [&](const HttpHeader& header) { return EqualsIgnoreCase(header.name, name); });
}

Status BodyCollector::OnHeaders(int /*status*/, const HttpHeaders& /*headers*/) {
  body_.clear();
  return {};
}

Status BodyCollector::OnData(std::span<const std::byte> data) {
  if (data.size() > limit_ - body_.size()) {
    return Error(Code::kCorrupt, "the reply is longer than " + std::to_string(limit_) + " bytes");
  }
  body_.append(reinterpret_cast<const char*>(data.data()), data.size());
  return {};
}

}  // namespace quayfs::s3
