// The same of streamed replies: each message by itself, and what is missing at the end.
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
using ::testing::HasSubstr;
using testing::kInfinity;
using testing::kNan;
using testing::Set;

template <typename Check, typename Request, typename Message>
absl::Status CheckAll(const Request& request, const std::vector<Message>& messages) {
  Check check(request);
  for (const Message& message : messages) {
    if (absl::Status status = check.Add(message); !status.ok()) return status;
  }
  return check.Finish();
}

// Damages one message of several.
template <typename Check, typename Request, typename Message>
void ExpectFound(const Request& request, std::vector<Message> messages, size_t index,
                 const std::string& what, const std::function<void(Message&)>& edit) {
  edit(messages[index]);
  ExpectBroken(CheckAll<Check>(request, messages), what);
}

using AttentionMessages = std::vector<v1::GetAttentionResponse>;

// One layer, one head, a prompt of three tokens, in two tiles, which `fill` gives their rows.
AttentionMessages AttentionAnswer(const std::function<void(v1::AttentionTile&)>& fill) {
  AttentionMessages messages(4);
  v1::AttentionHeader& header = *messages[0].mutable_header();
  AddTokens(3, header.mutable_prompt());
  header.add_layers(1);
  header.add_heads(2);
  for (int i : {0, 1, 2}) header.add_queries(i);
  header.set_key_count(3);
  header.set_causal(true);
  header.set_stage(v1::ATTENTION_STAGE_SOFTMAX);
  for (int i : {1, 2}) {
    v1::AttentionTile& tile = *messages[static_cast<size_t>(i)].mutable_tile();
    tile.set_layer(1);
    tile.set_head(2);
    if (i == 1) tile.add_queries(0);
    tile.add_queries(i);
    fill(tile);
  }
  messages[3].mutable_end()->set_tile_count(2);
  return messages;
}

void FillDense(v1::AttentionTile& tile) {
  Fill({tile.queries_size(), 3}, tile.mutable_weights());
}

class AttentionReplyTest : public ::testing::Test {
 protected:
  using Message = v1::GetAttentionResponse;

  void Expect(size_t index, const std::string& what, const std::function<void(Message&)>& edit) {
    ExpectFound<AttentionReplyCheck, v1::GetAttentionRequest, Message>(request_, messages_, index,
                                                                       what, edit);
  }
  void ExpectTile(const std::string& what, const std::function<void(v1::AttentionTile&)>& edit) {
    Expect(2, what, [&](Message& m) { edit(*m.mutable_tile()); });
  }
  void ExpectHeader(const std::string& what,
                    const std::function<void(v1::AttentionHeader&)>& edit) {
    Expect(0, what, [&](Message& m) { edit(*m.mutable_header()); });
  }
  absl::Status Check() { return CheckAll<AttentionReplyCheck>(request_, messages_); }

  v1::GetAttentionRequest request_;
  AttentionMessages messages_;
};

TEST_F(AttentionReplyTest, DenseRowsAndWhatIsAroundThem) {
  messages_ = AttentionAnswer(FillDense);
  EXPECT_TRUE(Check().ok()) << Check();
  Expect(0, "the header is not the first message", [](Message& m) { m.mutable_end(); });
  Expect(1, "there are two headers", [](Message& m) { m.mutable_header(); });
  Expect(1, "a message is without a part", [](Message& m) { m.Clear(); });
  ExpectHeader("header.key_count is 4 from key 0", [](auto& h) { h.set_key_count(4); });
  ExpectHeader("header.key_count is 2, and the prompt", [](auto& h) { h.set_key_count(2); });
  ExpectHeader("header.key_begin is 3", [](auto& h) { h.set_key_begin(3); });
  ExpectHeader("header.queries[2] is 3", [](auto& h) { h.set_queries(2, 3); });
  ExpectHeader("header.heads[0] is -1", [](auto& h) { h.set_heads(0, -1); });
  ExpectHeader("the answer's maps holds 1; expected 2", [](auto& h) { h.add_layers(2); });
  ExpectTile("of layer 0 head 2, which is not selected", [](auto& t) { t.set_layer(0); });
  ExpectTile("of layer 1 head -1, which is not selected", [](auto& t) { t.set_head(-1); });
  ExpectTile("query 3 is not selected", [](auto& t) { t.set_queries(0, 3); });
  ExpectTile("query 1 of layer 1 head 2 comes behind 1", [](auto& t) { t.set_queries(0, 1); });
  ExpectTile("tile.weights has shape [2, 3]; expected [1, 3]", [](auto& t) {
    Fill({2, 3}, t.mutable_weights());
  });
  ExpectTile("element 2 is inf", [](auto& t) { Set(2, kInfinity, t.mutable_weights()); });
  ExpectTile("tile.weights: element 0 is not a number",
             [](auto& t) { Set(0, kNan, t.mutable_weights()); });
  ExpectTile("a tile has its rows in 2 forms", [](auto& t) { t.mutable_sparse(); });
  ExpectTile("2 rows of 3 of layer 1 head 2 arrived", [](auto& t) {
    t.clear_queries();
    Fill({0, 3}, t.mutable_weights());
  });
  Expect(3, "2 tiles of 3 arrived", [](Message& m) { m.mutable_end()->set_tile_count(3); });
  messages_.push_back(messages_.back());
  ExpectBroken(Check(), "a message follows the last one");
  messages_.resize(3);
  EXPECT_THAT(std::string(Check().message()), HasSubstr("broke off"));
}

TEST_F(AttentionReplyTest, ScoresMayBeInfinite) {
  request_.mutable_selection()->set_stage(v1::ATTENTION_STAGE_MASKED);
  messages_ = AttentionAnswer(FillDense);
  Set(0, -kInfinity, messages_[1].mutable_tile()->mutable_weights());
  messages_[0].mutable_header()->set_stage(v1::ATTENTION_STAGE_MASKED);
  EXPECT_TRUE(Check().ok()) << Check();
}

TEST_F(AttentionReplyTest, ChosenKeysAreWithinThePrompt) {
  request_.mutable_selection()->mutable_keys()->set_begin(1);
  messages_ = AttentionAnswer([](auto& t) { Fill({t.queries_size(), 2}, t.mutable_weights()); });
  messages_[0].mutable_header()->set_key_begin(1);
  messages_[0].mutable_header()->set_key_count(2);
  EXPECT_TRUE(Check().ok()) << Check();
  ExpectHeader("header.key_count is 3 from key 1 on", [](auto& h) { h.set_key_count(3); });
}

TEST_F(AttentionReplyTest, FusedMapsHaveNoHead) {
  request_.mutable_selection()->set_head_fusion(v1::HEAD_FUSION_MEAN);
  messages_ = AttentionAnswer([](auto& t) {
    t.set_head(-1);
    FillDense(t);
  });
  EXPECT_TRUE(Check().ok()) << Check();
  ExpectTile("head 2, which is not selected", [](auto& t) { t.set_head(2); });
}

TEST_F(AttentionReplyTest, TheLargestWeights) {
  request_.mutable_selection()->mutable_top_k()->set_k(2);
  messages_ = AttentionAnswer([](auto& t) {
    v1::TopKWeights& top = *t.mutable_top_k();
    top.set_k(2);
    for (int i = 0; i < 2 * t.queries_size(); ++i) top.add_keys(i % 2 == 0 ? 0 : -1);
    Fill({t.queries_size(), 2}, top.mutable_weights());
    Fill({t.queries_size()}, top.mutable_dropped_mass());
  });
  EXPECT_TRUE(Check().ok()) << Check();
  ExpectTile("tile.top_k.k is 0", [](auto& t) { t.mutable_top_k()->set_k(0); });
  ExpectTile("tile.top_k.k is -1", [](auto& t) { t.mutable_top_k()->set_k(-1); });
  ExpectTile("tile.top_k.keys holds 2; expected 3", [](auto& t) { t.mutable_top_k()->set_k(3); });
  ExpectTile("tile.top_k.keys is 3, and the prompt",
             [](auto& t) { t.mutable_top_k()->set_keys(0, 3); });
  ExpectTile("tile.top_k.keys is -2", [](auto& t) { t.mutable_top_k()->set_keys(0, -2); });
  ExpectTile("tile.top_k.weights has shape [1]",
             [](auto& t) { Fill({1}, t.mutable_top_k()->mutable_weights()); });
  ExpectTile("tile.top_k.dropped_mass has shape []",
             [](auto& t) { t.mutable_top_k()->clear_dropped_mass(); });
  ExpectTile("tile.top_k.k is 0", [](auto& t) {
    t.clear_top_k();
    FillDense(t);
  });
}

TEST_F(AttentionReplyTest, WeightsOfAtLeastAThreshold) {
  request_.mutable_selection()->mutable_threshold()->set_min_weight(0.1f);
  messages_ = AttentionAnswer([](auto& t) {
    v1::SparseWeights& sparse = *t.mutable_sparse();
    for (int row = 0; row <= t.queries_size(); ++row) sparse.add_row_begin(row);
    for (int row = 0; row < t.queries_size(); ++row) sparse.add_keys(row);
    Fill({t.queries_size()}, sparse.mutable_weights());
    Fill({t.queries_size()}, sparse.mutable_dropped_mass());
  });
  EXPECT_TRUE(Check().ok()) << Check();
  const auto expect = [&](const std::string& what,
                          const std::function<void(v1::SparseWeights&)>& edit) {
    Expect(1, what, [&](Message& m) { edit(*m.mutable_tile()->mutable_sparse()); });
  };
  expect("row_begin holds 4; expected 3", [](auto& s) { s.add_row_begin(2); });
  expect("row_begin[0] is -1; expected 0", [](auto& s) { s.set_row_begin(0, -1); });
  expect("row_begin[2] is 2 behind 1000000", [](auto& s) { s.set_row_begin(1, 1000000); });
  expect("keys holds 2; expected 3", [](auto& s) { s.set_row_begin(2, 3); });
  expect("weights has shape [2]; expected [3]", [](auto& s) { s.add_keys(0); });
  expect("keys is 3, and the prompt has 3 tokens", [](auto& s) { s.set_keys(1, 3); });
  expect("dropped_mass has shape [1]; expected [2]",
         [](auto& s) { Fill({1}, s.mutable_dropped_mass()); });
}

TEST_F(AttentionReplyTest, PackedRowsAndGrids) {
  request_.mutable_selection()->mutable_lower_triangle();
  // Of the rows 0 and 1 together, and of row 2.
  messages_ = AttentionAnswer([](auto& t) { Fill({3}, t.mutable_packed()); });
  EXPECT_TRUE(Check().ok()) << Check();
  ExpectTile("tile.packed has shape [2]; expected [3]",
             [](auto& t) { Fill({2}, t.mutable_packed()); });
  request_.mutable_selection()->mutable_pooled();
  messages_ = AttentionAnswer([](auto& t) { Fill({t.queries_size(), 2}, t.mutable_grid()); });
  EXPECT_TRUE(Check().ok()) << Check();
  ExpectTile("tile.grid has shape [1, 3]; expected [1, 2]", [](auto& t) {
    Fill({1, 3}, t.mutable_grid());
  });
  Expect(1, "tile.grid has 4 columns for 3 keys", [](Message& m) {
    Fill({2, 4}, m.mutable_tile()->mutable_grid());
  });
  request_.mutable_selection()->mutable_span_sums()->add_spans();
  ExpectTile("tile.grid has shape [2, 2]; expected [2, 1]", [](auto& t) { (void)t; });
  request_.mutable_selection()->mutable_span_sums()->set_average_queries(true);
  ExpectTile("tile.queries holds 2; expected 1", [](auto& t) { (void)t; });
}

TEST(ActivationsReplyTest, BlocksFollowTheHeader) {
  using Message = v1::GetActivationsResponse;
  v1::GetActivationsRequest request;
  request.set_site(v1::SITE_QUERY);
  request.mutable_norms();
  std::vector<Message> messages(4);
  v1::ActivationsHeader& header = *messages[0].mutable_header();
  AddTokens(3, header.mutable_prompt());
  header.set_site(v1::SITE_QUERY);
  header.add_layers(4);
  for (int i : {0, 1}) header.add_heads(i);
  for (int i : {0, 2}) header.add_positions(i);
  for (int i : {0, 1}) {
    v1::ActivationBlock& block = *messages[static_cast<size_t>(1 + i)].mutable_block();
    block.set_layer(4);
    block.add_positions(2 * i);
    Fill({1, 2}, block.mutable_values());
  }
  messages[3].mutable_end()->set_block_count(2);
  EXPECT_TRUE(CheckAll<ActivationsReplyCheck>(request, messages).ok());
  const auto expect = [&](size_t index, const std::string& what,
                          const std::function<void(Message&)>& edit) {
    ExpectFound<ActivationsReplyCheck, v1::GetActivationsRequest, Message>(request, messages, index,
                                                                           what, edit);
  };
  expect(0, "header.positions[1] is 3",
         [](Message& m) { m.mutable_header()->set_positions(1, 3); });
  expect(0, "header has 0 layers", [](Message& m) { m.mutable_header()->clear_layers(); });
  expect(0, "header is of site 5 with 0 heads",
         [](Message& m) { m.mutable_header()->clear_heads(); });
  expect(0, "header is of site 1 with 2 heads, and site 5 was asked for",
         [](Message& m) { m.mutable_header()->set_site(v1::SITE_RESIDUAL); });
  expect(0, "a row of lengths holds 2; expected 3",
         [](Message& m) { m.mutable_header()->add_heads(2); });
  expect(1, "a block is of layer 5", [](Message& m) { m.mutable_block()->set_layer(5); });
  expect(1, "has other positions", [](Message& m) { m.mutable_block()->set_positions(0, 2); });
  expect(2, "has other positions", [](Message& m) { m.mutable_block()->add_positions(2); });
  expect(2, "block.values has shape [1, 3]; expected [1, 2]", [](Message& m) {
    Fill({1, 3}, m.mutable_block()->mutable_values());
  });
  expect(2, "explained_variance holds 1; expected 0",
         [](Message& m) { m.mutable_block()->add_explained_variance(1); });
  expect(2, "1 rows of 2 of layer 4 arrived", [](Message& m) {
    m.mutable_block()->clear_positions();
    Fill({0, 2}, m.mutable_block()->mutable_values());
  });
  expect(3, "2 blocks of 1 arrived", [](Message& m) { m.mutable_end()->set_block_count(1); });
  request.mutable_pca();
  expect(3, "explained_variance holds 0; expected 2", [](Message&) {});
  request.mutable_cosines();
  expect(0, "a row of cosines holds 2; expected 1",
         [](Message& m) { m.mutable_header()->mutable_positions()->RemoveLast(); });
}

TEST(SweepReplyTest, CellsAreWithinTheGrid) {
  using Message = v1::SweepResponse;
  std::vector<Message> messages(3);
  v1::SweepHeader& header = *messages[0].mutable_header();
  AddTokens(2, header.mutable_prompt());
  header.add_rows(0);
  for (int i : {0, 1}) header.add_columns(i);
  header.set_column_name("key");
  for (int i : {0, 1}) messages[1].mutable_cells()->add_cells()->set_column(i);
  messages[2].mutable_end();
  const v1::SweepRequest request;
  EXPECT_TRUE(CheckAll<SweepReplyCheck>(request, messages).ok());
  const auto expect = [&](size_t index, const std::string& what,
                          const std::function<void(Message&)>& edit) {
    ExpectFound<SweepReplyCheck, v1::SweepRequest, Message>(request, messages, index, what, edit);
  };
  expect(0, "header has 0 rows and 2 columns",
         [](Message& m) { m.mutable_header()->clear_rows(); });
  expect(0, "header.columns holds 2, and the prompt has 2 tokens",
         [](Message& m) { m.mutable_header()->set_columns(1, 2); });
  expect(0, "header.columns holds 0.5",
         [](Message& m) { m.mutable_header()->set_columns(1, 0.5); });
  expect(0, "header.columns holds 2; expected 1",
         [](Message& m) { m.mutable_header()->clear_column_name(); });
  expect(0, "header has 100000 rows and 100000 columns", [](Message& m) {
    for (int i = 1; i < 100000; ++i) m.mutable_header()->add_rows(i);
    for (int i = 2; i < 100000; ++i) m.mutable_header()->add_columns(i);
  });
  expect(1, "cells.column is 2; expected 0 to 1",
         [](Message& m) { m.mutable_cells()->mutable_cells(1)->set_column(2); });
  expect(1, "cells.row is -1",
         [](Message& m) { m.mutable_cells()->mutable_cells(1)->set_row(-1); });
  expect(1, "the answer's grid holds 1; expected 2",
         [](Message& m) { m.mutable_cells()->mutable_cells()->RemoveLast(); });
  expect(1, "cells.cells[0].delta is not a number",
         [](Message& m) { m.mutable_cells()->mutable_cells(0)->set_delta(kNan); });
}

TEST(ExploreReplyTest, LaterResponsesAreOfWhatWasOpened) {
  v1::ExploreResponse first;
  first.set_sequence(1);
  v1::ExploreOpened& opened = *first.mutable_opened();
  AddTokens(2, opened.mutable_prompt());
  opened.set_layer_count(1);
  opened.set_head_count(1);
  const auto check = [&](const std::function<void(v1::ExploreResponse&)>& edit) {
    ExploreReplyCheck replies;
    v1::ExploreResponse broken = first;
    edit(broken);
    return replies.Add(broken);
  };
  EXPECT_TRUE(check([](auto&) {}).ok());
  ExpectBroken(check([](auto& r) { r.clear_opened(); }), "opened is missing");
  ExpectBroken(check([](auto& r) { r.mutable_opened()->set_head_count(0); }), "1 layers, 0 heads");
  ExpectBroken(check([](auto& r) { r.mutable_opened()->set_layer_count(-1); }), "-1 layers");
  ExpectBroken(check([](auto& r) { r.mutable_opened()->clear_prompt(); }), "and 0 tokens");
  ExpectBroken(check([](auto& r) { r.mutable_error()->set_message("?"); }), "which is no error");
  ExpectBroken(check([](auto& r) { r.add_predictions()->set_position(2); }),
               "predictions.position is 2");
  ExpectBroken(check([](auto& r) { r.add_rows()->set_head(1); }),
               "rows.head is 1; expected 0 to 0");
  ExpectBroken(check([](auto& r) { Fill({3}, r.add_rows()->mutable_weights()); }),
               "more keys than the prompt's 2 tokens");
  ExpectBroken(check([](auto& r) { r.mutable_hovered()->mutable_row()->set_layer(1); }),
               "hovered.row.layer is 1; expected 0 to 0");
  ExpectBroken(check([](auto& r) { r.mutable_hovered()->mutable_base()->set_key_count(3); }),
               "hovered.base.key_count is 3");
  ExpectBroken(check([](auto& r) { r.set_sequence(0); }), "sequence is 0; expected 1 or more");
  ExploreReplyCheck replies;
  EXPECT_TRUE(replies.Add(first).ok());
  ExpectBroken(replies.Add(first), "opened is there twice");
  v1::ExploreResponse second;
  second.set_sequence(3);
  EXPECT_TRUE(replies.Add(second).ok());
  second.set_sequence(2);
  ExpectBroken(replies.Add(second), "sequence is 2; expected 3 or more");
}

TEST(GenerateReplyTest, EndsWithItsEnd) {
  const v1::GenerateRequest request;
  std::vector<v1::GenerateResponse> messages(2);
  messages[0].mutable_token()->set_probability(0.5);
  messages[1].mutable_end();
  EXPECT_TRUE(CheckAll<GenerateReplyCheck>(request, messages).ok());
  messages[0].mutable_token()->set_entropy(kNan);
  ExpectBroken(CheckAll<GenerateReplyCheck>(request, messages), "token.entropy is not a number");
  messages.erase(messages.begin());
  messages.front().mutable_token();
  EXPECT_THAT(std::string(CheckAll<GenerateReplyCheck>(request, messages).message()),
              HasSubstr("broke off"));
}

}  // namespace
}  // namespace heed
