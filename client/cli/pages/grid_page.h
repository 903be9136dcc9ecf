// A page of numbers by row and column: a cell for each layer and head, a heat map over tokens, or a
// curve.
#ifndef HEED_CLIENT_CLI_PAGES_GRID_PAGE_H_
#define HEED_CLIENT_CLI_PAGES_GRID_PAGE_H_

#include <optional>
#include <string>
#include <vector>

#include "client/cli/pages/export.h"
#include "client/cli/pages/page.h"

namespace heed::cli {

// How values become colours; of values that are not below 0, so that small ones can be told apart.
enum class PageScale { kLinear, kRoot, kLog };

// One number for each cell.
struct PageGrid {
  std::string title;          // "entropy"
  std::string meaning;        // its definition
  std::vector<float> values;  // [rows, columns]; NaN: unknown
  bool is_signed = false;     // shown around 0
  PageScale scale = PageScale::kLinear;
};

// One number for each row, as bars beside the grid.
struct PageBars {
  std::string title;
  std::string meaning;
  std::vector<float> values;
};

struct GridPageData {
  PageSource source;
  std::string verb;     // for the title: "stats"
  std::string heading;  // "Every head at a glance"
  std::vector<std::string> tokens;
  std::vector<std::string> plain_texts;  // the same for files
  std::string dropped;
  std::string row_name;  // "layer"
  std::string column_name;
  std::vector<std::string> rows;
  // One column: a curve along the rows.
  std::vector<std::string> columns;
  bool columns_are_tokens = false;  // long names, perhaps many: a heat map that can be enlarged
  std::vector<int64_t> column_positions;  // of columns that are all tokens
  bool rank_by_row = false;               // the largest cells beside the grid are those of one row
  std::vector<PageGrid> grids;
  size_t first = 0;  // the one to show first
  std::optional<PageBars> bars;
  // Of experiments: what the numbers are compared with.
  std::optional<double> base;
  std::string base_text;
  std::string note;  // a sentence for the foot
};

std::string GridPage(const GridPageData& data);

// The same as a file of numbers.
Export GridExport(const GridPageData& data);

}  // namespace heed::cli

#endif  // HEED_CLIENT_CLI_PAGES_GRID_PAGE_H_
