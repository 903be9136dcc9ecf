// heed's C++ client: typed, blocking calls to a heed server.
//
//   auto client = heed::Client::Connect("localhost:50051");
//   if (!client.ok()) { ... }
//   auto next = (*client)->Predict({.text = "The capital of France is", .top_k = 5});
//   if (!next.ok()) { ... heed::GetServerError(next.status()).reason ... }
//
// Calls fail with the server's canonical code and message (heed/error.h has the details), with
// DEADLINE_EXCEEDED, CANCELLED, or UNAVAILABLE without a connection. UNAVAILABLE is tried again, up
// to ClientOptions::max_attempts times in all, unless answers have begun to arrive or most calls of
// this process to the server fail.
#ifndef HEED_CLIENT_CLIENT_H_
#define HEED_CLIENT_CLIENT_H_

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "client/cancel_token.h"
#include "client/error.h"
#include "client/types.h"

namespace grpc {
class Channel;
}  // namespace grpc

namespace heed {
inline namespace client {

struct ClientOptions {
  // How long Connect waits for the connection; zero: it does not, and the first call connects.
  absl::Duration connect_timeout = absl::Seconds(5);
  // Deadlines of calls that set none themselves.
  absl::Duration unary_deadline = absl::Seconds(60);
  absl::Duration stream_deadline = absl::Minutes(10);
  // Attempts of a call that finds the server UNAVAILABLE, the first included: [1, 5].
  int max_attempts = 4;
  int64_t max_message_bytes = int64_t{16} << 20;
  // Put before gRPC's own user agent.
  std::string user_agent;
};

struct CallOptions {
  std::optional<absl::Duration> deadline;  // from now; absl::InfiniteDuration() for none
  CancelToken* cancel = nullptr;           // borrowed
};

// The events of a streamed answer, one at a time. Use from one thread at a time; Cancel may come
// from any. Destroying a reader before the end cancels the call on the server. A reader keeps its
// connection alive by itself.
template <typename Event>
class EventReader {
 public:
  virtual ~EventReader() = default;

  // Waits for the next event: nullopt once after the last, an error when the call failed. An answer
  // that breaks off without its end event is an error.
  virtual absl::StatusOr<std::optional<Event>> Next() = 0;

  virtual void Cancel() = 0;
};

using GenerateReader = EventReader<GenerateEvent>;    // a start, tokens, an end
using AttentionReader = EventReader<AttentionEvent>;  // a header, tiles, an end

// Thread-safe: calls may run at the same time and share one connection.
class Client {
 public:
  // Opens a connection to `target`: "host:port", "ipv6:[::1]:50051", "unix:/path",
  // "dns:///name:port". INVALID_ARGUMENT for a target without a port or with http:// and for
  // options out of range; UNAVAILABLE when the first attempt to connect fails or takes longer than
  // connect_timeout.
  static absl::StatusOr<std::unique_ptr<Client>> Connect(const std::string& target,
                                                         const ClientOptions& options = {});
  ~Client();
  Client(const Client&) = delete;
  Client& operator=(const Client&) = delete;

  // Every loaded model; the first is the default one.
  absl::StatusOr<std::vector<ModelInfo>> ListModels(const CallOptions& options = {});
  // `name` may be empty for the default model.
  absl::StatusOr<ModelInfo> GetModel(absl::string_view name, const CallOptions& options = {});

  absl::StatusOr<TokenizeResult> Tokenize(const TokenizeRequest& request,
                                          const CallOptions& options = {});
  absl::StatusOr<DetokenizeResult> Detokenize(const DetokenizeRequest& request,
                                              const CallOptions& options = {});

  absl::StatusOr<PredictResult> Predict(const PredictRequest& request,
                                        const CallOptions& options = {});

  // One vector for each text, and on request one for each of its tokens.
  absl::StatusOr<EmbedResult> Embed(const EmbedRequest& request, const CallOptions& options = {});

  // Runs a generation to its end, handing each event to `on_event` as it arrives.
  absl::StatusOr<GenerateResult> Generate(const GenerateRequest& request,
                                          absl::FunctionRef<void(const GenerateEvent&)> on_event,
                                          const CallOptions& options = {});
  absl::StatusOr<GenerateResult> Generate(const GenerateRequest& request,
                                          const CallOptions& options = {});
  // The same, event by event in the caller's own loop. Errors of the call come from the reader.
  absl::StatusOr<std::unique_ptr<GenerateReader>> StartGenerate(const GenerateRequest& request,
                                                                const CallOptions& options = {});

  // Streams exact attention weights, handing each event to `on_event` as it arrives.
  absl::Status GetAttention(const AttentionRequest& request,
                            absl::FunctionRef<void(const AttentionEvent&)> on_event,
                            const CallOptions& options = {});
  // The same, event by event.
  absl::StatusOr<std::unique_ptr<AttentionReader>> StartAttention(const AttentionRequest& request,
                                                                  const CallOptions& options = {});
  // The whole answer in arrays. INTERNAL when the tiles do not make up exactly what the header
  // promised.
  absl::StatusOr<AttentionMaps> Attention(const AttentionRequest& request,
                                          const CallOptions& options = {});
  absl::StatusOr<AttentionMaps> Attention(const AttentionRequest& request,
                                          absl::FunctionRef<void(const AttentionEvent&)> on_event,
                                          const CallOptions& options = {});

  // Health of one service ("heed.v1.PredictionService"), or of the whole server for an empty name.
  absl::StatusOr<Serving> Health(absl::string_view service = "", const CallOptions& options = {});

 private:
  friend class ExploreSession;
  friend class Inspector;
  std::shared_ptr<grpc::Channel> channel() const;
  const ClientOptions& options() const;

  class Impl;
  explicit Client(std::shared_ptr<Impl> impl);

  std::shared_ptr<Impl> impl_;
};

}  // namespace client
}  // namespace heed

#endif  // HEED_CLIENT_CLIENT_H_
