#include "model/generate/sampler.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>
#include <numeric>

#include "model/generate/distribution.h"
#include "model/generate/exp.h"
#include "model/generate/philox.h"

namespace heed {
namespace {

constexpr float kForbidden = -std::numeric_limits<float>::infinity();

// The weight of the most probable of `count` tokens: as large as leaves their sum below 2^62.
uint64_t LargestWeight(size_t count) {
  return uint64_t{1} << std::min(52, 62 - static_cast<int>(std::bit_width(count)));
}

// Keeps finite logits finite when a bias or a penalty takes them past the range of float.
float Saturated(double logit) {
  constexpr double kMost = std::numeric_limits<float>::max();
  return static_cast<float>(std::clamp(logit, -kMost, kMost));
}

// bits * total / 2^64: uniform in [0, total) when bits is uniform.
uint64_t ScaleDown(uint64_t bits, uint64_t total) {
  __extension__ using Wide = unsigned __int128;
  return static_cast<uint64_t>((Wide{bits} * total) >> 64);
}

}  // namespace

Sampler::Sampler(SamplingOptions options, int64_t token_limit, absl::Span<const TokenId> prompt)
    : options_(std::move(options)),
      token_limit_(token_limit),
      prompt_ids_(prompt.begin(), prompt.end()) {
  std::sort(prompt_ids_.begin(), prompt_ids_.end());
  prompt_ids_.erase(std::unique(prompt_ids_.begin(), prompt_ids_.end()), prompt_ids_.end());
}

TokenId Sampler::Next(absl::Span<const float> logits) {
  const absl::Span<const float> allowed =
      logits.first(std::min(logits.size(), static_cast<size_t>(token_limit_)));
  logits_.assign(allowed.begin(), allowed.end());
  AddBias();
  Penalise();
  TokenId token = IndexOfLargest(logits_);
  if (logits_[token] == kForbidden) {
    token = IndexOfLargest(allowed);
  } else if (options_.temperature > 0) {
    token = Draw(logits_[token]);
  }
  Remember(token);
  return token;
}

void Sampler::AddBias() {
  for (const auto& [id, bias] : options_.logit_bias) {
    if (id >= std::ssize(logits_) || logits_[id] == kForbidden) continue;
    logits_[id] = bias == kForbidden ? kForbidden : Saturated(double{logits_[id]} + bias);
  }
}

void Sampler::PenaliseRepetition(TokenId id) {
  if (id >= std::ssize(logits_) || logits_[id] == kForbidden) return;
  const double penalty = options_.repetition_penalty;
  const double logit = logits_[id];
  logits_[id] = Saturated(logit > 0 ? logit / penalty : logit * penalty);
}

void Sampler::Penalise() {
  if (options_.repetition_penalty != 1) {
    for (TokenId id : prompt_ids_) PenaliseRepetition(id);
  }
  for (const auto& [id, count] : answer_counts_) {
    if (logits_[id] == kForbidden) continue;
    if (!std::binary_search(prompt_ids_.begin(), prompt_ids_.end(), id)) PenaliseRepetition(id);
    const double penalty =
        options_.presence_penalty + options_.frequency_penalty * static_cast<double>(count);
    logits_[id] = Saturated(logits_[id] - penalty);
  }
}

void Sampler::Remember(TokenId id) {
  const auto place = std::lower_bound(answer_counts_.begin(), answer_counts_.end(),
                                      std::pair<TokenId, int64_t>(id, 0));
  if (place != answer_counts_.end() && place->first == id) {
    ++place->second;
  } else {
    answer_counts_.insert(place, {id, 1});
  }
}

TokenId Sampler::Draw(double largest) {
  WeighTokens(largest);
  ranking_.clear();
  KeepTopK();
  KeepTopP();
  KeepMinP();
  return DrawByWeight();
}

void Sampler::WeighTokens(double largest) {
  const size_t count = logits_.size();
  const auto unit = static_cast<double>(LargestWeight(count));
  exponentials_.resize(count);
  weights_.resize(count);
  ExpBelow(logits_, largest, 1.0 / options_.temperature, absl::MakeSpan(exponentials_));
  std::transform(exponentials_.begin(), exponentials_.end(), weights_.begin(),
                 [unit](double e) { return static_cast<uint64_t>(e * unit + 0.5); });
}

bool Sampler::RanksBefore(TokenId a, TokenId b) const {
  return logits_[a] != logits_[b] ? logits_[a] > logits_[b] : a < b;
}

// Fills ranking_ with the tokens that can be drawn, unless a step before has done so.
void Sampler::RankTokens() {
  if (!ranking_.empty()) return;
  for (size_t id = 0; id < weights_.size(); ++id) {
    if (weights_[id] > 0) ranking_.push_back(static_cast<TokenId>(id));
  }
}

// Drops all but the first `count` of ranking_.
void Sampler::KeepRanked(size_t count) {
  for (size_t i = count; i < ranking_.size(); ++i) weights_[ranking_[i]] = 0;
  ranking_.resize(count);
}

uint64_t Sampler::RankedWeight(size_t begin, size_t end) const {
  uint64_t sum = 0;
  for (size_t i = begin; i < end; ++i) sum += weights_[ranking_[i]];
  return sum;
}

void Sampler::KeepTopK() {
  const auto k = static_cast<size_t>(options_.top_k);
  if (k == 0 || k >= weights_.size()) return;
  RankTokens();
  if (k >= ranking_.size()) return;
  std::nth_element(ranking_.begin(), ranking_.begin() + k, ranking_.end(),
                   [this](TokenId a, TokenId b) { return RanksBefore(a, b); });
  KeepRanked(k);
}

void Sampler::KeepTopP() {
  if (options_.top_p >= 1) return;
  RankTokens();
  const auto total = static_cast<double>(RankedWeight(0, ranking_.size()));
  auto missing = static_cast<uint64_t>(std::ceil(options_.top_p * total));
  // Halves the stretch of the ranking in which the sum reaches its goal, until one token is left.
  size_t begin = 0;
  size_t end = ranking_.size();
  while (end - begin > 1) {
    const size_t middle = begin + (end - begin) / 2;
    std::nth_element(ranking_.begin() + begin, ranking_.begin() + middle, ranking_.begin() + end,
                     [this](TokenId a, TokenId b) { return RanksBefore(a, b); });
    const uint64_t upper = RankedWeight(begin, middle);
    if (upper >= missing) {
      end = middle;
    } else {
      missing -= upper;
      begin = middle;
    }
  }
  KeepRanked(end);
}

void Sampler::KeepMinP() {
  if (options_.min_p <= 0) return;
  const double least = options_.min_p * static_cast<double>(LargestWeight(weights_.size()));
  for (uint64_t& weight : weights_) {
    if (static_cast<double>(weight) < least) weight = 0;
  }
}

// The token in which the drawn point lies when the weights are laid end to end by ascending id.
TokenId Sampler::DrawByWeight() {
  const uint64_t total = std::accumulate(weights_.begin(), weights_.end(), uint64_t{0});
  uint64_t point = ScaleDown(RandomBits(options_.seed, draws_++), total);
  TokenId id = 0;
  while (point >= weights_[id]) point -= weights_[id++];
  return id;
}

}  // namespace heed
