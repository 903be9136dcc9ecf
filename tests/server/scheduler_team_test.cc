// Where rows of logits are long, several sequences' are looked at at once.
#include <limits>
#include <memory>
#include <optional>
#include <set>
#include <stdexcept>
#include <thread>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "model/kernels/logits.h"
#include "tests/server/scheduler_fixture.h"

namespace heed {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

// Of which two rows are enough.
ModelConfig LongRows() {
  ModelConfig config = FakeConfig();
  config.vocab_size = kLogitsToShareOut / 2;
  return config;
}

class SchedulerTeamTest : public SchedulerFixture {
 protected:
  SchedulerTeamTest() {
    model_ = ServeFake(64, LongRows());
    options_.threads = 2;
    options_.max_draft_tokens = 0;
  }

  // Calls that all have their first step at once.
  void StartTogether(const std::vector<std::shared_ptr<FakeCall>>& calls) {
    const auto first = StartHeld(MakeCall(1, 0));
    for (const auto& call : calls) Started(call);
    model_.fake->Release();
    ASSERT_TRUE(first->Wait().ok());
  }
};

constexpr TokenId kPoisoned = 22;

// Waits for others.
class Meeting {
 public:
  explicit Meeting(int size) : missing_(size) {}

  // False when they have not come.
  bool Attend() {
    absl::MutexLock lock(&mutex_);
    --missing_;
    return mutex_.AwaitWithTimeout(absl::Condition(
                                       +[](int* missing) { return *missing <= 0; }, &missing_),
                                   absl::Seconds(10));
  }

 private:
  absl::Mutex mutex_;
  int missing_ ABSL_GUARDED_BY(mutex_);
};

TEST_F(SchedulerTeamTest, TwoAreLookedAtAtOnce) {
  Meeting meeting(2);
  std::vector<std::shared_ptr<FakeCall>> calls = {MakeCall(3, 0), MakeCall(3, 0, 1)};
  std::vector<int> met(2);
  for (size_t i = 0; i < 2; ++i) {
    calls[i]->on_logits = [&, i](auto) -> absl::StatusOr<std::optional<TokenId>> {
      met[i] = meeting.Attend() ? 1 : 0;
      return std::nullopt;
    };
  }
  StartTogether(calls);
  for (const auto& call : calls) EXPECT_TRUE(call->Wait().ok());
  EXPECT_THAT(met, ElementsAre(1, 1));
}

TEST_F(SchedulerTeamTest, ShortRowsStayOnTheEngineThread) {
  model_ = ServeFake();
  std::vector<std::shared_ptr<FakeCall>> calls;
  for (int i = 0; i < 4; ++i) {
    calls.push_back(MakeCall(3, 0, i));
    calls[i]->on_logits = [](auto) -> absl::StatusOr<std::optional<TokenId>> {
      absl::SleepFor(absl::Milliseconds(3));  // others had the time to help
      return std::nullopt;
    };
  }
  StartTogether(calls);
  std::set<std::thread::id> threads;
  for (const auto& call : calls) {
    EXPECT_TRUE(call->Wait().ok());
    threads.insert(call->threads.begin(), call->threads.end());
  }
  EXPECT_EQ(threads.size(), 1u);
}

TEST_F(SchedulerTeamTest, EachIsAnsweredAsAlone) {
  std::vector<std::shared_ptr<FakeCall>> calls;
  for (int i = 0; i < 7; ++i) calls.push_back(MakeCall(3 + i, 6 + i, i));
  StartTogether(calls);
  for (const auto& call : calls) {
    EXPECT_TRUE(call->Wait().ok());
    EXPECT_EQ(call->appended,
              FakeContinuation(call->prompt, call->new_tokens, LongRows().vocab_size));
  }
  const SchedulerStats stats = scheduler().stats();
  EXPECT_EQ(stats.generated_tokens, 6 + 7 + 8 + 9 + 10 + 11 + 12);
  EXPECT_EQ(stats.prompt_tokens, 1 + 3 + 4 + 5 + 6 + 7 + 8 + 9);
  ExpectAllFree();
}

TEST_F(SchedulerTeamTest, OneThatFailsHarmsNoOther) {
  model_.fake->Poison(kPoisoned, std::numeric_limits<float>::quiet_NaN());
  std::vector<std::shared_ptr<FakeCall>> calls;
  for (int i = 0; i < 6; ++i) {
    calls.push_back(MakeCall(4, 8, i));
    calls[i]->on_logits = [i](absl::Span<const int64_t> positions) {
      const int64_t appended = positions.back() - 2;
      if (i % 3 == 1 && appended == 3) return std::optional<TokenId>(kPoisoned);
      if (i == 2 && appended == 4) throw std::runtime_error("a task's own");
      return appended <= 8 ? std::optional<TokenId>(1) : std::nullopt;
    };
  }
  StartTogether(calls);
  for (int i : {1, 4}) {
    ExpectError(calls[i]->Wait(), absl::StatusCode::kInternal, "NONFINITE_LOGITS");
    EXPECT_THAT(calls[i]->status.message(), HasSubstr("position 6"));
  }
  EXPECT_THAT(calls[2]->Wait().message(), HasSubstr("a task's own"));
  for (int i : {0, 3, 5}) {
    EXPECT_TRUE(calls[i]->Wait().ok()) << calls[i]->status;
    EXPECT_EQ(calls[i]->logits_positions.back(), 11);
  }
  ExpectAllFree();
}

}  // namespace
}  // namespace heed
