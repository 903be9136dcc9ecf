#include "client/cli/base/table.h"

#include <algorithm>
#include <numeric>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"

namespace heed::cli {
namespace {

constexpr int kGap = 2;
constexpr int kShortCell = 12;    // what stays of a shortened cell while a column can be left out
constexpr int kLeastCell = 3;     // and when none can
constexpr char kLeftOut[] = "…";  // in place of columns

// The columns that are shown, and how wide each is.
struct Layout {
  std::vector<size_t> shown;
  std::vector<int> widths;  // of all columns
  bool leaves_out = false;

  int Total() const {
    int total = leaves_out ? kGap + DisplayWidth(kLeftOut) : 0;
    for (size_t i = 0; i < shown.size(); ++i) total += widths[shown[i]] + (i > 0 ? kGap : 0);
    return total;
  }
};

bool CanShrink(const Column& column) {
  return column.align == Align::kLeft && column.narrow != Narrow::kKeep;
}

// Takes from the widest texts, down to `least` columns each, until the line fits into `room`.
bool Shrink(const std::vector<Column>& columns, int room, int least, Layout* layout) {
  while (layout->Total() > room) {
    int* widest = nullptr;
    for (size_t i : layout->shown) {
      int& width = layout->widths[i];
      if (!CanShrink(columns[i]) || width <= least) continue;
      if (widest == nullptr || width > *widest) widest = &width;
    }
    if (widest == nullptr) return false;
    --*widest;
  }
  return true;
}

// Without the shown columns that are the first to be left out; false when all must stay.
bool LeaveOut(const std::vector<Column>& columns, Layout* layout) {
  int most = 0;
  for (size_t i : layout->shown) most = std::max(most, columns[i].leave_out);
  if (most == 0) return false;
  layout->leaves_out = true;
  std::erase_if(layout->shown, [&](size_t i) { return columns[i].leave_out == most; });
  return true;
}

Layout MakeLayout(const std::vector<Column>& columns, std::vector<int> widths, int room) {
  Layout layout;
  layout.shown.resize(columns.size());
  std::iota(layout.shown.begin(), layout.shown.end(), size_t{0});
  for (bool goes_on = true; goes_on; goes_on = LeaveOut(columns, &layout)) {
    layout.widths = widths;
    if (Shrink(columns, room, kShortCell, &layout)) return layout;
  }
  Shrink(columns, room, kLeastCell, &layout);
  return layout;
}

bool IsWithinCharacter(const std::string& utf8, size_t byte) {
  return byte < utf8.size() && (utf8[byte] & 0xC0) == 0x80;
}

// A cell as one line or, when its column wraps, as several. Words longer than the column are
// broken, so that nothing of them is lost.
std::vector<std::string> CellLines(const Column& column, const std::string& cell, int width) {
  if (DisplayWidth(cell) <= width || !CanShrink(column)) return {cell};
  if (column.narrow == Narrow::kShorten) return {FitItems(cell, width)};
  std::vector<std::string> lines;
  for (std::string& line : Wrap(cell, width)) {
    while (DisplayWidth(line) > width && line.size() > static_cast<size_t>(width)) {
      auto end = static_cast<size_t>(width);
      while (end > 0 && IsWithinCharacter(line, end)) --end;
      if (end == 0) end = 1;  // a character that is longer in bytes than the column is wide
      while (IsWithinCharacter(line, end)) ++end;
      lines.push_back(line.substr(0, end));
      line.erase(0, end);
    }
    lines.push_back(std::move(line));
  }
  return lines;
}

std::string RowLines(const std::vector<Column>& columns, const Layout& layout,
                     const std::vector<std::string>& cells) {
  std::vector<std::vector<std::string>> lines;
  size_t height = 1;
  for (size_t i : layout.shown) {
    if (i >= cells.size()) break;
    lines.push_back(CellLines(columns[i], cells[i], layout.widths[i]));
    height = std::max(height, lines.back().size());
  }
  std::string text;
  for (size_t row = 0; row < height; ++row) {
    std::string line;
    for (size_t i = 0; i < lines.size(); ++i) {
      const size_t column = layout.shown[i];
      const std::string cell = row < lines[i].size() ? lines[i][row] : "";
      if (i > 0) line += std::string(kGap, ' ');
      line += columns[column].align == Align::kLeft ? PadRight(cell, layout.widths[column])
                                                    : PadLeft(cell, layout.widths[column]);
    }
    absl::StrAppend(&text, absl::StripTrailingAsciiWhitespace(line), "\n");
  }
  return text;
}

}  // namespace

std::string Table::Render(const Terminal& terminal) const {
  std::vector<int> widths;
  for (const Column& column : columns_) widths.push_back(DisplayWidth(column.title));
  for (const auto& row : rows_) {
    for (size_t i = 0; i < row.size(); ++i) widths[i] = std::max(widths[i], DisplayWidth(row[i]));
  }
  const Layout layout = MakeLayout(columns_, std::move(widths), TextWidth(terminal));
  std::string result;
  const bool has_titles = std::any_of(columns_.begin(), columns_.end(),
                                      [](const Column& column) { return !column.title.empty(); });
  if (has_titles) {
    std::vector<std::string> titles;
    for (size_t i = 0; i < columns_.size(); ++i) {
      titles.push_back(Fit(columns_[i].title, layout.widths[i]));
    }
    std::string line = RowLines(columns_, layout, titles);
    line.pop_back();
    if (layout.leaves_out) absl::StrAppend(&line, std::string(kGap, ' '), kLeftOut);
    absl::StrAppend(&result, Styled(terminal, Emphasis::kDim, line), "\n");
  }
  for (const auto& row : rows_) result += RowLines(columns_, layout, row);
  return result;
}

}  // namespace heed::cli
