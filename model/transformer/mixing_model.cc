#include "model/transformer/mixing_model.h"

#include <algorithm>
#include <cstdint>
#include <memory>
#include <utility>

#include "model/base/aligned_buffer.h"
#include "model/base/status_macros.h"
#include "model/transformer/batch.h"
#include "model/transformer/weight_reader.h"

namespace heed {
namespace {

struct MixingWeights {
  std::unique_ptr<Linear> unembedding;   // [vocab_size, width]; its rows are the embedding too
  AlignedBuffer position_embedding;      // [context_window, width]; empty without positions
  AlignedBuffer word_scores;             // [vocab_size]; weighted only
  std::unique_ptr<Linear> queries_keys;  // [2 * width, width]: q, then k rows; attention only
  std::unique_ptr<Linear> values;        // [width, width]

  int64_t parameter_count = 0;
  int64_t bytes = 0;
};

absl::StatusOr<MixingWeights> LoadMixingWeights(const Checkpoint& checkpoint,
                                                const Backend& backend) {
  const ModelConfig& config = checkpoint.config();
  const int64_t width = config.width;
  WeightReader reader(checkpoint, backend);
  MixingWeights weights;
  HEED_ASSIGN_OR_RETURN(
      weights.unembedding,
      reader.Unembedding("embed_tokens.weight", config.vocab_size, width, /*bias_name=*/""));
  if (config.position == PositionKind::kLearned) {
    HEED_ASSIGN_OR_RETURN(weights.position_embedding, reader.Table("position_embedding.weight",
                                                                   {config.context_window, width}));
  }
  if (config.mixing == MixingPattern::kWeighted) {
    HEED_ASSIGN_OR_RETURN(weights.word_scores,
                          reader.Table("word_scores.weight", {config.vocab_size}));
  }
  if (config.mixing == MixingPattern::kAttention) {
    HEED_ASSIGN_OR_RETURN(weights.queries_keys,
                          reader.Stack({{"q_proj", width}, {"k_proj", width}}, width, false));
  }
  HEED_ASSIGN_OR_RETURN(weights.values, reader.Stack({{"v_proj", width}}, width, false));
  weights.parameter_count = reader.parameter_count();
  weights.bytes = reader.bytes();
  return weights;
}

struct MixingWorkspace : public Workspace {
  LiveBatch batch;
  AlignedBuffer x;             // [n_tokens, width]: the words as vectors
  AlignedBuffer queries_keys;  // [n_tokens, 2 * width]
  AlignedBuffer values;        // [n_tokens, width]
  AlignedBuffer mixed;         // [n_tokens, width]
};

// In single precision the same words in another order make a slightly different sum, and a trained
// unembedding turns that into more than 1e-6 of a probability. These models are the proof that a
// sum has no order, and small, so theirs are in double precision.
const Backend& OrderFreeSums() {
  return *ReferenceBackend();
}

// For the same reason each row is a product of its own: on some processors the last digits of a row
// depend on how many others there are.
void ApplyRowByRow(const Linear& linear, MatrixRef x, MatrixRef y) {
  for (int64_t r = 0; r < x.rows; ++r) linear.Apply(x.Rows(r, 1), y.Rows(r, 1));
}

// Every pattern is attention of one layer and one head, and only the queries and keys differ: equal
// scores average, scores that are the words' own weigh, and a window of one position leaves the
// last word. So chunks, caches and watched rows work as they do in a transformer.
class MixingModel : public LanguageModel {
 public:
  MixingModel(ModelConfig config, MixingWeights weights)
      : config_(std::move(config)), weights_(std::move(weights)) {
    parts_ = {.backend = &OrderFreeSums(),
              .layers = {{.shape = Shape()}},
              .head = {.unembedding = weights_.unembedding.get(), .one_row_at_a_time = true}};
  }

  const ModelConfig& config() const override { return config_; }
  int64_t parameter_count() const override { return weights_.parameter_count; }
  int64_t weight_bytes() const override { return weights_.bytes; }
  std::string compute_dtype() const override { return "F32"; }
  const std::vector<std::string>& notes() const override { return notes_; }
  const ModelParts& parts() const override { return parts_; }
  std::unique_ptr<Workspace> NewWorkspace() const override {
    return std::make_unique<MixingWorkspace>();
  }

  // h_p = sum over i <= p of weight_i * values(x_i); logits_p = unembedding(h_p).
  absl::Status Forward(absl::Span<SequenceSlice> slices, MatrixRef logits,
                       Workspace* workspace) const override {
    auto& space = *static_cast<MixingWorkspace*>(workspace);
    LiveBatch& batch = space.batch;
    HEED_RETURN_IF_ERROR(batch.Start(slices, logits));
    if (batch.first_layer() > 0) {
      return absl::InternalError("Forward was to start at a later layer of a model of one layer");
    }
    batch.DropStopped({});
    if (batch.n_tokens() == 0) return absl::OkStatus();

    const MatrixRef x = batch.Rows(space.x, config_.width);
    const MatrixRef queries_keys = batch.Rows(space.queries_keys, 2 * config_.width);
    const MatrixRef values = batch.Rows(space.values, config_.width);
    const MatrixRef mixed = batch.Rows(space.mixed, config_.width);
    const MatrixRef queries = queries_keys.Columns(0, config_.width);
    const MatrixRef keys = queries_keys.Columns(config_.width, config_.width);
    Embed(batch, x);
    batch.Visit(Site::kResidual, 0, x);
    FindQueriesKeys(batch, x, queries_keys);
    ApplyRowByRow(*weights_.values, x, values);
    batch.Visit(Site::kQuery, 0, queries);
    batch.Visit(Site::kKey, 0, keys);
    batch.Visit(Site::kValue, 0, values);
    batch.Attend(OrderFreeSums(), parts_.layers[0].shape, /*layer=*/0, {queries, keys, values},
                 mixed);
    for (Site site : {Site::kMixed, Site::kAttentionOut}) batch.Visit(site, 0, mixed);
    batch.Visit(Site::kResidual, 1, mixed);

    batch.DropStopped({mixed});
    batch.FindNonfinite(mixed);
    batch.ReportHiddenStates(mixed, x, [](MatrixRef) {});
    AlignedBuffer no_scratch;
    batch.Unembed(mixed, x, logits,
                  [&](MatrixRef rows, MatrixRef out) { Unembed(parts_, rows, out, no_scratch); });
    batch.Commit();
    return absl::OkStatus();
  }

 private:
  AttentionShape Shape() const {
    return {.n_heads = 1,
            .n_kv_heads = 1,
            .head_dim = config_.head_dim,
            .scale = static_cast<float>(config_.attention_scale),
            .window = config_.mixing == MixingPattern::kLastWord ? 1 : 0};
  }

  // x_i = embedding of the word, plus that of its position.
  void Embed(const LiveBatch& batch, MatrixRef x) const {
    for (const LiveSlice& live : batch.slices()) {
      for (int64_t i = 0; i < live.rows(); ++i) {
        const absl::Span<float> row = x.Row(live.row + i);
        weights_.unembedding->CopyWeightRow(live.slice->tokens[i], row);
        if (config_.position == PositionKind::kNone) continue;
        const float* place =
            weights_.position_embedding.data() + (live.first_position() + i) * config_.width;
        for (int64_t d = 0; d < config_.width; ++d) row[d] += place[d];
      }
    }
  }

  void FindQueriesKeys(const LiveBatch& batch, MatrixRef x, MatrixRef queries_keys) const {
    if (config_.mixing == MixingPattern::kAttention) {
      ApplyRowByRow(*weights_.queries_keys, x, queries_keys);
      return;
    }
    for (int64_t r = 0; r < queries_keys.rows; ++r) {
      std::fill_n(queries_keys.Row(r).data(), queries_keys.cols, 0.0f);
    }
    if (config_.mixing == MixingPattern::kWeighted) ScoreWords(batch, queries_keys);
  }

  // With q = (1, 0, ...) and k = (score, 0, ...), q.k is exactly the word's score.
  void ScoreWords(const LiveBatch& batch, MatrixRef queries_keys) const {
    for (const LiveSlice& live : batch.slices()) {
      for (int64_t i = 0; i < live.rows(); ++i) {
        const absl::Span<float> row = queries_keys.Row(live.row + i);
        row[0] = 1;
        row[config_.width] = weights_.word_scores.data()[live.slice->tokens[i]];
      }
    }
  }

  const ModelConfig config_;
  const MixingWeights weights_;
  const std::vector<std::string> notes_;  // none
  ModelParts parts_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<const LanguageModel>> LoadMixingModel(
    const Checkpoint& checkpoint, const Backend* backend, const LanguageModelOptions& options) {
  HEED_ASSIGN_OR_RETURN(MixingWeights weights, LoadMixingWeights(checkpoint, *backend));
  ModelConfig config = checkpoint.config();
  config.context_window = std::min(config.context_window, options.max_context);
  return std::make_unique<const MixingModel>(std::move(config), std::move(weights));
}

}  // namespace heed
