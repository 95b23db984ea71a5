// SPDX-License-Identifier: Apache-2.0

#include "fs/program/set_aside_list.h"

#include <sys/stat.h>

#include <utility>

#include "cache/left_files.h"

namespace quayfs::program {
namespace {

constexpr uint64_t kBlockBytes = 512;  // of st_blocks

uint64_t BytesOnDisk(const std::string& path) {
  struct stat info {};
  return ::lstat(path.c_str(), &info) == 0 ? static_cast<uint64_t>(info.st_blocks) * kBlockBytes
                                           : 0;
}

}  // namespace

std::vector<SetAside> ListSetAside(StateDb& state, Disk& disk) {
  std::vector<SetAside> list;
  // A database that cannot be read says so wherever it matters.
  Ignore(state.ReadNotes([&](const NoteRow& note) {
    if (note.kind != kSetAsideNote || note.path.empty() || !disk.Stat(note.path)) return;
    list.push_back({note.path, BytesOnDisk(note.path), WallTime(Duration(note.at)), note.text});
  }));
  return list;
}

}  // namespace quayfs::program
