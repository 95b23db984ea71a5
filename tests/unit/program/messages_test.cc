// SPDX-License-Identifier: Apache-2.0

#include "fs/program/messages.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace quayfs::program {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

MountConfig Config() {
  MountConfig config;
  config.path = "/etc/quayfs/n.toml";
  config.store.bucket = "nightly";
  config.store.endpoint = "https://s3.example.org";
  config.store.credentials.access_key_id = "AK1";
  config.store.credentials.secret_access_key = "very-secret";
  return config;
}

Error Service(Code code, const std::string& service_code, int status) {
  ServiceDetail detail;
  detail.service_code = service_code;
  detail.http_status = status;
  return {code, "cannot look at bucket 'nightly'", detail};
}

TEST(Messages, NameTheKeyToChange) {
  struct Row {
    Error error;
    std::vector<std::string> words;
  };
  ServiceDetail region;
  region.region = "cn-east-1";
  region.http_status = 301;
  const Row rows[] = {
      {Service(Code::kUnauthenticated, "SignatureDoesNotMatch", 403),
       {"AK1", "credentials.secret_access_key"}},
      {Service(Code::kUnauthenticated, "InvalidAccessKeyId", 403),
       {"AK1", "credentials.access_key_id"}},
      {Service(Code::kUnauthenticated, "ExpiredToken", 400), {"credentials.session_token"}},
      {Service(Code::kPermissionDenied, "AccessDenied", 403),
       {"AK1", "nightly", "list, read, write and delete"}},
      {Service(Code::kNotFound, "", 404),
       {"no bucket 'nightly'", "https://s3.example.org", "bucket"}},
      {Service(Code::kUnavailable, "NoSuchBucket", 404), {"no bucket 'nightly'"}},
      {Service(Code::kUnavailable, "ServiceUnavailable", 503), {"in trouble", "later"}},
      {Error(Code::kWrongRegion, "moved", region), {"region = \"cn-east-1\""}},
      {Error(Code::kUnavailable, "cannot connect"),
       {"cannot reach https://s3.example.org", "endpoint"}},
      {Error(Code::kTimedOut, "not finished"), {"cannot reach", "endpoint"}},
      {Error(Code::kUntrusted, "self-signed"), {"network.ca_file", "Cert_thumbprint"}},
      {Error(Code::kClockSkew, "skewed"), {"clock", "timedatectl"}},
      {Error(Code::kInvalidArgument, "region: no such region"), {"region: no such region"}},
  };
  for (const Row& row : rows) {
    const std::string text = ExplainStoreError(row.error, Config());
    for (const std::string& word : row.words) EXPECT_THAT(text, HasSubstr(word));
    EXPECT_THAT(text, Not(HasSubstr("\n")));
    EXPECT_THAT(text, Not(HasSubstr("very-secret")));
    if (row.error.code() != Code::kClockSkew && row.words[0] != "in trouble" &&
        row.error.code() != Code::kPermissionDenied) {
      EXPECT_THAT(text, HasSubstr("/etc/quayfs/n.toml"));
    }
  }
}

TEST(Messages, ASecretFromElsewhereIsChangedThere) {
  MountConfig config = Config();
  config.secret_sources["credentials.secret_access_key"] = "{ file = \"/etc/quayfs/n.secret\" }";
  EXPECT_THAT(
      ExplainStoreError(Service(Code::kUnauthenticated, "SignatureDoesNotMatch", 403), config),
      HasSubstr("/etc/quayfs/n.secret"));
}

TEST(Messages, WithoutAKeyTheServiceWantsOne) {
  MountConfig config = Config();
  config.store.credentials = {};
  EXPECT_THAT(ExplainStoreError(Service(Code::kUnauthenticated, "", 401), config),
              HasSubstr("wants credentials"));
}

TEST(Messages, KeysFromElsewhereAreChangedThere) {
  MountConfig config = Config();
  config.keys_from = "the environment variables QS_ACCESS_KEY_ID and QS_SECRET_ACCESS_KEY";
  for (const char* code :
       {"SignatureDoesNotMatch", "InvalidAccessKeyId", "signature_not_matched"}) {
    EXPECT_THAT(ExplainStoreError(Service(Code::kUnauthenticated, code, 403), config),
                AllOf(HasSubstr("check the environment variables QS_ACCESS_KEY_ID"),
                      Not(HasSubstr("n.toml"))))
        << code;
  }
}

TEST(Messages, WhatNobodyMayDoWithoutAKeyIsToldSo) {
  MountConfig config = Config();
  config.store.credentials = {};
  EXPECT_THAT(ExplainStoreError(Service(Code::kPermissionDenied, "AccessDenied", 403), config),
              AllOf(HasSubstr("without a key"), HasSubstr("set credentials.access_key_id"),
                    HasSubstr("n.toml"), Not(HasSubstr("''"))));
}

TEST(Messages, AMissingDirectoryOfALocalStore) {
  MountConfig config = Config();
  config.store.provider = "local";
  config.store.bucket = "/srv/objects";
  EXPECT_THAT(ExplainStoreError(Error(Code::kNotFound, "x"), config),
              AllOf(HasSubstr("/srv/objects"), HasSubstr("bucket")));
}

TEST(Messages, OneLineIsOneLine) { EXPECT_EQ(OneLine("a\nb\x1b[31m\tc"), "a; b[31mc"); }

}  // namespace
}  // namespace quayfs::program
