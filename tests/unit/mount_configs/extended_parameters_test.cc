// SPDX-License-Identifier: Apache-2.0

#include "mount-configs/extended_parameters.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace quayfs {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

struct Outcome {
  MountConfig config;
  ExtendedFindings findings;
};

Outcome Read(std::string_view text, std::string endpoint = "https://s3.example.org") {
  Outcome outcome;
  outcome.config.store.endpoint = std::move(endpoint);
  const std::vector<ExtendedParameter> parameters = SplitExtendedParameters(text, outcome.findings);
  ApplyExtendedParameters(parameters, outcome.config, outcome.findings);
  CheckExtendedParameters(outcome.config, outcome.findings);
  return outcome;
}

std::string OneError(std::string_view text, std::string endpoint = "https://s3.example.org") {
  const Outcome outcome = Read(text, std::move(endpoint));
  EXPECT_EQ(outcome.findings.errors.size(), 1U) << text;
  return outcome.findings.errors.empty() ? "" : outcome.findings.errors.front();
}

std::string OneWarning(std::string_view text, std::string endpoint = "https://s3.example.org") {
  const Outcome outcome = Read(text, std::move(endpoint));
  EXPECT_THAT(outcome.findings.errors, IsEmpty()) << text;
  EXPECT_EQ(outcome.findings.warnings.size(), 1U) << text;
  return outcome.findings.warnings.empty() ? "" : outcome.findings.warnings.front();
}

constexpr const char* kSha1 = "0123456789abcdef0123456789abcdef01234567";

TEST(ExtendedParameters, TheStringOfTheVendorsDocument) {
  const Outcome outcome = Read(
      "SignatureVersion=4;RetryInterval=30000;RetryCount=6;RetryMode=Standard;"
      "Use_PathStyle=true;Use_ClientMultiUpload=true;Use_UnsignedPayload=true");
  EXPECT_THAT(outcome.findings.errors, IsEmpty());
  EXPECT_THAT(outcome.findings.warnings, IsEmpty());
  const StoreConfig& store = outcome.config.store;
  EXPECT_EQ(store.signature_version, s3::SignatureVersion::kV4);
  EXPECT_EQ(store.retry_interval_ms, 30000);
  EXPECT_EQ(store.retry_count, 6);
  EXPECT_EQ(store.retry_mode, s3::RetryMode::kStandard);
  EXPECT_EQ(store.path_style, true);
  EXPECT_EQ(store.client_multipart, true);
  EXPECT_EQ(store.unsigned_payload, true);
}

TEST(ExtendedParameters, BlanksEmptySegmentsAndCase) {
  const Outcome outcome = Read(" ; retrycount = 0 ;; USE_PATHSTYLE=No; \t");
  EXPECT_THAT(outcome.findings.errors, IsEmpty());
  EXPECT_EQ(outcome.config.store.retry_count, 0);
  EXPECT_EQ(outcome.config.store.path_style, false);
  EXPECT_THAT(Read("").findings.errors, IsEmpty());
  EXPECT_FALSE(Read("").config.store.retry_count.has_value());
}

TEST(ExtendedParameters, DashesAreNotUnderscores) {
  const Outcome outcome = Read("Use-PathStyle=true");
  EXPECT_FALSE(outcome.config.store.path_style.has_value());
  EXPECT_THAT(outcome.findings.warnings, ElementsAre(HasSubstr("did you mean 'Use_PathStyle'?")));
}

TEST(ExtendedParameters, UnknownNamesWarnAndDoNotShowTheirValue) {
  const std::string warning = OneWarning("SecretThing=hunter2");
  EXPECT_THAT(warning, HasSubstr("'SecretThing'"));
  EXPECT_EQ(warning.find("hunter2"), std::string::npos);
}

TEST(ExtendedParameters, TheLastOfTwoWinsWithAWarning) {
  const Outcome outcome = Read("RetryCount=1;RETRYCOUNT=2");
  EXPECT_EQ(outcome.config.store.retry_count, 2);
  EXPECT_THAT(outcome.findings.warnings, ElementsAre(HasSubstr("twice")));
}

TEST(ExtendedParameters, AMissingValueIsAnErrorNotTrue) {
  EXPECT_THAT(OneError("Use_PathStyle"), HasSubstr("Use_PathStyle=VALUE"));
  EXPECT_THAT(OneError("=true"), HasSubstr("no name"));
  EXPECT_THAT(OneError("Use_PathStyle="), HasSubstr("must be true or false"));
}

TEST(ExtendedParameters, IntegersAreDigitsWithinTheRange) {
  for (const char* value :
       {"-1", "+1", "0x10", "1e3", "", " ", "2147483647", "99999999999999999999", "1 2", "6.0"}) {
    EXPECT_THAT(OneError(std::string("RetryCount=") + value),
                AllOf(HasSubstr("'RetryCount'"), HasSubstr("from 0 to 2147483646")));
  }
  EXPECT_EQ(Read("RetryInterval=2147483646").config.store.retry_interval_ms, 2147483646);
}

TEST(ExtendedParameters, SignatureVersionIsNeverGuessed) {
  for (const char* value : {"2", "v2", "V2"}) {
    EXPECT_EQ(Read(std::string("SignatureVersion=") + value).config.store.signature_version,
              s3::SignatureVersion::kV2);
  }
  for (const char* value : {"4", "v4"}) {
    EXPECT_EQ(Read(std::string("SignatureVersion=") + value).config.store.signature_version,
              s3::SignatureVersion::kV4);
  }
  for (const char* value : {"3", "1", "two", "v", "vv2", "x2"}) {
    EXPECT_THAT(OneError(std::string("SignatureVersion=") + value), HasSubstr("SignatureVersion"));
  }
}

TEST(ExtendedParameters, RetryModeAloneIsLenient) {
  EXPECT_EQ(Read("RetryMode=adaptive").config.store.retry_mode, s3::RetryMode::kAdaptive);
  EXPECT_EQ(Read("RetryMode=Legacy").config.store.retry_mode, s3::RetryMode::kLegacy);
  const Outcome wrong = Read("RetryMode=Furious");
  EXPECT_THAT(wrong.findings.errors, IsEmpty());
  EXPECT_EQ(wrong.config.store.retry_mode, s3::RetryMode::kLegacy);
  EXPECT_THAT(wrong.findings.warnings, ElementsAre(HasSubstr("Legacy is used")));
}

TEST(ExtendedParameters, ValuesMayHoldAnEqualsSign) {
  EXPECT_THAT(OneWarning("X=a=b"), HasSubstr("'X'"));
}

TEST(Thumbprint, IsReadAsPeopleCopyIt) {
  const std::string marked =
      "\xE2\x80\x8E"
      "01 23 45 67 89 AB CD EF 01:23:45:67-89-ab-cd-ef 01234567\xE2\x80\x8F";
  const Result<std::string> normal = NormalizeThumbprint(marked);
  ASSERT_TRUE(normal.ok()) << normal.error().message();
  EXPECT_EQ(*normal, kSha1);
  const std::string sha256(64, 'A');
  EXPECT_EQ(*NormalizeThumbprint(sha256), std::string(64, 'a'));
}

TEST(Thumbprint, OtherLengthsAndLettersAreErrors) {
  for (const std::string& text :
       {std::string(), std::string(39, 'a'), std::string(41, 'a'), std::string(63, 'a'),
        std::string(128, 'a'), std::string(39, 'a') + "g", std::string(40, 'a') + "\xE2\x80"}) {
    EXPECT_FALSE(NormalizeThumbprint(text).ok()) << text;
  }
}

TEST(Thumbprint, WhatWasGivenIsShown) {
  EXPECT_THAT(OneError("Cert_thumbprint=12:34:zz"), HasSubstr("not \"12:34:zz\""));
}

TEST(Thumbprint, NeedsHttps) {
  EXPECT_THAT(OneError(std::string("Cert_thumbprint=") + kSha1, "HTTP://s3.example.org"),
              HasSubstr("https://"));
  EXPECT_THAT(Read(std::string("Cert_thumbprint=") + kSha1).findings.errors, IsEmpty());
}

TEST(Thumbprint, WinsOverAllowInsecure) {
  const Outcome outcome = Read(std::string("Allow_Insecure_SSL=true;Cert_thumbprint=") + kSha1);
  EXPECT_EQ(outcome.config.store.certificate_thumbprint, kSha1);
  EXPECT_THAT(outcome.findings.warnings, ElementsAre(HasSubstr("no effect")));
}

TEST(ExtendedParameters, InsecureTlsIsWorthAWarning) {
  EXPECT_THAT(OneWarning("Allow_Insecure_SSL=true"), HasSubstr("not checked"));
  EXPECT_THAT(Read("Allow_Insecure_SSL=true", "http://h").findings.warnings, IsEmpty());
}

TEST(ExtendedParameters, UnsignedPayloadOnlyWhereItMakesSense) {
  const Outcome v2 = Read("SignatureVersion=2;Use_UnsignedPayload=true");
  EXPECT_FALSE(v2.config.store.unsigned_payload.has_value());
  EXPECT_THAT(v2.findings.warnings, ElementsAre(HasSubstr("signature version 2")));
  const Outcome plain = Read("Use_UnsignedPayload=true", "http://s3.example.org");
  EXPECT_FALSE(plain.config.store.unsigned_payload.has_value());
  EXPECT_THAT(plain.findings.warnings, ElementsAre(HasSubstr("http://")));
}

}  // namespace
}  // namespace quayfs
