#include "client/explore_session.h"

#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "client/call.h"
#include "client/reply_check.h"
#include "client/status.h"
#include "google/rpc/status.pb.h"
#include "grpcpp/channel.h"
#include "grpcpp/support/sync_stream.h"
#include "heed/v1/experiment.grpc.pb.h"

namespace heed {
inline namespace client {

struct ExploreSession::Impl {
  Impl(const std::shared_ptr<grpc::Channel>& channel, const CallOptions& options)
      : stub(channel),
        call(options, absl::InfiniteDuration()),
        stream(stub.Explore(call.context())) {}

  v1::ExperimentService::Stub stub;
  Call call;
  std::unique_ptr<grpc::ClientReaderWriter<v1::ExploreRequest, v1::ExploreResponse>> stream;
  std::optional<absl::Status> status;  // of the reader: set when the stream is over
  ExploreReplyCheck check;             // the reader's

  absl::Mutex mutex;  // of those who send
  int64_t last_sequence ABSL_GUARDED_BY(mutex) = 0;
  bool half_closed ABSL_GUARDED_BY(mutex) = false;
};

ExploreSession::ExploreSession(const Client& client, const CallOptions& options)
    : impl_(std::make_unique<Impl>(client.channel(), options)) {}

ExploreSession::~ExploreSession() {
  if (impl_->status.has_value()) return;
  Cancel();
  v1::ExploreResponse ignored;
  while (impl_->stream->Read(&ignored)) {
  }
  (void)impl_->stream->Finish();
}

absl::StatusOr<int64_t> ExploreSession::Send(v1::ExploreRequest request) {
  absl::MutexLock lock(&impl_->mutex);
  if (request.sequence() == 0) request.set_sequence(impl_->last_sequence + 1);
  if (impl_->half_closed || !impl_->stream->Write(request)) {
    return absl::UnavailableError("the session is over");
  }
  impl_->last_sequence = request.sequence();
  return request.sequence();
}

void ExploreSession::HalfClose() {
  absl::MutexLock lock(&impl_->mutex);
  if (!std::exchange(impl_->half_closed, true)) impl_->stream->WritesDone();
}

absl::StatusOr<std::optional<v1::ExploreResponse>> ExploreSession::Read() {
  v1::ExploreResponse response;
  if (!impl_->status.has_value()) {
    if (impl_->stream->Read(&response)) {
      absl::Status broken = impl_->check.Add(response);
      if (broken.ok()) return std::optional(std::move(response));
      Cancel();
      while (impl_->stream->Read(&response)) {
      }
      (void)impl_->stream->Finish();
      impl_->status = std::move(broken);
    } else {
      impl_->status = FromGrpcStatus(impl_->stream->Finish());
    }
  }
  if (!impl_->status->ok()) return *impl_->status;
  return std::optional<v1::ExploreResponse>();
}

absl::StatusOr<v1::ExploreResponse> ExploreSession::Ask(v1::ExploreRequest request) {
  const absl::StatusOr<int64_t> sequence = Send(std::move(request));
  while (true) {
    absl::StatusOr<std::optional<v1::ExploreResponse>> response = Read();
    if (!response.ok()) return response.status();
    if (!response->has_value()) return absl::UnavailableError("the session is over");
    if (!sequence.ok() || (*response)->sequence() < *sequence) continue;
    if (absl::Status error = ErrorOf(**response); !error.ok()) return error;
    return **std::move(response);
  }
}

void ExploreSession::Cancel() {
  impl_->call.context()->TryCancel();
}

absl::Status ErrorOf(const v1::ExploreResponse& response) {
  if (!response.has_error()) return absl::OkStatus();
  return FromGrpcStatus(grpc::Status(static_cast<grpc::StatusCode>(response.error().code()),
                                     response.error().message(),
                                     response.error().SerializeAsString()));
}

}  // namespace client
}  // namespace heed
