// A stream's call ends by itself, whatever the making of its messages runs into.
#include "server/calls/stream_call.h"

#include <memory>
#include <new>
#include <optional>
#include <stdexcept>
#include <string>

#include "absl/strings/str_cat.h"
#include "grpcpp/grpcpp.h"
#include "gtest/gtest.h"
#include "heed/v1/prediction.grpc.pb.h"
#include "model/base/status_macros.h"
#include "server/calls/codec.h"

namespace heed {
namespace {

// Sends one message; the next one throws what the request's `model` says.
class ThrowingCall final : public StreamCall {
 public:
  static grpc::ServerWriteReactor<grpc::ByteBuffer>* Begin(const ServiceContext& context,
                                                           grpc::CallbackServerContext* call,
                                                           const grpc::ByteBuffer& request) {
    const std::shared_ptr<ThrowingCall> self(new ThrowingCall(context, call));
    self->Start();
    if (!ParseRequest(request, &self->request_).ok()) ADD_FAILURE();
    self->Notify();
    return self.get();
  }

 private:
  using StreamCall::StreamCall;

  absl::StatusOr<std::optional<grpc::ByteBuffer>> NextMessage() override {
    if (++asked_ == 2 && request_.model() == "bad_alloc") throw std::bad_alloc();
    if (asked_ == 2) throw std::runtime_error("as planned");
    HEED_ASSIGN_OR_RETURN(grpc::ByteBuffer bytes, SerializeReply(v1::GenerateResponse()));
    return bytes;
  }
  void OnAbandoned() override { End(absl::CancelledError("nobody reads")); }

  v1::GenerateRequest request_;
  int asked_ = 0;
};

class ThrowingService final
    : public v1::PredictionService::WithRawCallbackMethod_Generate<v1::PredictionService::Service> {
 public:
  explicit ThrowingService(const ServiceContext& context) : context_(context) {}

  grpc::ServerWriteReactor<grpc::ByteBuffer>* Generate(grpc::CallbackServerContext* call,
                                                       const grpc::ByteBuffer* request) override {
    return ThrowingCall::Begin(context_, call, *request);
  }

 private:
  const ServiceContext context_;
};

TEST(StreamCallTest, AnExceptionEndsItsCallAndNoOther) {
  ReplyThread replies;
  CallCount calls;
  ServiceContext context;
  context.replies = &replies;
  context.calls = &calls;
  ThrowingService service(context);
  grpc::ServerBuilder builder;
  int port = 0;
  builder.AddListeningPort("127.0.0.1:0", grpc::InsecureServerCredentials(), &port);
  builder.RegisterService(&service);
  const std::unique_ptr<grpc::Server> server = builder.BuildAndStart();
  const auto stub = v1::PredictionService::NewStub(
      grpc::CreateChannel(absl::StrCat("127.0.0.1:", port), grpc::InsecureChannelCredentials()));
  const auto ends = [&](const std::string& how, grpc::StatusCode code) {
    v1::GenerateRequest request;
    request.set_model(how);
    grpc::ClientContext client;
    const auto reader = stub->Generate(&client, request);
    v1::GenerateResponse response;
    EXPECT_TRUE(reader->Read(&response));
    EXPECT_FALSE(reader->Read(&response));
    const grpc::Status status = reader->Finish();
    EXPECT_EQ(status.error_code(), code) << status.error_message();
  };
  ends("bad_alloc", grpc::RESOURCE_EXHAUSTED);
  ends("runtime_error", grpc::INTERNAL);
  ends("bad_alloc", grpc::RESOURCE_EXHAUSTED);
  server->Shutdown();
}

}  // namespace
}  // namespace heed
