// Pictures of grids: a small cell for each layer and head, and curves.
#ifndef HEED_CLIENT_CLI_PICTURES_HEAD_GRID_H_
#define HEED_CLIENT_CLI_PICTURES_HEAD_GRID_H_

#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "client/cli/base/terminal.h"

namespace heed::cli {

struct Grid {
  std::string row_name;  // "layer"
  std::vector<std::string> rows;
  std::vector<std::string> columns;
  std::vector<float> values;  // [rows, columns]; NaN: unknown, infinite: nothing is there
  // Shown as negative and positive around 0 rather than from the smallest to the largest.
  bool is_signed = false;
};

// Each cell's number on its colour, or behind a shade without colours; the strongest is marked with
// *, which MarkText explains. Columns that do not fit come in further blocks below.
std::string RenderGrid(const Grid& grid, const Terminal& terminal);

// The legend of the mark, to go behind a grid's title: "; * the largest" or "; * furthest from 0".
// Empty where nothing is marked.
std::string MarkText(const Grid& grid);

// A bar for each point, a whole one for `full`, or without it for the largest. Values below 0 have
// their sign, and bars of another colour or, without colours, another shade.
std::string RenderCurve(const std::vector<std::pair<std::string, double>>& points,
                        const Terminal& terminal, std::optional<double> full = std::nullopt);

}  // namespace heed::cli

#endif  // HEED_CLIENT_CLI_PICTURES_HEAD_GRID_H_
