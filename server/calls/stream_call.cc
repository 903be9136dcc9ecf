#include "server/calls/stream_call.h"

#include <utility>

#include "absl/time/clock.h"
#include "model/base/status_macros.h"
#include "server/calls/status.h"
#include "server/engine/catch_exceptions.h"

namespace heed {

template <typename Reactor>
StreamCallOf<Reactor>::StreamCallOf(const ServiceContext& context,
                                    grpc::CallbackServerContext* call)
    : in_progress_(context.calls),
      call_(call),
      replies_(context.replies),
      stall_timeout_(context.stall_timeout) {}

template <typename Reactor>
void StreamCallOf<Reactor>::Start() {
  self_ = this->shared_from_this();
  replies_->Watch(self_);
}

template <typename Reactor>
void StreamCallOf<Reactor>::Notify() {
  {
    absl::MutexLock lock(&mutex_);
    ++news_;
    if (busy_ || posted_ || finished_) return;
    posted_ = true;
  }
  replies_->Post([self = this->shared_from_this()] {
    {
      absl::MutexLock lock(&self->mutex_);
      self->posted_ = false;
    }
    if (self->TakeTurn()) self->Pump();
  });
}

template <typename Reactor>
void StreamCallOf<Reactor>::End(const absl::Status& status) {
  {
    absl::MutexLock lock(&mutex_);
    if (!end_.has_value()) end_ = status;
  }
  Notify();
}

template <typename Reactor>
bool StreamCallOf<Reactor>::TakeTurn() {
  absl::MutexLock lock(&mutex_);
  if (busy_ || finished_) return false;
  busy_ = true;
  return true;
}

template <typename Reactor>
void StreamCallOf<Reactor>::Pump() {
  while (true) {
    int64_t seen = 0;
    {
      absl::MutexLock lock(&mutex_);
      seen = news_;
    }
    if (WriteNext()) return;
    absl::Status status;
    {
      absl::MutexLock lock(&mutex_);
      if (seen != news_) continue;
      if (!end_.has_value() || pinned_) {
        busy_ = false;
        return;
      }
      finished_ = true;
      status = error_.ok() ? *end_ : error_;
    }
    this->Finish(ToGrpcStatus(status));
    return;
  }
}

template <typename Reactor>
bool StreamCallOf<Reactor>::WriteNext() {
  {
    absl::MutexLock lock(&mutex_);
    if (abandoned_) return false;
  }
  std::optional<grpc::ByteBuffer> message;
  const absl::Status status = CatchExceptions([&]() -> absl::Status {
    HEED_ASSIGN_OR_RETURN(message, NextMessage());
    return absl::OkStatus();
  });
  if (!status.ok()) {
    Abandon(status);
    return false;
  }
  if (!message.has_value()) return false;
  outgoing_ = *std::move(message);
  {
    absl::MutexLock lock(&mutex_);
    write_started_ = absl::Now();
  }
  this->StartWrite(&outgoing_);
  return true;
}

template <typename Reactor>
void StreamCallOf<Reactor>::Abandon(const absl::Status& error) {
  {
    absl::MutexLock lock(&mutex_);
    abandoned_ = true;
    if (error_.ok()) error_ = error;
  }
  OnAbandoned();
}

template <typename Reactor>
void StreamCallOf<Reactor>::OnWriteDone(bool ok) {
  {
    absl::MutexLock lock(&mutex_);
    write_started_ = absl::InfiniteFuture();
  }
  outgoing_.Clear();
  if (!ok) Abandon(absl::OkStatus());
  Pump();
}

template <typename Reactor>
void StreamCallOf<Reactor>::OnCancel() {
  Abandon(absl::OkStatus());
  Notify();
}

template <typename Reactor>
void StreamCallOf<Reactor>::OnDone() {
  self_.reset();
}

template <typename Reactor>
void StreamCallOf<Reactor>::Look(absl::Time now) {
  {
    absl::MutexLock lock(&mutex_);
    if (finished_) return;
  }
  OnLook(now);
  {
    absl::MutexLock lock(&mutex_);
    if (finished_ || now - write_started_ < stall_timeout_) return;
    pinned_ = true;
  }
  call_->TryCancel();
  {
    absl::MutexLock lock(&mutex_);
    pinned_ = false;
  }
  if (TakeTurn()) Pump();
}

template class StreamCallOf<grpc::ServerWriteReactor<grpc::ByteBuffer>>;
template class StreamCallOf<grpc::ServerBidiReactor<grpc::ByteBuffer, grpc::ByteBuffer>>;

}  // namespace heed
