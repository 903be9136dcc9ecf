// Finding any of many strings in a text in one pass.
#ifndef HEED_MODEL_TOKENIZER_TOKEN_MATCHER_H_
#define HEED_MODEL_TOKENIZER_TOKEN_MATCHER_H_

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/string_view.h"

namespace heed {

// An Aho-Corasick automaton with leftmost-longest matches: of all matches, the one that begins
// first, and of those the longest. A search reads each byte a bounded number of times on average,
// whatever the strings and the text.
class TokenMatcher {
 public:
  struct Match {
    size_t begin = 0;
    size_t end = 0;
    int32_t string = 0;  // as given to Add
  };

  TokenMatcher();

  // Adds a string, which must not be empty; of two equal strings the later counts. Build() must
  // follow the last one.
  void Add(absl::string_view string, int32_t number);
  void Build();

  bool empty() const { return nodes_.size() == 1; }

  // The first match at or after `from`.
  std::optional<Match> Find(absl::string_view text, size_t from) const;

 private:
  static constexpr int32_t kRoot = 0;
  static constexpr int32_t kDead = -1;  // a match has been found and nothing can improve on it

  struct Node {
    int32_t parent = kRoot;
    int32_t fail = kRoot;
    int32_t string = -1;  // the string that ends here, itself or as a suffix
    int32_t length = 0;   // of that string
    int32_t depth = 0;
    unsigned char byte = 0;    // from the parent
    bool after_match = false;  // a string is a prefix of the way here
  };

  static uint64_t Edge(int32_t node, unsigned char byte) {
    return static_cast<uint64_t>(node) << 8 | byte;
  }
  int32_t Child(int32_t node, unsigned char byte) const;
  int32_t Next(int32_t node, unsigned char byte) const;
  void Link(int32_t node);

  std::vector<Node> nodes_;
  std::array<int32_t, 256> root_children_{};         // kRoot: none
  absl::flat_hash_map<uint64_t, int32_t> children_;  // of all other nodes
};

}  // namespace heed

#endif  // HEED_MODEL_TOKENIZER_TOKEN_MATCHER_H_
