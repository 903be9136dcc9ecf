#include "model/tokenizer/token_matcher.h"

#include <algorithm>
#include <numeric>

namespace heed {

TokenMatcher::TokenMatcher() : nodes_(1) {}

int32_t TokenMatcher::Child(int32_t node, unsigned char byte) const {
  if (node == kRoot) return root_children_[byte];
  const auto found = children_.find(Edge(node, byte));
  return found == children_.end() ? kRoot : found->second;
}

void TokenMatcher::Add(absl::string_view string, int32_t number) {
  int32_t node = kRoot;
  for (size_t i = string.size(); i-- > 0;) {
    const unsigned char byte = static_cast<unsigned char>(string[i]);
    int32_t child = Child(node, byte);
    if (child == kRoot) {
      child = static_cast<int32_t>(nodes_.size());
      nodes_.push_back({.parent = node, .depth = nodes_[node].depth + 1, .byte = byte});
      if (node == kRoot) {
        root_children_[byte] = child;
      } else {
        children_.emplace(Edge(node, byte), child);
      }
    }
    node = child;
  }
  nodes_[node].string = number;
  nodes_[node].length = nodes_[node].depth;
}

// The failure link is the longest proper suffix of the way here that is itself a node.
void TokenMatcher::Link(int32_t node) {
  Node& self = nodes_[node];
  self.fail = self.parent == kRoot ? kRoot : Next(nodes_[self.parent].fail, self.byte);
  if (self.string >= 0) return;
  self.string = nodes_[self.fail].string;
  self.length = nodes_[self.fail].length;
}

void TokenMatcher::Build() {
  std::vector<int32_t> order(nodes_.size() - 1);
  std::iota(order.begin(), order.end(), 1);
  std::stable_sort(order.begin(), order.end(),
                   [this](int32_t a, int32_t b) { return nodes_[a].depth < nodes_[b].depth; });
  for (const int32_t node : order) Link(node);
}

int32_t TokenMatcher::Next(int32_t node, unsigned char byte) const {
  while (true) {
    const int32_t child = Child(node, byte);
    if (child != kRoot || node == kRoot) return child;
    node = nodes_[node].fail;
  }
}

void TokenMatcher::ForEach(absl::string_view text,
                           absl::FunctionRef<void(const Match&)> visit) const {
  struct Place {
    uint32_t begin;
    int32_t node;
  };
  std::vector<Place> places;  // the last comes first
  int32_t node = kRoot;
  for (size_t i = text.size(); i-- > 0;) {
    const unsigned char byte = static_cast<unsigned char>(text[i]);
    // Most of a text ends no string.
    if (node == kRoot && root_children_[byte] == kRoot) continue;
    node = Next(node, byte);
    if (nodes_[node].string >= 0) places.push_back({static_cast<uint32_t>(i), node});
  }
  size_t done = 0;
  for (; !places.empty(); places.pop_back()) {
    const size_t begin = places.back().begin;
    if (begin < done) continue;
    const Node& found = nodes_[places.back().node];
    done = begin + static_cast<size_t>(found.length);
    visit({begin, done, found.string});
  }
}

}  // namespace heed
