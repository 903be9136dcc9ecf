// The page of `heed attention`: every head as a thumbnail, one as a matrix, several as lines.
#ifndef HEED_CLIENT_CLI_ATTENTION_ATTENTION_PAGE_H_
#define HEED_CLIENT_CLI_ATTENTION_ATTENTION_PAGE_H_

#include <cstdint>
#include <string>
#include <vector>

#include "client/types.h"

namespace heed::cli {

struct PageView {
  int64_t layer = 0;  // the head to show first, by its places in header.layers and header.heads
  int64_t head = 0;
  std::string reason;  // why that one; may be empty
};

// float32, or multiples of 1/65535 in two bytes.
enum class WeightEncoding { kF32, kU16 };

// The weights as the page wants them, little-endian, [layers, heads, queries, visible keys], where
// a causal model's query i sees keys 0..i only.
std::string PackWeights(const AttentionMaps& maps, WeightEncoding encoding);

// The whole page for dense `maps`: with the exact weights where they are few enough to travel, and
// rounded ones otherwise. Everything from the server is escaped.
// `edits` are those of the run, as the command names them.
std::string AttentionPage(const AttentionMaps& maps, const PageView& view,
                          const std::vector<std::string>& edits = {});

}  // namespace heed::cli

#endif  // HEED_CLIENT_CLI_ATTENTION_ATTENTION_PAGE_H_
