// Pre-tokenization: cutting normalized text into the pieces that the model merges within.
#ifndef HEED_MODEL_TOKENIZER_PRE_TOKENIZER_H_
#define HEED_MODEL_TOKENIZER_PRE_TOKENIZER_H_

#include <memory>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "model/base/json.h"
#include "model/tokenizer/aligned_text.h"
#include "model/tokenizer/pattern.h"

namespace heed {

// One step. Immutable.
class PreTokenizer {
 public:
  virtual ~PreTokenizer() = default;

  // Cuts or rewrites every piece that is not a token. Errors as SegmentFinder::Find and
  // RewritePieces.
  virtual absl::Status Apply(PieceList* list) const = 0;

  // Whether the step spells the text in the byte-level alphabet and does nothing else.
  virtual bool only_spells_bytes() const { return false; }
};

using PreTokenizers = std::vector<std::unique_ptr<PreTokenizer>>;

// The steps of `json`, which is null, one pre-tokenizer or a Sequence of them: ByteLevel, Split,
// Digits, Punctuation, Whitespace, WhitespaceSplit, BertPreTokenizer, Metaspace,
// CharDelimiterSplit, FixedLength, UnicodeScripts. INVALID_ARGUMENT and UNIMPLEMENTED name the
// path.
absl::StatusOr<PreTokenizers> ParsePreTokenizers(const JsonValue& json);

// What becomes of the matches of a pattern. For "-" in "the-final--countdown":
enum class SplitBehavior {
  kRemoved,             // the final countdown
  kIsolated,            // the - final - - countdown
  kMergedWithPrevious,  // the- final- - countdown
  kMergedWithNext,      // the -final - -countdown
  kContiguous,          // the - final -- countdown
};

// Joins or drops segments as `behavior` says; what is left becomes pieces.
void ApplyBehavior(SplitBehavior behavior, std::vector<Segment>* segments);

}  // namespace heed

#endif  // HEED_MODEL_TOKENIZER_PRE_TOKENIZER_H_
