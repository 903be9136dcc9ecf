#include "client/cli/pictures/head_grid.h"

#include <algorithm>
#include <cmath>
#include <cstdint>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "client/cli/pictures/colormap.h"

namespace heed::cli {
namespace {

constexpr int kCurveBar = 40;
constexpr int kCurveNumbers = 14;  // columns between a curve's names and its bars
constexpr int kLeastBar = 4;
constexpr int kLeastName = 4;

// Five columns at most.
std::string ShortNumber(double value) {
  if (std::isnan(value)) return "?";
  if (std::isinf(value)) return "·";
  const double size = std::abs(value);
  if (value == 0) return "0";
  if (size < 0.005) return value < 0 ? "-.00" : ".00";
  std::string text = absl::StrFormat(size >= 99.5 ? "%.0f" : size >= 9.95 ? "%.1f" : "%.2f", value);
  if (size >= 0.995) return text;
  text.erase(text.find('0'), 1);  // .12, -.12
  return text;
}

// Where a value lies between the smallest, 0, and the largest, 1; of signed ones how far from 0.
class Scale {
 public:
  explicit Scale(const Grid& grid) : is_signed_(grid.is_signed) {
    for (float value : grid.values) {
      if (!std::isfinite(value)) continue;
      low_ = std::min<double>(low_, value);
      high_ = std::max<double>(high_, value);
    }
  }
  double operator()(double value) const {
    if (!std::isfinite(value)) return 0;
    if (is_signed_) {
      const double size = std::max(std::abs(low_), std::abs(high_));
      return size > 0 ? std::abs(value) / size : 0;
    }
    return high_ > low_ ? (value - low_) / (high_ - low_) : 0;
  }

 private:
  const bool is_signed_;
  double low_ = INFINITY;
  double high_ = -INFINITY;
};

const char* Shade(double share) {
  if (share >= 0.75) return "█";
  if (share >= 0.5) return "▓";
  if (share >= 0.25) return "▒";
  if (share >= 0.1) return "░";
  return " ";
}

// Red for what goes down, the scale of weights for all else.
Rgb CellColor(double value, double share, bool is_signed, bool dark) {
  if (!is_signed || value >= 0) return WeightColor(share, dark);
  const Rgb color = WeightColor(share, dark);
  return {color.blue, static_cast<uint8_t>(color.green / 2), color.red};
}

std::string Cell(const Grid& grid, const Scale& scale, double value, bool strongest, int columns,
                 const Terminal& terminal) {
  const std::string number = absl::StrCat(strongest ? "*" : "", ShortNumber(value));
  const double share = scale(value);
  if (std::isinf(value))
    return Styled(terminal, Emphasis::kDim, PadLeft(number, columns - 1) + " ");
  if (terminal.color == ColorDepth::kNone) {
    return absl::StrCat(Shade(share), PadLeft(number, columns - 2), " ");
  }
  return OnBackground(terminal, CellColor(value, share, grid.is_signed, terminal.dark_background),
                      strongest, absl::StrCat(PadLeft(number, columns - 1), " "));
}

// The cell to mark: none where no value is known or the strongest is 0.
std::optional<size_t> Strongest(const Grid& grid) {
  std::optional<size_t> strongest;
  for (size_t i = 0; i < grid.values.size(); ++i) {
    const float value = grid.values[i];
    if (!std::isfinite(value)) continue;
    const bool better = !strongest.has_value() ||
                        (grid.is_signed ? std::abs(value) > std::abs(grid.values[*strongest])
                                        : value > grid.values[*strongest]);
    if (better) strongest = i;
  }
  return strongest.has_value() && grid.values[*strongest] == 0 ? std::nullopt : strongest;
}

// Of all numbers of a curve, so that they can be compared: four digits of the largest, and three
// decimals at least where there is room.
int CurveDecimals(const std::vector<std::pair<std::string, double>>& points) {
  double largest = 0;
  bool are_whole = true;
  for (const auto& [name, value] : points) {
    largest = std::max(largest, std::abs(value));
    are_whole = are_whole && value == std::floor(value);
  }
  if (are_whole || !std::isfinite(largest)) return 0;
  if (largest >= 1) return largest < 1e4 ? 3 : 0;
  constexpr int kMostDecimals = 6;
  return std::min(3 - static_cast<int>(std::floor(std::log10(largest))), kMostDecimals);
}

// A number of which the decimals would leave nothing keeps its exponent.
std::string CurveNumber(double value, int decimals) {
  const bool is_lost = std::abs(value) < 0.5 * std::pow(10, -decimals);
  if (value == 0 || (!is_lost && std::abs(value) < 1e7)) {
    return absl::StrFormat("%.*f", value == 0 ? 0 : decimals, value);
  }
  return absl::StrFormat("%.1e", value);
}

// A bar for what is below 0, that can be told from the others without colours.
std::string ShadedBar(double share, int columns) {
  std::string bar;
  const int count = std::max(1, static_cast<int>(std::lround(share * columns)));
  for (int i = 0; i < count; ++i) bar += "░";
  return bar;
}

}  // namespace

std::string RenderGrid(const Grid& given, const Terminal& terminal) {
  // Small numbers are shown as multiples of a power of ten.
  Grid grid = given;
  float largest = 0;
  for (float value : grid.values) {
    if (std::isfinite(value)) largest = std::max(largest, std::abs(value));
  }
  int power = 0;
  if (largest > 0 && largest < 0.05f) {
    power = static_cast<int>(std::floor(std::log10(largest)));
    for (float& value : grid.values) value *= std::pow(10.0f, static_cast<float>(-power));
  }
  const Scale scale(grid);
  int label = static_cast<int>(grid.row_name.size());
  for (const std::string& row : grid.rows) label = std::max(label, DisplayWidth(row));
  label += 1;
  int columns = 8;
  for (const std::string& column : grid.columns) {
    columns = std::max(columns, std::min(DisplayWidth(column), 10) + 1);
  }
  const std::optional<size_t> strongest = Strongest(grid);
  const size_t per_block = static_cast<size_t>(std::max(1, (terminal.width - label) / columns));
  std::string text;
  for (size_t begin = 0; begin < grid.columns.size(); begin += per_block) {
    const size_t end = std::min(begin + per_block, grid.columns.size());
    if (begin > 0) text += "\n";
    std::string title = PadLeft(grid.row_name, label - 1) + " ";
    for (size_t c = begin; c < end; ++c) {
      title += PadLeft(Fit(grid.columns[c], columns - 1), columns - 1) + " ";
    }
    while (title.back() == ' ') title.pop_back();
    absl::StrAppend(&text, Styled(terminal, Emphasis::kDim, title), "\n");
    for (size_t r = 0; r < grid.rows.size(); ++r) {
      std::string line = PadLeft(grid.rows[r], label - 1) + " ";
      for (size_t c = begin; c < end; ++c) {
        const size_t i = r * grid.columns.size() + c;
        line += Cell(grid, scale, grid.values[i], i == strongest, columns, terminal);
      }
      while (line.back() == ' ') line.pop_back();
      absl::StrAppend(&text, line, "\n");
    }
  }
  if (power != 0) absl::StrAppend(&text, "Numbers are multiples of 1e", power, ".\n");
  return text;
}

std::string MarkText(const Grid& grid) {
  if (!Strongest(grid).has_value()) return "";
  return grid.is_signed ? "; * furthest from 0" : "; * the largest";
}

std::string RenderCurve(const std::vector<std::pair<std::string, double>>& points,
                        const Terminal& terminal, std::optional<double> full) {
  const int decimals = CurveDecimals(points);
  double largest = 0;
  int label = 0;
  for (const auto& [name, value] : points) {
    largest = std::max(largest, std::abs(value));
    label = std::max(label, DisplayWidth(name));
  }
  largest = full.value_or(largest);
  // On a narrow terminal the bars become short first, then names are cut.
  label = std::min(label, std::max(kLeastName, TextWidth(terminal) - kCurveNumbers - kLeastBar));
  const int room = std::clamp(terminal.width - label - kCurveNumbers, kLeastBar, kCurveBar);
  std::string text;
  for (const auto& [name, value] : points) {
    const double share = largest > 0 ? std::abs(value) / largest : 0;
    const bool is_shaded = value < 0 && terminal.color == ColorDepth::kNone;
    const std::string bar = is_shaded ? ShadedBar(share, room) : Bar(share, room);
    absl::StrAppend(&text, PadLeft(Fit(name, label), label), "  ",
                    PadLeft(CurveNumber(value, decimals), 10));
    if (value != 0) {
      absl::StrAppend(&text, "  ",
                      Styled(terminal, value < 0 ? Emphasis::kRed : Emphasis::kCyan, bar));
    }
    text += "\n";
  }
  return text;
}

}  // namespace heed::cli
