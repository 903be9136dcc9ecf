// ExperimentService.Explore: a stream of requests into a session, and what changes out of it.
#ifndef HEED_SERVER_INSPECT_EXPLORE_CALL_H_
#define HEED_SERVER_INSPECT_EXPLORE_CALL_H_

#include <deque>
#include <memory>
#include <optional>
#include <string>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "server/calls/service_context.h"
#include "server/calls/stream_call.h"
#include "server/engine/worker_pool.h"
#include "server/inspect/explore_queue.h"
#include "server/inspect/explore_session.h"

namespace heed {

// Requests are read as they come and wait in a queue; one piece of work at a time takes all that
// wait, on a worker, and not before the client has read what was answered before. So a client that
// is slow, or faster than the model, has its newest request answered and not its oldest.
class ExploreCall final : public BidiStreamCall {
 public:
  // The reactor owns itself.
  static grpc::ServerBidiReactor<grpc::ByteBuffer, grpc::ByteBuffer>* Begin(
      const ServiceContext& context, grpc::CallbackServerContext* call);

 private:
  ExploreCall(const ServiceContext& context, grpc::CallbackServerContext* call);

  // From gRPC.
  void OnReadDone(bool ok) override;
  absl::StatusOr<std::optional<grpc::ByteBuffer>> NextMessage() override;
  void OnAbandoned() override;
  void OnLook(absl::Time now) override;

  absl::Status OnRequest();
  void OnHalfClose();
  // Validates the first request and has its prompt run.
  absl::Status Open(const v1::ExploreRequest& request);
  void OnRun(absl::StatusOr<ReadableRun> run);

  // Lets a worker go on if there is something to do for one and none is at it.
  void GoOn() ABSL_LOCKS_EXCLUDED(mutex_);
  // Of answering what waits, when that is the caller's to have done now.
  std::optional<WorkKind> TakeTurn() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // On a worker, which has the turn.
  void Work();
  absl::Status Answer(ExploreQueue::Batch batch);
  // Adds the response to all requests up to `sequence` that have none.
  absl::Status Respond(int64_t sequence, const absl::Status& error);
  // True for what no request is to blame for.
  bool EndsCall(const absl::Status& status) const;

  std::shared_ptr<ExploreCall> Self() {
    return std::static_pointer_cast<ExploreCall>(shared_from_this());
  }

  const ServiceContext context_;
  const std::string client_;
  const std::shared_ptr<StopSignal> stop_;
  grpc::ByteBuffer incoming_;  // of the read that is under way

  // Of whoever has the turn.
  std::optional<ReadableRun> run_;
  std::unique_ptr<ExploreSession> session_;
  std::vector<int64_t> skipped_;  // not reported yet
  absl::Time arrived_, started_;  // of the work under way

  absl::Mutex mutex_;
  ExploreQueue queue_ ABSL_GUARDED_BY(mutex_);
  std::deque<grpc::ByteBuffer> ready_ ABSL_GUARDED_BY(mutex_);
  absl::Time last_news_ ABSL_GUARDED_BY(mutex_);  // when the last request came or was answered
  bool opened_ ABSL_GUARDED_BY(mutex_) = false;   // the first request was taken
  bool has_run_ ABSL_GUARDED_BY(mutex_) = false;  // its prompt was run
  std::shared_ptr<const ServedModel> model_ ABSL_GUARDED_BY(mutex_);  // from then on
  int64_t n_tokens_ ABSL_GUARDED_BY(mutex_) = 0;
  bool working_ ABSL_GUARDED_BY(mutex_) = false;  // somebody has the turn
  bool paused_ ABSL_GUARDED_BY(mutex_) = false;   // no read is under way: the queue was full
  bool half_closed_ ABSL_GUARDED_BY(mutex_) = false;
  bool abandoned_ ABSL_GUARDED_BY(mutex_) = false;  // nobody will read what is ready
  bool ended_ ABSL_GUARDED_BY(mutex_) = false;      // End was called
};

}  // namespace heed

#endif  // HEED_SERVER_INSPECT_EXPLORE_CALL_H_
