#include "client/cli/attention/attention_form_files.h"

#include <cstdint>
#include <limits>
#include <utility>

#include "absl/strings/str_cat.h"
#include "client/cli/base/format.h"
#include "client/cli/pages/grid_page.h"
#include "client/cli/request/inspect_calls.h"

namespace heed::cli {
namespace {

constexpr int64_t kMostPageNumbers = 1 << 20;

bool IsFused(const v1::AttentionSelection& selection) {
  return selection.head_fusion() != v1::HEAD_FUSION_UNSPECIFIED;
}

bool AreScores(const AttentionAnswer& answer) {
  return answer.header.stage() <= v1::ATTENTION_STAGE_MASKED;
}

std::string StageName(const AttentionAnswer& answer) {
  const StageText* const stage = FindStage(answer.header.stage());
  return stage == nullptr ? "attention" : stage->name;
}

// By position, with their tokens where each is one.
ExportAxis RangeAxis(std::string name, const std::vector<KeyRange>& ranges, bool are_single,
                     const std::vector<std::string>& texts) {
  ExportAxis axis{std::move(name), {}, {}};
  for (const KeyRange& range : ranges) {
    axis.labels.push_back(RangeText(range));
    if (are_single) axis.texts.push_back(texts[static_cast<size_t>(range.begin)]);
  }
  return axis;
}

// "·keys 1", "2-5".
std::vector<std::string> PageNames(const std::vector<KeyRange>& ranges,
                                   const std::vector<std::string>& tokens) {
  std::vector<std::string> names;
  for (const KeyRange& range : ranges) {
    const bool is_single = range.end - range.begin == 1;
    names.push_back(is_single
                        ? absl::StrCat(tokens[static_cast<size_t>(range.begin)], " ", range.begin)
                        : RangeText(range));
  }
  return names;
}

// The head's numbers, NaN where a row may not look and there are none.
std::vector<float> PageValues(const AttentionAnswer& answer, const HeadMatrix& matrix) {
  std::vector<float> values = matrix.values;
  if (!AreScores(answer) || !answer.header.causal()) return values;
  for (size_t i = 0; i < values.size(); ++i) {
    const int64_t query = matrix.queries[i / static_cast<size_t>(matrix.columns)];
    const int64_t key = answer.header.key_begin() + static_cast<int64_t>(i) % matrix.columns;
    if (key > query) values[i] = std::numeric_limits<float>::quiet_NaN();
  }
  return values;
}

// Every head has a table of the same size.
absl::Status CheckTables(const AttentionAnswer& answer, const v1::AttentionSelection& selection,
                         const std::vector<HeadMatrix>& matrices) {
  const int heads = IsFused(selection) ? 1 : answer.header.heads_size();
  bool fits = static_cast<int64_t>(matrices.size()) == int64_t{answer.header.layers_size()} * heads;
  for (const HeadMatrix& matrix : matrices) {
    fits = fits && matrix.columns > 0 && matrix.columns == matrices[0].columns &&
           matrix.queries.size() == matrices[0].queries.size() &&
           matrix.values.size() == matrix.queries.size() * static_cast<size_t>(matrix.columns);
  }
  if (fits && !matrices.empty()) return absl::OkStatus();
  return absl::InternalError("the server sent tables of different sizes");
}

}  // namespace

absl::Status CheckFormFiles(const Arguments& arguments, const v1::AttentionSelection& selection) {
  const std::string format = arguments.String("format");
  for (const char* name : {"html", "npy", "output"}) {
    if (!arguments.Has(name)) continue;
    if (selection.has_top_k() || selection.has_threshold()) {
      return UsageError(absl::StrCat("--", selection.has_top_k() ? "top-k" : "threshold",
                                     " leaves weights out, and --", name,
                                     " needs them all; give one of the two."));
    }
  }
  if ((format == "bertviz" || format == "circuitsvis") && !IsPlain(selection)) {
    return UsageError(absl::StrCat("--format=", format,
                                   " takes the heads' own weights after softmax, all keys of each "
                                   "row; leave --stage, --keys, --fuse and other forms out."));
  }
  return absl::OkStatus();
}

Export AttentionFormExport(const AttentionAnswer& answer, const v1::AttentionSelection& selection,
                           const std::vector<std::string>& edits) {
  const std::vector<HeadMatrix> matrices = Matrices(answer);
  const std::vector<std::string> texts = PlainWireTexts(answer.header.prompt());
  Export file;
  file.axes = {NumberAxis("layer", answer.header.layers())};
  if (!IsFused(selection)) file.axes.push_back(NumberAxis("head", answer.header.heads()));
  const bool has_blocks = selection.has_pooled();
  file.axes.push_back(RangeAxis("query", RowRanges(answer, matrices[0], selection),
                                !has_blocks && !selection.span_sums().average_queries(), texts));
  file.axes.push_back(RangeAxis("key", ColumnRanges(answer, matrices[0], selection),
                                !has_blocks && !selection.has_span_sums(), texts));
  const bool are_weights = answer.header.stage() == v1::ATTENTION_STAGE_SOFTMAX;
  file.tensors = {{are_weights ? "weight" : StageName(answer), {}, {}}};
  for (const HeadMatrix& matrix : matrices) {
    file.tensors[0].values.insert(file.tensors[0].values.end(), matrix.values.begin(),
                                  matrix.values.end());
  }
  AddSource(SourceOf(answer.header.provenance(), edits), texts, &file);
  file.metadata["stage"] = StageName(answer);
  if (IsFused(selection)) {
    file.metadata["head_fusion"] = selection.head_fusion() == v1::HEAD_FUSION_MAX ? "max" : "mean";
    file.metadata["head_labels"] = JsonTexts(NumberAxis("", answer.header.heads()).labels);
  }
  if (has_blocks) {
    file.metadata["block"] =
        selection.pooled().reduction() == v1::PooledEncoding::REDUCTION_MEAN ? "mean" : "max";
  }
  return file;
}

std::string AttentionFormPage(const AttentionAnswer& answer,
                              const v1::AttentionSelection& selection,
                              const std::vector<std::string>& edits) {
  const std::vector<HeadMatrix> matrices = Matrices(answer);
  GridPageData data{.source = SourceOf(answer.header.provenance(), edits),
                    .verb = "attention",
                    .heading = absl::StrCat("Attention, ", StageName(answer)),
                    .tokens = VisibleWireTokens(answer.header.prompt()),
                    .row_name = "",
                    .column_name = "key",
                    .columns_are_tokens = true,
                    .rank_by_row = true};
  data.rows = PageNames(RowRanges(answer, matrices[0], selection), data.tokens);
  data.columns = PageNames(ColumnRanges(answer, matrices[0], selection), data.tokens);
  const StageText* const stage = FindStage(answer.header.stage());
  const std::string meaning = absl::StrCat(stage == nullptr ? "" : stage->meaning,
                                           CellText(selection), ". Rows look at columns.");
  for (const HeadMatrix& matrix : matrices) {
    data.grids.push_back({.title = matrix.head < 0 ? absl::StrCat("layer ", matrix.layer)
                                                   : absl::StrCat(matrix.layer, ".", matrix.head),
                          .meaning = absl::StrCat("Layer ", matrix.layer,
                                                  HeadText(matrix, selection), ": ", meaning),
                          .values = PageValues(answer, matrix),
                          .is_signed = AreScores(answer),
                          .scale = AreScores(answer) ? PageScale::kLinear : PageScale::kRoot});
  }
  return GridPage(data);
}

absl::StatusOr<bool> WriteFormFiles(const AttentionAnswer& answer,
                                    const v1::AttentionSelection& selection,
                                    const std::vector<std::string>& edits,
                                    const Arguments& arguments, Session& session) {
  if (!arguments.Has("npy") && !arguments.Has("output") && !arguments.Has("html")) return false;
  const std::vector<HeadMatrix> matrices = Matrices(answer);
  if (absl::Status s = CheckTables(answer, selection, matrices); !s.ok()) return s;
  const auto format = ReadFormat(arguments);
  if (!format.ok()) return format.status();
  const auto data = [&] { return AttentionFormExport(answer, selection, edits); };
  if (arguments.Has("npy")) {
    absl::Status s = WriteExport(arguments.String("npy"), session, "npy", data());
    if (!s.ok()) return s;
  }
  if (arguments.Has("output")) {
    absl::Status s = WriteExport(arguments.String("output"), session, *format, data());
    if (!s.ok()) return s;
  }
  if (!arguments.Has("html")) return true;
  const int64_t numbers =
      static_cast<int64_t>(matrices.size() * matrices[0].queries.size()) * matrices[0].columns;
  if (numbers > kMostPageNumbers) {
    return UsageError(absl::StrCat(
        "a page of ", FormatCount(numbers), " numbers is more than a browser draws; at most ",
        FormatCount(kMostPageNumbers),
        ".\nChoose with --layer, --head or --query, or write them with --output=FILE."));
  }
  absl::Status s = WritePage(arguments, session, AttentionFormPage(answer, selection, edits));
  if (!s.ok()) return s;
  return true;
}

}  // namespace heed::cli
