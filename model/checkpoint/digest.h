// What identifies a checkpoint: a hash of all its files.
#ifndef HEED_MODEL_CHECKPOINT_DIGEST_H_
#define HEED_MODEL_CHECKPOINT_DIGEST_H_

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "model/base/stop_signal.h"
#include "model/checkpoint/checkpoint.h"
#include "model/checkpoint/file.h"

namespace heed {

// "sha256:" and 64 hexadecimal digits over the name, size and bytes of each file, in the order of
// their names. DATA_LOSS when a file changed meanwhile; when `stop` says so, its error.
// `progress`, which may be empty, is told how many of all bytes are done.
absl::StatusOr<std::string> DigestFiles(
    std::vector<const File*> files,
    const std::function<void(int64_t done, int64_t total)>& progress = {},
    const StopSignal& stop = StopSignal());

// As Checkpoint says.
struct FileIdentity {
  std::string stamp;
  std::string digest;  // empty when it is not wanted
};

// The digest is computed unless the options know it.
absl::StatusOr<FileIdentity> IdentifyFiles(std::vector<const File*> files,
                                           const OpenOptions& options);

}  // namespace heed

#endif  // HEED_MODEL_CHECKPOINT_DIGEST_H_
