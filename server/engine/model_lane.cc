#include "server/engine/model_lane.h"

#include <algorithm>
#include <utility>

#include "model/kernels/logits.h"
#include "model/kernels/parallel.h"
#include "server/engine/catch_exceptions.h"

namespace heed {
ModelLane::ModelLane(std::shared_ptr<const ServedModel> model, const SchedulerOptions& options,
                     const StepPlanner& planner, EngineCounters* counters)
    : model_(std::move(model)), options_(options), planner_(planner), counters_(counters) {}

bool ModelLane::Step(bool woken) {
  Review(queue_, woken);
  Review(live_, woken);
  Admit();
  plan_.clear();
  const absl::Status status = CatchExceptions([this] { return RunBatch(); });
  if (status.ok()) {
    Deliver();
  } else {
    EndBatch(status);
  }
  return !plan_.empty() || !status.ok();
}

void ModelLane::Review(SequenceList& sequences, bool woken) {
  const absl::Time now = options_.now();
  for (auto next = sequences.begin(); next != sequences.end();) {
    const auto sequence = next++;
    absl::Status status =
        CatchExceptions([&] { return sequence->Review(woken, now, options_.stall_timeout); });
    if (!status.ok()) End(sequences, sequence, status);
  }
}

void ModelLane::Admit() {
  while (!queue_.empty() && static_cast<int64_t>(live_.size()) < options_.max_live_sequences) {
    const SequenceList::iterator head = queue_.begin();
    bool is_admitted = false;
    const absl::Status status = CatchExceptions([&] {
      is_admitted = head->Admit(options_.prefix_cache);
      return absl::OkStatus();
    });
    if (!status.ok()) {
      End(queue_, head, status);
      continue;
    }
    // The head of the queue waits for pages, and everyone behind it with it: a stream of small
    // requests must not keep a large one out for ever.
    if (!is_admitted) return;
    counters_->cached_tokens += head->cached_tokens();
    live_.splice(live_.end(), queue_, head);
    --counters_->queued;
    ++counters_->live;
  }
}

absl::Status ModelLane::RunBatch() {
  runnable_.clear();
  views_.clear();
  slices_.clear();
  first_rows_.clear();
  for (auto sequence = live_.begin(); sequence != live_.end(); ++sequence) {
    if (sequence->parked()) continue;
    sequence->Draft();
    runnable_.push_back(sequence);
    views_.push_back(sequence->View());
  }
  if (views_.empty()) return absl::OkStatus();
  planner_.Plan(views_, /*whole_prompts=*/!model_->model->config().causal, &plan_);

  ++step_;
  ++counters_->steps;
  int64_t rows = 0;
  const absl::Time now = options_.now();
  for (const PlannedSlice& planned : plan_) {
    slices_.push_back(runnable_[planned.sequence]->Begin(planned, step_, now));
    first_rows_.push_back(rows);
    rows += planned.logits_rows;
  }
  const int64_t vocab_size = model_->model->config().vocab_size;
  logits_.Grow(rows * vocab_size);
  if (workspace_ == nullptr) workspace_ = model_->model->NewWorkspace();
  return model_->model->Forward(absl::MakeSpan(slices_),
                                MatrixRef(logits_.data(), rows, vocab_size), workspace_.get());
}

// Tokens are drawn and described on all threads, each sequence's by one; the rest is quick.
void ModelLane::Deliver() {
  if (plan_.empty()) return;
  const int64_t rows = first_rows_.back() + plan_.back().logits_rows;
  const bool worth_it = rows * model_->model->config().vocab_size >= kLogitsToShareOut;
  outcomes_.assign(plan_.size(), absl::OkStatus());
  ParallelFor(static_cast<int64_t>(plan_.size()), worth_it,
              [&](int64_t i) { outcomes_[i] = DeliverSlice(i); });
  for (size_t i = 0; i < plan_.size(); ++i) Settle(i);
  // A bidirectional prompt may have needed more than a step's usual share.
  if (rows > options_.max_step_logits_rows) logits_ = AlignedBuffer();
}

absl::Status ModelLane::DeliverSlice(size_t index) {
  const PlannedSlice& planned = plan_[index];
  Sequence& sequence = *runnable_[planned.sequence];
  if (slices_[index].stopped) return sequence.StopReason();
  if (sequence.in_prompt()) counters_->prompt_tokens += planned.end - planned.begin;
  const int64_t vocab_size = model_->model->config().vocab_size;
  const float* const logits = logits_.data() + first_rows_[index] * vocab_size;
  const DraftCounts before = sequence.draft_counts();
  const absl::Status status = CatchExceptions([&] {
    return sequence.Deliver(planned, slices_[index], {logits, planned.logits_rows, vocab_size});
  });
  const int64_t accepted = sequence.draft_counts().accepted - before.accepted;
  counters_->draft_tokens += sequence.draft_counts().run - before.run;
  counters_->accepted_tokens += accepted;
  counters_->generated_tokens += accepted + (sequence.has_next_token() ? 1 : 0);
  return status;
}

void ModelLane::Settle(size_t index) {
  const SequenceList::iterator sequence = runnable_[plan_[index].sequence];
  absl::Status& outcome = outcomes_[index];
  if (sequence->nonfinite()) {
    outcome = CatchExceptions([&] { return sequence->FindNonfinite(workspace_.get()); });
  }
  if (!outcome.ok() || sequence->complete()) End(live_, sequence, outcome);
}

void ModelLane::EndBatch(const absl::Status& status) {
  // Scratch memory may be half written after an exception, and large after an allocation failed.
  workspace_.reset();
  logits_ = AlignedBuffer();
  for (const PlannedSlice& planned : plan_) End(live_, runnable_[planned.sequence], status);
  // Without a plan, planning itself failed, which concerns all that could have been in it.
  if (plan_.empty()) EndEach(live_, status);
}

int64_t ModelLane::EndAll(const absl::Status& status) {
  return EndEach(live_, status) + EndEach(queue_, status);
}

int64_t ModelLane::EndEach(SequenceList& sequences, const absl::Status& status) {
  const int64_t count = static_cast<int64_t>(sequences.size());
  while (!sequences.empty()) End(sequences, sequences.begin(), status);
  return count;
}

void ModelLane::End(SequenceList& sequences, SequenceList::iterator sequence,
                    const absl::Status& status) {
  --(sequence->admitted() ? counters_->live : counters_->queued);
  sequence->Finish(status, options_.now());
  sequences.erase(sequence);
}

bool ModelLane::TouchAhead() {
  constexpr int64_t kLongPrompts = 4;  // that may come one right after the other
  return model_->kv_pool->TouchAhead(kLongPrompts * model_->model->config().context_window);
}

absl::Duration ModelLane::Patience() const {
  const absl::Time now = options_.now();
  absl::Duration patience = absl::InfiniteDuration();
  for (const SequenceList* sequences : {&live_, &queue_}) {
    for (const Sequence& sequence : *sequences) {
      patience = std::min(patience, sequence.Patience(now, options_.stall_timeout));
    }
  }
  return patience;
}

}  // namespace heed
