// Normalisation: rewriting text before it is cut, with offsets back to the original.
#ifndef HEED_MODEL_TOKENIZER_NORMALIZER_H_
#define HEED_MODEL_TOKENIZER_NORMALIZER_H_

#include <memory>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "model/base/json.h"
#include "model/tokenizer/aligned_text.h"

namespace heed {

// One step. Immutable.
class Normalizer {
 public:
  virtual ~Normalizer() = default;

  // Rewrites every piece that is not a token. RESOURCE_EXHAUSTED as RewritePieces and RegexSearch.
  virtual absl::Status Apply(PieceList* list) const = 0;
};

using Normalizers = std::vector<std::unique_ptr<Normalizer>>;

// The steps of `json`, which is null, one normalizer or a Sequence of them: NFC, NFD, NFKC, NFKD,
// Lowercase, Strip, StripAccents, Prepend, Replace, ByteLevel, Nmt, BertNormalizer, Precompiled.
// INVALID_ARGUMENT and UNIMPLEMENTED name the path.
absl::StatusOr<Normalizers> ParseNormalizers(const JsonValue& json);

absl::Status ApplyAll(const Normalizers& normalizers, PieceList* list);

// Rewrites each byte as its character of the byte-level alphabet.
absl::Status RewriteAsByteLevel(PieceList* list);

// The piece with `prefix` before it; the prefix comes from the same place as the piece's first
// character.
void AppendPrefixed(const AlignedText& in, const Piece& piece, absl::string_view prefix,
                    AlignedText* out);

}  // namespace heed

#endif  // HEED_MODEL_TOKENIZER_NORMALIZER_H_
