#include "client/cli/attention/attention_output.h"

#include <algorithm>
#include <numeric>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "client/cli/attention/attention_stats.h"
#include "client/cli/base/format.h"
#include "client/cli/base/json_parts.h"
#include "client/cli/base/table.h"
#include "client/cli/base/token_text.h"
#include "client/cli/pictures/heatmap.h"
#include "client/cli/request/inspect_calls.h"

namespace heed::cli {
namespace {

constexpr int kOverviewKeys = 3;    // strongest keys beside each head
constexpr int kOverviewLines = 36;  // heads listed; of more, the most decided ones
constexpr int kOverviewBar = 10;
constexpr int kTokenColumns = 14;

int64_t LayerCount(const AttentionMaps& maps) {
  return static_cast<int64_t>(maps.header.layers.size());
}

int64_t HeadCount(const AttentionMaps& maps) {
  return static_cast<int64_t>(maps.header.heads.size());
}

int64_t QueryCount(const AttentionMaps& maps) {
  return static_cast<int64_t>(maps.header.queries.size());
}

std::string KeyText(const AttentionMaps& maps, int64_t key) {
  return Fit(VisibleToken(maps.header.prompt.tokens[key]), kTokenColumns);
}

// "layer 2 head 3", by places in the header's lists.
std::string HeadName(const AttentionMaps& maps, int64_t layer, int64_t head) {
  return absl::StrCat("layer ", maps.header.layers[layer], " head ", maps.header.heads[head]);
}

// All (layer, head) pairs as layer * heads + head, or the most decided ones when there are too many
// to list.
std::vector<int64_t> HeadsToList(const AttentionMaps& maps) {
  std::vector<int64_t> order(LayerCount(maps) * HeadCount(maps));
  std::iota(order.begin(), order.end(), 0);
  if (order.size() <= kOverviewLines) return order;
  std::vector<double> entropies;
  for (int64_t index : order) {
    entropies.push_back(Entropy(
        DenseRow(maps, index / HeadCount(maps), index % HeadCount(maps), QueryCount(maps) - 1)));
  }
  std::stable_sort(order.begin(), order.end(),
                   [&](int64_t a, int64_t b) { return entropies[a] < entropies[b]; });
  order.resize(kOverviewLines);
  std::sort(order.begin(), order.end());
  return order;
}

std::vector<std::string> OverviewRow(const AttentionMaps& maps, int64_t layer, int64_t head,
                                     bool shown_below, const Terminal& terminal) {
  const Row row = DenseRow(maps, layer, head, QueryCount(maps) - 1);
  std::vector<std::string> cells = {absl::StrCat(maps.header.layers[layer]),
                                    absl::StrCat(maps.header.heads[head])};
  const std::vector<int64_t> keys = LargestKeys(row, kOverviewKeys);
  for (int i = 0; i < kOverviewKeys; ++i) {
    const bool has_key = i < static_cast<int>(keys.size());
    cells.push_back(has_key ? KeyText(maps, keys[i]) : "");
    cells.push_back(has_key ? FormatWeight(row[keys[i]]) : "");
    if (i == 0 && terminal.is_terminal) {
      cells.push_back(
          Styled(terminal, Emphasis::kCyan, Bar(has_key ? row[keys[i]] : 0, kOverviewBar)));
    }
  }
  cells.push_back(FormatNats(Entropy(row)));
  cells.push_back(shown_below ? "← below" : "");
  return cells;
}

std::string OverviewTable(const AttentionMaps& maps, const std::vector<int64_t>& listed,
                          const HeadChoice& choice, const Terminal& terminal) {
  std::vector<Column> columns = {{"layer", Align::kRight}, {"head", Align::kRight}};
  for (int i = 0; i < kOverviewKeys; ++i) {
    const int leave_out = i > 0 ? 2 + i : 0;
    columns.push_back({i == 0 ? "strongest" : "", Align::kLeft, leave_out});
    columns.push_back({"", Align::kRight, leave_out});
    if (i == 0 && terminal.is_terminal) {
      columns.push_back({"", Align::kLeft, /*leave_out=*/2, Narrow::kKeep});
    }
  }
  columns.push_back({"entropy", Align::kRight, /*leave_out=*/1});
  columns.push_back({"", Align::kLeft, 0, Narrow::kKeep});
  Table table(std::move(columns));
  for (int64_t index : listed) {
    const int64_t layer = index / HeadCount(maps);
    const int64_t head = index % HeadCount(maps);
    const bool shown_below = layer == choice.layer && head == choice.head;
    table.AddRow(OverviewRow(maps, layer, head, shown_below, terminal));
  }
  return table.Render(terminal);
}

void PrintOverview(const AttentionMaps& maps, const HeadChoice& choice, Session& session) {
  const Terminal& terminal = session.terminal();
  const int64_t query = maps.header.queries.back();
  session.out() << Paragraph(
      terminal, absl::StrCat("What ", Styled(terminal, Emphasis::kBold, KeyText(maps, query)),
                             " (position ", query, ") reads from, in every head:"));
  const std::vector<int64_t> listed = HeadsToList(maps);
  session.out() << OverviewTable(maps, listed, choice, terminal);
  const int64_t left_out = LayerCount(maps) * HeadCount(maps) - static_cast<int64_t>(listed.size());
  if (left_out > 0) {
    session.out() << Paragraph(terminal, absl::StrCat(Plural(left_out, "less decided head"),
                                                      " left out; --json has them all."));
  }
  session.out() << "\n";
}

void PrintHead(const AttentionMaps& maps, const HeadChoice& choice, Session& session) {
  const Terminal& terminal = session.terminal();
  std::string title = HeadName(maps, choice.layer, choice.head);
  title[0] = 'L';
  std::string caption = Styled(terminal, Emphasis::kBold, title);
  if (!choice.reason.empty()) absl::StrAppend(&caption, ", shown because ", choice.reason);
  session.out() << Paragraph(terminal, absl::StrCat(caption, ":"));
  HeatMap map{.keys = VisibleTokens(maps.header.prompt.tokens),
              .queries = maps.header.queries,
              .causal = maps.header.causal};
  if (map.causal && map.queries.back() + 1 == maps.header.key_count) {
    map.last_row_note = "← predicts the next word";
  }
  const auto begin = maps.weights.begin() + maps.RowOffset(choice.layer, choice.head, 0);
  map.weights.assign(begin, begin + QueryCount(maps) * maps.header.key_count);
  session.out() << RenderHeatMap(map, terminal) << "\n" << HeatMapLegend(terminal);
}

void PrintFooter(const AttentionMaps& maps, Session& session) {
  std::vector<std::string> facts = {ModelText(maps.header.model),
                                    Plural(maps.header.key_count, "token")};
  const std::string edits = FormatEdits(maps.header.provenance);
  if (!edits.empty()) facts.push_back(edits);
  facts.push_back(FormatTimings(maps.timings));
  const std::string dropped = FormatDropped(maps.header.prompt);
  if (!dropped.empty()) facts.push_back(dropped);
  session.out() << JoinItems(session.terminal(), facts, " · ") << "\n";
  if (maps.header.provenance.counterfactual_mask) PrintCounterfactual(session);
}

bool IsEmpty(const AttentionMaps& maps) {
  return LayerCount(maps) == 0 || HeadCount(maps) == 0 || QueryCount(maps) == 0;
}

}  // namespace

PageView FirstView(const AttentionMaps& maps) {
  if (IsEmpty(maps)) return {};
  if (LayerCount(maps) * HeadCount(maps) == 1) return {};
  HeadChoice choice = ChooseHead(maps);
  return {choice.layer, choice.head, std::move(choice.reason)};
}

void PrintAttention(const AttentionMaps& maps, Session& session) {
  if (!IsEmpty(maps)) {
    const PageView view = FirstView(maps);
    const HeadChoice choice{view.layer, view.head, view.reason};
    if (LayerCount(maps) * HeadCount(maps) > 1) PrintOverview(maps, choice, session);
    PrintHead(maps, choice, session);
  }
  PrintFooter(maps, session);
}

void PrintTopKeys(const AttentionMaps& maps, Session& session) {
  Table table({{"layer", Align::kRight},
               {"head", Align::kRight},
               {"query"},
               {"strongest keys"},
               {"rest", Align::kRight}});
  for (int64_t layer = 0; layer < LayerCount(maps); ++layer) {
    for (int64_t head = 0; head < HeadCount(maps); ++head) {
      for (int64_t query = 0; query < QueryCount(maps); ++query) {
        const int64_t offset = maps.RowOffset(layer, head, query);
        std::string keys;
        for (int64_t i = offset; i < offset + maps.top_k && maps.keys[i] >= 0; ++i) {
          absl::StrAppend(&keys, keys.empty() ? "" : "  ", maps.keys[i], " ",
                          KeyText(maps, maps.keys[i]), " ", FormatWeight(maps.weights[i]));
        }
        const int64_t position = maps.header.queries[query];
        table.AddRow({absl::StrCat(maps.header.layers[layer]),
                      absl::StrCat(maps.header.heads[head]),
                      absl::StrCat(position, " ", KeyText(maps, position)), keys,
                      FormatWeight(maps.dropped_mass[offset / maps.top_k])});
      }
    }
  }
  session.out() << table.Render(session.terminal());
  PrintFooter(maps, session);
}

void WriteAttentionJson(const AttentionMaps& maps, Session& session) {
  const AttentionHeader& header = maps.header;
  JsonWriter json(session.out());
  json.BeginObject().Key("model");
  WriteIdentity(json, header.model);
  json.Key("provenance");
  WriteProvenance(json, header.model, header.provenance);
  json.Key("prompt");
  WritePrompt(json, header.prompt);
  json.Key("layers");
  WriteInts(json, header.layers);
  json.Key("heads");
  WriteInts(json, header.heads);
  json.Key("queries");
  WriteInts(json, header.queries);
  json.Key("key_count").Int(header.key_count);
  json.Key("causal").Bool(header.causal);
  json.Key("rows").BeginArray();
  const int64_t width = maps.top_k > 0 ? maps.top_k : header.key_count;
  for (int64_t layer = 0; layer < LayerCount(maps); ++layer) {
    for (int64_t head = 0; head < HeadCount(maps); ++head) {
      for (int64_t query = 0; query < QueryCount(maps); ++query) {
        const int64_t offset = maps.RowOffset(layer, head, query);
        json.BeginObject();
        json.Key("layer").Int(header.layers[layer]);
        json.Key("head").Int(header.heads[head]);
        json.Key("query").Int(header.queries[query]);
        if (maps.top_k > 0) {
          json.Key("keys");
          WriteInts(json, absl::MakeConstSpan(maps.keys).subspan(offset, width));
        }
        json.Key("weights");
        WriteFloats(json, absl::MakeConstSpan(maps.weights).subspan(offset, width));
        if (maps.top_k > 0) {
          json.Key("dropped_mass").Float(maps.dropped_mass[offset / width]);
        }
        json.EndObject();
      }
    }
  }
  json.EndArray().Key("timings_ms");
  WriteTimings(json, maps.timings);
  json.EndObject();
  json.EndLine();
}

}  // namespace heed::cli
