#include "model/tokenizer/piece_table.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "model/base/status_macros.h"

namespace heed {
namespace {

constexpr int64_t kMaxId = (int64_t{1} << 22) - 1;
constexpr int64_t kFreeHoles = 1 << 16;

// Checks all ids. Returns one past the largest.
absl::StatusOr<int64_t> CheckIds(const JsonValue& json, int64_t* count) {
  int64_t size = 0;
  *count = 0;
  HEED_RETURN_IF_ERROR(json.ForEachMember([&](absl::string_view, const JsonValue& value) {
    HEED_ASSIGN_OR_RETURN(const int64_t id, value.Int(0, kMaxId));
    size = std::max(size, id + 1);
    ++*count;
    return absl::OkStatus();
  }));
  if (size > 2 * *count + kFreeHoles) {
    return json.Error(absl::StrCat("has an id ", size - 1, " but only ", *count, " pieces"));
  }
  return size;
}

}  // namespace

absl::StatusOr<PieceTable> PieceTable::Parse(const JsonValue& json) {
  PieceTable table;
  int64_t count = 0;
  HEED_ASSIGN_OR_RETURN(const int64_t size, CheckIds(json, &count));
  table.pieces_.resize(size);
  table.present_.resize(size);
  table.ids_.reserve(count);
  table.count_ = count;
  HEED_RETURN_IF_ERROR(json.ForEachMember([&](absl::string_view piece, const JsonValue& value) {
    HEED_ASSIGN_OR_RETURN(const int64_t id, value.Int(0, kMaxId));
    if (table.present_[id]) {
      return value.Error(
          absl::StrCat("has the id ", id, ", which belongs to \"", table.pieces_[id], "\""));
    }
    table.present_[id] = true;
    table.pieces_[id] = std::string(piece);
    table.longest_ = std::max(table.longest_, piece.size());
    const bool is_new = table.ids_.emplace(table.pieces_[id], static_cast<TokenId>(id)).second;
    return is_new ? absl::OkStatus() : value.Error("appears twice");
  }));
  return table;
}

absl::StatusOr<PieceTable> PieceTable::FromList(std::vector<std::string> pieces) {
  if (pieces.size() > static_cast<size_t>(kMaxId) + 1) {
    return absl::InvalidArgumentError(
        absl::StrCat("has ", pieces.size(), " pieces; expected at most ", kMaxId + 1));
  }
  PieceTable table;
  table.pieces_ = std::move(pieces);
  table.count_ = static_cast<int64_t>(table.pieces_.size());
  table.present_.assign(table.pieces_.size(), true);
  table.ids_.reserve(table.pieces_.size());
  for (TokenId id = 0; id < table.size(); ++id) {
    table.longest_ = std::max(table.longest_, table.pieces_[id].size());
    table.ids_[table.pieces_[id]] = id;
  }
  return table;
}

std::array<TokenId, 256> FindBytePieces(const PieceTable& pieces) {
  std::array<TokenId, 256> ids;
  for (int byte = 0; byte < 256; ++byte) {
    ids[byte] = pieces.Find(absl::StrFormat("<0x%02X>", byte)).value_or(-1);
  }
  return ids;
}

std::optional<TokenId> PieceTable::Find(absl::string_view piece) const {
  const auto found = ids_.find(piece);
  if (found == ids_.end()) return std::nullopt;
  return found->second;
}

}  // namespace heed
