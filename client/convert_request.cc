#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "client/convert.h"

namespace heed {
inline namespace client {
namespace {

v1::Truncation ToWire(Truncation truncation) {
  switch (truncation) {
    case Truncation::kLeft:
      return v1::TRUNCATION_LEFT;
    case Truncation::kRight:
      return v1::TRUNCATION_RIGHT;
    case Truncation::kRefuse:
      break;
  }
  return v1::TRUNCATION_REFUSE;
}

v1::Pooling ToWire(Pooling pooling) {
  switch (pooling) {
    case Pooling::kMean:
      return v1::POOLING_MEAN;
    case Pooling::kCls:
      return v1::POOLING_CLS;
    case Pooling::kLast:
      return v1::POOLING_LAST;
    case Pooling::kDefault:
      break;
  }
  return v1::POOLING_UNSPECIFIED;
}

// How a prompt is to be read, which all requests with prompts say in the same fields.
template <typename Request>
void FillReading(const Request& request, v1::Prompt& prompt) {
  if (request.add_special_tokens) prompt.set_add_special_tokens(*request.add_special_tokens);
  if (request.parse_special_tokens) prompt.set_parse_special_tokens(*request.parse_special_tokens);
  prompt.set_truncation(ToWire(request.truncation));
}

// The part that requests with a prompt have in common.
template <typename Request>
absl::Status FillPrompt(const Request& request, v1::Prompt& prompt) {
  if (!request.text.empty() && !request.token_ids.empty()) {
    return absl::InvalidArgumentError("both text and token_ids are set; a prompt is one of them");
  }
  if (request.token_ids.empty()) {
    prompt.set_text(request.text);
  } else {
    prompt.mutable_tokens()->mutable_ids()->Add(request.token_ids.begin(), request.token_ids.end());
  }
  FillReading(request, prompt);
  return absl::OkStatus();
}

absl::Status FillCandidates(const PredictRequest& request, v1::PredictRequest& wire) {
  const int chosen = (request.top_k ? 1 : 0) + (request.candidate_ids.empty() ? 0 : 1) +
                     (request.candidate_texts.empty() ? 0 : 1) +
                     (request.full_distribution ? 1 : 0);
  if (chosen > 1) {
    return absl::InvalidArgumentError(
        "more than one of top_k, candidate_ids, candidate_texts and full_distribution is set");
  }
  if (request.top_k) wire.mutable_candidates()->set_top_k(*request.top_k);
  if (request.full_distribution) wire.mutable_candidates()->set_full(true);
  for (int32_t id : request.candidate_ids) wire.mutable_candidates()->mutable_ids()->add_ids(id);
  for (const std::string& text : request.candidate_texts) {
    wire.mutable_candidates()->mutable_texts()->add_texts(text);
  }
  return absl::OkStatus();
}

void FillSampling(const GenerateRequest& request, v1::SamplingParameters& sampling) {
  if (request.temperature) sampling.set_temperature(*request.temperature);
  if (request.top_k) sampling.set_top_k(*request.top_k);
  if (request.top_p) sampling.set_top_p(*request.top_p);
  if (request.min_p) sampling.set_min_p(*request.min_p);
  if (request.repetition_penalty) sampling.set_repetition_penalty(*request.repetition_penalty);
  if (request.presence_penalty) sampling.set_presence_penalty(*request.presence_penalty);
  if (request.frequency_penalty) sampling.set_frequency_penalty(*request.frequency_penalty);
  if (request.seed) sampling.set_seed(*request.seed);
  sampling.mutable_logit_bias()->insert(request.logit_bias.begin(), request.logit_bias.end());
}

void FillStopping(const GenerateRequest& request, v1::StoppingParameters& stopping) {
  if (request.max_tokens) stopping.set_max_tokens(*request.max_tokens);
  for (const std::string& text : request.stop_texts) stopping.add_stop_texts(text);
  stopping.mutable_stop_ids()->Add(request.stop_ids.begin(), request.stop_ids.end());
  stopping.set_ignore_end_of_text(request.ignore_end_of_text);
}

// `Selection` is AttentionSelection or AttentionRequest, which has the same fields.
template <typename Selection>
void FillSelection(const Selection& selection, v1::AttentionSelection& wire) {
  wire.mutable_layers()->Add(selection.layers.begin(), selection.layers.end());
  wire.mutable_heads()->Add(selection.heads.begin(), selection.heads.end());
  wire.mutable_queries()->Add(selection.queries.begin(), selection.queries.end());
  if (selection.top_k == 0) {
    wire.mutable_dense();
  } else {
    wire.mutable_top_k()->set_k(selection.top_k);
  }
}

}  // namespace

v1::TokenizeRequest ToWire(const TokenizeRequest& request) {
  v1::TokenizeRequest wire;
  wire.set_model(request.model);
  wire.set_text(request.text);
  if (request.add_special_tokens) wire.set_add_special_tokens(*request.add_special_tokens);
  if (request.parse_special_tokens) wire.set_parse_special_tokens(*request.parse_special_tokens);
  return wire;
}

v1::DetokenizeRequest ToWire(const DetokenizeRequest& request) {
  v1::DetokenizeRequest wire;
  wire.set_model(request.model);
  wire.mutable_ids()->Add(request.ids.begin(), request.ids.end());
  wire.set_skip_special_tokens(request.skip_special_tokens);
  return wire;
}

absl::StatusOr<v1::PredictRequest> ToWire(const PredictRequest& request) {
  v1::PredictRequest wire;
  wire.set_model(request.model);
  if (absl::Status status = FillPrompt(request, *wire.mutable_prompt()); !status.ok()) {
    return status;
  }
  if (request.all_positions && !request.positions.empty()) {
    return absl::InvalidArgumentError("both positions and all_positions are set");
  }
  if (request.all_positions) wire.mutable_positions()->set_all(true);
  for (int64_t position : request.positions) {
    wire.mutable_positions()->mutable_list()->add_positions(position);
  }
  if (absl::Status status = FillCandidates(request, wire); !status.ok()) return status;
  return wire;
}

absl::StatusOr<v1::GenerateRequest> ToWire(const GenerateRequest& request) {
  v1::GenerateRequest wire;
  wire.set_model(request.model);
  if (absl::Status status = FillPrompt(request, *wire.mutable_prompt()); !status.ok()) {
    return status;
  }
  FillSampling(request, *wire.mutable_sampling());
  FillStopping(request, *wire.mutable_stopping());
  wire.set_top_candidates(request.top_candidates);
  if (request.attention) FillSelection(*request.attention, *wire.mutable_attention());
  return wire;
}

absl::StatusOr<v1::GetAttentionRequest> ToWire(const AttentionRequest& request) {
  v1::GetAttentionRequest wire;
  wire.set_model(request.model);
  if (absl::Status status = FillPrompt(request, *wire.mutable_prompt()); !status.ok()) {
    return status;
  }
  FillSelection(request, *wire.mutable_selection());
  return wire;
}

absl::StatusOr<v1::EmbedRequest> ToWire(const EmbedRequest& request) {
  if (!request.texts.empty() && !request.token_ids.empty()) {
    return absl::InvalidArgumentError("both texts and token_ids are set; give one of them");
  }
  v1::EmbedRequest wire;
  wire.set_model(request.model);
  for (const std::string& text : request.texts) wire.add_prompts()->set_text(text);
  for (const std::vector<int32_t>& ids : request.token_ids) {
    wire.add_prompts()->mutable_tokens()->mutable_ids()->Add(ids.begin(), ids.end());
  }
  for (v1::Prompt& prompt : *wire.mutable_prompts()) FillReading(request, prompt);
  wire.set_pooling(ToWire(request.pooling));
  if (request.normalize) wire.set_normalize(*request.normalize);
  if (request.dimensions) wire.set_dimensions(*request.dimensions);
  wire.set_token_vectors(request.token_vectors);
  return wire;
}

}  // namespace client
}  // namespace heed
