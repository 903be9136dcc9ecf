// The one interface of every model: tokens in, logits out, with a cache for what came before.
#ifndef HEED_MODEL_TRANSFORMER_LANGUAGE_MODEL_H_
#define HEED_MODEL_TRANSFORMER_LANGUAGE_MODEL_H_

#include <cstdint>
#include <functional>
#include <limits>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "model/base/matrix.h"
#include "model/base/stop_signal.h"
#include "model/checkpoint/checkpoint.h"
#include "model/checkpoint/model_config.h"
#include "model/kernels/backend.h"
#include "model/tokenizer/tokenizer.h"
#include "model/transformer/editor.h"
#include "model/transformer/kv_cache.h"
#include "model/transformer/model_parts.h"
#include "model/transformer/observer.h"

namespace heed {

// What to watch and what to change during one sequence's forward pass; null: nothing.
struct ForwardPlan {
  ForwardObserver* observer = nullptr;
  ForwardEditor* editor = nullptr;
};

// One sequence's share of a batch.
struct SequenceSlice {
  // New tokens, at least one; cache->size() tokens precede them. Each id in [0, vocab_size).
  absl::Span<const TokenId> tokens;
  // Room for size() + tokens.size() positions must be reserved. Forward appends the new tokens,
  // unless it stops early.
  KvCache* cache = nullptr;
  // Indices into `tokens`, ascending, whose logits are wanted.
  absl::Span<const int64_t> logits_rows;
  const ForwardPlan* plan = nullptr;  // null: nothing watched, nothing edited
  const StopSignal* stop = nullptr;   // null: runs to the end; looked at before each layer
  // How long the sequence was when it came, the same in each of its calls. Rotary scaling that
  // follows a sequence's length goes by it; 0: all tokens are as if generated one by one.
  int64_t prompt_tokens = 0;
  // Starts at this layer, up to n_layers, with `residual` [tokens, width] as the stream that enters
  // it (Site::kResidual of an earlier pass), and leaves the cache's earlier layers as they are: for
  // sequences that are not gone on from. The same for all slices of a call; above 0 only for models
  // with feed-forward halves.
  int first_layer = 0;
  ConstMatrixRef residual;
  // Out: the stop signal ended this slice. Its logits rows are unspecified and its cache is as
  // before.
  bool stopped = false;
  // Out: the first of `tokens` whose stream holds a NaN or an infinity; -1: none does. That is the
  // final one, before the final norm, or for tokens of which nothing is asked behind the last
  // layer's attention the one that entered this layer.
  int64_t nonfinite_row = -1;
};

// Scratch memory that Forward reuses from call to call. One for each thread that calls Forward.
class Workspace {
 public:
  virtual ~Workspace() = default;
};

// Const and shared; all state lives in caches, plans and workspaces. A slice's result does not
// depend on the other slices of the batch, on how its tokens are cut into calls (a bidirectional
// model takes a whole sequence in one call), on the number of threads, or on being watched.
class LanguageModel {
 public:
  virtual ~LanguageModel() = default;

  virtual const ModelConfig& config() const = 0;
  virtual int64_t parameter_count() const = 0;
  virtual int64_t weight_bytes() const = 0;  // resident, packed
  // How most weights of linear layers are held: "F32", "INT8", "INT4", "Q8_0", "Q4_0".
  virtual std::string compute_dtype() const = 0;
  // What an operator should know about how it was loaded, each to go on after its name.
  virtual const std::vector<std::string>& notes() const = 0;
  // For analyses of what a forward pass has left; live as long as the model.
  virtual const ModelParts& parts() const = 0;
  virtual std::unique_ptr<Workspace> NewWorkspace() const = 0;

  // Runs the batch. `logits` is [sum of logits_rows, vocab_size], rows in batch order, written for
  // slices that were not stopped; a model whose config has no head has none to give. Errors are for
  // our own bugs only (INTERNAL): the caller has validated tokens, capacity and context window.
  virtual absl::Status Forward(absl::Span<SequenceSlice> batch, MatrixRef logits,
                               Workspace* workspace) const = 0;
};

// How a model was loaded.
struct LoadReport {
  bool from_packed_copy = false;
  bool made_packed_copy = false;
};

struct LanguageModelOptions {
  // The model's context window is the checkpoint's, but at most this.
  int64_t max_context = std::numeric_limits<int64_t>::max();
  // Models of the architecture "heed_mixing" are f32 always: they are small, and say so exactly.
  WeightFormat weights = WeightFormat::kF32;
  // How keys and values are kept: ModelConfig::kv_type. Models of the architecture "heed_mixing"
  // keep f32.
  KvType kv_type = KvType::kF32;
  // The path of a packed copy of the linear layers, for the next time. It is taken if it is of this
  // very checkpoint, format and machine; if it is not, or damaged, or there is none, it is made,
  // and a note says so or why it could not be. Empty, or a checkpoint without a digest: there is
  // none. Mixing models have none either.
  std::string packed_copy;
  // Told how many of the parameters have been loaded, on the calling thread; begins anew when a
  // packed copy turns out to be damaged. May be empty.
  std::function<void(int64_t done, int64_t total)> progress;
  LoadReport* report = nullptr;  // may be null
};

// The type that a model which is asked to keep `wanted` keeps.
inline KvType KvTypeOf(const ModelConfig& config, KvType wanted) {
  return config.architecture == "heed_mixing" ? KvType::kF32 : wanted;
}

// Reads and packs all weights; the checkpoint is not needed afterwards, `backend` must outlive the
// model. A layer that would lose too much is held in more bits than asked for, with a note. Errors
// as Checkpoint::ReadF32.
absl::StatusOr<std::unique_ptr<const LanguageModel>> LoadLanguageModel(
    const Checkpoint& checkpoint, const Backend* backend, const LanguageModelOptions& options = {});

}  // namespace heed

#endif  // HEED_MODEL_TRANSFORMER_LANGUAGE_MODEL_H_
