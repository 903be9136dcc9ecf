// The pieces of a vocabulary, found at a place in a text byte by byte.
#ifndef HEED_MODEL_TOKENIZER_PIECE_TRIE_H_
#define HEED_MODEL_TOKENIZER_PIECE_TRIE_H_

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

#include "absl/strings/string_view.h"

namespace heed {

// Immutable once built. The children of a node stand next to each other, sorted by their byte.
class PieceTrie {
 public:
  static constexpr int32_t kNone = -1;

  struct Entry {
    absl::string_view piece;
    int32_t value = 0;  // not negative
  };

  PieceTrie() { root_.fill(kNone); }
  // Of two equal pieces the later counts; empty pieces are never found.
  explicit PieceTrie(std::vector<Entry> entries);

  // A walk down the trie. The trie must outlive it.
  class Walk {
   public:
    explicit Walk(const PieceTrie& trie) : trie_(trie) {}

    // False when no piece goes on with this byte; the walk is over then.
    bool Step(unsigned char byte) {
      node_ = at_root_ ? trie_.root_[byte] : trie_.Child(node_, byte);
      at_root_ = false;
      return node_ != kNone;
    }
    // Of the piece that ends here, or kNone.
    int32_t value() const { return trie_.values_[node_]; }

   private:
    const PieceTrie& trie_;
    int32_t node_ = 0;
    bool at_root_ = true;
  };

  // The longest piece with which `text` begins.
  struct Match {
    size_t length = 0;  // 0: none
    int32_t value = kNone;
  };
  Match Longest(absl::string_view text) const;

 private:
  int32_t Child(int32_t node, unsigned char byte) const {
    const unsigned char* const begin = labels_.data() + first_child_[node];
    const unsigned char* const end = labels_.data() + first_child_[node + 1];
    const unsigned char* const found = std::lower_bound(begin, end, byte);
    if (found == end || *found != byte) return kNone;
    return static_cast<int32_t>(found - labels_.data());
  }

  std::array<int32_t, 256> root_{};    // the root's children by byte
  std::vector<unsigned char> labels_;  // by node: the byte that leads to it
  std::vector<int32_t> first_child_;   // by node, and one more
  std::vector<int32_t> values_;        // by node
};

}  // namespace heed

#endif  // HEED_MODEL_TOKENIZER_PIECE_TRIE_H_
