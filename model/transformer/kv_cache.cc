#include "model/transformer/kv_cache.h"

#include <sys/mman.h>

#include <new>

#include "absl/strings/str_cat.h"
#include "model/base/error.h"

namespace heed {

KvPool::KvPool(const KvLayout& layout, int64_t n_pages) : layout_(layout), n_pages_(n_pages) {
  const size_t bytes = static_cast<size_t>(n_pages_ * layout_.page_floats()) * sizeof(float);
  void* memory = mmap(nullptr, bytes, PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (memory == MAP_FAILED) throw std::bad_alloc();
  memory_ = static_cast<float*>(memory);
  // Taken from the back, so that low pages are used again and again and the rest is never touched.
  for (int64_t page = n_pages_ - 1; page >= 0; --page) free_.push_back(static_cast<int32_t>(page));
}

KvPool::~KvPool() {
  munmap(memory_, static_cast<size_t>(n_pages_ * layout_.page_floats()) * sizeof(float));
}

int64_t KvPool::free_pages() const {
  absl::MutexLock lock(&mutex_);
  return static_cast<int64_t>(free_.size());
}

bool KvPool::Take(int64_t count, std::vector<int32_t>* pages) {
  absl::MutexLock lock(&mutex_);
  if (count > static_cast<int64_t>(free_.size())) return false;
  for (int64_t i = 0; i < count; ++i) {
    pages->push_back(free_.back());
    free_.pop_back();
  }
  return true;
}

void KvPool::Return(const std::vector<int32_t>& pages) {
  absl::MutexLock lock(&mutex_);
  free_.insert(free_.end(), pages.rbegin(), pages.rend());
}

KvCache::~KvCache() {
  pool_->Return(pages_);
}

absl::Status KvCache::Reserve(int64_t tokens) {
  const int64_t missing = PagesFor(tokens) - static_cast<int64_t>(pages_.size());
  if (missing <= 0 || pool_->Take(missing, &pages_)) return absl::OkStatus();
  return MakeError(absl::StatusCode::kResourceExhausted, "KV_CACHE_FULL",
                   absl::StrCat("the KV cache has ", pool_->free_pages(), " free pages of ",
                                kPageTokens, " tokens, ", missing, " are needed"));
}

void KvCache::LayerPages(int layer, std::vector<float*>* pages) const {
  const int64_t offset = layer * layout().layer_floats();
  pages->clear();
  for (int32_t page : pages_) pages->push_back(pool_->Page(page) + offset);
}

}  // namespace heed
