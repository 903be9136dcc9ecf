// model.safetensors.index.json: which shard holds which tensor.
#ifndef HEED_MODEL_CHECKPOINT_SHARD_INDEX_H_
#define HEED_MODEL_CHECKPOINT_SHARD_INDEX_H_

#include <map>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace heed {

// Each shard stays open while the checkpoint is, and processes may usually open 1024 files.
inline constexpr int kMaxShards = 512;

// Tensor names by shard file name. The names of the files are safe to append to the folder: no
// path, no "..".
using ShardIndex = std::map<std::string, std::vector<std::string>>;

// `file` names the index in messages. INVALID_ARGUMENT when it is not an index or a shard's name is
// not a plain file name.
absl::StatusOr<ShardIndex> ParseShardIndex(absl::string_view file, absl::string_view text);

}  // namespace heed

#endif  // HEED_MODEL_CHECKPOINT_SHARD_INDEX_H_
