// heed attribute and heed explain: where a logit and an attention row come from.
#include <algorithm>
#include <cmath>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "client/cli/base/format.h"
#include "client/cli/base/table.h"
#include "client/cli/explore/explain_page.h"
#include "client/cli/explore/explore_command.h"
#include "client/cli/pages/export.h"
#include "client/cli/pages/inspect_pages.h"
#include "client/cli/pictures/head_grid.h"
#include "client/cli/request/edits.h"
#include "client/cli/request/estimate.h"
#include "client/cli/request/inspect_calls.h"
#include "client/cli/request/prompt.h"
#include "client/cli/verbs/verbs.h"

namespace heed::cli {
namespace {

constexpr size_t kMostParts = 24;

std::string PartName(const v1::LogitPart& part) {
  switch (part.kind()) {
    case v1::COMPONENT_KIND_EMBEDDING:
      return "embeddings";
    case v1::COMPONENT_KIND_ATTENTION:
      return absl::StrCat("layer ", part.layer(), " attention");
    case v1::COMPONENT_KIND_MLP:
      return absl::StrCat("layer ", part.layer(), " feed-forward");
    case v1::COMPONENT_KIND_HEAD:
      return absl::StrCat("layer ", part.layer(), " head ", part.head());
    case v1::COMPONENT_KIND_ATTENTION_BIAS:
      return absl::StrCat("layer ", part.layer(), " attention bias");
    case v1::COMPONENT_KIND_EDIT:
      return absl::StrCat("layer ", part.layer(), " edits of the stream");
    case v1::COMPONENT_KIND_FINAL_BIAS:
      return "biases of norm and unembedding";
    default:
      return "other";
  }
}

absl::StatusOr<v1::AttributionUnit> ReadUnit(const Arguments& arguments) {
  const std::string name = arguments.String("by", "component");
  if (name == "component") return v1::ATTRIBUTION_UNIT_COMPONENT;
  if (name == "head") return v1::ATTRIBUTION_UNIT_HEAD;
  if (name == "source") return v1::ATTRIBUTION_UNIT_HEAD_AND_SOURCE;
  return UsageError(absl::StrCat("--by=", name, " is not one of component, head, source."));
}

// How much each word of the prompt gave through all heads.
void PrintSources(const v1::AttributeLogitsResponse& answer, Session& session) {
  const auto tokens = VisibleWireTokens(answer.prompt());
  std::vector<double> sums(tokens.size());
  for (const v1::LogitPart& part : answer.parts()) {
    const auto by_source = TensorFloats(part.by_source());
    for (size_t i = 0; i < by_source.size(); ++i) sums[i] += by_source[i];
  }
  std::vector<std::pair<std::string, double>> points;
  for (size_t i = 0; i < tokens.size(); ++i) {
    points.emplace_back(absl::StrCat(i, " ", tokens[i]), sums[i]);
  }
  session.out() << Paragraph(session.terminal(), "Through all heads, by the word they read:")
                << RenderCurve(points, session.terminal());
}

absl::Status RunAttribute(const Arguments& arguments, Session& session) {
  using Request = v1::AttributeLogitsRequest;
  if (absl::Status s = CheckFileOptions(arguments); !s.ok()) return s;
  const auto unit = ReadUnit(arguments);
  if (!unit.ok()) return unit.status();
  v1::AttributeLogitsRequest request;
  auto source = RunSource::Read(arguments, session);
  if (!source.ok()) return source.status();
  if (absl::Status s = FillRun(arguments, *source, &request); !s.ok()) return s;
  // A page shows all of it.
  const bool in_full = arguments.Has("html") && !arguments.Has("by");
  request.set_unit(in_full ? v1::ATTRIBUTION_UNIT_HEAD_AND_SOURCE : *unit);
  const auto position = source->ReadPosition(arguments, "position");
  if (!position.ok()) return position.status();
  request.set_position(*position);
  for (const auto& [option, choice] : {std::pair{"token", &Request::mutable_token},
                                       std::pair{"against", &Request::mutable_against}}) {
    if (!arguments.Has(option)) continue;
    auto token = source->Choice(arguments.String(option));
    if (!token.ok()) return token.status();
    *(request.*choice)() = *std::move(token);
  }
  if (arguments.Has("estimate")) return PrintEstimate(request, session);
  const auto answer = Ask(&Inspector::AttributeLogits, request, session);
  if (!answer.ok()) return answer.status();
  std::vector<std::string> names;
  for (const v1::LogitPart& part : answer->parts()) names.push_back(PartName(part));
  const std::vector<std::string> edits = EditNames(arguments, *source);
  const auto at_or_after = AtOrAfter(answer->provenance(), session);
  if (!at_or_after.ok()) return at_or_after.status();
  const auto wrote = WroteFiles(
      arguments, session,
      [&] {
        return AttributePage(*answer, {.part_names = names,
                                       .edits = edits,
                                       .begins_with_heads = *unit != v1::ATTRIBUTION_UNIT_COMPONENT,
                                       .at_or_after = *at_or_after});
      },
      [&] { return AttributeExport(*answer, names, edits); });
  if (!wrote.ok() || *wrote) return wrote.status();
  if (PrintedAsJson(*answer, session)) return absl::OkStatus();
  const auto tokens = VisibleWireTokens(answer->prompt());
  const Terminal& terminal = session.terminal();
  std::string title = absl::StrCat(
      "The logit of ", Styled(terminal, Emphasis::kBold, VisibleWireToken(answer->token())));
  if (answer->has_against()) {
    absl::StrAppend(&title, " less that of ",
                    Styled(terminal, Emphasis::kBold, VisibleWireToken(answer->against())));
  }
  absl::StrAppend(&title, " ", *at_or_after, " ", tokens[answer->position()], " is ",
                  absl::StrFormat("%.4f", answer->logit()), ", the sum of:");
  session.out() << Paragraph(terminal, title);
  std::vector<v1::LogitPart> parts(answer->parts().begin(), answer->parts().end());
  const size_t all = parts.size();
  if (all > kMostParts) {
    std::stable_sort(parts.begin(), parts.end(), [](const auto& a, const auto& b) {
      return std::abs(a.value()) > std::abs(b.value());
    });
    parts.resize(kMostParts);
  }
  std::vector<std::pair<std::string, double>> points;
  for (const v1::LogitPart& part : parts) points.emplace_back(PartName(part), part.value());
  session.out() << RenderCurve(points, terminal);
  if (all > kMostParts) {
    session.out() << Paragraph(terminal, absl::StrCat("The ", kMostParts, " largest of ", all,
                                                      " parts; --json has them all."));
  }
  if (*unit == v1::ATTRIBUTION_UNIT_HEAD_AND_SOURCE) PrintSources(*answer, session);
  session.out() << Paragraph(
      terminal,
      absl::StrCat("What rounding leaves: ", absl::StrFormat("%.1e", answer->residual_error()),
                   answer->before_cap() ? " (before the model caps its logits)" : "", "."));
  PrintProvenance(answer->provenance(), answer->prompt(), answer->timings(), session);
  return absl::OkStatus();
}

std::string Score(float value) {
  return std::isinf(value) ? "-∞" : absl::StrFormat("%.3f", value);
}

// Whether an edit put weights in place of the softmax of these scores.
bool AreSet(absl::Span<const float> masked, absl::Span<const float> weights) {
  constexpr double kRounding = 1e-4;
  const float largest = masked.empty() ? 0 : *std::max_element(masked.begin(), masked.end());
  if (std::isinf(largest)) return false;  // the row sees nothing
  double sum = 0;
  for (float score : masked) sum += std::exp(double{score} - largest);
  for (size_t key = 0; key < masked.size(); ++key) {
    const double weight = std::exp(double{masked[key]} - largest) / sum;
    if (std::abs(weight - weights[key]) > kRounding) return true;
  }
  return false;
}

absl::Status RunExplain(const Arguments& arguments, Session& session) {
  if (absl::Status s = CheckFileOptions(arguments); !s.ok()) return s;
  v1::ExplainRowRequest request;
  const auto layer = arguments.Int("layer", INT32_MIN, INT32_MAX);
  if (!layer.ok()) return layer.status();
  const auto head = arguments.Int("head", INT32_MIN, INT32_MAX);
  if (!head.ok()) return head.status();
  auto source = RunSource::Read(arguments, session);
  if (!source.ok()) return source.status();
  if (absl::Status s = FillRun(arguments, *source, &request); !s.ok()) return s;
  const auto query = source->ReadPosition(arguments, "query");
  if (!query.ok()) return query.status();
  request.set_layer(static_cast<int32_t>(layer->value_or(-1)));
  request.set_head(static_cast<int32_t>(head->value_or(0)));
  request.set_query(*query);
  if (absl::Status s = source->ReadChoices(arguments, "token", request.mutable_tokens()); !s.ok()) {
    return s;
  }
  if (arguments.Has("estimate")) return PrintEstimate(request, session);
  std::vector<v1::ExplorePrediction> predictions;
  if (arguments.Has("html")) predictions = PredictionsOf(&request, session);
  auto row = Ask(&Inspector::ExplainRow, request, session);
  if (absl::IsFailedPrecondition(row.status()) && !arguments.Has("token")) {
    // A model whose logits are no sums of what its heads write has nothing to follow.
    request.clear_tokens();
    row = Ask(&Inspector::ExplainRow, request, session);
  }
  if (!row.ok()) return row.status();
  const std::vector<std::string> edits = EditNames(arguments, *source);
  const auto at_or_after = AtOrAfter(row->provenance(), session);
  if (!at_or_after.ok()) return at_or_after.status();
  const auto wrote = WroteFiles(
      arguments, session,
      [&] {
        return ExplainPage(*row, predictions,
                           {.command = ExploreCommand(arguments, *source, *row),
                            .at_or_after = *at_or_after,
                            .edits = edits});
      },
      [&] { return ExplainExport(*row, edits); });
  if (!wrote.ok() || *wrote) return wrote.status();
  if (PrintedAsJson(*row, session)) return absl::OkStatus();
  const auto tokens = VisibleWireTokens(row->prompt());
  const Terminal& terminal = session.terminal();
  session.out() << Paragraph(
      terminal, absl::StrCat("Layer ", row->layer(), " head ", row->head(), ": what ",
                             Styled(terminal, Emphasis::kBold, tokens[row->query()]), " (position ",
                             row->query(), ") reads, step by step:"));
  std::vector<Column> columns = {{"key", Align::kRight}, {""}};
  columns.push_back({"q·k", Align::kRight, 4});
  columns.push_back({"scaled", Align::kRight, 2});
  const auto scaled = TensorFloats(row->scaled());
  const auto capped = TensorFloats(row->capped());
  const bool caps = capped != scaled;
  if (caps) columns.push_back({"capped", Align::kRight, 2});
  columns.push_back({"masked", Align::kRight, 5});  // the score before it or nothing
  columns.push_back({"weight", Align::kRight});
  columns.push_back({"|v·W|", Align::kRight, 3});
  columns.push_back({"weight·|v·W|", Align::kRight, 1});
  for (const v1::LogitShare& share : row->logit_shares()) {
    columns.push_back({absl::StrCat("to ", VisibleWireToken(share.token())), Align::kRight});
  }
  Table table(columns);
  const auto raw = TensorFloats(row->raw());
  const auto masked = TensorFloats(row->masked());
  const auto weights = TensorFloats(row->weights());
  const auto norms = TensorFloats(row->value_norms());
  const auto weighted = TensorFloats(row->weighted_norms());
  const auto strongest = std::max_element(weights.begin(), weights.end()) - weights.begin();
  for (int64_t key = 0; key < row->key_count(); ++key) {
    std::vector<std::string> cells = {absl::StrCat(key), tokens[key], Score(raw[key]),
                                      Score(scaled[key])};
    if (caps) cells.push_back(Score(capped[key]));
    cells.push_back(Score(masked[key]));
    const std::string weight =
        absl::StrCat(key == strongest ? "*" : "", absl::StrFormat("%.3f", weights[key]));
    cells.push_back(key == strongest ? Styled(session.terminal(), Emphasis::kBold, weight)
                                     : weight);
    cells.push_back(absl::StrFormat("%.3f", norms[key]));
    cells.push_back(absl::StrFormat("%.3f", weighted[key]));
    for (const v1::LogitShare& share : row->logit_shares()) {
      cells.push_back(absl::StrFormat("%+.3f", TensorFloats(share.by_key())[key]));
    }
    table.AddRow(std::move(cells));
  }
  std::string summary = absl::StrCat("Entropy ", FormatNats(row->entropy()), ".");
  for (const v1::LogitShare& share : row->logit_shares()) {
    absl::StrAppend(&summary, " The row gives ", absl::StrFormat("%+.4f", share.share()),
                    " to the logit of ", VisibleWireToken(share.token()), ".");
  }
  if (row->provenance().intervention_count() > 0 && AreSet(masked, weights)) {
    absl::StrAppend(&summary,
                    " An edit set these weights: they are not the softmax of the scores.");
  }
  session.out() << table.Render(terminal) << Paragraph(terminal, summary);
  PrintProvenance(row->provenance(), row->prompt(), row->timings(), session);
  return absl::OkStatus();
}

}  // namespace

Verb AttributeVerb() {
  const std::vector<OptionSpec> options = {
      {"token", "TEXT", "The word whose logit it is; default the most probable one."},
      {"against", "TEXT", "The difference to this word's logit."},
      {"by", "UNIT", "component (the default), head, or source: heads by the word they read."},
      {"position", "WORD",
       "Where it is predicted, by word or position; default the mask to fill in, else the last."}};
  return {
      .name = "attribute",
      .operands = "PROMPT",
      .max_operands = 1,
      .summary = "Which parts of the model a logit comes from.",
      .description =
          "Direct logit attribution: what the embeddings and each layer's halves or heads wrote "
          "to the residual stream, read through the final norm at the scale it had. The parts sum "
          "to the logit; what rounding leaves is shown.",
      .example = "heed attribute \"the keys to the cabinet\" --token=were --against=was --by=head",
      .options =
          JoinOptions({options, FileOptions(), EditOptions(), EditScopeOptions(), RunOptions()}),
      .run = RunAttribute};
}

Verb ExplainVerb() {
  const std::vector<OptionSpec> options = {
      {"layer", "L", "The layer; default -1, the last."},
      {"head", "H", "The head; default 0."},
      {"query", "WORD",
       "The row, by word or position; default that of the mask to fill in, else the last."},
      {"token", "TEXT", "Follow the row to this word's logit.", true}};
  return {
      .name = "explain",
      .operands = "PROMPT",
      .max_operands = 1,
      .summary = "One attention row, from query and keys to the logit.",
      .description =
          "Every step of one row of one head: the dot products of the query with the keys, scaled "
          "and masked, the weights, the length of what each key would contribute through the "
          "output "
          "projection, and that times its weight.",
      .example = "heed explain \"the keys to the cabinet\" --layer=2 --head=3 --token=were",
      .options =
          JoinOptions({options, FileOptions(), EditOptions(), EditScopeOptions(), RunOptions()}),
      .run = RunExplain};
}

}  // namespace heed::cli
