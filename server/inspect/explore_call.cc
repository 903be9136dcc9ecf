#include "server/inspect/explore_call.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "model/base/error.h"
#include "model/base/status_macros.h"
#include "server/calls/codec.h"
#include "server/calls/status.h"
#include "server/convert/model.h"
#include "server/engine/catch_exceptions.h"
#include "server/inspect/start_read.h"

namespace heed {
namespace {

absl::Status SessionIdle(absl::Duration idle) {
  return MakeError(
      absl::StatusCode::kAborted, "SESSION_IDLE",
      absl::StrCat("no request came for ", absl::FormatDuration(idle), "; open another session"));
}

}  // namespace

ExploreCall::ExploreCall(const ServiceContext& context, grpc::CallbackServerContext* call)
    : BidiStreamCall(context, call),
      context_(context),
      client_(ClientOf(*call)),
      stop_(MakeStopSignal(*call)),
      last_news_(absl::Now()) {}

grpc::ServerBidiReactor<grpc::ByteBuffer, grpc::ByteBuffer>* ExploreCall::Begin(
    const ServiceContext& context, grpc::CallbackServerContext* call) {
  const std::shared_ptr<ExploreCall> self(new ExploreCall(context, call));
  self->Start();
  self->StartRead(&self->incoming_);
  return self.get();
}

// ---- Requests -----------------------------------------------------------------------------------

void ExploreCall::OnReadDone(bool ok) {
  if (!ok) return OnHalfClose();
  const absl::Status status = CatchExceptions([&] { return OnRequest(); });
  bool reads_on = false;
  {
    absl::MutexLock lock(&mutex_);
    ended_ |= !status.ok();
    paused_ = queue_.full();
    reads_on = !ended_ && !paused_;
  }
  if (!status.ok()) return End(status);
  if (reads_on) StartRead(&incoming_);
}

absl::Status ExploreCall::OnRequest() {
  v1::ExploreRequest request;
  HEED_RETURN_IF_ERROR(ParseRequest(incoming_, &request));
  incoming_.Clear();
  bool is_first = false;
  {
    absl::MutexLock lock(&mutex_);
    last_news_ = absl::Now();
    is_first = !std::exchange(opened_, true);
  }
  ExploreQueue::Entry entry =
      ExploreQueue::EntryOf(is_first ? request : std::move(request), is_first);
  {
    absl::MutexLock lock(&mutex_);
    HEED_RETURN_IF_ERROR(queue_.Push(std::move(entry), last_news_));
  }
  if (is_first) return Open(request);
  GoOn();
  return absl::OkStatus();
}

absl::Status ExploreCall::Open(const v1::ExploreRequest& request) {
  if (!request.has_open()) {
    Violations violations;
    violations.Add("open", "is missing; the first request opens the session");
    return violations.ToStatus();
  }
  const auto fields = [&](const ServedModel& model, Violations* violations) {
    return ExploreSession::Check(request, model, violations);
  };
  const auto length = [&](const ModelConfig& config, int64_t n_tokens) {
    return ExploreSession::CheckLength(request, config, n_tokens);
  };
  const auto cost = [](const LanguageModel& model, int64_t n_tokens) {
    return CallCost{.held_bytes = ExploreSession::EditedBytes(model.config(), n_tokens)};
  };
  RunInput input = RunInputOf(request.open());
  input.prefix = "open.";
  return StartRun(
      context_, input, {fields, length, cost}, client_, stop_,
      [self = Self()](absl::StatusOr<ReadableRun> run) { self->OnRun(std::move(run)); });
}

void ExploreCall::OnRun(absl::StatusOr<ReadableRun> run) {
  if (!run.ok()) {
    {
      absl::MutexLock lock(&mutex_);
      ended_ = true;
    }
    return End(run.status());
  }
  run_ = *std::move(run);
  {
    absl::MutexLock lock(&mutex_);
    has_run_ = true;
    model_ = run_->model;
    n_tokens_ = run_->run->prompt.size();
  }
  GoOn();
}

void ExploreCall::OnHalfClose() {
  bool done = false;
  {
    absl::MutexLock lock(&mutex_);
    half_closed_ = true;
    done = !ended_ && (!opened_ || (has_run_ && !working_ && queue_.empty()));
    ended_ |= done;
  }
  if (done) End(absl::OkStatus());
}

// ---- Answers ------------------------------------------------------------------------------------

std::optional<WorkKind> ExploreCall::TakeTurn() {
  if (working_ || ended_ || !has_run_ || queue_.empty() || !ready_.empty()) return std::nullopt;
  const WorkKind kind = KindOf(CostOf(queue_.Waiting(), *model_->model, n_tokens_), client_);
  working_ = true;
  return kind;
}

void ExploreCall::GoOn() {
  std::optional<WorkKind> turn;
  {
    absl::MutexLock lock(&mutex_);
    turn = TakeTurn();
  }
  if (turn.has_value()) context_.workers->Continue([self = Self()] { self->Work(); }, *turn);
}

void ExploreCall::Work() {
  ExploreQueue::Batch batch;
  bool resume_reading = false;
  {
    absl::MutexLock lock(&mutex_);
    batch = queue_.Take();
    resume_reading = std::exchange(paused_, false) && !ended_;
  }
  if (resume_reading) StartRead(&incoming_);
  started_ = absl::Now();
  absl::Status status = CatchExceptions([&]() -> absl::Status {
    HEED_RETURN_IF_ERROR(stop_->Check());
    return Answer(std::move(batch));
  });
  bool end = false;
  std::optional<WorkKind> turn;
  {
    absl::MutexLock lock(&mutex_);
    last_news_ = absl::Now();
    working_ = false;
    if (status.ok() && abandoned_) status = absl::CancelledError("the caller went away");
    end = !ended_ && (!status.ok() || (half_closed_ && queue_.empty()));
    ended_ |= end;
    turn = TakeTurn();
  }
  if (end) return End(status);
  Notify();
  if (turn.has_value()) context_.workers->Continue([self = Self()] { self->Work(); }, *turn);
}

absl::Status ExploreCall::Answer(ExploreQueue::Batch batch) {
  arrived_ = batch.arrived;
  skipped_.insert(skipped_.end(), batch.skipped.begin(), batch.skipped.end());
  if (session_ == nullptr) {
    HEED_ASSIGN_OR_RETURN(session_, ExploreSession::Create(*std::move(run_), stop_.get()));
    const v1::ExploreRequest& first = batch.requests.front().request;
    HEED_RETURN_IF_ERROR(session_->Take(first));
    const int64_t sequence = first.sequence();
    batch.requests.erase(batch.requests.begin());
    HEED_RETURN_IF_ERROR(Respond(sequence, absl::OkStatus()));
  }
  int64_t taken = 0;  // the newest request that was taken and not reported
  for (const auto& [request, error] : batch.requests) {
    const absl::Status status = error.ok() ? session_->Take(request) : error;
    if (status.ok()) {
      taken = request.sequence();
      continue;
    }
    if (EndsCall(status)) return status;
    if (taken > 0) HEED_RETURN_IF_ERROR(Respond(std::exchange(taken, 0), absl::OkStatus()));
    HEED_RETURN_IF_ERROR(Respond(request.sequence(), status));
  }
  return taken > 0 ? Respond(taken, absl::OkStatus()) : absl::OkStatus();
}

bool ExploreCall::EndsCall(const absl::Status& status) const {
  return absl::IsInternal(status) || !stop_->Check().ok();
}

absl::Status ExploreCall::Respond(int64_t sequence, const absl::Status& error) {
  v1::ExploreResponse response;
  absl::Status status = error;
  const bool is_first = session_->reports() == 0;
  if (status.ok()) {
    status = session_->Report(&response);
    if (!status.ok() && (is_first || EndsCall(status))) return status;
  }
  if (!status.ok()) {
    response.mutable_error()->ParseFromString(ToGrpcStatus(status).error_details());
  }
  response.set_sequence(sequence);
  auto newer = skipped_.begin();
  for (; newer != skipped_.end() && *newer < sequence; ++newer) {
    response.add_skipped_sequences(*newer);
  }
  skipped_.erase(skipped_.begin(), newer);
  EngineTimings timings;
  timings.queue = started_ - arrived_;
  timings.compute = absl::Now() - started_;
  if (is_first) {
    timings = session_->run_timings();
    timings.compute += absl::Now() - started_;
  }
  FillTimings(is_first ? session_->tokenize_time() : absl::ZeroDuration(), timings,
              response.mutable_timings());
  HEED_ASSIGN_OR_RETURN(grpc::ByteBuffer bytes, SerializeReply(response));
  absl::MutexLock lock(&mutex_);
  ready_.push_back(std::move(bytes));
  return absl::OkStatus();
}

absl::StatusOr<std::optional<grpc::ByteBuffer>> ExploreCall::NextMessage() {
  std::optional<grpc::ByteBuffer> message;
  {
    absl::MutexLock lock(&mutex_);
    if (!ready_.empty()) {
      message = std::move(ready_.front());
      ready_.pop_front();
    }
  }
  GoOn();
  return message;
}

// ---- Ends ---------------------------------------------------------------------------------------

void ExploreCall::OnAbandoned() {
  stop_->Cancel();
  context_.scheduler->Wake();
  bool idle = false;
  {
    absl::MutexLock lock(&mutex_);
    abandoned_ = true;
    const bool running = opened_ && !has_run_;  // OnRun will see the stop signal
    idle = !ended_ && !working_ && !running;
    ended_ |= idle;
  }
  if (idle) End(absl::CancelledError("the caller went away"));
}

void ExploreCall::OnLook(absl::Time now) {
  const absl::Duration patience = context_.traces->options().max_ttl;
  absl::Status status;
  {
    absl::MutexLock lock(&mutex_);
    const bool waits = opened_ && !has_run_;
    if (ended_ || working_ || waits || !queue_.empty() || !ready_.empty()) return;
    status = context_.scheduler->CheckServing();
    if (status.ok() && now - last_news_ >= patience) status = SessionIdle(patience);
    ended_ = !status.ok();
  }
  if (!status.ok()) End(status);
}

}  // namespace heed
