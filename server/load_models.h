// The models that a server starts with.
#ifndef HEED_SERVER_LOAD_MODELS_H_
#define HEED_SERVER_LOAD_MODELS_H_

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "model/transformer/language_model.h"
#include "server/config.h"
#include "server/engine/registry.h"

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
// is an error. Options that no set of files could make right, such as --weights of a model that is
// not given, are WrongUsage.
//
// `log`, which may be empty, is told meanwhile how far a model is that takes more than a moment.
absl::StatusOr<LoadedModels> LoadModels(const ServerConfig& config,
                                        const std::function<void(absl::string_view)>& log = {});

// What the log says of a model's loading, and when: nothing of a quick one, of others every few
// seconds how far it is, and at last how long it took.
class LoadLog {
 public:
  using Clock = std::function<absl::Time()>;
  // `write` and `now` must outlive the log.
  LoadLog(absl::string_view model, const std::function<void(absl::string_view)>& write,
          const Clock& now);

  // As LoadOptions::progress.
  void Progress(absl::string_view stage, int64_t done, int64_t total);
  // `bytes`: what the model's weights take.
  void Finish(int64_t bytes, const LoadReport& report);

 private:
  const std::string model_;
  const std::function<void(absl::string_view)>& write_;
  const Clock& now_;
  const absl::Time start_;
  absl::Time last_;
};

}  // namespace heed

#endif  // HEED_SERVER_LOAD_MODELS_H_
