// SPDX-License-Identifier: Apache-2.0
//
// Option names of other file systems over object stores (s3fs above all), so that a line of fstab
// written for them works or says what to write instead. Names that are options of ours as well, or
// aliases in the option table, are found here first, so that their values can be converted.
//
// Only -o looks here: a mount config uses our own names.

#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace quayfs {

/// What a foreign option means here.
struct ForeignOption {
  enum class Meaning {
    kNone,    // nobody else has it, or it is meant as ours
    kRename,  // it is `target`, with a converted value
    kIgnore,  // nothing has to be said: `why`
    kRefuse,  // it cannot be said with -o: `why` tells what to do
  };
  Meaning meaning = Meaning::kNone;
  std::string target;  // a name as -o takes it
  std::string value;   // converted; kRename only
  /// For a person; empty for what is dropped without a word.
  std::string hint;
};

/// Names compare without case, '-' and '_' are alike, leading dashes do not matter. An error if the
/// value makes no sense.
Result<ForeignOption> FindForeignOption(std::string_view name,
                                        const std::optional<std::string>& value);

/// All names, for the nearest one to a mistake.
std::vector<std::string> ForeignOptionNames();

}  // namespace quayfs
