// SPDX-License-Identifier: Apache-2.0

#pragma once

namespace quayfs::program {

/// The whole program: reads the command line and runs the command. Returns the exit status.
int RunProgram(int argc, char** argv);

}  // namespace quayfs::program
