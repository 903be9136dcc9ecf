// One head's attention as a table of coloured cells with numbers.
#ifndef HEED_CLIENT_CLI_PICTURES_HEATMAP_H_
#define HEED_CLIENT_CLI_PICTURES_HEATMAP_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/types/span.h"
#include "client/cli/base/terminal.h"

namespace heed::cli {

struct HeatMap {
  std::vector<std::string> keys;  // tokens of the prompt as people read them
  std::vector<int64_t> queries;   // positions of the rows, ascending
  std::vector<float> weights;     // [queries, keys]
  bool causal = false;
  std::string
      last_row_note;  // "← predicts ..."; below the map where there is no room behind the row
};

struct HeatMapLimits {
  int max_rows = 40;        // the last ones are shown
  int max_key_columns = 9;  // terminal columns of a key's title at most
  int max_query_columns = 16;
};

// Rows are queries, columns keys; both titled with token and position. The strongest cell of a row
// is marked with *, cells that a causal model cannot see are dim dots. When not all keys fit into
// the terminal's width, those are shown, in their order, that the last row reads, and then those
// with the largest weight anywhere; the rest of each row is added up in a last column, and a note
// says so. Without colours, shade blocks stand for them.
std::string RenderHeatMap(const HeatMap& map, const Terminal& terminal,
                          const HeatMapLimits& limits = {});

// One weight as `columns` columns, the last of which is a space: its number on its colour, or
// without colours behind shade blocks. The strongest of its row is marked with *.
std::string WeightCell(double weight, bool strongest, int columns, const Terminal& terminal);

// The scale, as one line.
std::string HeatMapLegend(const Terminal& terminal);

}  // namespace heed::cli

#endif  // HEED_CLIENT_CLI_PICTURES_HEATMAP_H_
