// How calls end when something is in the way: clients that go away or do not read, budgets that are
// used up, a full queue, a server that shuts down. Nothing stays behind.
#include <arpa/inet.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <future>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "grpc/health/v1/health.grpc.pb.h"
#include "gtest/gtest.h"
#include "tests/integration/all_rpcs.h"
#include "tests/integration/inspection_fixture.h"
#include "tests/integration/raw_requests.h"
#include "tests/integration/raw_server.h"

namespace heed {
namespace {

using testing::SizeIs;

constexpr int64_t kBulkyBytes = int64_t{3} * 4 * 128 * 128 * 4;  // of BulkyAttention

// A stream that was begun and of which one message was read.
template <typename Response>
struct OpenStream {
  std::unique_ptr<grpc::ClientContext> context = std::make_unique<grpc::ClientContext>();
  std::unique_ptr<grpc::ClientReader<Response>> reader;
  Response first;
};

// Reads the first message of the stream that `begin` starts.
template <typename Response, typename Begin>
OpenStream<Response> Open(const Begin& begin) {
  OpenStream<Response> stream;
  stream.reader = begin(stream.context.get());
  EXPECT_TRUE(stream.reader->Read(&stream.first));
  return stream;
}

OpenStream<v1::GenerateResponse> OpenGeneration(RawServer& server) {
  return Open<v1::GenerateResponse>([&](grpc::ClientContext* context) {
    return server.prediction->Generate(context, BulkyGeneration());
  });
}

OpenStream<v1::GetAttentionResponse> OpenAttention(RawServer& server) {
  return Open<v1::GetAttentionResponse>([&](grpc::ClientContext* context) {
    return server.inspection->GetAttention(context, BulkyAttention());
  });
}

TEST(CallLifetimeTest, AnUnreadGenerationIsParkedAndCompleteWhenRead) {
  RawServer server;
  auto slow = OpenGeneration(server);
  // Others go on meanwhile, and the parked one does not run ahead of its reader.
  for (int i = 0; i < 3; ++i) EXPECT_TRUE(Generate(server, BulkyGeneration()).status.ok());
  EXPECT_EQ(server.server().stats().live, 1);
  const Stream<v1::GenerateResponse> rest = ReadAll(std::move(slow.reader));
  EXPECT_TRUE(rest.status.ok()) << rest.status.error_message();
  EXPECT_THAT(rest.messages, SizeIs(128));
  const Stream<v1::GenerateResponse> fast = Generate(server, BulkyGeneration());
  ASSERT_THAT(fast.messages, SizeIs(129));
  for (int i = 0; i < 127; ++i) {
    EXPECT_EQ(rest.messages[i].SerializeAsString(), fast.messages[i + 1].SerializeAsString());
  }
}

TEST(CallLifetimeTest, CancellingAGenerationFreesItsPlace) {
  RawServer server;
  auto stream = OpenGeneration(server);
  EXPECT_TRUE(Eventually([&] { return server.server().stats().live == 1; }));
  stream.context->TryCancel();
  EXPECT_EQ(stream.reader->Finish().error_code(), grpc::CANCELLED);
  EXPECT_TRUE(Eventually([&] { return server.Idle(); }));
}

// Nothing is being written to a waiting call, so that only the cancellation itself can end it.
TEST(CallLifetimeTest, CancellingAWaitingCallTakesItOutOfTheQueue) {
  ServerConfig config;
  config.max_batch_sequences = 1;
  RawServer server(config);
  auto running = OpenGeneration(server);
  EXPECT_TRUE(Eventually([&] { return server.server().stats().live == 1; }));
  auto generation = OpenGeneration(server);
  auto attention = OpenAttention(server);
  grpc::ClientContext predict_context;
  std::thread predict([&] {
    v1::PredictRequest request;
    request.mutable_prompt()->set_text("x");
    v1::PredictResponse response;
    EXPECT_EQ(server.prediction->Predict(&predict_context, request, &response).error_code(),
              grpc::CANCELLED);
  });
  EXPECT_TRUE(Eventually([&] { return server.server().stats().queued == 3; }));
  generation.context->TryCancel();
  EXPECT_TRUE(Eventually([&] { return server.server().stats().queued == 2; }));
  attention.context->TryCancel();
  EXPECT_TRUE(Eventually([&] { return server.server().stats().queued == 1; }));
  predict_context.TryCancel();
  EXPECT_TRUE(Eventually([&] { return server.server().stats().queued == 0; }));
  predict.join();
  EXPECT_TRUE(ReadAll(std::move(running.reader)).status.ok());
}

TEST(CallLifetimeTest, CancellingAnAttentionStreamGivesItsMemoryBack) {
  RawServer server;
  auto stream = OpenAttention(server);
  EXPECT_EQ(server.server().attention_bytes(), kBulkyBytes);
  stream.context->TryCancel();
  EXPECT_EQ(stream.reader->Finish().error_code(), grpc::CANCELLED);
  EXPECT_TRUE(Eventually([&] { return server.server().attention_bytes() == 0; }));
}

TEST(CallLifetimeTest, AStreamThatNobodyReadsIsEnded) {
  ServerConfig config;
  config.stall_timeout = absl::Milliseconds(200);
  RawServer server(config);
  auto generation = OpenGeneration(server);
  auto attention = OpenAttention(server);
  EXPECT_TRUE(Eventually([&] { return server.Idle() && server.server().attention_bytes() == 0; }));
  EXPECT_FALSE(ReadAll(std::move(generation.reader)).status.ok());
  EXPECT_FALSE(ReadAll(std::move(attention.reader)).status.ok());
}

TEST(CallLifetimeTest, AttentionThatIsTooMuchToHoldIsReadFromARun) {
  ServerConfig config;
  config.max_attention_bytes = kBulkyBytes - 1;
  RawServer server(config);
  auto stream = OpenAttention(server);
  EXPECT_EQ(server.server().attention_bytes(), 0);
  const auto answer = ReadAll(std::move(stream.reader));
  EXPECT_TRUE(answer.status.ok()) << answer.status.error_message();
  EXPECT_TRUE(answer.messages.back().has_end());
  // A run that there is no room for is refused, with the numbers of both.
  config.trace_memory_mib = 0;
  RawServer without_room(config);
  const grpc::Status refused = GetAttention(without_room, BulkyAttention()).status;
  EXPECT_EQ(refused.error_code(), grpc::RESOURCE_EXHAUSTED);
  EXPECT_EQ(ReasonOf(refused), "TRACE_QUOTA");
  EXPECT_EQ(without_room.server().stats().prompt_tokens, 0);  // nothing was computed
}

TEST(CallLifetimeTest, AllCallsTogetherHoldABoundedAmountOfAttention) {
  ServerConfig config;
  config.max_attention_bytes = kBulkyBytes;
  RawServer server(config);
  std::vector<OpenStream<v1::GetAttentionResponse>> unread;
  for (int i = 0; i < 4; ++i) unread.push_back(OpenAttention(server));
  const grpc::Status status = GetAttention(server, BulkyAttention()).status;
  EXPECT_EQ(status.error_code(), grpc::RESOURCE_EXHAUSTED);
  EXPECT_EQ(ReasonOf(status), "ATTENTION_MEMORY");
  for (auto& stream : unread) EXPECT_TRUE(ReadAll(std::move(stream.reader)).status.ok());
  EXPECT_TRUE(Eventually([&] { return server.server().attention_bytes() == 0; }));
  EXPECT_TRUE(GetAttention(server, BulkyAttention()).status.ok());
}

TEST(CallLifetimeTest, AFullQueueSaysWhenToRetry) {
  ServerConfig config;
  config.max_batch_sequences = 1;
  config.max_queued = 1;
  RawServer server(config);
  auto running = OpenGeneration(server);
  EXPECT_TRUE(Eventually([&] { return server.server().stats().live == 1; }));
  auto waiting = OpenGeneration(server);
  const grpc::Status status = Generate(server, BulkyGeneration()).status;
  EXPECT_EQ(status.error_code(), grpc::RESOURCE_EXHAUSTED);
  EXPECT_EQ(ReasonOf(status), "QUEUE_FULL");
  EXPECT_TRUE(Detail<google::rpc::RetryInfo>(status).has_value());
  EXPECT_TRUE(ReadAll(std::move(running.reader)).status.ok());
  EXPECT_TRUE(ReadAll(std::move(waiting.reader)).status.ok());
}

TEST(CallLifetimeTest, ADeadlineEndsAWaitingCall) {
  ServerConfig config;
  config.max_batch_sequences = 1;
  RawServer server(config);
  auto running = OpenGeneration(server);
  EXPECT_TRUE(Eventually([&] { return server.server().stats().live == 1; }));
  grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() + std::chrono::milliseconds(100));
  v1::PredictRequest request;
  request.mutable_prompt()->set_text("x");
  v1::PredictResponse response;
  EXPECT_EQ(server.prediction->Predict(&context, request, &response).error_code(),
            grpc::DEADLINE_EXCEEDED);
  EXPECT_TRUE(Eventually([&] { return server.server().stats().queued == 0; }));
  EXPECT_TRUE(ReadAll(std::move(running.reader)).status.ok());
}

TEST(CallLifetimeTest, ShutdownEndsWhatDoesNotEndByItself) {
  RawServer server;
  auto unread = OpenGeneration(server);
  EXPECT_TRUE(Eventually([&] { return server.server().stats().live == 1; }));
  std::thread stopping([&] { server.server().Shutdown(absl::Milliseconds(100)); });
  const Stream<v1::GenerateResponse> rest = ReadAll(std::move(unread.reader));
  stopping.join();
  // Read or not in time, the call has ended and said how.
  if (!rest.status.ok()) {
    EXPECT_THAT(rest.status.error_code(), testing::AnyOf(grpc::UNAVAILABLE, grpc::CANCELLED));
  }
  EXPECT_EQ(server.server().stats().live, 0);
}

TEST(CallLifetimeTest, ShutdownWithAStreamThatIsNeverReadReturns) {
  RawServer server;
  auto unread = OpenGeneration(server);
  auto attention = OpenAttention(server);
  // The engine is done with the attention's prompt, and holds the generation.
  EXPECT_TRUE(Eventually([&] {
    const SchedulerStats stats = server.server().stats();
    return stats.live == 1 && stats.prompt_tokens == 128 + 1;
  }));
  EXPECT_EQ(server.server().Shutdown(absl::Milliseconds(50)), 1);
  EXPECT_EQ(server.server().stats().live, 0);
}

TEST(CallLifetimeTest, ShutdownAnswersCallsInProgressAndRefusesNewOnes) {
  ServerConfig config;
  config.max_batch_sequences = 1;
  RawServer server(config);
  v1::OpenTraceResponse opened;
  EXPECT_TRUE(Ask(server.inspection.get(), &InspectionStub::OpenTrace,
                  OnPrompt<v1::OpenTraceRequest>(), &opened)
                  .ok());
  auto running = OpenGeneration(server);
  EXPECT_TRUE(Eventually([&] { return server.server().stats().live == 1; }));
  std::thread waiting([&] {
    v1::ExplainRowResponse response;
    const grpc::Status status = Ask(server.inspection.get(), &InspectionStub::ExplainRow,
                                    OnPrompt<v1::ExplainRowRequest>(), &response);
    EXPECT_TRUE(status.ok()) << status.error_message();
  });
  EXPECT_TRUE(Eventually(
      [&] { return server.server().stats().queued == 1 && server.server().calls() == 2; }));
  std::thread stopping([&] { EXPECT_EQ(server.server().Shutdown(absl::InfiniteDuration()), 0); });
  EXPECT_TRUE(Eventually([&] {
    v1::ListModelsResponse models;
    return !Ask(server.models.get(), &v1::ModelService::Stub::ListModels, v1::ListModelsRequest(),
                &models)
                .ok();
  }));
  for (const Rpc& rpc : AllRpcs(server, "llama")) {
    const grpc::Status status = rpc.call(*rpc.valid, nullptr);
    EXPECT_EQ(status.error_code(), grpc::UNAVAILABLE) << rpc.name;
    EXPECT_EQ(ReasonOf(status), "DRAINING") << rpc.name;
  }
  v1::ExplainRowRequest of_trace;
  of_trace.set_trace_id(opened.trace().trace_id());
  v1::ExplainRowResponse response;
  EXPECT_EQ(
      ReasonOf(Ask(server.inspection.get(), &InspectionStub::ExplainRow, of_trace, &response)),
      "DRAINING");
  EXPECT_TRUE(ReadAll(std::move(running.reader)).status.ok());
  waiting.join();
  stopping.join();
}

TEST(CallLifetimeTest, ShutdownLetsAnInspectionBeReadThatTheEngineIsDoneWith) {
  RawServer server;
  auto attention = OpenAttention(server);
  EXPECT_TRUE(
      Eventually([&] { return server.server().stats().prompt_tokens == 128 && server.Idle(); }));
  const auto stopping =
      std::async(std::launch::async, [&] { server.server().Shutdown(absl::InfiniteDuration()); });
  // Longer than connections without a call are left open.
  EXPECT_EQ(stopping.wait_for(std::chrono::milliseconds(500)), std::future_status::timeout);
  const grpc::Status status = ReadAll(std::move(attention.reader)).status;
  EXPECT_TRUE(status.ok()) << status.error_message();
}

// A connection on which somebody else says `bytes` and then nothing, reading nothing either.
class SilentConnection {
 public:
  SilentConnection(int port, absl::string_view bytes)
      : socket_(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    sockaddr_in address = {};
    address.sin_family = AF_INET;
    address.sin_port = htons(static_cast<uint16_t>(port));
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    EXPECT_EQ(connect(socket_, reinterpret_cast<const sockaddr*>(&address), sizeof(address)), 0);
    EXPECT_EQ(write(socket_, bytes.data(), bytes.size()), static_cast<ssize_t>(bytes.size()));
  }
  ~SilentConnection() { close(socket_); }

 private:
  const int socket_;
};

TEST(CallLifetimeTest, ShutdownDoesNotWaitForConnectionsWithoutACall) {
  RawServer server;
  const SilentConnection mute(server.server().port(), "");
  constexpr absl::string_view kEmptySettings("\0\0\0\4\0\0\0\0\0", 9);
  const SilentConnection idle(server.server().port(),
                              absl::StrCat("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", kEmptySettings));
  grpc::ClientContext context;
  const auto health = grpc::health::v1::Health::NewStub(server.channel());
  const auto watch = health->Watch(&context, grpc::health::v1::HealthCheckRequest());
  grpc::health::v1::HealthCheckResponse response;
  ASSERT_TRUE(watch->Read(&response));
  server.server().Shutdown(absl::InfiniteDuration());
  EXPECT_TRUE(watch->Read(&response));
  EXPECT_EQ(response.status(), grpc::health::v1::HealthCheckResponse::NOT_SERVING);
  EXPECT_FALSE(watch->Read(&response));
  EXPECT_FALSE(watch->Finish().ok());
}

// Many clients at once, each doing something else, some of them leaving early.
TEST(CallLifetimeTest, TwoHundredMixedCallsAllEndRight) {
  RawServer server;
  std::atomic<int> wrong{0};
  const auto expect = [&](bool right) { wrong += right ? 0 : 1; };
  std::vector<std::thread> clients;
  for (int i = 0; i < 200; ++i) {
    clients.emplace_back([&server, &expect, i] {
      switch (i % 5) {
        case 0: {
          v1::PredictRequest request;
          request.mutable_prompt()->set_text(absl::StrCat("text number ", i));
          request.mutable_positions()->set_all(true);
          v1::PredictResponse response;
          expect(Predict(server, request, &response).ok());
          break;
        }
        case 1: {
          v1::GenerateRequest request = BulkyGeneration();
          request.mutable_stopping()->set_max_tokens(10);
          expect(Generate(server, request).messages.size() == 12);
          break;
        }
        case 2:
          expect(GetAttention(server, BulkyAttention()).messages.size() == 14);
          break;
        case 3: {
          auto stream = OpenGeneration(server);
          stream.context->TryCancel();
          const grpc::StatusCode code = ReadAll(std::move(stream.reader)).status.error_code();
          expect(code == grpc::CANCELLED || code == grpc::OK);
          break;
        }
        case 4: {
          v1::PredictRequest request;
          request.set_model("nobody");
          v1::PredictResponse response;
          expect(ReasonOf(Predict(server, request, &response)) == "MODEL_NOT_FOUND");
          break;
        }
      }
    });
  }
  for (std::thread& client : clients) client.join();
  EXPECT_EQ(wrong, 0);
  EXPECT_TRUE(Eventually([&] { return server.Idle() && server.server().attention_bytes() == 0; }));
}

v1::OpenTraceRequest LongTrace() {
  auto request = OnPrompt<v1::OpenTraceRequest>();
  request.mutable_prompt()->mutable_tokens()->clear_ids();
  for (int i = 0; i < 120; ++i) request.mutable_prompt()->mutable_tokens()->add_ids(i);
  return request;
}

TEST(TraceQuotaTest, ATraceThatIsReadCountsThoughItIsClosed) {
  ServerConfig config;
  config.trace_client_mib = 1;
  RawServer server(config);
  auto request = LongTrace();
  request.mutable_keep()->set_keep_residual(true);
  const auto close = [&](const std::string& id) {
    v1::CloseTraceRequest trace;
    trace.set_trace_id(id);
    v1::CloseTraceResponse closed;
    const auto status = Ask(server.inspection.get(), &InspectionStub::CloseTrace, trace, &closed);
    EXPECT_TRUE(status.ok()) << status.error_message();
  };
  // How many more there is room for.
  const auto room = [&] {
    std::vector<std::string> ids;
    v1::OpenTraceResponse opened;
    while (ids.size() < 100 &&
           Ask(server.inspection.get(), &InspectionStub::OpenTrace, request, &opened).ok()) {
      ids.push_back(opened.trace().trace_id());
    }
    for (const std::string& id : ids) close(id);
    return ids.size();
  };
  const size_t all = room();
  ASSERT_GT(all, 1u);
  v1::OpenTraceResponse opened;
  ASSERT_TRUE(Ask(server.inspection.get(), &InspectionStub::OpenTrace, request, &opened).ok());
  v1::GetAttentionRequest attention;
  attention.set_trace_id(opened.trace().trace_id());
  auto stream = Open<v1::GetAttentionResponse>([&](grpc::ClientContext* context) {
    return server.inspection->GetAttention(context, attention);
  });
  v1::GenerateRequest patched = BulkyGeneration();
  v1::Intervention& patch = *patched.add_interventions();
  patch.add_layers(1);
  patch.add_positions()->set_end(1);
  patch.mutable_patch_site()->set_trace_id(opened.trace().trace_id());
  auto generation = Open<v1::GenerateResponse>(
      [&](grpc::ClientContext* context) { return server.prediction->Generate(context, patched); });
  close(opened.trace().trace_id());
  EXPECT_EQ(room(), all - 1);
  stream.context->TryCancel();
  EXPECT_FALSE(stream.reader->Finish().ok());
  EXPECT_TRUE(Eventually([&] { return server.server().calls() == 1; }));
  EXPECT_EQ(room(), all - 1);
  generation.context->TryCancel();
  EXPECT_FALSE(generation.reader->Finish().ok());
  EXPECT_TRUE(Eventually([&] { return room() == all; }));
}

TEST(TraceQuotaTest, TwoHundredClientsAtOnceStayWithinIt) {
  ServerConfig config;
  config.trace_client_mib = 1;
  RawServer server(config);
  const auto request = LongTrace();
  std::vector<std::thread> clients;
  std::vector<grpc::Status> statuses(200);
  std::vector<int64_t> bytes(200);
  for (int i = 0; i < 200; ++i) {
    clients.emplace_back([&, i] {
      v1::OpenTraceResponse response;
      statuses[i] = Ask(server.inspection.get(), &InspectionStub::OpenTrace, request, &response);
      bytes[i] = response.trace().held_bytes();
    });
  }
  for (std::thread& client : clients) client.join();
  int64_t held = 0;
  int opened = 0;
  for (int i = 0; i < 200; ++i) {
    held += bytes[i];
    if (statuses[i].ok()) {
      ++opened;
    } else {
      EXPECT_EQ(statuses[i].error_code(), grpc::RESOURCE_EXHAUSTED) << statuses[i].error_message();
    }
  }
  EXPECT_GT(opened, 0);
  EXPECT_LT(opened, 200);
  EXPECT_LE(held, int64_t{1} << 20);
}

}  // namespace
}  // namespace heed
