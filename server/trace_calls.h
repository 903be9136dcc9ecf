// OpenTrace, RenewTrace and CloseTrace.
#ifndef HEED_SERVER_TRACE_CALLS_H_
#define HEED_SERVER_TRACE_CALLS_H_

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "heed/v1/inspection.pb.h"
#include "server/run_source.h"
#include "server/unary_call.h"

namespace heed {

// The sites that a trace is to keep besides those of every trace: with the stream, every site that
// some read needs. `field` is the message's own path.
SiteSet SitesToKeep(absl::string_view field, const v1::KeepTrace& keep, const ModelConfig& config,
                    Violations* violations);

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

#endif  // HEED_SERVER_TRACE_CALLS_H_
