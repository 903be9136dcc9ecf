// heed lens: what each layer would predict.
#include <algorithm>
#include <string>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "client/cli/base/format.h"
#include "client/cli/base/table.h"
#include "client/cli/pages/export.h"
#include "client/cli/pages/inspect_pages.h"
#include "client/cli/request/edits.h"
#include "client/cli/request/estimate.h"
#include "client/cli/request/inspect_calls.h"
#include "client/cli/request/prompt.h"
#include "client/cli/verbs/verbs.h"

namespace heed::cli {
namespace {

constexpr int kCellColumns = 11;
constexpr int kWords = 3;      // of each layer
constexpr int kPageWords = 8;  // the same on a page
constexpr int kMostPositions = 12;
constexpr int kLayerColumns = 7;  // of the layers' names
constexpr int kLeastColumns = 8;  // of a word on a narrow terminal, with the space before it

std::string LayerName(int layer, int last) {
  if (layer == last) return "model";
  return layer == 0 ? "embed" : absl::StrCat("after ", layer - 1);
}

std::string LensToken(const v1::Candidate& candidate, int columns) {
  return Fit(VisibleWireToken(candidate.token()), columns);
}

// One position: layers are rows, candidates columns.
void PrintPosition(const v1::LogitLensResponse& lens, int index, int last,
                   const std::string& at_or_after, Session& session) {
  const auto tokens = VisibleWireTokens(lens.prompt());
  const int64_t position = lens.positions(index);
  const Terminal& terminal = session.terminal();
  session.out() << Paragraph(
      terminal, absl::StrCat("What each layer would say ", at_or_after, " ",
                             Styled(terminal, Emphasis::kBold, tokens[position]), " (position ",
                             position, "):"));
  std::vector<Column> columns = {{"layer"}};
  const v1::LensCell& first = lens.cells(index);
  for (int i = 0; i < first.candidates_size(); ++i) {
    const int leave_out = i > 0 ? 3 + i : 0;
    columns.push_back({i == 0 ? "most probable" : "", Align::kLeft, leave_out});
    columns.push_back({"", Align::kRight, leave_out});
  }
  columns.push_back({"entropy", Align::kRight, 2});
  columns.push_back({"KL to model, nats", Align::kRight, 3});
  for (const v1::Candidate& followed : first.followed()) {
    columns.push_back({VisibleWireToken(followed.token()), Align::kRight});
    columns.push_back({"rank", Align::kRight, 1});
  }
  Table table(columns);
  for (int row = 0; row < lens.layers_size(); ++row) {
    const v1::LensCell& cell = lens.cells(row * lens.positions_size() + index);
    std::vector<std::string> cells = {LayerName(cell.layer(), last)};
    for (const v1::Candidate& candidate : cell.candidates()) {
      cells.push_back(LensToken(candidate, kCellColumns));
      cells.push_back(FormatProbability(candidate.probability()));
    }
    cells.push_back(FormatNats(cell.entropy()));
    cells.push_back(absl::StrFormat("%.3f", cell.kl_to_final()));
    for (const v1::Candidate& followed : cell.followed()) {
      cells.push_back(FormatProbability(followed.probability()));
      cells.push_back(FormatCount(followed.rank()));
    }
    table.AddRow(std::move(cells));
  }
  session.out() << table.Render(session.terminal());
}

// The positions of a map that fit the terminal, the last ones: from here on.
int FirstShown(const v1::LogitLensResponse& lens, const Terminal& terminal) {
  const int room = std::max(1, (TextWidth(terminal) - kLayerColumns) / kLeastColumns);
  return lens.positions_size() - std::min({lens.positions_size(), kMostPositions, room});
}

// A map: layers are rows, the positions from `begin` on columns.
std::string RenderLensMap(const v1::LogitLensResponse& lens, int last, int begin, Align align,
                          const Terminal& terminal,
                          absl::FunctionRef<std::string(const v1::LensCell&)> text) {
  const auto tokens = VisibleWireTokens(lens.prompt());
  std::vector<Column> columns = {{"layer"}};
  for (int i = begin; i < lens.positions_size(); ++i) {
    columns.push_back({Fit(tokens[lens.positions(i)], kCellColumns), align});
  }
  Table table(columns);
  for (int row = 0; row < lens.layers_size(); ++row) {
    std::vector<std::string> cells = {LayerName(lens.layers(row), last)};
    for (int i = begin; i < lens.positions_size(); ++i) {
      cells.push_back(text(lens.cells(row * lens.positions_size() + i)));
    }
    table.AddRow(std::move(cells));
  }
  return table.Render(terminal);
}

// Several positions: each cell the most probable token; below it, the probability of each word that
// is followed.
void PrintMap(const v1::LogitLensResponse& lens, int last, const std::string& at_or_after,
              Session& session) {
  const Terminal& terminal = session.terminal();
  const int begin = FirstShown(lens, terminal);
  session.out()
      << Paragraph(terminal, absl::StrCat("What each layer would say ", at_or_after, " each word:"))
      << RenderLensMap(lens, last, begin, Align::kLeft, terminal, [&](const v1::LensCell& cell) {
           const v1::Candidate& best = cell.candidates(0);
           const std::string text = LensToken(best, kCellColumns);
           if (best.probability() >= 0.5) {
             return Styled(terminal, Emphasis::kBold, text);
           }
           return best.probability() < 0.1 ? Styled(terminal, Emphasis::kDim, text) : text;
         });
  const int followed = lens.cells_size() > 0 ? lens.cells(0).followed_size() : 0;
  for (int word = 0; word < followed; ++word) {
    const std::string name = VisibleWireToken(lens.cells(0).followed(word).token());
    session.out() << Paragraph(terminal, absl::StrCat("How probable ",
                                                      Styled(terminal, Emphasis::kBold, name),
                                                      " would be there:"))
                  << RenderLensMap(lens, last, begin, Align::kRight, terminal,
                                   [&](const v1::LensCell& cell) {
                                     return FormatProbability(cell.followed(word).probability());
                                   });
  }
  if (begin > 0) {
    session.out() << Paragraph(
        terminal, absl::StrCat(TheFirst(begin, "position"), " left out; --json has them."));
  }
}

absl::Status RunLens(const Arguments& arguments, Session& session) {
  if (absl::Status s = CheckFileOptions(arguments); !s.ok()) return s;
  v1::LogitLensRequest request;
  auto source = RunSource::Read(arguments, session);
  if (!source.ok()) return source.status();
  if (absl::Status s = FillRun(arguments, *source, &request); !s.ok()) return s;
  if (absl::Status s = ReadIndices(arguments, "layer", request.mutable_layers()); !s.ok()) return s;
  if (absl::Status s = source->ReadPositions(arguments, "position", request.mutable_positions());
      !s.ok()) {
    return s;
  }
  const auto top_k = arguments.Int("top", 1, 100);
  if (!top_k.ok()) return top_k.status();
  const bool html = arguments.Has("html");
  request.set_top_k(static_cast<int32_t>(top_k->value_or(html ? kPageWords : kWords)));
  if (absl::Status s = source->ReadChoices(arguments, "token", request.mutable_tokens()); !s.ok()) {
    return s;
  }
  const auto predicted = source->PredictedPosition();
  if (!predicted.ok()) return predicted.status();
  if (request.positions().empty()) request.add_positions(*predicted);
  if (arguments.Has("all") || (html && !arguments.Has("position"))) {
    const auto count = source->TokenCount();
    if (!count.ok()) return count.status();
    request.clear_positions();
    for (int64_t i = 0; i < *count; ++i) request.add_positions(i);
  }
  if (arguments.Has("estimate")) return PrintEstimate(request, session);
  const auto lens = Ask(&Inspector::LogitLens, request, session);
  if (!lens.ok()) return lens.status();
  const auto client = session.client();
  if (!client.ok()) return client.status();
  const auto model = (*client)->GetModel(lens->provenance().model().name(), session.call_options());
  if (!model.ok()) return model.status();
  const auto page = [&] {
    std::vector<std::string> names;
    for (int layer : lens->layers()) names.push_back(LayerName(layer, model->layer_count));
    return LensPage(*lens, {.layer_names = names,
                            .edits = EditNames(arguments, *source),
                            .at_or_after = AtOrAfter(*model),
                            .position = *predicted});
  };
  const auto wrote = WroteFiles(arguments, session, page,
                                [&] { return LensExport(*lens, EditNames(arguments, *source)); });
  if (!wrote.ok() || *wrote) return wrote.status();
  if (PrintedAsJson(*lens, session)) return absl::OkStatus();
  if (lens->positions_size() == 1) {
    PrintPosition(*lens, 0, model->layer_count, AtOrAfter(*model), session);
  } else {
    PrintMap(*lens, model->layer_count, AtOrAfter(*model), session);
    if (top_k->value_or(1) > 1) {
      session.out() << Paragraph(session.terminal(),
                                 "The map has room for the first word alone: --top is for one "
                                 "position, --html and --json.");
    }
  }
  PrintProvenance(lens->provenance(), lens->prompt(), lens->timings(), session);
  return absl::OkStatus();
}

std::vector<OptionSpec> LensOptions() {
  const std::vector<OptionSpec> options = {
      {"position", "WORD", "Words or positions; default the mask to fill in, else the last.", true},
      {"all", "", "Every position, as a map of the most probable words; a page has them anyway."},
      {"layer", "L", "Layers; 0 is the embeddings. Default all.", true},
      {"top", "K", "Words of each layer, at one position; default 3, on a page 8."},
      {"token", "TEXT", "Follow this word through the layers.", true}};
  return JoinOptions({options, FileOptions(), EditOptions(), EditScopeOptions(), RunOptions()});
}

}  // namespace

Verb LensVerb() {
  return {
      .name = "lens",
      .operands = "PROMPT",
      .max_operands = 1,
      .summary = "What each layer would predict (the logit lens).",
      .description =
          "Reads the residual stream before the first layer and after each one with the model's "
          "own final norm and unembedding. The last row is the model's prediction; KL says how "
          "far a layer is from it, in nats.",
      .example = "heed lens \"the keys to the cabinet\" --token=\" were\"",
      .options = LensOptions(),
      .run = RunLens};
}

}  // namespace heed::cli
