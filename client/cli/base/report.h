// What people read when a command fails.
#ifndef HEED_CLIENT_CLI_BASE_REPORT_H_
#define HEED_CLIENT_CLI_BASE_REPORT_H_

#include <map>
#include <string>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "client/cli/base/json.h"
#include "client/cli/base/terminal.h"

namespace heed::cli {

// What was typed for fields of a request, by their paths: "--ablate=9.1" for "interventions[0]".
using FieldNames = std::map<std::string, std::string>;

// The message of a failed command, "heed: ..." with further lines indented under it: what was
// wrong, then what to type next where that is known. `server` is the address that was asked.
std::string FormatError(const absl::Status& status, const std::string& server, bool interrupted,
                        const Terminal& terminal = {}, const FieldNames& names = {});

// The same as running text without "heed: ", to stand among other answers.
std::string ErrorSummary(const absl::Status& status, const std::string& server);

// The same for programs: one line of JSON with code, reason, message, metadata and wrong_fields.
std::string FormatErrorJson(const absl::Status& status);

// The object of that line.
void WriteErrorJson(JsonWriter& json, const absl::Status& status);

// What fills a request field: the nearest of `names`, with the part of it that the field is
// ("--ablate=9.1: layer"), or the option that always does ("--top-p" for "sampling.top_p"). Empty
// when none does.
std::string OptionForField(absl::string_view field, const FieldNames& names = {});

}  // namespace heed::cli

#endif  // HEED_CLIENT_CLI_BASE_REPORT_H_
