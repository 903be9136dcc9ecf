// The Explore stream over the wire: what a session holds, estimated and in truth, when it waits for
// others, and how it ends.
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/integration/exploration.h"

namespace heed {
namespace {

using testing::ElementsAre;

// Bytes of the tensors and candidates of a message, as EstimateCost counts them.
int64_t SentBytes(const google::protobuf::Message& message) {
  const auto* const tensor = dynamic_cast<const v1::Tensor*>(&message);
  int64_t bytes = tensor == nullptr ? 0 : static_cast<int64_t>(tensor->data().size());
  bytes += dynamic_cast<const v1::Candidate*>(&message) != nullptr ? 24 : 0;
  std::vector<const google::protobuf::FieldDescriptor*> fields;
  const auto* const reflection = message.GetReflection();
  reflection->ListFields(message, &fields);
  for (const auto* field : fields) {
    if (field->cpp_type() != google::protobuf::FieldDescriptor::CPPTYPE_MESSAGE) continue;
    if (!field->is_repeated()) bytes += SentBytes(reflection->GetMessage(message, field));
    for (int i = 0; field->is_repeated() && i < reflection->FieldSize(message, field); ++i) {
      bytes += SentBytes(reflection->GetRepeatedMessage(message, field, i));
    }
  }
  return bytes;
}

TEST_F(ExploreRpcTest, IsEstimatedByWhatItHoldsAndSends) {
  for (const std::string model : {"llama", "bert"}) {
    SCOPED_TRACE(model);
    v1::ExploreRequest open = OpenPrompt(model);
    const v1::EstimateCostResponse plain = Estimate(*shared_, open);
    EXPECT_EQ(plain.held_bytes(), Exploration(*shared_).Ask(open).opened().held_bytes());
    open.MergeFrom(HoverAt(-1, 2, -1));
    open.mutable_hover()->set_vectors(true);
    if (model == "llama") open.mutable_hover()->add_tokens()->set_id(9);  // its head is linear
    open.mutable_watch()->add_positions(-1);
    open.mutable_watch()->add_positions(3);
    open.mutable_watch()->add_metrics()->mutable_logit()->set_id(3);
    open.mutable_watch()->mutable_metrics(0)->set_position(0);
    open.mutable_watch()->add_tokens()->set_id(7);
    open.mutable_watch()->add_rows()->add_queries(-1);
    const v1::EstimateCostResponse cost = Estimate(*shared_, open);
    const v1::ExploreResponse opened = Exploration(*shared_).Ask(open);
    EXPECT_TRUE(cost.allowed()) << cost.reason();
    EXPECT_EQ(cost.held_bytes(), opened.opened().held_bytes());
    EXPECT_GT(cost.held_bytes(), plain.held_bytes());
    EXPECT_GE(cost.sent_bytes(), SentBytes(opened));
    EXPECT_LT(cost.sent_bytes(), 2 * SentBytes(opened));
    // An edit runs the model again, as opening the session ran it once.
    EXPECT_EQ(cost.edit_flops(), cost.flops());
    EXPECT_GT(cost.flops(), plain.flops());
  }
}

TEST_F(ExploreRpcTest, ASessionOnATraceIsEstimatedWithoutItsRun) {
  const std::string trace = Open();
  v1::ExploreRequest open;
  open.mutable_open()->set_trace_id(trace);
  const v1::EstimateCostResponse cost = Estimate(*shared_, open);
  EXPECT_EQ(cost.held_bytes(), Exploration(*shared_).Ask(open).opened().held_bytes());
  EXPECT_LT(cost.flops(), cost.edit_flops());
}

TEST_F(ExploreRpcTest, AnEstimateNamesWhatIsWrong) {
  v1::EstimateCostRequest request;
  v1::EstimateCostResponse cost;
  const auto estimate = [&] {
    return Ask(shared_->experiment.get(), &v1::ExperimentService::Stub::EstimateCost, request,
               &cost);
  };
  request.mutable_explore()->mutable_hover();
  EXPECT_THAT(WrongFields(estimate()), ElementsAre("explore.open"));
  *request.mutable_explore() = OpenPrompt();
  request.mutable_explore()->mutable_watch()->set_top_k(101);
  EXPECT_THAT(WrongFields(estimate()), ElementsAre("explore.watch.top_k"));
}

TEST(ExploreLifetimeTest, ASessionHoldsMemoryAndGivesItBack) {
  ServerConfig config;
  config.trace_client_mib = 1;
  RawServer server(config);
  std::vector<std::unique_ptr<Exploration>> sessions;
  v1::ExploreRequest open = OpenPrompt();
  for (int i = 0; i < 100; ++i) open.mutable_open()->mutable_prompt()->mutable_tokens()->add_ids(i);
  grpc::Status refused;
  while (refused.ok() && sessions.size() < 100) {
    sessions.push_back(std::make_unique<Exploration>(server));
    EXPECT_TRUE(sessions.back()->Send(open));
    v1::ExploreResponse response;
    if (!sessions.back()->TryRead(&response)) refused = sessions.back()->End();
  }
  EXPECT_EQ(refused.error_code(), grpc::RESOURCE_EXHAUSTED);
  EXPECT_EQ(ReasonOf(refused), "TRACE_QUOTA");
  EXPECT_GT(sessions.size(), 1u);
  sessions.clear();
  EXPECT_TRUE(Eventually([&] {
    Exploration session(server);
    EXPECT_TRUE(session.Send(open));
    v1::ExploreResponse response;
    return session.TryRead(&response);
  }));
}

TEST(ExploreLifetimeTest, ThatIsTooLargeIsRefusedAsAWholeBeforeItsPromptIsRun) {
  ServerConfig config;
  config.trace_memory_mib = 0;
  RawServer server(config);
  const v1::EstimateCostResponse cost = Estimate(server, OpenPrompt());
  EXPECT_FALSE(cost.allowed());
  Exploration session(server);
  ASSERT_TRUE(session.Send(OpenPrompt()));
  const grpc::Status status = session.End();
  EXPECT_EQ(ReasonOf(status), "TRACE_QUOTA");
  // All but the logits of what is watched, which each ExploreWatch takes anew.
  const auto info = Detail<google::rpc::ErrorInfo>(status);
  ASSERT_TRUE(info.has_value());
  EXPECT_EQ(info->metadata().at("requested_bytes"), absl::StrCat(cost.held_bytes() - 320 * 4));
}

// What waits for a thread may be more than the queue takes: sessions that are open go on.
TEST(ExploreLifetimeTest, OpenSessionsTakeTurnsOnOneThreadHoweverManyWait) {
  ServerConfig config;
  config.inspect_threads = 1;
  config.max_queued = 1;
  RawServer server(config);
  constexpr int kSessions = 8;
  constexpr int kEdits = 40;
  std::vector<std::unique_ptr<Exploration>> sessions;
  for (int i = 0; i < kSessions; ++i) {
    sessions.push_back(std::make_unique<Exploration>(server));
    sessions.back()->Ask(OpenPrompt());
  }
  std::vector<std::thread> clients;
  for (const auto& session : sessions) {
    clients.emplace_back([&session] {
      for (int edit = 0; edit < kEdits; ++edit) {
        v1::ExploreResponse response;
        EXPECT_TRUE(session->Send(Dial(1 + edit)));
        ASSERT_TRUE(session->TryRead(&response)) << edit;
        EXPECT_FALSE(response.has_error()) << response.error().message();
        EXPECT_EQ(response.sequence(), edit + 2);
      }
      session->HalfClose();
    });
  }
  for (std::thread& client : clients) client.join();
  for (const auto& session : sessions) {
    const grpc::Status status = session->End();
    EXPECT_TRUE(status.ok()) << status.error_message();
  }
}

TEST(ExploreLifetimeTest, AnIdleSessionEnds) {
  ServerConfig config;
  config.trace_ttl = absl::Milliseconds(1);
  config.stall_timeout = absl::Milliseconds(40);  // looks at calls a quarter of this apart
  RawServer server(config);
  Exploration session(server);
  EXPECT_TRUE(session.Send(OpenPrompt()));
  const grpc::Status status = session.End();
  EXPECT_EQ(status.error_code(), grpc::ABORTED);
  EXPECT_EQ(ReasonOf(status), "SESSION_IDLE");
}

TEST(ExploreLifetimeTest, ADrainingServerEndsSessionsThatWait) {
  ServerConfig config;
  config.stall_timeout = absl::Milliseconds(40);
  RawServer server(config);
  Exploration session(server);
  session.Ask(OpenPrompt());
  std::thread stopping([&] { server.server().Shutdown(absl::InfiniteDuration()); });
  const grpc::Status status = session.End();
  stopping.join();
  EXPECT_EQ(status.error_code(), grpc::UNAVAILABLE);
  EXPECT_EQ(ReasonOf(status), "DRAINING");
}

TEST(ExploreLifetimeTest, ACancelledSessionLeavesNothingBehind) {
  RawServer server;
  {
    Exploration session(server);
    session.Ask(OpenPrompt());
    for (int i = 0; i < 50; ++i) session.Send(Dial(i));
    session.context.TryCancel();
    EXPECT_EQ(session.End().error_code(), grpc::CANCELLED);
  }
  // Nothing waits for the session when the server ends.
  server.server().Shutdown(absl::InfiniteDuration());
}

}  // namespace
}  // namespace heed
