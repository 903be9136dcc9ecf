// Choosing the next token from logits.
#ifndef HEED_MODEL_GENERATE_SAMPLER_H_
#define HEED_MODEL_GENERATE_SAMPLER_H_

#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

#include "absl/types/span.h"
#include "model/kernels/logit_rows.h"
#include "model/tokenizer/tokenizer.h"

namespace heed {

// Validated by whoever fills it in; the ranges are those of heed.v1.SamplingParameters. Steps apply
// in this order: logit_bias, penalties, temperature, top_k, top_p, min_p, draw. Each of the last
// four works on the probabilities that the step before it left, scaled to sum to 1.
struct SamplingOptions {
  float temperature = 0;         // [0, 100]; 0: greedy
  int64_t top_k = 0;             // 0: all
  float top_p = 1;               // (0, 1]
  float min_p = 0;               // [0, 1]
  float repetition_penalty = 1;  // (0, 10]; over prompt and answer
  float presence_penalty = 0;    // [-10, 10]; over the answer
  float frequency_penalty = 0;   // [-10, 10]; over the answer
  uint64_t seed = 0;
  std::vector<std::pair<TokenId, float>> logit_bias;  // -infinity forbids
};

// Draws tokens one after another. The same options, prompt and logits give the same tokens on every
// machine and standard library: the generator and the exponential are our own, and probabilities
// are added as integers, whose sum does not depend on the order. Not thread-safe.
class Sampler {
 public:
  // `token_limit`, at least 1: ids at or past it (embedding rows without a token) are never drawn.
  Sampler(SamplingOptions options, int64_t token_limit, absl::Span<const TokenId> prompt);

  // The next token for `logits` [vocab_size], finite, which stay unchanged. Remembers it for the
  // penalties. When logit_bias forbids every token there is, the most probable one of the unchanged
  // logits.
  TokenId Next(absl::Span<const float> logits);

 private:
  bool ChangesLogits() const;
  void AddBias();
  void Penalise();
  void PenaliseRepetition(TokenId id);
  void Remember(TokenId id);

  // The steps from temperature on. `largest` is the largest of logits_.
  TokenId Draw(double largest);
  void WeighTokens(double largest);
  void KeepTopK();
  void KeepTopP();
  void KeepMinP();
  TokenId DrawByWeight();

  // What a number of tokens is reckoned by.
  enum class Measure { kCount, kWeight };
  static uint64_t Amount(Measure measure, const Mass& mass);

  // Logits above `high` are kept and those not above `low` dropped, whatever is between.
  struct Cut {
    float low = 0;
    float high = 0;
    Mass above_high = {};
  };
  Cut FindCut(Measure measure, uint64_t missing) const;
  Mass MassAbove(float bound) const;
  void KeepFirst(Measure measure, uint64_t missing);
  bool RanksBefore(TokenId a, TokenId b) const;

  SamplingOptions options_;
  int64_t token_limit_;
  const LogitRows& rows_;
  uint64_t draws_ = 0;
  std::vector<TokenId> prompt_ids_;                         // sorted, unique
  std::vector<std::pair<TokenId, int64_t>> answer_counts_;  // sorted by id

  // Scratch of one call, kept for its memory.
  std::vector<float> logits_;      // [token_limit], with bias and penalties
  std::vector<uint64_t> weights_;  // [token_limit], multiples of the probability; 0: dropped
  std::vector<TokenId> ranking_;   // tokens that may be kept, in partial order
};

}  // namespace heed

#endif  // HEED_MODEL_GENERATE_SAMPLER_H_
