// The file that says on which port the server answers.
#ifndef HEED_SERVER_PORT_FILE_H_
#define HEED_SERVER_PORT_FILE_H_

#include <string>

#include "absl/status/status.h"

namespace heed {

// Whether WritePortFile could write here now, so that nobody waits for models first. No path is
// always right.
absl::Status CheckPortFile(const std::string& path);

// The port and a line feed. A file appears whole or not at all, so whoever waits for it never reads
// half of it; a device, a pipe or a symbolic link is written to as it is. Without a path, nothing.
absl::Status WritePortFile(const std::string& path, int port);

}  // namespace heed

#endif  // HEED_SERVER_PORT_FILE_H_
