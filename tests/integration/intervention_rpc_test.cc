// Interventions and experiments over the wire: what they change, and what is refused.
#include <cmath>
#include <limits>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
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

// However it comes about: handed out by the forward pass, or computed from a run.
TEST_F(InspectionRpcTest, EditedAttentionThatIsTooMuchToHoldIsTheSame) {
  ServerConfig config;
  config.max_attention_bytes = 8;
  RawServer small(config);
  v1::Intervention mask;
  mask.mutable_replace_mask()->set_kind(v1::ReplaceMask::KIND_BIDIRECTIONAL);
  for (const v1::Intervention& edit : {CutEdge(0, 8, 3), mask}) {
    auto request = OnPrompt<v1::GetAttentionRequest>();
    *request.add_interventions() = edit;
    const auto held = GetAttention(*shared_, request), computed = GetAttention(small, request);
    ASSERT_TRUE(held.status.ok() && computed.status.ok()) << computed.status.error_message();
    ASSERT_EQ(computed.messages.size(), held.messages.size());
    const v1::AttentionHeader &a = held.messages[0].header(), &b = computed.messages[0].header();
    EXPECT_EQ(b.causal(), a.causal());
    EXPECT_EQ(b.provenance().SerializeAsString(), a.provenance().SerializeAsString());
    EXPECT_EQ(b.queries().size(), a.queries().size());
    for (size_t i = 1; i + 1 < held.messages.size(); ++i) {
      EXPECT_EQ(computed.messages[i].tile().SerializeAsString(),
                held.messages[i].tile().SerializeAsString())
          << i;
    }
  }
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

TEST_F(ExperimentRpcTest, CandidatesOfALossAreThoseOfTheLastPosition) {
  auto request = OnPrompt<v1::InterveneRequest>();
  *request.add_sets()->add_interventions() = CutEdge(1, 8, 2);
  request.add_metrics()->mutable_loss();
  request.set_top_k(3);
  const auto loss = Intervene(request);
  request.clear_metrics();
  request.add_metrics()->mutable_kl_from_base();
  const auto last = Intervene(request);
  ASSERT_EQ(loss.results_size(), 1);
  for (const auto& [one, other] :
       {std::pair{&loss.base(), &last.base()}, std::pair{&loss.results(0), &last.results(0)}}) {
    ASSERT_EQ(one->candidates_size(), 3);
    for (int i = 0; i < 3; ++i) {
      EXPECT_EQ(one->candidates(i).token().id(), other->candidates(i).token().id());
      EXPECT_EQ(one->candidates(i).probability(), other->candidates(i).probability());
    }
  }
  EXPECT_NE(loss.base().values(0), 0);
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
  // What the forward pass hands out waits for the client, and needs no run.
  *request.mutable_get_attention() = OnPrompt<v1::GetAttentionRequest>();
  ASSERT_TRUE(estimate().ok());
  EXPECT_EQ(cost.held_bytes(), 3 * 4 * kTokens * kTokens * 4);
  EXPECT_EQ(cost.sent_bytes(), cost.held_bytes());
  request.mutable_get_attention()->mutable_selection()->mutable_lower_triangle();
  ASSERT_TRUE(estimate().ok());
  const auto stream = GetAttention(*shared_, request.get_attention());
  EXPECT_EQ(cost.sent_bytes(), stream.messages[0].header().total_bytes());
  // Sums over groups of words: of the rows, then of the groups' rows.
  const double triangle = cost.flops();
  v1::AttentionSelection& sums = *request.mutable_get_attention()->mutable_selection();
  sums.mutable_span_sums()->add_spans();
  sums.mutable_span_sums()->add_spans()->set_end(2);
  ASSERT_TRUE(estimate().ok());
  EXPECT_EQ(cost.flops(), triangle + 3 * 4 * kTokens * (kTokens + 2));
  sums.mutable_span_sums()->set_average_queries(true);
  ASSERT_TRUE(estimate().ok());
  EXPECT_EQ(cost.flops(), triangle + 3 * 4 * (kTokens + 2) * (kTokens + 2));
  // Of a trace, what is there already takes nothing, and its components do.
  v1::GetActivationsRequest& activations = *request.mutable_get_activations();
  activations.set_trace_id(Open());
  activations.set_site(v1::SITE_RESIDUAL);
  ASSERT_TRUE(estimate().ok());
  EXPECT_EQ(cost.flops(), 0);
  activations.mutable_pca()->set_dimensions(2);
  ASSERT_TRUE(estimate().ok());
  const double two = cost.flops();
  EXPECT_GT(two, 2 * 4 * kTokens * 40 * 2);  // there and back, in four layers
  activations.add_layers(0);
  ASSERT_TRUE(estimate().ok());
  EXPECT_EQ(cost.flops(), two / 4);
  activations.mutable_pca()->set_dimensions(16);
  ASSERT_TRUE(estimate().ok());
  EXPECT_GT(cost.flops(), two / 4);
  // Chosen rows take less than all.
  v1::DecomposeAttentionRequest& decompose = *request.mutable_decompose_attention();
  decompose.set_trace_id(Open());
  ASSERT_TRUE(estimate().ok());
  const double all_rows = cost.flops();
  EXPECT_EQ(cost.sent_bytes(), 4 * kTokens * (kTokens + 1));
  EXPECT_EQ(cost.held_bytes(), 4 * kTokens * 4 * (40 + kTokens));  // 4 heads, a width of 40
  decompose.add_queries(-1);
  ASSERT_TRUE(estimate().ok());
  EXPECT_LT(cost.flops(), all_rows);
  EXPECT_EQ(cost.sent_bytes(), 4 * (kTokens + 1));
  EXPECT_EQ(cost.held_bytes(), 4 * kTokens * 4 * (40 + 1));
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

TEST_F(ExperimentRpcTest, AnEstimateSaysWhatATraceDoesNotKeep) {
  const std::string trace = Open("llama", /*stream=*/false);
  v1::EstimateCostRequest request;
  const auto reason = [&](auto* call) {
    call->set_trace_id(trace);
    v1::EstimateCostResponse cost;
    return ReasonOf(Ask(shared_->experiment.get(), &ExperimentStub::EstimateCost, request, &cost));
  };
  EXPECT_EQ(reason(request.mutable_logit_lens()), "SITE_NOT_KEPT");
  request.mutable_logit_lens()->add_layers(-1);  // every trace keeps that one
  EXPECT_EQ(reason(request.mutable_logit_lens()), "");
  EXPECT_EQ(reason(request.mutable_attribute_logits()), "SITE_NOT_KEPT");
  v1::GetActivationsRequest& activations = *request.mutable_get_activations();
  for (v1::Site site : {v1::SITE_RESIDUAL, v1::SITE_RESIDUAL_MID, v1::SITE_MLP_OUTPUT}) {
    activations.set_site(site);
    EXPECT_EQ(reason(&activations), "SITE_NOT_KEPT") << site;
  }
  for (v1::Site site : {v1::SITE_ATTENTION_OUTPUT, v1::SITE_KEY, v1::SITE_MIXED}) {
    activations.set_site(site);
    EXPECT_EQ(reason(&activations), "") << site;
  }
  v1::DecomposeAttentionRequest& decompose = *request.mutable_decompose_attention();
  EXPECT_EQ(reason(&decompose), "");
  decompose.set_method(v1::DecomposeAttentionRequest::METHOD_ALTI);
  EXPECT_EQ(reason(&decompose), "SITE_NOT_KEPT");
  request.mutable_explain_row()->add_tokens()->set_id(7);
  EXPECT_EQ(reason(request.mutable_explain_row()), "");
  request.mutable_rollout()->set_method(v1::RolloutRequest::METHOD_FLOW);
  EXPECT_EQ(reason(request.mutable_rollout()), "");
}

TEST_F(ExperimentRpcTest, AnEstimateFailsAsTheCallWould) {
  v1::EstimateCostRequest request;
  v1::EstimateCostResponse cost;
  const auto reason = [&] {
    return ReasonOf(Ask(shared_->experiment.get(), &ExperimentStub::EstimateCost, request, &cost));
  };
  *request.mutable_attribute_logits() = OnPrompt<v1::AttributeLogitsRequest>("bert");
  EXPECT_EQ(reason(), "HEAD_NOT_LINEAR");
  EXPECT_EQ(ReasonOf(Refusal(&Stub::AttributeLogits, request.attribute_logits())),
            "HEAD_NOT_LINEAR");
  request.mutable_attribute_logits()->set_trace_id(Open("bert"));
  request.mutable_attribute_logits()->clear_model();
  request.mutable_attribute_logits()->clear_prompt();
  EXPECT_EQ(reason(), "HEAD_NOT_LINEAR");
  *request.mutable_explain_row() = OnPrompt<v1::ExplainRowRequest>("bert");
  EXPECT_EQ(reason(), "");
  request.mutable_explain_row()->add_tokens()->set_id(7);
  EXPECT_EQ(reason(), "HEAD_NOT_LINEAR");
  *request.mutable_decompose_attention() = OnPrompt<v1::DecomposeAttentionRequest>();
  request.mutable_decompose_attention()->set_method(
      v1::DecomposeAttentionRequest::METHOD_RESIDUAL_LAYER_NORM);
  EXPECT_EQ(reason(), "NO_NORM_BEHIND");
  EXPECT_EQ(ReasonOf(Refusal(&Stub::DecomposeAttention, request.decompose_attention())),
            "NO_NORM_BEHIND");
  // What is wrong with the request is told first.
  request.mutable_decompose_attention()->set_layer(99);
  EXPECT_EQ(reason(), "INVALID_FIELD");
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
  sweep.mutable_edge_knock_out();
  for (int i = 0; i < 65537; ++i) sweep.mutable_edge_knock_out()->add_keys();
  EXPECT_THAT(WrongFields(Sweep(sweep).status), ElementsAre("edge_knock_out.keys"));
  request.clear_metrics();
  request.add_metrics()->mutable_loss();
  edit = {};
  edit.mutable_patch_site()->set_trace_id("none");
  for (int i = 0; i < 65537; ++i) edit.mutable_patch_site()->add_source_positions();
  EXPECT_THAT(WrongFields(intervene()),
              ElementsAre("sets[0].interventions[0].patch_site.source_positions"));
}

}  // namespace
}  // namespace heed
