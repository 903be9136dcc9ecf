// Guesses how a text goes on from what followed the same words earlier in it.
//
// A model that quotes, lists, writes code or repeats itself is often right about several tokens
// that a look at the text would have told. Such drafts go through the model together with the last
// token, in one pass over the weights; those that it would have drawn itself are kept, so that the
// answer is what it would be without (Leviathan et al. 2023; the lookup is Saxena's of 2023).
#ifndef HEED_MODEL_GENERATE_PROMPT_LOOKUP_H_
#define HEED_MODEL_GENERATE_PROMPT_LOOKUP_H_

#include <cstdint>
#include <vector>

#include "absl/types/span.h"
#include "model/tokenizer/tokenizer.h"

namespace heed {

// Of one sequence. Guesses more while it is right, and seldom where it is not. Allocates only when
// it is made.
class PromptLookup {
 public:
  // Makes at most `max_drafts` drafts at a time; 0: never one.
  explicit PromptLookup(int64_t max_drafts);

  // Sets drafts() to what may follow `tokens`, at most `room` of them; mostly none. Once for each
  // pass.
  void Look(absl::Span<const TokenId> tokens, int64_t room);
  absl::Span<const TokenId> drafts() const { return drafts_; }

  // The first `count` of drafts() were tried, and the first `accepted` of those were right.
  void Learn(int64_t count, int64_t accepted);

 private:
  const int64_t max_drafts_;
  int64_t length_;          // of the next drafts
  int64_t pause_ = 0;       // passes without drafts after the last that were wrong
  int64_t to_pass_by_ = 0;  // of those, still to come
  std::vector<TokenId> drafts_;
};

}  // namespace heed

#endif  // HEED_MODEL_GENERATE_PROMPT_LOOKUP_H_
