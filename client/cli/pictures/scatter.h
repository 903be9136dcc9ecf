// Named points in a plane, in a terminal.
#ifndef HEED_CLIENT_CLI_PICTURES_SCATTER_H_
#define HEED_CLIENT_CLI_PICTURES_SCATTER_H_

#include <string>
#include <vector>

#include "client/cli/base/terminal.h"

namespace heed::cli {

struct ScatterPoint {
  double x = 0;
  double y = 0;
  std::string name;
};

// A picture as wide as the terminal, at most 100 columns, and `rows` high, y upwards; both axes go
// from the smallest to the largest coordinate. A name stands behind its point's mark, or below or
// above it where there is no room; one that fits nowhere is left out, and a line says how many.
std::string RenderScatter(const std::vector<ScatterPoint>& points, int rows,
                          const Terminal& terminal);

}  // namespace heed::cli

#endif  // HEED_CLIENT_CLI_PICTURES_SCATTER_H_
