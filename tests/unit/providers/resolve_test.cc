// SPDX-License-Identifier: Apache-2.0

#include "providers/resolve.h"

#include <gtest/gtest.h>

#include "base/hash.h"
#include "providers/open.h"

namespace quayfs {
namespace {

StoreConfig Kodo() {
  StoreConfig config;
  config.provider = "kodo";
  config.bucket = "nightly";
  config.region = "East China-Zhejiang";
  config.credentials = {"AK", "SK", ""};
  return config;
}

StoreConfig Generic(const std::string& endpoint) {
  StoreConfig config;
  config.bucket = "nightly";
  config.endpoint = endpoint;
  config.credentials = {"AK", "SK", ""};
  return config;
}

s3::ClientConfig Client(const StoreConfig& config) {
  auto resolved = ResolveStore(config);
  EXPECT_TRUE(resolved.ok()) << resolved.error().ToString();
  return resolved.ok() ? resolved->client : s3::ClientConfig{};
}

/// The config is refused, and the message begins with `field` and holds `words`.
void ExpectRefused(const StoreConfig& config, std::string_view field, std::string_view words = "") {
  const auto resolved = ResolveStore(config);
  ASSERT_TRUE(resolved.Is(Code::kInvalidArgument)) << field;
  const std::string& message = resolved.error().message();
  EXPECT_TRUE(message.starts_with(std::string(field) + ":")) << message;
  EXPECT_NE(message.find(words), std::string::npos) << message;
}

TEST(Resolve, TimeoutsAreTheUsersOrTheUsualOnes) {
  StoreConfig config = Generic("https://s3.example.org");
  EXPECT_EQ(Client(config).http.connect_timeout, s3::HttpConfig{}.connect_timeout);
  EXPECT_EQ(Client(config).http.low_speed_time, s3::HttpConfig{}.low_speed_time);
  config.connect_timeout = std::chrono::seconds(3);
  config.stall_timeout = std::chrono::seconds(7);
  EXPECT_EQ(Client(config).http.connect_timeout, Duration(std::chrono::seconds(3)));
  config.upload_limit = 4;
  config.download_limit = 5;
  config.max_connections = 6;
  EXPECT_EQ(Client(config).http.upload_bytes_per_second, 4U);
  EXPECT_EQ(Client(config).http.download_bytes_per_second, 5U);
  EXPECT_EQ(Client(config).http.max_connections_per_host, 6U);
  EXPECT_EQ(Client(config).http.low_speed_time, Duration(std::chrono::seconds(7)));
}

TEST(Resolve, Kodo) {
  StoreConfig config = Kodo();
  config.storage_class = "Infrequent Access";
  config.acl = "Public Read";
  const s3::ClientConfig client = Client(config);
  EXPECT_EQ(client.scheme, "https");
  EXPECT_EQ(client.host, "s3.cn-east-1.qiniucs.com");
  EXPECT_EQ(client.region, "cn-east-1");
  EXPECT_EQ(client.bucket, "nightly");
  EXPECT_EQ(client.style, s3::AddressingStyle::kPath);
  EXPECT_EQ(client.storage_class, "LINE");
  EXPECT_EQ(client.acl, "public-read");
  EXPECT_FALSE(client.list_url_encode);
  EXPECT_EQ(client.retry.mode, s3::RetryMode::kStandard);
}

TEST(Resolve, NothingIsSentThatWasNotAskedFor) {
  const s3::ClientConfig client = Client(Kodo());
  EXPECT_EQ(client.storage_class, "");
  EXPECT_EQ(client.acl, "");
  EXPECT_EQ(client.sse, "");
  EXPECT_FALSE(client.requester_pays);
}

TEST(Resolve, AGenericEndpoint) {
  const s3::ClientConfig client = Client(Generic("http://s3.example.org:9000/base/"));
  EXPECT_EQ(client.scheme, "http");
  EXPECT_EQ(client.host, "s3.example.org");
  EXPECT_EQ(client.port, 9000);
  EXPECT_EQ(client.base_path, "/base");
  EXPECT_EQ(client.region, "us-east-1");
  EXPECT_EQ(client.style, s3::AddressingStyle::kPath);
  EXPECT_EQ(client.retry.mode, s3::RetryMode::kLegacy) << "what the connection document says";
}

TEST(Resolve, AKnownHostBringsItsProfile) {
  const auto resolved = ResolveStore(Generic("https://nightly.s3.cn-south-1.qiniucs.com"));
  ASSERT_TRUE(resolved.ok()) << resolved.error().ToString();
  EXPECT_EQ(resolved->profile->id, "kodo");
  EXPECT_EQ(resolved->client.region, "cn-south-1");
  EXPECT_EQ(resolved->client.host, "s3.cn-south-1.qiniucs.com");
  EXPECT_FALSE(resolved->capabilities.put_if_absent);
  ExpectRefused(Generic("https://other.s3.cn-south-1.qiniucs.com"), "endpoint", "'other'");
}

TEST(Resolve, AnEndpointOfTheUsersOwnForAKnownVendor) {
  StoreConfig config = Kodo();
  config.endpoint = "https://kodo.example.org";
  config.region = "private-1";
  const s3::ClientConfig client = Client(config);
  EXPECT_EQ(client.host, "kodo.example.org");
  EXPECT_EQ(client.region, "private-1");
}

TEST(Resolve, AddressingStyle) {
  StoreConfig aws = Kodo();
  aws.provider = "aws";
  aws.region = "eu-west-1";
  EXPECT_EQ(Client(aws).style, s3::AddressingStyle::kVirtualHost);
  aws.bucket = "with.dot";
  EXPECT_EQ(Client(aws).style, s3::AddressingStyle::kPath) << "no certificate matches";
  aws.bucket = "nightly";
  aws.path_style = true;
  EXPECT_EQ(Client(aws).style, s3::AddressingStyle::kPath);

  StoreConfig generic = Generic("http://s3.example.org");
  generic.path_style = false;
  EXPECT_EQ(Client(generic).style, s3::AddressingStyle::kVirtualHost);
  generic = Generic("http://127.0.0.1:9000");
  generic.path_style = false;
  ExpectRefused(generic, "Use_PathStyle");

  StoreConfig oss = Kodo();
  oss.provider = "oss";
  oss.region = "cn-hangzhou";
  EXPECT_EQ(Client(oss).style, s3::AddressingStyle::kVirtualHost);
  oss.path_style = true;
  ExpectRefused(oss, "Use_PathStyle");
}

TEST(Resolve, WhatIsMissing) {
  StoreConfig config = Kodo();
  config.bucket = "";
  ExpectRefused(config, "bucket");
  config = Kodo();
  config.region = "";
  ExpectRefused(config, "region", "East China-Zhejiang");
  config = Kodo();
  config.credentials = {};
  ExpectRefused(config, "access_key_id");
  config.credentials.access_key_id = "AK";
  ExpectRefused(config, "secret_access_key");
  ExpectRefused(Generic(""), "endpoint", "https://");
  config = Kodo();
  config.provider = "kodoo";
  ExpectRefused(config, "provider", "did you mean 'kodo'");
}

TEST(Resolve, BadValues) {
  StoreConfig config = Kodo();
  config.bucket = "a/b";
  ExpectRefused(config, "bucket", "prefix");
  config = Kodo();
  config.acl = "publc-read";
  ExpectRefused(config, "acl", "did you mean 'public-read'");
  config = Kodo();
  config.sse = "AES";
  ExpectRefused(config, "sse", "AES256");
  config = Kodo();
  config.sse_kms_key_id = "key";
  ExpectRefused(config, "sse_kms_key_id");
  config = Kodo();
  config.sse_customer_key = "too short";
  ExpectRefused(config, "sse_customer_key", "32 bytes");
  config.sse_customer_key = Base64Encode(std::string(32, 'k'));
  config.endpoint = "http://s3.example.org";
  ExpectRefused(config, "sse_customer_key", "http://s3.example.org");
  config = Kodo();
  config.retry_count = 2147483647;
  ExpectRefused(config, "RetryCount", "2147483646");
  config = Kodo();
  config.retry_interval_ms = -1;
  ExpectRefused(config, "RetryInterval");
  config = Kodo();
  config.max_connections = 0;
  ExpectRefused(config, "max_connections");
  config = Kodo();
  config.anonymous = true;
  ExpectRefused(config, "anonymous");
  config = Generic("http://s3.example.org");
  config.provider = "b2";
  ExpectRefused(config, "endpoint", "https");
  config.provider = "garage";
  config.signature_version = s3::SignatureVersion::kV2;
  ExpectRefused(config, "SignatureVersion");
  config.signature_version.reset();
  config.provider = "qingstor-s3";
  config.sse = "AES256";
  ExpectRefused(config, "sse");
}

TEST(Resolve, Tls) {
  StoreConfig config = Generic("https://s3.example.org");
  config.certificate_thumbprint = "0123456789ABCDEF0123456789abcdef01234567";
  config.allow_insecure_tls = true;
  const s3::ClientConfig client = Client(config);
  EXPECT_EQ(client.http.tls.thumbprint, "0123456789abcdef0123456789abcdef01234567");
  EXPECT_TRUE(client.http.tls.insecure);
  config.certificate_thumbprint = "0123";
  ExpectRefused(config, "Cert_thumbprint");
  config.certificate_thumbprint = std::string(64, 'g');
  ExpectRefused(config, "Cert_thumbprint");
  config = Generic("http://s3.example.org");
  config.certificate_thumbprint = std::string(64, 'a');
  ExpectRefused(config, "Cert_thumbprint", "http://");
}

TEST(Resolve, Signatures) {
  StoreConfig config = Generic("https://s3.example.org");
  EXPECT_EQ(Client(config).signature, s3::SignatureVersion::kV4);
  config.unsigned_payload = true;
  EXPECT_TRUE(Client(config).unsigned_payload);
  EXPECT_TRUE(Client(config).content_md5) << "something must guard the body";
  config.signature_version = s3::SignatureVersion::kV2;
  EXPECT_EQ(Client(config).signature, s3::SignatureVersion::kV2);
  EXPECT_FALSE(Client(config).unsigned_payload) << "version 2 signs no payload at all";
  config = Generic("https://s3.example.org");
  config.credentials = {};
  config.anonymous = true;
  EXPECT_TRUE(Client(config).credentials.anonymous());
}

TEST(Resolve, Retries) {
  StoreConfig config = Generic("https://s3.example.org");
  EXPECT_EQ(Client(config).retry.interval, std::chrono::seconds(30));
  EXPECT_EQ(Client(config).retry.count, 6);
  EXPECT_FALSE(Client(config).retry.connection_layer_explicit);
  config.retry_mode = s3::RetryMode::kAdaptive;
  config.retry_interval_ms = 0;
  config.retry_count = 2147483646;
  const s3::RetryConfig retry = Client(config).retry;
  EXPECT_EQ(retry.mode, s3::RetryMode::kAdaptive);
  EXPECT_EQ(retry.interval, std::chrono::milliseconds(0));
  EXPECT_EQ(retry.count, 2147483646);
  EXPECT_TRUE(retry.connection_layer_explicit);
}

TEST(Resolve, WithoutMultipart) {
  StoreConfig config = Generic("https://s3.example.org");
  config.client_multipart = false;
  const Capabilities capabilities = ResolveStore(config).value().capabilities;
  EXPECT_FALSE(capabilities.multipart);
  EXPECT_FALSE(capabilities.part_copy);
}

TEST(Resolve, EncryptionWithTheCustomersKey) {
  StoreConfig config = Generic("https://s3.example.org");
  config.sse_customer_key = Base64Encode(std::string(32, 'k'));
  EXPECT_EQ(Client(config).sse_customer_key, std::string(32, 'k'));
  config.sse = "AES256";
  ExpectRefused(config, "sse_customer_key");
}

TEST(Open, TheZoneIsTheRegionOfTheGateway) {
  StoreConfig config = Kodo();
  config.provider = "qingstor-s3";
  config.region = "";
  config.zone = "sh1a";
  EXPECT_TRUE(OpenStore(config).ok());
}

TEST(Open, LocalNeedsAnAbsolutePath) {
  StoreConfig config;
  config.provider = "local";
  config.bucket = "relative/path";
  const auto store = OpenStore(config);
  ASSERT_TRUE(store.Is(Code::kInvalidArgument));
  EXPECT_TRUE(store.error().message().starts_with("bucket:"));
  config.bucket = "/nonexistent/quayfs";
  const auto absent = OpenStore(config);
  ASSERT_TRUE(absent.ok()) << "nothing is touched yet";
  EXPECT_TRUE((*absent)->CheckBucket({}).Is(Code::kNotFound));
}

}  // namespace
}  // namespace quayfs
