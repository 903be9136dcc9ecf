// Calls that read a run: one that they have the engine make of their prompt, or a trace.
#ifndef HEED_SERVER_INSPECT_READ_CALL_H_
#define HEED_SERVER_INSPECT_READ_CALL_H_

#include <memory>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/clock.h"
#include "model/base/status_macros.h"
#include "server/calls/codec.h"
#include "server/calls/unary_call.h"
#include "server/convert/model.h"
#include "server/engine/catch_exceptions.h"
#include "server/inspect/run_source.h"
#include "server/inspect/start_read.h"

namespace heed {

// What sets one read apart from another. `Method` is as StartRead's, and has
//   using Response;
//   // On a worker thread; `stop` is looked at now and then.
//   static absl::Status Answer(const Request&, const ReadableRun&, const StopSignal& stop,
//                              Response*);
// and the response has the fields provenance, prompt and timings.
template <typename Method>
class ReadCall final : public UnaryCall {
 public:
  using UnaryCall::UnaryCall;

 private:
  absl::Status Submit(const grpc::ByteBuffer& request_bytes) override {
    HEED_RETURN_IF_ERROR(ParseRequest(request_bytes, &request_));
    auto done = [this, self = shared_from_this()](absl::StatusOr<ReadableRun> run) {
      OnRun(std::move(run));
    };
    return StartRead<Method>(context(), request_, client(), stop(), std::move(done));
  }

  void OnRun(absl::StatusOr<ReadableRun> run) {
    if (!run.ok()) return Reply(run.status());
    auto shared = std::make_shared<ReadableRun>(*std::move(run));
    const absl::Status status = context().workers->Post(
        [this, self = shared_from_this(), shared] {
          absl::StatusOr<grpc::ByteBuffer> reply = CatchExceptions([&] { return Answer(*shared); });
          *shared = ReadableRun();  // given back before the client may ask for more
          Reply(std::move(reply));
        },
        KindOf(shared->cost, client()));
    if (!status.ok()) Reply(status);
  }

  absl::StatusOr<grpc::ByteBuffer> Answer(ReadableRun& run) const {
    const absl::Time start = absl::Now();
    HEED_RETURN_IF_ERROR(stop()->Check());
    typename Method::Response response;
    HEED_RETURN_IF_ERROR(Method::Answer(request_, run, *stop(), &response));
    FillProvenance(run, response.mutable_provenance());
    FillPromptInfo(run.run->prompt, *run.model, response.mutable_prompt());
    run.timings.compute += absl::Now() - start;
    FillTimings(run.tokenize_time, run.timings, response.mutable_timings());
    return SerializeReply(response);
  }

  void Reply(absl::StatusOr<grpc::ByteBuffer> reply) {
    PostReply([reply = std::move(reply)] { return reply; });
  }

  typename Method::Request request_;
};

}  // namespace heed

#endif  // HEED_SERVER_INSPECT_READ_CALL_H_
