// Rows of weights over the same words, one below the other.
#ifndef HEED_CLIENT_CLI_PICTURES_WEIGHT_TABLE_H_
#define HEED_CLIENT_CLI_PICTURES_WEIGHT_TABLE_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/types/span.h"
#include "client/cli/base/terminal.h"

namespace heed::cli {

// Lays columns out for all rows together, then gives line by line, so that other lines can stand
// between them. No line has a line feed. When not all words fit, those with the largest weight in
// any row are shown in their order, and what a row gives to the rest is added up in a last column.
class WeightTable {
 public:
  // `words` as people read them. A row may be shorter than `words`: it does not see the others.
  // `label_columns` are left free before the words.
  WeightTable(std::vector<std::string> words, absl::Span<const std::vector<float>> rows,
              int label_columns, const Terminal& terminal);

  std::string Titles(const std::string& label) const;
  std::string Row(const std::string& label, const std::vector<float>& weights) const;
  // What is not shown, as a sentence; empty when nothing is left out.
  std::string Note() const;

 private:
  int Columns(int64_t word) const;
  std::vector<int64_t> Fitting(const std::vector<int64_t>& by_weight, int room) const;

  std::vector<std::string> words_;
  Terminal terminal_;
  int label_columns_;
  std::vector<int64_t> shown_;  // ascending
  bool has_rest_ = false;
};

}  // namespace heed::cli

#endif  // HEED_CLIENT_CLI_PICTURES_WEIGHT_TABLE_H_
