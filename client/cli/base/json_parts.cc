#include "client/cli/base/json_parts.h"

#include "absl/strings/escaping.h"
#include "absl/time/time.h"
#include "client/cli/base/format.h"

namespace heed::cli {

void WriteIdentity(JsonWriter& json, const ModelIdentity& identity) {
  json.BeginObject();
  json.Key("name").String(identity.name);
  json.Key("digest").String(identity.digest);
  json.EndObject();
}

void WriteProvenance(JsonWriter& json, const ModelIdentity& model, const Provenance& provenance) {
  json.BeginObject().Key("model");
  WriteIdentity(json, model);
  json.Key("compute_dtype").String(provenance.compute_dtype);
  json.Key("definition").String(provenance.definition);
  json.Key("intervention_count").Int(provenance.intervention_count);
  json.Key("counterfactual_mask").Bool(provenance.counterfactual_mask);
  json.Key("trace_id").String(provenance.trace_id);
  json.EndObject();
}

void WriteToken(JsonWriter& json, const Token& token) {
  json.BeginObject();
  json.Key("id").Int(token.id);
  json.Key("text").String(token.text);
  json.Key("bytes_base64").String(absl::Base64Escape(token.bytes));
  json.Key("piece").String(token.piece);
  json.Key("byte_begin").Int(token.byte_begin);
  json.Key("byte_end").Int(token.byte_end);
  json.Key("special").Bool(token.special);
  json.EndObject();
}

void WriteTokens(JsonWriter& json, const std::vector<Token>& tokens) {
  json.BeginArray();
  for (const Token& token : tokens) WriteToken(json, token);
  json.EndArray();
}

void WritePrompt(JsonWriter& json, const PromptInfo& prompt) {
  json.BeginObject();
  json.Key("tokens");
  WriteTokens(json, prompt.tokens);
  json.Key("dropped_token_count").Int(prompt.dropped_token_count);
  json.Key("truncation").String(Name(prompt.truncation));
  json.EndObject();
}

void WriteCandidate(JsonWriter& json, const Candidate& candidate) {
  json.BeginObject();
  json.Key("token");
  WriteToken(json, candidate.token);
  json.Key("probability").Number(candidate.probability);
  json.Key("log_probability").Number(candidate.log_probability);
  json.Key("rank").Int(candidate.rank);
  json.EndObject();
}

void WriteCandidates(JsonWriter& json, const std::vector<Candidate>& candidates) {
  json.BeginArray();
  for (const Candidate& candidate : candidates) WriteCandidate(json, candidate);
  json.EndArray();
}

void WriteTimings(JsonWriter& json, const Timings& timings) {
  json.BeginObject();
  json.Key("tokenize").Number(absl::ToDoubleMilliseconds(timings.tokenize));
  json.Key("queue").Number(absl::ToDoubleMilliseconds(timings.queue));
  json.Key("compute").Number(absl::ToDoubleMilliseconds(timings.compute));
  json.Key("cached_token_count").Int(timings.cached_token_count);
  json.Key("draft_token_count").Int(timings.draft_token_count);
  json.Key("accepted_token_count").Int(timings.accepted_token_count);
  json.EndObject();
}

void WriteTexts(JsonWriter& json, const std::vector<std::string>& texts) {
  json.BeginArray();
  for (const std::string& text : texts) json.String(text);
  json.EndArray();
}

}  // namespace heed::cli
