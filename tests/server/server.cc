// SPDX-License-Identifier: Apache-2.0

#include "tests/server/server.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <list>
#include <thread>

#include "base/hash.h"
#include "base/text.h"
#include "tests/server/server_core.h"
#include "tests/server/session.h"

namespace quayfs::testserver {
namespace {

/// With what a protocol implies.
ServerConfig Completed(ServerConfig config) {
  // What is given out is also accepted.
  if (config.issued) config.accounts.push_back(*config.issued);
  constexpr uint64_t kQingStorPartMin = 4ull << 20;  // protocol.md 2.5
  if (config.protocol == Protocol::kQingStor)
    config.part_size_min = std::min(config.part_size_min, kQingStorPartMin);
  if (config.protocol != Protocol::kKodo) return config;
  config.conditional_writes = false;
  config.encoding_type = false;
  config.storage_classes = {"STANDARD",   "LINE",         "GLACIER",
                            "GLACIER_IR", "DEEP_ARCHIVE", "INTELLIGENT_TIERING"};
  constexpr uint64_t kPartMin = 1ull << 20;
  constexpr uint64_t kPartMax = 1ull << 30;
  config.part_size_min = std::min(config.part_size_min, kPartMin);
  config.part_size_max = std::min(config.part_size_max, kPartMax);
  return config;
}

}  // namespace

ServerCore::ServerCore(const ServerConfig& server_config, std::unique_ptr<Store> contents,
                       UniqueFd log_file)
    : config(Completed(server_config)),
      store(std::move(contents)),
      service(config, *store, [this] { return Now(); }),
      identity(config, [this] { return Now(); }),
      kodo(config, *store, [this] { return Now(); }),
      qingstor(config, *store, service),
      faults(config.seed),
      log(config.log_limit, std::move(log_file)),
      delay_ms(config.delay.count()) {}

bool ServerCore::Pause(std::chrono::milliseconds time) {
  if (time.count() <= 0) return !stopping();
  const auto deadline = std::chrono::steady_clock::now() + time;
  const MutexLock lock(mutex_);
  while (!stopping()) {
    if (!wake_.WaitUntil(mutex_, deadline)) return true;
  }
  return false;
}

Reply ServerCore::Handle(S3Request& request) {
  if (std::optional<Reply> reply = identity.Handle(request)) return *std::move(reply);
  if (std::optional<Reply> reply = kodo.Handle(request)) return *std::move(reply);
  return config.protocol == Protocol::kQingStor ? qingstor.Handle(request)
                                                : service.Handle(request);
}

Reply ServerCore::ErrorReply(const S3Error& error, const S3Request& request) const {
  return config.protocol == Protocol::kQingStor ? qingstor.ErrorReply(error, request)
                                                : service.ErrorReply(error, request);
}

void ServerCore::Stop() {
  const MutexLock lock(mutex_);
  stopping_ = true;
  wake_.NotifyAll();
}

namespace {

/// SIGPIPE is for the thread that wrote; there is nothing to do about it that EPIPE does not say.
void BlockBrokenPipeSignal() {
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGPIPE);
  pthread_sigmask(SIG_BLOCK, &set, nullptr);
}

struct Connection {
  UniqueFd fd;
  std::thread thread;
};

class ServerImpl final : public Server {
 public:
  ServerImpl(std::unique_ptr<ServerCore> core, UniqueFd listener, UniqueFd wake, uint16_t port)
      : core_(std::move(core)),
        listener_(std::move(listener)),
        wake_(std::move(wake)),
        port_(port) {
    acceptor_ = std::thread([this] { Accept(); });
  }

  ~ServerImpl() override {
    core_->Stop();
    const uint64_t one = 1;
    [[maybe_unused]] const ssize_t written = write(wake_.get(), &one, sizeof(one));
    acceptor_.join();
    {
      const MutexLock lock(mutex_);
      for (Connection& connection : connections_) shutdown(connection.fd.get(), SHUT_RDWR);
    }
    while (true) {
      std::list<Connection> ended;
      {
        const MutexLock lock(mutex_);
        while (ended_.empty() && !connections_.empty()) changed_.Wait(mutex_);
        if (ended_.empty()) break;
        ended.swap(ended_);
      }
      Join(&ended);
    }
  }
  ServerImpl(const ServerImpl&) = delete;
  ServerImpl& operator=(const ServerImpl&) = delete;

  uint16_t port() const override { return port_; }
  std::string endpoint() const override {
    return (core_->tls ? "https://" : "http://") + core_->config.address + ":" +
           std::to_string(port_);
  }
  std::string certificate_pem() const override {
    return core_->tls ? core_->tls->certificate_pem() : "";
  }
  std::string certificate_sha1() const override {
    return core_->tls ? core_->tls->certificate_sha1() : "";
  }
  std::string certificate_sha256() const override {
    return core_->tls ? core_->tls->certificate_sha256() : "";
  }

  void SetDelay(std::chrono::milliseconds delay) override { core_->delay_ms = delay.count(); }
  void AddFault(const Fault& fault) override { core_->faults.Add(fault); }
  void ClearFaults() override { core_->faults.Clear(); }

  std::vector<RequestRecord> Log() const override { return core_->log.Records(); }
  std::map<std::string, uint64_t> Counts() const override { return core_->log.Counts(); }
  uint64_t Count(const std::string& operation) const override {
    const std::map<std::string, uint64_t> counts = Counts();
    const auto found = counts.find(operation);
    return found == counts.end() ? 0 : found->second;
  }
  void ResetLog() override { core_->log.Reset(); }

  std::vector<std::string> Keys(const std::string& bucket) const override {
    return core_->store->Keys(bucket);
  }
  std::optional<std::string> Body(const std::string& bucket,
                                  const std::string& key) const override {
    const Outcome<ObjectPtr> object = core_->store->Find(bucket, key);
    if (!object) return std::nullopt;
    Result<std::string> body = (*object)->body.ReadAll();
    if (!body) return std::nullopt;
    return std::move(*body);
  }
  std::map<std::string, std::string> Headers(const std::string& bucket,
                                             const std::string& key) const override {
    const Outcome<ObjectPtr> object = core_->store->Find(bucket, key);
    if (!object) return {};
    std::map<std::string, std::string> headers = (*object)->headers;
    headers["etag"] = Quoted((*object)->etag);
    return headers;
  }
  void PutDirect(const std::string& bucket, const std::string& key, const std::string& body,
                 const std::map<std::string, std::string>& headers) override;
  void DeleteDirect(const std::string& bucket, const std::string& key) override {
    QUAY_CHECK(!core_->store->Delete(bucket, key, {}));
  }
  size_t UnfinishedUploads(const std::string& bucket) const override {
    const Outcome<std::vector<Upload>> uploads = core_->store->Uploads(bucket);
    return uploads ? uploads->size() : 0;
  }
  int MaxConcurrent() const override { return core_->log.MaxConcurrent(); }
  int Concurrent() const override { return core_->log.Concurrent(); }

 private:
  void Accept();
  void AddConnection(UniqueFd fd);
  void Serve(std::list<Connection>::iterator self);
  static void Join(std::list<Connection>* ended) {
    for (Connection& connection : *ended) connection.thread.join();
  }

  const std::unique_ptr<ServerCore> core_;
  const UniqueFd listener_;
  const UniqueFd wake_;  // eventfd
  const uint16_t port_;
  std::thread acceptor_;
  Mutex mutex_{LockRank::kTestServer};
  CondVar changed_;
  std::list<Connection> connections_ QUAY_GUARDED_BY(mutex_);
  std::list<Connection> ended_ QUAY_GUARDED_BY(mutex_);  // threads that are about to return
};

void ServerImpl::PutDirect(const std::string& bucket, const std::string& key,
                           const std::string& body,
                           const std::map<std::string, std::string>& headers) {
  Object object;
  object.key = key;
  if (!body.empty()) {
    Result<std::unique_ptr<BlobWriter>> writer = core_->store->chunks().NewBlob(body.size());
    QUAY_CHECK(writer.ok());
    std::string_view rest = body;
    while (!rest.empty()) {
      const std::span<char> space = (*writer)->Space();
      const size_t count = rest.copy(space.data(), space.size());
      QUAY_CHECK((*writer)->Advance(count).ok());
      rest.remove_prefix(count);
    }
    Result<Blob> blob = (*writer)->Finish();
    QUAY_CHECK(blob.ok());
    object.body = std::move(*blob);
  }
  for (const auto& [name, value] : headers) object.headers[ToLower(name)] = value;
  object.headers.try_emplace("content-type", "binary/octet-stream");
  object.etag = core_->service.NewEtag(Md5(body), body.size());
  object.modified =
      std::chrono::duration_cast<std::chrono::seconds>(core_->Now().time_since_epoch()).count();
  QUAY_CHECK(!core_->store->Put(bucket, std::move(object), {}));
}

void ServerImpl::Accept() {
  while (!core_->stopping()) {
    pollfd waiting[2] = {{listener_.get(), POLLIN, 0}, {wake_.get(), POLLIN, 0}};
    if (poll(waiting, 2, -1) < 0) continue;
    if (core_->stopping()) return;
    UniqueFd fd(accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC));
    if (fd.valid()) {
      AddConnection(std::move(fd));
    } else if (errno == EMFILE || errno == ENFILE) {
      // The waiting connection stays readable: do not spin until a descriptor is free.
      core_->Pause(std::chrono::milliseconds(20));
    }
    std::list<Connection> ended;
    {
      const MutexLock lock(mutex_);
      ended.swap(ended_);
    }
    Join(&ended);
  }
}

void ServerImpl::AddConnection(UniqueFd fd) {
  const int yes = 1;
  setsockopt(fd.get(), IPPROTO_TCP, TCP_NODELAY, &yes, sizeof(yes));
  const MutexLock lock(mutex_);
  connections_.push_front({std::move(fd), {}});
  const auto self = connections_.begin();
  self->thread = std::thread([this, self] { Serve(self); });
}

void ServerImpl::Serve(std::list<Connection>::iterator self) {
  BlockBrokenPipeSignal();
  int fd = -1;
  {
    // Also waits until AddConnection has stored the thread.
    const MutexLock lock(mutex_);
    fd = self->fd.get();
  }
  ServeConnection(*core_, fd);
  const MutexLock lock(mutex_);
  self->fd.Reset();
  ended_.splice(ended_.end(), connections_, self);
  changed_.NotifyAll();
}

Result<UniqueFd> Listen(const ServerConfig& config, uint16_t* port) {
  UniqueFd fd(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!fd.valid()) return ErrnoError(errno, "socket");
  const int yes = 1;
  setsockopt(fd.get(), SOL_SOCKET, SO_REUSEADDR, &yes, sizeof(yes));
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(config.port);
  if (inet_pton(AF_INET, config.address.c_str(), &address.sin_addr) != 1) {
    return Error(Code::kInvalidArgument, "'" + config.address + "' is no IPv4 address");
  }
  socklen_t size = sizeof(address);
  if (bind(fd.get(), reinterpret_cast<const sockaddr*>(&address), size) != 0 ||
      listen(fd.get(), 1024) != 0 ||
      getsockname(fd.get(), reinterpret_cast<sockaddr*>(&address), &size) != 0) {
    return ErrnoError(errno,
                      "cannot listen on " + config.address + ":" + std::to_string(config.port));
  }
  *port = ntohs(address.sin_port);
  return fd;
}

Status MakeBuckets(const ServerConfig& config, Store& store, int64_t now) {
  for (const std::string& bucket : config.buckets) {
    if (!store.CheckBucket(bucket)) continue;  // left there by an earlier server
    if (const Problem problem = store.CreateBucket(bucket, now)) {
      return Error(Code::kIo, "cannot make bucket '" + bucket + "': " + problem->message);
    }
  }
  return {};
}

}  // namespace

Result<std::unique_ptr<Server>> Server::Start(const ServerConfig& config) {
  std::optional<uint64_t> shuffle_seed;
  const bool shuffled = config.shuffle_listings || config.protocol == Protocol::kQingStor;
  if (shuffled) shuffle_seed = config.seed;
  std::unique_ptr<Store> store;
  if (config.directory.empty()) {
    store = MakeMemoryStore(shuffle_seed);
  } else {
    QUAY_ASSIGN(store, OpenDirectoryStore(config.directory, shuffle_seed));
  }
  UniqueFd log_file;
  if (!config.log_file.empty()) {
    log_file.Reset(open(config.log_file.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600));
    if (!log_file.valid()) return ErrnoError(errno, "cannot open " + config.log_file);
  }
  auto core = std::make_unique<ServerCore>(config, std::move(store), std::move(log_file));
  if (config.tls) {
    QUAY_ASSIGN(core->tls, TlsContext::Make(config.domain, config.certificate_life));
  }
  const auto now = std::chrono::duration_cast<std::chrono::seconds>(core->Now().time_since_epoch());
  QUAY_TRY(MakeBuckets(config, *core->store, now.count()));
  uint16_t port = 0;
  QUAY_ASSIGN(UniqueFd listener, Listen(config, &port));
  UniqueFd wake(eventfd(0, EFD_CLOEXEC));
  if (!wake.valid()) return ErrnoError(errno, "eventfd");
  return std::unique_ptr<Server>(
      std::make_unique<ServerImpl>(std::move(core), std::move(listener), std::move(wake), port));
}

}  // namespace quayfs::testserver
