// SPDX-License-Identifier: Apache-2.0

#include "mount-configs/loader.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <string>
#include <vector>

#include "base/text.h"
#include "tests/unit/mount_configs/test_support.h"

namespace quayfs {
namespace {

using config_test::ErrorOf;
using config_test::OptionsWith;
using config_test::Parse;
using config_test::TemporaryDirectory;
using ::testing::AllOf;
using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

constexpr const char* kKeys =
    "[credentials]\naccess_key_id = \"AK\"\nsecret_access_key = \"hunter2\"\n";

LoadOptions WithMountOptions(std::vector<std::string> mount_options) {
  LoadOptions options = OptionsWith();
  options.mount_options = std::move(mount_options);
  return options;
}

TEST(LoadErrors, AnUnknownKeyNamesThePlaceAndTheNearestName) {
  EXPECT_EQ(ErrorOf(Parse("bucket = \"b\"\n\n[credentials]\n  acces_key_id = \"AK\"\n")),
            "/etc/quayfs/n.toml:4:3: unknown key 'credentials.acces_key_id', did you mean "
            "'access_key_id'?");
  EXPECT_EQ(ErrorOf(Parse("bucket = \"b\"\nfsync = \"local\"\n")),
            "/etc/quayfs/n.toml:2:1: unknown key 'fsync', did you mean 'durability.fsync'?");
  EXPECT_EQ(ErrorOf(Parse("bucket = \"b\"\n[cach]\nsize = \"1GiB\"\n")),
            "/etc/quayfs/n.toml:2:2: unknown table [cach], did you mean [cache]?");
  EXPECT_EQ(ErrorOf(Parse("bucket = \"b\"\nqqqqqqqqqq = 1\n")),
            "/etc/quayfs/n.toml:2:1: unknown key 'qqqqqqqqqq'");
}

TEST(LoadErrors, AllProblemsAreFoundInOrderOneOnEachLine) {
  const Result<MountConfig> loaded = Parse(
      "provider = \"s3\"\n"
      "endpoint = \"s3.example.org\"\n"
      "colour = \"blue\"\n"
      "[cache]\n"
      "size = \"big\"\n"
      "[durability]\n"
      "fsync = \"remot\"\n"
      "[extended]\n"
      "RetryCount = -1\n");
  ASSERT_FALSE(loaded.ok());
  const std::string message = loaded.error().message();
  std::vector<std::string> lines;
  for (const std::string_view line : Split(message, '\n')) lines.emplace_back(line);
  EXPECT_THAT(lines,
              ElementsAre(HasSubstr("n.toml: missing key 'bucket'"), HasSubstr("n.toml:2:"),
                          HasSubstr("n.toml:3:1: unknown key 'colour'"), HasSubstr("n.toml:5:"),
                          HasSubstr("n.toml:7:"), HasSubstr("n.toml:9:")));
}

TEST(LoadErrors, ASyntaxErrorNamesLineAndColumn) {
  EXPECT_THAT(ErrorOf(Parse("bucket = b\n")),
              AllOf(HasSubstr("/etc/quayfs/n.toml:1:10:"), HasSubstr("text needs quotes")));
  EXPECT_THAT(ErrorOf(Parse("bucket = \"b\"\nbucket = \"c\"\n")), HasSubstr("n.toml:2:"));
  EXPECT_THAT(ErrorOf(Parse("bucket = \"b\"\n[credentials\n")), HasSubstr("n.toml:2:"));
}

TEST(LoadErrors, TablesAndValuesAreNotMixedUp) {
  EXPECT_THAT(ErrorOf(Parse("bucket = \"b\"\ncache = \"/x\"\n")),
              HasSubstr("n.toml:2:1: 'cache' must be a table"));
  EXPECT_THAT(ErrorOf(Parse("bucket = { a = 1 }\n")), HasSubstr("'bucket' must be a string"));
  EXPECT_THAT(ErrorOf(Parse("bucket = \"b\"\n[[cache]]\nsize = \"1GiB\"\n")),
              HasSubstr("'cache' must be a table"));
}

TEST(LoadErrors, EndpointsAreCheckedAsTheFormSays) {
  for (const char* endpoint :
       {"s3.example.org", "ftp://s3.example.org", "https://", "https://h:0", "https://h:99999",
        "https://h/?q", "https://h/#f", "//h", "https:h"}) {
    const std::string message =
        ErrorOf(Parse(std::string("bucket = \"b\"\nendpoint = \"") + endpoint + "\"\n"));
    EXPECT_THAT(message, AllOf(HasSubstr("n.toml:2:1: "), HasSubstr("endpoint"))) << endpoint;
  }
  EXPECT_EQ(Parse("bucket = \"b\"\nendpoint = \"HTTP://[::1]:9000/\"\n")->store.endpoint,
            "http://[::1]:9000");
}

TEST(LoadErrors, VendorsNamesAreChecked) {
  EXPECT_THAT(ErrorOf(Parse("bucket = \"b\"\nprovider = \"koddo\"\n")),
              AllOf(HasSubstr("n.toml:2:1:"), HasSubstr("kodo")));
  EXPECT_THAT(ErrorOf(Parse("bucket = \"b\"\nprovider = \"kodo\"\nregion = \"cn-east-1\"\n"
                            "storage_class = \"Frozen\"\n")),
              HasSubstr("n.toml:4:1:"));
}

TEST(LoadErrors, OneKeyWithoutTheOtherIsAnError) {
  EXPECT_THAT(ErrorOf(Parse("bucket = \"b\"\n[credentials]\naccess_key_id = \"AK\"\n")),
              AllOf(HasSubstr("n.toml:3:1:"), HasSubstr("needs 'credentials.secret_access_key'")));
  EXPECT_THAT(ErrorOf(Parse("bucket = \"b\"\n[credentials]\nsecret_access_key = \"hunter2\"\n")),
              AllOf(HasSubstr("n.toml:3:1:"), HasSubstr("needs 'credentials.access_key_id'"),
                    Not(HasSubstr("hunter2"))));
  EXPECT_THAT(ErrorOf(Parse("bucket = \"b\"\n[credentials]\nsession_token = \"t\"\n")),
              HasSubstr("session_token"));
  EXPECT_THAT(ErrorOf(Parse(std::string("bucket = \"b\"\n") + kKeys + "anonymous = true\n")),
              HasSubstr("exclude each other"));
}

TEST(LoadErrors, RetriesUnderTwoNamesMustAgree) {
  const std::string both =
      "bucket = \"b\"\n[network]\nconnection_retries = 3\n[extended]\nRetryCount = ";
  EXPECT_THAT(ErrorOf(Parse(both + "4\n")), HasSubstr("differ"));
  EXPECT_EQ(Parse(both + "3\n")->store.retry_count, 3);
}

TEST(Load, BlankFieldsCountAsNotFilledIn) {
  const Result<MountConfig> loaded = Parse(
      "provider = \"qingstor\"\nbucket = \"b\"\nendpoint = \"\"\nzone = \" \"\nacl = \"\"\n"
      "[credentials]\naccess_key_id = \"\"\nsecret_access_key = \"\"\n");
  ASSERT_TRUE(loaded.ok()) << ErrorOf(loaded);
  EXPECT_EQ(loaded->store.endpoint, "https://qingstor.com:443");
  EXPECT_EQ(loaded->store.zone, "pek3a");
  EXPECT_TRUE(loaded->store.anonymous);
}

TEST(Load, QingStorHasTheDefaultsOfItsForm) {
  const Result<MountConfig> loaded = Parse("provider = \"qingstor\"\nbucket = \"b\"\n");
  ASSERT_TRUE(loaded.ok()) << ErrorOf(loaded);
  EXPECT_EQ(loaded->store.zone, "pek3a");
  EXPECT_EQ(loaded->store.endpoint, "https://qingstor.com:443");
  EXPECT_EQ(loaded->store.retry_count, 3);
  EXPECT_EQ(loaded->transfer.upload_cutoff, uint64_t{200} << 20);
  EXPECT_EQ(loaded->transfer.chunk_size, uint64_t{4} << 20);
  EXPECT_EQ(loaded->transfer.upload_concurrency, uint64_t{1});
  EXPECT_TRUE(loaded->store.anonymous);
  EXPECT_FALSE(loaded->env_auth);
}

TEST(Load, QingStorKeepsToItsLimits) {
  const auto with = [](const std::string& line) {
    return Parse("provider = \"qingstor\"\nbucket = \"b\"\n[transfer]\n" + line);
  };
  EXPECT_EQ(with("upload_cutoff = 0\n")->transfer.upload_cutoff, 0U);
  EXPECT_EQ(with("upload_cutoff = \"5GiB\"\n")->transfer.upload_cutoff, uint64_t{5} << 30);
  EXPECT_THAT(ErrorOf(with("upload_cutoff = \"5121MiB\"\n")), HasSubstr("n.toml:4:"));
  EXPECT_THAT(ErrorOf(with("chunk_size = \"3MiB\"\n")),
              AllOf(HasSubstr("n.toml:4:1:"), HasSubstr("at least 4MiB")));
  EXPECT_THAT(ErrorOf(with("chunk_size = \"2GiB\"\n")), HasSubstr("at most 1GiB"));
  EXPECT_THAT(ErrorOf(with("upload_concurrency = 0\n")), HasSubstr("from 1 to 64"));
  EXPECT_EQ(with("chunk_size = \"4MiB\"\n")->transfer.chunk_size, uint64_t{4} << 20);
}

TEST(Load, KodoAsItsFormSays) {
  const Result<MountConfig> loaded =
      Parse(std::string(
                "name = \"Qiniu Kodo Backups\"\nprovider = \"kodo\"\nbucket = \"b\"\n"
                "region = \"Asia Pacific-Ho Chi Minh\"\nstorage_class = \"Archive (Direct Read)\"\n"
                "acl = \"Public Read\"\nbucket_acl = \"Private\"\nsse = \"AES256\"\n"
                "requester_pays = true\n") +
            kKeys);
  ASSERT_TRUE(loaded.ok()) << ErrorOf(loaded);
  EXPECT_EQ(loaded->store.acl, "public-read");
  EXPECT_EQ(loaded->store.bucket_acl, "private");
  EXPECT_TRUE(loaded->store.requester_pays);
  EXPECT_THAT(loaded->warnings,
              ElementsAre(AllOf(HasSubstr("n.toml:8:1:"), HasSubstr("may ignore")),
                          AllOf(HasSubstr("n.toml:9:1:"), HasSubstr("may ignore"))));
}

TEST(Load, EveryKodoRegionAndClassOfTheFormIsAccepted) {
  for (const char* region :
       {"East China-Zhejiang", "East China-Zhejiang 2", "North China-Hebei",
        "South China-Guangdong", "Northwest-Shaanxi", "North America-Los Angeles",
        "Asia Pacific-Singapore", "Asia Pacific-Hanoi", "Asia Pacific-Ho Chi Minh", "cn-east-1",
        "my-own-region"}) {
    EXPECT_EQ(ErrorOf(Parse(std::string("provider=\"kodo\"\nbucket=\"b\"\nregion=\"") + region +
                            "\"\n" + kKeys)),
              "");
  }
  for (const char* name : {"Standard", "Infrequent Access", "Archive", "Archive (Direct Read)",
                           "Deep Archive", "Intelligent Tiering", "LINE"}) {
    const Result<MountConfig> loaded = Parse(
        std::string("provider=\"kodo\"\nbucket=\"b\"\nregion=\"cn-east-1\"\nstorage_class=\"") +
        name + "\"\n" + kKeys);
    ASSERT_TRUE(loaded.ok()) << ErrorOf(loaded);
    const bool archive = std::string(name) == "Archive" || std::string(name) == "Deep Archive";
    EXPECT_EQ(loaded->warnings.size(), archive ? 1U : 0U) << name;
  }
}

TEST(Load, ExtendedParametersAsStringAndAsTable) {
  const Result<MountConfig> loaded = Parse(
      std::string("bucket = \"b\"\nendpoint = \"https://h\"\n"
                  "parameters = \"RetryCount=6;Use_PathStyle=true;FutureThing=1\"\n"
                  "[extended]\nretrymode = \"Standard\"\nRetryInterval = 5\nRetryCount = 7\n") +
      kKeys);
  ASSERT_TRUE(loaded.ok()) << ErrorOf(loaded);
  EXPECT_EQ(loaded->store.retry_count, 7);
  EXPECT_EQ(loaded->store.path_style, true);
  EXPECT_EQ(loaded->store.retry_mode, s3::RetryMode::kStandard);
  EXPECT_EQ(loaded->store.retry_interval_ms, 5);
  EXPECT_THAT(loaded->warnings,
              ElementsAre(AllOf(HasSubstr("n.toml:3:1:"), HasSubstr("'FutureThing'")),
                          AllOf(HasSubstr("n.toml:7:1:"), HasSubstr("twice"))));
}

TEST(Load, WhatParametersMeanTogetherIsToldAtTheirPlace) {
  const std::string head = "bucket = \"b\"\nendpoint = \"https://h\"\n";
  EXPECT_THAT(Parse(head + "parameters = \"Allow_Insecure_SSL=true\"\n" + kKeys)->warnings,
              ElementsAre(HasSubstr("n.toml:3:1: Allow_Insecure_SSL")));
  EXPECT_THAT(Parse(head + "[extended]\nAllow_Insecure_SSL = true\n" + kKeys)->warnings,
              ElementsAre(HasSubstr("n.toml:4:1: Allow_Insecure_SSL")));
}

TEST(Load, TheGenericProviderRetriesAsItsFormSays) {
  EXPECT_EQ(Parse("bucket = \"b\"\nendpoint = \"https://h\"\n")->store.retry_mode,
            s3::RetryMode::kLegacy);
  EXPECT_FALSE(Parse("provider = \"minio\"\nbucket = \"b\"\n")->store.retry_mode.has_value());
  EXPECT_EQ(Parse("bucket = \"b\"\nparameters = \"RetryMode=Adaptive\"\n")->store.retry_mode,
            s3::RetryMode::kAdaptive);
}

TEST(Load, NamesPathsAndDefaults) {
  const Result<MountConfig> loaded =
      Parse("bucket = \"b\"\nprefix = \"a/b\"\n[cache]\nsize = \"20GiB\"\n",
            OptionsWith({{"HOME", "/home/me"}}));
  ASSERT_TRUE(loaded.ok()) << ErrorOf(loaded);
  EXPECT_EQ(loaded->name, "n");
  EXPECT_EQ(loaded->path, "/etc/quayfs/n.toml");
  EXPECT_EQ(loaded->prefix, "a/b/");
  EXPECT_EQ(loaded->cache.directory,
            geteuid() == 0 ? "/var/cache/quayfs/n" : "/home/me/.cache/quayfs/n");
  EXPECT_THAT(loaded->warnings, IsEmpty());
  for (const char* prefix : {"/", "a//b", "a/../b", "./a", ".."}) {
    EXPECT_THAT(ErrorOf(Parse(std::string("bucket = \"b\"\nprefix = \"") + prefix + "\"\n")),
                HasSubstr("n.toml:2:1: 'prefix'"))
        << prefix;
  }
}

TEST(Load, RelativePathsBelongToTheDirectoryOfTheFile) {
  const Result<MountConfig> loaded = Parse(
      "provider = \"local\"\nbucket = \"objects\"\n[cache]\ndirectory = \"~/cache\"\n"
      "[network]\nca_file = \"../ca.pem\"\n",
      OptionsWith({{"HOME", "/home/me"}}));
  ASSERT_TRUE(loaded.ok()) << ErrorOf(loaded);
  EXPECT_EQ(loaded->store.bucket, "/etc/quayfs/objects");
  EXPECT_EQ(loaded->cache.directory, "/home/me/cache");
  EXPECT_EQ(loaded->store.ca_file, "/etc/ca.pem");
}

TEST(Load, DurabilityIsRemoteForFsyncAndLocalForCloseUnlessSaidOtherwise) {
  const Result<MountConfig> defaults = Parse("bucket = \"b\"\n");
  ASSERT_TRUE(defaults.ok());
  EXPECT_EQ(defaults->fsync, MountConfig::Fsync::kRemote);
  EXPECT_EQ(defaults->close, MountConfig::Close::kLocal);
  const Result<MountConfig> loaded =
      Parse("bucket = \"b\"\n[durability]\nfsync = \"local\"\nclose = \"remote\"\n");
  ASSERT_TRUE(loaded.ok());
  EXPECT_THAT(loaded->warnings, IsEmpty());
  EXPECT_EQ(loaded->fsync, MountConfig::Fsync::kLocal);
  EXPECT_EQ(loaded->close, MountConfig::Close::kRemote);
}

TEST(MountOptions, AreSplitAsFstabWritesThem) {
  EXPECT_THAT(SplitMountOptions("ro,cache.size=5GiB,,prefix=a\\,b"),
              ElementsAre("ro", "cache.size=5GiB", "prefix=a,b"));
  EXPECT_THAT(SplitMountOptions("name=\"a,b\",rw"), ElementsAre("name=a,b", "rw"));
  EXPECT_THAT(SplitMountOptions("a\\\\b"), ElementsAre("a\\b"));
  EXPECT_THAT(SplitMountOptions(""), IsEmpty());
}

TEST(MountOptions, OverrideTheFile) {
  const Result<MountConfig> loaded =
      Parse("bucket = \"b\"\n[cache]\nsize = \"20GiB\"\n",
            WithMountOptions({"ro", "cache-size=5GiB", "allow_other", "uid=1000",
                              "use_path_request_style", "prefix=x", "retries=2", "file_perms=0600",
                              "sigv2"}));
  ASSERT_TRUE(loaded.ok()) << ErrorOf(loaded);
  EXPECT_TRUE(loaded->mount.read_only);
  EXPECT_TRUE(loaded->mount.allow_other);
  EXPECT_EQ(loaded->cache.size, uint64_t{5} << 30);
  EXPECT_EQ(loaded->mount.uid, 1000U);
  EXPECT_EQ(loaded->store.path_style, true);
  EXPECT_EQ(loaded->store.retry_count, 2);
  EXPECT_EQ(loaded->prefix, "x/");
  EXPECT_EQ(loaded->mount.file_mode, 0600U);
  EXPECT_EQ(loaded->store.signature_version, s3::SignatureVersion::kV2);
  EXPECT_THAT(loaded->warnings,
              ElementsAre("-o: 'use_path_request_style' is called use_pathstyle=true here",
                          "-o: 'retries' is called extended.RetryCount=2 here",
                          "-o: 'sigv2' is called extended.SignatureVersion=2 here"));
}

TEST(MountOptions, AnS3fsLineIsUnderstood) {
  const Result<MountConfig> loaded =
      Parse("bucket = \"b\"\n", WithMountOptions({"url=https://s3.example.org",
                                                  "endpoint=eu-west-1",
                                                  "use_cache=/var/tmp/c",
                                                  "use_path_request_style",
                                                  "multipart_size=32",
                                                  "parallel_count=8",
                                                  "connect_timeout=20",
                                                  "readwrite-timeout=90",
                                                  "stat_cache_expire=30",
                                                  "--mp_umask=0022",
                                                  "default_acl=private",
                                                  "use_sse",
                                                  "nomultipart",
                                                  "dbglevel=warn",
                                                  "compat_dir",
                                                  "max_read=4096",
                                                  "ensure_diskfree=100",
                                                  "public_bucket=0",
                                                  "nonempty",
                                                  "no_check_certificate=0"}));
  ASSERT_TRUE(loaded.ok()) << ErrorOf(loaded);
  EXPECT_EQ(loaded->store.endpoint, "https://s3.example.org");
  EXPECT_EQ(loaded->store.region, "eu-west-1");
  EXPECT_EQ(loaded->cache.directory, "/var/tmp/c");
  EXPECT_EQ(loaded->store.path_style, true);
  EXPECT_EQ(loaded->transfer.chunk_size, uint64_t{32} << 20);
  EXPECT_EQ(loaded->transfer.max_in_flight, 8U);
  EXPECT_EQ(loaded->store.connect_timeout, std::chrono::seconds(20));
  EXPECT_EQ(loaded->store.stall_timeout, std::chrono::seconds(90));
  EXPECT_EQ(loaded->consistency.ttl, std::chrono::seconds(30));
  EXPECT_EQ(loaded->mount.umask, 0022U);
  EXPECT_EQ(loaded->store.sse, "AES256");
  EXPECT_EQ(loaded->store.client_multipart, false);
  EXPECT_EQ(loaded->log_level, LogLevel::kWarning);
  EXPECT_FALSE(loaded->store.anonymous);
  EXPECT_THAT(loaded->warnings,
              Contains("-o: 'ensure_diskfree' is ignored: cache.size limits the cache"));
  EXPECT_THAT(loaded->warnings, Contains("-o: 'endpoint' is called region=eu-west-1 here"));
}

TEST(MountOptions, OurOwnMeaningOfASharedNameStays) {
  const Result<MountConfig> loaded =
      Parse("bucket = \"b\"\n",
            WithMountOptions({"endpoint=https://s3.example.org:9000", "connect_timeout=5s"}));
  ASSERT_TRUE(loaded.ok()) << ErrorOf(loaded);
  EXPECT_EQ(loaded->store.endpoint, "https://s3.example.org:9000");
  EXPECT_EQ(loaded->store.connect_timeout, std::chrono::seconds(5));
  EXPECT_THAT(loaded->warnings, IsEmpty());
}

TEST(MountOptions, WhatOthersHaveAndWeCannotSaySoIsRefusedWithAWayOut) {
  const auto refused = [](const std::string& option) {
    return ErrorOf(Parse("bucket = \"b\"\n", WithMountOptions({option})));
  };
  EXPECT_THAT(refused("load_sse_c=/key"), HasSubstr("credentials.sse_customer_key"));
  EXPECT_THAT(refused("allow_root"), HasSubstr("allow_other"));
  EXPECT_THAT(refused("use_sse=custom"), HasSubstr("credentials.sse_customer_key"));
  EXPECT_THAT(refused("dbglevel=loud"), HasSubstr("must be one of crit"));
  EXPECT_THAT(refused("nomultipart=maybe"), HasSubstr("must be 0 or 1"));
  EXPECT_EQ(refused("paralel_count=3"),
            "-o: unknown option 'paralel_count', did you mean 'parallel_count'?");
}

TEST(MountOptions, SloppyMakesUnknownOnesAWarning) {
  LoadOptions options = WithMountOptions({"what_is_this=1", "ro"});
  options.ignore_unknown = true;
  const Result<MountConfig> loaded = Parse("bucket = \"b\"\n", options);
  ASSERT_TRUE(loaded.ok()) << ErrorOf(loaded);
  EXPECT_TRUE(loaded->mount.read_only);
  ASSERT_EQ(loaded->warnings.size(), 1U);
  EXPECT_THAT(loaded->warnings[0], HasSubstr("what_is_this"));
}

TEST(MountOptions, NetdevSaysThatTheNetworkMayBeComing) {
  EXPECT_FALSE(Parse("bucket = \"b\"\n")->mount.needs_network);
  EXPECT_TRUE(Parse("bucket = \"b\"\n", WithMountOptions({"_netdev"}))->mount.needs_network);
}

TEST(LoadMountConfig, TheAddressOfABucketNeedsNoFile) {
  LoadOptions options = WithMountOptions({"endpoint=https://s3.example.org", "anonymous"});
  const Result<MountConfig> loaded = LoadMountConfig("s3://my-bucket/host-a/x", options);
  ASSERT_TRUE(loaded.ok()) << ErrorOf(loaded);
  EXPECT_EQ(loaded->store.provider, "s3");
  EXPECT_EQ(loaded->store.bucket, "my-bucket");
  EXPECT_EQ(loaded->prefix, "host-a/x/");
  EXPECT_EQ(loaded->name, "my-bucket-host-a-x");
  EXPECT_EQ(loaded->path, "s3://my-bucket/host-a/x");
  EXPECT_THAT(loaded->cache.directory, HasSubstr("my-bucket-host-a-x"));

  const Result<MountConfig> local = LoadMountConfig("local:///srv/objects", OptionsWith());
  ASSERT_TRUE(local.ok()) << ErrorOf(local);
  EXPECT_EQ(local->store.bucket, "/srv/objects");
  EXPECT_EQ(local->name, "srv-objects");

  const auto refused = [](const std::string& address) {
    return ErrorOf(LoadMountConfig(address, OptionsWith()));
  };
  EXPECT_THAT(refused("s4://my-bucket"), HasSubstr("s4"));
  EXPECT_THAT(refused("s3://"), HasSubstr("PROVIDER://BUCKET"));
  EXPECT_THAT(refused("s3:///x"), HasSubstr("PROVIDER://BUCKET"));
  EXPECT_THAT(refused("https://s3.example.org"), HasSubstr("endpoint=https://s3.example.org"));
  // Keys never stand in an address, and are not repeated in a message.
  EXPECT_THAT(refused("s3://AK:hunter2@b"),
              AllOf(HasSubstr("PROVIDER://BUCKET"), Not(HasSubstr("hunter2"))));
  EXPECT_THAT(refused("no-such-config-for-a-test"), HasSubstr("PROVIDER://"));
}

TEST(MountOptions, WhatFstabAndSystemdAddIsDroppedOrKeptForTheKernel) {
  const Result<MountConfig> loaded = Parse(
      "bucket = \"b\"\n",
      WithMountOptions({"defaults", "rw", "suid", "dev", "exec", "auto", "noauto", "nofail",
                        "_netdev", "x-systemd.automount", "x-gvfs-show", "relatime", "user",
                        "comment=hello", "default_permissions", "noexec", "noatime", "nodev"}));
  ASSERT_TRUE(loaded.ok()) << ErrorOf(loaded);
  EXPECT_FALSE(loaded->mount.trust_special) << "suid is a default of mount(8), not a decision";
  EXPECT_THAT(loaded->mount.kernel_flags, ElementsAre("noexec", "noatime", "nodev"));
}

TEST(MountOptions, MistakesAreNamedAndSecretsRefused) {
  EXPECT_EQ(ErrorOf(Parse("bucket = \"b\"\n", WithMountOptions({"alow_other"}))),
            "-o: unknown option 'alow_other', did you mean 'allow_other'?");
  EXPECT_THAT(ErrorOf(Parse("bucket = \"b\"\n", WithMountOptions({"cache.size"}))),
              HasSubstr("needs a value"));
  EXPECT_THAT(ErrorOf(Parse("bucket = \"b\"\n", WithMountOptions({"ro=1"}))),
              HasSubstr("takes no value"));
  EXPECT_THAT(ErrorOf(Parse("bucket = \"b\"\n", WithMountOptions({"size=big"}))),
              HasSubstr("-o: 'size' must be a size"));
  EXPECT_THAT(ErrorOf(Parse("bucket = \"b\"\n", WithMountOptions({"secret_access_key=hunter2"}))),
              AllOf(HasSubstr("must not stand on a command line"), Not(HasSubstr("hunter2"))));
  EXPECT_THAT(ErrorOf(Parse("bucket = \"b\"\n", WithMountOptions({"proxy=http://me:hunter2@h"}))),
              AllOf(HasSubstr("secret"), Not(HasSubstr("hunter2"))));
}

TEST(FindMountConfig, ByNameInOrderWithAHint) {
  const TemporaryDirectory first;
  const TemporaryDirectory second;
  LoadOptions options = OptionsWith();
  options.config_directories = {first.path(), second.path()};
  const std::string nightly = second.Write("nightly.toml", "bucket = \"b\"\n");
  EXPECT_EQ(*FindMountConfig("nightly", options), nightly);
  const std::string better = first.Write("nightly.toml", "bucket = \"b\"\n");
  EXPECT_EQ(*FindMountConfig("nightly", options), better);
  EXPECT_EQ(*FindMountConfig(nightly, options), nightly);

  const Result<std::string> missing = FindMountConfig("nightli", options);
  ASSERT_TRUE(missing.Is(Code::kNotFound));
  EXPECT_THAT(missing.error().message(),
              AllOf(HasSubstr(first / "nightli.toml"), HasSubstr(second / "nightli.toml"),
                    HasSubstr("did you mean 'nightly'?")));
  EXPECT_TRUE(FindMountConfig("", options).Is(Code::kInvalidArgument));
  EXPECT_TRUE(FindMountConfig(first / "none.toml", options).Is(Code::kNotFound));
}

TEST(FindMountConfig, TheUsersDirectoryIsFoundByHome) {
  const TemporaryDirectory home;
  const std::string path =
      home.Write(".config/quayfs/only-here-for-a-test.toml", "bucket = \"b\"\n");
  EXPECT_EQ(*FindMountConfig("only-here-for-a-test", OptionsWith({{"HOME", home.path()}})), path);
  EXPECT_EQ(*FindMountConfig(
                "only-here-for-a-test",
                OptionsWith({{"HOME", "/nonexistent"}, {"XDG_CONFIG_HOME", home / ".config"}})),
            path);
}

TEST(LoadMountConfig, ASecretInAFileThatOthersCanReadIsRefused) {
  const TemporaryDirectory directory;
  const std::string text = std::string("bucket = \"b\"\n") + kKeys;
  for (const mode_t mode : {0644, 0640, 0604}) {
    const std::string path = directory.Write("n.toml", text, mode);
    const Result<MountConfig> loaded = LoadMountConfig(path, OptionsWith());
    ASSERT_TRUE(loaded.Is(Code::kPermissionDenied));
    EXPECT_THAT(ErrorOf(loaded), AllOf(HasSubstr(path + ":4:1:"), HasSubstr("chmod 600 " + path),
                                       Not(HasSubstr("hunter2"))));
  }
  EXPECT_EQ(ErrorOf(LoadMountConfig(directory.Write("n.toml", text, 0600), OptionsWith())), "");
  EXPECT_EQ(ErrorOf(LoadMountConfig(directory.Write("n.toml", text, 0400), OptionsWith())), "");
}

TEST(LoadMountConfig, PasswordsOfProxiesAndSecretHeadersCountAsSecrets) {
  const TemporaryDirectory directory;
  for (const char* line :
       {"proxy = \"http://me:hunter2@proxy\"", "headers = [\"Cookie: hunter2\"]"}) {
    const std::string path =
        directory.Write("n.toml", std::string("bucket = \"b\"\n[network]\n") + line + "\n", 0644);
    const Result<MountConfig> loaded = LoadMountConfig(path, OptionsWith());
    EXPECT_TRUE(loaded.Is(Code::kPermissionDenied)) << line;
    EXPECT_THAT(ErrorOf(loaded), AllOf(HasSubstr(":3:1:"), Not(HasSubstr("hunter2"))));
  }
}

TEST(LoadMountConfig, WithoutASecretOthersMayReadButNotWrite) {
  const TemporaryDirectory directory;
  EXPECT_EQ(
      ErrorOf(LoadMountConfig(directory.Write("n.toml", "bucket = \"b\"\n", 0644), OptionsWith())),
      "");
  for (const mode_t mode : {0664, 0666, 0646}) {
    const std::string path = directory.Write("n.toml", "bucket = \"b\"\n", mode);
    const Result<MountConfig> loaded = LoadMountConfig(path, OptionsWith());
    ASSERT_TRUE(loaded.Is(Code::kPermissionDenied));
    EXPECT_THAT(ErrorOf(loaded), HasSubstr("chmod go-w " + path));
  }
}

TEST(LoadMountConfig, AFileOfSomebodyElseIsRefused) {
  if (geteuid() != 0) GTEST_SKIP() << "only root can give a file away";
  const TemporaryDirectory directory;
  const std::string path = directory.Write("n.toml", "bucket = \"b\"\n");
  ASSERT_EQ(chown(path.c_str(), 12345, 12345), 0);
  const Result<MountConfig> loaded = LoadMountConfig(path, OptionsWith());
  ASSERT_TRUE(loaded.Is(Code::kPermissionDenied));
  EXPECT_THAT(ErrorOf(loaded), AllOf(HasSubstr("12345"), HasSubstr("chown")));
}

TEST(LoadMountConfig, OnlyARegularFileIsAConfig) {
  const TemporaryDirectory directory;
  const std::string path = directory / "d.toml";
  ASSERT_EQ(mkdir(path.c_str(), 0700), 0);
  EXPECT_FALSE(LoadMountConfig(path, OptionsWith()).ok());
  const std::string pipe = directory / "p.toml";
  ASSERT_EQ(mkfifo(pipe.c_str(), 0600), 0);
  EXPECT_FALSE(LoadMountConfig(pipe, OptionsWith()).ok());
}

}  // namespace
}  // namespace quayfs
