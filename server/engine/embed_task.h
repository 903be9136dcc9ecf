// The engine's side of Embed: the texts of one call in, their vectors out.
#ifndef HEED_SERVER_ENGINE_EMBED_TASK_H_
#define HEED_SERVER_ENGINE_EMBED_TASK_H_

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "model/base/stop_signal.h"
#include "model/checkpoint/pooling.h"
#include "server/engine/registry.h"
#include "server/engine/scheduler.h"

namespace heed {

// What to make of each text.
struct EmbedJob {
  PoolingConfig pooling;
  int64_t dimensions = 0;  // of the pooled vector, [1, width]
  bool token_vectors = false;
};

struct EmbeddedText {
  std::vector<float> vector;         // [dimensions]
  std::vector<float> token_vectors;  // [n_tokens, width] when asked for
  int64_t cached_tokens = 0;
};

// A call's texts on their way through the engine: each a sequence of its own that wants no logits,
// kMaxTextsInEngine of them at a time, so that a long list neither fills the queue nor keeps other
// calls out. The first error ends all.
//
// Held by its sequences' tasks; thread-safe.
class EmbedBatch : public std::enable_shared_from_this<EmbedBatch> {
 public:
  static constexpr size_t kMaxTextsInEngine = 32;

  struct Outcome {
    absl::Status status;
    // From the call's submission to the first step that ran any of its texts, and from there to the
    // end of the last.
    EngineTimings timings;
    std::vector<EmbeddedText> texts;  // in order; complete when the status is OK
  };
  using DoneCallback = std::function<void(Outcome outcome)>;

  // `prompts`: at least one, each as EngineRequest wants it. `stop` is cancelled when a text fails.
  // `done` is called once, on the engine thread, unless the result is an error: then nothing was
  // submitted. Errors as Scheduler::Submit, and INTERNAL (NONFINITE_STATES) for a model that
  // overflows on a text.
  static absl::Status Start(std::shared_ptr<const ServedModel> model, const EmbedJob& job,
                            std::vector<std::vector<TokenId>> prompts,
                            std::shared_ptr<StopSignal> stop, Scheduler* scheduler,
                            DoneCallback done);

 private:
  class Task;

  EmbedBatch(std::shared_ptr<const ServedModel> model, const EmbedJob& job,
             std::vector<std::vector<TokenId>> prompts, std::shared_ptr<StopSignal> stop,
             Scheduler* scheduler, DoneCallback done);

  EngineRequest MakeRequest(size_t index, bool continues_call);
  absl::Status SubmitFirst();
  // A text whose first step was at `started` is done, `result` complete when the status is OK.
  void OnTextDone(size_t index, const absl::Status& status, absl::Time started,
                  EmbeddedText result);
  // True when no text is left in the engine.
  bool Settle(size_t index, const absl::Status& status, absl::Time started, EmbeddedText result);
  absl::Status SubmitNext() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  Outcome TakeOutcome();

  const std::shared_ptr<const ServedModel> model_;
  const EmbedJob job_;
  const std::vector<std::vector<TokenId>> prompts_;
  const std::shared_ptr<StopSignal> stop_;
  Scheduler* const scheduler_;
  const DoneCallback done_;
  const absl::Time submitted_;

  absl::Mutex mutex_;
  size_t next_ ABSL_GUARDED_BY(mutex_) = 0;       // the first text that was not submitted yet
  size_t in_engine_ ABSL_GUARDED_BY(mutex_) = 0;  // submitted and not done
  absl::Status status_ ABSL_GUARDED_BY(mutex_);   // the first error
  absl::Time started_ ABSL_GUARDED_BY(mutex_) = absl::InfiniteFuture();  // the first step
  std::vector<EmbeddedText> texts_ ABSL_GUARDED_BY(mutex_);              // as many as prompts
};

}  // namespace heed

#endif  // HEED_SERVER_ENGINE_EMBED_TASK_H_
