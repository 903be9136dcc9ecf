#include "model/transformer/weights.h"

#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "model/base/status_macros.h"
#include "model/transformer/architectures.h"
#include "model/transformer/weight_reader.h"

namespace heed {
namespace {

class WeightLoader {
 public:
  WeightLoader(const Checkpoint& checkpoint, const Backend& backend, const TensorNames& names)
      : reader_(checkpoint, backend, names.input_major && !checkpoint.config().output_major),
        names_(names),
        config_(checkpoint.config()) {}

  absl::StatusOr<TransformerWeights> Load() {
    HEED_RETURN_IF_ERROR(LoadEmbeddings());
    for (int layer = 0; layer < config_.n_layers; ++layer) HEED_RETURN_IF_ERROR(LoadLayer(layer));
    HEED_ASSIGN_OR_RETURN(weights_.final_norm, LoadNorm(names_.final_norm));
    HEED_RETURN_IF_ERROR(LoadHead());
    weights_.parameter_count = reader_.parameter_count();
    weights_.bytes = reader_.bytes();
    return std::move(weights_);
  }

 private:
  std::string Name(absl::string_view pattern) const {
    return absl::StrReplaceAll(pattern, {{"$", absl::StrCat(layer_)}});
  }

  absl::StatusOr<AlignedBuffer> LoadTable(absl::string_view name, int64_t rows) {
    return reader_.Table(absl::StrCat(name, ".weight"), {rows, config_.width});
  }

  absl::StatusOr<NormWeights> LoadNorm(absl::string_view pattern) {
    NormWeights norm;
    if (pattern.empty()) return norm;
    const std::string name = Name(pattern);
    HEED_ASSIGN_OR_RETURN(norm.weight,
                          reader_.Table(absl::StrCat(name, ".weight"), {config_.width}));
    if (config_.norm == NormKind::kRmsNorm) return norm;
    HEED_ASSIGN_OR_RETURN(norm.bias, reader_.Table(absl::StrCat(name, ".bias"), {config_.width}));
    return norm;
  }

  absl::Status LoadEmbeddings() {
    if (!config_.tied_embeddings) {
      HEED_ASSIGN_OR_RETURN(weights_.token_embedding,
                            LoadTable(names_.token_embedding, config_.vocab_size));
    }
    if (config_.position == PositionKind::kLearned) {
      HEED_ASSIGN_OR_RETURN(weights_.position_embedding,
                            LoadTable(names_.position_embedding, config_.context_window));
    }
    if (config_.token_types > 0) {
      HEED_ASSIGN_OR_RETURN(weights_.type_embedding,
                            LoadTable(names_.type_embedding, config_.token_types));
    }
    HEED_ASSIGN_OR_RETURN(weights_.embedding_norm, LoadNorm(names_.embedding_norm));
    return absl::OkStatus();
  }

  absl::Status LoadLayer(int layer) {
    layer_ = layer;
    LayerWeights& out = weights_.layers.emplace_back();
    const int64_t width = config_.width, q = config_.query_width();
    const bool attention_bias = names_.linear_biases || config_.attention_bias;
    const bool mlp_bias = names_.linear_biases || config_.mlp_bias;
    HEED_ASSIGN_OR_RETURN(out.attention_norm, LoadNorm(names_.attention_norm));
    HEED_ASSIGN_OR_RETURN(out.qkv, reader_.Stack(QkvParts(), width, attention_bias));
    HEED_ASSIGN_OR_RETURN(
        out.attention_output,
        reader_.Stack({{Name(names_.attention_output), width}}, q, attention_bias));
    HEED_ASSIGN_OR_RETURN(out.mlp_norm, LoadNorm(names_.mlp_norm));
    std::vector<LinearPart> up = {{Name(names_.up), config_.ffn_width}};
    if (config_.gated_mlp) up.insert(up.begin(), {Name(names_.gate), config_.ffn_width});
    HEED_ASSIGN_OR_RETURN(out.up, reader_.Stack(up, width, mlp_bias));
    HEED_ASSIGN_OR_RETURN(out.down,
                          reader_.Stack({{Name(names_.down), width}}, config_.ffn_width, mlp_bias));
    return absl::OkStatus();
  }

  std::vector<LinearPart> QkvParts() const {
    const int64_t q = config_.query_width(), kv = config_.kv_width();
    if (!names_.fused_qkv.empty()) return {{Name(names_.fused_qkv), q + 2 * kv}};
    return {{Name(names_.query), q}, {Name(names_.key), kv}, {Name(names_.value), kv}};
  }

  absl::Status LoadHead() {
    if (!config_.has_head) return absl::OkStatus();
    const int64_t width = config_.width;
    std::string bias;
    if (!names_.head_dense.empty()) {
      HEED_ASSIGN_OR_RETURN(weights_.head_dense,
                            reader_.Stack({{std::string(names_.head_dense), width}}, width, true));
      HEED_ASSIGN_OR_RETURN(weights_.head_norm, LoadNorm(names_.head_norm));
      bias = absl::StrCat(names_.head_bias, ".bias");
    }
    const absl::string_view name =
        config_.tied_embeddings ? names_.token_embedding : names_.unembedding;
    HEED_ASSIGN_OR_RETURN(
        weights_.unembedding,
        reader_.Unembedding(absl::StrCat(name, ".weight"), config_.vocab_size, width, bias));
    return absl::OkStatus();
  }

  WeightReader reader_;
  const TensorNames& names_;
  const ModelConfig& config_;
  TransformerWeights weights_;
  int layer_ = 0;
};

}  // namespace

absl::StatusOr<TransformerWeights> LoadWeights(const Checkpoint& checkpoint,
                                               const Backend& backend) {
  const TensorNames* names = FindTensorNames(checkpoint.config().architecture);
  if (names == nullptr) {
    return absl::UnimplementedError(absl::StrCat("heed cannot run the architecture \"",
                                                 checkpoint.config().architecture, "\""));
  }
  return WeightLoader(checkpoint, backend, *names).Load();
}

}  // namespace heed
