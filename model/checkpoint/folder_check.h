// What to say about a folder that is no checkpoint.
#ifndef HEED_MODEL_CHECKPOINT_FOLDER_CHECK_H_
#define HEED_MODEL_CHECKPOINT_FOLDER_CHECK_H_

#include <string>
#include <vector>

#include "absl/status/status.h"

namespace heed {

inline constexpr char kConfigFile[] = "config.json";
inline constexpr char kWeightsFile[] = "model.safetensors";
inline constexpr char kIndexFile[] = "model.safetensors.index.json";

// Names of what is in the folder, sorted; nothing when it cannot be read.
std::vector<std::string> ListFolder(const std::string& folder);

bool IsFolder(const std::string& path);

// Whether the folder has weights in safetensors files.
bool HasSafetensors(const std::string& folder);

// The GGUF models of a folder, each by its only file or its first part.
std::vector<std::string> ListGgufModels(const std::string& folder);

// OK when `folder` is a folder with a config.json. Otherwise NOT_FOUND or, for something that is
// not a folder, INVALID_ARGUMENT; advises how to convert weights in a format that heed does not
// read.
absl::Status CheckFolder(const std::string& folder);

// `folder` has neither kWeightsFile nor kIndexFile: UNIMPLEMENTED with advice when its weights are
// in another format, NOT_FOUND when there seem to be none.
absl::Status ExplainMissingWeights(const std::string& folder);

}  // namespace heed

#endif  // HEED_MODEL_CHECKPOINT_FOLDER_CHECK_H_
