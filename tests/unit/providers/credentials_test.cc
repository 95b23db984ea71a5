// SPDX-License-Identifier: Apache-2.0
//
// Every source of credentials, against files and local endpoints of the test's own.

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <map>
#include <sstream>

#include "base/hash.h"
#include "base/text.h"
#include "providers/credentials/aws_profile.h"
#include "providers/credentials/sources.h"
#include "providers/open.h"
#include "tests/server/server.h"
#include "tests/unit/s3/raw_server.h"

namespace quayfs {
namespace {

using s3::testing::RawConnection;
using s3::testing::RawRequest;
using s3::testing::RawServer;
using ::testing::HasSubstr;
using ::testing::Not;
using From = CredentialRules::From;

/// Answers by request line; remembers what it was asked.
class Endpoint {
 public:
  using Answer = std::function<std::pair<int, std::string>(const RawRequest&)>;

  explicit Endpoint(Answer answer)
      : answer_(std::move(answer)), server_([this](RawConnection& connection) {
          RawRequest request;
          while (connection.ReadRequest(&request)) {
            const auto [status, body] = answer_(request);
            {
              MutexLock lock(mutex_);
              seen_.push_back(request);
            }
            connection.Write("HTTP/1.1 " + std::to_string(status) + " X\r\nContent-Length: " +
                             std::to_string(body.size()) + "\r\n\r\n" + body);
            request = {};
          }
        }) {}

  std::string url() const { return "http://127.0.0.1:" + std::to_string(server_.port()); }
  std::vector<RawRequest> seen() {
    MutexLock lock(mutex_);
    return seen_;
  }

 private:
  const Answer answer_;
  Mutex mutex_{LockRank::kTestServer};
  std::vector<RawRequest> seen_ QUAY_GUARDED_BY(mutex_);
  RawServer server_;
};

class Credentials : public ::testing::Test {
 protected:
  Credentials()
      : folder_(std::filesystem::temp_directory_path() /
                ("quayfs-credentials-" + HexEncode(RandomBytes(8)))) {
    std::filesystem::create_directory(folder_);
    variables_["HOME"] = folder_.string();
    variables_["AWS_EC2_METADATA_DISABLED"] = "true";
    std::filesystem::create_directory(folder_ / ".aws");
  }
  ~Credentials() override { std::filesystem::remove_all(folder_); }

  std::string Write(const std::string& name, const std::string& text) {
    std::string path = (folder_ / name).string();
    std::ofstream(path, std::ios::trunc) << text;
    return path;
  }

  CredentialRules Rules(From from) {
    CredentialRules rules;
    rules.from = from;
    rules.around.variable = [this](const std::string& name) -> std::optional<std::string> {
      const auto found = variables_.find(name);
      return found == variables_.end() ? std::nullopt : std::optional(found->second);
    };
    rules.around.private_file = [](const std::string& path) -> Result<std::string> {
      std::ifstream file(path);
      if (!file) return Error(Code::kNotFound, path);
      std::ostringstream text;
      text << file.rdbuf();
      return text.str();
    };
    rules.around.run = [this](const std::vector<std::string>& command) -> Result<std::string> {
      ran_ = command;
      return printed_;
    };
    return rules;
  }

  Result<s3::IssuedCredentials> Fetch(const CredentialRules& rules) {
    source_ = MakeCredentialSource(rules, {});
    return source_->Fetch({});
  }
  /// "key/secret/token@expiry", or the message.
  std::string Shown(const Result<s3::IssuedCredentials>& issued) {
    if (!issued) return issued.error().message();
    const s3::Credentials& keys = issued->keys;
    return keys.access_key_id + "/" + keys.secret_access_key + "/" + keys.session_token +
           (issued->expires ? "@" + FormatIsoBasic(*issued->expires) : "");
  }

  const std::filesystem::path folder_;
  std::map<std::string, std::string> variables_;
  std::vector<std::string> ran_;
  std::string printed_;
  std::shared_ptr<s3::CredentialSource> source_;
};

constexpr char kDocument[] =
    R"({"AccessKeyId":"AK1","SecretAccessKey":"SK1","Token":"T1","Expiration":"2033-01-02T03:04:05Z"})";

TEST_F(Credentials, AProfileOfTheSharedFiles) {
  Write(".aws/credentials",
        "[default]\naws_access_key_id = DA\naws_secret_access_key = DS\n"
        "[nightly]\r\naws_access_key_id=NA\r\naws_secret_access_key=N=S+/\r\n"
        "aws_session_token = NT # a note\n");
  Write(".aws/config", "[profile nightly]\nregion = x\naws_access_key_id = loses\n[other]\n");
  CredentialRules rules = Rules(From::kProfile);
  EXPECT_EQ(Shown(Fetch(rules)), "DA/DS/");
  rules.profile = "nightly";
  EXPECT_EQ(Shown(Fetch(rules)), "NA/N=S+//NT");
  rules.profile = "other";
  EXPECT_TRUE(Fetch(rules).Is(Code::kNotFound)) << "[other] of the config is no profile";
  rules.profile = "";
  variables_["AWS_PROFILE"] = "nightly";
  EXPECT_EQ(Shown(Fetch(rules)), "NA/N=S+//NT");
  variables_["AWS_SHARED_CREDENTIALS_FILE"] =
      Write("elsewhere", "[nightly]\naws_access_key_id=E\naws_secret_access_key=S\n");
  EXPECT_EQ(Shown(Fetch(rules)), "E/S/");
}

TEST_F(Credentials, AProfileIsReadAgainWhenItsFileChanges) {
  const std::string path =
      Write(".aws/credentials", "[default]\naws_access_key_id=A\naws_secret_access_key=S\n");
  EXPECT_EQ(Shown(Fetch(Rules(From::kProfile))), "A/S/");
  EXPECT_FALSE(source_->MayHaveChanged());
  Write(".aws/credentials", "[default]\naws_access_key_id=LONGER\naws_secret_access_key=S\n");
  EXPECT_TRUE(source_->MayHaveChanged());
  EXPECT_EQ(Shown(source_->Fetch({})), "LONGER/S/");
  EXPECT_FALSE(source_->MayHaveChanged());
}

TEST_F(Credentials, AProcessOfAProfile) {
  Write(".aws/config", "[default]\ncredential_process = vault \"a b\" 'c d'e\n");
  printed_ = R"({"Version":1,"AccessKeyId":"PA","SecretAccessKey":"PS","SessionToken":"PT",
      "Expiration":"2033-01-02T03:04:05+00:00"})";
  EXPECT_EQ(Shown(Fetch(Rules(From::kProfile))), "PA/PS/PT@20330102T030405Z");
  printed_.replace(printed_.find("+00:00"), 6, "+08:00");
  EXPECT_EQ(Shown(Fetch(Rules(From::kProfile))), "PA/PS/PT@20330101T190405Z");
  EXPECT_EQ(ran_, (std::vector<std::string>{"vault", "a b", "c de"}));
  printed_ = R"({"Version":2,"AccessKeyId":"PA","SecretAccessKey":"hidden"})";
  EXPECT_THAT(Shown(Fetch(Rules(From::kProfile))),
              AllOf(HasSubstr("version 1"), Not(HasSubstr("hidden"))));
}

TEST_F(Credentials, WebIdentityAtSts) {
  Endpoint sts([](const RawRequest&) {
    return std::pair(200, std::string("<AssumeRoleWithWebIdentityResponse><"
                                      "AssumeRoleWithWebIdentityResult><Credentials><AccessKeyId>WA"
                                      "</AccessKeyId><SecretAccessKey>WS</SecretAccessKey>"
                                      "<SessionToken>WT</SessionToken><Expiration>2033-01-02T03:04:"
                                      "05Z</Expiration></Credentials></"
                                      "AssumeRoleWithWebIdentityResult></"
                                      "AssumeRoleWithWebIdentityResponse>"));
  });
  variables_["AWS_ENDPOINT_URL_STS"] = sts.url();
  variables_["AWS_ROLE_ARN"] = "arn:aws:iam::1:role/r";
  variables_["AWS_WEB_IDENTITY_TOKEN_FILE"] = Write("token", "ey.J\n");
  EXPECT_EQ(Shown(Fetch(Rules(From::kWebIdentity))), "WA/WS/WT@20330102T030405Z");
  ASSERT_EQ(sts.seen().size(), 1u);
  EXPECT_EQ(sts.seen()[0].request_line(), "POST / HTTP/1.1");
  EXPECT_THAT(sts.seen()[0].body,
              AllOf(HasSubstr("Action=AssumeRoleWithWebIdentity"),
                    HasSubstr("RoleArn=arn%3Aaws%3Aiam%3A%3A1%3Arole%2Fr"),
                    HasSubstr("WebIdentityToken=ey.J"), HasSubstr("Version=2011-06-15")));
  EXPECT_FALSE(sts.seen()[0].has("authorization"));
  EXPECT_EQ(Shown(Fetch(Rules(From::kChain))), "WA/WS/WT@20330102T030405Z");
  Write("token", "another token");
  EXPECT_TRUE(source_->MayHaveChanged());
}

TEST_F(Credentials, StsSaysNo) {
  Endpoint sts([](const RawRequest&) {
    return std::pair(400, std::string("<ErrorResponse><Error><Code>ExpiredTokenException</Code>"
                                      "</Error></ErrorResponse>"));
  });
  variables_["AWS_ENDPOINT_URL_STS"] = sts.url();
  variables_["AWS_ROLE_ARN"] = "r";
  variables_["AWS_WEB_IDENTITY_TOKEN_FILE"] = Write("token", "t0ps3cret");
  const std::string text = Shown(Fetch(Rules(From::kWebIdentity)));
  EXPECT_THAT(text, AllOf(HasSubstr("400 ExpiredTokenException"), Not(HasSubstr("t0ps3cret"))));
}

TEST_F(Credentials, TheEndpointOfAContainer) {
  Endpoint container([](const RawRequest& request) {
    const bool good = request.header("authorization") == std::vector<std::string>{"Bearer x"};
    return good ? std::pair(200, std::string(kDocument)) : std::pair(401, std::string());
  });
  variables_["AWS_CONTAINER_CREDENTIALS_FULL_URI"] = container.url() + "/v2/keys?id=1";
  EXPECT_THAT(Shown(Fetch(Rules(From::kContainer))), HasSubstr("401"));
  variables_["AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE"] = Write("bearer", "Bearer x\n");
  EXPECT_EQ(Shown(Fetch(Rules(From::kContainer))), "AK1/SK1/T1@20330102T030405Z");
  EXPECT_EQ(container.seen().back().request_line(), "GET /v2/keys?id=1 HTTP/1.1");
  EXPECT_EQ(Shown(Fetch(Rules(From::kChain))), "AK1/SK1/T1@20330102T030405Z");
  variables_["AWS_CONTAINER_CREDENTIALS_FULL_URI"] = "http://example.org/keys";
  EXPECT_TRUE(Fetch(Rules(From::kContainer)).Is(Code::kInvalidArgument));
}

TEST_F(Credentials, InstanceMetadataVersionTwo) {
  Endpoint metadata([](const RawRequest& request) -> std::pair<int, std::string> {
    const std::string line = request.request_line();
    if (line.starts_with("PUT /latest/api/token ")) {
      return {request.has("x-aws-ec2-metadata-token-ttl-seconds") ? 200 : 400, "session"};
    }
    if (request.header("x-aws-ec2-metadata-token") != std::vector<std::string>{"session"}) {
      return {401, ""};
    }
    const std::string roles = "GET /latest/meta-data/iam/security-credentials/";
    if (line == roles + " HTTP/1.1") return {200, "the-role\n"};
    if (line == roles + "the-role HTTP/1.1") return {200, kDocument};
    return {404, ""};
  });
  variables_["AWS_EC2_METADATA_SERVICE_ENDPOINT"] = metadata.url() + "/";
  EXPECT_EQ(Shown(Fetch(Rules(From::kInstance))), "AK1/SK1/T1@20330102T030405Z");
  EXPECT_EQ(metadata.seen().size(), 3u);
  variables_.erase("AWS_EC2_METADATA_DISABLED");
  EXPECT_EQ(Shown(Fetch(Rules(From::kChain))), "AK1/SK1/T1@20330102T030405Z");
}

TEST_F(Credentials, TheChainTakesVariablesFirstAndTellsWhenThereIsNothing) {
  EXPECT_THAT(Shown(Fetch(Rules(From::kChain))), HasSubstr("no credentials"));
  Write(".aws/credentials", "[default]\naws_access_key_id=A\naws_secret_access_key=S\n");
  EXPECT_EQ(Shown(Fetch(Rules(From::kChain))), "A/S/");
  variables_["AWS_ACCESS_KEY_ID"] = "V";
  variables_["AWS_SECRET_ACCESS_KEY"] = "VS";
  variables_["AWS_SESSION_TOKEN"] = "VT";
  EXPECT_EQ(Shown(Fetch(Rules(From::kChain))), "V/VS/VT");
}

TEST_F(Credentials, AProfileThatIsNamedIsNotPassedOver) {
  CredentialRules rules = Rules(From::kChain);
  rules.profile = "nowhere";
  EXPECT_TRUE(Fetch(rules).Is(Code::kNotFound));
}

/// STS of the test server, which gives out "ASIA".
class RoleTest : public Credentials {
 protected:
  RoleTest() {
    testserver::ServerConfig server_config;
    server_config.region = "eu-west-1";
    server_config.issued = testserver::Account{"ASIA", "temporary-secret", "temporary-token"};
    server_ = testserver::Server::Start(server_config).value();
    variables_["AWS_ENDPOINT_URL_STS"] = server_->endpoint();
    variables_["AWS_REGION"] = "eu-west-1";
    Write(".aws/credentials",
          "[base]\naws_access_key_id=test-key\naws_secret_access_key=test-secret\n");
  }
  CredentialRules Profile(const std::string& name) {
    CredentialRules rules = Rules(From::kProfile);
    rules.profile = name;
    return rules;
  }
  std::unique_ptr<testserver::Server> server_;
};

TEST_F(RoleTest, AProfileTakesOnARoleWithTheKeysOfAnother) {
  Write(".aws/config",
        "[profile nightly]\nrole_arn = arn:aws:iam::1:role/r\nsource_profile = base\n"
        "external_id = x&y\nduration_seconds = 900\n");
  const auto issued = Fetch(Profile("nightly"));
  EXPECT_THAT(Shown(issued), HasSubstr("ASIA/temporary-secret/temporary-token@"));
  EXPECT_EQ(server_->Count("Sts"), 1u);
}

TEST_F(RoleTest, AStoreWorksWithTheRole) {
  Write(".aws/config",
        "[profile nightly]\nrole_arn = arn:aws:iam::1:role/r\nsource_profile = base\n");
  StoreConfig config;
  config.bucket = "test";
  config.endpoint = server_->endpoint();
  config.region = "eu-west-1";
  config.credential_rules = Profile("nightly");
  const auto store = OpenStore(config);
  ASSERT_TRUE(store.ok()) << store.error().ToString();
  const auto listed = (*store)->List({"", "", "", 10}, {});
  EXPECT_TRUE(listed.ok()) << listed.error().ToString();
  for (const testserver::RequestRecord& record : server_->Log()) {
    if (record.operation == "Sts") continue;
    EXPECT_EQ(record.headers.at("x-amz-security-token"), "temporary-token");
  }
}

TEST_F(RoleTest, WhoeverHasTheWrongSecretGetsNoRole) {
  Write(".aws/credentials", "[base]\naws_access_key_id=test-key\naws_secret_access_key=wr0ng\n");
  Write(".aws/config",
        "[profile nightly]\nrole_arn = arn:aws:iam::1:role/r\nsource_profile = base\n");
  EXPECT_THAT(Shown(Fetch(Profile("nightly"))),
              AllOf(HasSubstr("STS refused AssumeRole: 403 SignatureDoesNotMatch"),
                    Not(HasSubstr("wr0ng"))));
}

TEST_F(RoleTest, RolesByWayOfRolesAndByWayOfItself) {
  Write(".aws/config",
        "[profile outer]\nrole_arn = arn:aws:iam::1:role/o\nsource_profile = inner\n"
        "[profile inner]\nrole_arn = arn:aws:iam::1:role/i\nsource_profile = base\n"
        "[profile self]\nrole_arn = arn:aws:iam::1:role/s\nsource_profile = self\n"
        "aws_access_key_id = test-key\naws_secret_access_key = test-secret\n");
  EXPECT_THAT(Shown(Fetch(Profile("outer"))), HasSubstr("ASIA/"));
  EXPECT_EQ(server_->Count("Sts"), 2u);
  EXPECT_THAT(Shown(Fetch(Profile("self"))), HasSubstr("ASIA/"));
}

TEST_F(RoleTest, OtherPlacesForTheKeys) {
  Write(".aws/config",
        "[profile vars]\nrole_arn = arn:aws:iam::1:role/o\ncredential_source = Environment\n"
        "[profile machine]\nrole_arn = arn:aws:iam::1:role/o\n"
        "credential_source = Ec2InstanceMetadata\n"
        "[profile container]\nrole_arn = arn:aws:iam::1:role/o\n"
        "credential_source = EcsContainer\n");
  variables_["AWS_ACCESS_KEY_ID"] = "test-key";
  variables_["AWS_SECRET_ACCESS_KEY"] = "test-secret";
  variables_["AWS_EC2_METADATA_SERVICE_ENDPOINT"] = server_->endpoint();
  variables_["AWS_CONTAINER_CREDENTIALS_FULL_URI"] = server_->endpoint() + "/container/credentials";
  for (const char* name : {"vars", "machine", "container"})
    EXPECT_THAT(Shown(Fetch(Profile(name))), HasSubstr("ASIA/")) << name;
  EXPECT_EQ(server_->Count("MetadataKeys"), 1u);
  EXPECT_EQ(server_->Count("ContainerKeys"), 1u);
}

TEST_F(RoleTest, WhatCannotBeDoneIsExplained) {
  Write(".aws/config",
        "[profile a]\nrole_arn = arn:r\nsource_profile = b\n"
        "[profile b]\nrole_arn = arn:r\nsource_profile = a\n"
        "[profile mfa]\nrole_arn = arn:r\nsource_profile = base\nmfa_serial = arn:mfa\n"
        "[profile none]\nrole_arn = arn:r\n"
        "[profile gone]\nrole_arn = arn:r\nsource_profile = nowhere\n"
        "[profile place]\nrole_arn = arn:r\ncredential_source = Moon\n");
  EXPECT_THAT(Shown(Fetch(Profile("a"))), HasSubstr("circle"));
  EXPECT_THAT(Shown(Fetch(Profile("mfa"))), HasSubstr("credential_process"));
  EXPECT_THAT(Shown(Fetch(Profile("none"))), HasSubstr("source_profile or credential_source"));
  EXPECT_THAT(Shown(Fetch(Profile("gone"))), HasSubstr("'nowhere'"));
  EXPECT_THAT(Shown(Fetch(Profile("place"))), HasSubstr("not one of Environment"));
  EXPECT_EQ(server_->Count("Sts"), 0u);
}

TEST(AwsCommand, IsSplitAsPeopleQuoteIt) {
  EXPECT_EQ(SplitCommand("/bin/x  -a \"b 'c\" d\"e f\""),
            (std::vector<std::string>{"/bin/x", "-a", "b 'c", "de f"}));
  EXPECT_EQ(SplitCommand("a ''"), (std::vector<std::string>{"a", ""}));
  EXPECT_FALSE(SplitCommand("a \"b").has_value());
}

TEST_F(Credentials, AStoreGoesOnWithNewKeysWhenTheirFileChanges) {
  testserver::ServerConfig config;
  config.accounts = {{"old", "s", ""}, {"new", "s", ""}};
  const auto server = testserver::Server::Start(config).value();
  Write(".aws/credentials", "[default]\naws_access_key_id=gone\naws_secret_access_key=s\n");
  StoreConfig store_config;
  store_config.bucket = "test";
  store_config.endpoint = server->endpoint();
  store_config.credential_rules = Rules(From::kProfile);
  const auto store = OpenStore(store_config).value();
  EXPECT_TRUE(store->Head("k", {}).Is(Code::kPermissionDenied));
  EXPECT_FALSE(store->List({"", "", "", 10}, {}).ok());
  Write(".aws/credentials", "[default]\naws_access_key_id=new\naws_secret_access_key=s\n");
  const auto listed = store->List({"", "", "", 10}, {});
  EXPECT_TRUE(listed.ok()) << listed.error().ToString();
}

TEST_F(Credentials, ABucketThatIsMissingIsMadeIfAskedFor) {
  testserver::ServerConfig server_config;
  server_config.region = "eu-west-1";
  const auto server = testserver::Server::Start(server_config).value();
  StoreConfig config;
  config.bucket = "fresh";
  config.endpoint = server->endpoint();
  config.region = "eu-west-1";
  config.credentials = {"test-key", "test-secret", ""};
  EXPECT_TRUE(OpenStore(config).value()->CheckBucket({}).Is(Code::kNotFound));
  config.create_bucket = true;
  config.bucket_acl = "public-read";
  const Status made = OpenStore(config).value()->CheckBucket({});
  EXPECT_TRUE(made.ok()) << made.error().ToString();
  for (const testserver::RequestRecord& record : server->Log()) {
    if (record.operation != "CreateBucket") continue;
    EXPECT_EQ(record.headers.at("x-amz-acl"), "public-read");
    EXPECT_GT(record.request_bytes, 0u) << "the region is named";
  }
  EXPECT_EQ(server->Count("CreateBucket"), 1u);
}

}  // namespace
}  // namespace quayfs
