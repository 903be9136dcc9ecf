#include "server/services/generate_call.h"

#include <utility>
#include <variant>

#include "model/base/status_macros.h"
#include "server/calls/codec.h"
#include "server/convert/generate.h"
#include "server/convert/reply_size.h"
#include "server/convert/trace.h"
#include "server/engine/catch_exceptions.h"
#include "server/inspect/run_source.h"

namespace heed {

GenerateCall::GenerateCall(const ServiceContext& context, grpc::CallbackServerContext* call)
    : StreamCall(context, call),
      context_(context),
      client_(ClientOf(*call)),
      stop_(MakeStopSignal(*call)),
      events_(std::make_shared<EventQueue>()) {}

grpc::ServerWriteReactor<grpc::ByteBuffer>* GenerateCall::Begin(const ServiceContext& context,
                                                                grpc::CallbackServerContext* call,
                                                                const grpc::ByteBuffer& request) {
  const std::shared_ptr<GenerateCall> self(new GenerateCall(context, call));
  self->Start();
  const absl::Status status = CatchExceptions([&] { return self->Submit(request); });
  if (status.ok()) {
    self->Notify();
  } else {
    self->start_.reset();
    self->End(status);
  }
  return self.get();
}

absl::Status GenerateCall::Submit(const grpc::ByteBuffer& request_bytes) {
  v1::GenerateRequest request;
  HEED_RETURN_IF_ERROR(ParseRequest(request_bytes, &request));
  HEED_ASSIGN_OR_RETURN(model_, context_.registry->Find(request.model()));
  HEED_ASSIGN_OR_RETURN(ResolvedGenerate resolved,
                        ConvertGenerate(request, *model_, context_.limits, context_.traces));
  tokenize_time_ = resolved.prompt.tokenize_time;
  FillGenerateStart(resolved, *model_, start_.emplace().mutable_start());
  HEED_RETURN_IF_ERROR(CheckReplyBytes(static_cast<int64_t>(start_->ByteSizeLong())));

  EngineRequest engine;
  engine.model = model_;
  engine.prompt = resolved.prompt.ids;
  engine.logits_positions = {resolved.prompt.size() - 1};
  // The last token is reported but need not go through the model.
  engine.max_new_tokens = resolved.job.max_tokens - 1;
  engine.stop = stop_;
  HEED_RETURN_IF_ERROR(PrepareTrace(resolved));
  edits_ = std::move(resolved.edits);
  std::unique_ptr<GenerateTask> task = MakeTask(std::move(resolved.job), resolved.prompt.ids);
  engine.plan.observer = ChooseObserver(task->capture());
  engine.plan.editor = edits_.get();
  engine.whole_prompt = edits_ != nullptr && edits_->needs_whole_prompt();
  engine.task = std::move(task);
  return context_.scheduler->Submit(std::move(engine));
}

std::unique_ptr<GenerateTask> GenerateCall::MakeTask(GenerateJob job,
                                                     absl::Span<const TokenId> prompt) {
  std::unique_ptr<StepCapture> capture;
  if (job.attention.has_value()) {
    const ModelConfig& config = model_->model->config();
    capture = std::make_unique<StepCapture>(*job.attention, static_cast<int64_t>(prompt.size()),
                                            config.n_layers, config.n_heads);
  }
  const auto self = std::static_pointer_cast<GenerateCall>(shared_from_this());
  GenerateTask::Callbacks callbacks;
  callbacks.pushed = [self] { self->Notify(); };
  callbacks.done = [self](const absl::Status& status) { self->End(status); };
  return std::make_unique<GenerateTask>(std::move(job), model_, prompt, events_, std::move(capture),
                                        std::move(callbacks));
}

absl::Status GenerateCall::PrepareTrace(const ResolvedGenerate& resolved) {
  if (!resolved.keep_trace) return absl::OkStatus();
  const ModelConfig& config = model_->model->config();
  const int64_t tokens = resolved.prompt.size() + resolved.job.max_tokens - 1;
  Keeping keeping;
  HEED_ASSIGN_OR_RETURN(
      keeping.memory, context_.traces->Reserve(client_, TraceBytes(config, resolved.sites, tokens) +
                                                            resolved.source_bytes));
  HEED_ASSIGN_OR_RETURN(keeping.recorder, TraceRecorder::Create(config, resolved.sites, tokens));
  keeping.ttl = resolved.trace_ttl;
  keeping.prompt_tokens = resolved.prompt.size();
  keeping.run = std::make_unique<TracedRun>();
  keeping.run->prompt = resolved.prompt;
  keeping.run->interventions = resolved.interventions;
  keeping.run->held_bytes = resolved.source_bytes;
  keeping.run->counterfactual_mask =
      resolved.edits != nullptr && resolved.edits->counterfactual_mask();
  keeping_ = std::move(keeping);
  return absl::OkStatus();
}

ForwardObserver* GenerateCall::ChooseObserver(ForwardObserver* capture) {
  if (!keeping_.has_value()) return capture;
  if (capture == nullptr) return keeping_->recorder.get();
  return &observers_.emplace(capture, keeping_->recorder.get());
}

// All tokens have been handed on by now; the last one was not run.
void GenerateCall::KeepTrace(v1::TraceInfo* out) {
  ResolvedPrompt& prompt = keeping_->run->prompt;
  const int64_t size = keeping_->recorder->positions();
  prompt.ids.resize(size);
  prompt.offsets.resize(size);
  keeping_->run->trace = keeping_->recorder->Finish(prompt.ids, edits_, keeping_->prompt_tokens);
  keeping_->run->held_bytes += keeping_->run->trace->bytes();
  const std::shared_ptr<const TracedRun> run = std::move(keeping_->run);
  const TraceFacts facts = context_.traces->Keep(std::move(keeping_->memory), run, model_,
                                                 run->held_bytes, keeping_->ttl);
  FillTraceInfo(facts, *run, out);
}

absl::StatusOr<std::optional<grpc::ByteBuffer>> GenerateCall::NextMessage() {
  v1::GenerateResponse message;
  if (start_.has_value()) {
    message.Swap(&*start_);
    start_.reset();
  } else {
    bool made_room = false;
    const std::optional<GenerateEvent> event = events_->Pop(&made_room);
    if (made_room) context_.scheduler->Wake();
    if (!event.has_value()) return std::nullopt;
    FillEvent(*event, &message);
  }
  return SerializeReply(message);
}

void GenerateCall::FillEvent(const GenerateEvent& event, v1::GenerateResponse* out) {
  if (const auto* const token = std::get_if<TokenEvent>(&event)) {
    FillGeneratedToken(*token, *model_, out->mutable_token());
    if (keeping_.has_value()) {
      keeping_->run->prompt.ids.push_back(token->token.id);
      keeping_->run->prompt.offsets.emplace_back();
    }
  } else {
    FillGenerateEnd(std::get<EndEvent>(event), tokenize_time_, out->mutable_end());
    if (keeping_.has_value()) KeepTrace(out->mutable_end()->mutable_trace());
  }
}

void GenerateCall::OnAbandoned() {
  stop_->Cancel();
  context_.scheduler->Wake();
}

}  // namespace heed
