// The engine's side of Predict and Generate on logits made up here.
#include <cmath>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "model/generate/distribution.h"
#include "model/kernels/logits.h"
#include "server/engine/generate_task.h"
#include "server/engine/predict_task.h"
#include "server/engine/registry.h"

namespace heed {
namespace {

using testing::ElementsAre;

constexpr int64_t kVocabSize = 320;

std::shared_ptr<const ServedModel> Model() {
  static const auto* const model = [] {
    auto loaded = LoadServedModel(
        "llama", absl::StrCat(HEED_SOURCE_DIR, "/tests/golden/models/llama-gqa-f32"),
        LoadOptions{});
    EXPECT_TRUE(loaded.ok()) << loaded.status();
    return new std::shared_ptr<const ServedModel>(*std::move(loaded));
  }();
  return *model;
}

// Logits under which `best` is most probable.
std::vector<float> Favouring(TokenId best) {
  std::vector<float> logits(kVocabSize);
  for (int64_t id = 0; id < kVocabSize; ++id) logits[id] = static_cast<float>(id % 7) / 10;
  logits[best] = 5;
  return logits;
}

TokenId IdOf(const std::string& text) {
  const auto encoded = Model()->tokenizer->Encode(text, {.add_special_tokens = false});
  EXPECT_TRUE(encoded.ok() && encoded->ids.size() == 1) << text;
  return encoded->ids[0];
}

TEST(EvaluatePositionTest, RanksOfManyIdsEqualThoseOfFew) {
  const std::vector<float> logits = Favouring(9);
  std::vector<TokenId> ids;
  for (TokenId id = kVocabSize; id-- > 0;) ids.push_back(id);
  const PredictedPosition many =
      EvaluatePosition(3, logits, {.kind = CandidateChoice::Kind::kIds, .ids = ids}, std::nullopt);
  ASSERT_EQ(many.candidates.size(), ids.size());
  for (size_t i = 0; i < ids.size(); ++i) {
    const PredictedPosition one =
        EvaluatePosition(3, logits, {.kind = CandidateChoice::Kind::kIds, .ids = {ids[i]}}, ids[i]);
    EXPECT_EQ(many.candidates[i].id, ids[i]);
    EXPECT_EQ(many.candidates[i].rank, one.candidates[0].rank);
    EXPECT_EQ(many.candidates[i].log_probability, one.candidates[0].log_probability);
    EXPECT_EQ(one.actual->rank, one.candidates[0].rank);
  }
}

TEST(PredictTaskTest, ActualIsTheNextTokenOrForAMaskedModelTheSame) {
  for (bool causal : {true, false}) {
    PredictTask::Outcome outcome;
    PredictTask task({4, 5, 6}, causal, {.top_k = 1},
                     [&](PredictTask::Outcome result) { outcome = std::move(result); });
    const std::vector<float> row = Favouring(8);
    std::vector<float> logits = row;
    logits.insert(logits.end(), row.begin(), row.end());
    ASSERT_TRUE(task.OnLogits({0, 2}, ConstMatrixRef(logits.data(), 2, kVocabSize)).ok());
    task.OnDone(absl::OkStatus(), {});
    ASSERT_EQ(outcome.positions.size(), 2u);
    EXPECT_EQ(outcome.positions[0].actual->id, causal ? 5 : 4);
    EXPECT_EQ(outcome.positions[1].actual.has_value(), !causal);
    EXPECT_EQ(outcome.positions[1].candidates[0].id, 8);
  }
}

// As many rows as are shared out to a team, after some that are not.
TEST(PredictTaskTest, ManyPositionsAreInOrder) {
  constexpr int64_t kFew = 3, kMany = kLogitsToShareOut / kVocabSize + 1;
  std::vector<TokenId> prompt;
  std::vector<float> logits;
  std::vector<int64_t> positions;
  for (int64_t i = 0; i < kFew + kMany; ++i) {
    prompt.push_back(static_cast<TokenId>(i * 5 % kVocabSize));
    positions.push_back(i);
    const std::vector<float> row = Favouring(static_cast<TokenId>(i * 3 % kVocabSize));
    logits.insert(logits.end(), row.begin(), row.end());
  }
  PredictTask::Outcome outcome;
  PredictTask task(prompt, /*causal=*/true, {.top_k = 2},
                   [&](PredictTask::Outcome result) { outcome = std::move(result); });
  const ConstMatrixRef rows(logits.data(), kFew + kMany, kVocabSize);
  const absl::Span<const int64_t> all = positions;
  ASSERT_TRUE(task.OnLogits(all.first(kFew), rows.Rows(0, kFew)).ok());
  ASSERT_TRUE(task.OnLogits(all.subspan(kFew), rows.Rows(kFew, kMany)).ok());
  task.OnDone(absl::OkStatus(), {});
  ASSERT_EQ(outcome.positions.size(), positions.size());
  for (int64_t i = 0; i < kFew + kMany; ++i) {
    const PredictedPosition& position = outcome.positions[i];
    EXPECT_EQ(position.position, i);
    EXPECT_EQ(position.candidates[0].id, i * 3 % kVocabSize);
    EXPECT_EQ(position.entropy, Distribution(rows.Row(i)).Entropy());
    ASSERT_EQ(position.actual.has_value(), i + 1 < kFew + kMany);
    if (position.actual) {
      EXPECT_EQ(position.actual->id, prompt[i + 1]);
    }
  }
}

// A generation that draws the most probable token of what it is fed.
class GenerateTaskTest : public testing::Test {
 protected:
  void Start(GenerateJob job) {
    task_ = std::make_unique<GenerateTask>(
        std::move(job), Model(), std::vector<TokenId>{1, 2}, queue_, nullptr,
        GenerateTask::Callbacks{[this] { ++pushed_; },
                                [this](const absl::Status& status) { done_ = status; }});
  }

  // The token the task appends when `best` is most probable.
  std::optional<TokenId> Feed(TokenId best) {
    const std::vector<float> logits = Favouring(best);
    const int64_t position = 1 + fed_++;
    auto appended = task_->OnLogits({position}, ConstMatrixRef(logits.data(), 1, kVocabSize));
    EXPECT_TRUE(appended.ok());
    return *appended;
  }

  std::vector<GenerateEvent> Drain() {
    std::vector<GenerateEvent> events;
    bool made_room = false;
    while (auto event = queue_->Pop(&made_room)) events.push_back(*std::move(event));
    return events;
  }

  const std::shared_ptr<EventQueue> queue_ = std::make_shared<EventQueue>();
  std::unique_ptr<GenerateTask> task_;
  int64_t fed_ = 0;
  int pushed_ = 0;
  std::optional<absl::Status> done_;
};

TEST_F(GenerateTaskTest, TheLastTokenIsReportedButNotAppended) {
  Start({.max_tokens = 2});
  EXPECT_EQ(Feed(7), 7);
  EXPECT_EQ(Feed(8), std::nullopt);
  task_->OnDone(absl::OkStatus(), {});
  EXPECT_EQ(pushed_, 2);
  const std::vector<GenerateEvent> events = Drain();
  ASSERT_EQ(events.size(), 3u);
  EXPECT_EQ(std::get<TokenEvent>(events[0]).position, 2);
  EXPECT_EQ(std::get<TokenEvent>(events[1]).position, 3);
  EXPECT_EQ(std::get<TokenEvent>(events[1]).token.id, 8);
  EXPECT_EQ(std::get<EndEvent>(events[2]).reason, StopReason::kLength);
  EXPECT_EQ(std::get<EndEvent>(events[2]).generated_tokens, 2);
  EXPECT_TRUE(done_->ok());
}

TEST_F(GenerateTaskTest, AStopIdWinsOverTheEndOfText) {
  Start({.max_tokens = 9, .stop_ids = {5, 7}, .end_of_text_ids = {7}});
  EXPECT_EQ(Feed(7), std::nullopt);
  task_->OnDone(absl::OkStatus(), {});
  const EndEvent end = std::get<EndEvent>(Drain().back());
  EXPECT_EQ(end.reason, StopReason::kStopId);
  EXPECT_EQ(end.stop_id, 7);
}

TEST_F(GenerateTaskTest, AStopTextEndsEvenAtTheLastToken) {
  const TokenId word = IdOf("the");
  Start({.max_tokens = 2, .ends_at_context = true, .stop_texts = {"zz", "het"}});
  EXPECT_EQ(Feed(word), word);
  EXPECT_EQ(Feed(word), std::nullopt);
  task_->OnDone(absl::OkStatus(), {});
  const std::vector<GenerateEvent> events = Drain();
  EXPECT_EQ(std::get<TokenEvent>(events[0]).text_delta, "t");  // "he" may be the beginning of it
  EXPECT_EQ(std::get<TokenEvent>(events[1]).text_delta, "");
  const EndEvent& end = std::get<EndEvent>(events[2]);
  EXPECT_EQ(end.reason, StopReason::kStopText);
  EXPECT_EQ(end.stop_text, "het");
  EXPECT_EQ(end.text_delta, "");
}

TEST_F(GenerateTaskTest, TextHeldBackComesWithTheEndAndControlTokensAreNoText) {
  const TokenId word = IdOf("the");
  Start({.max_tokens = 2, .ends_at_context = true, .stop_texts = {"het"}});
  EXPECT_EQ(Feed(word), word);
  EXPECT_EQ(Feed(309), std::nullopt);  // <|end_of_text|>, which is not among the ids that end it
  task_->OnDone(absl::OkStatus(), {});
  const std::vector<GenerateEvent> events = Drain();
  EXPECT_EQ(std::get<TokenEvent>(events[1]).text_delta, "");
  EXPECT_EQ(std::get<EndEvent>(events[2]).text_delta, "he");
  EXPECT_EQ(std::get<EndEvent>(events[2]).reason, StopReason::kContext);
}

TEST_F(GenerateTaskTest, AStopTextThatACharacterLeftUnfinishedCompletesIsTheReason) {
  const TokenId word = IdOf("the");
  const std::optional<TokenId> first_byte = Model()->tokenizer->FindPiece("\u00e2");
  ASSERT_TRUE(first_byte.has_value());
  Start({.max_tokens = 9, .stop_texts = {"zz", "e\ufffd"}, .end_of_text_ids = {309}});
  EXPECT_EQ(Feed(word), word);
  EXPECT_EQ(Feed(*first_byte), *first_byte);
  EXPECT_EQ(Feed(309), std::nullopt);
  task_->OnDone(absl::OkStatus(), {});
  const std::vector<GenerateEvent> events = Drain();
  EXPECT_EQ(std::get<TokenEvent>(events[0]).text_delta, "th");
  const EndEvent& end = std::get<EndEvent>(events.back());
  EXPECT_EQ(end.text_delta, "");
  EXPECT_EQ(end.reason, StopReason::kStopText);
  EXPECT_EQ(end.stop_text, "e\ufffd");
  EXPECT_EQ(end.stop_id, std::nullopt);
}

TEST_F(GenerateTaskTest, RowsThatAreNoTokensAreNeverDrawn) {
  Start({.max_tokens = 9});
  std::vector<float> logits = Favouring(315);
  logits[11] = 4;
  const auto appended = task_->OnLogits({1}, ConstMatrixRef(logits.data(), 1, kVocabSize));
  EXPECT_EQ(**appended, 11);
}

TEST_F(GenerateTaskTest, AnErrorLeavesNoEndEvent) {
  Start({.max_tokens = 9});
  Feed(7);
  task_->OnDone(absl::CancelledError("gone"), {});
  EXPECT_EQ(Drain().size(), 1u);
  EXPECT_EQ(done_->code(), absl::StatusCode::kCancelled);
}

TEST_F(GenerateTaskTest, AFullQueueHoldsTheEngineUntilThereIsRoom) {
  Start({.max_tokens = 1000});
  bool made_room = false;
  EXPECT_TRUE(task_->CanAdvance());
  for (size_t i = 0; i < EventQueue::kMaxEvents; ++i) {
    EXPECT_TRUE(task_->CanAdvance());
    Feed(7);
  }
  EXPECT_FALSE(task_->CanAdvance());
  EXPECT_TRUE(queue_->Pop(&made_room).has_value());
  EXPECT_TRUE(made_room);
  EXPECT_TRUE(task_->CanAdvance());
  EXPECT_TRUE(queue_->Pop(&made_room).has_value());
  EXPECT_FALSE(made_room) << "nobody was waiting";
}

TEST(EventQueueTest, IsBoundedInBytesToo) {
  EventQueue queue;
  const auto push_half = [&] {
    TokenEvent event;
    event.text_delta = std::string(EventQueue::kMaxBytes / 2, 'x');
    queue.Push(std::move(event));
  };
  push_half();
  EXPECT_FALSE(queue.IsFull());
  push_half();
  EXPECT_TRUE(queue.IsFull());
  bool made_room = false;
  queue.Pop(&made_room);
  EXPECT_TRUE(made_room);
  EXPECT_FALSE(queue.IsFull());
}

}  // namespace
}  // namespace heed
