// Rows that an editor changes, against the scalar twin and by hand; all others keep their bits.
#include <cmath>
#include <limits>
#include <optional>
#include <vector>

#include "gtest/gtest.h"
#include "tests/kernels/attention_testing.h"

namespace heed {
namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();

// Edits some rows in every way: by factors, by cutting edges, through other masks and afterwards.
class MixedEditor : public AttentionRowEditor {
 public:
  bool Edits(int head, int64_t query) const override { return (head + query) % 4 != 1; }
  AttentionMask MaskOf(int head, int64_t query) const override {
    return can_look_ahead || query % 3 < 2 ? static_cast<AttentionMask>(query % 3)
                                           : AttentionMask::kOwn;
  }
  void EditScores(int head, int64_t query, absl::Span<float> scores) const override {
    for (size_t j = 0; j < scores.size(); ++j) {
      scores[j] = j % 5 == 4 ? -kInfinity : scores[j] * 0.5f + static_cast<float>(head);
    }
  }
  void EditWeights(int head, int64_t query, absl::Span<float> weights) const override {
    if (query % 7 == 0) weights[query] += 0.25f;
  }

  bool can_look_ahead = true;
};

constexpr float kSlopes[] = {0.5f, 0.0625f, 0.0f, 1.5f};

std::vector<AttentionShape> Shapes() {
  std::vector<AttentionShape> shapes;
  for (int64_t window : {0, 1, 5, 17}) {
    for (float cap : {0.0f, 0.7f}) {
      shapes.push_back({4, 2, 20, 0.4f, false, window, cap});
      shapes.push_back({4, 2, 20, 0.4f, true, window, cap});
      shapes.push_back({4, 1, 33, 0.4f, true, window, cap, kSlopes});
    }
  }
  return shapes;
}

// Of one shape and length, all heads but the second edited.
void ExpectTheTwin(const Backend* backend, const AttentionShape& shape, int64_t length) {
  const std::vector<int> heads = AllHeads(4), edited_heads = {0, 2, 3};
  const std::vector<int64_t> queries = AllQueries(length);
  const MixedEditor editor;
  Sequence plain(shape, length, 1), fast(shape, length, 1), twin(shape, length, 1);
  RecordingSink plain_rows, fast_rows, twin_rows;
  plain.Run(backend, 0, length, {heads, queries}, &plain_rows);
  fast.RunEdited(backend, 0, length, {edited_heads, queries}, &editor, {heads, queries},
                 &fast_rows);
  twin.RunEdited(ReferenceBackend(), 0, length, {edited_heads, queries}, &editor, {heads, queries},
                 &twin_rows);
  EXPECT_LT(MaxDifference(fast.output.values, twin.output.values), 4e-6) << backend->name();
  ASSERT_EQ(fast_rows.rows.size(), static_cast<size_t>(4 * length));
  for (const auto& [at, row] : fast_rows.rows) {
    const auto& [head, query] = at;
    const bool is_edited = head != 1 && editor.Edits(head, query);
    ASSERT_EQ(row.size(), twin_rows.rows[at].size());
    EXPECT_LT(MaxDifference(row, twin_rows.rows[at]), 2e-6) << backend->name();
    const auto out = [&, h = head, q = query](Sequence& s) {
      return absl::MakeConstSpan(s.output.ref().Row(q)).subspan(h * shape.head_dim, shape.head_dim);
    };
    const bool is_same = row == plain_rows.rows[at] && SameBits(out(plain), out(fast));
    EXPECT_TRUE(is_edited || is_same) << "head " << head << ", query " << query;
  }
}

TEST(EditedAttentionTest, EditedRowsEqualTheScalarTwinAndOthersKeepTheirBits) {
  for (const Backend* backend : FastBackends()) {
    for (const AttentionShape& shape : Shapes()) {
      for (int64_t length : {1, 37}) ExpectTheTwin(backend, shape, length);
    }
    for (int head_dim : {1, 64, 100}) {
      ExpectTheTwin(backend, {4, 2, head_dim, 0.1f, true}, 130);
    }
  }
}

TEST(EditedAttentionTest, ChunksGiveTheSameBits) {
  MixedEditor editor;
  editor.can_look_ahead = false;
  const std::vector<int> heads = AllHeads(4);
  for (const AttentionShape& shape : Shapes()) {
    if (!shape.causal) continue;
    Sequence whole(shape, 45, 3), pieces(shape, 45, 3);
    const std::vector<int64_t> queries = AllQueries(45);
    whole.RunEdited(DefaultBackend(), 0, 45, {heads, queries}, &editor);
    for (int64_t begin = 0; begin < 45; begin += 7) {
      const int64_t end = std::min<int64_t>(45, begin + 7);
      const std::vector<int64_t> chunk(queries.begin() + begin, queries.begin() + end);
      pieces.RunEdited(DefaultBackend(), begin, end, {heads, chunk}, &editor);
    }
    EXPECT_TRUE(SameBits(whole.output.values, pieces.output.values));
  }
}

// Sets all scores of a row.
class FixedScores : public AttentionRowEditor {
 public:
  explicit FixedScores(std::vector<float> scores) : scores_(std::move(scores)) {}
  void EditScores(int head, int64_t query, absl::Span<float> scores) const override {
    std::copy(scores_.begin(), scores_.end(), scores.begin());
  }
  void EditWeights(int head, int64_t query, absl::Span<float> weights) const override {}

 private:
  const std::vector<float> scores_;
};

TEST(EditedAttentionTest, RowsWithoutKeysAreZerosAndInfiniteScoresShareEqually) {
  const std::vector<int> heads = {0};
  const std::vector<int64_t> queries = {2};
  std::vector<const Backend*> backends = FastBackends();
  backends.push_back(ReferenceBackend());
  for (const Backend* backend : backends) {
    for (const auto& [scores, want] :
         std::vector<std::pair<std::vector<float>, std::vector<float>>>{
             {{-kInfinity, -kInfinity, -kInfinity}, {0, 0, 0}},
             {{kInfinity, 1, kInfinity}, {0.5f, 0, 0.5f}},
             {{-kInfinity, -3e38f, -kInfinity}, {0, 1, 0}}}) {
      Sequence sequence({1, 1, 4, 1.0f, true}, 3, 1);
      RecordingSink sink;
      const FixedScores editor(scores);
      sequence.RunEdited(backend, 0, 3, {heads, queries}, &editor, {heads, queries}, &sink);
      EXPECT_EQ((sink.rows[{0, 2}]), want);
      for (int d = 0; d < 4; ++d) {
        double blend = 0;
        for (int64_t j = 0; j < 3; ++j) blend += want[j] * sequence.value.ref().Row(j)[d];
        EXPECT_NEAR(sequence.output.ref().Row(2)[d], blend, 1e-6);
      }
    }
  }
}

// Shows rows what comes after them.
class LookAhead : public AttentionRowEditor {
 public:
  AttentionMask MaskOf(int head, int64_t query) const override {
    return AttentionMask::kBidirectional;
  }
  void EditScores(int head, int64_t query, absl::Span<float> scores) const override {}
  void EditWeights(int head, int64_t query, absl::Span<float> weights) const override {}
};

TEST(EditedAttentionTest, ALaterKeyIsAsFarAwayAsAnEarlierOne) {
  const float slope[] = {0.5f};
  const std::vector<int> heads = {0};
  const std::vector<int64_t> queries = {2};
  for (const Backend* backend : {DefaultBackend(), ReferenceBackend()}) {
    Sequence sequence({1, 1, 4, 1.0f, true, 0, 0, slope}, 7, 1);
    sequence.query.values.assign(sequence.query.values.size(), 0.0f);
    RecordingSink sink;
    const LookAhead editor;
    sequence.RunEdited(backend, 0, 7, {heads, queries}, &editor, {heads, queries}, &sink);
    double sum = 0;
    for (int j = 0; j < 7; ++j) sum += std::exp(-0.5 * std::abs(j - 2));
    ASSERT_EQ((sink.rows[{0, 2}].size()), 7u);
    for (int j = 0; j < 7; ++j) {
      EXPECT_NEAR((sink.rows[{0, 2}][j]), std::exp(-0.5 * std::abs(j - 2)) / sum, 1e-6);
    }
  }
}

// Multiplies all scores.
class Dial : public AttentionRowEditor {
 public:
  explicit Dial(float beta) : beta_(beta) {}
  void EditScores(int head, int64_t query, absl::Span<float> scores) const override {
    for (float& score : scores) score *= beta_;
  }
  void EditWeights(int head, int64_t query, absl::Span<float> weights) const override {}

 private:
  const float beta_;
};

// Says what it multiplies by, and must be asked nothing else where that is enough.
class Factor : public Dial {
 public:
  Factor(float beta, bool is_enough) : Dial(beta), beta_(beta), is_enough_(is_enough) {}
  bool Edits(int head, int64_t query) const override { return query % 3 > 0; }
  std::optional<float> ScoreFactor(int head, int64_t query) const override { return beta_; }
  void EditScores(int head, int64_t query, absl::Span<float> scores) const override {
    EXPECT_FALSE(is_enough_);
    Dial::EditScores(head, query, scores);
  }

 private:
  const float beta_;
  const bool is_enough_;
};

// As if the whole layer had another scale, but for the rows that are not edited.
TEST(EditedAttentionTest, RowsOfAFactorHaveTheBitsOfAnotherScale) {
  constexpr int64_t kLength = 150;
  const std::vector<int> heads = AllHeads(4), edited_heads = {0, 1, 3};
  const std::vector<int64_t> queries = AllQueries(kLength);
  for (const Backend* backend : FastBackends()) {
    for (bool causal : {true, false}) {
      for (int64_t window : {0, 17}) {
        const AttentionShape shape{4, 2, 20, 0.4f, causal, window};
        AttentionShape turned_shape = shape;
        turned_shape.scale = 0.4f * 1.75f;
        const Factor factor(1.75f, /*is_enough=*/true);
        Sequence plain(shape, kLength, 1), edited(shape, kLength, 1),
            turned(turned_shape, kLength, 1);
        RecordingSink plain_rows, edited_rows, turned_rows;
        plain.Run(backend, 0, kLength, {heads, queries}, &plain_rows);
        turned.Run(backend, 0, kLength, {heads, queries}, &turned_rows);
        edited.RunEdited(backend, 0, kLength, {edited_heads, queries}, &factor, {heads, queries},
                         &edited_rows);
        ASSERT_EQ(edited_rows.rows.size(), static_cast<size_t>(4 * kLength));
        for (const auto& [at, row] : edited_rows.rows) {
          const auto& [head, query] = at;
          const bool is_edited = head != 2 && query % 3 > 0;
          const auto out = [&, h = head, q = query](Sequence& s) {
            return absl::MakeConstSpan(s.output.ref().Row(q)).subspan(h * 20, 20);
          };
          EXPECT_EQ(row, (is_edited ? turned_rows : plain_rows).rows[at]);
          EXPECT_TRUE(SameBits(out(edited), out(is_edited ? turned : plain)));
        }
      }
    }
  }
}

TEST(EditedAttentionTest, AFactorComesAfterSoftCapsAndSlopes) {
  const std::vector<int> heads = AllHeads(4);
  const std::vector<int64_t> queries = AllQueries(70);
  for (const AttentionShape& shape : {AttentionShape{4, 2, 20, 0.4f, true, 0, 0.7f},
                                      AttentionShape{4, 2, 20, 0.4f, true, 0, 0, kSlopes}}) {
    const Factor factor(1.75f, /*is_enough=*/false);
    Sequence fast(shape, 70, 1), twin(shape, 70, 1);
    fast.RunEdited(DefaultBackend(), 0, 70, {heads, queries}, &factor);
    twin.RunEdited(ReferenceBackend(), 0, 70, {heads, queries}, &factor);
    EXPECT_LT(MaxDifference(fast.output.values, twin.output.values), 4e-6);
  }
}

// The scores of the worked example in Raschka, "Build a Large Language Model (From Scratch)",
// chapter 3, multiplied by beta: the entropies of their softmax, computed in double precision.
TEST(EditedAttentionTest, TheDialOnTheTextbookScores) {
  const float x[6][3] = {{.43f, .15f, .89f}, {.55f, .87f, .66f}, {.57f, .85f, .64f},
                         {.22f, .58f, .33f}, {.77f, .25f, .10f}, {.05f, .80f, .55f}};
  const std::vector<int> heads = {0};
  const std::vector<int64_t> queries = {1};
  for (const auto& [beta, entropy] : std::vector<std::pair<float, double>>{
           {0, 1.79176}, {.5, 1.78033}, {2, 1.61839}, {4, 1.26637}, {8, .83479}, {16, .68838}}) {
    for (const Backend* backend : {DefaultBackend(), ReferenceBackend()}) {
      Sequence sequence({1, 1, 3, 1.0f, false}, 6, 1);
      for (Matrix* m : {&sequence.query, &sequence.key, &sequence.value})
        m->values.assign(&x[0][0], &x[0][0] + 18);
      RecordingSink sink;
      const Dial dial(beta);
      sequence.RunEdited(backend, 0, 6, {heads, queries}, &dial, {heads, queries}, &sink);
      double sum = 0;
      for (float w : sink.rows[{0, 1}]) sum -= w == 0 ? 0 : w * std::log(double{w});
      EXPECT_NEAR(sum, entropy, 1e-5) << "beta " << beta;
    }
  }
}

// dH / d beta = -beta Var(scores), the variance under the weights.
TEST(EditedAttentionTest, EntropyFallsByTheVarianceOfTheScores) {
  constexpr float kStep = 1.0f / 64;
  const std::vector<int> heads = {0};
  const std::vector<int64_t> queries = {19};
  for (float beta : {0.25f, 1.0f, 1.5f, 3.0f}) {
    Sequence sequence({1, 1, 8, 0.35f, true}, 20, 11);
    const auto weights_at = [&](float dial_beta) {
      RecordingSink sink;
      const Dial dial(dial_beta);
      sequence.RunEdited(DefaultBackend(), 0, 20, {heads, queries}, &dial, {heads, queries}, &sink);
      return sink.rows[{0, 19}];
    };
    const auto entropy_at = [&](float dial_beta) {
      double sum = 0;
      for (float w : weights_at(dial_beta)) sum -= w == 0 ? 0 : w * std::log(double{w});
      return sum;
    };
    const std::vector<float> weights = weights_at(beta);
    double mean = 0, square = 0;
    for (int64_t key = 0; key < 20; ++key) {
      double score = 0;
      for (int d = 0; d < 8; ++d) {
        score += 0.35 * sequence.query.ref().Row(19)[d] * sequence.key.ref().Row(key)[d];
      }
      mean += weights[key] * score;
      square += weights[key] * score * score;
    }
    const double slope = (entropy_at(beta + kStep) - entropy_at(beta - kStep)) / (2 * kStep);
    EXPECT_NEAR(slope, -beta * (square - mean * mean), 1e-3) << "beta " << beta;
  }
}

}  // namespace
}  // namespace heed
