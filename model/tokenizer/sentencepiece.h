// Tokenizers of the SentencePiece library: its model files, and the same facts in GGUF files.
#ifndef HEED_MODEL_TOKENIZER_SENTENCEPIECE_H_
#define HEED_MODEL_TOKENIZER_SENTENCEPIECE_H_

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "model/tokenizer/tokenizer.h"
#include "model/tokenizer/tokenizer_builder.h"

namespace heed {

// The numbers are those of both kinds of file.
enum class PieceKind {
  kNormal = 1,
  kUnknown = 2,
  kControl = 3,      // a control token
  kUserDefined = 4,  // found in the text before anything else
  kUnused = 5,
  kByte = 6,  // <0xNN>
};

struct SentencePieceFacts {
  std::string source;   // names the file in messages
  bool is_bpe = false;  // else unigram
  std::vector<std::string> pieces;
  std::vector<float> scores;     // by id
  std::vector<PieceKind> kinds;  // by id
  std::string charsmap;          // precompiled; empty: none
  bool add_dummy_prefix = true;  // a space before a text
  bool remove_extra_whitespaces = true;
  bool escape_whitespaces = true;  // spaces are spelled U+2581
  bool byte_fallback = false;
  std::optional<TokenId> unk_id;
  std::optional<TokenId> bos_id;
  std::optional<TokenId> eos_id;
  bool add_bos = false;
  bool add_eos = false;
  // Tokens that were added after training, by id; those that are no pieces follow the last piece.
  std::vector<AddedTokenText> added_tokens;
};

// INVALID_ARGUMENT for pieces that are no UTF-8, scores that are no numbers, lists of different
// lengths and ids past their end.
absl::Status CheckPieces(const SentencePieceFacts& facts);

// Reads a model file (a protocol buffer) whose pieces CheckPieces accepts. INVALID_ARGUMENT for
// damage and UNIMPLEMENTED for models of words or characters and for spaces as suffixes.
absl::StatusOr<SentencePieceFacts> ParseSentencePieceModel(absl::string_view source,
                                                           absl::string_view bytes);

// Pieces are merged by their scores, as the library does it. A pair is merged only where both parts
// are pieces themselves: a difference where a vocabulary has pieces that no others make up.
// INVALID_ARGUMENT for ids, scores or pieces that make no vocabulary.
absl::StatusOr<std::unique_ptr<Tokenizer>> BuildSentencePieceTokenizer(
    const SentencePieceFacts& facts);

// The normalizer of tokenizer.json for a precompiled map.
std::string PrecompiledJson(absl::string_view charsmap);

}  // namespace heed

#endif  // HEED_MODEL_TOKENIZER_SENTENCEPIECE_H_
