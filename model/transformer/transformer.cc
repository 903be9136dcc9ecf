#include "model/transformer/transformer.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "absl/functional/function_ref.h"
#include "model/base/aligned_buffer.h"
#include "model/base/status_macros.h"
#include "model/kernels/kv_rounding.h"
#include "model/kernels/parallel.h"
#include "model/transformer/alibi.h"
#include "model/transformer/batch.h"
#include "model/transformer/rope.h"
#include "model/transformer/weights.h"

namespace heed {
namespace {

// Rows of a packed embedding worth looking up on several threads: each number has a cache line of
// its own.
constexpr int64_t kTeamRows = 16;

// One way of rotating; a model has one, or one for windowed layers besides.
struct Rotation {
  RopeParameters rope;
  int dim;
  std::vector<float> frequencies;  // [dim / 2], of sequences within the original context
  float factor;

  int64_t pairs() const { return static_cast<int64_t>(frequencies.size()); }
};

// The frequencies of one token after another; few lengths follow one another.
class TokenFrequencies {
 public:
  explicit TokenFrequencies(const Rotation& rotation) : rotation_(rotation) {}

  absl::Span<const float> Find(int64_t length) {
    const RopeScaling& scaling = rotation_.rope.scaling;
    if (!FollowsLength(scaling) || length <= scaling.original_context) {
      return rotation_.frequencies;
    }
    if (length != length_) {
      length_ = length;
      long_ = RopeFrequencies(rotation_.dim, rotation_.rope.theta, scaling, length);
    }
    return long_;
  }

 private:
  const Rotation& rotation_;
  int64_t length_ = 0;
  std::vector<float> long_;  // of sequences of `length_`
};

// Scratch of one Forward call. n_tokens counts the rows of all slices that still run.
struct TransformerWorkspace : public Workspace {
  LiveBatch batch;
  AlignedBuffer residual;        // [n_tokens, width]
  AlignedBuffer embedded;        // [n_tokens, table_width], models with a projection only
  AlignedBuffer normed;          // [n_tokens, width]
  AlignedBuffer qkv;             // [n_tokens, query_width + 2 * kv_width]
  AlignedBuffer mixed;           // [n_tokens, query_width]
  AlignedBuffer up;              // [n_tokens, ffn_width], doubled when gated
  AlignedBuffer activated;       // [n_tokens, ffn_width], gated models only
  AlignedBuffer addend;          // [n_tokens, width], where a half's result is watched only
  AlignedBuffer cos[2], sin[2];  // [n_tokens, pairs] of each rotation
};

// Applies the last layer of a half to what the half has made, to `y`.
using ApplyOut = absl::FunctionRef<void(MatrixRef y, Linear::Write write)>;

class Transformer : public LanguageModel {
 public:
  Transformer(ModelConfig config, TransformerWeights weights, const Backend* backend)
      : config_(std::move(config)), weights_(std::move(weights)), backend_(*backend) {
    if (config_.position == PositionKind::kRope) {
      AddRotation({config_.rope_theta, config_.rope_scaling});
      if (config_.windowed_rope) AddRotation(*config_.windowed_rope);
    }
    if (config_.position == PositionKind::kAlibi) slopes_ = AlibiSlopes(config_.n_heads);
    parts_ = FindParts();
  }

  const ModelConfig& config() const override { return config_; }
  int64_t parameter_count() const override { return weights_.parameter_count; }
  int64_t weight_bytes() const override { return weights_.bytes; }
  std::string compute_dtype() const override { return weights_.compute_dtype; }
  const std::vector<std::string>& notes() const override { return weights_.notes; }
  const ModelParts& parts() const override { return parts_; }
  std::unique_ptr<Workspace> NewWorkspace() const override {
    return std::make_unique<TransformerWorkspace>();
  }

  absl::Status Forward(absl::Span<SequenceSlice> batch, MatrixRef logits,
                       Workspace* workspace) const override;

 private:
  // The steps of a forward pass, in order.
  struct Pass {
    TransformerWorkspace& space;
    LiveBatch& batch;

    MatrixRef Rows(AlignedBuffer& buffer, int64_t cols) const { return batch.Rows(buffer, cols); }
  };

  void Resume(Pass& pass) const;
  void Embed(Pass& pass) const;
  void LookUp(TokenId id, absl::Span<float> row) const;
  void AddPositions(Pass& pass, MatrixRef x) const;
  void FindAngles(Pass& pass) const;
  void DropStopped(Pass& pass) const;
  void RunLayer(Pass& pass, int layer) const;
  void AddHalves(Pass& pass, int layer) const;
  void Attend(Pass& pass, int layer, ConstMatrixRef x) const;
  void Rotate(Pass& pass, int layer, MatrixRef queries_keys) const;
  MatrixRef NormBefore(Pass& pass, const HalfWeights& half, MatrixRef unless_present) const;
  void AddResult(Pass& pass, const HalfWeights& half, ApplyOut apply, Site site, int layer) const;
  void AddProduct(Pass& pass, ApplyOut apply, Site site, int layer) const;
  void ReportHiddenStates(Pass& pass) const;
  void UnembedWanted(Pass& pass, MatrixRef logits) const;

  ModelParts FindParts() const;
  AttentionShape ShapeOf(int layer) const;
  NormPart Part(const NormWeights& norm) const { return {config_.norm, Parameters(norm)}; }
  HalfParts Part(const HalfWeights& half) const {
    return {half.out.get(), Part(half.inside), Part(half.after)};
  }

  void AddRotation(const RopeParameters& rope) {
    const int dim = config_.rotary_dim > 0 ? config_.rotary_dim : config_.head_dim;
    rotations_.push_back({rope, dim, RopeFrequencies(dim, rope.theta, rope.scaling),
                          static_cast<float>(rope.scaling.attention_factor)});
  }
  NormParameters Parameters(const NormWeights& norm) const {
    return {norm.weight.span(), norm.bias.span(), config_.norm_eps};
  }
  void Normalize(const NormWeights& norm, ConstMatrixRef x, MatrixRef y) const {
    backend_.Normalize(config_.norm, Parameters(norm), x, y);
  }
  void NormalizeHeads(const NormWeights& norm, MatrixRef x) const {
    backend_.NormalizeHeads(config_.norm, Parameters(norm), x, config_.head_dim);
  }
  void FinalNorm(MatrixRef x) const {
    if (weights_.final_norm.present()) Normalize(weights_.final_norm, x, x);
  }
  MatrixRef Residual(Pass& pass) const { return pass.Rows(pass.space.residual, config_.width); }

  const ModelConfig config_;
  const TransformerWeights weights_;
  const Backend& backend_;
  std::vector<Rotation> rotations_;  // empty: no rotary positions
  std::vector<float> slopes_;        // [n_heads]; empty: no ALiBi
  ModelParts parts_;
};

absl::Status Transformer::Forward(absl::Span<SequenceSlice> batch, MatrixRef logits,
                                  Workspace* workspace) const {
  if (!config_.has_head && logits.rows > 0) {
    return absl::InternalError("Forward was asked for logits of a model without a head");
  }
  TransformerWorkspace& space = *static_cast<TransformerWorkspace*>(workspace);
  HEED_RETURN_IF_ERROR(space.batch.Start(batch, logits));
  Pass pass{space, space.batch};
  const int first_layer = pass.batch.first_layer();
  if (first_layer > 0) {
    Resume(pass);
  } else {
    Embed(pass);
  }
  FindAngles(pass);
  for (int layer = first_layer; layer < config_.n_layers; ++layer) {
    DropStopped(pass);
    if (pass.batch.n_tokens() == 0) return absl::OkStatus();
    RunLayer(pass, layer);
  }
  pass.batch.Visit(Site::kResidual, config_.n_layers, Residual(pass));
  pass.batch.FindNonfinite(Residual(pass));
  ReportHiddenStates(pass);
  UnembedWanted(pass, logits);
  pass.batch.Commit();
  return absl::OkStatus();
}

// The stream is what the slices bring with them.
void Transformer::Resume(Pass& pass) const {
  const MatrixRef x = Residual(pass);
  for (const LiveSlice& live : pass.batch.slices()) {
    for (int64_t i = 0; i < live.rows(); ++i) {
      std::copy_n(live.slice->residual.Row(i).data(), x.cols, x.Row(live.row + i).data());
    }
  }
}

void Transformer::Embed(Pass& pass) const {
  const MatrixRef x = Residual(pass);
  const bool is_projected = weights_.embedding_projection != nullptr;
  const MatrixRef table = is_projected ? pass.Rows(pass.space.embedded, config_.table_width()) : x;
  for (const LiveSlice& live : pass.batch.slices()) {
    ParallelBlocks(live.rows(), kTeamRows, [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) {
        LookUp(live.slice->tokens[i], table.Row(live.row + i));
      }
    });
  }
  if (weights_.position_width == table.cols) AddPositions(pass, table);
  if (weights_.embedding_norm.present()) Normalize(weights_.embedding_norm, table, table);
  if (!is_projected) return;
  weights_.embedding_projection->Apply(table, x);
  if (weights_.position_width != table.cols) AddPositions(pass, x);
}

// Token embedding, scaled, plus token type 0.
void Transformer::LookUp(TokenId id, absl::Span<float> row) const {
  const int64_t width = static_cast<int64_t>(row.size());
  if (weights_.token_embedding.empty()) {
    weights_.unembedding->CopyWeightRow(id, row);
  } else {
    weights_.token_embedding.CopyRow(id, row);
  }
  if (config_.embedding_scale != 1) {
    for (float& value : row) value *= static_cast<float>(config_.embedding_scale);
  }
  if (weights_.type_embedding.size() == 0) return;
  const float* type = weights_.type_embedding.data();
  for (int64_t i = 0; i < width; ++i) row[i] += type[i];
}

void Transformer::AddPositions(Pass& pass, MatrixRef x) const {
  if (weights_.position_embedding.size() == 0) return;
  for (const LiveSlice& live : pass.batch.slices()) {
    for (int64_t i = 0; i < live.rows(); ++i) {
      const int64_t position = live.first_position() + i + config_.position_offset;
      const float* place = weights_.position_embedding.data() + position * x.cols;
      const absl::Span<float> row = x.Row(live.row + i);
      for (int64_t k = 0; k < x.cols; ++k) row[k] += place[k];
    }
  }
}

// Where frequencies follow the sequence's length, a prompt's tokens all have those of the whole
// prompt, and a generated token has those of the sequence that ends with it. Nothing of this
// depends on how tokens are cut into calls.
void Transformer::FindAngles(Pass& pass) const {
  for (size_t r = 0; r < rotations_.size(); ++r) {
    const Rotation& rotation = rotations_[r];
    const MatrixRef cos = pass.Rows(pass.space.cos[r], rotation.pairs());
    const MatrixRef sin = pass.Rows(pass.space.sin[r], rotation.pairs());
    TokenFrequencies frequencies(rotation);
    for (const LiveSlice& live : pass.batch.slices()) {
      for (int64_t i = 0; i < live.rows(); ++i) {
        const int64_t position = live.first_position() + i;
        const int64_t length = std::max(live.slice->prompt_tokens, position + 1);
        RopeAngles(frequencies.Find(length), position, rotation.factor, cos.Row(live.row + i),
                   sin.Row(live.row + i));
      }
    }
  }
}

// The residual stream and the angles are the only state between layers.
void Transformer::DropStopped(Pass& pass) const {
  MatrixRef kept[5] = {Residual(pass)};
  size_t count = 1;
  for (size_t r = 0; r < rotations_.size(); ++r) {
    kept[count++] = pass.Rows(pass.space.cos[r], rotations_[r].pairs());
    kept[count++] = pass.Rows(pass.space.sin[r], rotations_[r].pairs());
  }
  pass.batch.DropStopped(absl::MakeConstSpan(kept, count));
}

// Each half reads the stream and adds to it; in a parallel layer both read it before either adds.
// Behind the last attention no row is read by another one, so that only those are gone on with
// that somebody asks for.
void Transformer::RunLayer(Pass& pass, int index) const {
  const MatrixRef x = Residual(pass);
  pass.batch.Visit(Site::kResidual, index, x);
  const LayerWeights& layer = weights_.layers[config_.group_of(index)];
  const MatrixRef h = NormBefore(pass, layer.attention, x);
  Attend(pass, index, h);
  if (index + 1 == config_.n_layers) {
    MatrixRef kept[3] = {x, pass.Rows(pass.space.mixed, config_.query_width()), h};
    const bool reads_h = config_.parallel_residual && h.data != x.data;
    pass.batch.DropUnread(index, x, absl::MakeConstSpan(kept, reads_h ? 3 : 2));
    if (pass.batch.n_tokens() == 0) return;
  }
  AddHalves(pass, index);
}

// What both halves make of the attention's rows and the stream.
void Transformer::AddHalves(Pass& pass, int index) const {
  const LayerWeights& layer = weights_.layers[config_.group_of(index)];
  const MatrixRef x = Residual(pass);
  const MatrixRef h =
      layer.attention.before.present() ? pass.Rows(pass.space.normed, config_.width) : x;
  const MatrixRef mixed = pass.Rows(pass.space.mixed, config_.query_width());
  const auto apply_attention = [&](MatrixRef y, Linear::Write write) {
    layer.attention.out->Apply(mixed, y, write);
  };
  const auto add_attention = [&] {
    AddResult(pass, layer.attention, apply_attention, Site::kAttentionOut, index);
    pass.batch.Visit(Site::kResidualMid, index, x);
  };
  if (!config_.parallel_residual) add_attention();
  const int64_t n = config_.ffn_width;
  const MatrixRef up = pass.Rows(pass.space.up, config_.gated_mlp ? 2 * n : n);
  layer.mlp.in->Apply(NormBefore(pass, layer.mlp, config_.parallel_residual ? h : x), up);
  if (config_.parallel_residual) add_attention();
  const auto apply_mlp = [&](MatrixRef y, Linear::Write write) {
    const MatrixRef room = config_.gated_mlp ? pass.Rows(pass.space.activated, n) : MatrixRef();
    backend_.ApplyActivated(config_.activation, *layer.mlp.out, up, room, y, write);
  };
  AddResult(pass, layer.mlp, apply_mlp, Site::kMlpOut, index);
}

// What a half reads: the stream after the half's norm, or what is given where it has none.
MatrixRef Transformer::NormBefore(Pass& pass, const HalfWeights& half,
                                  MatrixRef unless_present) const {
  if (!half.before.present()) return unless_present;
  const MatrixRef h = pass.Rows(pass.space.normed, config_.width);
  Normalize(half.before, Residual(pass), h);
  return h;
}

// Adds what the half's last layer makes to the stream, with the norms that the half has on the way.
void Transformer::AddResult(Pass& pass, const HalfWeights& half, ApplyOut apply, Site site,
                            int layer) const {
  const MatrixRef x = Residual(pass);
  if (half.inside.present()) {
    const MatrixRef h = pass.Rows(pass.space.normed, config_.width);
    apply(h, Linear::Write::kOverwrite);
    Normalize(half.inside, h, h);
    pass.batch.Visit(site, layer, h);
    backend_.Add(h, x);
  } else {
    AddProduct(pass, apply, site, layer);
  }
  if (half.after.present()) Normalize(half.after, x, x);
}

// A product that is added as it is made is nowhere to be seen: for whoever looks it is made apart.
// The stream gets the same bits either way.
void Transformer::AddProduct(Pass& pass, ApplyOut apply, Site site, int layer) const {
  const MatrixRef x = Residual(pass);
  if (!pass.batch.IsVisited(site, layer)) return apply(x, Linear::Write::kAccumulate);
  const MatrixRef product = pass.Rows(pass.space.addend, config_.width);
  apply(product, Linear::Write::kOverwrite);
  pass.batch.Visit(site, layer, product);
  backend_.Add(product, x);
}

// Fills space.mixed from x.
void Transformer::Attend(Pass& pass, int index, ConstMatrixRef x) const {
  const LayerWeights& layer = weights_.layers[config_.group_of(index)];
  const int64_t q = config_.query_width(), kv = config_.kv_width();
  const MatrixRef qkv = pass.Rows(pass.space.qkv, q + 2 * kv);
  layer.attention.in->Apply(x, qkv);
  if (layer.query_norm.present()) NormalizeHeads(layer.query_norm, qkv.Columns(0, q));
  if (layer.key_norm.present()) NormalizeHeads(layer.key_norm, qkv.Columns(q, kv));
  Rotate(pass, index, qkv.Columns(0, q + kv));
  pass.batch.Visit(Site::kQuery, index, qkv.Columns(0, q));
  const auto as_stored = [&](MatrixRef rows) {
    RoundAsStored(config_.kv_type, config_.head_dim, rows);
  };
  pass.batch.Visit(Site::kKey, index, qkv.Columns(q, kv), as_stored);
  pass.batch.Visit(Site::kValue, index, qkv.Columns(q + kv, kv), as_stored);
  const MatrixRef mixed = pass.Rows(pass.space.mixed, q);
  pass.batch.Attend(backend_, parts_.layers[index].shape, index,
                    {qkv.Columns(0, q), qkv.Columns(q, kv), qkv.Columns(q + kv, kv)}, mixed);
  pass.batch.Visit(Site::kMixed, index, mixed);
}

void Transformer::Rotate(Pass& pass, int layer, MatrixRef queries_keys) const {
  if (rotations_.empty() || !config_.is_rotated(layer)) return;
  const size_t r = rotations_.size() > 1 && config_.is_windowed(layer) ? 1 : 0;
  backend_.Rotate(queries_keys, config_.head_dim,
                  pass.Rows(pass.space.cos[r], rotations_[r].pairs()),
                  pass.Rows(pass.space.sin[r], rotations_[r].pairs()));
}

void Transformer::ReportHiddenStates(Pass& pass) const {
  const MatrixRef x = Residual(pass);
  pass.batch.ReportHiddenStates(x, pass.Rows(pass.space.normed, config_.width),
                                [this](MatrixRef rows) { FinalNorm(rows); });
}

// Logits of the wanted rows only.
void Transformer::UnembedWanted(Pass& pass, MatrixRef logits) const {
  const MatrixRef x = Residual(pass);
  pass.batch.Unembed(
      x, pass.Rows(pass.space.normed, config_.width), logits,
      [&](MatrixRef rows, MatrixRef out) { Unembed(parts_, rows, out, pass.space.mixed); });
}

AttentionShape Transformer::ShapeOf(int layer) const {
  return {config_.n_heads,
          config_.n_kv_heads,
          config_.head_dim,
          static_cast<float>(config_.scale_of(layer)),
          config_.causal,
          config_.window_of(layer),
          static_cast<float>(config_.attention_soft_cap),
          slopes_};
}

ModelParts Transformer::FindParts() const {
  ModelParts parts{.backend = &backend_};
  for (int i = 0; i < config_.n_layers; ++i) {
    const LayerWeights& layer = weights_.layers[config_.group_of(i)];
    parts.layers.push_back({ShapeOf(i), Part(layer.attention), Part(layer.mlp)});
  }
  parts.head = {.norm = Part(weights_.final_norm),
                .projection = weights_.head.get(),
                .activation = config_.head_activation,
                .activated_norm = Part(weights_.head_norm),
                .unembedding = weights_.unembedding.get(),
                .soft_cap = static_cast<float>(config_.logit_soft_cap)};
  return parts;
}

}  // namespace

absl::StatusOr<std::unique_ptr<const LanguageModel>> LoadTransformer(
    const Checkpoint& checkpoint, const Backend* backend, const LanguageModelOptions& options) {
  HEED_ASSIGN_OR_RETURN(TransformerWeights weights, LoadWeights(checkpoint, *backend, options));
  ModelConfig config = checkpoint.config();
  config.context_window = std::min(config.context_window, options.max_context);
  config.kv_type = options.kv_type;
  return std::make_unique<const Transformer>(std::move(config), std::move(weights), backend);
}

}  // namespace heed
