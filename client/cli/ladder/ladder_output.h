// The ladder as text and as JSON.
#ifndef HEED_CLIENT_CLI_LADDER_LADDER_OUTPUT_H_
#define HEED_CLIENT_CLI_LADDER_LADDER_OUTPUT_H_

#include <string>
#include <vector>

#include "client/cli/base/json.h"
#include "client/cli/base/session.h"
#include "client/cli/ladder/ladder.h"

namespace heed::cli {

// Of one prompt: for each rung what it looked at and what it expects. Of two: what each rung
// expects after either and how far apart that is, then what it looked at.
void PrintLadder(const Ladder& ladder, Session& session);

// Everything as one JSON object; what a rung could not answer has an "error" in its place.
void WriteLadderJson(const Ladder& ladder, JsonWriter& json);

// ---- Sentences for people, also for the page ----------------------------------------------------

// "1 average"; "- NAME" for a model that is not of the shipped ladder.
std::string RungTitle(const Rung& rung);

bool HasOneHead(const Rung& rung);

// "layer 3 head 4", or "looks at" when there is only one head.
std::string LookTitle(const Rung& rung, const Look& look);

// How far two answers are apart, in one line.
std::string Verdict(const Comparison& comparison);

// What the rungs together show about two prompts, a line each; nothing for one prompt.
std::vector<std::string> Lesson(const Ladder& ladder);

// How the prompt was changed for which models, a line each.
std::vector<std::string> NoteLines(const Ladder& ladder);

// Words that are read in pieces, a line each.
std::vector<std::string> PieceLines(const Ladder& ladder);

// What the numbers mean.
std::string LadderLegend(const Ladder& ladder);

// Which rungs are not loaded; empty when all are.
std::string MissingLine(const Ladder& ladder);

}  // namespace heed::cli

#endif  // HEED_CLIENT_CLI_LADDER_LADDER_OUTPUT_H_
