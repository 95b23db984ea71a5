// SPDX-License-Identifier: Apache-2.0
//
// Control sockets of daemons that were killed. A socket gets its name only once somebody listens
// (fs/program/control_server.cc), so one that refuses is dead; but any moment another daemon may
// put its own in the place of a dead one.

#pragma once

#include <string>

namespace quayfs::program {

/// Takes away the control socket `name` in `directory` (an open directory, whose path is `path`) if
/// nobody listens at it. One that somebody listens at stays or, if it came in between, is back at
/// once. Thread-safe, and safe beside other processes that do the same. May wait for a daemon that
/// does not answer, as ControlClient::Connect does.
void RemoveDeadSocket(const std::string& path, int directory, const std::string& name);

/// All that are there.
void RemoveDeadSockets(const std::string& path, int directory);

}  // namespace quayfs::program
