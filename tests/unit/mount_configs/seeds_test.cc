// SPDX-License-Identifier: Apache-2.0
//
// Every parameter of the three connection documents (Kodo, QingStor, S3-compatible), as a config
// says it: what it does to the request that goes out, or to the client; and a bad value with what
// is said about it.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "base/text.h"
#include "mount-configs/options.h"
#include "providers/qingstor/sign.h"
#include "providers/resolve.h"
#include "providers/s3_store.h"
#include "tests/unit/mount_configs/test_support.h"
#include "tests/unit/s3/fake_http.h"

namespace quayfs {
namespace {

using config_test::ErrorOf;
using config_test::OptionsWith;
using config_test::Parse;
using ::testing::HasSubstr;

/// What came of a config.
struct Outcome {
  std::string error;  // of loading or of resolving
  MountConfig config;
  s3::ClientConfig client;
  s3::SentRequest put;  // of an object 'k'
};

Outcome Try(const std::string& text) {
  Outcome outcome;
  const Result<MountConfig> loaded =
      Parse(text, OptionsWith({{"QINGSTOR_ACCESS_KEY_ID", "ENVKEY"},
                               {"QINGSTOR_SECRET_ACCESS_KEY", "ENVSECRET"}}));
  outcome.error = ErrorOf(loaded);
  if (!loaded) return outcome;
  outcome.config = *loaded;
  Result<ResolvedStore> resolved = ResolveStore(loaded->store);
  if (!resolved) {
    outcome.error = resolved.error().message();
    return outcome;
  }
  outcome.client = resolved->client;
  auto http = std::make_unique<s3::FakeHttp>();
  s3::FakeHttp& wire = *http;
  wire.Then(200, "", {{"ETag", "\"e\""}});
  static ManualClock clock(ParseIso("2013-05-24T00:00:00Z").value());
  const auto store = MakeS3Store(*std::move(resolved), std::move(http), clock);
  const auto put = store->Put("k", MemorySource("x"), {}, Condition::None(), {});
  EXPECT_TRUE(put.ok()) << put.error().ToString();
  if (!wire.sent().empty()) outcome.put = wire.sent()[0];
  return outcome;
}

/// `top` are lines at the top of the file, `below` lines of [credentials] and further tables.
struct Row {
  std::string parameter;
  std::string top;
  std::string below;
  std::function<bool(const Outcome&)> shows;
  std::string bad_top;
  std::string bad_below;
  std::string complaint;
};

void CheckRows(const std::string& head, const std::string& keys, const std::vector<Row>& rows) {
  for (const Row& row : rows) {
    SCOPED_TRACE(row.parameter);
    const bool own_keys = row.below.starts_with("[credentials]");
    const Outcome good = Try(head + row.top + "\n" + (own_keys ? "" : keys) + row.below + "\n");
    EXPECT_EQ(good.error, "");
    if (good.error.empty()) {
      EXPECT_TRUE(row.shows(good)) << good.put.line();
    }
    if (row.complaint.empty()) continue;
    const bool bad_keys = row.bad_below.starts_with("[credentials]");
    const Outcome bad =
        Try(head + row.bad_top + "\n" + (bad_keys ? "" : keys) + row.bad_below + "\n");
    EXPECT_THAT(bad.error, HasSubstr(row.complaint));
  }
}

bool Scope(const Outcome& outcome, const std::string& region) {
  return outcome.put.header("authorization").find("/" + region + "/s3/") != std::string::npos;
}

constexpr char kKeys[] =
    "[credentials]\naccess_key_id = \"AK\"\nsecret_access_key = \"VERYSECRET\"\n";

std::vector<Row> KodoRows() {
  const std::string region = "region = \"cn-east-1\"\n";
  const auto header = [](const char* name, const char* value) {
    return [=](const Outcome& outcome) { return outcome.put.header(name) == value; };
  };
  std::vector<Row> rows = {
      {"Storage Name", region + "name = \"Qiniu Kodo Backups\"", "",
       [](const Outcome& o) { return o.config.name == "Qiniu Kodo Backups"; },
       region + "name = \"a/b\"", "", "must not be a path"},
      {"Access Key ID", region, "",
       [](const Outcome& o) {
         return o.put.header("authorization").find("Credential=AK/") != std::string::npos;
       },
       region, "[credentials]\nsecret_access_key = \"s\"\n", "needs 'credentials.access_key_id'"},
      {"Secret Access Key", region, "",
       [](const Outcome& o) {
         return o.put.header("authorization").find("VERYSECRET") == std::string::npos;
       },
       region, "[credentials]\naccess_key_id = \"a\"\n", "needs 'credentials.secret_access_key'"},
      {"ACL", region + "acl = \"Public Read\"", "", header("x-amz-acl", "public-read"),
       region + "acl = \"Everybody\"", "", "'acl'"},
      {"Bucket ACL", region + "bucket_acl = \"Private\"\ncreate_bucket = true", "",
       [](const Outcome& o) {
         return o.config.store.bucket_acl == "private" && o.config.store.create_bucket;
       },
       region + "bucket_acl = \"Everybody\"", "", "'bucket_acl'"},
      {"Server-side Encryption, AES256", region + "sse = \"AES256\"", "",
       header("x-amz-server-side-encryption", "AES256"), region + "sse = \"ROT13\"", "", "'sse'"},
      {"Server-side Encryption, KMS", region + "sse = \"AWS KMS\"\nsse_kms_key_id = \"k1\"", "",
       header("x-amz-server-side-encryption-aws-kms-key-id", "k1"),
       region + "sse_kms_key_id = \"k\"", "", "needs sse = \"aws:kms\""},
      {"Requester Pays", region + "requester_pays = true", "",
       [](const Outcome& o) {
         return o.put.header("x-amz-request-payer") == "requester" && o.config.warnings.size() == 1;
       },
       region + "requester_pays = \"perhaps\"", "", "'requester_pays' must be true or false"},
      {"path style", region, "", [](const Outcome& o) { return o.put.line() == "PUT /b/k"; }, "",
       "", ""},
      {"no url-encoded listings", region, "",
       [](const Outcome& o) { return !o.client.list_url_encode; }, "", "", ""},
      {"Region, a custom one", "region = \"cn-west-9\"", "",
       [](const Outcome& o) {
         return o.put.request.host == "s3.cn-west-9.qiniucs.com" && Scope(o, "cn-west-9");
       },
       "region = \"Nowhere at all\"", "", "region"},
      {"a custom endpoint", region + "endpoint = \"https://kodo.example.org:8443\"", "",
       [](const Outcome& o) {
         return o.put.request.host == "kodo.example.org" && o.put.request.port == 8443;
       },
       region + "endpoint = \"kodo.example.org\"", "", "must begin with http:// or https://"},
  };
  const std::pair<const char*, const char*> regions[] = {
      {"East China-Zhejiang", "cn-east-1"},          {"East China-Zhejiang 2", "cn-east-2"},
      {"North China-Hebei", "cn-north-1"},           {"South China-Guangdong", "cn-south-1"},
      {"Northwest-Shaanxi", "cn-northwest-1"},       {"North America-Los Angeles", "us-north-1"},
      {"Asia Pacific-Singapore", "ap-southeast-1"},  {"Asia Pacific-Hanoi", "ap-southeast-2"},
      {"Asia Pacific-Ho Chi Minh", "ap-southeast-3"}};
  for (const auto& [name, id] : regions) {
    for (const char* written : {name, id}) {
      rows.push_back({std::string("Region ") + written, "region = \"" + std::string(written) + "\"",
                      "",
                      [id = std::string(id)](const Outcome& o) {
                        return o.put.request.host == "s3." + id + ".qiniucs.com" && Scope(o, id);
                      },
                      "", "", ""});
    }
  }
  const std::pair<const char*, const char*> classes[] = {
      {"Standard", "STANDARD"},         {"Infrequent Access", "LINE"},
      {"Archive", "GLACIER"},           {"Archive (Direct Read)", "GLACIER_IR"},
      {"Deep Archive", "DEEP_ARCHIVE"}, {"Intelligent Tiering", "INTELLIGENT_TIERING"}};
  for (const auto& [name, wire] : classes) {
    for (const char* written : {name, wire}) {
      rows.push_back({std::string("Storage Class ") + written,
                      region + "storage_class = \"" + std::string(written) + "\"", "",
                      header("x-amz-storage-class", wire),
                      region + "storage_class = \"Infreqent Access\"", "", "Infrequent Access"});
    }
  }
  return rows;
}

TEST(Seeds, Kodo) { CheckRows("provider = \"kodo\"\nbucket = \"b\"\n", kKeys, KodoRows()); }

std::vector<Row> QingStorRows() {
  const auto host = [](const char* name, uint16_t port) {
    return [=](const Outcome& o) { return o.put.request.host == name && o.client.port == port; };
  };
  return {
      {"Storage Name", "name = \"QingStor Backups\"", "",
       [](const Outcome& o) { return o.config.name == "QingStor Backups"; }, "name = \"..\"", "",
       "'name'"},
      {"Access Key ID", "", "",
       [](const Outcome& o) { return o.put.header("authorization").starts_with("QS AK:"); }, "",
       "[credentials]\nsecret_access_key = \"s\"\n", "needs 'credentials.access_key_id'"},
      {"Secret Access Key", "", "",
       [](const Outcome& o) {
         return o.put.header("authorization") ==
                "QS AK:" + qingstor::Signature(
                               "VERYSECRET",
                               qingstor::StringToSign(o.put.request, "", o.put.header("date")));
       },
       "", "[credentials]\naccess_key_id = \"a\"\n", "needs 'credentials.secret_access_key'"},
      {"both keys blank: anonymous", "", "[credentials]\naccess_key_id = \"\"\n",
       [](const Outcome& o) { return !o.put.has("authorization"); }, "",
       "[credentials]\naccess_key_id = \"a\"\n", "needs 'credentials.secret_access_key'"},
      {"Environment Auth", "", "[credentials]\nenv_auth = true\n",
       [](const Outcome& o) { return o.put.header("authorization").starts_with("QS ENVKEY:"); }, "",
       "[credentials]\nenv_auth = 1\n", "must be true or false"},
      {"Endpoint URL, default", "", "", host("pek3a.qingstor.com", 0), "", "", ""},
      {"Endpoint URL", "endpoint = \"http://qs.example.org:8080\"", "",
       host("pek3a.qs.example.org", 8080), "endpoint = \"ftp://qs.example.org\"", "", "endpoint"},
      {"Zone", "zone = \"sh1a\"", "", host("sh1a.qingstor.com", 0), "zone = \"sh 1a\"", "",
       "'zone' must be a label"},
      {"Connection Retries, default", "", "",
       [](const Outcome& o) { return o.client.retry.count == 3; }, "", "", ""},
      {"Connection Retries", "", "[network]\nconnection_retries = 5\n",
       [](const Outcome& o) { return o.client.retry.count == 5; }, "",
       "[network]\nconnection_retries = -1\n", "connection_retries"},
      {"Upload Cutoff, default", "", "",
       [](const Outcome& o) { return o.config.transfer.upload_cutoff == 200ull << 20; }, "", "",
       ""},
      {"Upload Cutoff, least", "", "[transfer]\nupload_cutoff = 0\n",
       [](const Outcome& o) { return o.config.transfer.upload_cutoff == 0; }, "",
       "[transfer]\nupload_cutoff = \"6GiB\"\n", "upload_cutoff"},
      {"Upload Cutoff, most", "", "[transfer]\nupload_cutoff = \"5GiB\"\n",
       [](const Outcome& o) { return o.config.transfer.upload_cutoff == 5ull << 30; }, "", "", ""},
      {"Chunk Size, default", "", "",
       [](const Outcome& o) { return o.config.transfer.chunk_size == 4ull << 20; }, "",
       "[transfer]\nchunk_size = \"1MiB\"\n", "chunk_size"},
      {"Upload Concurrency, default", "", "",
       [](const Outcome& o) { return o.config.transfer.upload_concurrency == 1; }, "",
       "[transfer]\nupload_concurrency = 0\n", "upload_concurrency"},
  };
}

TEST(Seeds, QingStor) {
  CheckRows("provider = \"qingstor\"\nbucket = \"bucket\"\n", kKeys, QingStorRows());
}

constexpr char kS3Endpoint[] = "endpoint = \"https://s3.example.org\"\n";

std::vector<Row> S3Rows() {
  const std::string https = kS3Endpoint;
  const std::string pin = "0123456789abcdef0123456789abcdef01234567";
  /// The same parameter as a string and as a table.
  struct Parameter {
    std::string text;
    std::function<bool(const Outcome&)> shows;
    std::string bad;
    std::string complaint;
  };
  const std::vector<Parameter> parameters = {
      {"SignatureVersion=2",
       [](const Outcome& o) { return o.put.header("authorization").starts_with("AWS AK:"); },
       "SignatureVersion=3", "SignatureVersion"},
      {"signatureversion=4",
       [](const Outcome& o) { return o.put.header("authorization").starts_with("AWS4-HMAC"); },
       "SignatureVersion", "SignatureVersion"},
      {"RetryInterval=500",
       [](const Outcome& o) { return o.client.retry.interval == std::chrono::milliseconds(500); },
       "RetryInterval=2147483647", "RetryInterval"},
      {"RetryCount=0", [](const Outcome& o) { return o.client.retry.count == 0; }, "RetryCount=1.5",
       "RetryCount"},
      {"RetryMode=Standard",
       [](const Outcome& o) { return o.client.retry.mode == s3::RetryMode::kStandard; }, "", ""},
      {"RetryMode=Adaptive",
       [](const Outcome& o) { return o.client.retry.mode == s3::RetryMode::kAdaptive; }, "", ""},
      {"Allow_Insecure_SSL=true", [](const Outcome& o) { return o.client.http.tls.insecure; },
       "Allow_Insecure_SSL=maybe", "Allow_Insecure_SSL"},
      {"Cert_thumbprint=" + pin,
       [pin](const Outcome& o) { return o.client.http.tls.thumbprint == pin; },
       "Cert_thumbprint=12ab", "Cert_thumbprint"},
      {"Use_PathStyle=true", [](const Outcome& o) { return o.put.line() == "PUT /bucket/k"; },
       "Use_PathStyle=1x", "Use_PathStyle"},
      {"Use_PathStyle=false",
       [](const Outcome& o) {
         return o.put.line() == "PUT /k" && o.put.request.host == "bucket.s3.example.org";
       },
       "", ""},
      {"Use_ClientMultiUpload=false",
       [](const Outcome& o) {
         return !ResolveStore(o.config.store).value().capabilities.multipart;
       },
       "Use_ClientMultiUpload=x", "Use_ClientMultiUpload"},
      {"Use_UnsignedPayload=true",
       [](const Outcome& o) {
         return o.put.header("x-amz-content-sha256") == "UNSIGNED-PAYLOAD" &&
                o.put.has("content-md5");
       },
       "Use_UnsignedPayload=2", "Use_UnsignedPayload"},
  };
  std::vector<Row> rows = {
      {"Storage type", https, "", [](const Outcome& o) { return o.config.store.provider == "s3"; },
       "provider = \"s4\"", "", "provider"},
      {"Bucket name", https, "", [](const Outcome& o) { return o.put.line() == "PUT /bucket/k"; },
       "", "", ""},
      {"Access key ID", https, "",
       [](const Outcome& o) {
         return o.put.header("authorization").find("Credential=AK/") != std::string::npos;
       },
       https, "[credentials]\nsecret_access_key = \"s\"\n", "needs 'credentials.access_key_id'"},
      {"Secret access key", https, "",
       [](const Outcome& o) { return o.client.credentials.secret_access_key == "VERYSECRET"; },
       https, "[credentials]\naccess_key_id = \"a\"\n", "needs 'credentials.secret_access_key'"},
      {"Extended parameters", https + "parameters = \"\"", "",
       [](const Outcome& o) { return o.client.retry.count == 6; },
       https + "parameters = \"RetryCount\"", "", "has no value"},
      {"Endpoint over http", "endpoint = \"http://s3.example.org:9000\"", "",
       [](const Outcome& o) {
         return o.put.request.scheme == "http" && o.put.request.port == 9000;
       },
       "endpoint = \"s3.example.org\"", "", "must begin with http:// or https://"},
      {"defaults of the document", https, "",
       [](const Outcome& o) {
         return o.client.retry.mode == s3::RetryMode::kLegacy && o.client.retry.count == 6 &&
                o.client.retry.interval == std::chrono::seconds(30) &&
                !o.client.http.tls.insecure && o.client.signature == s3::SignatureVersion::kV4;
       },
       "", "", ""},
      {"several", https + "parameters = \"RetryCount=2; ;Use_PathStyle=TRUE;\"", "",
       [](const Outcome& o) { return o.client.retry.count == 2; }, "", "", ""},
      {"a RetryMode that is none means Legacy, with a warning",
       https + "parameters = \"RetryMode=Eager\"", "",
       [](const Outcome& o) {
         return o.client.retry.mode == s3::RetryMode::kLegacy && o.config.warnings.size() == 1;
       },
       "", "", ""},
  };
  for (const Parameter& parameter : parameters) {
    const auto as_string = [&https](const std::string& text) {
      return https + "parameters = \"" + text + "\"";
    };
    rows.push_back({parameter.text, as_string(parameter.text), "", parameter.shows,
                    parameter.bad.empty() ? "" : as_string(parameter.bad), "",
                    parameter.complaint});
    const size_t equals = parameter.text.find('=');
    rows.push_back({parameter.text + " in a table", https,
                    "[extended]\n" + parameter.text.substr(0, equals) + " = \"" +
                        parameter.text.substr(equals + 1) + "\"\n",
                    parameter.shows, "", "", ""});
  }
  return rows;
}

TEST(Seeds, S3Compatible) {
  CheckRows("bucket = \"bucket\"\n", kKeys, S3Rows());
  EXPECT_THAT(Try(std::string("provider = \"s3\"\nbucket = \"b/c\"\n") + kS3Endpoint + kKeys).error,
              HasSubstr("'prefix'"));
}

/// The parameters as the documents name them. Of those with a "*" every value is good: what is none
/// counts as the default, with a warning.
struct Form {
  const char* document;
  std::vector<std::string> parameters;
  std::vector<Row> rows;
};

std::vector<Form> Forms() {
  return {
      {"Kodo",
       {"Storage Name", "Access Key ID", "Secret Access Key", "Region", "Storage Class", "ACL",
        "Server-side Encryption", "Bucket ACL", "Requester Pays"},
       KodoRows()},
      {"QingStor",
       {"Storage Name", "Access Key ID", "Secret Access Key", "Endpoint URL", "Zone",
        "Environment Auth", "Connection Retries", "Upload Cutoff", "Chunk Size",
        "Upload Concurrency"},
       QingStorRows()},
      {"S3-compatible",
       {"Storage type", "Bucket name*", "Access key ID", "Secret access key", "Endpoint",
        "Extended parameters", "SignatureVersion", "RetryInterval", "RetryCount", "RetryMode*",
        "Allow_Insecure_SSL", "Cert_thumbprint", "Use_PathStyle", "Use_ClientMultiUpload",
        "Use_UnsignedPayload"},
       S3Rows()},
  };
}

TEST(Seeds, EachParameterOfTheFormsHasAGoodAndABadValueHere) {
  for (const Form& form : Forms()) {
    for (std::string parameter : form.parameters) {
      SCOPED_TRACE(std::string(form.document) + ": " + parameter);
      const bool lenient = parameter.ends_with('*');
      if (lenient) parameter.pop_back();
      bool good = false;
      bool bad = false;
      for (const Row& row : form.rows) {
        if (row.parameter != parameter && !row.parameter.starts_with(parameter + ",") &&
            !row.parameter.starts_with(parameter + "=") &&
            !row.parameter.starts_with(parameter + " ")) {
          continue;
        }
        good = true;
        bad = bad || !row.complaint.empty();
      }
      EXPECT_TRUE(good);
      EXPECT_TRUE(bad || lenient);
    }
  }
}

/// What the table of options says to come from a form is a parameter above, and the other way
/// round.
TEST(Seeds, TheOptionsKnowTheNamesOfTheForms) {
  // Forms that call one thing by two names.
  const std::map<std::string, std::string> same = {{"storage type", "provider"},
                                                   {"storage class", "storage type/class"},
                                                   {"endpoint url", "endpoint"}};
  std::set<std::string> in_forms;
  for (const Form& form : Forms()) {
    for (const std::string& parameter : form.parameters) {
      std::string name = ToLower(parameter);
      std::erase(name, '*');
      in_forms.insert(same.contains(name) ? same.at(name) : name);
    }
  }
  std::set<std::string> in_options;
  for (const Option& option : AllOptions()) {
    if (!option.seed_name.empty()) in_options.insert(ToLower(option.seed_name));
  }
  EXPECT_EQ(in_options, in_forms);
}

}  // namespace
}  // namespace quayfs
