// SPDX-License-Identifier: Apache-2.0
//
// What the state database costs: microseconds per batch, and seconds to open and load one.
//
//   bench_state_db [--directory DIR] [--rows N]
//
// Each line also names the slowest batch of its run: that is where a checkpoint or a flush shows.

#include "cache/state/state_db.h"

#include <fmt/format.h>
#include <stdlib.h>  // NOLINT(modernize-deprecated-headers): mkdtemp

#include <CLI/CLI.hpp>
#include <algorithm>
#include <chrono>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "base/result.h"

namespace quayfs::bench {
namespace {

using Clock = std::chrono::steady_clock;

double MicrosSince(Clock::time_point start) {
  return std::chrono::duration<double, std::micro>(Clock::now() - start).count();
}

InodeRow Inode(uint64_t ino) {
  InodeRow row;
  row.ino = ino;
  row.parent = 1 + ino / 100;
  row.name = fmt::format("file-{:08}.dat", ino);
  row.mode = 0100644;
  row.uid = row.gid = 1000;
  row.size = 4096;
  row.atime = row.mtime = row.ctime = 1'700'000'000'000'000'000;
  row.version = {fmt::format("backups/2026/{:04}/file-{:08}.dat", ino / 100, ino),
                 "\"d41d8cd98f00b204e9800998ecf8427e\"", 4096, 1'700'000'000};
  row.properties.content_type = "application/octet-stream";
  row.properties.metadata = {
      {"mode", "33188"}, {"uid", "1000"}, {"gid", "1000"}, {"mtime", "1700000000.000000000"}};
  return row;
}

ContentRow Content(uint64_t ino) {
  ContentRow row;
  row.ino = ino;
  row.size = 4096;
  row.generation = 1;
  row.modified = true;
  row.base = {fmt::format("backups/2026/{:04}/file-{:08}.dat", ino / 100, ino),
              "\"d41d8cd98f00b204e9800998ecf8427e\"", 4096, 1'700'000'000};
  return row;
}

Status Run(StateDb& db, const char* what, int count, Persist persist,
           const std::function<StateBatch(uint64_t number)>& make) {
  std::vector<double> micros;
  micros.reserve(static_cast<size_t>(count));
  const auto start = Clock::now();
  for (int i = 0; i < count; ++i) {
    StateBatch batch = make(static_cast<uint64_t>(i));
    const auto before = Clock::now();
    QUAY_TRY(db.Apply(std::move(batch), persist));
    micros.push_back(MicrosSince(before));
  }
  const double all = MicrosSince(start);
  std::sort(micros.begin(), micros.end());
  fmt::print("{:44} mean {:8.1f} µs  median {:8.1f}  99.9 % {:8.1f}  slowest {:9.1f}\n", what,
             all / count, micros[micros.size() / 2], micros[micros.size() * 999 / 1000],
             micros.back());
  return {};
}

Status Measure(const std::string& directory, uint64_t rows) {
  const StateIdentity identity = {"bench"};
  {
    QUAY_ASSIGN(const std::unique_ptr<StateDb> db, StateDb::Open(directory, identity));
    const auto start = Clock::now();
    for (uint64_t ino = 1; ino <= rows;) {
      StateBatch batch;
      for (int i = 0; i < 1000 && ino <= rows; ++i) batch.PutInode(Inode(ino++));
      QUAY_TRY(db->Apply(std::move(batch), Persist::kSurvivesKill));
    }
    fmt::print("{} inodes in batches of 1000: {:.1f} µs each\n", rows,
               MicrosSince(start) / static_cast<double>(rows));

    QUAY_TRY(Run(*db, "PutInode, new", 50'000, Persist::kSurvivesKill, [rows](uint64_t i) {
      return std::move(StateBatch().PutInode(Inode(rows + 1 + i)));
    }));
    QUAY_TRY(
        Run(*db, "PutInode, any of them again", 50'000, Persist::kSurvivesKill, [rows](uint64_t i) {
          return std::move(StateBatch().PutInode(Inode(1 + i * 7919 % rows)));
        }));
    QUAY_TRY(Run(
        *db, "PutInode + PutContent + AddDirty, new", 50'000, Persist::kSurvivesKill,
        [rows](uint64_t i) {
          const uint64_t ino = rows + 60'001 + i;
          return std::move(
              StateBatch().PutInode(Inode(ino)).PutContent(Content(ino)).AddDirty(ino, {0, 4096}));
        }));
    QUAY_TRY(
        Run(*db, "PutContent + AddDirty, one file growing", 50'000, Persist::kSurvivesKill,
            [](uint64_t i) {
              return std::move(
                  StateBatch().PutContent(Content(5)).AddDirty(5, {i * 4096, i * 4096 + 4096}));
            }));
    QUAY_TRY(Run(*db, "PutInode, flushed", 500, Persist::kSurvivesPowerCut, [rows](uint64_t i) {
      return std::move(StateBatch().PutInode(Inode(1 + i * 7919 % rows)));
    }));
    const auto closing = Clock::now();
    fmt::print("{:44} ", "now closing");
    (void)closing;
  }
  fmt::print("closed, {} MB\n", std::filesystem::file_size(directory + "/state.db") / 1'000'000);
  const auto start = Clock::now();
  QUAY_ASSIGN(const std::unique_ptr<StateDb> db, StateDb::Open(directory, identity));
  const double opened = MicrosSince(start);
  uint64_t read = 0;
  QUAY_TRY(db->ReadInodes([&read](const InodeRow&) { ++read; }));
  fmt::print("open {:.3f} s, read {} inodes {:.3f} s\n", opened / 1e6, read,
             (MicrosSince(start) - opened) / 1e6);
  return {};
}

int Main(int argc, char** argv) {
  CLI::App app("What the state database costs.");
  std::string parent = std::filesystem::temp_directory_path().string();
  uint64_t rows = 100'000;
  app.add_option("--directory", parent, "where to make a temporary directory");
  app.add_option("--rows", rows, "inodes")->check(CLI::PositiveNumber);
  CLI11_PARSE(app, argc, argv);
  std::string directory = parent + "/quayfs-bench-XXXXXX";
  if (mkdtemp(directory.data()) == nullptr) {
    fmt::print(stderr, "cannot make a directory in {}\n", parent);
    return 1;
  }
  const Status measured = Measure(directory, rows);
  std::filesystem::remove_all(directory);
  if (measured) return 0;
  fmt::print(stderr, "{}\n", measured.error().ToString());
  return 1;
}

}  // namespace
}  // namespace quayfs::bench

int main(int argc, char** argv) { return quayfs::bench::Main(argc, argv); }
