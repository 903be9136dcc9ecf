#include "client/cli/pages/wire_parts.h"

#include "client/cli/base/format.h"
#include "client/cli/base/json_parts.h"
#include "client/cli/request/inspect_calls.h"

namespace heed::cli {

void WriteTokensOf(JsonWriter& json, const v1::PromptInfo& prompt) {
  PromptInfo info;
  info.dropped_token_count = prompt.dropped_token_count();
  info.truncation =
      prompt.truncation() == v1::TRUNCATION_LEFT ? Truncation::kLeft : Truncation::kRight;
  json.Key("tokens");
  WriteTexts(json, VisibleWireTokens(prompt));
  json.Key("dropped").String(FormatDropped(info));
}

void WritePageCandidate(JsonWriter& json, const v1::Candidate& candidate) {
  json.BeginObject();
  json.Key("token").String(VisibleWireToken(candidate.token()));
  json.Key("p").Number(candidate.probability());
  json.Key("rank").Int(candidate.rank());
  json.EndObject();
}

}  // namespace heed::cli
