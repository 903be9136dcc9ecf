// heed activations: the vectors inside a run.
#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "client/cli/base/format.h"
#include "client/cli/base/npy.h"
#include "client/cli/base/output_file.h"
#include "client/cli/base/progress.h"
#include "client/cli/pages/export.h"
#include "client/cli/pages/inspect_pages.h"
#include "client/cli/request/edits.h"
#include "client/cli/request/estimate.h"
#include "client/cli/request/inspect_calls.h"
#include "client/cli/request/traces.h"
#include "client/cli/verbs/activations_output.h"
#include "client/cli/verbs/verbs.h"

namespace heed::cli {
namespace {

absl::StatusOr<Activations> Fetch(const v1::GetActivationsRequest& request, Session& session) {
  const auto inspector = MakeInspector(session);
  if (!inspector.ok()) return inspector.status();
  Progress progress(session, "reading activations");
  Activations result;
  result.form = request.form_case();
  double received = 0;
  const auto add_block = [&](const v1::ActivationBlock& block) {
    const auto& layers = result.header.layers();
    const auto at = std::find(layers.begin(), layers.end(), block.layer()) - layers.begin();
    const std::vector<float> values = TensorFloats(block.values());
    auto& layer = result.layers[static_cast<size_t>(at)];
    layer.insert(layer.end(), values.begin(), values.end());
    result.widths[static_cast<size_t>(at)] = block.values().shape(1);
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
      },
      session.call_options());
  if (!status.ok()) return status;
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

// The words of the other side that --other-position chooses.
absl::StatusOr<OtherSide> ReadOtherSide(const Arguments& arguments, const Activations& answer,
                                        const std::string& other_trace, Session& session) {
  OtherSide whole = WholeOtherSide(answer);
  if (answer.form == v1::GetActivationsRequest::kCosines &&
      answer.widths.front() != static_cast<int64_t>(whole.tokens.size())) {
    return absl::InternalError(absl::StrCat(
        "the server's answer is broken: ", answer.widths.front(), " cosines a row for the ",
        Plural(whole.tokens.size(), "token"), " of the other run"));
  }
  if (!arguments.Has("other-position")) return whole;
  RunSource source = RunSource::OfTrace(other_trace, session);
  google::protobuf::RepeatedField<int64_t> positions;
  absl::Status status = source.ReadPositions(arguments, "other-position", &positions);
  if (!status.ok()) return status;
  OtherSide chosen{.same_run = whole.same_run};
  const auto count = static_cast<int64_t>(whole.tokens.size());
  for (int64_t position : positions) {
    const int64_t at = position < 0 ? position + count : position;
    if (at < 0 || at >= count) {
      return UsageError(absl::StrCat("--other-position=", position, " is past the other run's ",
                                     Plural(count, "token"), "."));
    }
    chosen.tokens.push_back(whole.tokens[static_cast<size_t>(at)]);
    chosen.positions.push_back(at);
    chosen.columns.push_back(static_cast<size_t>(at));
  }
  return chosen;
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

// The trace of the other run, and its tokens; opened for --other, then `closer` closes it.
absl::Status ReadOtherRun(const Arguments& arguments, v1::Site site, Session& session,
                          TraceCloser& closer, std::string* trace_id, v1::PromptInfo* prompt) {
  *trace_id = arguments.String("other-trace");
  if (arguments.Has("other") && !trace_id->empty()) {
    return UsageError("both --other and --other-trace are given; give one of them.");
  }
  if (arguments.Has("other")) {
    auto opened = OpenOther(arguments, site, session);
    if (!opened.ok()) return opened.status();
    *trace_id = opened->trace().trace_id();
    closer.Close(*trace_id);
    *prompt = std::move(*opened->mutable_prompt());
  } else if (!trace_id->empty()) {
    auto told = PromptOfTrace(*trace_id, session);
    if (!told.ok()) return told.status();
    *prompt = *std::move(told);
  } else if (arguments.Has("other-position")) {
    return UsageError("--other-position needs --other or --other-trace.");
  }
  return absl::OkStatus();
}

absl::Status RunActivations(const Arguments& arguments, Session& session) {
  if (absl::Status s = CheckFileOptions(arguments); !s.ok()) return s;
  auto source = RunSource::Read(arguments, session);
  if (!source.ok()) return source.status();
  v1::GetActivationsRequest request;
  if (absl::Status s = ReadRequest(arguments, *source, &request); !s.ok()) return s;
  std::string other_trace;
  v1::PromptInfo other_prompt;
  TraceCloser closer(session);
  absl::Status status =
      ReadOtherRun(arguments, request.site(), session, closer, &other_trace, &other_prompt);
  if (!status.ok()) return status;
  if (!other_trace.empty()) request.mutable_cosines()->set_other_trace_id(other_trace);
  if (arguments.Has("estimate")) return PrintEstimate(request, session);
  auto answer = Fetch(request, session);
  if (!answer.ok()) return answer.status();
  answer->other = std::move(other_prompt);
  const auto other = ReadOtherSide(arguments, *answer, other_trace, session);
  if (!other.ok()) return other.status();
  if (arguments.Has("html")) {
    if (absl::Status s = CheckPageSize(*answer); !s.ok()) return s;
  }
  if (arguments.Has("npy")) {
    if (absl::Status s = WriteNpyFile(*answer, arguments, session); !s.ok()) return s;
  }
  const auto edits = [&] { return EditNames(arguments, *source); };
  const auto wrote = WroteFiles(
      arguments, session, [&] { return ActivationsPage(*answer, *other, edits()); },
      [&] { return ActivationsExport(*answer, *other, edits()); });
  if (!wrote.ok() || *wrote) return wrote.status();
  if (session.json()) {
    JsonWriter json(session.out());
    WriteActivationsJson(*answer, json);
    return absl::OkStatus();
  }
  if (arguments.Has("npy")) return absl::OkStatus();
  session.out() << ActivationsPicture(*answer, *other, session.terminal());
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
           FileOptions(),
           SelectionOptions(),
           EditOptions(),
           EditScopeOptions(),
           RunOptions()}),
      .run = RunActivations};
}

}  // namespace heed::cli
