#include "server/convert/reply_size.h"

#include "absl/strings/str_cat.h"
#include "model/base/error.h"

namespace heed {

absl::Status CheckReplyBytes(int64_t bytes) {
  if (bytes <= kMaxReplyBytes) return absl::OkStatus();
  return MakeError(
      absl::StatusCode::kResourceExhausted, "REPLY_TOO_LARGE",
      absl::StrCat("the answer would take ", bytes, " bytes or more and the limit is ",
                   kMaxReplyBytes, "; ask for less in one call"),
      {{"reply_bytes", absl::StrCat(bytes)}, {"limit_bytes", absl::StrCat(kMaxReplyBytes)}});
}

}  // namespace heed
