#include "server/convert/generate.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "model/base/error.h"
#include "model/base/status_macros.h"
#include "model/inspect/activations.h"
#include "server/convert/attention.h"
#include "server/convert/model.h"
#include "server/convert/predict.h"
#include "server/convert/reply_size.h"
#include "server/convert/trace.h"

namespace heed {
namespace {

constexpr int64_t kDefaultMaxTokens = 128;
constexpr int64_t kMaxLogitBiases = 1024;
constexpr int64_t kMaxStopTexts = 16;
constexpr size_t kMaxStopTextBytes = 256;
constexpr int64_t kMaxStopIds = 1024;
constexpr float kMaxLogitBias = 100;

bool Forbids(float bias) {
  return bias == -std::numeric_limits<float>::infinity();
}

void CheckLogitBias(const v1::SamplingParameters& sampling, const ServedModel& model,
                    Violations* violations) {
  const int64_t vocab_size = model.model->config().vocab_size;
  if (!CheckCount("sampling.logit_bias", static_cast<int64_t>(sampling.logit_bias().size()),
                  kMaxLogitBiases, violations)) {
    return;
  }
  int64_t forbidden = 0;
  for (const auto& [id, bias] : sampling.logit_bias()) {
    const std::string field = Element("sampling.logit_bias", id);
    if (id < 0 || id >= vocab_size) {
      violations->Add(field,
                      absl::StrCat("is for id ", id, "; the vocabulary is [0, ", vocab_size, ")"));
    } else if (Forbids(bias)) {
      forbidden += id < DrawableTokens(model) ? 1 : 0;
    } else if (!(std::abs(bias) <= kMaxLogitBias)) {
      violations->Add(field, absl::StrCat("is ", bias, "; must be in [", -kMaxLogitBias, ", ",
                                          kMaxLogitBias, "] or negative infinity"));
    }
  }
  if (forbidden == DrawableTokens(model)) {
    violations->Add("sampling.logit_bias", "forbids every token; leave at least one");
  }
}

void CheckSampling(const v1::SamplingParameters& sampling, const ServedModel& model,
                   Violations* violations) {
  const int64_t vocab_size = model.model->config().vocab_size;
  if (sampling.has_temperature()) {
    CheckInRange("sampling.temperature", sampling.temperature(), 0.0f, 100.0f, violations);
  }
  if (sampling.has_top_k()) {
    CheckInRange<int64_t>("sampling.top_k", sampling.top_k(), 1, vocab_size, violations);
  }
  if (sampling.has_top_p()) {
    CheckAboveUpTo("sampling.top_p", sampling.top_p(), 0.0f, 1.0f, violations);
  }
  if (sampling.has_min_p()) {
    CheckInRange("sampling.min_p", sampling.min_p(), 0.0f, 1.0f, violations);
  }
  if (sampling.has_repetition_penalty()) {
    CheckAboveUpTo("sampling.repetition_penalty", sampling.repetition_penalty(), 0.0f, 10.0f,
                   violations);
  }
  CheckInRange("sampling.presence_penalty", sampling.presence_penalty(), -10.0f, 10.0f, violations);
  CheckInRange("sampling.frequency_penalty", sampling.frequency_penalty(), -10.0f, 10.0f,
               violations);
  CheckLogitBias(sampling, model, violations);
}

void CheckStopTexts(const v1::StoppingParameters& stopping, Violations* violations) {
  if (!CheckCount("stopping.stop_texts", stopping.stop_texts_size(), kMaxStopTexts, violations)) {
    return;
  }
  for (int i = 0; i < stopping.stop_texts_size(); ++i) {
    const std::string field = Element("stopping.stop_texts", i);
    if (stopping.stop_texts(i).empty()) {
      violations->Add(field, "is empty; give 1 to 256 bytes");
    } else {
      CheckText(field, stopping.stop_texts(i), kMaxStopTextBytes, violations);
    }
  }
}

void CheckStopping(const v1::StoppingParameters& stopping, const ServedModel& model,
                   Violations* violations) {
  const ModelConfig& config = model.model->config();
  if (stopping.has_max_tokens()) {
    CheckInRange<int64_t>("stopping.max_tokens", stopping.max_tokens(), 1, config.context_window,
                          violations);
  }
  CheckStopTexts(stopping, violations);
  CheckIds("stopping.stop_ids", stopping.stop_ids(), config.vocab_size, kMaxStopIds, violations);
}

void CheckGenerate(const v1::GenerateRequest& request, const ServedModel& model,
                   const RequestLimits& limits, Violations* violations) {
  const ModelConfig& config = model.model->config();
  CheckPrompt(request.prompt(), model, limits, violations);
  CheckSampling(request.sampling(), model, violations);
  CheckStopping(request.stopping(), model, violations);
  CheckInRange<int64_t>("top_candidates", request.top_candidates(), 0, config.vocab_size,
                        violations);
  CheckSelection("attention", request.attention(), config, violations);
  CheckPlainSelection("attention", request.attention(), violations);
  if (!request.attention().queries().empty()) {
    violations->Add(
        "attention.queries",
        "is set; a generation reports the row that predicted each token, so leave it out");
  }
}

int64_t RandomSeed() {
  std::random_device device;
  const uint64_t high = device();
  return static_cast<int64_t>(high << 32 | device());
}

// Greedy unless a temperature, or a field that makes sense only with one, is set.
SamplingOptions ResolveSampling(const v1::SamplingParameters& sampling,
                                std::optional<int64_t>* seed) {
  const bool draws =
      sampling.has_top_k() || sampling.has_top_p() || sampling.has_min_p() || sampling.has_seed();
  SamplingOptions options;
  options.temperature = sampling.has_temperature() ? sampling.temperature() : draws ? 1.0f : 0.0f;
  if (sampling.has_top_k()) options.top_k = sampling.top_k();
  if (sampling.has_top_p()) options.top_p = sampling.top_p();
  if (sampling.has_min_p()) options.min_p = sampling.min_p();
  if (sampling.has_repetition_penalty()) {
    options.repetition_penalty = sampling.repetition_penalty();
  }
  options.presence_penalty = sampling.presence_penalty();
  options.frequency_penalty = sampling.frequency_penalty();
  options.logit_bias.assign(sampling.logit_bias().begin(), sampling.logit_bias().end());
  std::sort(options.logit_bias.begin(), options.logit_bias.end());
  if (options.temperature > 0) {
    *seed = sampling.has_seed() ? sampling.seed() : RandomSeed();
    options.seed = static_cast<uint64_t>(**seed);
  }
  return options;
}

template <typename List>
std::vector<TokenId> Ascending(const List& ids) {
  std::vector<TokenId> sorted(ids.begin(), ids.end());
  std::sort(sorted.begin(), sorted.end());
  return sorted;
}

GenerateJob ResolveJob(const v1::GenerateRequest& request, const ModelConfig& config,
                       int64_t prompt_length, std::optional<int64_t>* seed) {
  const v1::StoppingParameters& stopping = request.stopping();
  const int64_t left = config.context_for(prompt_length) - prompt_length;
  const int64_t wanted = stopping.has_max_tokens() ? stopping.max_tokens() : kDefaultMaxTokens;
  GenerateJob job;
  job.sampling = ResolveSampling(request.sampling(), seed);
  job.max_tokens = std::min(wanted, left);
  job.ends_at_context = wanted > left;
  job.stop_texts.assign(stopping.stop_texts().begin(), stopping.stop_texts().end());
  job.stop_ids = Ascending(stopping.stop_ids());
  if (!stopping.ignore_end_of_text()) job.end_of_text_ids = Ascending(config.eos_ids);
  job.alternatives = request.top_candidates();
  if (request.has_attention()) job.attention = ResolveHeads(request.attention(), config);
  return job;
}

// The rows in one message, and of the whole generation, must be within their budgets.
absl::Status CheckAttentionOfSteps(const AttentionChoice& choice, int64_t prompt_length,
                                   int64_t max_tokens, const RequestLimits& limits) {
  const int64_t longest = RowBytes(choice.top_k, prompt_length + max_tokens - 1);
  HEED_RETURN_IF_ERROR(CheckAttentionBytes(longest, kMaxTensorBytes));
  HEED_RETURN_IF_ERROR(CheckAttentionBytes(longest * choice.head_count(), kMaxReplyTensorBytes));
  return CheckAttentionBytes(AttentionBytes(choice, prompt_length, max_tokens),
                             limits.max_attention_bytes);
}

v1::FinishReason FinishReasonOf(StopReason reason) {
  switch (reason) {
    case StopReason::kLength:
      return v1::FINISH_REASON_LENGTH;
    case StopReason::kContext:
      return v1::FINISH_REASON_CONTEXT;
    case StopReason::kEndOfText:
      return v1::FINISH_REASON_END_OF_TEXT;
    case StopReason::kStopText:
      return v1::FINISH_REASON_STOP_TEXT;
    case StopReason::kStopId:
      return v1::FINISH_REASON_STOP_ID;
  }
  return v1::FINISH_REASON_UNSPECIFIED;
}

absl::Status NotGenerative(const ServedModel& model) {
  return MakeError(
      absl::StatusCode::kFailedPrecondition, "NOT_GENERATIVE",
      absl::StrCat("model \"", model.name,
                   "\" is bidirectional: it fills in masked tokens and cannot continue "
                   "a text; ask Predict instead"),
      {{"model", model.name}});
}

// Tokens to keep free for the answer when the prompt may be cut; otherwise one.
int64_t RoomFor(const v1::GenerateRequest& request) {
  const v1::Truncation truncation = request.prompt().truncation();
  const bool cuts = truncation == v1::TRUNCATION_LEFT || truncation == v1::TRUNCATION_RIGHT;
  return cuts && request.stopping().has_max_tokens() ? request.stopping().max_tokens() : 1;
}

}  // namespace

int64_t AttentionBytes(const AttentionChoice& choice, int64_t prompt_length, int64_t max_tokens) {
  int64_t total = 0;
  for (int64_t i = 0; i < max_tokens; ++i) {
    total += choice.head_count() * RowBytes(choice.top_k, prompt_length + i);
  }
  return total;
}

absl::StatusOr<ResolvedGenerate> ConvertGenerate(const v1::GenerateRequest& request,
                                                 const ServedModel& model,
                                                 const RequestLimits& limits, TraceStore* traces) {
  const ModelConfig& config = model.model->config();
  if (!config.causal) return NotGenerative(model);
  Violations violations;
  CheckGenerate(request, model, limits, &violations);
  ResolvedGenerate resolved;
  if (traces != nullptr) {
    resolved.trace_ttl = ReadTtl("keep_trace.ttl", request.keep_trace().has_ttl(),
                                 request.keep_trace().ttl(), traces->options(), &violations);
  }
  resolved.sites = SitesToKeep("keep_trace", request.keep_trace(), config, &violations);
  resolved.keep_trace = request.has_keep_trace();
  HEED_ASSIGN_OR_RETURN(
      const std::vector<Intervention> interventions,
      ReadInterventions("interventions", request.interventions(), config, traces, &violations,
                        resolved.keep_trace ? &resolved.source_bytes : nullptr));
  HEED_RETURN_IF_ERROR(violations.ToStatus());
  if (!request.stopping().stop_texts().empty()) {
    HEED_RETURN_IF_ERROR(RequireTokenizer(model).status());
  }

  HEED_ASSIGN_OR_RETURN(resolved.prompt, ResolvePrompt(request.prompt(), model, RoomFor(request)));
  const int64_t prompt_length = resolved.prompt.size();
  resolved.job = ResolveJob(request, config, prompt_length, &resolved.seed);
  HEED_RETURN_IF_ERROR(CheckReplyBytes(resolved.job.alternatives * kMinCandidateBytes));
  if (resolved.job.attention.has_value()) {
    HEED_RETURN_IF_ERROR(CheckAttentionOfSteps(*resolved.job.attention, prompt_length,
                                               resolved.job.max_tokens, limits));
  }
  resolved.interventions = interventions;
  HEED_ASSIGN_OR_RETURN(resolved.edits,
                        MakeInterventionSet("interventions", interventions, config,
                                            {.prompt_tokens = prompt_length,
                                             .appended_tokens = resolved.job.max_tokens - 1}));
  resolved.sites = SitesUnderEdits(config, resolved.sites, resolved.edits.get());
  return resolved;
}

void FillGenerateStart(const ResolvedGenerate& resolved, const ServedModel& model,
                       v1::GenerateStart* out) {
  FillIdentity(model, out->mutable_model());
  FillPromptInfo(resolved.prompt, model, out->mutable_prompt());
  if (resolved.seed.has_value()) out->set_seed(*resolved.seed);
  FillEditProvenance(model, static_cast<int>(resolved.interventions.size()), resolved.edits.get(),
                     out->mutable_provenance());
}

void FillGeneratedToken(const TokenEvent& event, const ServedModel& model,
                        v1::GeneratedToken* out) {
  const Tokenizer* const tokenizer = model.tokenizer.get();
  out->set_position(event.position);
  FillToken(tokenizer, event.token.id, ByteRange{}, out->mutable_token());
  out->set_probability(event.token.probability);
  out->set_log_probability(event.token.log_probability);
  out->set_rank(event.token.rank);
  out->set_entropy(event.entropy);
  for (const ScoredToken& alternative : event.alternatives) {
    FillCandidate(alternative, tokenizer, out->add_alternatives());
  }
  out->set_text_delta(event.text_delta);
  for (const AttentionTile& tile : event.attention) FillTile(tile, out->add_attention());
}

void FillGenerateEnd(const EndEvent& event, absl::Duration tokenize_time, v1::GenerateEnd* out) {
  out->set_finish_reason(FinishReasonOf(event.reason));
  out->set_stop_text(event.stop_text);
  if (event.stop_id.has_value()) out->set_stop_id(*event.stop_id);
  out->set_text_delta(event.text_delta);
  out->set_generated_token_count(event.generated_tokens);
  FillTimings(tokenize_time, event.timings, out->mutable_timings());
}

}  // namespace heed
