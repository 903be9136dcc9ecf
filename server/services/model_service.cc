#include "server/services/model_service.h"

#include <memory>
#include <string>
#include <utility>

#include "absl/time/clock.h"
#include "model/base/status_macros.h"
#include "model/base/utf8.h"
#include "server/calls/answer_now.h"
#include "server/convert/model.h"
#include "server/convert/prompt.h"
#include "server/convert/reply_size.h"
#include "server/convert/violations.h"

namespace heed {
namespace {

constexpr int64_t kMaxDetokenizeIds = int64_t{1} << 20;

// Adds tokens to an answer and refuses it once it has grown too large to send.
class TokenAppender {
 public:
  explicit TokenAppender(const Tokenizer* tokenizer) : tokenizer_(tokenizer) {}

  absl::Status Append(TokenId id, ByteRange range, v1::Token* out) {
    FillToken(tokenizer_, id, range, out);
    bytes_ += static_cast<int64_t>(out->ByteSizeLong());
    return CheckReplyBytes(bytes_);
  }

 private:
  const Tokenizer* const tokenizer_;
  int64_t bytes_ = 0;
};

}  // namespace

absl::Status ListModels(const ServiceContext& context, const v1::ListModelsRequest& request,
                        v1::ListModelsResponse* response) {
  for (const auto& model : context.registry->models()) FillModel(*model, response->add_models());
  return absl::OkStatus();
}

absl::Status GetModel(const ServiceContext& context, const v1::GetModelRequest& request,
                      v1::GetModelResponse* response) {
  HEED_ASSIGN_OR_RETURN(const auto model, context.registry->Find(request.model()));
  FillModel(*model, response->mutable_model());
  return absl::OkStatus();
}

absl::Status Tokenize(const ServiceContext& context, const v1::TokenizeRequest& request,
                      v1::TokenizeResponse* response) {
  HEED_ASSIGN_OR_RETURN(const auto model, context.registry->Find(request.model()));
  Violations violations;
  CheckText("text", request.text(), context.limits.max_prompt_bytes, &violations);
  HEED_RETURN_IF_ERROR(violations.ToStatus());
  HEED_ASSIGN_OR_RETURN(const Tokenizer* tokenizer, RequireTokenizer(*model));

  EncodeOptions options;
  if (request.has_add_special_tokens()) options.add_special_tokens = request.add_special_tokens();
  if (request.has_parse_special_tokens()) {
    options.parse_special_tokens = request.parse_special_tokens();
  }
  const absl::Time start = absl::Now();
  HEED_ASSIGN_OR_RETURN(const TokenizedText text, tokenizer->Encode(request.text(), options));
  FillTimings(absl::Now() - start, EngineTimings{}, response->mutable_timings());
  FillIdentity(*model, response->mutable_model());
  TokenAppender appender(tokenizer);
  for (size_t i = 0; i < text.ids.size(); ++i) {
    HEED_RETURN_IF_ERROR(appender.Append(text.ids[i], text.offsets[i], response->add_tokens()));
  }
  return absl::OkStatus();
}

absl::Status Detokenize(const ServiceContext& context, const v1::DetokenizeRequest& request,
                        v1::DetokenizeResponse* response) {
  HEED_ASSIGN_OR_RETURN(const auto model, context.registry->Find(request.model()));
  Violations violations;
  CheckIds("ids", request.ids(), model->model->config().vocab_size, kMaxDetokenizeIds, &violations);
  HEED_RETURN_IF_ERROR(violations.ToStatus());
  HEED_ASSIGN_OR_RETURN(const Tokenizer* tokenizer, RequireTokenizer(*model));

  const absl::Time start = absl::Now();
  FillIdentity(*model, response->mutable_model());
  const std::unique_ptr<TokenStream> stream = tokenizer->NewStream(request.skip_special_tokens());
  // Counted token by token: a request takes far less room than what its ids can stand for.
  TokenAppender appender(tokenizer);
  std::string bytes;
  for (const TokenId id : request.ids()) {
    ByteRange range = {static_cast<int64_t>(bytes.size())};
    bytes += stream->Append(id);
    range.end = static_cast<int64_t>(bytes.size());
    HEED_RETURN_IF_ERROR(CheckReplyBytes(range.end));
    HEED_RETURN_IF_ERROR(appender.Append(id, range, response->add_tokens()));
  }
  // What was held back belongs to the last token.
  bytes += stream->Finish();
  if (response->tokens_size() > 0) {
    response->mutable_tokens()->rbegin()->set_byte_end(static_cast<int64_t>(bytes.size()));
  }
  response->set_text(ReplaceInvalidUtf8(bytes));
  response->set_bytes(std::move(bytes));
  FillTimings(absl::Now() - start, EngineTimings{}, response->mutable_timings());
  return absl::OkStatus();
}

grpc::ServerUnaryReactor* ModelServiceHandler::ListModels(grpc::CallbackServerContext* call,
                                                          const grpc::ByteBuffer* request,
                                                          grpc::ByteBuffer* response) {
  return AnswerNow(context_, &heed::ListModels, call, *request, response);
}

grpc::ServerUnaryReactor* ModelServiceHandler::GetModel(grpc::CallbackServerContext* call,
                                                        const grpc::ByteBuffer* request,
                                                        grpc::ByteBuffer* response) {
  return AnswerNow(context_, &heed::GetModel, call, *request, response);
}

grpc::ServerUnaryReactor* ModelServiceHandler::Tokenize(grpc::CallbackServerContext* call,
                                                        const grpc::ByteBuffer* request,
                                                        grpc::ByteBuffer* response) {
  return AnswerNow(context_, &heed::Tokenize, call, *request, response);
}

grpc::ServerUnaryReactor* ModelServiceHandler::Detokenize(grpc::CallbackServerContext* call,
                                                          const grpc::ByteBuffer* request,
                                                          grpc::ByteBuffer* response) {
  return AnswerNow(context_, &heed::Detokenize, call, *request, response);
}

}  // namespace heed
