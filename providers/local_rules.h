// SPDX-License-Identifier: Apache-2.0
//
// What a local store accepts and how it judges conditions. Pure functions, thread-safe.

#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "base/result.h"
#include "providers/local_record.h"
#include "providers/object_store.h"

namespace quayfs {

Capabilities LocalCapabilities();

/// kInvalidArgument (empty), kNameTooLong.
Status CheckLocalKey(std::string_view key);
/// kInvalidArgument for a metadata name that could not be a header or is not lower case, or a
/// property with control bytes; kTooLarge.
Status CheckLocalProperties(const ObjectProperties& properties);
/// `etag` is that of the object at the destination, nothing if there is none. kAlreadyExists,
/// kChanged.
Status CheckLocalCondition(const Condition& condition, const std::optional<std::string>& etag,
                           std::string_view key);

/// A key for a message: control bytes are escaped.
std::string ShownKey(std::string_view key);

ObjectHead LocalHead(const std::string& key, LocalRecord record);
/// As much of `range` as the object has. kInvalidArgument if that is nothing.
Result<ByteRange> LocalRange(const std::optional<ByteRange>& range, uint64_t size,
                             std::string_view key);

}  // namespace quayfs
