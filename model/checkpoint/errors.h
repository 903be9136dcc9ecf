// The ways in which a checkpoint can be refused, each with its published reason.
#ifndef HEED_MODEL_CHECKPOINT_ERRORS_H_
#define HEED_MODEL_CHECKPOINT_ERRORS_H_

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "model/base/error.h"

namespace heed {

// There is no such folder, file or tensor.
inline absl::Status CheckpointNotFound(absl::string_view message) {
  return MakeError(absl::StatusCode::kNotFound, "CHECKPOINT_NOT_FOUND", message);
}

// Damaged, or contradicts itself.
inline absl::Status CheckpointInvalid(absl::string_view message) {
  return MakeError(absl::StatusCode::kInvalidArgument, "CHECKPOINT_INVALID", message);
}

// Sound as far as heed can tell, but of a kind that heed does not know.
inline absl::Status CheckpointUnsupported(absl::string_view message) {
  return MakeError(absl::StatusCode::kUnimplemented, "CHECKPOINT_UNSUPPORTED", message);
}

// Changed while it was being read, or holds values that no training run means to write.
inline absl::Status CheckpointDataLoss(absl::string_view message) {
  return MakeError(absl::StatusCode::kDataLoss, "CHECKPOINT_DATA_LOSS", message);
}

}  // namespace heed

#endif  // HEED_MODEL_CHECKPOINT_ERRORS_H_
