// What to say about a folder that is no checkpoint.
#ifndef HEED_MODEL_CHECKPOINT_FOLDER_CHECK_H_
#define HEED_MODEL_CHECKPOINT_FOLDER_CHECK_H_

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"

namespace heed {

inline constexpr char kConfigFile[] = "config.json";
inline constexpr char kWeightsFile[] = "model.safetensors";
inline constexpr char kIndexFile[] = "model.safetensors.index.json";

// Names of what is in the folder, sorted. NOT_FOUND, INVALID_ARGUMENT for something that is not a
// folder, or why it cannot be read.
absl::StatusOr<std::vector<std::string>> ListFolder(const std::string& folder);

bool IsFolder(const std::string& path);

// Whether the folder has weights in safetensors files.
bool HasSafetensors(const std::string& folder);

// Of the names of a folder's files the GGUF models, each by its only file or its first part.
std::vector<std::string> GgufModelsAmong(absl::Span<const std::string> names);

// OK when `folder` is a folder with a config.json. Otherwise NOT_FOUND or as ListFolder; advises
// how to convert weights in a format that heed does not read.
absl::Status CheckFolder(const std::string& folder);

// `folder` has neither kWeightsFile nor kIndexFile: UNIMPLEMENTED with advice when its weights are
// in another format, NOT_FOUND when there seem to be none.
absl::Status ExplainMissingWeights(const std::string& folder);

}  // namespace heed

#endif  // HEED_MODEL_CHECKPOINT_FOLDER_CHECK_H_
