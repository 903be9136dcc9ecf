// One call of GetAttention.
#ifndef HEED_SERVER_INSPECT_ATTENTION_CALL_H_
#define HEED_SERVER_INSPECT_ATTENTION_CALL_H_

#include <cstdint>
#include <memory>
#include <optional>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "heed/v1/inspection.pb.h"
#include "model/inspect/attention_capture.h"
#include "server/calls/service_context.h"
#include "server/calls/stream_call.h"
#include "server/convert/attention.h"
#include "server/convert/intervention.h"
#include "server/convert/prompt.h"
#include "server/engine/byte_budget.h"

namespace heed {

// Plain attention (attention_stream.h). Tiles leave while later parts of the prompt are still
// running; what a slow client has not read stays in the capture, whose memory counts against the
// server's attention budget until the call is gone.
class AttentionCall final : public StreamCall {
 public:
  // Validates and submits, or ends with the error. The reactor owns itself. What is more than a
  // call may hold becomes a ReadStreamCall, which keeps the run and computes tiles as they are
  // read.
  static grpc::ServerWriteReactor<grpc::ByteBuffer>* Begin(const ServiceContext& context,
                                                           grpc::CallbackServerContext* call,
                                                           const v1::GetAttentionRequest& request);

 private:
  class Task;

  // A request that passed its checks.
  struct Resolved {
    std::shared_ptr<const ServedModel> model;
    ResolvedPrompt prompt;
    AttentionChoice choice;
    std::shared_ptr<InterventionSet> edits;

    int64_t bytes() const { return SelectionBytes(choice, prompt.size()); }
  };
  static absl::StatusOr<Resolved> Resolve(const ServiceContext& context,
                                          const v1::GetAttentionRequest& request);

  AttentionCall(const ServiceContext& context, grpc::CallbackServerContext* call);

  absl::Status Submit(const v1::GetAttentionRequest& request, Resolved resolved);
  // Takes the memory for the selection.
  absl::Status Reserve(AttentionChoice choice, int64_t key_count);

  absl::StatusOr<std::optional<grpc::ByteBuffer>> NextMessage() override;
  bool FillNext(v1::GetAttentionResponse* out);
  void OnAbandoned() override;
  std::optional<EngineTimings> EngineDone();
  // On the engine thread.
  void OnEngineDone(const absl::Status& status, const EngineTimings& timings);

  const ServiceContext context_;
  const std::shared_ptr<StopSignal> stop_;
  std::shared_ptr<const ServedModel> model_;
  absl::Duration tokenize_time_;
  ByteBudget::Hold budget_;
  std::shared_ptr<PromptCapture> capture_;
  std::shared_ptr<InterventionSet> edits_;
  std::optional<v1::GetAttentionResponse> header_;  // until it is sent
  bool end_sent_ = false;

  absl::Mutex done_mutex_;
  std::optional<EngineTimings> done_ ABSL_GUARDED_BY(done_mutex_);  // the engine ended well
};

}  // namespace heed

#endif  // HEED_SERVER_INSPECT_ATTENTION_CALL_H_
