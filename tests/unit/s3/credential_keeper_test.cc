// SPDX-License-Identifier: Apache-2.0

#include "s3/credential_keeper.h"

#include <gtest/gtest.h>

#include <deque>

#include "tests/unit/s3/client_fixture.h"

namespace quayfs::s3 {
namespace {

using std::chrono::minutes;
using std::chrono::seconds;

/// Answers from a list; the last answer stays.
class Scripted final : public CredentialSource {
 public:
  Result<IssuedCredentials> Fetch(const CallOptions& /*call*/) override {
    ++fetches;
    Result<IssuedCredentials> next = answers.front();
    if (answers.size() > 1) answers.pop_front();
    return next;
  }
  bool MayHaveChanged() override {
    ++looks;
    return changed;
  }
  void Then(const std::string& key, std::optional<WallTime> expires = std::nullopt) {
    answers.push_back(IssuedCredentials{{key, "secret-of-" + key, ""}, expires});
  }
  void ThenFails() { answers.push_back(Error(Code::kUnauthenticated, "nobody is there")); }

  std::deque<Result<IssuedCredentials>> answers;
  int fetches = 0;
  int looks = 0;
  bool changed = false;
};

class Keeper : public ::testing::Test {
 protected:
  std::string Key() {
    const auto signing = keeper_.Current({});
    return signing ? (*signing)->keys.access_key_id : signing.error().message();
  }
  WallTime In(Duration time) { return clock_.Now() + time; }

  ManualClock clock_{ParseIso("2013-05-24T00:00:00Z").value()};
  std::shared_ptr<Scripted> source_ = std::make_shared<Scripted>();
  CredentialKeeper keeper_{{}, source_, clock_};
};

TEST_F(Keeper, AsksOnceWhileTheyAreGood) {
  source_->Then("a");
  EXPECT_EQ(Key(), "a");
  EXPECT_EQ(Key(), "a");
  clock_.Advance(std::chrono::hours(1000));
  EXPECT_EQ(Key(), "a");
  EXPECT_EQ(source_->fetches, 1);
}

TEST_F(Keeper, RenewsFiveMinutesBeforeTheEnd) {
  source_->Then("a", In(minutes(60)));
  source_->Then("b", In(minutes(120)));
  EXPECT_EQ(Key(), "a");
  clock_.Advance(minutes(54));
  EXPECT_EQ(Key(), "a");
  clock_.Advance(minutes(1));
  EXPECT_EQ(Key(), "b");
  EXPECT_EQ(source_->fetches, 2);
}

TEST_F(Keeper, ASourceThatFailsIsNoTroubleUntilTheEnd) {
  source_->Then("a", In(minutes(10)));
  source_->ThenFails();
  EXPECT_EQ(Key(), "a");
  clock_.Advance(minutes(6));
  EXPECT_EQ(Key(), "a");
  EXPECT_EQ(Key(), "a");
  EXPECT_EQ(source_->fetches, 2) << "not with every request";
  clock_.Advance(seconds(31));
  EXPECT_EQ(Key(), "a");
  EXPECT_EQ(source_->fetches, 3);
  clock_.Advance(minutes(4));
  EXPECT_EQ(Key(), "nobody is there");
}

TEST_F(Keeper, LooksForChangesNowAndThen) {
  source_->Then("a");
  source_->Then("b");
  EXPECT_EQ(Key(), "a");
  source_->changed = true;
  clock_.Advance(seconds(6));
  EXPECT_EQ(Key(), "b");
  source_->changed = false;
  const int looks = source_->looks;
  for (int i = 0; i < 10; ++i) EXPECT_EQ(Key(), "b");
  EXPECT_LE(source_->looks, looks + 1);
}

TEST_F(Keeper, RefusedOnesAreReplacedOnce) {
  source_->Then("a");
  source_->Then("b");
  const auto old = keeper_.Current({}).value();
  EXPECT_TRUE(keeper_.Replace(old, {}));
  EXPECT_TRUE(keeper_.Replace(old, {})) << "done by another request";
  EXPECT_EQ(source_->fetches, 2);
  const auto now = keeper_.Current({}).value();
  EXPECT_FALSE(keeper_.Replace(now, {})) << "the source has no others";
}

TEST_F(Keeper, WithoutASourceTheyAreFixed) {
  CredentialKeeper fixed({"k", "s", ""}, nullptr, clock_);
  const auto signing = fixed.Current({}).value();
  EXPECT_EQ(signing->keys.access_key_id, "k");
  EXPECT_FALSE(fixed.Replace(signing, {}));
}

// ---- In the client.

class Renewal : public ClientTest {
 protected:
  Renewal() {
    source_->Then("first");
    source_->Then("second");
    config_.credentials = {};
    config_.credential_source = source_;
  }
  std::shared_ptr<Scripted> source_ = std::make_shared<Scripted>();
};

TEST_F(Renewal, AnExpiredTokenIsRenewedAndTheRequestSentAgain) {
  http_.Then(400, ErrorBody("ExpiredToken"));
  http_.Then(200, "", {{"ETag", "\"e\""}, {"Content-Length", "1"}});
  const auto head = client().Head("k", call_);
  ASSERT_TRUE(head.ok()) << head.error().ToString();
  ExpectScriptUsed(2);
  EXPECT_NE(http_.sent()[0].header("authorization").find("Credential=first/"), std::string::npos);
  EXPECT_NE(http_.sent()[1].header("authorization").find("Credential=second/"), std::string::npos);
}

TEST_F(Renewal, OnlyOnce) {
  source_->Then("third");
  http_.Then(403, ErrorBody("InvalidAccessKeyId"));
  http_.Then(403, ErrorBody("InvalidAccessKeyId"));
  EXPECT_TRUE(client().Head("k", call_).Is(Code::kUnauthenticated));
  ExpectScriptUsed(2);
}

TEST_F(Renewal, ASourceWithoutCredentialsFailsTheRequestUnsent) {
  source_->answers.clear();
  source_->ThenFails();
  const auto head = client().Head("k", call_);
  ASSERT_TRUE(head.Is(Code::kUnauthenticated));
  EXPECT_NE(head.error().message().find("nobody is there"), std::string::npos);
  ExpectScriptUsed(0);
}

TEST_F(Renewal, KeysOfTheConfigAreNotAskedForAgain) {
  config_.credentials = {"AK", "SK", ""};
  config_.credential_source = nullptr;
  http_.Then(400, ErrorBody("ExpiredToken"));
  EXPECT_TRUE(client().Head("k", call_).Is(Code::kUnauthenticated));
  ExpectScriptUsed(1);
}

}  // namespace
}  // namespace quayfs::s3
