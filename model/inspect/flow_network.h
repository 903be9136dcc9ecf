// The largest flow through a stack of layers, each position joined to positions of the layer below.
#ifndef HEED_MODEL_INSPECT_FLOW_NETWORK_H_
#define HEED_MODEL_INSPECT_FLOW_NETWORK_H_

#include <cstdint>
#include <vector>

#include "absl/types/span.h"

namespace heed {

// Dinic's algorithm (1970) on rows of capacities. Nearly all edges are there, so a search strikes
// nodes off a list as it reaches them rather than following every edge, and what a flow used is
// taken back before the next one: a flow takes time by what it moves, not by how many edges there
// are. Not thread-safe.
class FlowNetwork {
 public:
  // Nodes (depth, position): `depth` layers of edges between depth + 1 rows of positions.
  FlowNetwork(int depth, int64_t n_positions);

  // At most what a network of this size holds.
  static int64_t MaxBytes(int64_t depth, int64_t n_positions);

  // The edges from (layer + 1, position) to (layer, 0), (layer, 1) ...: each at least 0, and no
  // capacity to positions past the row's end. Once for each layer and position.
  void SetRow(int layer, int64_t position, absl::Span<const double> capacities);

  // From (depth, source) to (0, sink).
  double MaxFlow(int64_t source, int64_t sink);

 private:
  // Less is rounding, not capacity.
  static constexpr double kNothing = 1e-12;

  struct Node {
    int64_t begin = 0;  // of its edges down, to the positions [0, count)
    int64_t count = 0;
    // Positions below that the flow goes to from here, or went, and above that it comes from.
    std::vector<int32_t> below, above;
    int64_t next = 0;  // of one search: the edge to try
  };
  // One edge of a path, along it or, taking back what another path used, against it.
  struct Step {
    int64_t from = 0;
    int64_t to = 0;
    int64_t edge = 0;
    bool is_backwards = false;
  };

  int64_t NodeOf(int64_t depth, int64_t position) const { return depth * n_ + position; }
  double Left(const Step& step) const {
    const double left = left_[step.edge];
    return step.is_backwards ? capacity_[step.edge] - left : left;
  }

  void TakeBack();
  bool FindDistances(int64_t source, int64_t sink);
  void Reach(int64_t node, int distance);
  void ReachAbove(int64_t node);
  void ReachBelow(int64_t node);
  double FillShortest(int64_t source, int64_t sink);
  bool FindStep(int64_t node, Step* step);
  double UsePath();

  const int depth_;
  const int64_t n_;
  std::vector<Node> nodes_;
  std::vector<float> capacity_;  // of each edge
  std::vector<double> left_;     // of its capacity
  // Of each depth, nodes in descending order of their count: those with an edge to some position
  // come first.
  std::vector<std::vector<int64_t>> order_;
  std::vector<std::vector<int64_t>> unreached_;  // what a search has not reached, in this order
  // Of one search: each node's steps to the sink through edges with something left, -1 when unknown
  // or of no more use; and the first position reached of each depth.
  std::vector<int> distance_;
  std::vector<int64_t> first_;
  std::vector<int64_t> queue_;
  std::vector<Step> path_;
};

}  // namespace heed

#endif  // HEED_MODEL_INSPECT_FLOW_NETWORK_H_
