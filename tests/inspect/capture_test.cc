// Whatever is captured, tokens and logits have the bits of a run that nobody watches: in every
// format of weights and of keys and values.
#include <algorithm>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gtest/gtest.h"
#include "model/checkpoint/checkpoint.h"
#include "model/inspect/attention_capture.h"
#include "tests/base/print_formats.h"
#include "tests/inspect/trace_testing.h"

namespace heed {
namespace {

constexpr int64_t kPromptTokens = 21;
constexpr int64_t kTokens = 27;  // with those that are generated

AttentionChoice ChoiceOf(const ModelConfig& config, std::vector<int> layers, int64_t top_k) {
  AttentionChoice choice;
  choice.layers = std::move(layers);
  choice.heads = FirstOf<int>(config.n_heads);
  choice.queries = FirstOf(kTokens);
  choice.top_k = top_k;
  return choice;
}

struct Capture {
  std::string name;
  std::unique_ptr<ForwardObserver> observer;
};

std::vector<Capture> AllCaptures(const ModelConfig& config) {
  std::vector<Capture> captures;
  const auto add = [&](const char* name, auto observer) {
    EXPECT_TRUE(observer.ok()) << observer.status();
    if (observer.ok()) captures.push_back({name, *std::move(observer)});
  };
  const auto rows_of = [&](std::vector<int> layers, int64_t top_k) {
    return PromptCapture::Create(ChoiceOf(config, std::move(layers), top_k), kTokens,
                                 config.n_layers, config.n_heads);
  };
  add("top-k of all heads", rows_of(FirstOf<int>(config.n_layers), 3));
  add("one full layer", rows_of({config.n_layers - 1}, 0));
  add("all full layers", rows_of(FirstOf<int>(config.n_layers), 0));
  captures.push_back({"rows of steps", std::make_unique<StepCapture>(
                                           ChoiceOf(config, FirstOf<int>(config.n_layers), 0),
                                           kPromptTokens, config.n_layers, config.n_heads)});
  add("a trace", TraceRecorder::Create(config, {}, kTokens));
  add("a trace of every site", TraceRecorder::Create(config, kEverySite, kTokens));
  for (Site site : kAllSites) {
    add(SiteName(site).data(), TraceRecorder::Create(config, {site}, kTokens));
  }
  return captures;
}

// Logits of each position of a prompt that comes in pieces and of the most probable tokens behind.
std::vector<float> Run(const LanguageModel& model, ForwardObserver* observer) {
  std::vector<TokenId> prompt;
  for (int64_t i = 0; i < kPromptTokens; ++i) {
    prompt.push_back(static_cast<TokenId>(i * i % 29 % model.config().vocab_size));
  }
  Runner runner(&model, observer);
  runner.set_prompt_tokens(kPromptTokens);
  std::vector<float> all;
  const auto append = [&](absl::Span<const TokenId> tokens) {
    const std::vector<float> logits = runner.Append(tokens);
    all.insert(all.end(), logits.begin(), logits.end());
  };
  append(absl::MakeSpan(prompt).subspan(0, 12));
  append(absl::MakeSpan(prompt).subspan(12));
  for (int64_t i = kPromptTokens; i < kTokens; ++i) {
    const auto last = all.end() - model.config().vocab_size;
    append({static_cast<TokenId>(std::max_element(last, all.end()) - last)});
  }
  return all;
}

void ExpectCapturesChangeNoBit(const LanguageModel& model) {
  const std::vector<float> plain = Run(model, nullptr);
  for (const Capture& capture : AllCaptures(model.config())) {
    EXPECT_EQ(Run(model, capture.observer.get()), plain) << capture.name;
  }
}

class CaptureTest : public ::testing::TestWithParam<KvType> {};

TEST_P(CaptureTest, ChangesNoBitOfRoundedWeights) {
  for (const char* name : {"gpt2-f32", "llama-gqa-f32", "gemma2-f32", "bloom-f16"}) {
    for (WeightFormat format :
         {WeightFormat::kAsStored, WeightFormat::kF32, WeightFormat::kInt8, WeightFormat::kInt4}) {
      SCOPED_TRACE(absl::StrCat(name, " in format ", static_cast<int>(format)));
      const auto model = LoadGolden(name, DefaultBackend(), format, GetParam());
      ASSERT_NE(model, nullptr);
      ExpectCapturesChangeNoBit(*model);
    }
  }
}

TEST_P(CaptureTest, ChangesNoBitOfQuantizedBlocks) {
  for (const char* type :
       {"Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q8_0", "Q2_K", "Q3_K_M", "Q4_K_M", "Q5_K_M", "Q6_K"}) {
    SCOPED_TRACE(type);
    const auto checkpoint = OpenCheckpoint(
        absl::StrCat(HEED_SOURCE_DIR, "/tests/golden/gguf/quantized/", type, ".gguf"));
    ASSERT_TRUE(checkpoint.ok()) << checkpoint.status();
    const auto model =
        LoadLanguageModel(**checkpoint, DefaultBackend(),
                          {.weights = WeightFormat::kAsStored, .kv_type = GetParam()});
    ASSERT_TRUE(model.ok()) << model.status();
    ExpectCapturesChangeNoBit(**model);
  }
}

INSTANTIATE_TEST_SUITE_P(KeysAndValues, CaptureTest,
                         ::testing::Values(KvType::kF32, KvType::kF16, KvType::kInt8));

}  // namespace
}  // namespace heed
