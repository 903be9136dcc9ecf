// An observer that makes one vector of a text out of its tokens' final hidden states. Knows neither
// gRPC nor protobuf.
#ifndef HEED_MODEL_INSPECT_STATE_POOLER_H_
#define HEED_MODEL_INSPECT_STATE_POOLER_H_

#include <cstdint>
#include <optional>
#include <utility>
#include <vector>

#include "absl/types/span.h"
#include "model/checkpoint/pooling.h"
#include "model/transformer/observer.h"

namespace heed {

struct StatePoolerOptions {
  PoolingKind kind = PoolingKind::kMean;
  int64_t n_tokens = 0;  // at least 1
  int64_t width = 0;     // of a hidden state
  bool keep_states = false;
};

// Watches one sequence, on the engine thread; read by whoever knows that the sequence is done.
//
// Sums are in double and in the order of the positions, so that a result depends on nothing but the
// states.
class StatePooler final : public ForwardObserver {
 public:
  explicit StatePooler(const StatePoolerOptions& options);

  int64_t FirstWatchedPosition() const override { return wanted_.front(); }
  AttentionRows WantAttention(int layer, int64_t begin, int64_t end) override { return {}; }
  void OnAttentionRow(int layer, int head, int64_t query,
                      absl::Span<const float> weights) override {}
  absl::Span<const int64_t> WantHiddenStates(int64_t begin, int64_t end) override;
  void OnHiddenState(int64_t position, absl::Span<const float> state) override;

  // The first position seen whose state holds a NaN or an infinity.
  std::optional<int64_t> nonfinite_position() const { return nonfinite_position_; }

  // The first `dimensions` of the pooled vector; with `normalize`, divided by their Euclidean
  // length, which leaves a vector of zeros as it is. Rounded to float once, at the end.
  std::vector<float> Pooled(int64_t dimensions, bool normalize) const;

  // F32 [n_tokens, width]; empty unless they were to be kept.
  std::vector<float> TakeStates() { return std::move(states_); }

 private:
  int64_t FirstPooled() const { return kind_ == PoolingKind::kLast ? n_tokens_ - 1 : 0; }
  int64_t PooledCount() const { return kind_ == PoolingKind::kMean ? n_tokens_ : 1; }

  const PoolingKind kind_;
  const int64_t n_tokens_;
  const int64_t width_;
  std::vector<int64_t> wanted_;  // positions, ascending
  std::vector<double> sum_;      // [width], over the positions that are pooled
  std::vector<float> states_;    // [n_tokens, width], or empty
  std::optional<int64_t> nonfinite_position_;
};

}  // namespace heed

#endif  // HEED_MODEL_INSPECT_STATE_POOLER_H_
