// What the calls with one answer that run on the engine have in common: how they live and end.
#ifndef HEED_SERVER_CALLS_UNARY_CALL_H_
#define HEED_SERVER_CALLS_UNARY_CALL_H_

#include <functional>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "grpcpp/support/byte_buffer.h"
#include "grpcpp/support/server_callback.h"
#include "model/base/stop_signal.h"
#include "server/calls/service_context.h"

namespace heed {

// Held by gRPC until OnDone, by what runs on the engine until that is done, and by the reply thread
// in between.
class UnaryCall : public grpc::ServerUnaryReactor, public std::enable_shared_from_this<UnaryCall> {
 public:
  // Submits, or finishes with the error. The reactor owns itself.
  static grpc::ServerUnaryReactor* Begin(const std::shared_ptr<UnaryCall>& call,
                                         const grpc::ByteBuffer& request);

  // `response` is gRPC's, alive until OnDone.
  UnaryCall(const ServiceContext& context, grpc::CallbackServerContext* call,
            grpc::ByteBuffer* response);

 protected:
  // Validates and hands over to the engine, which calls PostReply at the end unless the result is
  // an error.
  virtual absl::Status Submit(const grpc::ByteBuffer& request) = 0;

  // Finishes the call on the reply thread with what `make` returns there.
  void PostReply(std::function<absl::StatusOr<grpc::ByteBuffer>()> make);

  const ServiceContext& context() const { return context_; }
  const std::shared_ptr<StopSignal>& stop() const { return stop_; }
  const std::string& client() const { return client_; }

 private:
  void OnCancel() override;
  void OnDone() override;

  const ServiceContext context_;
  const CallCount::Hold in_progress_;
  grpc::ByteBuffer* const response_;
  const std::shared_ptr<StopSignal> stop_;
  const std::string client_;
  std::shared_ptr<UnaryCall> self_;
};

}  // namespace heed

#endif  // HEED_SERVER_CALLS_UNARY_CALL_H_
