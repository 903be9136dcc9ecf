#include "server/engine/scheduler.h"

#include <omp.h>
#include <pthread.h>

#include <algorithm>
#include <string>
#include <thread>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/strings/str_cat.h"
#include "absl/synchronization/mutex.h"
#include "model/base/error.h"
#include "model/base/status_macros.h"
#include "server/engine/catch_exceptions.h"
#include "server/engine/model_lane.h"
#include "server/engine/sequence.h"

namespace heed {
namespace {

absl::Status BadRequest(absl::string_view problem) {
  return MakeError(absl::StatusCode::kInternal, "BAD_ENGINE_REQUEST",
                   absl::StrCat("the engine was handed ", problem));
}

bool AscendWithin(absl::Span<const int64_t> positions, int64_t end) {
  int64_t previous = -1;
  for (int64_t position : positions) {
    if (position <= previous || position >= end) return false;
    previous = position;
  }
  return true;
}

// What the engine relies on. Callers check all of it first, with better messages; a mistake there
// must not take the engine thread down.
absl::Status CheckContract(const EngineRequest& request) {
  if (request.model == nullptr || request.stop == nullptr || request.task == nullptr) {
    return BadRequest("a request without a model, a stop signal or a task");
  }
  const ModelConfig& config = request.model->model->config();
  const int64_t prompt_tokens = static_cast<int64_t>(request.prompt.size());
  if (prompt_tokens == 0) return BadRequest("an empty prompt");
  const int64_t context = config.context_for(prompt_tokens);
  if (request.max_new_tokens < 0 || prompt_tokens > context ||
      request.max_new_tokens > context - prompt_tokens) {
    return BadRequest(absl::StrCat(prompt_tokens, " + ", request.max_new_tokens,
                                   " tokens for a context window of ", context));
  }
  if (!config.causal && request.max_new_tokens > 0) {
    return BadRequest("a bidirectional model to generate with");
  }
  if (!AscendWithin(request.logits_positions, prompt_tokens)) {
    return BadRequest("logits positions that do not ascend within the prompt");
  }
  const auto known = [&](TokenId id) { return id >= 0 && id < config.vocab_size; };
  if (!std::all_of(request.prompt.begin(), request.prompt.end(), known)) {
    return BadRequest(absl::StrCat("a token outside the vocabulary of ", config.vocab_size));
  }
  return absl::OkStatus();
}

absl::Status CheckPoolSize(const EngineRequest& request) {
  const int64_t tokens = static_cast<int64_t>(request.prompt.size()) + request.max_new_tokens;
  const int64_t total_tokens = request.model->kv_pool->total_pages() * kPageTokens;
  if (tokens <= total_tokens) return absl::OkStatus();
  return MakeError(
      absl::StatusCode::kResourceExhausted, "KV_CACHE_TOO_SMALL",
      absl::StrCat("prompt and answer together need room for ", tokens,
                   " tokens in the KV cache, which holds ", total_tokens,
                   "; shorten the prompt, ask for fewer tokens, or give the server a larger cache"),
      {{"needed_tokens", absl::StrCat(tokens)}, {"total_tokens", absl::StrCat(total_tokens)}});
}

absl::Status Draining() {
  return MakeError(absl::StatusCode::kUnavailable, "DRAINING",
                   "the server is shutting down; try another one, or again later");
}

absl::Status QueueFull(int64_t limit) {
  return MakeError(
      absl::StatusCode::kResourceExhausted, "QUEUE_FULL",
      absl::StrCat(limit, " calls are waiting already, and no more may; try again later"),
      {{"max_queued_sequences", absl::StrCat(limit)}});
}

std::unique_ptr<const StepPlanner> DefaultPlanner(const SchedulerOptions& options) {
  return NewDecodeFirstPlanner({.max_tokens = options.max_step_tokens,
                                .max_chunk_tokens = options.prefill_chunk_tokens,
                                .max_logits_rows = options.max_step_logits_rows});
}

}  // namespace

absl::Status ValidateSchedulerOptions(const SchedulerOptions& options) {
  std::vector<FieldViolation> violations;
  const auto at_least = [&](absl::string_view field, int64_t value, int64_t least) {
    if (value >= least) return;
    violations.push_back({std::string(field), absl::StrCat(value, " is less than ", least)});
  };
  at_least("max_queued_sequences", options.max_queued_sequences, 1);
  at_least("max_live_sequences", options.max_live_sequences, 1);
  at_least("max_step_tokens", options.max_step_tokens, 2);
  at_least("prefill_chunk_tokens", options.prefill_chunk_tokens, 1);
  at_least("max_step_logits_rows", options.max_step_logits_rows, 2);
  at_least("max_draft_tokens", options.max_draft_tokens, 0);
  at_least("threads", options.threads, 0);
  if (options.stall_timeout <= absl::ZeroDuration()) {
    violations.push_back({"stall_timeout", "must be more than 0"});
  }
  return violations.empty() ? absl::OkStatus() : InvalidFields(std::move(violations));
}

class Scheduler::Impl {
 public:
  Impl(const SchedulerOptions& options, std::unique_ptr<const StepPlanner> planner)
      : options_(options),
        planner_(planner != nullptr ? std::move(planner) : DefaultPlanner(options)),
        engine_([this] { Run(); }) {}

  ~Impl() {
    {
      absl::MutexLock lock(&mutex_);
      draining_ = true;
      exit_ = true;
    }
    engine_.join();
  }

  absl::Status Submit(EngineRequest request) {
    HEED_RETURN_IF_ERROR(CheckContract(request));
    HEED_RETURN_IF_ERROR(CheckPoolSize(request));
    SequenceList sequence;
    const bool is_new_call = !request.continues_call;
    return CatchExceptions([&]() -> absl::Status {
      sequence.emplace_back(std::move(request), options_.now(), options_.max_draft_tokens);
      return Enqueue(sequence, is_new_call);
    });
  }

  void Expect(std::shared_ptr<const ServedModel> model) {
    absl::MutexLock lock(&mutex_);
    expected_.push_back(std::move(model));
  }

  void Wake() {
    absl::MutexLock lock(&mutex_);
    woken_ = true;
  }

  int64_t Drain(absl::Time deadline) {
    absl::MutexLock lock(&mutex_);
    draining_ = true;
    abort_ |= deadline <= absl::Now();
    if (!mutex_.AwaitWithDeadline(absl::Condition(this, &Impl::Idle), deadline)) {
      abort_ = true;
      mutex_.Await(absl::Condition(this, &Impl::Idle));
    }
    return ended_early_;
  }

  absl::Status CheckServing() const {
    absl::MutexLock lock(&mutex_);
    return draining_ ? Draining() : absl::OkStatus();
  }

  SchedulerStats stats() const {
    return {.queued = counters_.queued,
            .live = counters_.live,
            .steps = counters_.steps,
            .prompt_tokens = counters_.prompt_tokens,
            .cached_tokens = counters_.cached_tokens,
            .generated_tokens = counters_.generated_tokens,
            .draft_tokens = counters_.draft_tokens,
            .accepted_tokens = counters_.accepted_tokens};
  }

 private:
  // What the other threads want of the engine thread.
  struct News {
    SequenceList arrived;
    std::vector<std::shared_ptr<const ServedModel>> expected;
    bool woken = false;
    bool abort = false;  // end everything
    bool exit = false;
  };

  // Takes the one sequence out of `sequence` if there is room for it.
  absl::Status Enqueue(SequenceList& sequence, bool is_new_call) {
    absl::MutexLock lock(&mutex_);
    if (exit_ || (draining_ && is_new_call)) return Draining();
    if (is_new_call && counters_.queued >= options_.max_queued_sequences) {
      return QueueFull(options_.max_queued_sequences);
    }
    ++counters_.queued;
    arrived_.splice(arrived_.end(), sequence);
    return absl::OkStatus();
  }

  // The engine thread.
  void Run() {
    pthread_setname_np(pthread_self(), "heed-engine");
    if (options_.threads > 0) omp_set_num_threads(options_.threads);
    absl::Duration patience = absl::InfiniteDuration();
    while (true) {
      News news = WaitForNews(patience);
      Adopt(news.arrived);
      for (const auto& model : news.expected) LaneOf(model);
      if (news.abort) AbortAll();
      if (news.exit) return;
      DropAbandonedLanes();
      const bool busy = StepLanes(news.woken) || TouchAhead();
      patience = busy ? absl::ZeroDuration() : Patience();
    }
  }

  News WaitForNews(absl::Duration patience) {
    const bool busy = HasSequences();
    absl::MutexLock lock(&mutex_);
    busy_ = busy;
    if (patience > absl::ZeroDuration()) {
      mutex_.AwaitWithTimeout(absl::Condition(this, &Impl::HasNews), patience);
    }
    busy_ = busy || !arrived_.empty();
    News news{.woken = woken_, .abort = abort_ || exit_, .exit = exit_};
    news.arrived.swap(arrived_);
    news.expected.swap(expected_);
    woken_ = false;
    abort_ = false;
    return news;
  }

  // Puts each new sequence into the lane of its model.
  void Adopt(SequenceList& arrived) {
    while (!arrived.empty()) {
      ModelLane* lane = nullptr;
      const absl::Status status = CatchExceptions([&] {
        lane = &LaneOf(arrived.front().model());
        return absl::OkStatus();
      });
      if (status.ok()) {
        lane->Enqueue(arrived);
        continue;
      }
      --counters_.queued;
      arrived.front().Finish(status, options_.now());
      arrived.pop_front();
    }
  }

  ModelLane& LaneOf(const std::shared_ptr<const ServedModel>& model) {
    for (const auto& lane : lanes_) {
      if (lane->model() == model.get()) return *lane;
    }
    lanes_.push_back(std::make_unique<ModelLane>(model, options_, *planner_, &counters_));
    return *lanes_.back();
  }

  void AbortAll() {
    int64_t ended = 0;
    for (const auto& lane : lanes_) ended += lane->EndAll(Draining());
    absl::MutexLock lock(&mutex_);
    ended_early_ += ended;
  }

  void DropAbandonedLanes() {
    std::erase_if(lanes_, [](const auto& lane) { return lane->abandoned(); });
  }

  // One step of each model; false when none had anything to run.
  bool StepLanes(bool woken) {
    bool ran = false;
    for (const auto& lane : lanes_) ran |= lane->Step(woken);
    return ran;
  }

  // One piece of one model's memory, so that what arrives meanwhile waits for no more; false when
  // there is nothing left to ready.
  bool TouchAhead() {
    return std::any_of(lanes_.begin(), lanes_.end(),
                       [](const auto& lane) { return lane->TouchAhead(); });
  }

  absl::Duration Patience() const {
    absl::Duration patience = absl::InfiniteDuration();
    for (const auto& lane : lanes_) patience = std::min(patience, lane->Patience());
    return patience;
  }

  bool HasSequences() const {
    return std::any_of(lanes_.begin(), lanes_.end(),
                       [](const auto& lane) { return !lane->empty(); });
  }

  bool HasNews() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    return !arrived_.empty() || !expected_.empty() || woken_ || abort_ || exit_;
  }
  bool Idle() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) { return arrived_.empty() && !busy_; }

  const SchedulerOptions options_;
  const std::unique_ptr<const StepPlanner> planner_;
  EngineCounters counters_;

  mutable absl::Mutex mutex_;
  SequenceList arrived_ ABSL_GUARDED_BY(mutex_);
  std::vector<std::shared_ptr<const ServedModel>> expected_ ABSL_GUARDED_BY(mutex_);
  bool woken_ ABSL_GUARDED_BY(mutex_) = false;
  bool abort_ ABSL_GUARDED_BY(mutex_) = false;
  bool exit_ ABSL_GUARDED_BY(mutex_) = false;
  bool draining_ ABSL_GUARDED_BY(mutex_) = false;
  bool busy_ ABSL_GUARDED_BY(mutex_) = false;  // the engine thread has sequences
  int64_t ended_early_ ABSL_GUARDED_BY(mutex_) = 0;

  std::vector<std::unique_ptr<ModelLane>> lanes_;  // the engine thread's, in order of first use
  std::thread engine_;                             // last, so that all else exists when it starts
};

Scheduler::Scheduler(const SchedulerOptions& options, std::unique_ptr<const StepPlanner> planner)
    : impl_(std::make_unique<Impl>(options, std::move(planner))) {}

Scheduler::~Scheduler() = default;

absl::Status Scheduler::Submit(EngineRequest request) {
  return impl_->Submit(std::move(request));
}

void Scheduler::Expect(std::shared_ptr<const ServedModel> model) {
  impl_->Expect(std::move(model));
}

void Scheduler::Wake() {
  impl_->Wake();
}

int64_t Scheduler::Drain(absl::Time deadline) {
  return impl_->Drain(deadline);
}

absl::Status Scheduler::CheckServing() const {
  return impl_->CheckServing();
}

SchedulerStats Scheduler::stats() const {
  return impl_->stats();
}

}  // namespace heed
