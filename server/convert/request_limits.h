// What one call may ask for.
#ifndef HEED_SERVER_CONVERT_REQUEST_LIMITS_H_
#define HEED_SERVER_CONVERT_REQUEST_LIMITS_H_

#include <cstdint>

namespace heed {

struct RequestLimits {
  int64_t max_prompt_bytes = int64_t{1} << 20;
  int64_t max_attention_bytes = int64_t{256} << 20;
};

// Elements of a list of ids, positions, spans, layers or heads.
inline constexpr int64_t kMaxListed = 65536;

// Of the whole distributions of one reply, and of the attention rows in one message of Generate.
inline constexpr int64_t kMaxReplyTensorBytes = int64_t{3} << 20;

// Of one tensor.
inline constexpr int64_t kMaxTensorBytes = int64_t{1} << 20;

}  // namespace heed

#endif  // HEED_SERVER_CONVERT_REQUEST_LIMITS_H_
