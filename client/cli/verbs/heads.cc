// heed stats and heed detect: every head at a glance.
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "client/cli/base/format.h"
#include "client/cli/base/token_text.h"
#include "client/cli/pages/export.h"
#include "client/cli/pages/grid_page.h"
#include "client/cli/pages/inspect_pages.h"
#include "client/cli/pictures/head_grid.h"
#include "client/cli/request/edits.h"
#include "client/cli/request/estimate.h"
#include "client/cli/request/inspect_calls.h"
#include "client/cli/request/prompt.h"
#include "client/cli/verbs/verbs.h"

namespace heed::cli {
namespace {

constexpr size_t kBestHeads = 5;

// What the statistics are called, which tensor has them, and what they say.
struct HeadStat {
  const char* name;
  const v1::Tensor& (v1::GetHeadStatsResponse::*tensor)() const;
  const char* meaning;
};

const std::vector<HeadStat>& HeadStatNames() {
  using Response = v1::GetHeadStatsResponse;
  static const auto* const stats = new std::vector<HeadStat>{
      {"entropy", &Response::entropy, "entropy of the rows in nats: low is sharp, high diffuse"},
      {"effective", &Response::effective_tokens, "how many words a row looks at, e^entropy"},
      {"max", &Response::max_weight, "the largest weight of a row"},
      {"first", &Response::first_token, "the weight on the first word: the attention sink"},
      {"self", &Response::self, "the weight on the row's own word"},
      {"previous", &Response::previous_token, "the weight on the word before"},
      {"distance", &Response::mean_distance, "how far away a row looks, in words"}};
  return *stats;
}

absl::StatusOr<const HeadStat*> ReadStat(const Arguments& arguments) {
  const std::string name = arguments.String("stat", "entropy");
  std::string names;
  for (const HeadStat& stat : HeadStatNames()) {
    if (name == stat.name) return &stat;
    absl::StrAppend(&names, names.empty() ? "" : ", ", stat.name);
  }
  return UsageError(absl::StrCat("--stat=", name, " is not one of ", names, "."));
}

template <typename Values>
std::vector<std::string> Numbered(const Values& values) {
  std::vector<std::string> names;
  for (int value : values) names.push_back(absl::StrCat(value));
  return names;
}

template <typename Response>
Grid HeadGrid(const Response& response, const v1::Tensor& values, bool is_signed = false) {
  return {"layer", Numbered(response.layers()), Numbered(response.heads()), TensorFloats(values),
          is_signed};
}

template <typename Request>
absl::Status FillRequest(const Arguments& arguments, RunSource& source, Request* request) {
  if (absl::Status s = FillRun(arguments, source, request); !s.ok()) return s;
  if (absl::Status s = ReadIndices(arguments, "layer", request->mutable_layers()); !s.ok()) {
    return s;
  }
  return ReadIndices(arguments, "head", request->mutable_heads());
}

// A row for each head, a column for each word of the prompt.
void PrintRows(const v1::GetHeadStatsResponse& stats, const HeadStat& stat, Session& session) {
  const auto tokens = VisibleWireTokens(stats.prompt());
  Grid grid{.row_name = "", .values = TensorFloats((stats.*stat.tensor)())};
  for (int layer : stats.layers()) {
    for (int head : stats.heads())
      grid.rows.push_back(absl::StrCat("layer ", layer, " head ", head));
  }
  for (int64_t query : stats.queries()) {
    grid.columns.push_back(absl::StrCat(query, " ", tokens[static_cast<size_t>(query)]));
  }
  const Terminal& terminal = session.terminal();
  session.out() << Paragraph(terminal,
                             absl::StrCat(Styled(terminal, Emphasis::kBold, stat.name), ": ",
                                          stat.meaning, ", row by row", MarkText(grid), "."))
                << RenderGrid(grid, terminal);
  PrintProvenance(stats.provenance(), stats.prompt(), stats.timings(), session);
}

// What a page and a file of numbers of `response` have in common, but for the numbers.
template <typename Response>
GridPageData HeadPageData(const Response& response, const Arguments& arguments, RunSource& source) {
  GridPageData data{.source = SourceOf(response.provenance(), EditNames(arguments, source)),
                    .tokens = VisibleWireTokens(response.prompt()),
                    .plain_texts = PlainWireTexts(response.prompt()),
                    .row_name = "layer",
                    .column_name = "head",
                    .rows = Numbered(response.layers()),
                    .columns = Numbered(response.heads())};
  return data;
}

// All statistics, the one asked for first.
GridPageData StatsPageData(const v1::GetHeadStatsResponse& stats, const HeadStat& shown,
                           bool per_row, const Arguments& arguments, RunSource& source) {
  GridPageData data = HeadPageData(stats, arguments, source);
  data.verb = "stats";
  data.heading = "Every head at a glance";
  if (per_row) {
    data.row_name = "head";
    data.column_name = "query";
    data.columns_are_tokens = true;
    data.column_positions = {stats.queries().begin(), stats.queries().end()};
    data.rows.clear();
    data.columns.clear();
    for (int layer : stats.layers()) {
      for (int head : stats.heads()) data.rows.push_back(absl::StrCat(layer, ".", head));
    }
    for (int64_t query : stats.queries()) {
      data.columns.push_back(absl::StrCat(data.tokens[static_cast<size_t>(query)], " ", query));
    }
  }
  const std::string rows =
      per_row ? "of each row" : absl::StrCat("the mean over ", Plural(stats.queries_size(), "row"));
  for (const HeadStat& stat : HeadStatNames()) {
    if (stat.name == absl::string_view(shown.name)) data.first = data.grids.size();
    data.grids.push_back({stat.name, absl::StrCat(stat.meaning, "; ", rows, "."),
                          TensorFloats((stats.*stat.tensor)())});
  }
  return data;
}

absl::Status RunStats(const Arguments& arguments, Session& session) {
  const auto stat = ReadStat(arguments);
  if (!stat.ok()) return stat.status();
  if (absl::Status s = CheckFileOptions(arguments); !s.ok()) return s;
  auto source = RunSource::Read(arguments, session);
  if (!source.ok()) return source.status();
  v1::GetHeadStatsRequest request;
  if (absl::Status s = FillRequest(arguments, *source, &request); !s.ok()) return s;
  if (absl::Status s = source->ReadPositions(arguments, "query", request.mutable_queries());
      !s.ok()) {
    return s;
  }
  request.set_per_row(arguments.Has("per-row"));
  if (arguments.Has("estimate")) return PrintEstimate(request, session);
  const auto stats = Ask(&Inspector::GetHeadStats, request, session);
  if (!stats.ok()) return stats.status();
  const auto data = [&] {
    return StatsPageData(*stats, **stat, request.per_row(), arguments, *source);
  };
  const auto wrote = WroteFiles(
      arguments, session, [&] { return GridPage(data()); }, [&] { return GridExport(data()); });
  if (!wrote.ok() || *wrote) return wrote.status();
  if (PrintedAsJson(*stats, session)) return absl::OkStatus();
  if (request.per_row()) {
    PrintRows(*stats, **stat, session);
    return absl::OkStatus();
  }
  const Terminal& terminal = session.terminal();
  const Grid grid = HeadGrid(*stats, (*stats.*(*stat)->tensor)());
  session.out() << Paragraph(terminal,
                             absl::StrCat(Styled(terminal, Emphasis::kBold, (*stat)->name), ": ",
                                          (*stat)->meaning, "; the mean over ",
                                          Plural(stats->queries_size(), "row"),
                                          ". Columns are heads", MarkText(grid), "."))
                << RenderGrid(grid, terminal);
  PrintProvenance(stats->provenance(), stats->prompt(), stats->timings(), session);
  return absl::OkStatus();
}

// The numbers of a file as a square: one for each query and key.
absl::StatusOr<v1::Tensor> ReadPatternFile(const std::string& path) {
  auto pattern = ReadNumbers(path);
  if (!pattern.ok()) {
    return UsageError(
        absl::StrCat("--pattern=", path,
                     " is not one of previous, duplicate, induction, nor a file of numbers: ",
                     pattern.status().message()));
  }
  const int64_t count = pattern->shape(0);
  const auto side = static_cast<int64_t>(std::lround(std::sqrt(static_cast<double>(count))));
  if (count == 0 || side * side != count) {
    return UsageError(absl::StrCat("--pattern=", path, " holds ", Plural(count, "number"),
                                   "; expected a square of them, a row for each word of the prompt "
                                   "and in it a 0 or 1 for each word."));
  }
  pattern->set_shape(0, side);
  pattern->add_shape(side);
  return pattern;
}

absl::Status ReadPattern(const Arguments& arguments, v1::DetectHeadsRequest* request) {
  const std::string name = arguments.String("pattern", "induction");
  for (const auto& [known, pattern] : {std::pair{"previous", v1::HEAD_PATTERN_PREVIOUS_TOKEN},
                                       std::pair{"duplicate", v1::HEAD_PATTERN_DUPLICATE_TOKEN},
                                       std::pair{"induction", v1::HEAD_PATTERN_INDUCTION}}) {
    if (name != known) continue;
    request->set_known(pattern);
    return absl::OkStatus();
  }
  auto custom = ReadPatternFile(name);
  if (!custom.ok()) return custom.status();
  *request->mutable_custom() = *std::move(custom);
  return absl::OkStatus();
}

// What the score does not look at, as a clause behind the pattern's name.
std::string LeftOut(const Arguments& arguments) {
  const bool first = arguments.Has("no-first"), self = arguments.Has("no-self");
  if (!first && !self) return "";
  return absl::StrCat(", without ", first ? "the first word" : "", first && self ? " and " : "",
                      self ? "each row's own word" : "");
}

absl::StatusOr<v1::DetectionScore> ReadScore(const Arguments& arguments) {
  const std::string name = arguments.String("score", "mul");
  if (name == "mul") return v1::DETECTION_SCORE_TL_MUL;
  if (name == "abs") return v1::DETECTION_SCORE_TL_ABS;
  if (name == "headvis") return v1::DETECTION_SCORE_HEADVIS_V1;
  return UsageError(absl::StrCat("--score=", name, " is not one of mul, abs, headvis."));
}

constexpr char kNoneFits[] =
    "No head's attention lies where the pattern says. Duplicates and induction need a prompt in "
    "which words repeat.";

bool NoneFits(const v1::DetectHeadsResponse& found) {
  return std::all_of(found.ranked().begin(), found.ranked().end(),
                     [](const v1::HeadScore& head) { return head.score() == 0; });
}

GridPageData DetectPageData(const v1::DetectHeadsResponse& found, const Arguments& arguments,
                            RunSource& source) {
  const std::string pattern = arguments.String("pattern", "induction");
  GridPageData data = HeadPageData(found, arguments, source);
  data.verb = "detect";
  data.heading = absl::StrCat("Heads that fit the pattern ", pattern);
  data.grids = {{absl::StrCat(pattern, " score"),
                 absl::StrCat("How much of each head's attention lies where the pattern says",
                              LeftOut(arguments), ", as ", found.provenance().definition(),
                              " defines it.", NoneFits(found) ? absl::StrCat(" ", kNoneFits) : ""),
                 TensorFloats(found.scores())}};
  return data;
}

// The numbers, with what they are of.
Export DetectExport(const v1::DetectHeadsResponse& found, const Arguments& arguments,
                    RunSource& source) {
  Export file = GridExport(DetectPageData(found, arguments, source));
  file.metadata["pattern"] = arguments.String("pattern", "induction");
  file.metadata["exclude_first_token"] = arguments.Has("no-first") ? "true" : "false";
  file.metadata["exclude_current_token"] = arguments.Has("no-self") ? "true" : "false";
  return file;
}

void PrintBest(const v1::DetectHeadsResponse& found, Session& session) {
  if (NoneFits(found)) {
    session.out() << Paragraph(session.terminal(), kNoneFits);
    return;
  }
  std::vector<std::string> heads;
  for (size_t i = 0; i < kBestHeads && i < static_cast<size_t>(found.ranked_size()); ++i) {
    const v1::HeadScore& head = found.ranked(static_cast<int>(i));
    heads.push_back(absl::StrCat(i == 0 ? "Best: layer " : "layer ", head.layer(), " head ",
                                 head.head(), " (", FormatProbability(head.score()), ")"));
  }
  session.out() << JoinItems(session.terminal(), heads, ", ") << "\n";
}

absl::Status RunDetect(const Arguments& arguments, Session& session) {
  v1::DetectHeadsRequest request;
  if (absl::Status s = ReadPattern(arguments, &request); !s.ok()) return s;
  const auto score = ReadScore(arguments);
  if (!score.ok()) return score.status();
  if (absl::Status s = CheckFileOptions(arguments); !s.ok()) return s;
  auto source = RunSource::Read(arguments, session);
  if (!source.ok()) return source.status();
  if (absl::Status s = FillRequest(arguments, *source, &request); !s.ok()) return s;
  request.set_score(*score);
  request.set_exclude_first_token(arguments.Has("no-first"));
  request.set_exclude_current_token(arguments.Has("no-self"));
  if (arguments.Has("estimate")) return PrintEstimate(request, session);
  const auto found = Ask(&Inspector::DetectHeads, request, session);
  if (!found.ok()) return found.status();
  const auto wrote = WroteFiles(
      arguments, session, [&] { return GridPage(DetectPageData(*found, arguments, *source)); },
      [&] { return DetectExport(*found, arguments, *source); });
  if (!wrote.ok() || *wrote) return wrote.status();
  if (PrintedAsJson(*found, session)) return absl::OkStatus();
  const Terminal& terminal = session.terminal();
  const Grid grid = HeadGrid(*found, found->scores());
  session.out() << Paragraph(
                       terminal,
                       absl::StrCat("How well each head fits the pattern ",
                                    Styled(terminal, Emphasis::kBold,
                                           SafeText(arguments.String("pattern", "induction"))),
                                    LeftOut(arguments), ". Columns are heads", MarkText(grid), "."))
                << RenderGrid(grid, terminal);
  PrintBest(*found, session);
  PrintProvenance(found->provenance(), found->prompt(), found->timings(), session);
  return absl::OkStatus();
}

std::vector<OptionSpec> WithCommon(const std::vector<OptionSpec>& own) {
  return JoinOptions(
      {own, SelectionOptions(), FileOptions(), EditOptions(), EditScopeOptions(), RunOptions()});
}

}  // namespace

Verb StatsVerb() {
  return {
      .name = "stats",
      .operands = "PROMPT",
      .max_operands = 1,
      .summary = "Facts of every head: sharp or diffuse, near or far.",
      .description =
          "A grid of layers and heads with one statistic of their attention rows, averaged over "
          "the prompt; --json has all of them.",
      .example = "heed stats \"the keys to the cabinet\" --stat=previous",
      .options = WithCommon(
          {{"stat", "NAME",
            "entropy, effective, max, first, self, previous or distance; default "
            "entropy."},
           {"query", "WORD", "Only these rows, by word or position; -1 is the last.", true},
           {"per-row", "", "Each row's own numbers: a grid of heads and words."}}),
      .run = RunStats};
}

Verb DetectVerb() {
  return {.name = "detect",
          .operands = "PROMPT",
          .max_operands = 1,
          .summary = "Find heads by what they do: previous word, duplicates, induction.",
          .description =
              "Scores every head by how much of its attention lies where a pattern says. Induction "
              "and duplicates need a prompt in which words repeat. The score's definition stands "
              "below the grid: TL_MUL and TL_ABS are TransformerLens's, HEADVIS_V1 HeadVis's.",
          .example = "heed detect \"the cat sat and the cat\" --pattern=induction",
          .options = WithCommon({{"pattern", "NAME|FILE",
                                  "previous, duplicate, induction (the default), or a file of your "
                                  "own: a 0 or 1 for each word (row) and each word that it sees "
                                  "(column), as a .npy of float32 or as text."},
                                 {"score", "NAME", "mul (the default), abs or headvis."},
                                 {"no-first", "", "Leave the first word out."},
                                 {"no-self", "", "Leave each row's own word out."}}),
          .run = RunDetect};
}

}  // namespace heed::cli
