// Calls that read a run and answer with a stream.
#ifndef HEED_SERVER_INSPECT_READ_STREAM_CALL_H_
#define HEED_SERVER_INSPECT_READ_STREAM_CALL_H_

#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/clock.h"
#include "model/base/status_macros.h"
#include "server/calls/codec.h"
#include "server/calls/stream_call.h"
#include "server/engine/catch_exceptions.h"
#include "server/inspect/run_source.h"
#include "server/inspect/start_read.h"

namespace heed {

// What sets one streamed read apart from another. `Method` is as StartRead's, and has
//   using Response;
//   // Made and used on worker threads, one at a time. `run` and `stop` outlive it.
//   static absl::StatusOr<std::unique_ptr<Method>> Create(const Request&, ReadableRun* run,
//                                                         const StopSignal* stop);
//   // The next message; false after the last one.
//   absl::StatusOr<bool> Next(Response*);
//
// Messages are made a few ahead of what the client has read and no more, each a piece of work of
// its own, so that a slow client holds neither a thread nor much memory.
template <typename Method>
class ReadStreamCall final : public StreamCall {
 public:
  // Validates and starts, or ends with the error. The reactor owns itself.
  static grpc::ServerWriteReactor<grpc::ByteBuffer>* Begin(
      const ServiceContext& context, grpc::CallbackServerContext* call,
      absl::StatusOr<typename Method::Request> request) {
    const std::shared_ptr<ReadStreamCall> self(new ReadStreamCall(context, call));
    self->Start();
    const absl::Status status = CatchExceptions([&]() -> absl::Status {
      HEED_ASSIGN_OR_RETURN(self->request_, std::move(request));
      return self->Submit();
    });
    if (!status.ok()) self->End(status);
    return self.get();
  }

 private:
  ReadStreamCall(const ServiceContext& context, grpc::CallbackServerContext* call)
      : StreamCall(context, call),
        context_(context),
        client_(ClientOf(*call)),
        stop_(MakeStopSignal(*call)) {}

  absl::Status Submit() {
    auto done = [self = Self()](absl::StatusOr<ReadableRun> run) { self->OnRun(std::move(run)); };
    return StartRead<Method>(context_, request_, client_, stop_, std::move(done));
  }

  void OnRun(absl::StatusOr<ReadableRun> run) {
    if (!run.ok()) return End(run.status());
    run_ = *std::move(run);
    kind_ = KindOf(run_.cost, client_);
    const absl::Status status =
        context_.workers->Post([self = Self()] { self->MakeNext(); }, kind_);
    if (!status.ok()) End(status);
  }

  // On a worker thread, which has the turn to make messages.
  void MakeNext() {
    const absl::Time start = absl::Now();
    std::optional<grpc::ByteBuffer> message;
    absl::Status status = CatchExceptions([&]() -> absl::Status {
      HEED_RETURN_IF_ERROR(stop_->Check());
      HEED_ASSIGN_OR_RETURN(message, Make());
      return absl::OkStatus();
    });
    run_.timings.compute += absl::Now() - start;
    const bool last = !status.ok() || !message.has_value();
    bool goes_on = false;
    {
      absl::MutexLock lock(&mutex_);
      if (message.has_value()) ready_.push_back(*std::move(message));
      goes_on = !last && !abandoned_ && ready_.size() < kMessagesAhead;
      making_ = goes_on;
      done_ = last;
      if (!last && abandoned_) status = absl::CancelledError("the caller went away");
    }
    if (last || !status.ok()) {
      // Given back before the client may ask for more.
      method_ = nullptr;
      run_ = ReadableRun();
      return End(status);
    }
    Notify();
    if (goes_on) context_.workers->Continue([self = Self()] { self->MakeNext(); }, kind_);
  }

  absl::StatusOr<std::optional<grpc::ByteBuffer>> Make() {
    if (method_ == nullptr) {
      HEED_ASSIGN_OR_RETURN(method_, Method::Create(request_, &run_, stop_.get()));
    }
    typename Method::Response response;
    HEED_ASSIGN_OR_RETURN(const bool any, method_->Next(&response));
    if (!any) return std::nullopt;
    HEED_ASSIGN_OR_RETURN(grpc::ByteBuffer bytes, SerializeReply(response));
    return bytes;
  }

  absl::StatusOr<std::optional<grpc::ByteBuffer>> NextMessage() override {
    std::optional<grpc::ByteBuffer> message;
    bool make = false;
    {
      absl::MutexLock lock(&mutex_);
      if (ready_.empty()) return std::nullopt;
      message = std::move(ready_.front());
      ready_.pop_front();
      make = !making_ && !done_ && !abandoned_;
      making_ |= make;
    }
    if (make) context_.workers->Continue([self = Self()] { self->MakeNext(); }, kind_);
    return message;
  }

  void OnAbandoned() override {
    stop_->Cancel();
    context_.scheduler->Wake();
    bool idle = false;
    {
      absl::MutexLock lock(&mutex_);
      abandoned_ = true;
      idle = !making_;
    }
    if (idle) End(absl::CancelledError("the caller went away"));
  }

  std::shared_ptr<ReadStreamCall> Self() {
    return std::static_pointer_cast<ReadStreamCall>(shared_from_this());
  }

  static constexpr size_t kMessagesAhead = 3;

  const ServiceContext context_;
  const std::string client_;
  const std::shared_ptr<StopSignal> stop_;
  typename Method::Request request_;
  WorkKind kind_;  // of a message
  // Of whoever makes messages.
  ReadableRun run_;
  std::unique_ptr<Method> method_;

  absl::Mutex mutex_;
  std::deque<grpc::ByteBuffer> ready_ ABSL_GUARDED_BY(mutex_);
  bool making_ ABSL_GUARDED_BY(mutex_) = true;  // the engine or a worker will go on
  bool done_ ABSL_GUARDED_BY(mutex_) = false;   // all messages were made
  bool abandoned_ ABSL_GUARDED_BY(mutex_) = false;
};

}  // namespace heed

#endif  // HEED_SERVER_INSPECT_READ_STREAM_CALL_H_
