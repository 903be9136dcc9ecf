#include "model/transformer/kv_cache.h"

#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cstdint>
#include <new>

#include "absl/strings/str_cat.h"
#include "model/base/error.h"
#include "model/transformer/rope.h"

namespace heed {

namespace {

constexpr int64_t kMib = int64_t{1} << 20;
constexpr int64_t kMostAhead = 256 * kMib;
constexpr int64_t kHugePage = 2 * kMib;  // as on most machines; any other is as right

char* AlignedDown(char* address, int64_t alignment) {
  return address - reinterpret_cast<uintptr_t>(address) % static_cast<uintptr_t>(alignment);
}

}  // namespace

KvPool::KvPool(const KvLayout& layout, int64_t n_pages)
    : layout_(layout), n_pages_(n_pages), bytes_(n_pages * layout.page_bytes()) {
  const size_t bytes = static_cast<size_t>(bytes_);
  void* memory = mmap(nullptr, bytes, PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (memory == MAP_FAILED) throw std::bad_alloc();
#if defined(MADV_HUGEPAGE)
  // A long prompt touches much memory for the first time. Only advice.
  madvise(memory, bytes, MADV_HUGEPAGE);
#endif
  memory_ = static_cast<char*>(memory);
}

KvPool::~KvPool() {
  munmap(memory_, static_cast<size_t>(bytes_));
}

int64_t KvPool::free_pages() const {
  absl::MutexLock lock(&mutex_);
  return FreePages();
}

int64_t KvPool::idle_pages() const {
  absl::MutexLock lock(&mutex_);
  return idle_;
}

int64_t KvPool::FreePages() const {
  const int64_t never_used = n_pages_ - static_cast<int64_t>(states_.size());
  return never_used + static_cast<int64_t>(free_.size()) + idle_;
}

int64_t KvPool::UsedBytes() const {
  return static_cast<int64_t>(states_.size()) * layout_.page_bytes();
}

int64_t KvPool::touched_bytes() const {
  absl::MutexLock lock(&mutex_);
  return std::max(touched_, UsedBytes());
}

#if defined(MADV_POPULATE_WRITE)
bool KvPool::TouchAhead(int64_t tokens) {
  const int64_t ahead = std::min(PagesFor(tokens) * layout_.page_bytes(), kMostAhead);
  char *begin = nullptr, *end = nullptr;
  {
    absl::MutexLock lock(&mutex_);
    const int64_t touched = std::max(touched_, UsedBytes());
    if (touched >= std::min(UsedBytes() + ahead, bytes_)) return false;
    // Up to where a huge page ends, so that it is taken whole.
    begin = memory_ + touched;
    end = std::min(AlignedDown(begin, kHugePage) + kHugePage, memory_ + bytes_);
  }
  // Without the lock: sequences take pages meanwhile, and write into these.
  begin = AlignedDown(begin, sysconf(_SC_PAGESIZE));
  if (madvise(begin, static_cast<size_t>(end - begin), MADV_POPULATE_WRITE) != 0) return false;
  absl::MutexLock lock(&mutex_);
  touched_ = std::max(touched_, end - memory_);
  return true;
}
#else
bool KvPool::TouchAhead(int64_t) {
  return false;
}
#endif

std::optional<int64_t> KvPool::Take(absl::Span<const TokenId> tokens, int64_t count,
                                    PrefixIndex::Prefix* prefix, std::vector<int32_t>* pages) {
  absl::MutexLock lock(&mutex_);
  const std::vector<int32_t> known = Find(*prefix, tokens);
  int64_t available = FreePages();
  for (int32_t page : known) available -= states_[page].holders == 0 ? 1 : 0;
  const int64_t missing = count - static_cast<int64_t>(pages->size() + known.size());
  if (missing > available) return std::nullopt;
  pages->reserve(count);
  MakeRoom(missing);
  // Held before others are taken, of which some may be idle.
  for (int32_t page : known) {
    Hold(page);
    pages->push_back(page);
    *prefix = index_.PrefixOf(page);
  }
  for (int64_t i = 0; i < missing; ++i) pages->push_back(TakeFree());
  return static_cast<int64_t>(known.size());
}

std::vector<int32_t> KvPool::Find(PrefixIndex::Prefix prefix,
                                  absl::Span<const TokenId> tokens) const {
  std::vector<int32_t> pages;
  for (; static_cast<int64_t>(tokens.size()) >= kPageTokens; tokens.remove_prefix(kPageTokens)) {
    const int32_t page = index_.Find(prefix, tokens.first(kPageTokens));
    if (page < 0) break;
    pages.push_back(page);
    prefix = index_.PrefixOf(page);
  }
  return pages;
}

// Allocates all that the next `count` calls of TakeFree, and sharing and returning what they give,
// will need.
void KvPool::MakeRoom(int64_t count) {
  const int64_t used = static_cast<int64_t>(states_.size());
  const int64_t more =
      std::min(n_pages_ - used, std::max<int64_t>(count - static_cast<int64_t>(free_.size()), 0));
  if (used + more <= static_cast<int64_t>(states_.capacity())) return;
  const int64_t capacity = std::min(n_pages_, std::max(used + more, 2 * used));
  free_.reserve(capacity);
  index_.Reserve(capacity);
  states_.reserve(capacity);
}

// Pages of low numbers are used again and again, and the memory of the rest is touched only when
// there is no other that was used and is free.
int32_t KvPool::TakeFree() {
  int32_t page = static_cast<int32_t>(states_.size());
  if (!free_.empty()) {
    page = free_.back();
    free_.pop_back();
  } else if (page < n_pages_) {
    states_.emplace_back();
  } else {
    page = oldest_idle_;
    UnlinkIdle(page);
    index_.Remove(page);
  }
  states_[page].holders = 1;
  return page;
}

int32_t KvPool::Remember(int32_t page, absl::Span<const TokenId> tokens,
                         PrefixIndex::Prefix* prefix) {
  absl::MutexLock lock(&mutex_);
  const int32_t known = index_.Find(*prefix, tokens);
  if (known < 0) {
    index_.Add(*prefix, tokens, page);
  } else {
    Hold(known);
    Release(page);
    page = known;
  }
  *prefix = index_.PrefixOf(page);
  return page;
}

void KvPool::Return(absl::Span<const int32_t> pages) {
  absl::MutexLock lock(&mutex_);
  for (auto page = pages.rbegin(); page != pages.rend(); ++page) Release(*page);
}

void KvPool::Hold(int32_t page) {
  if (states_[page].holders++ == 0) UnlinkIdle(page);
}

void KvPool::Release(int32_t page) {
  if (--states_[page].holders > 0) return;
  if (index_.Has(page)) {
    LinkIdle(page);
  } else {
    free_.push_back(page);
  }
}

void KvPool::LinkIdle(int32_t page) {
  states_[page].older = newest_idle_;
  states_[page].newer = kNone;
  (newest_idle_ == kNone ? oldest_idle_ : states_[newest_idle_].newer) = page;
  newest_idle_ = page;
  ++idle_;
}

void KvPool::UnlinkIdle(int32_t page) {
  const PageState& state = states_[page];
  (state.older == kNone ? oldest_idle_ : states_[state.older].newer) = state.newer;
  (state.newer == kNone ? newest_idle_ : states_[state.newer].older) = state.older;
  --idle_;
}

KvCache::~KvCache() {
  pool_->Return(pages_);
}

absl::Status KvCache::Reserve(int64_t tokens) {
  return TakePages(tokens, {});
}

absl::Status KvCache::ReserveAfter(absl::Span<const TokenId> prefix, int64_t kind, int64_t tokens) {
  shared_prefix_ = PrefixIndex::Empty(kind);
  return TakePages(tokens, prefix);
}

absl::Status KvCache::TakePages(int64_t tokens, absl::Span<const TokenId> prefix) {
  const int64_t count = PagesFor(tokens), held = static_cast<int64_t>(pages_.size());
  if (count <= held) return absl::OkStatus();
  const std::optional<int64_t> shared = pool_->Take(prefix, count, &shared_prefix_, &pages_);
  if (!shared.has_value()) {
    return MakeError(absl::StatusCode::kResourceExhausted, "KV_CACHE_FULL",
                     absl::StrCat("the KV cache has ", pool_->free_pages(), " free pages of ",
                                  kPageTokens, " tokens, ", count - held, " are needed"));
  }
  shared_pages_ += *shared;
  size_ += *shared * kPageTokens;
  return absl::OkStatus();
}

void KvCache::Share(absl::Span<const TokenId> tokens) {
  for (int64_t end = (shared_pages_ + 1) * kPageTokens; end <= static_cast<int64_t>(tokens.size());
       end += kPageTokens) {
    int32_t& page = pages_[shared_pages_];
    page = pool_->Remember(page, tokens.subspan(end - kPageTokens, kPageTokens), &shared_prefix_);
    ++shared_pages_;
  }
}

PrefixSharing SharingOf(const ModelConfig& config, int64_t prompt_tokens, int64_t max_tokens) {
  if (!config.causal) return {};
  bool follows_length = false, is_long = false;
  const auto look_at = [&](const RopeScaling& scaling) {
    follows_length |= FollowsLength(scaling);
    is_long |= FollowsLength(scaling) && prompt_tokens > scaling.original_context;
  };
  look_at(config.rope_scaling);
  if (config.windowed_rope) look_at(config.windowed_rope->scaling);
  return {.tokens = follows_length ? prompt_tokens : max_tokens,
          .kind = is_long ? prompt_tokens : 0};
}

KvPages KvCache::LayerPages(int layer, std::vector<char*>* room) const {
  const int64_t offset = layer * layout().layer_bytes();
  room->clear();
  for (int32_t page : pages_) room->push_back(pool_->Page(page) + offset);
  return {layout().type, *room};
}

}  // namespace heed
