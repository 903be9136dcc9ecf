#include "client/cli/attention/attention_stats.h"

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <limits>
#include <numeric>

#include "absl/strings/str_cat.h"
#include "client/cli/base/format.h"
#include "client/cli/base/token_text.h"

namespace heed::cli {

Row DenseRow(const AttentionMaps& maps, int64_t layer, int64_t head, int64_t query) {
  return Row(maps.weights).subspan(maps.RowOffset(layer, head, query), maps.header.key_count);
}

double Entropy(Row row) {
  double entropy = 0;
  for (float weight : row) {
    if (weight > 0) entropy -= weight * std::log(static_cast<double>(weight));
  }
  return std::max(entropy, 0.0);
}

std::vector<int64_t> LargestKeys(Row row, int count) {
  std::vector<int64_t> keys(row.size());
  std::iota(keys.begin(), keys.end(), 0);
  const auto kept = keys.begin() + std::min<int64_t>(count, static_cast<int64_t>(keys.size()));
  std::partial_sort(keys.begin(), kept, keys.end(), [&](int64_t a, int64_t b) {
    return row[a] > row[b] || (row[a] == row[b] && a < b);
  });
  keys.erase(kept, keys.end());
  while (!keys.empty() && !(row[keys.back()] > 0)) keys.pop_back();
  return keys;
}

namespace {

// Weights nearer than this to each other count as equal, and the later layer wins: it is nearer to
// the answer.
constexpr double kClearlyMore = 0.005;

// A head with what it does in the last query's row.
struct Candidate {
  HeadChoice choice;
  int64_t key = -1;  // the strongest one that is neither first nor next to the query
  double weight = 0;
  double entropy = std::numeric_limits<double>::infinity();
};

Candidate Judge(const AttentionMaps& maps, int64_t layer, int64_t head) {
  const int64_t last = static_cast<int64_t>(maps.header.queries.size()) - 1;
  const int64_t query = maps.header.queries[last];
  const Row row = DenseRow(maps, layer, head, last);
  Candidate candidate{.choice = {layer, head, ""}, .entropy = Entropy(row)};
  for (int64_t key = 1; key < maps.header.key_count; ++key) {
    if (std::abs(key - query) <= 1 || !(row[key] > candidate.weight)) continue;
    candidate.key = key;
    candidate.weight = row[key];
  }
  return candidate;
}

}  // namespace

HeadChoice ChooseHead(const AttentionMaps& maps) {
  Candidate strongest;
  Candidate sharpest;
  for (int64_t layer = static_cast<int64_t>(maps.header.layers.size()) - 1; layer >= 0; --layer) {
    for (int64_t head = 0; head < static_cast<int64_t>(maps.header.heads.size()); ++head) {
      const Candidate candidate = Judge(maps, layer, head);
      if (candidate.weight > strongest.weight + kClearlyMore) strongest = candidate;
      if (candidate.entropy < sharpest.entropy) sharpest = candidate;
    }
  }
  if (strongest.key < 0) {
    sharpest.choice.reason =
        absl::StrCat("its last row is the most decided (", FormatNats(sharpest.entropy), ")");
    return sharpest.choice;
  }
  strongest.choice.reason =
      absl::StrCat("its last row puts ", FormatWeight(strongest.weight), " on ",
                   VisibleToken(maps.header.prompt.tokens[strongest.key]),
                   "; no head gives clearly more to a token past its neighbour and the first");
  return strongest.choice;
}

}  // namespace heed::cli
