// The server's log: one line an event, for people on a terminal and as JSON elsewhere. Only the
// server logs; the engine does not.
#ifndef HEED_SERVER_LOG_H_
#define HEED_SERVER_LOG_H_

#include <string>

#include "absl/strings/string_view.h"
#include "server/config.h"

namespace heed {

// Chooses format and level, and sends the messages of gRPC's and protobuf's own logs here. To be
// called once, at start.
void SetUpLog(const ServerConfig& config);

void LogInfo(absl::string_view message);
void LogWarning(absl::string_view message);
void LogError(absl::string_view message);

}  // namespace heed

#endif  // HEED_SERVER_LOG_H_
