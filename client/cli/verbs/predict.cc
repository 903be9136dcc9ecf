// heed predict: what comes next.
#include <algorithm>
#include <cmath>
#include <iterator>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "client/cli/base/format.h"
#include "client/cli/base/json_parts.h"
#include "client/cli/base/npy.h"
#include "client/cli/base/output_file.h"
#include "client/cli/base/progress.h"
#include "client/cli/base/table.h"
#include "client/cli/base/token_text.h"
#include "client/cli/request/candidates.h"
#include "client/cli/request/edits.h"
#include "client/cli/request/estimate.h"
#include "client/cli/request/inspect_calls.h"
#include "client/cli/request/prompt.h"
#include "client/cli/verbs/verbs.h"
#include "client/convert.h"

namespace heed::cli {
namespace {

constexpr int kBarColumns = 40;      // at most
constexpr int kLeastBarColumns = 4;  // bars for which there is less room are left out
constexpr int kAllTop = 3;           // predictions beside each position with --all

// Fills what to report: --top, --candidates, --candidate-ids or --full, at most one of them.
absl::Status ReadCandidates(const Arguments& arguments, PredictRequest& request) {
  std::vector<std::string> given;
  for (const char* name : {"top", "candidates", "candidate-ids", "full"}) {
    if (arguments.Has(name)) given.push_back(absl::StrCat("--", name));
  }
  if (given.size() > 1) {
    return UsageError(
        absl::StrCat(absl::StrJoin(given, " and "), " are given; they exclude each other."));
  }
  const auto top = arguments.Int("top", 1, std::numeric_limits<int32_t>::max());
  if (!top.ok()) return top.status();
  if (*top) request.top_k = static_cast<int32_t>(**top);
  for (const std::string& list : arguments.Strings("candidates")) {
    for (absl::string_view text : absl::StrSplit(list, ',', absl::SkipEmpty())) {
      request.candidate_texts.emplace_back(text);
    }
  }
  if (arguments.Has("candidates") && request.candidate_texts.empty()) {
    return UsageError("--candidates is empty; expected texts such as were,was.");
  }
  if (arguments.Has("candidate-ids")) {
    auto ids = arguments.Ints("candidate-ids");
    if (!ids.ok()) return ids.status();
    request.candidate_ids = *std::move(ids);
  }
  request.full_distribution = arguments.Has("full");
  return absl::OkStatus();
}

absl::StatusOr<PredictRequest> ReadRequest(const Arguments& arguments, Session& session) {
  PredictRequest request{.model = session.model()};
  const auto prompt = ReadPrompt(arguments, session);
  if (!prompt.ok()) return prompt.status();
  prompt->ApplyTo(request);
  request.all_positions = arguments.Has("all");
  if (arguments.Has("position")) {
    if (request.all_positions) return UsageError("both --all and --position are given.");
    const auto positions = arguments.Ints("position");
    if (!positions.ok()) return positions.status();
    request.positions.assign(positions->begin(), positions->end());
  }
  if (absl::Status status = ReadCandidates(arguments, request); !status.ok()) return status;
  const bool default_candidates = request.candidate_ids.empty() &&
                                  request.candidate_texts.empty() && !request.full_distribution;
  if (request.all_positions && default_candidates && !request.top_k) request.top_k = kAllTop;
  return request;
}

void WritePrediction(JsonWriter& json, const PositionPrediction& prediction) {
  json.BeginObject();
  json.Key("position").Int(prediction.position);
  json.Key("candidates");
  WriteCandidates(json, prediction.candidates);
  json.Key("entropy_nats").Number(prediction.entropy);
  json.Key("actual");
  prediction.actual ? WriteCandidate(json, *prediction.actual) : void(json.Null());
  json.EndObject();
}

void WriteResult(const PredictResult& result, Session& session) {
  JsonWriter json(session.out());
  json.BeginObject().Key("model");
  WriteIdentity(json, result.model);
  json.Key("provenance");
  WriteProvenance(json, result.model, result.provenance);
  json.Key("prompt");
  WritePrompt(json, result.prompt);
  json.Key("predictions").BeginArray();
  for (const PositionPrediction& prediction : result.predictions) {
    WritePrediction(json, prediction);
  }
  json.EndArray().Key("timings_ms");
  WriteTimings(json, result.timings);
  json.EndObject();
  json.EndLine();
}

constexpr char kOthers[] = "(all others)";

// What the terminal leaves beside the table's other columns.
int BarColumns(const PositionPrediction& prediction, const Terminal& terminal) {
  if (!terminal.is_terminal) return 0;
  int token_columns = DisplayWidth(kOthers);
  for (const Candidate& candidate : prediction.candidates) {
    token_columns = std::max(token_columns, DisplayWidth(VisibleToken(candidate.token)));
  }
  const int others = DisplayWidth("rank    probability  ") + token_columns;
  const int left = std::min(terminal.width - others, kBarColumns);
  return left >= kLeastBarColumns ? left : 0;
}

// The candidates of one position, with bars on a terminal.
std::string CandidateTable(const PositionPrediction& prediction, bool show_others,
                           const Terminal& terminal) {
  Table table({{"rank", Align::kRight},
               {"token"},
               {"probability", Align::kRight},
               {"", Align::kLeft, 1, Narrow::kKeep}});
  const int bar_columns = BarColumns(prediction, terminal);
  const auto bar = [&](double probability) {
    return bar_columns > 0 ? Bar(probability, bar_columns) : "";
  };
  double others = 1;
  for (const Candidate& candidate : prediction.candidates) {
    others -= candidate.probability;
    table.AddRow({absl::StrCat(candidate.rank), VisibleToken(candidate.token),
                  FormatProbability(candidate.probability),
                  Styled(terminal, Emphasis::kCyan, bar(candidate.probability))});
  }
  if (show_others && others > 0.0005) {
    table.AddRow(
        {"", kOthers, FormatProbability(others), Styled(terminal, Emphasis::kDim, bar(others))});
  }
  return table.Render(terminal);
}

// A token of the prompt by its position, as "·to".
std::string TokenAt(const PredictResult& result, int64_t position) {
  const auto& tokens = result.prompt.tokens;
  if (position < 0 || position >= static_cast<int64_t>(tokens.size())) return "";
  return VisibleToken(tokens[position]);
}

std::string ActualText(const Candidate& actual) {
  return absl::StrCat(VisibleToken(actual.token), " ", FormatProbability(actual.probability),
                      ", rank ", FormatCount(actual.rank));
}

// Whether a prediction is for a mask: what stands there got a probability, and is no text.
bool IsMask(const PositionPrediction& prediction) {
  return prediction.actual && prediction.actual->token.special;
}

// A mask of the prompt as "[MASK]", or "[MASK]#2" when it is not the only one.
std::string MaskTitle(const PredictResult& result, size_t index) {
  const std::string title = TokenAt(result, result.predictions[index].position);
  return result.predictions.size() > 1 ? absl::StrCat(title, "#", index + 1) : title;
}

// The text with its masks told apart.
void PrintMaskedText(const PredictResult& result, Session& session) {
  std::string line;
  const auto length = static_cast<int64_t>(result.prompt.tokens.size());
  for (int64_t position = 0; position < length; ++position) {
    const auto is_here = [&](const PositionPrediction& prediction) {
      return prediction.position == position;
    };
    const auto it = std::find_if(result.predictions.begin(), result.predictions.end(), is_here);
    const Token& token = result.prompt.tokens[position];
    const bool is_mask = it != result.predictions.end();
    // A mask takes the space before it with it.
    if (is_mask && !line.empty()) line += " ";
    line += is_mask ? MaskTitle(result, it - result.predictions.begin()) : VisibleLine({token});
  }
  for (const std::string& part : Wrap(line, session.terminal().width)) {
    session.out() << Styled(session.terminal(), Emphasis::kBold, part) << "\n";
  }
}

// One block for each position.
void PrintBlocks(const PredictResult& result, bool show_others, Session& session) {
  const Terminal& terminal = session.terminal();
  const bool several = result.predictions.size() > 1;
  const bool masks = std::all_of(result.predictions.begin(), result.predictions.end(), IsMask);
  if (masks) PrintMaskedText(result, session);
  for (size_t i = 0; i < result.predictions.size(); ++i) {
    const PositionPrediction& prediction = result.predictions[i];
    if (several) {
      const std::string token = masks ? MaskTitle(result, i) : TokenAt(result, prediction.position);
      session.out() << Styled(terminal, Emphasis::kBold,
                              absl::StrCat("position ", prediction.position, " ", token))
                    << "\n";
    }
    session.out() << CandidateTable(prediction, show_others, terminal);
    // A mask is there to be filled in; what it got itself says nothing.
    if (prediction.actual && !IsMask(prediction)) {
      session.out() << Paragraph(
          terminal, absl::StrCat("the text really has ", ActualText(*prediction.actual)));
    }
    if (several) session.out() << "entropy " << FormatNats(prediction.entropy) << "\n\n";
  }
}

// What the text got in all, of the last of all positions too if the model saw what it predicts.
std::string ScoreText(double log_probability, int64_t scored, bool sees_both_ways) {
  const double mean = log_probability / static_cast<double>(scored);
  if (sees_both_ways) {
    return absl::StrFormat("mean log-probability %.3f nats over %s, each of which the model saw",
                           mean, Plural(scored, "token"));
  }
  return absl::StrFormat("perplexity %.2f over %s (mean log-probability %.3f nats)",
                         std::exp(-mean), Plural(scored, "token"), mean);
}

// One line for each position: what the text really has there, and what was expected.
void PrintLines(const PredictResult& result, Session& session) {
  Table table({{"position", Align::kRight},
               {"token"},
               {"actual", Align::kLeft, 2},
               {"probability", Align::kRight, 3},
               {"rank", Align::kRight, 4},
               {"entropy", Align::kRight, 1},
               {"predicted"}});
  double log_probability = 0;
  int64_t scored = 0;
  // Of a model that looks back only, nothing is known behind the last token.
  const auto is_known_last = [&](const PositionPrediction& p) {
    return p.actual && p.position + 1 == std::ssize(result.prompt.tokens);
  };
  const bool sees_both_ways =
      std::any_of(result.predictions.begin(), result.predictions.end(), is_known_last);
  for (const PositionPrediction& prediction : result.predictions) {
    std::vector<std::string> row = {absl::StrCat(prediction.position),
                                    TokenAt(result, prediction.position), "", "", ""};
    if (prediction.actual && !(sees_both_ways && IsMask(prediction))) {
      row[2] = VisibleToken(prediction.actual->token);
      row[3] = FormatProbability(prediction.actual->probability);
      row[4] = FormatCount(prediction.actual->rank);
      log_probability += prediction.actual->log_probability;
      ++scored;
    }
    row.push_back(FormatNats(prediction.entropy));
    row.push_back(absl::StrJoin(prediction.candidates, "  ", [](std::string* out, const auto& c) {
      absl::StrAppend(out, VisibleToken(c.token), " ", FormatProbability(c.probability));
    }));
    table.AddRow(std::move(row));
  }
  session.out() << table.Render(session.terminal());
  if (scored == 0) return;
  session.out() << Paragraph(session.terminal(),
                             ScoreText(log_probability, scored, sees_both_ways));
}

// Behind the entropy of a single position.
void PrintFooter(const PredictResult& result, bool with_entropy, Session& session) {
  std::vector<std::string> facts;
  if (with_entropy) {
    facts.push_back(absl::StrCat("entropy ", FormatNats(result.predictions.front().entropy)));
  }
  facts.push_back(ModelText(result.model));
  const std::string edits = FormatEdits(result.provenance);
  if (!edits.empty()) facts.push_back(edits);
  facts.push_back(FormatTimings(result.timings));
  const std::string dropped = FormatDropped(result.prompt);
  if (!dropped.empty()) facts.push_back(dropped);
  session.out() << JoinItems(session.terminal(), facts, " · ") << "\n";
  if (result.provenance.counterfactual_mask) PrintCounterfactual(session);
}

absl::Status WriteFull(const PredictResult& result, const std::string& path, Session& session) {
  std::vector<float> values;
  int64_t width = 0;
  for (const PositionPrediction& prediction : result.predictions) {
    width = static_cast<int64_t>(prediction.log_probabilities.size());
    values.insert(values.end(), prediction.log_probabilities.begin(),
                  prediction.log_probabilities.end());
  }
  const auto rows = static_cast<int64_t>(result.predictions.size());
  if (static_cast<int64_t>(values.size()) != rows * width) {
    return absl::InternalError("the server sent distributions of different lengths");
  }
  const std::string what =
      absl::StrCat("float32 [", rows, " positions, ", width, " tokens], log-probabilities");
  return WriteOutputFile(session, path, what, [&](std::ostream& file) {
    return WriteNpy(file, {rows, width}, values);
  });
}

// The request with the edits of the command, which plain structs do not have.
absl::StatusOr<v1::PredictRequest> WithEdits(const PredictRequest& request,
                                             const Arguments& arguments, Session& session) {
  auto wire = ToWire(request);
  if (!wire.ok()) return wire.status();
  RunSource source = RunSource::OfPrompt(wire->prompt(), request.model, session);
  const auto edits = ReadEdits(arguments, source);
  if (!edits.ok()) return edits.status();
  AddEdits(*edits, "interventions", session, wire->mutable_interventions());
  return wire;
}

absl::StatusOr<PredictResult> AskPredict(const v1::PredictRequest& request, Session& session) {
  const auto answer = Ask(&Inspector::Predict, request, session);
  if (!answer.ok()) return answer.status();
  return FromWire(*answer);
}

// `note` says how the candidates' texts were read.
void PrintResult(const PredictRequest& request, const PredictResult& result,
                 const std::string& note, Session& session) {
  const bool in_lines = request.all_positions || request.full_distribution;
  if (in_lines) {
    PrintLines(result, session);
  } else {
    const bool ranked = request.candidate_ids.empty() && request.candidate_texts.empty();
    PrintBlocks(result, ranked, session);
  }
  PrintFooter(result, !in_lines && result.predictions.size() == 1, session);
  if (!note.empty()) {
    session.out() << Paragraph(session.terminal(),
                               Styled(session.terminal(), Emphasis::kDim, note));
  }
}

absl::Status RunPredict(const Arguments& arguments, Session& session) {
  auto request = ReadRequest(arguments, session);
  if (!request.ok()) return request.status();
  auto client = session.client();
  if (!client.ok()) return client.status();
  if (!arguments.Has("literal")) {
    if (absl::Status status = FillBlanks(request->text, session); !status.ok()) return status;
  }
  Progress progress(session, "predicting");
  const auto note = PreferWords(*request, **client, session.call_options());
  if (!note.ok()) return note.status();
  const auto wire = WithEdits(*request, arguments, session);
  if (!wire.ok()) return wire.status();
  if (arguments.Has("estimate")) {
    progress.Stop();
    return PrintEstimate(*wire, session);
  }
  const auto result = AskPredict(*wire, session);
  progress.Stop();
  if (!result.ok()) return result.status();
  if (request->full_distribution) {
    absl::Status status = WriteFull(*result, arguments.String("full"), session);
    if (!status.ok()) return status;
  }
  if (session.json()) {
    WriteResult(*result, session);
  } else {
    PrintResult(*request, *result, *note, session);
  }
  return absl::OkStatus();
}

std::vector<OptionSpec> PredictOptions() {
  std::vector<OptionSpec> options = {
      {"top", "K", "Show the K most probable tokens; default 10, or 3 a position with --all."},
      {"candidates", "TEXTS", "Show these tokens instead; words as they stand after a space.",
       /*repeatable=*/true},
      {"candidate-ids", "1,2,3", "Show the tokens of these ids instead.", /*repeatable=*/true},
      {"full", "FILE.npy", "Write all log-probabilities as float32 [positions, tokens]."},
      {"position", "N", "Predict at position N of the prompt; -1 is the last, the default.",
       /*repeatable=*/true},
      {"all", "", "Predict at every position, and score what really comes next."},
      EstimateOption(),
  };
  return JoinOptions({options, EditOptions(), EditScopeOptions(), PromptOptions()});
}

}  // namespace

Verb PredictVerb() {
  return {.name = "predict",
          .operands = "PROMPT",
          .max_operands = 1,
          .summary = "Show what the model expects next.",
          .description =
              "PROMPT is the text, or - for standard input. A model that sees both ways says what "
              "it expects at each mask, written ____ or as the model spells it: [MASK].",
          .example = "heed predict \"the keys to the cabinet\" --candidates=were,was",
          .options = PredictOptions(),
          .run = RunPredict};
}

}  // namespace heed::cli
