#include "client/cli/verbs/activations_output.h"

#include <algorithm>
#include <numeric>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "client/cli/base/format.h"
#include "client/cli/base/json_parts.h"
#include "client/cli/base/table.h"
#include "client/cli/base/wire_json.h"
#include "client/cli/pages/grid_page.h"
#include "client/cli/pages/page.h"
#include "client/cli/pictures/head_grid.h"
#include "client/cli/pictures/scatter.h"
#include "client/cli/request/edits.h"
#include "client/cli/request/inspect_calls.h"

namespace heed::cli {
namespace {

using Request = v1::GetActivationsRequest;

constexpr int kScatterRows = 18;
constexpr size_t kMostWords = 40;  // against each other; of more, the last ones
constexpr int kMostPictures = 3;   // of layers, one below the other; of more, the last ones
constexpr int kShownElements = 5;
constexpr int64_t kMostPageNumbers = 1 << 20;

size_t LayerCount(const Activations& answer) {
  return answer.layers.size();
}
size_t RowCount(const Activations& answer) {
  return static_cast<size_t>(answer.header.positions_size());
}
size_t Width(const Activations& answer, size_t layer) {
  return static_cast<size_t>(answer.widths[layer]);
}

std::string LayerName(const Activations& answer, size_t i) {
  const int layer = answer.header.layers(static_cast<int>(i));
  if (answer.header.site() != v1::SITE_RESIDUAL) return absl::StrCat("layer ", layer);
  return layer == 0 ? "embed" : absl::StrCat("after ", layer - 1);
}

// Which vectors they are: "query, head 1".
std::string SiteText(const Activations& answer) {
  std::string text = SiteName(answer.header.site());
  if (HasHeads(answer.header.site())) {
    absl::StrAppend(&text, answer.header.heads_size() == 1 ? ", head " : ", heads ",
                    absl::StrJoin(answer.header.heads(), ","));
  }
  return text;
}
// The same in brackets where it is not the residual stream, whose layers' names say so.
std::string OtherSiteText(const Activations& answer) {
  if (answer.header.site() == v1::SITE_RESIDUAL) return "";
  return absl::StrCat(" (", SiteText(answer), ")");
}

std::vector<std::string> LayerNames(const Activations& answer) {
  std::vector<std::string> names;
  for (size_t i = 0; i < LayerCount(answer); ++i) names.push_back(LayerName(answer, i));
  return names;
}

// The tokens of the chosen positions.
std::vector<std::string> RowTokens(const Activations& answer) {
  const auto all = VisibleWireTokens(answer.header.prompt());
  std::vector<std::string> tokens;
  for (int64_t position : answer.header.positions()) {
    tokens.push_back(all[static_cast<size_t>(position)]);
  }
  return tokens;
}

// "3 ·the" for a terminal, where numbers stand in a column; "·the 3" for a page, where words do.
template <typename Positions>
std::vector<std::string> TerminalNames(const std::vector<std::string>& tokens,
                                       const Positions& positions) {
  std::vector<std::string> names;
  auto position = positions.begin();
  for (const std::string& token : tokens) names.push_back(absl::StrCat(*position++, " ", token));
  return names;
}
template <typename Positions>
std::vector<std::string> PageNames(const std::vector<std::string>& tokens,
                                   const Positions& positions) {
  std::vector<std::string> names;
  auto position = positions.begin();
  for (const std::string& token : tokens) names.push_back(absl::StrCat(token, " ", *position++));
  return names;
}
std::vector<std::string> TerminalRows(const Activations& answer) {
  return TerminalNames(RowTokens(answer), answer.header.positions());
}
std::vector<std::string> PageRows(const Activations& answer) {
  return PageNames(RowTokens(answer), answer.header.positions());
}

// Whether cosines are best seen as every word against every other, layer by layer, rather than one
// word's through the layers.
bool ByLayer(const Activations& answer, const OtherSide& other) {
  return LayerCount(answer) == 1 || (other.same_run && RowCount(answer) > kMostPictures);
}

// Lengths as a table: layers, or heads of layers, by position.
struct Lengths {
  std::vector<size_t> layer;  // of each row
  std::vector<int> head;      // of each row; -1 at a site without heads
  std::vector<float> values;  // [rows, positions]
};
Lengths ReadLengths(const Activations& answer) {
  Lengths lengths;
  for (size_t i = 0; i < LayerCount(answer); ++i) {
    const size_t heads = Width(answer, i);
    for (size_t head = 0; head < heads; ++head) {
      lengths.layer.push_back(i);
      lengths.head.push_back(
          HasHeads(answer.header.site()) ? answer.header.heads(static_cast<int>(head)) : -1);
      for (size_t row = 0; row < RowCount(answer); ++row) {
        lengths.values.push_back(answer.layers[i][row * heads + head]);
      }
    }
  }
  return lengths;
}

// From `begin` up to `end`.
struct Range {
  size_t begin = 0;
  size_t end = 0;
};
Range Only(size_t index) {
  return {index, index + 1};
}
Range AllLayers(const Activations& answer) {
  return {0, LayerCount(answer)};
}
Range AllRows(const Activations& answer) {
  return {0, RowCount(answer)};
}

// The chosen cosines, [layers, positions, other positions].
std::vector<float> Cosines(const Activations& answer, const OtherSide& other, Range layers,
                           Range rows) {
  std::vector<float> values;
  for (size_t layer = layers.begin; layer < layers.end; ++layer) {
    for (size_t row = rows.begin; row < rows.end; ++row) {
      for (size_t column : other.columns) {
        values.push_back(answer.layers[layer][row * Width(answer, layer) + column]);
      }
    }
  }
  return values;
}

const char* WordsMeant(const OtherSide& other) {
  return other.same_run ? "the words of the same run" : "the words of the other run";
}

// ---- Pictures -----------------------------------------------------------------------------------

// The first of the layers that have a picture.
size_t FirstPicture(const Activations& answer) {
  return LayerCount(answer) > kMostPictures ? LayerCount(answer) - kMostPictures : 0;
}
void AppendLeftOut(const Activations& answer, const Terminal& terminal, std::string* text) {
  if (FirstPicture(answer) == 0) return;
  *text += Paragraph(
      terminal, absl::StrCat(Plural(static_cast<int64_t>(FirstPicture(answer)), "earlier layer"),
                             " left out; choose with --layer, or --json has them all."));
}

std::string LengthPicture(const Activations& answer, const Terminal& terminal) {
  Lengths lengths = ReadLengths(answer);
  Grid grid{.row_name = "", .columns = TerminalRows(answer), .values = std::move(lengths.values)};
  for (size_t i = 0; i < lengths.layer.size(); ++i) {
    grid.rows.push_back(LayerName(answer, lengths.layer[i]));
    if (lengths.head[i] >= 0) absl::StrAppend(&grid.rows.back(), " head ", lengths.head[i]);
  }
  return absl::StrCat(Paragraph(terminal, absl::StrCat("Lengths of the vectors (", SiteText(answer),
                                                       ")", MarkText(grid), ":")),
                      RenderGrid(grid, terminal));
}

template <typename List>
void KeepLastWords(List* list) {
  if (list->size() > kMostWords) list->erase(list->begin(), list->end() - kMostWords);
}

// Every word against every other, layer by layer.
std::string CosineMaps(const Activations& answer, OtherSide other, const Terminal& terminal) {
  const size_t words = std::max(RowCount(answer), other.columns.size());
  KeepLastWords(&other.columns);
  KeepLastWords(&other.positions);
  KeepLastWords(&other.tokens);
  Grid grid{.row_name = "",
            .rows = TerminalRows(answer),
            .columns = TerminalNames(other.tokens, other.positions),
            .is_signed = true};
  KeepLastWords(&grid.rows);
  const Range rows{RowCount(answer) - grid.rows.size(), RowCount(answer)};
  std::string text;
  for (size_t i = FirstPicture(answer); i < LayerCount(answer); ++i) {
    grid.values = Cosines(answer, other, Only(i), rows);
    absl::StrAppend(&text,
                    Paragraph(terminal, absl::StrCat("Cosines (", SiteText(answer), "), ",
                                                     LayerName(answer, i), MarkText(grid), ":")),
                    RenderGrid(grid, terminal));
  }
  AppendLeftOut(answer, terminal, &text);
  if (words > kMostWords) {
    text += Paragraph(terminal, absl::StrCat("The last ", kMostWords, " of ", words,
                                             " words; --html, --output and --json have them all."));
  }
  return text;
}

std::string CosinePicture(const Activations& answer, const OtherSide& other,
                          const Terminal& terminal) {
  if (ByLayer(answer, other)) return CosineMaps(answer, other, terminal);
  const std::vector<std::string> names = TerminalRows(answer);
  Grid grid{.row_name = "",
            .rows = LayerNames(answer),
            .columns = TerminalNames(other.tokens, other.positions),
            .is_signed = true};
  std::string text;
  for (size_t row = 0; row < names.size(); ++row) {
    grid.values = Cosines(answer, other, AllLayers(answer), Only(row));
    absl::StrAppend(
        &text,
        Paragraph(terminal, absl::StrCat("Cosine of ", names[row], OtherSiteText(answer), " with ",
                                         WordsMeant(other), MarkText(grid), ":")),
        RenderGrid(grid, terminal));
  }
  return text;
}

std::string PcaPicture(const Activations& answer, const Terminal& terminal) {
  const std::vector<std::string> names = TerminalRows(answer);
  std::string text;
  for (size_t i = FirstPicture(answer); i < LayerCount(answer); ++i) {
    const size_t width = Width(answer, i);
    std::string title = absl::StrCat(LayerName(answer, i), OtherSiteText(answer),
                                     ", along its directions of largest variance (");
    for (size_t d = 0; d < answer.explained_variance[i].size(); ++d) {
      absl::StrAppend(&title, d > 0 ? ", " : "",
                      absl::StrFormat("%.0f %%", 100 * answer.explained_variance[i][d]));
    }
    absl::StrAppend(&text, Paragraph(terminal, absl::StrCat(title, " of it):")));
    std::vector<ScatterPoint> points;
    for (size_t row = 0; row < names.size(); ++row) {
      const float* const at = answer.layers[i].data() + row * width;
      points.push_back({at[0], width > 1 ? at[1] : 0.0, names[row]});
    }
    absl::StrAppend(&text, RenderScatter(points, width > 1 ? kScatterRows : 3, terminal));
  }
  AppendLeftOut(answer, terminal, &text);
  return text;
}

std::string VectorPicture(const Activations& answer, const Terminal& terminal) {
  const std::vector<std::string> names = TerminalRows(answer);
  Table table({{"layer"},
               {"word"},
               {absl::StrCat("first of ", answer.widths[0], " elements", OtherSiteText(answer))}});
  for (size_t i = 0; i < LayerCount(answer); ++i) {
    const size_t width = Width(answer, i);
    for (size_t row = 0; row < names.size(); ++row) {
      std::string elements;
      for (size_t e = 0; e < std::min<size_t>(width, kShownElements); ++e) {
        absl::StrAppend(&elements, absl::StrFormat("%9.4f", answer.layers[i][row * width + e]));
      }
      table.AddRow({LayerName(answer, i), names[row], elements});
    }
  }
  return absl::StrCat(table.Render(terminal),
                      Paragraph(terminal, "--output, --npy and --json have them whole."));
}

// ---- Pages --------------------------------------------------------------------------------------

// The numbers from 0 on, as names.
std::vector<std::string> Indices(int64_t count) {
  std::vector<std::string> names;
  for (int64_t i = 0; i < count; ++i) names.push_back(absl::StrCat(i));
  return names;
}

GridPageData LengthPageData(const Activations& answer, GridPageData data) {
  Lengths lengths = ReadLengths(answer);
  const bool has_heads = HasHeads(answer.header.site());
  data.heading = absl::StrCat("How long the vectors are: ", SiteName(answer.header.site()));
  data.row_name = has_heads ? "head" : "";
  data.column_name = "position";
  data.columns = PageRows(answer);
  data.rank_by_row = true;
  for (size_t i = 0; i < lengths.layer.size(); ++i) {
    const int layer = answer.header.layers(static_cast<int>(lengths.layer[i]));
    data.rows.push_back(has_heads ? absl::StrCat(layer, ".", lengths.head[i])
                                  : LayerName(answer, lengths.layer[i]));
  }
  data.grids = {{.title = "length",
                 .meaning = "The Euclidean length of each vector.",
                 .values = std::move(lengths.values),
                 .scale = PageScale::kLog}};
  return data;
}

GridPageData CosinePageData(const Activations& answer, const OtherSide& other, GridPageData data) {
  data.heading = absl::StrCat("How alike the vectors are: ", SiteName(answer.header.site()));
  data.column_name = other.same_run ? "and" : "and of the other run";
  data.columns = PageNames(other.tokens, other.positions);
  data.rank_by_row = true;
  const std::vector<std::string> words = PageRows(answer);
  if (ByLayer(answer, other)) {
    data.rows = words;
    for (size_t i = 0; i < LayerCount(answer); ++i) {
      data.grids.push_back(
          {LayerName(answer, i),
           absl::StrCat("The cosine of each word's vector with those of ", WordsMeant(other), "."),
           Cosines(answer, other, Only(i), AllRows(answer)), true});
    }
    data.first = data.grids.size() - 1;
    return data;
  }
  data.rows = LayerNames(answer);
  for (size_t row = 0; row < words.size(); ++row) {
    data.grids.push_back({words[row],
                          absl::StrCat("The cosine of this word's vector with those of ",
                                       WordsMeant(other), ", layer by layer."),
                          Cosines(answer, other, AllLayers(answer), Only(row)), true});
  }
  return data;
}

// Words are columns: vectors are longer than most screens are wide.
GridPageData VectorPageData(const Activations& answer, GridPageData data) {
  data.heading = absl::StrCat("The vectors: ", SiteName(answer.header.site()));
  data.row_name = "element";
  data.column_name = "position";
  data.rows = Indices(answer.widths.front());
  data.columns = PageRows(answer);
  for (size_t i = 0; i < LayerCount(answer); ++i) {
    PageGrid grid{LayerName(answer, i), "Each word's vector, element by element.", {}, true};
    for (size_t element = 0; element < data.rows.size(); ++element) {
      for (size_t row = 0; row < RowCount(answer); ++row) {
        grid.values.push_back(answer.layers[i][row * Width(answer, i) + element]);
      }
    }
    data.grids.push_back(std::move(grid));
  }
  data.first = data.grids.size() - 1;
  return data;
}

std::string PcaPage(const Activations& answer, const PageSource& source) {
  Page page(source);
  JsonWriter& json = page.json();
  const auto tokens = VisibleWireTokens(answer.header.prompt());
  json.Key("site").String(SiteName(answer.header.site()));
  json.Key("tokens");
  WriteTexts(json, tokens);
  json.Key("positions");
  WriteInts(json, answer.header.positions());
  json.Key("layers").BeginArray();
  for (size_t i = 0; i < LayerCount(answer); ++i) {
    json.BeginObject().Key("name").String(LayerName(answer, i));
    json.Key("explained").BeginArray();
    for (double share : answer.explained_variance[i]) json.Number(share);
    json.EndArray().Key("points");
    WriteMatrix(json, answer.layers[i], Width(answer, i));
    json.EndObject();
  }
  json.EndArray();
  return page.Finish(kPcaScript, PageTitle("activations", tokens));
}

}  // namespace

OtherSide WholeOtherSide(const Activations& answer) {
  OtherSide other;
  other.same_run = answer.other.tokens().empty();
  other.tokens = other.same_run ? RowTokens(answer) : VisibleWireTokens(answer.other);
  other.columns.resize(other.tokens.size());
  std::iota(other.columns.begin(), other.columns.end(), 0);
  other.positions = {other.columns.begin(), other.columns.end()};
  if (other.same_run) {
    other.positions = {answer.header.positions().begin(), answer.header.positions().end()};
  }
  return other;
}

std::string ActivationsPicture(const Activations& answer, const OtherSide& other,
                               const Terminal& terminal) {
  switch (answer.form) {
    case Request::kNorms:
      return LengthPicture(answer, terminal);
    case Request::kCosines:
      return CosinePicture(answer, other, terminal);
    case Request::kPca:
      return PcaPicture(answer, terminal);
    default:
      return VectorPicture(answer, terminal);
  }
}

void WriteActivationsJson(const Activations& answer, JsonWriter& json) {
  json.BeginObject().Key("header");
  WriteWireMessage(json, answer.header);
  if (answer.other.tokens_size() > 0) {
    json.Key("other_prompt");
    WriteWireMessage(json, answer.other);
  }
  json.Key("layers").BeginArray();
  for (size_t i = 0; i < LayerCount(answer); ++i) {
    json.BeginObject().Key("layer").Int(answer.header.layers(static_cast<int>(i)));
    json.Key("values");
    WriteMatrix(json, answer.layers[i], Width(answer, i));
    if (!answer.explained_variance[i].empty()) {
      json.Key("explained_variance").BeginArray();
      for (double share : answer.explained_variance[i]) json.Number(share);
      json.EndArray();
    }
    json.EndObject();
  }
  json.EndArray().Key("timings_ms");
  WriteWireMessage(json, answer.end.timings());
  json.EndObject();
  json.EndLine();
}

absl::Status CheckPageSize(const Activations& answer) {
  int64_t count = 0;
  for (const std::vector<float>& layer : answer.layers) {
    count += static_cast<int64_t>(layer.size());
  }
  if (count <= kMostPageNumbers) return absl::OkStatus();
  return UsageError(absl::StrCat(
      "a page of ", FormatCount(count), " numbers is more than a browser draws; at most ",
      FormatCount(kMostPageNumbers),
      ".\nChoose with --layer, --position or --head, or write them with --output=FILE."));
}

std::string ActivationsPage(const Activations& answer, const OtherSide& other,
                            const std::vector<std::string>& edits) {
  const PageSource source = SourceOf(answer.header.provenance(), edits);
  if (answer.form == Request::kPca) return PcaPage(answer, source);
  GridPageData data{.source = source,
                    .verb = "activations",
                    .tokens = VisibleWireTokens(answer.header.prompt()),
                    .columns_are_tokens = true};
  if (answer.form == Request::kNorms) return GridPage(LengthPageData(answer, std::move(data)));
  if (answer.form == Request::kCosines) {
    return GridPage(CosinePageData(answer, other, std::move(data)));
  }
  return GridPage(VectorPageData(answer, std::move(data)));
}

Export ActivationsExport(const Activations& answer, const OtherSide& other,
                         const std::vector<std::string>& edits) {
  Export file;
  const std::vector<std::string> texts = PlainWireTexts(answer.header.prompt());
  file.axes = {NumberAxis("layer", answer.header.layers()),
               TokenAxis("position", answer.header.positions(), texts)};
  const int64_t width = answer.widths.front();
  ExportTensor tensor{"value", {}, {}};
  for (const std::vector<float>& layer : answer.layers) {
    tensor.values.insert(tensor.values.end(), layer.begin(), layer.end());
  }
  switch (answer.form) {
    case Request::kNorms:
      tensor.name = "length";
      if (HasHeads(answer.header.site())) {
        file.axes.push_back(NumberAxis("head", answer.header.heads()));
      }
      break;
    case Request::kCosines:
      tensor.name = "cosine";
      tensor.values = Cosines(answer, other, AllLayers(answer), AllRows(answer));
      file.axes.push_back(TokenAxis("other", other.positions,
                                    other.same_run ? texts : PlainWireTexts(answer.other)));
      break;
    case Request::kPca: {
      tensor.name = "coordinate";
      file.axes.push_back({"component", Indices(width), {}});
      ExportTensor explained{"explained_variance", {}, {}};
      for (const std::vector<double>& layer : answer.explained_variance) {
        for (double share : layer) explained.values.push_back(static_cast<float>(share));
      }
      explained.shape = {static_cast<int64_t>(LayerCount(answer)),
                         static_cast<int64_t>(answer.explained_variance.front().size())};
      file.others.push_back(std::move(explained));
      break;
    }
    default:
      file.axes.push_back({"element", Indices(width), {}});
      break;
  }
  file.tensors.push_back(std::move(tensor));
  AddSource(SourceOf(answer.header.provenance(), edits), texts, &file);
  file.metadata["site"] = SiteName(answer.header.site());
  if (!other.same_run) file.metadata["other_tokens"] = JsonTexts(PlainWireTexts(answer.other));
  return file;
}

}  // namespace heed::cli
