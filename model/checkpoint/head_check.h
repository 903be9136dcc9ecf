// What must hold of the numbers and lengths of heads, wherever a config stands.
#ifndef HEED_MODEL_CHECKPOINT_HEAD_CHECK_H_
#define HEED_MODEL_CHECKPOINT_HEAD_CHECK_H_

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "model/checkpoint/model_config.h"

namespace heed {

// What a config calls them, for messages.
struct HeadNames {
  absl::string_view n_heads;
  absl::string_view n_kv_heads;
  absl::string_view head_dim;
};

// CHECKPOINT_INVALID, naming `where` the config stands, where heads do not divide or are too large.
absl::Status CheckHeads(absl::string_view where, const HeadNames& names, const ModelConfig& model);

}  // namespace heed

#endif  // HEED_MODEL_CHECKPOINT_HEAD_CHECK_H_
