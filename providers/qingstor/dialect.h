// SPDX-License-Identifier: Apache-2.0
//
// QingStor's own API as a dialect of the S3 client: X-QS-* headers, JSON documents, the QS
// signature, and zones that are found by redirect. Facts: protocol.md 2.1 to 2.7.

#pragma once

#include "s3/dialect.h"

namespace quayfs::qingstor {

const s3::Dialect& Dialect();

}  // namespace quayfs::qingstor
