// What heed explore draws, and what its keys ask for, without a terminal or a server.
#include "client/cli/explore/explore_view.h"

#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace heed::cli {
namespace {

using ::testing::Each;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Le;
using ::testing::Not;
using ::testing::SizeIs;

constexpr char kUp[] = "\x1b[A";
constexpr char kDown[] = "\x1b[B";
constexpr char kRight[] = "\x1b[C";
constexpr char kLeft[] = "\x1b[D";
constexpr int kLayers = 3;
constexpr int kHeads = 2;

v1::Tensor MakeTensor(const std::vector<float>& values) {
  v1::Tensor tensor;
  tensor.set_data(values.data(), values.size() * sizeof(float));
  return tensor;
}

void AddWord(const std::string& text, int id, double now, double was, int rank,
             google::protobuf::RepeatedPtrField<v1::ExploreCandidate>* words) {
  v1::ExploreCandidate& word = *words->Add();
  word.mutable_candidate()->mutable_token()->set_text(text);
  word.mutable_candidate()->mutable_token()->set_bytes(text);
  word.mutable_candidate()->mutable_token()->set_id(id);
  word.mutable_candidate()->set_probability(now);
  word.mutable_candidate()->set_rank(rank);
  word.set_base_probability(was);
}

v1::ExploreRequest Request() {
  v1::ExploreRequest request;
  request.mutable_hover()->set_layer(-1);
  request.mutable_hover()->set_head(1);
  request.mutable_hover()->set_query(-1);
  return request;
}

// Of `tokens` words; the row is the last one's in the last layer and head.
v1::ExploreResponse Response(int tokens = 3) {
  v1::ExploreResponse response;
  v1::ExploreOpened& opened = *response.mutable_opened();
  opened.mutable_provenance()->mutable_model()->set_name("decoder");
  opened.set_layer_count(kLayers);
  opened.set_head_count(kHeads);
  std::vector<float> weights;
  for (int i = 0; i < tokens; ++i) {
    v1::Token& token = *opened.mutable_prompt()->add_tokens();
    token.set_text(absl::StrCat("w", i));
    token.set_bytes(token.text());
    weights.push_back(static_cast<float>(i + 1) / static_cast<float>(tokens * (tokens + 1) / 2));
  }
  for (v1::ExplainRowResponse* row :
       {response.mutable_hovered()->mutable_row(), response.mutable_hovered()->mutable_base()}) {
    row->set_layer(kLayers - 1);
    row->set_head(kHeads - 1);
    row->set_query(tokens - 1);
    *row->mutable_weights() = MakeTensor(weights);
    row->set_entropy(1.5);
  }
  v1::ExplorePrediction& prediction = *response.add_predictions();
  AddWord(" was", 7, 0.5, 0.5, 1, prediction.mutable_base_candidates());
  AddWord(" were", 8, 0.25, 0.25, 2, prediction.mutable_base_candidates());
  *prediction.mutable_candidates() = prediction.base_candidates();
  return response;
}

std::string Picture(const ExploreView& view, int width = 120, int height = 24) {
  return absl::StrJoin(view.Render({.is_terminal = true, .width = width}, height), "\n");
}

TEST(ExploreViewTest, DrawsTheRowAndTheWords) {
  const ExploreView view(Request(), Response());
  const std::string picture = Picture(view);
  EXPECT_THAT(picture, HasSubstr("decoder · layer 2 of 3 · head 1 of 2 · what w2 (2) reads"));
  EXPECT_THAT(picture, HasSubstr("focus × 1: the model's own · entropy 1.50 nats"));
  EXPECT_THAT(picture, HasSubstr("   2 w2"));
  EXPECT_THAT(picture, HasSubstr("0.500"));
  EXPECT_THAT(picture, HasSubstr("·were"));
  EXPECT_THAT(picture, Not(HasSubstr(" was 0.")));  // nothing changed
}

TEST(ExploreViewTest, ArrowsAndBracketsGoRoundAndTakeTheEditAlong) {
  ExploreView view(Request(), Response());
  view.OnKey("x");
  v1::ExploreRequest asked = view.OnKey(kUp);
  EXPECT_EQ(asked.hover().layer(), 0);
  EXPECT_THAT(asked.edits().interventions(0).layers(), ElementsAre(0));
  EXPECT_THAT(asked.edits().interventions(0).heads(), ElementsAre(1));
  EXPECT_EQ(asked.edits().interventions(0).scale_site().factor(), 0);
  EXPECT_FALSE(asked.has_watch());
  EXPECT_EQ(view.OnKey(kDown).hover().layer(), 2);
  EXPECT_EQ(view.OnKey(kDown).hover().layer(), 1);
  EXPECT_EQ(view.OnKey(kRight).hover().head(), 0);
  EXPECT_EQ(view.OnKey(kLeft).hover().head(), 1);
  asked = view.OnKey("]");
  EXPECT_EQ(asked.hover().query(), 0);
  EXPECT_THAT(asked.watch().positions(), ElementsAre(0));
  EXPECT_EQ(asked.watch().top_k(), 2);
  EXPECT_EQ(view.OnKey("[").hover().query(), 2);
}

TEST(ExploreViewTest, TheDialGoesUpAndDownInSteps) {
  ExploreView view(Request(), Response());
  EXPECT_DOUBLE_EQ(view.OnKey("+").edits().interventions(0).scale_scores().beta(), 1.25);
  EXPECT_THAT(Picture(view), HasSubstr("focus × 1.25: sharper"));
  EXPECT_THAT(view.OnKey("-").edits().interventions(), SizeIs(0));  // the model's own
  EXPECT_DOUBLE_EQ(view.OnKey("-").edits().interventions(0).scale_scores().beta(), 0.8);
  EXPECT_THAT(Picture(view), HasSubstr("more diffuse"));
  v1::ExploreRequest asked;
  for (int i = 0; i < 40; ++i) asked = view.OnKey("-");
  EXPECT_EQ(asked.edits().interventions(0).scale_scores().beta(), 0);
  EXPECT_GT(view.OnKey("+").edits().interventions(0).scale_scores().beta(), 0);
  for (int i = 0; i < 60; ++i) asked = view.OnKey("=");
  EXPECT_EQ(asked.edits().interventions(0).scale_scores().beta(), 100);
  asked = view.OnKey("0");
  EXPECT_TRUE(asked.has_edits());
  EXPECT_THAT(asked.edits().interventions(), SizeIs(0));
}

TEST(ExploreViewTest, PresetsAreEditsOfTheHead) {
  ExploreView view(Request(), Response());
  const v1::Intervention uniform = view.OnKey("u").edits().interventions(0);
  EXPECT_EQ(uniform.weight_preset(), v1::WEIGHT_PRESET_UNIFORM);
  EXPECT_THAT(uniform.layers(), ElementsAre(2));
  EXPECT_THAT(Picture(view), HasSubstr("every word alike"));
  EXPECT_EQ(view.OnKey("l").edits().interventions(0).weight_preset(), v1::WEIGHT_PRESET_LAST_WORD);
  EXPECT_THAT(Picture(view), HasSubstr("the last word alone"));
}

TEST(ExploreViewTest, OtherKeysAskForNothingAndSomeEndIt) {
  ExploreView view(Request(), Response());
  for (const char* key : {"y", "\n", "\x1b[Z", "\x1bOP", "é"}) {
    const v1::ExploreRequest asked = view.OnKey(key);
    EXPECT_FALSE(asked.has_edits() || asked.has_hover()) << key;
    EXPECT_FALSE(ExploreView::IsQuit(key)) << key;
  }
  for (const char* key : {"q", "\x1b", "\x03", "\x04"}) EXPECT_TRUE(ExploreView::IsQuit(key));
  EXPECT_FALSE(ExploreView::IsQuit(kUp));
}

TEST(ExploreViewTest, AnAnswerShowsWhatChanged) {
  ExploreView view(Request(), Response());
  v1::ExploreResponse response;
  *response.mutable_hovered()->mutable_row() = Response().hovered().row();
  *response.mutable_hovered()->mutable_row()->mutable_weights() = MakeTensor({0.9F, 0.1F, 0});
  v1::ExplorePrediction& prediction = *response.add_predictions();
  AddWord(" was", 7, 0.25, 0.5, 2, prediction.mutable_base_candidates());
  AddWord(" sky", 9, 0.75, 0.125, 1, prediction.mutable_candidates());
  prediction.set_kl_from_base(0.5);
  view.OnResponse(response, 3.25);
  const std::string picture = Picture(view);
  EXPECT_THAT(picture, HasSubstr("0.900 was 0.167"));
  EXPECT_THAT(picture, HasSubstr("0.250 -0.250"));
  EXPECT_THAT(picture, HasSubstr("·sky"));
  EXPECT_THAT(picture, HasSubstr("0.750 +0.625"));
  EXPECT_THAT(picture, HasSubstr("KL 0.5000 nats · 3.2 ms"));
}

TEST(ExploreViewTest, AnErrorIsShownAndWhatWasKnownStays) {
  ExploreView view(Request(), Response());
  v1::ExploreResponse response;
  response.mutable_error()->set_code(3);
  response.mutable_error()->set_message("too far\x1b[2J");
  view.OnResponse(response, 1);
  const std::string picture = Picture(view);
  EXPECT_THAT(picture, HasSubstr("too far"));
  EXPECT_THAT(picture, Not(HasSubstr("\x1b[2J")));
  EXPECT_THAT(picture, HasSubstr("0.500"));
  view.OnResponse({}, 1);
  EXPECT_THAT(Picture(view), Not(HasSubstr("too far")));
}

TEST(ExploreViewTest, FitsTheTerminal) {
  // Everything has changed, which makes the longest lines.
  ExploreView view(Request(), Response(200));
  v1::ExploreResponse changed;
  v1::ExplainRowResponse& row = *changed.mutable_hovered()->mutable_row();
  row = Response(200).hovered().row();
  *row.mutable_weights() = MakeTensor(std::vector<float>(200, 0.005F));
  v1::ExplorePrediction& prediction = *changed.add_predictions();
  AddWord(" incomprehensibilities", 7, 4e-5, 0.5, 1, prediction.mutable_base_candidates());
  view.OnResponse(changed, 1);
  for (const int width : {30, 40, 60, 80, 96, 200}) {
    for (const int height : {8, 12, 24, 50}) {
      const std::vector<std::string> lines =
          view.Render({.is_terminal = true, .width = width}, height);
      EXPECT_LE(lines.size(), static_cast<size_t>(height)) << width;
      std::vector<int> widths;
      for (const std::string& line : lines) widths.push_back(DisplayWidth(line));
      EXPECT_THAT(widths, Each(Le(width))) << width << "x" << height;
    }
  }
  // Where there is room, a narrow row and the words below it stand apart.
  EXPECT_THAT(Picture(ExploreView(Request(), Response()), 40, 24), HasSubstr("\n\n·was"));
  EXPECT_THAT(Picture(view), HasSubstr("words with less"));
  EXPECT_THAT(Picture(view, 40, 24), HasSubstr("x without the head"));
  EXPECT_THAT(Picture(view, 40, 10), Not(HasSubstr("x without the head")));
}

TEST(ExploreViewTest, AModelWithoutAHeadHasNoWords) {
  v1::ExploreResponse response = Response();
  response.clear_predictions();
  const ExploreView view(Request(), response);
  EXPECT_THAT(Picture(view), HasSubstr("(no words to predict)"));
}

}  // namespace
}  // namespace heed::cli
