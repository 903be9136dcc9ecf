// The one implementation of EventReader. Internal to the client.
#ifndef HEED_CLIENT_STREAM_READER_H_
#define HEED_CLIENT_STREAM_READER_H_

#include <memory>
#include <optional>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "client/call.h"
#include "client/client.h"
#include "client/convert.h"
#include "client/reply_findings.h"
#include "client/status.h"
#include "grpcpp/support/sync_stream.h"

namespace heed {
inline namespace client {

// Reads a stream of `Response` whose last message holds an `End`. `Owner` keeps the channel and the
// stubs alive.
template <typename Event, typename End, typename Response, typename Owner>
class StreamReader final : public EventReader<Event> {
 public:
  // `start` opens the stream with the context that it is given.
  template <typename Start>
  StreamReader(std::shared_ptr<Owner> owner, const CallOptions& options,
               absl::Duration default_deadline, Start start)
      : owner_(std::move(owner)),
        call_(options, default_deadline),
        stream_(start(call_.context())) {}

  ~StreamReader() override {
    if (!status_) Abandon(absl::CancelledError()).IgnoreError();
  }

  absl::StatusOr<std::optional<Event>> Next() override {
    if (status_) return AtEnd();
    Response response;
    if (!stream_->Read(&response)) {
      status_ = FromGrpcStatus(stream_->Finish());
      if (status_->ok() && !ended_) {
        status_ = absl::InternalError("the server's answer broke off before its last message");
      }
      return AtEnd();
    }
    ReplyFindings findings;
    findings.CheckNumbers(response);
    if (!findings.empty()) return Abandon(findings.ToStatus());
    absl::StatusOr<Event> event = FromWire(response);
    if (!event.ok()) return Abandon(event.status());
    ended_ = std::holds_alternative<End>(*event);
    return std::optional<Event>(*std::move(event));
  }

  void Cancel() override { call_.context()->TryCancel(); }

 private:
  absl::StatusOr<std::optional<Event>> AtEnd() const {
    if (!status_->ok()) return *status_;
    return std::optional<Event>();
  }

  // Ends the stream before the server does.
  absl::Status Abandon(const absl::Status& why) {
    Cancel();
    Response ignored;
    while (stream_->Read(&ignored)) {
    }
    (void)stream_->Finish();
    status_ = why;
    return why;
  }

  std::shared_ptr<Owner> owner_;
  Call call_;
  std::unique_ptr<grpc::ClientReader<Response>> stream_;
  std::optional<absl::Status> status_;  // set when the stream is over
  bool ended_ = false;                  // the last event was an End
};

}  // namespace client
}  // namespace heed

#endif  // HEED_CLIENT_STREAM_READER_H_
