#include "client/attention_assembler.h"

#include <algorithm>
#include <functional>
#include <utility>

#include "absl/strings/str_cat.h"

namespace heed {
inline namespace client {
namespace {

// More than any server's budget for one answer; a larger promise is a broken or hostile server.
constexpr double kMaxBytes = 4.0 * (1 << 30);

template <typename T>
int64_t IndexOf(const std::vector<T>& sorted, T value) {
  const auto it = std::lower_bound(sorted.begin(), sorted.end(), value);
  return it != sorted.end() && *it == value ? it - sorted.begin() : -1;
}

template <typename T>
bool IsAscending(const std::vector<T>& values) {
  return std::adjacent_find(values.begin(), values.end(), std::greater_equal<T>()) == values.end();
}

absl::Status Broken(absl::string_view what) {
  return absl::InternalError(absl::StrCat("the server's attention answer is broken: ", what));
}

}  // namespace

int64_t AttentionAssembler::row_width() const {
  return maps_.top_k > 0 ? maps_.top_k : maps_.header.key_count;
}

int64_t AttentionAssembler::row_count() const {
  return static_cast<int64_t>(maps_.header.layers.size()) *
         static_cast<int64_t>(maps_.header.heads.size()) *
         static_cast<int64_t>(maps_.header.queries.size());
}

absl::Status AttentionAssembler::Add(const AttentionEvent& event) {
  if (has_end_) return Broken("a message follows the last one");
  if (const auto* header = std::get_if<AttentionHeader>(&event)) return AddHeader(*header);
  if (!has_header_) return Broken("the header is not the first message");
  if (const auto* tile = std::get_if<AttentionTile>(&event)) return AddTile(*tile);
  return AddEnd(std::get<AttentionEnd>(event));
}

absl::Status AttentionAssembler::AddHeader(const AttentionHeader& header) {
  if (has_header_) return Broken("two headers");
  has_header_ = true;
  maps_.header = header;
  if (!IsAscending(header.layers) || !IsAscending(header.heads) || !IsAscending(header.queries)) {
    return Broken("the header's selection is not ascending");
  }
  if (header.key_count != static_cast<int64_t>(header.prompt.tokens.size())) {
    return Broken(absl::StrCat("rows of ", header.key_count, " keys for a prompt of ",
                               header.prompt.tokens.size(), " tokens"));
  }
  if (!header.queries.empty() &&
      (header.queries.front() < 0 || header.queries.back() >= header.key_count)) {
    return Broken("a query is past the prompt");
  }
  if (maps_.top_k > header.key_count) maps_.top_k = static_cast<int32_t>(header.key_count);
  const double size = 4.0 * static_cast<double>(header.layers.size()) *
                      static_cast<double>(header.heads.size()) *
                      static_cast<double>(header.queries.size()) * static_cast<double>(row_width());
  if (size > kMaxBytes) return Broken("the header promises more than 4 GiB");
  maps_.weights.resize(row_count() * row_width());
  row_filled_.resize(row_count());
  if (maps_.top_k > 0) {
    maps_.keys.resize(row_count() * row_width(), -1);
    maps_.dropped_mass.resize(row_count());
  }
  return absl::OkStatus();
}

absl::Status AttentionAssembler::AddTile(const AttentionTile& tile) {
  ++tile_count_;
  const int64_t layer = IndexOf(maps_.header.layers, tile.layer);
  const int64_t head = IndexOf(maps_.header.heads, tile.head);
  if (layer < 0 || head < 0) {
    return Broken(absl::StrCat("layer ", tile.layer, " head ", tile.head, " is not selected"));
  }
  const auto rows = static_cast<int64_t>(tile.queries.size());
  if (tile.top_k != maps_.top_k ||
      static_cast<int64_t>(tile.weights.size()) != rows * row_width()) {
    return Broken(absl::StrCat("a tile of ", rows, " rows has ", tile.weights.size(),
                               " weights; expected ", row_width(), " a row"));
  }
  for (int64_t row = 0; row < rows; ++row) {
    const int64_t query = IndexOf(maps_.header.queries, tile.queries[row]);
    if (query < 0) return Broken(absl::StrCat("query ", tile.queries[row], " is not selected"));
    const absl::Status status = AddRow(tile, row, maps_.RowOffset(layer, head, query));
    if (!status.ok()) return status;
  }
  return absl::OkStatus();
}

absl::Status AttentionAssembler::AddRow(const AttentionTile& tile, int64_t row, int64_t offset) {
  const int64_t width = row_width();
  const int64_t index = offset / width;
  if (row_filled_[index]) return Broken(absl::StrCat("query ", tile.queries[row], " came twice"));
  row_filled_[index] = true;
  ++filled_row_count_;
  std::copy_n(tile.weights.begin() + row * width, width, maps_.weights.begin() + offset);
  if (maps_.top_k == 0) return absl::OkStatus();
  const auto keys = tile.keys.begin() + row * width;
  for (auto key = keys; key != keys + width; ++key) {
    if (*key < -1 || *key >= maps_.header.key_count) {
      return Broken(absl::StrCat("key ", *key, " is past the prompt"));
    }
  }
  std::copy_n(keys, width, maps_.keys.begin() + offset);
  maps_.dropped_mass[index] = tile.dropped_mass[row];
  return absl::OkStatus();
}

absl::Status AttentionAssembler::AddEnd(const AttentionEnd& end) {
  has_end_ = true;
  maps_.timings = end.timings;
  if (end.tile_count != tile_count_) {
    return Broken(absl::StrCat(tile_count_, " tiles of ", end.tile_count, " arrived"));
  }
  if (filled_row_count_ != row_count()) {
    return Broken(absl::StrCat(filled_row_count_, " rows of ", row_count(), " arrived"));
  }
  return absl::OkStatus();
}

absl::StatusOr<AttentionMaps> AttentionAssembler::Finish() && {
  if (!has_end_) return Broken("it ends before its last message");
  return std::move(maps_);
}

}  // namespace client
}  // namespace heed
