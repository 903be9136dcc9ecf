// The pieces that the JSON of several verbs has in common. Field names follow the wire's, with the
// unit added where the name does not tell it (entropy_nats, timings_ms); they do not change once
// published.
#ifndef HEED_CLIENT_CLI_BASE_JSON_PARTS_H_
#define HEED_CLIENT_CLI_BASE_JSON_PARTS_H_

#include <cstdint>
#include <string>
#include <vector>

#include "client/cli/base/json.h"
#include "client/types.h"

namespace heed::cli {

// Each writes one value.
void WriteIdentity(JsonWriter& json, const ModelIdentity& identity);
// As the wire has it, the model with it.
void WriteProvenance(JsonWriter& json, const ModelIdentity& model, const Provenance& provenance);
void WriteToken(JsonWriter& json, const Token& token);
void WriteTokens(JsonWriter& json, const std::vector<Token>& tokens);
void WritePrompt(JsonWriter& json, const PromptInfo& prompt);
void WriteCandidate(JsonWriter& json, const Candidate& candidate);
void WriteCandidates(JsonWriter& json, const std::vector<Candidate>& candidates);
void WriteTimings(JsonWriter& json, const Timings& timings);
void WriteTexts(JsonWriter& json, const std::vector<std::string>& texts);

template <typename Range>
void WriteInts(JsonWriter& json, const Range& values) {
  json.BeginArray();
  for (int64_t value : values) json.Int(value);
  json.EndArray();
}

template <typename Range>
void WriteFloats(JsonWriter& json, const Range& values) {
  json.BeginArray();
  for (float value : values) json.Float(value);
  json.EndArray();
}

}  // namespace heed::cli

#endif  // HEED_CLIENT_CLI_BASE_JSON_PARTS_H_
