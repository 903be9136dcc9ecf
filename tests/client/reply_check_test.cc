// Replies of a broken or hostile server: each way to be wrong is named.
#include "client/reply_check.h"

#include <functional>
#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/client/reply_check_testing.h"

namespace heed {
namespace {

using testing::AddTokens;
using testing::ExpectBroken;
using testing::Fill;
using testing::FillTensor;
using testing::kInfinity;
using testing::kNan;
using testing::Set;

// A damage to a valid reply, and what is said of it.
template <typename Reply>
struct Damage {
  std::string what;
  std::function<void(Reply&)> edit;
};

template <typename Request, typename Reply>
void ExpectAllFound(const Request& request, const Reply& valid,
                    const std::vector<Damage<Reply>>& damages) {
  EXPECT_TRUE(CheckReply(request, valid).ok()) << CheckReply(request, valid);
  for (const auto& damage : damages) {
    Reply reply = valid;
    damage.edit(reply);
    ExpectBroken(CheckReply(request, reply), damage.what);
  }
}

// ---- Numbers and tensors ------------------------------------------------------------------------

TEST(ReplyFindingsTest, NumbersAreNumbersWhereverTheyStand) {
  v1::LogitLensResponse lens;
  for (int i = 0; i < 3; ++i) lens.add_cells()->add_candidates()->set_probability(0.5);
  ReplyFindings none;
  none.CheckNumbers(lens);
  EXPECT_TRUE(none.ToStatus().ok());
  lens.mutable_cells(1)->mutable_candidates(0)->set_probability(kNan);
  ReplyFindings findings;
  findings.CheckNumbers(lens);
  ExpectBroken(findings.ToStatus(), "cells[1].candidates[0].probability is not a number");
}

TEST(ReplyFindingsTest, InfinitiesAreNumbersButNotFinite) {
  v1::Tensor tensor;
  FillTensor({1, -kInfinity}, {2}, &tensor);
  ReplyFindings findings;
  findings.CheckShape("masked", tensor, {2});
  EXPECT_TRUE(findings.empty());
  findings.CheckFinite("weights", tensor);
  ExpectBroken(findings.ToStatus(), "weights: element 1 is -inf");
}

TEST(ReplyFindingsTest, ATensorHoldsWhatItsShapeSays) {
  for (const auto& [shape, bytes] : {std::pair<std::vector<int64_t>, size_t>{{2, 2}, 15},
                                     {{2, 2}, 12},
                                     {{2, 2}, 20},
                                     {{-1, -4}, 16},
                                     {{0}, 4},
                                     {{0, int64_t{1} << 62}, 4},
                                     {{int64_t{1} << 62, 4}, 0},
                                     {{int64_t{1} << 32, int64_t{1} << 32}, 16},
                                     {{int64_t{1} << 62, 8, 2}, 0},
                                     {{}, 8}}) {
    v1::Tensor tensor;
    tensor.set_dtype(v1::DATA_TYPE_F32);
    tensor.mutable_shape()->Add(shape.begin(), shape.end());
    tensor.set_data(std::string(bytes, '\0'));
    ReplyFindings findings;
    findings.CheckNumbers(tensor);
    ExpectBroken(findings.ToStatus(), absl::StrCat(" has ", bytes, " bytes for shape ["));
  }
  v1::Tensor untyped;
  ReplyFindings findings;
  findings.CheckNumbers(untyped);
  ExpectBroken(findings.ToStatus(), "is of type 0; expected F32");
}

// ---- Replies of one message ---------------------------------------------------------------------

TEST(ReplyCheckTest, ExplainedRow) {
  v1::ExplainRowRequest request;
  request.add_tokens()->set_id(1);
  v1::ExplainRowResponse row;
  AddTokens(3, row.mutable_prompt());
  row.set_query(1);
  row.set_key_count(2);
  using Reply = v1::ExplainRowResponse;
  for (v1::Tensor* (Reply::*tensor)() :
       {&Reply::mutable_raw, &Reply::mutable_scaled, &Reply::mutable_capped, &Reply::mutable_masked,
        &Reply::mutable_weights, &Reply::mutable_value_norms, &Reply::mutable_weighted_norms}) {
    Fill({2}, (row.*tensor)());
  }
  Fill({2, 8}, row.mutable_key_vectors());
  Fill({2}, row.add_logit_shares()->mutable_by_key());
  Set(1, -kInfinity, row.mutable_masked());
  ExpectAllFound<v1::ExplainRowRequest, Reply>(
      request, row,
      {{"query is 3, and the prompt has 3 tokens", [](Reply& r) { r.set_query(3); }},
       {"query is -1", [](Reply& r) { r.set_query(-1); }},
       {"layer is -1", [](Reply& r) { r.set_layer(-1); }},
       {"key_count is 4, and the prompt has 3 tokens", [](Reply& r) { r.set_key_count(4); }},
       {"key_count is 0", [](Reply& r) { r.set_key_count(0); }},
       {"raw has shape [2]; expected [3]", [](Reply& r) { r.set_key_count(3); }},
       {"scaled has shape []; expected [2]", [](Reply& r) { r.clear_scaled(); }},
       {"weights: element 0 is inf", [](Reply& r) { Set(0, kInfinity, r.mutable_weights()); }},
       {"value_norms: element 1 is not a number",
        [](Reply& r) { Set(1, kNan, r.mutable_value_norms()); }},
       {"key_vectors has shape [1, 8]; expected [2, 8]",
        [](Reply& r) {
          Fill({1, 8}, r.mutable_key_vectors());
        }},
       {"by_key has shape [3]; expected [2]",
        [](Reply& r) { Fill({3}, r.mutable_logit_shares(0)->mutable_by_key()); }},
       {"logit_shares holds 0; expected 1", [](Reply& r) { r.clear_logit_shares(); }}});
}

TEST(ReplyCheckTest, HeadStats) {
  using Reply = v1::GetHeadStatsResponse;
  for (bool per_row : {false, true}) {
    v1::GetHeadStatsRequest request;
    request.set_per_row(per_row);
    Reply stats;
    AddTokens(4, stats.mutable_prompt());
    for (int i : {0, 1, 2}) stats.add_heads(i);
    for (int i : {1, 3}) stats.add_layers(i);
    for (int i : {0, 3}) stats.add_queries(i);
    for (v1::Tensor* (Reply::*tensor)() :
         {&Reply::mutable_entropy, &Reply::mutable_effective_tokens, &Reply::mutable_max_weight,
          &Reply::mutable_first_token, &Reply::mutable_self, &Reply::mutable_previous_token,
          &Reply::mutable_mean_distance}) {
      Fill(per_row ? std::vector<int64_t>{2, 3, 2} : std::vector<int64_t>{2, 3}, (stats.*tensor)());
    }
    ExpectAllFound<v1::GetHeadStatsRequest, Reply>(
        request, stats,
        {{"queries[1] is 4, and the prompt", [](Reply& r) { r.set_queries(1, 4); }},
         {"queries[0] is -1", [](Reply& r) { r.set_queries(0, -1); }},
         {"heads[2] is 0 behind 1; expected to ascend", [](Reply& r) { r.set_heads(2, 0); }},
         {"layers[0] is -3", [](Reply& r) { r.set_layers(0, -3); }},
         {"entropy has shape", [](Reply& r) { r.add_layers(7); }},
         {"mean_distance has shape [2]", [](Reply& r) { Fill({2}, r.mutable_mean_distance()); }},
         {"self has shape [3, 2]; expected [2, 3", [](Reply& r) {
            Fill({3, 2}, r.mutable_self());
          }}});
  }
}

TEST(ReplyCheckTest, DetectedHeads) {
  using Reply = v1::DetectHeadsResponse;
  Reply found;
  for (int i : {0, 1}) found.add_layers(i);
  found.add_heads(2);
  Fill({2, 1}, found.mutable_scores());
  found.add_ranked()->set_score(1);
  ExpectAllFound<v1::DetectHeadsRequest, Reply>(
      {}, found,
      {{"scores has shape [2, 1]; expected [2, 2]", [](Reply& r) { r.add_heads(3); }},
       {"ranked[0].score is not a number", [](Reply& r) { r.mutable_ranked(0)->set_score(kNan); }},
       {"layers[1] is 0 behind 0", [](Reply& r) { r.set_layers(1, 0); }}});
}

TEST(ReplyCheckTest, LensCells) {
  using Reply = v1::LogitLensResponse;
  v1::LogitLensRequest request;
  request.add_tokens()->set_id(3);
  Reply lens;
  AddTokens(3, lens.mutable_prompt());
  for (int i : {0, 4}) lens.add_layers(i);
  for (int i : {1, 2}) lens.add_positions(i);
  for (int layer : {0, 4}) {
    for (int position : {1, 2}) {
      v1::LensCell& cell = *lens.add_cells();
      cell.set_layer(layer);
      cell.set_position(position);
      for (int i = 0; i < 2; ++i) cell.add_candidates()->set_probability(0.5);
      cell.add_followed()->set_rank(1);
    }
  }
  ExpectAllFound<v1::LogitLensRequest, Reply>(
      request, lens,
      {{"cells holds 3; expected 4", [](Reply& r) { r.mutable_cells()->RemoveLast(); }},
       {"cells holds 4; expected 6", [](Reply& r) { r.add_layers(5); }},
       {"positions[1] is 3", [](Reply& r) { r.set_positions(1, 3); }},
       {"cells[2] is of layer 4 and position 2",
        [](Reply& r) { r.mutable_cells(2)->set_position(2); }},
       {"cells[3].candidates holds 3; expected 2",
        [](Reply& r) { r.mutable_cells(3)->add_candidates(); }},
       {"cells[0] has no candidates",
        [](Reply& r) {
          for (auto& cell : *r.mutable_cells()) cell.clear_candidates();
        }},
       {"cells[1].followed holds 0; expected 1",
        [](Reply& r) { r.mutable_cells(1)->clear_followed(); }},
       {"cells[1].entropy is not a number",
        [](Reply& r) { r.mutable_cells(1)->set_entropy(kNan); }}});
}

TEST(ReplyCheckTest, AttributedLogits) {
  using Reply = v1::AttributeLogitsResponse;
  Reply answer;
  AddTokens(2, answer.mutable_prompt());
  answer.add_parts()->set_value(1);
  Fill({2}, answer.add_parts()->mutable_by_source());
  ExpectAllFound<v1::AttributeLogitsRequest, Reply>(
      {}, answer,
      {{"position is 2", [](Reply& r) { r.set_position(2); }},
       {"parts[1].by_source has shape [3]; expected [2]",
        [](Reply& r) { Fill({3}, r.mutable_parts(1)->mutable_by_source()); }},
       {"parts[0].value is not a number", [](Reply& r) { r.mutable_parts(0)->set_value(kNan); }}});
}

TEST(ReplyCheckTest, RolloutAndDecomposition) {
  using Rollout = v1::RolloutResponse;
  Rollout rollout;
  AddTokens(3, rollout.mutable_prompt());
  for (int i : {0, 2}) rollout.add_queries(i);
  Fill({2, 3}, rollout.mutable_weights());
  ExpectAllFound<v1::RolloutRequest, Rollout>(
      {}, rollout,
      {{"queries[1] is 3", [](Rollout& r) { r.set_queries(1, 3); }},
       {"weights has shape [2, 3]; expected [3, 3]",
        [](Rollout& r) {
          r.set_queries(1, 1);
          r.add_queries(2);
        }},
       {"weights has 20 bytes for shape [2, 3]",
        [](Rollout& r) { r.mutable_weights()->mutable_data()->resize(20); }},
       {"weights: element 5 is inf", [](Rollout& r) { Set(5, kInfinity, r.mutable_weights()); }}});
  using Decomposition = v1::DecomposeAttentionResponse;
  Decomposition parts;
  AddTokens(3, parts.mutable_prompt());
  for (int i : {0, 2}) parts.add_queries(i);
  Fill({2, 3}, parts.mutable_norms());
  Fill({2}, parts.mutable_mixing_ratios());
  ExpectAllFound<v1::DecomposeAttentionRequest, Decomposition>(
      {}, parts,
      {{"queries[1] is 3", [](Decomposition& r) { r.set_queries(1, 3); }},
       {"norms has shape [6]; expected [2, 3]",
        [](Decomposition& r) { Fill({6}, r.mutable_norms()); }},
       {"mixing_ratios has shape [1]; expected [2]",
        [](Decomposition& r) { Fill({1}, r.mutable_mixing_ratios()); }}});
}

TEST(ReplyCheckTest, EditedRuns) {
  using Reply = v1::InterveneResponse;
  v1::InterveneRequest request;
  for (int i = 0; i < 2; ++i) request.add_metrics()->mutable_loss();
  for (int i = 0; i < 2; ++i) request.add_sets();
  request.set_top_k(2);
  Reply answer;
  for (v1::InterveneResult* result :
       {answer.mutable_base(), answer.add_results(), answer.add_results()}) {
    for (int i = 0; i < 2; ++i) result->add_values(1);
    for (int i = 0; i < 2; ++i) result->add_deltas(0);
    result->add_candidates()->set_rank(1);
  }
  ExpectAllFound<v1::InterveneRequest, Reply>(
      request, answer,
      {{"base.values holds 1; expected 2",
        [](Reply& r) { r.mutable_base()->mutable_values()->RemoveLast(); }},
       {"results holds 3; expected 2", [](Reply& r) { r.add_results(); }},
       {"results[1].values holds 3; expected 2",
        [](Reply& r) { r.mutable_results(1)->add_values(1); }},
       {"results[0].deltas holds 0; expected 2",
        [](Reply& r) { r.mutable_results(0)->clear_deltas(); }},
       {"base.candidates holds 0; expected 2",
        [](Reply& r) { r.mutable_base()->clear_candidates(); }},
       {"results[1].candidates holds 3; expected 2",
        [](Reply& r) {
          for (int i = 0; i < 2; ++i) r.mutable_results(1)->add_candidates();
        }},
       {"base has a problem", [](Reply& r) { r.mutable_base()->set_problem("?"); }},
       {"results[0].candidates holds 1; expected 0",
        [](Reply& r) { r.mutable_results(0)->set_problem("no numbers"); }},
       {"results[1].values[1] is not a number",
        [](Reply& r) { r.mutable_results(1)->set_values(1, kNan); }}});
  answer.mutable_results(0)->Clear();
  answer.mutable_results(0)->set_problem("no numbers");
  EXPECT_TRUE(CheckReply(request, answer).ok());
}

TEST(ReplyCheckTest, ComparedRuns) {
  using Reply = v1::CompareResponse;
  Reply answer;
  AddTokens(2, answer.mutable_prompt_a());
  AddTokens(3, answer.mutable_prompt_b());
  answer.add_pairs()->set_position_b(2);
  answer.set_first_divergence(0);
  Fill({2, 2}, answer.mutable_head_divergence());
  ExpectAllFound<v1::CompareRequest, Reply>(
      {}, answer,
      {{"pairs[0].position_a is 2", [](Reply& r) { r.mutable_pairs(0)->set_position_a(2); }},
       {"pairs[0].position_b is -1", [](Reply& r) { r.mutable_pairs(0)->set_position_b(-1); }},
       {"first_divergence is 1; expected 0 to 0", [](Reply& r) { r.set_first_divergence(1); }},
       {"no grid of layers and heads", [](Reply& r) { Fill({4}, r.mutable_head_divergence()); }},
       {"no grid of layers and heads", [](Reply& r) {
          Fill({int64_t{1} << 40, 0}, r.mutable_head_divergence());
        }}});
}

TEST(ReplyCheckTest, Predictions) {
  using Reply = v1::PredictResponse;
  Reply answer;
  AddTokens(2, answer.mutable_prompt());
  for (int i : {0, 1}) {
    answer.add_predictions()->set_position(i);
    Fill({3}, answer.mutable_predictions(i)->mutable_log_probabilities());
  }
  Set(0, -kInfinity, answer.mutable_predictions(0)->mutable_log_probabilities());
  ExpectAllFound<v1::PredictRequest, Reply>(
      {}, answer,
      {{"predictions[1].position is 2",
        [](Reply& r) { r.mutable_predictions(1)->set_position(2); }},
       {"predictions[1].log_probabilities has shape [4]; expected [3]",
        [](Reply& r) { Fill({4}, r.mutable_predictions(1)->mutable_log_probabilities()); }},
       {"predictions[0].entropy is not a number",
        [](Reply& r) { r.mutable_predictions(0)->set_entropy(kNan); }}});
}

TEST(ReplyCheckTest, Embeddings) {
  using Reply = v1::EmbedResponse;
  v1::EmbedRequest request;
  request.set_token_vectors(true);
  Reply answer;
  for (int tokens : {1, 3}) {
    request.add_prompts()->set_text("a");
    v1::TextEmbedding& embedding = *answer.add_embeddings();
    AddTokens(tokens, embedding.mutable_prompt());
    Fill({4}, embedding.mutable_vector());
    Fill({tokens, 8}, embedding.mutable_token_vectors());
  }
  ExpectAllFound<v1::EmbedRequest, Reply>(
      request, answer,
      {{"embeddings holds 1; expected 2", [](Reply& r) { r.mutable_embeddings()->RemoveLast(); }},
       {"embeddings[1].vector has shape [5]; expected [4]",
        [](Reply& r) { Fill({5}, r.mutable_embeddings(1)->mutable_vector()); }},
       {"embeddings[1].token_vectors has shape []; expected [3, 8]",
        [](Reply& r) { r.mutable_embeddings(1)->clear_token_vectors(); }},
       {"embeddings[1].token_vectors has shape [3, 7]; expected [3, 8]",
        [](Reply& r) {
          Fill({3, 7}, r.mutable_embeddings(1)->mutable_token_vectors());
        }},
       {"embeddings[0].prompt has no tokens", [](Reply& r) {
          r.mutable_embeddings(0)->clear_prompt();
          Fill({0, 8}, r.mutable_embeddings(0)->mutable_token_vectors());
        }}});
}

}  // namespace
}  // namespace heed
