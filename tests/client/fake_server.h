// A heed server of canned answers, in this process, for tests of the client: real gRPC on a
// loopback port that the system chooses, no model behind it. Words are tokens; every number follows
// from positions alone.
#ifndef HEED_TESTS_CLIENT_FAKE_SERVER_H_
#define HEED_TESTS_CLIENT_FAKE_SERVER_H_

#include <atomic>
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
#include "tests/client/fake_answers.h"

namespace heed::testing {

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
  std::string address_;
  std::atomic<int> call_count_{0};
  absl::Notification cancelled_;
  absl::Mutex mutex_;
  int failures_left_ ABSL_GUARDED_BY(mutex_) = 0;
  grpc::Status failure_ ABSL_GUARDED_BY(mutex_);
  std::vector<std::unique_ptr<grpc::Service>> services_;
  std::unique_ptr<grpc::Server> server_;
};

}  // namespace heed::testing

#endif  // HEED_TESTS_CLIENT_FAKE_SERVER_H_
