// All sequences of one model, waiting and live, and the memory their steps reuse. Used on the
// engine thread only.
#ifndef HEED_SERVER_ENGINE_MODEL_LANE_H_
#define HEED_SERVER_ENGINE_MODEL_LANE_H_

#include <atomic>
#include <cstdint>
#include <memory>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "model/base/aligned_buffer.h"
#include "model/transformer/language_model.h"
#include "server/engine/scheduler.h"
#include "server/engine/sequence.h"
#include "server/engine/step_planner.h"

namespace heed {

// SchedulerStats as the engine thread counts and others read.
struct EngineCounters {
  std::atomic<int64_t> queued{0};
  std::atomic<int64_t> live{0};
  std::atomic<int64_t> steps{0};
  std::atomic<int64_t> prompt_tokens{0};
  std::atomic<int64_t> cached_tokens{0};
  std::atomic<int64_t> generated_tokens{0};
  std::atomic<int64_t> draft_tokens{0};
  std::atomic<int64_t> accepted_tokens{0};
};

class ModelLane {
 public:
  // `options`, `planner` and `counters` must outlive the lane.
  ModelLane(std::shared_ptr<const ServedModel> model, const SchedulerOptions& options,
            const StepPlanner& planner, EngineCounters* counters);

  const ServedModel* model() const { return model_.get(); }
  bool empty() const { return queue_.empty() && live_.empty(); }
  // No sequence is here and nobody else holds the model.
  bool abandoned() const { return empty() && model_.use_count() == 1; }

  // Moves the first sequence of `from` to the end of the queue.
  void Enqueue(SequenceList& from) { queue_.splice(queue_.end(), from, from.begin()); }

  // Ends what must end, admits what fits and runs one batch. False when nothing could run.
  bool Step(bool woken);

  // Ends every sequence; returns how many there were.
  int64_t EndAll(const absl::Status& status);

  // When there is nothing to run: readies a piece of memory for the next prompts. False when all of
  // it is ready.
  bool TouchAhead();

  // How long nothing needs to be looked at, unless Scheduler::Wake is called.
  absl::Duration Patience() const;

 private:
  void Review(SequenceList& sequences, bool woken);
  void Admit();
  absl::Status RunBatch();
  void Deliver();
  absl::Status DeliverSlice(size_t index);
  void Settle(size_t index);
  void EndBatch(const absl::Status& status);
  int64_t EndEach(SequenceList& sequences, const absl::Status& status);
  // Ends a sequence that is in `sequences` and forgets it.
  void End(SequenceList& sequences, SequenceList::iterator sequence, const absl::Status& status);

  const std::shared_ptr<const ServedModel> model_;
  const SchedulerOptions& options_;
  const StepPlanner& planner_;
  EngineCounters* const counters_;

  SequenceList queue_;  // oldest first
  SequenceList live_;   // oldest first
  int64_t step_ = 0;

  // The running step. Kept between steps for their memory only.
  std::vector<SequenceList::iterator> runnable_;
  std::vector<RunnableSequence> views_;
  std::vector<PlannedSlice> plan_;
  std::vector<SequenceSlice> slices_;
  std::vector<int64_t> first_rows_;  // of each slice's logits
  std::vector<absl::Status> outcomes_;
  std::unique_ptr<Workspace> workspace_;
  AlignedBuffer logits_;  // [rows of the step, vocab_size]
};

}  // namespace heed

#endif  // HEED_SERVER_ENGINE_MODEL_LANE_H_
