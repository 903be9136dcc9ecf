// Rotary position parameters of a GGUF file.
#ifndef HEED_MODEL_CHECKPOINT_GGUF_ROPE_H_
#define HEED_MODEL_CHECKPOINT_GGUF_ROPE_H_

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "model/checkpoint/gguf_facts.h"
#include "model/checkpoint/model_config.h"

namespace heed {

// The tensors that hold Llama 3's scaling and LongRoPE's: what each pair's frequency is divided by.
inline constexpr char kGgufRopeFactors[] = "rope_freqs.weight";
inline constexpr char kGgufShortFactors[] = "rope_factors_short.weight";
inline constexpr char kGgufLongFactors[] = "rope_factors_long.weight";

// Sets rope_theta (10000 where the file says nothing) and rope_scaling of `model`, whose
// context_window and head_dim are already known. UNIMPLEMENTED for kinds of scaling other than
// none, linear and yarn, and for parameters of yarn that transformers' form of it does not have.
absl::Status ReadGgufRope(GgufSource& source, ModelConfig& model);

// Sets rope_scaling.divisors of `model` where the file has the first of the tensors above.
absl::Status ReadGgufRopeFactors(GgufSource& source, ModelConfig& model);

// Sets rope_theta and, where the file has the other two tensors, rope_scaling of `model`, whose
// rotary_dim is already known. No other scaling is allowed.
absl::Status ReadGgufLongRope(GgufSource& source, ModelConfig& model);

// Sets windowed_rope of a model that has windowed layers: rope.freq_base_swa, and no scaling.
absl::Status ReadGgufWindowedRope(GgufSource& source, ModelConfig& model);

// All of each head rotates: rope.dimension_count must be its length where it is there.
absl::Status RequireWholeGgufHeads(GgufSource& source, const ModelConfig& model);

// Sets rotary_dim of `model` to rope.dimension_count; all of the head where it is missing.
absl::Status ReadGgufRotaryDim(GgufSource& source, ModelConfig& model);

}  // namespace heed

#endif  // HEED_MODEL_CHECKPOINT_GGUF_ROPE_H_
