// SPDX-License-Identifier: Apache-2.0

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "base/text.h"
#include "providers/local_names.h"
#include "providers/local_rules.h"
#include "providers/local_store_impl.h"

namespace quayfs {
namespace {

constexpr int kPageMax = 1000;
constexpr size_t kWalksMax = 8;
constexpr size_t kWalkBytesMax = 64 << 20;

struct Token {
  uint64_t walk = 0;
  std::string last;
};

std::string EncodeToken(const Token& token) {
  return fmt::format("{}.{}", token.walk, PercentEncode(token.last, /*keep_slash=*/false));
}

Result<Token> DecodeToken(std::string_view text) {
  const size_t dot = text.find('.');
  auto walk = ParseUint(text.substr(0, dot));
  if (dot == std::string_view::npos || !walk) {
    return Error(Code::kInvalidArgument, "not a listing token of this store");
  }
  return Token{*walk, PercentDecode(text.substr(dot + 1), /*plus_is_space=*/false)};
}

}  // namespace

Result<std::unique_ptr<LocalWalk>> LocalStore::StartWalk(const ListRequest& request) {
  const bool delimited = !request.delimiter.empty();
  Token token;
  if (!request.token.empty()) {
    QUAY_ASSIGN(token, DecodeToken(request.token));
    const MutexLock lock(walks_mutex_);
    const auto parked =
        std::find_if(walks_.begin(), walks_.end(), [&](const ParkedWalk& candidate) {
          return candidate.id == token.walk && candidate.last == token.last &&
                 candidate.walk->prefix() == request.prefix &&
                 candidate.walk->delimited() == delimited;
        });
    if (parked != walks_.end()) {
      std::unique_ptr<LocalWalk> walk = std::move(parked->walk);
      walks_.erase(parked);
      return walk;
    }
  }
  return std::make_unique<LocalWalk>(bucket_, request.prefix, delimited, std::move(token.last));
}

std::string LocalStore::ParkWalk(std::unique_ptr<LocalWalk> walk, const std::string& last) {
  const MutexLock lock(walks_mutex_);
  const Token token{++last_walk_, last};
  if (walk->footprint() > kWalkBytesMax) return EncodeToken(token);
  walks_.push_back(ParkedWalk{token.walk, last, std::move(walk)});
  size_t bytes = 0;
  for (const ParkedWalk& parked : walks_) bytes += parked.walk->footprint();
  while (walks_.size() > kWalksMax || bytes > kWalkBytesMax) {
    bytes -= walks_.front().walk->footprint();
    walks_.pop_front();
  }
  return EncodeToken(token);
}

/// Nothing for an object that went meanwhile. One whose file is damaged is listed, with what can be
/// known of it, so that it is seen and reading it says what is wrong.
std::optional<ObjectInfo> LocalStore::Describe(const std::string& key) const {
  const std::string path = LocalObjectPath(key);
  auto object = bucket_.Open(path);
  if (object.ok()) return LocalHead(key, std::move(object->record)).info;
  if (object.Is(Code::kNotFound)) return std::nullopt;
  ObjectInfo info;
  info.key = key;
  const auto stat = bucket_.disk().Stat(bucket_.Absolute(path));
  if (stat.ok()) {
    info.size = stat->size;
    info.last_modified = WallTime(std::chrono::nanoseconds(stat->mtime_ns));
  }
  return info;
}

Result<ListPage> LocalStore::List(const ListRequest& request, const CallOptions& call) {
  if (request.max_keys <= 0) return Error(Code::kInvalidArgument, "max_keys must be positive");
  if (!request.delimiter.empty() && request.delimiter != "/") {
    return Error(Code::kInvalidArgument, "the delimiter must be '/' or nothing");
  }
  const auto limit = static_cast<size_t>(std::min(request.max_keys, kPageMax));
  QUAY_ASSIGN(std::unique_ptr<LocalWalk> walk, StartWalk(request));
  ListPage page;
  std::string last;
  while (true) {
    QUAY_TRY(bucket_.CheckCall(call));
    QUAY_ASSIGN(std::optional<LocalWalk::Item> item, walk->Next());
    if (!item) return page;
    if (page.objects.size() + page.common_prefixes.size() == limit) {
      walk->PutBack(std::move(*item));
      page.next_token = ParkWalk(std::move(walk), last);
      return page;
    }
    last = item->text;
    if (item->is_prefix) {
      page.common_prefixes.push_back(std::move(item->text));
    } else if (auto info = Describe(item->text)) {
      page.objects.push_back(std::move(*info));
    }
  }
}

}  // namespace quayfs
