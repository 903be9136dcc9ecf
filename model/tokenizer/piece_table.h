// A vocabulary: pieces of text and their ids.
#ifndef HEED_MODEL_TOKENIZER_PIECE_TABLE_H_
#define HEED_MODEL_TOKENIZER_PIECE_TABLE_H_

#include <array>
#include <optional>
#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "model/base/json.h"
#include "model/tokenizer/tokenizer.h"

namespace heed {

// Immutable once parsed. Ids may have holes.
class PieceTable {
 public:
  PieceTable() = default;
  PieceTable(PieceTable&&) = default;
  PieceTable& operator=(PieceTable&&) = default;

  // {"piece": id, ...}. INVALID_ARGUMENT, naming the piece, for an id that is no integer, negative,
  // taken, or so far past the number of pieces that the table would be mostly holes.
  static absl::StatusOr<PieceTable> Parse(const JsonValue& json);

  // Ids in the order of the list. Of two equal pieces Find gives the later. INVALID_ARGUMENT for
  // more pieces than a vocabulary may have.
  static absl::StatusOr<PieceTable> FromList(std::vector<std::string> pieces);

  std::optional<TokenId> Find(absl::string_view piece) const;

  bool Contains(TokenId id) const { return id >= 0 && id < size() && present_[id]; }
  // Empty for a hole. `id` is in [0, size()).
  absl::string_view Piece(TokenId id) const { return pieces_[id]; }
  // One past the largest id.
  TokenId size() const { return static_cast<TokenId>(pieces_.size()); }
  // Number of pieces.
  int64_t count() const { return count_; }
  // Bytes of the longest piece.
  size_t longest() const { return longest_; }

 private:
  std::vector<std::string> pieces_;
  std::vector<bool> present_;
  absl::flat_hash_map<absl::string_view, TokenId>
      ids_;  // views into pieces_, whose strings never move
  int64_t count_ = 0;
  size_t longest_ = 0;
};

// The pieces that stand for single bytes, <0x00> to <0xFF>, by byte; -1: none.
std::array<TokenId, 256> FindBytePieces(const PieceTable& pieces);

}  // namespace heed

#endif  // HEED_MODEL_TOKENIZER_PIECE_TABLE_H_
