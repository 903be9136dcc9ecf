// OpenTrace, RenewTrace and CloseTrace.
#ifndef HEED_SERVER_INSPECT_TRACE_CALLS_H_
#define HEED_SERVER_INSPECT_TRACE_CALLS_H_

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "heed/v1/inspection.pb.h"
#include "server/calls/unary_call.h"
#include "server/inspect/run_source.h"

namespace heed {

class OpenTraceCall final : public UnaryCall {
 public:
  using UnaryCall::UnaryCall;

 private:
  absl::Status Submit(const grpc::ByteBuffer& request_bytes) override;
  absl::StatusOr<grpc::ByteBuffer> Respond(ReadableRun run) const;

  absl::Duration ttl_;
};

absl::Status RenewTrace(const ServiceContext& context, const v1::RenewTraceRequest& request,
                        v1::RenewTraceResponse* response);
absl::Status CloseTrace(const ServiceContext& context, const v1::CloseTraceRequest& request,
                        v1::CloseTraceResponse* response);

}  // namespace heed

#endif  // HEED_SERVER_INSPECT_TRACE_CALLS_H_
