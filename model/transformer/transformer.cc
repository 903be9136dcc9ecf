#include "model/transformer/transformer.h"

#include <algorithm>
#include <cstring>
#include <utility>
#include <vector>

#include "model/base/aligned_buffer.h"
#include "model/base/status_macros.h"
#include "model/transformer/rope.h"
#include "model/transformer/weights.h"

namespace heed {
namespace {

// Scratch of one Forward call. n_tokens counts the rows of all slices that still run.
struct TransformerWorkspace : public Workspace {
  AlignedBuffer residual;                  // [n_tokens, width]
  AlignedBuffer normed;                    // [n_tokens, width]
  AlignedBuffer qkv;                       // [n_tokens, query_width + 2 * kv_width]
  AlignedBuffer mixed;                     // [n_tokens, query_width]
  AlignedBuffer up;                        // [n_tokens, ffn_width], doubled when gated
  AlignedBuffer activated;                 // [n_tokens, ffn_width], gated models only
  AlignedBuffer cos, sin;                  // [n_tokens, head_dim / 2]
  std::vector<std::vector<float*>> pages;  // by slice, of the current layer
};

// A slice that still runs, and its rows in the workspace's matrices.
struct LiveSlice {
  SequenceSlice* slice;
  int64_t row;
  int64_t logits_row;  // in the caller's matrix

  int64_t rows() const { return static_cast<int64_t>(slice->tokens.size()); }
  int64_t first_position() const { return slice->cache->size(); }
};

// Tells a slice's observer about the watched rows of one layer.
class LayerSink : public AttentionRowSink {
 public:
  LayerSink(ForwardObserver* observer, int layer) : observer_(observer), layer_(layer) {}
  void OnRow(int head, int64_t query, absl::Span<const float> weights) override {
    observer_->OnAttentionRow(layer_, head, query, weights);
  }

 private:
  ForwardObserver* observer_;
  int layer_;
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
  // The steps of a forward pass, in order. `live` holds the slices that still run; n_tokens their
  // rows.
  struct Pass {
    TransformerWorkspace& space;
    std::vector<LiveSlice> live;
    int64_t n_tokens = 0;

    MatrixRef Rows(AlignedBuffer& buffer, int64_t cols) {
      buffer.Grow(n_tokens * cols);
      return {buffer.data(), n_tokens, cols};
    }
  };

  void DropStopped(Pass& pass) const;
  void Embed(Pass& pass) const;
  void EmbedRow(TokenId id, int64_t position, absl::Span<float> row) const;
  void FindAngles(Pass& pass) const;
  void RunLayer(Pass& pass, int layer) const;
  void Attend(Pass& pass, int layer, MatrixRef x) const;
  void MixValues(Pass& pass, int layer, MatrixRef qkv, MatrixRef mixed) const;
  void FeedForward(Pass& pass, const LayerWeights& layer, MatrixRef x) const;
  void Unembed(Pass& pass, MatrixRef logits) const;

  void Normalize(const NormWeights& norm, ConstMatrixRef x, MatrixRef y) const {
    backend_.Normalize(config_.norm, {norm.weight.span(), norm.bias.span(), config_.norm_eps}, x,
                       y);
  }

  const ModelConfig config_;
  const TransformerWeights weights_;
  const Backend& backend_;
  std::vector<float> rope_;  // [head_dim / 2]
};

absl::Status Transformer::Forward(absl::Span<SequenceSlice> batch, MatrixRef logits,
                                  Workspace* workspace) const {
  Pass pass{*static_cast<TransformerWorkspace*>(workspace), {}, 0};
  int64_t logits_row = 0;
  for (SequenceSlice& slice : batch) {
    slice.stopped = false;
    pass.live.push_back({&slice, pass.n_tokens, logits_row});
    pass.n_tokens += static_cast<int64_t>(slice.tokens.size());
    logits_row += static_cast<int64_t>(slice.logits_rows.size());
    if (slice.cache->size() + static_cast<int64_t>(slice.tokens.size()) > slice.cache->capacity()) {
      return absl::InternalError("Forward was called without room in the KV cache");
    }
  }
  if (logits_row != logits.rows)
    return absl::InternalError("Forward was given a logits matrix of the wrong height");

  Embed(pass);
  FindAngles(pass);
  for (int layer = 0; layer < config_.n_layers && !pass.live.empty(); ++layer) {
    DropStopped(pass);
    if (pass.n_tokens > 0) RunLayer(pass, layer);
  }
  if (pass.n_tokens > 0) Unembed(pass, logits);
  for (const LiveSlice& live : pass.live) live.slice->cache->Commit(live.rows());
  return absl::OkStatus();
}

// Takes the rows of slices whose call has ended out of the residual stream, the only state between
// layers.
void Transformer::DropStopped(Pass& pass) const {
  std::vector<LiveSlice> still_live;
  int64_t row = 0;
  for (LiveSlice live : pass.live) {
    live.slice->stopped = live.slice->stop != nullptr && live.slice->stop->ShouldStop();
    if (live.slice->stopped) continue;
    if (row != live.row) {
      const auto move = [&](AlignedBuffer& buffer, int64_t cols) {
        float* data = buffer.data();
        if (buffer.size() > 0)
          std::memmove(data + row * cols, data + live.row * cols,
                       live.rows() * cols * sizeof(float));
      };
      move(pass.space.residual, config_.width);
      if (!rope_.empty()) {
        move(pass.space.cos, config_.head_dim / 2);
        move(pass.space.sin, config_.head_dim / 2);
      }
    }
    live.row = row;
    row += live.rows();
    still_live.push_back(live);
  }
  pass.live = std::move(still_live);
  pass.n_tokens = row;
}

void Transformer::Embed(Pass& pass) const {
  MatrixRef x = pass.Rows(pass.space.residual, config_.width);
  for (const LiveSlice& live : pass.live) {
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
  for (const LiveSlice& live : pass.live) {
    for (int64_t i = 0; i < live.rows(); ++i) {
      RopeAngles(rope_, live.first_position() + i, cos.Row(live.row + i), sin.Row(live.row + i));
    }
  }
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
  MixValues(pass, layer, qkv, pass.Rows(pass.space.mixed, q));
}

void Transformer::MixValues(Pass& pass, int layer, MatrixRef qkv, MatrixRef mixed) const {
  const int64_t q = config_.query_width(), kv = config_.kv_width();
  std::vector<AttentionSlice> slices;
  std::vector<LayerSink> sinks;
  sinks.reserve(pass.live.size());
  pass.space.pages.resize(std::max(pass.space.pages.size(), pass.live.size()));
  for (size_t i = 0; i < pass.live.size(); ++i) {
    const LiveSlice& live = pass.live[i];
    std::vector<float*>& pages = pass.space.pages[i];
    live.slice->cache->LayerPages(layer, &pages);
    const MatrixRef rows = qkv.Rows(live.row, live.rows());
    const int64_t first = live.first_position();
    backend_.StoreKeysValues(rows.Columns(q, kv), rows.Columns(q + kv, kv), config_.head_dim, first,
                             pages);
    AttentionSlice slice{
        rows.Columns(0, q), mixed.Rows(live.row, live.rows()), pages, first, {}, nullptr};
    ForwardObserver* observer = live.slice->plan != nullptr ? live.slice->plan->observer : nullptr;
    if (observer != nullptr) {
      slice.watched = observer->WantAttention(layer, first, first + live.rows());
      slice.sink = &sinks.emplace_back(observer, layer);
    }
    slices.push_back(slice);
  }
  const AttentionShape shape{config_.n_heads, config_.n_kv_heads, config_.head_dim,
                             static_cast<float>(config_.attention_scale), config_.causal};
  backend_.Attend(shape, slices);
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

// Logits of the wanted rows only; slice by slice, because a stopped slice leaves a gap in the
// caller's matrix.
void Transformer::Unembed(Pass& pass, MatrixRef logits) const {
  const int64_t width = config_.width;
  MatrixRef x = pass.Rows(pass.space.residual, width);
  MatrixRef wanted = pass.Rows(pass.space.normed, width);
  int64_t next = 0;
  for (size_t i = 0; i < pass.live.size();) {
    // Neighbours in the caller's matrix go through the unembedding together: it is the largest
    // weight.
    const int64_t first_row = next, first_logits = pass.live[i].logits_row;
    do {
      const LiveSlice& live = pass.live[i];
      for (int64_t row : live.slice->logits_rows) {
        std::copy_n(x.Row(live.row + row).data(), width, wanted.Row(next++).data());
      }
      ++i;
    } while (i < pass.live.size() && pass.live[i].logits_row == first_logits + next - first_row);
    if (next == first_row) continue;
    MatrixRef rows = wanted.Rows(first_row, next - first_row);
    if (weights_.final_norm.present()) Normalize(weights_.final_norm, rows, rows);
    if (weights_.head_dense != nullptr) {
      MatrixRef head = pass.Rows(pass.space.mixed, width).Rows(0, rows.rows);
      weights_.head_dense->Apply(rows, head);
      backend_.Activate(config_.activation, head);
      Normalize(weights_.head_norm, head, rows);
    }
    weights_.unembedding->Apply(rows, logits.Rows(first_logits, rows.rows));
  }
}

}  // namespace

absl::StatusOr<std::unique_ptr<const LanguageModel>> LoadTransformer(const Checkpoint& checkpoint,
                                                                     const Backend* backend) {
  HEED_ASSIGN_OR_RETURN(TransformerWeights weights, LoadWeights(checkpoint, *backend));
  return std::make_unique<const Transformer>(checkpoint.config(), std::move(weights), backend);
}

}  // namespace heed
