#include "server/engine/step_planner.h"

#include <algorithm>
#include <memory>
#include <random>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace heed {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

// A sequence with storage of its own.
struct Planned {
  RunnableSequence sequence;
  std::vector<int64_t> positions;
};

std::vector<PlannedSlice> Plan(const StepLimits& limits, std::vector<RunnableSequence> sequences,
                               bool whole_prompts = false) {
  std::vector<PlannedSlice> plan = {{.end = 99}};
  NewDecodeFirstPlanner(limits)->Plan(sequences, whole_prompts, &plan);
  return plan;
}

RunnableSequence Decode(int64_t position, int64_t last_step = 0) {
  return {.position = position, .prompt_tokens = position, .last_step = last_step};
}

RunnableSequence Prompt(int64_t position, int64_t tokens,
                        absl::Span<const int64_t> logits_positions = {}) {
  return {.position = position, .prompt_tokens = tokens, .logits_positions = logits_positions};
}

TEST(StepPlannerTest, NothingToRunIsAnEmptyPlan) {
  EXPECT_THAT(Plan({}, {}), IsEmpty());
}

TEST(StepPlannerTest, EveryDecodingSequenceTakesOneToken) {
  EXPECT_THAT(Plan({}, {Decode(5), Decode(9)}),
              ElementsAre(PlannedSlice{0, 5, 6, 1}, PlannedSlice{1, 9, 10, 1}));
}

RunnableSequence Drafting(int64_t position, int64_t drafts, int64_t last_step = 0) {
  RunnableSequence sequence = Decode(position, last_step);
  sequence.drafts = drafts;
  return sequence;
}

TEST(StepPlannerTest, DraftsRunBehindTheirToken) {
  EXPECT_THAT(Plan({}, {Drafting(5, 3)}), ElementsAre(PlannedSlice{0, 5, 9, 4}));
  EXPECT_THAT(Plan({.max_draft_step_tokens = 3}, {Drafting(5, 3)}),
              ElementsAre(PlannedSlice{0, 5, 8, 3}));
  EXPECT_THAT(Plan({.max_tokens = 2}, {Drafting(5, 3)}), ElementsAre(PlannedSlice{0, 5, 7, 2}));
  EXPECT_THAT(Plan({.max_logits_rows = 2}, {Drafting(5, 3)}),
              ElementsAre(PlannedSlice{0, 5, 7, 2}));
}

// 16 tokens: three that are due, and 13 drafts.
TEST(StepPlannerTest, DraftsAreSharedOutAndWhatOneLeavesTheNextMayTake) {
  EXPECT_THAT(
      Plan({}, {Drafting(1, 15), Drafting(2, 15), Drafting(3, 15)}),
      ElementsAre(PlannedSlice{0, 1, 6, 5}, PlannedSlice{1, 2, 7, 5}, PlannedSlice{2, 3, 9, 6}));
  EXPECT_THAT(
      Plan({}, {Drafting(1, 0), Drafting(2, 2), Drafting(3, 15)}),
      ElementsAre(PlannedSlice{0, 1, 2, 1}, PlannedSlice{1, 2, 5, 3}, PlannedSlice{2, 3, 15, 12}));
}

TEST(StepPlannerTest, ManyDecodesLeaveNoRoomForDrafts) {
  std::vector<RunnableSequence> sequences;
  for (int i = 0; i < 20; ++i) sequences.push_back(Drafting(i + 1, 15));
  for (const PlannedSlice& slice : Plan({}, sequences)) EXPECT_EQ(slice.end, slice.begin + 1);
}

TEST(StepPlannerTest, APromptKeepsDraftsAway) {
  EXPECT_THAT(Plan({.max_chunk_tokens = 4}, {Drafting(5, 3), Prompt(0, 20)}),
              ElementsAre(PlannedSlice{0, 5, 6, 1}, PlannedSlice{1, 0, 4, 0}));
}

TEST(StepPlannerTest, DecodesComeBeforePrompts) {
  EXPECT_THAT(Plan({.max_tokens = 10, .max_chunk_tokens = 4}, {Prompt(0, 20), Decode(7)}),
              ElementsAre(PlannedSlice{1, 7, 8, 1}, PlannedSlice{0, 0, 4, 0}));
}

TEST(StepPlannerTest, APromptAloneTakesTheWholeBudget) {
  EXPECT_THAT(Plan({.max_tokens = 10, .max_chunk_tokens = 4}, {Prompt(3, 20)}),
              ElementsAre(PlannedSlice{0, 3, 13, 0}));
}

TEST(StepPlannerTest, PromptsFillTheBudgetOldestFirst) {
  EXPECT_THAT(
      Plan({.max_tokens = 10}, {Prompt(4, 8), Prompt(0, 5), Prompt(0, 5)}),
      ElementsAre(PlannedSlice{0, 4, 8, 0}, PlannedSlice{1, 0, 5, 0}, PlannedSlice{2, 0, 1, 0}));
}

TEST(StepPlannerTest, ChunksAreShortForEachPromptWhileOthersDecode) {
  EXPECT_THAT(
      Plan({.max_tokens = 10, .max_chunk_tokens = 3}, {Decode(2), Prompt(0, 9), Prompt(0, 9)}),
      ElementsAre(PlannedSlice{0, 2, 3, 1}, PlannedSlice{1, 0, 3, 0}, PlannedSlice{2, 0, 3, 0}));
}

TEST(StepPlannerTest, CountsTheWantedRowsOfAChunk) {
  const std::vector<int64_t> wanted = {4, 6, 9, 11};
  EXPECT_THAT(Plan({.max_tokens = 6}, {Prompt(4, 12, wanted)}),
              ElementsAre(PlannedSlice{0, 4, 10, 3}));
}

TEST(StepPlannerTest, AChunkEndsBeforeTheRowThatIsTooMany) {
  const std::vector<int64_t> wanted = {1, 3, 7};
  EXPECT_THAT(Plan({.max_tokens = 20, .max_logits_rows = 2}, {Prompt(0, 10, wanted)}),
              ElementsAre(PlannedSlice{0, 0, 7, 2}));
}

TEST(StepPlannerTest, APromptWithoutRoomForItsFirstRowWaits) {
  const std::vector<int64_t> first = {0, 1, 2};
  const std::vector<int64_t> last = {4};
  EXPECT_THAT(Plan({.max_tokens = 20, .max_logits_rows = 2},
                   {Prompt(0, 3, first), Prompt(0, 3, first), Prompt(0, 5, last)}),
              ElementsAre(PlannedSlice{0, 0, 2, 2}, PlannedSlice{2, 0, 4, 0}));
}

TEST(StepPlannerTest, DecodesThatDoNotFitGoNextTime) {
  EXPECT_THAT(Plan({.max_tokens = 2}, {Decode(4, 9), Decode(5, 7), Decode(6, 8)}),
              ElementsAre(PlannedSlice{1, 5, 6, 1}, PlannedSlice{2, 6, 7, 1}));
  EXPECT_THAT(Plan({.max_logits_rows = 2}, {Decode(4, 9), Decode(5, 7), Decode(6, 8)}),
              ElementsAre(PlannedSlice{1, 5, 6, 1}, PlannedSlice{2, 6, 7, 1}));
}

TEST(StepPlannerTest, DecodesLeaveRoomForAPrompt) {
  const std::vector<int64_t> wanted = {0};
  EXPECT_THAT(Plan({.max_tokens = 2}, {Decode(4), Decode(5), Prompt(0, 9, wanted)}),
              ElementsAre(PlannedSlice{0, 4, 5, 1}, PlannedSlice{2, 0, 1, 1}));
  EXPECT_THAT(Plan({.max_logits_rows = 2}, {Decode(4), Decode(5), Prompt(0, 1, wanted)}),
              ElementsAre(PlannedSlice{0, 4, 5, 1}, PlannedSlice{2, 0, 1, 1}));
}

TEST(StepPlannerTest, WholePromptsAreNotCut) {
  EXPECT_THAT(Plan({.max_tokens = 10, .max_chunk_tokens = 2},
                   {Prompt(0, 6), Prompt(0, 4), Prompt(0, 1)}, true),
              ElementsAre(PlannedSlice{0, 0, 6, 0}, PlannedSlice{1, 0, 4, 0}));
  // Beside a decode, where others are cut into chunks.
  EXPECT_THAT(
      Plan({.max_tokens = 10, .max_chunk_tokens = 2}, {Decode(7), Prompt(0, 6), Prompt(0, 3)},
           true),
      ElementsAre(PlannedSlice{0, 7, 8, 1}, PlannedSlice{1, 0, 6, 0}, PlannedSlice{2, 0, 3, 0}));
}

TEST(StepPlannerTest, AWholePromptLongerThanTheBudgetRunsAlone) {
  EXPECT_THAT(Plan({.max_tokens = 10}, {Prompt(0, 30), Prompt(0, 1)}, true),
              ElementsAre(PlannedSlice{0, 0, 30, 0}));
}

TEST(StepPlannerTest, AWholePromptWithManyRowsRunsAloneWithAllOfThem) {
  const std::vector<int64_t> all = {0, 1, 2, 3};
  EXPECT_THAT(
      Plan({.max_tokens = 99, .max_logits_rows = 3}, {Prompt(0, 4, all), Prompt(0, 4, all)}, true),
      ElementsAre(PlannedSlice{0, 0, 4, 4}));
}

TEST(StepPlannerTest, AWholePromptAmongOthersRunsWholeBesideDecodes) {
  RunnableSequence whole = Prompt(0, 20);
  whole.whole_prompt = true;
  const StepLimits limits{.max_tokens = 10, .max_chunk_tokens = 4};
  // However long it is, it does not wait for the decodes to end; another prompt does wait for it.
  EXPECT_THAT(Plan(limits, {Decode(7), whole, Prompt(0, 3)}),
              ElementsAre(PlannedSlice{0, 7, 8, 1}, PlannedSlice{1, 0, 20, 0}));
  EXPECT_THAT(Plan(limits, {Prompt(0, 3), whole, Prompt(0, 3)}),
              ElementsAre(PlannedSlice{0, 0, 3, 0}));
}

TEST(StepPlannerTest, AWholePromptThatDoesNotFitIsNotOvertaken) {
  EXPECT_THAT(Plan({.max_tokens = 10}, {Prompt(0, 6), Prompt(0, 5), Prompt(0, 1)}, true),
              ElementsAre(PlannedSlice{0, 0, 6, 0}));
}

// Random sequences, planned and run step after step until all prompts are read and each decode had
// some turns.
class RandomPlans : public testing::TestWithParam<int> {
 protected:
  Planned Random() {
    Planned planned;
    planned.sequence.prompt_tokens = 1 + static_cast<int64_t>(random_() % 40);
    for (int64_t p = 0; p < planned.sequence.prompt_tokens; ++p) {
      if (random_() % 3 == 0) planned.positions.push_back(p);
    }
    return planned;
  }

  std::mt19937 random_{static_cast<uint32_t>(GetParam())};
};

void Advance(Planned& planned, const PlannedSlice& slice, int64_t step) {
  planned.sequence.position = slice.end;
  planned.sequence.last_step = step;
}

std::vector<RunnableSequence> Views(std::vector<Planned>& all) {
  std::vector<RunnableSequence> views;
  for (Planned& planned : all) {
    const auto first = std::lower_bound(planned.positions.begin(), planned.positions.end(),
                                        planned.sequence.position);
    planned.sequence.logits_positions =
        absl::MakeConstSpan(planned.positions).subspan(first - planned.positions.begin());
    views.push_back(planned.sequence);
  }
  return views;
}

void CheckPlan(const StepLimits& limits, const std::vector<RunnableSequence>& views,
               const std::vector<PlannedSlice>& plan) {
  ASSERT_FALSE(plan.empty());
  int64_t tokens = 0;
  int64_t rows = 0;
  std::vector<bool> seen(views.size());
  for (const PlannedSlice& slice : plan) {
    ASSERT_LT(slice.sequence, views.size());
    EXPECT_FALSE(seen[slice.sequence]);
    seen[slice.sequence] = true;
    const RunnableSequence& view = views[slice.sequence];
    EXPECT_EQ(slice.begin, view.position);
    EXPECT_GT(slice.end, slice.begin);
    const int64_t wanted = std::count_if(view.logits_positions.begin(), view.logits_positions.end(),
                                         [&](int64_t p) { return p < slice.end; });
    EXPECT_EQ(slice.logits_rows, view.decoding() ? 1 : wanted);
    EXPECT_LE(slice.end, view.decoding() ? view.position + 1 : view.prompt_tokens);
    tokens += slice.end - slice.begin;
    rows += slice.logits_rows;
  }
  EXPECT_LE(tokens, limits.max_tokens);
  EXPECT_LE(rows, limits.max_logits_rows);
}

TEST_P(RandomPlans, KeepTheLimitsAndLeaveNobodyOut) {
  const StepLimits limits{.max_tokens = 2 + static_cast<int64_t>(random_() % 20),
                          .max_chunk_tokens = 1 + static_cast<int64_t>(random_() % 10),
                          .max_logits_rows = 2 + static_cast<int64_t>(random_() % 8)};
  const auto planner = NewDecodeFirstPlanner(limits);
  std::vector<Planned> all;
  for (int i = 0; i < 12; ++i) all.push_back(Random());
  // Each step reads at least one token of a prompt, or else every sequence decodes.
  for (int64_t step = 1; step <= 12 * 40 + 24; ++step) {
    const std::vector<RunnableSequence> views = Views(all);
    std::vector<PlannedSlice> plan;
    planner->Plan(views, false, &plan);
    CheckPlan(limits, views, plan);
    for (const PlannedSlice& slice : plan) Advance(all[slice.sequence], slice, step);
  }
  for (const Planned& planned : all) {
    EXPECT_GT(planned.sequence.position, planned.sequence.prompt_tokens);
  }
}

INSTANTIATE_TEST_SUITE_P(Seeds, RandomPlans, testing::Range(0, 40));

}  // namespace
}  // namespace heed
