// What the reads have in common in their checks and answers.
#ifndef HEED_SERVER_INSPECT_READ_PARTS_H_
#define HEED_SERVER_INSPECT_READ_PARTS_H_

#include <cstdint>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "model/base/error.h"
#include "server/convert/indices.h"
#include "server/convert/model.h"
#include "server/convert/predict.h"
#include "server/convert/reply_size.h"
#include "server/convert/request_limits.h"
#include "server/convert/violations.h"
#include "server/inspect/run_source.h"

namespace heed {

inline constexpr int64_t kMaxTokensToFollow = 64;

inline const ModelConfig& ConfigOf(const ServedModel& model) {
  return model.model->config();
}
inline const ModelConfig& ConfigOf(const ReadableRun& run) {
  return ConfigOf(*run.model);
}

// RESOURCE_EXHAUSTED (REPLY_TOO_LARGE) for more floats than a reply has room for.
inline absl::Status CheckFloats(int64_t count, absl::string_view how_to_ask_for_less) {
  if (count * 4 <= kMaxReplyTensorBytes) return absl::OkStatus();
  return MakeError(absl::StatusCode::kResourceExhausted, "REPLY_TOO_LARGE",
                   absl::StrCat("the answer would hold ", count * 4, " bytes and the limit is ",
                                kMaxReplyTensorBytes, "; ", how_to_ask_for_less),
                   {{"requested_bytes", absl::StrCat(count * 4)},
                    {"limit_bytes", absl::StrCat(kMaxReplyTensorBytes)}});
}

// The token ids of choices that passed their check.
template <typename Choices>
std::vector<TokenId> ResolveTokens(absl::string_view field, const Choices& choices,
                                   const ServedModel& model, Violations* violations) {
  std::vector<TokenId> ids;
  if (!CheckCount(field, choices.size(), kMaxTokensToFollow, violations)) return ids;
  for (int i = 0; i < choices.size(); ++i) {
    const auto id = ResolveToken(Element(field, i), choices[i], model, violations);
    if (id.has_value()) ids.push_back(*id);
  }
  return ids;
}

template <typename Choices>
std::vector<TokenId> ResolveCheckedTokens(const Choices& choices, const ServedModel& model) {
  Violations none;
  return ResolveTokens("tokens", choices, model, &none);
}

inline void FillVector(absl::Span<const float> values, v1::Tensor* out) {
  FillTensor(values, {static_cast<int64_t>(values.size())}, out);
}

inline void FillTokenOf(const ReadableRun& run, TokenId id, v1::Token* out) {
  FillToken(run.model->tokenizer.get(), id, ByteRange{}, out);
}

// Adds a violation for a number that is no value of an enum.
template <typename Enum>
void CheckEnum(absl::string_view field, Enum value, bool (*is_valid)(int), absl::string_view type,
               Violations* violations) {
  if (is_valid(value)) return;
  violations->Add(field,
                  absl::StrCat("is ", static_cast<int>(value), "; must be a value of ", type));
}

}  // namespace heed

#endif  // HEED_SERVER_INSPECT_READ_PARTS_H_
