// Continuous batching: one engine thread runs all live sequences together, one batched step after
// another.
//
// Models take turns, one step each. A step takes one new token from every sequence that is decoding
// and fills the rest of its token budget with chunks of prompts that are still being read, oldest
// first (step_planner.h). Sequences wait in line for each model, and are admitted in order of
// arrival once there is a live slot and the model's pool has the pages of prompt + max_new_tokens
// in full: a live sequence never runs out of pages and is never preempted.
#ifndef HEED_SERVER_ENGINE_SCHEDULER_H_
#define HEED_SERVER_ENGINE_SCHEDULER_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "absl/types/span.h"
#include "model/base/matrix.h"
#include "model/base/stop_signal.h"
#include "model/transformer/language_model.h"
#include "server/engine/registry.h"
#include "server/engine/step_planner.h"

namespace heed {

struct EngineTimings {
  absl::Duration queue;    // from Submit to the first step that ran the sequence
  absl::Duration compute;  // from that step to the end
  // Of the prompt, that were not run: their keys and values were there from an earlier sequence.
  int64_t cached_tokens = 0;
  // Guesses of tokens that were run, and those of them that were right.
  int64_t draft_tokens = 0;
  int64_t accepted_tokens = 0;
};

// One call's own part of a sequence: what to do with logits, and how to end. One method is called
// after the other, on the engine thread or one that helps it, at the same time as other tasks'.
// They must not block and may call Submit, Wake and stats. An exception from any but OnDone, which
// must not throw, ends the sequence.
class SequenceTask {
 public:
  virtual ~SequenceTask() = default;

  // Asked before each token after the prompt is run or, if it was run as a guess, kept. False parks
  // the sequence with its cache kept, until Scheduler::Wake() asks again (a slow reader's queue is
  // full). Make room first, then call Wake.
  virtual bool CanAdvance() { return true; }

  // Logits of some positions, in ascending order over the calls: first those of
  // request.logits_positions, then one row for each token the task appended. F32 [positions.size(),
  // vocab_size], all finite, valid during the call. Returns the token to append, which only the
  // last prompt position and later ones may, or nullopt to append none: the sequence ends when its
  // prompt is done and nothing was appended. An error ends it with that error. Not called for rows
  // with a NaN or an infinity: those, and hidden states that have one, end the sequence with
  // INTERNAL (NONFINITE_LOGITS, NONFINITE_STATES), which names the layer that they come from.
  virtual absl::StatusOr<std::optional<TokenId>> OnLogits(absl::Span<const int64_t> positions,
                                                          ConstMatrixRef logits) = 0;

  // A piece of the prompt, positions [begin, end), has gone through all layers (its observer has
  // seen its rows). Called before OnLogits of the same positions. The first piece begins after the
  // tokens that were cached.
  virtual void OnPromptChunk(int64_t begin, int64_t end) {}

  // Exactly once, and last: OK, or why the sequence ended early. Resources of the sequence are free
  // by then; the task is destroyed next.
  virtual void OnDone(const absl::Status& status, const EngineTimings& timings) = 0;
};

struct EngineRequest {
  std::shared_ptr<const ServedModel> model;
  // Validated: 1..context_window ids, each in the vocabulary.
  std::vector<TokenId> prompt;
  // Wanted prompt positions, ascending, no repeats; may be all.
  std::vector<int64_t> logits_positions;
  // The task appends at most this many; prompt + this fits the context window. 0 for a
  // bidirectional model.
  int64_t max_new_tokens = 0;
  // One more part of a call that the engine has taken other parts of: neither a full queue nor
  // draining refuses it, so that a call that was begun can be finished. To be submitted while one
  // of those parts is not done yet, its OnDone included; so each part brings at most one more.
  bool continues_call = false;
  // The prompt must run in one step, as a bidirectional model's always does: an edit needs all of
  // it.
  bool whole_prompt = false;
  ForwardPlan plan;                        // what it points to lives as long as the task
  std::shared_ptr<const StopSignal> stop;  // never null
  std::unique_ptr<SequenceTask> task;
};

// Counts are at least 1, max_step_tokens and max_step_logits_rows 2, as StepLimits asks.
struct SchedulerOptions {
  int64_t max_queued_sequences = 256;  // waiting ones; Submit refuses more
  int64_t max_live_sequences = 64;     // in the batch, per model
  // Per step and model. A longer bidirectional prompt runs alone.
  int64_t max_step_tokens = 256;
  int64_t prefill_chunk_tokens = 128;  // of one prompt per step while others decode
  // Bounds the logits buffer of a model: rows * vocab_size floats. A bidirectional prompt that
  // wants more rows than this runs alone with all of them, at most context_window * vocab_size
  // floats, which are freed after the step.
  int64_t max_step_logits_rows = 64;
  // A parked sequence is ended with ABORTED (SLOW_READER) after this long.
  absl::Duration stall_timeout = absl::Seconds(30);
  // A prompt that begins like an earlier one of its model begins with that one's keys and values,
  // up to the first position whose logits or whose observer's rows are wanted. Answers are the same
  // to the bit; but how fast one comes tells that somebody has asked for something like it.
  bool prefix_cache = true;
  // Most guesses of one sequence's next tokens that a step runs along (prompt_lookup.h); 0: none.
  // Answers are the same to the bit, and what observers are shown is, too, but for OnTruncate.
  int64_t max_draft_tokens = 15;
  int threads = 0;                              // team of the engine thread; 0: leave as it is
  std::function<absl::Time()> now = absl::Now;  // of timings and stall_timeout
};

// INVALID_ARGUMENT naming each option that is out of its range.
absl::Status ValidateSchedulerOptions(const SchedulerOptions& options);

struct SchedulerStats {
  int64_t queued = 0;
  int64_t live = 0;
  int64_t steps = 0;
  int64_t prompt_tokens = 0;     // run so far
  int64_t cached_tokens = 0;     // of prompts, that did not have to be run
  int64_t generated_tokens = 0;  // appended so far
  int64_t draft_tokens = 0;      // run so far
  int64_t accepted_tokens = 0;   // of those, that were right
};

// Thread-safe. The destructor ends whatever is left with UNAVAILABLE and joins the engine thread.
class Scheduler {
 public:
  // `options` are valid. `planner` is what chooses the slices of each step; null:
  // NewDecodeFirstPlanner.
  explicit Scheduler(const SchedulerOptions& options,
                     std::unique_ptr<const StepPlanner> planner = nullptr);
  ~Scheduler();

  // Hands a sequence to the engine; on OK, the task's OnDone will be called. RESOURCE_EXHAUSTED
  // (QUEUE_FULL, KV_CACHE_TOO_SMALL for a request larger than the model's whole pool), UNAVAILABLE
  // (DRAINING), INTERNAL (BAD_ENGINE_REQUEST) for a request that breaks its contract; then OnDone
  // is not called and the request's task is destroyed.
  absl::Status Submit(EngineRequest request);

  // There may be prompts for this model: memory for their keys and values is readied as long as
  // there is nothing to run, so that the first ones need not wait for it (KvPool::TouchAhead).
  void Expect(std::shared_ptr<const ServedModel> model);

  // Look again at cancelled and parked sequences. Deadlines are seen without it. A sequence that is
  // running sees its cancellation before the next layer anyway.
  void Wake();

  // Refuses new calls from now on and waits until the live and queued sequences are done, or until
  // `deadline`, when the rest end with UNAVAILABLE after the running step. Returns how many were
  // ended early.
  int64_t Drain(absl::Time deadline);

  // UNAVAILABLE (DRAINING) once Drain was called.
  absl::Status CheckServing() const;

  SchedulerStats stats() const;

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace heed

#endif  // HEED_SERVER_ENGINE_SCHEDULER_H_
