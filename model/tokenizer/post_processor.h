// What happens to the tokens of a text at the end: offsets lose their spaces, and special tokens go
// around them.
#ifndef HEED_MODEL_TOKENIZER_POST_PROCESSOR_H_
#define HEED_MODEL_TOKENIZER_POST_PROCESSOR_H_

#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/status/statusor.h"
#include "model/base/json.h"
#include "model/tokenizer/tokenizer.h"

namespace heed {

// Takes whitespace at both ends of tokens out of their offsets.
struct OffsetTrim {
  bool add_prefix_space =
      false;  // a single space that begins the text is the tokenizer's own and counts as nothing
};

// What all supported post-processors come to for one text.
struct PostProcessor {
  std::vector<OffsetTrim> trims;  // in this order
  std::vector<TokenId> before;    // special tokens around the text
  std::vector<TokenId> after;
};

// `json` is null, ByteLevel, TemplateProcessing, BertProcessing, RobertaProcessing or a Sequence of
// these of which at most one adds tokens. INVALID_ARGUMENT, also for special tokens that are not
// `is_token`, and UNIMPLEMENTED name the path.
absl::StatusOr<PostProcessor> ParsePostProcessor(const JsonValue& json,
                                                 absl::FunctionRef<bool(TokenId)> is_token);

}  // namespace heed

#endif  // HEED_MODEL_TOKENIZER_POST_PROCESSOR_H_
