// SPDX-License-Identifier: Apache-2.0

#include "fs/program/watch.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "base/text.h"

namespace quayfs::program {
namespace {

using nlohmann::json;
using ::testing::HasSubstr;
using ::testing::Not;

constexpr SteadyTime kStart{std::chrono::hours(1)};

json StatusWith(uint64_t sent, uint64_t puts, double seconds) {
  return {
      {"mount_point", "/mnt/n"},
      {"store", "s3://nightly"},
      {"pid", 42},
      {"state", "serving"},
      {"uptime_seconds", 61},
      {"pending", {{"files", 2}, {"bytes", 3072}, {"oldest_seconds", 5}}},
      {"traffic",
       {{"sent_bytes", sent},
        {"received_bytes", 512},
        {"retries", puts / 10},
        {"throttled", 0},
        {"requests", {{"put", {{"count", puts}, {"failed", puts / 20}, {"seconds", seconds}}}}}}},
      {"cache", {{"clean_bytes", 512 << 20}, {"size_limit", 1 << 30}}}};
}

TEST(Watch, ShowsWhatChangedBetweenTwoLooks) {
  Watch watch;
  const std::string first = watch.Render(StatusWith(1 << 20, 10, 1), kStart, 80);
  EXPECT_THAT(first, HasSubstr("  up         ...\n"));
  EXPECT_THAT(first, HasSubstr("  pending    2 files, 3 KiB, the oldest for 5 s\n"));
  EXPECT_THAT(first, HasSubstr("  cache      [##########..........] 512 MiB of 1 GiB\n"));
  EXPECT_THAT(first, HasSubstr("  conflicts  none\n"));
  const std::string second =
      watch.Render(StatusWith(5 << 20, 50, 3), kStart + std::chrono::seconds(2), 80);
  EXPECT_THAT(second, HasSubstr("  up         2 MiB/s\n"));
  EXPECT_THAT(second, HasSubstr("  down       0 B/s\n"));
  EXPECT_THAT(second, HasSubstr("  requests   20.0/s, 50 ms each, 2 failed, 4 tried again\n"));
  EXPECT_THAT(second, HasSubstr("             put 20.0/s 50 ms\n"));
  EXPECT_THAT(second, Not(HasSubstr("throttled")));
}

TEST(Watch, AnotherDaemonAtThePlaceBeginsAnew) {
  Watch watch;
  watch.Render(StatusWith(9 << 20, 90, 9), kStart, 80);
  json other = StatusWith(1 << 20, 10, 1);
  other["pid"] = 43;
  EXPECT_THAT(watch.Render(other, kStart + std::chrono::seconds(1), 80),
              HasSubstr("  up         ...\n"));
}

TEST(Watch, NoLineIsLongerThanTheTerminalNorHasAnythingOddInIt) {
  Watch watch;
  json status = StatusWith(1, 1, 1);
  status["last_error"] = std::string(300, 'x') + "\x1b[2J\n";
  status["pending"]["retried"] = {{{"path", std::string(300, 'y')}, {"error", "e"}}, 3};
  status["conflict_files"] = {"a\nb", "c", "d", "e"};
  status["conflicts"] = 4;
  const std::string text = watch.Render(status, kStart, 40);
  for (const std::string_view line : Split(text, '\n')) EXPECT_LE(line.size(), 40U);
  EXPECT_EQ(text.find('\x1b'), std::string::npos);
  EXPECT_THAT(text, HasSubstr("4 since the mount, 4 to be"));
  // An older daemon, or one of a local store, has no traffic to tell of.
  EXPECT_THAT(watch.Render(json::object(), kStart, 40), HasSubstr("pending"));
}

}  // namespace
}  // namespace quayfs::program
