// heed activations: the vectors inside a run.
#include <algorithm>
#include <cmath>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "client/cli/edits.h"
#include "client/cli/estimate.h"
#include "client/cli/format.h"
#include "client/cli/head_grid.h"
#include "client/cli/inspect_calls.h"
#include "client/cli/npy.h"
#include "client/cli/output_file.h"
#include "client/cli/progress.h"
#include "client/cli/scatter.h"
#include "client/cli/table.h"
#include "client/cli/traces.h"
#include "client/cli/verbs.h"
#include "client/cli/wire_json.h"

namespace heed::cli {
namespace {

constexpr int kScatterRows = 18;
constexpr int kMostPictures = 3;  // of layers, one below the other; of more, the last ones
constexpr int kShownElements = 5;

// A whole answer: the values of each layer in one piece.
struct Activations {
  v1::ActivationsHeader header;
  std::vector<std::vector<float>> layers;  // [rows, width] of each of header.layers
  std::vector<int64_t> widths;
  std::vector<std::vector<double>> explained_variance;
  v1::ActivationsEnd end;
  v1::PromptInfo other;  // of --other
};

absl::StatusOr<Activations> Fetch(const v1::GetActivationsRequest& request, Session& session) {
  const auto inspector = MakeInspector(session);
  if (!inspector.ok()) return inspector.status();
  Progress progress(session, "reading activations");
  Activations result;
  double received = 0;
  bool has_end = false;
  const auto add_block = [&](const v1::ActivationBlock& block) {
    const auto& layers = result.header.layers();
    const auto at = std::find(layers.begin(), layers.end(), block.layer()) - layers.begin();
    if (at >= layers.size()) return;
    const std::vector<float> values = TensorFloats(block.values());
    auto& layer = result.layers[static_cast<size_t>(at)];
    layer.insert(layer.end(), values.begin(), values.end());
    if (block.values().shape_size() == 2) {
      result.widths[static_cast<size_t>(at)] = block.values().shape(1);
    }
    if (block.explained_variance_size() > 0) {
      result.explained_variance[static_cast<size_t>(at)] = {block.explained_variance().begin(),
                                                            block.explained_variance().end()};
    }
    received += static_cast<double>(block.values().data().size());
    const auto total = static_cast<double>(result.header.total_bytes());
    if (total > 0) progress.Update(std::min(1.0, received / total));
  };
  const absl::Status status = inspector->GetActivations(
      request,
      [&](const v1::GetActivationsResponse& message) {
        if (message.has_header()) {
          result.header = message.header();
          const auto count = static_cast<size_t>(result.header.layers_size());
          result.layers.resize(count);
          result.widths.resize(count);
          result.explained_variance.resize(count);
        }
        if (message.has_block()) add_block(message.block());
        if (message.has_end()) result.end = message.end();
        has_end = has_end || message.has_end();
      },
      session.call_options());
  if (!status.ok()) return status;
  if (!has_end) {
    return absl::InternalError("the server's answer broke off before its last message");
  }
  return result;
}

// ---- The request --------------------------------------------------------------------------------

absl::Status ReadForm(const Arguments& arguments, v1::GetActivationsRequest* request) {
  const std::string form = arguments.String("form", arguments.Has("other") ? "cosines" : "norms");
  const bool has_other = arguments.Has("other") || arguments.Has("other-trace");
  if (has_other && form != "cosines") {
    return UsageError(
        absl::StrCat("--other and --other-trace are for --form=cosines, not ", form, "."));
  }
  if (arguments.Has("dimensions") && form != "pca") {
    return UsageError("--dimensions is for --form=pca.");
  }
  if (form == "norms") {
    request->mutable_norms();
  } else if (form == "cosines") {
    request->mutable_cosines()->set_other_trace_id(arguments.String("other-trace"));
  } else if (form == "vectors") {
    request->mutable_vectors();
  } else if (form == "pca") {
    const auto dimensions = arguments.Int("dimensions", 1, 16);
    if (!dimensions.ok()) return dimensions.status();
    request->mutable_pca()->set_dimensions(static_cast<int32_t>(dimensions->value_or(2)));
    // The last layer alone, unless the command says which.
    if (request->layers().empty()) request->add_layers(-1);
  } else {
    return UsageError(
        absl::StrCat("--form=", form, " is not one of norms, cosines, pca, vectors."));
  }
  return absl::OkStatus();
}

absl::Status ReadRequest(const Arguments& arguments, RunSource& source,
                         v1::GetActivationsRequest* request) {
  if (absl::Status s = FillRun(arguments, source, request); !s.ok()) return s;
  const auto site = ParseSite(arguments.String("site", "residual"));
  if (!site.ok()) return site.status();
  request->set_site(*site);
  absl::Status status = ReadIndices(arguments, "layer", request->mutable_layers());
  if (status.ok()) status = ReadIndices(arguments, "head", request->mutable_heads());
  if (status.ok()) {
    status = source.ReadPositions(arguments, "position", request->mutable_positions());
  }
  if (!status.ok()) return status;
  return ReadForm(arguments, request);
}

// Opens the trace of --other with what cosines need of it.
absl::StatusOr<v1::OpenTraceResponse> OpenOther(const Arguments& arguments, v1::Site site,
                                                Session& session) {
  auto other = RunSource::OfText(arguments.String("other"), session.model(), arguments, session);
  if (!other.ok()) return other.status();
  v1::OpenTraceRequest request;
  request.set_model(session.model());
  *request.mutable_prompt() = other->prompt();
  KeepSite(site, request.mutable_keep());
  return Ask(&Inspector::OpenTrace, request, session);
}

// ---- The answer ---------------------------------------------------------------------------------

std::string LayerName(v1::Site site, int layer) {
  if (site != v1::SITE_RESIDUAL) return absl::StrCat("layer ", layer);
  return layer == 0 ? "embed" : absl::StrCat("after ", layer - 1);
}

std::vector<std::string> PositionNames(const Activations& answer) {
  const auto tokens = VisibleWireTokens(answer.header.prompt());
  std::vector<std::string> names;
  for (int64_t position : answer.header.positions()) {
    names.push_back(absl::StrCat(position, " ", tokens[static_cast<size_t>(position)]));
  }
  return names;
}

// Norms: layers are rows, words columns; of sites with heads the heads stand below each layer.
std::string NormPicture(const Activations& answer, const Terminal& terminal) {
  Grid grid{.row_name = "", .columns = PositionNames(answer)};
  for (size_t i = 0; i < answer.layers.size(); ++i) {
    const int layer = answer.header.layers(static_cast<int>(i));
    const auto heads = static_cast<size_t>(std::max<int64_t>(1, answer.widths[i]));
    for (size_t head = 0; head < heads; ++head) {
      std::string name = LayerName(answer.header.site(), layer);
      if (HasHeads(answer.header.site())) {
        absl::StrAppend(&name, " head ", answer.header.heads(static_cast<int>(head)));
      }
      grid.rows.push_back(std::move(name));
      for (size_t row = 0; row < grid.columns.size(); ++row) {
        grid.values.push_back(answer.layers[i][row * heads + head]);
      }
    }
  }
  return absl::StrCat("Lengths of the vectors:\n", RenderGrid(grid, terminal));
}

// The columns of the other side to show: those of --other-position, or all.
struct OtherSide {
  std::vector<std::string> names;
  std::vector<int64_t> shown;
};

// Cosines: for each chosen word a picture of layers and the other side's words.
std::string CosinePicture(const Activations& answer, const OtherSide& other,
                          const Terminal& terminal) {
  const std::vector<std::string> names = PositionNames(answer);
  std::string text;
  const bool many_words = names.size() > kMostPictures && other.names.empty();
  if (many_words || answer.layers.size() == 1) {
    // Every word against every word, a picture for each of the last layers.
    const size_t skipped =
        answer.layers.size() > kMostPictures ? answer.layers.size() - kMostPictures : 0;
    for (size_t i = skipped; i < answer.layers.size(); ++i) {
      Grid grid{.row_name = "", .rows = names, .is_signed = true};
      for (int64_t column : other.shown) grid.columns.push_back(other.names[column]);
      if (other.names.empty()) grid.columns = names;
      const auto width = static_cast<size_t>(answer.widths[i]);
      for (size_t row = 0; row < names.size(); ++row) {
        for (size_t column = 0; column < grid.columns.size(); ++column) {
          const size_t at = other.names.empty() ? column : static_cast<size_t>(other.shown[column]);
          grid.values.push_back(answer.layers[i][row * width + at]);
        }
      }
      absl::StrAppend(&text, "Cosines, ",
                      LayerName(answer.header.site(), answer.header.layers(static_cast<int>(i))),
                      ":\n", RenderGrid(grid, terminal));
    }
    if (skipped > 0) {
      absl::StrAppend(&text, Plural(static_cast<int64_t>(skipped), "earlier layer"),
                      " left out; choose with --layer, or --json has them all.\n");
    }
    return text;
  }
  for (size_t row = 0; row < names.size(); ++row) {
    Grid grid{.row_name = "", .is_signed = true};
    for (size_t i = 0; i < answer.layers.size(); ++i) {
      grid.rows.push_back(
          LayerName(answer.header.site(), answer.header.layers(static_cast<int>(i))));
      const auto width = static_cast<size_t>(answer.widths[i]);
      if (other.names.empty()) {
        for (size_t column = 0; column < width; ++column) {
          grid.values.push_back(answer.layers[i][row * width + column]);
        }
      }
      for (int64_t column : other.shown) {
        grid.values.push_back(answer.layers[i][row * width + static_cast<size_t>(column)]);
      }
    }
    for (int64_t column : other.shown) grid.columns.push_back(other.names[column]);
    if (other.names.empty()) grid.columns = names;
    absl::StrAppend(&text, "Cosine of ", names[row],
                    other.names.empty() ? " with the words of the same run"
                                        : " with the words of the other run",
                    ":\n", RenderGrid(grid, terminal));
  }
  return text;
}

std::string PcaPicture(const Activations& answer, const Terminal& terminal) {
  const std::vector<std::string> names = PositionNames(answer);
  std::string text;
  const size_t skipped =
      answer.layers.size() > kMostPictures ? answer.layers.size() - kMostPictures : 0;
  for (size_t i = skipped; i < answer.layers.size(); ++i) {
    const auto width = static_cast<size_t>(answer.widths[i]);
    absl::StrAppend(&text,
                    LayerName(answer.header.site(), answer.header.layers(static_cast<int>(i))),
                    ", along its directions of largest variance (");
    for (size_t d = 0; d < answer.explained_variance[i].size(); ++d) {
      absl::StrAppend(&text, d > 0 ? ", " : "",
                      absl::StrFormat("%.0f %%", 100 * answer.explained_variance[i][d]));
    }
    absl::StrAppend(&text, " of it):\n");
    std::vector<ScatterPoint> points;
    for (size_t row = 0; row < names.size(); ++row) {
      const float* const at = answer.layers[i].data() + row * width;
      points.push_back({at[0], width > 1 ? at[1] : 0.0, names[row]});
    }
    absl::StrAppend(&text, RenderScatter(points, width > 1 ? kScatterRows : 3, terminal));
  }
  return text;
}

std::string VectorPicture(const Activations& answer, const Terminal& terminal) {
  const std::vector<std::string> names = PositionNames(answer);
  Table table({{"layer"}, {"word"}, {absl::StrCat("first of ", answer.widths[0], " elements")}});
  for (size_t i = 0; i < answer.layers.size(); ++i) {
    const auto width = static_cast<size_t>(answer.widths[i]);
    for (size_t row = 0; row < names.size(); ++row) {
      std::string elements;
      for (size_t e = 0; e < std::min<size_t>(width, kShownElements); ++e) {
        absl::StrAppend(&elements, absl::StrFormat("%9.4f", answer.layers[i][row * width + e]));
      }
      table.AddRow({LayerName(answer.header.site(), answer.header.layers(static_cast<int>(i))),
                    names[row], elements});
    }
  }
  return absl::StrCat(table.Render(terminal), "--npy and --json have them whole.\n");
}

void WriteJson(const Activations& answer, Session& session) {
  JsonWriter json(session.out());
  json.BeginObject().Key("header");
  WriteWireMessage(json, answer.header);
  if (answer.other.tokens_size() > 0) {
    json.Key("other_prompt");
    WriteWireMessage(json, answer.other);
  }
  json.Key("layers").BeginArray();
  for (size_t i = 0; i < answer.layers.size(); ++i) {
    json.BeginObject().Key("layer").Int(answer.header.layers(static_cast<int>(i)));
    json.Key("values").BeginArray();
    const auto width = static_cast<size_t>(answer.widths[i]);
    for (size_t at = 0; at < answer.layers[i].size(); ++at) {
      if (at % width == 0) json.BeginArray();
      json.Float(answer.layers[i][at]);
      if ((at + 1) % width == 0) json.EndArray();
    }
    json.EndArray();
    if (!answer.explained_variance[i].empty()) {
      json.Key("explained_variance").BeginArray();
      for (double share : answer.explained_variance[i]) json.Number(share);
      json.EndArray();
    }
    json.EndObject();
  }
  json.EndArray().Key("timings_ms");
  WriteWireMessage(json, answer.end.timings());
  json.EndObject();
  json.EndLine();
}

absl::Status WriteNpyFile(const Activations& answer, const Arguments& arguments, Session& session) {
  std::vector<float> values;
  for (const std::vector<float>& layer : answer.layers) {
    values.insert(values.end(), layer.begin(), layer.end());
  }
  const std::vector<int64_t> shape = {static_cast<int64_t>(answer.layers.size()),
                                      answer.header.positions_size(), answer.widths.front()};
  return WriteOutputFile(
      session, arguments.String("npy"),
      absl::StrCat("float32 [", shape[0], " layers, ", shape[1], " positions, ", shape[2], "]"),
      [&](std::ostream& file) { return WriteNpy(file, shape, values); });
}

// The words of the other side, and which of them to show.
absl::StatusOr<OtherSide> ReadOtherSide(const Arguments& arguments, const Activations& answer,
                                        const std::string& other_trace, Session& session) {
  OtherSide other;
  const auto tokens = VisibleWireTokens(answer.other);
  for (size_t i = 0; i < tokens.size(); ++i) {
    other.names.push_back(absl::StrCat(i, " ", tokens[i]));
  }
  RunSource source = RunSource::OfTrace(other_trace, session);
  google::protobuf::RepeatedField<int64_t> shown;
  if (absl::Status s = source.ReadPositions(arguments, "other-position", &shown); !s.ok()) return s;
  for (int64_t position : shown) {
    const int64_t at = position < 0 ? position + static_cast<int64_t>(tokens.size()) : position;
    if (at < 0 || at >= static_cast<int64_t>(tokens.size())) {
      return UsageError(absl::StrCat("--other-position=", position, " is past the other run's ",
                                     Plural(static_cast<int64_t>(tokens.size()), "token"), "."));
    }
    other.shown.push_back(at);
  }
  if (shown.empty()) {
    for (size_t i = 0; i < tokens.size(); ++i) other.shown.push_back(static_cast<int64_t>(i));
  }
  return other;
}

// The tokens of a trace, which no call asks for alone.
absl::StatusOr<v1::PromptInfo> PromptOfTrace(const std::string& trace_id, Session& session) {
  v1::ExplainRowRequest request;
  request.set_trace_id(trace_id);
  request.set_query(-1);
  const auto row = Ask(&Inspector::ExplainRow, request, session);
  if (!row.ok()) return row.status();
  return row->prompt();
}

absl::Status RunActivations(const Arguments& arguments, Session& session) {
  auto source = RunSource::Read(arguments, session);
  if (!source.ok()) return source.status();
  v1::GetActivationsRequest request;
  if (absl::Status s = ReadRequest(arguments, *source, &request); !s.ok()) return s;
  if (arguments.Has("other") && arguments.Has("other-trace")) {
    return UsageError("both --other and --other-trace are given; give one of them.");
  }
  std::string other_trace = arguments.String("other-trace");
  v1::PromptInfo other_prompt;
  TraceCloser closer(session);
  if (arguments.Has("other")) {
    const auto opened = OpenOther(arguments, request.site(), session);
    if (!opened.ok()) return opened.status();
    other_trace = opened->trace().trace_id();
    closer.Close(other_trace);
    request.mutable_cosines()->set_other_trace_id(other_trace);
    other_prompt = opened->prompt();
  } else if (!other_trace.empty()) {
    auto prompt = PromptOfTrace(other_trace, session);
    if (!prompt.ok()) return prompt.status();
    other_prompt = *std::move(prompt);
  } else if (arguments.Has("other-position")) {
    return UsageError("--other-position needs --other or --other-trace.");
  }
  if (arguments.Has("estimate")) return PrintEstimate(request, session);
  auto answer = Fetch(request, session);
  if (!answer.ok()) return answer.status();
  answer->other = std::move(other_prompt);
  const auto other = ReadOtherSide(arguments, *answer, other_trace, session);
  if (!other.ok()) return other.status();
  if (arguments.Has("npy")) {
    if (absl::Status s = WriteNpyFile(*answer, arguments, session); !s.ok()) return s;
  }
  if (session.json()) {
    WriteJson(*answer, session);
    return absl::OkStatus();
  }
  if (arguments.Has("npy")) return absl::OkStatus();
  const Terminal& terminal = session.terminal();
  session.out() << (request.has_norms()     ? NormPicture(*answer, terminal)
                    : request.has_cosines() ? CosinePicture(*answer, *other, terminal)
                    : request.has_pca()     ? PcaPicture(*answer, terminal)
                                            : VectorPicture(*answer, terminal));
  PrintProvenance(answer->header.provenance(), answer->header.prompt(), answer->end.timings(),
                  session);
  return absl::OkStatus();
}

}  // namespace

Verb ActivationsVerb() {
  return {
      .name = "activations",
      .operands = "PROMPT",
      .max_operands = 1,
      .summary = "The vectors inside a run: lengths, cosines, a map of them.",
      .description =
          "norms shows how long the vectors are, layer by layer; cosines how alike those of two "
          "words are, of the same run or of another one (--other); pca draws the words along the "
          "directions in which they differ most; vectors gives the numbers themselves. The "
          "residual stream is read before each layer and after the last one: the first are the "
          "embeddings, which a word has wherever it stands.",
      .example =
          "heed activations \"the boat near the bank\" --position=bank --other=\"the money at the "
          "bank\"",
      .options = JoinOptions(
          {{{"form", "NAME", "norms (the default), cosines, pca or vectors."},
            {"site", "NAME",
             "residual (the default), residual-mid, attention, mlp, query, key, value or mixed."},
            {"position", "WORD", "Only these words or positions; default all.", true},
            {"other", "PROMPT", "Cosines with the words of another prompt's run."},
            {"other-trace", "ID", "The same as a trace that keeps the site."},
            {"other-position", "WORD", "Only these words of the other run.", true},
            {"dimensions", "N", "pca: how many, 1 to 16; the first two are drawn. Default 2."},
            {"npy", "FILE", "Write the numbers as float32 [layers, positions, width]."}},
           SelectionOptions(),
           EditOptions(),
           EditScopeOptions(),
           RunOptions()}),
      .run = RunActivations};
}

}  // namespace heed::cli
