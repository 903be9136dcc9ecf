// What holds of every call: what EstimateCost says of it is so, and every model of the zoo answers
// it or says why it cannot.
#include <algorithm>
#include <atomic>
#include <cmath>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "google/protobuf/descriptor.h"
#include "gtest/gtest.h"
#include "tests/integration/all_rpcs.h"
#include "tests/integration/inspection_fixture.h"

namespace heed {
namespace {

using google::protobuf::FieldDescriptor;
using google::protobuf::Message;
using google::protobuf::Reflection;

// Calls fn(part) for the message and all messages in it.
void ForEachPart(const Message& message, const std::function<void(const Message&)>& fn) {
  fn(message);
  const Reflection* const reflection = message.GetReflection();
  std::vector<const FieldDescriptor*> fields;
  reflection->ListFields(message, &fields);
  for (const FieldDescriptor* field : fields) {
    if (field->cpp_type() != FieldDescriptor::CPPTYPE_MESSAGE || field->is_map()) continue;
    const int count = field->is_repeated() ? reflection->FieldSize(message, field) : 1;
    for (int i = 0; i < count; ++i) {
      ForEachPart(field->is_repeated() ? reflection->GetRepeatedMessage(message, field, i)
                                       : reflection->GetMessage(message, field),
                  fn);
    }
  }
}

// What EstimateCost counts as sent.
int64_t SentBytes(const Answers& answers) {
  int64_t bytes = 0;
  for (const auto& answer : answers) {
    ForEachPart(*answer, [&](const Message& part) {
      if (const auto* tensor = dynamic_cast<const v1::Tensor*>(&part)) {
        bytes += static_cast<int64_t>(tensor->data().size());
      }
      bytes += dynamic_cast<const v1::Candidate*>(&part) != nullptr ? 24 : 0;
    });
  }
  return bytes;
}

// Puts the request into the field of its type; false: it cannot be estimated.
bool FillCall(const Message& call, v1::EstimateCostRequest* estimate) {
  const auto* const calls = v1::EstimateCostRequest::descriptor()->oneof_decl(0);
  for (int i = 0; i < calls->field_count(); ++i) {
    if (calls->field(i)->message_type() != call.GetDescriptor()) continue;
    estimate->GetReflection()->MutableMessage(estimate, calls->field(i))->CopyFrom(call);
    return true;
  }
  return false;
}

v1::EstimateCostResponse Estimate(RawServer& server, const Message& call) {
  v1::EstimateCostRequest request;
  EXPECT_TRUE(FillCall(call, &request));
  v1::EstimateCostResponse response;
  grpc::ClientContext context;
  const grpc::Status status = server.experiment->EstimateCost(&context, request, &response);
  EXPECT_TRUE(status.ok()) << status.error_message();
  return response;
}

bool CanBeEstimated(const Message& call) {
  v1::EstimateCostRequest request;
  return FillCall(call, &request);
}

class EveryCallTest : public SharedServerTest {};

// Answers of some calls are smaller than what is known of them before.
TEST_F(EveryCallTest, IsEstimatedByTheBytesThatItSends) {
  int estimated = 0;
  for (const std::string model : {"llama", "bert"}) {
    for (const Rpc& rpc : AllRpcs(*shared_, model)) {
      if (!CanBeEstimated(*rpc.valid)) continue;
      if (model == "bert" && (rpc.name == "Generate" || rpc.name == "AttributeLogits")) continue;
      SCOPED_TRACE(absl::StrCat(model, " ", rpc.name));
      Answers answers;
      const grpc::Status status = rpc.call(*rpc.valid, &answers);
      ASSERT_TRUE(status.ok()) << status.error_message();
      const v1::EstimateCostResponse cost = Estimate(*shared_, *rpc.valid);
      EXPECT_TRUE(cost.allowed()) << cost.reason();
      EXPECT_GT(cost.flops(), 0);
      if (rpc.name == "ExplainRow" || rpc.name == "Compare" || rpc.name == "Generate" ||
          rpc.name == "Predict") {
        EXPECT_GE(cost.sent_bytes(), SentBytes(answers));
      } else {
        EXPECT_EQ(cost.sent_bytes(), SentBytes(answers));
      }
      ++estimated;
    }
  }
  EXPECT_EQ(estimated, 28);
}

TEST_F(EveryCallTest, ThatIsTooLargeIsRefusedWithTheEstimatesNumbers) {
  ServerConfig config;
  config.trace_memory_mib = 0;
  config.max_attention_bytes = 8;
  RawServer small(config);
  int refused = 0;
  for (const Rpc& rpc : AllRpcs(small, "llama")) {
    if (!CanBeEstimated(*rpc.valid) || rpc.name == "Predict") continue;
    SCOPED_TRACE(rpc.name);
    const std::unique_ptr<Message> request(rpc.valid->New());
    request->CopyFrom(*rpc.valid);
    if (auto* generate = dynamic_cast<v1::GenerateRequest*>(request.get())) {
      generate->mutable_keep_trace();
    }
    const grpc::Status status = rpc.call(*request, nullptr);
    EXPECT_EQ(status.error_code(), grpc::RESOURCE_EXHAUSTED) << status.error_message();
    const v1::EstimateCostResponse cost = Estimate(small, *request);
    EXPECT_FALSE(cost.allowed());
    EXPECT_EQ(cost.reason(), status.error_message());
    const auto info = Detail<google::rpc::ErrorInfo>(status);
    ASSERT_TRUE(info.has_value());
    EXPECT_EQ(info->metadata().at("requested_bytes"), absl::StrCat(cost.held_bytes()));
    EXPECT_GT(cost.held_bytes(), 0);
    ++refused;
  }
  EXPECT_EQ(refused, 14);
}

TEST_F(EveryCallTest, TracesOfManyClientsAtOnceStayWithinTheQuota) {
  ServerConfig config;
  config.trace_memory_mib = 1;
  RawServer server(config);
  v1::OpenTraceRequest request;
  request.set_model("llama");
  for (int i = 0; i < 128; ++i) request.mutable_prompt()->mutable_tokens()->add_ids(i);
  const int64_t bytes = Estimate(server, request).held_bytes();
  std::atomic<int64_t> opened{0};
  std::atomic<int64_t> refused{0};
  std::vector<std::thread> clients;
  for (int i = 0; i < 200; ++i) {
    clients.emplace_back([&] {
      v1::OpenTraceResponse response;
      const grpc::Status status =
          Ask(server.inspection.get(), &InspectionStub::OpenTrace, request, &response);
      if (status.ok()) {
        ++opened;
        return;
      }
      EXPECT_EQ(status.error_code(), grpc::RESOURCE_EXHAUSTED) << status.error_message();
      EXPECT_EQ(ReasonOf(status), "TRACE_QUOTA");
      ++refused;
    });
  }
  for (std::thread& client : clients) client.join();
  EXPECT_EQ(opened, (1 << 20) / bytes);
  EXPECT_EQ(opened + refused, 200);
  v1::PredictResponse predicted;
  EXPECT_TRUE(Predict(server, PredictText("llama", "still there"), &predicted).ok());
}

// What is missing where, by design.
const std::map<std::string, std::string>& Refusals() {
  static const auto* const refusals = new std::map<std::string, std::string>{
      {"encoder Generate", "NOT_GENERATIVE"}, {"encoder AttributeLogits", "HEAD_NOT_LINEAR"}};
  return *refusals;
}

TEST(ZooTest, EveryModelAnswersEveryCallOrSaysWhyNot) {
  RawServer::Models zoo;
  for (const std::string name :
       {"last-word", "average", "weighted", "attention", "attention-pos", "decoder", "encoder"}) {
    zoo.push_back({name, absl::StrCat("model/zoo/", name)});
  }
  RawServer server({}, zoo);
  for (const auto& [model, folder] : zoo) {
    for (const Rpc& rpc : AllRpcs(server, model)) {
      if (rpc.name == "RenewTrace" || rpc.name == "CloseTrace") continue;
      SCOPED_TRACE(absl::StrCat(model, " ", rpc.name));
      Answers answers;
      const grpc::Status status = rpc.call(*rpc.valid, &answers);
      const auto refusal = Refusals().find(absl::StrCat(model, " ", rpc.name));
      if (refusal != Refusals().end()) {
        EXPECT_EQ(status.error_code(), grpc::FAILED_PRECONDITION);
        EXPECT_EQ(ReasonOf(status), refusal->second);
        continue;
      }
      EXPECT_TRUE(status.ok()) << ReasonOf(status) << ": " << status.error_message();
      for (const auto& answer : answers) {
        ForEachPart(*answer, [&](const Message& part) {
          const auto* const tensor = dynamic_cast<const v1::Tensor*>(&part);
          if (tensor == nullptr) return;
          int64_t elements = 1;
          for (int64_t size : tensor->shape()) elements *= size;
          EXPECT_GT(elements, 0);
          const std::vector<float> values = Floats(*tensor);
          EXPECT_EQ(static_cast<int64_t>(values.size()), elements);
          EXPECT_TRUE(std::all_of(values.begin(), values.end(),
                                  [](float value) { return std::isfinite(value); }));
        });
      }
    }
  }
}

}  // namespace
}  // namespace heed
