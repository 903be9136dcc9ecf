// A call with a stream of messages that are made elsewhere, at the engine's pace, and read at the
// client's.
#ifndef HEED_SERVER_CALLS_STREAM_CALL_H_
#define HEED_SERVER_CALLS_STREAM_CALL_H_

#include <cstdint>
#include <memory>
#include <optional>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "grpcpp/server_context.h"
#include "grpcpp/support/byte_buffer.h"
#include "grpcpp/support/server_callback.h"
#include "server/calls/call_count.h"
#include "server/calls/reply_thread.h"
#include "server/calls/service_context.h"

namespace heed {

// Pulls messages from NextMessage, with one write outstanding at any time, and finishes the call
// exactly once. Three parties hold on to it: gRPC from Start to OnDone, the engine's task, and the
// reply thread; the last to let go deletes it.
//
// gRPC is never called with the mutex held: it may call back on the same thread.
template <typename Reactor>
class StreamCallOf : public Reactor,
                     public Watched,
                     public std::enable_shared_from_this<StreamCallOf<Reactor>> {
 public:
  // A message may be ready to send. Any thread; never blocks on the network.
  void Notify();

  // Nothing more will become ready: send what is, then finish with `status`. Once. Any thread.
  void End(const absl::Status& status);

 protected:
  // `call` is gRPC's, alive until OnDone. A write that takes longer than context.stall_timeout has
  // no reader.
  StreamCallOf(const ServiceContext& context, grpc::CallbackServerContext* call);

  // Keeps this alive until OnDone. To be called once, before gRPC gets the reactor.
  void Start();

  // The next message if one is ready. One thread at a time. An error or an exception ends this call
  // with it, and no other.
  virtual absl::StatusOr<std::optional<grpc::ByteBuffer>> NextMessage() = 0;

  // Nobody wants the messages any more; whoever makes them should stop, and call End. May be called
  // more than once.
  virtual void OnAbandoned() = 0;

  // Called now and then on the reply thread until the call is finished.
  virtual void OnLook(absl::Time /*now*/) {}

 private:
  void OnWriteDone(bool ok) final;
  void OnCancel() final;
  void OnDone() final;
  void Look(absl::Time now) final;

  // True when the caller is now the one to call Pump.
  bool TakeTurn() ABSL_LOCKS_EXCLUDED(mutex_);
  // Starts the next write, or finishes the call, or gives the turn back.
  void Pump() ABSL_LOCKS_EXCLUDED(mutex_);
  // True when a write was started: then the turn lasts until OnWriteDone.
  bool WriteNext() ABSL_LOCKS_EXCLUDED(mutex_);
  void Abandon(const absl::Status& error) ABSL_LOCKS_EXCLUDED(mutex_);

  const CallCount::Hold in_progress_;
  grpc::CallbackServerContext* const call_;
  ReplyThread* const replies_;
  const absl::Duration stall_timeout_;
  std::shared_ptr<StreamCallOf> self_;
  grpc::ByteBuffer outgoing_;  // owned by whoever has the turn

  absl::Mutex mutex_;
  bool busy_ ABSL_GUARDED_BY(mutex_) = false;       // somebody has the turn
  bool posted_ ABSL_GUARDED_BY(mutex_) = false;     // the reply thread will take a turn
  bool abandoned_ ABSL_GUARDED_BY(mutex_) = false;  // write no more
  bool finished_ ABSL_GUARDED_BY(mutex_) = false;
  bool pinned_ ABSL_GUARDED_BY(mutex_) = false;  // Look uses the context: do not finish
  int64_t news_ ABSL_GUARDED_BY(mutex_) = 0;     // counts calls of Notify
  absl::Time write_started_ ABSL_GUARDED_BY(mutex_) = absl::InfiniteFuture();
  std::optional<absl::Status> end_ ABSL_GUARDED_BY(mutex_);
  absl::Status error_ ABSL_GUARDED_BY(mutex_);  // of NextMessage
};

// The client sends one request.
using StreamCall = StreamCallOf<grpc::ServerWriteReactor<grpc::ByteBuffer>>;
// The client sends a stream of them, which is the derived class's to read.
using BidiStreamCall = StreamCallOf<grpc::ServerBidiReactor<grpc::ByteBuffer, grpc::ByteBuffer>>;

extern template class StreamCallOf<grpc::ServerWriteReactor<grpc::ByteBuffer>>;
extern template class StreamCallOf<grpc::ServerBidiReactor<grpc::ByteBuffer, grpc::ByteBuffer>>;

}  // namespace heed

#endif  // HEED_SERVER_CALLS_STREAM_CALL_H_
