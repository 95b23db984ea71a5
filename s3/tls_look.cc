// SPDX-License-Identifier: Apache-2.0

#include "s3/tls_look.h"

#include <fmt/format.h>
#include <netdb.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <sys/socket.h>

#include <array>
#include <cerrno>
#include <chrono>
#include <ctime>
#include <memory>

#include "base/hash.h"
#include "base/unique_fd.h"

namespace quayfs::s3 {
namespace {

template <auto Function>
struct Free {
  template <typename T>
  void operator()(T* object) const {
    Function(object);
  }
};
using ContextPtr = std::unique_ptr<SSL_CTX, Free<SSL_CTX_free>>;
using SessionPtr = std::unique_ptr<SSL, Free<SSL_free>>;
using BioPtr = std::unique_ptr<BIO, Free<BIO_free_all>>;
using AddressesPtr = std::unique_ptr<addrinfo, Free<freeaddrinfo>>;

Error Failed(Code code, const std::string& host, uint16_t port, std::string_view why) {
  return {code, fmt::format("{}:{}: {}", host, port, why)};
}

timeval TimevalOf(Duration patience) {
  const auto seconds = std::chrono::duration_cast<std::chrono::seconds>(patience);
  return {static_cast<time_t>(seconds.count()), 0};
}

/// A blocking socket whose calls give up after `patience`.
Result<UniqueFd> Connect(const std::string& host, uint16_t port, bool ipv6, Duration patience) {
  addrinfo hints{};
  hints.ai_family = ipv6 ? AF_UNSPEC : AF_INET;
  hints.ai_socktype = SOCK_STREAM;
  addrinfo* found = nullptr;
  const int resolved = ::getaddrinfo(host.c_str(), std::to_string(port).c_str(), &hints, &found);
  const AddressesPtr addresses(found);
  if (resolved != 0) return Failed(Code::kUnavailable, host, port, ::gai_strerror(resolved));
  int error = ECONNREFUSED;
  for (const addrinfo* at = addresses.get(); at != nullptr; at = at->ai_next) {
    UniqueFd fd(::socket(at->ai_family, at->ai_socktype | SOCK_CLOEXEC, at->ai_protocol));
    if (!fd.valid()) continue;
    const timeval limit = TimevalOf(patience);
    ::setsockopt(fd.get(), SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
    ::setsockopt(fd.get(), SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit));
    if (::connect(fd.get(), at->ai_addr, at->ai_addrlen) == 0) return fd;
    error = errno;
  }
  const bool timed_out = error == EINPROGRESS || error == EAGAIN || error == ETIMEDOUT;
  return Failed(timed_out ? Code::kTimedOut : Code::kUnavailable, host, port, "cannot connect");
}

std::string DigestOf(const X509* leaf, const EVP_MD* kind) {
  std::array<unsigned char, EVP_MAX_MD_SIZE> digest{};
  unsigned int size = 0;
  if (X509_digest(leaf, kind, digest.data(), &size) != 1) return "";
  return HexEncode({reinterpret_cast<const char*>(digest.data()), size});
}

std::string OneLineName(const X509_NAME* name) {
  const BioPtr out(BIO_new(BIO_s_mem()));
  X509_NAME_print_ex(out.get(), name, 0, XN_FLAG_ONELINE & ~ASN1_STRFLGS_ESC_MSB);
  char* data = nullptr;
  const long size = BIO_get_mem_data(out.get(), &data);
  return {data, static_cast<size_t>(size)};
}

WallTime TimeOf(const ASN1_TIME* time) {
  std::tm parts{};
  if (ASN1_TIME_to_tm(time, &parts) != 1) return {};
  return WallTime(std::chrono::seconds(::timegm(&parts)));
}

bool IsAddress(const std::string& host) {
  return host.find(':') != std::string::npos ||
         host.find_first_not_of("0123456789.") == std::string::npos;
}

/// Verifies, and goes on whatever comes of it.
Result<ContextPtr> MakeContext(const std::string& ca_file) {
  ContextPtr context(SSL_CTX_new(TLS_client_method()));
  if (context == nullptr) return Error(Code::kInternal, "no TLS");
  SSL_CTX_set_min_proto_version(context.get(), TLS1_2_VERSION);
  const int loaded = ca_file.empty() ? SSL_CTX_set_default_verify_paths(context.get())
                                     : SSL_CTX_load_verify_file(context.get(), ca_file.c_str());
  if (loaded != 1) return Error(Code::kInvalidArgument, "cannot read " + ca_file);
  SSL_CTX_set_verify(context.get(), SSL_VERIFY_PEER, [](int, X509_STORE_CTX*) { return 1; });
  return context;
}

}  // namespace

Result<TlsFacts> LookAtCertificate(const std::string& host, uint16_t port,
                                   const std::string& ca_file, bool ipv6, Duration patience) {
  QUAY_ASSIGN(const UniqueFd fd, Connect(host, port, ipv6, patience));
  QUAY_ASSIGN(const ContextPtr context, MakeContext(ca_file));
  const SessionPtr session(SSL_new(context.get()));
  if (session == nullptr || SSL_set_fd(session.get(), fd.get()) != 1)
    return Failed(Code::kInternal, host, port, "no TLS session");
  X509_VERIFY_PARAM* const rules = SSL_get0_param(session.get());
  if (IsAddress(host)) {
    X509_VERIFY_PARAM_set1_ip_asc(rules, host.c_str());
  } else {
    SSL_ctrl(session.get(), SSL_CTRL_SET_TLSEXT_HOSTNAME, TLSEXT_NAMETYPE_host_name,
             const_cast<char*>(host.c_str()));
    X509_VERIFY_PARAM_set1_host(rules, host.c_str(), host.size());
  }
  ERR_clear_error();
  const int shaken = SSL_connect(session.get());
  X509* const leaf = SSL_get0_peer_certificate(session.get());
  if (leaf == nullptr) {
    const char* const reason = ERR_reason_error_string(ERR_peek_last_error());
    ERR_clear_error();
    return Failed(Code::kUnavailable, host, port,
                  fmt::format("no TLS handshake ({})", reason == nullptr ? "closed" : reason));
  }
  TlsFacts facts;
  facts.subject = OneLineName(X509_get_subject_name(leaf));
  facts.issuer = OneLineName(X509_get_issuer_name(leaf));
  facts.valid_from = TimeOf(X509_get0_notBefore(leaf));
  facts.valid_until = TimeOf(X509_get0_notAfter(leaf));
  facts.protocol = SSL_get_version(session.get());
  facts.sha1 = DigestOf(leaf, EVP_sha1());
  facts.sha256 = DigestOf(leaf, EVP_sha256());
  const long verdict = SSL_get_verify_result(session.get());
  if (verdict != X509_V_OK) facts.problem = X509_verify_cert_error_string(verdict);
  if (shaken == 1) SSL_shutdown(session.get());
  ERR_clear_error();
  return facts;
}

}  // namespace quayfs::s3
