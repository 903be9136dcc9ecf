// Finding any of many strings in a text in time linear in the text.
#ifndef HEED_MODEL_TOKENIZER_TOKEN_MATCHER_H_
#define HEED_MODEL_TOKENIZER_TOKEN_MATCHER_H_

#include <array>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/functional/function_ref.h"
#include "absl/strings/string_view.h"

namespace heed {

// Leftmost-longest matches: of all matches the one that begins first, of those the longest, and on
// from its end. An Aho-Corasick automaton of the strings read backwards tells, from the text's end
// to its beginning, which is the longest string that begins at each place. So a text is read once,
// whatever the strings: read forwards, a match would not be known to be the longest before much
// behind it was read, to be read again for the next.
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

  // Calls `visit` with one match after another. Takes 8 bytes for each place of the text, of less
  // than 4 GiB, where a string begins.
  void ForEach(absl::string_view text, absl::FunctionRef<void(const Match&)> visit) const;

 private:
  static constexpr int32_t kRoot = 0;

  struct Node {
    int32_t parent = kRoot;
    int32_t fail = kRoot;
    int32_t string = -1;  // the longest string that begins here, with the node or within it
    int32_t length = 0;   // of that string
    int32_t depth = 0;
    unsigned char byte = 0;  // from the parent
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
