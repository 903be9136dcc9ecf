#include "model/inspect/rollout.h"

#include <algorithm>
#include <cstring>
#include <deque>
#include <limits>
#include <numeric>
#include <utility>

#include "absl/strings/str_cat.h"
#include "model/base/error.h"
#include "model/kernels/parallel.h"

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

// Edges of a network with real capacities, for Dinic's algorithm.
class FlowNetwork {
 public:
  explicit FlowNetwork(int64_t n_nodes) : first_(n_nodes), level_(n_nodes), next_(n_nodes) {}

  void AddEdge(int from, int to, double capacity) {
    first_[from].push_back(static_cast<int>(edges_.size()));
    edges_.push_back({to, capacity, capacity});
    first_[to].push_back(static_cast<int>(edges_.size()));
    edges_.push_back({from, 0, 0});
  }

  double MaxFlow(int source, int sink) {
    for (Edge& edge : edges_) edge.left = edge.capacity;
    double flow = 0;
    while (FindLevels(source, sink)) {
      std::fill(next_.begin(), next_.end(), 0);
      while (const double pushed = Push(source, sink, std::numeric_limits<double>::max())) {
        flow += pushed;
      }
    }
    return flow;
  }

 private:
  // Less is rounding, not capacity.
  static constexpr double kNothing = 1e-12;
  struct Edge {
    int to;
    double capacity, left;
  };

  bool FindLevels(int source, int sink) {
    std::fill(level_.begin(), level_.end(), -1);
    level_[source] = 0;
    std::deque<int> open = {source};
    for (; !open.empty(); open.pop_front()) {
      for (int e : first_[open.front()]) {
        const Edge& edge = edges_[e];
        if (edge.left <= kNothing || level_[edge.to] >= 0) continue;
        level_[edge.to] = level_[open.front()] + 1;
        open.push_back(edge.to);
      }
    }
    return level_[sink] >= 0;
  }

  // Depth-first, at most one level for each layer.
  double Push(int node, int sink, double amount) {
    if (node == sink) return amount;
    for (size_t& i = next_[node]; i < first_[node].size(); ++i) {
      const int e = first_[node][i];
      Edge& edge = edges_[e];
      if (edge.left <= kNothing || level_[edge.to] != level_[node] + 1) continue;
      const double pushed = Push(edge.to, sink, std::min(amount, edge.left));
      if (pushed == 0) continue;
      edge.left -= pushed;
      edges_[e ^ 1].left += pushed;
      return pushed;
    }
    return 0;
  }

  std::vector<std::vector<int>> first_;  // edges out of each node
  std::vector<Edge> edges_;              // in pairs: there and back
  std::vector<int> level_;
  std::vector<size_t> next_;
};

// Node of a position before the layers (0) or after some of them.
int NodeOf(const Trace& trace, int64_t depth, int64_t position) {
  return static_cast<int>(depth * trace.size() + position);
}

FlowNetwork MakeNetwork(const LanguageModel& model, const Trace& trace,
                        const RolloutOptions& options) {
  std::vector<int64_t> all(trace.size());
  std::iota(all.begin(), all.end(), int64_t{0});
  const int depth = options.layer_end - options.layer_begin;
  FlowNetwork network((depth + 1) * trace.size());
  for (int l = 0; l < depth; ++l) {
    LayerMatrix(model, trace, options.layer_begin + l, options)
        .ForEachRow(all, [&](int64_t query, absl::Span<const double> row) {
          for (int64_t key = 0; key < trace.size(); ++key) {
            if (row[key] <= 0) continue;
            network.AddEdge(NodeOf(trace, l + 1, query), NodeOf(trace, l, key), row[key]);
          }
        });
  }
  return network;
}

}  // namespace

std::vector<float> Rollout(const LanguageModel& model, const Trace& trace,
                           const RolloutOptions& options) {
  const int64_t n = trace.size(), n_rows = static_cast<int64_t>(options.queries.size());
  std::vector<double> rows(n_rows * n);
  for (int64_t r = 0; r < n_rows; ++r) rows[r * n + options.queries[r]] = 1;
  for (int layer = options.layer_end - 1; layer >= options.layer_begin; --layer) {
    std::vector<int64_t> reached;  // positions that some row has weight on
    for (int64_t p = 0; p < n; ++p) {
      bool is_reached = false;
      for (int64_t r = 0; r < n_rows; ++r) is_reached |= rows[r * n + p] != 0;
      if (is_reached) reached.push_back(p);
    }
    std::vector<double> below(n_rows * n);
    LayerMatrix(model, trace, layer, options)
        .ForEachRow(reached, [&](int64_t query, absl::Span<const double> row) {
          ParallelBlocks(n_rows, (1 << 14) / n + 1, [&](int64_t begin, int64_t end) {
            for (int64_t r = begin; r < end; ++r) {
              const double weight = rows[r * n + query];
              if (weight == 0) continue;
              for (int64_t key = 0; key < n; ++key) below[r * n + key] += weight * row[key];
            }
          });
        });
    rows = std::move(below);
  }
  return {rows.begin(), rows.end()};
}

absl::StatusOr<std::vector<float>> Flow(const LanguageModel& model, const Trace& trace,
                                        const RolloutOptions& options) {
  const int64_t n = trace.size(), n_rows = static_cast<int64_t>(options.queries.size());
  if (n > kMaxFlowTokens) {
    return MakeError(absl::StatusCode::kResourceExhausted, "FLOW_TOO_LARGE",
                     absl::StrCat("flow through ", n, " tokens; at most ", kMaxFlowTokens,
                                  " can be: use rollout, or a shorter prompt"));
  }
  const FlowNetwork network = MakeNetwork(model, trace, options);
  std::vector<float> flows(n_rows * n);
  const int depth = options.layer_end - options.layer_begin;
  ParallelFor(n_rows, true, [&](int64_t r) {
    FlowNetwork own = network;
    std::vector<double> row(n);
    const int source = NodeOf(trace, depth, options.queries[r]);
    for (int64_t key = 0; key < n; ++key) {
      const int sink = NodeOf(trace, 0, key);
      row[key] = source == sink ? 1 : own.MaxFlow(source, sink);
    }
    const double sum = std::accumulate(row.begin(), row.end(), 0.0);
    for (int64_t key = 0; key < n; ++key) {
      flows[r * n + key] = static_cast<float>(sum > 0 ? row[key] / sum : 0);
    }
  });
  return flows;
}

}  // namespace heed
