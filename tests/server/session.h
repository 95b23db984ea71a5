// SPDX-License-Identifier: Apache-2.0
//
// One connection from its first request to its end: reads requests, picks faults, lets the service
// answer, logs.

#pragma once

#include "tests/server/server_core.h"

namespace quayfs::testserver {

/// Serves `fd` until the client or the server is done with it. Does not close it, but has arranged
/// for a RST if closing shall send one. Blocking.
void ServeConnection(ServerCore& core, int fd);

}  // namespace quayfs::testserver
