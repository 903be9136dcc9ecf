// What people read when a command fails.
#ifndef HEED_CLIENT_CLI_BASE_REPORT_H_
#define HEED_CLIENT_CLI_BASE_REPORT_H_

#include <string>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "client/cli/base/json.h"
#include "client/cli/base/terminal.h"

namespace heed::cli {

// The message of a failed command, "heed: ..." with further lines indented under it: what was
// wrong, then what to type next where that is known. `server` is the address that was asked.
std::string FormatError(const absl::Status& status, const std::string& server, bool interrupted,
                        const Terminal& terminal = {});

// The same as running text without "heed: ", to stand among other answers.
std::string ErrorSummary(const absl::Status& status, const std::string& server);

// The same for programs: one line of JSON with code, reason, message, metadata and wrong_fields.
std::string FormatErrorJson(const absl::Status& status);

// The object of that line.
void WriteErrorJson(JsonWriter& json, const absl::Status& status);

// The option of the command line that fills a request field, "--top-p" for "sampling.top_p"; empty
// when none does.
std::string OptionForField(absl::string_view field);

}  // namespace heed::cli

#endif  // HEED_CLIENT_CLI_BASE_REPORT_H_
