// Tiles and captures: every row in its place, whatever the order and the pieces it comes in.
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <functional>
#include <memory>
#include <numeric>
#include <random>
#include <set>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "model/base/cpu.h"
#include "model/inspect/attention_capture.h"
#include "model/inspect/attention_tile.h"
#include "model/kernels/top_k.h"

namespace heed {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

TEST(AttentionTileTest, DenseRowsAreFilledUpWithZeros) {
  AttentionTile tile(3, 1, {4, 6}, 4, /*top_k=*/0);
  tile.StoreRow(1, {0.5f, 0.25f, 0.25f});
  tile.StoreRow(0, {1.0f});
  EXPECT_THAT(tile.weights(), ElementsAre(1, 0, 0, 0, 0.5f, 0.25f, 0.25f, 0));
  EXPECT_EQ(tile.data_bytes(), 2 * RowBytes(0, 4));
  EXPECT_FALSE(tile.is_top_k());
}

TEST(AttentionTileTest, TopKKeepsTheLargestTiesBySmallerKey) {
  AttentionTile tile(0, 0, {0, 1, 2}, 6, /*top_k=*/3);
  tile.StoreRow(0, {0.125f, 0.25f, 0.25f, 0.125f, 0.125f, 0.125f});
  tile.StoreRow(1, {0.0f, 0.5f, 0.0f, 0.0f, 0.5f});
  tile.StoreRow(2, {0.25f, 0.75f});
  EXPECT_THAT(tile.keys(), ElementsAre(1, 2, 0, 1, 4, 0, 1, 0, -1));
  EXPECT_THAT(tile.weights(), ElementsAre(0.25f, 0.25f, 0.125f, 0.5f, 0.5f, 0, 0.75f, 0.25f, 0));
  EXPECT_THAT(tile.dropped_mass(), ElementsAre(0.375f, 0, 0));
  EXPECT_EQ(tile.data_bytes(), 3 * RowBytes(3, 6));
}

TEST(AttentionTileTest, TopKEqualsAFullSortOnRandomRows) {
  std::mt19937 random(7);
  for (int round = 0; round < 200; ++round) {
    const int64_t n = 1 + random() % (round % 2 == 0 ? 40 : 400);
    const int64_t k = 1 + random() % 45;
    std::vector<float> weights(n);
    for (float& weight : weights)
      weight = static_cast<float>(random() % (1 << random() % 12)) / 4096;  // ties
    AttentionTile tile(0, 0, {n - 1}, n, k);
    tile.StoreRow(0, weights);
    std::vector<int> order(n);
    std::iota(order.begin(), order.end(), 0);
    std::stable_sort(order.begin(), order.end(),
                     [&](int a, int b) { return weights[a] > weights[b]; });
    const int64_t kept = std::min(n, k);
    ASSERT_EQ(tile.columns(), kept);
    float rest = 0;
    for (int64_t i = 0; i < n; ++i) {
      if (i >= kept) {
        rest += weights[order[i]];
        continue;
      }
      EXPECT_EQ(tile.keys()[i], order[i]);
      EXPECT_EQ(tile.weights()[i], weights[order[i]]);
    }
    EXPECT_EQ(tile.dropped_mass()[0], rest);
  }
}

// The first round's blocks are new, later ones have been kept in part.
TEST(TileMemoryTest, ABlockIsGivenToOneAtATime) {
  constexpr int64_t kFloats = TileMemory::kBlockFloats;
  for (int round = 0; round < 3; ++round) {
    std::vector<std::shared_ptr<float>> blocks;
    std::set<const float*> places;
    for (int64_t i = 0; i < TileMemory::kSpareBlocks + 1; ++i) {
      blocks.push_back(TileMemory(kFloats).Take(kFloats));
      std::fill_n(blocks.back().get(), kFloats, 1.0f);
      places.insert(blocks.back().get());
    }
    EXPECT_EQ(places.size(), blocks.size());
  }
}

// Rows that come together have the bits of rows that come alone, whichever they are, and so have
// rows whose factors are yet to be multiplied by.
TEST(AttentionTileTest, TopKOfManyRowsIsThatOfEach) {
  std::mt19937 random(13);
  for (int round = 0; round < 60; ++round) {
    const int64_t n_rows = 1 + random() % 40;
    const int64_t longest = round % 8 == 7 ? 4080 + random() % 1000 : 40 + random() % 400;
    const int64_t k = round % 2 == 0 ? 16 : 1 + random() % 20, stride = 1 + random() % 3;
    std::vector<int64_t> queries(n_rows);
    std::iota(queries.begin(), queries.end(), 0);
    AttentionTile together(0, 0, queries, longest, k), alone(0, 0, queries, longest, k);
    AttentionTile scaled(0, 0, queries, longest, k), scaled_alone(0, 0, queries, longest, k);
    std::vector<std::vector<float>> weights(n_rows), unscaled(n_rows), factors(n_rows);
    std::vector<TopKRow> rows, rows_with_factors;
    for (int64_t row = 0; row < n_rows; ++row) {
      weights[row].resize(round % 3 == 0 ? 1 + random() % longest : longest - row);
      const int values = 1 << (2 + random() % 12);  // few: many ties
      const size_t large_lanes = round % 3 == 2 ? random() % 14 : 0;
      for (size_t key = 0; key < weights[row].size(); ++key) {
        if (key % kFactorKeys == 0) {
          factors[row].resize(key / kFactorKeys * stride);
          factors[row].push_back(0.25f + 0.01f * (random() % 300));
        }
        const int offset = key % 64 < large_lanes ? 9 : 0;
        unscaled[row].push_back(
            std::exp(offset - static_cast<float>(random() % values) * 8 / values));
        weights[row][key] = unscaled[row].back() * factors[row].back();
      }
      alone.StoreRow(row, weights[row]);
      rows.push_back(together.TopKOf(row, weights[row]));
      const KeyFactors own{factors[row].data(), stride};
      rows_with_factors.push_back(scaled.TopKOf(row, unscaled[row], own));
      StoreTopK({scaled_alone.TopKOf(row, unscaled[row], own)}, alone.columns());
    }
    StoreTopK(rows, alone.columns());
    StoreTopK(rows_with_factors, alone.columns());
    for (const AttentionTile* tile : {&together, &scaled, &scaled_alone}) {
      EXPECT_EQ(tile->keys(), alone.keys());
      EXPECT_EQ(tile->weights(), alone.weights());
      EXPECT_EQ(tile->dropped_mass(), alone.dropped_mass());
    }
  }
}

// Every instruction set that this machine has finds what a full sort finds, and few besides.
TEST(TopKTest, CandidatesHoldTheLargestOnEveryInstructionSet) {
  std::vector<const TopKKernels*> all = {&PortableTopK()};
#if defined(__x86_64__)
  if (DetectCpu().isa >= Isa::kAvx2) all.push_back(&Avx2TopK());
  if (DetectCpu().isa >= Isa::kAvx512) all.push_back(&Avx512TopK());
#endif
  std::mt19937 random(11);
  for (int round = 0; round < 300; ++round) {
    const int64_t n = 1 + random() % (round % 10 == 9 ? 9000 : 600), k = 1 + random() % 40;
    std::vector<float> weights(n);
    for (float& weight : weights) {
      weight = std::exp(-static_cast<float>(random() % 4096) / 300) * (random() % 9 == 0 ? 0 : 1);
    }
    std::vector<float> sorted = weights;
    std::sort(sorted.begin(), sorted.end(), std::greater<float>());
    const float smallest = sorted[std::min(n, k) - 1];
    for (const TopKKernels* kernels : all) {
      std::vector<int32_t> keys(TopKRoom(n));
      std::vector<float> candidates(TopKRoom(n));
      const auto [count, dropped] =
          kernels->find(weights.data(), n, k, candidates.data(), keys.data());
      keys.resize(count);
      for (int64_t i = 0; i < count; ++i) ASSERT_EQ(candidates[i], weights[keys[i]]);
      std::vector<bool> found(n);
      for (int32_t key : keys) found[key] = true;
      double rest = 0;
      for (int64_t key = 0; key < n; ++key) {
        if (weights[key] >= smallest) {
          ASSERT_TRUE(found[key]);
        }
        if (!found[key]) rest += weights[key];
      }
      EXPECT_TRUE(std::is_sorted(keys.begin(), keys.end()));
      EXPECT_NEAR(dropped, rest, 1e-6 * rest);  // summed in single precision, in part
      if (n >= 128 && k <= 32 && smallest > 0) {
        EXPECT_LE(count, 3 * k + 16);
      }
      if (count > kMostOrdered) continue;
      const int64_t kept = std::min(k, count);
      std::vector<float> out(kept);
      std::vector<int32_t> out_keys(kept);
      double total = kernels->order(candidates.data(), keys.data(), count, kept, dropped,
                                    out.data(), out_keys.data());
      std::stable_sort(keys.begin(), keys.end(),
                       [&](int32_t a, int32_t b) { return weights[a] > weights[b]; });
      for (int64_t i = 0; i < kept; ++i) {
        ASSERT_EQ(out_keys[i], keys[i]);
        ASSERT_EQ(out[i], weights[keys[i]]);
      }
      for (int64_t i = count; i-- > kept;) total -= weights[keys[i]];
      EXPECT_NEAR(total, dropped, 1e-12);
    }
  }
}

float Weight(int layer, int head, int64_t query, int64_t key) {
  return static_cast<float>(((layer * 10 + head) * 1000 + query) * 1000 + key);
}

// Runs positions [begin, end) of a causal model of `layers` layers through an observer.
void RunModel(ForwardObserver& observer, int layers, int64_t begin, int64_t end) {
  for (int layer = 0; layer < layers; ++layer) {
    const AttentionRows rows = observer.WantAttention(layer, begin, end);
    for (int64_t query : rows.queries) {
      EXPECT_GE(query, begin);
      EXPECT_LT(query, end);
      std::vector<float> weights(query + 1);
      for (int64_t key = 0; key <= query; ++key) weights[key] = 0;
      for (int head : rows.heads) {
        for (int64_t key = 0; key <= query; ++key) weights[key] = Weight(layer, head, query, key);
        observer.OnAttentionRow(layer, head, query, weights);
      }
    }
  }
}

void ExpectRows(const AttentionTile& tile, int64_t key_count) {
  for (int64_t row = 0; row < tile.rows(); ++row) {
    for (int64_t key = 0; key < key_count; ++key) {
      const int64_t query = tile.queries()[row];
      ASSERT_EQ(tile.weights()[row * key_count + key],
                key <= query ? Weight(tile.layer(), tile.head(), query, key) : 0);
    }
  }
}

TEST(PromptCaptureTest, TilesComeInTheSameOrderWhateverTheChunks) {
  for (int64_t chunk : {1, 3, 10}) {
    auto capture =
        PromptCapture::Create({.layers = {0, 2}, .heads = {1, 3}, .queries = {0, 4, 9}}, 10, 3, 4);
    ASSERT_TRUE(capture.ok());
    EXPECT_EQ((*capture)->tile_count(), 4);
    for (int64_t begin = 0; begin < 10; begin += chunk) {
      EXPECT_FALSE((*capture)->TakeTile().has_value());
      RunModel(**capture, 3, begin, std::min<int64_t>(begin + chunk, 10));
      (*capture)->CompleteUpTo(std::min<int64_t>(begin + chunk, 10));
    }
    for (const auto& [layer, head] : {std::pair(0, 1), {0, 3}, {2, 1}, {2, 3}}) {
      const auto tile = (*capture)->TakeTile();
      ASSERT_TRUE(tile.has_value());
      EXPECT_EQ(tile->layer(), layer);
      EXPECT_EQ(tile->head(), head);
      EXPECT_THAT(tile->queries(), ElementsAre(0, 4, 9));
      ExpectRows(*tile, 10);
    }
    EXPECT_FALSE((*capture)->TakeTile().has_value());
  }
}

TEST(PromptCaptureTest, ALongSelectionIsCutIntoTilesThatLeaveEarly) {
  constexpr int64_t kKeys = 1024;  // 256 rows a tile
  AttentionChoice choice{.layers = {0}, .heads = {0, 1}, .queries = {}};
  for (int64_t query = 0; query < 700; ++query) choice.queries.push_back(query);
  auto capture = PromptCapture::Create(choice, kKeys, 1, 2);
  ASSERT_TRUE(capture.ok());
  EXPECT_EQ((*capture)->tile_count(), 6);
  std::vector<AttentionTile> tiles;
  const auto take_all = [&] {
    while (auto tile = (*capture)->TakeTile()) tiles.push_back(*std::move(tile));
  };
  RunModel(**capture, 1, 0, 255);
  (*capture)->CompleteUpTo(255);
  take_all();
  EXPECT_THAT(tiles, IsEmpty());
  RunModel(**capture, 1, 255, 600);
  (*capture)->CompleteUpTo(600);
  take_all();
  EXPECT_EQ(tiles.size(), 4u);
  RunModel(**capture, 1, 600, 1024);
  (*capture)->CompleteUpTo(1024);
  take_all();
  ASSERT_EQ(tiles.size(), 6u);
  const int64_t first_queries[] = {0, 0, 256, 256, 512, 512};
  for (int i = 0; i < 6; ++i) {
    EXPECT_EQ(tiles[i].head(), i % 2);
    EXPECT_EQ(tiles[i].queries().front(), first_queries[i]);
    EXPECT_LE(tiles[i].data_bytes(), kMaxTileBytes);
    ExpectRows(tiles[i], kKeys);
  }
  EXPECT_EQ(tiles[5].queries().back(), 699);
}

// Takes the rows of one query of layer 1 and heads 0 and 2.
void ExpectStep(StepCapture& capture, int64_t query) {
  const std::vector<AttentionTile> rows = capture.TakeRows(query);
  ASSERT_EQ(rows.size(), 2u);
  for (const AttentionTile& row : rows) {
    EXPECT_EQ(row.layer(), 1);
    EXPECT_THAT(row.queries(), ElementsAre(query));
    ExpectRows(row, query + 1);
  }
  EXPECT_EQ(rows[1].head(), 2);
}

TEST(StepCaptureTest, KeepsTheRowThatPredictsAndNothingBefore) {
  StepCapture capture({.layers = {1}, .heads = {0, 2}}, /*prompt_length=*/6, 2, 3);
  EXPECT_THAT(capture.TakeRows(0), IsEmpty());
  RunModel(capture, 2, 0, 4);
  EXPECT_THAT(capture.TakeRows(3), IsEmpty());
  RunModel(capture, 2, 4, 6);
  for (int64_t query : {5, 6, 7}) {
    if (query > 5) RunModel(capture, 2, query, query + 1);
    ExpectStep(capture, query);
    EXPECT_THAT(capture.TakeRows(query + 1), IsEmpty());
  }
}

// A token, two guesses behind it of which one is wrong, and what comes in its place.
TEST(StepCaptureTest, KeepsTheRowsOfGuessesUntilOthersCome) {
  StepCapture capture({.layers = {1}, .heads = {0, 2}}, /*prompt_length=*/6, 2, 3);
  RunModel(capture, 2, 0, 6);
  RunModel(capture, 2, 6, 9);
  ExpectStep(capture, 6);
  ExpectStep(capture, 7);
  EXPECT_THAT(capture.TakeRows(5), IsEmpty());
  RunModel(capture, 2, 8, 9);
  ExpectStep(capture, 8);
  EXPECT_THAT(capture.TakeRows(7), IsEmpty());
  RunModel(capture, 2, 8, 10);
  ExpectStep(capture, 9);
}

}  // namespace
}  // namespace heed
