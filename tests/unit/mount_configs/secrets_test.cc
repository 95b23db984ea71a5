// SPDX-License-Identifier: Apache-2.0

#include "mount-configs/secrets.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <chrono>
#include <string>
#include <thread>

#include "tests/unit/mount_configs/test_support.h"

namespace quayfs {
namespace {

using config_test::ErrorOf;
using config_test::OptionsWith;
using config_test::Parse;
using config_test::TemporaryDirectory;
using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

std::string WithSecret(const std::string& source) {
  return "bucket = \"b\"\n[credentials]\naccess_key_id = \"AK\"\nsecret_access_key = " + source +
         "\n";
}

std::string SecretOf(const Result<MountConfig>& loaded) {
  return loaded.ok() ? loaded->store.credentials.secret_access_key : "(" + ErrorOf(loaded) + ")";
}

Result<std::string> Shell(const std::string& script, Duration timeout = std::chrono::seconds(60)) {
  return RunSecretCommand({"/bin/sh", "-c", script}, timeout);
}

TEST(SecretFiles, ThoseOfSystemdAreFoundByItsVariable) {
  const TemporaryDirectory directory;
  directory.Write("nightly.secret", "hunter2\n", 0600);
  const Result<MountConfig> loaded = Parse(
      "bucket = \"b\"\n[credentials]\naccess_key_id = \"AK\"\n"
      "secret_access_key = { file = \"$CREDENTIALS_DIRECTORY/nightly.secret\" }\n",
      OptionsWith({{"CREDENTIALS_DIRECTORY", directory.path()}}));
  ASSERT_TRUE(loaded.ok()) << ErrorOf(loaded);
  EXPECT_EQ(loaded->store.credentials.secret_access_key, "hunter2");
}

TEST(SecretFile, IsReadWithoutItsLineEnd) {
  const TemporaryDirectory directory;
  const std::string path = directory.Write("s", "hunter2 \r\n\n");
  EXPECT_EQ(SecretOf(Parse(WithSecret("{ file = \"" + path + "\" }"))), "hunter2 ");
}

TEST(SecretFile, ARelativeNameBelongsToTheDirectoryOfTheConfig) {
  const TemporaryDirectory directory;
  directory.Write("s", "hunter2\n");
  const std::string config = directory.Write("n.toml", WithSecret("{ file = \"s\" }"), 0644);
  EXPECT_EQ(SecretOf(LoadMountConfig(config, OptionsWith())), "hunter2");
}

TEST(SecretFile, OpenToOthersIsRefusedWithTheChmodToRun) {
  const TemporaryDirectory directory;
  for (const mode_t mode : {0644, 0640, 0620, 0602, 0604}) {
    const std::string path = directory.Write("s", "hunter2\n", mode);
    const Result<MountConfig> loaded = Parse(WithSecret("{ file = \"" + path + "\" }"));
    ASSERT_TRUE(loaded.Is(Code::kPermissionDenied)) << mode;
    EXPECT_THAT(ErrorOf(loaded), AllOf(HasSubstr("n.toml:4:1:"), HasSubstr("chmod 600 " + path),
                                       Not(HasSubstr("hunter2"))));
  }
}

TEST(SecretFile, OfSomebodyElseIsRefused) {
  if (geteuid() != 0) GTEST_SKIP() << "only root can give a file away";
  const TemporaryDirectory directory;
  const std::string path = directory.Write("s", "hunter2\n");
  ASSERT_EQ(chown(path.c_str(), 12345, 0), 0);
  EXPECT_TRUE(ReadPrivateFile(path).Is(Code::kPermissionDenied));
}

TEST(SecretFile, MissingEmptyHugeOrNoFileAtAll) {
  const TemporaryDirectory directory;
  EXPECT_THAT(ErrorOf(Parse(WithSecret("{ file = \"/nonexistent/s\" }"))),
              AllOf(HasSubstr("n.toml:4:1:"), HasSubstr("/nonexistent/s")));
  const std::string empty = directory.Write("e", "\n");
  EXPECT_THAT(ErrorOf(Parse(WithSecret("{ file = \"" + empty + "\" }"))), HasSubstr("is empty"));
  EXPECT_TRUE(ReadPrivateFile(directory.Write("h", std::string(70000, 'x'))).Is(Code::kTooLarge));
  EXPECT_FALSE(ReadPrivateFile(directory.path()).ok());
  const std::string two_lines = directory.Write("t", "hunter2\nhunter3\n");
  EXPECT_THAT(ErrorOf(Parse(WithSecret("{ file = \"" + two_lines + "\" }"))),
              AllOf(HasSubstr("line ends"), Not(HasSubstr("hunter"))));
}

TEST(SecretVariable, IsLookedUpAndMustBeSet) {
  const std::string text = WithSecret("{ env = \"MY_SECRET\" }");
  EXPECT_EQ(SecretOf(Parse(text, OptionsWith({{"MY_SECRET", "hunter2"}}))), "hunter2");
  EXPECT_THAT(ErrorOf(Parse(text)),
              AllOf(HasSubstr("n.toml:4:1:"), HasSubstr("MY_SECRET is not set")));
}

TEST(SecretCommand, PrintsTheSecret) {
  EXPECT_EQ(SecretOf(Parse(WithSecret("{ command = [\"/bin/echo\", \" hunter2 \"] }"))), "hunter2");
  EXPECT_EQ(*Shell("printf 'a b\\n'"), "a b");
}

TEST(SecretCommand, GetsNoShellAndNoInput) {
  EXPECT_EQ(*RunSecretCommand({"/bin/echo", "$HOME; `id`"}, std::chrono::seconds(60)),
            "$HOME; `id`");
  EXPECT_EQ(*Shell("cat; echo end"), "end");
}

TEST(SecretCommand, FailuresAreNamedWithoutTheOutput) {
  const Result<std::string> failed = Shell("echo hunter2; exit 3");
  ASSERT_FALSE(failed.ok());
  EXPECT_THAT(failed.error().message(), AllOf(HasSubstr("status 3"), Not(HasSubstr("hunter2"))));
  EXPECT_THAT(Shell("kill -9 $$").error().message(), HasSubstr("signal 9"));
  EXPECT_THAT(Shell("true").error().message(), HasSubstr("printed nothing"));
  EXPECT_TRUE(Shell("head -c 100000 /dev/zero | tr '\\0' x").Is(Code::kTooLarge));
  EXPECT_FALSE(RunSecretCommand({"/nonexistent/program"}, std::chrono::seconds(60)).ok());
  EXPECT_TRUE(RunSecretCommand({"echo", "x"}, std::chrono::seconds(60)).Is(Code::kInvalidArgument));
  EXPECT_TRUE(RunSecretCommand({}, std::chrono::seconds(60)).Is(Code::kInvalidArgument));
}

/// The command and what it started are gone when the call returns, whether they hold the output
/// open or not.
TEST(SecretCommand, IsEndedAfterItsTime) {
  const TemporaryDirectory directory;
  for (const std::string& script :
       {std::string("sleep 1000"), std::string("echo early; exec >&-; sleep 1000"),
        "sleep 1000 & echo $! >" + (directory / "pid") + "; echo hunter2; wait"}) {
    const Result<std::string> late = Shell(script, std::chrono::milliseconds(300));
    ASSERT_TRUE(late.Is(Code::kTimedOut)) << script;
    EXPECT_THAT(late.error().message(), Not(HasSubstr("hunter2")));
  }
  const std::string pid_text = config_test::ReadWholeFile(directory / "pid");
  ASSERT_FALSE(pid_text.empty());
  // Gone, or waiting for init to collect it. The signal is delivered at once but takes effect on
  // its own time.
  const std::string path = "/proc/" + std::to_string(std::stoi(pid_text)) + "/stat";
  const auto runs = [&path] {
    const std::string stat = config_test::ReadWholeFile(path);
    return !stat.empty() && stat.find(") Z ") == std::string::npos &&
           stat.find(") X ") == std::string::npos;
  };
  const auto limit = std::chrono::steady_clock::now() + std::chrono::seconds(30);
  while (runs() && std::chrono::steady_clock::now() < limit) std::this_thread::yield();
  EXPECT_FALSE(runs());
}

TEST(SecretCommand, IsNotRunForAConfigThatIsWrongAnyway) {
  const TemporaryDirectory directory;
  const std::string mark = directory / "ran";
  const std::string source = "{ command = [\"/usr/bin/touch\", \"" + mark + "\"] }";
  EXPECT_FALSE(Parse("colour = 1\n" + WithSecret(source)).ok());
  EXPECT_NE(access(mark.c_str(), F_OK), 0);
  LoadOptions options = OptionsWith();
  options.resolve_secrets = false;
  EXPECT_TRUE(Parse(WithSecret(source), options).ok());
  EXPECT_NE(access(mark.c_str(), F_OK), 0);
}

/// What `quayfs config check` does without --secrets.
TEST(SecretSources, AreCheckedWithoutLookingAtASecret) {
  const TemporaryDirectory directory;
  LoadOptions options = OptionsWith();
  options.resolve_secrets = false;
  options.check_secret_sources = true;
  const auto check = [&options](const std::string& source) {
    return Parse(WithSecret(source), options);
  };
  const std::string mark = directory / "ran";
  const auto command = check("{ command = [\"/usr/bin/touch\", \"" + mark + "\"] }");
  ASSERT_TRUE(command.ok()) << ErrorOf(command);
  EXPECT_FALSE(command->store.credentials.secret_access_key.empty()) << "a stand-in";
  EXPECT_NE(access(mark.c_str(), F_OK), 0);
  EXPECT_THAT(ErrorOf(check("{ command = [\"/no/such/program\"] }")),
              HasSubstr("/no/such/program"));
  EXPECT_TRUE(check("{ env = \"SET_ELSEWHERE_ONLY\" }").ok());

  const std::string path = directory.Write("secret", "hunter2\n");
  const auto file = check("{ file = \"" + path + "\" }");
  ASSERT_TRUE(file.ok()) << ErrorOf(file);
  EXPECT_NE(file->store.credentials.secret_access_key, "hunter2");
  chmod(path.c_str(), 0640);
  EXPECT_THAT(ErrorOf(check("{ file = \"" + path + "\" }")), HasSubstr("chmod 600"));
  EXPECT_THAT(ErrorOf(check("{ file = \"" + (directory / "none") + "\" }")),
              HasSubstr("cannot open"));
  const std::string empty = directory.Write("empty", "");
  EXPECT_THAT(ErrorOf(check("{ file = \"" + empty + "\" }")), HasSubstr("is empty"));
}

TEST(SecretSource, MustBeExactlyOneOfTheForms) {
  for (const char* source :
       {"{}", "{ file = \"a\", env = \"b\" }", "{ file = 5 }", "{ file = \"\" }",
        "{ command = \"/bin/x\" }", "{ command = [] }", "{ command = [\"echo\"] }",
        "{ command = [\"/bin/x\", 5] }", "{ path = \"x\" }", "5", "[\"a\"]"}) {
    EXPECT_THAT(ErrorOf(Parse(WithSecret(source))), HasSubstr("n.toml:4:")) << source;
  }
}

TEST(EnvAuth, QingStorInTheDocumentedOrder) {
  const std::string text =
      "provider = \"qingstor\"\nbucket = \"b\"\n[credentials]\nenv_auth = true\n";
  config_test::Variables variables = {{"QS_ACCESS_KEY", "third"}, {"QS_SECRET_KEY", "3"}};
  EXPECT_EQ(Parse(text, OptionsWith(variables))->store.credentials.access_key_id, "third");
  variables["QS_ACCESS_KEY_ID"] = "second";
  EXPECT_EQ(Parse(text, OptionsWith(variables))->store.credentials.access_key_id, "third")
      << "half a pair does not count";
  variables["QS_SECRET_ACCESS_KEY"] = "2";
  EXPECT_EQ(Parse(text, OptionsWith(variables))->store.credentials.access_key_id, "second");
  variables["QINGSTOR_ACCESS_KEY_ID"] = "first";
  variables["QINGSTOR_SECRET_ACCESS_KEY"] = "1";
  const Result<MountConfig> loaded = Parse(text, OptionsWith(variables));
  EXPECT_EQ(loaded->store.credentials.access_key_id, "first");
  EXPECT_EQ(loaded->store.credentials.secret_access_key, "1");
  EXPECT_EQ(loaded->keys_from,
            "the environment variables QINGSTOR_ACCESS_KEY_ID and QINGSTOR_SECRET_ACCESS_KEY");
  EXPECT_FALSE(loaded->store.anonymous);
}

TEST(EnvAuth, QingStorsOwnFile) {
  const TemporaryDirectory directory;
  const std::string text =
      "provider = \"qingstor\"\nbucket = \"b\"\n[credentials]\nenv_auth = true\n";
  const std::string path = directory.Write(
      "config.yaml", "# c\naccess_key_id: 'AK'\nsecret_access_key: \"hun:ter2\"\nzone: pek3a\n");
  const Result<MountConfig> loaded = Parse(text, OptionsWith({{"QINGSTOR_CONFIG_PATH", path}}));
  ASSERT_TRUE(loaded.ok()) << ErrorOf(loaded);
  EXPECT_EQ(loaded->store.credentials.access_key_id, "AK");
  EXPECT_EQ(loaded->store.credentials.secret_access_key, "hun:ter2");
  chmod(path.c_str(), 0644);
  EXPECT_TRUE(
      Parse(text, OptionsWith({{"QINGSTOR_CONFIG_PATH", path}})).Is(Code::kPermissionDenied));
}

TEST(EnvAuth, OtherProviders) {
  const std::string tail = "bucket = \"b\"\n[credentials]\nenv_auth = true\n";
  const config_test::Variables aws = {
      {"AWS_ACCESS_KEY_ID", "AK"}, {"AWS_SECRET_ACCESS_KEY", "SK"}, {"AWS_SESSION_TOKEN", "T"}};
  const Result<MountConfig> loaded = Parse("provider = \"aws\"\n" + tail, OptionsWith(aws));
  ASSERT_TRUE(loaded.ok()) << ErrorOf(loaded);
  EXPECT_EQ(loaded->store.credentials.session_token, "T");
  config_test::Variables both = aws;
  both["QINIU_ACCESS_KEY"] = "Q";
  both["QINIU_SECRET_KEY"] = "S";
  EXPECT_EQ(
      Parse("provider = \"kodo\"\n" + tail, OptionsWith(both))->store.credentials.access_key_id,
      "Q");
  EXPECT_EQ(
      Parse("provider = \"aws\"\n" + tail, OptionsWith(both))->store.credentials.access_key_id,
      "AK");
  EXPECT_THAT(ErrorOf(Parse("provider = \"qingstor\"\n" + tail, OptionsWith(aws))),
              AllOf(HasSubstr("n.toml:4:1:"), HasSubstr("QINGSTOR_ACCESS_KEY_ID")));
}

TEST(EnvAuth, CountsOnlyWithoutKeysOfTheirOwn) {
  const Result<MountConfig> loaded =
      Parse(WithSecret("\"hunter2\"") + "env_auth = true\n",
            OptionsWith({{"AWS_ACCESS_KEY_ID", "other"}, {"AWS_SECRET_ACCESS_KEY", "other"}}));
  ASSERT_TRUE(loaded.ok()) << ErrorOf(loaded);
  EXPECT_EQ(loaded->store.credentials.access_key_id, "AK");
  EXPECT_EQ(loaded->warnings.size(), 1U);
}

TEST(PasswdFile, OfS3fs) {
  const TemporaryDirectory directory;
  const std::string path = directory.Write("p", "# keys\nother:OK:OS\nCK:CS\nb:AK:hunter2\n");
  const auto load = [&path](const std::string& bucket) {
    return Parse("bucket = \"" + bucket + "\"\n[credentials]\npasswd_file = \"" + path + "\"\n");
  };
  EXPECT_EQ(SecretOf(load("b")), "hunter2");
  EXPECT_EQ(load("b")->store.credentials.access_key_id, "AK");
  EXPECT_EQ(load("b")->keys_from, "the password file " + path);
  EXPECT_EQ(SecretOf(load("c")), "CS") << "the line without a bucket is for all others";
  directory.Write("p", "other:OK:OS\n");
  EXPECT_THAT(ErrorOf(load("b")), AllOf(HasSubstr("n.toml:3:1:"), Not(HasSubstr("OS"))));
  directory.Write("p", "CK:CS\n", 0640);
  EXPECT_TRUE(load("b").Is(Code::kPermissionDenied));
}

// ---- Sources that are asked at run time.

constexpr char kHead[] =
    "provider = \"s3\"\nendpoint = \"https://s3.example.org\"\nbucket = \"b\"\n"
    "[credentials]\n";

TEST(CredentialSources, AProfileIsASourceByItself) {
  const Result<MountConfig> loaded = Parse(std::string(kHead) + "profile = \"nightly\"\n");
  ASSERT_TRUE(loaded.ok()) << ErrorOf(loaded);
  EXPECT_EQ(loaded->store.credential_rules.from, CredentialRules::From::kProfile);
  EXPECT_EQ(loaded->store.credential_rules.profile, "nightly");
  EXPECT_TRUE(loaded->store.credentials.anonymous());
}

TEST(CredentialSources, OneWayOnly) {
  for (const char* other : {"access_key_id = \"a\"\nsecret_access_key = \"b\"\n",
                            "passwd_file = \"/x\"\n", "env_auth = true\n", "anonymous = true\n"}) {
    EXPECT_THAT(ErrorOf(Parse(std::string(kHead) + "source = \"chain\"\n" + other)),
                HasSubstr("exclude each other"))
        << other;
  }
  EXPECT_THAT(ErrorOf(Parse(std::string(kHead) + "source = \"instance\"\nprofile = \"p\"\n")),
              HasSubstr("'credentials.profile' needs source"));
}

TEST(CredentialSources, KeysInFilesAreReadAgain) {
  const TemporaryDirectory directory;
  const std::string path = directory.Write("secret", "first\n", 0600);
  const Result<MountConfig> loaded =
      Parse(std::string(kHead) + "access_key_id = \"AK\"\nsecret_access_key = { file = \"" + path +
            "\" }\n");
  ASSERT_TRUE(loaded.ok()) << ErrorOf(loaded);
  const CredentialRules& rules = loaded->store.credential_rules;
  ASSERT_EQ(rules.from, CredentialRules::From::kReload);
  EXPECT_EQ(rules.files, std::vector<std::string>{path});
  EXPECT_EQ(loaded->store.credentials.secret_access_key, "first");
  directory.Write("secret", "second\n", 0600);
  const Result<s3::Credentials> fresh = rules.reload();
  ASSERT_TRUE(fresh.ok());
  EXPECT_EQ(fresh->access_key_id, "AK");
  EXPECT_EQ(fresh->secret_access_key, "second");
}

TEST(CredentialSources, AServiceManagersCredentialIsAFile) {
  const TemporaryDirectory directory;
  directory.Write("nightly.secret", "from systemd\n", 0400);
  const Result<MountConfig> loaded =
      Parse(std::string(kHead) +
                "access_key_id = \"AK\"\nsecret_access_key = { file = "
                "\"$CREDENTIALS_DIRECTORY/nightly.secret\" }\n",
            OptionsWith({{"CREDENTIALS_DIRECTORY", directory.path()}}));
  ASSERT_TRUE(loaded.ok()) << ErrorOf(loaded);
  EXPECT_EQ(loaded->store.credentials.secret_access_key, "from systemd");
}

}  // namespace
}  // namespace quayfs
