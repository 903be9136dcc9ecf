#include "server/stream_call.h"

#include <utility>

#include "absl/time/clock.h"
#include "server/status.h"

namespace heed {

StreamCall::StreamCall(grpc::CallbackServerContext* context, ReplyThread* replies,
                       absl::Duration stall_timeout)
    : context_(context), replies_(replies), stall_timeout_(stall_timeout) {}

void StreamCall::Start() {
  self_ = shared_from_this();
  replies_->Watch(self_);
}

void StreamCall::Notify() {
  {
    absl::MutexLock lock(&mutex_);
    ++news_;
    if (busy_ || posted_ || finished_) return;
    posted_ = true;
  }
  replies_->Post([self = shared_from_this()] {
    {
      absl::MutexLock lock(&self->mutex_);
      self->posted_ = false;
    }
    if (self->TakeTurn()) self->Pump();
  });
}

void StreamCall::End(const absl::Status& status) {
  {
    absl::MutexLock lock(&mutex_);
    if (!end_.has_value()) end_ = status;
  }
  Notify();
}

bool StreamCall::TakeTurn() {
  absl::MutexLock lock(&mutex_);
  if (busy_ || finished_) return false;
  busy_ = true;
  return true;
}

void StreamCall::Pump() {
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
    Finish(ToGrpcStatus(status));
    return;
  }
}

bool StreamCall::WriteNext() {
  {
    absl::MutexLock lock(&mutex_);
    if (abandoned_) return false;
  }
  absl::StatusOr<std::optional<grpc::ByteBuffer>> message = NextMessage();
  if (!message.ok()) {
    Abandon(message.status());
    return false;
  }
  if (!message->has_value()) return false;
  outgoing_ = **std::move(message);
  {
    absl::MutexLock lock(&mutex_);
    write_started_ = absl::Now();
  }
  StartWrite(&outgoing_);
  return true;
}

void StreamCall::Abandon(const absl::Status& error) {
  {
    absl::MutexLock lock(&mutex_);
    abandoned_ = true;
    if (error_.ok()) error_ = error;
  }
  OnAbandoned();
}

void StreamCall::OnWriteDone(bool ok) {
  {
    absl::MutexLock lock(&mutex_);
    write_started_ = absl::InfiniteFuture();
  }
  outgoing_.Clear();
  if (!ok) Abandon(absl::OkStatus());
  Pump();
}

void StreamCall::OnCancel() {
  Abandon(absl::OkStatus());
  Notify();
}

void StreamCall::OnDone() {
  self_.reset();
}

void StreamCall::Look(absl::Time now) {
  {
    absl::MutexLock lock(&mutex_);
    if (finished_ || now - write_started_ < stall_timeout_) return;
    pinned_ = true;
  }
  context_->TryCancel();
  {
    absl::MutexLock lock(&mutex_);
    pinned_ = false;
  }
  if (TakeTurn()) Pump();
}

}  // namespace heed
