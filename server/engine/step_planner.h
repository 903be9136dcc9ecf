// The policy of continuous batching: which tokens of which sequences go into the next step. Pure:
// it looks at numbers and returns numbers, so that a better policy is a new class and a test.
#ifndef HEED_SERVER_ENGINE_STEP_PLANNER_H_
#define HEED_SERVER_ENGINE_STEP_PLANNER_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "absl/types/span.h"

namespace heed {

// What bounds one step of one model.
struct StepLimits {
  int64_t max_tokens = 256;        // at least 2: one of a decode and one of a prompt
  int64_t max_chunk_tokens = 128;  // of one prompt while other sequences decode; at least 1
  int64_t max_logits_rows = 64;    // at least 2, as max_tokens
  // Of a step with drafts. Kernels read weights once for so many, so that they take about twice the
  // time of one, and four hardly more.
  int64_t max_draft_step_tokens = 16;
};

// A live sequence that could run now.
struct RunnableSequence {
  int64_t position = 0;       // tokens that have run
  int64_t prompt_tokens = 0;  // from this position on the sequence decodes: exactly one token waits
  absl::Span<const int64_t>
      logits_positions;       // wanted prompt positions at or past `position`, ascending
  int64_t last_step = 0;      // the step that ran it last; 0: none yet
  bool whole_prompt = false;  // its prompt runs in one slice or not at all
  int64_t drafts = 0;         // guesses that could run behind the token of a decode

  bool decoding() const { return position >= prompt_tokens; }
};

// Tokens [begin, end) of one sequence, where begin is its position.
struct PlannedSlice {
  size_t sequence = 0;  // index into what the planner was given
  int64_t begin = 0;
  int64_t end = 0;
  // Of the prompt positions wanted in [begin, end), or all of them when decoding.
  int64_t logits_rows = 0;

  friend bool operator==(const PlannedSlice&, const PlannedSlice&) = default;
};

// Thread-safe.
class StepPlanner {
 public:
  virtual ~StepPlanner() = default;

  // Fills `plan` with the slices of the next step, each sequence at most once; what was there is
  // gone. `sequences` are in order of admission, oldest first. When `whole_prompts` is set (a
  // bidirectional model) a prompt runs in one slice or not at all. Never empty while a sequence is
  // given, so that a step always makes progress.
  virtual void Plan(absl::Span<const RunnableSequence> sequences, bool whole_prompts,
                    std::vector<PlannedSlice>* plan) const = 0;
};

// Decodes first, longest-waiting sequence first, but leaves room for a token of a prompt when one
// waits; then fills the step with prompts, oldest first. A whole prompt that exceeds the limits
// runs with no other prompt. Steps without a prompt share out room for drafts.
std::unique_ptr<StepPlanner> NewDecodeFirstPlanner(const StepLimits& limits);

}  // namespace heed

#endif  // HEED_SERVER_ENGINE_STEP_PLANNER_H_
