#include "server/load_models.h"

#include <filesystem>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

#include "absl/algorithm/container.h"
#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "absl/strings/strip.h"
#include "absl/time/clock.h"
#include "model/base/layer_names.h"
#include "model/base/status_macros.h"
#include "server/describe_model.h"
#include "server/engine/nearest_name.h"
#include "server/find_models.h"
#include "server/wrong_usage.h"

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
  const absl::StatusOr<std::vector<ModelSource>> found = FindModels(dir, warnings);
  if (found.ok()) {
    models.insert(models.end(), found->begin(), found->end());
  } else if (absl::IsNotFound(found.status()) && config.allow_missing && !models.empty()) {
    warnings->push_back(std::string(found.status().message()));
  } else {
    return found.status();
  }
  const absl::Status distinct = CheckDistinctNames(models);
  if (!distinct.ok()) return WrongUsage(distinct.message());
  return models;
}

// Wrong usage for the first key of an option's NAME=... that no model is called.
template <typename Value>
absl::Status CheckNamed(absl::string_view flag, const std::map<std::string, Value>& by_model,
                        absl::Span<const ModelSource> models) {
  std::vector<std::string> names;
  for (const ModelSource& model : models) names.push_back(model.name);
  for (const auto& [name, value] : by_model) {
    if (absl::c_linear_search(names, name)) continue;
    const std::string near = NearestName(name, names);
    return WrongUsage(absl::StrCat(flag, ": no model is called \"", name, "\"; ",
                                   near.empty()
                                       ? absl::StrCat("say one of ", absl::StrJoin(names, ", "))
                                       : absl::StrCat("did you mean \"", near, "\"?")));
  }
  return absl::OkStatus();
}

absl::Status CannotLoad(const ModelSource& source, const absl::Status& status) {
  return absl::Status(status.code(),
                      absl::StrCat("cannot load ", source.folder, ": ", status.message()));
}

bool IsAbsent(const ModelSource& source) {
  std::error_code error;
  return !std::filesystem::exists(source.folder, error);
}

constexpr char kStartsWithout[] = "; starting without it";

absl::Status NoneLeft(const std::vector<std::string>& warnings) {
  return absl::NotFoundError(
      absl::StrCat("none of the models could be loaded, so there is nothing to serve; the first: ",
                   absl::StripSuffix(warnings.front(), kStartsWithout)));
}

// Tensors that a checkpoint has besides may be of a part that heed does not answer from, or a sign
// that it is not what it says.
void AddNotes(const ServedModel& model, const ModelSource& source,
              std::vector<std::string>* notes) {
  const KvPool& pool = *model.kv_pool;
  if (pool.layout().type != KvType::kF32) {
    notes->push_back(absl::StrCat(source.name, " keeps keys and values in ",
                                  KvTypeName(pool.layout().type), ": room for ",
                                  pool.total_pages() * kPageTokens, " tokens"));
  }
  if (model.tokenizer == nullptr) {
    notes->push_back(absl::StrCat(source.name, " has no tokenizer: prompts are token ids"));
  }
  const std::vector<std::string> unused = UnusedTensors(source.folder, model.model->config());
  if (unused.empty()) return;
  notes->push_back(absl::StrCat(source.name, " does not use ", unused.size(), " of the tensors in ",
                                source.folder, ": ", SomeNames(unused)));
}

// Between two lines of one model's log, and what is too quick to be told of.
constexpr absl::Duration kLogInterval = absl::Seconds(2);
constexpr absl::Duration kQuick = absl::Seconds(1);

}  // namespace

LoadLog::LoadLog(absl::string_view model, const std::function<void(absl::string_view)>& write,
                 const Clock& now)
    : model_(model), write_(write), now_(now), start_(now()), last_(start_) {}

void LoadLog::Progress(absl::string_view stage, int64_t done, int64_t total) {
  const absl::Time now = now_();
  if (now - last_ < kLogInterval || total == 0) return;
  last_ = now;
  const bool is_bytes = stage == "checking";
  write_(absl::StrFormat(
      "%s %s: %d %% of %.*f %s", stage, model_,
      static_cast<int64_t>(100.0 * static_cast<double>(done) / static_cast<double>(total)),
      is_bytes ? 1 : 0, static_cast<double>(total) / (is_bytes ? 1e9 : 1e6),
      is_bytes ? "GB" : "M parameters"));
}

void LoadLog::Finish(int64_t bytes, const LoadReport& report) {
  const absl::Duration took = now_() - start_;
  if (took < kQuick) return;
  const double seconds = absl::ToDoubleSeconds(took);
  write_(absl::StrFormat("loaded %s in %.1f s: %.2f GB of weights at %.2f GB/s%s", model_, seconds,
                         static_cast<double>(bytes) / 1e9,
                         static_cast<double>(bytes) / 1e9 / seconds,
                         report.from_packed_copy   ? ", from the packed copy"
                         : report.made_packed_copy ? "; the next start has a packed copy"
                                                   : ""));
}

LoadOptions LoadOptionsOf(const ServerConfig& config) {
  return {.kv_cache_bytes = config.kv_cache_mib << 20,
          .weights = config.weights,
          .kv_type = config.kv_type,
          .pack_cache = config.pack_cache};
}

absl::StatusOr<LoadedModels> LoadModels(const ServerConfig& config,
                                        const std::function<void(absl::string_view)>& log) {
  static const LoadLog::Clock& clock = *new LoadLog::Clock(absl::Now);
  LoadedModels loaded;
  HEED_ASSIGN_OR_RETURN(std::vector<ModelSource> sources, ChooseModels(config, &loaded.warnings));
  HEED_RETURN_IF_ERROR(CheckNamed("--weights", config.weights_by_model, sources));
  HEED_RETURN_IF_ERROR(CheckNamed("--kv-cache-type", config.kv_type_by_model, sources));
  LoadOptions options = LoadOptionsOf(config);
  // One that is not there ends it all, before the others have taken their time.
  const auto absent = absl::c_find_if(sources, IsAbsent);
  if (absent != sources.end() && !config.allow_missing) sources = {*absent};
  for (const ModelSource& source : sources) {
    options.weights = config.weights_of(source.name);
    options.kv_type = config.kv_type_of(source.name);
    std::optional<LoadLog> load_log;
    if (log) {
      load_log.emplace(source.name, log, clock);
      options.progress = [&](absl::string_view stage, int64_t done, int64_t total) {
        load_log->Progress(stage, done, total);
      };
    }
    absl::StatusOr<std::shared_ptr<const ServedModel>> model =
        LoadServedModel(source.name, source.folder, options);
    if (!model.ok()) {
      const absl::Status status = CannotLoad(source, model.status());
      if (!config.allow_missing) return status;
      loaded.warnings.push_back(absl::StrCat(status.message(), kStartsWithout));
      continue;
    }
    if (load_log) load_log->Finish((*model)->model->weight_bytes(), (*model)->report);
    for (const std::string& warning : (*model)->warnings) {
      loaded.warnings.push_back(absl::StrCat(source.name, " ", warning));
    }
    AddNotes(**model, source, &loaded.notes);
    const absl::Status added = loaded.registry.Add(*std::move(model));
    if (!added.ok()) return CannotLoad(source, added);
  }
  if (loaded.registry.models().empty()) return NoneLeft(loaded.warnings);
  return loaded;
}

}  // namespace heed
