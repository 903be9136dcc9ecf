#include "client/cli/pictures/weight_table.h"

#include <algorithm>
#include <numeric>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "client/cli/base/format.h"
#include "client/cli/pictures/heatmap.h"

namespace heed::cli {
namespace {

constexpr int kMinColumns = 5;   // a mark, three of the number, a space
constexpr int kMaxColumns = 12;  // of longer words the beginning is shown

// Words in the order of their largest weight in any row.
std::vector<int64_t> ByLargestWeight(size_t count, absl::Span<const std::vector<float>> rows) {
  std::vector<float> largest(count, 0);
  for (const std::vector<float>& row : rows) {
    for (size_t i = 0; i < std::min(row.size(), count); ++i) {
      largest[i] = std::max(largest[i], row[i]);
    }
  }
  std::vector<int64_t> words(count);
  std::iota(words.begin(), words.end(), 0);
  std::stable_sort(words.begin(), words.end(),
                   [&](int64_t a, int64_t b) { return largest[a] > largest[b]; });
  return words;
}

// The place of the largest weight; -1 when several are as large.
int64_t Strongest(const std::vector<float>& weights) {
  const auto it = std::max_element(weights.begin(), weights.end());
  if (it == weights.end() || std::count(it, weights.end(), *it) > 1) return -1;
  return it - weights.begin();
}

std::string Trimmed(const std::string& line) {
  return std::string(absl::StripTrailingAsciiWhitespace(line));
}

}  // namespace

WeightTable::WeightTable(std::vector<std::string> words, absl::Span<const std::vector<float>> rows,
                         int label_columns, const Terminal& terminal)
    : words_(std::move(words)), terminal_(terminal), label_columns_(label_columns) {
  const std::vector<int64_t> by_weight = ByLargestWeight(words_.size(), rows);
  const int room = terminal_.width - label_columns_;
  shown_ = Fitting(by_weight, room);
  has_rest_ = shown_.size() < words_.size();
  if (has_rest_) shown_ = Fitting(by_weight, room - kMinColumns);
}

int WeightTable::Columns(int64_t word) const {
  return std::clamp(DisplayWidth(words_[word]) + 1, kMinColumns, kMaxColumns);
}

// Takes words in the order of their weight while they fit; at least one.
std::vector<int64_t> WeightTable::Fitting(const std::vector<int64_t>& by_weight, int room) const {
  std::vector<int64_t> shown;
  for (int64_t word : by_weight) {
    room -= Columns(word);
    if (room < -1 && !shown.empty()) break;  // the last column's space may be cut
    shown.push_back(word);
  }
  std::sort(shown.begin(), shown.end());
  return shown;
}

std::string WeightTable::Titles(const std::string& label) const {
  std::string line = PadRight(label, label_columns_);
  for (int64_t word : shown_) {
    const int columns = Columns(word);
    absl::StrAppend(&line, PadLeft(Fit(words_[word], columns - 1), columns - 1), " ");
  }
  if (has_rest_) line += "rest";
  return Trimmed(line);
}

std::string WeightTable::Row(const std::string& label, const std::vector<float>& weights) const {
  std::string line = PadRight(label, label_columns_);
  const int64_t strongest = Strongest(weights);
  double rest = std::accumulate(weights.begin(), weights.end(), 0.0);
  for (int64_t word : shown_) {
    if (word >= static_cast<int64_t>(weights.size())) {
      line += Styled(terminal_, Emphasis::kDim, PadLeft("·", Columns(word) - 1) + " ");
      continue;
    }
    rest -= weights[word];
    line += WeightCell(weights[word], word == strongest, Columns(word), terminal_);
  }
  if (has_rest_) line += PadLeft(FormatWeight(rest < 1e-6 ? 0 : rest), 4);
  return Trimmed(line);
}

std::string WeightTable::Note() const {
  if (!has_rest_) return "";
  return absl::StrCat(shown_.size(), " of ", Plural(static_cast<int64_t>(words_.size()), "word"),
                      " shown, those with the largest weights; the others add up in \"rest\".");
}

}  // namespace heed::cli
