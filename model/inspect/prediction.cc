#include "model/inspect/prediction.h"

#include <algorithm>
#include <iterator>

#include "absl/strings/str_cat.h"
#include "model/base/error.h"

namespace heed {

std::vector<LensToken> Prediction::Top(int64_t k) const {
  std::vector<LensToken> top;
  for (TokenId id : FirstByRank(logits_, std::min<int64_t>(k, size()))) {
    top.push_back(Token(id, std::ssize(top) + 1));
  }
  return top;
}

absl::Status NonfiniteLogits(absl::StatusCode code, absl::string_view whose, int64_t position) {
  const bool are_edited = code == absl::StatusCode::kInvalidArgument;
  return MakeError(
      code, "NONFINITE_LOGITS",
      absl::StrCat(whose, " logits at position ", position, " hold a NaN or an infinity",
                   are_edited ? "; smaller edits keep them in range" : ""),
      {{"position", absl::StrCat(position)}});
}

}  // namespace heed
