#include "model/transformer/weights.h"

#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "model/base/status_macros.h"
#include "model/checkpoint/safetensors.h"
#include "model/transformer/architectures.h"
#include "model/transformer/pack_file.h"
#include "model/transformer/required_tensors.h"
#include "model/transformer/weight_reader.h"

namespace heed {
namespace {

class WeightLoader {
 public:
  WeightLoader(const Checkpoint& checkpoint, const Backend& backend, const TensorNames& names,
               WeightReaderOptions options)
      : reader_(checkpoint, backend, std::move(options)),
        names_(names),
        config_(checkpoint.config()) {}

  absl::StatusOr<TransformerWeights> Load() {
    HEED_RETURN_IF_ERROR(LoadEmbeddings());
    const int64_t groups = config_.n_layer_groups > 0 ? config_.n_layer_groups : config_.n_layers;
    for (group_ = 0; group_ < groups; ++group_) HEED_RETURN_IF_ERROR(LoadLayer());
    if (config_.final_norm && config_.norm_placement == NormPlacement::kPre) {
      HEED_ASSIGN_OR_RETURN(weights_.final_norm, LoadNorm(names_.final_norm, config_.width));
    }
    if (config_.has_head) HEED_RETURN_IF_ERROR(LoadHead());
    weights_.parameter_count = reader_.parameter_count();
    weights_.bytes = reader_.bytes();
    weights_.compute_dtype = reader_.compute_dtype();
    weights_.notes = reader_.notes();
    return std::move(weights_);
  }

 private:
  std::string Name(absl::string_view pattern) const {
    return absl::StrReplaceAll(pattern, {{"$", absl::StrCat(group_)}});
  }

  absl::StatusOr<AlignedBuffer> LoadTable(absl::string_view name, int64_t rows, int64_t width) {
    return reader_.Table(absl::StrCat(name, ".weight"), {rows, width});
  }

  absl::StatusOr<NormWeights> LoadNorm(absl::string_view pattern, int64_t width) {
    NormWeights norm;
    if (pattern.empty()) return norm;
    const std::string name = Name(pattern);
    HEED_ASSIGN_OR_RETURN(norm.weight, reader_.Table(absl::StrCat(name, ".weight"), {width}));
    for (float& weight : norm.weight.span()) {
      weight += static_cast<float>(config_.norm_weight_offset);
    }
    if (config_.norm == NormKind::kRmsNorm || !config_.norm_bias) return norm;
    HEED_ASSIGN_OR_RETURN(norm.bias, reader_.Table(absl::StrCat(name, ".bias"), {width}));
    return norm;
  }

  absl::StatusOr<std::unique_ptr<Linear>> LoadLinear(absl::string_view pattern, int64_t out,
                                                     int64_t in, bool has_bias) {
    return reader_.Stack({{Name(pattern), out}}, in, has_bias);
  }

  absl::Status LoadEmbeddings() {
    const int64_t width = config_.table_width();
    if (!config_.tied_embeddings) {
      HEED_ASSIGN_OR_RETURN(weights_.token_embedding,
                            reader_.Embedding(absl::StrCat(names_.token_embedding, ".weight"),
                                              config_.vocab_size, width));
    }
    if (config_.position == PositionKind::kLearned) {
      weights_.position_width = names_.wide_positions ? config_.width : width;
      HEED_ASSIGN_OR_RETURN(
          weights_.position_embedding,
          LoadTable(names_.position_embedding, config_.context_window + config_.position_offset,
                    weights_.position_width));
    }
    if (config_.token_types > 0) {
      HEED_ASSIGN_OR_RETURN(weights_.type_embedding,
                            LoadTable(names_.type_embedding, config_.token_types, width));
    }
    HEED_ASSIGN_OR_RETURN(weights_.embedding_norm, LoadNorm(names_.embedding_norm, width));
    if (config_.embedding_width == 0) return absl::OkStatus();
    HEED_ASSIGN_OR_RETURN(
        weights_.embedding_projection,
        LoadLinear(names_.embedding_projection, config_.width, width, names_.projection_bias));
    return absl::OkStatus();
  }

  absl::Status LoadLayer() {
    LayerWeights& layer = weights_.layers.emplace_back();
    HEED_RETURN_IF_ERROR(LoadAttention(layer.attention));
    if (config_.query_key_norm) {
      HEED_ASSIGN_OR_RETURN(layer.query_norm, LoadNorm(names_.query_norm, config_.head_dim));
      HEED_ASSIGN_OR_RETURN(layer.key_norm, LoadNorm(names_.key_norm, config_.head_dim));
    }
    return LoadMlp(layer.mlp);
  }

  absl::Status LoadAttention(HalfWeights& half) {
    const bool is_bare = names_.bare_first_layer && group_ == 0;
    HEED_RETURN_IF_ERROR(
        LoadHalfNorms(is_bare ? "" : names_.attention_norm, names_.attention_output_norm, half));
    HEED_ASSIGN_OR_RETURN(half.in,
                          LoadQkv(names_.biased.qkv || config_.attention_bias || config_.qkv_bias));
    HEED_ASSIGN_OR_RETURN(half.out,
                          LoadLinear(names_.attention_output, config_.width, config_.query_width(),
                                     names_.biased.attention_output || config_.attention_bias));
    return absl::OkStatus();
  }

  absl::Status LoadMlp(HalfWeights& half) {
    HEED_RETURN_IF_ERROR(LoadHalfNorms(names_.mlp_norm, names_.mlp_output_norm, half));
    const int64_t ffn = config_.ffn_width;
    const bool has_bias = names_.biased.mlp || config_.mlp_bias;
    std::vector<LinearPart> up = {{Name(names_.up), ffn}};
    if (config_.gated_mlp && names_.gate.empty()) up[0].rows = 2 * ffn;
    if (config_.gated_mlp && !names_.gate.empty()) up.insert(up.begin(), {Name(names_.gate), ffn});
    HEED_ASSIGN_OR_RETURN(half.in, reader_.Stack(up, config_.width, has_bias));
    HEED_ASSIGN_OR_RETURN(half.out, LoadLinear(names_.down, config_.width, ffn, has_bias));
    return absl::OkStatus();
  }

  absl::Status LoadHalfNorms(absl::string_view norm, absl::string_view inside, HalfWeights& half) {
    NormWeights& place = config_.norm_placement == NormPlacement::kPre ? half.before : half.after;
    HEED_ASSIGN_OR_RETURN(place, LoadNorm(norm, config_.width));
    HEED_ASSIGN_OR_RETURN(half.inside, LoadNorm(inside, config_.width));
    return absl::OkStatus();
  }

  absl::StatusOr<std::unique_ptr<Linear>> LoadQkv(bool has_bias) {
    const int64_t q = config_.query_width(), kv = config_.kv_width();
    if (names_.fused_qkv.empty()) {
      return reader_.Stack(
          {{Name(names_.query), q}, {Name(names_.key), kv}, {Name(names_.value), kv}},
          config_.width, has_bias);
    }
    if (names_.qkv_packing == QkvPacking::kWhole) {
      return LoadLinear(names_.fused_qkv, q + 2 * kv, config_.width, has_bias);
    }
    return reader_.StackHeads(Name(names_.fused_qkv), config_.n_heads, config_.head_dim,
                              config_.width, has_bias);
  }

  absl::Status LoadHead() {
    const int64_t width = config_.table_width();
    if (!names_.head_dense.empty()) {
      HEED_ASSIGN_OR_RETURN(weights_.head,
                            LoadLinear(names_.head_dense, width, config_.width, config_.head_bias));
      HEED_ASSIGN_OR_RETURN(weights_.head_norm, LoadNorm(names_.head_norm, width));
    } else if (config_.embedding_width > 0) {
      HEED_ASSIGN_OR_RETURN(weights_.head,
                            LoadLinear(names_.output_projection, width, config_.width, false));
    }
    std::string bias;
    if (config_.unembedding_bias && !names_.unembedding_bias.empty()) {
      bias = absl::StrCat(names_.unembedding_bias, ".bias");
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
  int64_t group_ = 0;  // of the layers that are being read
};

// Part of a packed copy's identity: to be raised when other layers are made of the same checkpoint.
constexpr int kLayersVersion = 1;

// A model's weights from its checkpoint, or as far as possible from a packed copy.
class PackedLoader {
 public:
  PackedLoader(const Checkpoint& checkpoint, const Backend& backend, const TensorNames& names,
               const LanguageModelOptions& options)
      : checkpoint_(checkpoint),
        backend_(backend),
        names_(names),
        options_(options),
        path_(checkpoint.digest().empty() ? "" : options.packed_copy),
        identity_{checkpoint.stamp(), checkpoint.digest(),
                  absl::StrCat("layers ", kLayersVersion, ", format ",
                               static_cast<int>(options.weights), ", ", backend.packing())} {}

  absl::StatusOr<TransformerWeights> Load() {
    if (path_.empty()) return LoadFrom(nullptr, nullptr);
    absl::StatusOr<TransformerWeights> packed = LoadPacked();
    if (packed.ok()) {
      if (options_.report != nullptr) options_.report->from_packed_copy = true;
      return packed;
    }
    auto copy = PackWriter::Create(path_, identity_);
    HEED_ASSIGN_OR_RETURN(TransformerWeights weights,
                          LoadFrom(nullptr, copy.ok() ? copy->get() : nullptr));
    if (!absl::IsNotFound(packed.status())) {
      weights.notes.push_back(absl::StrCat("was packed anew: ", packed.status().message()));
    }
    const absl::Status made = copy.ok() ? (*copy)->Finish() : copy.status();
    if (made.ok()) {
      if (options_.report != nullptr) options_.report->made_packed_copy = true;
    } else {
      weights.notes.push_back(absl::StrCat("has no packed copy: ", made.message()));
    }
    return weights;
  }

 private:
  absl::StatusOr<TransformerWeights> LoadPacked() const {
    HEED_ASSIGN_OR_RETURN(const auto reader, PackReader::Open(path_, identity_));
    HEED_ASSIGN_OR_RETURN(TransformerWeights weights, LoadFrom(reader.get(), nullptr));
    HEED_RETURN_IF_ERROR(reader->Finish());
    return weights;
  }

  absl::StatusOr<TransformerWeights> LoadFrom(PackReader* packed, PackWriter* copy) const {
    WeightReaderOptions options{
        .format = options_.weights,
        .input_major = names_.input_major && !checkpoint_.config().output_major,
        .packed = packed,
        .copy = copy};
    if (options_.progress) {
      HEED_ASSIGN_OR_RETURN(const auto tensors, RequiredTensors(checkpoint_.config()));
      int64_t total = 0;
      for (const RequiredTensor& tensor : tensors) total += ElementCount(tensor.shape);
      options.progress = [this, total](int64_t done) { options_.progress(done, total); };
    }
    return WeightLoader(checkpoint_, backend_, names_, std::move(options)).Load();
  }

  const Checkpoint& checkpoint_;
  const Backend& backend_;
  const TensorNames& names_;
  const LanguageModelOptions& options_;
  const std::string path_;
  const PackIdentity identity_;
};

}  // namespace

absl::StatusOr<TransformerWeights> LoadWeights(const Checkpoint& checkpoint, const Backend& backend,
                                               const LanguageModelOptions& options) {
  const TensorNames* names = FindTensorNames(checkpoint.config().architecture);
  if (names == nullptr) {
    return absl::UnimplementedError(absl::StrCat("heed cannot run the architecture \"",
                                                 checkpoint.config().architecture, "\""));
  }
  return PackedLoader(checkpoint, backend, *names, options).Load();
}

}  // namespace heed
