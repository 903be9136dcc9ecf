// One call of Generate.
#ifndef HEED_SERVER_GENERATE_CALL_H_
#define HEED_SERVER_GENERATE_CALL_H_

#include <memory>
#include <optional>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "heed/v1/prediction.pb.h"
#include "server/generate_task.h"
#include "server/service_context.h"
#include "server/stream_call.h"

namespace heed {

class GenerateCall final : public StreamCall {
 public:
  // Validates and submits, or ends with the error. The reactor owns itself.
  static grpc::ServerWriteReactor<grpc::ByteBuffer>* Begin(const ServiceContext& context,
                                                           grpc::CallbackServerContext* call,
                                                           const grpc::ByteBuffer& request);

 private:
  GenerateCall(const ServiceContext& context, grpc::CallbackServerContext* call);

  absl::Status Submit(const grpc::ByteBuffer& request_bytes);
  std::unique_ptr<GenerateTask> MakeTask(GenerateJob job, absl::Span<const TokenId> prompt);

  absl::StatusOr<std::optional<grpc::ByteBuffer>> NextMessage() override;
  void FillEvent(const GenerateEvent& event, v1::GenerateResponse* out) const;
  void OnAbandoned() override;

  const ServiceContext context_;
  const std::shared_ptr<StopSignal> stop_;
  const std::shared_ptr<EventQueue> events_;
  std::shared_ptr<const ServedModel> model_;
  absl::Duration tokenize_time_;
  std::optional<v1::GenerateResponse> start_;  // until it is sent
};

}  // namespace heed

#endif  // HEED_SERVER_GENERATE_CALL_H_
