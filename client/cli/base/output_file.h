// Files that a command writes.
#ifndef HEED_CLIENT_CLI_BASE_OUTPUT_FILE_H_
#define HEED_CLIENT_CLI_BASE_OUTPUT_FILE_H_

#include <ostream>
#include <string>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "client/cli/base/session.h"

namespace heed::cli {

// Writes `path` through `write`; "-" is the standard output. A plain file whole or not at all: a
// failed write leaves what was there before; a pipe, a device or what a symbolic link leads to as
// it comes. Says on standard error what was written, as "heed: wrote PATH (WHAT)".
absl::Status WriteOutputFile(const Session& session, const std::string& path,
                             const std::string& what,
                             absl::FunctionRef<absl::Status(std::ostream&)> write);

}  // namespace heed::cli

#endif  // HEED_CLIENT_CLI_BASE_OUTPUT_FILE_H_
