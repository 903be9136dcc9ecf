// Reading the facts that several architectures' GGUF files state alike.
#ifndef HEED_MODEL_CHECKPOINT_GGUF_FACTS_H_
#define HEED_MODEL_CHECKPOINT_GGUF_FACTS_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "model/checkpoint/gguf_files.h"
#include "model/checkpoint/gguf_keys.h"
#include "model/checkpoint/model_config.h"

namespace heed {

// What the readers of the architectures work on.
struct GgufSource {
  const GgufFiles& files;
  GgufKeys keys;

  const GgufHeader& header() const { return files.metadata(); }
  const std::string& file() const { return header().file(); }
};

// Rows of a matrix, in the range; INVALID_ARGUMENT when it is missing.
absl::StatusOr<int64_t> GgufRowsOf(const GgufFiles& files, absl::string_view name, IntRange range);

// Sizes that all architectures have, and as many key heads as heads.
absl::Status ReadGgufSizes(GgufSource& source, ModelConfig& model);

// attention.head_count_kv; as many as heads where it is missing.
absl::Status ReadGgufKeyValueHeads(GgufSource& source, ModelConfig& model);

// Sets head_dim and attention_scale: key_length, or without it a share of the width. Values have
// the same length.
absl::Status ReadGgufHeadDim(GgufSource& source, ModelConfig& model);

// Sets head_dim to each head's share of the width, and attention_scale with it.
absl::Status ShareGgufWidth(GgufSource& source, ModelConfig& model);

// Sets head_dim and attention_scale of an architecture whose heads always share the width.
absl::Status DivideGgufWidth(GgufSource& source, ModelConfig& model);

// attention.layer_norm_rms_epsilon or attention.layer_norm_epsilon, as the model's kind of norm is.
absl::Status ReadGgufEpsilon(GgufSource& source, ModelConfig& model);

// attention.sliding_window; `fallback` where it is missing. 0: there is none.
absl::StatusOr<int64_t> ReadGgufWindow(GgufSource& source, int64_t fallback);

// UNIMPLEMENTED for a window that a text can outgrow.
absl::Status RefuseGgufWindow(GgufSource& source, const ModelConfig& model);

// Gives the window to the layers that attention.sliding_window_pattern names: by one flag for each
// layer, or by a period. `fallback` is a period. The last layer of each period sees everything, or,
// where `first_is_full`, the first.
absl::Status ReadGgufWindowedLayers(GgufSource& source, int64_t window, int64_t fallback,
                                    bool first_is_full, ModelConfig& model);

}  // namespace heed

#endif  // HEED_MODEL_CHECKPOINT_GGUF_FACTS_H_
