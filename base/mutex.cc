// SPDX-License-Identifier: Apache-2.0

#include "base/mutex.h"

#ifndef NDEBUG
#include <array>
#include <cstddef>
#include <cstdio>
#include <cstdlib>
#endif

namespace quayfs::internal {

// Callers are the same in every build, so that rooms built with and without NDEBUG can be linked
// together.
#ifdef NDEBUG

void PushRank(LockRank /*rank*/) {}
void PopRank(LockRank /*rank*/) {}

#else

namespace {

constexpr size_t kMaxHeld = 32;

struct HeldRanks {
  std::array<LockRank, kMaxHeld> ranks;
  size_t count;
};

// Trivially destructible on purpose: locks are taken in destructors of other thread-local objects
// too.
thread_local HeldRanks held = {};

[[noreturn]] void Fail(const char* what, LockRank rank) {
  std::fprintf(stderr, "lock order: %s rank %d while holding", what, static_cast<int>(rank));
  for (size_t i = 0; i < held.count; ++i) {
    std::fprintf(stderr, " %d", static_cast<int>(held.ranks[i]));
  }
  std::fprintf(stderr, "%s\n", held.count == 0 ? " nothing" : "");
  std::fflush(stderr);
  std::abort();
}

}  // namespace

void PushRank(LockRank rank) {
  for (size_t i = 0; i < held.count; ++i) {
    if (held.ranks[i] >= rank) Fail("taking", rank);
  }
  if (held.count == kMaxHeld) Fail("too many locks, taking", rank);
  held.ranks[held.count++] = rank;
}

void PopRank(LockRank rank) {
  // Locks may be released in any order.
  for (size_t i = held.count; i-- > 0;) {
    if (held.ranks[i] != rank) continue;
    for (size_t j = i + 1; j < held.count; ++j) held.ranks[j - 1] = held.ranks[j];
    --held.count;
    return;
  }
  Fail("releasing", rank);
}

#endif

}  // namespace quayfs::internal
