#include "client/cli/attention/attention_page.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>

#include "absl/strings/escaping.h"
#include "client/cli/base/format.h"
#include "client/cli/base/json_parts.h"
#include "client/cli/base/token_text.h"
#include "client/cli/pages/page.h"

namespace heed::cli {
namespace {

static_assert(std::endian::native == std::endian::little, "the page reads little-endian");

// Bytes of exact weights up to which a page has them.
constexpr int64_t kMostExactBytes = 2 << 20;

int64_t VisibleKeys(const AttentionMaps& maps, int64_t query) {
  return maps.header.causal ? query + 1 : maps.header.key_count;
}

bool FitsExactly(const AttentionMaps& maps) {
  int64_t cells = 0;
  for (int64_t query : maps.header.queries) cells += VisibleKeys(maps, query);
  const auto heads = static_cast<int64_t>(maps.header.layers.size() * maps.header.heads.size());
  return heads * cells * static_cast<int64_t>(sizeof(float)) <= kMostExactBytes;
}

}  // namespace

std::string PackWeights(const AttentionMaps& maps, WeightEncoding encoding) {
  std::string bytes;
  const auto layers = static_cast<int64_t>(maps.header.layers.size());
  const auto heads = static_cast<int64_t>(maps.header.heads.size());
  const auto queries = static_cast<int64_t>(maps.header.queries.size());
  for (int64_t row = 0; row < layers * heads * queries; ++row) {
    const int64_t visible = VisibleKeys(maps, maps.header.queries[row % queries]);
    const float* weights = maps.weights.data() + row * maps.header.key_count;
    if (encoding == WeightEncoding::kF32) {
      const size_t begin = bytes.size();
      bytes.resize(begin + static_cast<size_t>(visible) * sizeof(float));
      std::memcpy(bytes.data() + begin, weights, static_cast<size_t>(visible) * sizeof(float));
      continue;
    }
    for (int64_t key = 0; key < visible; ++key) {
      const long value = std::lround(std::clamp(weights[key], 0.0F, 1.0F) * 65535);
      bytes += static_cast<char>(value & 0xFF);
      bytes += static_cast<char>(value >> 8);
    }
  }
  return bytes;
}

std::string AttentionPage(const AttentionMaps& maps, const PageView& view,
                          const std::vector<std::string>& edits) {
  const AttentionHeader& header = maps.header;
  Page page(SourceOf(header.model, header.provenance, edits));
  JsonWriter& json = page.json();
  const std::vector<std::string> tokens = VisibleTokens(header.prompt.tokens);
  json.Key("tokens");
  WriteTexts(json, tokens);
  json.Key("dropped").String(FormatDropped(header.prompt));
  json.Key("layers");
  WriteInts(json, header.layers);
  json.Key("heads");
  WriteInts(json, header.heads);
  json.Key("queries");
  WriteInts(json, header.queries);
  json.Key("causal").Bool(header.causal);
  json.Key("first").BeginObject();
  json.Key("layer").Int(view.layer);
  json.Key("head").Int(view.head);
  json.Key("reason").String(view.reason);
  json.EndObject();
  const bool exact = FitsExactly(maps);
  json.Key(exact ? "weights_f32_base64" : "weights_u16_base64")
      .String(absl::Base64Escape(
          PackWeights(maps, exact ? WeightEncoding::kF32 : WeightEncoding::kU16)));
  return page.Finish(kAttentionScript, PageTitle("attention", tokens));
}

}  // namespace heed::cli
