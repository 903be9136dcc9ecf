// What the layers made of the stream, over the wire: lenses, attributions, rollouts, decompositions
// and activations, each against other reads of the same run.
#include <cmath>
#include <string>
#include <utility>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/integration/inspection_fixture.h"

namespace heed {
namespace {

using testing::Each;
using testing::ElementsAre;

using Stub = InspectionStub;

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

// What the feed-forward half wrote is hidden by an edit of the stream behind it, so it is kept.
TEST_F(InspectionRpcTest, ARunWhoseStreamIsEditedIsReadLikeOthers) {
  const auto edit = [](auto* request) {
    v1::Intervention& mean = *request->add_interventions();
    mean.add_layers(1);
    mean.mutable_mean_site()->set_site(v1::SITE_RESIDUAL);
  };
  auto open = OnPrompt<v1::OpenTraceRequest>();
  edit(&open);
  open.mutable_keep()->set_keep_residual(true);
  const std::string trace = Read(&Stub::OpenTrace, open).trace().trace_id();
  auto activations = OnPrompt<v1::GetActivationsRequest>();
  edit(&activations);
  activations.set_site(v1::SITE_MLP_OUTPUT);
  activations.add_layers(0);
  v1::GetActivationsRequest of_trace = activations;
  of_trace.clear_model();
  of_trace.clear_prompt();
  of_trace.clear_interventions();
  of_trace.set_trace_id(trace);
  const auto vectors = Activations(activations), traced = Activations(of_trace);
  ASSERT_EQ(vectors.size(), 3u);
  ASSERT_EQ(traced.size(), 3u);
  EXPECT_EQ(vectors[1].block().values().data(), traced[1].block().values().data());
  v1::AttributeLogitsRequest attribute;
  attribute.set_trace_id(trace);
  const auto attribution = Read(&Stub::AttributeLogits, attribute);
  EXPECT_NEAR(attribution.residual_error(), 0, 1e-4);
  int edits = 0;
  for (const v1::LogitPart& part : attribution.parts()) {
    if (part.kind() != v1::COMPONENT_KIND_EDIT) continue;
    ++edits;
    EXPECT_EQ(part.layer(), 0);
    EXPECT_NE(part.value(), 0);
  }
  EXPECT_EQ(edits, 1);
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
    EXPECT_EQ(answer.queries_size(), kTokens);
    EXPECT_THAT(Floats(answer.norms()), Each(testing::Ge(0)));
    EXPECT_THAT(Floats(answer.mixing_ratios()),
                Each(testing::AllOf(testing::Ge(0), testing::Le(1))));
    if (method != v1::DecomposeAttentionRequest::METHOD_ALTI) continue;
    double sum = 0;
    for (int j = 0; j < kTokens; ++j) sum += Floats(answer.norms())[j];
    EXPECT_NEAR(sum, 1, 1e-5);
  }
  // Rows may be chosen.
  v1::DecomposeAttentionRequest request;
  request.set_trace_id(bert);
  const auto whole = Read(&Stub::DecomposeAttention, request);
  for (int query : {-1, 1}) request.add_queries(query);
  const auto rows = Read(&Stub::DecomposeAttention, request);
  EXPECT_THAT(rows.queries(), ElementsAre(1, kTokens - 1));
  EXPECT_THAT(rows.norms().shape(), ElementsAre(2, kTokens));
  EXPECT_EQ(rows.norms().data(), whole.norms().data().substr(4 * kTokens, 4 * kTokens) +
                                     whole.norms().data().substr(4 * kTokens * (kTokens - 1)));
  EXPECT_EQ(Floats(rows.mixing_ratios())[1], Floats(whole.mixing_ratios())[kTokens - 1]);
  request.add_queries(kTokens);
  EXPECT_EQ(ReasonOf(Refusal(&Stub::DecomposeAttention, request)), "POSITION_OUT_OF_RANGE");
  // A model whose norms come first has none behind the sum.
  request.clear_queries();
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

// Not with the header sent already.
TEST_F(InspectionRpcTest, ActivationsThatATraceDoesNotKeepAreRefusedAtOnce) {
  v1::GetActivationsRequest request;
  request.set_trace_id(Open("llama", /*stream=*/false));
  request.set_site(v1::SITE_RESIDUAL);
  grpc::ClientContext context;
  const auto stream = ReadAll(shared_->inspection->GetActivations(&context, request));
  EXPECT_EQ(ReasonOf(stream.status), "SITE_NOT_KEPT");
  EXPECT_TRUE(stream.messages.empty());
}

}  // namespace
}  // namespace heed
