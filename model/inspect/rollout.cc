#include "model/inspect/rollout.h"

#include <algorithm>
#include <iterator>
#include <numeric>
#include <utility>
#include <vector>

#include "model/base/status_macros.h"
#include "model/inspect/flow_network.h"
#include "model/kernels/double_rows.h"
#include "model/kernels/parallel.h"
#include "model/transformer/site.h"

namespace heed {
namespace {

// A layer's matrix, row by row in blocks: (w I + (1 - w) A) over its rows' sums.
class LayerMatrix {
 public:
  LayerMatrix(const LanguageModel& model, const Trace& trace, int layer,
              const RolloutOptions& options)
      : attention_(model, trace, layer), options_(options), heads_(model.config().n_heads) {
    std::iota(heads_.begin(), heads_.end(), 0);
  }

  // Calls fn(query, row [size]) on this thread for each of the queries.
  template <typename Fn>
  void ForEachRow(absl::Span<const int64_t> queries, const Fn& fn) const {
    std::vector<double> mixed;
    const double w = options_.residual_weight;
    attention_.ReadFused(AttentionStage::kWeights, options_.fusion, heads_, queries,
                         [&](int64_t query, absl::Span<const float> row) {
                           mixed.assign(row.begin(), row.end());
                           for (double& value : mixed) value *= 1 - w;
                           mixed[query] += w;
                           const double sum = std::accumulate(mixed.begin(), mixed.end(), 0.0);
                           for (double& value : mixed) value /= sum > 0 ? sum : 1;
                           fn(query, absl::MakeConstSpan(mixed));
                         });
  }

 private:
  const LayerAttention attention_;
  const RolloutOptions& options_;
  std::vector<int> heads_;
};

// The product of rows [n_rows, n] with a matrix whose rows come one by one, ascending. A few of
// them are multiplied at once, while they are in the cache.
class RowsBelow {
 public:
  RowsBelow(int64_t n_rows, int64_t n)
      : n_rows_(n_rows), n_(n), some_(kSome * n), products_(n_rows * n) {}

  // `row` is the `query`-th of the matrix. The same `rows` every time.
  void Take(int64_t query, absl::Span<const double> row, absl::Span<const double> rows) {
    const auto last =
        std::find_if(row.rbegin(), row.rend(), [](double value) { return value != 0; });
    used_ = std::max<int64_t>(used_, row.rend() - last);
    std::copy(row.begin(), row.end(), some_.begin() + std::ssize(queries_) * n_);
    queries_.push_back(query);
    if (std::ssize(queries_) == kSome) Multiply(rows);
  }
  std::vector<double> Finish(absl::Span<const double> rows) && {
    Multiply(rows);
    return std::move(products_);
  }

 private:
  static constexpr int64_t kSome = 32;

  void Multiply(absl::Span<const double> rows) {
    const int64_t count = std::ssize(queries_);
    ParallelBlocks(n_rows_, kWorthIt / (count * used_ + 1) + 1, [&](int64_t begin, int64_t end) {
      for (int64_t r = begin; r < end; ++r) {
        double weights[kSome];
        bool is_reached = false;
        for (int64_t i = 0; i < count; ++i) {
          weights[i] = rows[r * n_ + queries_[i]];
          is_reached |= weights[i] != 0;
        }
        if (!is_reached) continue;
        BestDoubleRows().add_mix(some_.data(), count, n_, used_, weights,
                                 products_.data() + r * n_);
      }
    });
    queries_.clear();
    used_ = 0;
  }

  static constexpr int64_t kWorthIt = 1 << 16;  // products for a thread
  const int64_t n_rows_, n_;
  std::vector<int64_t> queries_;
  int64_t used_ = 0;  // columns, behind which all of some_ are 0
  std::vector<double> some_, products_;
};

absl::StatusOr<FlowNetwork> MakeNetwork(const LanguageModel& model, const Trace& trace,
                                        const RolloutOptions& options, const StopSignal* stop) {
  std::vector<int64_t> all(trace.size());
  std::iota(all.begin(), all.end(), int64_t{0});
  const int depth = options.layer_end - options.layer_begin;
  FlowNetwork network(depth, trace.size());
  for (int l = 0; l < depth; ++l) {
    HEED_RETURN_IF_ERROR(CheckStop(stop));
    LayerMatrix(model, trace, options.layer_begin + l, options)
        .ForEachRow(all, [&](int64_t query, absl::Span<const double> row) {
          network.SetRow(l, query, row);
        });
  }
  return network;
}

}  // namespace

double DefaultResidualWeight(const ModelConfig& config) {
  return HasSite(config, Site::kResidualMid) ? 0.5 : 0;
}

absl::StatusOr<std::vector<float>> Rollout(const LanguageModel& model, const Trace& trace,
                                           const RolloutOptions& options, const StopSignal* stop) {
  const int64_t n = trace.size(), n_rows = static_cast<int64_t>(options.queries.size());
  std::vector<double> rows(n_rows * n);
  for (int64_t r = 0; r < n_rows; ++r) rows[r * n + options.queries[r]] = 1;
  for (int layer = options.layer_end - 1; layer >= options.layer_begin; --layer) {
    HEED_RETURN_IF_ERROR(CheckStop(stop));
    std::vector<int64_t> reached;  // positions that some row has weight on
    for (int64_t p = 0; p < n; ++p) {
      bool is_reached = false;
      for (int64_t r = 0; r < n_rows; ++r) is_reached |= rows[r * n + p] != 0;
      if (is_reached) reached.push_back(p);
    }
    RowsBelow below(n_rows, n);
    LayerMatrix(model, trace, layer, options)
        .ForEachRow(reached, [&](int64_t query, absl::Span<const double> row) {
          below.Take(query, row, rows);
        });
    rows = std::move(below).Finish(rows);
  }
  return std::vector<float>(rows.begin(), rows.end());
}

absl::StatusOr<std::vector<float>> Flow(const LanguageModel& model, const Trace& trace,
                                        const RolloutOptions& options, const StopSignal* stop) {
  const int64_t n = trace.size(), n_rows = static_cast<int64_t>(options.queries.size());
  HEED_ASSIGN_OR_RETURN(FlowNetwork network, MakeNetwork(model, trace, options, stop));
  std::vector<float> flows(n_rows * n);
  for (int64_t r = 0; r < n_rows; ++r) {
    std::vector<double> row(n);
    for (int64_t key = 0; key < n; ++key) {
      HEED_RETURN_IF_ERROR(CheckStop(stop));
      row[key] = network.MaxFlow(options.queries[r], key);
    }
    const double sum = std::accumulate(row.begin(), row.end(), 0.0);
    for (int64_t key = 0; key < n; ++key) {
      flows[r * n + key] = static_cast<float>(sum > 0 ? row[key] / sum : 0);
    }
  }
  return flows;
}

int64_t FlowBytes(const RolloutOptions& options, int64_t n_tokens) {
  return FlowNetwork::MaxBytes(options.layer_end - options.layer_begin, n_tokens);
}

}  // namespace heed
