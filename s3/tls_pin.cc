// SPDX-License-Identifier: Apache-2.0

#include "s3/tls_pin.h"

#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>

#include <utility>

namespace quayfs::s3 {
namespace {

/// Hangs off the SSL_CTX, so that it lives exactly as long as a handshake can look at it.
struct Attachment {
  const TlsPin* pin = nullptr;
  std::shared_ptr<PinObservation> observation;
};

void FreeAttachment(void* /*parent*/, void* pointer, CRYPTO_EX_DATA* /*data*/, int /*index*/,
                    long /*argl*/, void* /*argp*/) {
  delete static_cast<Attachment*>(pointer);
}

int AttachmentIndex() {
  static const int index = SSL_CTX_get_ex_new_index(0, nullptr, nullptr, nullptr, &FreeAttachment);
  return index;
}

std::string CertificateDer(X509* certificate) {
  unsigned char* encoded = nullptr;
  const int length = i2d_X509(certificate, &encoded);
  if (length <= 0) return {};
  std::string der(reinterpret_cast<const char*>(encoded), static_cast<size_t>(length));
  OPENSSL_free(encoded);
  return der;
}

int VerifyPinned(X509_STORE_CTX* store, void* argument) {
  const auto* attachment = static_cast<const Attachment*>(argument);
  PinObservation& seen = *attachment->observation;
  X509* leaf = X509_STORE_CTX_get0_cert(store);
  const std::string der = leaf == nullptr ? std::string() : CertificateDer(leaf);
  seen.checked = true;
  seen.actual_sha256 = der.empty() ? std::string() : HexEncode(Sha256(der));
  seen.matched = !der.empty() && attachment->pin->Matches(der);
  X509_STORE_CTX_set_error(store, seen.matched ? X509_V_OK : X509_V_ERR_CERT_REJECTED);
  return seen.matched ? 1 : 0;
}

int HexValue(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

struct ContextDeleter {
  void operator()(SSL_CTX* context) const { SSL_CTX_free(context); }
};

std::string LastOpenSslError() {
  const unsigned long code = ERR_get_error();
  ERR_clear_error();
  const char* reason = code == 0 ? nullptr : ERR_reason_error_string(code);
  return reason == nullptr ? "unreadable or not PEM" : reason;
}

Status PemError(std::string_view what, const std::string& file) {
  return Error(Code::kInvalidArgument,
               std::string(what) + " '" + file + "' cannot be used: " + LastOpenSslError());
}

}  // namespace

Result<TlsPin> TlsPin::Parse(std::string_view hex) {
  if (hex.size() != 40 && hex.size() != 64) {
    return Error(Code::kInvalidArgument,
                 "a certificate thumbprint has 40 (SHA-1) or 64 (SHA-256) hex digits, not " +
                     std::to_string(hex.size()));
  }
  std::string digest;
  for (size_t i = 0; i < hex.size(); i += 2) {
    const int high = HexValue(hex[i]);
    const int low = HexValue(hex[i + 1]);
    if (high < 0 || low < 0) {
      return Error(Code::kInvalidArgument, "a certificate thumbprint has hex digits only");
    }
    digest.push_back(static_cast<char>(high * 16 + low));
  }
  return TlsPin(hex.size() == 40 ? HashKind::kSha1 : HashKind::kSha256, std::move(digest));
}

bool TlsPin::Matches(std::string_view certificate_der) const {
  const std::string actual =
      kind_ == HashKind::kSha1 ? Sha1(certificate_der) : Sha256(certificate_der);
  return ConstantTimeEqual(actual, digest_);
}

Status InstallTlsPin(ssl_ctx_st* context, const TlsPin& pin,
                     std::shared_ptr<PinObservation> observation) {
  auto attachment = std::make_unique<Attachment>(Attachment{&pin, std::move(observation)});
  if (SSL_CTX_set_ex_data(context, AttachmentIndex(), attachment.get()) != 1) {
    return Error(Code::kInternal, "OpenSSL cannot store the certificate pin");
  }
  Attachment* owned_by_context = attachment.release();
  // Without the verify mode OpenSSL runs the callback and then ignores what it said.
  SSL_CTX_set_verify(context, SSL_VERIFY_PEER, nullptr);
  SSL_CTX_set_cert_verify_callback(context, &VerifyPinned, owned_by_context);
  return {};
}

bool TlsHasUnreadBytes(const ssl_st* session) { return SSL_has_pending(session) == 1; }

Status CheckTlsFiles(const TlsConfig& config) {
  if (config.client_certificate.empty() && !config.client_key.empty()) {
    return Error(Code::kInvalidArgument, "a client key needs a client certificate");
  }
  const std::unique_ptr<SSL_CTX, ContextDeleter> context(SSL_CTX_new(TLS_client_method()));
  if (context == nullptr) return Error(Code::kInternal, "OpenSSL cannot make a context");
  // A key with a passphrase is an error, not a question on the terminal.
  SSL_CTX_set_default_passwd_cb(context.get(), [](char*, int, int, void*) { return 0; });
  ERR_clear_error();
  if (!config.ca_file.empty() &&
      SSL_CTX_load_verify_file(context.get(), config.ca_file.c_str()) != 1) {
    return PemError("CA file", config.ca_file);
  }
  if (config.client_certificate.empty()) return {};
  if (SSL_CTX_use_certificate_chain_file(context.get(), config.client_certificate.c_str()) != 1) {
    return PemError("client certificate", config.client_certificate);
  }
  const std::string& key =
      config.client_key.empty() ? config.client_certificate : config.client_key;
  if (SSL_CTX_use_PrivateKey_file(context.get(), key.c_str(), SSL_FILETYPE_PEM) != 1 ||
      SSL_CTX_check_private_key(context.get()) != 1) {
    return PemError("client key", key);
  }
  return {};
}

}  // namespace quayfs::s3
