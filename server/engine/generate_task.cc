#include "server/engine/generate_task.h"

#include <algorithm>
#include <utility>

namespace heed {
namespace {

bool Contains(const std::vector<TokenId>& ascending, TokenId id) {
  return std::binary_search(ascending.begin(), ascending.end(), id);
}

int64_t BytesOf(const GenerateEvent& event) {
  const auto* const token = std::get_if<TokenEvent>(&event);
  return token == nullptr ? 0 : token->bytes();
}

}  // namespace

int64_t DrawableTokens(const ServedModel& model) {
  const int64_t vocab_size = model.model->config().vocab_size;
  if (model.tokenizer == nullptr) return vocab_size;
  return std::min<int64_t>(vocab_size, model.tokenizer->vocab_size());
}

int64_t TokenEvent::bytes() const {
  constexpr int64_t kCandidateBytes = 128;
  int64_t total = kCandidateBytes * static_cast<int64_t>(1 + alternatives.size()) +
                  static_cast<int64_t>(text_delta.size());
  for (const AttentionTile& tile : attention) total += tile.data_bytes();
  return total;
}

void EventQueue::Push(GenerateEvent event) {
  absl::MutexLock lock(&mutex_);
  bytes_ += BytesOf(event);
  events_.push_back(std::move(event));
}

std::optional<GenerateEvent> EventQueue::Pop(bool* made_room) {
  absl::MutexLock lock(&mutex_);
  *made_room = false;
  if (events_.empty()) return std::nullopt;
  GenerateEvent event = std::move(events_.front());
  events_.pop_front();
  bytes_ -= BytesOf(event);
  *made_room = engine_waits_ && !Full();
  if (*made_room) engine_waits_ = false;
  return event;
}

bool EventQueue::IsFull() {
  absl::MutexLock lock(&mutex_);
  if (Full()) engine_waits_ = true;
  return Full();
}

GenerateTask::GenerateTask(GenerateJob job, std::shared_ptr<const ServedModel> model,
                           absl::Span<const TokenId> prompt, std::shared_ptr<EventQueue> queue,
                           std::unique_ptr<StepCapture> capture, Callbacks callbacks)
    : job_(std::move(job)),
      model_(std::move(model)),
      queue_(std::move(queue)),
      capture_(std::move(capture)),
      callbacks_(std::move(callbacks)),
      sampler_(job_.sampling, DrawableTokens(*model_), prompt),
      text_(job_.stop_texts) {}

absl::string_view GenerateTask::TextOf(TokenId id) const {
  if (model_->tokenizer == nullptr || model_->tokenizer->IsSpecial(id)) return "";
  return model_->tokenizer->TokenBytes(id);
}

TokenEvent GenerateTask::Describe(int64_t position, TokenId id, absl::Span<const float> logits) {
  const Distribution distribution(logits);
  TokenEvent event;
  event.position = position;
  event.token = distribution.Score(id);
  event.entropy = distribution.Entropy();
  event.alternatives = distribution.TopK(job_.alternatives);
  if (capture_ != nullptr) event.attention = capture_->TakeRows(position - 1);
  return event;
}

void GenerateTask::Advance(TokenId id, TokenEvent* event) {
  ++generated_;
  EndEvent end;
  end.generated_tokens = generated_;
  const bool is_stop_id = Contains(job_.stop_ids, id);
  if (is_stop_id || Contains(job_.end_of_text_ids, id)) {
    end.reason = is_stop_id ? StopReason::kStopId : StopReason::kEndOfText;
    end.stop_id = id;
    end_ = std::move(end);
    return;
  }
  TextStream::Delta delta = text_.Append(TextOf(id));
  event->text_delta = std::move(delta.text);
  if (delta.stopped_by >= 0) {
    end.reason = StopReason::kStopText;
    end.stop_text = job_.stop_texts[delta.stopped_by];
    end_ = std::move(end);
  } else if (generated_ == job_.max_tokens) {
    end.reason = job_.ends_at_context ? StopReason::kContext : StopReason::kLength;
    end_ = std::move(end);
  }
}

void GenerateTask::FinishText(EndEvent* end) {
  TextStream::Delta delta = text_.Finish();
  end->text_delta = std::move(delta.text);
  if (delta.stopped_by < 0) return;
  // Whatever ended the generation, the answer ends before that.
  end->reason = StopReason::kStopText;
  end->stop_text = job_.stop_texts[delta.stopped_by];
  end->stop_id.reset();
}

absl::StatusOr<std::optional<TokenId>> GenerateTask::OnLogits(absl::Span<const int64_t> positions,
                                                              ConstMatrixRef logits) {
  const absl::Span<const float> row = logits.Row(logits.rows - 1);
  const TokenId id = sampler_.Next(row);
  TokenEvent event = Describe(positions.back() + 1, id, row);
  Advance(id, &event);
  queue_->Push(std::move(event));
  callbacks_.pushed();
  // The last token need not go through the model.
  if (end_.has_value()) return std::nullopt;
  return id;
}

void GenerateTask::OnDone(const absl::Status& status, const EngineTimings& timings) {
  if (status.ok() && end_.has_value()) {
    end_->timings = timings;
    FinishText(&*end_);
    queue_->Push(*std::move(end_));
  }
  callbacks_.done(status);
}

}  // namespace heed
