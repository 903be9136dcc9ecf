// One call on the scheduler as a test makes it: what to ask for, and everything that its task was
// told.
#ifndef HEED_TESTS_SERVER_FAKE_CALL_H_
#define HEED_TESTS_SERVER_FAKE_CALL_H_

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <thread>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/synchronization/notification.h"
#include "server/engine/scheduler.h"
#include "tests/server/fake_language_model.h"

namespace heed {

// Written on the engine thread or one that helps it. `done_count`, `can_advance`,
// `advance_questions` and `tasks_alive` may be used at any time, the rest only once `done` was
// notified.
struct FakeCall {
  // What to do. Set before Submit.
  std::vector<TokenId> prompt;
  int64_t new_tokens = 0;                         // to append greedily
  std::optional<std::vector<int64_t>> positions;  // whose logits; default: the last of the prompt
  std::function<void()> on_done;
  // Replaces the greedy choice.
  std::function<absl::StatusOr<std::optional<TokenId>>(absl::Span<const int64_t>)> on_logits;
  std::shared_ptr<StopSignal> stop = std::make_shared<StopSignal>();
  std::atomic<bool> can_advance{true};

  // What happened.
  std::vector<std::pair<int64_t, int64_t>> chunks;
  std::vector<int64_t> logits_positions;
  std::vector<std::vector<float>> logits;
  std::vector<TokenId> appended;
  std::vector<std::thread::id> threads;  // of each callback
  absl::Status status;
  EngineTimings timings;
  std::atomic<int> done_count{0};
  std::atomic<int> advance_questions{0};
  std::atomic<int> tasks_alive{0};
  absl::Notification first_question;
  absl::Notification done;

  const absl::Status& Wait() const {
    done.WaitForNotification();
    return status;
  }
};

// Keeps the call alive and writes down what it is told.
class FakeTask : public SequenceTask {
 public:
  explicit FakeTask(std::shared_ptr<FakeCall> call) : call_(std::move(call)) {
    ++call_->tasks_alive;
  }
  ~FakeTask() override { --call_->tasks_alive; }

  bool CanAdvance() override {
    const bool answer = call_->can_advance;
    if (++call_->advance_questions == 1) call_->first_question.Notify();
    return answer;
  }

  absl::StatusOr<std::optional<TokenId>> OnLogits(absl::Span<const int64_t> positions,
                                                  ConstMatrixRef logits) override {
    call_->threads.push_back(std::this_thread::get_id());
    for (size_t i = 0; i < positions.size(); ++i) {
      const absl::Span<const float> row = logits.Row(static_cast<int64_t>(i));
      call_->logits_positions.push_back(positions[i]);
      call_->logits.emplace_back(row.begin(), row.end());
    }
    if (call_->on_logits) return call_->on_logits(positions);
    const int64_t last = static_cast<int64_t>(call_->prompt.size()) - 1;
    const bool enough = static_cast<int64_t>(call_->appended.size()) >= call_->new_tokens;
    if (positions.back() < last || enough) return std::nullopt;
    call_->appended.push_back(ArgMax(call_->logits.back()));
    return call_->appended.back();
  }

  void OnPromptChunk(int64_t begin, int64_t end) override {
    call_->threads.push_back(std::this_thread::get_id());
    call_->chunks.emplace_back(begin, end);
  }

  void OnDone(const absl::Status& status, const EngineTimings& timings) override {
    call_->threads.push_back(std::this_thread::get_id());
    call_->status = status;
    call_->timings = timings;
    ++call_->done_count;
    if (call_->on_done) call_->on_done();
    if (!call_->done.HasBeenNotified()) call_->done.Notify();
  }

 private:
  const std::shared_ptr<FakeCall> call_;
};

inline EngineRequest MakeRequest(const std::shared_ptr<FakeCall>& call, const FakeServed& model) {
  EngineRequest request;
  request.model = model.served;
  request.prompt = call->prompt;
  request.logits_positions =
      call->positions.value_or(std::vector<int64_t>{static_cast<int64_t>(call->prompt.size()) - 1});
  request.max_new_tokens = call->new_tokens;
  request.stop = call->stop;
  request.task = std::make_unique<FakeTask>(call);
  return request;
}

// A call with a prompt of `prompt_tokens` tokens that differ with `salt`, and so many new ones.
inline std::shared_ptr<FakeCall> MakeCall(int64_t prompt_tokens, int64_t new_tokens,
                                          int64_t salt = 0) {
  auto call = std::make_shared<FakeCall>();
  for (int64_t i = 0; i < prompt_tokens; ++i) {
    call->prompt.push_back(static_cast<TokenId>((salt * 7 + i * i + i) % FakeConfig().vocab_size));
  }
  call->new_tokens = new_tokens;
  return call;
}

}  // namespace heed

#endif  // HEED_TESTS_SERVER_FAKE_CALL_H_
