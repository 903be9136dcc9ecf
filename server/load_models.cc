#include "server/load_models.h"

#include <memory>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "model/base/status_macros.h"
#include "server/describe_model.h"
#include "server/find_models.h"

namespace heed {
namespace {

absl::Status NoModels() {
  return absl::NotFoundError(
      "no model was given and none is shipped here; give one: --model=name=folder");
}

// A folder of models without any becomes a warning where that is allowed and others are given.
absl::StatusOr<std::vector<ModelSource>> ChooseModels(const ServerConfig& config,
                                                      std::vector<std::string>* warnings) {
  std::vector<ModelSource> models = config.models;
  std::string dir = config.models_dir;
  if (dir.empty() && models.empty()) dir = ShippedModelsDir();
  if (dir.empty()) {
    if (models.empty()) return NoModels();
    return models;
  }
  const absl::StatusOr<std::vector<ModelSource>> found = FindModels(dir);
  if (found.ok()) {
    models.insert(models.end(), found->begin(), found->end());
  } else if (absl::IsNotFound(found.status()) && config.allow_missing && !models.empty()) {
    warnings->push_back(std::string(found.status().message()));
  } else {
    return found.status();
  }
  HEED_RETURN_IF_ERROR(CheckDistinctNames(models));
  return models;
}

absl::Status CannotLoad(const ModelSource& source, const absl::Status& status) {
  return absl::Status(status.code(),
                      absl::StrCat("cannot load ", source.folder, ": ", status.message()));
}

absl::Status NoneLeft(const std::vector<std::string>& warnings) {
  return absl::NotFoundError(
      absl::StrCat("none of the models could be loaded, so there is nothing to serve; the first: ",
                   warnings.front()));
}

// Tensors that a checkpoint has besides may be of a part that heed does not answer from, or a sign
// that it is not what it says.
void AddNote(const ServedModel& model, const ModelSource& source, std::vector<std::string>* notes) {
  const std::vector<std::string> unused = UnusedTensors(source.folder, model.model->config());
  if (unused.empty()) return;
  notes->push_back(absl::StrCat(source.name, " does not use ", unused.size(), " of the tensors in ",
                                source.folder, ": ", SomeNames(unused)));
}

}  // namespace

LoadOptions LoadOptionsOf(const ServerConfig& config) {
  return {.kv_cache_bytes = config.kv_cache_mib << 20, .weights = config.weights};
}

absl::StatusOr<LoadedModels> LoadModels(const ServerConfig& config) {
  LoadedModels loaded;
  HEED_ASSIGN_OR_RETURN(const std::vector<ModelSource> sources,
                        ChooseModels(config, &loaded.warnings));
  LoadOptions options = LoadOptionsOf(config);
  for (const ModelSource& source : sources) {
    options.weights = config.weights_of(source.name);
    absl::StatusOr<std::shared_ptr<const ServedModel>> model =
        LoadServedModel(source.name, source.folder, options);
    if (!model.ok()) {
      const absl::Status status = CannotLoad(source, model.status());
      if (!config.allow_missing) return status;
      loaded.warnings.push_back(absl::StrCat(status.message(), "; starting without it"));
      continue;
    }
    for (const std::string& warning : (*model)->warnings) {
      loaded.warnings.push_back(absl::StrCat(source.name, " ", warning));
    }
    AddNote(**model, source, &loaded.notes);
    const absl::Status added = loaded.registry.Add(*std::move(model));
    if (!added.ok()) return CannotLoad(source, added);
  }
  if (loaded.registry.models().empty()) return NoneLeft(loaded.warnings);
  return loaded;
}

}  // namespace heed
