// Reads look at the call's stop signal while they make an answer.
#include <memory>
#include <string>
#include <utility>

#include "gtest/gtest.h"
#include "server/inspect/activations_call.h"
#include "server/inspect/attention_stream.h"
#include "server/inspect/read_methods.h"
#include "tests/inspect/trace_testing.h"
#include "tests/server/convert_testing.h"
#include "tests/server/golden_models.h"

namespace heed {
namespace {

class ReadStopTest : public testing::Test {
 protected:
  ReadStopTest() {
    run_.model = LoadGolden("llama-gqa-f32");
    auto traced = std::make_shared<TracedRun>();
    traced->prompt.ids = SomeTokens(config(), 20);
    traced->prompt.offsets.resize(20);
    traced->trace = TraceOf(*run_.model->model, traced->prompt.ids, {Site::kResidual});
    run_.run = std::move(traced);
  }

  const ModelConfig& config() const { return run_.model->model->config(); }

  // Reads the header, then the message behind it as the caller goes away.
  template <typename Method>
  absl::StatusCode SecondMessageOf(const std::string& request_text) {
    const auto request = FromText<typename Method::Request>(request_text);
    StopSignal stop;
    const auto stream = Method::Create(request, &run_, &stop);
    EXPECT_TRUE(stream.ok()) << stream.status();
    typename Method::Response response;
    EXPECT_TRUE((*stream)->Next(&response).value_or(false));
    stop.Cancel();
    return (*stream)->Next(&response).status().code();
  }

  template <typename Method>
  absl::StatusCode AnswerOf(const std::string& request_text) {
    const auto request = FromText<typename Method::Request>(request_text);
    StopSignal stop;
    typename Method::Response response;
    EXPECT_TRUE(Method::Answer(request, run_, stop, &response).ok());
    stop.Cancel();
    return Method::Answer(request, run_, stop, &response).code();
  }

  ReadableRun run_;
};

TEST_F(ReadStopTest, StreamsStopWithinAMessage) {
  for (const std::string selection :
       {"pooled {}", "span_sums { spans { end: 9 } spans {} average_queries: true }"}) {
    EXPECT_EQ(SecondMessageOf<AttentionStream>("selection { " + selection + " }"),
              absl::StatusCode::kCancelled)
        << selection;
  }
  EXPECT_EQ(SecondMessageOf<ActivationsStream>("site: SITE_RESIDUAL pca {}"),
            absl::StatusCode::kCancelled);
}

TEST_F(ReadStopTest, AnswersStop) {
  EXPECT_EQ(AnswerOf<RolloutMethod>(""), absl::StatusCode::kCancelled);
  EXPECT_EQ(AnswerOf<RolloutMethod>("method: METHOD_FLOW"), absl::StatusCode::kCancelled);
  EXPECT_EQ(AnswerOf<DecomposeAttentionMethod>("layer: 1"), absl::StatusCode::kCancelled);
}

}  // namespace
}  // namespace heed
