// What the engine takes from the heap and from the system once it runs. This program counts every
// allocation of each thread.
#include <malloc.h>

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <fstream>
#include <memory>
#include <new>
#include <numeric>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gtest/gtest.h"
#include "tests/base/print_formats.h"
#include "tests/checkpoint/checkpoint_builder.h"
#include "tests/server/fake_call.h"
#include "tests/server/fake_language_model.h"

namespace {

thread_local int64_t thread_allocations = 0;

}  // namespace

void* operator new(size_t size) {
  ++thread_allocations;
  void* const memory = std::malloc(size == 0 ? 1 : size);
  if (memory == nullptr) std::abort();
  return memory;
}
void* operator new(size_t size, const std::nothrow_t&) noexcept {
  ++thread_allocations;
  return std::malloc(size == 0 ? 1 : size);
}
void* operator new(size_t size, std::align_val_t alignment) {
  ++thread_allocations;
  void* const memory = std::aligned_alloc(static_cast<size_t>(alignment), size);
  if (memory == nullptr) std::abort();
  return memory;
}
void operator delete(void* memory) noexcept {
  std::free(memory);
}
void operator delete(void* memory, size_t) noexcept {
  std::free(memory);
}
void operator delete(void* memory, const std::nothrow_t&) noexcept {
  std::free(memory);
}
void operator delete(void* memory, std::align_val_t) noexcept {
  std::free(memory);
}
void operator delete(void* memory, size_t, std::align_val_t) noexcept {
  std::free(memory);
}

namespace heed {
namespace {

// Generates greedily once `all_are_here`, and notes how much the engine thread has allocated by
// each token.
class CountingTask final : public SequenceTask {
 public:
  CountingTask(int64_t new_tokens, const absl::Notification* all_are_here,
               std::vector<int64_t>* counts, absl::Notification* done)
      : new_tokens_(new_tokens), all_are_here_(*all_are_here), counts_(*counts), done_(*done) {
    counts_.reserve(new_tokens + 1);
  }
  absl::StatusOr<std::optional<TokenId>> OnLogits(absl::Span<const int64_t>,
                                                  ConstMatrixRef logits) override {
    all_are_here_.WaitForNotification();
    counts_.push_back(thread_allocations);
    if (static_cast<int64_t>(counts_.size()) > new_tokens_) return std::nullopt;
    return ArgMax(logits.Row(logits.rows - 1));
  }
  void OnDone(const absl::Status& status, const EngineTimings&) override {
    EXPECT_TRUE(status.ok()) << status;
    done_.Notify();
  }

 private:
  const int64_t new_tokens_;
  const absl::Notification& all_are_here_;
  std::vector<int64_t>& counts_;
  absl::Notification& done_;
};

using Held = std::pair<std::string, WeightFormat>;

class SteadyState : public testing::TestWithParam<Held> {};

// Three sequences, in and over the pages' ends, whose pages are remembered as they fill.
TEST_P(SteadyState, DecodingAllocatesNothing) {
  auto model = LoadServedModel(
      "model", std::string(HEED_SOURCE_DIR) + "/tests/golden/models/" + GetParam().first,
      {.weights = GetParam().second});
  ASSERT_TRUE(model.ok()) << model.status();
  constexpr int64_t kNewTokens = 40;
  std::vector<int64_t> counts[3];
  absl::Notification all_are_here, done[3];
  // In f32 oneDNN allocates for each product of more rows than three.
  const bool drafts =
      GetParam().second == WeightFormat::kInt8 || GetParam().second == WeightFormat::kInt4;
  Scheduler scheduler({.max_draft_tokens = drafts ? 15 : 0});
  // As many rows, of each kind, as steps will have.
  const auto first = MakeCall(30, 0);
  first->positions.emplace(30);
  std::iota(first->positions->begin(), first->positions->end(), 0);
  ASSERT_TRUE(scheduler.Submit(MakeRequest(first, FakeServed{nullptr, *model})).ok());
  ASSERT_TRUE(first->Wait().ok());
  for (int i = 0; i < 3; ++i) {
    EngineRequest request;
    request.model = *model;
    request.prompt = MakeCall(5 + i, 0, i)->prompt;
    request.logits_positions = {4 + i};
    request.max_new_tokens = kNewTokens;
    request.stop = std::make_shared<StopSignal>();
    request.task = std::make_unique<CountingTask>(kNewTokens, &all_are_here, &counts[i], &done[i]);
    const absl::Status submitted = scheduler.Submit(std::move(request));
    if (i == 2 || !submitted.ok()) all_are_here.Notify();
    ASSERT_TRUE(submitted.ok()) << submitted;
  }
  for (absl::Notification& each : done) each.WaitForNotification();
  // By then all three run together.
  for (int64_t token = 12; token + 5 < kNewTokens; ++token) {
    EXPECT_EQ(counts[2][token + 1] - counts[2][token], 0) << "token " << token;
  }
}

INSTANTIATE_TEST_SUITE_P(Models, SteadyState,
                         testing::Values(Held{"gpt2-f32", WeightFormat::kF32},
                                         Held{"llama-gqa-f32", WeightFormat::kF32},
                                         Held{"llama-gqa-f32", WeightFormat::kF16},
                                         Held{"gpt2-f32", WeightFormat::kInt8},
                                         Held{"llama-gqa-f32", WeightFormat::kInt8},
                                         Held{"llama-gqa-f32", WeightFormat::kInt4},
                                         Held{"gemma3-bf16", WeightFormat::kInt8},
                                         Held{"qwen3-bf16", WeightFormat::kInt4}));

// --- Resident memory -----------------------------------------------------------------------------

// Of /proc/self/status, in bytes: "VmRSS", now, or "VmHWM", at its worst.
int64_t StatusBytes(const std::string& key) {
  std::ifstream status("/proc/self/status");
  for (std::string line; std::getline(status, line);) {
    if (line.rfind(key + ":", 0) == 0) return std::stoll(line.substr(key.size() + 1)) * 1024;
  }
  return -1;
}

// A Llama of 47 million weights, 188 MB of f32: more than the memory that is allowed beside the
// weights, so that a second copy of them shows. The same small random numbers fill the whole file.
void WriteModel(const TestFolder& folder) {
  constexpr int64_t kLayers = 12, kWidth = 512, kFeedForward = 1408, kVocabulary = 16000;
  folder.Write("config.json", absl::StrCat(R"({"model_type": "llama", "hidden_size": )", kWidth,
                                           R"(, "intermediate_size": )", kFeedForward,
                                           R"(, "num_hidden_layers": )", kLayers,
                                           R"(, "num_attention_heads": 8, "vocab_size": )",
                                           kVocabulary, R"(, "max_position_embeddings": 1024,
      "rms_norm_eps": 1e-5, "rope_theta": 10000.0, "hidden_act": "silu",
      "tie_word_embeddings": true})"));
  std::string header = "{";
  int64_t offset = 0;
  const auto add = [&](const std::string& name, int64_t rows, int64_t cols) {
    const int64_t end = offset + rows * cols * 4;
    absl::StrAppend(&header, offset == 0 ? "" : ",", "\"", name, R"(":{"dtype":"F32","shape":[)",
                    rows == 1 ? "" : absl::StrCat(rows, ","), cols, R"(],"data_offsets":[)", offset,
                    ",", end, "]}");
    offset = end;
  };
  add("model.embed_tokens.weight", kVocabulary, kWidth);
  for (int64_t i = 0; i < kLayers; ++i) {
    const std::string layer = absl::StrCat("model.layers.", i, ".");
    add(layer + "input_layernorm.weight", 1, kWidth);
    for (const char* name : {"q", "k", "v", "o"}) {
      add(absl::StrCat(layer, "self_attn.", name, "_proj.weight"), kWidth, kWidth);
    }
    add(layer + "post_attention_layernorm.weight", 1, kWidth);
    add(layer + "mlp.gate_proj.weight", kFeedForward, kWidth);
    add(layer + "mlp.up_proj.weight", kFeedForward, kWidth);
    add(layer + "mlp.down_proj.weight", kWidth, kFeedForward);
  }
  add("model.norm.weight", 1, kWidth);
  header += "}";
  std::vector<float> block(1 << 18);
  std::mt19937 random(1);
  for (float& value : block) value = static_cast<float>(random() % 2001) * 2e-5f - 0.02f;
  std::ofstream file(folder.File("model.safetensors"), std::ios::binary);
  const uint64_t length = header.size();
  file.write(reinterpret_cast<const char*>(&length), 8) << header;
  for (int64_t left = offset; left > 0; left -= int64_t{1} << 20) {
    file.write(reinterpret_cast<const char*>(block.data()), std::min<int64_t>(left, 1 << 20));
  }
}

class ResidentMemory : public testing::TestWithParam<WeightFormat> {};

// Loading included.
TEST_P(ResidentMemory, IsTheWeightsTheCacheAndALittle) {
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
  GTEST_SKIP() << "sanitizers take memory of their own";
#endif
  const TestFolder folder;
  WriteModel(folder);
  malloc_trim(0);                                 // of what earlier tests have left
  std::ofstream("/proc/self/clear_refs") << "5";  // the worst is counted from here on
  constexpr int64_t kCacheBytes = int64_t{48} << 20, kBeside = int64_t{150} << 20;
  auto model = LoadServedModel("model", folder.path(),
                               {.kv_cache_bytes = kCacheBytes, .weights = GetParam()});
  ASSERT_TRUE(model.ok()) << model.status();
  const LanguageModel& loaded = *(*model)->model;
  const int64_t allowed = loaded.weight_bytes() + kCacheBytes + kBeside;
  // Of a parameter. In 8 bits embeddings, a sixth of this model, take 2.
  const double bytes = GetParam() == WeightFormat::kF32   ? 4.1
                       : GetParam() == WeightFormat::kF16 ? 2.1
                                                          : 1.25;
  EXPECT_LT(loaded.weight_bytes(), loaded.parameter_count() * bytes);
  EXPECT_LE(StatusBytes("VmHWM"), allowed);

  Scheduler scheduler({});
  std::vector<std::shared_ptr<FakeCall>> calls;
  for (int i = 0; i < 3; ++i) {
    calls.push_back(MakeCall(300, 4, i));
    ASSERT_TRUE(scheduler.Submit(MakeRequest(calls.back(), FakeServed{nullptr, *model})).ok());
  }
  for (const auto& call : calls) EXPECT_TRUE(call->Wait().ok()) << call->status;
  EXPECT_LE(StatusBytes("VmHWM"), allowed);
  EXPECT_LE(StatusBytes("VmRSS"), allowed);
}

INSTANTIATE_TEST_SUITE_P(Formats, ResidentMemory,
                         testing::Values(WeightFormat::kF32, WeightFormat::kF16,
                                         WeightFormat::kInt8, WeightFormat::kInt4));

}  // namespace
}  // namespace heed
