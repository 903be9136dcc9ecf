#include "model/transformer/kv_cache.h"

#include <set>
#include <vector>

#include "gtest/gtest.h"

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
  std::set<float*> starts;
  for (int layer = 0; layer < kLayout.n_layers; ++layer) {
    std::vector<float*> pages;
    cache.LayerPages(layer, &pages);
    ASSERT_EQ(pages.size(), 3u);
    for (float* page : pages) {
      for (int64_t i = 0; i < kLayout.layer_floats(); ++i) page[i] = static_cast<float>(layer);
      starts.insert(page);
    }
  }
  EXPECT_EQ(starts.size(), 9u);
  for (int layer = 0; layer < kLayout.n_layers; ++layer) {
    std::vector<float*> pages;
    cache.LayerPages(layer, &pages);
    for (const float* page : pages) {
      for (int64_t i = 0; i < kLayout.layer_floats(); ++i)
        ASSERT_EQ(page[i], static_cast<float>(layer));
    }
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
