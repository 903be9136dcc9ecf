// Attention maps made by hand.
#ifndef HEED_TESTS_CLIENT_FAKE_WEIGHTS_H_
#define HEED_TESTS_CLIENT_FAKE_WEIGHTS_H_

#include <vector>

#include "absl/strings/str_cat.h"
#include "client/types.h"

namespace heed::cli {

// Maps whose only query is the last position: `rows` holds one row for each layer and head. Tokens
// are t0, t1, ...
inline AttentionMaps FakeMaps(int layers, int heads, const std::vector<std::vector<float>>& rows) {
  AttentionMaps maps;
  AttentionHeader& header = maps.header;
  header.model = {"decoder", "sha256:0123456789abcdef"};
  header.key_count = static_cast<int64_t>(rows[0].size());
  header.causal = true;
  header.queries = {header.key_count - 1};
  for (int layer = 0; layer < layers; ++layer) header.layers.push_back(layer);
  for (int head = 0; head < heads; ++head) header.heads.push_back(head);
  for (int64_t i = 0; i < header.key_count; ++i) {
    const std::string text = absl::StrCat("t", i);
    header.prompt.tokens.push_back({.id = static_cast<int32_t>(i), .text = text, .bytes = text});
  }
  for (const auto& row : rows) maps.weights.insert(maps.weights.end(), row.begin(), row.end());
  return maps;
}

}  // namespace heed::cli

#endif  // HEED_TESTS_CLIENT_FAKE_WEIGHTS_H_
