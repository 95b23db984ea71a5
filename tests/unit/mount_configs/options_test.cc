// SPDX-License-Identifier: Apache-2.0

#include "mount-configs/options.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <map>
#include <regex>
#include <set>
#include <string>
#include <vector>

#include "base/text.h"
#include "mount-configs/values.h"
#include "tests/unit/mount_configs/test_support.h"

namespace quayfs {
namespace {

using config_test::ErrorOf;
using config_test::OptionsWith;
using config_test::Parse;
using ::testing::HasSubstr;
using ::testing::Not;

/// What one option takes and refuses. Values are TOML; `shown` is how the value in effect is
/// printed.
struct Row {
  std::string name;
  std::string good;
  std::string shown;
  std::string bad;
  std::string complaint;
  std::string beside;  // other lines that the good value needs, put below the option
};

const std::vector<Row>& Rows() {
  static const auto* const rows = new std::vector<Row>{
      {"name", "\"Qiniu Backups\"", "\"Qiniu Backups\"", "\"a/b\"", "must not be a path", ""},
      {"provider", "\"kodo\"", "\"kodo\"", "\"kood\"", "kodo", ""},
      {"bucket", "\"b-1\"", "\"b-1\"", "\"b/host\"", "'prefix'", ""},
      {"prefix", "\"host-a\"", "\"host-a/\"", "\"/host\"", "must not begin with '/'", ""},
      {"region", "\"cn-east-1\"", "\"cn-east-1\"", "7", "must be a string", ""},
      {"zone", "\"sh1a\"", "\"sh1a\"", "\"PEK 3\"", "'zone' must be a label", ""},
      {"endpoint", "\"HTTPS://s3.example.org:9000/base/\"", "\"https://s3.example.org:9000/base\"",
       "\"s3.example.org\"", "must begin with http:// or https://", ""},
      {"parameters", "\"RetryCount=6\"", "\"RetryCount=6\"", "\"RetryCount\"", "has no value", ""},
      {"storage_class", "\"Infrequent Access\"", "\"Infrequent Access\"", "true",
       "must be a string", ""},
      {"acl", "\"Public Read\"", "\"public-read\"", "\"publc-read\"",
       "did you mean \"public-read\"?", ""},
      {"bucket_acl", "\"private\"", "\"private\"", "\"secret\"", "must be one of \"private\"", ""},
      {"create_bucket", "true", "true", "\"yes\"", "must be true or false", ""},
      {"sse", "\"AWS KMS\"", "\"aws:kms\"", "\"AES512\"", "must be one of \"AES256\", \"aws:kms\"",
       ""},
      {"sse_kms_key_id", "\"key-1\"", "\"key-1\"", "5", "must be a string", "sse = \"aws:kms\"\n"},
      {"content_type", "\"plain\"", "\"plain\"", "\"text/html\"",
       "must be one of \"by-name\", \"plain\"", ""},
      {"native", "true", "true", "\"yes\"", "must be true or false", ""},
      {"native_endpoint", "\"https://rs.example.org\"", "\"https://rs.example.org\"", "true",
       "must be a string", "native = true\n"},
      {"native_bucket", "\"own-name\"", "\"own-name\"", "7", "must be a string", "native = true\n"},
      {"discovery_endpoint", "\"https://uc.example.org\"", "\"https://uc.example.org\"", "[]",
       "must be a string", ""},
      {"requester_pays", "true", "true", "\"true\"", "must be true or false", ""},
      {"conflict", "\"fail\"", "\"fail\"", "\"keep_booth\"", "did you mean \"keep-both\"?", ""},
      {"metadata", "\"plain\"", "\"plain\"", "\"full\"", "must be one of \"posix\", \"plain\"", ""},
      {"consistency", "\"close-to-open\"", "\"close-to-open\"", "\"never\"", "must be a time", ""},
      {"credentials.access_key_id", "\"AK\"", "\"AK\"", "7", "must be a string",
       "secret_access_key = \"s\"\n"},
      {"credentials.secret_access_key", "\"s3cr3t\"", "\"s3cr3t\"", "{ fil = \"x\" }",
       "must hold exactly one of", "access_key_id = \"AK\"\n"},
      {"credentials.session_token", "\"t0k3n\"", "\"t0k3n\"", "[]", "must be a string",
       "access_key_id = \"AK\"\nsecret_access_key = \"s\"\n"},
      {"credentials.env_auth", "true", "true", "1", "must be true or false", ""},
      {"credentials.source", "\"Web Identity\"", "\"web-identity\"", "\"cloud\"",
       "must be one of \"config\"", ""},
      {"credentials.profile", "\"nightly\"", "\"nightly\"", "7", "must be a string", ""},
      {"credentials.passwd_file", "\"/etc/passwd-s3fs\"", "\"/etc/passwd-s3fs\"", "false",
       "must be a string", ""},
      {"credentials.anonymous", "true", "true", "\"yes\"", "must be true or false", ""},
      {"credentials.sse_customer_key", "\"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\"",
       "\"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\"", "\"AAAA\"", "must be 32 bytes in base64",
       ""},
      {"extended.SignatureVersion", "\"v2\"", "\"2\"", "3", "must be one of \"4\", \"2\"", ""},
      {"extended.RetryInterval", "10000", "10000", "2147483647", "from 0 to 2147483646", ""},
      {"extended.RetryCount", "0", "0", "-1", "from 0 to 2147483646", ""},
      {"extended.RetryMode", "\"adaptive\"", "\"Adaptive\"", "[]", "must be a string, a number",
       ""},
      {"extended.Allow_Insecure_SSL", "true", "true", "\"maybe\"", "must be true or false", ""},
      {"extended.Cert_thumbprint",
       "\"01:23:45:67:89:AB:CD:EF:01:23:45:67:89:ab:cd:ef:01:23:45:67\"",
       "\"0123456789abcdef0123456789abcdef01234567\"", "\"0123\"", "40 (SHA-1) or 64 (SHA-256)",
       ""},
      {"extended.Use_PathStyle", "\"on\"", "true", "\"2\"", "must be true or false", ""},
      {"extended.Use_ClientMultiUpload", "false", "false", "2", "must be true or false", ""},
      {"extended.Use_UnsignedPayload", "\"1\"", "true", "\"\"", "must be true or false", ""},
      {"cache.directory", "\"/var/cache/x\"", "\"/var/cache/x\"", "1", "must be a string", ""},
      {"cache.size", "\"20GiB\"", "\"20GiB\"", "\"20 gigs\"", "must be a size such as \"20GiB\"",
       ""},
      {"cache.dirty_limit", "\"4GiB\"", "\"4GiB\"", "\"1KiB\"", "from 1MiB to 1PiB", ""},
      {"cache.block_size", "65536", "\"64KiB\"", "\"1KiB\"", "from 4KiB to 16MiB", ""},
      {"cache.fetch_size", "\"16MiB\"", "\"16MiB\"", "\"1KiB\"", "from 128KiB to 1GiB", ""},
      {"cache.read_ahead", "0", "\"0\"", "-5", "must be a size", ""},
      {"cache.memory", "\"32MiB\"", "\"32MiB\"", "true", "must be a size", ""},
      {"durability.fsync", "\"local\"", "\"local\"", "\"remot\"", "did you mean \"remote\"?", ""},
      {"durability.close", "\"Local\"", "\"local\"", "\"never\"", "must be one of", ""},
      {"transfer.max_in_flight", "64", "64", "0", "from 1 to 1024", ""},
      {"transfer.upload_cutoff", "\"200MiB\"", "\"200MiB\"", "\"6GiB\"", "from 0 to 5GiB", ""},
      {"transfer.chunk_size", "\"32MiB\"", "\"32MiB\"", "\"512KiB\"", "from 1MiB to 5GiB", ""},
      {"transfer.upload_concurrency", "8", "8", "65", "from 1 to 64", ""},
      {"network.connection_retries", "3", "3", "\"3\"", "must be a number", ""},
      {"network.connect_timeout", "\"5s\"", "\"5s\"", "\"5\"", "must be a time such as \"5s\"", ""},
      {"network.stall_timeout", "\"2m\"", "\"2m\"", "\"2h\"", "from 1s to 3600s", ""},
      {"network.max_connections", "64", "64", "1025", "from 1 to 1024", ""},
      {"network.ipv6", "false", "false", "0", "must be true or false", ""},
      {"network.proxy", "\"socks5h://127.0.0.1:1080\"", "\"socks5h://127.0.0.1:1080\"",
       "\"proxy:3128\"", "must begin with http://", ""},
      {"network.ca_file", "\"/etc/ca.pem\"", "\"/etc/ca.pem\"", "[]", "must be a string", ""},
      {"network.client_certificate", "\"/c.pem\"", "\"/c.pem\"", "1", "must be a string",
       "client_key = \"/k.pem\"\n"},
      {"network.client_key", "\"/k.pem\"", "\"/k.pem\"", "1", "must be a string",
       "client_certificate = \"/c.pem\"\n"},
      {"network.upload_limit", "\"20MiB\"", "\"20MiB\"", "\"fast\"", "must be a size", ""},
      {"network.download_limit", "\"1GiB\"", "\"1GiB\"", "1.5", "must be a size", ""},
      {"network.headers", "[\"X-A: b\"]", "[\"X-A: b\"]", "[\"Host: x\"]", "must not set Host", ""},
      {"mount.read_only", "true", "true", "\"ro\"", "must be true or false", ""},
      {"mount.allow_other", "true", "true", "1", "must be true or false", ""},
      {"mount.uid", "\"root\"", "0", "\"no-such-user-here\"", "not known", ""},
      {"mount.gid", "1000", "1000", "4294967295", "must be a group", ""},
      {"mount.umask", "\"0077\"", "\"0077\"", "77", "must be an octal mode in quotes", ""},
      {"mount.file_mode", "\"640\"", "\"0640\"", "\"0680\"", "must be an octal mode", ""},
      {"mount.dir_mode", "\"0750\"", "\"0750\"", "\"4755\"", "must be an octal mode", ""},
      {"mount.folder_times", "true", "true", "\"no\"", "must be true or false", ""},
      {"mount.trust_special", "true", "true", "\"no\"", "must be true or false", ""},
      {"mount.interrupt_grace", "\"500ms\"", "\"500ms\"", "5", "must be a time", ""},
      {"mount.timeout", "\"5m\"", "\"5m\"", "5", "must be a time", ""},
      {"mount.start_timeout", "\"2m\"", "\"2m\"", "5", "must be a time", ""},
      {"mount.capacity", "\"10TiB\"", "\"10TiB\"", "\"1B!\"", "must be a size", ""},
      {"metrics.port", "9817", "9817", "65536", "from 1 to 65535", ""},
      {"log.format", "\"json\"", "\"json\"", "\"jsn\"", "did you mean \"json\"?", ""},
      {"log.level", "\"debug\"", "\"debug\"", "\"debgu\"", "did you mean \"debug\"?", ""},
  };
  return *rows;
}

/// The test in which another value than the default makes a difference.
const std::map<std::string, std::string>& Effects() {
  static const auto* const effects = new std::map<std::string, std::string>{
      {"name", "OptionEffectTest.NameIsWhatDfShows"},
      {"provider", "PresetTest.RequestsGoWhereTheyShouldAndAreSignedForIt"},
      {"bucket", "MountFailureTest.AMissingBucket"},
      {"prefix", "OptionEffectTest.PrefixIsTheRootOfTheMount"},
      {"region", "RegionTest.Wrong"},
      {"zone", "QingStorPlaces.TheZoneGoesBeforeTheHostOfTheService"},
      {"endpoint", "MountFailureTest.AnEndpointWhereNobodyListens"},
      {"parameters", "ProgressTest.StatusSaysWhatIsRetriedAndWhy"},
      {"storage_class", "OptionEffectTest.WhatIsWrittenHasClassAclEncryptionAndType"},
      {"acl", "OptionEffectTest.WhatIsWrittenHasClassAclEncryptionAndType"},
      {"bucket_acl", "OptionEffectTest.ABucketThatIsMissingIsMadeWithItsAcl"},
      {"create_bucket", "OptionEffectTest.ABucketThatIsMissingIsMadeWithItsAcl"},
      {"sse", "OptionEffectTest.WhatIsWrittenHasClassAclEncryptionAndType"},
      {"sse_kms_key_id", "OptionEffectTest.WhatIsWrittenHasClassAclEncryptionAndType"},
      {"content_type", "OptionEffectTest.WhatIsWrittenHasClassAclEncryptionAndType"},
      {"native", "KodoStoreTest.WithoutItNothingNativeIsSent"},
      {"native_endpoint", "MovesTest.ARenamedFileIsMovedByTheService"},
      {"native_bucket", "KodoStoreTest.ABucketWithAnotherNativeName"},
      {"discovery_endpoint", "RegionTest.Missing"},
      {"requester_pays", "OptionEffectTest.RequesterPaysAndHeadersGoWithEveryRequest"},
      {"conflict", "ConflictsTest.OverwriteMakesTheLastWriterWin"},
      {"metadata", "OptionEffectTest.PlainMetadataStoresNothingAndShowsWhatTheConfigSays"},
      {"consistency", "DirectoriesTest.ObjectsThatOthersPutAppear"},
      {"credentials.access_key_id", "MountFailureTest.AnUnknownKeyId"},
      {"credentials.secret_access_key", "MountFailureTest.AWrongSecret"},
      {"credentials.session_token", "SecretsTest.AreSeenNowhere"},
      {"credentials.env_auth", "OptionEffectTest.KeysComeFromWhereTheConfigSays"},
      {"credentials.source", "OptionEffectTest.KeysComeFromWhereTheConfigSays"},
      {"credentials.profile", "OptionEffectTest.KeysComeFromWhereTheConfigSays"},
      {"credentials.passwd_file", "OptionEffectTest.KeysComeFromWhereTheConfigSays"},
      {"credentials.anonymous", "OptionEffectTest.AnonymousSignsNothing"},
      {"credentials.sse_customer_key", "WireTest.AKeyOfOnesOwnGoesWithWhatTouchesTheBytes"},
      {"extended.SignatureVersion", "OptionEffectTest.SignatureVersionTwoAndNoPartsAreUsed"},
      {"extended.RetryInterval", "LongOutageTest.IntervalAndCountAreTheUsers"},
      {"extended.RetryCount", "LongOutageTest.IntervalAndCountAreTheUsers"},
      {"extended.RetryMode", "LongOutageTest.StandardGovernsTheConnectionToo"},
      {"extended.Allow_Insecure_SSL", "WireTlsTest.ASelfSignedServerIsRefusedUnlessItIsAskedFor"},
      {"extended.Cert_thumbprint", "WireTlsTest.AThumbprintDecidesAlone"},
      {"extended.Use_PathStyle", "Resolve.AddressingStyle"},
      {"extended.Use_ClientMultiUpload", "OptionEffectTest.SignatureVersionTwoAndNoPartsAreUsed"},
      {"extended.Use_UnsignedPayload", "ClientObjects.PayloadIsUnsignedOnlyOverTlsOrWhenForced"},
      {"cache.directory", "OptionEffectTest.TheCacheLiesInItsDirectory"},
      {"cache.size", "OptionEffectTest.NoMoreIsKeptThanTheCachesSize"},
      {"cache.dirty_limit", "OptionEffectTest.WritersStopAtTheDirtyLimit"},
      {"cache.block_size", "OptionEffectTest.ABlockIsTheLeastThatIsFetched"},
      {"cache.fetch_size", "OptionEffectTest.FetchSizeAndReadAheadAreTheMostOfASequentialReader"},
      {"cache.read_ahead", "OptionEffectTest.FetchSizeAndReadAheadAreTheMostOfASequentialReader"},
      {"cache.memory", "SnapshotMemoryTest.WaitsForRoomInOrder"},
      {"durability.fsync", "OptionEffectTest.FsyncMayBeLocalAndCloseRemote"},
      {"durability.close", "OptionEffectTest.FsyncMayBeLocalAndCloseRemote"},
      {"transfer.max_in_flight", "OptionEffectTest.MaxInFlightIsHowManyAreSentAtOnce"},
      {"transfer.upload_cutoff", "UploadParametersTest.FilesUpToTheCutoffGoInOnePiece"},
      {"transfer.chunk_size", "UploadParametersTest.FilesAboveItGoInChunks"},
      {"transfer.upload_concurrency", "RequestsTest.UploadConcurrencyLimitsThePartsOfAFile"},
      {"network.connection_retries",
       "LongOutageTest.QingStorTriesThreeTimesMoreUnlessItsParameterSaysOtherwise"},
      {"network.connect_timeout", "HttpFaultsTest.ConnectTimeout"},
      {"network.stall_timeout", "OptionEffectTest.AStalledTransferIsTriedAgainAfterTheTime"},
      {"network.max_connections", "WireTest.NoMoreConnectionsThanAllowed"},
      {"network.ipv6", "WireTest.WithoutIpv6ItIsNotTried"},
      {"network.proxy", "WireTest.EverythingGoesThroughTheProxy"},
      {"network.ca_file", "WireTlsTest.ASelfSignedServerIsRefusedUnlessItIsAskedFor"},
      {"network.client_certificate", "WireTlsTest.AClientCertificateIsShown"},
      {"network.client_key", "WireTlsTest.AClientCertificateIsShown"},
      {"network.upload_limit", "WireTest.BandwidthIsKeptToBothWays"},
      {"network.download_limit", "WireTest.BandwidthIsKeptToBothWays"},
      {"network.headers", "OptionEffectTest.RequesterPaysAndHeadersGoWithEveryRequest"},
      {"mount.read_only", "LifeCycleTest.AReadOnlyMountRefusesChanges"},
      {"mount.allow_other", "OptionEffectTest.OthersAreLetInIfTheConfigSaysSo"},
      {"mount.uid", "LifeCycleTest.OwnersAndModesCanBeGivenWithO"},
      {"mount.gid", "LifeCycleTest.OwnersAndModesCanBeGivenWithO"},
      {"mount.umask", "LifeCycleTest.OwnersAndModesCanBeGivenWithO"},
      {"mount.file_mode", "OptionEffectTest.ModesOfObjectsWithoutAnyAreThoseOfTheConfig"},
      {"mount.dir_mode", "OptionEffectTest.ModesOfObjectsWithoutAnyAreThoseOfTheConfig"},
      {"mount.folder_times", "RequestsTest.TimesOfFoldersCostOneRequestPerFolder"},
      {"mount.trust_special", "OptionEffectTest.SetUidBitsOfTheBucketCountIfItIsTrusted"},
      {"mount.interrupt_grace", "OutageTest.CtrlCEndsAReadThatWaits"},
      {"mount.timeout", "OutageTest.PatienceEndsWhereTheConfigSaysSo"},
      {"mount.start_timeout", "StockToolsTest.MountWaitsForTheStoreAndNotForEver"},
      {"mount.capacity", "AttributesTest.StatfsShowsRoom"},
      {"metrics.port", "MetricsTest.ArePutOutAtALoopbackPortIfTheConfigSaysSo"},
      {"log.format", "LogTest.InJsonEveryLineIsAnEventAndNoneHasASecret"},
      {"log.level", "OptionEffectTest.TheLogHoldsWhatIsImportantEnough"},
  };
  return *effects;
}

struct Document {
  std::string text;
  int line = 0;  // of the option
};

/// A config with nothing but the option, the bucket, and what the row needs beside.
Document DocumentWith(const Row& row, const std::string& value, bool with_beside) {
  const size_t dot = row.name.find('.');
  const bool top = dot == std::string::npos;
  const std::string section = top ? "" : row.name.substr(0, dot);
  const std::string key = top ? row.name : row.name.substr(dot + 1);
  Document document;
  if (key != "bucket") document.text += "bucket = \"b\"\n";
  if (!top) document.text += "[" + section + "]\n";
  document.line =
      1 + static_cast<int>(std::count(document.text.begin(), document.text.end(), '\n'));
  document.text += key + " = " + value + "\n";
  if (with_beside) document.text += row.beside;
  return document;
}

LoadOptions WithoutSecrets() {
  LoadOptions options = OptionsWith();
  options.resolve_secrets = false;
  return options;
}

TEST(OptionTable, EveryOptionHasARowInThisTest) {
  std::set<std::string> tested;
  for (const Row& row : Rows()) tested.insert(row.name);
  std::set<std::string> known;
  for (const Option& option : AllOptions()) known.insert(option.full_name());
  EXPECT_EQ(tested, known);
}

/// SUITE.NAME of every test below tests/.
std::set<std::string> AllTests() {
  std::set<std::string> tests;
  const std::regex shape(R"((?:^|\n)TEST(?:_F|_P)?\((\w+),\s*(\w+))");
  for (const auto& entry :
       std::filesystem::recursive_directory_iterator(config_test::SourceRoot() / "tests")) {
    if (entry.path().extension() != ".cc") continue;
    const std::string text = config_test::ReadWholeFile(entry.path());
    for (std::sregex_iterator it(text.begin(), text.end(), shape), end; it != end; ++it)
      tests.insert(it->str(1) + "." + it->str(2));
  }
  return tests;
}

TEST(OptionTable, TheEffectOfEveryOptionIsShownByATest) {
  const std::set<std::string> tests = AllTests();
  ASSERT_GT(tests.size(), 1000U);
  std::set<std::string> shown;
  for (const auto& [option, test] : Effects()) {
    shown.insert(option);
    EXPECT_TRUE(tests.contains(test)) << option << ": there is no test " << test;
  }
  std::set<std::string> known;
  for (const Option& option : AllOptions()) known.insert(option.full_name());
  EXPECT_EQ(shown, known);
}

TEST(OptionTable, EveryOptionTakesWhatItShould) {
  for (const Row& row : Rows()) {
    SCOPED_TRACE(row.name);
    const Result<MountConfig> loaded =
        Parse(DocumentWith(row, row.good, true).text, WithoutSecrets());
    ASSERT_TRUE(loaded.ok()) << ErrorOf(loaded);
    const NamedOption named = FindOptionByName(row.name);
    ASSERT_NE(named.option, nullptr);
    EXPECT_EQ(ShowValue(*named.option, *loaded), row.shown);
  }
}

TEST(OptionTable, EveryOptionRefusesWhatItMustByFileLineAndKey) {
  for (const Row& row : Rows()) {
    SCOPED_TRACE(row.name);
    const Document document = DocumentWith(row, row.bad, true);
    const Result<MountConfig> loaded = Parse(document.text, WithoutSecrets());
    ASSERT_FALSE(loaded.ok());
    const std::string key = row.name.substr(row.name.find('.') + 1);
    EXPECT_EQ(loaded.code(), Code::kInvalidArgument);
    EXPECT_THAT(ErrorOf(loaded),
                HasSubstr("/etc/quayfs/n.toml:" + std::to_string(document.line) + ":"));
    EXPECT_THAT(ErrorOf(loaded), HasSubstr(key));
    EXPECT_THAT(ErrorOf(loaded), HasSubstr(row.complaint));
    EXPECT_THAT(ErrorOf(loaded), Not(HasSubstr("\n"))) << "one mistake, one line";
  }
}

/// What the struct says by itself and what the table says are the same: whoever takes a MountConfig
/// without loading gets the documented defaults.
TEST(OptionTable, DefaultsAreThoseOfTheStruct) {
  const MountConfig fresh;
  for (const Option& option : AllOptions()) {
    SCOPED_TRACE(option.full_name());
    if (option.default_text.empty()) {
      EXPECT_FALSE(option.default_note.empty()) << "say what no value means";
      EXPECT_EQ(ShowValue(option, fresh), "");
      continue;
    }
    MountConfig set;
    const Status status = SetFromText(option, option.default_text, set);
    ASSERT_TRUE(status.ok()) << status.error().message();
    EXPECT_EQ(ShowValue(option, fresh), ShowValue(option, set));
  }
}

TEST(OptionTable, ExamplesAreAccepted) {
  for (const Option& option : AllOptions()) {
    SCOPED_TRACE(option.full_name());
    if (option.example.empty()) {
      EXPECT_TRUE(option.is_secret()) << "only secrets have no example";
      continue;
    }
    MountConfig config;
    const Status status = SetFromText(option, option.example, config);
    EXPECT_TRUE(status.ok()) << status.error().message();
  }
}

TEST(OptionTable, RowsAreWellFormed) {
  std::set<std::string> names;
  std::set<std::string> aliases;
  for (const Option& option : AllOptions()) {
    SCOPED_TRACE(option.full_name());
    EXPECT_TRUE(names.insert(option.full_name()).second) << "twice";
    EXPECT_FALSE(option.help.empty());
    EXPECT_NE(option.help.back(), '.') << "the full stop is added where it is printed";
    EXPECT_EQ(option.type == OptionType::kChoice, !option.choices.empty());
    for (const std::string_view alias : option.aliases) {
      const std::string name(alias.substr(0, alias.find('=')));
      EXPECT_TRUE(aliases.insert(name).second) << name << " stands for two options";
      EXPECT_EQ(FindOptionByName(name).option, &option) << name;
    }
    for (const ProviderRule& rule : option.provider_rules) {
      MountConfig config;
      if (rule.default_text.empty()) continue;
      EXPECT_TRUE(SetFromText(option, rule.default_text, config).ok()) << rule.provider;
    }
  }
  for (const std::string& section : AllSections()) {
    EXPECT_FALSE(SectionHelp(section).empty()) << section;
  }
}

TEST(OptionTable, NamesOfMountOptionsForgiveDashesAndCase) {
  const Option* const size = FindOption("cache", "size");
  ASSERT_NE(size, nullptr);
  for (const char* name : {"cache.size", "cache_size", "cache-size", "CACHE-SIZE", "size"}) {
    EXPECT_EQ(FindOptionByName(name).option, size) << name;
  }
  EXPECT_EQ(FindOptionByName("use_path_request_style").option,
            FindOption("extended", "Use_PathStyle"));
  EXPECT_EQ(FindOptionByName("use-pathstyle").option, FindOption("extended", "use_pathstyle"));
  EXPECT_EQ(FindOptionByName("ro").implied_value, "true");
  EXPECT_EQ(FindOptionByName("rw").implied_value, "false");
  EXPECT_EQ(FindOptionByName("sigv2").implied_value, "2");
  EXPECT_EQ(FindOptionByName("sizes").option, nullptr);
}

TEST(OptionTable, NearestOptionLooksHereFirstThenElsewhere) {
  EXPECT_EQ(NearestOption("credentials", "acces_key_id"), "credentials.access_key_id");
  EXPECT_EQ(NearestOption("", "fsync"), "durability.fsync");
  EXPECT_EQ(NearestOption("", "chunk_size"), "transfer.chunk_size");
  EXPECT_EQ(NearestOption("", "endpoint_url"), "endpoint");
  EXPECT_EQ(NearestOption("", "bukcet"), "bucket");
  EXPECT_EQ(NearestOption("cache", "zzzzzzzzzz"), "");
}

}  // namespace
}  // namespace quayfs
