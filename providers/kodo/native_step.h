// SPDX-License-Identifier: Apache-2.0

#pragma once

#include <cstddef>
#include <string>

namespace quayfs::kodo {

/// So many steps go into one request.
inline constexpr size_t kBatchMax = 1000;

/// One step of a batch.
struct NativeStep {
  enum class Kind { kMove, kDelete };
  Kind kind = Kind::kDelete;
  std::string key;
  std::string target;    // of a move
  bool replace = false;  // of a move
};

}  // namespace quayfs::kodo
