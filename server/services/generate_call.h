// One call of Generate.
#ifndef HEED_SERVER_SERVICES_GENERATE_CALL_H_
#define HEED_SERVER_SERVICES_GENERATE_CALL_H_

#include <memory>
#include <optional>
#include <string>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "heed/v1/prediction.pb.h"
#include "server/calls/service_context.h"
#include "server/calls/stream_call.h"
#include "server/convert/generate.h"
#include "server/convert/traced_run.h"
#include "server/engine/generate_task.h"
#include "server/engine/observer_pair.h"
#include "server/engine/trace_store.h"

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
  void FillEvent(const GenerateEvent& event, v1::GenerateResponse* out);
  void OnAbandoned() override;

  // What is to be kept of the run.
  struct Keeping {
    std::unique_ptr<TraceRecorder> recorder;
    std::unique_ptr<TracedRun> run;
    TraceStore::Reservation memory;
    absl::Duration ttl;
    int64_t prompt_tokens = 0;
  };

  // Takes the memory of the trace, if there is to be one.
  absl::Status PrepareTrace(const ResolvedGenerate& resolved);
  ForwardObserver* ChooseObserver(ForwardObserver* capture);
  void KeepTrace(v1::TraceInfo* out);

  const ServiceContext context_;
  const std::string client_;
  const std::shared_ptr<StopSignal> stop_;
  const std::shared_ptr<EventQueue> events_;
  std::shared_ptr<const ServedModel> model_;
  absl::Duration tokenize_time_;
  std::optional<v1::GenerateResponse> start_;  // until it is sent
  std::shared_ptr<InterventionSet> edits_;
  std::optional<Keeping> keeping_;
  std::optional<ObserverPair> observers_;
};

}  // namespace heed

#endif  // HEED_SERVER_SERVICES_GENERATE_CALL_H_
