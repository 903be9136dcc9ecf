// SHA-256 of a stream.
#ifndef HEED_MODEL_CHECKPOINT_SHA256_H_
#define HEED_MODEL_CHECKPOINT_SHA256_H_

#include <memory>
#include <string>

#include "absl/strings/string_view.h"

namespace heed {

class Sha256 {
 public:
  Sha256();
  ~Sha256();

  void Update(absl::string_view bytes);

  // 64 hexadecimal digits over everything so far, empty when the crypto library failed; nothing may
  // be added afterwards.
  std::string Finish();

 private:
  struct Context;
  std::unique_ptr<Context> context_;
};

}  // namespace heed

#endif  // HEED_MODEL_CHECKPOINT_SHA256_H_
