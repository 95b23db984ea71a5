// SPDX-License-Identifier: Apache-2.0

#include "tests/server/tls.h"

#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <sys/socket.h>

#include <algorithm>

#include "base/hash.h"

namespace quayfs::testserver {
namespace {

template <auto Function>
struct Deleter {
  template <typename T>
  void operator()(T* object) const {
    Function(object);
  }
};
using KeyPtr = std::unique_ptr<EVP_PKEY, Deleter<EVP_PKEY_free>>;
using CertificatePtr = std::unique_ptr<X509, Deleter<X509_free>>;
using ContextPtr = std::unique_ptr<SSL_CTX, Deleter<SSL_CTX_free>>;
using SslPtr = std::unique_ptr<SSL, Deleter<SSL_free>>;
using BioPtr = std::unique_ptr<BIO, Deleter<BIO_free_all>>;
using ExtensionPtr = std::unique_ptr<X509_EXTENSION, Deleter<X509_EXTENSION_free>>;

Error TlsError(const char* what) {
  const unsigned long code = ERR_get_error();
  const char* reason = ERR_reason_error_string(code);
  return {Code::kUnavailable, std::string(what) + ": " + (reason == nullptr ? "closed" : reason)};
}

bool AddExtension(X509* certificate, int kind, const std::string& value) {
  X509V3_CTX context;
  X509V3_set_ctx_nodb(&context);
  X509V3_set_ctx(&context, certificate, certificate, nullptr, nullptr, 0);
  const ExtensionPtr extension(X509V3_EXT_conf_nid(nullptr, &context, kind, value.c_str()));
  return extension != nullptr && X509_add_ext(certificate, extension.get(), -1) == 1;
}

Result<CertificatePtr> MakeCertificate(EVP_PKEY* key, const std::string& domain,
                                       std::chrono::seconds life) {
  CertificatePtr certificate(X509_new());
  if (certificate == nullptr) return TlsError("certificate");
  uint64_t serial = 0;
  RAND_bytes(reinterpret_cast<unsigned char*>(&serial), sizeof(serial));
  X509_set_version(certificate.get(), X509_VERSION_3);
  ASN1_INTEGER_set_uint64(X509_get_serialNumber(certificate.get()), serial >> 1);
  const auto until = static_cast<long>(life.count());
  X509_gmtime_adj(X509_getm_notBefore(certificate.get()), std::min(until, 0L) - 24L * 3600);
  X509_gmtime_adj(X509_getm_notAfter(certificate.get()), until);
  X509_NAME* name = X509_get_subject_name(certificate.get());
  const std::string common = "quayfs test server";
  X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_UTF8,
                             reinterpret_cast<const unsigned char*>(common.data()),
                             static_cast<int>(common.size()), -1, 0);
  X509_set_issuer_name(certificate.get(), name);
  X509_set_pubkey(certificate.get(), key);
  std::string names = "IP:127.0.0.1,IP:::1,DNS:localhost,DNS:*." + domain;
  if (domain != "localhost") names += ",DNS:" + domain;
  const bool made = AddExtension(certificate.get(), NID_basic_constraints, "critical,CA:TRUE") &&
                    AddExtension(certificate.get(), NID_subject_key_identifier, "hash") &&
                    AddExtension(certificate.get(), NID_subject_alt_name, names) &&
                    X509_sign(certificate.get(), key, EVP_sha256()) > 0;
  if (!made) return TlsError("certificate");
  return certificate;
}

class TlsStream final : public Stream {
 public:
  TlsStream(int fd, SslPtr ssl) : Stream(fd), ssl_(std::move(ssl)) {}

  Result<size_t> Read(std::span<char> out) override {
    QUAY_TRY(Handshake());
    ERR_clear_error();
    const int wanted = static_cast<int>(std::min<size_t>(out.size(), 1 << 30));
    const int count = SSL_read(ssl_.get(), out.data(), wanted);
    if (count > 0) return static_cast<size_t>(count);
    if (SSL_get_error(ssl_.get(), count) == SSL_ERROR_ZERO_RETURN) return size_t{0};
    broken_ = true;
    return TlsError("TLS read");
  }

  Status Write(std::string_view data, bool /*more*/) override {
    QUAY_TRY(Handshake());
    while (!data.empty()) {
      ERR_clear_error();
      const int wanted = static_cast<int>(std::min<size_t>(data.size(), 1 << 30));
      const int count = SSL_write(ssl_.get(), data.data(), wanted);
      if (count <= 0) {
        broken_ = true;
        return TlsError("TLS write");
      }
      data.remove_prefix(static_cast<size_t>(count));
    }
    return {};
  }

  void CloseWrite() override {
    if (shaken_ && !broken_) SSL_shutdown(ssl_.get());
    ERR_clear_error();
    shutdown(fd(), SHUT_WR);
  }

 private:
  Status Handshake() {
    if (shaken_) return {};
    ERR_clear_error();
    if (SSL_accept(ssl_.get()) != 1) {
      broken_ = true;
      return TlsError("TLS handshake");
    }
    shaken_ = true;
    return {};
  }

  SslPtr ssl_;
  bool shaken_ = false;
  bool broken_ = false;
};

class TlsContextImpl final : public TlsContext {
 public:
  TlsContextImpl(ContextPtr context, std::string pem, const std::string& der)
      : context_(std::move(context)),
        pem_(std::move(pem)),
        sha1_(HexEncode(Sha1(der))),
        sha256_(HexEncode(Sha256(der))) {}

  std::string certificate_pem() const override { return pem_; }
  std::string certificate_sha1() const override { return sha1_; }
  std::string certificate_sha256() const override { return sha256_; }
  std::unique_ptr<Stream> MakeStream(int fd) const override {
    SslPtr ssl(SSL_new(context_.get()));
    SSL_set_fd(ssl.get(), fd);
    return std::make_unique<TlsStream>(fd, std::move(ssl));
  }

 private:
  ContextPtr context_;
  std::string pem_;
  std::string sha1_;
  std::string sha256_;
};

std::string BioText(BIO* bio) {
  char* data = nullptr;
  const long size = BIO_get_mem_data(bio, &data);
  return {data, static_cast<size_t>(size)};
}

}  // namespace

Result<std::unique_ptr<TlsContext>> TlsContext::Make(const std::string& domain,
                                                     std::chrono::seconds life) {
  // Not EVP_EC_gen: that macro casts a const away in here.
  const KeyPtr key(EVP_PKEY_Q_keygen(nullptr, nullptr, "EC", "P-256"));
  if (key == nullptr) return TlsError("key");
  QUAY_ASSIGN(const CertificatePtr certificate, MakeCertificate(key.get(), domain, life));
  ContextPtr context(SSL_CTX_new(TLS_server_method()));
  if (context == nullptr || SSL_CTX_use_certificate(context.get(), certificate.get()) != 1 ||
      SSL_CTX_use_PrivateKey(context.get(), key.get()) != 1) {
    return TlsError("TLS context");
  }
  SSL_CTX_set_min_proto_version(context.get(), TLS1_2_VERSION);
  SSL_CTX_set_mode(context.get(), SSL_MODE_AUTO_RETRY);
  const BioPtr pem(BIO_new(BIO_s_mem()));
  const BioPtr der(BIO_new(BIO_s_mem()));
  if (PEM_write_bio_X509(pem.get(), certificate.get()) != 1 ||
      i2d_X509_bio(der.get(), certificate.get()) != 1) {
    return TlsError("certificate");
  }
  return std::unique_ptr<TlsContext>(
      std::make_unique<TlsContextImpl>(std::move(context), BioText(pem.get()), BioText(der.get())));
}

}  // namespace quayfs::testserver
