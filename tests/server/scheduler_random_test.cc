// Hundreds of calls with random sizes, cancellations, slow readers and faults from several threads
// at once. Whatever happens to a call, it ends exactly once, rightly, and leaves nothing behind.
#include <memory>
#include <random>
#include <thread>
#include <vector>

#include "gtest/gtest.h"
#include "server/engine/scheduler.h"
#include "tests/server/fake_call.h"
#include "tests/server/fake_language_model.h"

namespace heed {
namespace {

constexpr int kClients = 4;
constexpr int kCallsPerClient = 60;

// What a call's driver means to do to it.
enum class Fate { kFinish, kCancelAtOnce, kCancelLater, kFail, kStutter };

struct Planned {
  Fate fate = Fate::kFinish;
  bool accepted = false;
  std::shared_ptr<FakeCall> call;
};

class RandomCalls : public testing::TestWithParam<int> {
 protected:
  RandomCalls() {
    models_.push_back(ServeFake(/*pool_pages=*/20));
    ModelConfig bidirectional = FakeConfig();
    bidirectional.causal = false;
    models_.push_back(ServeFake(/*pool_pages=*/16, bidirectional, "bidirectional"));
  }

  static SchedulerOptions Options(uint32_t seed) {
    std::mt19937 random(seed);
    return {.max_queued_sequences = 200,
            .max_live_sequences = 1 + static_cast<int64_t>(random() % 8),
            .max_step_tokens = 2 + static_cast<int64_t>(random() % 40),
            .prefill_chunk_tokens = 1 + static_cast<int64_t>(random() % 16),
            .max_step_logits_rows = 2 + static_cast<int64_t>(random() % 8)};
  }

  Planned Plan(std::mt19937& random, bool causal) {
    Planned planned;
    planned.fate = static_cast<Fate>(random() % 5);
    const int64_t prompt_tokens = 1 + static_cast<int64_t>(random() % 90);
    const int64_t new_tokens = causal ? static_cast<int64_t>(random() % 30) : 0;
    planned.call = MakeCall(prompt_tokens, new_tokens, static_cast<int64_t>(random() % 50));
    if (random() % 2 == 0) AddPositions(random, *planned.call);
    if (planned.fate == Fate::kFail) {
      planned.call->on_logits = [](auto) { return absl::DataLossError("as planned"); };
    }
    planned.call->can_advance = planned.fate != Fate::kStutter;
    return planned;
  }

  static void AddPositions(std::mt19937& random, FakeCall& call) {
    const int64_t last = static_cast<int64_t>(call.prompt.size()) - 1;
    call.positions.emplace();
    for (int64_t p = 0; p < last; ++p) {
      if (random() % 3 == 0) call.positions->push_back(p);
    }
    call.positions->push_back(last);
  }

  // One client thread: submits its calls, meddles with them, and waits for all.
  std::vector<Planned> Drive(Scheduler& scheduler, uint32_t seed) {
    std::mt19937 random(seed);
    std::vector<Planned> calls;
    for (int i = 0; i < kCallsPerClient; ++i) {
      const FakeServed& model = models_[random() % models_.size()];
      calls.push_back(Plan(random, model.fake->config().causal));
      Planned& planned = calls.back();
      planned.accepted = scheduler.Submit(MakeRequest(planned.call, model)).ok();
      if (planned.fate == Fate::kCancelAtOnce) planned.call->stop->Cancel();
      Meddle(scheduler, calls[random() % calls.size()]);
    }
    for (Planned& planned : calls) {
      Meddle(scheduler, planned);
      if (planned.accepted) planned.call->done.WaitForNotification();
    }
    return calls;
  }

  static void Meddle(Scheduler& scheduler, Planned& planned) {
    if (planned.fate == Fate::kCancelLater) planned.call->stop->Cancel();
    planned.call->can_advance = true;
    scheduler.Wake();
  }

  void Check(const Planned& planned) {
    const FakeCall& call = *planned.call;
    EXPECT_EQ(call.done_count, planned.accepted ? 1 : 0);
    EXPECT_EQ(call.tasks_alive, 0);
    if (!planned.accepted) return;
    switch (planned.fate) {
      case Fate::kFinish:
      case Fate::kStutter:
        EXPECT_TRUE(call.status.ok()) << call.status;
        EXPECT_EQ(call.appended, FakeContinuation(call.prompt, call.new_tokens));
        break;
      case Fate::kFail:
        EXPECT_EQ(call.status, absl::DataLossError("as planned"));
        break;
      case Fate::kCancelAtOnce:
      case Fate::kCancelLater:
        EXPECT_TRUE(call.status.ok() || absl::IsCancelled(call.status)) << call.status;
        break;
    }
  }

  std::vector<FakeServed> models_;
};

TEST_P(RandomCalls, EachEndsOnceAndLeavesNothingBehind) {
  const uint32_t seed = static_cast<uint32_t>(GetParam());
  Scheduler scheduler(Options(seed));
  std::vector<std::vector<Planned>> results(kClients);
  std::vector<std::thread> clients;
  for (int c = 0; c < kClients; ++c) {
    clients.emplace_back(
        [&, c] { results[c] = Drive(scheduler, seed * kClients + static_cast<uint32_t>(c)); });
  }
  for (std::thread& client : clients) client.join();
  EXPECT_EQ(scheduler.Drain(absl::InfiniteFuture()), 0);
  for (const auto& calls : results) {
    for (const Planned& planned : calls) Check(planned);
  }
  for (const FakeServed& model : models_) {
    EXPECT_EQ(model.pool().free_pages(), model.pool().total_pages());
  }
  const SchedulerStats stats = scheduler.stats();
  EXPECT_EQ(stats.queued, 0);
  EXPECT_EQ(stats.live, 0);
}

TEST_P(RandomCalls, EachEndsOnceWhenTheSchedulerGoes) {
  const uint32_t seed = static_cast<uint32_t>(GetParam());
  std::mt19937 random(seed);
  std::vector<Planned> calls;
  auto scheduler = std::make_unique<Scheduler>(Options(seed));
  for (int i = 0; i < kCallsPerClient; ++i) {
    const FakeServed& model = models_[random() % models_.size()];
    calls.push_back(Plan(random, model.fake->config().causal));
    calls.back().accepted = scheduler->Submit(MakeRequest(calls.back().call, model)).ok();
  }
  if (seed % 2 == 0) scheduler->Drain(absl::InfinitePast());
  scheduler.reset();
  for (const Planned& planned : calls) {
    EXPECT_EQ(planned.call->done_count, planned.accepted ? 1 : 0);
    EXPECT_EQ(planned.call->tasks_alive, 0);
  }
  for (const FakeServed& model : models_) {
    EXPECT_EQ(model.pool().free_pages(), model.pool().total_pages());
  }
}

INSTANTIATE_TEST_SUITE_P(Seeds, RandomCalls, testing::Range(0, 12));

}  // namespace
}  // namespace heed
