#include "model/tokenizer/piece_trie.h"

namespace heed {
namespace {

// The entries [begin, end) share their first `depth` bytes, the way to a node.
struct Range {
  size_t begin;
  size_t end;
  size_t depth;
};

// Sorted, each piece once.
void SortAndUnite(std::vector<PieceTrie::Entry>* entries) {
  using Entry = PieceTrie::Entry;
  std::stable_sort(entries->begin(), entries->end(),
                   [](const Entry& a, const Entry& b) { return a.piece < b.piece; });
  size_t kept = 0;
  for (const Entry& entry : *entries) {
    if (entry.piece.empty()) continue;
    if (kept > 0 && (*entries)[kept - 1].piece == entry.piece) --kept;
    (*entries)[kept++] = entry;
  }
  entries->resize(kept);
}

}  // namespace

PieceTrie::PieceTrie(std::vector<Entry> entries) {
  SortAndUnite(&entries);
  std::vector<Range> ranges = {{0, entries.size(), 0}};  // by node, breadth first
  labels_.push_back(0);
  for (size_t node = 0; node < ranges.size(); ++node) {
    auto [begin, end, depth] = ranges[node];
    const bool ends_here = begin < end && entries[begin].piece.size() == depth;
    values_.push_back(ends_here ? entries[begin].value : kNone);
    if (ends_here) ++begin;
    first_child_.push_back(static_cast<int32_t>(ranges.size()));
    while (begin < end) {
      const char byte = entries[begin].piece[depth];
      size_t next = begin + 1;
      while (next < end && entries[next].piece[depth] == byte) ++next;
      ranges.push_back({begin, next, depth + 1});
      labels_.push_back(static_cast<unsigned char>(byte));
      begin = next;
    }
  }
  first_child_.push_back(static_cast<int32_t>(ranges.size()));
  for (int byte = 0; byte < 256; ++byte) root_[byte] = Child(0, static_cast<unsigned char>(byte));
}

PieceTrie::Match PieceTrie::Longest(absl::string_view text) const {
  Match longest;
  Walk walk(*this);
  for (size_t i = 0; i < text.size() && walk.Step(static_cast<unsigned char>(text[i])); ++i) {
    if (walk.value() != kNone) longest = {i + 1, walk.value()};
  }
  return longest;
}

}  // namespace heed
