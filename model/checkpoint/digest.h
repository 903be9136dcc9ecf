// What identifies a checkpoint: a hash of all its files.
#ifndef HEED_MODEL_CHECKPOINT_DIGEST_H_
#define HEED_MODEL_CHECKPOINT_DIGEST_H_

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "model/checkpoint/file.h"

namespace heed {

// "sha256:" and 64 hexadecimal digits over the name, size and bytes of each file, in the order of
// their names. DATA_LOSS when a file changed meanwhile.
absl::StatusOr<std::string> DigestFiles(std::vector<const File*> files);

}  // namespace heed

#endif  // HEED_MODEL_CHECKPOINT_DIGEST_H_
