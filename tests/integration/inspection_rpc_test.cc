// Traces, and what is read from them, over the wire: each read against others of the same run, and
// what is refused.
#include <cmath>
#include <limits>
#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/integration/inspection_fixture.h"

namespace heed {
namespace {

using testing::Each;
using testing::ElementsAre;
using testing::Pointwise;
using testing::SizeIs;

using Stub = InspectionStub;

TEST_F(InspectionRpcTest, ATraceIsFoundUntilItIsClosed) {
  auto request = OnPrompt<v1::OpenTraceRequest>();
  request.mutable_keep()->mutable_ttl()->set_seconds(60);
  const auto opened = Read(&Stub::OpenTrace, request);
  const v1::TraceInfo& trace = opened.trace();
  EXPECT_EQ(trace.trace_id().size(), 32u);
  EXPECT_EQ(trace.token_count(), kTokens);
  EXPECT_GT(trace.held_bytes(), 0);
  EXPECT_FALSE(trace.keeps_residual());
  EXPECT_EQ(opened.prompt().tokens_size(), kTokens);
  EXPECT_EQ(opened.provenance().model().name(), "llama");
  v1::RenewTraceRequest renew;
  renew.set_trace_id(trace.trace_id());
  renew.mutable_ttl()->set_seconds(500);
  const auto renewed = Read(&Stub::RenewTrace, renew);
  EXPECT_GT(renewed.trace().expire_time().seconds(), trace.expire_time().seconds() + 400);
  v1::CloseTraceRequest close;
  close.set_trace_id(trace.trace_id());
  EXPECT_EQ(Read(&Stub::CloseTrace, close).freed_bytes(), trace.held_bytes());
  for (const grpc::Status& status :
       {Refusal(&Stub::CloseTrace, close), Refusal(&Stub::RenewTrace, renew)}) {
    EXPECT_EQ(status.error_code(), grpc::NOT_FOUND);
    EXPECT_EQ(ReasonOf(status), "TRACE_NOT_FOUND");
  }
  v1::GetHeadStatsRequest stats;
  stats.set_trace_id(trace.trace_id());
  EXPECT_EQ(Refusal(&Stub::GetHeadStats, stats).error_code(), grpc::NOT_FOUND);
}

TEST_F(InspectionRpcTest, ATraceExpires) {
  auto request = OnPrompt<v1::OpenTraceRequest>();
  request.mutable_keep()->mutable_ttl()->set_nanos(1);
  v1::GetHeadStatsRequest stats;
  stats.set_trace_id(Read(&Stub::OpenTrace, request).trace().trace_id());
  EXPECT_EQ(ReasonOf(Refusal(&Stub::GetHeadStats, stats)), "TRACE_NOT_FOUND");
}

TEST_F(InspectionRpcTest, ALifetimeIsAWellFormedDuration) {
  v1::RenewTraceRequest renew;
  renew.set_trace_id(Open());
  const auto refused = [&](int64_t seconds, int32_t nanos) {
    renew.mutable_ttl()->set_seconds(seconds);
    renew.mutable_ttl()->set_nanos(nanos);
    return WrongFields(Refusal(&Stub::RenewTrace, renew));
  };
  EXPECT_THAT(refused(5, -1), ElementsAre("ttl"));
  EXPECT_THAT(refused(5, 1'000'000'000), ElementsAre("ttl"));
  EXPECT_THAT(refused(0, std::numeric_limits<int32_t>::min()), ElementsAre("ttl"));
  EXPECT_THAT(refused(-1, 999'999'999), ElementsAre("ttl"));
  renew.mutable_ttl()->set_seconds(5);
  Read(&Stub::RenewTrace, renew);
}

TEST_F(InspectionRpcTest, WeightsOfATraceHaveTheBitsOfTheForwardPass) {
  for (const std::string model : {"llama", "gpt2", "bert"}) {
    const auto plain = Tiles(OnPrompt<v1::GetAttentionRequest>(model));
    v1::GetAttentionRequest request;
    request.set_trace_id(Open(model, /*stream=*/false));
    const auto traced = Tiles(request);
    ASSERT_EQ(traced.size(), plain.size());
    for (size_t i = 0; i < plain.size(); ++i) {
      EXPECT_EQ(traced[i].layer(), plain[i].layer());
      EXPECT_EQ(traced[i].head(), plain[i].head());
      EXPECT_EQ(traced[i].weights().data(), plain[i].weights().data()) << model << " " << i;
    }
  }
}

TEST_F(InspectionRpcTest, StagesFollowFromEachOther) {
  const std::string trace = Open();
  const auto raw = Map(trace, v1::ATTENTION_STAGE_RAW, 1, 2);
  const auto scaled = Map(trace, v1::ATTENTION_STAGE_SCALED, 1, 2);
  const auto masked = Map(trace, v1::ATTENTION_STAGE_MASKED, 1, 2);
  const auto weights = Map(trace, v1::ATTENTION_STAGE_SOFTMAX, 1, 2);
  const auto contribution = Map(trace, v1::ATTENTION_STAGE_CONTRIBUTION, 1, 2);
  ASSERT_EQ(raw.size(), size_t{kTokens * kTokens});
  for (int i = 0; i < kTokens; ++i) {
    double sum = 0;
    double total = 0;
    for (int j = 0; j < kTokens; ++j) {
      const int at = i * kTokens + j;
      EXPECT_NEAR(scaled[at], raw[at] / std::sqrt(12.0), 1e-5);
      if (j > i) {
        EXPECT_EQ(masked[at], -std::numeric_limits<float>::infinity());
        EXPECT_EQ(weights[at], 0);
      } else {
        EXPECT_NEAR(masked[at], scaled[at], 1e-6);
        sum += std::exp(masked[at]);
      }
      total += contribution[at];
    }
    for (int j = 0; j <= i; ++j) {
      EXPECT_NEAR(weights[i * kTokens + j], std::exp(masked[i * kTokens + j]) / sum, 1e-5);
    }
    EXPECT_NEAR(total, 1, 1e-5);
  }
}

TEST_F(InspectionRpcTest, EveryEncodingSaysWhatTheDenseMapSays) {
  const std::string trace = Open();
  const auto dense = Map(trace, v1::ATTENTION_STAGE_SOFTMAX, 2, 1);
  v1::GetAttentionRequest request;
  request.set_trace_id(trace);
  request.mutable_selection()->add_layers(2);
  request.mutable_selection()->add_heads(1);
  v1::AttentionSelection& selection = *request.mutable_selection();

  selection.mutable_lower_triangle();
  std::vector<float> packed;
  for (int i = 0; i < kTokens; ++i) {
    packed.insert(packed.end(), &dense[i * kTokens], &dense[i * kTokens] + i + 1);
  }
  EXPECT_EQ(Floats(Tiles(request)[0].packed()), packed);

  selection.mutable_threshold()->set_min_weight(0.15f);
  const v1::SparseWeights sparse = Tiles(request)[0].sparse();
  ASSERT_EQ(sparse.row_begin_size(), kTokens + 1);
  const auto kept = Floats(sparse.weights());
  const auto dropped = Floats(sparse.dropped_mass());
  for (int i = 0; i < kTokens; ++i) {
    double mass = dropped[i];
    for (int at = sparse.row_begin(i); at < sparse.row_begin(i + 1); ++at) {
      EXPECT_EQ(kept[at], dense[i * kTokens + sparse.keys(at)]);
      EXPECT_GE(kept[at], 0.15f);
      mass += kept[at];
    }
    EXPECT_NEAR(mass, 1, 1e-5);
  }

  // The header's bytes are no fewer than those that follow, where nothing is left out either.
  selection.mutable_threshold()->set_min_weight(0);
  selection.add_queries(-1);
  const auto whole = GetAttention(*shared_, request);
  ASSERT_EQ(whole.messages.size(), 3u);
  const v1::SparseWeights& all = whole.messages[1].tile().sparse();
  EXPECT_GE(
      whole.messages[0].header().total_bytes(),
      static_cast<int64_t>(sizeof(int32_t)) * (all.row_begin_size() + all.keys_size()) +
          static_cast<int64_t>(all.weights().data().size() + all.dropped_mass().data().size()));

  selection.clear_queries();
  selection.mutable_pooled()->set_rows(2);
  selection.mutable_pooled()->set_columns(3);
  const v1::AttentionTile grid = Tiles(request)[0];
  EXPECT_THAT(grid.grid().shape(), ElementsAre(2, 3));
  EXPECT_THAT(grid.queries(), ElementsAre(0, 4));
  const auto cells = Floats(grid.grid());
  float largest = 0;  // of queries 4..8, keys 3..5
  for (int i = 4; i < 9; ++i) {
    for (int j = 3; j < 6; ++j) largest = std::max(largest, dense[i * kTokens + j]);
  }
  EXPECT_EQ(cells[3 + 1], largest);

  selection.mutable_span_sums()->add_spans()->set_end(2);
  selection.mutable_span_sums()->add_spans()->set_begin(-3);
  const auto sums = Floats(Tiles(request)[0].grid());
  ASSERT_THAT(sums, SizeIs(2 * kTokens));
  for (int i = 0; i < kTokens; ++i) {
    const float* const row = &dense[i * kTokens];
    EXPECT_NEAR(sums[2 * i], row[0] + row[1], 1e-6);
    EXPECT_NEAR(sums[2 * i + 1], row[6] + row[7] + row[8], 1e-6);
  }
  selection.mutable_span_sums()->set_average_queries(true);
  const auto means = Floats(Tiles(request)[0].grid());
  ASSERT_THAT(means, SizeIs(4));
  EXPECT_NEAR(means[2], (sums[12] + sums[14] + sums[16]) / 3, 1e-6);
  // A grid is one message.
  while (selection.span_sums().spans_size() < 512) selection.mutable_span_sums()->add_spans();
  EXPECT_THAT(Floats(Tiles(request)[0].grid()), SizeIs(512 * 512));
  selection.mutable_span_sums()->add_spans();
  const auto refused = GetAttention(*shared_, request);
  EXPECT_THAT(refused.messages, SizeIs(0));
  EXPECT_EQ(ReasonOf(refused.status), "ATTENTION_BUDGET");
  selection.mutable_span_sums()->set_average_queries(false);
  EXPECT_TRUE(GetAttention(*shared_, request).status.ok());

  selection.mutable_dense();
  selection.mutable_keys()->set_begin(2);
  selection.mutable_keys()->set_end(-1);
  selection.add_queries(-1);
  const v1::AttentionTile part = Tiles(request)[0];
  EXPECT_THAT(part.weights().shape(), ElementsAre(1, kTokens - 3));
  EXPECT_THAT(Floats(part.weights()),
              Pointwise(testing::FloatEq(),
                        std::vector<float>(&dense[8 * kTokens + 2], &dense[8 * kTokens + 8])));

  v1::GetAttentionRequest fused;
  fused.set_trace_id(trace);
  fused.mutable_selection()->add_layers(2);
  fused.mutable_selection()->set_head_fusion(v1::HEAD_FUSION_MEAN);
  const auto mean = Tiles(fused);
  ASSERT_THAT(mean, SizeIs(1));
  EXPECT_EQ(mean[0].head(), -1);
  double expected = 0;
  for (int head = 0; head < 4; ++head) {
    expected += Map(trace, v1::ATTENTION_STAGE_SOFTMAX, 2, head)[7 * kTokens + 4] / 4.0;
  }
  EXPECT_NEAR(Floats(mean[0].weights())[7 * kTokens + 4], expected, 1e-6);
}

TEST_F(InspectionRpcTest, ExplainRowFollowsARowToTheLogit) {
  const std::string trace = Open();
  v1::ExplainRowRequest request;
  request.set_trace_id(trace);
  request.set_layer(-2);
  request.set_head(2);
  request.set_query(-2);
  request.add_tokens()->set_id(7);
  const auto row = Read(&Stub::ExplainRow, request);
  EXPECT_EQ(row.layer(), 1);
  EXPECT_EQ(row.query(), 7);
  EXPECT_EQ(row.key_count(), 8);
  const auto weights = Floats(row.weights());
  const auto map = Map(trace, v1::ATTENTION_STAGE_SOFTMAX, 1, 2);
  const auto query = Floats(row.query_vector());
  const auto keys = Floats(row.key_vectors());
  const auto values = Floats(row.value_vectors());
  const auto context = Floats(row.context());
  ASSERT_THAT(query, SizeIs(12));
  ASSERT_THAT(keys, SizeIs(8 * 12));
  double entropy = 0;
  std::vector<double> blend(12);
  for (int j = 0; j < 8; ++j) {
    double dot = 0;
    for (int d = 0; d < 12; ++d) {
      dot += double{query[d]} * keys[j * 12 + d];
      blend[d] += double{weights[j]} * values[j * 12 + d];
    }
    EXPECT_NEAR(Floats(row.raw())[j], dot, 1e-4);
    EXPECT_NEAR(weights[j], map[7 * kTokens + j], 1e-6);
    EXPECT_NEAR(Floats(row.weighted_norms())[j], weights[j] * Floats(row.value_norms())[j], 1e-5);
    entropy -= weights[j] * std::log(weights[j]);
  }
  for (int d = 0; d < 12; ++d) EXPECT_NEAR(context[d], blend[d], 1e-5);
  EXPECT_NEAR(row.entropy(), entropy, 1e-5);
  EXPECT_THAT(row.projection().shape(), ElementsAre(40));
  ASSERT_EQ(row.logit_shares_size(), 1);
  double share = 0;
  for (float part : Floats(row.logit_shares(0).by_key())) share += part;
  EXPECT_NEAR(row.logit_shares(0).share(), share, 1e-4);
  EXPECT_EQ(row.logit_shares(0).token().id(), 7);
}

TEST(InspectionTest, ExplainRowOfAPromptGoesThroughNormsBehindTheRow) {
  RawServer server({}, {{"opt", "tests/golden/models/opt-post-norm-f16"}});
  auto request = OnPrompt<v1::ExplainRowRequest>("opt");
  request.set_query(-1);
  request.add_tokens()->set_id(7);
  v1::ExplainRowResponse row;
  const grpc::Status status = Ask(server.inspection.get(), &Stub::ExplainRow, request, &row);
  ASSERT_TRUE(status.ok()) << status.error_message();
  EXPECT_EQ(row.logit_shares_size(), 1);
  // These need the stream.
  v1::OpenTraceResponse opened;
  ASSERT_TRUE(
      Ask(server.inspection.get(), &Stub::OpenTrace, OnPrompt<v1::OpenTraceRequest>("opt"), &opened)
          .ok());
  request.clear_model();
  request.clear_prompt();
  request.set_trace_id(opened.trace().trace_id());
  EXPECT_EQ(ReasonOf(Ask(server.inspection.get(), &Stub::ExplainRow, request, &row)),
            "SITE_NOT_KEPT");
  request.clear_tokens();
  EXPECT_TRUE(Ask(server.inspection.get(), &Stub::ExplainRow, request, &row).ok());
}

TEST_F(InspectionRpcTest, HeadStatsAreThoseOfTheRows) {
  const std::string trace = Open();
  v1::GetHeadStatsRequest request;
  request.set_trace_id(trace);
  request.add_layers(-1);
  request.set_per_row(true);
  const auto rows = Read(&Stub::GetHeadStats, request);
  EXPECT_THAT(rows.layers(), ElementsAre(2));
  EXPECT_THAT(rows.entropy().shape(), ElementsAre(1, 4, kTokens));
  request.set_per_row(false);
  const auto means = Read(&Stub::GetHeadStats, request);
  EXPECT_THAT(means.entropy().shape(), ElementsAre(1, 4));
  const auto map = Map(trace, v1::ATTENTION_STAGE_SOFTMAX, 2, 3);
  double mean_entropy = 0;
  double mean_self = 0;
  for (int i = 0; i < kTokens; ++i) {
    const float* const row = &map[i * kTokens];
    double entropy = 0;
    double distance = 0;
    for (int j = 0; j <= i; ++j) {
      entropy -= row[j] * std::log(row[j]);
      distance += row[j] * (i - j);
    }
    const int at = 3 * kTokens + i;
    EXPECT_NEAR(Floats(rows.entropy())[at], entropy, 1e-5);
    EXPECT_NEAR(Floats(rows.effective_tokens())[at], std::exp(entropy), 1e-4);
    EXPECT_NEAR(Floats(rows.mean_distance())[at], distance, 1e-5);
    EXPECT_NEAR(Floats(rows.first_token())[at], row[0], 1e-6);
    EXPECT_NEAR(Floats(rows.self())[at], row[i], 1e-6);
    EXPECT_NEAR(Floats(rows.previous_token())[at], i == 0 ? 0 : row[i - 1], 1e-6);
    EXPECT_NEAR(Floats(rows.max_weight())[at], *std::max_element(row, row + i + 1), 1e-6);
    mean_entropy += entropy / kTokens;
    mean_self += row[i] / kTokens;
  }
  EXPECT_NEAR(Floats(means.entropy())[3], mean_entropy, 1e-5);
  EXPECT_NEAR(Floats(means.self())[3], mean_self, 1e-5);
}

TEST_F(InspectionRpcTest, HeadsAreScoredByPatterns) {
  const std::string trace = Open();
  v1::DetectHeadsRequest request;
  request.set_trace_id(trace);
  request.set_known(v1::HEAD_PATTERN_DUPLICATE_TOKEN);
  const auto found = Read(&Stub::DetectHeads, request);
  EXPECT_EQ(found.provenance().definition(), "TL_MUL");
  EXPECT_THAT(found.scores().shape(), ElementsAre(3, 4));
  ASSERT_EQ(found.ranked_size(), 12);
  EXPECT_GE(found.ranked(0).score(), found.ranked(11).score());
  const auto map = Map(trace, v1::ATTENTION_STAGE_SOFTMAX, 1, 1);
  double sum = 0;
  std::vector<float> pattern(kTokens * kTokens);
  for (int i = 0; i < kTokens; ++i) {
    for (int j = 0; j < i; ++j) {
      if (kPrompt[i] != kPrompt[j]) continue;
      sum += map[i * kTokens + j];
      pattern[i * kTokens + j] = 1;
    }
  }
  EXPECT_NEAR(Floats(found.scores())[4 + 1], sum / kTokens, 1e-5);
  // The same as a pattern of the caller's own, and the other score by its identity.
  v1::Tensor& custom = *request.mutable_custom();
  custom.set_dtype(v1::DATA_TYPE_F32);
  custom.add_shape(kTokens);
  custom.add_shape(kTokens);
  custom.set_data(pattern.data(), pattern.size() * sizeof(float));
  EXPECT_EQ(Read(&Stub::DetectHeads, request).scores().data(), found.scores().data());
  request.set_score(v1::DETECTION_SCORE_TL_ABS);
  const auto abs = Read(&Stub::DetectHeads, request);
  EXPECT_EQ(abs.provenance().definition(), "TL_ABS");
  double cells = 0;
  for (float cell : pattern) cells += cell;
  EXPECT_NEAR(Floats(abs.scores())[5], 2 * sum / kTokens - cells / kTokens, 1e-5);
  for (float neither : {0.5f, -3.0f, 1e38f, std::numeric_limits<float>::infinity()}) {
    pattern[kTokens + 2] = neither;
    custom.set_data(pattern.data(), pattern.size() * sizeof(float));
    EXPECT_THAT(WrongFields(Refusal(&Stub::DetectHeads, request)), ElementsAre("custom.data"));
  }
}

TEST_F(InspectionRpcTest, WrongReadsAreNamed) {
  const std::string trace = Open("llama", /*stream=*/false);
  auto both = OnPrompt<v1::GetHeadStatsRequest>("gpt2");
  both.set_trace_id(trace);
  both.add_interventions()->mutable_knock_out();
  EXPECT_THAT(WrongFields(Refusal(&Stub::GetHeadStats, both)),
              ElementsAre("prompt", "interventions", "model"));
  v1::ExplainRowRequest row;
  row.set_trace_id(trace);
  row.set_layer(3);
  row.set_head(-5);
  row.add_tokens()->set_id(320);
  row.add_tokens();
  EXPECT_THAT(WrongFields(Refusal(&Stub::ExplainRow, row)),
              ElementsAre("layer", "head", "tokens[0].id", "tokens[1]"));
  row = {};
  row.set_trace_id(trace);
  row.set_query(9);
  EXPECT_EQ(Refusal(&Stub::ExplainRow, row).error_code(), grpc::OUT_OF_RANGE);
  v1::LogitLensRequest lens;
  lens.set_trace_id(trace);
  EXPECT_EQ(ReasonOf(Refusal(&Stub::LogitLens, lens)), "SITE_NOT_KEPT");
  v1::DetectHeadsRequest detect;
  detect.set_trace_id(trace);
  EXPECT_THAT(WrongFields(Refusal(&Stub::DetectHeads, detect)), ElementsAre("pattern"));
  detect.mutable_custom()->set_dtype(v1::DATA_TYPE_F32);
  EXPECT_THAT(WrongFields(Refusal(&Stub::DetectHeads, detect)), ElementsAre("custom.shape"));
  v1::RolloutRequest rollout;
  rollout.set_trace_id(trace);
  rollout.set_residual_weight(std::numeric_limits<double>::quiet_NaN());
  EXPECT_THAT(WrongFields(Refusal(&Stub::Rollout, rollout)), ElementsAre("residual_weight"));
  const auto attention = [&](auto set) {
    v1::GetAttentionRequest request;
    request.set_trace_id(trace);
    set(*request.mutable_selection());
    return WrongFields(GetAttention(*shared_, request).status);
  };
  EXPECT_THAT(attention([](auto& s) {
                s.set_stage(v1::ATTENTION_STAGE_RAW);
                s.mutable_top_k()->set_k(3);
              }),
              ElementsAre("selection.top_k"));
  EXPECT_THAT(attention([](auto& s) {
                s.mutable_lower_triangle();
                s.mutable_keys()->set_begin(1);
              }),
              ElementsAre("selection.keys"));
  EXPECT_THAT(attention([](auto& s) {
                s.mutable_threshold()->set_min_weight(std::numeric_limits<float>::quiet_NaN());
              }),
              ElementsAre("selection.threshold.min_weight"));
  EXPECT_THAT(attention([](auto& s) {
                s.mutable_keys()->set_begin(3);
                s.mutable_keys()->set_end(3);
              }),
              ElementsAre("selection.keys"));
}

TEST_F(InspectionRpcTest, AStreamOfLargeTilesIsReadAtTheClientsPace) {
  v1::GetAttentionRequest request = BulkyAttention();
  request.mutable_selection()->set_stage(v1::ATTENTION_STAGE_RAW);
  {
    grpc::ClientContext context;
    const auto reader = shared_->inspection->GetAttention(&context, request);
    v1::GetAttentionResponse message;
    EXPECT_TRUE(reader->Read(&message));
    context.TryCancel();
    while (reader->Read(&message)) {
    }
    EXPECT_EQ(reader->Finish().error_code(), grpc::CANCELLED);
  }
  const auto whole = GetAttention(*shared_, request);
  EXPECT_TRUE(whole.status.ok());
  EXPECT_EQ(whole.messages.back().end().tile_count(), 12);
}

}  // namespace
}  // namespace heed
