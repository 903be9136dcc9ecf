#include "model/transformer/prefix_index.h"

#include <algorithm>

namespace heed {

PrefixIndex::Key PrefixIndex::MakeKey(Prefix before, absl::Span<const TokenId> tokens) {
  Key key{.before = before};
  std::copy_n(tokens.begin(), kPageTokens, key.tokens.begin());
  return key;
}

void PrefixIndex::Reserve(int64_t count) {
  entries_.reserve(count);
  pages_.reserve(count);
}

int32_t PrefixIndex::Find(Prefix before, absl::Span<const TokenId> tokens) const {
  const auto found = pages_.find(MakeKey(before, tokens));
  return found == pages_.end() ? -1 : *found;
}

void PrefixIndex::Add(Prefix before, absl::Span<const TokenId> tokens, int32_t page) {
  if (static_cast<size_t>(page) >= entries_.size()) entries_.resize(page + 1);
  entries_[page].key = MakeKey(before, tokens);
  pages_.insert(page);
  entries_[page].prefix = ++last_prefix_;
}

void PrefixIndex::Remove(int32_t page) {
  pages_.erase(page);
  entries_[page].prefix = 0;
}

}  // namespace heed
