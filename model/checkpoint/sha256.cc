#include "model/checkpoint/sha256.h"

#include <openssl/evp.h>

#include "absl/strings/escaping.h"

namespace heed {

struct Sha256::Context {
  EVP_MD_CTX* md = EVP_MD_CTX_new();
  bool ok = md != nullptr && EVP_DigestInit_ex(md, EVP_sha256(), nullptr) == 1;

  ~Context() { EVP_MD_CTX_free(md); }
};

Sha256::Sha256() : context_(std::make_unique<Context>()) {}
Sha256::~Sha256() = default;

void Sha256::Update(absl::string_view bytes) {
  context_->ok = context_->ok && EVP_DigestUpdate(context_->md, bytes.data(), bytes.size()) == 1;
}

std::string Sha256::Finish() {
  unsigned char digest[EVP_MAX_MD_SIZE];
  unsigned int size = 0;
  if (!context_->ok || EVP_DigestFinal_ex(context_->md, digest, &size) != 1) return "";
  return absl::BytesToHexString(absl::string_view(reinterpret_cast<const char*>(digest), size));
}

}  // namespace heed
