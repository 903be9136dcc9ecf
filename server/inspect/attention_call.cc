#include "server/inspect/attention_call.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "model/base/error.h"
#include "model/base/status_macros.h"
#include "server/calls/codec.h"
#include "server/convert/model.h"
#include "server/convert/reply_size.h"
#include "server/engine/catch_exceptions.h"
#include "server/inspect/attention_stream.h"
#include "server/inspect/read_stream_call.h"
#include "server/inspect/run_source.h"

namespace heed {

// A sequence that is run only to be watched.
class AttentionCall::Task final : public SequenceTask {
 public:
  explicit Task(std::shared_ptr<AttentionCall> call) : call_(std::move(call)) {}

  absl::StatusOr<std::optional<TokenId>> OnLogits(absl::Span<const int64_t> positions,
                                                  ConstMatrixRef logits) override {
    return std::nullopt;
  }

  void OnPromptChunk(int64_t begin, int64_t end) override {
    call_->capture_->CompleteUpTo(end);
    if (call_->capture_->HasTile()) call_->Notify();
  }

  void OnDone(const absl::Status& status, const EngineTimings& timings) override {
    call_->OnEngineDone(status, timings);
  }

 private:
  const std::shared_ptr<AttentionCall> call_;
};

AttentionCall::AttentionCall(const ServiceContext& context, grpc::CallbackServerContext* call)
    : StreamCall(context, call), context_(context), stop_(MakeStopSignal(*call)) {}

grpc::ServerWriteReactor<grpc::ByteBuffer>* AttentionCall::Begin(
    const ServiceContext& context, grpc::CallbackServerContext* call,
    const v1::GetAttentionRequest& request) {
  auto resolved = CatchExceptions([&] { return Resolve(context, request); });
  if (resolved.ok() && resolved->bytes() > context.limits.max_attention_bytes) {
    return ReadStreamCall<AttentionStream>::Begin(context, call, request);
  }
  const std::shared_ptr<AttentionCall> self(new AttentionCall(context, call));
  self->Start();
  const absl::Status status = CatchExceptions([&]() -> absl::Status {
    HEED_RETURN_IF_ERROR(resolved.status());
    return self->Submit(request, *std::move(resolved));
  });
  if (status.ok()) {
    self->Notify();
  } else {
    self->header_.reset();
    self->End(status);
  }
  return self.get();
}

absl::StatusOr<AttentionCall::Resolved> AttentionCall::Resolve(
    const ServiceContext& context, const v1::GetAttentionRequest& request) {
  Resolved resolved;
  HEED_ASSIGN_OR_RETURN(resolved.model, context.registry->Find(request.model()));
  const ModelConfig& config = resolved.model->model->config();
  Violations violations;
  CheckPrompt(request.prompt(), *resolved.model, context.limits, &violations);
  CheckSelection("selection", request.selection(), config, &violations);
  HEED_ASSIGN_OR_RETURN(const std::vector<Intervention> interventions,
                        ReadInterventions("interventions", request.interventions(), config,
                                          context.traces, &violations));
  HEED_RETURN_IF_ERROR(violations.ToStatus());
  HEED_ASSIGN_OR_RETURN(resolved.prompt,
                        ResolvePrompt(request.prompt(), *resolved.model, /*room=*/0));
  HEED_ASSIGN_OR_RETURN(resolved.choice,
                        ResolveSelection(request.selection(), config, resolved.prompt.size()));
  HEED_RETURN_IF_ERROR(CheckRowBytes(resolved.choice, resolved.prompt.size()));
  HEED_ASSIGN_OR_RETURN(resolved.edits,
                        MakeInterventionSet("interventions", interventions, config,
                                            {.prompt_tokens = resolved.prompt.size()}));
  return resolved;
}

absl::Status AttentionCall::Submit(const v1::GetAttentionRequest& request, Resolved resolved) {
  model_ = std::move(resolved.model);
  edits_ = std::move(resolved.edits);
  tokenize_time_ = resolved.prompt.tokenize_time;
  v1::AttentionHeader* const header = header_.emplace().mutable_header();
  FillHeader(*model_, resolved.prompt, resolved.choice, header);
  v1::Provenance* const provenance = header->mutable_provenance();
  FillEditProvenance(*model_, request.interventions_size(), edits_.get(), provenance);
  if (provenance->counterfactual_mask()) header->set_causal(false);
  HEED_RETURN_IF_ERROR(CheckReplyBytes(static_cast<int64_t>(header_->ByteSizeLong())));
  HEED_RETURN_IF_ERROR(Reserve(std::move(resolved.choice), resolved.prompt.size()));

  EngineRequest engine;
  engine.model = model_;
  engine.prompt = std::move(resolved.prompt.ids);
  engine.plan.observer = capture_.get();
  engine.plan.editor = edits_.get();
  engine.whole_prompt = edits_ != nullptr && edits_->needs_whole_prompt();
  engine.stop = stop_;
  engine.task = std::make_unique<Task>(std::static_pointer_cast<AttentionCall>(shared_from_this()));
  return context_.scheduler->Submit(std::move(engine));
}

absl::Status AttentionCall::Reserve(AttentionChoice choice, int64_t key_count) {
  const int64_t bytes = SelectionBytes(choice, key_count);
  budget_ = context_.attention_budget->Take(bytes);
  if (!budget_) {
    return MakeError(
        absl::StatusCode::kResourceExhausted, "ATTENTION_MEMORY",
        absl::StrCat("this much attention is ", bytes, " bytes, and other calls hold ",
                     context_.attention_budget->used(), " of the server's ",
                     context_.attention_budget->limit(), "; try again later or ask for less"),
        {{"requested_bytes", absl::StrCat(bytes)},
         {"limit_bytes", absl::StrCat(context_.attention_budget->limit())}});
  }
  const ModelConfig& config = model_->model->config();
  HEED_ASSIGN_OR_RETURN(capture_, PromptCapture::Create(std::move(choice), key_count,
                                                        config.n_layers, config.n_heads));
  return absl::OkStatus();
}

absl::StatusOr<std::optional<grpc::ByteBuffer>> AttentionCall::NextMessage() {
  v1::GetAttentionResponse message;
  if (!FillNext(&message)) return std::nullopt;
  return SerializeReply(message);
}

bool AttentionCall::FillNext(v1::GetAttentionResponse* out) {
  if (header_.has_value()) {
    out->Swap(&*header_);
    header_.reset();
    return true;
  }
  // Asked before the tiles: whatever was captured before the engine ended goes out before the end.
  const std::optional<EngineTimings> done = EngineDone();
  if (const std::optional<AttentionTile> tile = capture_ ? capture_->TakeTile() : std::nullopt) {
    FillTile(*tile, out->mutable_tile());
    return true;
  }
  if (!done.has_value() || end_sent_) return false;
  end_sent_ = true;
  out->mutable_end()->set_tile_count(capture_->tile_count());
  FillTimings(tokenize_time_, *done, out->mutable_end()->mutable_timings());
  return true;
}

std::optional<EngineTimings> AttentionCall::EngineDone() {
  absl::MutexLock lock(&done_mutex_);
  return done_;
}

void AttentionCall::OnAbandoned() {
  stop_->Cancel();
  context_.scheduler->Wake();
}

void AttentionCall::OnEngineDone(const absl::Status& status, const EngineTimings& timings) {
  if (status.ok()) {
    absl::MutexLock lock(&done_mutex_);
    done_ = timings;
  }
  End(status);
}

}  // namespace heed
