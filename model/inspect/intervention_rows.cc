// The part of the builder that looks at attention rows: what they are given, and which of them an
// edit makes a difference to.
#include <algorithm>
#include <cmath>
#include <utility>

#include "absl/strings/str_cat.h"
#include "model/inspect/intervention_builder.h"

namespace heed {

void InterventionBuilder::AddAttentionEdit(const Intervention& intervention, const Place& place) {
  auto edit = std::make_shared<AttentionEdit>();
  edit->heads.resize(config_.n_heads);
  for (int head : place.heads) edit->heads[head] = true;
  edit->queries = place.positions;
  edit->keys = place.keys;
  const auto& op = intervention.edit;
  if (const auto* scale = std::get_if<ScaleScores>(&op)) edit->op = *scale;
  if (const auto* add = std::get_if<AddToScores>(&op)) edit->op = *add;
  if (const auto* cut = std::get_if<KnockOut>(&op)) edit->op = *cut;
  if (const auto* preset = std::get_if<WeightPreset>(&op)) edit->op = *preset;
  if (const auto* mask = std::get_if<ReplaceMask>(&op)) {
    edit->op = mask->causal ? AttentionMask::kCausal : AttentionMask::kBidirectional;
  }
  if (const auto* set = std::get_if<SetWeights>(&op)) {
    std::optional<AttentionEdit::Weights> weights = ReadWeights(*set);
    if (!weights) return;
    edit->op = *weights;
    AddPendingWeights(*weights, place.layers, edit);
  }
  if (std::holds_alternative<AttentionMask>(edit->op)) mask_edit_ = edit_;
  for (int layer : place.layers) set_->attention_[layer].edits.push_back(edit);
}

void InterventionBuilder::AddPendingWeights(const AttentionEdit::Weights& set,
                                            std::vector<int> layers,
                                            std::shared_ptr<const AttentionEdit> edit) {
  const auto& weights = set.weights;
  const auto is_positive = [](float weight) { return weight > 0; };
  const auto first = std::find_if(weights.begin(), weights.end(), is_positive);
  const auto last = std::find_if(weights.rbegin(), weights.rend(), is_positive);
  weights_.push_back({absl::StrCat(edit_, ".weights"), std::move(layers), std::move(edit),
                      static_cast<int64_t>(weights.size()), first - weights.begin(),
                      weights.rend() - last - 1});
}

std::optional<AttentionEdit::Weights> InterventionBuilder::ReadWeights(const SetWeights& set) {
  const std::string field = absl::StrCat(edit_, ".weights");
  double sum = 0;
  for (size_t i = 0; i < set.weights.size(); ++i) {
    if (std::isfinite(set.weights[i]) && set.weights[i] >= 0) {
      sum += set.weights[i];
      continue;
    }
    errors_.Violation(absl::StrCat(field, "[", i, "]"),
                      absl::StrCat("is ", set.weights[i], "; must be finite and at least 0"));
    return std::nullopt;
  }
  if (set.renormalize ? !(sum > 0 && std::isfinite(sum))
                      : std::abs(sum - 1) > kWeightSumTolerance) {
    errors_.Violation(field,
                      absl::StrCat("sum to ", sum, "; must sum to ",
                                   set.renormalize ? "more than 0" : "1, or set renormalize"));
    return std::nullopt;
  }
  AttentionEdit::Weights weights;
  for (double weight : set.weights) {
    weights.weights.push_back(static_cast<float>(set.renormalize ? weight / sum : weight));
  }
  return weights;
}

void InterventionBuilder::FinishAttention(int layer) {
  InterventionSet::LayerAttention& edited = set_->attention_[layer];
  if (edited.edits.empty()) return;
  edited.masks = MasksOf(layer, /*base_only=*/false);
  TouchedRows touched{std::vector<bool>(config_.n_heads), std::vector<bool>(set_->positions())};
  for (size_t i = 0; i < edited.edits.size(); ++i) {
    NoteEdit(*edited.edits[i], layer, /*is_base=*/i < edited.base_edits, &touched);
  }
  NoteMasks(layer, &touched);
  for (int head = 0; head < config_.n_heads; ++head) {
    if (touched.heads[head]) edited.heads.push_back(head);
  }
  for (int64_t query = 0; query < set_->positions(); ++query) {
    if (touched.queries[query]) edited.queries.push_back(query);
  }
}

std::vector<AttentionMask> InterventionBuilder::MasksOf(int layer, bool base_only) const {
  std::vector<AttentionMask> masks;
  const InterventionSet::LayerAttention& edited = set_->attention_[layer];
  const size_t count = base_only ? edited.base_edits : edited.edits.size();
  for (const auto& edit : absl::MakeConstSpan(edited.edits).subspan(0, count)) {
    const auto* const mask = std::get_if<AttentionMask>(&edit->op);
    if (mask == nullptr) continue;
    masks.resize(config_.n_heads * set_->positions(), AttentionMask::kOwn);
    for (int head = 0; head < config_.n_heads; ++head) {
      for (int64_t query = 0; query < set_->positions(); ++query) {
        if (edit->Touches(head, query)) masks[head * set_->positions() + query] = *mask;
      }
    }
  }
  return masks;
}

void InterventionBuilder::NoteEdit(const AttentionEdit& edit, int layer, bool is_base,
                                   TouchedRows* touched) {
  if (std::holds_alternative<AttentionMask>(edit.op)) return;
  bool any = false;
  for (int64_t query = 0; query < set_->positions(); ++query) {
    if (!edit.queries.Contains(query) || !MayMeetKeys(edit, layer, query)) continue;
    if (!any && !is_base) Touch(layer, query);
    any = touched->queries[query] = true;
  }
  for (int head = 0; any && head < config_.n_heads; ++head) {
    if (edit.heads[head]) touched->heads[head] = true;
  }
}

bool InterventionBuilder::MayMeetKeys(const AttentionEdit& edit, int layer, int64_t query) const {
  if (edit.keys.all) return true;
  const auto meets = [&](AttentionMask mask) {
    const RowKeys keys = set_->KeysOf(layer, mask, query);
    return edit.keys.Meets(keys.begin, keys.end);
  };
  return meets(AttentionMask::kOwn) ||
         (!set_->attention_[layer].masks.empty() && meets(AttentionMask::kBidirectional));
}

void InterventionBuilder::NoteMasks(int layer, TouchedRows* touched) {
  const auto& masks = set_->attention_[layer].masks;
  if (masks.empty()) return;
  const std::vector<AttentionMask> base = MasksOf(layer, /*base_only=*/true);
  const auto sees = [&](AttentionMask mask, int64_t query) {
    const RowKeys keys = set_->KeysOf(layer, mask, query);
    return std::pair(keys.begin, keys.end);
  };
  for (int head = 0; head < config_.n_heads; ++head) {
    for (int64_t query = 0; query < set_->positions(); ++query) {
      const int64_t row = head * set_->positions() + query;
      const auto own = sees(AttentionMask::kOwn, query), seen = sees(masks[row], query);
      const auto by_base = base.empty() ? own : sees(base[row], query);
      if (seen != by_base) Touch(layer, query);
      if (seen == own) continue;
      touched->heads[head] = touched->queries[query] = true;
      set_->counterfactual_mask_ = true;
      if (seen.second <= own.second) continue;
      set_->needs_whole_prompt_ = true;
      whole_prompt_edit_ = mask_edit_;
    }
  }
}

void InterventionBuilder::CheckWeights() {
  for (const PendingWeights& pending : weights_) {
    for (int layer : pending.layers) {
      // Rows of heads with the same mask see the same.
      const int heads = set_->attention_[layer].masks.empty() ? 1 : config_.n_heads;
      for (int64_t query = 0; query < set_->positions(); ++query) {
        for (int head = 0; head < heads; ++head) {
          const bool is_set =
              pending.edit->queries.Contains(query) && (heads == 1 || pending.edit->heads[head]);
          if (is_set && !CheckRow(pending, layer, head, query)) return;
        }
      }
    }
  }
}

bool InterventionBuilder::CheckRow(const PendingWeights& pending, int layer, int head,
                                   int64_t query) {
  const RowKeys keys = set_->KeysOf(layer, set_->MaskOf(layer, head, query), query);
  if (pending.given != run_.prompt_tokens && pending.given != keys.end) {
    std::string message = absl::StrCat("are ", pending.given, "; must be one for each of the ",
                                       "prompt's ", CountTokens(run_.prompt_tokens));
    if (keys.end != run_.prompt_tokens) {
      absl::StrAppend(&message, ", or one for each of the ", keys.end,
                      " up to the last that position ", query, " sees");
    }
    errors_.Violation(pending.field, message);
    return false;
  }
  const auto& weights = std::get<AttentionEdit::Weights>(pending.edit->op).weights;
  for (int64_t j : {pending.first, pending.last}) {
    if (j >= keys.begin && j < keys.end) continue;
    errors_.Violation(absl::StrCat(pending.field, "[", j, "]"),
                      absl::StrCat("is ", weights[j], "; must be 0, because position ", query,
                                   " does not see that key in layer ", layer));
    return false;
  }
  return true;
}

}  // namespace heed
