#include "server/engine/registry.h"

#include <algorithm>
#include <filesystem>
#include <limits>
#include <optional>
#include <system_error>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "model/base/error.h"
#include "model/base/status_macros.h"
#include "model/checkpoint/sha256.h"
#include "model/kernels/backend.h"
#include "model/tokenizer/gguf_tokenizer.h"
#include "model/tokenizer/tokenizer_folder.h"
#include "model/transformer/pack_file.h"
#include "model/transformer/required_tensors.h"
#include "server/engine/background_digest.h"
#include "server/engine/catch_exceptions.h"
#include "server/engine/nearest_name.h"

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
  if (checkpoint.gguf_tokenizer() != nullptr) {
    return BuildGgufTokenizer(*checkpoint.gguf_tokenizer());
  }
  const auto read = [&](absl::string_view name) -> absl::StatusOr<std::optional<std::string>> {
    if (name == "tokenizer.json" && !checkpoint.tokenizer_json().empty()) {
      return checkpoint.tokenizer_json();
    }
    const auto file = checkpoint.tokenizer_files().find(std::string(name));
    if (file == checkpoint.tokenizer_files().end()) return std::nullopt;
    return file->second;
  };
  HEED_ASSIGN_OR_RETURN(std::unique_ptr<const Tokenizer> tokenizer, LoadTokenizerFolder(read));
  if (tokenizer == nullptr) return nullptr;
  const int64_t vocab_size = checkpoint.config().vocab_size;
  if (tokenizer->vocab_size() > vocab_size) {
    return absl::InvalidArgumentError(
        absl::StrCat(checkpoint.tokenizer_json().empty() ? "the tokenizer" : "tokenizer.json",
                     ": its ids go up to ", tokenizer->vocab_size() - 1, ", but the model has ",
                     vocab_size, " embedding rows (config.json vocab_size)"));
  }
  return tokenizer;
}

// A pool of some bytes for a model's keys and values.
class PoolPlan {
 public:
  PoolPlan(const ModelConfig& config, const LoadOptions& options)
      : page_bytes_(PageBytes(config, options)),
        bytes_(options.kv_cache_bytes),
        wanted_tokens_(config.context_window) {}

  // As many pages as fit and as can be numbered.
  int64_t pages() const {
    return std::min<int64_t>(bytes_ / page_bytes_, std::numeric_limits<int32_t>::max());
  }
  int64_t max_context() const { return pages() * kPageTokens; }

  absl::Status Check() const {
    if (pages() > 0) return absl::OkStatus();
    return MakeError(absl::StatusCode::kResourceExhausted, "KV_CACHE_TOO_SMALL",
                     absl::StrCat(Need(), " Not even ", kPageTokens, " tokens fit, which take ",
                                  page_bytes_, " bytes."));
  }

  std::string Warning() const {
    if (max_context() >= wanted_tokens_) return "";
    return absl::StrCat("serves only the first ", max_context(),
                        " tokens of the context window: ", Need());
  }

 private:
  static int64_t PageBytes(const ModelConfig& config, const LoadOptions& options) {
    KvLayout layout = KvLayout::For(config);
    layout.type = KvTypeOf(config, options.kv_type);
    return layout.page_bytes();
  }

  std::string Need() const {
    const int64_t needed = PagesFor(wanted_tokens_) * page_bytes_;
    constexpr int64_t kMib = int64_t{1} << 20;
    return absl::StrCat("one sequence of the whole context window, ", wanted_tokens_,
                        " tokens, takes ", needed, " bytes of keys and values, and there are ",
                        bytes_, "; --kv-cache-mib=", (needed + kMib - 1) / kMib, " is enough.");
  }

  const int64_t page_bytes_;
  const int64_t bytes_;
  const int64_t wanted_tokens_;
};

// What the folder or the weights' own file says; else the mean of a bidirectional model, where
// every position has seen the whole text, and the last token of a causal one, the only one that
// has.
absl::StatusOr<PoolingConfig> ChoosePooling(const std::string& folder,
                                            const Checkpoint& checkpoint) {
  const ModelConfig& config = checkpoint.config();
  HEED_ASSIGN_OR_RETURN(std::optional<PoolingConfig> pooling,
                        ReadPoolingConfig(folder, config.width));
  if (!pooling) pooling = checkpoint.pooling();
  return pooling.value_or(PoolingConfig{config.causal ? PoolingKind::kLast : PoolingKind::kMean});
}

// One for each model, by where it is and how it is held. Empty without a folder for them.
std::string PackedCopyPath(absl::string_view name, const std::string& path,
                           const LoadOptions& options) {
  if (options.pack_cache.empty()) return "";
  std::error_code error;
  const std::filesystem::path where = std::filesystem::weakly_canonical(path, error);
  Sha256 sha256;
  sha256.Update(
      absl::StrCat(error ? path : where.string(), "\n", static_cast<int>(options.weights)));
  return absl::StrCat(options.pack_cache, "/", name, "-", sha256.Finish().substr(0, 16),
                      ".heedpack");
}

using Progress = std::function<void(int64_t done, int64_t total)>;

// The options' progress of one stage.
Progress StageProgress(absl::string_view stage, const LoadOptions& options) {
  if (!options.progress) return nullptr;
  return [stage, &options](int64_t done, int64_t total) { options.progress(stage, done, total); };
}

// What a packed copy remembers of the checkpoint spares reading all of that once more.
OpenOptions OpenOptionsFor(const std::string& packed_copy, const LoadOptions& options) {
  OpenOptions open;
  open.progress = StageProgress("checking", options);
  const absl::StatusOr<PackIdentity> identity = ReadPackIdentity(packed_copy);
  if (!identity.ok()) return open;
  open.known_stamp = identity->stamp;
  open.known_digest = identity->digest;
  return open;
}

absl::StatusOr<std::shared_ptr<const ServedModel>> Load(absl::string_view name,
                                                        const std::string& folder,
                                                        const LoadOptions& options) {
  const std::string packed_copy = PackedCopyPath(name, folder, options);
  // A packed copy has to belong to the same bytes, so then the digest is wanted first.
  const OpenOptions open = packed_copy.empty() ? OpenOptions{.compute_digest = false}
                                               : OpenOptionsFor(packed_copy, options);
  HEED_ASSIGN_OR_RETURN(const std::unique_ptr<Checkpoint> checkpoint, OpenCheckpoint(folder, open));
  std::optional<BackgroundDigest> digest;
  if (packed_copy.empty()) digest.emplace(*checkpoint);
  auto served = std::make_shared<ServedModel>();
  served->name = std::string(name);
  served->checkpoint_dtype = checkpoint->dtype();
  HEED_ASSIGN_OR_RETURN(served->tokenizer, ReadTokenizer(*checkpoint));
  const PoolPlan pool(checkpoint->config(), options);
  HEED_RETURN_IF_ERROR(pool.Check());
  const LanguageModelOptions load{.max_context = pool.max_context(),
                                  .weights = options.weights,
                                  .kv_type = options.kv_type,
                                  .packed_copy = packed_copy,
                                  .progress = StageProgress("loading", options),
                                  .report = &served->report};
  HEED_ASSIGN_OR_RETURN(served->model, LoadLanguageModel(*checkpoint, DefaultBackend(), load));
  served->warnings = served->model->notes();
  if (!pool.Warning().empty()) served->warnings.push_back(pool.Warning());
  const ModelConfig& config = served->model->config();
  HEED_ASSIGN_OR_RETURN(served->pooling, ChoosePooling(folder, *checkpoint));
  served->kv_pool = std::make_unique<KvPool>(KvLayout::For(config), pool.pages());
  served->digest = checkpoint->digest();
  if (digest) {
    HEED_ASSIGN_OR_RETURN(served->digest, digest->Wait(StageProgress("checking", options)));
  }
  return served;
}

// The same steps as Load, in its order, but past the first that fails.
void Check(const std::string& path, const LoadOptions& options, ModelCheck* out) {
  const auto note = [out](absl::Status status) {
    if (!status.ok()) out->problems.push_back(std::move(status));
  };
  auto checkpoint = OpenCheckpoint(path, {.compute_digest = false});
  note(checkpoint.status());
  if (!checkpoint.ok()) return;
  out->checkpoint = *std::move(checkpoint);
  auto tokenizer = ReadTokenizer(*out->checkpoint);
  note(tokenizer.status());
  if (tokenizer.ok()) out->tokenizer = *std::move(tokenizer);
  note(PoolPlan(out->checkpoint->config(), options).Check());
  for (absl::Status& problem : CheckTensors(*out->checkpoint)) note(std::move(problem));
  const auto pooling = ChoosePooling(path, *out->checkpoint);
  note(pooling.status());
  if (pooling.ok()) out->pooling = *pooling;
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

ModelCheck CheckServedModel(const std::string& path, const LoadOptions& options) {
  ModelCheck check;
  absl::Status status = CatchExceptions([&] {
    Check(path, options, &check);
    return absl::OkStatus();
  });
  if (!status.ok()) check.problems.push_back(std::move(status));
  return check;
}

}  // namespace heed
