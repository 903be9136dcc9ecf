// heed intervene: edits, and how far the prediction moves under each.
#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "client/cli/base/format.h"
#include "client/cli/base/table.h"
#include "client/cli/base/token_text.h"
#include "client/cli/pages/export.h"
#include "client/cli/pages/intervene_page.h"
#include "client/cli/request/edits.h"
#include "client/cli/request/estimate.h"
#include "client/cli/request/inspect_calls.h"
#include "client/cli/request/metrics.h"
#include "client/cli/verbs/verbs.h"

namespace heed::cli {
namespace {

constexpr int kWatchedWords = 3;
constexpr int32_t kPageWords = 5;  // of each edit on a page

std::string Change(const v1::Metric& metric, double from, double to) {
  if (metric.has_kl_from_base()) return absl::StrFormat("%.4f", to);
  return absl::StrCat(FormatMetric(metric, from), " → ", FormatMetric(metric, to));
}

std::string TopWord(const v1::InterveneResult& result) {
  std::string words;
  for (const v1::Candidate& candidate : result.candidates()) {
    if (!words.empty()) words += "  ";
    words += VisibleWireToken(candidate.token());
    if (result.candidates_size() > 1) {
      absl::StrAppend(&words, " ", FormatProbability(candidate.probability()));
    }
  }
  return words;
}

std::vector<std::string> ResultRow(const NamedMetrics& metrics, const v1::InterveneResult& base,
                                   const v1::InterveneResult& result) {
  std::vector<std::string> cells = {SafeText(result.name())};
  if (!result.problem().empty()) return cells;  // said below the table
  for (int i = 0; i < result.values_size(); ++i) {
    cells.push_back(
        Change(metrics.metrics[static_cast<size_t>(i)], base.values(i), result.values(i)));
  }
  cells.push_back(TopWord(result));
  return cells;
}

void PrintIntervene(const v1::InterveneResponse& answer, const NamedMetrics& metrics,
                    Session& session) {
  std::vector<Column> columns = {{"edit"}};
  std::vector<std::string> base = {"(none)"};
  for (size_t i = 0; i < metrics.metrics.size(); ++i) {
    const bool is_kl = metrics.metrics[i].has_kl_from_base();
    // The first says most; the distance of all words is worth more than the other words' own.
    const int leave_out = i == 0 ? 0 : is_kl ? 1 : static_cast<int>(i) + 1;
    columns.push_back({metrics.names[i], is_kl ? Align::kRight : Align::kLeft, leave_out,
                       metrics.names.size() > 1 ? Narrow::kKeep : Narrow::kShorten});
    base.push_back(
        is_kl ? "" : FormatMetric(metrics.metrics[i], answer.base().values(static_cast<int>(i))));
  }
  columns.push_back({"now says"});
  base.push_back(TopWord(answer.base()));
  Table table(columns);
  table.AddRow(std::move(base));
  for (const v1::InterveneResult& result : answer.results()) {
    table.AddRow(ResultRow(metrics, answer.base(), result));
  }
  session.out() << table.Render(session.terminal());
  if (const std::string place = PlaceText(metrics.metrics.front(), answer.prompt());
      !place.empty()) {
    session.out() << Paragraph(session.terminal(), place);
  }
  for (const v1::InterveneResult& result : answer.results()) {
    if (result.problem().empty()) continue;
    session.out() << Paragraph(session.terminal(), absl::StrCat(SafeText(result.name()), ": ",
                                                                SafeText(result.problem())));
  }
  const bool counterfactual =
      std::any_of(answer.results().begin(), answer.results().end(),
                  [](const auto& result) { return result.counterfactual_mask(); });
  if (counterfactual && !answer.provenance().counterfactual_mask()) {
    PrintCounterfactual(session);
  }
  PrintProvenance(answer.provenance(), answer.prompt(), answer.timings(), session);
}

// The edits as sets of one each, or as one set of all.
absl::Status FillSets(const Arguments& arguments, RunSource& source,
                      v1::InterveneRequest* request) {
  const auto edits = ReadEdits(arguments, source, "layer", "head");
  if (!edits.ok()) return edits.status();
  if (edits->empty()) {
    return UsageError(
        "heed intervene needs an edit.\nFor example: --cut=\"cabinet->keys\", --ablate=2.3, "
        "--focus=0.5 or --preset=last-word.");
  }
  for (const NamedEdit& edit : *edits) {
    if (request->sets().empty() || !arguments.Has("together")) {
      request->add_sets()->set_name(edit.name);
    } else {
      request->mutable_sets(0)->set_name(absl::StrCat(request->sets(0).name(), " + ", edit.name));
    }
    const int last = request->sets_size() - 1;
    AddEdits({edit}, absl::StrCat("sets[", last, "].interventions"), source.session(),
             request->mutable_sets(last)->mutable_interventions());
  }
  return absl::OkStatus();
}

absl::StatusOr<bool> WroteIntervene(const v1::InterveneResponse& answer,
                                    const NamedMetrics& metrics, const Arguments& arguments,
                                    Session& session) {
  if (!arguments.Has("html") && !arguments.Has("output")) return false;
  const auto at_or_after = AtOrAfter(answer.provenance(), session);
  if (!at_or_after.ok()) return at_or_after.status();
  const std::vector<std::string> base_edits = arguments.Strings("under");
  return WroteFiles(
      arguments, session,
      [&] {
        return IntervenePage(answer, {metrics, base_edits, *at_or_after});
      },
      [&] { return InterveneExport(answer, metrics, base_edits); });
}

absl::Status RunIntervene(const Arguments& arguments, Session& session) {
  if (absl::Status s = CheckFileOptions(arguments); !s.ok()) return s;
  auto source = RunSource::Read(arguments, session);
  if (!source.ok()) return source.status();
  v1::InterveneRequest request;
  source->ApplyTo(&request);
  if (absl::Status s = FillSets(arguments, *source, &request); !s.ok()) return s;
  const auto under = ReadUnder(arguments, *source);
  if (!under.ok()) return under.status();
  *request.mutable_interventions() = {under->begin(), under->end()};
  const auto top = arguments.Int("top", 0, 100);
  if (!top.ok()) return top.status();
  request.set_top_k(static_cast<int32_t>(top->value_or(arguments.Has("html") ? kPageWords : 1)));
  const auto metrics = ReadMetrics(arguments, *source, kWatchedWords, session);
  if (!metrics.ok()) return metrics.status();
  for (const v1::Metric& metric : metrics->metrics) *request.add_metrics() = metric;
  if (arguments.Has("estimate")) return PrintEstimate(request, session);
  const auto answer = Ask(&Inspector::Intervene, request, session);
  if (!answer.ok()) return answer.status();
  const auto wrote = WroteIntervene(*answer, *metrics, arguments, session);
  if (!wrote.ok() || *wrote) return wrote.status();
  if (PrintedAsJson(*answer, session)) return absl::OkStatus();
  PrintIntervene(*answer, *metrics, session);
  return absl::OkStatus();
}

}  // namespace

Verb InterveneVerb() {
  return {
      .name = "intervene",
      .operands = "PROMPT",
      .max_operands = 1,
      .summary = "Change what the model does and see the prediction move.",
      .description =
          "Each edit is tried alone unless --together is given; --layer and --head say where edits "
          "without a place of their own apply. Shown are the most probable words, or those of "
          "--token, before and after, and how far the whole distribution moved; --metric asks for "
          "other numbers.",
      .example = "heed intervene \"the keys to the cabinet\" --cut=\"cabinet->keys\"",
      .options = JoinOptions(
          {EditOptions(),
           {{"together", "", "All edits at once."},
            {"under", "EDIT=VALUE",
             "An edit of the base too, for example --under=ablate=2.3; every other comes on top.",
             true},
            {"top", "K", "Most probable words to show of each; default 1, on a page 5."}},
           FileOptions(),
           MetricOptions(),
           SelectionOptions(),
           RunOptions()}),
      .run = RunIntervene};
}

}  // namespace heed::cli
