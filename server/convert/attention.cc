#include "server/convert/attention.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "model/base/error.h"
#include "model/base/status_macros.h"
#include "model/inspect/attention_capture.h"
#include "server/convert/indices.h"
#include "server/convert/model.h"

namespace heed {
void CheckSelection(absl::string_view field, const v1::AttentionSelection& selection,
                    const ModelConfig& config, Violations* violations) {
  CheckIndices(absl::StrCat(field, ".layers"), selection.layers(), config.n_layers, violations);
  CheckIndices(absl::StrCat(field, ".heads"), selection.heads(), config.n_heads, violations);
  if (selection.has_top_k() && selection.top_k().k() < 1) {
    violations->Add(absl::StrCat(field, ".top_k.k"),
                    absl::StrCat("is ", selection.top_k().k(), "; must be at least 1"));
  }
}

void CheckPlainSelection(absl::string_view field, const v1::AttentionSelection& selection,
                         Violations* violations) {
  using Encoding = v1::AttentionSelection::EncodingCase;
  const auto refuse = [&](absl::string_view name) {
    violations->Add(absl::StrCat(field, ".", name),
                    "is not available here: softmax weights over all keys, dense or top_k, are; "
                    "keep a trace and ask GetAttention for the rest");
  };
  if (selection.stage() != v1::ATTENTION_STAGE_UNSPECIFIED &&
      selection.stage() != v1::ATTENTION_STAGE_SOFTMAX) {
    refuse("stage");
  }
  if (selection.has_keys()) refuse("keys");
  if (selection.head_fusion() != v1::HEAD_FUSION_UNSPECIFIED) refuse("head_fusion");
  switch (selection.encoding_case()) {
    case Encoding::kLowerTriangle:
      return refuse("lower_triangle");
    case Encoding::kThreshold:
      return refuse("threshold");
    case Encoding::kPooled:
      return refuse("pooled");
    case Encoding::kSpanSums:
      return refuse("span_sums");
    default:
      return;
  }
}

AttentionChoice ResolveHeads(const v1::AttentionSelection& selection, const ModelConfig& config) {
  AttentionChoice choice;
  choice.layers = ResolveIndices(selection.layers(), config.n_layers);
  choice.heads = ResolveIndices(selection.heads(), config.n_heads);
  if (selection.has_top_k()) choice.top_k = selection.top_k().k();
  return choice;
}

namespace {

// Negative values count from the end; those beyond `most` are refused.
absl::StatusOr<int64_t> ResolveUpTo(int64_t most, absl::string_view field, int64_t value,
                                    int64_t prompt_length) {
  if (value >= -prompt_length && value <= most) {
    return value < 0 ? value + prompt_length : value;
  }
  return MakeError(absl::StatusCode::kOutOfRange, "POSITION_OUT_OF_RANGE",
                   absl::StrCat(field, " is ", value, "; the prompt has ", prompt_length,
                                prompt_length == 1 ? " token" : " tokens", ", so it must be in [",
                                -prompt_length, ", ", most, "]"),
                   {{"field", std::string(field)},
                    {"position", absl::StrCat(value)},
                    {"prompt_tokens", absl::StrCat(prompt_length)}});
}

}  // namespace

absl::StatusOr<int64_t> ResolvePosition(absl::string_view field, int64_t value,
                                        int64_t prompt_length) {
  return ResolveUpTo(prompt_length - 1, field, value, prompt_length);
}

absl::StatusOr<int64_t> ResolveEnd(absl::string_view field, int64_t value, int64_t prompt_length) {
  return ResolveUpTo(prompt_length, field, value, prompt_length);
}

absl::StatusOr<AttentionChoice> ResolveSelection(const v1::AttentionSelection& selection,
                                                 const ModelConfig& config, int64_t prompt_length) {
  AttentionChoice choice = ResolveHeads(selection, config);
  if (choice.top_k > 0) choice.top_k = std::min(choice.top_k, prompt_length);
  HEED_ASSIGN_OR_RETURN(choice.queries,
                        ResolvePositions("selection.queries", selection.queries(), prompt_length,
                                         AllPositions(prompt_length)));
  return choice;
}

int64_t SelectionBytes(const AttentionChoice& choice, int64_t key_count) {
  // Layers, heads and positions are each far below 2^20, so the product stays in range.
  return choice.head_count() * static_cast<int64_t>(choice.queries.size()) *
         RowBytes(choice.top_k, key_count);
}

absl::Status CheckAttentionBytes(int64_t bytes, int64_t limit) {
  if (bytes <= limit) return absl::OkStatus();
  return MakeError(
      absl::StatusCode::kResourceExhausted, "ATTENTION_BUDGET",
      absl::StrCat("this much attention is ", bytes, " bytes and the limit is ", limit,
                   "; choose fewer layers, heads or queries, or top_k instead of all "
                   "weights"),
      {{"requested_bytes", absl::StrCat(bytes)}, {"limit_bytes", absl::StrCat(limit)}});
}

absl::Status CheckRowBytes(const AttentionChoice& choice, int64_t key_count) {
  return CheckAttentionBytes(RowBytes(choice.top_k, key_count), kMaxTileBytes);
}

void FillHeader(const ServedModel& model, const ResolvedPrompt& prompt,
                const AttentionChoice& choice, v1::AttentionHeader* out) {
  FillIdentity(model, out->mutable_model());
  FillPromptInfo(prompt, model, out->mutable_prompt());
  out->mutable_layers()->Assign(choice.layers.begin(), choice.layers.end());
  out->mutable_heads()->Assign(choice.heads.begin(), choice.heads.end());
  out->mutable_queries()->Assign(choice.queries.begin(), choice.queries.end());
  out->set_key_count(prompt.size());
  out->set_causal(model.model->config().causal);
  out->set_total_bytes(SelectionBytes(choice, prompt.size()));
  out->set_stage(v1::ATTENTION_STAGE_SOFTMAX);
}

void FillTile(const AttentionTile& tile, v1::AttentionTile* out) {
  out->set_layer(tile.layer());
  out->set_head(tile.head());
  out->mutable_queries()->Assign(tile.queries().begin(), tile.queries().end());
  if (!tile.is_top_k()) {
    FillTensor(tile.weights(), {tile.rows(), tile.columns()}, out->mutable_weights());
    return;
  }
  v1::TopKWeights* const top_k = out->mutable_top_k();
  top_k->set_k(static_cast<int32_t>(tile.columns()));
  top_k->mutable_keys()->Assign(tile.keys().begin(), tile.keys().end());
  FillTensor(tile.weights(), {tile.rows(), tile.columns()}, top_k->mutable_weights());
  FillTensor(tile.dropped_mass(), {tile.rows()}, top_k->mutable_dropped_mass());
}

}  // namespace heed
