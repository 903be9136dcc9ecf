#include "model/inspect/compare.h"

#include <algorithm>
#include <cmath>
#include <numbers>
#include <numeric>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "model/base/error.h"
#include "model/base/finite.h"
#include "model/base/status_macros.h"
#include "model/inspect/attention_read.h"
#include "model/inspect/logit_lens.h"
#include "model/kernels/double_rows.h"
#include "model/kernels/logits.h"
#include "model/kernels/parallel.h"

namespace heed {
namespace {

constexpr int64_t kMaxAlignmentCells = int64_t{4096} * 4096;
constexpr int64_t kRowsAtOnce = 32;

enum class Step : uint8_t { kPair, kLeaveA, kLeaveB };

// The cheapest alignment of two middles, as steps from their end.
class MiddleAlignment {
 public:
  MiddleAlignment(absl::Span<const TokenId> a, absl::Span<const TokenId> b)
      : a_(a), b_(b), columns_(b.size() + 1), steps_((a.size() + 1) * columns_) {
    std::vector<int64_t> above(columns_), row(columns_);
    std::iota(above.begin(), above.end(), int64_t{0});
    std::fill_n(steps_.begin(), columns_, Step::kLeaveB);
    for (size_t i = 1; i <= a.size(); ++i) {
      row[0] = static_cast<int64_t>(i);
      steps_[i * columns_] = Step::kLeaveA;
      for (size_t j = 1; j < columns_; ++j) {
        const int64_t pair = above[j - 1] + (a[i - 1] == b[j - 1] ? 0 : 1);
        const int64_t leave = std::min(above[j], row[j - 1]) + 1;
        row[j] = std::min(pair, leave);
        steps_[i * columns_ + j] = pair <= leave            ? Step::kPair
                                   : above[j] <= row[j - 1] ? Step::kLeaveA
                                                            : Step::kLeaveB;
      }
      std::swap(above, row);
    }
  }

  // Appends the pairs, both of whose sequences begin `offset` tokens earlier.
  void AppendPairs(int64_t offset, std::vector<AlignedPair>* pairs) const {
    const size_t first = pairs->size();
    int64_t i = static_cast<int64_t>(a_.size()), j = static_cast<int64_t>(b_.size());
    while (i > 0 || j > 0) {
      const Step step = steps_[i * columns_ + j];
      i -= step != Step::kLeaveB;
      j -= step != Step::kLeaveA;
      if (step == Step::kPair) pairs->push_back({offset + i, offset + j, a_[i] == b_[j]});
    }
    std::reverse(pairs->begin() + first, pairs->end());
  }

 private:
  const absl::Span<const TokenId> a_, b_;
  const size_t columns_;
  std::vector<Step> steps_;  // [a.size() + 1, columns]
};

// ---- predictions

std::vector<ProbabilityChange> LargestChanges(const Prediction& a, const Prediction& b, int64_t k) {
  std::vector<ProbabilityChange> changes;
  for (TokenId id : a.FurthestFrom(b, k)) {
    changes.push_back({id, std::exp(a.LogProbability(id)), std::exp(b.LogProbability(id))});
  }
  return changes;
}

absl::Status CheckFinite(absl::Span<const float> logits, absl::string_view side) {
  if (AllFinite(logits)) return absl::OkStatus();
  return MakeError(absl::StatusCode::kFailedPrecondition, "NONFINITE_LOGITS",
                   absl::StrCat("the logits of ", side, " hold a NaN or an infinity"));
}

absl::Status ComparePredictions(const CompareSide& a, const CompareSide& b, int64_t top_k,
                                const StopSignal* stop, Comparison* comparison) {
  const int64_t n = static_cast<int64_t>(comparison->pairs.size());
  const int64_t vocab = a.model->config().vocab_size;
  std::vector<PredictionChange>& changes = comparison->predictions;
  changes.resize(n);
  for (int64_t begin = 0; begin < n; begin += kRowsAtOnce) {
    HEED_RETURN_IF_ERROR(CheckStop(stop));
    const auto pairs = absl::MakeConstSpan(comparison->pairs).subspan(begin, kRowsAtOnce);
    std::vector<int64_t> in_a, in_b;
    for (const AlignedPair& pair : pairs) {
      in_a.push_back(pair.a);
      in_b.push_back(pair.b);
    }
    HEED_ASSIGN_OR_RETURN(const std::vector<float> rows_a, TraceLogits(*a.model, *a.trace, in_a));
    HEED_ASSIGN_OR_RETURN(const std::vector<float> rows_b, TraceLogits(*b.model, *b.trace, in_b));
    HEED_RETURN_IF_ERROR(CheckFinite(rows_a, "a"));
    HEED_RETURN_IF_ERROR(CheckFinite(rows_b, "b"));
    const int64_t count = static_cast<int64_t>(pairs.size());
    ParallelFor(count, count * vocab >= kLogitsToShareOut, [&](int64_t i) {
      const Prediction pa(absl::MakeConstSpan(rows_a).subspan(i * vocab, vocab));
      const Prediction pb(absl::MakeConstSpan(rows_b).subspan(i * vocab, vocab));
      changes[begin + i] = {pa.DivergenceFrom(pb), pa.Top(1)[0], pb.Top(1)[0],
                            LargestChanges(pa, pb, top_k)};
    });
  }
  const auto first = std::find_if(changes.begin(), changes.end(), [](const PredictionChange& c) {
    return c.top_a.id != c.top_b.id;
  });
  if (first != changes.end()) comparison->first_divergence = first - changes.begin();
  return absl::OkStatus();
}

// ---- heads

// Rows of a pair over the keys of each.
class RowDivergence {
 public:
  RowDivergence(const std::vector<AlignedPair>& pairs, int64_t keys_a, int64_t keys_b)
      : counterpart_(keys_a, -1) {
    std::vector<bool> is_alone(keys_b, true);
    for (const AlignedPair& pair : pairs) {
      counterpart_[pair.a] = pair.b;
      is_alone[pair.b] = false;
    }
    for (int64_t key = 0; key < keys_b; ++key) {
      if (is_alone[key]) alone_.push_back(key);
    }
  }

  double operator()(absl::Span<const float> a, absl::Span<const float> b) const {
    thread_local std::vector<float> opposite;  // of a's keys
    opposite.resize(a.size());
    for (size_t j = 0; j < a.size(); ++j) {
      opposite[j] = counterpart_[j] < 0 ? 0 : b[counterpart_[j]];
    }
    double alone = 0;
    for (int64_t key : alone_) alone += b[key];
    const double sum =
        BestDoubleRows().diverge(a.data(), opposite.data(), static_cast<int64_t>(a.size())) +
        alone * std::numbers::ln2;
    return std::max(sum / 2, 0.0);
  }

 private:
  std::vector<int64_t> counterpart_;  // by key of a: b's, or -1
  std::vector<int64_t> alone_;        // b's keys that are no key's counterpart: q ln(q / (q / 2))
};

// The mean divergence of one head's rows.
double HeadDivergence(const LayerAttention& a, const LayerAttention& b, int head,
                      const std::vector<AlignedPair>& pairs, const RowDivergence& divergence) {
  std::vector<int64_t> in_a, in_b;
  std::vector<int64_t> place_a(a.trace().size()), place_b(b.trace().size());
  for (size_t i = 0; i < pairs.size(); ++i) {
    in_a.push_back(pairs[i].a);
    in_b.push_back(pairs[i].b);
    place_a[pairs[i].a] = place_b[pairs[i].b] = static_cast<int64_t>(i);
  }
  const int64_t keys = a.trace().size();
  std::vector<float> rows(pairs.size() * keys);
  a.Read(AttentionStage::kWeights, {head}, in_a,
         [&](int, int64_t query, absl::Span<const float> row) {
           std::copy(row.begin(), row.end(), rows.begin() + place_a[query] * keys);
         });
  std::vector<double> each(pairs.size());
  b.Read(AttentionStage::kWeights, {head}, in_b,
         [&](int, int64_t query, absl::Span<const float> row) {
           const int64_t i = place_b[query];
           each[i] = divergence(absl::MakeConstSpan(rows).subspan(i * keys, keys), row);
         });
  return std::accumulate(each.begin(), each.end(), 0.0) / static_cast<double>(each.size());
}

absl::Status CompareHeads(const CompareSide& a, const CompareSide& b, const StopSignal* stop,
                          Comparison* comparison) {
  const RowDivergence divergence(comparison->pairs, a.trace->size(), b.trace->size());
  for (int layer = 0; layer < a.model->config().n_layers; ++layer) {
    const LayerAttention in_a(*a.model, *a.trace, layer), in_b(*b.model, *b.trace, layer);
    for (int head = 0; head < a.model->config().n_heads; ++head) {
      HEED_RETURN_IF_ERROR(CheckStop(stop));
      comparison->head_divergence.push_back(
          HeadDivergence(in_a, in_b, head, comparison->pairs, divergence));
    }
  }
  return absl::OkStatus();
}

}  // namespace

std::vector<AlignedPair> AlignTokens(absl::Span<const TokenId> a, absl::Span<const TokenId> b) {
  const int64_t size_a = static_cast<int64_t>(a.size()), size_b = static_cast<int64_t>(b.size());
  const int64_t shorter = std::min(size_a, size_b);
  int64_t begin = 0, end = 0;  // equal tokens at either end
  while (begin < shorter && a[begin] == b[begin]) ++begin;
  while (end < shorter - begin && a[size_a - 1 - end] == b[size_b - 1 - end]) ++end;
  std::vector<AlignedPair> pairs;
  for (int64_t i = 0; i < begin; ++i) pairs.push_back({i, i, true});
  const auto middle_a = a.subspan(begin, size_a - begin - end);
  const auto middle_b = b.subspan(begin, size_b - begin - end);
  if (static_cast<int64_t>(middle_a.size() * middle_b.size()) <= kMaxAlignmentCells) {
    MiddleAlignment(middle_a, middle_b).AppendPairs(begin, &pairs);
  } else {
    for (int64_t i = begin; i < shorter - end; ++i) pairs.push_back({i, i, a[i] == b[i]});
  }
  for (int64_t i = end; i > 0; --i) pairs.push_back({size_a - i, size_b - i, true});
  return pairs;
}

absl::StatusOr<Comparison> Compare(const CompareSide& a, const CompareSide& b,
                                   const CompareOptions& options, const StopSignal* stop) {
  const ModelConfig& config_a = a.model->config();
  const ModelConfig& config_b = b.model->config();
  Comparison comparison;
  comparison.pairs = AlignTokens(a.trace->tokens(), b.trace->tokens());
  if (comparison.pairs.empty()) return comparison;
  if (config_a.has_head && config_b.has_head && options.same_vocabulary &&
      config_a.vocab_size == config_b.vocab_size) {
    HEED_RETURN_IF_ERROR(ComparePredictions(a, b, options.top_k, stop, &comparison));
  }
  if (config_a.n_layers == config_b.n_layers && config_a.n_heads == config_b.n_heads) {
    HEED_RETURN_IF_ERROR(CompareHeads(a, b, stop, &comparison));
  }
  return comparison;
}

}  // namespace heed
