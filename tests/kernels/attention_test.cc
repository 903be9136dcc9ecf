#include <omp.h>

#include <algorithm>
#include <cmath>
#include <utility>
#include <vector>

#include "gtest/gtest.h"
#include "tests/kernels/attention_testing.h"

namespace heed {
namespace {

TEST(AttentionTest, OutputAndWeightsEqualTheScalarTwin) {
  for (const Backend* backend : FastBackends()) {
    for (int head_dim : {1, 8, 16, 20, 32, 64, 80}) {
      for (bool causal : {true, false}) {
        for (int64_t length : {1, 2, 7, 8, 9, 16, 17, 33, 70}) {
          const AttentionShape shape{4, 2, head_dim, 1.0f / std::sqrt(static_cast<float>(head_dim)),
                                     causal};
          Sequence fast(shape, length, 1), twin(shape, length, 1);
          RecordingSink fast_rows, twin_rows;
          const std::vector<int> heads = AllHeads(4);
          const std::vector<int64_t> queries = AllQueries(length);
          fast.Run(backend, 0, length, {heads, queries}, &fast_rows);
          twin.Run(ReferenceBackend(), 0, length, {heads, queries}, &twin_rows);
          EXPECT_LT(MaxDifference(fast.output.values, twin.output.values), 2e-6) << backend->name();
          ASSERT_EQ(fast_rows.rows.size(), twin_rows.rows.size());
          for (const auto& [at, row] : fast_rows.rows) {
            ASSERT_EQ(row.size(), static_cast<size_t>(causal ? at.second + 1 : length));
            EXPECT_LT(MaxDifference(row, twin_rows.rows[at]), 1e-6) << backend->name();
          }
        }
      }
    }
  }
}

// Windows around the size of a page and beyond the sequence, against the scalar twin, and the twin
// against what a window means: the same weights as if nothing came before it.
TEST(AttentionTest, WindowsEqualTheScalarTwin) {
  for (const Backend* backend : FastBackends()) {
    for (int64_t window : {1, 2, 15, 16, 17, 33, 100}) {
      for (int head_dim : {8, 20, 64}) {
        for (int64_t length : {1, 2, 8, 9, 16, 17, 33, 70}) {
          const float scale = 1.0f / std::sqrt(static_cast<float>(head_dim));
          const AttentionShape shape{4, 2, head_dim, scale, true, window};
          Sequence fast(shape, length, 1), twin(shape, length, 1);
          RecordingSink fast_rows, twin_rows;
          const std::vector<int> heads = AllHeads(4);
          const std::vector<int64_t> queries = AllQueries(length);
          fast.Run(backend, 0, length, {heads, queries}, &fast_rows);
          twin.Run(ReferenceBackend(), 0, length, {heads, queries}, &twin_rows);
          EXPECT_LT(MaxDifference(fast.output.values, twin.output.values), 2e-6) << backend->name();
          ASSERT_EQ(fast_rows.rows.size(), static_cast<size_t>(4 * length));
          for (const auto& [at, row] : fast_rows.rows) {
            ASSERT_EQ(row.size(), static_cast<size_t>(at.second + 1));
            EXPECT_LT(MaxDifference(row, twin_rows.rows[at]), 1e-6) << backend->name();
            for (int64_t key = 0; key <= at.second - window; ++key) ASSERT_EQ(row[key], 0.0f);
          }
        }
      }
    }
  }
}

TEST(AttentionTest, WhatLiesBeforeTheWindowChangesNoBit) {
  for (const Backend* backend : FastBackends()) {
    for (int64_t window : {1, 2, 15, 16, 17, 33}) {
      const AttentionShape shape{4, 2, 40, 0.2f, true, window};
      Sequence one(shape, 70, 3), other(shape, 70, 3);
      for (int64_t row = 0; row < 70 - window; ++row) {
        for (float& v : other.key.ref().Row(row)) v = 7.5f - v;
        for (float& v : other.value.ref().Row(row)) v = -100.0f * v;
      }
      RecordingSink one_rows, other_rows;
      const std::vector<int> heads = AllHeads(4);
      const std::vector<int64_t> last = {69};
      one.Run(backend, 0, 70, {heads, last}, &one_rows);
      other.Run(backend, 0, 70, {heads, last}, &other_rows);
      EXPECT_TRUE(SameBits(one.output.ref().Row(69), other.output.ref().Row(69)))
          << backend->name() << ", window " << window;
      EXPECT_EQ(one_rows.rows, other_rows.rows);
      EXPECT_FALSE(SameBits(one.output.ref().Row(0), other.output.ref().Row(0)));
    }
  }
}

TEST(AttentionTest, AWindowOfOneIsExactlyOneHot) {
  for (const Backend* backend : FastBackends()) {
    const AttentionShape shape{4, 2, 20, 5.0f, true, 1};
    Sequence sequence(shape, 50, 9);
    RecordingSink sink;
    sequence.Run(backend, 0, 50, {AllHeads(4), AllQueries(50)}, &sink);
    for (const auto& [at, row] : sink.rows) {
      std::vector<float> want(at.second + 1, 0.0f);
      want.back() = 1.0f;
      EXPECT_EQ(row, want) << backend->name();
    }
    for (int64_t p = 0; p < 50; ++p) {  // heads 0 and 1 read kv head 0, heads 2 and 3 kv head 1
      for (int i = 0; i < 80; ++i) {
        ASSERT_EQ(sequence.output.ref().Row(p)[i],
                  sequence.value.ref().Row(p)[i / 40 * 20 + i % 20]);
      }
    }
  }
}

TEST(AttentionTest, EqualScoresGiveExactlyOneOverTheNumberOfKeys) {
  for (const Backend* backend : FastBackends()) {
    for (int64_t window : {0, 5, 17}) {
      const AttentionShape shape{1, 1, 24, 1.0f, true, window};
      Sequence sequence(shape, 100, 9);
      for (Matrix* m : {&sequence.query, &sequence.key}) m->values.assign(m->values.size(), 0.0f);
      RecordingSink sink;
      sequence.Run(backend, 0, 100, {AllHeads(1), AllQueries(100)}, &sink);
      for (const auto& [at, row] : sink.rows) {
        const int64_t seen = window == 0 ? at.second + 1 : std::min(window, at.second + 1);
        for (int64_t key = 0; key <= at.second; ++key) {
          const bool visible = key > at.second - seen;
          ASSERT_EQ(row[key], visible ? 1.0f / static_cast<float>(seen) : 0.0f) << backend->name();
        }
      }
    }
  }
}

TEST(AttentionTest, RowsSumToOne) {
  const AttentionShape shape{2, 2, 64, 3.0f, true};  // a large scale: nearly one-hot rows
  Sequence sequence(shape, 100, 7);
  RecordingSink sink;
  sequence.Run(DefaultBackend(), 0, 100, {AllHeads(2), AllQueries(100)}, &sink);
  for (const auto& [at, row] : sink.rows) {
    double sum = 0;
    for (float w : row) sum += w;
    EXPECT_NEAR(sum, 1.0, 1e-5) << "head " << at.first << ", query " << at.second;
  }
}

// A sink with room for some of the rows.
class RoomySink : public RecordingSink {
 public:
  static constexpr int64_t kKeys = 90;  // whole pages of no row that sees more than 80
  absl::Span<float> RoomFor(int head, int64_t query) override {
    return absl::MakeSpan(memory_).subspan((head * kKeys + query) * kKeys, kKeys);
  }
  void OnRows(absl::Span<const WatchedRow> some) override {
    for (const WatchedRow& row : some) {
      EXPECT_EQ(row.weights.data() == RoomFor(row.head, row.query).data(), row.query < 80);
    }
    RecordingSink::OnRows(some);
  }

 private:
  std::vector<float> memory_ = std::vector<float>(2 * kKeys * kKeys, 7.0f);
};

TEST(AttentionTest, RowsAreMadeWhereTheSinkHasRoom) {
  for (const Backend* backend : FastBackends()) {
    for (int64_t window : {0, 20}) {
      const AttentionShape shape{2, 2, 24, 0.2f, true, window};
      Sequence sequence(shape, RoomySink::kKeys, 3);
      const std::vector<int> heads = AllHeads(2);
      const std::vector<int64_t> queries = AllQueries(RoomySink::kKeys);
      RecordingSink plain;
      sequence.Run(backend, 0, RoomySink::kKeys, {heads, queries}, &plain);
      RoomySink roomy;
      sequence.Run(backend, 0, RoomySink::kKeys, {heads, queries, /*have_room=*/true}, &roomy);
      EXPECT_EQ(roomy.rows, plain.rows) << backend->name() << ", window " << window;
    }
  }
}

// Alone and among others; causal or not; in one span of keys and, as few rows do it, in several.
TEST(AttentionTest, FactorsMakeTheWeightsThatRowsHaveWithoutThem) {
  for (const Backend* backend : FastBackends()) {
    for (const auto& [causal, window] : {std::pair{true, 0}, {true, 90}, {false, 0}, {false, 90}}) {
      for (int64_t length : {70, 1200}) {
        const AttentionShape shape{2, 1, 24, 2.0f, causal, window};
        Sequence sequence(shape, length, 3);
        const int64_t first = causal ? length - 50 : 0;
        if (first > 0) sequence.Run(backend, 0, first);
        const std::vector<int64_t> queries = {length - 40, length - 20, length - 1};
        RecordingSink plain, scaled;
        sequence.Run(backend, first, length, {AllHeads(2), queries}, &plain);
        sequence.Run(backend, first, length, {AllHeads(2), queries, false, /*takes_factors=*/true},
                     &scaled);
        EXPECT_EQ(plain.rows, scaled.rows) << backend->name() << ", window " << window;
        EXPECT_EQ(plain.rows_with_factors, 0);
        EXPECT_EQ(scaled.rows_with_factors, 6);
        if (!causal) continue;
        RecordingSink last;
        sequence.Run(backend, length - 1, length,
                     {AllHeads(2), queries, false, /*takes_factors=*/true}, &last);
        EXPECT_EQ(last.rows, (decltype(last.rows){{{0, length - 1}, plain.rows[{0, length - 1}]},
                                                  {{1, length - 1}, plain.rows[{1, length - 1}]}}));
      }
    }
  }
}

// The steps in which a row takes its keys begin at the same keys, whichever rows are near.
TEST(AttentionTest, ChunksOfLongWindowsGiveTheSameBits) {
  for (const Backend* backend : FastBackends()) {
    const AttentionShape shape{2, 1, 24, 0.2f, true, 90};
    Sequence whole(shape, 200, 3);
    whole.Run(backend, 0, 200);
    for (int64_t chunk : {1, 7, 31}) {
      Sequence pieces(shape, 200, 3);
      for (int64_t begin = 0; begin < 200; begin += chunk) {
        pieces.Run(backend, begin, std::min<int64_t>(200, begin + chunk));
      }
      EXPECT_TRUE(SameBits(whole.output.values, pieces.output.values))
          << backend->name() << ", chunks of " << chunk;
    }
  }
}

TEST(AttentionTest, ChunksGiveTheSameBits) {
  for (const Backend* backend : FastBackends()) {
    for (int64_t window : {0, 1, 2, 15, 16, 17, 33}) {
      const AttentionShape shape{4, 1, 40, 0.2f, true, window};
      Sequence whole(shape, 75, 3);
      whole.Run(backend, 0, 75);
      for (int64_t chunk : {1, 3, 8, 16, 31}) {
        Sequence pieces(shape, 75, 3);
        for (int64_t begin = 0; begin < 75; begin += chunk) {
          pieces.Run(backend, begin, std::min<int64_t>(75, begin + chunk));
        }
        EXPECT_TRUE(SameBits(whole.output.values, pieces.output.values))
            << backend->name() << ", window " << window << ", chunks of " << chunk;
      }
    }
  }
}

constexpr float kSlopes[] = {0.5f, 0.0625f, 0.0f, 1.5f};

// Soft caps, slopes and windows to both sides, alone and together.
std::vector<AttentionShape> BentShapes(int head_dim) {
  std::vector<AttentionShape> shapes;
  for (int64_t window : {0, 1, 2, 5, 16, 17, 40, 100}) {
    for (float cap : {0.0f, 0.7f, 30.0f}) {
      shapes.push_back({4, 2, head_dim, 0.4f, false, window, cap});
      shapes.push_back({4, 2, head_dim, 0.4f, true, window, cap});
      shapes.push_back({4, 2, head_dim, 0.4f, true, window, cap, kSlopes});
    }
  }
  return shapes;
}

TEST(AttentionTest, CapsSlopesAndWindowsToBothSidesEqualTheScalarTwin) {
  const std::vector<int> heads = AllHeads(4);
  for (const Backend* backend : FastBackends()) {
    for (const AttentionShape& shape : BentShapes(20)) {
      for (int64_t length : {1, 9, 17, 50}) {
        Sequence fast(shape, length, 1), twin(shape, length, 1);
        RecordingSink fast_rows, twin_rows;
        const std::vector<int64_t> queries = AllQueries(length);
        fast.Run(backend, 0, length, {heads, queries}, &fast_rows);
        twin.Run(ReferenceBackend(), 0, length, {heads, queries}, &twin_rows);
        EXPECT_LT(MaxDifference(fast.output.values, twin.output.values), 4e-6) << backend->name();
        for (const auto& [at, row] : fast_rows.rows) {
          ASSERT_EQ(row.size(), static_cast<size_t>(shape.causal ? at.second + 1 : length));
          EXPECT_LT(MaxDifference(row, twin_rows.rows[at]), 2e-6) << backend->name();
          for (int64_t key = 0; key < static_cast<int64_t>(row.size()); ++key) {
            const bool is_near = shape.window == 0 || std::abs(key - at.second) < shape.window;
            ASSERT_TRUE(is_near || row[key] == 0.0f) << backend->name();
          }
        }
      }
    }
  }
}

TEST(AttentionTest, CapsAndSlopesGiveTheSameBitsInChunks) {
  for (const Backend* backend : FastBackends()) {
    for (const AttentionShape& shape : BentShapes(40)) {
      if (!shape.causal) continue;
      Sequence whole(shape, 45, 3), pieces(shape, 45, 3);
      whole.Run(backend, 0, 45);
      for (int64_t begin = 0; begin < 45; begin += 7) {
        pieces.Run(backend, begin, std::min<int64_t>(45, begin + 7));
      }
      EXPECT_TRUE(SameBits(whole.output.values, pieces.output.values)) << backend->name();
    }
  }
}

TEST(AttentionTest, ManySequencesInOneCallGiveTheSameBits) {
  const AttentionShape shape{4, 2, 32, 0.2f, true};
  std::vector<Sequence> alone, together;
  std::vector<AttentionSlice> slices;
  for (uint32_t i = 0; i < 9; ++i) {
    alone.emplace_back(shape, 1 + 13 * i, 100 + i);
    together.emplace_back(shape, 1 + 13 * i, 100 + i);
  }
  for (Sequence& s : alone) s.Run(DefaultBackend(), 0, s.query.rows);
  for (Sequence& s : together) slices.push_back(s.Slice(DefaultBackend(), 0, s.query.rows));
  DefaultBackend()->Attend(shape, slices);
  for (size_t i = 0; i < alone.size(); ++i)
    EXPECT_TRUE(SameBits(alone[i].output.values, together[i].output.values));
}

// Falcon's 71 heads share one head of keys and values; a tile holds fewer.
TEST(AttentionTest, AnyNumberOfHeadsSharesKeysAndValues) {
  for (const Backend* backend : FastBackends()) {
    for (int n_heads : {1, 5, 47, 48, 49, 71}) {
      const AttentionShape shape{n_heads, 1, 8, 0.3f, true};
      Sequence fast(shape, 67, 1), twin(shape, 67, 1);
      RecordingSink fast_rows, twin_rows;
      const std::vector<int> heads = {n_heads - 1};
      const std::vector<int64_t> queries = {0, 63, 64, 66};
      fast.Run(backend, 0, 67, {heads, queries}, &fast_rows);
      twin.Run(ReferenceBackend(), 0, 67, {heads, queries}, &twin_rows);
      EXPECT_LT(MaxDifference(fast.output.values, twin.output.values), 2e-6) << n_heads;
      ASSERT_EQ(fast_rows.rows.size(), 4u);
      for (const auto& [at, row] : fast_rows.rows) {
        EXPECT_LT(MaxDifference(row, twin_rows.rows[at]), 1e-6) << n_heads << " heads";
      }
    }
  }
}

TEST(AttentionTest, OnlyWatchedRowsAreReportedAndWatchingChangesNothing) {
  const AttentionShape shape{4, 2, 32, 0.2f, true};
  Sequence plain(shape, 40, 5), watched(shape, 40, 5);
  plain.Run(DefaultBackend(), 0, 40);
  RecordingSink sink;
  const std::vector<int> heads = {1, 3};
  const std::vector<int64_t> queries = {0, 17, 39};
  watched.Run(DefaultBackend(), 0, 40, {heads, queries}, &sink);
  EXPECT_TRUE(SameBits(plain.output.values, watched.output.values));
  std::vector<std::pair<int, int64_t>> seen;
  for (const auto& [at, row] : sink.rows) seen.push_back(at);
  const std::vector<std::pair<int, int64_t>> want = {{1, 0}, {1, 17}, {1, 39},
                                                     {3, 0}, {3, 17}, {3, 39}};
  EXPECT_EQ(seen, want);
}

// Sequences of several spans: whole, in chunks that are few enough to be cut into spans, on any
// number of threads, watched or not.
TEST(SpansTest, HowWorkIsCutChangesNoBit) {
  const int threads = omp_get_max_threads();
  constexpr int64_t kLength = 1100;
  const std::vector<int> heads = AllHeads(4);
  for (KvType type : kKvTypes) {
    for (int64_t window : {0, 600}) {
      const AttentionShape shape{4, 2, 16, 0.3f, true, window};
      const std::vector<int64_t> watched = {0, 511, 512, 700, 1023, 1024, 1099};
      omp_set_num_threads(1);
      Sequence whole(shape, kLength, 3, type);
      RecordingSink whole_rows;
      whole.Run(DefaultBackend(), 0, kLength, {heads, watched}, &whole_rows);
      for (int n : {1, 3}) {
        omp_set_num_threads(n);
        Sequence pieces(shape, kLength, 3, type);
        RecordingSink rows;
        for (int64_t begin = 0, chunk = 505; begin < kLength; begin += chunk, chunk = 40) {
          const int64_t end = std::min(kLength, begin + chunk);
          std::vector<int64_t> queries;
          for (int64_t q : watched) {
            if (begin <= q && q < end) queries.push_back(q);
          }
          pieces.Run(DefaultBackend(), begin, end, {heads, queries}, &rows);
        }
        EXPECT_TRUE(SameBits(whole.output.values, pieces.output.values))
            << n << " threads, window " << window;
        EXPECT_EQ(whole_rows.rows, rows.rows) << n << " threads, window " << window;
      }
    }
  }
  omp_set_num_threads(threads);
}

TEST(SpansTest, LongSequencesEqualTheScalarTwin) {
  const int threads = omp_get_max_threads();
  const std::vector<int> heads = AllHeads(2);
  for (const AttentionShape& shape :
       {AttentionShape{2, 1, 16, 0.7f, true}, AttentionShape{2, 1, 16, 0.7f, true, 530},
        AttentionShape{2, 1, 16, 0.7f, false, 700}, AttentionShape{2, 1, 16, 0.7f, false}}) {
    for (const auto& [begin, n] : {std::pair<int64_t, int>{1090, 2}, {0, 1}}) {
      omp_set_num_threads(n);
      const std::vector<int64_t> watched = {1090, 1099};
      Sequence fast(shape, 1100, 5), twin(shape, 1100, 5);
      RecordingSink fast_rows, twin_rows;
      for (Sequence* s : {&fast, &twin}) {
        const bool is_fast = s == &fast;
        const Backend* const backend = is_fast ? DefaultBackend() : ReferenceBackend();
        if (begin > 0) s->Slice(backend, 0, begin);
        s->Run(backend, begin, 1100, {heads, watched}, is_fast ? &fast_rows : &twin_rows);
      }
      EXPECT_LT(MaxDifference(fast.output.values, twin.output.values), 4e-6);
      ASSERT_EQ(fast_rows.rows.size(), 4u);
      for (const auto& [at, row] : fast_rows.rows) {
        EXPECT_LT(MaxDifference(row, twin_rows.rows[at]), 2e-6);
      }
    }
  }
  omp_set_num_threads(threads);
}

// The worked example of Raschka, "Build a Large Language Model (From Scratch)", chapter 3: six
// embeddings of three dimensions, plain dot products, query x_2.
TEST(AttentionTest, TextbookNumbers) {
  const float x[6][3] = {{.43f, .15f, .89f}, {.55f, .87f, .66f}, {.57f, .85f, .64f},
                         {.22f, .58f, .33f}, {.77f, .25f, .10f}, {.05f, .80f, .55f}};
  const float weights[] = {.1385f, .2379f, .2333f, .1240f, .1082f, .1581f};
  const float context[] = {.4419f, .6515f, .5683f};
  for (const Backend* backend : FastBackends()) {
    Sequence sequence({1, 1, 3, 1.0f, false}, 6, 1);
    for (Matrix* m : {&sequence.query, &sequence.key, &sequence.value})
      m->values.assign(&x[0][0], &x[0][0] + 18);
    RecordingSink sink;
    const std::vector<int> heads = {0};
    const std::vector<int64_t> queries = {1};
    sequence.Run(backend, 0, 6, {heads, queries}, &sink);
    const std::vector<float>& row = sink.rows[std::pair{0, int64_t{1}}];
    ASSERT_EQ(row.size(), 6u);
    for (int j = 0; j < 6; ++j) EXPECT_NEAR(row[j], weights[j], 6e-5);
    for (int d = 0; d < 3; ++d) EXPECT_NEAR(sequence.output.ref().Row(1)[d], context[d], 6e-5);
  }
}

// Heads that change places, with the keys and values that they share, take their outputs with them.
TEST(AttentionTest, HeadsDoNotKnowTheirNumber) {
  const AttentionShape shape{4, 2, 8, 0.35f, true};
  constexpr int64_t kLength = 21;
  const auto swap_halves = [](Matrix& m) {
    for (int64_t r = 0; r < m.rows; ++r) {
      const auto row = m.ref().Row(r);
      std::rotate(row.begin(), row.begin() + row.size() / 2, row.end());
    }
  };
  for (const Backend* backend : FastBackends()) {
    Sequence one(shape, kLength, 7), other(shape, kLength, 7);
    for (Matrix* m : {&other.query, &other.key, &other.value}) swap_halves(*m);
    RecordingSink one_rows, other_rows;
    const std::vector<int> heads = AllHeads(4);
    const std::vector<int64_t> queries = AllQueries(kLength);
    one.Run(backend, 0, kLength, {heads, queries}, &one_rows);
    other.Run(backend, 0, kLength, {heads, queries}, &other_rows);
    swap_halves(other.output);
    EXPECT_TRUE(SameBits(one.output.values, other.output.values)) << backend->name();
    for (const auto& [place, row] : one_rows.rows) {
      EXPECT_EQ(row, (other_rows.rows[{(place.first + 2) % 4, place.second}]));
    }
  }
}

// The same book's scores of a projected query, and of each query with what comes before it, both
// divided by the root of 2.
TEST(AttentionTest, TextbookScoresScaledAndMasked) {
  const std::vector<std::vector<float>> scores = {{.2899f},
                                                  {.4656f, .1723f},
                                                  {.4594f, .1703f, .1731f},
                                                  {.2642f, .1024f, .1036f, .0186f},
                                                  {.2183f, .0874f, .0882f, .0177f, .0786f},
                                                  {.3408f, .1270f, .1290f, .0198f, .1290f, .0078f}};
  const std::vector<std::vector<float>> causal = {{1},
                                                  {.5517f, .4483f},
                                                  {.3800f, .3097f, .3103f},
                                                  {.2758f, .2460f, .2462f, .2319f},
                                                  {.2175f, .1983f, .1984f, .1888f, .1971f},
                                                  {.1935f, .1663f, .1666f, .1542f, .1666f, .1529f}};
  const std::vector<std::vector<float>> projected = {
      {1.2705f, 1.8524f, 1.8111f, 1.0795f, .5577f, 1.5440f}};
  const std::vector<std::vector<float>> scaled = {{.1500f, .2264f, .2199f, .1311f, .0906f, .1820f}};
  // Keys that are the unit vectors make a query's elements its scores.
  const auto expect = [](bool is_causal, const auto& queries, const auto& weights) {
    for (const Backend* backend : FastBackends()) {
      Sequence sequence({1, 1, 6, std::sqrt(0.5f), is_causal}, 6, 1);
      std::fill(sequence.key.values.begin(), sequence.key.values.end(), 0.0f);
      for (int i = 0; i < 6; ++i) sequence.key.ref().Row(i)[i] = 1;
      std::vector<int64_t> watched;
      for (size_t i = 0; i < queries.size(); ++i) {
        watched.push_back(static_cast<int64_t>(i));
        std::copy(queries[i].begin(), queries[i].end(), sequence.query.ref().Row(i).begin());
      }
      RecordingSink sink;
      const std::vector<int> heads = {0};
      sequence.Run(backend, 0, 6, {heads, watched}, &sink);
      for (int64_t i : watched) {
        const std::vector<float>& row = sink.rows[std::pair{0, i}];
        ASSERT_EQ(row.size(), weights[i].size());
        for (size_t j = 0; j < row.size(); ++j) EXPECT_NEAR(row[j], weights[i][j], 1e-4);
      }
    }
  };
  expect(true, scores, causal);
  expect(false, projected, scaled);
}

}  // namespace
}  // namespace heed
