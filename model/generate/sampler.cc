#include "model/generate/sampler.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>

#include "model/generate/philox.h"
#include "model/kernels/logits.h"

namespace heed {
namespace {

constexpr float kForbidden = -std::numeric_limits<float>::infinity();

// The logit's distance from the largest from which on weights are 0, in nats at temperature 1.
constexpr double kFarthest = 64;
// Tokens that are quicker ranked than divided once more.
constexpr int64_t kFewTokens = 256;

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
      rows_(BestLogitRows()),
      prompt_ids_(prompt.begin(), prompt.end()) {
  std::sort(prompt_ids_.begin(), prompt_ids_.end());
  prompt_ids_.erase(std::unique(prompt_ids_.begin(), prompt_ids_.end()), prompt_ids_.end());
}

TokenId Sampler::Next(absl::Span<const float> logits) {
  const absl::Span<const float> allowed =
      logits.first(std::min(logits.size(), static_cast<size_t>(token_limit_)));
  if (options_.temperature == 0 && !ChangesLogits()) return IndexOfLargest(allowed);
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

bool Sampler::ChangesLogits() const {
  return !options_.logit_bias.empty() || options_.repetition_penalty != 1 ||
         options_.presence_penalty != 0 || options_.frequency_penalty != 0;
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
  KeepTopK();
  KeepTopP();
  KeepMinP();
  return DrawByWeight();
}

void Sampler::WeighTokens(double largest) {
  weights_.resize(logits_.size());
  rows_.weigh(logits_.data(), std::ssize(logits_), largest, 1.0 / options_.temperature,
              static_cast<double>(LargestWeight(logits_.size())), weights_.data());
}

bool Sampler::RanksBefore(TokenId a, TokenId b) const {
  return logits_[a] != logits_[b] ? logits_[a] > logits_[b] : a < b;
}

// Halves the distance between a logit above which fewer tokens lie than are to be kept and one
// above which there are enough, until few are left between.
Sampler::Cut Sampler::FindCut(Measure measure, uint64_t missing) const {
  const float largest = logits_[IndexOfLargest(logits_)];
  const auto lowest = static_cast<float>(largest - kFarthest * options_.temperature);
  Cut cut;
  cut.high = largest;
  cut.low = std::nextafter(lowest, kForbidden);
  int64_t above_low = MassAbove(cut.low).count;
  while (above_low - cut.above_high.count > kFewTokens) {
    const float middle = cut.low + (cut.high - cut.low) / 2;
    if (middle <= cut.low || middle >= cut.high) break;
    const Mass above = MassAbove(middle);
    if (Amount(measure, above) >= missing) {
      cut.low = middle;
      above_low = above.count;
    } else {
      cut.high = middle;
      cut.above_high = above;
    }
  }
  return cut;
}

uint64_t Sampler::Amount(Measure measure, const Mass& mass) {
  return measure == Measure::kCount ? static_cast<uint64_t>(mass.count) : mass.weight;
}

Mass Sampler::MassAbove(float bound) const {
  return rows_.mass_above(logits_.data(), weights_.data(), std::ssize(logits_), bound);
}

// Drops all but the first tokens of the ranking, as few as amount to `missing`, which is more than
// 0; none when all do not.
void Sampler::KeepFirst(Measure measure, uint64_t missing) {
  const auto size = std::ssize(logits_);
  const Cut cut = FindCut(measure, missing);
  ranking_.resize(logits_.size());
  ranking_.resize(rows_.find_between(logits_.data(), size, cut.low, cut.high, ranking_.data()));
  missing -= Amount(measure, cut.above_high);
  // Halves the stretch of the ranking in which the sum reaches its goal, until one token is left.
  size_t begin = 0, end = ranking_.size();
  while (end - begin > 1) {
    const size_t middle = begin + (end - begin) / 2;
    std::nth_element(ranking_.begin() + begin, ranking_.begin() + middle, ranking_.begin() + end,
                     [this](TokenId a, TokenId b) { return RanksBefore(a, b); });
    Mass upper = {};
    for (size_t i = begin; i < middle; ++i) {
      upper = {upper.count + 1, upper.weight + weights_[ranking_[i]]};
    }
    if (Amount(measure, upper) >= missing) {
      end = middle;
    } else {
      missing -= Amount(measure, upper);
      begin = middle;
    }
  }
  rows_.drop_others(logits_.data(), weights_.data(), size, cut.low);
  for (size_t i = end; i < ranking_.size(); ++i) weights_[ranking_[i]] = 0;
}

void Sampler::KeepTopK() {
  if (options_.top_k == 0 || options_.top_k >= std::ssize(weights_)) return;
  KeepFirst(Measure::kCount, static_cast<uint64_t>(options_.top_k));
}

void Sampler::KeepTopP() {
  if (options_.top_p >= 1) return;
  const auto total = static_cast<double>(rows_.sum(weights_.data(), std::ssize(weights_)));
  KeepFirst(Measure::kWeight, static_cast<uint64_t>(std::ceil(options_.top_p * total)));
}

void Sampler::KeepMinP() {
  if (options_.min_p <= 0) return;
  const double least = options_.min_p * static_cast<double>(LargestWeight(weights_.size()));
  const auto bound = static_cast<uint64_t>(std::ceil(least));
  for (uint64_t& weight : weights_) weight = weight < bound ? 0 : weight;
}

// The token in which the drawn point lies when the weights are laid end to end by ascending id.
TokenId Sampler::DrawByWeight() {
  constexpr int64_t kStretch = 512;
  const auto size = std::ssize(weights_);
  uint64_t point = ScaleDown(RandomBits(options_.seed, draws_++), rows_.sum(weights_.data(), size));
  int64_t id = 0;
  while (true) {
    const uint64_t sum = rows_.sum(weights_.data() + id, std::min(kStretch, size - id));
    if (point < sum) break;
    point -= sum;
    id += kStretch;
  }
  while (point >= weights_[id]) point -= weights_[id++];
  return static_cast<TokenId>(id);
}

}  // namespace heed
