// heed compare: two runs beside each other.
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
#include "client/cli/pages/inspect_pages.h"
#include "client/cli/pictures/head_grid.h"
#include "client/cli/request/edits.h"
#include "client/cli/request/estimate.h"
#include "client/cli/request/inspect_calls.h"
#include "client/cli/request/prompt.h"
#include "client/cli/verbs/verbs.h"

namespace heed::cli {
namespace {

constexpr size_t kMostLines = 40;

// The words whose probability changed most.
void PrintChanges(const v1::AlignedPair& pair, const Terminal& terminal, Session& session) {
  if (pair.changes().empty()) return;
  std::vector<std::string> changes;
  for (const v1::ProbabilityChange& change : pair.changes()) {
    if (change.probability_a() == change.probability_b()) continue;
    changes.push_back(absl::StrCat(VisibleWireToken(change.token()), " ",
                                   FormatProbability(change.probability_a()), " → ",
                                   FormatProbability(change.probability_b())));
  }
  session.out() << (changes.empty()
                        ? "Nothing changed at the end."
                        : JoinItems(terminal, changes, ", ", 0, "What changed most at the end: "))
                << "\n";
}

// A line of the table: a pair, or a word that one side alone has.
struct Line {
  int64_t a = -1;  // positions; -1: none
  int64_t b = -1;
  int pair = -1;
};

std::vector<Line> AlignedLines(const v1::CompareResponse& answer) {
  std::vector<Line> lines;
  int64_t a = 0;
  int64_t b = 0;
  const auto add_unpaired = [&](int64_t end_a, int64_t end_b) {
    for (; a < end_a; ++a) lines.push_back({.a = a});
    for (; b < end_b; ++b) lines.push_back({.b = b});
  };
  for (int i = 0; i < answer.pairs_size(); ++i) {
    const v1::AlignedPair& pair = answer.pairs(i);
    add_unpaired(pair.position_a(), pair.position_b());
    lines.push_back({pair.position_a(), pair.position_b(), i});
    a = pair.position_a() + 1;
    b = pair.position_b() + 1;
  }
  add_unpaired(answer.prompt_a().tokens_size(), answer.prompt_b().tokens_size());
  return lines;
}

void PrintHeadDivergence(const v1::CompareResponse& answer, Session& session) {
  const Terminal& terminal = session.terminal();
  if (!answer.has_head_divergence()) {
    session.out() << Paragraph(terminal,
                               "The heads are not compared: the models' layers or heads differ in "
                               "number.");
    return;
  }
  Grid grid{.row_name = "layer", .values = TensorFloats(answer.head_divergence())};
  for (int64_t i = 0; i < answer.head_divergence().shape(0); ++i) {
    grid.rows.push_back(absl::StrCat(i));
  }
  for (int64_t i = 0; i < answer.head_divergence().shape(1); ++i) {
    grid.columns.push_back(absl::StrCat(i));
  }
  const bool all_same = std::all_of(grid.values.begin(), grid.values.end(),
                                    [](float divergence) { return divergence == 0; });
  session.out() << Paragraph(terminal,
                             absl::StrCat("How differently heads look (Jensen-Shannon, nats)",
                                          MarkText(grid), ":"))
                << (all_same ? Paragraph(terminal, "not at all: every weight is the same")
                             : RenderGrid(grid, terminal));
}

void PrintCompare(const v1::CompareResponse& answer, Session& session) {
  const auto tokens_a = VisibleWireTokens(answer.prompt_a());
  const auto tokens_b = VisibleWireTokens(answer.prompt_b());
  const Terminal& terminal = session.terminal();
  Table table({{"", Align::kRight},
               {"A"},
               {"", Align::kRight},
               {"B"},
               {"A says"},
               {"", Align::kRight, 2},
               {"B says"},
               {"", Align::kRight, 2},
               {"KL, nats", Align::kRight, 1},
               {"", Align::kLeft, 3, Narrow::kKeep}});
  const std::vector<Line> lines = AlignedLines(answer);
  const size_t begin = lines.size() - std::min(lines.size(), kMostLines);
  for (size_t i = begin; i < lines.size(); ++i) {
    const Line& line = lines[i];
    const auto* pair = line.pair < 0 ? nullptr : &answer.pairs(line.pair);
    std::vector<std::string> cells;
    for (const auto& [position, tokens] :
         {std::pair{line.a, &tokens_a}, std::pair{line.b, &tokens_b}}) {
      const std::string token = position < 0 ? "" : (*tokens)[static_cast<size_t>(position)];
      cells.push_back(position < 0 ? "" : absl::StrCat(position));
      cells.push_back(pair != nullptr && pair->same_token()
                          ? token
                          : Styled(terminal, Emphasis::kYellow, token));
    }
    if (pair != nullptr && pair->has_kl()) {
      const bool parts = answer.has_first_divergence() && answer.first_divergence() == line.pair;
      cells.push_back(VisibleWireToken(pair->top_a().token()));
      cells.push_back(FormatProbability(pair->top_a().probability()));
      cells.push_back(VisibleWireToken(pair->top_b().token()));
      cells.push_back(FormatProbability(pair->top_b().probability()));
      cells.push_back(absl::StrFormat("%.3f", pair->kl()));
      cells.push_back(parts ? "← first to differ" : "");
    }
    table.AddRow(std::move(cells));
  }
  session.out() << table.Render(terminal);
  if (begin > 0) {
    session.out() << Paragraph(
        terminal, absl::StrCat(TheFirst(static_cast<int64_t>(begin), "line"), " left out."));
  }
  if (answer.pairs_size() > 0)
    PrintChanges(answer.pairs(answer.pairs_size() - 1), terminal, session);
  PrintHeadDivergence(answer, session);
  const bool same_source = answer.a().model().digest() == answer.b().model().digest() &&
                           answer.a().intervention_count() == 0;
  if (!same_source) {
    std::vector<std::string> facts = {
        ModelText({answer.a().model().name(), answer.a().model().digest()}),
        Plural(answer.prompt_a().tokens_size(), "token")};
    if (answer.a().intervention_count() > 0) {
      facts.push_back(Plural(answer.a().intervention_count(), "edit"));
    }
    session.out() << JoinItems(terminal, facts, " · ", 0, "A ") << "\n";
  }
  PrintProvenance(answer.b(), answer.prompt_b(), answer.timings(), session,
                  same_source ? "" : "B ");
}

// One side: an operand, or a trace.
absl::StatusOr<RunSource> ReadSide(const Arguments& arguments, const std::string& trace_option,
                                   const std::string& text, const std::string& model,
                                   Session& session) {
  if (!arguments.Has(trace_option)) return RunSource::OfText(text, model, arguments, session);
  if (arguments.String(trace_option).empty()) {
    return UsageError(absl::StrCat("--", trace_option, " is empty; heed traces open gives an id."));
  }
  return RunSource::OfTrace(arguments.String(trace_option), session);
}

absl::Status CheckSides(const Arguments& arguments) {
  const size_t texts = arguments.positionals().size();
  const size_t traces = (arguments.Has("trace") ? 1 : 0) + (arguments.Has("other-trace") ? 1 : 0);
  if (texts + traces > 2) {
    return UsageError("more than two runs are given; compare takes two prompts or traces.");
  }
  if (texts + traces == 0) {
    return UsageError(
        "nothing to compare.\nGive two prompts, or traces with --trace and --other-trace.");
  }
  return absl::OkStatus();
}

absl::Status RunCompare(const Arguments& arguments, Session& session) {
  if (absl::Status s = CheckSides(arguments); !s.ok()) return s;
  if (absl::Status s = CheckFileOptions(arguments); !s.ok()) return s;
  const std::vector<std::string>& texts = arguments.positionals();
  v1::CompareRequest request;
  auto a =
      ReadSide(arguments, "trace", texts.empty() ? "" : texts.front(), session.model(), session);
  if (!a.ok()) return a.status();
  a->ApplyTo(request.mutable_a());
  const bool one_trace = texts.empty() && !arguments.Has("other-trace");
  auto b = one_trace ? *a
                     : ReadSide(arguments, "other-trace", texts.empty() ? "" : texts.back(),
                                arguments.String("other-model", session.model()), session);
  if (!b.ok()) return b.status();
  b->ApplyTo(request.mutable_b());
  const auto edits = ReadEdits(arguments, *b, "layer", "head");
  if (!edits.ok()) return edits.status();
  if (b->is_trace() && !edits->empty()) {
    return UsageError("the second side is a trace, a run that is over; edits need a prompt there.");
  }
  AddEdits(*edits, "b.interventions", session, request.mutable_b()->mutable_interventions());
  const size_t given =
      texts.size() + (arguments.Has("trace") ? 1 : 0) + (arguments.Has("other-trace") ? 1 : 0);
  if (given == 1 && edits->empty() && !arguments.Has("other-model")) {
    return UsageError(
        "one prompt, one model and no edit: there is nothing to compare.\nGive a second prompt, "
        "--other-model=NAME, or an edit such as --ablate=2.3.");
  }
  const auto top = arguments.Int("top", 0, 100);
  if (!top.ok()) return top.status();
  if (top->has_value()) request.set_top_k(static_cast<int32_t>(**top));
  if (arguments.Has("estimate")) return PrintEstimate(request, session);
  const auto answer = Ask(&Inspector::Compare, request, session);
  if (!answer.ok()) return answer.status();
  const std::vector<std::string> names = EditNames(arguments, *b, "layer", "head");
  const auto at_or_after = AtOrAfter(answer->b(), session);
  if (!at_or_after.ok()) return at_or_after.status();
  const auto wrote = WroteFiles(
      arguments, session, [&] { return ComparePage(*answer, names, *at_or_after); },
      [&] { return CompareExport(*answer, names); });
  if (!wrote.ok() || *wrote) return wrote.status();
  if (PrintedAsJson(*answer, session)) return absl::OkStatus();
  PrintCompare(*answer, session);
  return absl::OkStatus();
}

}  // namespace

Verb CompareVerb() {
  return {
      .name = "compare",
      .operands = "PROMPT [PROMPT]",
      .max_operands = 2,
      .summary = "Two prompts, models or edits side by side.",
      .description =
          "Aligns the two texts word by word and shows what each side predicts after each pair, "
          "how far apart the predictions are, and how differently the heads look. Edits apply to "
          "the second side, in the heads of --layer and --head.",
      .example = "heed compare \"the key to the cabinet\" \"the keys to the cabinet\"",
      .options = JoinOptions(
          {{{"other-model", "NAME", "The model of the second side."},
            {"trace", "ID", "A trace as the first side."},
            {"other-trace", "ID", "A trace as the second side."},
            {"top", "K", "Words whose probability changed most, at the end; default 5."},
            EstimateOption()},
           FileOptions(),
           EditOptions(),
           SelectionOptions(),
           ReadingOptions()}),
      .run = RunCompare};
}

}  // namespace heed::cli
