// SPDX-License-Identifier: Apache-2.0

#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <utility>

#include "base/hash.h"
#include "providers/local_store.h"
#include "providers/open.h"
#include "providers/probe.h"
#include "providers/resolve.h"
#include "providers/s3_store.h"
#include "tests/conformance/store_under_test.h"
#include "tests/server/server.h"

namespace quayfs::conformance {
namespace {

using testserver::Server;
using testserver::ServerConfig;

// Small, so that multipart tests are quick; the in-process server is told to be content with it.
constexpr uint64_t kServerPartSize = 64 << 10;

class Folder {
 public:
  Folder()
      : path_(std::filesystem::temp_directory_path() /
              ("quayfs-conformance-" + HexEncode(RandomBytes(8)))) {
    std::filesystem::create_directory(path_);
  }
  ~Folder() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  Folder(const Folder&) = delete;
  Folder& operator=(const Folder&) = delete;
  std::string path() const { return path_.string(); }

 private:
  const std::filesystem::path path_;
};

using Made = Result<std::unique_ptr<StoreUnderTest>>;

/// A store with what it stands on; members go in reverse order.
class OwnedStore final : public StoreUnderTest {
 public:
  ObjectStore& store() override { return *opened; }

  Folder folder;
  std::unique_ptr<Server> server;
  std::unique_ptr<ObjectStore> opened;
};

Made MakeLocal() {
  auto owned = std::make_unique<OwnedStore>();
  QUAY_ASSIGN(owned->opened, OpenLocalStore(owned->folder.path()));
  return std::unique_ptr<StoreUnderTest>(std::move(owned));
}

/// Opens the way a careful program does: probes first, then believes what the probe has shown.
Result<std::unique_ptr<ObjectStore>> OpenProbed(const StoreConfig& config, uint64_t part_size_min) {
  OpenOptions trying;
  trying.try_everything = true;
  QUAY_ASSIGN(const std::unique_ptr<ObjectStore> probing, OpenStore(config, trying));
  QUAY_ASSIGN(const ProbeReport report, ProbeCapabilities(*probing, NewProbePrefix(), {}));
  for (const std::string& note : report.notes) std::printf("probe: %s\n", note.c_str());
  QUAY_ASSIGN(ResolvedStore resolved, ResolveStore(config));
  resolved.capabilities = ApplyProbe(resolved.capabilities, report);
  if (part_size_min != 0) resolved.capabilities.part_size_min = part_size_min;
  QUAY_ASSIGN(auto http, s3::MakeHttpClient(resolved.client.http));
  return MakeS3Store(std::move(resolved), std::move(http), SystemClock());
}

using Adjust = void (*)(const Server& server, StoreConfig* config);

Made MakeOnServer(ServerConfig server_config, Adjust adjust) {
  auto owned = std::make_unique<OwnedStore>();
  server_config.part_size_min = kServerPartSize;
  server_config.directory = owned->folder.path();
  QUAY_ASSIGN(owned->server, Server::Start(server_config));
  StoreConfig config;
  config.bucket = "test";
  config.endpoint = owned->server->endpoint();
  config.credentials = {"test-key", "test-secret", ""};
  if (adjust != nullptr) adjust(*owned->server, &config);
  QUAY_ASSIGN(owned->opened, OpenProbed(config, kServerPartSize));
  return std::unique_ptr<StoreUnderTest>(std::move(owned));
}

Made MakeOnRadosGateway(const StoreConfig& config) {
  auto owned = std::make_unique<OwnedStore>();
  QUAY_ASSIGN(owned->opened, OpenProbed(config, 0));
  return std::unique_ptr<StoreUnderTest>(std::move(owned));
}

/// A vendor whose ETags are digests, so that the client checks them.
void UseMinio(const Server& /*server*/, StoreConfig* config) { config->provider = "minio"; }

void UseVersion2(const Server& /*server*/, StoreConfig* config) {
  config->signature_version = s3::SignatureVersion::kV2;
}

void UsePin(const Server& server, StoreConfig* config) {
  config->certificate_thumbprint = server.certificate_sha256();
}

void UseUnsignedPayload(const Server& server, StoreConfig* config) {
  UsePin(server, config);
  config->unsigned_payload = true;
}

void UseVirtualHost(const Server& server, StoreConfig* config) {
  config->endpoint = "http://localhost:" + std::to_string(server.port());
  config->path_style = false;
  config->ipv6 = false;
}

StoreFactory OnServer(std::string name, const ServerConfig& server, Adjust adjust = nullptr) {
  return {std::move(name), [=] { return MakeOnServer(server, adjust); }};
}

void AddServers(std::vector<StoreFactory>* factories) {
  factories->push_back(OnServer("s3_path_v4", {}, UseMinio));
  factories->push_back(OnServer("s3_generic", {}));
  factories->push_back(OnServer("s3_v2", {}, UseVersion2));
  ServerConfig tls;
  tls.tls = true;
  factories->push_back(OnServer("s3_tls_pinned", tls, UsePin));
  factories->push_back(OnServer("s3_tls_unsigned_payload", tls, UseUnsignedPayload));
  factories->push_back(OnServer("s3_virtual_host", {}, UseVirtualHost));
  ServerConfig old;
  old.list_v2 = false;
  factories->push_back(OnServer("s3_list_v1", old));
  ServerConfig poor;
  poor.conditional_writes = false;
  poor.batch_delete = false;
  poor.part_copy = false;
  factories->push_back(OnServer("s3_poor", poor));
  ServerConfig shuffled;
  shuffled.shuffle_listings = true;
  factories->push_back(OnServer("s3_shuffled", shuffled, [](const Server&, StoreConfig* config) {
    config->provider = "qingstor-s3";  // promises no order
  }));
}

void UseKodo(const Server& /*server*/, StoreConfig* config) {
  config->provider = "kodo";
  config->region = "East China-Zhejiang";
  config->storage_class = "Infrequent Access";
}

void UseKodoNative(const Server& server, StoreConfig* config) {
  UseKodo(server, config);
  config->native = true;
  config->native_endpoint = server.endpoint();
}

/// Kodo's S3 gateway, alone and with the native API beside it.
void AddKodo(std::vector<StoreFactory>* factories) {
  ServerConfig server;
  server.protocol = testserver::Protocol::kKodo;
  server.region = "cn-east-1";
  factories->push_back(OnServer("kodo", server, UseKodo));
  factories->push_back(OnServer("kodo_native", server, UseKodoNative));
}

/// QingStor's own API: by address, and by name with a zone that the bucket is not in.
void AddQingStor(std::vector<StoreFactory>* factories) {
  ServerConfig server;
  server.protocol = testserver::Protocol::kQingStor;
  server.region = "pek3a";
  factories->push_back(OnServer("qingstor", server, [](const Server&, StoreConfig* config) {
    config->provider = "qingstor";
  }));
  factories->push_back(
      OnServer("qingstor_other_zone", server, [](const Server& running, StoreConfig* config) {
        config->provider = "qingstor";
        config->endpoint = "http://localhost:" + std::to_string(running.port());
        config->zone = "sh1a";
        config->ipv6 = false;
      }));
}

std::string Environment(const char* name) {
  const char* value = std::getenv(name);
  return value == nullptr ? "" : value;
}

void AddRadosGateway(std::vector<StoreFactory>* factories) {
  StoreConfig config;
  config.provider = "ceph";
  config.endpoint = Environment("QUAYFS_TEST_RADOSGW_ENDPOINT");
  if (config.endpoint.empty()) {
    std::printf("conformance: no RADOS gateway (QUAYFS_TEST_RADOSGW_ENDPOINT is not set)\n");
    return;
  }
  config.bucket = Environment("QUAYFS_TEST_RADOSGW_BUCKET");
  config.credentials = {Environment("QUAYFS_TEST_RADOSGW_ACCESS_KEY"),
                        Environment("QUAYFS_TEST_RADOSGW_SECRET_KEY"), ""};
  factories->push_back({"radosgw", [=] { return MakeOnRadosGateway(config); }});
  StoreConfig v2 = config;
  v2.signature_version = s3::SignatureVersion::kV2;
  factories->push_back({"radosgw_v2", [=] { return MakeOnRadosGateway(v2); }});
}

std::vector<StoreFactory> MakeFactories() {
  std::vector<StoreFactory> factories;
  factories.push_back({"local", MakeLocal});
  AddServers(&factories);
  AddKodo(&factories);
  AddQingStor(&factories);
  AddRadosGateway(&factories);
  return factories;
}

}  // namespace

const std::vector<StoreFactory>& StoreFactories() {
  static const std::vector<StoreFactory> factories = MakeFactories();
  return factories;
}

}  // namespace quayfs::conformance
