// One call of Predict.
#ifndef HEED_SERVER_PREDICT_CALL_H_
#define HEED_SERVER_PREDICT_CALL_H_

#include <memory>

#include "absl/status/status.h"
#include "grpcpp/support/byte_buffer.h"
#include "grpcpp/support/server_callback.h"
#include "server/convert_predict.h"
#include "server/predict_task.h"
#include "server/service_context.h"

namespace heed {

// Held by gRPC until OnDone, by the engine's task until it is done, and by the reply thread in
// between.
class PredictCall final : public grpc::ServerUnaryReactor,
                          public std::enable_shared_from_this<PredictCall> {
 public:
  // Validates and submits, or finishes with the error. The reactor owns itself.
  static grpc::ServerUnaryReactor* Begin(const ServiceContext& context,
                                         grpc::CallbackServerContext* call,
                                         const grpc::ByteBuffer& request,
                                         grpc::ByteBuffer* response);

 private:
  PredictCall(const ServiceContext& context, grpc::CallbackServerContext* call,
              grpc::ByteBuffer* response);

  absl::Status Submit(const grpc::ByteBuffer& request_bytes);
  // On the reply thread.
  void Conclude(const PredictTask::Outcome& outcome);
  absl::Status Respond(const PredictTask::Outcome& outcome);

  void OnCancel() override;
  void OnDone() override;

  const ServiceContext context_;
  grpc::ByteBuffer* const response_;  // gRPC's, alive until OnDone
  const std::shared_ptr<StopSignal> stop_;
  std::shared_ptr<PredictCall> self_;
  std::shared_ptr<const ServedModel> model_;
  ResolvedPredict resolved_;
};

}  // namespace heed

#endif  // HEED_SERVER_PREDICT_CALL_H_
