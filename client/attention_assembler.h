// Puts the tiles of an attention answer into arrays. Internal to the client.
#ifndef HEED_CLIENT_ATTENTION_ASSEMBLER_H_
#define HEED_CLIENT_ATTENTION_ASSEMBLER_H_

#include <cstdint>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "client/types.h"

namespace heed {
inline namespace client {

// Takes the events in order, then Finish. Trusts nothing the server says: INTERNAL for tiles
// outside the header's selection, rows that come twice or not at all, or sizes that do not match.
class AttentionAssembler {
 public:
  // `top_k` as in the request; that of the maps is at most the number of keys.
  explicit AttentionAssembler(int32_t top_k) { maps_.top_k = top_k; }

  absl::Status Add(const AttentionEvent& event);
  absl::StatusOr<AttentionMaps> Finish() &&;

 private:
  absl::Status AddHeader(const AttentionHeader& header);
  absl::Status AddTile(const AttentionTile& tile);
  absl::Status AddRow(const AttentionTile& tile, int64_t row, int64_t offset);
  absl::Status AddEnd(const AttentionEnd& end);
  int64_t row_width() const;
  int64_t row_count() const;

  AttentionMaps maps_;
  bool has_header_ = false;
  bool has_end_ = false;
  int64_t tile_count_ = 0;
  int64_t filled_row_count_ = 0;
  std::vector<bool> row_filled_;  // [layers, heads, queries]
};

}  // namespace client
}  // namespace heed

#endif  // HEED_CLIENT_ATTENTION_ASSEMBLER_H_
