#include "client/cli/html.h"

#include <algorithm>
#include <cmath>
#include <sstream>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "client/cli/colormap.h"
#include "client/cli/format.h"
#include "client/cli/json_parts.h"
#include "client/cli/terminal.h"
#include "client/cli/token_text.h"

namespace heed::cli {
namespace {

constexpr absl::string_view kTitleMark = "{{TITLE}}";
constexpr absl::string_view kDataMark = "{{DATA}}";

std::string EscapeHtml(absl::string_view text) {
  return absl::StrReplaceAll(
      text, {{"&", "&amp;"}, {"<", "&lt;"}, {">", "&gt;"}, {"\"", "&quot;"}, {"'", "&#39;"}});
}

void WriteStops(JsonWriter& json, bool dark) {
  json.BeginArray();
  for (Rgb stop : WeightStops(dark)) {
    json.BeginArray().Int(stop.red).Int(stop.green).Int(stop.blue).EndArray();
  }
  json.EndArray();
}

std::string PageData(const AttentionMaps& maps, const PageView& view) {
  std::ostringstream out;
  JsonWriter json(out);
  json.BeginObject();
  json.Key("version").String(HEED_VERSION);
  json.Key("model");
  WriteIdentity(json, maps.header.model);
  json.Key("tokens").BeginArray();
  for (const Token& token : maps.header.prompt.tokens) json.String(VisibleToken(token));
  json.EndArray();
  json.Key("dropped").String(FormatDropped(maps.header.prompt));
  json.Key("layers");
  WriteInts(json, maps.header.layers);
  json.Key("heads");
  WriteInts(json, maps.header.heads);
  json.Key("queries");
  WriteInts(json, maps.header.queries);
  json.Key("causal").Bool(maps.header.causal);
  json.Key("first").BeginObject();
  json.Key("layer").Int(view.layer);
  json.Key("head").Int(view.head);
  json.Key("reason").String(view.reason);
  json.EndObject();
  WriteWeightStops(json);
  json.Key("weights_u16_base64").String(absl::Base64Escape(PackWeights(maps)));
  json.EndObject();
  return out.str();
}

// A short form of the prompt for the browser's tab.
std::string Title(const AttentionMaps& maps) {
  return absl::StrCat("heed attention: ", Fit(VisibleLine(maps.header.prompt.tokens), 60));
}

}  // namespace

std::string PackWeights(const AttentionMaps& maps) {
  std::string bytes;
  const auto layers = static_cast<int64_t>(maps.header.layers.size());
  const auto heads = static_cast<int64_t>(maps.header.heads.size());
  const auto queries = static_cast<int64_t>(maps.header.queries.size());
  for (int64_t row = 0; row < layers * heads * queries; ++row) {
    const int64_t query = maps.header.queries[row % queries];
    const int64_t visible = maps.header.causal ? query + 1 : maps.header.key_count;
    const float* weights = maps.weights.data() + row * maps.header.key_count;
    for (int64_t key = 0; key < visible; ++key) {
      const long value = std::lround(std::clamp(weights[key], 0.0F, 1.0F) * 65535);
      bytes += static_cast<char>(value & 0xFF);
      bytes += static_cast<char>(value >> 8);
    }
  }
  return bytes;
}

void WriteWeightStops(JsonWriter& json) {
  json.Key("dark_stops");
  WriteStops(json, true);
  json.Key("light_stops");
  WriteStops(json, false);
}

std::string FillPage(absl::string_view page, absl::string_view title, absl::string_view data) {
  // Cut at the marks rather than replaced one after the other, so that no text can be taken for a
  // mark.
  const size_t title_at = page.find(kTitleMark);
  const size_t data_at = page.find(kDataMark);
  return absl::StrCat(
      page.substr(0, title_at), EscapeHtml(title),
      page.substr(title_at + kTitleMark.size(), data_at - title_at - kTitleMark.size()), data,
      page.substr(data_at + kDataMark.size()));
}

std::string AttentionPage(const AttentionMaps& maps, const PageView& view) {
  return FillPage(kAttentionPage, Title(maps), PageData(maps, view));
}

}  // namespace heed::cli
