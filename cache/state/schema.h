// SPDX-License-Identifier: Apache-2.0
//
// The tables of the state database, as steps from one version to the next. A new database takes all
// the steps; an older one those that it lacks. FORMAT.md describes what they come to.

#pragma once

#include <cstdint>
#include <span>

#include "base/result.h"
#include "cache/state/sqlite.h"

namespace quayfs {

/// "quay": in the header of every state database.
constexpr int64_t kStateApplicationId = 0x71756179;

/// steps[n] makes version n + 1 out of version n. A step that changes the columns of a table has to
/// compute the checksum column again: `UPDATE t SET crc = row_checksum(all others, in order)`.
struct SchemaStep {
  const char* sql;
};

std::span<const SchemaStep> SchemaSteps();

/// One transaction from version `from` to the last one; PRAGMA user_version says so.
Status TakeSchemaSteps(SqlConnection& connection, std::span<const SchemaStep> steps, int64_t from);

}  // namespace quayfs
