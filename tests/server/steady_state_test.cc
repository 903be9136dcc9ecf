// What the engine takes from the heap and from the system once it runs. This program counts every
// allocation of each thread.
#include <cerrno>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <new>
#include <string>
#include <utility>
#include <vector>

#include "gtest/gtest.h"
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
void operator delete(void* memory, std::align_val_t) noexcept {
  std::free(memory);
}
void operator delete(void* memory, size_t, std::align_val_t) noexcept {
  std::free(memory);
}

namespace heed {
namespace {

// Generates greedily, and notes how much the engine thread has allocated by each token.
class CountingTask final : public SequenceTask {
 public:
  CountingTask(int64_t new_tokens, std::vector<int64_t>* counts, absl::Notification* done)
      : new_tokens_(new_tokens), counts_(*counts), done_(*done) {
    counts_.reserve(new_tokens + 1);
  }
  absl::StatusOr<std::optional<TokenId>> OnLogits(absl::Span<const int64_t>,
                                                  ConstMatrixRef logits) override {
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
  absl::Notification done[3];
  Scheduler scheduler({});
  for (int i = 0; i < 3; ++i) {
    EngineRequest request;
    request.model = *model;
    request.prompt = MakeCall(5 + i, 0, i)->prompt;
    request.logits_positions = {4 + i};
    request.max_new_tokens = kNewTokens;
    request.stop = std::make_shared<StopSignal>();
    request.task = std::make_unique<CountingTask>(kNewTokens, &counts[i], &done[i]);
    ASSERT_TRUE(scheduler.Submit(std::move(request)).ok());
  }
  for (absl::Notification& each : done) each.WaitForNotification();
  // By then all three have come, and run together.
  for (int64_t token = 12; token + 5 < kNewTokens; ++token) {
    EXPECT_EQ(counts[2][token + 1] - counts[2][token], 0) << "token " << token;
  }
}

// Not f32: oneDNN allocates in each product.
INSTANTIATE_TEST_SUITE_P(Models, SteadyState,
                         testing::Values(Held{"gpt2-f32", WeightFormat::kInt8},
                                         Held{"llama-gqa-f32", WeightFormat::kInt8},
                                         Held{"llama-gqa-f32", WeightFormat::kInt4},
                                         Held{"gemma3-bf16", WeightFormat::kInt8},
                                         Held{"neox-f16", WeightFormat::kInt4}));

}  // namespace
}  // namespace heed
