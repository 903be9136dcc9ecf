#include "client/cli/base/table.h"

#include <algorithm>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"

namespace heed::cli {
namespace {

std::string Line(const std::vector<Column>& columns, const std::vector<int>& widths,
                 const std::vector<std::string>& cells) {
  std::string line;
  for (size_t i = 0; i < cells.size(); ++i) {
    if (i > 0) line += "  ";
    line += columns[i].align == Align::kLeft ? PadRight(cells[i], widths[i])
                                             : PadLeft(cells[i], widths[i]);
  }
  return std::string(absl::StripTrailingAsciiWhitespace(line));
}

}  // namespace

std::string Table::Render(const Terminal& terminal) const {
  std::vector<int> widths;
  std::vector<std::string> titles;
  for (const Column& column : columns_) {
    titles.push_back(column.title);
    widths.push_back(DisplayWidth(column.title));
  }
  for (const auto& row : rows_) {
    for (size_t i = 0; i < row.size(); ++i) widths[i] = std::max(widths[i], DisplayWidth(row[i]));
  }
  std::string result;
  const bool has_titles = std::any_of(titles.begin(), titles.end(),
                                      [](const std::string& title) { return !title.empty(); });
  if (has_titles) {
    absl::StrAppend(&result, Styled(terminal, Emphasis::kDim, Line(columns_, widths, titles)),
                    "\n");
  }
  for (const auto& row : rows_) absl::StrAppend(&result, Line(columns_, widths, row), "\n");
  return result;
}

}  // namespace heed::cli
