// A real server on a free port with golden models, and the generated stubs on it: what a client in
// any language sees.
#ifndef HEED_TESTS_INTEGRATION_RAW_SERVER_H_
#define HEED_TESTS_INTEGRATION_RAW_SERVER_H_

#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "google/protobuf/stubs/logging.h"
#include "google/rpc/error_details.pb.h"
#include "google/rpc/status.pb.h"
#include "grpcpp/grpcpp.h"
#include "gtest/gtest.h"
#include "heed/v1/embedding.grpc.pb.h"
#include "heed/v1/experiment.grpc.pb.h"
#include "heed/v1/inspection.grpc.pb.h"
#include "heed/v1/model.grpc.pb.h"
#include "heed/v1/prediction.grpc.pb.h"
#include "server/server.h"
#include "tests/integration/eventually.h"

namespace heed {

// Models "llama" (the default; context 128, 320 rows, 3 layers, 4 heads), "gpt2" (context 64, 300
// rows) and "bert" (bidirectional, context 64).
class RawServer {
 public:
  // Names, and folders below the repository's root.
  using Models = std::vector<std::pair<std::string, std::string>>;

  explicit RawServer(ServerConfig config = {},
                     const Models& folders = {{"llama", "tests/golden/models/llama-gqa-f32"},
                                              {"gpt2", "tests/golden/models/gpt2-f32"},
                                              {"bert", "tests/golden/models/bert-f32"}},
                     const LoadOptions& options = {}) {
    config.listen = "127.0.0.1:0";
    Registry registry;
    for (const auto& [name, folder] : folders) {
      auto model = LoadServedModel(name, absl::StrCat(HEED_SOURCE_DIR, "/", folder), options);
      if (!model.ok() || !registry.Add(*std::move(model)).ok()) {
        ADD_FAILURE() << "cannot load " << folder << ": " << model.status();
        return;
      }
    }
    auto server = Server::Start(config, std::move(registry));
    if (!server.ok()) {
      ADD_FAILURE() << server.status();
      return;
    }
    server_ = *std::move(server);
    // A fixed window: how much an unread stream can take in must not depend on the speed of the
    // machine.
    grpc::ChannelArguments arguments;
    arguments.SetInt(GRPC_ARG_HTTP2_BDP_PROBE, 0);
    channel_ = grpc::CreateCustomChannel(absl::StrCat("127.0.0.1:", server_->port()),
                                         grpc::InsecureChannelCredentials(), arguments);
    models = v1::ModelService::NewStub(channel_);
    prediction = v1::PredictionService::NewStub(channel_);
    inspection = v1::InspectionService::NewStub(channel_);
    embedding = v1::EmbeddingService::NewStub(channel_);
    experiment = v1::ExperimentService::NewStub(channel_);
  }

  Server& server() { return *server_; }
  const std::shared_ptr<grpc::Channel>& channel() const { return channel_; }
  bool Idle() const { return server_->stats().live == 0 && server_->stats().queued == 0; }

  std::unique_ptr<v1::ModelService::Stub> models;
  std::unique_ptr<v1::PredictionService::Stub> prediction;
  std::unique_ptr<v1::InspectionService::Stub> inspection;
  std::unique_ptr<v1::EmbeddingService::Stub> embedding;
  std::unique_ptr<v1::ExperimentService::Stub> experiment;

 private:
  std::unique_ptr<Server> server_;
  std::shared_ptr<grpc::Channel> channel_;
};

// Tests that ask one server, which starts with the first of them.
class SharedServerTest : public ::testing::Test {
 protected:
  static void SetUpTestSuite() {
    google::protobuf::SetLogHandler(nullptr);  // it complains about what is sent on purpose
    shared_ = new RawServer;
  }
  static void TearDownTestSuite() {
    delete shared_;
    shared_ = nullptr;
  }

  static inline RawServer* shared_ = nullptr;
};

// The detail of type T that a status carries.
template <typename T>
std::optional<T> Detail(const grpc::Status& status) {
  google::rpc::Status rich;
  if (!rich.ParseFromString(status.error_details())) return std::nullopt;
  for (const google::protobuf::Any& any : rich.details()) {
    T detail;
    if (any.UnpackTo(&detail)) return detail;
  }
  return std::nullopt;
}

inline std::string ReasonOf(const grpc::Status& status) {
  const auto info = Detail<google::rpc::ErrorInfo>(status);
  return info.has_value() ? info->reason() : "";
}

// The fields that a status says are wrong.
inline std::vector<std::string> WrongFields(const grpc::Status& status) {
  std::vector<std::string> fields;
  const auto bad_request = Detail<google::rpc::BadRequest>(status);
  if (!bad_request.has_value()) return fields;
  for (const auto& violation : bad_request->field_violations()) {
    fields.push_back(violation.field());
  }
  return fields;
}

// All messages of a server stream.
template <typename Response>
struct Stream {
  grpc::Status status;
  std::vector<Response> messages;
};

template <typename Response>
Stream<Response> ReadAll(std::unique_ptr<grpc::ClientReader<Response>> reader) {
  Stream<Response> stream;
  Response message;
  while (reader->Read(&message)) stream.messages.push_back(message);
  stream.status = reader->Finish();
  return stream;
}

inline Stream<v1::GenerateResponse> Generate(RawServer& server,
                                             const v1::GenerateRequest& request) {
  grpc::ClientContext context;
  return ReadAll(server.prediction->Generate(&context, request));
}

inline Stream<v1::GetAttentionResponse> GetAttention(RawServer& server,
                                                     const v1::GetAttentionRequest& request) {
  grpc::ClientContext context;
  return ReadAll(server.inspection->GetAttention(&context, request));
}

inline grpc::Status Predict(RawServer& server, const v1::PredictRequest& request,
                            v1::PredictResponse* response) {
  grpc::ClientContext context;
  return server.prediction->Predict(&context, request, response);
}

inline grpc::Status Embed(RawServer& server, const v1::EmbedRequest& request,
                          v1::EmbedResponse* response) {
  grpc::ClientContext context;
  return server.embedding->Embed(&context, request, response);
}

}  // namespace heed

#endif  // HEED_TESTS_INTEGRATION_RAW_SERVER_H_
