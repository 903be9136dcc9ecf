#include "server/inspect/trace_calls.h"

#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "model/base/status_macros.h"
#include "model/inspect/activations.h"
#include "model/inspect/attribution.h"
#include "server/calls/codec.h"
#include "server/convert/model.h"
#include "server/convert/prompt.h"
#include "server/convert/trace.h"

namespace heed {

absl::Status OpenTraceCall::Submit(const grpc::ByteBuffer& request_bytes) {
  v1::OpenTraceRequest request;
  HEED_RETURN_IF_ERROR(ParseRequest(request_bytes, &request));
  const auto fields = [&](const ServedModel& model, Violations* violations) {
    ttl_ = ReadTtl("keep.ttl", request.keep().has_ttl(), request.keep().ttl(),
                   context().traces->options(), violations);
    return SitesToKeep("keep", request.keep(), model.model->config(), violations);
  };
  const auto length = [](const ModelConfig&, int64_t) { return absl::OkStatus(); };
  auto done = [this, self = shared_from_this()](absl::StatusOr<ReadableRun> run) {
    auto shared = std::make_shared<absl::StatusOr<ReadableRun>>(std::move(run));
    PostReply([this, shared]() -> absl::StatusOr<grpc::ByteBuffer> {
      HEED_RETURN_IF_ERROR(shared->status());
      return Respond(*std::move(*shared));
    });
  };
  return StartRun(context(), RunInputOf(request), {fields, length}, client(), stop(),
                  std::move(done));
}

absl::StatusOr<grpc::ByteBuffer> OpenTraceCall::Respond(ReadableRun run) const {
  HEED_RETURN_IF_ERROR(stop()->Check());
  v1::OpenTraceResponse response;
  FillPromptInfo(run.run->prompt, *run.model, response.mutable_prompt());
  const TraceFacts facts =
      context().traces->Keep(std::move(*run.memory), run.run, run.model, run.run->held_bytes, ttl_);
  run.trace_id = facts.id;
  FillProvenance(run, response.mutable_provenance());
  FillTraceInfo(facts, *run.run, response.mutable_trace());
  FillTimings(run.tokenize_time, run.timings, response.mutable_timings());
  return SerializeReply(response);
}

absl::Status RenewTrace(const ServiceContext& context, const v1::RenewTraceRequest& request,
                        v1::RenewTraceResponse* response) {
  Violations violations;
  const absl::Duration ttl =
      ReadTtl("ttl", request.has_ttl(), request.ttl(), context.traces->options(), &violations);
  HEED_RETURN_IF_ERROR(violations.ToStatus());
  HEED_ASSIGN_OR_RETURN(const TraceStore::Found found, context.traces->Find(request.trace_id()));
  HEED_ASSIGN_OR_RETURN(const TraceFacts facts, context.traces->Renew(request.trace_id(), ttl));
  FillTraceInfo(facts, *found.run, response->mutable_trace());
  return absl::OkStatus();
}

absl::Status CloseTrace(const ServiceContext& context, const v1::CloseTraceRequest& request,
                        v1::CloseTraceResponse* response) {
  HEED_ASSIGN_OR_RETURN(const int64_t bytes, context.traces->Close(request.trace_id()));
  response->set_freed_bytes(bytes);
  return absl::OkStatus();
}

}  // namespace heed
