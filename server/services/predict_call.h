// One call of Predict.
#ifndef HEED_SERVER_SERVICES_PREDICT_CALL_H_
#define HEED_SERVER_SERVICES_PREDICT_CALL_H_

#include <memory>

#include "server/calls/unary_call.h"
#include "server/convert/predict.h"
#include "server/engine/predict_task.h"

namespace heed {

class PredictCall final : public UnaryCall {
 public:
  using UnaryCall::UnaryCall;

 private:
  absl::Status Submit(const grpc::ByteBuffer& request_bytes) override;
  absl::StatusOr<grpc::ByteBuffer> Respond(const PredictTask::Outcome& outcome) const;

  std::shared_ptr<const ServedModel> model_;
  ResolvedPredict resolved_;
};

}  // namespace heed

#endif  // HEED_SERVER_SERVICES_PREDICT_CALL_H_
