#include "server/engine/predict_task.h"

#include <utility>

#include "model/kernels/logits.h"
#include "model/kernels/parallel.h"

namespace heed {
namespace {

// Scoring an id takes a pass over the vocabulary for its rank; from here on one sort of everything
// is cheaper.
constexpr size_t kMostIdsToScoreOneByOne = 256;

std::vector<ScoredToken> ScoreIds(const Distribution& distribution, absl::Span<const TokenId> ids,
                                  int64_t vocab_size) {
  std::vector<ScoredToken> scored;
  scored.reserve(ids.size());
  if (ids.size() <= kMostIdsToScoreOneByOne) {
    for (TokenId id : ids) scored.push_back(distribution.Score(id));
    return scored;
  }
  const std::vector<ScoredToken> ranked = distribution.TopK(vocab_size);
  std::vector<int32_t> rank_of(vocab_size);
  for (size_t i = 0; i < ranked.size(); ++i) rank_of[ranked[i].id] = static_cast<int32_t>(i);
  for (TokenId id : ids) scored.push_back(ranked[rank_of[id]]);
  return scored;
}

}  // namespace

PredictedPosition EvaluatePosition(int64_t position, absl::Span<const float> logits,
                                   const CandidateChoice& choice, std::optional<TokenId> actual) {
  const Distribution distribution(logits);
  const int64_t vocab_size = static_cast<int64_t>(logits.size());
  PredictedPosition result;
  result.position = position;
  switch (choice.kind) {
    case CandidateChoice::Kind::kTopK:
      result.candidates = distribution.TopK(choice.top_k);
      break;
    case CandidateChoice::Kind::kIds:
      result.candidates = ScoreIds(distribution, choice.ids, vocab_size);
      break;
    case CandidateChoice::Kind::kFull:
      result.log_probabilities.resize(vocab_size);
      distribution.LogProbabilities(absl::MakeSpan(result.log_probabilities));
      break;
  }
  result.entropy = distribution.Entropy();
  if (actual.has_value()) result.actual = distribution.Score(*actual);
  return result;
}

PredictTask::PredictTask(std::vector<TokenId> prompt, bool causal, CandidateChoice choice,
                         DoneCallback done)
    : prompt_(std::move(prompt)),
      causal_(causal),
      choice_(std::move(choice)),
      done_(std::move(done)) {}

absl::StatusOr<std::optional<TokenId>> PredictTask::OnLogits(absl::Span<const int64_t> positions,
                                                             ConstMatrixRef logits) {
  const int64_t prompt_length = static_cast<int64_t>(prompt_.size());
  const size_t first = positions_.size();
  positions_.resize(first + positions.size());
  const bool worth_it = logits.rows * logits.cols >= kLogitsToShareOut;
  ParallelFor(logits.rows, worth_it, [&](int64_t i) {
    const int64_t described = positions[i] + (causal_ ? 1 : 0);
    std::optional<TokenId> actual;
    if (described < prompt_length) actual = prompt_[described];
    positions_[first + i] = EvaluatePosition(positions[i], logits.Row(i), choice_, actual);
  });
  return std::nullopt;
}

void PredictTask::OnDone(const absl::Status& status, const EngineTimings& timings) {
  done_({status, timings, std::move(positions_)});
}

}  // namespace heed
