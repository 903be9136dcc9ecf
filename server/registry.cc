#include "server/registry.h"

#include <algorithm>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "model/base/error.h"
#include "model/base/status_macros.h"
#include "model/kernels/backend.h"
#include "model/transformer/transformer.h"
#include "server/catch_exceptions.h"
#include "server/nearest_name.h"

namespace heed {
namespace {

constexpr size_t kMaxNameLength = 64;

bool IsLowerAlnum(char c) {
  return absl::ascii_islower(c) || absl::ascii_isdigit(c);
}

absl::Status NotLoaded(absl::string_view wanted, const std::vector<std::string>& names) {
  // A client chose the name, and the message should stay readable.
  const absl::string_view shown = wanted.substr(0, kMaxNameLength);
  std::string message = absl::StrCat("model \"", shown, shown.size() < wanted.size() ? "..." : "",
                                     "\" is not loaded. Loaded: ", absl::StrJoin(names, ", "), ".");
  const std::string nearest = NearestName(absl::AsciiStrToLower(wanted), names);
  if (!nearest.empty()) absl::StrAppend(&message, " Did you mean \"", nearest, "\"?");
  return MakeError(absl::StatusCode::kNotFound, "MODEL_NOT_FOUND", message,
                   {{"model", std::string(shown)}});
}

absl::Status CheckName(absl::string_view name) {
  if (IsValidModelName(name)) return absl::OkStatus();
  return MakeError(
      absl::StatusCode::kInvalidArgument, "INVALID_MODEL_NAME",
      absl::StrCat("\"", name,
                   "\" is not a model name; use 1 to 64 characters of a-z, 0-9, '.', '_' "
                   "and '-', beginning with a letter or a digit"));
}

absl::StatusOr<std::unique_ptr<const Tokenizer>> ReadTokenizer(const Checkpoint& checkpoint) {
  if (checkpoint.tokenizer_json().empty()) return nullptr;
  HEED_ASSIGN_OR_RETURN(std::unique_ptr<const Tokenizer> tokenizer,
                        ParseTokenizerJson(checkpoint.tokenizer_json()));
  const int64_t vocab_size = checkpoint.config().vocab_size;
  if (tokenizer->vocab_size() > vocab_size) {
    return absl::InvalidArgumentError(absl::StrCat(
        "tokenizer.json: its ids go up to ", tokenizer->vocab_size() - 1, ", but the model has ",
        vocab_size, " embedding rows (config.json vocab_size)"));
  }
  return tokenizer;
}

// Pages that fit into `bytes`, but at least one sequence of the whole context window.
int64_t PoolPages(const ModelConfig& config, int64_t bytes) {
  const int64_t page_bytes =
      KvLayout::For(config).page_floats() * static_cast<int64_t>(sizeof(float));
  return std::max(bytes / page_bytes, PagesFor(config.context_window));
}

absl::StatusOr<std::shared_ptr<const ServedModel>> Load(absl::string_view name,
                                                        const std::string& folder,
                                                        const LoadOptions& options) {
  HEED_ASSIGN_OR_RETURN(const std::unique_ptr<Checkpoint> checkpoint,
                        OpenHuggingFaceFolder(folder));
  auto served = std::make_shared<ServedModel>();
  served->name = std::string(name);
  served->digest = checkpoint->digest();
  served->checkpoint_dtype = checkpoint->dtype();
  HEED_ASSIGN_OR_RETURN(served->tokenizer, ReadTokenizer(*checkpoint));
  HEED_ASSIGN_OR_RETURN(served->model, LoadTransformer(*checkpoint, DefaultBackend()));
  const ModelConfig& config = served->model->config();
  served->kv_pool =
      std::make_unique<KvPool>(KvLayout::For(config), PoolPages(config, options.kv_cache_bytes));
  return served;
}

}  // namespace

bool IsValidModelName(absl::string_view name) {
  if (name.empty() || name.size() > kMaxNameLength || !IsLowerAlnum(name[0])) return false;
  return std::all_of(name.begin(), name.end(),
                     [](char c) { return IsLowerAlnum(c) || c == '.' || c == '_' || c == '-'; });
}

absl::Status Registry::Add(std::shared_ptr<const ServedModel> model) {
  HEED_RETURN_IF_ERROR(CheckName(model->name));
  for (const auto& other : models_) {
    if (other->name != model->name) continue;
    return MakeError(
        absl::StatusCode::kAlreadyExists, "MODEL_NAME_TAKEN",
        absl::StrCat("two models are named \"", model->name, "\"; give each a name of its own"));
  }
  models_.push_back(std::move(model));
  return absl::OkStatus();
}

absl::StatusOr<std::shared_ptr<const ServedModel>> Registry::Find(absl::string_view name) const {
  if (models_.empty()) {
    return MakeError(absl::StatusCode::kNotFound, "MODEL_NOT_FOUND", "no model is loaded");
  }
  if (name.empty()) return models_.front();
  std::vector<std::string> names;
  for (const auto& model : models_) {
    if (model->name == name) return model;
    names.push_back(model->name);
  }
  return NotLoaded(name, names);
}

absl::StatusOr<std::shared_ptr<const ServedModel>> LoadServedModel(absl::string_view name,
                                                                   const std::string& folder,
                                                                   const LoadOptions& options) {
  HEED_RETURN_IF_ERROR(CheckName(name));
  absl::StatusOr<std::shared_ptr<const ServedModel>> served;
  HEED_RETURN_IF_ERROR(CatchExceptions([&] {
    served = Load(name, folder, options);
    return served.status();
  }));
  return served;
}

}  // namespace heed
