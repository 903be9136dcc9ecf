// Prompts, texts and ids from the wire, validated and turned into tokens.
#ifndef HEED_SERVER_CONVERT_PROMPT_H_
#define HEED_SERVER_CONVERT_PROMPT_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "google/protobuf/repeated_field.h"
#include "heed/v1/types.pb.h"
#include "model/tokenizer/tokenizer.h"
#include "server/convert/request_limits.h"
#include "server/convert/violations.h"
#include "server/engine/registry.h"

namespace heed {

// What the model will see.
struct ResolvedPrompt {
  std::vector<TokenId> ids;        // 1..context_window, each in the vocabulary
  std::vector<ByteRange> offsets;  // one for each id
  int64_t dropped = 0;             // tokens that truncation removed
  v1::Truncation truncation = v1::TRUNCATION_UNSPECIFIED;  // the end they were removed from
  absl::Duration tokenize_time;

  int64_t size() const { return static_cast<int64_t>(ids.size()); }
};

// Adds a violation for each id outside [0, vocab_size), and for more than `max_count` ids.
void CheckIds(absl::string_view field, const google::protobuf::RepeatedField<int32_t>& ids,
              int64_t vocab_size, int64_t max_count, Violations* violations);

// Adds a violation for a text that is too long or is not UTF-8.
void CheckText(absl::string_view field, absl::string_view text, int64_t max_bytes,
               Violations* violations);

// FAILED_PRECONDITION (NO_TOKENIZER) when the model has none.
absl::StatusOr<const Tokenizer*> RequireTokenizer(const ServedModel& model);

// Checks all that can be told without reading the text. `field` is the prompt's own path.
void CheckPrompt(const v1::Prompt& prompt, const ServedModel& model, const RequestLimits& limits,
                 Violations* violations, absl::string_view field = "prompt");

// Tokens of a prompt that passed CheckPrompt, of which truncation leaves at most context_window -
// `room`. Tokens that the tokenizer adds around a text stay when the text is cut.
// FAILED_PRECONDITION (CONTEXT_WINDOW_EXCEEDED) when it is too long and may not be cut, or nothing
// would be left; INVALID_ARGUMENT when there are no tokens at all.
absl::StatusOr<ResolvedPrompt> ResolvePrompt(const v1::Prompt& prompt, const ServedModel& model,
                                             int64_t room, absl::string_view field = "prompt");

void FillPromptInfo(const ResolvedPrompt& prompt, const ServedModel& model, v1::PromptInfo* out);

}  // namespace heed

#endif  // HEED_SERVER_CONVERT_PROMPT_H_
