#include "client/cli/pictures/scatter.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "absl/strings/str_cat.h"
#include "client/cli/base/format.h"

namespace heed::cli {
namespace {

constexpr int kMostColumns = 100;
constexpr int kNameColumns = 12;

// The names and marks of one line, with the columns they begin at.
struct Line {
  struct Piece {
    int begin = 0;
    int columns = 0;
    std::string text;
  };
  std::vector<Piece> pieces;

  bool IsFree(int begin, int columns) const {
    return std::all_of(pieces.begin(), pieces.end(), [&](const Piece& piece) {
      return begin >= piece.begin + piece.columns || begin + columns <= piece.begin;
    });
  }
  void Put(int begin, const std::string& text, int columns) {
    pieces.push_back({begin, columns, text});
  }
  std::string Render() {
    std::sort(pieces.begin(), pieces.end(),
              [](const Piece& a, const Piece& b) { return a.begin < b.begin; });
    std::string line;
    int at = 0;
    for (const Piece& piece : pieces) {
      line += std::string(static_cast<size_t>(piece.begin - at), ' ') + piece.text;
      at = piece.begin + piece.columns;
    }
    return line;
  }
};

// Coordinates to places from 0 to `last`.
class Axis {
 public:
  template <typename Get>
  Axis(const std::vector<ScatterPoint>& points, int last, Get get) : last_(last) {
    for (const ScatterPoint& point : points) {
      low_ = std::min(low_, get(point));
      high_ = std::max(high_, get(point));
    }
  }
  int operator()(double value) const {
    return high_ > low_ ? static_cast<int>(std::lround((value - low_) / (high_ - low_) * last_))
                        : last_ / 2;
  }

 private:
  int last_;
  double low_ = std::numeric_limits<double>::infinity();
  double high_ = -std::numeric_limits<double>::infinity();
};

}  // namespace

std::string RenderScatter(const std::vector<ScatterPoint>& points, int rows,
                          const Terminal& terminal) {
  const int width = std::clamp(terminal.width - 2, 20, kMostColumns);
  std::vector<Line> lines(static_cast<size_t>(rows));
  const Axis across(points, width - 1, [](const ScatterPoint& point) { return point.x; });
  const Axis up(points, rows - 1, [](const ScatterPoint& point) { return point.y; });
  const auto place = [&](const ScatterPoint& point) {
    return std::pair<int, int>(across(point.x), rows - 1 - up(point.y));
  };
  for (const ScatterPoint& point : points) {
    const auto [x, y] = place(point);
    if (lines[static_cast<size_t>(y)].IsFree(x, 1)) {
      lines[static_cast<size_t>(y)].Put(x, Styled(terminal, Emphasis::kCyan, "●"), 1);
    }
  }
  int left_out = 0;
  for (const ScatterPoint& point : points) {
    const auto [x, y] = place(point);
    const std::string name = Fit(point.name, kNameColumns);
    const int columns = DisplayWidth(name);
    bool is_placed = false;
    for (const auto& [dx, dy] :
         {std::pair{1, 0}, std::pair{-columns, 0}, std::pair{0, 1}, std::pair{0, -1},
          std::pair{-columns + 1, 1}, std::pair{-columns + 1, -1}}) {
      const int begin = x + dx;
      const int line = y + dy;
      if (begin < 0 || begin + columns > width || line < 0 || line >= rows) continue;
      if (!lines[static_cast<size_t>(line)].IsFree(begin, columns)) continue;
      lines[static_cast<size_t>(line)].Put(begin, name, columns);
      is_placed = true;
      break;
    }
    if (!is_placed) ++left_out;
  }
  std::string text;
  for (Line& line : lines) absl::StrAppend(&text, line.Render(), "\n");
  if (left_out > 0) absl::StrAppend(&text, Plural(left_out, "name"), " had no room.\n");
  return text;
}

}  // namespace heed::cli
