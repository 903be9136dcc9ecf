#include "client/cli/pictures/heatmap.h"

#include <algorithm>
#include <numeric>

#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "client/cli/base/format.h"
#include "client/cli/pictures/colormap.h"

namespace heed::cli {
namespace {

constexpr int kMinColumns = 5;     // of a cell: shade or mark, three of the number, a space
constexpr float kMatters = 0.03F;  // weights of the last row whose keys come before all others

// What fits: the rows and keys to show, and the widths of their titles.
struct Layout {
  int64_t first_row = 0;
  int query_columns = 0;
  std::vector<int64_t> keys;
  std::vector<int> key_columns;  // of each shown key's cells
  bool has_rest = false;
};

std::string QueryTitle(const HeatMap& map, int64_t query, int columns) {
  return Fit(map.keys[query], columns);
}

// Keys in the order of what they matter: those that the last row reads, from which the model
// predicts, and then by their largest weight in the rows shown.
std::vector<int64_t> KeysByWeight(const HeatMap& map, int64_t first_row) {
  const auto key_count = static_cast<int64_t>(map.keys.size());
  std::vector<float> largest(key_count, 0);
  for (int64_t row = first_row; row < static_cast<int64_t>(map.queries.size()); ++row) {
    for (int64_t key = 0; key < key_count; ++key) {
      largest[key] = std::max(largest[key], map.weights[row * key_count + key]);
    }
  }
  std::vector<int64_t> keys(key_count);
  std::iota(keys.begin(), keys.end(), 0);
  std::stable_sort(keys.begin(), keys.end(),
                   [&](int64_t a, int64_t b) { return largest[a] > largest[b]; });
  if (map.queries.empty()) return keys;
  const float* last_row = map.weights.data() + (map.queries.size() - 1) * map.keys.size();
  const auto others = std::stable_partition(keys.begin(), keys.end(),
                                            [&](int64_t key) { return last_row[key] >= kMatters; });
  std::stable_sort(keys.begin(), others,
                   [&](int64_t a, int64_t b) { return last_row[a] > last_row[b]; });
  return keys;
}

int KeyColumns(const HeatMap& map, int64_t key, const HeatMapLimits& limits) {
  const int digits = static_cast<int>(absl::StrCat(key).size());
  return std::clamp(std::max(DisplayWidth(map.keys[key]), digits) + 1, kMinColumns,
                    limits.max_key_columns + 1);
}

// Takes keys in the order of their weight while they fit into `room` columns.
std::vector<int64_t> FittingKeys(const HeatMap& map, const std::vector<int64_t>& by_weight,
                                 int room, const HeatMapLimits& limits) {
  std::vector<int64_t> keys;
  for (int64_t key : by_weight) {
    const int columns = KeyColumns(map, key, limits);
    if (columns > room && !keys.empty()) break;
    room -= columns;
    keys.push_back(key);
  }
  std::sort(keys.begin(), keys.end());
  return keys;
}

Layout MakeLayout(const HeatMap& map, const Terminal& terminal, const HeatMapLimits& limits) {
  Layout layout;
  const auto rows = static_cast<int64_t>(map.queries.size());
  layout.first_row = std::max<int64_t>(0, rows - limits.max_rows);
  int token_columns = 0;
  for (int64_t row = layout.first_row; row < rows; ++row) {
    token_columns = std::max(token_columns, DisplayWidth(map.keys[map.queries[row]]));
  }
  const int digits = rows == 0 ? 1 : static_cast<int>(absl::StrCat(map.queries.back()).size());
  token_columns = std::min(token_columns, limits.max_query_columns);
  layout.query_columns = digits + 1 + token_columns + 2;
  const int room = terminal.width - layout.query_columns;
  const std::vector<int64_t> by_weight = KeysByWeight(map, layout.first_row);
  layout.keys = FittingKeys(map, by_weight, room, limits);
  layout.has_rest = layout.keys.size() < map.keys.size();
  if (layout.has_rest) layout.keys = FittingKeys(map, by_weight, room - kMinColumns, limits);
  for (int64_t key : layout.keys) layout.key_columns.push_back(KeyColumns(map, key, limits));
  return layout;
}

std::string Titles(const HeatMap& map, const Layout& layout, const Terminal& terminal) {
  std::string numbers = PadRight("", layout.query_columns);
  std::string tokens = numbers;
  for (size_t i = 0; i < layout.keys.size(); ++i) {
    const int columns = layout.key_columns[i];
    numbers += PadLeft(absl::StrCat(layout.keys[i]), columns - 1) + " ";
    tokens += PadLeft(Fit(map.keys[layout.keys[i]], columns - 1), columns - 1) + " ";
  }
  if (layout.has_rest) tokens += "rest";
  while (!numbers.empty() && numbers.back() == ' ') numbers.pop_back();
  while (!tokens.empty() && tokens.back() == ' ') tokens.pop_back();
  return absl::StrCat(Styled(terminal, Emphasis::kDim, numbers), "\n", tokens, "\n");
}

// Whether the last row's note fits behind it; else it stands below the map.
bool HasRoomForNote(const HeatMap& map, const Layout& layout, const Terminal& terminal) {
  if (map.last_row_note.empty()) return false;
  const int cells = std::accumulate(layout.key_columns.begin(), layout.key_columns.end(), 0);
  const int rest = layout.has_rest ? kMinColumns - 1 : 0;
  return layout.query_columns + cells + rest + 1 + DisplayWidth(map.last_row_note) <=
         terminal.width;
}

std::string RowLine(const HeatMap& map, const Layout& layout, int64_t row,
                    const Terminal& terminal) {
  const auto key_count = static_cast<int64_t>(map.keys.size());
  const float* weights = map.weights.data() + row * key_count;
  const int64_t query = map.queries[row];
  const int64_t strongest = std::max_element(weights, weights + key_count) - weights;
  const int digits = static_cast<int>(absl::StrCat(map.queries.back()).size());
  const int token_columns = layout.query_columns - digits - 3;
  std::string line = Styled(terminal, Emphasis::kDim, PadLeft(absl::StrCat(query), digits));
  absl::StrAppend(&line, " ", PadRight(QueryTitle(map, query, token_columns), token_columns + 2));
  double rest = std::accumulate(weights, weights + key_count, 0.0);
  for (size_t i = 0; i < layout.keys.size(); ++i) {
    const int64_t key = layout.keys[i];
    rest -= weights[key];
    if (map.causal && key > query) {
      absl::StrAppend(
          &line, Styled(terminal, Emphasis::kDim, PadLeft("·", layout.key_columns[i] - 1) + " "));
    } else {
      absl::StrAppend(&line,
                      WeightCell(weights[key], key == strongest, layout.key_columns[i], terminal));
    }
  }
  if (layout.has_rest) {
    absl::StrAppend(&line, PadLeft(FormatWeight(std::max(rest, 0.0) < 1e-6 ? 0 : rest), 4));
  }
  const bool is_last = row + 1 == static_cast<int64_t>(map.queries.size());
  if (is_last && HasRoomForNote(map, layout, terminal)) {
    absl::StrAppend(&line, " ", Styled(terminal, Emphasis::kDim, map.last_row_note));
  }
  while (line.back() == ' ') line.pop_back();
  return line + "\n";
}

// How dark a weight looks without colours.
const char* Shade(double weight) {
  if (weight >= 0.5) return "█";
  if (weight >= 0.25) return "▓";
  if (weight >= 0.1) return "▒";
  if (weight >= 0.03) return "░";
  return " ";
}

// What is not shown, as a sentence or two.
std::string LeftOutNote(const HeatMap& map, const Layout& layout, const Terminal& terminal) {
  std::string note;
  if (!map.last_row_note.empty() && !HasRoomForNote(map, layout, terminal)) {
    absl::string_view text = map.last_row_note;
    absl::ConsumePrefix(&text, "← ");
    note = absl::StrCat("The last row ", text, ". ");
  }
  if (layout.has_rest) {
    absl::StrAppend(&note, layout.keys.size(), " of ", Plural(map.keys.size(), "key"), " shown, ",
                    map.queries.size() > 1
                        ? "those that the last row reads and then those with the largest weights"
                        : "those with the largest weights",
                    "; the others add up in \"rest\".");
  }
  if (layout.first_row > 0) {
    absl::StrAppend(&note, layout.has_rest ? " " : "", TheFirst(layout.first_row, "row"), " of ",
                    map.queries.size(), " left out.");
  }
  return note;
}

}  // namespace

std::string RenderHeatMap(const HeatMap& map, const Terminal& terminal,
                          const HeatMapLimits& limits) {
  const Layout layout = MakeLayout(map, terminal, limits);
  std::string result = Titles(map, layout, terminal);
  const auto rows = static_cast<int64_t>(map.queries.size());
  for (int64_t row = layout.first_row; row < rows; ++row) {
    result += RowLine(map, layout, row, terminal);
  }
  const std::string note = LeftOutNote(map, layout, terminal);
  if (!note.empty()) result += Paragraph(terminal, Styled(terminal, Emphasis::kDim, note));
  return result;
}

std::string WeightCell(double weight, bool strongest, int columns, const Terminal& terminal) {
  const std::string number = absl::StrCat(strongest ? "*" : "", FormatWeight(weight));
  if (terminal.color == ColorDepth::kNone) {
    // The shade stands left of the number and fills what room there is.
    std::string shades;
    for (int i = DisplayWidth(number); i < columns - 1; ++i) shades += Shade(weight);
    return absl::StrCat(shades, number, " ");
  }
  return OnBackground(terminal, WeightColor(weight, terminal.dark_background), strongest,
                      absl::StrCat(PadLeft(number, columns - 1), " "));
}

std::string HeatMapLegend(const Terminal& terminal) {
  std::vector<double> steps = {0.0, 0.05, 0.1, 0.25, 0.5, 0.75, 1.0};
  if (static_cast<int>(steps.size()) * kMinColumns > terminal.width) steps = {0.0, 0.1, 0.5, 1.0};
  std::string scale;
  for (double weight : steps) scale += WeightCell(weight, false, kMinColumns, terminal);
  const std::string words = "weights after softmax; each row sums to 1; * strongest";
  if (DisplayWidth(scale) + 1 + DisplayWidth(words) <= TextWidth(terminal)) {
    return absl::StrCat(scale, " ", Styled(terminal, Emphasis::kDim, words), "\n");
  }
  std::string text = absl::StrCat(scale, "\n");
  for (const std::string& line : Wrap(words, terminal.width - 3)) {
    absl::StrAppend(&text, "   ", Styled(terminal, Emphasis::kDim, line), "\n");
  }
  return text;
}

}  // namespace heed::cli
