// Keys and values of past tokens, in fixed-size pages that sequences borrow from one pool.
//
// A page holds kPageTokens consecutive positions of one sequence for every layer, [n_layers] of
// what KvPages in model/kernels/backend.h describes.
#ifndef HEED_MODEL_TRANSFORMER_KV_CACHE_H_
#define HEED_MODEL_TRANSFORMER_KV_CACHE_H_

#include <cstdint>
#include <memory>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/synchronization/mutex.h"
#include "model/checkpoint/model_config.h"
#include "model/kernels/backend.h"

namespace heed {

// Sizes of one page, in floats.
struct KvLayout {
  int n_layers = 0;
  int n_kv_heads = 0;
  int head_dim = 0;

  static KvLayout For(const ModelConfig& config) {
    return {config.n_layers, config.n_kv_heads, config.head_dim};
  }
  int64_t head_floats() const { return head_dim * kPageTokens; }           // K or V of one head
  int64_t layer_floats() const { return 2 * n_kv_heads * head_floats(); }  // K, then V
  int64_t page_floats() const { return n_layers * layer_floats(); }
};

// Owns the memory of all pages. Thread-safe. Must outlive the caches that borrow from it.
class KvPool {
 public:
  // Room for at least one page; the memory is touched only as pages are first used.
  KvPool(const KvLayout& layout, int64_t n_pages);
  ~KvPool();
  KvPool(const KvPool&) = delete;
  KvPool& operator=(const KvPool&) = delete;

  const KvLayout& layout() const { return layout_; }
  int64_t total_pages() const { return n_pages_; }
  int64_t free_pages() const;

 private:
  friend class KvCache;
  bool Take(int64_t count, std::vector<int32_t>* pages);
  void Return(const std::vector<int32_t>& pages);
  float* Page(int32_t page) const { return memory_ + page * layout_.page_floats(); }

  const KvLayout layout_;
  const int64_t n_pages_;
  float* memory_ = nullptr;  // [n_pages, page_floats], anonymous mapping
  mutable absl::Mutex mutex_;
  std::vector<int32_t> free_ ABSL_GUARDED_BY(mutex_);
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

  int64_t size() const { return size_; }  // positions that hold keys and values in every layer
  int64_t capacity() const { return static_cast<int64_t>(pages_.size()) * kPageTokens; }
  const KvLayout& layout() const { return pool_->layout(); }

  // Used by Forward: the layer's part of each page, in order of positions.
  void LayerPages(int layer, std::vector<float*>* pages) const;
  // Used by Forward once every layer has written the new positions.
  void Commit(int64_t new_tokens) { size_ += new_tokens; }
  // Forgets all positions from `size` on; their pages stay reserved.
  void Truncate(int64_t size) { size_ = size; }

 private:
  KvPool* const pool_;
  std::vector<int32_t> pages_;
  int64_t size_ = 0;
};

// Pages that `tokens` positions take.
inline int64_t PagesFor(int64_t tokens) {
  return (tokens + kPageTokens - 1) / kPageTokens;
}

}  // namespace heed

#endif  // HEED_MODEL_TRANSFORMER_KV_CACHE_H_
