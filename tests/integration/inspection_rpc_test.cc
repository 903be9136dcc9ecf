// Traces, and what is read from them, over the wire: each read against others of the same run, and
// what is refused.
#include <cmath>
#include <limits>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/integration/raw_requests.h"
#include "tests/integration/raw_server.h"

namespace heed {
namespace {

using testing::Each;
using testing::ElementsAre;
using testing::Pointwise;
using testing::SizeIs;

using Stub = v1::InspectionService::Stub;

template <typename Request, typename Response, typename Service>
grpc::Status Ask(Service* stub,
                 grpc::Status (Service::*method)(grpc::ClientContext*, const Request&, Response*),
                 const Request& request, Response* response) {
  grpc::ClientContext context;
  return (stub->*method)(&context, request, response);
}

// Ids of a prompt in which tokens repeat.
constexpr int kPrompt[] = {5, 9, 17, 23, 9, 17, 40, 5, 9};
constexpr int kTokens = 9;

template <typename Request>
Request OnPrompt(const std::string& model = "llama") {
  Request request;
  request.set_model(model);
  for (int id : kPrompt) request.mutable_prompt()->mutable_tokens()->add_ids(id);
  return request;
}

v1::Intervention CutEdge(int layer, int64_t query, int64_t key) {
  v1::Intervention edit;
  edit.add_layers(layer);
  edit.add_positions()->set_begin(query);
  edit.mutable_positions(0)->set_end(query + 1);
  edit.add_keys()->set_begin(key);
  edit.mutable_keys(0)->set_end(key + 1);
  edit.mutable_knock_out();
  return edit;
}

class InspectionRpcTest : public SharedServerTest {
 protected:
  // A trace of the prompt with its stream.
  static std::string Open(const std::string& model = "llama", bool stream = true) {
    auto request = OnPrompt<v1::OpenTraceRequest>(model);
    request.mutable_keep()->set_keep_residual(stream);
    v1::OpenTraceResponse response;
    const grpc::Status status =
        Ask(shared_->inspection.get(), &Stub::OpenTrace, request, &response);
    EXPECT_TRUE(status.ok()) << status.error_message();
    return response.trace().trace_id();
  }

  template <typename Request, typename Response>
  static Response Read(grpc::Status (Stub::*method)(grpc::ClientContext*, const Request&,
                                                    Response*),
                       const Request& request) {
    Response response;
    const grpc::Status status = Ask(shared_->inspection.get(), method, request, &response);
    EXPECT_TRUE(status.ok()) << status.error_message();
    return response;
  }

  template <typename Request, typename Response>
  static grpc::Status Refusal(grpc::Status (Stub::*method)(grpc::ClientContext*, const Request&,
                                                           Response*),
                              const Request& request) {
    Response response;
    return Ask(shared_->inspection.get(), method, request, &response);
  }

  static std::vector<v1::AttentionTile> Tiles(const v1::GetAttentionRequest& request) {
    const Stream<v1::GetAttentionResponse> stream = GetAttention(*shared_, request);
    EXPECT_TRUE(stream.status.ok()) << stream.status.error_message();
    std::vector<v1::AttentionTile> tiles;
    for (const auto& message : stream.messages) {
      if (message.has_tile()) tiles.push_back(message.tile());
    }
    return tiles;
  }

  // One head's map of a trace at a stage, [tokens, tokens].
  static std::vector<float> Map(const std::string& trace, v1::AttentionStage stage, int layer,
                                int head) {
    v1::GetAttentionRequest request;
    request.set_trace_id(trace);
    request.mutable_selection()->add_layers(layer);
    request.mutable_selection()->add_heads(head);
    request.mutable_selection()->set_stage(stage);
    const auto tiles = Tiles(request);
    return tiles.size() == 1 ? Floats(tiles[0].weights()) : std::vector<float>();
  }

  static std::vector<v1::GetActivationsResponse> Activations(
      const v1::GetActivationsRequest& request) {
    grpc::ClientContext context;
    const auto stream = ReadAll(shared_->inspection->GetActivations(&context, request));
    EXPECT_TRUE(stream.status.ok()) << stream.status.error_message();
    return stream.messages;
  }
};

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
}

TEST_F(InspectionRpcTest, TheLensAtTheLastLayerIsTheModel) {
  v1::LogitLensRequest request;
  request.set_trace_id(Open());
  for (int i = 0; i < kTokens; ++i) request.add_positions(i);
  request.set_top_k(3);
  request.add_tokens()->set_id(7);
  const auto lens = Read(&Stub::LogitLens, request);
  EXPECT_THAT(lens.layers(), ElementsAre(0, 1, 2, 3));
  ASSERT_EQ(lens.cells_size(), 4 * kTokens);
  auto predict = OnPrompt<v1::PredictRequest>();
  predict.mutable_positions()->set_all(true);
  predict.mutable_candidates()->set_full(true);
  v1::PredictResponse predicted;
  ASSERT_TRUE(Predict(*shared_, predict, &predicted).ok());
  for (int i = 0; i < kTokens; ++i) {
    const v1::LensCell& cell = lens.cells(3 * kTokens + i);
    EXPECT_EQ(cell.layer(), 3);
    EXPECT_EQ(cell.position(), i);
    EXPECT_NEAR(cell.kl_to_final(), 0, 1e-9);
    EXPECT_NEAR(cell.entropy(), predicted.predictions(i).entropy(), 1e-5);
    const auto all = Floats(predicted.predictions(i).log_probabilities());
    for (const v1::Candidate& candidate : cell.candidates()) {
      EXPECT_NEAR(candidate.log_probability(), all[candidate.token().id()], 1e-5);
      EXPECT_NEAR(candidate.probability(), std::exp(candidate.log_probability()), 1e-9);
    }
    EXPECT_EQ(cell.candidates(0).rank(), 1);
    ASSERT_EQ(cell.followed_size(), 1);
    EXPECT_NEAR(cell.followed(0).log_probability(), all[7], 1e-5);
    EXPECT_GT(lens.cells(i).kl_to_final(), 0);
  }
}

TEST_F(InspectionRpcTest, PartsOfALogitSumToIt) {
  const std::string trace = Open();
  double heads = 0;
  for (v1::AttributionUnit unit : {v1::ATTRIBUTION_UNIT_COMPONENT, v1::ATTRIBUTION_UNIT_HEAD,
                                   v1::ATTRIBUTION_UNIT_HEAD_AND_SOURCE}) {
    v1::AttributeLogitsRequest request;
    request.set_trace_id(trace);
    request.set_unit(unit);
    const auto attribution = Read(&Stub::AttributeLogits, request);
    EXPECT_EQ(attribution.position(), kTokens - 1);
    double sum = 0;
    double of_heads = 0;
    for (const v1::LogitPart& part : attribution.parts()) {
      sum += part.value();
      if (part.kind() != v1::COMPONENT_KIND_HEAD) continue;
      of_heads += part.value();
      if (unit != v1::ATTRIBUTION_UNIT_HEAD_AND_SOURCE) continue;
      double by_source = 0;
      for (float value : Floats(part.by_source())) by_source += value;
      EXPECT_NEAR(by_source, part.value(), 1e-4);
    }
    EXPECT_NEAR(sum + attribution.residual_error(), attribution.logit(), 1e-9);
    EXPECT_NEAR(attribution.residual_error(), 0, 1e-4);
    if (unit == v1::ATTRIBUTION_UNIT_HEAD) heads = of_heads;
    if (unit == v1::ATTRIBUTION_UNIT_HEAD_AND_SOURCE) {
      EXPECT_NEAR(of_heads, heads, 1e-6);
    }
  }
  // Without a token it is the most probable one's.
  v1::PredictResponse predicted;
  ASSERT_TRUE(Predict(*shared_, OnPrompt<v1::PredictRequest>(), &predicted).ok());
  const v1::PositionPrediction& last = predicted.predictions(0);
  v1::AttributeLogitsRequest difference;
  difference.set_trace_id(trace);
  difference.mutable_against()->set_id(last.candidates(1).token().id());
  const auto attribution = Read(&Stub::AttributeLogits, difference);
  EXPECT_EQ(attribution.token().id(), last.candidates(0).token().id());
  EXPECT_NEAR(attribution.logit(),
              last.candidates(0).log_probability() - last.candidates(1).log_probability(), 1e-4);
}

TEST_F(InspectionRpcTest, RolloutIsTheProductOfTheLayers) {
  const std::string trace = Open();
  v1::RolloutRequest request;
  request.set_trace_id(trace);
  const auto rollout = Read(&Stub::Rollout, request);
  EXPECT_EQ(rollout.provenance().definition(), "ATTENTION_ROLLOUT");
  EXPECT_THAT(rollout.queries(), ElementsAre(kTokens - 1));
  std::vector<double> row(kTokens);
  row[kTokens - 1] = 1;
  for (int layer = 2; layer >= 0; --layer) {
    std::vector<double> next(kTokens);
    for (int head = 0; head < 4; ++head) {
      const auto map = Map(trace, v1::ATTENTION_STAGE_SOFTMAX, layer, head);
      for (int i = 0; i < kTokens; ++i) {
        for (int j = 0; j < kTokens; ++j) next[j] += row[i] * 0.5 * map[i * kTokens + j] / 4;
      }
    }
    for (int i = 0; i < kTokens; ++i) next[i] += 0.5 * row[i];
    row = next;
  }
  const auto weights = Floats(rollout.weights());
  for (int j = 0; j < kTokens; ++j) EXPECT_NEAR(weights[j], row[j], 1e-5);
  request.set_method(v1::RolloutRequest::METHOD_FLOW);
  double sum = 0;
  for (float weight : Floats(Read(&Stub::Rollout, request).weights())) sum += weight;
  EXPECT_NEAR(sum, 1, 1e-5);
  // All of the residual connection and nothing else is the identity.
  request.set_method(v1::RolloutRequest::METHOD_ROLLOUT);
  request.set_residual_weight(1);
  const auto identity = Floats(Read(&Stub::Rollout, request).weights());
  EXPECT_EQ(identity[kTokens - 1], 1);
  EXPECT_EQ(identity[0], 0);
}

TEST_F(InspectionRpcTest, DecompositionsNameTheirDefinition) {
  const std::string bert = Open("bert");
  for (const auto& [method, name] :
       {std::pair{v1::DecomposeAttentionRequest::METHOD_ATTENTION_NORM, "KOBAYASHI_2020_NORM"},
        std::pair{v1::DecomposeAttentionRequest::METHOD_RESIDUAL_NORM, "KOBAYASHI_2021_ATTN_RES"},
        std::pair{v1::DecomposeAttentionRequest::METHOD_RESIDUAL_LAYER_NORM,
                  "KOBAYASHI_2021_ATTN_RES_LN"},
        std::pair{v1::DecomposeAttentionRequest::METHOD_ALTI, "ALTI"}}) {
    v1::DecomposeAttentionRequest request;
    request.set_trace_id(bert);
    request.set_method(method);
    request.set_layer(-1);
    const auto answer = Read(&Stub::DecomposeAttention, request);
    EXPECT_EQ(answer.provenance().definition(), name);
    EXPECT_THAT(answer.norms().shape(), ElementsAre(kTokens, kTokens));
    EXPECT_THAT(Floats(answer.norms()), Each(testing::Ge(0)));
    EXPECT_THAT(Floats(answer.mixing_ratios()),
                Each(testing::AllOf(testing::Ge(0), testing::Le(1))));
    if (method != v1::DecomposeAttentionRequest::METHOD_ALTI) continue;
    double sum = 0;
    for (int j = 0; j < kTokens; ++j) sum += Floats(answer.norms())[j];
    EXPECT_NEAR(sum, 1, 1e-5);
  }
  // A model whose norms come first has none behind the sum.
  v1::DecomposeAttentionRequest request;
  request.set_trace_id(Open());
  request.set_method(v1::DecomposeAttentionRequest::METHOD_RESIDUAL_LAYER_NORM);
  EXPECT_EQ(ReasonOf(Refusal(&Stub::DecomposeAttention, request)), "NO_NORM_BEHIND");
}

TEST_F(InspectionRpcTest, ActivationsComeAsVectorsNormsCosinesAndComponents) {
  v1::GetActivationsRequest request;
  request.set_trace_id(Open());
  request.set_site(v1::SITE_RESIDUAL);
  const auto vectors = Activations(request);
  ASSERT_EQ(vectors.size(), 6u);  // header, embeddings and three layers, end
  EXPECT_EQ(vectors[0].header().total_bytes(), 4 * kTokens * 40 * 4);
  EXPECT_THAT(vectors[0].header().layers(), ElementsAre(0, 1, 2, 3));
  EXPECT_EQ(vectors[5].end().block_count(), 4);
  const auto stream = Floats(vectors[2].block().values());
  // Equal tokens are equal before any layer, and no longer behind one.
  const auto embeddings = Floats(vectors[1].block().values());
  EXPECT_EQ(std::vector<float>(&embeddings[40], &embeddings[80]),
            std::vector<float>(&embeddings[4 * 40], &embeddings[5 * 40]));
  EXPECT_NE(std::vector<float>(&stream[40], &stream[80]),
            std::vector<float>(&stream[4 * 40], &stream[5 * 40]));
  request.add_layers(1);
  request.mutable_norms();
  const auto norms = Floats(Activations(request)[1].block().values());
  double square = 0;
  double dot = 0;
  double other = 0;
  for (int d = 0; d < 40; ++d) {
    square += double{stream[40 + d]} * stream[40 + d];
    dot += double{stream[40 + d]} * stream[160 + d];
    other += double{stream[160 + d]} * stream[160 + d];
  }
  EXPECT_NEAR(norms[1], std::sqrt(square), 1e-5);
  request.mutable_cosines();
  const auto cosines = Floats(Activations(request)[1].block().values());
  EXPECT_NEAR(cosines[kTokens + 4], dot / std::sqrt(square * other), 1e-5);
  EXPECT_NEAR(cosines[0], 1, 1e-6);
  request.mutable_cosines()->set_other_trace_id(request.trace_id());
  EXPECT_EQ(Floats(Activations(request)[1].block().values()), cosines);
  request.mutable_pca();
  const v1::ActivationBlock pca = Activations(request)[1].block();
  EXPECT_THAT(pca.values().shape(), ElementsAre(kTokens, 2));
  ASSERT_EQ(pca.explained_variance_size(), 2);
  EXPECT_GE(pca.explained_variance(0), pca.explained_variance(1));

  v1::GetActivationsRequest heads = OnPrompt<v1::GetActivationsRequest>();
  heads.set_site(v1::SITE_KEY);
  heads.add_heads(-1);
  heads.add_positions(-1);
  const auto keys = Activations(heads);
  ASSERT_EQ(keys.size(), 5u);
  EXPECT_THAT(keys[0].header().heads(), ElementsAre(1));
  EXPECT_THAT(keys[1].block().values().shape(), ElementsAre(1, 12));
  const auto last_head = Floats(keys[1].block().values());
  heads.clear_heads();
  const auto both_heads = Floats(Activations(heads)[1].block().values());
  EXPECT_EQ(std::vector<float>(both_heads.begin() + 12, both_heads.end()), last_head);
  EXPECT_NE(std::vector<float>(both_heads.begin(), both_heads.begin() + 12), last_head);
  heads.mutable_norms();
  EXPECT_THAT(Activations(heads)[1].block().values().shape(), ElementsAre(1, 2));
}

TEST_F(InspectionRpcTest, AnEditMovesThePredictionAndNullEditsDoNot) {
  v1::PredictResponse base;
  ASSERT_TRUE(Predict(*shared_, OnPrompt<v1::PredictRequest>(), &base).ok());
  auto request = OnPrompt<v1::PredictRequest>();
  request.add_interventions()->mutable_scale_scores()->set_beta(1);
  v1::PredictResponse same;
  ASSERT_TRUE(Predict(*shared_, request, &same).ok());
  EXPECT_EQ(same.predictions(0).SerializeAsString(), base.predictions(0).SerializeAsString());
  EXPECT_EQ(same.provenance().intervention_count(), 1);
  *request.mutable_interventions(0) = CutEdge(0, 8, 3);
  v1::PredictResponse cut;
  ASSERT_TRUE(Predict(*shared_, request, &cut).ok());
  EXPECT_NE(cut.predictions(0).SerializeAsString(), base.predictions(0).SerializeAsString());
  EXPECT_FALSE(cut.provenance().counterfactual_mask());

  // The attention of the edited run shows the cut, streamed and from a trace.
  auto attention = OnPrompt<v1::GetAttentionRequest>();
  *attention.add_interventions() = CutEdge(0, 8, 3);
  attention.mutable_selection()->add_layers(0);
  const auto edited = Tiles(attention);
  EXPECT_EQ(Floats(edited[0].weights())[8 * kTokens + 3], 0);
  EXPECT_GT(Floats(edited[0].weights())[7 * kTokens + 3], 0);
  attention.mutable_selection()->mutable_lower_triangle();
  EXPECT_EQ(Floats(Tiles(attention)[0].packed())[8 * 9 / 2 + 3], 0);
  auto open = OnPrompt<v1::OpenTraceRequest>();
  *open.add_interventions() = CutEdge(0, 8, 3);
  const auto trace = Read(&Stub::OpenTrace, open);
  EXPECT_EQ(trace.provenance().intervention_count(), 1);
  EXPECT_EQ(Map(trace.trace().trace_id(), v1::ATTENTION_STAGE_SOFTMAX, 0, 0),
            Floats(edited[0].weights()));
  EXPECT_GT(Floats(edited[0].weights())[8 * kTokens + 4], 0);
  // So do the layers that follow.
  auto later = OnPrompt<v1::GetAttentionRequest>();
  *later.add_interventions() = CutEdge(0, 8, 3);
  later.mutable_selection()->add_layers(2);
  EXPECT_EQ(Map(trace.trace().trace_id(), v1::ATTENTION_STAGE_SOFTMAX, 2, 0),
            Floats(Tiles(later)[0].weights()));
}

TEST_F(InspectionRpcTest, ABidirectionalMaskIsLabelled) {
  auto request = OnPrompt<v1::GetAttentionRequest>();
  request.add_interventions()->mutable_replace_mask()->set_kind(
      v1::ReplaceMask::KIND_BIDIRECTIONAL);
  request.mutable_selection()->add_layers(0);
  const Stream<v1::GetAttentionResponse> stream = GetAttention(*shared_, request);
  ASSERT_TRUE(stream.status.ok()) << stream.status.error_message();
  EXPECT_TRUE(stream.messages[0].header().provenance().counterfactual_mask());
  EXPECT_FALSE(stream.messages[0].header().causal());
  EXPECT_GT(Floats(stream.messages[1].tile().weights())[kTokens - 1], 0);
  auto generate = OnPrompt<v1::GenerateRequest>();
  *generate.add_interventions() = request.interventions(0);
  EXPECT_EQ(Generate(*shared_, generate).status.error_code(), grpc::FAILED_PRECONDITION);
  // However short the engine's steps are, the prompt runs in one of them.
  ServerConfig config;
  config.max_step_tokens = 4;
  RawServer small(config);
  const auto again = GetAttention(small, request);
  ASSERT_TRUE(again.status.ok()) << again.status.error_message();
  EXPECT_EQ(again.messages[1].tile().weights().data(), stream.messages[1].tile().weights().data());
  auto open = OnPrompt<v1::OpenTraceRequest>();
  *open.add_interventions() = request.interventions(0);
  v1::OpenTraceResponse opened;
  EXPECT_TRUE(Ask(small.inspection.get(), &Stub::OpenTrace, open, &opened).ok());
  EXPECT_TRUE(opened.provenance().counterfactual_mask());
  v1::GetAttentionRequest read;
  read.set_trace_id(opened.trace().trace_id());
  read.mutable_selection()->add_layers(2);
  request.mutable_selection()->set_layers(0, 2);
  EXPECT_EQ(GetAttention(small, read).messages[1].tile().weights().data(),
            GetAttention(*shared_, request).messages[1].tile().weights().data());
  auto predict = OnPrompt<v1::PredictRequest>();
  *predict.add_interventions() = request.interventions(0);
  v1::PredictResponse in_pieces;
  v1::PredictResponse at_once;
  EXPECT_TRUE(Predict(small, predict, &in_pieces).ok());
  EXPECT_TRUE(Predict(*shared_, predict, &at_once).ok());
  EXPECT_EQ(in_pieces.predictions(0).SerializeAsString(),
            at_once.predictions(0).SerializeAsString());
}

TEST_F(InspectionRpcTest, PatchingEverythingGivesTheOtherRun) {
  v1::PredictResponse clean;
  ASSERT_TRUE(Predict(*shared_, OnPrompt<v1::PredictRequest>(), &clean).ok());
  v1::PredictRequest corrupt;
  corrupt.set_model("llama");
  for (int i = 0; i < kTokens; ++i) corrupt.mutable_prompt()->mutable_tokens()->add_ids(100 + i);
  v1::PatchSite& patch = *corrupt.add_interventions()->mutable_patch_site();
  patch.set_trace_id(Open());
  v1::PredictResponse patched;
  const grpc::Status status = Predict(*shared_, corrupt, &patched);
  ASSERT_TRUE(status.ok()) << status.error_message();
  EXPECT_EQ(patched.predictions(0).SerializeAsString(), clean.predictions(0).SerializeAsString());
  // What a patched trace keeps alive counts as its own.
  v1::OpenTraceRequest open;
  *open.mutable_prompt() = corrupt.prompt();
  const int64_t own = Read(&Stub::OpenTrace, open).trace().held_bytes();
  *open.mutable_interventions() = corrupt.interventions();
  EXPECT_GT(Read(&Stub::OpenTrace, open).trace().held_bytes(), 2 * own);
  // Other sites are kept on request.
  auto keeping = OnPrompt<v1::OpenTraceRequest>();
  keeping.mutable_keep()->add_sites(v1::SITE_MIXED);
  corrupt.mutable_interventions(0)->add_layers(1);
  patch.set_site(v1::SITE_MIXED);
  EXPECT_EQ(Predict(*shared_, corrupt, &patched).error_code(), grpc::FAILED_PRECONDITION);
  patch.set_trace_id(Read(&Stub::OpenTrace, keeping).trace().trace_id());
  EXPECT_TRUE(Predict(*shared_, corrupt, &patched).ok());
  EXPECT_NE(patched.predictions(0).SerializeAsString(), clean.predictions(0).SerializeAsString());
  keeping.mutable_keep()->add_sites(v1::SITE_UNSPECIFIED);
  EXPECT_THAT(WrongFields(Refusal(&Stub::OpenTrace, keeping)), ElementsAre("keep.sites[1]"));
  corrupt.mutable_interventions(0)->clear_layers();
  patch.set_site(v1::SITE_RESIDUAL);
  patch.set_trace_id("no such trace");
  EXPECT_EQ(ReasonOf(Predict(*shared_, corrupt, &patched)), "TRACE_NOT_FOUND");
  patch.set_trace_id(Open("llama", /*stream=*/false));
  EXPECT_EQ(Predict(*shared_, corrupt, &patched).error_code(), grpc::FAILED_PRECONDITION);
}

TEST_F(InspectionRpcTest, AGenerationCanBeKeptAndRead) {
  v1::GenerateRequest request = GenerateText("llama", "the cat", 5);
  request.mutable_keep_trace()->set_keep_residual(true);
  request.mutable_attention()->add_layers(1);
  const auto kept = Generate(*shared_, request);
  ASSERT_TRUE(kept.status.ok()) << kept.status.error_message();
  const v1::TraceInfo& trace = kept.messages.back().end().trace();
  const v1::PromptInfo& prompt = kept.messages[0].start().prompt();
  EXPECT_EQ(trace.token_count(), prompt.tokens_size() + 4);
  // Watched or not, the answer is the same.
  const auto plain = Generate(*shared_, GenerateText("llama", "the cat", 5));
  v1::GetAttentionRequest rerun;
  rerun.set_model("llama");
  rerun.mutable_selection()->add_layers(1);
  for (const auto& token : prompt.tokens()) {
    rerun.mutable_prompt()->mutable_tokens()->add_ids(token.id());
  }
  for (int i = 1; i <= 5; ++i) {
    EXPECT_EQ(kept.messages[i].token().token().id(), plain.messages[i].token().token().id());
    if (i < 5) {
      rerun.mutable_prompt()->mutable_tokens()->add_ids(kept.messages[i].token().token().id());
    }
  }
  v1::GetAttentionRequest read;
  read.set_trace_id(trace.trace_id());
  read.mutable_selection()->add_layers(1);
  v1::GetHeadStatsRequest stats;
  stats.set_trace_id(trace.trace_id());
  const auto of_trace = Read(&Stub::GetHeadStats, stats).prompt();
  ASSERT_EQ(of_trace.tokens_size(), rerun.prompt().tokens().ids_size());
  for (int i = 0; i < of_trace.tokens_size(); ++i) {
    EXPECT_EQ(of_trace.tokens(i).id(), rerun.prompt().tokens().ids(i));
  }
  EXPECT_EQ(kept.messages[1].token().attention_size(), 4);
  const auto traced = Tiles(read);
  const auto again = Tiles(rerun);
  ASSERT_EQ(traced.size(), again.size());
  for (size_t i = 0; i < again.size(); ++i) {
    EXPECT_EQ(traced[i].weights().data(), again[i].weights().data());
  }
  v1::LogitLensRequest lens;
  lens.set_trace_id(trace.trace_id());
  const auto cells = Read(&Stub::LogitLens, lens);
  EXPECT_NEAR(cells.cells(3).candidates(0).probability(), kept.messages[5].token().probability(),
              1e-6);
}

TEST_F(InspectionRpcTest, WrongInterventionsAreNamedByTheirPath) {
  const auto fields = [&](const v1::Intervention& edit) {
    auto request = OnPrompt<v1::PredictRequest>();
    *request.add_interventions() = edit;
    v1::PredictResponse response;
    const grpc::Status status = Predict(*shared_, request, &response);
    EXPECT_EQ(status.error_code(), grpc::INVALID_ARGUMENT) << status.error_message();
    return WrongFields(status);
  };
  v1::Intervention edit;
  EXPECT_THAT(fields(edit), ElementsAre("interventions[0]"));
  edit.mutable_knock_out();
  edit.add_heads(4);
  EXPECT_THAT(fields(edit), ElementsAre("interventions[0].heads[0]"));
  edit.clear_heads();
  edit.add_layers(3);
  EXPECT_THAT(fields(edit), ElementsAre("interventions[0].layers[0]"));
  edit.clear_layers();
  edit.mutable_set_weights()->add_weights(0.5);
  EXPECT_THAT(fields(edit), ElementsAre("interventions[0].set_weights.weights"));
  v1::Tensor& vector = *edit.mutable_add_vector()->mutable_vector();
  vector.set_dtype(v1::DATA_TYPE_F32);
  vector.add_shape(39);
  EXPECT_THAT(fields(edit), ElementsAre("interventions[0].add_vector.vector.shape"));
  vector.set_shape(0, 40);
  EXPECT_THAT(fields(edit), ElementsAre("interventions[0].add_vector.vector.data"));
  std::vector<float> values(40, 1.0f);
  values[7] = std::numeric_limits<float>::quiet_NaN();
  vector.set_data(values.data(), 160);
  EXPECT_THAT(fields(edit), ElementsAre("interventions[0].add_vector.vector.data"));
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

using ExperimentStub = v1::ExperimentService::Stub;

class ExperimentRpcTest : public InspectionRpcTest {
 protected:
  static v1::InterveneResponse Intervene(const v1::InterveneRequest& request) {
    v1::InterveneResponse response;
    const grpc::Status status =
        Ask(shared_->experiment.get(), &ExperimentStub::Intervene, request, &response);
    EXPECT_TRUE(status.ok()) << status.error_message();
    return response;
  }

  static Stream<v1::SweepResponse> Sweep(const v1::SweepRequest& request) {
    grpc::ClientContext context;
    return ReadAll(shared_->experiment->Sweep(&context, request));
  }
};

TEST_F(ExperimentRpcTest, InterveneSaysWhatEachSetDoes) {
  auto request = OnPrompt<v1::InterveneRequest>();
  request.add_sets()->set_name("nothing");
  *request.add_sets()->add_interventions() = CutEdge(1, 8, 2);
  request.add_sets()->add_interventions()->mutable_scale_site()->set_factor(0);
  request.add_metrics()->mutable_probability()->set_id(7);
  request.add_metrics()->mutable_kl_from_base();
  request.set_top_k(2);
  const auto answer = Intervene(request);
  ASSERT_EQ(answer.results_size(), 3);
  EXPECT_EQ(answer.results(0).name(), "nothing");
  EXPECT_EQ(answer.results(0).deltas(0), 0);
  EXPECT_EQ(answer.results(0).values(1), 0);
  EXPECT_GT(answer.results(1).values(1), 0);
  // Each is what Predict says under the same edits.
  for (int set = 0; set < 3; ++set) {
    auto predict = OnPrompt<v1::PredictRequest>();
    *predict.mutable_interventions() = request.sets(set).interventions();
    predict.mutable_candidates()->mutable_ids()->add_ids(7);
    v1::PredictResponse predicted;
    ASSERT_TRUE(Predict(*shared_, predict, &predicted).ok());
    const double probability = predicted.predictions(0).candidates(0).probability();
    EXPECT_NEAR(answer.results(set).values(0), probability, 1e-7) << set;
    EXPECT_NEAR(answer.results(set).deltas(0), probability - answer.base().values(0), 1e-7);
    EXPECT_EQ(answer.results(set).candidates_size(), 2);
  }
  // The same from a trace that keeps no stream, where every run starts at the beginning.
  v1::InterveneRequest traced = request;
  traced.clear_prompt();
  traced.clear_model();
  traced.set_trace_id(Open("llama", /*stream=*/false));
  const auto again = Intervene(traced);
  for (int set = 0; set < 3; ++set) {
    EXPECT_EQ(again.results(set).values(0), answer.results(set).values(0));
  }
}

TEST_F(ExperimentRpcTest, SetsAreOnTopOfTheBasesEdits) {
  auto request = OnPrompt<v1::InterveneRequest>();
  *request.add_interventions() = CutEdge(0, 8, 3);
  *request.add_sets()->add_interventions() = CutEdge(2, 8, 1);
  request.add_metrics()->mutable_probability()->set_id(7);
  auto predict = OnPrompt<v1::PredictRequest>();
  *predict.add_interventions() = CutEdge(0, 8, 3);
  *predict.add_interventions() = CutEdge(2, 8, 1);
  predict.mutable_candidates()->mutable_ids()->add_ids(7);
  v1::PredictResponse predicted;
  ASSERT_TRUE(Predict(*shared_, predict, &predicted).ok());
  const double expected = predicted.predictions(0).candidates(0).probability();
  EXPECT_NEAR(Intervene(request).results(0).values(0), expected, 1e-7);
  // Without the stream the base is run again, edits and all.
  v1::OpenTraceRequest open = OnPrompt<v1::OpenTraceRequest>();
  *open.mutable_interventions() = request.interventions();
  v1::InterveneRequest traced;
  traced.set_trace_id(Read(&Stub::OpenTrace, open).trace().trace_id());
  *traced.mutable_sets() = request.sets();
  *traced.mutable_metrics() = request.metrics();
  EXPECT_NEAR(Intervene(traced).results(0).values(0), expected, 1e-7);
}

TEST_F(ExperimentRpcTest, SweepCellsAreInterveneResults) {
  auto request = OnPrompt<v1::SweepRequest>();
  request.mutable_metric()->mutable_logit()->set_id(7);
  request.mutable_head_ablation();
  const auto sweep = Sweep(request);
  ASSERT_TRUE(sweep.status.ok()) << sweep.status.error_message();
  const v1::SweepHeader& header = sweep.messages[0].header();
  EXPECT_THAT(header.rows(), ElementsAre(0, 1, 2));
  EXPECT_THAT(header.columns(), ElementsAre(0, 1, 2, 3));
  EXPECT_EQ(header.row_name(), "layer");
  EXPECT_EQ(header.column_name(), "head");
  std::vector<double> values(12, 0);
  int cells = 0;
  for (const auto& message : sweep.messages) {
    for (const v1::SweepCell& cell : message.cells().cells()) {
      values[cell.row() * 4 + cell.column()] = cell.value();
      EXPECT_NEAR(cell.delta(), cell.value() - header.base(), 1e-9);
      ++cells;
    }
  }
  EXPECT_EQ(cells, 12);
  EXPECT_TRUE(sweep.messages.back().has_end());
  auto one = OnPrompt<v1::InterveneRequest>();
  v1::Intervention& ablate = *one.add_sets()->add_interventions();
  ablate.add_layers(1);
  ablate.add_heads(2);
  ablate.mutable_scale_site()->set_factor(0);
  *one.add_metrics() = request.metric();
  EXPECT_EQ(Intervene(one).results(0).values(0), values[4 + 2]);

  auto patching = OnPrompt<v1::SweepRequest>();
  patching.mutable_metric()->mutable_kl_from_base();
  patching.mutable_activation_patching()->set_clean_trace_id(Open());
  patching.mutable_activation_patching()->add_layers(0);
  const auto same = Sweep(patching);
  ASSERT_TRUE(same.status.ok()) << same.status.error_message();
  for (const v1::SweepCell& cell : same.messages[1].cells().cells()) {
    EXPECT_EQ(cell.value(), 0);  // its own stream is what it has already
  }
  patching.mutable_activation_patching()->set_clean_trace_id(Open("bert"));
  EXPECT_NE(Sweep(patching).status.error_code(), grpc::OK);
  patching.mutable_activation_patching()->set_clean_trace_id("gone");
  EXPECT_EQ(ReasonOf(Sweep(patching).status), "TRACE_NOT_FOUND");
}

TEST_F(ExperimentRpcTest, CompareFindsWhereTwoRunsPart) {
  v1::CompareRequest request;
  *request.mutable_a() = OnPrompt<v1::CompareSide>();
  request.mutable_b()->set_trace_id(Open("llama", /*stream=*/false));
  v1::CompareResponse same;
  grpc::Status status = Ask(shared_->experiment.get(), &ExperimentStub::Compare, request, &same);
  ASSERT_TRUE(status.ok()) << status.error_message();
  ASSERT_EQ(same.pairs_size(), kTokens);
  EXPECT_FALSE(same.has_first_divergence());
  for (const v1::AlignedPair& pair : same.pairs()) {
    EXPECT_TRUE(pair.same_token());
    EXPECT_EQ(pair.kl(), 0);
  }
  EXPECT_THAT(Floats(same.head_divergence()), Each(0));
  request.mutable_b()->clear_trace_id();
  *request.mutable_b() = OnPrompt<v1::CompareSide>();
  request.mutable_b()->mutable_prompt()->mutable_tokens()->set_ids(4, 200);
  v1::CompareResponse other;
  status = Ask(shared_->experiment.get(), &ExperimentStub::Compare, request, &other);
  ASSERT_TRUE(status.ok()) << status.error_message();
  ASSERT_EQ(other.pairs_size(), kTokens);
  for (int i = 0; i < kTokens; ++i) {
    EXPECT_EQ(other.pairs(i).same_token(), i != 4);
    EXPECT_EQ(other.pairs(i).kl() > 0, i >= 4) << i;
  }
  EXPECT_EQ(other.pairs(8).changes_size(), 5);
  EXPECT_THAT(other.head_divergence().shape(), ElementsAre(3, 4));
  request.mutable_b()->mutable_prompt()->mutable_tokens()->set_ids(4, 320);
  status = Ask(shared_->experiment.get(), &ExperimentStub::Compare, request, &other);
  EXPECT_THAT(WrongFields(status), ElementsAre("b.prompt.tokens.ids[4]"));
}

TEST_F(ExperimentRpcTest, EstimatesAreWhatTheCallsTake) {
  v1::EstimateCostRequest request;
  *request.mutable_open_trace() = OnPrompt<v1::OpenTraceRequest>();
  v1::EstimateCostResponse cost;
  const auto estimate = [&] {
    return Ask(shared_->experiment.get(), &ExperimentStub::EstimateCost, request, &cost);
  };
  ASSERT_TRUE(estimate().ok());
  EXPECT_TRUE(cost.allowed());
  EXPECT_GT(cost.flops(), 0);
  EXPECT_EQ(cost.held_bytes(), Read(&Stub::OpenTrace, request.open_trace()).trace().held_bytes());
  *request.mutable_get_attention() = OnPrompt<v1::GetAttentionRequest>();
  request.mutable_get_attention()->mutable_selection()->mutable_lower_triangle();
  ASSERT_TRUE(estimate().ok());
  const auto stream = GetAttention(*shared_, request.get_attention());
  EXPECT_EQ(cost.sent_bytes(), stream.messages[0].header().total_bytes());
  *request.mutable_sweep() = OnPrompt<v1::SweepRequest>();
  request.mutable_sweep()->mutable_head_ablation();
  EXPECT_THAT(WrongFields(estimate()), ElementsAre("sweep.metric"));
  request.mutable_sweep()->mutable_metric()->mutable_loss();
  ASSERT_TRUE(estimate().ok());
  EXPECT_THAT(WrongFields([&] {
                request.Clear();
                return estimate();
              }()),
              ElementsAre("call"));
}

TEST_F(ExperimentRpcTest, WrongExperimentsAreNamed) {
  auto request = OnPrompt<v1::InterveneRequest>();
  const auto intervene = [&] {
    v1::InterveneResponse response;
    return Ask(shared_->experiment.get(), &ExperimentStub::Intervene, request, &response);
  };
  EXPECT_THAT(WrongFields(intervene()), ElementsAre("sets", "metrics"));
  v1::Intervention& edit = *request.add_sets()->add_interventions();
  edit.mutable_knock_out();
  edit.add_heads(4);
  request.add_metrics()->mutable_logit()->set_id(-1);
  EXPECT_THAT(WrongFields(intervene()), ElementsAre("metrics[0].logit.id"));
  request.mutable_metrics(0)->mutable_logit()->set_id(1);
  EXPECT_THAT(WrongFields(intervene()), ElementsAre("sets[0].interventions[0].heads[0]"));
  request.mutable_metrics(0)->set_position(9);
  EXPECT_EQ(intervene().error_code(), grpc::OUT_OF_RANGE);
  auto sweep = OnPrompt<v1::SweepRequest>();
  EXPECT_THAT(WrongFields(Sweep(sweep).status), ElementsAre("metric", "grid"));
  sweep.mutable_metric()->mutable_loss();
  sweep.mutable_focus_dial()->add_betas(-1);
  EXPECT_THAT(WrongFields(Sweep(sweep).status), ElementsAre("focus_dial.betas[0]"));
  sweep.mutable_head_ablation()->add_heads(9);
  EXPECT_THAT(WrongFields(Sweep(sweep).status), ElementsAre("head_ablation.heads[0]"));
}

TEST(TraceQuotaTest, TwoHundredClientsAtOnceStayWithinIt) {
  ServerConfig config;
  config.trace_client_mib = 1;
  RawServer server(config);
  auto request = OnPrompt<v1::OpenTraceRequest>();
  request.mutable_prompt()->mutable_tokens()->clear_ids();
  for (int i = 0; i < 120; ++i) request.mutable_prompt()->mutable_tokens()->add_ids(i);
  std::vector<std::thread> clients;
  std::vector<grpc::Status> statuses(200);
  std::vector<int64_t> bytes(200);
  for (int i = 0; i < 200; ++i) {
    clients.emplace_back([&, i] {
      v1::OpenTraceResponse response;
      statuses[i] = Ask(server.inspection.get(), &Stub::OpenTrace, request, &response);
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
