#include "server/convert/predict.h"

#include <algorithm>
#include <numeric>
#include <optional>
#include <string>
#include <utility>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "model/base/error.h"
#include "model/base/status_macros.h"
#include "model/base/utf8.h"
#include "server/convert/attention.h"
#include "server/convert/model.h"
#include "server/convert/reply_size.h"
#include "server/convert/trace.h"

namespace heed {
namespace {

constexpr int64_t kDefaultTopK = 10;
constexpr int64_t kMaxTexts = 1024;
constexpr size_t kMaxTextBytes = 1024;

void CheckPositions(const v1::Positions& positions, Violations* violations) {
  if (positions.which_case() == v1::Positions::kAll && !positions.all()) {
    violations->Add("positions.all", "is false; set it to true or leave it out");
  }
  if (positions.which_case() != v1::Positions::kList) return;
  const int64_t count = positions.list().positions_size();
  if (count == 0) violations->Add("positions.list.positions", "is empty; give at least one");
  CheckCount("positions.list.positions", count, kMaxListed, violations);
}

std::optional<TokenId> OnlyToken(const Tokenizer& tokenizer, absl::string_view text) {
  EncodeOptions options;
  options.add_special_tokens = false;
  const absl::StatusOr<TokenizedText> encoded = tokenizer.Encode(text, options);
  if (!encoded.ok() || encoded->ids.size() != 1) return std::nullopt;
  // The unknown token stands for any word; special tokens are found by their own spelling.
  if (tokenizer.IsSpecial(encoded->ids[0])) return std::nullopt;
  return encoded->ids[0];
}

// The token that `text` is: as it stands, behind a space, or in the vocabulary's own spelling.
std::optional<TokenId> FindCandidate(const Tokenizer& tokenizer, const std::string& text) {
  if (text.empty() || text.size() > kMaxTextBytes) return std::nullopt;
  if (const auto id = OnlyToken(tokenizer, text)) return id;
  if (const auto id = OnlyToken(tokenizer, absl::StrCat(" ", text))) return id;
  return tokenizer.FindPiece(text);
}

// A token as a text has it; of one that is a part of a character, its bytes.
std::string QuotedToken(const Tokenizer& tokenizer, TokenId id) {
  const absl::string_view bytes = tokenizer.TokenBytes(id);
  std::string text = ReplaceInvalidUtf8(bytes.empty() ? tokenizer.Piece(id) : bytes);
  if (!bytes.empty() && text != bytes) text = absl::CHexEscape(bytes);
  return absl::StrCat("\"", text, "\"");
}

std::string WhyNoCandidate(const Tokenizer& tokenizer, const std::string& text) {
  if (text.empty()) return "is empty; give a text that is one token";
  if (text.size() > kMaxTextBytes) {
    return absl::StrCat("has ", text.size(), " bytes; at most ", kMaxTextBytes);
  }
  const absl::StatusOr<TokenizedText> encoded = tokenizer.Encode(text, {false, true});
  constexpr size_t kShown = 8;
  const size_t count = encoded.ok() ? encoded->ids.size() : 0;
  std::string pieces;
  for (size_t i = 0; i < std::min(count, kShown); ++i) {
    absl::StrAppend(&pieces, i == 0 ? "" : ", ", QuotedToken(tokenizer, encoded->ids[i]));
  }
  if (count > kShown) pieces += ", …";
  return absl::StrCat("\"", text.substr(0, 64), "\" is not one token of this model",
                      pieces.empty() ? "" : absl::StrCat(" but several: ", pieces));
}

std::vector<TokenId> ResolveTexts(const v1::CandidateTexts& texts, const Tokenizer& tokenizer,
                                  Violations* violations) {
  std::vector<TokenId> ids;
  for (int i = 0; i < texts.texts_size(); ++i) {
    const std::optional<TokenId> id = FindCandidate(tokenizer, texts.texts(i));
    if (id.has_value()) {
      ids.push_back(*id);
    } else {
      violations->Add(Element("candidates.texts.texts", i),
                      WhyNoCandidate(tokenizer, texts.texts(i)));
    }
  }
  return ids;
}

// FAILED_PRECONDITION for texts without a tokenizer; everything else goes to `violations`.
absl::StatusOr<CandidateChoice> ResolveCandidates(const v1::CandidateSelector& selector,
                                                  const ServedModel& model,
                                                  Violations* violations) {
  using Kind = CandidateChoice::Kind;
  const int64_t vocab_size = model.model->config().vocab_size;
  CandidateChoice choice;
  choice.top_k = std::min(kDefaultTopK, vocab_size);
  switch (selector.which_case()) {
    case v1::CandidateSelector::kTopK:
      CheckInRange<int64_t>("candidates.top_k", selector.top_k(), 1, vocab_size, violations);
      choice.top_k = selector.top_k();
      break;
    case v1::CandidateSelector::kIds:
      CheckIds("candidates.ids.ids", selector.ids().ids(), vocab_size, kMaxListed, violations);
      if (selector.ids().ids().empty()) {
        violations->Add("candidates.ids.ids", "is empty; give at least one");
      }
      choice.kind = Kind::kIds;
      choice.ids.assign(selector.ids().ids().begin(), selector.ids().ids().end());
      break;
    case v1::CandidateSelector::kTexts: {
      HEED_ASSIGN_OR_RETURN(const Tokenizer* tokenizer, RequireTokenizer(model));
      choice.kind = Kind::kIds;
      if (selector.texts().texts().empty()) {
        violations->Add("candidates.texts.texts", "is empty; give at least one");
      }
      if (CheckCount("candidates.texts.texts", selector.texts().texts_size(), kMaxTexts,
                     violations)) {
        choice.ids = ResolveTexts(selector.texts(), *tokenizer, violations);
      }
      break;
    }
    case v1::CandidateSelector::kFull:
      if (!selector.full()) {
        violations->Add("candidates.full", "is false; set it to true or leave it out");
      }
      choice.kind = Kind::kFull;
      break;
    case v1::CandidateSelector::WHICH_NOT_SET:
      break;
  }
  return choice;
}

absl::StatusOr<std::vector<int64_t>> MaskPositions(const ServedModel& model,
                                                   const ResolvedPrompt& prompt) {
  std::optional<TokenId> mask;
  if (model.tokenizer != nullptr) mask = model.tokenizer->mask_id();
  std::vector<int64_t> positions;
  for (int64_t i = 0; mask.has_value() && i < prompt.size(); ++i) {
    if (prompt.ids[i] == *mask) positions.push_back(i);
  }
  if (!positions.empty()) return positions;
  std::string description = "holds no mask token, and no positions were given; ";
  if (mask.has_value()) {
    absl::StrAppend(&description, "put ", model.tokenizer->Piece(*mask),
                    " where a token is to be predicted, or set positions");
  } else {
    absl::StrAppend(&description, "set positions");
  }
  return InvalidFields({{"prompt", description}});
}

absl::StatusOr<std::vector<int64_t>> ResolvePositions(const v1::Positions& positions,
                                                      const ServedModel& model,
                                                      const ResolvedPrompt& prompt) {
  std::vector<int64_t> resolved;
  switch (positions.which_case()) {
    case v1::Positions::kAll:
      resolved.resize(prompt.size());
      std::iota(resolved.begin(), resolved.end(), int64_t{0});
      return resolved;
    case v1::Positions::kList:
      for (int i = 0; i < positions.list().positions_size(); ++i) {
        HEED_ASSIGN_OR_RETURN(const int64_t position,
                              ResolvePosition(Element("positions.list.positions", i),
                                              positions.list().positions(i), prompt.size()));
        resolved.push_back(position);
      }
      return resolved;
    case v1::Positions::WHICH_NOT_SET:
      break;
  }
  if (!model.model->config().causal) return MaskPositions(model, prompt);
  return std::vector<int64_t>{prompt.size() - 1};
}

absl::Status CheckDistributionBytes(int64_t vocab_size, int64_t n_positions) {
  const int64_t row_bytes = vocab_size * static_cast<int64_t>(sizeof(float));
  const bool row_too_large = row_bytes > kMaxTensorBytes;
  const int64_t bytes = row_too_large ? row_bytes : row_bytes * n_positions;
  const int64_t limit = row_too_large ? kMaxTensorBytes : kMaxReplyTensorBytes;
  if (bytes <= limit) return absl::OkStatus();
  return MakeError(
      absl::StatusCode::kResourceExhausted, "DISTRIBUTION_BUDGET",
      absl::StrCat("candidates.full asks for ", bytes, " bytes and the limit is ", limit,
                   row_too_large ? " for one distribution; ask for top_k or ids instead"
                                 : "; ask for fewer positions in one call"),
      {{"requested_bytes", absl::StrCat(bytes)}, {"limit_bytes", absl::StrCat(limit)}});
}

// Refuses, before anything is computed, what could certainly not be sent.
absl::Status CheckAnswerSize(const ResolvedPredict& resolved, int64_t vocab_size) {
  using Kind = CandidateChoice::Kind;
  const int64_t n_positions = static_cast<int64_t>(resolved.positions.size());
  const CandidateChoice& choice = resolved.candidates;
  if (choice.kind == Kind::kFull) return CheckDistributionBytes(vocab_size, n_positions);
  const int64_t n_candidates =
      choice.kind == Kind::kTopK ? choice.top_k : static_cast<int64_t>(choice.ids.size());
  return CheckReplyBytes(n_positions * n_candidates * kMinCandidateBytes);
}

void FillPosition(const PredictedPosition& predicted, const Tokenizer* tokenizer,
                  v1::PositionPrediction* out) {
  out->set_position(predicted.position);
  for (const ScoredToken& candidate : predicted.candidates) {
    FillCandidate(candidate, tokenizer, out->add_candidates());
  }
  if (!predicted.log_probabilities.empty()) {
    FillTensor(predicted.log_probabilities,
               {static_cast<int64_t>(predicted.log_probabilities.size())},
               out->mutable_log_probabilities());
  }
  out->set_entropy(predicted.entropy);
  if (predicted.actual.has_value()) {
    FillCandidate(*predicted.actual, tokenizer, out->mutable_actual());
  }
}

// The base models that sentence encoders are made of come without the part that knows words.
absl::Status NotPredictive(const ServedModel& model) {
  return MakeError(absl::StatusCode::kFailedPrecondition, "NOT_PREDICTIVE",
                   absl::StrCat("model \"", model.name,
                                "\" has no language-model head, so it has no words to predict; ask "
                                "for embeddings or attention instead"),
                   {{"model", model.name}});
}

}  // namespace

std::vector<int64_t> ResolvedPredict::DistinctPositions() const {
  std::vector<int64_t> distinct = positions;
  std::sort(distinct.begin(), distinct.end());
  distinct.erase(std::unique(distinct.begin(), distinct.end()), distinct.end());
  return distinct;
}

absl::StatusOr<ResolvedPredict> ConvertPredict(const v1::PredictRequest& request,
                                               const ServedModel& model,
                                               const RequestLimits& limits, TraceStore* traces) {
  if (!model.model->config().has_head) return NotPredictive(model);
  Violations violations;
  CheckPrompt(request.prompt(), model, limits, &violations);
  CheckPositions(request.positions(), &violations);
  HEED_ASSIGN_OR_RETURN(CandidateChoice candidates,
                        ResolveCandidates(request.candidates(), model, &violations));
  const ModelConfig& config = model.model->config();
  HEED_ASSIGN_OR_RETURN(
      const std::vector<Intervention> interventions,
      ReadInterventions("interventions", request.interventions(), config, traces, &violations));
  HEED_RETURN_IF_ERROR(violations.ToStatus());

  ResolvedPredict resolved;
  resolved.candidates = std::move(candidates);
  HEED_ASSIGN_OR_RETURN(resolved.prompt, ResolvePrompt(request.prompt(), model, /*room=*/0));
  HEED_ASSIGN_OR_RETURN(resolved.positions,
                        ResolvePositions(request.positions(), model, resolved.prompt));
  resolved.intervention_count = request.interventions_size();
  HEED_ASSIGN_OR_RETURN(resolved.edits,
                        MakeInterventionSet("interventions", interventions, config,
                                            {.prompt_tokens = resolved.prompt.size()}));
  HEED_RETURN_IF_ERROR(CheckAnswerSize(resolved, model.model->config().vocab_size));
  return resolved;
}

std::optional<TokenId> ResolveToken(absl::string_view field, const v1::TokenChoice& choice,
                                    const ServedModel& model, Violations* violations) {
  const int64_t vocab_size = model.model->config().vocab_size;
  switch (choice.which_case()) {
    case v1::TokenChoice::kId:
      if (choice.id() >= 0 && choice.id() < vocab_size) return choice.id();
      violations->Add(
          absl::StrCat(field, ".id"),
          absl::StrCat("is ", choice.id(), "; the vocabulary is [0, ", vocab_size, ")"));
      return std::nullopt;
    case v1::TokenChoice::kText: {
      const std::string path = absl::StrCat(field, ".text");
      if (model.tokenizer == nullptr) {
        violations->Add(path, "is a text, and the model has no tokenizer; give an id");
        return std::nullopt;
      }
      const std::optional<TokenId> id = FindCandidate(*model.tokenizer, choice.text());
      if (!id.has_value()) violations->Add(path, WhyNoCandidate(*model.tokenizer, choice.text()));
      return id;
    }
    case v1::TokenChoice::WHICH_NOT_SET:
      violations->Add(field, "names no token; give its id or its text");
      return std::nullopt;
  }
  return std::nullopt;
}

void FillCandidate(const ScoredToken& scored, const Tokenizer* tokenizer, v1::Candidate* out) {
  FillToken(tokenizer, scored.id, ByteRange{}, out->mutable_token());
  out->set_probability(scored.probability);
  out->set_log_probability(scored.log_probability);
  out->set_rank(scored.rank);
}

absl::Status FillPredictResponse(const ResolvedPredict& resolved, const ServedModel& model,
                                 absl::Span<const PredictedPosition> positions,
                                 const EngineTimings& timings, v1::PredictResponse* out) {
  FillIdentity(model, out->mutable_model());
  FillPromptInfo(resolved.prompt, model, out->mutable_prompt());
  FillEditProvenance(model, resolved.intervention_count, resolved.edits.get(),
                     out->mutable_provenance());
  int64_t bytes = static_cast<int64_t>(out->ByteSizeLong());
  for (int64_t wanted : resolved.positions) {
    const auto predicted = std::lower_bound(
        positions.begin(), positions.end(), wanted,
        [](const PredictedPosition& p, int64_t position) { return p.position < position; });
    v1::PositionPrediction* const prediction = out->add_predictions();
    FillPosition(*predicted, model.tokenizer.get(), prediction);
    // Looked at on the way, so that an answer that cannot be sent is not built to its end.
    bytes += static_cast<int64_t>(prediction->ByteSizeLong());
    HEED_RETURN_IF_ERROR(CheckReplyBytes(bytes));
  }
  FillTimings(resolved.prompt.tokenize_time, timings, out->mutable_timings());
  return CheckReplyBytes(static_cast<int64_t>(out->ByteSizeLong()));
}

}  // namespace heed
