// The same tiny models as Hugging Face folders and as llama.cpp's GGUF files, those files against
// llama.cpp itself, and quantised ones against transformers on their dequantised weights; see
// tests/golden/README.md.
#include <algorithm>
#include <cmath>
#include <memory>
#include <ostream>
#include <set>
#include <string>
#include <vector>

#include "gtest/gtest.h"
#include "model/transformer/language_model.h"
#include "tests/transformer/golden_file.h"
#include "tests/transformer/model_testing.h"

namespace heed {
namespace {

std::string GgufGolden(const std::string& name) {
  return std::string(HEED_SOURCE_DIR) + "/tests/golden/gguf/" + name;
}

std::unique_ptr<const LanguageModel> Load(const std::string& path) {
  auto checkpoint = OpenCheckpoint(path);
  EXPECT_TRUE(checkpoint.ok()) << checkpoint.status();
  if (!checkpoint.ok()) return nullptr;
  auto model = LoadLanguageModel(**checkpoint, DefaultBackend());
  EXPECT_TRUE(model.ok()) << model.status();
  return model.ok() ? std::move(model).value() : nullptr;
}

std::vector<TokenId> SomeTokens(const ModelConfig& config) {
  std::vector<TokenId> ids;
  for (int64_t i = 0; i < config.context_window; ++i) {
    ids.push_back(static_cast<TokenId>((7 * i * i + 3 * i + 1) % config.vocab_size));
  }
  return ids;
}

// Keeps all final hidden states.
class StateRecorder : public ForwardObserver {
 public:
  AttentionRows WantAttention(int, int64_t, int64_t) override { return {}; }
  void OnAttentionRow(int, int, int64_t, absl::Span<const float>) override {}
  absl::Span<const int64_t> WantHiddenStates(int64_t begin, int64_t end) override {
    wanted_.clear();  // asked twice
    for (int64_t i = begin; i < end; ++i) wanted_.push_back(i);
    return wanted_;
  }
  void OnHiddenState(int64_t, absl::Span<const float> state) override {
    states.insert(states.end(), state.begin(), state.end());
  }

  std::vector<float> states;  // [positions, width]

 private:
  std::vector<int64_t> wanted_;
};

struct Answers {
  std::vector<float> logits;  // empty for a model without a head
  std::vector<float> states;
};

Answers Ask(const LanguageModel& model, const std::vector<TokenId>& ids) {
  StateRecorder recorder;
  std::vector<float> logits = Runner(&model, &recorder).Append(ids);
  return {std::move(logits), std::move(recorder.states)};
}

double WorstDifference(const std::vector<float>& a, const std::vector<float>& b) {
  double worst = a.size() == b.size() ? 0 : 1e30;
  for (size_t i = 0; i < std::min(a.size(), b.size()); ++i) {
    worst = std::max(worst, std::abs(double{a[i]} - b[i]));
  }
  return worst;
}

// One model as a folder and as a GGUF file, and how far llama.cpp's own answers from the file may
// be. It looks GELU up in a table of 16-bit values, and multiplies BF16 weights with activations
// that it rounds to BF16.
struct Pair {
  const char* name;
  const char* file_architecture;  // where the file says it is another than the folder does
  double llama_cpp_tolerance;
};

void PrintTo(const Pair& pair, std::ostream* out) {
  *out << pair.name;
}

constexpr double kExact = 1e-4;
constexpr double kGeluTable = 1e-2;
constexpr double kBf16Activations = 0.1;

constexpr Pair kPairs[] = {
    {"gpt2", "", kGeluTable},        {"gpt2-f16", "", kGeluTable},
    {"llama", "", kExact},           {"llama3-bf16", "", kBf16Activations},
    {"mistral", "llama", kExact},    {"smollm", "", kExact},
    {"qwen2", "", kExact},           {"qwen2-yarn", "", kExact},
    {"qwen3", "", kExact},           {"gemma", "", kGeluTable},
    {"gemma2", "", kGeluTable},      {"gemma3", "", kGeluTable},
    {"gptneox", "", kGeluTable},     {"gptneox-sequential", "", kGeluTable},
    {"phi2", "", kGeluTable},        {"bloom", "", kGeluTable},
    {"smollm3", "", kExact},         {"phi3", "", kExact},
    {"starcoder2", "", kGeluTable},  {"stablelm", "", kExact},
    {"mpt", "", kGeluTable},         {"bert", "", kGeluTable},
    {"roberta", "bert", kGeluTable}, {"distilbert", "bert", kGeluTable},
    {"modernbert", "", kExact},
};

class GgufPairTest : public testing::TestWithParam<Pair> {
 protected:
  void SetUp() override {
    folder_ = Load(GgufGolden(GetParam().name));
    gguf_ = Load(GgufGolden(GetParam().name) + "/model.gguf");
    ASSERT_NE(folder_, nullptr);
    ASSERT_NE(gguf_, nullptr);
  }

  std::unique_ptr<const LanguageModel> folder_, gguf_;
};

// Over the whole context, and over few tokens: LongRoPE rotates them differently.
TEST_P(GgufPairTest, AnswersAsTheFolderDoes) {
  std::vector<TokenId> ids = SomeTokens(folder_->config());
  for (const size_t n_tokens : {ids.size(), size_t{10}}) {
    ids.resize(n_tokens);
    const Answers want = Ask(*folder_, ids), got = Ask(*gguf_, ids);
    ASSERT_FALSE(want.states.empty());
    // GGUF holds the factors of Llama 3's frequencies, rounded to f32, in place of their formula.
    const double tolerance = gguf_->config().rope_scaling.divisors.empty() ? 0 : 2e-5;
    EXPECT_LE(WorstDifference(got.states, want.states), tolerance);
    if (!gguf_->config().has_head) continue;
    EXPECT_LE(WorstDifference(got.logits, want.logits), tolerance);
  }
}

TEST_P(GgufPairTest, AnswersAsLlamaCppDoes) {
  const GoldenFile golden(GgufGolden("llama_cpp.safetensors"));
  const std::string name = std::string(GetParam().name) + ".";
  const std::vector<int64_t> ids = golden.Read<int64_t>(name + "input_ids");
  const bool has_head = gguf_->config().has_head;
  const std::vector<float> want = golden.Read<float>(name + (has_head ? "logits" : "states"));
  const Answers got = Ask(*gguf_, std::vector<TokenId>(ids.begin(), ids.end()));
  EXPECT_LE(WorstDifference(has_head ? got.logits : got.states, want),
            GetParam().llama_cpp_tolerance);
}

TEST_P(GgufPairTest, HasTheFactsOfTheFolder) {
  const ModelConfig &want = folder_->config(), &got = gguf_->config();
  const std::string architecture = GetParam().file_architecture;
  const bool is_table = !got.rope_scaling.divisors.empty();
  EXPECT_EQ(got.architecture, architecture.empty() ? want.architecture : architecture);
  EXPECT_EQ(got.norm_eps, want.norm_eps);
  EXPECT_EQ(got.rope_theta, want.rope_theta);
  EXPECT_EQ(got.attention_scale, want.attention_scale);
  EXPECT_EQ(got.context_window, want.context_window);
  EXPECT_EQ(got.window, want.window);
  EXPECT_EQ(got.windowed, want.windowed);
  EXPECT_EQ(got.windowed_rope.has_value(), want.windowed_rope.has_value());
  EXPECT_EQ(got.unrotated, want.unrotated);
  EXPECT_EQ(got.rope_scaling.kind, is_table ? RopeScaling::Kind::kNone : want.rope_scaling.kind);
  EXPECT_EQ(got.rope_scaling.factor, is_table ? 1 : want.rope_scaling.factor);
  EXPECT_EQ(got.activation, want.activation);
  EXPECT_EQ(got.attention_soft_cap, want.attention_soft_cap);
  EXPECT_EQ(got.logit_soft_cap, want.logit_soft_cap);
  EXPECT_EQ(got.parallel_residual, want.parallel_residual);
  EXPECT_EQ(got.tied_embeddings, want.tied_embeddings && got.has_head);
  EXPECT_EQ(got.has_head, want.causal);  // the converter leaves out an encoder's
  if (!got.has_head) return;
  EXPECT_EQ(gguf_->parameter_count(), folder_->parameter_count());
}

INSTANTIATE_TEST_SUITE_P(Models, GgufPairTest, testing::ValuesIn(kPairs), [](const auto& info) {
  std::string name = info.param.name;
  std::replace(name.begin(), name.end(), '-', '_');
  return name;
});

class GgufQuantizedTest : public testing::TestWithParam<const char*> {};

TEST_P(GgufQuantizedTest, AnswersAsTheDequantizedWeightsDo) {
  constexpr double kTolerance = 1e-4;
  const auto model = Load(GgufGolden("quantized/") + GetParam() + ".gguf");
  ASSERT_NE(model, nullptr);
  const GoldenFile golden(GgufGolden("quantized/golden.safetensors"));
  const std::vector<int64_t> ids = golden.Read<int64_t>("input_ids");
  const std::vector<float> want = golden.Read<float>(std::string("logits.") + GetParam());
  const std::vector<float> got =
      Runner(model.get()).Append(std::vector<TokenId>(ids.begin(), ids.end()));
  EXPECT_LT(WorstDifference(got, want), kTolerance);
}

INSTANTIATE_TEST_SUITE_P(Types, GgufQuantizedTest,
                         testing::Values("Q8_0", "Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q2_K", "Q3_K_M",
                                         "Q4_K_M", "Q5_K_M", "Q6_K"),
                         [](const auto& info) { return std::string(info.param); });

// llama-quantize puts some tensors of a file into another format than the file is named for.
TEST(GgufQuantizedFilesTest, HoldEveryFormat) {
  std::set<DType> found;
  for (const char* type :
       {"Q8_0", "Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q2_K", "Q3_K_M", "Q4_K_M", "Q5_K_M", "Q6_K"}) {
    const auto checkpoint = OpenCheckpoint(GgufGolden("quantized/") + type + ".gguf");
    ASSERT_TRUE(checkpoint.ok()) << checkpoint.status();
    for (const char* name : {"self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj",
                             "mlp.gate_proj", "mlp.up_proj"}) {
      const TensorInfo* info = (*checkpoint)->Find(std::string("layers.0.") + name + ".weight");
      ASSERT_NE(info, nullptr);
      found.insert(info->dtype);
    }
  }
  const std::set<DType> all = {DType::kQ8_0, DType::kQ4_0, DType::kQ4_1, DType::kQ5_0,
                               DType::kQ5_1, DType::kQ2_K, DType::kQ3_K, DType::kQ4_K,
                               DType::kQ5_K, DType::kQ6_K};
  EXPECT_EQ(found, all);
}

TEST(GgufHeadTest, AModelWithoutAHeadHasNoLogits) {
  const auto model = Load(GgufGolden("bert/model.gguf"));
  ASSERT_NE(model, nullptr);
  KvPool pool(KvLayout::For(model->config()), PagesFor(4));
  KvCache cache(&pool);
  ASSERT_TRUE(cache.Reserve(4).ok());
  const std::vector<TokenId> ids = {2, 5, 3};
  const std::vector<int64_t> rows = {1};
  std::vector<float> logits(static_cast<size_t>(model->config().vocab_size));
  SequenceSlice slice{ids, &cache, rows};
  const auto workspace = model->NewWorkspace();
  const absl::Status status =
      model->Forward(absl::MakeSpan(&slice, 1),
                     MatrixRef(logits.data(), 1, model->config().vocab_size), workspace.get());
  EXPECT_EQ(status.code(), absl::StatusCode::kInternal) << status;
}

}  // namespace
}  // namespace heed
