#include "client/cli/attention/attention_forms.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <string>
#include <utility>

#include "absl/algorithm/container.h"
#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "client/attention_assembler.h"
#include "client/cli/base/format.h"
#include "client/cli/base/progress.h"
#include "client/cli/base/wire_json.h"
#include "client/cli/pictures/head_grid.h"
#include "client/cli/pictures/heatmap.h"
#include "client/cli/request/inspect_calls.h"
#include "client/convert.h"

namespace heed::cli {
namespace {

constexpr size_t kMostHeads = 4;  // shown one below the other; of more, the first ones
constexpr int kMostRows = 24;     // of a picture; of more, the last ones
constexpr int kTokenColumns = 12;

constexpr StageText kStages[] = {
    {"raw", v1::ATTENTION_STAGE_RAW, "scores, q · k"},
    {"scaled", v1::ATTENTION_STAGE_SCALED,
     "scores times the model's scale, 1 / sqrt(head_dim) in most"},
    {"capped", v1::ATTENTION_STAGE_CAPPED, "scaled scores after the cap, where the model has one"},
    {"masked", v1::ATTENTION_STAGE_MASKED, "what softmax gets; · where the row may not look"},
    {"softmax", v1::ATTENTION_STAGE_SOFTMAX, "weights after softmax"},
    {"value_norm", v1::ATTENTION_STAGE_VALUE_WEIGHTED,
     "weight times |v W_O|: the length of what each key gives through the head"},
    {"contribution", v1::ATTENTION_STAGE_CONTRIBUTION,
     "weight times |v W_O| as shares of the row's sum"}};

absl::Status ReadStage(const Arguments& arguments, v1::AttentionSelection* selection) {
  if (!arguments.Has("stage")) return absl::OkStatus();
  std::string names;
  for (const StageText& stage : kStages) {
    if (arguments.String("stage") == stage.name) {
      selection->set_stage(stage.stage);
      return absl::OkStatus();
    }
    absl::StrAppend(&names, names.empty() ? "" : ", ", stage.name);
  }
  return UsageError(
      absl::StrCat("--stage=", arguments.String("stage"), " is not one of ", names, "."));
}

// "2:5" is 2, 3 and 4; "2:" and ":5" leave an end open; "3" is 3 alone.
absl::StatusOr<v1::Span> ReadRange(const std::string& option, absl::string_view text) {
  v1::Span span;
  int64_t value = 0;
  const std::vector<absl::string_view> ends = absl::StrSplit(text, ':');
  bool reads = !text.empty() && ends.size() <= 2;
  if (reads && !ends[0].empty()) {
    reads = absl::SimpleAtoi(ends[0], &value);
    span.set_begin(value);
    if (ends.size() == 1 && value != -1) span.set_end(value + 1);
  }
  if (reads && ends.size() == 2 && !ends[1].empty()) {
    reads = absl::SimpleAtoi(ends[1], &value);
    span.set_end(value);
  }
  if (reads) return span;
  return UsageError(absl::StrCat("--", option, ": \"", text,
                                 "\" is no range of positions; expected for example 2:5, which is "
                                 "2, 3 and 4, or :3."));
}

absl::Status ReadPooled(const Arguments& arguments, v1::PooledEncoding* pooled) {
  const std::string text = arguments.String("pool");
  const std::vector<std::string> sides = absl::StrSplit(text, 'x');
  int32_t rows = 0;
  int32_t columns = 0;
  if (sides.size() > 2 || !absl::SimpleAtoi(sides[0], &rows) ||
      !absl::SimpleAtoi(sides.back(), &columns)) {
    return UsageError(
        absl::StrCat("--pool=", text, " is no size; expected for example 16 or 16x32 blocks."));
  }
  pooled->set_rows(rows);
  pooled->set_columns(columns);
  const std::string by = arguments.String("pool-by", "max");
  if (by != "max" && by != "mean") {
    return UsageError(absl::StrCat("--pool-by=", by, " is not one of max, mean."));
  }
  pooled->set_reduction(by == "mean" ? v1::PooledEncoding::REDUCTION_MEAN
                                     : v1::PooledEncoding::REDUCTION_MAX);
  return absl::OkStatus();
}

absl::Status ReadSpanSums(const Arguments& arguments, v1::SpanSumEncoding* sums) {
  for (absl::string_view text : absl::StrSplit(arguments.String("spans"), ',', absl::SkipEmpty())) {
    const auto span = ReadRange("spans", text);
    if (!span.ok()) return span.status();
    *sums->add_spans() = *span;
  }
  if (sums->spans().empty()) return UsageError("--spans is empty; expected for example 0:2,2:5.");
  sums->set_average_queries(arguments.Has("average"));
  return absl::OkStatus();
}

absl::Status ReadEncoding(const Arguments& arguments, v1::AttentionSelection* selection) {
  std::vector<std::string> given;
  for (const char* option : {"top-k", "threshold", "pool", "spans", "packed"}) {
    if (arguments.Has(option)) given.push_back(absl::StrCat("--", option));
  }
  if (given.size() > 1) {
    return UsageError(absl::StrCat(absl::StrJoin(given, " and "),
                                   " are different forms of the answer; give one."));
  }
  if (arguments.Has("pool-by") && !arguments.Has("pool")) {
    return UsageError("--pool-by needs --pool.");
  }
  if (arguments.Has("average") && !arguments.Has("spans")) {
    return UsageError("--average needs --spans.");
  }
  if (arguments.Has("pool")) return ReadPooled(arguments, selection->mutable_pooled());
  if (arguments.Has("spans")) return ReadSpanSums(arguments, selection->mutable_span_sums());
  if (arguments.Has("threshold")) {
    const auto threshold = arguments.Float("threshold");
    if (!threshold.ok()) return threshold.status();
    selection->mutable_threshold()->set_min_weight(**threshold);
    return absl::OkStatus();
  }
  const auto top_k = arguments.Int("top-k", 1, std::numeric_limits<int32_t>::max());
  if (!top_k.ok()) return top_k.status();
  if (top_k->has_value()) {
    selection->mutable_top_k()->set_k(static_cast<int32_t>(**top_k));
  } else if (arguments.Has("packed")) {
    selection->mutable_lower_triangle();
  } else {
    selection->mutable_dense();
  }
  return absl::OkStatus();
}

// The option that chose the encoding; empty for whole rows.
std::string FormOption(const v1::AttentionSelection& selection) {
  using Encoding = v1::AttentionSelection::EncodingCase;
  switch (selection.encoding_case()) {
    case Encoding::kTopK:
      return "--top-k";
    case Encoding::kThreshold:
      return "--threshold";
    case Encoding::kPooled:
      return "--pool";
    case Encoding::kSpanSums:
      return "--spans";
    case Encoding::kLowerTriangle:
      return "--packed";
    default:
      return "";
  }
}

// Forms that go with some stages and with whole rows only.
absl::Status CheckForm(const Arguments& arguments, const v1::AttentionSelection& selection) {
  const std::string form = FormOption(selection);
  if (arguments.Has("keys") && !selection.has_dense() && !selection.has_pooled()) {
    return UsageError(absl::StrCat("--keys goes with whole rows and with --pool, and ", form,
                                   " is given; leave one of the two out."));
  }
  const bool needs_weights =
      selection.has_top_k() || selection.has_threshold() || selection.has_span_sums();
  const bool is_score = selection.stage() >= v1::ATTENTION_STAGE_RAW &&
                        selection.stage() <= v1::ATTENTION_STAGE_MASKED;
  if (needs_weights && is_score) {
    return UsageError(absl::StrCat(form, " is for weights, and --stage=", arguments.String("stage"),
                                   " shows scores; leave one of the two out."));
  }
  if (selection.has_pooled() && selection.stage() == v1::ATTENTION_STAGE_MASKED) {
    return UsageError(
        "--pool is not for masked scores, of which some are minus infinity; --stage=capped has "
        "none.");
  }
  return absl::OkStatus();
}

// Each row's visible keys, from a packed triangle to full rows with 0 behind.
void Unpack(const v1::AttentionHeader& header, v1::AttentionTile* tile) {
  const std::vector<float> packed = TensorFloats(tile->packed());
  std::vector<float> dense(static_cast<size_t>(tile->queries_size()) *
                           static_cast<size_t>(header.key_count()));
  size_t at = 0;
  for (int row = 0; row < tile->queries_size(); ++row) {
    const int64_t visible = header.causal() ? tile->queries(row) + 1 : header.key_count();
    for (int64_t key = 0; key < visible; ++key) {
      dense[static_cast<size_t>(row * header.key_count() + key)] = packed[at++];
    }
  }
  tile->clear_packed();
  v1::Tensor& weights = *tile->mutable_weights();
  weights.set_dtype(v1::DATA_TYPE_F32);
  weights.add_shape(tile->queries_size());
  weights.add_shape(header.key_count());
  weights.set_data(dense.data(), dense.size() * sizeof(float));
}

// Runs the call with each message on its way, counting the bytes that have come.
absl::Status Stream(const v1::GetAttentionRequest& request, Session& session,
                    absl::FunctionRef<void(const v1::GetAttentionResponse&)> on_message) {
  const auto inspector = MakeInspector(session);
  if (!inspector.ok()) return inspector.status();
  Progress progress(session, "reading attention");
  double total = 0;
  double received = 0;
  return inspector->GetAttention(
      request,
      [&](const v1::GetAttentionResponse& message) {
        if (message.has_header()) total = static_cast<double>(message.header().total_bytes());
        received += static_cast<double>(message.tile().ByteSizeLong());
        if (total > 0) progress.Update(std::min(1.0, received / total));
        on_message(message);
      },
      session.call_options());
}

// ---- Pictures -----------------------------------------------------------------------------------

std::string TokenName(const AttentionAnswer& answer, int64_t position) {
  if (position < 0 || position >= answer.header.prompt().tokens_size()) return "?";
  return Fit(VisibleWireToken(answer.header.prompt().tokens(static_cast<int>(position))),
             kTokenColumns);
}

std::string SparseLine(const AttentionAnswer& answer, const v1::SparseWeights& sparse, int row,
                       const std::vector<float>& weights, float dropped) {
  std::vector<std::string> parts;
  for (int i = sparse.row_begin(row); i < sparse.row_begin(row + 1); ++i) {
    parts.push_back(absl::StrCat(sparse.keys(i), " ", TokenName(answer, sparse.keys(i)), " ",
                                 FormatWeight(weights[static_cast<size_t>(i)])));
  }
  parts.push_back(absl::StrCat("rest ", FormatWeight(std::max(0.0f, dropped))));
  return absl::StrJoin(parts, "  ");
}

std::string TopLine(const AttentionAnswer& answer, const v1::TopKWeights& top, int row,
                    const std::vector<float>& weights, float dropped) {
  std::vector<std::string> parts;
  for (int i = row * top.k(); i < (row + 1) * top.k() && top.keys(i) >= 0; ++i) {
    parts.push_back(absl::StrCat(top.keys(i), " ", TokenName(answer, top.keys(i)), " ",
                                 FormatWeight(weights[static_cast<size_t>(i)])));
  }
  parts.push_back(absl::StrCat("rest ", FormatWeight(std::max(0.0f, dropped))));
  return absl::StrJoin(parts, "  ");
}

void AddTile(const AttentionAnswer& answer, const v1::AttentionTile& tile, HeadMatrix* matrix) {
  matrix->queries.insert(matrix->queries.end(), tile.queries().begin(), tile.queries().end());
  if (tile.has_sparse() || tile.has_top_k()) {
    const std::vector<float> weights =
        TensorFloats(tile.has_sparse() ? tile.sparse().weights() : tile.top_k().weights());
    const std::vector<float> dropped = TensorFloats(
        tile.has_sparse() ? tile.sparse().dropped_mass() : tile.top_k().dropped_mass());
    for (int row = 0; row < tile.queries_size(); ++row) {
      const float rest = dropped[static_cast<size_t>(row)];
      matrix->lines.push_back(tile.has_sparse()
                                  ? SparseLine(answer, tile.sparse(), row, weights, rest)
                                  : TopLine(answer, tile.top_k(), row, weights, rest));
    }
    return;
  }
  const v1::Tensor& tensor = tile.has_grid() ? tile.grid() : tile.weights();
  if (tensor.shape_size() == 2) matrix->columns = tensor.shape(1);
  const std::vector<float> values = TensorFloats(tensor);
  matrix->values.insert(matrix->values.end(), values.begin(), values.end());
}

// The first `size` groups of --spans.
std::vector<KeyRange> SpanRanges(const AttentionAnswer& answer,
                                 const v1::AttentionSelection& selection, size_t size) {
  const int64_t count = answer.header.prompt().tokens_size();
  const auto resolve = [&](int64_t position) { return position < 0 ? position + count : position; };
  std::vector<KeyRange> ranges;
  for (const v1::Span& span : selection.span_sums().spans()) {
    ranges.push_back({span.has_begin() ? resolve(span.begin()) : 0,
                      span.has_end() ? resolve(span.end()) : count});
  }
  ranges.resize(size);
  return ranges;
}

// "2-5", or the token of a single position.
std::string RangeName(const AttentionAnswer& answer, const KeyRange& range) {
  if (range.end - range.begin == 1) return TokenName(answer, range.begin);
  return RangeText(range);
}

std::vector<std::string> ColumnNames(const AttentionAnswer& answer, const HeadMatrix& matrix,
                                     const v1::AttentionSelection& selection) {
  std::vector<std::string> names;
  for (const KeyRange& range : ColumnRanges(answer, matrix, selection)) {
    names.push_back(RangeName(answer, range));
  }
  return names;
}

std::vector<std::string> RowNames(const AttentionAnswer& answer, const HeadMatrix& matrix,
                                  const v1::AttentionSelection& selection) {
  const bool are_ranges = selection.has_pooled() || selection.span_sums().average_queries();
  std::vector<std::string> names;
  for (const KeyRange& range : RowRanges(answer, matrix, selection)) {
    names.push_back(are_ranges ? RangeName(answer, range)
                               : absl::StrCat(range.begin, " ", TokenName(answer, range.begin)));
  }
  return names;
}

// Cells that a row may not see: they have no number.
void BlankUnseen(const AttentionAnswer& answer, const HeadMatrix& matrix, Grid* grid) {
  if (!answer.header.causal()) return;
  for (size_t row = 0; row < matrix.queries.size(); ++row) {
    for (int64_t column = 0; column < matrix.columns; ++column) {
      if (answer.header.key_begin() + column > matrix.queries[row]) {
        grid->values[row * static_cast<size_t>(matrix.columns) + static_cast<size_t>(column)] =
            -std::numeric_limits<float>::infinity();
      }
    }
  }
}

std::string MatrixPicture(const AttentionAnswer& answer, HeadMatrix matrix,
                          const v1::AttentionSelection& selection, const Terminal& terminal) {
  std::vector<std::string> rows = RowNames(answer, matrix, selection);
  const size_t skipped = rows.size() > kMostRows ? rows.size() - kMostRows : 0;
  std::string text;
  if (!matrix.lines.empty()) {
    size_t width = 0;
    for (const std::string& row : rows) {
      width = std::max(width, static_cast<size_t>(DisplayWidth(row)));
    }
    for (size_t i = skipped; i < rows.size(); ++i) {
      const std::string line =
          absl::StrCat(PadRight(rows[i], static_cast<int>(width)), "  ", matrix.lines[i]);
      absl::StrAppend(&text, FitItems(line, TextWidth(terminal)), "\n");
    }
  } else {
    const auto begin = static_cast<std::ptrdiff_t>(skipped * static_cast<size_t>(matrix.columns));
    matrix.values.erase(matrix.values.begin(), matrix.values.begin() + begin);
    rows.erase(rows.begin(), rows.begin() + static_cast<std::ptrdiff_t>(skipped));
    matrix.queries.erase(matrix.queries.begin(),
                         matrix.queries.begin() + static_cast<std::ptrdiff_t>(skipped));
    const v1::AttentionStage stage = answer.header.stage();
    Grid grid{.row_name = "",
              .rows = rows,
              .columns = ColumnNames(answer, matrix, selection),
              .values = matrix.values,
              .is_signed = stage <= v1::ATTENTION_STAGE_MASKED};
    if (!selection.has_pooled() && !selection.has_span_sums()) BlankUnseen(answer, matrix, &grid);
    text = absl::StrCat(RenderGrid(grid, terminal),
                        Paragraph(terminal, Styled(terminal, Emphasis::kDim,
                                                   grid.is_signed ? "* furthest from 0 of all"
                                                                  : "* largest of all")));
  }
  if (skipped > 0) {
    text += Paragraph(terminal,
                      absl::StrCat(TheFirst(static_cast<int64_t>(skipped), "row"),
                                   " left out; choose with --query, or --json has them all."));
  }
  return text;
}

void WriteJson(const AttentionAnswer& answer, Session& session) {
  JsonWriter json(session.out());
  json.BeginObject().Key("header");
  WriteWireMessage(json, answer.header);
  json.Key("tiles").BeginArray();
  for (const v1::AttentionTile& tile : answer.tiles) WriteWireMessage(json, tile);
  json.EndArray().Key("timings_ms");
  WriteWireMessage(json, answer.end.timings());
  json.EndObject();
  json.EndLine();
}

}  // namespace

std::vector<OptionSpec> AttentionFormOptions() {
  return {
      {"stage", "NAME",
       "raw, scaled, capped, masked, softmax (the default), value_norm or contribution."},
      {"top-k", "K", "List only the K strongest keys of each row."},
      {"threshold", "W", "List only weights of at least W."},
      {"keys", "A:B", "Only these columns, for example 2:5, which is 2, 3 and 4."},
      {"fuse", "HOW", "One map in place of the heads' own: their mean or max."},
      {"pool", "N", "A picture of a long prompt in N x N blocks; also RxC."},
      {"pool-by", "HOW", "What a block shows: max (the default) or mean."},
      {"spans", "A:B,...", "Add weights up over groups of words, for example 0:2,2:5."},
      {"average", "", "With --spans: a row for each group, the mean over its words."},
      {"packed", "", "Let the server send only what rows can see: half the bytes."},
  };
}

absl::Status ReadAttentionForm(const Arguments& arguments, RunSource& source,
                               v1::AttentionSelection* selection) {
  absl::Status status = ReadIndices(arguments, "layer", selection->mutable_layers());
  if (status.ok()) status = ReadIndices(arguments, "head", selection->mutable_heads());
  if (status.ok()) status = source.ReadPositions(arguments, "query", selection->mutable_queries());
  if (status.ok()) status = ReadStage(arguments, selection);
  if (status.ok()) status = ReadEncoding(arguments, selection);
  if (status.ok()) status = CheckForm(arguments, *selection);
  if (!status.ok()) return status;
  if (arguments.Has("keys")) {
    const auto keys = ReadRange("keys", arguments.String("keys"));
    if (!keys.ok()) return keys.status();
    *selection->mutable_keys() = *keys;
  }
  const std::string fuse = arguments.String("fuse");
  if (!fuse.empty() && fuse != "mean" && fuse != "max") {
    return UsageError(absl::StrCat("--fuse=", fuse, " is not one of mean, max."));
  }
  if (!fuse.empty()) {
    selection->set_head_fusion(fuse == "mean" ? v1::HEAD_FUSION_MEAN : v1::HEAD_FUSION_MAX);
  }
  return absl::OkStatus();
}

bool IsPlain(const v1::AttentionSelection& selection) {
  const bool softmax = selection.stage() == v1::ATTENTION_STAGE_UNSPECIFIED ||
                       selection.stage() == v1::ATTENTION_STAGE_SOFTMAX;
  return softmax && !selection.has_keys() &&
         selection.head_fusion() == v1::HEAD_FUSION_UNSPECIFIED &&
         (selection.has_dense() || selection.has_top_k() || selection.has_lower_triangle());
}

absl::StatusOr<AttentionMaps> FetchAttentionMaps(const v1::GetAttentionRequest& request,
                                                 Session& session) {
  AttentionAssembler assembler(request.selection().top_k().k());
  v1::AttentionHeader header;
  absl::Status broken;
  const absl::Status status =
      Stream(request, session, [&](const v1::GetAttentionResponse& message) {
        if (!broken.ok()) return;
        v1::GetAttentionResponse unpacked;
        if (message.has_header()) header = message.header();
        const bool is_packed = message.tile().has_packed();
        if (is_packed) {
          unpacked = message;
          Unpack(header, unpacked.mutable_tile());
        }
        const auto event = FromWire(is_packed ? unpacked : message);
        broken = event.ok() ? assembler.Add(*event) : event.status();
      });
  if (!status.ok()) return status;
  if (!broken.ok()) return broken;
  return std::move(assembler).Finish();
}

absl::StatusOr<AttentionAnswer> FetchAttention(const v1::GetAttentionRequest& request,
                                               Session& session) {
  AttentionAnswer answer;
  const absl::Status status =
      Stream(request, session, [&](const v1::GetAttentionResponse& message) {
        if (message.has_header()) answer.header = message.header();
        if (message.has_tile()) answer.tiles.push_back(message.tile());
        if (message.has_end()) answer.end = message.end();
      });
  if (!status.ok()) return status;
  return answer;
}

std::string CellText(const v1::AttentionSelection& selection) {
  if (selection.has_span_sums()) return "; added up over groups of words";
  if (!selection.has_pooled()) return "";
  return selection.pooled().reduction() == v1::PooledEncoding::REDUCTION_MEAN
             ? "; the mean of each block"
             : "; the largest of each block";
}

std::string HeadText(const HeadMatrix& matrix, const v1::AttentionSelection& selection) {
  if (matrix.head >= 0) return absl::StrCat(" head ", matrix.head);
  return selection.head_fusion() == v1::HEAD_FUSION_MAX ? ", the largest over heads"
                                                        : ", the mean over heads";
}

std::vector<HeadMatrix> Matrices(const AttentionAnswer& answer) {
  std::vector<HeadMatrix> matrices;
  for (const v1::AttentionTile& tile : answer.tiles) {
    if (matrices.empty() || matrices.back().layer != tile.layer() ||
        matrices.back().head != tile.head()) {
      matrices.push_back({.layer = tile.layer(), .head = tile.head()});
    }
    if (tile.has_packed()) {
      v1::AttentionTile unpacked = tile;
      Unpack(answer.header, &unpacked);
      AddTile(answer, unpacked, &matrices.back());
    } else {
      AddTile(answer, tile, &matrices.back());
    }
  }
  return matrices;
}

std::vector<KeyRange> ColumnRanges(const AttentionAnswer& answer, const HeadMatrix& matrix,
                                   const v1::AttentionSelection& selection) {
  if (selection.has_span_sums()) {
    return SpanRanges(answer, selection, static_cast<size_t>(matrix.columns));
  }
  std::vector<KeyRange> ranges;
  const int64_t first = answer.header.key_begin();
  const int64_t keys = selection.has_pooled() ? answer.header.key_count() : matrix.columns;
  for (int64_t i = 0; i < matrix.columns; ++i) {
    ranges.push_back({first + i * keys / matrix.columns, first + (i + 1) * keys / matrix.columns});
  }
  return ranges;
}

std::vector<KeyRange> RowRanges(const AttentionAnswer& answer, const HeadMatrix& matrix,
                                const v1::AttentionSelection& selection) {
  if (selection.span_sums().average_queries()) {
    return SpanRanges(answer, selection, matrix.queries.size());
  }
  std::vector<KeyRange> ranges;
  for (int64_t query : matrix.queries) ranges.push_back({query, query + 1});
  if (!selection.has_pooled() || answer.header.queries().empty()) return ranges;
  for (size_t i = 0; i + 1 < ranges.size(); ++i) ranges[i].end = ranges[i + 1].begin;
  if (!ranges.empty()) ranges.back().end = *answer.header.queries().rbegin() + 1;
  return ranges;
}

std::string RangeText(const KeyRange& range) {
  if (range.end - range.begin == 1) return absl::StrCat(range.begin);
  return absl::StrCat(range.begin, "-", range.end - 1);
}

const StageText* FindStage(v1::AttentionStage stage) {
  const auto found =
      absl::c_find_if(kStages, [&](const StageText& known) { return known.stage == stage; });
  return found == std::end(kStages) ? nullptr : found;
}

void PrintAttentionForm(const AttentionAnswer& answer, const v1::AttentionSelection& selection,
                        Session& session) {
  if (session.json()) {
    WriteJson(answer, session);
    return;
  }
  const Terminal& terminal = session.terminal();
  if (const StageText* const stage = FindStage(answer.header.stage()); stage != nullptr) {
    session.out() << Paragraph(
        terminal, absl::StrCat(Styled(terminal, Emphasis::kBold, stage->name), ": ", stage->meaning,
                               CellText(selection), ". Rows look at columns."));
  }
  const std::vector<HeadMatrix> matrices = Matrices(answer);
  for (size_t i = 0; i < matrices.size() && i < kMostHeads; ++i) {
    const HeadMatrix& matrix = matrices[i];
    session.out() << "Layer " << matrix.layer << HeadText(matrix, selection) << ":\n"
                  << MatrixPicture(answer, matrix, selection, terminal);
  }
  if (matrices.size() > kMostHeads) {
    session.out() << Paragraph(
        terminal,
        absl::StrCat(Plural(static_cast<int64_t>(matrices.size() - kMostHeads), "more head"),
                     "; choose with --layer and --head, or --json has them all."));
  }
  PrintProvenance(answer.header.provenance(), answer.header.prompt(), answer.end.timings(),
                  session);
}

}  // namespace heed::cli
