// SPDX-License-Identifier: Apache-2.0
//
// The control surface for scripts, on the S3 port, without signatures and outside log and counters:
//
//   GET  /_quayfs/counts          {"counts": {OPERATION: N, ...}, "max_concurrent": N}
//   GET  /_quayfs/log             one JSON object per line and request
//   POST /_quayfs/reset           forgets log, counts and MaxConcurrent
//   POST /_quayfs/fault           adds the fault in the JSON body: {"kind": "status", "operation":
//   "PutObject", ...},
//                                 with the names of struct Fault as keys
//   POST /_quayfs/clear-faults
//   POST /_quayfs/delay?ms=N
//   GET  /_quayfs/keys?bucket=B   {"keys": [...], "unfinished_uploads": N}
//   GET  /_quayfs/certificate     PEM, of a TLS server

#pragma once

#include <string>

#include "tests/server/server_core.h"

namespace quayfs::testserver {

inline constexpr char kControlPath[] = "/_quayfs/";

Reply HandleControl(ServerCore& core, const RequestHead& head, const std::string& body);

/// A fault from JSON; kInvalidArgument names what is wrong with it.
Result<Fault> ParseFault(const std::string& json);

}  // namespace quayfs::testserver
