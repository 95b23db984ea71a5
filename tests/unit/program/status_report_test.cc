// SPDX-License-Identifier: Apache-2.0

#include "fs/program/status_report.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

namespace quayfs::program {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

StatusFacts Facts() {
  StatusFacts facts;
  facts.mount_point = "/mnt/n";
  facts.store = "s3://nightly";
  facts.pid = 42;
  facts.started = WallTime(std::chrono::seconds(1000));
  facts.now = WallTime(std::chrono::seconds(1061));
  facts.pending.files = 3;
  facts.pending.bytes = 1536;
  facts.pending.last_error = "the store is away\nfor a while";
  facts.state = "serving";
  return facts;
}

MountConfig Config() {
  MountConfig config;
  config.path = "/etc/quayfs/n.toml";
  config.store.credentials.secret_access_key = "very-secret";
  config.cache.directory = "/var/cache/quayfs/n";
  return config;
}

TEST(StatusReport, SaysWhatIsPending) {
  const nlohmann::json status = MakeStatus(Facts(), Config());
  EXPECT_EQ(status.at("uptime_seconds"), 61);
  EXPECT_EQ(status.at("pending").at("bytes"), 1536);
  EXPECT_THAT(status.dump(), Not(HasSubstr("very-secret")));
  const std::string text = RenderStatus(status);
  EXPECT_THAT(text, HasSubstr("3 files, 1.5 KiB, not in the bucket yet"));
  EXPECT_THAT(text, HasSubstr("pid 42, serving for 1 min 1 s"));
  EXPECT_THAT(text, HasSubstr("the store is away; for a while"));
}

TEST(StatusReport, SaysThatAllIsWell) {
  StatusFacts facts = Facts();
  facts.pending = {};
  const std::string text = RenderStatus(MakeStatus(facts, Config()));
  EXPECT_THAT(text, HasSubstr("everything is in the bucket"));
  EXPECT_THAT(text, Not(HasSubstr("last error")));
}

TEST(StatusReport, SaysWhatWaitsAndWhy) {
  StatusFacts facts = Facts();
  facts.pending.removals = 2;
  facts.pending.in_flight = 4;
  facts.pending.oldest = std::chrono::seconds(3700);
  facts.pending.store_away = true;
  facts.pending.retried = {{"a/b", "unavailable: no answer", 7}};
  facts.pending.conflicts = 1;
  facts.pending.conflict_files = {"x.conflict-h-1"};
  facts.set_aside = {{"/var/cache/quayfs/n/set-aside/7-x", 4096, WallTime(std::chrono::seconds(5)),
                      "'d/f': it was never synced"}};
  const nlohmann::json status = MakeStatus(facts, Config());
  const nlohmann::json& pending = status.at("pending");
  EXPECT_EQ(pending.at("removals"), 2);
  EXPECT_EQ(pending.at("in_flight"), 4);
  EXPECT_EQ(pending.at("oldest_seconds"), 3700);
  EXPECT_EQ(pending.at("store_away"), true);
  EXPECT_EQ(pending.at("retried").at(0).at("path"), "a/b");
  EXPECT_EQ(pending.at("retried").at(0).at("failures"), 7);
  EXPECT_EQ(status.at("conflicts"), 1);
  EXPECT_EQ(status.at("conflict_files").at(0), "x.conflict-h-1");
  const nlohmann::json& aside = status.at("set_aside").at(0);
  EXPECT_EQ(aside.at("path"), "/var/cache/quayfs/n/set-aside/7-x");
  EXPECT_EQ(aside.at("bytes"), 4096);
  EXPECT_EQ(aside.at("at"), "1970-01-01T00:00:05.000Z");
  const std::string text = RenderStatus(status);
  for (const char* words :
       {"2 objects still to be removed", "oldest for 1 h 1 min", "does not answer",
        "a/b: unavailable: no answer (7 failures)", "1 time somebody else",
        "x.conflict-h-1: kept beside",
        "set-aside/7-x, 4 KiB, 1970-01-01T00:00:05.000Z: 'd/f': it was never synced"})
    EXPECT_THAT(text, HasSubstr(words));
}

TEST(StatusReport, SaysWhatTheStoreHonoursAndHowThatIsKnown) {
  StatusFacts facts = Facts();
  facts.capabilities_at_start.multipart = true;
  facts.capabilities_at_start.put_if_absent = true;
  facts.capabilities_at_start.put_if_match = false;
  facts.capabilities_at_start.copy = true;
  facts.capabilities = facts.capabilities_at_start;
  facts.capabilities.copy = false;
  facts.probe.emplace();
  facts.probe->probed = WallTime(std::chrono::seconds(500));
  facts.probe->report.put_if_absent = ProbeVerdict::kHonoured;
  facts.probe->report.put_if_match = ProbeVerdict::kIgnored;
  facts.probe->report.copy = ProbeVerdict::kHonoured;
  facts.probe_note = "of 1970-01-01";
  const nlohmann::json status = MakeStatus(facts, Config());
  EXPECT_EQ(status.at("capabilities").at("put_if_absent"), true);
  EXPECT_EQ(status.at("capabilities_from").at("put_if_absent"), "probe");
  EXPECT_EQ(status.at("capabilities_from").at("put_if_match"), "probe");
  EXPECT_EQ(status.at("capabilities_from").at("multipart"), "profile");
  EXPECT_EQ(status.at("capabilities").at("copy"), false);
  EXPECT_EQ(status.at("capabilities_from").at("copy"), "reply");
  EXPECT_EQ(status.at("probe").at("probed"), "1970-01-01T00:08:20.000Z");
  const std::string text = RenderStatus(status);
  EXPECT_THAT(text, HasSubstr("put_if_absent (probe)"));
  EXPECT_THAT(text, HasSubstr("copy (reply)"));
  EXPECT_THAT(text, HasSubstr("of 1970-01-01"));
}

TEST(StatusReport, LivesWithMissingFields) {
  EXPECT_NE(RenderStatus(nlohmann::json::object()), "");
  EXPECT_NE(RenderStatus({{"pending", 5}, {"cache", nullptr}, {"mount_point", 7}}), "");
}

TEST(FormatDuration, PicksTwoUnits) {
  EXPECT_EQ(FormatDuration(0), "0 s");
  EXPECT_EQ(FormatDuration(61), "1 min 1 s");
  EXPECT_EQ(FormatDuration(7260), "2 h 1 min");
  EXPECT_EQ(FormatDuration(93784), "1 d 2 h");
}

}  // namespace
}  // namespace quayfs::program
