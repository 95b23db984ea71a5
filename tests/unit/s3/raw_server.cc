// SPDX-License-Identifier: Apache-2.0

#include "tests/unit/s3/raw_server.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/bio.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <utility>

#include "base/check.h"
#include "base/hash.h"
#include "base/text.h"

namespace quayfs::s3::testing {
namespace {

std::string PemOf(const std::function<int(BIO*)>& write) {
  BIO* bio = BIO_new(BIO_s_mem());
  QUAY_CHECK(write(bio) == 1);
  char* data = nullptr;
  const long size = BIO_get_mem_data(bio, &data);
  std::string pem(data, static_cast<size_t>(size));
  BIO_free(bio);
  return pem;
}

void AddAlternativeNames(X509* certificate, const std::string& names) {
  if (names.empty()) return;
  X509_EXTENSION* extension =
      X509V3_EXT_conf_nid(nullptr, nullptr, NID_subject_alt_name, names.c_str());
  QUAY_CHECK(extension != nullptr);
  X509_add_ext(certificate, extension, -1);
  X509_EXTENSION_free(extension);
}

X509* ReadCertificate(const std::string& pem) {
  BIO* bio = BIO_new_mem_buf(pem.data(), static_cast<int>(pem.size()));
  X509* certificate = PEM_read_bio_X509(bio, nullptr, nullptr, nullptr);
  BIO_free(bio);
  QUAY_CHECK(certificate != nullptr);
  return certificate;
}

ssl_ctx_st* MakeServerContext(const TestCertificate& certificate,
                              const TestCertificate* client_ca) {
  SSL_CTX* context = SSL_CTX_new(TLS_server_method());
  X509* x509 = ReadCertificate(certificate.certificate_pem);
  BIO* bio = BIO_new_mem_buf(certificate.key_pem.data(), -1);
  EVP_PKEY* key = PEM_read_bio_PrivateKey(bio, nullptr, nullptr, nullptr);
  BIO_free(bio);
  QUAY_CHECK(SSL_CTX_use_certificate(context, x509) == 1);
  QUAY_CHECK(SSL_CTX_use_PrivateKey(context, key) == 1);
  X509_free(x509);
  EVP_PKEY_free(key);
  if (client_ca != nullptr) {
    X509* trusted = ReadCertificate(client_ca->certificate_pem);
    QUAY_CHECK(X509_STORE_add_cert(SSL_CTX_get_cert_store(context), trusted) == 1);
    X509_free(trusted);
    SSL_CTX_set_verify(context, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, nullptr);
  }
  return context;
}

}  // namespace

TestCertificate MakeCertificate(const CertificateOptions& options) {
  EVP_PKEY* key = EVP_PKEY_Q_keygen(nullptr, nullptr, "EC", "P-256");
  X509* x509 = X509_new();
  X509_set_version(x509, X509_VERSION_3);
  ASN1_INTEGER_set(X509_get_serialNumber(x509), 1);
  X509_gmtime_adj(X509_getm_notBefore(x509), static_cast<long>(options.valid_from.count()));
  X509_gmtime_adj(X509_getm_notAfter(x509), static_cast<long>(options.valid_until.count()));
  X509_set_pubkey(x509, key);
  X509_NAME* name = X509_get_subject_name(x509);
  X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC,
                             reinterpret_cast<const unsigned char*>(options.common_name.c_str()),
                             -1, -1, 0);
  X509_set_issuer_name(x509, name);
  AddAlternativeNames(x509, options.alternative_names);
  QUAY_CHECK(X509_sign(x509, key, EVP_sha256()) > 0);

  unsigned char* der = nullptr;
  const int length = i2d_X509(x509, &der);
  const std::string bytes(reinterpret_cast<const char*>(der), static_cast<size_t>(length));
  OPENSSL_free(der);
  TestCertificate made;
  made.certificate_pem = PemOf([&](BIO* bio) { return PEM_write_bio_X509(bio, x509); });
  made.key_pem = PemOf([&](BIO* bio) {
    return PEM_write_bio_PrivateKey(bio, key, nullptr, nullptr, 0, nullptr, nullptr);
  });
  made.sha1 = HexEncode(Sha1(bytes));
  made.sha256 = HexEncode(Sha256(bytes));
  X509_free(x509);
  EVP_PKEY_free(key);
  return made;
}

// --- RawRequest ---

std::string RawRequest::request_line() const { return head.substr(0, head.find("\r\n")); }

std::vector<std::string> RawRequest::header(std::string_view name) const {
  std::vector<std::string> values;
  for (std::string_view line : Split(head, '\n')) {
    const size_t colon = line.find(':');
    if (colon == std::string_view::npos || !EqualsIgnoreCase(line.substr(0, colon), name)) continue;
    values.emplace_back(TrimBlanks(line.substr(colon + 1)));
  }
  return values;
}

// --- RawConnection ---

RawConnection::RawConnection(UniqueFd fd, ssl_ctx_st* tls, uint64_t number)
    : fd_(std::move(fd)), number_(number) {
  const int on = 1;
  setsockopt(fd_.get(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  if (tls == nullptr) return;
  ssl_ = SSL_new(tls);
  SSL_set_fd(ssl_, fd_.get());
  usable_ = SSL_accept(ssl_) == 1;
}

RawConnection::~RawConnection() {
  if (ssl_ != nullptr) SSL_free(ssl_);
}

long RawConnection::Receive(char* out, size_t size) {
  const long got = ssl_ != nullptr ? SSL_read(ssl_, out, static_cast<int>(size))
                                   : ::recv(fd_.get(), out, size, 0);
  if (got > 0) bytes_read_ += static_cast<uint64_t>(got);
  return got;
}

bool RawConnection::ReadHead(RawRequest* request) {
  size_t end = 0;
  while ((end = buffer_.find("\r\n\r\n")) == std::string::npos) {
    char piece[16384];
    const long got = Receive(piece, sizeof piece);
    if (got <= 0) return false;
    buffer_.append(piece, static_cast<size_t>(got));
  }
  request->head = buffer_.substr(0, end + 4);
  request->body.clear();
  buffer_.erase(0, end + 4);
  return true;
}

bool RawConnection::ReadBody(RawRequest* request) {
  const std::vector<std::string> lengths = request->header("Content-Length");
  const uint64_t length = lengths.empty() ? 0 : ParseUint(lengths.front()).value();
  while (buffer_.size() < length) {
    char piece[65536];
    const long got = Receive(piece, sizeof piece);
    if (got <= 0) return false;
    buffer_.append(piece, static_cast<size_t>(got));
  }
  request->body = buffer_.substr(0, length);
  buffer_.erase(0, length);
  return true;
}

uint64_t RawConnection::Drain(uint64_t count) {
  uint64_t dropped = std::min<uint64_t>(count, buffer_.size());
  buffer_.erase(0, dropped);
  std::vector<char> piece(256 * 1024);
  while (dropped < count) {
    const long got = Receive(piece.data(), std::min<uint64_t>(piece.size(), count - dropped));
    if (got <= 0) break;
    dropped += static_cast<uint64_t>(got);
  }
  return dropped;
}

bool RawConnection::Write(std::string_view data) {
  while (!data.empty()) {
    const long sent = ssl_ != nullptr ? SSL_write(ssl_, data.data(), static_cast<int>(data.size()))
                                      : ::send(fd_.get(), data.data(), data.size(), MSG_NOSIGNAL);
    if (sent <= 0) return false;
    data.remove_prefix(static_cast<size_t>(sent));
  }
  return true;
}

void RawConnection::WaitForPeer() {
  pollfd poll_fd{.fd = fd_.get(), .events = POLLIN, .revents = 0};
  ::poll(&poll_fd, 1, -1);  // RawServer shuts the socket down when it stops
}

void RawConnection::Reset() {
  const linger reset{.l_onoff = 1, .l_linger = 0};
  setsockopt(fd_.get(), SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
}

void RawConnection::Close() { ::shutdown(fd_.get(), SHUT_RDWR); }

// --- RawServer ---

RawServer::RawServer(Script script, const TestCertificate* certificate,
                     const TestCertificate* client_ca)
    : script_(std::move(script)) {
  if (certificate != nullptr) {
    tls_ = MakeServerContext(*certificate, client_ca);
    signal(SIGPIPE, SIG_IGN);  // SSL_write has no MSG_NOSIGNAL
  }
  listener_.Reset(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof address;
  auto* generic = reinterpret_cast<sockaddr*>(&address);
  QUAY_CHECK(::bind(listener_.get(), generic, size) == 0);
  QUAY_CHECK(::listen(listener_.get(), 256) == 0);
  QUAY_CHECK(::getsockname(listener_.get(), generic, &size) == 0);
  port_ = ntohs(address.sin_port);
  stop_event_.Reset(::eventfd(0, EFD_CLOEXEC));
  accept_thread_ = std::thread([this] { AcceptLoop(); });
}

RawServer::~RawServer() {
  const uint64_t one = 1;
  QUAY_CHECK(::write(stop_event_.get(), &one, sizeof one) == sizeof one);
  accept_thread_.join();
  std::vector<std::thread> threads;
  {
    MutexLock lock(mutex_);
    stopping_ = true;
    for (int fd : open_) ::shutdown(fd, SHUT_RDWR);
    threads.swap(threads_);
  }
  for (std::thread& thread : threads) thread.join();
  if (tls_ != nullptr) SSL_CTX_free(tls_);
}

void RawServer::AcceptLoop() {
  for (;;) {
    pollfd waits[] = {{.fd = listener_.get(), .events = POLLIN, .revents = 0},
                      {.fd = stop_event_.get(), .events = POLLIN, .revents = 0}};
    ::poll(waits, 2, -1);
    if (waits[1].revents != 0) return;
    UniqueFd fd(::accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC));
    if (!fd.valid()) continue;
    const uint64_t number = accepted_.fetch_add(1);
    MutexLock lock(mutex_);
    open_.push_back(fd.get());
    threads_.emplace_back([this, number, moved = std::make_shared<UniqueFd>(std::move(fd))] {
      Serve(std::move(*moved), number);
    });
  }
}

void RawServer::Serve(UniqueFd fd, uint64_t number) {
  const int raw = fd.get();
  RawConnection connection(std::move(fd), tls_, number);
  if (connection.usable()) script_(connection);
  MutexLock lock(mutex_);
  std::erase(open_, raw);  // before the descriptor is closed and its number used again
  connection.fd_.Reset();
}

RawServer::Script AnswerAll(const std::string& body, std::function<void(const RawRequest&)> seen) {
  const std::string reply =
      "HTTP/1.1 200 OK\r\nContent-Length: " + std::to_string(body.size()) + "\r\n\r\n" + body;
  return [reply, seen = std::move(seen)](RawConnection& connection) {
    RawRequest request;
    while (connection.ReadRequest(&request)) {
      if (seen) seen(request);
      const bool head_only = request.head.starts_with("HEAD ");
      if (!connection.Write(head_only ? reply.substr(0, reply.find("\r\n\r\n") + 4) : reply))
        return;
    }
  };
}

}  // namespace quayfs::s3::testing
