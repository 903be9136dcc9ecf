// Aligned columns of text.
#ifndef HEED_CLIENT_CLI_BASE_TABLE_H_
#define HEED_CLIENT_CLI_BASE_TABLE_H_

#include <string>
#include <utility>
#include <vector>

#include "client/cli/base/terminal.h"

namespace heed::cli {

enum class Align { kLeft, kRight };

// What becomes of a column's long cells on a narrow terminal. Numbers, which are on the right, are
// always kept.
enum class Narrow { kShorten, kWrap, kKeep };

struct Column {
  std::string title;
  Align align = Align::kLeft;
  int leave_out = 0;  // columns of the largest are the first to go; 0 always stays
  Narrow narrow = Narrow::kShorten;
};

// Collects rows, then lays them out with two spaces between columns. Cells may be styled for the
// same terminal, which also shows the titles dim; elsewhere the same text comes without colours.
class Table {
 public:
  explicit Table(std::vector<Column> columns) : columns_(std::move(columns)) {}

  // As many cells as there are columns, or fewer.
  void AddRow(std::vector<std::string> cells) { rows_.push_back(std::move(cells)); }

  // Every line ends with a line feed and has no spaces before it. On a terminal that is too narrow,
  // texts are shortened or wrapped and columns left out until the lines fit; an ellipsis stands for
  // what is missing, in the titles for columns.
  std::string Render(const Terminal& terminal) const;

 private:
  std::vector<Column> columns_;
  std::vector<std::vector<std::string>> rows_;
};

}  // namespace heed::cli

#endif  // HEED_CLIENT_CLI_BASE_TABLE_H_
