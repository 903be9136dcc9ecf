// Looking changes nothing: what a model says is the same bits whether or not somebody watches it
// say so, in every format of weights and of keys and values.
#include <atomic>
#include <memory>
#include <string>
#include <thread>
#include <tuple>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/base/print_formats.h"
#include "tests/integration/inspection_fixture.h"

namespace heed {
namespace {

using testing::SizeIs;

constexpr char kText[] = "the keys to the cabinet near the old door";
constexpr int kAnswer = 12;

class CaptureTest : public testing::TestWithParam<std::tuple<WeightFormat, KvType>> {
 protected:
  void SetUp() override {
    LoadOptions options;
    options.kv_cache_bytes = int64_t{16} << 20;
    options.weights = std::get<0>(GetParam());
    options.kv_type = std::get<1>(GetParam());
    server_ = std::make_unique<RawServer>(ServerConfig(),
                                          RawServer::Models{{"m", "model/zoo/decoder"}}, options);
  }

  // The tokens of a generation with all that is said of each but its attention.
  std::vector<std::string> Tokens(const v1::GenerateRequest& request) {
    const Stream<v1::GenerateResponse> stream = Generate(*server_, request);
    EXPECT_TRUE(stream.status.ok()) << stream.status.error_message();
    std::vector<std::string> tokens;
    for (const v1::GenerateResponse& message : stream.messages) {
      if (!message.has_token()) continue;
      EXPECT_EQ(message.token().attention_size() > 0, request.has_attention());
      v1::GeneratedToken token = message.token();
      token.clear_attention();
      tokens.push_back(token.SerializeAsString());
    }
    EXPECT_THAT(tokens, SizeIs(kAnswer));
    return tokens;
  }

  // Every position's log-probabilities.
  std::string Distributions() {
    v1::PredictRequest request = PredictText("m", kText);
    request.mutable_positions()->set_all(true);
    request.mutable_candidates()->set_top_k(100);
    v1::PredictResponse response;
    EXPECT_TRUE(Predict(*server_, request, &response).ok());
    std::string bytes;
    for (const v1::PositionPrediction& prediction : response.predictions()) {
      bytes += prediction.SerializeAsString();
    }
    return bytes;
  }

  std::unique_ptr<RawServer> server_;
};

TEST_P(CaptureTest, AGenerationIsTheSameWatchedOrNot) {
  for (const bool sampled : {false, true}) {
    v1::GenerateRequest plain = GenerateText("m", kText, kAnswer);
    plain.set_top_candidates(50);
    if (sampled) plain.mutable_sampling()->set_seed(7);
    const std::vector<std::string> tokens = Tokens(plain);
    v1::GenerateRequest dense = plain;
    dense.mutable_attention()->mutable_dense();
    EXPECT_EQ(Tokens(dense), tokens);
    v1::GenerateRequest some = plain;
    some.mutable_attention()->add_layers(1);
    some.mutable_attention()->add_heads(2);
    some.mutable_attention()->mutable_top_k()->set_k(2);
    EXPECT_EQ(Tokens(some), tokens);
    v1::GenerateRequest traced = dense;
    traced.mutable_keep_trace()->set_keep_residual(true);
    EXPECT_EQ(Tokens(traced), tokens);
    EXPECT_EQ(Tokens(plain), tokens);
  }
}

TEST_P(CaptureTest, APredictionIsTheSameInTheCompanyOfReads) {
  const std::string alone = Distributions();
  std::atomic<bool> done = false;
  std::vector<std::thread> readers;
  for (const char* text : {kText, "the dog and the cat"}) {
    readers.emplace_back([&, text] {
      v1::GetAttentionRequest request;
      request.set_model("m");
      request.mutable_prompt()->set_text(text);
      do {
        EXPECT_TRUE(GetAttention(*server_, request).status.ok());
      } while (!done);
    });
  }
  for (int i = 0; i < 5; ++i) EXPECT_EQ(Distributions(), alone);
  done = true;
  for (std::thread& reader : readers) reader.join();
}

// The last layer of a run that was recorded says what the run itself says.
TEST_P(CaptureTest, ATraceSaysWhatThePredictionSays) {
  v1::PredictRequest predict = PredictText("m", kText);
  predict.mutable_positions()->set_all(true);
  predict.mutable_candidates()->set_top_k(100);
  v1::PredictResponse predicted;
  ASSERT_TRUE(Predict(*server_, predict, &predicted).ok());
  v1::LogitLensRequest lens;
  lens.set_model("m");
  lens.mutable_prompt()->set_text(kText);
  lens.add_layers(-1);
  lens.set_top_k(100);
  for (const auto& prediction : predicted.predictions()) {
    lens.add_positions(prediction.position());
  }
  v1::LogitLensResponse read;
  const grpc::Status status =
      Ask(server_->inspection.get(), &InspectionStub::LogitLens, lens, &read);
  ASSERT_TRUE(status.ok()) << status.error_message();
  ASSERT_EQ(read.cells_size(), predicted.predictions_size());
  for (int i = 0; i < read.cells_size(); ++i) {
    const auto& candidates = predicted.predictions(i).candidates();
    ASSERT_EQ(read.cells(i).candidates_size(), candidates.size());
    for (int c = 0; c < candidates.size(); ++c) {
      const v1::Candidate& one = read.cells(i).candidates(c);
      EXPECT_EQ(one.token().id(), candidates[c].token().id());
      EXPECT_EQ(one.log_probability(), candidates[c].log_probability()) << i << " " << c;
    }
  }
}

std::string FormatsName(const testing::TestParamInfo<CaptureTest::ParamType>& info) {
  const auto& [weights, kv_type] = info.param;
  const char* const name = weights == WeightFormat::kF32    ? "F32"
                           : weights == WeightFormat::kF16  ? "F16"
                           : weights == WeightFormat::kInt8 ? "Int8"
                                                            : "Int4";
  const char* const kept = kv_type == KvType::kF32   ? "F32"
                           : kv_type == KvType::kF16 ? "F16"
                                                     : "Int8";
  return absl::StrCat(name, "KeysIn", kept);
}

INSTANTIATE_TEST_SUITE_P(AllFormats, CaptureTest,
                         testing::Combine(testing::Values(WeightFormat::kF32, WeightFormat::kF16,
                                                          WeightFormat::kInt8, WeightFormat::kInt4),
                                          testing::Values(KvType::kF32, KvType::kF16,
                                                          KvType::kInt8)),
                         FormatsName);

}  // namespace
}  // namespace heed
