// SPDX-License-Identifier: Apache-2.0
//
// quayfs-testserver: the test server as a program, for scripts and for other people's S3 tools.

#include <sys/prctl.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <csignal>
#include <cstdio>
#include <fstream>
#include <iostream>

#include "tests/server/server.h"

namespace {

using quayfs::testserver::Account;
using quayfs::testserver::Server;
using quayfs::testserver::ServerConfig;

/// What the command line says, besides the ServerConfig.
struct Options {
  ServerConfig config;
  Account account;
  int64_t delay_ms = 0;
  int64_t clock_offset_s = 0;
  std::string certificate_file;
  bool exit_with_parent = false;
};

/// A flag for something that is on by default.
void AddNegative(CLI::App& app, const char* name, bool* value, const char* help) {
  app.add_flag_callback(
      name, [value] { *value = false; }, help);
}

void AddPlace(CLI::App& app, Options& options) {
  ServerConfig& config = options.config;
  app.add_option_function<std::string>(
         "--protocol",
         [&config](const std::string& name) {
           if (name == "qingstor") config.protocol = quayfs::testserver::Protocol::kQingStor;
           if (name == "kodo") config.protocol = quayfs::testserver::Protocol::kKodo;
         },
         "s3, qingstor (its own API; --region is the zone) or kodo (gateway and native API)")
      ->check(CLI::IsMember({"s3", "qingstor", "kodo"}));
  app.add_option("--address", config.address, "IPv4 address to listen on");
  app.add_option("--port", config.port, "port, 0 for any free one");
  app.add_option("--dir", config.directory, "keep everything below this directory, not in memory");
  app.add_option("--bucket", config.buckets, "buckets to make at start");
  app.add_option("--access-key", options.account.access_key_id, "access key id");
  app.add_option("--secret-key", options.account.secret_access_key, "secret access key");
  app.add_option("--session-token", options.account.session_token, "session token, then required");
  app.add_flag("--allow-anonymous", config.allow_anonymous, "serve requests without a signature");
  app.add_option("--region", config.region, "the region that signatures must name");
  app.add_option("--domain", config.domain, "BUCKET.domain in Host means virtual-host style");
  app.add_flag("--tls", config.tls, "TLS with a certificate made at start");
  app.add_option("--cert-out", options.certificate_file, "write the certificate here (PEM)");
  app.add_option("--log", config.log_file, "append one JSON line per request to this file");
  app.add_option("--log-limit", config.log_limit, "requests kept in memory");
  app.add_flag("--exit-with-parent", options.exit_with_parent, "end when the parent process ends");
}

void AddBehaviour(CLI::App& app, Options& options) {
  ServerConfig& config = options.config;
  app.add_option("--delay-ms", options.delay_ms, "added to each request");
  app.add_option("--clock-offset", options.clock_offset_s,
                 "seconds that the server's clock is off");
  app.add_option("--part-size-min", config.part_size_min, "bytes");
  app.add_option("--part-size-max", config.part_size_max, "bytes");
  app.add_option("--part-count-max", config.part_count_max, "parts of one upload");
  app.add_option("--put-size-max", config.put_size_max, "bytes of a single PUT");
  app.add_option("--copy-size-max", config.copy_size_max, "bytes of a single copy");
  app.add_option("--page-size-max", config.page_size_max, "entries of a listing");
  app.add_option("--storage-class", config.storage_classes, "the storage classes that are known");
  app.add_option("--seed", config.seed, "of everything random");
  app.add_flag("--shuffle-listings", config.shuffle_listings,
               "an order of its own, opaque markers");
  app.add_flag("--fast-etag", config.fast_etag, "ETags without MD5, for benchmarks");
  AddNegative(app, "--no-conditional-writes", &config.conditional_writes,
              "ignore their conditions");
  AddNegative(app, "--no-list-v2", &config.list_v2, "answer list-type=2 as version 1");
  AddNegative(app, "--no-batch-delete", &config.batch_delete, "501 for DeleteObjects");
  AddNegative(app, "--no-part-copy", &config.part_copy, "501 for UploadPartCopy");
  AddNegative(app, "--no-encoding-type", &config.encoding_type, "ignore encoding-type in listings");
}

bool WriteCertificate(const Server& server, const std::string& path) {
  if (path.empty()) return true;
  std::ofstream file(path, std::ios::trunc);
  file << server.certificate_pem();
  file.close();
  return static_cast<bool>(file);
}

int RunServer(const Options& options, const sigset_t& signals) {
  const quayfs::Result<std::unique_ptr<Server>> server = Server::Start(options.config);
  if (!server) {
    std::cerr << "quayfs-testserver: " << server.error().ToString() << "\n";
    return 1;
  }
  if (!WriteCertificate(**server, options.certificate_file)) {
    std::cerr << "quayfs-testserver: cannot write " << options.certificate_file << "\n";
    return 1;
  }
  std::cout << "listening on " << (*server)->endpoint() << std::endl;
  int signal_number = 0;
  sigwait(&signals, &signal_number);
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app("An S3 or QingStor endpoint on loopback for tests");
  Options options;
  options.account = options.config.accounts.front();
  options.config.log_limit = 100000;  // a long run must not fill the memory
  AddPlace(app, options);
  AddBehaviour(app, options);
  CLI11_PARSE(app, argc, argv);
  options.config.accounts = {options.account};
  options.config.delay = std::chrono::milliseconds(options.delay_ms);
  options.config.clock_offset = std::chrono::seconds(options.clock_offset_s);
  const pid_t parent = getppid();
  if (options.exit_with_parent) {
    prctl(PR_SET_PDEATHSIG, SIGTERM);
    if (getppid() != parent) return 0;  // it was gone before the kernel knew of our wish
  }
  // Blocked before any thread starts, so that only sigwait gets them.
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGTERM);
  sigaddset(&signals, SIGINT);
  pthread_sigmask(SIG_BLOCK, &signals, nullptr);
  return RunServer(options, signals);
}
