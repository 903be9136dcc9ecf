// Untrusted text <-> token ids, exactly as the checkpoint's tokenizer.json defines (semantics:
// huggingface/tokenizers).
#ifndef HEED_MODEL_TOKENIZER_TOKENIZER_H_
#define HEED_MODEL_TOKENIZER_TOKENIZER_H_

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"

namespace heed {

using TokenId = int32_t;

// Bytes [begin, end) of the text that was encoded.
struct ByteRange {
  int64_t begin = 0;
  int64_t end = 0;
  friend bool operator==(const ByteRange&, const ByteRange&) = default;
};

struct TokenizedText {
  std::vector<TokenId> ids;
  std::vector<ByteRange> offsets;  // one for each id; empty range for a token the tokenizer added
};

struct EncodeOptions {
  bool add_special_tokens = true;    // run the post-processor's template, e.g. a leading <s>
  bool parse_special_tokens = true;  // control tokens spelled out in the text become control tokens
};

// One decoding, token by token. Not thread-safe; the tokenizer must outlive it.
class TokenStream {
 public:
  virtual ~TokenStream() = default;

  // The bytes that are certain now that `id` has come; not necessarily whole UTF-8 characters. Ids
  // that Decode leaves out give nothing.
  virtual std::string Append(TokenId id) = 0;

  // The bytes that were held back. Nothing may be appended afterwards.
  virtual std::string Finish() = 0;
};

// Immutable and thread-safe. Time and memory are O(n log n) in the text's bytes; no recursion on
// input.
class Tokenizer {
 public:
  virtual ~Tokenizer() = default;

  // Ill-formed UTF-8 is read with U+FFFD in place of each ill-formed part; offsets always refer to
  // `text` as given. RESOURCE_EXHAUSTED when a pre-tokenizer pattern exceeds its match limits.
  virtual absl::StatusOr<TokenizedText> Encode(absl::string_view text,
                                               const EncodeOptions& options) const = 0;

  // The bytes that `ids` stand for; not necessarily whole UTF-8 characters. Ids outside the
  // vocabulary (embedding rows without a token) stand for nothing.
  virtual std::string Decode(absl::Span<const TokenId> ids, bool skip_special_tokens) const = 0;

  // Decode in steps: the bytes of all steps together are those of Decode.
  virtual std::unique_ptr<TokenStream> NewStream(bool skip_special_tokens) const = 0;

  // The bytes that `id` adds in the middle of a text, perhaps part of a character. Where a token
  // reads differently at the beginning of a text or beside another (a dropped space, a run of byte
  // tokens that make no character), Decode and NewStream say so and this does not.
  virtual absl::string_view TokenBytes(TokenId id) const = 0;

  // The vocabulary's own spelling ("Ġkeys"); empty for an id without a token.
  virtual absl::string_view Piece(TokenId id) const = 0;

  // The id of a piece in the vocabulary's own spelling.
  virtual std::optional<TokenId> FindPiece(absl::string_view piece) const = 0;

  virtual bool IsSpecial(TokenId id) const = 0;

  // One past the largest id.
  virtual int vocab_size() const = 0;

  // Tokens that Encode adds around one text when add_special_tokens is set.
  virtual int added_special_count() const = 0;

  // The mask token, by its conventional spellings [MASK] and <mask>.
  virtual std::optional<TokenId> mask_id() const = 0;

  virtual absl::string_view kind() const = 0;  // "byte-level BPE"
};

// Reads tokenizer.json (format version 1.0). INVALID_ARGUMENT for a damaged file and UNIMPLEMENTED
// for a component heed does not know, each naming the JSON path.
absl::StatusOr<std::unique_ptr<Tokenizer>> ParseTokenizerJson(absl::string_view json);

}  // namespace heed

#endif  // HEED_MODEL_TOKENIZER_TOKENIZER_H_
