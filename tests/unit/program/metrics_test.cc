// SPDX-License-Identifier: Apache-2.0

#include "fs/program/metrics.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/text.h"

namespace quayfs::program {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

TEST(Metrics, SayWhatHasBeenCounted) {
  s3::RequestCounters requests;
  requests.Count(s3::RequestKind::kPut, 200, std::chrono::milliseconds(20), 100, 0);
  requests.Count(s3::RequestKind::kPut, 503, std::chrono::milliseconds(300), 100, 0);
  requests.Count(s3::RequestKind::kGet, 0, std::chrono::seconds(40), 0, 5);
  MetricsFacts facts;
  facts.mount_point = "/mnt/a \"b\"";
  facts.store = "s3://x";
  facts.pending.files = 3;
  facts.pending.oldest = std::chrono::seconds(90);
  facts.requests = &requests;
  facts.operations = {{"lookup", 7, 2}, {"link", 0, 0}};
  const std::string text = MakeMetrics(facts);
  const std::string mount = "mount=\"/mnt/a \\\"b\\\"\"";
  for (const std::string& line : {
           "quayfs_requests_total{" + mount +
               ",operation=\"put\",status=\"2xx\",price=\"write\"} 1\n",
           "quayfs_requests_total{" + mount +
               ",operation=\"put\",status=\"5xx\",price=\"write\"} 1\n",
           "quayfs_requests_total{" + mount +
               ",operation=\"get\",status=\"none\",price=\"read\"} 1\n",
           "quayfs_request_duration_seconds_bucket{" + mount +
               ",operation=\"put\",le=\"0.025\"} 1\n",
           "quayfs_request_duration_seconds_bucket{" + mount + ",operation=\"put\",le=\"0.5\"} 2\n",
           "quayfs_request_duration_seconds_bucket{" + mount + ",operation=\"get\",le=\"30\"} 0\n",
           "quayfs_request_duration_seconds_bucket{" + mount +
               ",operation=\"get\",le=\"+Inf\"} 1\n",
           "quayfs_throttled_total{" + mount + "} 1\n",
           "quayfs_sent_bytes_total{" + mount + "} 200\n",
           "quayfs_received_bytes_total{" + mount + "} 5\n",
           "quayfs_pending_files{" + mount + "} 3\n",
           "quayfs_oldest_pending_seconds{" + mount + "} 90\n",
           "quayfs_cache_total{" + mount + ",operation=\"lookup\",result=\"hit\"} 5\n",
           "quayfs_cache_total{" + mount + ",operation=\"lookup\",result=\"miss\"} 2\n",
           "quayfs_fuse_operations_total{" + mount + ",operation=\"lookup\"} 7\n",
       }) {
    EXPECT_THAT(text, HasSubstr(line));
  }
  EXPECT_THAT(text, Not(HasSubstr("operation=\"link\"")));
}

TEST(Metrics, OfSeveralMountsKeepEachMetricTogether) {
  MetricsFacts facts;
  facts.mount_point = "/a";
  const std::string first = MakeMetrics(facts);
  facts.mount_point = "/b";
  const std::string merged = MergeMetrics({first, MakeMetrics(facts)});
  EXPECT_THAT(merged, HasSubstr("quayfs_pending_files{mount=\"/a\"} 0\n"
                                "quayfs_pending_files{mount=\"/b\"} 0\n"));
  size_t types = 0;
  for (const std::string_view line : Split(merged, '\n'))
    if (line == "# TYPE quayfs_pending_files gauge") ++types;
  EXPECT_EQ(types, 1U);
  EXPECT_EQ(MergeMetrics({}), "");
}

}  // namespace
}  // namespace quayfs::program
