// The bound of every message the server sends.
#ifndef HEED_SERVER_CONVERT_REPLY_SIZE_H_
#define HEED_SERVER_CONVERT_REPLY_SIZE_H_

#include <cstdint>

#include "absl/status/status.h"

namespace heed {

// What a gRPC client takes unless told otherwise.
inline constexpr int64_t kMaxReplyBytes = int64_t{4} << 20;

// No candidate token takes less on the wire.
inline constexpr int64_t kMinCandidateBytes = 24;

// RESOURCE_EXHAUSTED (REPLY_TOO_LARGE) when a message of `bytes` is more than that.
absl::Status CheckReplyBytes(int64_t bytes);

}  // namespace heed

#endif  // HEED_SERVER_CONVERT_REPLY_SIZE_H_
