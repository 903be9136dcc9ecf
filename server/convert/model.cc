#include "server/convert/model.h"

#include <algorithm>
#include <bit>
#include <string>

#include "absl/strings/ascii.h"
#include "model/base/layer_names.h"
#include "model/base/utf8.h"

namespace heed {
namespace {

// Tensors go out as the machine holds them.
static_assert(std::endian::native == std::endian::little);

void FillTokenizer(const Tokenizer& tokenizer, const ModelConfig& config, v1::TokenizerInfo* out) {
  out->set_kind(std::string(tokenizer.kind()));
  out->set_vocabulary_size(tokenizer.vocab_size());
  out->set_added_special_token_count(tokenizer.added_special_count());
  for (int32_t id : config.eos_ids) out->add_end_of_text_ids(id);
  if (tokenizer.mask_id().has_value()) {
    out->set_mask_id(*tokenizer.mask_id());
    out->set_mask_text(ReplaceInvalidUtf8(tokenizer.Piece(*tokenizer.mask_id())));
  }
}

v1::MixingPattern MixingOf(MixingPattern pattern) {
  switch (pattern) {
    case MixingPattern::kAttention:
      return v1::MIXING_PATTERN_ATTENTION;
    case MixingPattern::kLastWord:
      return v1::MIXING_PATTERN_LAST_WORD;
    case MixingPattern::kAverage:
      return v1::MIXING_PATTERN_AVERAGE;
    case MixingPattern::kWeighted:
      return v1::MIXING_PATTERN_WEIGHTED;
  }
  return v1::MIXING_PATTERN_UNSPECIFIED;
}

}  // namespace

void FillIdentity(const ServedModel& model, v1::ModelIdentity* out) {
  out->set_name(model.name);
  out->set_digest(model.digest);
}

void FillModelProvenance(const ServedModel& model, v1::Provenance* out) {
  FillIdentity(model, out->mutable_model());
  out->set_compute_dtype(model.model->compute_dtype());
}

void FillEditProvenance(const ServedModel& model, int intervention_count,
                        const InterventionSet* edits, v1::Provenance* out) {
  FillModelProvenance(model, out);
  out->set_intervention_count(intervention_count);
  out->set_counterfactual_mask(edits != nullptr && edits->counterfactual_mask());
}

void FillModel(const ServedModel& model, v1::Model* out) {
  const ModelConfig& config = model.model->config();
  FillIdentity(model, out->mutable_identity());
  out->set_architecture(config.architecture);
  out->set_direction(config.causal ? v1::ATTENTION_DIRECTION_CAUSAL
                                   : v1::ATTENTION_DIRECTION_BIDIRECTIONAL);
  out->set_mixing(MixingOf(config.mixing));
  out->set_parameter_count(model.model->parameter_count());
  out->set_layer_count(config.n_layers);
  out->set_head_count(config.n_heads);
  out->set_kv_head_count(config.n_kv_heads);
  out->set_head_dim(config.head_dim);
  out->set_hidden_size(static_cast<int32_t>(config.width));
  out->set_feed_forward_size(static_cast<int32_t>(config.ffn_width));
  out->set_vocabulary_size(static_cast<int32_t>(config.vocab_size));
  out->set_context_window(config.context_window);
  out->set_checkpoint_dtype(std::string(DTypeName(model.checkpoint_dtype)));
  out->set_compute_dtype(model.model->compute_dtype());
  out->set_kv_cache_dtype(absl::AsciiStrToUpper(KvTypeName(config.kv_type)));
  out->set_weight_bytes(model.model->weight_bytes());
  if (model.tokenizer != nullptr) {
    FillTokenizer(*model.tokenizer, config, out->mutable_tokenizer());
  }
  if (config.has_head) out->add_capabilities(v1::CAPABILITY_PREDICT);
  if (config.causal) out->add_capabilities(v1::CAPABILITY_GENERATE);
  out->add_capabilities(v1::CAPABILITY_ATTENTION);
  out->add_capabilities(v1::CAPABILITY_EMBED);
}

void FillToken(const Tokenizer* tokenizer, TokenId id, ByteRange range, v1::Token* out) {
  out->set_id(id);
  out->set_byte_begin(range.begin);
  out->set_byte_end(range.end);
  if (tokenizer == nullptr) return;
  const absl::string_view bytes = tokenizer->TokenBytes(id);
  out->set_text(ReplaceInvalidUtf8(bytes));
  out->set_bytes(bytes.data(), bytes.size());
  out->set_piece(ReplaceInvalidUtf8(tokenizer->Piece(id)));
  out->set_special(tokenizer->IsSpecial(id));
}

void FillTensor(absl::Span<const float> values, absl::Span<const int64_t> shape, v1::Tensor* out) {
  out->set_dtype(v1::DATA_TYPE_F32);
  out->mutable_shape()->Assign(shape.begin(), shape.end());
  out->set_data(reinterpret_cast<const char*>(values.data()), values.size() * sizeof(float));
}

void FillDuration(absl::Duration duration, google::protobuf::Duration* out) {
  const int64_t nanoseconds = std::max<int64_t>(absl::ToInt64Nanoseconds(duration), 0);
  out->set_seconds(nanoseconds / 1'000'000'000);
  out->set_nanos(static_cast<int32_t>(nanoseconds % 1'000'000'000));
}

void FillTimings(absl::Duration tokenize, const EngineTimings& engine, v1::Timings* out) {
  FillDuration(tokenize, out->mutable_tokenize());
  FillDuration(engine.queue, out->mutable_queue());
  FillDuration(engine.compute, out->mutable_compute());
  out->set_cached_token_count(engine.cached_tokens);
  out->set_draft_token_count(engine.draft_tokens);
  out->set_accepted_token_count(engine.accepted_tokens);
}

}  // namespace heed
