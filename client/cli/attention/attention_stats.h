// Facts about attention rows: what the overview shows, and which head is worth showing.
#ifndef HEED_CLIENT_CLI_ATTENTION_ATTENTION_STATS_H_
#define HEED_CLIENT_CLI_ATTENTION_ATTENTION_STATS_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/types/span.h"
#include "client/types.h"

namespace heed::cli {

// A row of dense weights: over the keys 0..key_count of one query.
using Row = absl::Span<const float>;

Row DenseRow(const AttentionMaps& maps, int64_t layer, int64_t head, int64_t query);

// Shannon entropy in nats, 0 * log 0 being 0.
double Entropy(Row row);

// Positions of the `count` largest weights, largest first, ties by smaller position; zeros are left
// out.
std::vector<int64_t> LargestKeys(Row row, int count);

// One head, by its places in header.layers and header.heads.
struct HeadChoice {
  int64_t layer = 0;
  int64_t head = 0;
  std::string reason;  // completes "shown because "
};

// The head that says most in the last query's row: the one that gives most weight to a token that
// is neither the first, where heads with nothing to say look, nor the query or its neighbour; of
// about equal ones, that of the latest layer. Without any such weight, the one with the lowest
// entropy. `maps` is dense and has at least one head and query.
HeadChoice ChooseHead(const AttentionMaps& maps);

}  // namespace heed::cli

#endif  // HEED_CLIENT_CLI_ATTENTION_ATTENTION_STATS_H_
