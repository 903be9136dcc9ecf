#include "server/convert/embed.h"

#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "model/base/error.h"
#include "model/base/status_macros.h"
#include "server/convert/model.h"
#include "server/convert/reply_size.h"
#include "server/convert/violations.h"

namespace heed {
namespace {

constexpr int64_t kMaxPrompts = 256;
// Of the timings and of the lengths that stand before tensors and texts.
constexpr int64_t kEnvelopeBytes = 64;

void CheckPrompts(const v1::EmbedRequest& request, const ServedModel& model,
                  const RequestLimits& limits, Violations* violations) {
  if (request.prompts().empty()) violations->Add("prompts", "is empty; give at least one");
  if (!CheckCount("prompts", request.prompts_size(), kMaxPrompts, violations)) return;
  for (int i = 0; i < request.prompts_size(); ++i) {
    CheckPrompt(request.prompts(i), model, limits, violations, Element("prompts", i));
  }
}

void CheckVectors(const v1::EmbedRequest& request, int64_t width, Violations* violations) {
  if (!v1::Pooling_IsValid(request.pooling())) {
    violations->Add("pooling", absl::StrCat("is ", static_cast<int>(request.pooling()),
                                            "; must be a value of heed.v1.Pooling"));
  }
  if (request.has_dimensions()) {
    CheckInRange<int64_t>("dimensions", request.dimensions(), 1, width, violations);
  }
}

PoolingKind ResolveKind(v1::Pooling pooling, PoolingKind unless_given) {
  switch (pooling) {
    case v1::POOLING_MEAN:
      return PoolingKind::kMean;
    case v1::POOLING_CLS:
      return PoolingKind::kFirst;
    case v1::POOLING_LAST:
      return PoolingKind::kLast;
    default:
      return unless_given;
  }
}

v1::Pooling ToWire(PoolingKind kind) {
  switch (kind) {
    case PoolingKind::kMean:
      return v1::POOLING_MEAN;
    case PoolingKind::kFirst:
      return v1::POOLING_CLS;
    case PoolingKind::kLast:
      return v1::POOLING_LAST;
  }
  return v1::POOLING_UNSPECIFIED;
}

EmbedJob ResolveJob(const v1::EmbedRequest& request, const ServedModel& model) {
  EmbedJob job;
  job.pooling = model.pooling;
  job.pooling.kind = ResolveKind(request.pooling(), job.pooling.kind);
  if (request.has_normalize()) job.pooling.normalize = request.normalize();
  job.dimensions = request.has_dimensions() ? request.dimensions() : model.model->config().width;
  job.token_vectors = request.token_vectors();
  return job;
}

int64_t FloatBytes(int64_t count) {
  return count * static_cast<int64_t>(sizeof(float));
}

absl::Status CheckBytes(const std::string& what, int64_t bytes, int64_t limit) {
  if (bytes <= limit) return absl::OkStatus();
  return MakeError(
      absl::StatusCode::kResourceExhausted, "EMBEDDING_BUDGET",
      absl::StrCat(what, " are ", bytes, " bytes and the limit is ", limit,
                   "; give fewer or shorter texts, ask for fewer dimensions, or do without "
                   "token_vectors"),
      {{"requested_bytes", absl::StrCat(bytes)}, {"limit_bytes", absl::StrCat(limit)}});
}

// Of all tensors of the answer.
int64_t VectorBytes(const ResolvedEmbed& resolved, int64_t width) {
  int64_t floats = 0;
  for (const ResolvedPrompt& prompt : resolved.prompts) {
    floats += resolved.job.dimensions;
    if (resolved.job.token_vectors) floats += prompt.size() * width;
  }
  return FloatBytes(floats);
}

absl::Status CheckVectorBytes(const ResolvedEmbed& resolved, int64_t width) {
  HEED_RETURN_IF_ERROR(CheckBytes("the dimensions of one vector",
                                  FloatBytes(resolved.job.dimensions), kMaxTensorBytes));
  for (size_t i = 0; resolved.job.token_vectors && i < resolved.prompts.size(); ++i) {
    HEED_RETURN_IF_ERROR(CheckBytes(absl::StrCat("the token vectors of ", Element("prompts", i)),
                                    FloatBytes(resolved.prompts[i].size() * width),
                                    kMaxTensorBytes));
  }
  return CheckBytes("all vectors together", VectorBytes(resolved, width), kMaxReplyTensorBytes);
}

}  // namespace

std::vector<std::vector<TokenId>> ResolvedEmbed::TokenLists() const {
  std::vector<std::vector<TokenId>> lists;
  lists.reserve(prompts.size());
  for (const ResolvedPrompt& prompt : prompts) lists.push_back(prompt.ids);
  return lists;
}

absl::StatusOr<ResolvedEmbed> ConvertEmbed(const v1::EmbedRequest& request,
                                           const ServedModel& model, const RequestLimits& limits) {
  const int64_t width = model.model->config().width;
  Violations violations;
  CheckPrompts(request, model, limits, &violations);
  CheckVectors(request, width, &violations);
  HEED_RETURN_IF_ERROR(violations.ToStatus());

  ResolvedEmbed resolved;
  resolved.job = ResolveJob(request, model);
  for (int i = 0; i < request.prompts_size(); ++i) {
    HEED_ASSIGN_OR_RETURN(ResolvedPrompt prompt, ResolvePrompt(request.prompts(i), model,
                                                               /*room=*/0, Element("prompts", i)));
    resolved.prompts.push_back(std::move(prompt));
  }
  HEED_RETURN_IF_ERROR(CheckVectorBytes(resolved, width));
  return resolved;
}

absl::Status BeginEmbedResponse(const ResolvedEmbed& resolved, const ServedModel& model,
                                v1::EmbedResponse* out) {
  FillIdentity(model, out->mutable_model());
  out->set_pooling(ToWire(resolved.job.pooling.kind));
  out->set_normalized(resolved.job.pooling.normalize);
  int64_t bytes = static_cast<int64_t>(out->ByteSizeLong()) + kEnvelopeBytes +
                  VectorBytes(resolved, model.model->config().width);
  for (const ResolvedPrompt& prompt : resolved.prompts) {
    v1::TextEmbedding* const embedding = out->add_embeddings();
    FillPromptInfo(prompt, model, embedding->mutable_prompt());
    // Looked at on the way, so that an answer that cannot be sent is not built to its end.
    bytes += static_cast<int64_t>(embedding->ByteSizeLong()) + kEnvelopeBytes;
    HEED_RETURN_IF_ERROR(CheckReplyBytes(bytes));
  }
  return absl::OkStatus();
}

void FinishEmbedResponse(const ResolvedEmbed& resolved, absl::Span<const EmbeddedText> texts,
                         const EngineTimings& timings, v1::EmbedResponse* out) {
  absl::Duration tokenize;
  for (size_t i = 0; i < texts.size(); ++i) {
    v1::TextEmbedding* const embedding = out->mutable_embeddings(static_cast<int>(i));
    FillTensor(texts[i].vector, {resolved.job.dimensions}, embedding->mutable_vector());
    const int64_t n_tokens = resolved.prompts[i].size();
    if (resolved.job.token_vectors) {
      FillTensor(texts[i].token_vectors,
                 {n_tokens, static_cast<int64_t>(texts[i].token_vectors.size()) / n_tokens},
                 embedding->mutable_token_vectors());
    }
    tokenize += resolved.prompts[i].tokenize_time;
  }
  FillTimings(tokenize, timings, out->mutable_timings());
}

}  // namespace heed
