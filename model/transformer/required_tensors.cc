#include "model/transformer/required_tensors.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/string_view.h"
#include "model/base/layer_kinds.h"
#include "model/checkpoint/safetensors.h"
#include "model/kernels/backend.h"
#include "model/kernels/linear_quantized.h"
#include "model/transformer/architectures.h"

namespace heed {
namespace {

// Walks a transformer in the order in which its weights are loaded (weights.cc).
class TensorList {
 public:
  TensorList(const ModelConfig& config, const TensorNames& names)
      : config_(config),
        names_(names),
        input_major_(names.input_major && !config.output_major),
        mlp_bias_(names.biased.mlp || config.mlp_bias) {}

  std::vector<RequiredTensor> Take() {
    AddEmbeddings();
    const int64_t groups = config_.n_layer_groups > 0 ? config_.n_layer_groups : config_.n_layers;
    for (group_ = 0; group_ < groups; ++group_) AddLayer();
    if (config_.final_norm && config_.norm_placement == NormPlacement::kPre) {
      AddNorm(names_.final_norm, config_.width);
    }
    if (config_.has_head) AddHead();
    return std::move(tensors_);
  }

 private:
  void Add(absl::string_view pattern, absl::string_view suffix, std::vector<int64_t> shape,
           TensorUse use = TensorUse::kVector) {
    std::string name = absl::StrReplaceAll(pattern, {{"$", absl::StrCat(group_)}});
    tensors_.push_back({absl::StrCat(name, suffix), std::move(shape), use});
  }

  void AddTable(absl::string_view name, int64_t rows, int64_t width,
                TensorUse use = TensorUse::kTable) {
    Add(name, ".weight", {rows, width}, use);
  }

  void AddNorm(absl::string_view pattern, int64_t width) {
    if (pattern.empty()) return;
    Add(pattern, ".weight", {width});
    if (config_.norm == NormKind::kLayerNorm && config_.norm_bias) Add(pattern, ".bias", {width});
  }

  void AddLinear(absl::string_view pattern, int64_t out, int64_t in, bool has_bias) {
    Add(pattern, ".weight",
        input_major_ ? std::vector<int64_t>{in, out} : std::vector<int64_t>{out, in},
        TensorUse::kLinear);
    if (has_bias) Add(pattern, ".bias", {out});
  }

  void AddEmbeddings() {
    const int64_t width = config_.table_width();
    if (!config_.tied_embeddings) {
      AddTable(names_.token_embedding, config_.vocab_size, width, TensorUse::kEmbedding);
    }
    if (config_.position == PositionKind::kLearned) {
      AddTable(names_.position_embedding, config_.context_window + config_.position_offset,
               names_.wide_positions ? config_.width : width);
    }
    if (config_.token_types > 0) AddTable(names_.type_embedding, config_.token_types, width);
    AddNorm(names_.embedding_norm, width);
    if (config_.embedding_width == 0) return;
    AddLinear(names_.embedding_projection, config_.width, width, names_.projection_bias);
  }

  void AddLayer() {
    const bool is_bare = names_.bare_first_layer && group_ == 0;
    AddNorm(is_bare ? "" : names_.attention_norm, config_.width);
    AddNorm(names_.attention_output_norm, config_.width);
    AddQkv(names_.biased.qkv || config_.attention_bias || config_.qkv_bias);
    AddLinear(names_.attention_output, config_.width, config_.query_width(),
              names_.biased.attention_output || config_.attention_bias);
    if (config_.query_key_norm) {
      AddNorm(names_.query_norm, config_.head_dim);
      AddNorm(names_.key_norm, config_.head_dim);
    }
    AddMlp();
  }

  void AddQkv(bool has_bias) {
    const int64_t q = config_.query_width(), kv = config_.kv_width();
    if (!names_.fused_qkv.empty()) {
      AddLinear(names_.fused_qkv, q + 2 * kv, config_.width, has_bias);
      return;
    }
    AddLinear(names_.query, q, config_.width, has_bias);
    AddLinear(names_.key, kv, config_.width, has_bias);
    AddLinear(names_.value, kv, config_.width, has_bias);
  }

  void AddMlp() {
    AddNorm(names_.mlp_norm, config_.width);
    AddNorm(names_.mlp_output_norm, config_.width);
    const bool holds_gate = config_.gated_mlp && names_.gate.empty();
    if (config_.gated_mlp && !holds_gate) {
      AddLinear(names_.gate, config_.ffn_width, config_.width, mlp_bias_);
    }
    AddLinear(names_.up, (holds_gate ? 2 : 1) * config_.ffn_width, config_.width, mlp_bias_);
    AddLinear(names_.down, config_.width, config_.ffn_width, mlp_bias_);
  }

  void AddHead() {
    const int64_t width = config_.table_width();
    if (!names_.head_dense.empty()) {
      AddLinear(names_.head_dense, width, config_.width, config_.head_bias);
      AddNorm(names_.head_norm, width);
    } else if (config_.embedding_width > 0) {
      AddLinear(names_.output_projection, width, config_.width, false);
    }
    AddTable(config_.tied_embeddings ? names_.token_embedding : names_.unembedding,
             config_.vocab_size, width, TensorUse::kEmbedding);
    if (config_.unembedding_bias && !names_.unembedding_bias.empty()) {
      Add(names_.unembedding_bias, ".bias", {config_.vocab_size});
    }
  }

  const ModelConfig& config_;
  const TensorNames& names_;
  const bool input_major_;
  const bool mlp_bias_;
  std::vector<RequiredTensor> tensors_;
  int64_t group_ = 0;  // of the layers that are being walked
};

// How a matrix is held: bits of a value and values with a scale of their own.
struct Held {
  int bits = 32;
  int64_t group = 0;
};

// As WeightReader chooses, which in the end may take more bits where fewer would do harm.
Held HowHeld(TensorUse use, DType stored, WeightFormat format) {
  const auto rounded = [](int bits) { return Held{bits, kRoundedGroup}; };
  if (use == TensorUse::kVector || use == TensorUse::kTable) return {};
  switch (format) {
    case WeightFormat::kF32:
      return {};
    case WeightFormat::kF16:
      return {16};
    case WeightFormat::kInt8:
      return use == TensorUse::kEmbedding ? Held{16} : rounded(8);
    case WeightFormat::kInt4:
      return rounded(use == TensorUse::kEmbedding ? 8 : 4);
    case WeightFormat::kAsStored:
      break;
  }
  if (stored == DType::kF32 || stored == DType::kF16 || stored == DType::kBF16) return {};
  if (stored == DType::kQ8_0) return {8, BlockRows::kBlockValues};
  return stored == DType::kQ4_0 ? Held{4, BlockRows::kBlockValues} : rounded(8);
}

int64_t RoundUp(int64_t value, int64_t to) {
  return (value + to - 1) / to * to;
}

// Of integers, groups are filled up, and each of a row has a scale of two bytes (IntMatrix).
int64_t HeldBytes(int64_t rows, int64_t cols, const Held& held) {
  if (held.bits >= 16) return rows * cols * held.bits / 8;
  const int64_t group = std::min(held.group, RoundUp(cols, 16));
  const int64_t filled_cols = RoundUp(cols, group);
  return rows * (filled_cols * held.bits / 8 + filled_cols / group * 2);
}

// Mixing models are small and always f32, so all their tensors count as tables.
std::vector<RequiredTensor> MixingTensors(const ModelConfig& config) {
  const int64_t width = config.width;
  std::vector<RequiredTensor> tensors = {{"embed_tokens.weight", {config.vocab_size, width}}};
  if (config.position == PositionKind::kLearned) {
    tensors.push_back({"position_embedding.weight", {config.context_window, width}});
  }
  if (config.mixing == MixingPattern::kWeighted) {
    tensors.push_back({"word_scores.weight", {config.vocab_size}});
  }
  if (config.mixing == MixingPattern::kAttention) {
    tensors.push_back({"q_proj.weight", {width, width}});
    tensors.push_back({"k_proj.weight", {width, width}});
  }
  tensors.push_back({"v_proj.weight", {width, width}});
  return tensors;
}

}  // namespace

absl::StatusOr<std::vector<RequiredTensor>> RequiredTensors(const ModelConfig& config) {
  if (config.architecture == "heed_mixing") return MixingTensors(config);
  const TensorNames* names = FindTensorNames(config.architecture);
  if (names == nullptr) {
    return absl::UnimplementedError(
        absl::StrCat("heed cannot run the architecture \"", config.architecture, "\""));
  }
  return TensorList(config, *names).Take();
}

std::vector<absl::Status> CheckTensors(const Checkpoint& checkpoint) {
  const auto required = RequiredTensors(checkpoint.config());
  if (!required.ok()) return {required.status()};
  std::vector<absl::Status> problems;
  for (const RequiredTensor& tensor : *required) {
    absl::Status status = checkpoint.Check(tensor.name, tensor.shape);
    if (!status.ok()) problems.push_back(std::move(status));
  }
  return problems;
}

int64_t EstimateWeightBytes(const Checkpoint& checkpoint, WeightFormat format) {
  const auto required = RequiredTensors(checkpoint.config());
  if (!required.ok()) return 0;
  int64_t bytes = 0;
  for (const RequiredTensor& tensor : *required) {
    const TensorInfo* info = checkpoint.Find(tensor.name);
    const DType stored = info == nullptr ? DType::kF32 : info->dtype;
    const int64_t cols = tensor.shape.back();
    bytes +=
        HeldBytes(ElementCount(tensor.shape) / cols, cols, HowHeld(tensor.use, stored, format));
  }
  return bytes;
}

}  // namespace heed
