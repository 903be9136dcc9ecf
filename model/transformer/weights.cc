#include "model/transformer/weights.h"

#include <algorithm>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "model/base/status_macros.h"
#include "model/transformer/architectures.h"

namespace heed {
namespace {

// One tensor of a linear layer that several tensors are stacked into.
struct Part {
  absl::string_view name;
  int64_t rows;
};

class WeightLoader {
 public:
  WeightLoader(const Checkpoint& checkpoint, const Backend& backend, const TensorNames& names)
      : checkpoint_(checkpoint), backend_(backend), names_(names), config_(checkpoint.config()) {}

  absl::StatusOr<TransformerWeights> Load() {
    HEED_RETURN_IF_ERROR(LoadEmbeddings());
    for (int layer = 0; layer < config_.n_layers; ++layer) HEED_RETURN_IF_ERROR(LoadLayer(layer));
    HEED_RETURN_IF_ERROR(LoadNorm(names_.final_norm, &weights_.final_norm));
    HEED_RETURN_IF_ERROR(LoadHead());
    return std::move(weights_);
  }

 private:
  std::string Name(absl::string_view pattern) const {
    return absl::StrReplaceAll(pattern, {{"$", absl::StrCat(layer_)}});
  }

  // A plain table or vector that stays as it is.
  absl::Status LoadTable(const std::string& name, std::vector<int64_t> shape, AlignedBuffer* out) {
    int64_t size = 1;
    for (int64_t dim : shape) size *= dim;
    *out = AlignedBuffer(size);
    HEED_RETURN_IF_ERROR(checkpoint_.ReadF32(name, shape, out->span()));
    weights_.parameter_count += size;
    weights_.bytes += size * static_cast<int64_t>(sizeof(float));
    return absl::OkStatus();
  }

  absl::Status LoadNorm(absl::string_view pattern, NormWeights* norm) {
    if (pattern.empty()) return absl::OkStatus();
    HEED_RETURN_IF_ERROR(
        LoadTable(absl::StrCat(Name(pattern), ".weight"), {config_.width}, &norm->weight));
    if (config_.norm == NormKind::kRmsNorm) return absl::OkStatus();
    return LoadTable(absl::StrCat(Name(pattern), ".bias"), {config_.width}, &norm->bias);
  }

  absl::Status LoadEmbeddings() {
    const int64_t width = config_.width;
    if (!config_.tied_embeddings) {
      HEED_RETURN_IF_ERROR(LoadTable(absl::StrCat(names_.token_embedding, ".weight"),
                                     {config_.vocab_size, width}, &weights_.token_embedding));
    }
    if (config_.position == PositionKind::kLearned) {
      HEED_RETURN_IF_ERROR(LoadTable(absl::StrCat(names_.position_embedding, ".weight"),
                                     {config_.context_window, width},
                                     &weights_.position_embedding));
    }
    if (config_.token_types > 0) {
      HEED_RETURN_IF_ERROR(LoadTable(absl::StrCat(names_.type_embedding, ".weight"),
                                     {config_.token_types, width}, &weights_.type_embedding));
    }
    return LoadNorm(names_.embedding_norm, &weights_.embedding_norm);
  }

  absl::Status LoadLayer(int layer) {
    layer_ = layer;
    LayerWeights& out = weights_.layers.emplace_back();
    const int64_t width = config_.width, q = config_.query_width(), kv = config_.kv_width();
    const bool attention_bias = names_.linear_biases || config_.attention_bias;
    const bool mlp_bias = names_.linear_biases || config_.mlp_bias;
    HEED_RETURN_IF_ERROR(LoadNorm(names_.attention_norm, &out.attention_norm));
    const std::vector<Part> qkv =
        names_.fused_qkv.empty()
            ? std::vector<Part>{{names_.query, q}, {names_.key, kv}, {names_.value, kv}}
            : std::vector<Part>{{names_.fused_qkv, q + 2 * kv}};
    HEED_ASSIGN_OR_RETURN(out.qkv, LoadLinear(qkv, width, attention_bias));
    HEED_ASSIGN_OR_RETURN(out.attention_output,
                          LoadLinear({{names_.attention_output, width}}, q, attention_bias));
    HEED_RETURN_IF_ERROR(LoadNorm(names_.mlp_norm, &out.mlp_norm));
    std::vector<Part> up = {{names_.up, config_.ffn_width}};
    if (config_.gated_mlp) up.insert(up.begin(), {names_.gate, config_.ffn_width});
    HEED_ASSIGN_OR_RETURN(out.up, LoadLinear(up, width, mlp_bias));
    HEED_ASSIGN_OR_RETURN(out.down,
                          LoadLinear({{names_.down, width}}, config_.ffn_width, mlp_bias));
    return absl::OkStatus();
  }

  absl::Status LoadHead() {
    AlignedBuffer bias;
    if (!names_.head_dense.empty()) {
      HEED_ASSIGN_OR_RETURN(weights_.head_dense,
                            LoadLinear({{names_.head_dense, config_.width}}, config_.width, true));
      HEED_RETURN_IF_ERROR(LoadNorm(names_.head_norm, &weights_.head_norm));
      const std::string name = absl::StrCat(names_.head_bias, ".bias");
      HEED_RETURN_IF_ERROR(LoadTable(name, {config_.vocab_size}, &bias));
      weights_.bytes -= bias.size() * static_cast<int64_t>(sizeof(float));  // PackLinear counts it
    }
    const absl::string_view name =
        config_.tied_embeddings ? names_.token_embedding : names_.unembedding;
    const std::vector<int64_t> shape = {config_.vocab_size, config_.width};
    AlignedBuffer rows(config_.vocab_size * config_.width);
    HEED_RETURN_IF_ERROR(checkpoint_.ReadF32(absl::StrCat(name, ".weight"), shape, rows.span()));
    weights_.parameter_count += rows.size();
    HEED_ASSIGN_OR_RETURN(weights_.unembedding,
                          Pack(rows, config_.vocab_size, config_.width, bias.span()));
    return absl::OkStatus();
  }

  // Stacks the parts' rows into one [sum of rows, in] layer.
  absl::StatusOr<std::unique_ptr<Linear>> LoadLinear(const std::vector<Part>& parts, int64_t in,
                                                     bool has_bias) {
    int64_t rows = 0;
    for (const Part& part : parts) rows += part.rows;
    AlignedBuffer weight(rows * in);
    AlignedBuffer bias(has_bias ? rows : 0);
    int64_t row = 0;
    for (const Part& part : parts) {
      const std::string name = Name(part.name);
      HEED_RETURN_IF_ERROR(
          ReadRows(absl::StrCat(name, ".weight"), part.rows, in, weight.data() + row * in));
      if (has_bias) {
        HEED_RETURN_IF_ERROR(checkpoint_.ReadF32(absl::StrCat(name, ".bias"), {part.rows},
                                                 bias.span().subspan(row, part.rows)));
      }
      row += part.rows;
    }
    weights_.parameter_count += weight.size() + bias.size();
    return Pack(weight, rows, in, bias.span());
  }

  // Reads a weight as [rows, in], whichever way round it is stored.
  absl::Status ReadRows(const std::string& name, int64_t rows, int64_t in, float* out) {
    if (!names_.input_major) {
      return checkpoint_.ReadF32(name, {rows, in}, absl::MakeSpan(out, rows * in));
    }
    AlignedBuffer stored(rows * in);
    HEED_RETURN_IF_ERROR(checkpoint_.ReadF32(name, {in, rows}, stored.span()));
    // Blocks keep both sides of the transposition in the cache.
    constexpr int64_t kBlock = 32;
    for (int64_t r0 = 0; r0 < rows; r0 += kBlock) {
      for (int64_t i = 0; i < in; ++i) {
        const int64_t end = std::min(r0 + kBlock, rows);
        for (int64_t r = r0; r < end; ++r) out[r * in + i] = stored.data()[i * rows + r];
      }
    }
    return absl::OkStatus();
  }

  absl::StatusOr<std::unique_ptr<Linear>> Pack(const AlignedBuffer& weight, int64_t rows,
                                               int64_t in, absl::Span<const float> bias) {
    HEED_ASSIGN_OR_RETURN(auto linear, backend_.PackLinear({weight.data(), rows, in}, bias));
    weights_.bytes += linear->weight_bytes();
    return linear;
  }

  const Checkpoint& checkpoint_;
  const Backend& backend_;
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
