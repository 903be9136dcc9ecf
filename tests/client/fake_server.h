// A heed server of canned answers, in this process, for tests of the client: real gRPC on a
// loopback port that the system chooses, no model behind it. Words are tokens; every number follows
// from positions alone.
#ifndef HEED_TESTS_CLIENT_FAKE_SERVER_H_
#define HEED_TESTS_CLIENT_FAKE_SERVER_H_

#include <atomic>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "absl/synchronization/notification.h"
#include "grpcpp/grpcpp.h"
#include "heed/v1/embedding.grpc.pb.h"
#include "heed/v1/inspection.grpc.pb.h"
#include "heed/v1/model.grpc.pb.h"
#include "heed/v1/prediction.grpc.pb.h"

namespace heed::testing {

// What the fake says next. Set before the calls that should see it.
struct FakeScript {
  std::vector<std::string> models = {"decoder"};  // the first is the default one
  std::vector<std::string> bidirectional;         // those of them that see both ways
  int layers = 2;
  int heads = 2;
  bool causal = true;  // a bidirectional model has a mask token
  v1::MixingPattern mixing = v1::MIXING_PATTERN_ATTENTION;
  std::vector<std::string> answer = {" were", " on", " the", " table"};  // of Generate
  bool endless = false;  // Generate goes on until the call is cancelled
  // Called with each attention message before it is sent, to damage it; false leaves it out.
  std::function<bool(v1::GetAttentionResponse&)> edit_attention;
  std::function<void(v1::PredictResponse&)> edit_predict;
  // Called with the model of each Predict and GetAttention call, which ends with the result unless
  // that is OK. From several threads at a time, as the functions above are when calls come
  // together.
  std::function<grpc::Status(const std::string& rpc, const std::string& model)> refuse;
  std::function<bool(v1::GenerateResponse&)> edit_generate;
  std::function<void(v1::EmbedResponse&)> edit_embed;
};

// A status as heed's server sends it: ErrorInfo always, BadRequest when there are wrong fields.
grpc::Status HeedError(grpc::StatusCode code, const std::string& message, const std::string& reason,
                       const std::vector<std::pair<std::string, std::string>>& metadata = {},
                       const std::vector<std::pair<std::string, std::string>>& wrong_fields = {});

// The tokens of a text: words, each with the space before it. Ids are 100 and up in the order of a
// fixed list of words; words outside it get 900 + their length.
std::vector<v1::Token> FakeTokens(const std::string& text);

// The weight that layer `layer`, head `head` gives: 0: mostly the position before; 1: mostly the
// first; 2: mostly position 1; 3: later ones more; then again from 0. [visible keys], summing to 1.
std::vector<float> FakeRow(int pattern, int64_t query, int64_t visible_keys);

// The vector of a token: its id's last digit, its position, and 1.
std::vector<float> FakeTokenVector(int32_t id, int64_t position);

class FakeServer {
 public:
  FakeServer();
  ~FakeServer();

  const std::string& address() const { return address_; }  // "127.0.0.1:<port>"
  void Shutdown();
  void SetServing(const std::string& service, bool serving);

  FakeScript script;

  // The next `count` calls end with `status` before anything else happens.
  void FailNext(int count, grpc::Status status);

  int call_count() const { return call_count_; }
  // Notified when an endless generation sees that its caller is gone.
  absl::Notification& cancelled() { return cancelled_; }

  // The last request of each kind.
  v1::TokenizeRequest last_tokenize;
  v1::DetokenizeRequest last_detokenize;
  v1::PredictRequest last_predict;
  v1::GenerateRequest last_generate;
  v1::GetAttentionRequest last_attention;
  v1::EmbedRequest last_embed;

  // For the services: counts a call, and gives the status it is to fail with, or OK.
  grpc::Status BeginCall();
  grpc::Status BeginModelCall(const std::string& rpc, const std::string& model);
  bool IsLoaded(const std::string& model) const;
  bool IsCausal(const std::string& model) const;  // empty: the default one
  v1::Model Model(const std::string& name) const;
  // Writes one of the last requests above, of several that come together any.
  template <typename Request>
  void Keep(const Request& request, Request& last) {
    absl::MutexLock lock(&mutex_);
    last = request;
  }

 private:
  class Models;
  class Predictions;
  class Inspections;
  class Embeddings;

  std::string address_;
  std::atomic<int> call_count_{0};
  absl::Notification cancelled_;
  absl::Mutex mutex_;
  int failures_left_ ABSL_GUARDED_BY(mutex_) = 0;
  grpc::Status failure_ ABSL_GUARDED_BY(mutex_);
  std::unique_ptr<Models> models_;
  std::unique_ptr<Predictions> predictions_;
  std::unique_ptr<Inspections> inspections_;
  std::unique_ptr<Embeddings> embeddings_;
  std::unique_ptr<grpc::Server> server_;
};

}  // namespace heed::testing

#endif  // HEED_TESTS_CLIENT_FAKE_SERVER_H_
