// One sequence on its way through the engine: how far it has run, its cache, and the dealings with
// its task. Used on the engine thread only, once constructed.
#ifndef HEED_SERVER_ENGINE_SEQUENCE_H_
#define HEED_SERVER_ENGINE_SEQUENCE_H_

#include <algorithm>
#include <cstdint>
#include <list>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "model/base/matrix.h"
#include "model/generate/prompt_lookup.h"
#include "model/transformer/kv_cache.h"
#include "model/transformer/language_model.h"
#include "server/engine/scheduler.h"
#include "server/engine/step_planner.h"

namespace heed {

// Guesses of a sequence's next tokens.
struct DraftCounts {
  int64_t run = 0;
  int64_t accepted = 0;
};

class Sequence {
 public:
  Sequence(EngineRequest request, absl::Time submitted, int64_t max_draft_tokens)
      : request_(std::move(request)),
        tokens_(std::move(request_.prompt)),
        prompt_tokens_(static_cast<int64_t>(tokens_.size())),
        max_drafts_(std::min(max_draft_tokens, request_.max_new_tokens)),
        lookup_(max_drafts_),
        submitted_(submitted) {}
  Sequence(const Sequence&) = delete;
  Sequence& operator=(const Sequence&) = delete;

  const std::shared_ptr<const ServedModel>& model() const { return request_.model; }

  // Takes pages for the prompt and all tokens that may follow, so that a live sequence never lacks
  // one; with `share_prefix`, those of an earlier sequence as far as it began with the same tokens.
  // False, changing nothing, when the pool has too few.
  bool Admit(bool share_prefix);
  bool admitted() const { return cache_ != nullptr; }
  // Of the prompt, that were in the pages and need not run.
  int64_t cached_tokens() const { return cached_tokens_; }

  // Why the sequence must end now, if it must: it was cancelled, its deadline passed, or its reader
  // has stalled for `stall_timeout`. Parks a decoding sequence whose task cannot go on; a parked
  // one is asked again only when `woken`.
  absl::Status Review(bool woken, absl::Time now, absl::Duration stall_timeout);
  bool parked() const { return parked_since_.has_value(); }

  // Until when Review need not be called again unless something calls Scheduler::Wake.
  absl::Duration Patience(absl::Time now, absl::Duration stall_timeout) const;

  // Guesses what follows the token that waits, for View and Begin. Once for each step.
  void Draft();

  RunnableSequence View() const;

  // The slice to run for `planned`, in step number `step` (from 1). It borrows from this sequence
  // until the next call.
  SequenceSlice Begin(const PlannedSlice& planned, int64_t step, absl::Time now);

  // The slice that was begun has run. `logits` are its rows, [planned.logits_rows, vocab_size].
  // Those of wrong guesses are not looked at, and leave nothing behind. On the engine thread
  // or one that helps it, at the same time as other sequences'. An error ends the sequence:
  // INTERNAL (BAD_TASK_TOKEN), what the task returned, or, for rows that are not finite, one that
  // FindNonfinite replaces.
  absl::Status Deliver(const PlannedSlice& planned, const SequenceSlice& slice,
                       ConstMatrixRef logits);

  // Whether the delivered rows were not finite.
  bool nonfinite() const { return nonfinite_.has_value(); }
  // Where from: INTERNAL (NONFINITE_STATES or NONFINITE_LOGITS; INVALID_ARGUMENT for a sequence
  // with edits). Runs the slice again in `workspace` to find the layer.
  absl::Status FindNonfinite(Workspace* workspace);

  DraftCounts draft_counts() const { return draft_counts_; }

  // A token was appended and waits to be run.
  bool has_next_token() const { return !in_prompt() && !complete(); }
  // All tokens have run.
  bool complete() const { return position_ >= static_cast<int64_t>(tokens_.size()); }
  bool in_prompt() const { return position_ < prompt_tokens_; }

  // What a slice that Forward reported as stopped ends with.
  absl::Status StopReason() const;

  // Frees the cache, then tells the task. Nothing may be called afterwards.
  void Finish(const absl::Status& status, absl::Time now);

 private:
  int64_t FirstNeededPosition() const;
  void SharePages();
  absl::Status DeliverPrompt(const PlannedSlice& planned, const SequenceSlice& slice,
                             ConstMatrixRef logits);
  absl::Status DeliverTokens(const PlannedSlice& planned, const SequenceSlice& slice,
                             ConstMatrixRef logits);
  bool IsAsGuessed(TokenId token) const;
  void DropDrafts();
  absl::Status CheckFinite(const PlannedSlice& planned, const SequenceSlice& slice,
                           absl::Span<const int64_t> positions, ConstMatrixRef logits);
  absl::Status Nonfinite(const PlannedSlice& planned, absl::string_view what, int64_t position);
  absl::Status RunAgain(const PlannedSlice& planned, ForwardObserver* observer,
                        Workspace* workspace);
  absl::Status Append(TokenId token);

  EngineRequest request_;
  // The prompt, then those that were appended; while a slice runs, also its drafts.
  std::vector<TokenId> tokens_;
  const int64_t prompt_tokens_;
  const int64_t max_drafts_;
  PromptLookup lookup_;
  DraftCounts draft_counts_;
  std::unique_ptr<KvCache> cache_;
  int64_t cached_tokens_ = 0;
  int64_t shareable_tokens_ = 0;    // whose keys and values another sequence may use
  int64_t position_ = 0;            // tokens that have run
  size_t next_logits_ = 0;          // first of request_.logits_positions that has not been answered
  std::vector<int64_t> positions_;  // of the running slice's logits rows
  std::vector<int64_t> rows_;       // the same, relative to the slice
  int64_t last_step_ = 0;
  const absl::Time submitted_;
  std::optional<absl::Time> started_;  // its first step
  std::optional<absl::Time> parked_since_;
  struct NonfiniteRow {
    PlannedSlice slice;      // what had run
    absl::string_view what;  // "states" or "logits"
    int64_t position;
  };
  std::optional<NonfiniteRow> nonfinite_;
};

// Sequences move between lists by splicing, which allocates nothing.
using SequenceList = std::list<Sequence>;

}  // namespace heed

#endif  // HEED_SERVER_ENGINE_SEQUENCE_H_
