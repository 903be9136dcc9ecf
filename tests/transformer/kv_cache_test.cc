#include "model/transformer/kv_cache.h"

#include <algorithm>
#include <cstdint>
#include <map>
#include <memory>
#include <random>
#include <set>
#include <utility>
#include <vector>

#include "gtest/gtest.h"
#include "tests/base/populates.h"

namespace heed {
namespace {

constexpr KvLayout kLayout{.n_layers = 3, .n_kv_heads = 2, .head_dim = 5};

TEST(KvCacheTest, TakesPagesAsItGrowsAndReturnsThem) {
  KvPool pool(kLayout, 4);
  EXPECT_EQ(pool.free_pages(), 4);
  {
    KvCache cache(&pool);
    EXPECT_EQ(cache.capacity(), 0);
    ASSERT_TRUE(cache.Reserve(1).ok());
    EXPECT_EQ(cache.capacity(), 16);
    ASSERT_TRUE(cache.Reserve(16).ok());
    EXPECT_EQ(pool.free_pages(), 3);
    ASSERT_TRUE(cache.Reserve(17).ok());
    EXPECT_EQ(pool.free_pages(), 2);
  }
  EXPECT_EQ(pool.free_pages(), 4);
}

TEST(KvCacheTest, RefusalChangesNothing) {
  KvPool pool(kLayout, 2);
  KvCache first(&pool), second(&pool);
  ASSERT_TRUE(first.Reserve(20).ok());
  const absl::Status status = second.Reserve(1);
  EXPECT_EQ(status.code(), absl::StatusCode::kResourceExhausted);
  EXPECT_EQ(second.capacity(), 0);
  EXPECT_EQ(first.Reserve(33).code(), absl::StatusCode::kResourceExhausted);
  EXPECT_EQ(first.capacity(), 32);
}

TEST(KvCacheTest, LayersOfPagesDoNotOverlap) {
  KvPool pool(kLayout, 3);
  KvCache cache(&pool);
  ASSERT_TRUE(cache.Reserve(48).ok());
  std::set<char*> starts;
  for (int layer = 0; layer < kLayout.n_layers; ++layer) {
    std::vector<char*> pages;
    cache.LayerPages(layer, &pages);
    ASSERT_EQ(pages.size(), 3u);
    for (char* page : pages) {
      std::fill_n(page, kLayout.layer_bytes(), static_cast<char>(layer));
      starts.insert(page);
    }
  }
  EXPECT_EQ(starts.size(), 9u);
  for (int layer = 0; layer < kLayout.n_layers; ++layer) {
    std::vector<char*> pages;
    cache.LayerPages(layer, &pages);
    for (const char* page : pages) {
      for (int64_t i = 0; i < kLayout.layer_bytes(); ++i) ASSERT_EQ(page[i], layer);
    }
  }
}

// --- Sharing -------------------------------------------------------------------------------------

// `n` tokens of which every one tells `seed`.
std::vector<TokenId> Tokens(int64_t n, TokenId seed) {
  std::vector<TokenId> tokens;
  for (int64_t i = 0; i < n; ++i) tokens.push_back(static_cast<TokenId>(100 * seed + i));
  return tokens;
}

std::vector<char*> Pages(const KvCache& cache) {
  std::vector<char*> pages;
  cache.LayerPages(0, &pages);
  return pages;
}

// A cache after a sequence of `tokens` has run and shared.
std::unique_ptr<KvCache> RunAndShare(KvPool* pool, const std::vector<TokenId>& tokens,
                                     int64_t kind = 0) {
  auto cache = std::make_unique<KvCache>(pool);
  EXPECT_TRUE(cache->ReserveAfter(tokens, kind, static_cast<int64_t>(tokens.size())).ok());
  cache->Commit(static_cast<int64_t>(tokens.size()) - cache->size());
  cache->Share(tokens);
  return cache;
}

// How many tokens of `tokens` a new cache would begin with.
int64_t Remembered(KvPool* pool, const std::vector<TokenId>& tokens, int64_t kind = 0) {
  KvCache cache(pool);
  EXPECT_TRUE(cache.ReserveAfter(tokens, kind, static_cast<int64_t>(tokens.size())).ok());
  return cache.size();
}

TEST(KvSharingTest, ASequenceBeginsWithTheWholePagesOfOneThatBeganAlike) {
  KvPool pool(kLayout, 8);
  const auto first = RunAndShare(&pool, Tokens(40, 1));
  KvCache second(&pool);
  ASSERT_TRUE(second.ReserveAfter(Tokens(40, 1), 0, 60).ok());
  EXPECT_EQ(second.size(), 32);
  EXPECT_EQ(second.capacity(), 64);
  EXPECT_EQ(Pages(second)[1], Pages(*first)[1]);
  EXPECT_NE(Pages(second)[2], Pages(*first)[2]);
  EXPECT_EQ(pool.free_pages(), 8 - 3 - 2);
}

TEST(KvSharingTest, APageIsAnothersOnlyAfterTheSameTokens) {
  KvPool pool(kLayout, 8);
  std::vector<TokenId> tokens = Tokens(32, 1);
  RunAndShare(&pool, tokens);
  tokens[3] = 9;
  EXPECT_EQ(Remembered(&pool, tokens), 0);
  tokens = Tokens(32, 1);
  tokens[31] = 9;
  EXPECT_EQ(Remembered(&pool, tokens), 16);
  EXPECT_EQ(Remembered(&pool, Tokens(31, 1)), 16);
  // The second page's tokens where a sequence begins.
  EXPECT_EQ(Remembered(&pool, {tokens.begin() + 16, tokens.end()}), 0);
}

TEST(KvSharingTest, KindsShareNothing) {
  KvPool pool(kLayout, 8);
  RunAndShare(&pool, Tokens(32, 1), /*kind=*/45);
  EXPECT_EQ(Remembered(&pool, Tokens(32, 1), 45), 32);
  EXPECT_EQ(Remembered(&pool, Tokens(32, 1), 44), 0);
  EXPECT_EQ(Remembered(&pool, Tokens(32, 1)), 0);
}

TEST(KvSharingTest, IdlePagesAreFreeAndRememberedUntilTheyAreNeeded) {
  KvPool pool(kLayout, 4);
  RunAndShare(&pool, Tokens(40, 1));
  EXPECT_EQ(pool.free_pages(), 4);
  EXPECT_EQ(pool.idle_pages(), 2);
  EXPECT_EQ(Remembered(&pool, Tokens(40, 1)), 32);
  KvCache other(&pool);
  ASSERT_TRUE(other.Reserve(3 * 16).ok());
  EXPECT_EQ(pool.free_pages(), 1);
  EXPECT_EQ(pool.idle_pages(), 1);
  EXPECT_EQ(Remembered(&pool, Tokens(16, 1)), 16);
  ASSERT_TRUE(other.Reserve(4 * 16).ok());
  EXPECT_EQ(pool.idle_pages(), 0);
}

TEST(KvSharingTest, WhatWasHeldLongestAgoIsForgottenFirstAndAPrefixLast) {
  KvPool pool(kLayout, 6);
  RunAndShare(&pool, Tokens(32, 1));
  RunAndShare(&pool, Tokens(32, 2));
  RunAndShare(&pool, Tokens(32, 3));
  Remembered(&pool, Tokens(32, 1));  // held a moment
  KvCache other(&pool);
  ASSERT_TRUE(other.Reserve(16).ok());
  EXPECT_EQ(pool.idle_pages(), 5);
  ASSERT_TRUE(other.Reserve(48).ok());
  EXPECT_EQ(pool.idle_pages(), 3);
  // The caches that look take no page but those that are remembered.
  EXPECT_EQ(Remembered(&pool, Tokens(32, 1)), 32);
  EXPECT_EQ(Remembered(&pool, Tokens(16, 3)), 16);
  EXPECT_EQ(Remembered(&pool, Tokens(16, 2)), 0);
}

TEST(KvSharingTest, HeldPagesStay) {
  KvPool pool(kLayout, 4);
  const auto first = RunAndShare(&pool, Tokens(32, 1));
  KvCache second(&pool);
  ASSERT_TRUE(second.ReserveAfter(Tokens(32, 1), 0, 64).ok());
  EXPECT_EQ(second.size(), 32);
  EXPECT_EQ(pool.free_pages(), 0);
  KvCache third(&pool);
  EXPECT_FALSE(third.Reserve(1).ok());
}

// Four pages: two idle ones, which the prefix of the third cache is, and one free.
TEST(KvSharingTest, RefusalWithAPrefixChangesNothing) {
  KvPool pool(kLayout, 4);
  RunAndShare(&pool, Tokens(32, 1));
  KvCache second(&pool), third(&pool);
  ASSERT_TRUE(second.Reserve(16).ok());
  EXPECT_EQ(third.ReserveAfter(Tokens(32, 1), 0, 64).code(), absl::StatusCode::kResourceExhausted);
  EXPECT_EQ(third.size(), 0);
  EXPECT_EQ(third.capacity(), 0);
  EXPECT_EQ(pool.free_pages(), 3);
  EXPECT_EQ(pool.idle_pages(), 2);
  EXPECT_TRUE(third.ReserveAfter(Tokens(32, 1), 0, 48).ok());
  EXPECT_EQ(third.size(), 32);
}

TEST(KvSharingTest, SequencesThatRanTheSameTokensEachKeepOneCopy) {
  KvPool pool(kLayout, 8);
  KvCache first(&pool), second(&pool);
  for (KvCache* cache : {&first, &second}) {
    ASSERT_TRUE(cache->ReserveAfter(Tokens(40, 1), 0, 40).ok());
    cache->Commit(40);
  }
  EXPECT_EQ(pool.free_pages(), 2);
  first.Share(Tokens(40, 1));
  second.Share(Tokens(40, 1));
  EXPECT_EQ(pool.free_pages(), 4);
  EXPECT_EQ(Pages(first)[0], Pages(second)[0]);
  EXPECT_EQ(Pages(first)[1], Pages(second)[1]);
  EXPECT_NE(Pages(first)[2], Pages(second)[2]);
}

ModelConfig ConfigOf(RopeScaling::Kind kind) {
  ModelConfig config;
  config.rope_scaling.kind = kind;
  config.rope_scaling.original_context = 100;
  return config;
}

TEST(KvSharingTest, OnlyPromptsOfOneLengthAreAlikeWhereFrequenciesFollowIt) {
  PrefixSharing sharing = SharingOf(ConfigOf(RopeScaling::Kind::kYarn), 120, 130);
  EXPECT_EQ(sharing.tokens, 130);
  EXPECT_EQ(sharing.kind, 0);
  for (auto kind : {RopeScaling::Kind::kDynamic, RopeScaling::Kind::kLongRope}) {
    sharing = SharingOf(ConfigOf(kind), 100, 130);
    EXPECT_EQ(sharing.tokens, 100);
    EXPECT_EQ(sharing.kind, 0);
    EXPECT_EQ(SharingOf(ConfigOf(kind), 120, 130).kind, 120);
    ModelConfig windowed;
    windowed.windowed_rope = RopeParameters{.scaling = ConfigOf(kind).rope_scaling};
    EXPECT_EQ(SharingOf(windowed, 120, 130).kind, 120);
  }
  ModelConfig bidirectional;
  bidirectional.causal = false;
  EXPECT_EQ(SharingOf(bidirectional, 20, 20).tokens, 0);
}

// Caches that come, grow and go at random. The first number of each page that is shared says which
// tokens it stands for; a page that is given to two, or forgotten but found, has the wrong one.
TEST(KvSharingTest, PagesAlwaysHoldWhatTheyStandFor) {
  constexpr KvLayout kSmall{.n_layers = 1, .n_kv_heads = 1, .head_dim = 1};
  std::mt19937 random(7);
  KvPool pool(kSmall, 24);
  const auto at = [](const KvCache& cache, size_t page) -> float& {
    return *reinterpret_cast<float*>(Pages(cache)[page]);
  };
  std::map<std::vector<TokenId>, float> stamps;  // by prefix
  const auto stamp = [&](const std::vector<TokenId>& tokens, int64_t page) {
    const std::vector<TokenId> prefix(tokens.begin(), tokens.begin() + (page + 1) * 16);
    return stamps.emplace(prefix, static_cast<float>(stamps.size() + 1)).first->second;
  };
  std::vector<std::pair<std::unique_ptr<KvCache>, std::vector<TokenId>>> live;
  int64_t hits = 0;
  for (int step = 0; step < 5000; ++step) {
    if (random() % 2 == 0 && !live.empty()) {
      std::swap(live[random() % live.size()], live.back());
      live.pop_back();
    } else {
      std::vector<TokenId> tokens;  // of two values a page, so that sequences branch
      for (uint32_t page = 0, n = 1 + random() % 6; page < n; ++page) {
        tokens.resize(tokens.size() + 16, static_cast<TokenId>(random() % 2));
      }
      auto cache = std::make_unique<KvCache>(&pool);
      const int64_t size = static_cast<int64_t>(tokens.size());
      if (!cache->ReserveAfter(tokens, 0, size).ok()) continue;
      const int64_t shared = cache->size() / 16;
      hits += shared;
      for (int64_t page = shared; page < size / 16; ++page) {
        at(*cache, page) = stamp(tokens, page);
      }
      cache->Commit(size - cache->size());
      if (random() % 4 != 0) cache->Share(tokens);
      live.emplace_back(std::move(cache), tokens);
    }
    std::set<char*> held;
    for (const auto& [cache, tokens] : live) {
      const std::vector<char*> pages = Pages(*cache);
      for (size_t page = 0; page < pages.size(); ++page) {
        ASSERT_EQ(at(*cache, page), stamp(tokens, static_cast<int64_t>(page))) << "step " << step;
        held.insert(pages[page]);
      }
    }
    ASSERT_EQ(pool.free_pages(), 24 - static_cast<int64_t>(held.size())) << "step " << step;
    ASSERT_LE(pool.idle_pages(), pool.free_pages());
  }
  EXPECT_GT(hits, 1000);
}

constexpr int64_t kMib = int64_t{1} << 20;
// Pages of one MiB.
constexpr KvLayout kLarge{.n_layers = 8, .n_kv_heads = 16, .head_dim = 64};

// Where pages that nobody holds are, by taking all of them for a moment.
std::vector<char*> AllPages(KvPool* pool) {
  KvCache cache(pool);
  EXPECT_TRUE(cache.Reserve(pool->total_pages() * kPageTokens).ok());
  return Pages(cache);
}

int TouchAll(KvPool* pool, int64_t tokens) {
  int pieces = 0;
  while (pool->TouchAhead(tokens)) ++pieces;
  return pieces;
}

TEST(KvTouchTest, MemoryIsThereBeforeItIsUsed) {
  if (!SystemPopulates()) GTEST_SKIP() << "this system offers nothing for it";
  KvPool pool(kLarge, 100);
  EXPECT_EQ(pool.touched_bytes(), 0);
  EXPECT_EQ(TouchAll(&pool, 0), 0);
  const int pieces = TouchAll(&pool, 10 * kPageTokens - 15);
  EXPECT_GE(pieces, 5);  // of 2 MiB each
  EXPECT_LE(pieces, 6);
  const int64_t touched = pool.touched_bytes();
  EXPECT_GE(touched, 10 * kMib);
  EXPECT_LT(touched, 12 * kMib);
  const std::vector<char*> pages = AllPages(&pool);
  for (int page = 0; page < 10; ++page) {
    EXPECT_TRUE(IsResident(pages[page]) && IsResident(pages[page] + kMib - 1)) << page;
  }
  EXPECT_FALSE(IsResident(pages[12]));
}

TEST(KvTouchTest, GoesOnBehindWhatIsUsed) {
  if (!SystemPopulates()) GTEST_SKIP() << "this system offers nothing for it";
  KvPool pool(kLarge, 100);
  TouchAll(&pool, 4 * kPageTokens);
  KvCache cache(&pool);
  ASSERT_TRUE(cache.Reserve(30 * kPageTokens).ok());
  EXPECT_EQ(pool.touched_bytes(), 30 * kMib);
  EXPECT_FALSE(IsResident(Pages(cache)[29]));
  EXPECT_GE(TouchAll(&pool, 4 * kPageTokens), 2);
  EXPECT_GE(pool.touched_bytes(), 34 * kMib);
  EXPECT_LT(pool.touched_bytes(), 36 * kMib);
  EXPECT_EQ(TouchAll(&pool, 4 * kPageTokens), 0);
  EXPECT_FALSE(IsResident(Pages(cache)[20]));  // what was taken is not looked at again
}

TEST(KvTouchTest, IsBounded) {
  if (!SystemPopulates()) GTEST_SKIP() << "this system offers nothing for it";
  KvPool large(kLarge, 300), small(kLayout, 9);
  TouchAll(&large, 299 * kPageTokens);
  EXPECT_GE(large.touched_bytes(), 256 * kMib);
  EXPECT_LT(large.touched_bytes(), 258 * kMib);
  EXPECT_FALSE(IsResident(AllPages(&large)[258]));
  EXPECT_LE(TouchAll(&small, 99 * kPageTokens), 2);
  EXPECT_EQ(small.touched_bytes(), 9 * kLayout.page_bytes());
}

TEST(KvTouchTest, LeavesWhatIsThere) {
  if (!SystemPopulates()) GTEST_SKIP() << "this system offers nothing for it";
  KvPool pool(kLayout, 9);
  KvCache cache(&pool);
  ASSERT_TRUE(cache.Reserve(5 * kPageTokens).ok());
  for (char* page : Pages(cache)) std::fill_n(page, kLayout.page_bytes(), 'x');
  TouchAll(&pool, 4 * kPageTokens);
  EXPECT_EQ(pool.touched_bytes(), 9 * kLayout.page_bytes());
  for (char* page : Pages(cache)) {
    EXPECT_EQ(std::count(page, page + kLayout.page_bytes(), 'x'), kLayout.page_bytes());
  }
}

TEST(KvCacheTest, PagesForRoundsUp) {
  EXPECT_EQ(PagesFor(0), 0);
  EXPECT_EQ(PagesFor(1), 1);
  EXPECT_EQ(PagesFor(16), 1);
  EXPECT_EQ(PagesFor(17), 2);
}

}  // namespace
}  // namespace heed
