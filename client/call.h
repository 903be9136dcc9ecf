// What every call needs around its gRPC context. Internal to the client.
#ifndef HEED_CLIENT_CALL_H_
#define HEED_CLIENT_CALL_H_

#include <cstdint>

#include "absl/time/time.h"
#include "client/client.h"
#include "grpcpp/client_context.h"

namespace heed {
inline namespace client {

// A gRPC context with its deadline set and, while it lives, tied to the caller's cancel token.
class Call {
 public:
  Call(const CallOptions& options, absl::Duration default_deadline) : cancel_(options.cancel) {
    const absl::Duration deadline = options.deadline.value_or(default_deadline);
    if (deadline != absl::InfiniteDuration()) {
      context_.set_deadline(absl::ToChronoTime(absl::Now() + deadline));
    }
    if (cancel_ != nullptr) cancel_key_ = cancel_->Add([this] { context_.TryCancel(); });
  }
  ~Call() {
    if (cancel_ != nullptr) cancel_->Remove(cancel_key_);
  }
  Call(const Call&) = delete;
  Call& operator=(const Call&) = delete;

  grpc::ClientContext* context() { return &context_; }

 private:
  grpc::ClientContext context_;
  CancelToken* cancel_;
  int64_t cancel_key_ = 0;
};

}  // namespace client
}  // namespace heed

#endif  // HEED_CLIENT_CALL_H_
