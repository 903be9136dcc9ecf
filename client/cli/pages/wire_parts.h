// Parts of the wire's answers as the data of pages have them.
#ifndef HEED_CLIENT_CLI_PAGES_WIRE_PARTS_H_
#define HEED_CLIENT_CLI_PAGES_WIRE_PARTS_H_

#include "client/cli/base/json.h"
#include "heed/v1/inspection.pb.h"

namespace heed::cli {

// Keys of an open object: "tokens" as people read them, and "dropped", what truncation took away.
void WriteTokensOf(JsonWriter& json, const v1::PromptInfo& prompt);

// {"token", "p", "rank"}.
void WritePageCandidate(JsonWriter& json, const v1::Candidate& candidate);

}  // namespace heed::cli

#endif  // HEED_CLIENT_CLI_PAGES_WIRE_PARTS_H_
