// The engine's side of Generate: draws tokens and says when to stop.
#ifndef HEED_SERVER_ENGINE_GENERATE_TASK_H_
#define HEED_SERVER_ENGINE_GENERATE_TASK_H_

#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "absl/types/span.h"
#include "model/generate/distribution.h"
#include "model/generate/sampler.h"
#include "model/generate/text_stream.h"
#include "model/inspect/attention_capture.h"
#include "model/inspect/attention_tile.h"
#include "model/tokenizer/tokenizer.h"
#include "server/engine/scheduler.h"

namespace heed {

enum class StopReason { kLength, kContext, kEndOfText, kStopText, kStopId };

// A generation, validated and with every default filled in.
struct GenerateJob {
  SamplingOptions sampling;
  int64_t max_tokens = 0;        // at least 1; with the prompt it fits the context window
  bool ends_at_context = false;  // reaching max_tokens means that the context window is full
  std::vector<std::string> stop_texts;
  std::vector<TokenId> stop_ids;         // ascending
  std::vector<TokenId> end_of_text_ids;  // ascending; empty when they are to be ignored
  int64_t alternatives = 0;
  std::optional<AttentionChoice> attention;
};

// One token was drawn.
struct TokenEvent {
  int64_t position = 0;
  ScoredToken token;
  double entropy = 0;
  std::vector<ScoredToken> alternatives;
  std::string text_delta;
  std::vector<AttentionTile> attention;

  int64_t bytes() const;  // about what the event takes in memory and on the wire
};

// The generation is over, for one of the good reasons.
struct EndEvent {
  StopReason reason = StopReason::kLength;
  std::string stop_text;
  std::optional<TokenId> stop_id;
  std::string text_delta;
  int64_t generated_tokens = 0;
  EngineTimings timings;
};

// Ids below this may be drawn: embedding rows without a token never are.
int64_t DrawableTokens(const ServedModel& model);

using GenerateEvent = std::variant<TokenEvent, EndEvent>;

// Events between the engine, which must not wait, and a client, which may be slow. Thread-safe.
class EventQueue {
 public:
  static constexpr size_t kMaxEvents = 64;
  static constexpr int64_t kMaxBytes = int64_t{8} << 20;

  void Push(GenerateEvent event);
  // Sets `*made_room` when a queue that was full no longer is.
  std::optional<GenerateEvent> Pop(bool* made_room);
  // The engine should not produce more for now. It remembers being asked, for Pop's made_room.
  bool IsFull();

 private:
  bool Full() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    return events_.size() >= kMaxEvents || bytes_ >= kMaxBytes;
  }

  absl::Mutex mutex_;
  std::deque<GenerateEvent> events_ ABSL_GUARDED_BY(mutex_);
  int64_t bytes_ ABSL_GUARDED_BY(mutex_) = 0;
  bool engine_waits_ ABSL_GUARDED_BY(mutex_) = false;
};

// A sequence that answers Generate.
class GenerateTask final : public SequenceTask {
 public:
  struct Callbacks {
    std::function<void()> pushed;                   // the queue has something new
    std::function<void(const absl::Status&)> done;  // last; the queue holds an EndEvent when OK
  };

  // `model` and `queue` outlive the task's calls. `capture` is the observer of the sequence's plan,
  // or null.
  GenerateTask(GenerateJob job, std::shared_ptr<const ServedModel> model,
               absl::Span<const TokenId> prompt, std::shared_ptr<EventQueue> queue,
               std::unique_ptr<StepCapture> capture, Callbacks callbacks);

  ForwardObserver* capture() const { return capture_.get(); }

  bool CanAdvance() override { return !queue_->IsFull(); }
  absl::StatusOr<std::optional<TokenId>> OnLogits(absl::Span<const int64_t> positions,
                                                  ConstMatrixRef logits) override;
  void OnDone(const absl::Status& status, const EngineTimings& timings) override;

 private:
  TokenEvent Describe(int64_t position, TokenId id, absl::Span<const float> logits);
  // Takes the token into the text and decides whether the answer ends with it.
  void Advance(TokenId id, TokenEvent* event);
  // What was held back, in which a character that stays unfinished may complete a stop text.
  void FinishText(EndEvent* end);
  absl::string_view TextOf(TokenId id) const;

  const GenerateJob job_;
  const std::shared_ptr<const ServedModel> model_;
  const std::shared_ptr<EventQueue> queue_;
  const std::unique_ptr<StepCapture> capture_;
  const Callbacks callbacks_;
  Sampler sampler_;
  TextStream text_;
  int64_t generated_ = 0;
  std::optional<EndEvent> end_;
};

}  // namespace heed

#endif  // HEED_SERVER_ENGINE_GENERATE_TASK_H_
