// heed sweep: an edit everywhere.
#include <limits>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "client/cli/base/format.h"
#include "client/cli/base/progress.h"
#include "client/cli/base/token_text.h"
#include "client/cli/base/wire_json.h"
#include "client/cli/pages/export.h"
#include "client/cli/pages/grid_page.h"
#include "client/cli/pictures/head_grid.h"
#include "client/cli/request/edits.h"
#include "client/cli/request/estimate.h"
#include "client/cli/request/inspect_calls.h"
#include "client/cli/request/metrics.h"
#include "client/cli/request/traces.h"
#include "client/cli/verbs/verbs.h"

namespace heed::cli {
namespace {

constexpr double kBetas[] = {0.0, 0.25, 0.5, 0.75, 1.0, 1.5, 2.0, 4.0, 8.0, 16.0};

// The options of one kind of grid: those of other kinds would be ignored, so they are refused.
struct GridKind {
  const char* name;
  std::vector<std::string> options;
};

const std::vector<GridKind>& GridKinds() {
  static const auto* const kinds =
      new std::vector<GridKind>{{"heads", {"mean", "at"}},
                                {"edges", {"query", "key"}},
                                {"patch", {"clean", "clean-trace", "site", "by-head", "at"}},
                                {"focus", {"betas", "at"}}};
  return *kinds;
}

absl::Status CheckGridOptions(const Arguments& arguments, const std::string& grid) {
  const GridKind* chosen = nullptr;
  for (const GridKind& kind : GridKinds()) {
    if (grid == kind.name) chosen = &kind;
  }
  if (chosen == nullptr) {
    return UsageError(absl::StrCat("--grid=", grid, " is not one of heads, edges, patch, focus."));
  }
  for (const GridKind& kind : GridKinds()) {
    for (const std::string& option : kind.options) {
      if (!arguments.Has(option)) continue;
      bool is_its_own = false;
      for (const std::string& own : chosen->options) is_its_own = is_its_own || own == option;
      if (!is_its_own) {
        return UsageError(
            absl::StrCat("--", option, " is for --grid=", kind.name, ", not for ", grid, "."));
      }
    }
  }
  return absl::OkStatus();
}

// --layer and --head into a grid's fields.
template <typename Wire>
absl::Status ReadHeads(const Arguments& arguments, Wire* wire) {
  absl::Status status = ReadIndices(arguments, "layer", wire->mutable_layers());
  return status.ok() ? ReadIndices(arguments, "head", wire->mutable_heads()) : status;
}

absl::Status ReadBetas(const Arguments& arguments, v1::FocusDial* dial) {
  if (!arguments.Has("betas")) {
    for (double beta : kBetas) dial->add_betas(beta);
    return absl::OkStatus();
  }
  for (absl::string_view part : absl::StrSplit(arguments.String("betas"), ',', absl::SkipEmpty())) {
    double beta = 0;
    if (!absl::SimpleAtod(part, &beta)) {
      return UsageError(
          absl::StrCat("--betas: \"", part, "\" is not a number; expected for example 0,0.5,1,2."));
    }
    dial->add_betas(beta);
  }
  return absl::OkStatus();
}

absl::Status ReadPatching(const Arguments& arguments, RunSource& source,
                          v1::ActivationPatching* patching) {
  const std::string name = arguments.String("site", "residual");
  const auto site = ParseSite(name);
  if (!site.ok()) return site.status();
  patching->set_site(*site);
  source.session().NameField("activation_patching.site", absl::StrCat("--site=", name));
  patching->set_by_head(arguments.Has("by-head"));
  if (patching->by_head() && !HasHeads(*site)) {
    return UsageError(
        absl::StrCat("--by-head needs a site with heads: query, key, value or mixed, ",
                     "for example --site=mixed."));
  }
  if (arguments.Has("clean") == arguments.Has("clean-trace")) {
    return UsageError(
        "--grid=patch needs the clean run: --clean=\"PROMPT\", or a trace with --clean-trace.\n"
        "What it held is put in, place by place, while the PROMPT runs.");
  }
  patching->set_clean_trace_id(arguments.String("clean-trace"));
  if (absl::Status s = source.ReadSpans(arguments, "at", patching->mutable_positions()); !s.ok()) {
    return s;
  }
  return ReadHeads(arguments, patching);
}

absl::Status ReadGrid(const Arguments& arguments, RunSource& source, v1::SweepRequest* request) {
  const std::string grid = arguments.String("grid", "heads");
  if (absl::Status s = CheckGridOptions(arguments, grid); !s.ok()) return s;
  if (grid == "patch") {
    return ReadPatching(arguments, source, request->mutable_activation_patching());
  }
  if (grid == "heads") {
    v1::HeadAblation& heads = *request->mutable_head_ablation();
    heads.set_mean(arguments.Has("mean"));
    absl::Status s = source.ReadSpans(arguments, "at", heads.mutable_positions());
    return s.ok() ? ReadHeads(arguments, &heads) : s;
  }
  if (grid == "edges") {
    v1::EdgeKnockOut& edges = *request->mutable_edge_knock_out();
    absl::Status s = source.ReadSpans(arguments, "query", edges.mutable_queries());
    if (s.ok() && !arguments.Has("query")) {
      const auto predicted = source.PredictedPosition();
      if (!predicted.ok()) return predicted.status();
      v1::Span& span = *edges.add_queries();
      span.set_begin(*predicted);
      if (*predicted != -1) span.set_end(*predicted + 1);
    }
    if (s.ok()) s = source.ReadSpans(arguments, "key", edges.mutable_keys());
    return s.ok() ? ReadHeads(arguments, &edges) : s;
  }
  v1::FocusDial& dial = *request->mutable_focus_dial();
  if (absl::Status s = ReadBetas(arguments, &dial); !s.ok()) return s;
  absl::Status s = source.ReadSpans(arguments, "at", dial.mutable_positions());
  return s.ok() ? ReadHeads(arguments, &dial) : s;
}

// A whole sweep.
struct Swept {
  v1::SweepHeader header;
  std::vector<float> values;  // [rows, columns]
  std::vector<float> deltas;
  std::vector<std::string> problems;  // of cells without values, each once
  v1::SweepEnd end;
};

void AddCells(const v1::SweepCells& cells, Swept* swept) {
  for (const v1::SweepCell& cell : cells.cells()) {
    const size_t at =
        static_cast<size_t>(cell.row()) * static_cast<size_t>(swept->header.columns_size()) +
        static_cast<size_t>(cell.column());
    if (!cell.problem().empty()) {
      if (swept->problems.empty() || swept->problems.back() != cell.problem()) {
        swept->problems.push_back(cell.problem());
      }
      continue;
    }
    swept->values[at] = static_cast<float>(cell.value());
    swept->deltas[at] = static_cast<float>(cell.delta());
  }
}

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
        AddCells(message.cells(), &swept);
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
  json.Key("problems").BeginArray();
  for (const std::string& problem : swept.problems) json.String(problem);
  json.EndArray();
  json.Key("timings_ms");
  WriteWireMessage(json, swept.end.timings());
  json.EndObject();
  json.EndLine();
}

// The picture of a sweep: a curve of one column, a grid of several. Its title begins with `base`.
std::string SweepPicture(const Swept& swept, const std::string& base, const Terminal& terminal) {
  const v1::SweepHeader& header = swept.header;
  if (header.column_name().empty()) {
    std::vector<std::pair<std::string, double>> points;
    for (int i = 0; i < header.rows_size(); ++i) {
      points.emplace_back(absl::StrFormat("%g", header.rows(i)),
                          swept.values[static_cast<size_t>(i)]);
    }
    return absl::StrCat(Paragraph(terminal, absl::StrCat(base, "With scores times beta:")),
                        RenderCurve(points, terminal));
  }
  const auto tokens = VisibleWireTokens(header.prompt());
  const bool is_position = header.column_name() == "key" || header.column_name() == "position";
  Grid grid{.row_name = header.row_name(), .values = swept.deltas, .is_signed = true};
  for (double row : header.rows()) grid.rows.push_back(absl::StrFormat("%g", row));
  for (double column : header.columns()) {
    grid.columns.push_back(is_position ? tokens[static_cast<size_t>(column)]
                                       : absl::StrFormat("%g", column));
  }
  const std::string title = absl::StrCat(base, "How it moves, by ", header.row_name(), " and ",
                                         header.column_name(), MarkText(grid), ":");
  return absl::StrCat(Paragraph(terminal, title), RenderGrid(grid, terminal));
}

// `metric` is called `name`.
void PrintSweep(const Swept& swept, const v1::Metric& metric, const std::string& name,
                Session& session) {
  const double value = swept.header.base();
  const std::string base = absl::StrCat(
      "Base: ", name, " ",
      metric.has_rank() ? FormatMetric(metric, value) : absl::StrFormat("%.4f", value), ". ");
  session.out() << SweepPicture(swept, base, session.terminal());
  if (const std::string place = PlaceText(metric, swept.header.prompt()); !place.empty()) {
    session.out() << Paragraph(session.terminal(), place);
  }
  for (const std::string& problem : swept.problems) {
    session.out() << Paragraph(session.terminal(), absl::StrCat("?: ", SafeText(problem)));
  }
  PrintProvenance(swept.header.provenance(), swept.header.prompt(), swept.end.timings(), session);
}

// Opens the trace of --clean; its id.
absl::StatusOr<std::string> OpenClean(const Arguments& arguments, v1::Site site, Session& session) {
  auto clean = RunSource::OfText(arguments.String("clean"), session.model(), arguments, session);
  if (!clean.ok()) return clean.status();
  v1::OpenTraceRequest request;
  request.set_model(session.model());
  *request.mutable_prompt() = clean->prompt();
  KeepSite(site, request.mutable_keep());
  const auto trace = Ask(&Inspector::OpenTrace, request, session);
  if (!trace.ok()) return trace.status();
  return trace->trace().trace_id();
}

// What the clean run of a patch sweep was, and what is taken from it.
std::string CleanText(const Arguments& arguments) {
  const std::string run = arguments.Has("clean")
                              ? absl::StrCat("\"", arguments.String("clean"), "\"")
                              : absl::StrCat("trace ", arguments.String("clean-trace"));
  return absl::StrCat("what the run of ", run, " held (site ", arguments.String("site", "residual"),
                      ") put in, place by place");
}

// What moved: against the base, and as it is.
GridPageData SweepPageData(const Swept& swept, const std::string& metric,
                           const Arguments& arguments) {
  const v1::SweepHeader& header = swept.header;
  const std::string grid = arguments.String("grid", "heads");
  GridPageData data{.source = SourceOf(header.provenance(), arguments.Strings("under")),
                    .verb = "sweep",
                    .heading = absl::StrCat("What moves the ", metric),
                    .tokens = VisibleWireTokens(header.prompt()),
                    .plain_texts = PlainWireTexts(header.prompt()),
                    .row_name = header.row_name(),
                    .column_name = header.column_name(),
                    .base = header.base(),
                    .base_text = absl::StrCat(metric, ", base ", FormatProbability(header.base())),
                    .note = absl::StrJoin(swept.problems, " ")};
  for (double row : header.rows()) data.rows.push_back(absl::StrFormat("%g", row));
  data.columns_are_tokens = header.column_name() == "key" || header.column_name() == "position";
  for (double column : header.columns()) {
    std::string name = absl::StrFormat("%g", column);
    if (data.columns_are_tokens) {
      name = absl::StrCat(data.tokens[static_cast<size_t>(column)], " ", name);
      data.column_positions.push_back(static_cast<int64_t>(column));
    }
    data.columns.push_back(std::move(name));
  }
  const std::string edit = grid == "heads"   ? "each head taken out"
                           : grid == "edges" ? "each edge cut"
                           : grid == "patch" ? CleanText(arguments)
                                             : "the scores of the chosen heads times beta";
  PageGrid delta{"change",
                 absl::StrCat("How far the ", metric, " is from the base with ", edit, "."),
                 swept.deltas, true};
  PageGrid value{"value", absl::StrCat("The ", metric, " itself, with ", edit, "."), swept.values};
  data.grids = {std::move(delta), std::move(value)};
  data.first = header.column_name().empty() ? 1 : 0;
  return data;
}

Export SweepExport(const GridPageData& data, std::optional<int64_t> position,
                   const std::string& name, const Arguments& arguments) {
  Export file = GridExport(data);
  file.metadata["grid"] = arguments.String("grid", "heads");
  file.metadata["metric"] = name;
  if (position) file.metadata["position"] = absl::StrCat(*position);
  if (data.base) file.metadata["base"] = absl::StrCat(*data.base);
  if (arguments.Has("clean")) file.metadata["clean"] = arguments.String("clean");
  if (arguments.Has("clean-trace")) file.metadata["clean_trace"] = arguments.String("clean-trace");
  if (file.metadata["grid"] == "patch")
    file.metadata["site"] = arguments.String("site", "residual");
  return file;
}

absl::Status RunSweep(const Arguments& arguments, Session& session) {
  if (absl::Status s = CheckFileOptions(arguments); !s.ok()) return s;
  auto source = RunSource::Read(arguments, session);
  if (!source.ok()) return source.status();
  v1::SweepRequest request;
  source->ApplyTo(&request);
  if (absl::Status s = ReadGrid(arguments, *source, &request); !s.ok()) return s;
  const auto under = ReadUnder(arguments, *source);
  if (!under.ok()) return under.status();
  *request.mutable_interventions() = {under->begin(), under->end()};
  const auto metric = ReadMetric(arguments, *source, session);
  if (!metric.ok()) return metric.status();
  *request.mutable_metric() = metric->metrics.front();
  TraceCloser closer(session);
  if (arguments.Has("clean")) {
    const auto trace = OpenClean(arguments, request.activation_patching().site(), session);
    if (!trace.ok()) return trace.status();
    closer.Close(*trace);
    request.mutable_activation_patching()->set_clean_trace_id(*trace);
  }
  if (arguments.Has("estimate")) return PrintEstimate(request, session);
  const auto swept = FetchSweep(request, session);
  if (!swept.ok()) return swept.status();
  const std::string name = LongName(*metric, 0);
  const auto data = [&] { return SweepPageData(*swept, name, arguments); };
  const auto wrote = WroteFiles(
      arguments, session, [&] { return GridPage(data()); },
      [&] {
        const auto position = PlaceOf(request.metric(), swept->header.prompt());
        return SweepExport(data(), position, name, arguments);
      });
  if (!wrote.ok() || *wrote) return wrote.status();
  if (session.json()) {
    WriteSweepJson(*swept, session);
  } else {
    PrintSweep(*swept, request.metric(), name, session);
  }
  return absl::OkStatus();
}

}  // namespace

Verb SweepVerb() {
  return {
      .name = "sweep",
      .operands = "PROMPT",
      .max_operands = 1,
      .summary = "Try an edit everywhere: which head, edge, state or sharpness matters.",
      .description =
          "heads takes each head out, one after another; edges cuts, layer by layer, the last "
          "word's look at each word; patch puts what a clean prompt's run held, layer by layer and "
          "word by word, into the run of PROMPT, which has as many tokens (activation patching); "
          "focus multiplies the scores of the chosen heads, a dial from diffuse to sharp. Shown is "
          "how the metric moves.",
      .example =
          "heed sweep \"the key to the cabinets\" --grid=patch --clean=\"the keys to the "
          "cabinets\" "
          "--token=were",
      .options = JoinOptions(
          {{{"grid", "NAME", "heads (the default), edges, patch or focus."},
            {"mean", "", "heads: put their means in, in place of nothing."},
            {"at", "WORD", "heads, patch and focus: only at these words or positions.", true},
            {"query", "WORD",
             "edges: from these words; default the mask to fill in, else the last.", true},
            {"key", "WORD", "edges: to these words; default all.", true},
            {"clean", "PROMPT", "patch: the prompt that the states come from."},
            {"clean-trace", "ID", "patch: the same as a trace that keeps the site."},
            {"site", "NAME",
             "patch: residual (the default), residual-mid, attention, mlp, query, key, value or "
             "mixed."},
            {"by-head", "", "patch: head by head at all words, for sites with heads."},
            {"betas", "B,B,...", "focus: the factors; default from 0 to 16."},
            {"under", "EDIT=VALUE", "An edit of the base and every cell, as --under=ablate=2.3.",
             true}},
           FileOptions(),
           MetricOptions(),
           SelectionOptions(),
           RunOptions()}),
      .run = RunSweep};
}

}  // namespace heed::cli
