#include "model/checkpoint/hf_mixing.h"

#include <cmath>
#include <optional>
#include <string>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/types/span.h"
#include "model/base/status_macros.h"
#include "model/checkpoint/errors.h"
#include "model/checkpoint/size_limits.h"

namespace heed {
namespace {

template <typename T>
struct Named {
  absl::string_view name;
  T value;
};

constexpr Named<MixingPattern> kPatterns[] = {
    {"last_word", MixingPattern::kLastWord},
    {"average", MixingPattern::kAverage},
    {"weighted", MixingPattern::kWeighted},
    {"attention", MixingPattern::kAttention},
};

constexpr Named<PositionKind> kEncodings[] = {
    {"none", PositionKind::kNone},
    {"learned", PositionKind::kLearned},
};

template <typename T>
std::string QuotedNames(absl::Span<const Named<T>> rows) {
  return absl::StrJoin(rows, ", ", [](std::string* out, const Named<T>& row) {
    absl::StrAppend(out, "\"", row.name, "\"");
  });
}

absl::StatusOr<JsonValue> Required(const ConfigReader& config, absl::string_view key,
                                   absl::string_view expected) {
  std::optional<JsonValue> value = config.object().Find(key);
  if (value) return *std::move(value);
  return CheckpointInvalid(
      absl::StrCat(config.object().Where(), ": has no ", key, "; it must be ", expected));
}

// The row that the value of `key` names.
template <typename T>
absl::StatusOr<T> ReadName(const ConfigReader& config, absl::string_view key,
                           absl::Span<const Named<T>> rows) {
  HEED_ASSIGN_OR_RETURN(const JsonValue value,
                        Required(config, key, absl::StrCat("one of ", QuotedNames(rows))));
  HEED_ASSIGN_OR_RETURN(const absl::string_view name, value.String());
  for (const Named<T>& row : rows) {
    if (row.name == name) return row.value;
  }
  return UnsupportedValue(value, QuotedNames(rows));
}

absl::StatusOr<int64_t> ReadSize(const ConfigReader& config, absl::string_view key,
                                 IntRange range) {
  HEED_ASSIGN_OR_RETURN(
      const JsonValue value,
      Required(config, key, absl::StrCat("an integer from ", range.min, " to ", range.max)));
  return IntInRange(value, range);
}

absl::Status CheckTied(const ConfigReader& config) {
  HEED_ASSIGN_OR_RETURN(const bool is_tied, config.Bool("tie_word_embeddings", true));
  if (is_tied) return absl::OkStatus();
  return UnsupportedValue(*config.object().Find("tie_word_embeddings"), "true");
}

}  // namespace

absl::StatusOr<ModelConfig> ReadMixing(const ConfigReader& config) {
  ModelConfig model{
      .n_layers = 1, .n_heads = 1, .n_kv_heads = 1, .tied_embeddings = true, .attention_scale = 1};
  HEED_ASSIGN_OR_RETURN(model.mixing,
                        ReadName<MixingPattern>(config, "mixing", absl::MakeConstSpan(kPatterns)));
  HEED_ASSIGN_OR_RETURN(model.position, ReadName<PositionKind>(config, "position_encoding",
                                                               absl::MakeConstSpan(kEncodings)));
  HEED_ASSIGN_OR_RETURN(model.width, ReadSize(config, "hidden_size", kHeadDimRange));
  HEED_ASSIGN_OR_RETURN(model.vocab_size, ReadSize(config, "vocab_size", kVocabRange));
  HEED_ASSIGN_OR_RETURN(model.context_window,
                        ReadSize(config, "max_position_embeddings", kContextRange));
  for (absl::string_view key : {"num_hidden_layers", "num_attention_heads"}) {
    HEED_RETURN_IF_ERROR(config.Int({key}, 1, {1, 1}).status());
  }
  HEED_RETURN_IF_ERROR(CheckTied(config));
  model.head_dim = static_cast<int>(model.width);
  if (model.mixing == MixingPattern::kAttention) {
    model.attention_scale = 1 / std::sqrt(static_cast<double>(model.head_dim));
  }
  return model;
}

}  // namespace heed
