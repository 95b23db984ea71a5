// SPDX-License-Identifier: Apache-2.0

#include "mount-configs/import.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/unit/mount_configs/test_support.h"

namespace quayfs {
namespace {

using config_test::OptionsWith;
using config_test::Parse;
using config_test::TemporaryDirectory;
using config_test::Variables;
using ::testing::HasSubstr;

class Import : public ::testing::Test {
 protected:
  /// The config that the text makes; the test fails if it makes none.
  MountConfig Made(const std::string& from, const std::string& bucket = "") {
    const Environment environment = OptionsWith(variables_).environment;
    const Result<std::string> text = ImportMountConfig(from, bucket, environment);
    EXPECT_TRUE(text.ok()) << text.error().ToString();
    if (!text) return {};
    LoadOptions options = OptionsWith(variables_);
    options.resolve_secrets = false;
    const Result<MountConfig> config = Parse(*text, options);
    EXPECT_TRUE(config.ok()) << *text;
    return config.ok() ? *config : MountConfig{};
  }
  std::string Refusal(const std::string& from, const std::string& bucket = "") {
    const Result<std::string> text =
        ImportMountConfig(from, bucket, OptionsWith(variables_).environment);
    return text.ok() ? "accepted" : text.error().message();
  }

  TemporaryDirectory home_;
  Variables variables_{{"HOME", home_.path()}, {"FSTAB_FILE", home_ / "fstab"}};
};

TEST_F(Import, ARemoteOfRclone) {
  home_.Write(".config/rclone/rclone.conf",
              "[minio]\ntype = s3\nprovider = Minio\naccess_key_id = AK\n"
              "secret_access_key = S/K+=\nendpoint = http://127.0.0.1:9000\nregion = us-east-1\n"
              "storage_class = STANDARD\nforce_path_style = true\nv2_auth = true\n"
              "upload_cutoff = 1G\nchunk_size = 32M\nupload_concurrency = 6\n"
              "bucket_acl = public-read\n"
              "sse_customer_key = 12345678901234567890123456789012\n\n"
              "[qs]\ntype = qingstor\nzone = sh1a\naccess_key_id = Q\nsecret_access_key = QS\n"
              "chunk_size = 8Mi\nupload_cutoff = 100Mi\nupload_concurrency = 3\n"
              "connection_retries = 5\n[env]\ntype = s3\nprovider = AWS\nenv_auth = true\n"
              "[drive]\ntype = drive\n");
  const MountConfig minio = Made("rclone:minio:nightly/host-a");
  EXPECT_EQ(minio.store.provider, "minio");
  EXPECT_EQ(minio.store.bucket, "nightly");
  EXPECT_EQ(minio.prefix, "host-a/");
  EXPECT_EQ(minio.store.endpoint, "http://127.0.0.1:9000");
  EXPECT_EQ(minio.store.credentials.secret_access_key, "S/K+=");
  EXPECT_EQ(minio.store.path_style, true);
  EXPECT_EQ(minio.transfer.upload_cutoff, 1ull << 30);
  EXPECT_EQ(minio.transfer.chunk_size, 32ull << 20);
  EXPECT_EQ(minio.transfer.upload_concurrency, 6);
  EXPECT_EQ(minio.store.bucket_acl, "public-read");
  EXPECT_EQ(minio.store.sse_customer_key, "MTIzNDU2Nzg5MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTI=");
  EXPECT_EQ(minio.store.signature_version, s3::SignatureVersion::kV2);
  const MountConfig qingstor = Made("rclone:qs", "bucket");
  EXPECT_EQ(qingstor.store.provider, "qingstor");
  EXPECT_EQ(qingstor.store.zone, "sh1a");
  EXPECT_EQ(qingstor.transfer.chunk_size, 8ull << 20);
  EXPECT_EQ(qingstor.transfer.upload_cutoff, 100ull << 20);
  EXPECT_EQ(qingstor.transfer.upload_concurrency, 3);
  EXPECT_EQ(qingstor.store.retry_count, 5);
  EXPECT_EQ(Made("rclone:env:b").store.credential_rules.from, CredentialRules::From::kChain);
  EXPECT_THAT(Refusal("rclone:minio"), HasSubstr("--bucket"));
  EXPECT_THAT(Refusal("rclone:drive:b"), HasSubstr("type 'drive'"));
  EXPECT_THAT(Refusal("rclone:none:b"), HasSubstr("no remote 'none'"));
  home_.Write("sealed", "# Encrypted rclone configuration File\n\nRCLONE_ENCRYPT_V0:\nabc=\n");
  variables_["RCLONE_CONFIG"] = home_ / "sealed";
  EXPECT_THAT(Refusal("rclone:minio:b"), HasSubstr("encrypted"));
}

TEST_F(Import, ABucketOfS3fs) {
  home_.Write(".passwd-s3fs", "AK:SK\n");
  home_.Write("fstab",
              "# a note\nother /x ext4 defaults 0 0\n"
              "backups:/host-a  /mnt\tfuse.s3fs _netdev,url=https://s3.example.org:9000,"
              "endpoint=eu-west-1,use_path_request_style,default_acl=private 0 0\n");
  const MountConfig config = Made("s3fs:backups:/host-a");
  EXPECT_EQ(config.store.bucket, "backups");
  EXPECT_EQ(config.prefix, "host-a/");
  EXPECT_EQ(config.store.endpoint, "https://s3.example.org:9000");
  EXPECT_EQ(config.store.region, "eu-west-1");
  EXPECT_EQ(config.store.acl, "private");
  EXPECT_EQ(config.store.path_style, true);
  EXPECT_EQ(config.passwd_file, home_ / ".passwd-s3fs");
  EXPECT_EQ(Made("s3fs:elsewhere").store.endpoint, "https://s3.amazonaws.com");
}

TEST_F(Import, AProfileOfAmazonsTools) {
  home_.Write(".aws/config", "[profile nightly]\nregion = eu-west-1\n");
  const MountConfig config = Made("aws:nightly", "b");
  EXPECT_EQ(config.store.provider, "aws");
  EXPECT_EQ(config.store.region, "eu-west-1");
  EXPECT_EQ(config.store.credential_rules.from, CredentialRules::From::kProfile);
  EXPECT_EQ(config.store.credential_rules.profile, "nightly");
  EXPECT_THAT(Refusal("aws:nightly"), HasSubstr("--bucket"));
  EXPECT_THAT(Refusal("aws:other", "b"), HasSubstr("profile 'other'"));
  EXPECT_THAT(Refusal("ftp:x"), HasSubstr("rclone:REMOTE"));
}

}  // namespace
}  // namespace quayfs
