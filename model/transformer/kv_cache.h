// Keys and values of past tokens, in fixed-size pages that sequences borrow from one pool.
//
// A page holds kPageTokens consecutive positions of one sequence for every layer, [n_layers] of
// what model/kernels/kv_page.h describes.
//
// Whole pages can be shared by sequences that begin with the same tokens: the pool remembers what
// it was told of, also when no sequence holds it any more, and gives the pages that were not held
// for the longest time to whoever needs room.
#ifndef HEED_MODEL_TRANSFORMER_KV_CACHE_H_
#define HEED_MODEL_TRANSFORMER_KV_CACHE_H_

#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/synchronization/mutex.h"
#include "absl/types/span.h"
#include "model/checkpoint/model_config.h"
#include "model/kernels/backend.h"
#include "model/tokenizer/tokenizer.h"
#include "model/transformer/prefix_index.h"

namespace heed {

// What is in one page.
struct KvLayout {
  int n_layers = 0;
  int n_kv_heads = 0;
  int head_dim = 0;
  KvType type = KvType::kF32;

  static KvLayout For(const ModelConfig& config) {
    return {config.n_layers, config.n_kv_heads, config.head_dim, config.kv_type};
  }
  int64_t layer_bytes() const { return KvPartBytes(type, n_kv_heads, head_dim); }
  int64_t page_bytes() const { return n_layers * layer_bytes(); }
};

// Owns the memory of all pages. Thread-safe. Must outlive the caches that borrow from it.
class KvPool {
 public:
  // Room for at least one page; the memory is touched only as pages are first used, or a little
  // before (TouchAhead).
  KvPool(const KvLayout& layout, int64_t n_pages);
  ~KvPool();
  KvPool(const KvPool&) = delete;
  KvPool& operator=(const KvPool&) = delete;

  const KvLayout& layout() const { return layout_; }
  int64_t total_pages() const { return n_pages_; }
  // Pages that no cache holds.
  int64_t free_pages() const;
  // Those of them that are remembered for what is in them.
  int64_t idle_pages() const;

  // For whoever has nothing better to do: takes from the system one piece of the memory behind what
  // was ever used, as long as that is not there for the next `tokens` positions, 256 MiB at most. A
  // prompt would wait for it: the system clears memory before it gives it, and so does a virtual
  // machine's host, which can take as long as the prefill. False when all is there or the system
  // (Linux before 5.14) does not offer it. What is in the memory stays.
  bool TouchAhead(int64_t tokens);
  // From the memory's beginning, that are there already, as far as TouchAhead knows.
  int64_t touched_bytes() const;

 private:
  friend class KvCache;
  static constexpr int32_t kNone = -1;

  struct PageState {
    int32_t holders = 0;                   // caches that have the page
    int32_t older = kNone, newer = kNone;  // in the list of idle pages
  };

  // Appends the remembered pages that continue `*prefix` with `tokens`, as many as there are, then
  // free ones, until there are `count` in `pages`. Sets `*prefix` to what ends with the remembered
  // ones, and returns how many those were; nothing, changing nothing, when there are too few pages.
  std::optional<int64_t> Take(absl::Span<const TokenId> tokens, int64_t count,
                              PrefixIndex::Prefix* prefix, std::vector<int32_t>* pages);
  // Remembers `page` as what continues `*prefix` with `tokens`, and sets `*prefix` to what ends
  // with it. Returns the page that the caller holds now: the one that was remembered for this
  // already, if there is one.
  int32_t Remember(int32_t page, absl::Span<const TokenId> tokens, PrefixIndex::Prefix* prefix);
  void Return(absl::Span<const int32_t> pages);
  char* Page(int32_t page) const { return memory_ + page * layout_.page_bytes(); }

  std::vector<int32_t> Find(PrefixIndex::Prefix prefix, absl::Span<const TokenId> tokens) const
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  int64_t FreePages() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  int64_t UsedBytes() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void MakeRoom(int64_t count) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  int32_t TakeFree() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void Hold(int32_t page) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void Release(int32_t page) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void LinkIdle(int32_t page) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void UnlinkIdle(int32_t page) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  const KvLayout layout_;
  const int64_t n_pages_;
  const int64_t bytes_;
  char* memory_ = nullptr;  // [n_pages, page_bytes], anonymous mapping

  // A page is in one of four states: never used (its number is not below states_.size()), free (in
  // free_), idle (in the index and not held), or held (in the index or not).
  mutable absl::Mutex mutex_;
  std::vector<PageState> states_ ABSL_GUARDED_BY(mutex_);
  std::vector<int32_t> free_ ABSL_GUARDED_BY(mutex_);  // with the capacity of states_
  PrefixIndex index_ ABSL_GUARDED_BY(mutex_);
  // The list of idle pages. What continues a prefix is older there than the prefix: whoever holds a
  // page holds all before it, and a cache returns its last page first. So nothing is forgotten
  // before what continues it.
  int32_t oldest_idle_ ABSL_GUARDED_BY(mutex_) = kNone;
  int32_t newest_idle_ ABSL_GUARDED_BY(mutex_) = kNone;
  int64_t idle_ ABSL_GUARDED_BY(mutex_) = 0;
  int64_t touched_ ABSL_GUARDED_BY(mutex_) = 0;  // from the beginning, by TouchAhead
};

// One sequence's past. Not thread-safe: the engine thread owns it. Returns its pages when
// destroyed.
class KvCache {
 public:
  explicit KvCache(KvPool* pool) : pool_(pool) {}
  ~KvCache();
  KvCache(const KvCache&) = delete;
  KvCache& operator=(const KvCache&) = delete;

  // Makes room for `tokens` positions in all. RESOURCE_EXHAUSTED, changing nothing, when the pool
  // has too few pages.
  absl::Status Reserve(int64_t tokens);

  // The same for a cache without pages, which begins with as many whole pages of `prefix`, the
  // sequence's first tokens, as the pool remembers. size() tells how many positions those are.
  // `kind` as in PrefixIndex::Empty.
  absl::Status ReserveAfter(absl::Span<const TokenId> prefix, int64_t kind, int64_t tokens);

  int64_t size() const { return size_; }  // positions that hold keys and values in every layer
  int64_t capacity() const { return static_cast<int64_t>(pages_.size()) * kPageTokens; }
  const KvLayout& layout() const { return pool_->layout(); }

  // Lets the pool remember the whole pages of the sequence's first `tokens`, at most size() of
  // them: nobody changes those any more. For a cache that began with ReserveAfter.
  void Share(absl::Span<const TokenId> tokens);

  // Used by Forward: the layer's part of each page, in order of positions; they are listed in
  // `room`.
  KvPages LayerPages(int layer, std::vector<char*>* room) const;
  // Used by Forward once every layer has written the new positions.
  void Commit(int64_t new_tokens) { size_ += new_tokens; }
  // Forgets all positions from `size` on; their pages stay reserved. Not what is shared.
  void Truncate(int64_t size) { size_ = size; }

 private:
  absl::Status TakePages(int64_t tokens, absl::Span<const TokenId> prefix);

  KvPool* const pool_;
  std::vector<int32_t> pages_;
  int64_t size_ = 0;
  int64_t shared_pages_ = 0;  // of pages_, that others may read, too
  PrefixIndex::Prefix shared_prefix_ = PrefixIndex::Empty(0);  // what those pages are
};

// What sequences of a model may share of one another's pages.
struct PrefixSharing {
  int64_t tokens = 0;  // the first of a sequence; 0: nothing
  int64_t kind = 0;    // only with sequences of the same (see PrefixIndex::Empty)
};

// For a sequence of a prompt and, with what is generated, at most `max_tokens` tokens. A
// bidirectional model's keys and values depend on what follows. Where rotary frequencies follow the
// prompt's length, so do the keys, and only prompts of one length are alike.
PrefixSharing SharingOf(const ModelConfig& config, int64_t prompt_tokens, int64_t max_tokens);

// Pages that `tokens` positions take.
inline int64_t PagesFor(int64_t tokens) {
  return (tokens + kPageTokens - 1) / kPageTokens;
}

}  // namespace heed

#endif  // HEED_MODEL_TRANSFORMER_KV_CACHE_H_
