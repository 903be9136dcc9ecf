#include "model/inspect/flow_network.h"

#include <algorithm>
#include <limits>
#include <numeric>

namespace heed {

FlowNetwork::FlowNetwork(int depth, int64_t n_positions)
    : depth_(depth),
      n_(n_positions),
      nodes_((depth + 1) * n_positions),
      distance_(nodes_.size()),
      first_(depth + 1) {}

int64_t FlowNetwork::MaxBytes(int64_t depth, int64_t n_positions) {
  const int64_t edges = depth * n_positions * n_positions;
  const int64_t nodes = (depth + 1) * n_positions;
  return edges * static_cast<int64_t>(sizeof(float) + sizeof(double)) +
         nodes * static_cast<int64_t>(sizeof(Node) + 5 * sizeof(int64_t));
}

void FlowNetwork::SetRow(int layer, int64_t position, absl::Span<const double> capacities) {
  while (!capacities.empty() && capacities.back() <= 0) capacities.remove_suffix(1);
  Node& node = nodes_[NodeOf(layer + 1, position)];
  node.begin = static_cast<int64_t>(capacity_.size());
  node.count = static_cast<int64_t>(capacities.size());
  capacity_.insert(capacity_.end(), capacities.begin(), capacities.end());
}

double FlowNetwork::MaxFlow(int64_t source_position, int64_t sink_position) {
  TakeBack();
  const int64_t source = NodeOf(depth_, source_position), sink = NodeOf(0, sink_position);
  const auto out =
      absl::MakeConstSpan(capacity_).subspan(nodes_[source].begin, nodes_[source].count);
  const double most = std::accumulate(out.begin(), out.end(), 0.0);
  double flow = 0;
  // All that leaves the source arrives, or a search finds no way left.
  while (most - flow > kNothing * static_cast<double>(n_) && FindDistances(source, sink)) {
    flow += FillShortest(source, sink);
  }
  return flow;
}

void FlowNetwork::TakeBack() {
  if (left_.size() != capacity_.size()) {
    left_.assign(capacity_.begin(), capacity_.end());
    order_.resize(depth_ + 1);
    for (int depth = 0; depth <= depth_; ++depth) {
      order_[depth].resize(n_);
      std::iota(order_[depth].begin(), order_[depth].end(), depth * n_);
      std::stable_sort(order_[depth].begin(), order_[depth].end(),
                       [&](int64_t a, int64_t b) { return nodes_[a].count > nodes_[b].count; });
    }
  }
  for (Node& node : nodes_) {
    for (int32_t below : node.below) left_[node.begin + below] = capacity_[node.begin + below];
    node.below.clear();
    node.above.clear();
  }
}

// From the sink, breadth first, until the source is reached; false when it is not.
bool FlowNetwork::FindDistances(int64_t source, int64_t sink) {
  std::fill(distance_.begin(), distance_.end(), -1);
  std::fill(first_.begin(), first_.end(), n_);
  unreached_ = order_;
  queue_.clear();
  Reach(sink, 0);
  for (size_t i = 0; i < queue_.size() && queue_[i] != source; ++i) {
    if (queue_[i] < depth_ * n_) ReachAbove(queue_[i]);
    ReachBelow(queue_[i]);
  }
  return distance_[source] >= 0;
}

void FlowNetwork::Reach(int64_t node, int distance) {
  distance_[node] = distance;
  first_[node / n_] = std::min(first_[node / n_], node % n_);
  queue_.push_back(node);
}

void FlowNetwork::ReachAbove(int64_t node) {
  const int64_t position = node % n_;
  std::vector<int64_t>& open = unreached_[node / n_ + 1];
  size_t kept = 0, i = 0;
  for (; i < open.size() && nodes_[open[i]].count > position; ++i) {
    if (left_[nodes_[open[i]].begin + position] <= kNothing) {
      open[kept++] = open[i];
    } else if (distance_[open[i]] < 0) {
      Reach(open[i], distance_[node] + 1);
    }
  }
  if (kept < i) open.erase(open.begin() + kept, open.begin() + i);
}

void FlowNetwork::ReachBelow(int64_t node) {
  for (int32_t position : nodes_[node].below) {
    const int64_t below = NodeOf(node / n_ - 1, position), edge = nodes_[node].begin + position;
    if (distance_[below] >= 0 || capacity_[edge] - left_[edge] <= kNothing) continue;
    Reach(below, distance_[node] + 1);
  }
}

// Path after path, each node one step nearer to the sink, until none of this length is left.
double FlowNetwork::FillShortest(int64_t source, int64_t sink) {
  for (int64_t i = 0; i < static_cast<int64_t>(nodes_.size()); ++i) {
    nodes_[i].next = i < n_ ? 0 : std::min(first_[i / n_ - 1], nodes_[i].count);
  }
  path_.clear();
  double flow = 0;
  int64_t node = source;
  while (true) {
    Step step;
    if (node == sink) {
      flow += UsePath();
      node = path_.empty() ? source : path_.back().to;
    } else if (FindStep(node, &step)) {
      path_.push_back(step);
      node = step.to;
    } else if (node == source) {
      return flow;
    } else {
      distance_[node] = -1;
      node = path_.back().from;
      path_.pop_back();
    }
  }
}

// An edge down, or a used one back up, to a node that is nearer to the sink.
bool FlowNetwork::FindStep(int64_t from, Step* step) {
  Node& node = nodes_[from];
  const int64_t depth = from / n_, position = from % n_;
  const int64_t end = node.count + static_cast<int64_t>(node.above.size());
  for (; node.next < end; ++node.next) {
    const int64_t i = node.next;
    *step = {from, NodeOf(depth - 1, i), node.begin + i, i >= node.count};
    if (step->is_backwards) {
      step->to = NodeOf(depth + 1, node.above[i - node.count]);
      step->edge = nodes_[step->to].begin + position;
    }
    if (distance_[step->to] == distance_[from] - 1 && Left(*step) > kNothing) return true;
  }
  return false;
}

// Moves as much as goes along the path, and leaves of it what comes before its first full edge.
double FlowNetwork::UsePath() {
  double amount = std::numeric_limits<double>::max();
  for (const Step& step : path_) amount = std::min(amount, Left(step));
  size_t kept = path_.size();
  for (size_t i = path_.size(); i-- > 0;) {
    const Step& step = path_[i];
    double& left = left_[step.edge];
    if (!step.is_backwards && left == capacity_[step.edge]) {
      nodes_[step.from].below.push_back(static_cast<int32_t>(step.to % n_));
      nodes_[step.to].above.push_back(static_cast<int32_t>(step.from % n_));
    }
    left += step.is_backwards ? amount : -amount;
    if (Left(step) <= kNothing) kept = i;
  }
  path_.resize(kept);
  return amount;
}

}  // namespace heed
