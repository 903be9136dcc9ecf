#include "model/tokenizer/piece_table.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "model/base/status_macros.h"

namespace heed {
namespace {

constexpr int64_t kMaxId = (int64_t{1} << 22) - 1;
constexpr int64_t kFreeHoles = 1 << 16;

// Checks all ids. Returns one past the largest.
absl::StatusOr<int64_t> CheckIds(const JsonNode& json, int64_t* count) {
  int64_t size = 0;
  *count = 0;
  HEED_RETURN_IF_ERROR(json.ForEachMember([&](absl::string_view, const JsonNode& value) {
    HEED_ASSIGN_OR_RETURN(const int64_t id, value.Integer(0, kMaxId));
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

absl::StatusOr<PieceTable> PieceTable::Parse(const JsonNode& json) {
  PieceTable table;
  int64_t count = 0;
  HEED_ASSIGN_OR_RETURN(const int64_t size, CheckIds(json, &count));
  table.pieces_.resize(size);
  table.present_.resize(size);
  table.ids_.reserve(count);
  HEED_RETURN_IF_ERROR(json.ForEachMember([&](absl::string_view piece, const JsonNode& value) {
    HEED_ASSIGN_OR_RETURN(const int64_t id, value.Integer(0, kMaxId));
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

std::optional<TokenId> PieceTable::Find(absl::string_view piece) const {
  const auto found = ids_.find(piece);
  if (found == ids_.end()) return std::nullopt;
  return found->second;
}

}  // namespace heed
