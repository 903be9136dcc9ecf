// Guesses of tokens that run along with the one that is due: that right ones save steps, and that
// nobody can tell wrong ones by the answer. The fake's logits say which tokens the pages hold.
#include <algorithm>
#include <limits>
#include <memory>
#include <utility>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "model/generate/philox.h"
#include "tests/server/scheduler_fixture.h"

namespace heed {
namespace {

using ::testing::Each;
using ::testing::ElementsAre;
using ::testing::Le;

constexpr TokenId kPoisoned = 22;

// A call whose answer goes on with `answer`, whatever the logits are.
std::shared_ptr<FakeCall> Says(std::vector<TokenId> prompt, std::vector<TokenId> answer) {
  auto call = std::make_shared<FakeCall>();
  const int64_t last = static_cast<int64_t>(prompt.size()) - 1;
  call->prompt = std::move(prompt);
  call->new_tokens = static_cast<int64_t>(answer.size());
  call->on_logits =
      [self = call.get(), last,
       answer](absl::Span<const int64_t> positions) -> absl::StatusOr<std::optional<TokenId>> {
    EXPECT_EQ(positions.size(), 1u);
    const int64_t next = positions.back() - last;
    if (next == static_cast<int64_t>(answer.size())) return std::nullopt;
    self->appended.push_back(answer[next]);
    return answer[next];
  };
  return call;
}

std::vector<TokenId> Repeated(const std::vector<TokenId>& tokens, int times) {
  std::vector<TokenId> all;
  for (int i = 0; i < times; ++i) all.insert(all.end(), tokens.begin(), tokens.end());
  return all;
}

class SchedulerDraftTest : public SchedulerFixture {
 protected:
  std::shared_ptr<FakeCall> Finished(const std::shared_ptr<FakeCall>& call) {
    Started(call);
    EXPECT_TRUE(call->Wait().ok()) << call->status;
    return call;
  }
  // Each token was answered once, in order, with the logits of those before it and no others.
  void ExpectTrueLogits(const FakeCall& call) {
    std::vector<TokenId> tokens = call.prompt;
    tokens.insert(tokens.end(), call.appended.begin(), call.appended.end());
    ASSERT_EQ(call.logits.size(), call.appended.size() + 1);
    for (size_t i = 0; i < call.logits.size(); ++i) {
      const int64_t position = static_cast<int64_t>(call.prompt.size() + i) - 1;
      EXPECT_EQ(call.logits_positions[i], position);
      EXPECT_EQ(call.logits[i], FakeLogits(absl::MakeSpan(tokens).first(position + 1), position,
                                           FakeConfig().vocab_size));
    }
  }
  std::vector<size_t> SliceSizes() {
    std::vector<size_t> sizes;
    for (const BatchRecord& batch : model_.fake->batches()) {
      for (const SliceRecord& slice : batch) sizes.push_back(slice.tokens.size());
    }
    return sizes;
  }
};

TEST_F(SchedulerDraftTest, WhatRepeatsItselfComesSeveralTokensAStep) {
  const auto call = Finished(Says({1, 2, 3, 1, 2, 3}, Repeated({1, 2, 3}, 10)));
  ExpectTrueLogits(*call);
  // The prompt; 1 and 2 guesses, 1 and 5, 1 and 11; then no more than are asked for.
  EXPECT_THAT(SliceSizes(), ElementsAre(6, 3, 6, 12, 9));
  EXPECT_EQ(call->timings.draft_tokens, 2 + 5 + 11 + 8);
  EXPECT_EQ(call->timings.accepted_tokens, 2 + 5 + 11 + 8);
  const SchedulerStats stats = scheduler().stats();
  EXPECT_EQ(stats.generated_tokens, 30);
  EXPECT_EQ(stats.draft_tokens, 26);
  EXPECT_EQ(stats.accepted_tokens, 26);
  EXPECT_EQ(stats.steps, 5);
  ExpectAllFree();
}

TEST_F(SchedulerDraftTest, WithoutDraftsEachTokenTakesAStep) {
  options_.max_draft_tokens = 0;
  const auto call = Finished(Says({1, 2, 3, 1, 2, 3}, Repeated({1, 2, 3}, 4)));
  ExpectTrueLogits(*call);
  EXPECT_THAT(SliceSizes(), ElementsAre(6, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1));
  EXPECT_EQ(scheduler().stats().draft_tokens, 0);
}

TEST_F(SchedulerDraftTest, AStepHasAtMostSoManyDrafts) {
  options_.max_draft_tokens = 3;
  const auto call = Finished(Says({1, 2, 3, 1, 2, 3}, Repeated({1, 2, 3}, 10)));
  ExpectTrueLogits(*call);
  EXPECT_THAT(SliceSizes(), ElementsAre(6, 3, 4, 4, 4, 4, 4, 4, 3));
}

TEST_F(SchedulerDraftTest, OfWrongGuessesTheRightOnesBeforeThemAreKept) {
  // 3 and 4 are guessed; 3 is right.
  const auto call = Finished(Says({1, 2, 3, 4, 1}, {2, 3, 5, 6}));
  ExpectTrueLogits(*call);
  EXPECT_THAT(SliceSizes(), ElementsAre(5, 3, 1, 1));
  EXPECT_EQ(call->timings.draft_tokens, 2);
  EXPECT_EQ(call->timings.accepted_tokens, 1);
  EXPECT_EQ(scheduler().stats().generated_tokens, 4);
}

// Answers that repeat parts of themselves, with a slip now and then, several at once.
TEST_F(SchedulerDraftTest, NoLogitsTellOfGuesses) {
  for (uint64_t seed = 0; seed < 30; ++seed) {
    std::vector<std::shared_ptr<FakeCall>> calls;
    for (uint64_t c = 0; c < 1 + seed % 5; ++c) {
      std::vector<TokenId> answer;
      for (uint64_t i = 0; i < 120; ++i) {
        const uint64_t bits = RandomBits(seed * 8 + c, i);
        const uint64_t period = 3 + seed % 4;
        answer.push_back(bits % 9 == 0 ? static_cast<TokenId>(bits % 22)
                                       : static_cast<TokenId>(i % period));
      }
      calls.push_back(Started(Says({1, 2, static_cast<TokenId>(c)}, answer)));
    }
    for (const auto& call : calls) {
      EXPECT_TRUE(call->Wait().ok()) << call->status;
      ExpectTrueLogits(*call);
    }
  }
  const SchedulerStats stats = scheduler().stats();
  EXPECT_GT(stats.accepted_tokens, 1000);
  EXPECT_GT(stats.draft_tokens, stats.accepted_tokens + 1000);
  EXPECT_LT(stats.steps, stats.generated_tokens / 2);
  ExpectAllFree();
}

// What is remembered of a sequence's pages is what it really held.
TEST_F(SchedulerDraftTest, ALaterPromptFindsTheTokensThatWereKept) {
  const std::vector<TokenId> slips = {1, 2, 3, 1, 2, 3, 1, 2, 9, 1, 2, 3, 1, 2, 3,
                                      7, 1, 2, 3, 1, 2, 3, 1, 2, 3, 1, 5, 1, 2, 3};
  const auto first = Finished(Says({1, 2, 3, 1, 2, 3}, slips));
  EXPECT_LT(first->timings.accepted_tokens, first->timings.draft_tokens);
  std::vector<TokenId> all = first->prompt;
  all.insert(all.end(), slips.begin(), slips.end());
  const auto warm = Finished(Says(all, {4, 5}));
  EXPECT_EQ(warm->timings.cached_tokens, 32);
  ExpectTrueLogits(*warm);
}

// The second page was full of guesses, of which one, at position 30, was wrong.
TEST_F(SchedulerDraftTest, NoPromptFindsWhatWasOnlyGuessed) {
  std::vector<TokenId> answer = Repeated({1, 2, 3}, 8);
  answer.insert(answer.end(), {9, 4, 5, 6});
  const auto first = Says({1, 2, 3, 1, 2, 3}, answer);
  first->new_tokens = 60;
  Finished(first);
  EXPECT_THAT(SliceSizes(), ElementsAre(6, 3, 6, 12, 16, 1, 1, 1, 1));
  const auto other = Finished(Says(Repeated({1, 2, 3}, 14), {7}));
  EXPECT_EQ(other->timings.cached_tokens, 16);
  ExpectTrueLogits(*other);
}

TEST_F(SchedulerDraftTest, WrongGuessesThatOverflowHarmNobody) {
  model_.fake->Poison(kPoisoned, std::numeric_limits<float>::quiet_NaN());
  const auto call = Finished(Says({1, 2, kPoisoned, 5, 1}, {2, 7, 8}));
  EXPECT_THAT(SliceSizes(), ElementsAre(5, 3, 1, 1));
  EXPECT_EQ(call->appended, (std::vector<TokenId>{2, 7, 8}));
  EXPECT_EQ(call->timings.accepted_tokens, 0);
}

TEST_F(SchedulerDraftTest, ARightGuessThatOverflowsEndsTheCallBehindTheOthers) {
  model_.fake->Poison(kPoisoned, std::numeric_limits<float>::quiet_NaN());
  const auto call = Started(Says({1, 2, 3, kPoisoned, 1}, {2, 3, kPoisoned, 4, 5}));
  ExpectError(call->Wait(), absl::StatusCode::kInternal, "NONFINITE_LOGITS");
  EXPECT_EQ(Metadata(call->status, "position"), "7");
  EXPECT_EQ(call->appended, (std::vector<TokenId>{2, 3, kPoisoned}));
  ExpectEngineGoesOn();
}

// The same of the streams that logits come from.
TEST_F(SchedulerDraftTest, StatesThatOverflowCountWhereGuessesAreRight) {
  model_.fake->PoisonGenerated(kPoisoned);
  Finished(Says({1, 2, kPoisoned, 5, 1}, {2, 7, 8}));
  const auto call = Started(Says({1, 2, 3, kPoisoned, 1}, {2, 3, kPoisoned, 4, 5}));
  ExpectError(call->Wait(), absl::StatusCode::kInternal, "NONFINITE_STATES");
  EXPECT_EQ(Metadata(call->status, "position"), "7");
  EXPECT_EQ(call->appended, (std::vector<TokenId>{2, 3, kPoisoned}));
  ExpectEngineGoesOn();
}

TEST_F(SchedulerDraftTest, ASlowReaderIsGivenNoGuessesEither) {
  const auto call = Says({1, 2, 3, 1, 2, 3}, Repeated({1, 2, 3}, 10));
  call->on_logits = [&, say = call->on_logits](absl::Span<const int64_t> positions) {
    if (call->appended.size() == 5) call->can_advance = false;
    return say(positions);
  };
  Started(call);
  // Five in the first three steps, and one more, which is there already.
  while (scheduler().stats().steps < 3) absl::SleepFor(absl::Milliseconds(1));
  const auto other = Finished(MakeCall(5, 3));
  EXPECT_EQ(call->appended.size(), 6u);
  call->can_advance = true;
  call->on_logits = [&, say = call->on_logits](absl::Span<const int64_t> positions) {
    auto token = say(positions);
    call->can_advance = true;
    return token;
  };
  scheduler().Wake();
  EXPECT_TRUE(call->Wait().ok()) << call->status;
  ExpectTrueLogits(*call);
}

TEST_F(SchedulerDraftTest, ATaskThatFailsEndsBehindRightGuesses) {
  const auto call = Says({1, 2, 3, 1, 2, 3}, Repeated({1, 2, 3}, 10));
  call->on_logits =
      [&, say = call->on_logits](
          absl::Span<const int64_t> positions) -> absl::StatusOr<std::optional<TokenId>> {
    if (positions.back() == 11) return absl::DataLossError("as planned");
    return say(positions);
  };
  Started(call);
  EXPECT_EQ(call->Wait(), absl::DataLossError("as planned"));
  EXPECT_EQ(call->appended.size(), 6u);
  ExpectEngineGoesOn();
}

// An answer that ends where a guess went on.
TEST_F(SchedulerDraftTest, NothingIsAppendedBehindTheEnd) {
  const auto call = Says({1, 2, 3, 1, 2, 3}, Repeated({1, 2, 3}, 2));
  call->new_tokens = 200;
  Finished(call);
  ExpectTrueLogits(*call);
  EXPECT_EQ(scheduler().stats().generated_tokens, 6);
}

TEST_F(SchedulerDraftTest, SequencesShareTheRoomForDrafts) {
  StartHeld(MakeCall(5, 0));
  std::vector<std::shared_ptr<FakeCall>> calls;
  for (int i = 0; i < 4; ++i) {
    calls.push_back(Started(Says({1, 2, 3, 1, 2, 3}, Repeated({1, 2, 3}, 20))));
  }
  model_.fake->Release();
  for (const auto& call : calls) {
    EXPECT_TRUE(call->Wait().ok()) << call->status;
    ExpectTrueLogits(*call);
  }
  std::vector<size_t> tokens;
  for (const BatchRecord& batch : model_.fake->batches()) {
    size_t count = 0;
    for (const SliceRecord& slice : batch) count += slice.tokens.size();
    tokens.push_back(count);
  }
  EXPECT_THAT(absl::MakeSpan(tokens).subspan(2), Each(Le(16u)));
  EXPECT_EQ(*std::max_element(tokens.begin() + 2, tokens.end()), 16u);
}

}  // namespace
}  // namespace heed
