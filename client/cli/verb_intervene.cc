// heed intervene, heed sweep and heed compare: what changes.
#include <algorithm>
#include <cmath>
#include <limits>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "client/cli/format.h"
#include "client/cli/head_grid.h"
#include "client/cli/inspect_calls.h"
#include "client/cli/progress.h"
#include "client/cli/prompt.h"
#include "client/cli/table.h"
#include "client/cli/token_text.h"
#include "client/cli/verbs.h"
#include "client/cli/wire_json.h"

namespace heed::cli {
namespace {

constexpr int kWatchedWords = 3;
constexpr int kMostPairs = 40;

// The most probable words of the prompt's end, to be watched unless the command names some.
absl::StatusOr<std::vector<v1::Token>> WordsToWatch(const Arguments& arguments,
                                                    const v1::Prompt& prompt, int count,
                                                    Session& session) {
  v1::LogitLensRequest request;
  request.set_model(session.model());
  *request.mutable_prompt() = prompt;
  request.add_layers(-1);
  request.set_top_k(count);
  if (absl::Status s =
          ReadTokenChoices(arguments, "token", prompt, session, request.mutable_tokens());
      !s.ok()) {
    return s;
  }
  const auto lens = Ask(&Inspector::LogitLens, request, session);
  if (!lens.ok()) return lens.status();
  std::vector<v1::Token> tokens;
  const v1::LensCell& cell = lens->cells(0);
  const bool named = cell.followed_size() > 0;
  for (const v1::Candidate& candidate : named ? cell.followed() : cell.candidates()) {
    tokens.push_back(candidate.token());
  }
  return tokens;
}

std::string Change(double from, double to) {
  return absl::StrCat(FormatProbability(from), " → ", FormatProbability(to));
}

void PrintIntervene(const v1::InterveneResponse& answer, const std::vector<v1::Token>& words,
                    Session& session) {
  std::vector<Column> columns = {{"edit"}};
  for (const v1::Token& word : words) columns.push_back({VisibleWireToken(word)});
  columns.push_back({"KL from base", Align::kRight});
  columns.push_back({"now says"});
  Table table(columns);
  std::vector<std::string> base = {"(none)"};
  for (size_t i = 0; i < words.size(); ++i) {
    base.push_back(FormatProbability(answer.base().values(static_cast<int>(i))));
  }
  base.push_back("");
  base.push_back(answer.base().candidates_size() > 0
                     ? VisibleWireToken(answer.base().candidates(0).token())
                     : "");
  table.AddRow(std::move(base));
  for (const v1::InterveneResult& result : answer.results()) {
    std::vector<std::string> cells = {SafeText(result.name())};
    if (!result.problem().empty()) {
      cells.push_back(SafeText(result.problem()));
      table.AddRow(std::move(cells));
      continue;
    }
    for (size_t i = 0; i < words.size(); ++i) {
      const int at = static_cast<int>(i);
      cells.push_back(Change(answer.base().values(at), result.values(at)));
    }
    cells.push_back(absl::StrFormat("%.4f", result.values(static_cast<int>(words.size()))));
    cells.push_back(result.candidates_size() > 0 ? VisibleWireToken(result.candidates(0).token())
                                                 : "");
    table.AddRow(std::move(cells));
  }
  session.out() << table.Render(session.terminal());
  const bool counterfactual =
      std::any_of(answer.results().begin(), answer.results().end(),
                  [](const auto& result) { return result.counterfactual_mask(); });
  if (counterfactual) {
    session.out() << "Rows saw what the model never shows them: a counterfactual.\n";
  }
  PrintProvenance(answer.provenance(), answer.prompt(), answer.timings(), session);
}

absl::Status RunIntervene(const Arguments& arguments, Session& session) {
  v1::InterveneRequest request;
  request.set_model(session.model());
  auto prompt = ReadWirePrompt(arguments, session);
  if (!prompt.ok()) return prompt.status();
  *request.mutable_prompt() = *std::move(prompt);
  const auto edits = ReadEdits(arguments, request.prompt(), session);
  if (!edits.ok()) return edits.status();
  if (edits->empty()) {
    return UsageError(
        "heed intervene needs an edit.\nFor example: --cut=\"cabinet->keys\", --ablate=2.3, "
        "--focus=0.5 or --preset=last-word.");
  }
  for (const NamedEdit& edit : *edits) {
    if (request.sets().empty() || !arguments.Has("together")) {
      request.add_sets()->set_name(edit.name);
    } else {
      request.mutable_sets(0)->set_name(absl::StrCat(request.sets(0).name(), " + ", edit.name));
    }
    v1::InterventionSet* const set = request.mutable_sets(request.sets_size() - 1);
    *set->add_interventions() = edit.edit;
  }
  const auto words = WordsToWatch(arguments, request.prompt(), kWatchedWords, session);
  if (!words.ok()) return words.status();
  for (const v1::Token& word : *words) {
    request.add_metrics()->mutable_probability()->set_id(word.id());
  }
  request.add_metrics()->mutable_kl_from_base();
  request.set_top_k(1);
  const auto answer = Ask(&Inspector::Intervene, request, session);
  if (!answer.ok()) return answer.status();
  if (PrintedAsJson(*answer, session)) return absl::OkStatus();
  PrintIntervene(*answer, *words, session);
  return absl::OkStatus();
}

// ---- sweep --------------------------------------------------------------------------------------

absl::Status ReadGrid(const Arguments& arguments, v1::SweepRequest* request) {
  const std::string grid = arguments.String("grid", "heads");
  const auto fill = [&](auto* wire) {
    absl::Status status = ReadIndices(arguments, "layer", wire->mutable_layers());
    return status.ok() ? ReadIndices(arguments, "head", wire->mutable_heads()) : status;
  };
  if (grid == "heads") {
    request->mutable_head_ablation()->set_mean(arguments.Has("mean"));
    return fill(request->mutable_head_ablation());
  }
  if (grid == "edges") return fill(request->mutable_edge_knock_out());
  if (grid != "focus") {
    return UsageError(absl::StrCat("--grid=", grid, " is not one of heads, edges, focus."));
  }
  for (double beta : {0.0, 0.25, 0.5, 0.75, 1.0, 1.5, 2.0, 4.0, 8.0, 16.0}) {
    request->mutable_focus_dial()->add_betas(beta);
  }
  return fill(request->mutable_focus_dial());
}

absl::Status ReadMetric(const Arguments& arguments, const v1::Token& word, v1::Metric* metric) {
  const std::string name = arguments.String("metric", "probability");
  if (name == "probability") {
    metric->mutable_probability()->set_id(word.id());
  } else if (name == "logit") {
    metric->mutable_logit()->set_id(word.id());
  } else if (name == "rank") {
    metric->mutable_rank()->set_id(word.id());
  } else if (name == "kl") {
    metric->mutable_kl_from_base();
  } else if (name == "loss") {
    metric->mutable_loss();
  } else {
    return UsageError(
        absl::StrCat("--metric=", name, " is not one of probability, logit, rank, kl, loss."));
  }
  return absl::OkStatus();
}

// A whole sweep.
struct Swept {
  v1::SweepHeader header;
  std::vector<float> values;  // [rows, columns]
  std::vector<float> deltas;
  v1::SweepEnd end;
};

absl::StatusOr<Swept> FetchSweep(const v1::SweepRequest& request, Session& session) {
  const auto inspector = MakeInspector(session);
  if (!inspector.ok()) return inspector.status();
  Progress progress(session, "sweeping");
  Swept swept;
  const absl::Status status = inspector->Sweep(
      request,
      [&](const v1::SweepResponse& message) {
        if (message.has_header()) {
          swept.header = message.header();
          const size_t cells = static_cast<size_t>(swept.header.rows_size()) *
                               static_cast<size_t>(swept.header.columns_size());
          swept.values.assign(cells, std::numeric_limits<float>::quiet_NaN());
          swept.deltas = swept.values;
        } else if (message.has_end()) {
          swept.end = message.end();
        }
        for (const v1::SweepCell& cell : message.cells().cells()) {
          const size_t at =
              static_cast<size_t>(cell.row()) * static_cast<size_t>(swept.header.columns_size()) +
              static_cast<size_t>(cell.column());
          if (!cell.problem().empty() || at >= swept.values.size()) continue;
          swept.values[at] = static_cast<float>(cell.value());
          swept.deltas[at] = static_cast<float>(cell.delta());
        }
        if (message.cells().total_count() > 0) {
          progress.Update(static_cast<double>(message.cells().done_count()) /
                          static_cast<double>(message.cells().total_count()));
        }
      },
      session.call_options());
  if (!status.ok()) return status;
  return swept;
}

void WriteSweepJson(const Swept& swept, Session& session) {
  JsonWriter json(session.out());
  json.BeginObject().Key("header");
  WriteWireMessage(json, swept.header);
  for (const auto& [name, values] :
       {std::pair{"values", &swept.values}, std::pair{"deltas", &swept.deltas}}) {
    const size_t columns = static_cast<size_t>(swept.header.columns_size());
    json.Key(name).BeginArray();
    for (size_t i = 0; i < values->size(); ++i) {
      if (i % columns == 0) json.BeginArray();
      json.Float((*values)[i]);
      if ((i + 1) % columns == 0) json.EndArray();
    }
    json.EndArray();
  }
  json.Key("timings_ms");
  WriteWireMessage(json, swept.end.timings());
  json.EndObject();
  json.EndLine();
}

void PrintSweep(const Swept& swept, const std::string& metric, Session& session) {
  const v1::SweepHeader& header = swept.header;
  session.out() << "Base: " << metric << " " << absl::StrFormat("%.4f", header.base()) << ". ";
  if (header.column_name().empty()) {
    session.out() << "With scores times beta:\n";
    std::vector<std::pair<std::string, double>> points;
    for (int i = 0; i < header.rows_size(); ++i) {
      points.emplace_back(absl::StrFormat("%g", header.rows(i)), swept.values[i]);
    }
    session.out() << RenderCurve(points, session.terminal());
  } else {
    const auto tokens = VisibleWireTokens(header.prompt());
    Grid grid{.row_name = header.row_name(), .values = swept.deltas, .is_signed = true};
    for (double row : header.rows()) grid.rows.push_back(absl::StrFormat("%g", row));
    for (double column : header.columns()) {
      const bool is_position = header.column_name() == "key" || header.column_name() == "position";
      grid.columns.push_back(is_position ? tokens[static_cast<size_t>(column)]
                                         : absl::StrFormat("%g", column));
    }
    session.out() << "How it moves, by " << header.row_name() << " and " << header.column_name()
                  << ":\n"
                  << RenderGrid(grid, session.terminal());
  }
  PrintProvenance(header.provenance(), header.prompt(), swept.end.timings(), session);
}

absl::Status RunSweep(const Arguments& arguments, Session& session) {
  v1::SweepRequest request;
  request.set_model(session.model());
  if (absl::Status s = ReadGrid(arguments, &request); !s.ok()) return s;
  if (absl::Status s = ReadMetric(arguments, v1::Token(), request.mutable_metric()); !s.ok()) {
    return s;
  }
  auto prompt = ReadWirePrompt(arguments, session);
  if (!prompt.ok()) return prompt.status();
  *request.mutable_prompt() = *std::move(prompt);
  const auto words = WordsToWatch(arguments, request.prompt(), 1, session);
  if (!words.ok()) return words.status();
  if (absl::Status s = ReadMetric(arguments, words->front(), request.mutable_metric()); !s.ok()) {
    return s;
  }
  const auto swept = FetchSweep(request, session);
  if (!swept.ok()) return swept.status();
  if (session.json()) {
    WriteSweepJson(*swept, session);
    return absl::OkStatus();
  }
  const std::string name = arguments.String("metric", "probability");
  const bool of_word = name != "kl" && name != "loss";
  PrintSweep(*swept, of_word ? absl::StrCat(name, " of ", VisibleWireToken(words->front())) : name,
             session);
  return absl::OkStatus();
}

// ---- compare ------------------------------------------------------------------------------------

void PrintCompare(const v1::CompareResponse& answer, Session& session) {
  const auto tokens_a = VisibleWireTokens(answer.prompt_a());
  const auto tokens_b = VisibleWireTokens(answer.prompt_b());
  Table table({{"", Align::kRight},
               {"A"},
               {"B"},
               {"A says"},
               {"", Align::kRight},
               {"B says"},
               {"", Align::kRight},
               {"KL", Align::kRight},
               {""}});
  const int begin = std::max(0, answer.pairs_size() - kMostPairs);
  for (int i = begin; i < answer.pairs_size(); ++i) {
    const v1::AlignedPair& pair = answer.pairs(i);
    const std::string& a = tokens_a[pair.position_a()];
    const std::string& b = tokens_b[pair.position_b()];
    const bool parts = answer.has_first_divergence() && answer.first_divergence() == i;
    const auto style = [&](const std::string& text) {
      return pair.same_token() ? text : Styled(session.terminal(), Emphasis::kYellow, text);
    };
    std::vector<std::string> cells = {absl::StrCat(pair.position_b()), style(a), style(b)};
    if (pair.has_kl()) {
      cells.push_back(VisibleWireToken(pair.top_a().token()));
      cells.push_back(FormatProbability(pair.top_a().probability()));
      cells.push_back(VisibleWireToken(pair.top_b().token()));
      cells.push_back(FormatProbability(pair.top_b().probability()));
      cells.push_back(absl::StrFormat("%.3f", pair.kl()));
      cells.push_back(parts ? "← first to differ" : "");
    }
    table.AddRow(std::move(cells));
  }
  session.out() << table.Render(session.terminal());
  if (begin > 0) session.out() << "The first " << Plural(begin, "pair") << " left out.\n";
  if (answer.pairs_size() > 0 && answer.pairs(answer.pairs_size() - 1).changes_size() > 0) {
    session.out() << "What changed most at the end:";
    const v1::AlignedPair& last = answer.pairs(answer.pairs_size() - 1);
    for (int i = 0; i < last.changes_size(); ++i) {
      session.out() << (i == 0 ? " " : ", ") << VisibleWireToken(last.changes(i).token()) << " "
                    << Change(last.changes(i).probability_a(), last.changes(i).probability_b());
    }
    session.out() << "\n";
  }
  if (answer.has_head_divergence()) {
    Grid grid{.row_name = "layer", .values = TensorFloats(answer.head_divergence())};
    for (int64_t i = 0; i < answer.head_divergence().shape(0); ++i) {
      grid.rows.push_back(absl::StrCat(i));
    }
    for (int64_t i = 0; i < answer.head_divergence().shape(1); ++i) {
      grid.columns.push_back(absl::StrCat(i));
    }
    session.out() << "How differently heads look (Jensen-Shannon, nats):\n"
                  << RenderGrid(grid, session.terminal());
  }
  PrintProvenance(answer.b(), answer.prompt_b(), answer.timings(), session);
}

absl::Status RunCompare(const Arguments& arguments, Session& session) {
  const std::vector<std::string>& texts = arguments.positionals();
  v1::CompareRequest request;
  for (v1::CompareSide* const side : {request.mutable_a(), request.mutable_b()}) {
    const bool is_b = side == &request.b();
    side->set_model(is_b && arguments.Has("other-model") ? arguments.String("other-model")
                                                         : session.model());
    auto prompt = WirePromptOf(is_b ? texts.back() : texts.front(), arguments, session);
    if (!prompt.ok()) return prompt.status();
    *side->mutable_prompt() = *std::move(prompt);
  }
  const auto edits = ReadEdits(arguments, request.b().prompt(), session);
  if (!edits.ok()) return edits.status();
  for (const NamedEdit& edit : *edits) *request.mutable_b()->add_interventions() = edit.edit;
  if (texts.size() == 1 && edits->empty() && !arguments.Has("other-model")) {
    return UsageError(
        "one prompt, one model and no edit: there is nothing to compare.\nGive a second prompt, "
        "--other-model=NAME, or an edit such as --ablate=2.3.");
  }
  const auto answer = Ask(&Inspector::Compare, request, session);
  if (!answer.ok()) return answer.status();
  if (PrintedAsJson(*answer, session)) return absl::OkStatus();
  PrintCompare(*answer, session);
  return absl::OkStatus();
}

std::vector<OptionSpec> Join(std::vector<std::vector<OptionSpec>> lists) {
  std::vector<OptionSpec> all;
  for (std::vector<OptionSpec>& list : lists) all.insert(all.end(), list.begin(), list.end());
  return all;
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
          "other than --ablate apply. Shown are the most probable words, or those of --token, "
          "before "
          "and after, and how far the whole distribution moved.",
      .example = "heed intervene \"the keys to the cabinet\" --cut=\"cabinet->keys\"",
      .options = Join(
          {EditOptions(),
           {{"together", "", "All edits at once."}, {"token", "TEXT", "Words to watch.", true}},
           SelectionOptions(),
           PromptOptions()}),
      .run = RunIntervene};
}

Verb SweepVerb() {
  return {
      .name = "sweep",
      .operands = "PROMPT",
      .max_operands = 1,
      .summary = "Try an edit everywhere: which head, edge or sharpness matters.",
      .description =
          "heads takes each head out, one after another; edges cuts, layer by layer, the last "
          "word's look at each word; focus multiplies the scores of the chosen heads, a dial from "
          "diffuse to sharp. Shown is how the metric moves.",
      .example = "heed sweep \"the keys to the cabinet\" --token=were",
      .options = Join({{{"grid", "NAME", "heads (the default), edges or focus."},
                        {"metric", "NAME", "probability (the default), logit, rank, kl or loss."},
                        {"token", "TEXT", "The metric's word; default the most probable one."},
                        {"mean", "", "Put heads' means in, in place of nothing."}},
                       SelectionOptions(),
                       PromptOptions()}),
      .run = RunSweep};
}

Verb CompareVerb() {
  std::vector<OptionSpec> options = {{"other-model", "NAME", "The model of the second side."}};
  return {
      .name = "compare",
      .operands = "PROMPT [PROMPT]",
      .min_operands = 1,
      .max_operands = 2,
      .summary = "Two prompts, models or edits side by side.",
      .description =
          "Aligns the two texts word by word and shows what each side predicts after each pair, "
          "how far apart the predictions are, and how differently the heads look. Edits apply to "
          "the second side.",
      .example = "heed compare \"the key to the cabinet\" \"the keys to the cabinet\"",
      .options = Join({options, EditOptions(), SelectionOptions(), ReadingOptions()}),
      .run = RunCompare};
}

}  // namespace heed::cli
