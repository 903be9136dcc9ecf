#include "model/transformer/transformer.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "model/base/aligned_buffer.h"
#include "model/base/status_macros.h"
#include "model/transformer/batch.h"
#include "model/transformer/rope.h"
#include "model/transformer/weights.h"

namespace heed {
namespace {

// Scratch of one Forward call. n_tokens counts the rows of all slices that still run.
struct TransformerWorkspace : public Workspace {
  AlignedBuffer residual;   // [n_tokens, width]
  AlignedBuffer normed;     // [n_tokens, width]
  AlignedBuffer qkv;        // [n_tokens, query_width + 2 * kv_width]
  AlignedBuffer mixed;      // [n_tokens, query_width]
  AlignedBuffer up;         // [n_tokens, ffn_width], doubled when gated
  AlignedBuffer activated;  // [n_tokens, ffn_width], gated models only
  AlignedBuffer cos, sin;   // [n_tokens, head_dim / 2]
};

class Transformer : public LanguageModel {
 public:
  Transformer(ModelConfig config, TransformerWeights weights, const Backend* backend)
      : config_(std::move(config)), weights_(std::move(weights)), backend_(*backend) {
    if (config_.position == PositionKind::kRope) {
      rope_ = RopeFrequencies(config_.head_dim, config_.rope_theta, config_.rope_scaling);
    }
  }

  const ModelConfig& config() const override { return config_; }
  int64_t parameter_count() const override { return weights_.parameter_count; }
  int64_t weight_bytes() const override { return weights_.bytes; }
  std::unique_ptr<Workspace> NewWorkspace() const override {
    return std::make_unique<TransformerWorkspace>();
  }

  absl::Status Forward(absl::Span<SequenceSlice> batch, MatrixRef logits,
                       Workspace* workspace) const override;

 private:
  // The steps of a forward pass, in order.
  struct Pass {
    TransformerWorkspace& space;
    LiveBatch batch;

    MatrixRef Rows(AlignedBuffer& buffer, int64_t cols) const { return batch.Rows(buffer, cols); }
  };

  void Embed(Pass& pass) const;
  void EmbedRow(TokenId id, int64_t position, absl::Span<float> row) const;
  void FindAngles(Pass& pass) const;
  void DropStopped(Pass& pass) const;
  void RunLayer(Pass& pass, int layer) const;
  void Attend(Pass& pass, int layer, MatrixRef x) const;
  void FeedForward(Pass& pass, const LayerWeights& layer, MatrixRef x) const;
  void ReportHiddenStates(Pass& pass) const;
  void Unembed(Pass& pass, MatrixRef logits) const;
  void UnembedRows(Pass& pass, MatrixRef x, MatrixRef logits) const;

  void Normalize(const NormWeights& norm, ConstMatrixRef x, MatrixRef y) const {
    backend_.Normalize(config_.norm, {norm.weight.span(), norm.bias.span(), config_.norm_eps}, x,
                       y);
  }
  void FinalNorm(MatrixRef x) const {
    if (weights_.final_norm.present()) Normalize(weights_.final_norm, x, x);
  }

  const ModelConfig config_;
  const TransformerWeights weights_;
  const Backend& backend_;
  std::vector<float> rope_;  // [head_dim / 2]
};

absl::Status Transformer::Forward(absl::Span<SequenceSlice> batch, MatrixRef logits,
                                  Workspace* workspace) const {
  if (!config_.has_head && logits.rows > 0) {
    return absl::InternalError("Forward was asked for logits of a model without a head");
  }
  HEED_ASSIGN_OR_RETURN(LiveBatch live, LiveBatch::Start(batch, logits));
  Pass pass{*static_cast<TransformerWorkspace*>(workspace), std::move(live)};
  Embed(pass);
  FindAngles(pass);
  for (int layer = 0; layer < config_.n_layers; ++layer) {
    DropStopped(pass);
    if (pass.batch.n_tokens() == 0) return absl::OkStatus();
    RunLayer(pass, layer);
  }
  ReportHiddenStates(pass);
  Unembed(pass, logits);
  pass.batch.Commit();
  return absl::OkStatus();
}

void Transformer::Embed(Pass& pass) const {
  MatrixRef x = pass.Rows(pass.space.residual, config_.width);
  for (const LiveSlice& live : pass.batch.slices()) {
    for (int64_t i = 0; i < live.rows(); ++i) {
      EmbedRow(live.slice->tokens[i], live.first_position() + i, x.Row(live.row + i));
    }
  }
  if (weights_.embedding_norm.present()) Normalize(weights_.embedding_norm, x, x);
}

// Token embedding, plus token type 0, plus position: the reference's order of additions.
void Transformer::EmbedRow(TokenId id, int64_t position, absl::Span<float> row) const {
  const int64_t width = config_.width;
  if (weights_.token_embedding.size() > 0) {
    std::copy_n(weights_.token_embedding.data() + id * width, width, row.begin());
  } else {
    weights_.unembedding->CopyWeightRow(id, row);
  }
  const float* type = weights_.type_embedding.size() > 0 ? weights_.type_embedding.data() : nullptr;
  const float* place = weights_.position_embedding.size() > 0
                           ? weights_.position_embedding.data() + position * width
                           : nullptr;
  for (int64_t i = 0; i < width; ++i) {
    if (type != nullptr) row[i] += type[i];
    if (place != nullptr) row[i] += place[i];
  }
}

void Transformer::FindAngles(Pass& pass) const {
  if (rope_.empty()) return;
  MatrixRef cos = pass.Rows(pass.space.cos, config_.head_dim / 2);
  MatrixRef sin = pass.Rows(pass.space.sin, config_.head_dim / 2);
  for (const LiveSlice& live : pass.batch.slices()) {
    for (int64_t i = 0; i < live.rows(); ++i) {
      RopeAngles(rope_, live.first_position() + i, cos.Row(live.row + i), sin.Row(live.row + i));
    }
  }
}

// The residual stream and the angles are the only state between layers.
void Transformer::DropStopped(Pass& pass) const {
  std::vector<MatrixRef> kept = {pass.Rows(pass.space.residual, config_.width)};
  if (!rope_.empty()) {
    kept.push_back(pass.Rows(pass.space.cos, config_.head_dim / 2));
    kept.push_back(pass.Rows(pass.space.sin, config_.head_dim / 2));
  }
  pass.batch.DropStopped(kept);
}

// Pre-norm: x + f(norm(x)). Post-norm: norm(x + f(x)).
void Transformer::RunLayer(Pass& pass, int index) const {
  const LayerWeights& layer = weights_.layers[index];
  const bool pre = config_.norm_placement == NormPlacement::kPre;
  MatrixRef x = pass.Rows(pass.space.residual, config_.width);
  MatrixRef h = pre ? pass.Rows(pass.space.normed, config_.width) : x;
  if (pre) Normalize(layer.attention_norm, x, h);
  Attend(pass, index, h);
  layer.attention_output->Apply(pass.Rows(pass.space.mixed, config_.query_width()), x,
                                Linear::Write::kAccumulate);
  if (!pre) Normalize(layer.attention_norm, x, x);
  if (pre) Normalize(layer.mlp_norm, x, h);
  FeedForward(pass, layer, h);
  layer.down->Apply(
      pass.Rows(config_.gated_mlp ? pass.space.activated : pass.space.up, config_.ffn_width), x,
      Linear::Write::kAccumulate);
  if (!pre) Normalize(layer.mlp_norm, x, x);
}

// Fills space.mixed from x.
void Transformer::Attend(Pass& pass, int layer, MatrixRef x) const {
  const int64_t q = config_.query_width(), kv = config_.kv_width();
  MatrixRef qkv = pass.Rows(pass.space.qkv, q + 2 * kv);
  weights_.layers[layer].qkv->Apply(x, qkv);
  if (!rope_.empty()) {
    const MatrixRef cos = pass.Rows(pass.space.cos, config_.head_dim / 2);
    const MatrixRef sin = pass.Rows(pass.space.sin, config_.head_dim / 2);
    backend_.Rotate(qkv.Columns(0, q + kv), config_.head_dim, cos, sin);  // queries and keys
  }
  const AttentionShape shape{config_.n_heads, config_.n_kv_heads, config_.head_dim,
                             static_cast<float>(config_.attention_scale), config_.causal};
  pass.batch.Attend(backend_, shape, layer,
                    {qkv.Columns(0, q), qkv.Columns(q, kv), qkv.Columns(q + kv, kv)},
                    pass.Rows(pass.space.mixed, q));
}

// Fills space.activated (gated) or space.up from h.
void Transformer::FeedForward(Pass& pass, const LayerWeights& layer, MatrixRef h) const {
  const int64_t n = config_.ffn_width;
  MatrixRef up = pass.Rows(pass.space.up, config_.gated_mlp ? 2 * n : n);
  layer.up->Apply(h, up);
  if (config_.gated_mlp) {
    backend_.ActivateGated(config_.activation, up, pass.Rows(pass.space.activated, n));
  } else {
    backend_.Activate(config_.activation, up);
  }
}

void Transformer::ReportHiddenStates(Pass& pass) const {
  const MatrixRef x = pass.Rows(pass.space.residual, config_.width);
  pass.batch.ReportHiddenStates(x, pass.Rows(pass.space.normed, config_.width),
                                [this](MatrixRef rows) { FinalNorm(rows); });
}

// Logits of the wanted rows only.
void Transformer::Unembed(Pass& pass, MatrixRef logits) const {
  const MatrixRef x = pass.Rows(pass.space.residual, config_.width);
  pass.batch.Unembed(x, pass.Rows(pass.space.normed, config_.width), logits,
                     [&](MatrixRef rows, MatrixRef out) { UnembedRows(pass, rows, out); });
}

// Overwrites x.
void Transformer::UnembedRows(Pass& pass, MatrixRef x, MatrixRef logits) const {
  FinalNorm(x);
  if (weights_.head_dense != nullptr) {
    const MatrixRef head = pass.Rows(pass.space.mixed, config_.width).Rows(0, x.rows);
    weights_.head_dense->Apply(x, head);
    backend_.Activate(config_.activation, head);
    Normalize(weights_.head_norm, head, x);
  }
  weights_.unembedding->Apply(x, logits);
}

}  // namespace

absl::StatusOr<std::unique_ptr<const LanguageModel>> LoadTransformer(const Checkpoint& checkpoint,
                                                                     const Backend* backend,
                                                                     int64_t max_context) {
  HEED_ASSIGN_OR_RETURN(TransformerWeights weights, LoadWeights(checkpoint, *backend));
  ModelConfig config = checkpoint.config();
  config.context_window = std::min(config.context_window, max_context);
  return std::make_unique<const Transformer>(std::move(config), std::move(weights), backend);
}

}  // namespace heed
