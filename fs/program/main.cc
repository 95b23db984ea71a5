// SPDX-License-Identifier: Apache-2.0

#include "fs/program/command_line.h"

int main(int argc, char** argv) { return quayfs::program::RunProgram(argc, argv); }
