// The whole forward pass against transformers, and against the formulas for the mixing models, on
// tiny random checkpoints of each architecture.
#include <algorithm>
#include <cmath>
#include <ostream>
#include <string>
#include <tuple>
#include <vector>

#include "gtest/gtest.h"
#include "tests/transformer/golden_file.h"
#include "tests/transformer/model_testing.h"

namespace heed {
namespace {

constexpr double kLogitsTolerance = 1e-4;
constexpr double kWeightsTolerance = 1e-5;

std::vector<TokenId> InputIds(const GoldenFile& golden) {
  const std::vector<int64_t> ids = golden.Read<int64_t>("input_ids");
  return {ids.begin(), ids.end()};
}

struct NamedBackend {
  std::string name;
  const Backend* backend;
  friend void PrintTo(const NamedBackend& b, std::ostream* out) { *out << b.name; }
};

std::vector<NamedBackend> Backends() {
  return {{"fast", DefaultBackend()}, {"scalar", ReferenceBackend()}};
}

// The fast backend on the instruction sets that this machine has besides its best.
std::vector<NamedBackend> LesserBackends() {
  std::vector<NamedBackend> backends = {{"portable", BackendFor(Isa::kPortable)}};
  if (DetectCpu().isa > Isa::kAvx2) backends.push_back({"avx2", BackendFor(Isa::kAvx2)});
  return backends;
}

class GoldenTest : public testing::TestWithParam<std::tuple<std::string, NamedBackend>> {
 protected:
  const std::string& name() const { return std::get<0>(GetParam()); }
  const Backend* backend() const { return std::get<1>(GetParam()).backend; }

  void ExpectLogits(const std::vector<float>& got, const std::vector<float>& want) {
    ASSERT_EQ(got.size(), want.size());
    double worst = 0;
    for (size_t i = 0; i < want.size(); ++i)
      worst = std::max(worst, std::abs(double{got[i]} - want[i]));
    EXPECT_LT(worst, kLogitsTolerance);
    RecordProperty("worst_logit_difference", std::to_string(worst));
  }
};

TEST_P(GoldenTest, LogitsAndAttentionEqualTheReference) {
  const auto model = LoadGolden(name(), backend());
  ASSERT_NE(model, nullptr);
  const GoldenFile golden(GoldenFolder(name()) + "/golden.safetensors");
  const std::vector<TokenId> ids = InputIds(golden);
  AttentionRecorder recorder(model->config());
  const std::vector<float> logits = Runner(model.get(), &recorder).Append(ids);
  EXPECT_EQ(golden.Has("logits"), model->config().has_head);
  if (golden.Has("logits")) ExpectLogits(logits, golden.Read<float>("logits"));

  const int64_t n = static_cast<int64_t>(ids.size());
  for (int layer = 0; layer < model->config().n_layers; ++layer) {
    const std::vector<float> map =
        golden.Read<float>("attentions." + std::to_string(layer));  // [heads, n, n]
    for (int head = 0; head < model->config().n_heads; ++head) {
      for (int64_t q = 0; q < n; ++q) {
        const std::vector<float>& row = recorder.rows[{layer, head, q}];
        ASSERT_EQ(static_cast<int64_t>(row.size()), model->config().causal ? q + 1 : n);
        for (int64_t k = 0; k < n; ++k) {
          const float weight = k < static_cast<int64_t>(row.size()) ? row[k] : 0.0f;
          ASSERT_NEAR(weight, map[(head * n + q) * n + k], kWeightsTolerance)
              << "layer " << layer << ", head " << head << ", query " << q << ", key " << k;
        }
      }
    }
  }
}

TEST_P(GoldenTest, GreedyContinuationEqualsTheReference) {
  const GoldenFile golden(GoldenFolder(name()) + "/golden.safetensors");
  if (!golden.Has("greedy_ids")) return;  // only transformers' decoders have one
  const auto model = LoadGolden(name(), backend());
  ASSERT_NE(model, nullptr);
  std::vector<TokenId> ids = InputIds(golden);
  ids.resize(8);
  Runner runner(model.get());
  const std::vector<int64_t> want = golden.Read<int64_t>("greedy_ids");
  std::vector<int64_t> got;
  std::vector<TokenId> next = ids;
  while (got.size() < want.size()) {
    const std::vector<float> logits = runner.Append(next);
    const auto last = logits.end() - model->config().vocab_size;
    next = {static_cast<TokenId>(std::max_element(last, logits.end()) - last)};
    got.push_back(next[0]);
  }
  EXPECT_EQ(got, want);
}

// A prompt of 8 tokens that others follow. Where rotary frequencies follow the sequence's length,
// each of those has another's, and the keys before it keep the ones they have; so it must make no
// difference how many come at once.
TEST_P(GoldenTest, AGrowingSequenceEqualsTheReference) {
  const GoldenFile golden(GoldenFolder(name()) + "/golden.safetensors");
  if (!golden.Has("stepped_logits")) return;
  const auto model = LoadGolden(name(), backend());
  ASSERT_NE(model, nullptr);
  const std::vector<TokenId> ids = InputIds(golden);
  for (size_t chunk : {1, 5, 40}) {
    Runner runner(model.get());
    runner.set_prompt_tokens(8);
    std::vector<float> logits = runner.Append(absl::MakeSpan(ids).subspan(0, 8));
    for (size_t begin = 8; begin < ids.size(); begin += chunk) {
      const std::vector<float> more = runner.Append(absl::MakeSpan(ids).subspan(begin, chunk));
      logits.insert(logits.end(), more.begin(), more.end());
    }
    ExpectLogits(logits, golden.Read<float>("stepped_logits"));
  }
}

std::string TestName(const testing::TestParamInfo<GoldenTest::ParamType>& info) {
  std::string name = std::get<0>(info.param) + "_" + std::get<1>(info.param).name;
  std::replace(name.begin(), name.end(), '-', '_');
  return name;
}

std::vector<float> Logits(const std::string& name, WeightFormat weights, const Backend* backend) {
  const GoldenFile golden(GoldenFolder(name) + "/golden.safetensors");
  const auto model = LoadGolden(name, backend, weights);
  if (weights == WeightFormat::kF16) {
    EXPECT_EQ(model->compute_dtype(), "F16") << name;
  }
  return Runner(model.get()).Append(InputIds(golden));
}

// Rounded as the scalar twin rounds them.
TEST(HalfPrecisionTest, LogitsAreThoseOfTheRoundedWeights) {
  for (const char* name : {"gpt2-f32", "llama-gqa-f32", "bert-f32", "gemma3-bf16"}) {
    const std::vector<float> want = Logits(name, WeightFormat::kF16, ReferenceBackend());
    const std::vector<float> got = Logits(name, WeightFormat::kF16, DefaultBackend());
    ASSERT_EQ(got.size(), want.size());
    double worst = 0;
    for (size_t i = 0; i < want.size(); ++i) {
      worst = std::max(worst, std::abs(double{got[i]} - want[i]));
    }
    EXPECT_LT(worst, kLogitsTolerance) << name;
  }
}

// What is stored in half precision is not rounded, and with AVX2 our own kernels sum both formats
// in one order.
TEST(HalfPrecisionTest, StoredHalvesGiveTheBitsOfF32) {
  if (DetectCpu().isa == Isa::kPortable) GTEST_SKIP() << "this machine has no AVX2";
  const Backend* const backend = BackendFor(Isa::kAvx2);
  for (const char* name : {"gpt2-bare-f16", "neox-f16", "albert-f16"}) {
    EXPECT_EQ(Logits(name, WeightFormat::kF16, backend), Logits(name, WeightFormat::kF32, backend))
        << name;
  }
}

INSTANTIATE_TEST_SUITE_P(Models, GoldenTest,
                         testing::Combine(testing::ValuesIn(GoldenModels()),
                                          testing::ValuesIn(Backends())),
                         TestName);
INSTANTIATE_TEST_SUITE_P(OnLesserMachines, GoldenTest,
                         testing::Combine(testing::Values("gpt2-f32", "llama-gqa-f32", "bert-f32"),
                                          testing::ValuesIn(LesserBackends())),
                         TestName);

}  // namespace
}  // namespace heed
