// One page that shows attention in a browser: a single file without any address to load from.
#ifndef HEED_CLIENT_CLI_HTML_H_
#define HEED_CLIENT_CLI_HTML_H_

#include <cstdint>
#include <string>

#include "absl/strings/string_view.h"
#include "client/cli/json.h"
#include "client/types.h"

namespace heed::cli {

// The page with its place for data and title still open; client/cli/page.html, embedded by the
// build.
extern const absl::string_view kAttentionPage;

struct PageView {
  int64_t layer = 0;  // the head to show first, by its places in header.layers and header.heads
  int64_t head = 0;
  std::string reason;  // why that one; may be empty
};

// The weights as the page wants them: rounded to multiples of 1/65535, two bytes little-endian,
// [layers, heads, queries, visible keys], where a causal model's query i sees keys 0..i only.
std::string PackWeights(const AttentionMaps& maps);

// `page` with its title and its data, which is JSON as JsonWriter writes it, filled in.
std::string FillPage(absl::string_view page, absl::string_view title, absl::string_view data);

// The colours of weights for both kinds of background, as the keys dark_stops and light_stops of
// the open object.
void WriteWeightStops(JsonWriter& json);

// The whole page for dense `maps`. Only the data differs from page to page; everything from the
// server is escaped.
std::string AttentionPage(const AttentionMaps& maps, const PageView& view);

}  // namespace heed::cli

#endif  // HEED_CLIENT_CLI_HTML_H_
