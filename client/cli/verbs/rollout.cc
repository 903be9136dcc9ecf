// heed rollout and heed decompose: attention followed through layers, and what one layer mixed.
#include <algorithm>
#include <limits>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "client/cli/base/format.h"
#include "client/cli/base/wire_json.h"
#include "client/cli/pages/export.h"
#include "client/cli/pages/grid_page.h"
#include "client/cli/pages/inspect_pages.h"
#include "client/cli/pictures/head_grid.h"
#include "client/cli/pictures/heatmap.h"
#include "client/cli/request/edits.h"
#include "client/cli/request/estimate.h"
#include "client/cli/request/inspect_calls.h"
#include "client/cli/request/rows.h"
#include "client/cli/verbs/verbs.h"

namespace heed::cli {
namespace {

// ---- Pages and files ----------------------------------------------------------------------------

// A map of the chosen rows over all tokens, without its grids.
GridPageData TokenMapData(const std::string& verb, const v1::PromptInfo& prompt,
                          const v1::Provenance& provenance, const std::vector<int64_t>& queries,
                          const std::vector<std::string>& edits) {
  GridPageData data{.source = SourceOf(provenance, edits),
                    .verb = verb,
                    .tokens = VisibleWireTokens(prompt),
                    .plain_texts = PlainWireTexts(prompt),
                    .row_name = "",
                    .column_name = "from",
                    .columns_are_tokens = true,
                    .rank_by_row = true};
  const auto name = [&](size_t at) { return absl::StrCat(data.tokens[at], " ", at); };
  for (int64_t query : queries) data.rows.push_back(name(static_cast<size_t>(query)));
  for (size_t at = 0; at < data.tokens.size(); ++at) data.columns.push_back(name(at));
  return data;
}

// The same as numbers, with the grids' as the columns of a table.
Export TokenMapExport(const GridPageData& data, const std::vector<int64_t>& queries) {
  Export file;
  file.axes = {TokenAxis("query", queries, data.plain_texts), TokenAxis("key", data.plain_texts)};
  for (const PageGrid& grid : data.grids) file.tensors.push_back({grid.title, grid.values, {}});
  AddSource(data.source, data.plain_texts, &file);
  return file;
}

// ---- rollout ------------------------------------------------------------------------------------

// "1:3" into the layers [1, 3); either end may be left out.
absl::Status ReadLayerRange(const std::string& text, v1::RolloutRequest* request) {
  const size_t colon = text.find(':');
  const std::string ends[] = {text.substr(0, colon),
                              colon == std::string::npos ? "" : text.substr(colon + 1)};
  int32_t begin = 0;
  int32_t end = 0;
  if (colon == std::string::npos || (!ends[0].empty() && !absl::SimpleAtoi(ends[0], &begin)) ||
      (!ends[1].empty() && !absl::SimpleAtoi(ends[1], &end))) {
    return UsageError(absl::StrCat("--layers=", text,
                                   " is no range of layers; expected for example 0:2, the first "
                                   "two, or 2: from layer 2 on."));
  }
  const bool both = !ends[0].empty() && !ends[1].empty();
  if (both && (begin < 0) == (end < 0) && begin >= end) {
    return UsageError(absl::StrCat("--layers=", text,
                                   " holds no layer; the end is the layer behind ",
                                   "the last one, for example 1:3 for layers 1 and 2."));
  }
  if (!ends[0].empty()) request->set_layer_begin(begin);
  if (!ends[1].empty()) request->set_layer_end(end);
  return absl::OkStatus();
}

absl::Status ReadRollout(const Arguments& arguments, RunSource& source,
                         v1::RolloutRequest* request) {
  if (absl::Status s = FillRun(arguments, source, request); !s.ok()) return s;
  request->set_method(arguments.Has("flow") ? v1::RolloutRequest::METHOD_FLOW
                                            : v1::RolloutRequest::METHOD_ROLLOUT);
  if (arguments.Has("layers")) {
    if (absl::Status s = ReadLayerRange(arguments.String("layers"), request); !s.ok()) return s;
  }
  const std::string fuse = arguments.String("fuse", "mean");
  if (fuse != "mean" && fuse != "max") {
    return UsageError(absl::StrCat("--fuse=", fuse, " is not one of mean, max."));
  }
  request->set_head_fusion(fuse == "max" ? v1::HEAD_FUSION_MAX : v1::HEAD_FUSION_MEAN);
  const auto residual = arguments.Float("identity");
  if (!residual.ok()) return residual.status();
  if (residual->has_value()) request->set_residual_weight(static_cast<double>(**residual));
  return source.ReadPositions(arguments, "query", request->mutable_queries());
}

// What was followed: the layers, and how one matrix was made of each.
struct Followed {
  int layer_begin = 0;
  int layer_end = 0;  // behind the last
  bool all_layers = true;
  bool is_maximum = false;
  double identity = 0;  // its share
  bool is_default_identity = true;
};

absl::StatusOr<Followed> FollowedBy(const v1::RolloutRequest& request, const std::string& model,
                                    Session& session) {
  const auto client = session.client();
  if (!client.ok()) return client.status();
  const auto info = (*client)->GetModel(model, session.call_options());
  if (!info.ok()) return info.status();
  const int count = info->layer_count;
  Followed followed{.layer_end = count};
  const auto resolve = [&](int layer) { return layer < 0 ? layer + count : layer; };
  if (request.has_layer_begin()) followed.layer_begin = resolve(request.layer_begin());
  if (request.has_layer_end()) followed.layer_end = resolve(request.layer_end());
  followed.all_layers = followed.layer_begin == 0 && followed.layer_end == count;
  followed.is_maximum = request.head_fusion() == v1::HEAD_FUSION_MAX;
  followed.is_default_identity = !request.has_residual_weight();
  const double usual = info->feed_forward_size > 0 ? 0.5 : 0;  // no stream, nothing to add to
  followed.identity = request.has_residual_weight() ? request.residual_weight() : usual;
  return followed;
}

std::string LayersText(const Followed& followed) {
  if (followed.all_layers) return "all layers";
  const int last = followed.layer_end - 1;
  if (followed.layer_begin == last) return absl::StrCat("layer ", last);
  return absl::StrCat("layers ", followed.layer_begin, " to ", last);
}

// "through all heads and layers", and what differs from that.
std::string ThroughText(const Followed& followed) {
  std::string text = followed.all_layers
                         ? "through all heads and layers"
                         : absl::StrCat("through all heads of ", LayersText(followed));
  if (followed.is_maximum) absl::StrAppend(&text, ", by the heads' maximum");
  if (!followed.is_default_identity) {
    absl::StrAppend(&text, absl::StrFormat(", the identity's share %g", followed.identity));
  }
  return text;
}

std::string MixedText(const Followed& followed) {
  if (followed.identity == 0) return "without the identity";
  return absl::StrFormat("mixed with the identity, whose share is %g", followed.identity);
}

GridPageData RolloutPageData(const v1::RolloutResponse& answer, const Followed& followed,
                             const Arguments& arguments, RunSource& source) {
  const bool flow = arguments.Has("flow");
  GridPageData data = TokenMapData("rollout", answer.prompt(), answer.provenance(),
                                   {answer.queries().begin(), answer.queries().end()},
                                   EditNames(arguments, source));
  data.heading = flow ? "How much can flow from each word" : "Where each word comes from";
  const std::string matrices = absl::StrCat("the attention of ", LayersText(followed), " (the ",
                                            followed.is_maximum ? "maximum" : "mean",
                                            " of the heads, ", MixedText(followed), ")");
  data.grids = {
      {flow ? "flow" : "rollout",
       flow ? absl::StrCat("The maximum flow from each word (columns) to each row, through ",
                           matrices, ".")
            : absl::StrCat("The product of ", matrices,
                           ": how much of each row comes from each word (columns)."),
       TensorFloats(answer.weights()), false, PageScale::kRoot}};
  data.note =
      "What values and feed-forward halves do is left out: this is where something could "
      "come from, not what it did.";
  return data;
}

Export RolloutExport(const v1::RolloutResponse& answer, const Followed& followed,
                     const GridPageData& data) {
  Export file = TokenMapExport(data, {answer.queries().begin(), answer.queries().end()});
  file.metadata["layers"] = absl::StrCat(followed.layer_begin, ":", followed.layer_end);
  file.metadata["head_fusion"] = followed.is_maximum ? "max" : "mean";
  file.metadata["identity"] = absl::StrCat(followed.identity);
  return file;
}

// The answer, and what was followed.
void WriteRolloutJson(const v1::RolloutResponse& answer, const Followed& followed,
                      Session& session) {
  JsonWriter json(session.out());
  json.BeginObject();
  WriteWireFields(json, answer);
  json.Key("layer_begin").Int(followed.layer_begin);
  json.Key("layer_end").Int(followed.layer_end);
  json.Key("head_fusion").String(followed.is_maximum ? "max" : "mean");
  json.Key("identity").Number(followed.identity);
  json.EndObject();
  json.EndLine();
}

absl::Status RunRollout(const Arguments& arguments, Session& session) {
  if (absl::Status s = CheckFileOptions(arguments); !s.ok()) return s;
  auto source = RunSource::Read(arguments, session);
  if (!source.ok()) return source.status();
  v1::RolloutRequest request;
  if (absl::Status s = ReadRollout(arguments, *source, &request); !s.ok()) return s;
  if (arguments.Has("all")) {
    if (!request.queries().empty()) return UsageError("--all and --query are both given.");
    const auto count = source->TokenCount();
    if (!count.ok()) return count.status();
    for (int64_t i = 0; i < *count; ++i) request.add_queries(i);
  }
  if (request.queries().empty()) request.add_queries(-1);
  if (arguments.Has("estimate")) return PrintEstimate(request, session);
  const auto answer = AskForRows(
      request, [&](const auto& some) { return Ask(&Inspector::Rollout, some, session); },
      [&] { return source->TokenCount(); });
  if (!answer.ok()) return answer.status();
  const auto followed = FollowedBy(request, answer->provenance().model().name(), session);
  if (!followed.ok()) return followed.status();
  const auto data = [&] { return RolloutPageData(*answer, *followed, arguments, *source); };
  const auto wrote = WroteFiles(
      arguments, session, [&] { return GridPage(data()); },
      [&] { return RolloutExport(*answer, *followed, data()); });
  if (!wrote.ok() || *wrote) return wrote.status();
  if (session.json()) {
    WriteRolloutJson(*answer, *followed, session);
    return absl::OkStatus();
  }
  HeatMap map{.keys = VisibleWireTokens(answer->prompt()),
              .queries = {answer->queries().begin(), answer->queries().end()},
              .weights = TensorFloats(answer->weights())};
  session.out() << Paragraph(
                       session.terminal(),
                       absl::StrCat(arguments.Has("flow")
                                        ? "How much can flow from each word (columns) to each row, "
                                        : "Where each row comes from (columns), ",
                                    ThroughText(*followed), ":"))
                << RenderHeatMap(map, session.terminal());
  PrintProvenance(answer->provenance(), answer->prompt(), answer->timings(), session);
  return absl::OkStatus();
}

// ---- decompose ----------------------------------------------------------------------------------

struct Decomposition {
  const char* name;
  v1::DecomposeAttentionRequest::Method method;
  const char* meaning;
};
constexpr Decomposition kDecompositions[] = {
    {"attention", v1::DecomposeAttentionRequest::METHOD_ATTENTION_NORM,
     "the length of what attention gave"},
    {"residual", v1::DecomposeAttentionRequest::METHOD_RESIDUAL_NORM,
     "the length of what attention and the word's own state gave"},
    {"norm", v1::DecomposeAttentionRequest::METHOD_RESIDUAL_LAYER_NORM,
     "the length, behind the norm, of what attention and the word's own state gave"},
    {"alti", v1::DecomposeAttentionRequest::METHOD_ALTI, "how near it brought the output (ALTI)"}};

absl::StatusOr<const Decomposition*> ReadMethod(const Arguments& arguments) {
  const std::string name = arguments.String("method", "residual");
  std::string names;
  for (const Decomposition& method : kDecompositions) {
    if (name == method.name) return &method;
    absl::StrAppend(&names, names.empty() ? "" : ", ", method.name);
  }
  return UsageError(absl::StrCat("--method=", name, " is not one of ", names, "."));
}

// Each row divided by its sum, so that rows can be compared.
std::vector<float> Shares(std::vector<float> norms, size_t width) {
  for (size_t begin = 0; begin + width <= norms.size(); begin += width) {
    float sum = 0;
    for (size_t i = begin; i < begin + width; ++i) sum += norms[i];
    for (size_t i = begin; sum > 0 && i < begin + width; ++i) norms[i] /= sum;
  }
  return norms;
}

std::vector<int64_t> QueriesOf(const v1::DecomposeAttentionResponse& answer) {
  return {answer.queries().begin(), answer.queries().end()};
}

void PrintDecomposition(const v1::DecomposeAttentionResponse& answer, const Decomposition& method,
                        Session& session) {
  const auto tokens = VisibleWireTokens(answer.prompt());
  const std::vector<float> ratios = TensorFloats(answer.mixing_ratios());
  const HeatMap map{.keys = tokens,
                    .queries = QueriesOf(answer),
                    .weights = Shares(TensorFloats(answer.norms()), tokens.size())};
  const Terminal& terminal = session.terminal();
  session.out() << Paragraph(terminal,
                             absl::StrCat("Layer ", answer.layer(), ": ", method.meaning,
                                          " from each word (columns), as shares of each row:"))
                << RenderHeatMap(map, terminal)
                << Paragraph(terminal, "How much of a row came from other words (mixing ratio):");
  std::vector<std::pair<std::string, double>> points;
  const size_t skipped = ratios.size() > 40 ? ratios.size() - 40 : 0;
  for (size_t i = skipped; i < ratios.size(); ++i) {
    const int64_t query = map.queries[i];
    points.emplace_back(absl::StrCat(query, " ", tokens[static_cast<size_t>(query)]), ratios[i]);
  }
  session.out() << RenderCurve(points, terminal, 1);
  PrintProvenance(answer.provenance(), answer.prompt(), answer.timings(), session);
}

GridPageData DecomposePageData(const v1::DecomposeAttentionResponse& answer,
                               const Decomposition& method, const Arguments& arguments,
                               RunSource& source) {
  GridPageData data = TokenMapData("decompose", answer.prompt(), answer.provenance(),
                                   QueriesOf(answer), EditNames(arguments, source));
  data.heading = absl::StrCat("What each word gave to layer ", answer.layer());
  const std::vector<float> norms = TensorFloats(answer.norms());
  const std::string meaning =
      absl::StrCat("From each word (columns) to each row: ", method.meaning);
  data.grids = {{"share", absl::StrCat(meaning, ", as shares of the row."),
                 Shares(norms, data.tokens.size()), false, PageScale::kRoot},
                {"amount", absl::StrCat(meaning, "."), norms, false, PageScale::kRoot}};
  data.bars = {"Mixing ratio", "How much of each row came from other words.",
               TensorFloats(answer.mixing_ratios())};
  return data;
}

Export DecomposeExport(const v1::DecomposeAttentionResponse& answer, const GridPageData& data) {
  Export file = TokenMapExport(data, QueriesOf(answer));
  file.others = {
      {"mixing_ratio", data.bars->values, {static_cast<int64_t>(data.bars->values.size())}}};
  file.metadata["layer"] = absl::StrCat(answer.layer());
  return file;
}

absl::Status RunDecompose(const Arguments& arguments, Session& session) {
  if (absl::Status s = CheckFileOptions(arguments); !s.ok()) return s;
  const auto method = ReadMethod(arguments);
  if (!method.ok()) return method.status();
  auto source = RunSource::Read(arguments, session);
  if (!source.ok()) return source.status();
  v1::DecomposeAttentionRequest request;
  if (absl::Status s = FillRun(arguments, *source, &request); !s.ok()) return s;
  request.set_method((*method)->method);
  const auto layer = arguments.Int("layer", std::numeric_limits<int32_t>::min(),
                                   std::numeric_limits<int32_t>::max());
  if (!layer.ok()) return layer.status();
  request.set_layer(static_cast<int32_t>(layer->value_or(-1)));
  if (absl::Status s = source->ReadPositions(arguments, "query", request.mutable_queries());
      !s.ok()) {
    return s;
  }
  if (arguments.Has("estimate")) return PrintEstimate(request, session);
  const auto answer = AskForRows(
      request, [&](const auto& some) { return Ask(&Inspector::DecomposeAttention, some, session); },
      [&] { return source->TokenCount(); });
  if (!answer.ok()) return answer.status();
  const auto data = [&] { return DecomposePageData(*answer, **method, arguments, *source); };
  const auto wrote = WroteFiles(
      arguments, session, [&] { return GridPage(data()); },
      [&] { return DecomposeExport(*answer, data()); });
  if (!wrote.ok() || *wrote) return wrote.status();
  if (PrintedAsJson(*answer, session)) return absl::OkStatus();
  PrintDecomposition(*answer, **method, session);
  return absl::OkStatus();
}

}  // namespace

Verb RolloutVerb() {
  return {
      .name = "rollout",
      .operands = "PROMPT",
      .max_operands = 1,
      .summary = "Attention followed through the layers to the words of the prompt.",
      .description =
          "Multiplies the layers' attention (its mean or maximum over heads, mixed with the "
          "identity for the residual connection), or with --flow finds the maximum flow through "
          "them. What the feed-forward halves and values do is left out, so this says where "
          "something could come from, not what it did.",
      .example = "heed rollout \"the keys to the cabinet\" --all",
      .options = JoinOptions(
          {{{"flow", "", "The maximum flow in place of the product."},
            {"layers", "A:B", "Through the layers A to B - 1; default all."},
            {"fuse", "HOW", "One matrix of the heads: mean (default) or max."},
            {"identity", "X",
             "The identity's share of each matrix, 0 to 1; default 0.5, and 0 where a model has no "
             "residual connection."},
            {"query", "WORD", "Rows, by word or position; default the last.", true},
            {"all", "", "Every row."}},
           FileOptions(),
           EditOptions(),
           EditScopeOptions(),
           RunOptions()}),
      .run = RunRollout};
}

Verb DecomposeVerb() {
  return {
      .name = "decompose",
      .operands = "PROMPT",
      .max_operands = 1,
      .summary = "How much of one layer's output came from each word, by what was mixed.",
      .description =
          "A weight says how much a head reads; what it reads may be long or short, and heads may "
          "cancel. This takes the length of what each word gave through all heads (attention), "
          "with the residual connection (residual) and the norm behind it (norm, for models that "
          "normalise after adding), or how much nearer it brought the output (alti).",
      .example = "heed decompose \"the keys to the cabinet\" --layer=3 --method=alti",
      .options =
          JoinOptions({{{"method", "NAME", "attention, residual (the default), norm or alti."},
                        {"layer", "L", "The layer; default -1, the last."},
                        {"query", "WORD", "Rows, by word or position; default all.", true}},
                       FileOptions(),
                       EditOptions(),
                       EditScopeOptions(),
                       RunOptions()}),
      .run = RunDecompose};
}

}  // namespace heed::cli
