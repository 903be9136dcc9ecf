#include "model/checkpoint/head_check.h"

#include "absl/strings/str_cat.h"
#include "model/checkpoint/errors.h"
#include "model/checkpoint/size_limits.h"

namespace heed {

absl::Status CheckHeads(absl::string_view where, const HeadNames& names, const ModelConfig& model) {
  if (model.n_heads % model.n_kv_heads != 0) {
    return CheckpointInvalid(absl::StrCat(where, ": ", names.n_heads, " is ", model.n_heads,
                                          "; it must be a multiple of ", names.n_kv_heads, ", ",
                                          model.n_kv_heads));
  }
  if (model.position == PositionKind::kRope && model.rotary_dim == 0 && model.head_dim % 2 != 0) {
    return CheckpointInvalid(absl::StrCat(where, ": ", names.head_dim, " is ", model.head_dim,
                                          "; rotary positions need an even number"));
  }
  if (model.head_dim > kHeadDimRange.max || model.query_width() > kWidthRange.max) {
    return CheckpointInvalid(absl::StrCat(where, ": ", model.n_heads, " heads of ", model.head_dim,
                                          " are too large; at most ", kHeadDimRange.max, " and ",
                                          kWidthRange.max, " together are allowed"));
  }
  return absl::OkStatus();
}

}  // namespace heed
