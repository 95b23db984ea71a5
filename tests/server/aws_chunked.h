// SPDX-License-Identifier: Apache-2.0
//
// Takes the aws-chunked encoding off a body and checks the signature of each chunk and of the
// trailers (protocol.md 3.1).

#pragma once

#include <memory>

#include "tests/server/payload.h"

namespace quayfs::testserver {

/// `decoded_length` is what x-amz-decoded-content-length announced.
std::unique_ptr<PayloadReader> MakeAwsChunkedReader(RequestBody& body, const Identity& identity,
                                                    uint64_t decoded_length);

}  // namespace quayfs::testserver
