#include "server/engine/embed_task.h"

#include <algorithm>
#include <optional>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "model/base/error.h"
#include "model/base/status_macros.h"
#include "model/inspect/state_pooler.h"
#include "server/engine/catch_exceptions.h"

namespace heed {
namespace {

absl::Status CheckFinite(const StatePooler& pooler) {
  if (!pooler.nonfinite_position().has_value()) return absl::OkStatus();
  const std::string position = absl::StrCat(*pooler.nonfinite_position());
  return MakeError(
      absl::StatusCode::kInternal, "NONFINITE_STATES",
      absl::StrCat("the model's hidden state at position ", position,
                   " holds NaN or infinite values; its weights overflow on this input"),
      {{"position", position}});
}

}  // namespace

// One text: a sequence that is run only to be watched.
class EmbedBatch::Task final : public SequenceTask {
 public:
  Task(std::shared_ptr<EmbedBatch> batch, size_t index, const StatePoolerOptions& options)
      : batch_(std::move(batch)), index_(index), submitted_(absl::Now()), pooler_(options) {}

  StatePooler* pooler() { return &pooler_; }

  absl::StatusOr<std::optional<TokenId>> OnLogits(absl::Span<const int64_t> positions,
                                                  ConstMatrixRef logits) override {
    return std::nullopt;
  }

  void OnDone(const absl::Status& status, const EngineTimings& timings) override {
    EmbeddedText result;
    const absl::Status finished = CatchExceptions([&]() -> absl::Status {
      HEED_RETURN_IF_ERROR(status);
      HEED_RETURN_IF_ERROR(CheckFinite(pooler_));
      result.vector = pooler_.Pooled(batch_->job_.dimensions, batch_->job_.pooling.normalize);
      result.token_vectors = pooler_.TakeStates();
      return absl::OkStatus();
    });
    result.cached_tokens = timings.cached_tokens;
    batch_->OnTextDone(index_, finished, submitted_ + timings.queue, std::move(result));
  }

 private:
  const std::shared_ptr<EmbedBatch> batch_;
  const size_t index_;
  const absl::Time submitted_;
  StatePooler pooler_;
};

EmbedBatch::EmbedBatch(std::shared_ptr<const ServedModel> model, const EmbedJob& job,
                       std::vector<std::vector<TokenId>> prompts, std::shared_ptr<StopSignal> stop,
                       Scheduler* scheduler, DoneCallback done)
    : model_(std::move(model)),
      job_(job),
      prompts_(std::move(prompts)),
      stop_(std::move(stop)),
      scheduler_(scheduler),
      done_(std::move(done)),
      submitted_(absl::Now()),
      texts_(prompts_.size()) {}

absl::Status EmbedBatch::Start(std::shared_ptr<const ServedModel> model, const EmbedJob& job,
                               std::vector<std::vector<TokenId>> prompts,
                               std::shared_ptr<StopSignal> stop, Scheduler* scheduler,
                               DoneCallback done) {
  const std::shared_ptr<EmbedBatch> batch(new EmbedBatch(
      std::move(model), job, std::move(prompts), std::move(stop), scheduler, std::move(done)));
  return batch->SubmitFirst();
}

EngineRequest EmbedBatch::MakeRequest(size_t index, bool continues_call) {
  auto task = std::make_unique<Task>(
      shared_from_this(), index,
      StatePoolerOptions{.kind = job_.pooling.kind,
                         .n_tokens = static_cast<int64_t>(prompts_[index].size()),
                         .width = model_->model->config().width,
                         .keep_states = job_.token_vectors});
  EngineRequest request;
  request.model = model_;
  request.prompt = prompts_[index];
  request.continues_call = continues_call;
  request.plan.observer = task->pooler();
  request.stop = stop_;
  request.task = std::move(task);
  return request;
}

// Those for which there is room now; one that was taken brings the others with it.
absl::Status EmbedBatch::SubmitFirst() {
  std::vector<EngineRequest> requests;
  for (size_t i = 0; i < std::min(prompts_.size(), kMaxTextsInEngine); ++i) {
    requests.push_back(MakeRequest(i, /*continues_call=*/false));
  }
  absl::MutexLock lock(&mutex_);
  for (EngineRequest& request : requests) {
    const absl::Status status = scheduler_->Submit(std::move(request));
    if (!status.ok() && in_engine_ == 0) return status;
    if (!status.ok()) break;
    ++next_;
    ++in_engine_;
  }
  return absl::OkStatus();
}

absl::Status EmbedBatch::SubmitNext() {
  return CatchExceptions([this]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) -> absl::Status {
    HEED_RETURN_IF_ERROR(scheduler_->Submit(MakeRequest(next_, /*continues_call=*/true)));
    ++next_;
    ++in_engine_;
    return absl::OkStatus();
  });
}

void EmbedBatch::OnTextDone(size_t index, const absl::Status& status, absl::Time started,
                            EmbeddedText result) {
  if (Settle(index, status, started, std::move(result))) done_(TakeOutcome());
}

bool EmbedBatch::Settle(size_t index, const absl::Status& status, absl::Time started,
                        EmbeddedText result) {
  absl::MutexLock lock(&mutex_);
  --in_engine_;
  started_ = std::min(started_, started);
  texts_[index] = std::move(result);
  if (status_.ok()) {
    status_ = status;
    if (status_.ok() && next_ < prompts_.size()) status_ = SubmitNext();
    if (!status_.ok()) {
      stop_->Cancel();
      scheduler_->Wake();
    }
  }
  return in_engine_ == 0;
}

EmbedBatch::Outcome EmbedBatch::TakeOutcome() {
  absl::MutexLock lock(&mutex_);
  Outcome outcome;
  outcome.status = status_;
  outcome.timings.queue = std::max(started_ - submitted_, absl::ZeroDuration());
  outcome.timings.compute = absl::Now() - started_;
  for (const EmbeddedText& text : texts_) outcome.timings.cached_tokens += text.cached_tokens;
  outcome.texts = std::move(texts_);
  return outcome;
}

}  // namespace heed
