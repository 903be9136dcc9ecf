// Text on its way from what the user typed to what the model sees, with the way back for every
// byte.
#ifndef HEED_MODEL_TOKENIZER_ALIGNED_TEXT_H_
#define HEED_MODEL_TOKENIZER_ALIGNED_TEXT_H_

#include <cstddef>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "model/tokenizer/tokenizer.h"

namespace heed {

// Bytes [begin, end) of the text that was given to Encode.
struct Origin {
  uint32_t begin = 0;
  uint32_t end = 0;
};

// Valid UTF-8 whose every byte knows the original bytes it came from. The bytes of one character
// share their origin.
class AlignedText {
 public:
  // Growth past `max_bytes` is dropped and remembered: a few bytes of a file's rules must not turn
  // into gigabytes.
  explicit AlignedText(size_t max_bytes) : max_bytes_(max_bytes) {}

  // `text` as given, each ill-formed part as one U+FFFD that comes from that part.
  static AlignedText FromUntrusted(absl::string_view text, size_t max_bytes);

  absl::string_view text() const { return text_; }
  size_t size() const { return text_.size(); }
  size_t max_bytes() const { return max_bytes_; }
  bool overflowed() const { return overflowed_; }
  Origin origin(size_t byte) const { return origins_[byte]; }
  // The original bytes behind the bytes [begin, end), which must not be empty.
  Origin OriginOf(size_t begin, size_t end) const {
    return {origins_[begin].begin, origins_[end - 1].end};
  }

  void Reserve(size_t bytes);
  // Appends bytes that all come from `origin`.
  void Append(absl::string_view bytes, Origin origin) {
    if (!HasRoom(bytes.size())) return;
    text_.append(bytes.data(), bytes.size());
    for (size_t i = 0; i < bytes.size(); ++i) origins_.push_back(origin);
  }
  // Appends the bytes [begin, end) of another text with their origins.
  void AppendRange(const AlignedText& source, size_t begin, size_t end);

 private:
  bool HasRoom(size_t bytes) {
    if (bytes > max_bytes_ - text_.size()) overflowed_ = true;
    return !overflowed_;
  }

  std::string text_;
  std::vector<Origin> origins_;
  size_t max_bytes_;
  bool overflowed_ = false;
};

inline constexpr TokenId kNoToken = -1;

// Bytes [begin, end) of an AlignedText: either an added token that was found there, or text still
// to be tokenized.
struct Piece {
  uint32_t begin = 0;
  uint32_t end = 0;
  TokenId token = kNoToken;
};

// A text cut into pieces, in order and without overlap. Splitting only touches the pieces;
// rewriting makes a new text.
struct PieceList {
  AlignedText text;
  std::vector<Piece> pieces;  // not empty ranges

  // The whole of `text` as one piece, or none when it is empty.
  static PieceList Whole(AlignedText text);

  absl::string_view Text(const Piece& piece) const {
    return text.text().substr(piece.begin, piece.end - piece.begin);
  }
};

// Rewrites every piece that is not a token: `rewrite` appends the new form of bytes [begin, end) of
// `in` to `out`. RESOURCE_EXHAUSTED when the result exceeds the text's limit.
using RewriteFunction =
    absl::FunctionRef<absl::Status(const AlignedText& in, const Piece& piece, AlignedText* out)>;
absl::Status RewritePieces(RewriteFunction rewrite, PieceList* list);
// The same where the result is expected to have `expected_bytes`.
absl::Status RewritePieces(RewriteFunction rewrite, size_t expected_bytes, PieceList* list);

}  // namespace heed

#endif  // HEED_MODEL_TOKENIZER_ALIGNED_TEXT_H_
