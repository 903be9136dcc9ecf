// Which models a folder of models holds, and what they are called.
#ifndef HEED_SERVER_FIND_MODELS_H_
#define HEED_SERVER_FIND_MODELS_H_

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"

namespace heed {

// A model to load.
struct ModelSource {
  std::string name;    // valid by IsValidModelName
  std::string folder;  // or the path of a GGUF file
  friend bool operator==(const ModelSource&, const ModelSource&) = default;
};

// The name of a model by its path: the last part of it in lower case, without ".gguf" and without
// the number of a part, and with '-' for whatever cannot stand in a name. Empty when nothing is
// left.
std::string ModelNameOf(const std::string& path);

// The models directly in `models_dir`:
//   a folder with a config.json, or with weights or a tokenizer without one, which is damaged;
//   a GGUF file; the parts of one model are one, by the path of the first;
//   the GGUF files of a folder without other weights: one has the folder's name, several their own.
// Hidden entries are left out. "decoder" comes first, then the other rungs of the shipped ladder
// from the lowest up, then the rest by name. Folders that cannot be read become warnings. NOT_FOUND
// when there is no model, INVALID_ARGUMENT when two have the same name or one has none.
absl::StatusOr<std::vector<ModelSource>> FindModels(const std::string& models_dir,
                                                    std::vector<std::string>* warnings);

// INVALID_ARGUMENT when two have the same name, with both paths.
absl::Status CheckDistinctNames(absl::Span<const ModelSource> models);

// Where the shipped models are: beside the installed program, else where the build put them. Empty
// when neither exists.
std::string ShippedModelsDir();

}  // namespace heed

#endif  // HEED_SERVER_FIND_MODELS_H_
