// heed describe PATH: models on disk. The client knows nothing of checkpoints, so heed-server
// answers.
#ifndef HEED_CLIENT_CLI_VERBS_DESCRIBE_PATH_H_
#define HEED_CLIENT_CLI_VERBS_DESCRIBE_PATH_H_

#include <string>

#include "absl/status/status.h"

namespace heed::cli {

// Whether `argument` cannot be a served model's name: it has a '/', or ends as weights do.
bool IsPlainlyAPath(const std::string& argument);

bool ExistsOnDisk(const std::string& path);

// Becomes heed-server, which writes the description and ends with 0 for a model that it can serve
// and 1 for one that it refuses. It is looked for beside this program, then in PATH. Returns only
// if there is none, with NOT_FOUND.
absl::Status DescribePath(const std::string& path, bool json);

}  // namespace heed::cli

#endif  // HEED_CLIENT_CLI_VERBS_DESCRIBE_PATH_H_
