// Finds pages of keys and values by the tokens that they were computed from.
//
// Keys and values of a page depend on its own tokens and on all before them. So the pages of all
// known sequences form a tree: a page is found by the prefix it continues and its kPageTokens
// tokens, which are compared exactly. No two different prefixes are ever taken for one another.
#ifndef HEED_MODEL_TRANSFORMER_PREFIX_INDEX_H_
#define HEED_MODEL_TRANSFORMER_PREFIX_INDEX_H_

#include <array>
#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_set.h"
#include "absl/types/span.h"
#include "model/kernels/backend.h"
#include "model/tokenizer/tokenizer.h"

namespace heed {

// Not thread-safe.
class PrefixIndex {
 public:
  // A sequence's first whole pages. Never stands for another prefix, though it was forgotten.
  using Prefix = uint64_t;
  // The empty prefix. Sequences whose keys and values differ though their tokens are the same have
  // different `kind`s, [0, 2^62).
  static constexpr Prefix Empty(int64_t kind) {
    return (uint64_t{1} << 63) | static_cast<uint64_t>(kind);
  }

  PrefixIndex() : pages_(0, KeyHash{&entries_}, KeyEqual{&entries_}) {}
  PrefixIndex(const PrefixIndex&) = delete;
  PrefixIndex& operator=(const PrefixIndex&) = delete;

  // Adding pages below `count` allocates nothing from now on.
  void Reserve(int64_t count);

  // The page that continues `before` with `tokens` [kPageTokens]; -1 when none is known.
  int32_t Find(Prefix before, absl::Span<const TokenId> tokens) const;

  // `page`, which is not in the index, continues `before` with `tokens`, for which Find knows no
  // page. No effect when memory runs out, which it throws.
  void Add(Prefix before, absl::Span<const TokenId> tokens, int32_t page);

  bool Has(int32_t page) const {
    return static_cast<size_t>(page) < entries_.size() && entries_[page].prefix != 0;
  }
  // What ends with `page`, which is in the index.
  Prefix PrefixOf(int32_t page) const { return entries_[page].prefix; }

  // Forgets `page`, which is in the index.
  void Remove(int32_t page);

 private:
  struct Key {
    Prefix before = 0;
    std::array<TokenId, kPageTokens> tokens = {};

    template <typename H>
    friend H AbslHashValue(H hash, const Key& key) {
      return H::combine(std::move(hash), key.before, key.tokens);
    }
    friend bool operator==(const Key&, const Key&) = default;
  };
  struct Entry {
    Key key;
    Prefix prefix = 0;  // that ends with the page; 0: not in the index
  };
  // The set holds page numbers and compares what their entries say.
  struct KeyHash {
    using is_transparent = void;
    const std::vector<Entry>* entries;
    size_t operator()(const Key& key) const { return absl::Hash<Key>()(key); }
    size_t operator()(int32_t page) const { return (*this)((*entries)[page].key); }
  };
  struct KeyEqual {
    using is_transparent = void;
    const std::vector<Entry>* entries;
    bool operator()(int32_t a, int32_t b) const { return a == b; }
    bool operator()(int32_t a, const Key& b) const { return (*entries)[a].key == b; }
    bool operator()(const Key& a, int32_t b) const { return (*this)(b, a); }
  };

  static Key MakeKey(Prefix before, absl::Span<const TokenId> tokens);

  std::vector<Entry> entries_;  // by page
  absl::flat_hash_set<int32_t, KeyHash, KeyEqual> pages_;
  Prefix last_prefix_ = 0;
};

}  // namespace heed

#endif  // HEED_MODEL_TRANSFORMER_PREFIX_INDEX_H_
