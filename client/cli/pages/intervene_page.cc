#include "client/cli/pages/intervene_page.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "client/cli/base/json_parts.h"
#include "client/cli/pages/wire_parts.h"
#include "client/cli/request/inspect_calls.h"

namespace heed::cli {
namespace {

constexpr char kNoEdit[] = "(none)";

void WriteNumbers(JsonWriter& json, const google::protobuf::RepeatedField<double>& values) {
  json.BeginArray();
  for (double value : values) json.Number(value);
  json.EndArray();
}

void WriteRun(JsonWriter& json, const std::string& name, const v1::InterveneResult& run) {
  json.BeginObject();
  json.Key("name").String(name);
  json.Key("values");
  WriteNumbers(json, run.values());
  json.Key("changes");
  WriteNumbers(json, run.deltas());
  json.Key("candidates").BeginArray();
  for (const v1::Candidate& candidate : run.candidates()) WritePageCandidate(json, candidate);
  json.EndArray();
  json.Key("counterfactual").Bool(run.counterfactual_mask());
  json.Key("problem").String(run.problem());
  json.EndObject();
}

// The numbers of one run, as many as there are metrics; those of a run that has none are unknown.
void AppendRow(const google::protobuf::RepeatedField<double>& values, size_t count, double missing,
               std::vector<float>* out) {
  for (size_t i = 0; i < count; ++i) {
    const bool is_known = i < static_cast<size_t>(values.size());
    out->push_back(static_cast<float>(is_known ? values.Get(static_cast<int>(i)) : missing));
  }
}

std::string BestToken(const v1::InterveneResult& run) {
  return run.candidates().empty() ? "" : PlainWireText(run.candidates(0).token());
}

}  // namespace

std::string IntervenePage(const v1::InterveneResponse& answer, const IntervenePageFacts& facts) {
  Page page(SourceOf(answer.provenance(), facts.base_edits));
  JsonWriter& json = page.json();
  WriteTokensOf(json, answer.prompt());
  json.Key("at_or_after").String(facts.at_or_after);
  json.Key("position");
  const auto place = PlaceOf(facts.metrics.metrics.front(), answer.prompt());
  place ? json.Int(*place) : json.Null();
  json.Key("metrics").BeginArray();
  for (size_t i = 0; i < facts.metrics.metrics.size(); ++i) {
    json.BeginObject();
    json.Key("name").String(LongName(facts.metrics, i));
    json.Key("kind").String(KindOf(facts.metrics.metrics[i]));
    json.EndObject();
  }
  json.EndArray();
  json.Key("base");
  WriteRun(json, kNoEdit, answer.base());
  json.Key("results").BeginArray();
  for (const v1::InterveneResult& result : answer.results()) {
    WriteRun(json, result.name(), result);
  }
  json.EndArray();
  return page.Finish(kInterveneScript, PageTitle("intervene", VisibleWireTokens(answer.prompt())));
}

Export InterveneExport(const v1::InterveneResponse& answer, const NamedMetrics& metrics,
                       const std::vector<std::string>& base_edits) {
  const size_t count = metrics.metrics.size();
  ExportTensor values{"value", {}, {}};
  ExportTensor changes{"change", {}, {}};
  ExportAxis edits{"edit", {kNoEdit}, {}};
  ExportAxis names{"metric", {}, {}};
  for (size_t i = 0; i < count; ++i) names.labels.push_back(LongName(metrics, i));
  std::vector<std::string> says = {BestToken(answer.base())};
  AppendRow(answer.base().values(), count, NAN, &values.values);
  AppendRow({}, count, 0, &changes.values);
  for (const v1::InterveneResult& result : answer.results()) {
    edits.labels.push_back(result.name());
    says.push_back(BestToken(result));
    AppendRow(result.values(), count, NAN, &values.values);
    AppendRow(result.deltas(), count, NAN, &changes.values);
  }
  Export file;
  file.axes = {std::move(edits), std::move(names)};
  file.tensors = {std::move(values), std::move(changes)};
  AddSource(SourceOf(answer.provenance(), base_edits), PlainWireTexts(answer.prompt()), &file);
  const bool has_words =
      std::any_of(says.begin(), says.end(), [](const std::string& word) { return !word.empty(); });
  if (has_words) file.metadata["best_tokens"] = JsonTexts(says);
  const auto place = PlaceOf(metrics.metrics.front(), answer.prompt());
  if (place) file.metadata["position"] = std::to_string(*place);
  return file;
}

}  // namespace heed::cli
