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
  for (const char c : string) {
    const unsigned char byte = static_cast<unsigned char>(c);
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

// The failure link is the longest proper suffix that is itself a node. Once a string is a prefix of
// the way here there is no way to a better match through a later beginning, so the link is dead.
void TokenMatcher::Link(int32_t node) {
  Node& self = nodes_[node];
  const Node& parent = nodes_[self.parent];
  self.after_match = parent.after_match || self.string >= 0;
  if (self.after_match) {
    self.fail = kDead;
    return;
  }
  self.fail = self.parent == kRoot ? kRoot : Next(parent.fail, self.byte);
  if (self.fail == kDead || nodes_[self.fail].string < 0) return;
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
  while (node != kDead) {
    const int32_t child = Child(node, byte);
    if (child != kRoot || node == kRoot) return child;
    node = nodes_[node].fail;
  }
  return kDead;
}

std::optional<TokenMatcher::Match> TokenMatcher::Find(absl::string_view text, size_t from) const {
  std::optional<Match> best;
  int32_t node = kRoot;
  for (size_t i = from; i < text.size(); ++i) {
    // Most of a text begins no string. There is no match yet at the root.
    while (node == kRoot && root_children_[static_cast<unsigned char>(text[i])] == kRoot) {
      if (++i == text.size()) return best;
    }
    node = Next(node, static_cast<unsigned char>(text[i]));
    if (node == kDead || (node == kRoot && best.has_value())) break;
    const Node& reached = nodes_[node];
    if (reached.string < 0) continue;
    best = {i + 1 - reached.length, i + 1, reached.string};
  }
  return best;
}

}  // namespace heed
