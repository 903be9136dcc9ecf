// A session with one prompt, edited and looked at again and again: heed's Explore stream, in the
// wire's own messages, whose fields are documented in share/heed/proto/heed/v1/experiment.proto.
//
//   heed::ExploreSession session(*client);
//   heed::v1::ExploreRequest request;
//   request.mutable_open()->mutable_prompt()->set_text("the keys to the cabinet");
//   auto base = session.Ask(request);
//   request.Clear();
//   request.mutable_edits()->add_interventions()->mutable_scale_scores()->set_beta(0.5);
//   auto flatter = session.Ask(request);  // what changed
//
// For an interface that draws while its user drags, Send from the thread that hears of the mouse,
// and Read in a loop on another one.
#ifndef HEED_CLIENT_EXPLORE_SESSION_H_
#define HEED_CLIENT_EXPLORE_SESSION_H_

#include <cstdint>
#include <memory>
#include <optional>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "client/client.h"
#include "heed/v1/experiment.pb.h"

namespace heed {
inline namespace client {

// Send and Cancel may be called from any thread, Read and Ask from one at a time. Destroying a
// session that has not ended cancels it on the server; no call may be under way then.
class ExploreSession {
 public:
  // Begins the stream, and with it the connection's share of it; no request is sent yet. It has no
  // deadline unless the options set one.
  explicit ExploreSession(const Client& client, const CallOptions& options = {});
  ~ExploreSession();
  ExploreSession(const ExploreSession&) = delete;
  ExploreSession& operator=(const ExploreSession&) = delete;

  // Sends a request and returns its number: its own `sequence`, or the next one. Waits as long as
  // the server takes no more, which it does when nobody reads its answers. UNAVAILABLE when the
  // session is over; Read says why.
  absl::StatusOr<int64_t> Send(v1::ExploreRequest request);

  // No request will follow: what was sent is answered, and then Read returns nullopt. Not while
  // Send is under way.
  void HalfClose();

  // Waits for the next response; nullopt when the session has ended as it should, an error when it
  // has failed. A response with an error of its own is a response.
  absl::StatusOr<std::optional<v1::ExploreResponse>> Read();

  // Sends a request and waits for the response to it; that to an earlier request is lost. The error
  // of the response, if it has one, is returned as such, and the session goes on.
  absl::StatusOr<v1::ExploreResponse> Ask(v1::ExploreRequest request);

  void Cancel();

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

// The error of a response as calls give theirs (heed/error.h); OK when it has none.
absl::Status ErrorOf(const v1::ExploreResponse& response);

}  // namespace client
}  // namespace heed

#endif  // HEED_CLIENT_EXPLORE_SESSION_H_
