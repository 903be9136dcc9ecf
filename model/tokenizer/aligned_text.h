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

// Bytes [begin, end) of the text that was given to Encode: one character of it, one ill-formed
// part, or nothing.
struct Origin {
  uint32_t begin = 0;
  uint32_t end = 0;
};

// Valid UTF-8 whose every byte knows the original bytes it came from. The bytes of one character
// share their origin. Takes five bytes of memory for each byte of the text, which may come from a
// text of up to kMaxOrigin bytes.
class AlignedText {
 public:
  static constexpr uint32_t kMaxOrigin = (uint32_t{1} << 29) - 1;

  // Growth past `max_bytes` is dropped and remembered: a few bytes of a file's rules must not turn
  // into gigabytes.
  explicit AlignedText(size_t max_bytes) : max_bytes_(max_bytes) {}

  // `text` as given, each ill-formed part as one U+FFFD that comes from that part.
  static AlignedText FromUntrusted(absl::string_view text, size_t max_bytes);

  absl::string_view text() const { return text_; }
  size_t size() const { return text_.size(); }
  size_t max_bytes() const { return max_bytes_; }
  bool overflowed() const { return overflowed_; }
  Origin origin(size_t byte) const { return Unpack(origins_[byte]); }
  // The original bytes from the first to the last of those behind the bytes [begin, end), which
  // must not be empty.
  Origin OriginOf(size_t begin, size_t end) const {
    return {origin(begin).begin, origin(end - 1).end};
  }

  void Reserve(size_t bytes);
  // Appends bytes that all come from `origin`.
  void Append(absl::string_view bytes, Origin origin) {
    if (!HasRoom(bytes.size())) return;
    text_.append(bytes.data(), bytes.size());
    origins_.insert(origins_.end(), bytes.size(), Pack(origin));
  }
  // Appends the bytes [begin, end) of another text with their origins.
  void AppendRange(const AlignedText& source, size_t begin, size_t end);
  // Appends bytes that come one by one from where those of another text do, from `begin` on.
  void AppendAs(absl::string_view bytes, const AlignedText& source, size_t begin);

 private:
  bool HasRoom(size_t bytes) {
    if (bytes > max_bytes_ - text_.size()) overflowed_ = true;
    return !overflowed_;
  }

  // The beginning above three bits of length, which is that of a character.
  static constexpr int kLengthBits = 3;
  static uint32_t Pack(Origin origin) {
    return origin.begin << kLengthBits | (origin.end - origin.begin);
  }
  static Origin Unpack(uint32_t packed) {
    const uint32_t begin = packed >> kLengthBits;
    return {begin, begin + (packed & ((1u << kLengthBits) - 1))};
  }

  // Appends ASCII that stands in the original text from `begin` on.
  void AppendAscii(absl::string_view ascii, uint32_t begin);

  std::string text_;
  std::vector<uint32_t> origins_;  // packed, by byte
  size_t max_bytes_;
  bool overflowed_ = false;
};

// Bytes of the ASCII characters with which `text` begins.
size_t AsciiPrefix(absl::string_view text);

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
