// The models that a server starts with.
#ifndef HEED_SERVER_LOAD_MODELS_H_
#define HEED_SERVER_LOAD_MODELS_H_

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "server/config.h"
#include "server/registry.h"

namespace heed {

struct LoadedModels {
  Registry registry;                  // holds at least one model
  std::vector<std::string> warnings;  // for the log, each a whole sentence
  std::vector<std::string> notes;     // the same, of what is no fault
};

// How models are loaded with this configuration.
LoadOptions LoadOptionsOf(const ServerConfig& config);

// Loads the models given, then those of --models-dir, or else the shipped ones; the first is the
// default model. A model that cannot be loaded fails the whole, with its folder, file and reason;
// with `config.allow_missing` it becomes a warning and is left out, and only when none is left it
// is an error.
absl::StatusOr<LoadedModels> LoadModels(const ServerConfig& config);

}  // namespace heed

#endif  // HEED_SERVER_LOAD_MODELS_H_
