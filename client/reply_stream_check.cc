// The checks of streamed replies.
#include <algorithm>
#include <cmath>
#include <string>

#include "absl/strings/str_cat.h"
#include "client/reply_check.h"

namespace heed {
inline namespace client {
namespace {

// More than any server's budget for one answer; a larger promise is a broken or hostile server.
constexpr double kMaxBytes = 4.0 * (1 << 30);

bool HasHeads(v1::Site site) {
  return site == v1::SITE_QUERY || site == v1::SITE_KEY || site == v1::SITE_VALUE ||
         site == v1::SITE_MIXED;
}

template <typename List, typename Value>
bool Holds(const List& list, Value value) {
  return std::binary_search(list.begin(), list.end(), value);
}

absl::Status BrokenOff() {
  return absl::InternalError("the server's answer broke off before its last message");
}

// Whether numbers of a stage are as large as they like: scores, of which a mask makes minus
// infinity.
bool AreScores(v1::AttentionStage stage) {
  return stage >= v1::ATTENTION_STAGE_RAW && stage <= v1::ATTENTION_STAGE_MASKED;
}

// How messages follow each other: a header first, and nothing behind the end.
void CheckOrder(bool is_header, bool is_known, bool has_header, bool has_end,
                ReplyFindings* findings) {
  if (!is_known) findings->Add("a message is without a part");
  if (has_end) findings->Add("a message follows the last one");
  if (is_header && has_header) findings->Add("there are two headers");
  if (!is_header && !has_header) findings->Add("the header is not the first message");
}

// The dropped mass and the weights of rows of which some weights are left out.
template <typename Kept>
void CheckKept(const Kept& kept, absl::string_view field, int rows, ReplyFindings* findings) {
  findings->CheckShape(absl::StrCat(field, ".dropped_mass"), kept.dropped_mass(), {rows});
  findings->CheckFinite(absl::StrCat(field, ".dropped_mass"), kept.dropped_mass());
  findings->CheckFinite(absl::StrCat(field, ".weights"), kept.weights());
}

void CheckTopK(const v1::TopKWeights& top, int rows, int64_t key_count, ReplyFindings* findings) {
  if (top.k() < 1) findings->Add("tile.top_k.k is ", top.k());
  findings->CheckCount("tile.top_k.keys", top.keys_size(), int64_t{rows} * top.k());
  findings->CheckShape("tile.top_k.weights", top.weights(), {rows, top.k()});
  CheckKept(top, "tile.top_k", rows, findings);
  for (int key : top.keys()) {
    if (key != -1) findings->CheckPosition("tile.top_k.keys", key, key_count);
  }
}

void CheckSparse(const v1::SparseWeights& sparse, int rows, int64_t key_count,
                 ReplyFindings* findings) {
  findings->CheckCount("tile.sparse.row_begin", sparse.row_begin_size(), int64_t{rows} + 1);
  findings->CheckShape("tile.sparse.weights", sparse.weights(), {sparse.keys_size()});
  CheckKept(sparse, "tile.sparse", rows, findings);
  if (!findings->empty()) return;
  for (int row = 0; row < rows; ++row) {
    if (sparse.row_begin(row) <= sparse.row_begin(row + 1)) continue;
    findings->Add("tile.sparse.row_begin[", row + 1, "] is ", sparse.row_begin(row + 1), " behind ",
                  sparse.row_begin(row));
  }
  if (sparse.row_begin(0) != 0) {
    findings->Add("tile.sparse.row_begin[0] is ", sparse.row_begin(0), "; expected 0");
  }
  findings->CheckCount("tile.sparse.keys", sparse.keys_size(), sparse.row_begin(rows));
  for (int key : sparse.keys()) findings->CheckPosition("tile.sparse.keys", key, key_count);
}

}  // namespace

// ---- Attention ----------------------------------------------------------------------------------

absl::Status AttentionReplyCheck::Add(const v1::GetAttentionResponse& message) {
  ReplyFindings findings;
  CheckOrder(message.has_header(), message.part_case() != v1::GetAttentionResponse::PART_NOT_SET,
             has_header_, has_end_, &findings);
  if (!findings.empty()) return findings.ToStatus();
  findings.CheckNumbers(message);
  if (message.has_header()) {
    CheckHeader(message.header(), &findings);
  } else if (message.has_tile()) {
    CheckTile(message.tile(), &findings);
  } else {
    has_end_ = true;
    CheckEnd(message.end(), &findings);
  }
  return findings.ToStatus();
}

absl::Status AttentionReplyCheck::Finish() const {
  return has_end_ ? absl::OkStatus() : BrokenOff();
}

void AttentionReplyCheck::CheckHeader(const v1::AttentionHeader& header, ReplyFindings* findings) {
  has_header_ = true;
  header_ = header;
  const int64_t n_tokens = header.prompt().tokens_size();
  findings->CheckIndices("header.layers", header.layers());
  findings->CheckIndices("header.heads", header.heads());
  findings->CheckPositions("header.queries", header.queries(), n_tokens);
  findings->CheckPosition("header.key_begin", header.key_begin(), n_tokens);
  const int64_t keys_left = n_tokens - std::clamp<int64_t>(header.key_begin(), 0, n_tokens);
  if (header.key_count() < 1 || header.key_count() > keys_left) {
    findings->Add("header.key_count is ", header.key_count(), " from key ", header.key_begin(),
                  " on, and the prompt has ", n_tokens, " tokens");
  }
  if (!selection_.has_keys() && header.key_count() != n_tokens) {
    findings->Add("header.key_count is ", header.key_count(), ", and the prompt has ", n_tokens,
                  " tokens");
  }
}

void AttentionReplyCheck::CheckTile(const v1::AttentionTile& tile, ReplyFindings* findings) {
  ++tile_count_;
  const bool is_fused = selection_.head_fusion() != v1::HEAD_FUSION_UNSPECIFIED;
  const bool has_head = is_fused ? tile.head() == -1 : Holds(header_.heads(), tile.head());
  if (!has_head || !Holds(header_.layers(), tile.layer())) {
    return findings->Add("a tile is of layer ", tile.layer(), " head ", tile.head(),
                         ", which is not selected");
  }
  const int forms = tile.has_weights() + tile.has_top_k() + tile.has_packed() + tile.has_sparse() +
                    tile.has_grid();
  if (forms != 1) findings->Add("a tile has its rows in ", forms, " forms");
  CheckQueries(tile, &maps_[{tile.layer(), tile.head()}], findings);
  if (!findings->empty()) return;
  const int rows = tile.queries_size();
  const int64_t keys = header_.key_count();
  switch (selection_.encoding_case()) {
    case v1::AttentionSelection::kTopK:
      return CheckTopK(tile.top_k(), rows, keys, findings);
    case v1::AttentionSelection::kThreshold:
      return CheckSparse(tile.sparse(), rows, keys, findings);
    case v1::AttentionSelection::kLowerTriangle:
      return CheckPacked(tile, findings);
    case v1::AttentionSelection::kPooled:
    case v1::AttentionSelection::kSpanSums:
      return CheckGrid(tile, findings);
    default:
      findings->CheckShape("tile.weights", tile.weights(), {rows, keys});
      if (!AreScores(header_.stage())) findings->CheckFinite("tile.weights", tile.weights());
  }
}

void AttentionReplyCheck::CheckQueries(const v1::AttentionTile& tile, Map* map,
                                       ReplyFindings* findings) const {
  map->rows += tile.queries_size();
  // Rows of averages stand for spans, in the order of these.
  if (selection_.span_sums().average_queries()) {
    return findings->CheckCount("tile.queries", map->rows, selection_.span_sums().spans_size());
  }
  for (int64_t query : tile.queries()) {
    if (!Holds(header_.queries(), query)) findings->Add("query ", query, " is not selected");
    if (query <= map->last_query) {
      findings->Add("query ", query, " of layer ", tile.layer(), " head ", tile.head(),
                    " comes behind ", map->last_query);
    }
    map->last_query = query;
  }
}

void AttentionReplyCheck::CheckPacked(const v1::AttentionTile& tile,
                                      ReplyFindings* findings) const {
  int64_t count = 0;
  for (int64_t query : tile.queries()) {
    count += header_.causal() ? query + 1 : header_.key_count();
  }
  findings->CheckShape("tile.packed", tile.packed(), {count});
  if (!AreScores(header_.stage())) findings->CheckFinite("tile.packed", tile.packed());
  const double bytes =
      4.0 * static_cast<double>(tile.queries_size()) * static_cast<double>(header_.key_count());
  if (bytes > kMaxBytes) findings->Add("a tile's rows are more than 4 GiB");
}

void AttentionReplyCheck::CheckGrid(const v1::AttentionTile& tile, ReplyFindings* findings) {
  if (tile_count_ == 1) {
    columns_ = selection_.has_span_sums()      ? selection_.span_sums().spans_size()
               : tile.grid().shape_size() == 2 ? tile.grid().shape(1)
                                               : 0;
    if (selection_.has_pooled() && (columns_ < 1 || columns_ > header_.key_count())) {
      findings->Add("tile.grid has ", columns_, " columns for ", header_.key_count(), " keys");
    }
  }
  findings->CheckShape("tile.grid", tile.grid(), {tile.queries_size(), columns_});
  if (!AreScores(header_.stage())) findings->CheckFinite("tile.grid", tile.grid());
}

void AttentionReplyCheck::CheckEnd(const v1::AttentionEnd& end, ReplyFindings* findings) const {
  if (end.tile_count() != tile_count_) {
    findings->Add(tile_count_, " tiles of ", end.tile_count(), " arrived");
  }
  const bool is_fused = selection_.head_fusion() != v1::HEAD_FUSION_UNSPECIFIED;
  const int64_t maps =
      int64_t{header_.layers_size()} * (is_fused ? 1 : int64_t{header_.heads_size()});
  const int64_t rows = header_.queries_size();
  if (rows > 0) findings->CheckCount("the answer's maps", static_cast<int64_t>(maps_.size()), maps);
  if (selection_.has_pooled() || selection_.span_sums().average_queries()) return;
  for (const auto& [place, map] : maps_) {
    if (map.rows == rows) continue;
    findings->Add(map.rows, " rows of ", rows, " of layer ", place.first, " head ", place.second,
                  " arrived");
  }
}

// ---- Activations --------------------------------------------------------------------------------

absl::Status ActivationsReplyCheck::Add(const v1::GetActivationsResponse& message) {
  ReplyFindings findings;
  CheckOrder(message.has_header(), message.part_case() != v1::GetActivationsResponse::PART_NOT_SET,
             has_header_, has_end_, &findings);
  if (!findings.empty()) return findings.ToStatus();
  findings.CheckNumbers(message);
  if (message.has_header()) {
    CheckHeader(message.header(), &findings);
  } else if (message.has_block()) {
    CheckBlock(message.block(), &findings);
  } else {
    has_end_ = true;
    if (message.end().block_count() != block_count_) {
      findings.Add(block_count_, " blocks of ", message.end().block_count(), " arrived");
    }
    for (int layer : header_.layers()) {
      if (row_counts_[layer] == header_.positions_size()) continue;
      findings.Add(row_counts_[layer], " rows of ", header_.positions_size(), " of layer ", layer,
                   " arrived");
    }
  }
  return findings.ToStatus();
}

absl::Status ActivationsReplyCheck::Finish() const {
  return has_end_ ? absl::OkStatus() : BrokenOff();
}

void ActivationsReplyCheck::CheckHeader(const v1::ActivationsHeader& header,
                                        ReplyFindings* findings) {
  has_header_ = true;
  header_ = header;
  findings->CheckIndices("header.layers", header.layers());
  findings->CheckIndices("header.heads", header.heads());
  findings->CheckPositions("header.positions", header.positions(), header.prompt().tokens_size());
  if (header.layers().empty() || header.positions().empty()) {
    findings->Add("header has ", header.layers_size(), " layers and ", header.positions_size(),
                  " positions");
  }
  if (header.site() != request_.site() || header.heads().empty() == HasHeads(header.site())) {
    findings->Add("header is of site ", static_cast<int>(header.site()), " with ",
                  header.heads_size(), " heads, and site ", static_cast<int>(request_.site()),
                  " was asked for");
  }
}

void ActivationsReplyCheck::CheckBlock(const v1::ActivationBlock& block, ReplyFindings* findings) {
  ++block_count_;
  if (!Holds(header_.layers(), block.layer())) {
    return findings->Add("a block is of layer ", block.layer(), ", which is not selected");
  }
  const int begin = row_counts_[block.layer()];
  row_counts_[block.layer()] += block.positions_size();
  const auto& all = header_.positions();
  if (block.positions_size() > all.size() - begin ||
      !std::equal(block.positions().begin(), block.positions().end(), all.begin() + begin)) {
    return findings->Add("a block of layer ", block.layer(),
                         " has other positions than were chosen");
  }
  if (block_count_ == 1) {
    width_ = block.values().shape_size() == 2 ? block.values().shape(1) : 0;
    if (width_ < 1) findings->Add("block.values has no columns");
    if (request_.has_norms()) {
      findings->CheckCount("a row of lengths", width_, std::max(header_.heads_size(), 1));
    }
    if (request_.has_cosines() && request_.cosines().other_trace_id().empty()) {
      findings->CheckCount("a row of cosines", width_, all.size());
    }
  }
  findings->CheckShape("block.values", block.values(), {block.positions_size(), width_});
  findings->CheckCount("block.explained_variance", block.explained_variance_size(),
                       request_.has_pca() ? width_ : 0);
}

// ---- Sweep --------------------------------------------------------------------------------------

absl::Status SweepReplyCheck::Add(const v1::SweepResponse& message) {
  ReplyFindings findings;
  CheckOrder(message.has_header(), message.part_case() != v1::SweepResponse::PART_NOT_SET,
             has_header_, has_end_, &findings);
  if (!findings.empty()) return findings.ToStatus();
  findings.CheckNumbers(message);
  if (message.has_header()) CheckHeader(message.header(), &findings);
  for (const v1::SweepCell& cell : message.cells().cells()) {
    findings.CheckIndex("cells.row", cell.row(), rows_);
    findings.CheckIndex("cells.column", cell.column(), columns_);
    ++cells_;
  }
  if (message.has_end()) {
    has_end_ = true;
    findings.CheckCount("the answer's grid", cells_, int64_t{rows_} * columns_);
  }
  return findings.ToStatus();
}

absl::Status SweepReplyCheck::Finish() const {
  return has_end_ ? absl::OkStatus() : BrokenOff();
}

void SweepReplyCheck::CheckHeader(const v1::SweepHeader& header, ReplyFindings* findings) {
  has_header_ = true;
  rows_ = header.rows_size();
  columns_ = header.columns_size();
  if (rows_ < 1 || columns_ < 1 || 8.0 * rows_ * columns_ > kMaxBytes) {
    findings->Add("header has ", rows_, " rows and ", columns_, " columns");
  }
  if (header.column_name().empty()) findings->CheckCount("header.columns", columns_, 1);
  if (header.column_name() != "key" && header.column_name() != "position") return;
  for (double column : header.columns()) {
    if (column != std::floor(column) || column < 0 || column >= header.prompt().tokens_size()) {
      findings->Add("header.columns holds ", column, ", and the prompt has ",
                    header.prompt().tokens_size(), " tokens");
    }
  }
}

// ---- Generate -----------------------------------------------------------------------------------

absl::Status GenerateReplyCheck::Add(const v1::GenerateResponse& message) {
  ReplyFindings findings;
  findings.CheckNumbers(message);
  has_end_ = message.has_end();
  return findings.ToStatus();
}

absl::Status GenerateReplyCheck::Finish() const {
  return has_end_ ? absl::OkStatus() : BrokenOff();
}

}  // namespace client
}  // namespace heed
