#include "client/cli/base/json_parts.h"
#include "client/cli/base/report.h"
#include "client/cli/ladder/ladder_output.h"

namespace heed::cli {
namespace {

void WriteLook(JsonWriter& json, const Look& look) {
  json.BeginObject();
  json.Key("layer").Int(look.layer);
  json.Key("head").Int(look.head);
  json.Key("reason").String(look.reason);
  json.Key("weights");
  WriteFloats(json, look.weights);
  json.Key("last_layer_mean_weights");
  WriteFloats(json, look.mean_weights);
  json.EndObject();
}

// The prediction's fields, into the answer's open object.
void WritePredicted(JsonWriter& json, const RungAnswer& answer) {
  json.Key("prompt");
  WritePrompt(json, answer.result.prompt);
  json.Key("position").Int(answer.prediction().position);
  json.Key("candidates");
  WriteCandidates(json, answer.prediction().candidates);
  json.Key("entropy_nats").Number(answer.prediction().entropy);
  if (answer.look_status.ok()) {
    json.Key("looks_at");
    WriteLook(json, answer.look);
  } else {
    json.Key("looks_at_error");
    WriteErrorJson(json, answer.look_status);
  }
  json.Key("timings_ms");
  WriteTimings(json, answer.result.timings);
}

void WriteAnswer(JsonWriter& json, const RungAnswer& answer) {
  json.BeginObject();
  json.Key("asked").String(answer.asked.text);
  json.Key("at_mask").Bool(answer.asked.at_mask);
  json.Key("note").String(answer.asked.note);
  if (answer.status.ok()) {
    WritePredicted(json, answer);
  } else {
    json.Key("error");
    WriteErrorJson(json, answer.status);
  }
  json.EndObject();
}

void WriteComparison(JsonWriter& json, const Comparison& comparison) {
  json.BeginObject();
  if (!comparison.status.ok()) {
    json.Key("error");
    WriteErrorJson(json, comparison.status);
    json.EndObject();
    return;
  }
  json.Key("identical").Bool(comparison.identical);
  json.Key("largest_difference").Number(comparison.largest_difference);
  if (!comparison.identical) {
    json.Key("token");
    WriteToken(json, comparison.token);
    json.Key("probabilities").BeginArray();
    for (double probability : comparison.probabilities) json.Number(probability);
    json.EndArray();
  }
  json.EndObject();
}

void WriteRung(JsonWriter& json, const RungReport& report) {
  json.BeginObject();
  json.Key("rung");
  report.rung.number ? json.Int(*report.rung.number) : json.Null();
  json.Key("model");
  WriteIdentity(json, report.rung.model.identity);
  json.Key("meaning").String(report.rung.meaning);
  json.Key("answers").BeginArray();
  for (const RungAnswer& answer : report.answers) WriteAnswer(json, answer);
  json.EndArray();
  if (report.comparison) {
    json.Key("comparison");
    WriteComparison(json, *report.comparison);
  }
  json.EndObject();
}

}  // namespace

void WriteLadderJson(const Ladder& ladder, JsonWriter& json) {
  json.BeginObject().Key("prompts").BeginArray();
  for (const std::string& prompt : ladder.prompts) json.String(prompt);
  json.EndArray().Key("missing").BeginArray();
  for (const std::string& name : ladder.missing) json.String(name);
  json.EndArray().Key("rungs").BeginArray();
  for (const RungReport& report : ladder.rungs) WriteRung(json, report);
  json.EndArray().EndObject();
}

}  // namespace heed::cli
