// SPDX-License-Identifier: Apache-2.0

#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <stdexcept>
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

/// Ends the program if a store cannot be made: nothing could be tested.
template <typename T>
T Must(Result<T> result) {
  if (!result) throw std::runtime_error(result.error().ToString());
  return std::move(*result);
}

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

class LocalUnderTest final : public StoreUnderTest {
 public:
  LocalUnderTest() : store_(Must(OpenLocalStore(folder_.path()))) {}
  ObjectStore& store() override { return *store_; }

 private:
  const Folder folder_;
  const std::unique_ptr<ObjectStore> store_;
};

/// Opens the way a careful program does: probes first, then believes what the probe has shown.
std::unique_ptr<ObjectStore> OpenProbed(const StoreConfig& config, uint64_t part_size_min) {
  OpenOptions trying;
  trying.try_everything = true;
  const auto probing = Must(OpenStore(config, trying));
  const ProbeReport report = Must(ProbeCapabilities(*probing, NewProbePrefix(), {}));
  for (const std::string& note : report.notes) std::printf("probe: %s\n", note.c_str());
  ResolvedStore resolved = Must(ResolveStore(config));
  resolved.capabilities = ApplyProbe(resolved.capabilities, report);
  if (part_size_min != 0) resolved.capabilities.part_size_min = part_size_min;
  auto http = Must(s3::MakeHttpClient(resolved.client.http));
  return MakeS3Store(std::move(resolved), std::move(http), SystemClock());
}

class ServerUnderTest final : public StoreUnderTest {
 public:
  using Adjust = void (*)(const Server& server, StoreConfig* config);
  ServerUnderTest(ServerConfig server_config, Adjust adjust) {
    server_config.part_size_min = kServerPartSize;
    server_config.directory = folder_.path();
    server_ = Must(Server::Start(server_config));
    StoreConfig config;
    config.bucket = "test";
    config.endpoint = server_->endpoint();
    config.credentials = {"test-key", "test-secret", ""};
    if (adjust != nullptr) adjust(*server_, &config);
    store_ = OpenProbed(config, kServerPartSize);
  }
  ObjectStore& store() override { return *store_; }

 private:
  const Folder folder_;
  std::unique_ptr<Server> server_;
  std::unique_ptr<ObjectStore> store_;
};

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

StoreFactory OnServer(std::string name, const ServerConfig& server,
                      ServerUnderTest::Adjust adjust = nullptr) {
  return {std::move(name), [=] { return std::make_unique<ServerUnderTest>(server, adjust); }};
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

class RadosGatewayUnderTest final : public StoreUnderTest {
 public:
  explicit RadosGatewayUnderTest(const StoreConfig& config) : store_(OpenProbed(config, 0)) {}
  ObjectStore& store() override { return *store_; }

 private:
  const std::unique_ptr<ObjectStore> store_;
};

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
  factories->push_back(
      {"radosgw", [=] { return std::make_unique<RadosGatewayUnderTest>(config); }});
  StoreConfig v2 = config;
  v2.signature_version = s3::SignatureVersion::kV2;
  factories->push_back({"radosgw_v2", [=] { return std::make_unique<RadosGatewayUnderTest>(v2); }});
}

std::vector<StoreFactory> MakeFactories() {
  std::vector<StoreFactory> factories;
  factories.push_back({"local", [] { return std::make_unique<LocalUnderTest>(); }});
  AddServers(&factories);
  AddRadosGateway(&factories);
  return factories;
}

}  // namespace

const std::vector<StoreFactory>& StoreFactories() {
  static const std::vector<StoreFactory> factories = MakeFactories();
  return factories;
}

}  // namespace quayfs::conformance
