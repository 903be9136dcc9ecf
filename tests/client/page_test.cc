#include "client/cli/pages/page.h"

#include <cstring>
#include <string>
#include <vector>

#include "client/cli/attention/attention_page.h"
#include "client/cli/explore/explore_page.h"
#include "client/cli/pages/grid_page.h"
#include "client/cli/pages/inspect_pages.h"
#include "client/cli/pages/intervene_page.h"
#include "client/cli/verbs/activations_output.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/client/fake_weights.h"
#include "tests/client/json_check.h"

namespace heed::cli {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;

AttentionMaps Maps() {
  return FakeMaps(1, 2, {{.25F, .25F, .5F}, {0, 1, 0}});
}

// What the page's script will read.
std::string DataOf(const std::string& page) {
  const std::string begin = R"(<script type="application/json" id="data">)";
  const size_t from = page.find(begin) + begin.size();
  return page.substr(from, page.find("</script>", from) - from);
}

TEST(PageTest, ContainsTheDataAndWhereItComesFrom) {
  const std::string page = AttentionPage(Maps(), {.layer = 0, .head = 1, .reason = "it is sharp"});
  EXPECT_THAT(page, HasSubstr("<title>heed attention: t0t1t2</title>"));
  EXPECT_THAT(page, HasSubstr(R"("tokens":["t0","t1","t2"])"));
  EXPECT_THAT(page, HasSubstr(R"("digest":"sha256:0123456789abcdef")"));
  EXPECT_THAT(page, HasSubstr(R"("first":{"layer":0,"head":1,"reason":"it is sharp"})"));
  EXPECT_THAT(page, HasSubstr(R"("weights_f32_base64":")"));
  EXPECT_THAT(page, Not(HasSubstr("{{")));
}

TEST(PageTest, TheDataIsJson) {
  bool ok = false;
  const auto data = testing::ParseJson(DataOf(AttentionPage(Maps(), {})), &ok);
  ASSERT_TRUE(ok);
  EXPECT_EQ(testing::At(data, "source.model.name").string_value(), "decoder");
  EXPECT_EQ(testing::At(data, "heads").list_value().values_size(), 2);
}

TEST(PageTest, LoadsNothingFromAnywhere) {
  const std::string page = AttentionPage(Maps(), {});
  for (const char* address : {"http:", "https:", "//cdn", "src=", "href=", "@import", "url(",
                              "fetch(", "XMLHttpRequest", "import("}) {
    EXPECT_THAT(page, Not(HasSubstr(address))) << address;
  }
  EXPECT_THAT(page, HasSubstr("default-src 'none'"));
}

TEST(PageTest, TokensCannotBreakOutOfThePage) {
  AttentionMaps maps = Maps();
  maps.header.prompt.tokens[0].bytes = "</script><script>alert(1)</script>";
  maps.header.prompt.tokens[1].bytes = "<!--{{SCRIPT}}";
  maps.header.model.name = "<b>{{DATA}}</b>";
  const std::string page = AttentionPage(maps, {});
  EXPECT_THAT(page, Not(HasSubstr("<script>alert")));
  EXPECT_THAT(page, Not(HasSubstr("<b>{{")));
  EXPECT_THAT(page, Not(HasSubstr("<!--{{")));
  EXPECT_THAT(page, HasSubstr("&lt;/script&gt;"));
  EXPECT_THAT(page, HasSubstr(R"(\u003c/script\u003e)"));
  bool ok = false;
  const auto data = testing::ParseJson(DataOf(page), &ok);
  ASSERT_TRUE(ok);
  EXPECT_EQ(testing::At(data, "tokens.0").string_value(), "</script><script>alert(1)</script>");
}

TEST(PageTest, PacksOnlyWhatAQueryCanSee) {
  AttentionMaps maps = Maps();
  maps.header.queries = {1};
  // Of a causal row at position 1, two keys; of a bidirectional one, all three.
  EXPECT_EQ(PackWeights(maps, WeightEncoding::kU16),
            std::string("\x00\x40\x00\x40\x00\x00\xFF\xFF", 8));
  const std::string exact = PackWeights(maps, WeightEncoding::kF32);
  std::vector<float> weights(exact.size() / sizeof(float));
  std::memcpy(weights.data(), exact.data(), exact.size());
  EXPECT_THAT(weights, ElementsAre(.25F, .25F, 0, 1));
  maps.header.causal = false;
  EXPECT_EQ(PackWeights(maps, WeightEncoding::kU16).size(), 12u);
}

TEST(PageTest, ManyWeightsAreRounded) {
  AttentionMaps maps = Maps();
  const int64_t length = 800;
  maps.header.queries.resize(length);
  for (int64_t i = 0; i < length; ++i) maps.header.queries[i] = i;
  maps.header.key_count = length;
  maps.header.prompt.tokens.resize(length, maps.header.prompt.tokens[0]);
  maps.weights.assign(2 * length * length, 0.5F);
  EXPECT_THAT(AttentionPage(maps, {}), HasSubstr(R"("weights_u16_base64":")"));
}

constexpr char kHostile[] = "</script><script>alert(1)</script><!--";

// Reads a page's data, which no text may have broken out of.
google::protobuf::Value CheckedData(const std::string& page) {
  EXPECT_THAT(page, Not(HasSubstr("<script>alert")));
  EXPECT_THAT(page, Not(HasSubstr("<!--")));
  bool ok = false;
  const auto data = testing::ParseJson(DataOf(page), &ok);
  EXPECT_TRUE(ok) << DataOf(page);
  return data;
}

void AddToken(v1::PromptInfo* prompt, const std::string& text) {
  v1::Token& token = *prompt->add_tokens();
  token.set_text(text);
  token.set_bytes(text);
}

v1::Candidate MakeCandidate(const std::string& text, double probability) {
  v1::Candidate candidate;
  candidate.mutable_token()->set_text(text);
  candidate.mutable_token()->set_bytes(text);
  candidate.set_probability(probability);
  candidate.set_rank(1);
  return candidate;
}

v1::Tensor MakeTensor(const std::vector<float>& values, const std::vector<int64_t>& shape) {
  v1::Tensor tensor;
  tensor.mutable_shape()->Add(shape.begin(), shape.end());
  tensor.set_data(values.data(), values.size() * sizeof(float));
  return tensor;
}

TEST(GridPageTest, HasEveryNumberWithItsDefinition) {
  const auto data = CheckedData(GridPage({.verb = "stats",
                                          .tokens = {kHostile},
                                          .row_name = "layer",
                                          .column_name = "head",
                                          .rows = {"0", "1"},
                                          .columns = {"0", "1"},
                                          .grids = {{"entropy", "in nats", {1, 2, 3, NAN}}}}));
  EXPECT_EQ(testing::At(data, "tokens.0").string_value(), kHostile);
  EXPECT_EQ(testing::At(data, "grids.0.meaning").string_value(), "in nats");
  EXPECT_EQ(testing::At(data, "grids.0.values.1.0").number_value(), 3);
  EXPECT_EQ(testing::At(data, "grids.0.values.1").list_value().values(1).kind_case(),
            google::protobuf::Value::kNullValue);
}

TEST(GridPageTest, SaysHowItIsDrawn) {
  const auto data =
      CheckedData(GridPage({.verb = "decompose",
                            .rows = {"0", "1"},
                            .columns = {"0", "1"},
                            .rank_by_row = true,
                            .grids = {{"share", "", {1, 0, .5F, .5F}, false, PageScale::kRoot},
                                      {"amount", "", {2, 0, 1, 1}}},
                            .bars = PageBars{kHostile, "of each row", {0, .25F}}}));
  EXPECT_TRUE(testing::At(data, "rank_by_row").bool_value());
  EXPECT_EQ(testing::At(data, "grids.0.scale").string_value(), "root");
  EXPECT_EQ(testing::At(data, "grids.1.scale").string_value(), "linear");
  EXPECT_EQ(testing::At(data, "bars.title").string_value(), kHostile);
  EXPECT_EQ(testing::At(data, "bars.values.1").number_value(), .25);
}

// Two layers of three words, of which the last two were chosen; each has two numbers.
Activations MakeActivations(v1::GetActivationsRequest::FormCase form, v1::Site site) {
  Activations answer{.form = form, .layers = {{1, 2, 3, 4}, {5, 6, 7, 8}}, .widths = {2, 2}};
  for (const char* token : {"a", kHostile, "c"}) AddToken(answer.header.mutable_prompt(), token);
  answer.header.set_site(site);
  for (int layer : {0, 2}) answer.header.add_layers(layer);
  for (int head : {1, 5}) answer.header.add_heads(head);
  for (int position : {1, 2}) answer.header.add_positions(position);
  answer.explained_variance = {{.75, .25}, {1, 0}};
  return answer;
}

TEST(ActivationsPageTest, LengthsAreRowsOfHeads) {
  const Activations answer = MakeActivations(v1::GetActivationsRequest::kNorms, v1::SITE_KEY);
  const auto data = CheckedData(ActivationsPage(answer, WholeOtherSide(answer), {"ablate 0.1"}));
  EXPECT_EQ(testing::At(data, "rows.3").string_value(), "2.5");
  EXPECT_EQ(testing::At(data, "columns.1").string_value(), "c 2");
  EXPECT_EQ(testing::At(data, "grids.0.values.1.0").number_value(), 2);
  EXPECT_EQ(testing::At(data, "grids.0.values.2.1").number_value(), 7);
  EXPECT_EQ(testing::At(data, "source.edits.0").string_value(), "ablate 0.1");
}

TEST(ActivationsPageTest, CosinesOfFewWordsWithAnotherRunAreByWord) {
  Activations answer = MakeActivations(v1::GetActivationsRequest::kCosines, v1::SITE_RESIDUAL);
  for (const char* token : {"x", kHostile}) AddToken(&answer.other, token);
  OtherSide other = WholeOtherSide(answer);
  other = {.same_run = false, .tokens = {other.tokens[1]}, .positions = {1}, .columns = {1}};
  const auto data = CheckedData(ActivationsPage(answer, other, {}));
  EXPECT_EQ(testing::At(data, "grids.1.title").string_value(), "c 2");
  EXPECT_EQ(testing::At(data, "rows.1").string_value(), "after 1");
  EXPECT_EQ(testing::At(data, "columns").list_value().values_size(), 1);
  EXPECT_EQ(testing::At(data, "grids.1.values.1.0").number_value(), 8);
  const Export file = ActivationsExport(answer, other, {});
  EXPECT_THAT(file.axes[2].labels, ElementsAre("1"));
  EXPECT_THAT(file.axes[2].texts, ElementsAre(kHostile));
  EXPECT_THAT(file.tensors[0].values, ElementsAre(2, 4, 6, 8));
  EXPECT_THAT(file.metadata.at("other_tokens"), HasSubstr("x"));
}

TEST(ActivationsPageTest, CosinesWithinARunNameTheChosenWords) {
  const Activations answer =
      MakeActivations(v1::GetActivationsRequest::kCosines, v1::SITE_RESIDUAL);
  const Export file = ActivationsExport(answer, WholeOtherSide(answer), {});
  EXPECT_THAT(file.axes[2].labels, ElementsAre("1", "2"));
  EXPECT_THAT(file.axes[2].texts, ElementsAre(kHostile, "c"));
}

TEST(ActivationsPageTest, VectorsHaveARowForEachElement) {
  const Activations answer =
      MakeActivations(v1::GetActivationsRequest::kVectors, v1::SITE_MLP_OUTPUT);
  const auto data = CheckedData(ActivationsPage(answer, WholeOtherSide(answer), {}));
  EXPECT_EQ(testing::At(data, "grids.1.title").string_value(), "layer 2");
  EXPECT_EQ(testing::At(data, "grids.1.values.1.0").number_value(), 6);
  EXPECT_EQ(testing::At(data, "grids.1.values.0.1").number_value(), 7);
  const Export file = ActivationsExport(answer, WholeOtherSide(answer), {});
  EXPECT_EQ(file.axes[2].name, "element");
  EXPECT_THAT(file.tensors[0].values, ElementsAre(1, 2, 3, 4, 5, 6, 7, 8));
}

TEST(ActivationsPageTest, ComponentsHaveTheirShareOfTheVariance) {
  const Activations answer = MakeActivations(v1::GetActivationsRequest::kPca, v1::SITE_RESIDUAL);
  const auto data = CheckedData(ActivationsPage(answer, WholeOtherSide(answer), {}));
  EXPECT_EQ(testing::At(data, "tokens.1").string_value(), kHostile);
  EXPECT_EQ(testing::At(data, "layers.0.name").string_value(), "embed");
  EXPECT_EQ(testing::At(data, "layers.0.explained.1").number_value(), .25);
  EXPECT_EQ(testing::At(data, "layers.1.points.1.0").number_value(), 7);
  const Export file = ActivationsExport(answer, WholeOtherSide(answer), {});
  EXPECT_THAT(file.others[0].values, ElementsAre(.75, .25, 1, 0));
  EXPECT_THAT(file.others[0].shape, ElementsAre(2, 2));
}

TEST(ActivationsPageTest, LengthsWithoutHeadsHaveTwoAxes) {
  Activations answer = MakeActivations(v1::GetActivationsRequest::kNorms, v1::SITE_RESIDUAL);
  answer.layers = {{1, 2}, {3, 4}};
  answer.widths = {1, 1};
  const Export file = ActivationsExport(answer, WholeOtherSide(answer), {});
  EXPECT_EQ(file.axes.size(), 2u);
  EXPECT_THAT(file.axes[0].labels, ElementsAre("0", "2"));
  EXPECT_EQ(file.metadata.at("site"), "residual");
}

TEST(ActivationsPageTest, MoreThanABrowserDrawsIsRefused) {
  Activations answer = MakeActivations(v1::GetActivationsRequest::kVectors, v1::SITE_RESIDUAL);
  for (auto& layer : answer.layers) layer.resize(1 << 19);
  EXPECT_TRUE(CheckPageSize(answer).ok());
  answer.layers[1].push_back(0);
  EXPECT_THAT(CheckPageSize(answer).message(), HasSubstr("at most 1,048,576"));
}

TEST(LensPageTest, HasACellForEachLayerAndPosition) {
  v1::LogitLensResponse lens;
  AddToken(lens.mutable_prompt(), kHostile);
  AddToken(lens.mutable_prompt(), " b");
  for (int layer : {0, 1}) {
    lens.add_layers(layer);
    for (int position : {0, 1}) {
      v1::LensCell& cell = *lens.add_cells();
      cell.set_layer(layer);
      cell.set_position(position);
      cell.set_entropy(layer);
      *cell.add_candidates() = MakeCandidate(kHostile, 0.5);
      *cell.add_followed() = MakeCandidate("x", 0.25 * layer + 0.125 * position);
    }
  }
  lens.add_positions(0);
  lens.add_positions(1);
  const auto data = CheckedData(LensPage(
      lens, {.layer_names = {"embed", "model"}, .edits = {"ablate 2.1"}, .at_or_after = "at"}));
  EXPECT_EQ(testing::At(data, "layers.1").string_value(), "model");
  EXPECT_EQ(testing::At(data, "cells.1.1.followed.0.p").number_value(), 0.375);
  EXPECT_EQ(testing::At(data, "followed.0").string_value(), "x");
  EXPECT_EQ(testing::At(data, "at_or_after").string_value(), "at");
  EXPECT_EQ(testing::At(data, "position").number_value(), 1);
  EXPECT_EQ(testing::At(data, "source.edits.0").string_value(), "ablate 2.1");
}

TEST(AttributePageTest, PartsAndTheirSourcesSumToTheLogit) {
  v1::AttributeLogitsResponse answer;
  AddToken(answer.mutable_prompt(), kHostile);
  AddToken(answer.mutable_prompt(), " b");
  answer.mutable_token()->set_bytes(kHostile);
  answer.set_logit(3);
  v1::LogitPart& embedding = *answer.add_parts();
  embedding.set_kind(v1::COMPONENT_KIND_EMBEDDING);
  embedding.set_value(1);
  v1::LogitPart& head = *answer.add_parts();
  head.set_kind(v1::COMPONENT_KIND_HEAD);
  head.set_layer(0);
  head.set_head(1);
  head.set_value(2);
  *head.mutable_by_source() = MakeTensor({0.5F, 1.5F}, {2});
  const std::vector<std::string> names = {"embeddings", "layer 0 head 1"};
  const auto data = CheckedData(AttributePage(answer, {.part_names = names}));
  EXPECT_EQ(testing::At(data, "parts.0.kind").string_value(), "embedding");
  EXPECT_EQ(testing::At(data, "parts.1.head").number_value(), 1);
  EXPECT_EQ(testing::At(data, "parts.1.by_source.1").number_value(), 1.5);
  const Export file = AttributeExport(answer, names, {});
  EXPECT_THAT(file.tensors[0].values, ElementsAre(0.5F, 1.5F));
  EXPECT_THAT(file.others[0].values, ElementsAre(1, 2));
}

TEST(ComparePageTest, HasPairsChangesAndHeads) {
  v1::CompareResponse answer;
  for (v1::PromptInfo* prompt : {answer.mutable_prompt_a(), answer.mutable_prompt_b()}) {
    AddToken(prompt, kHostile);
  }
  v1::AlignedPair& pair = *answer.add_pairs();
  pair.set_kl(0.5);
  *pair.mutable_top_a() = MakeCandidate(kHostile, 0.25);
  v1::ProbabilityChange& change = *pair.add_changes();
  change.mutable_token()->set_bytes("w");
  change.set_probability_b(0.75);
  *answer.mutable_head_divergence() = MakeTensor({.1F, .2F}, {1, 2});
  answer.mutable_a()->set_definition("KL_NATS");
  answer.mutable_a()->mutable_model()->set_name("other");
  const auto data = CheckedData(ComparePage(answer, {}));
  EXPECT_EQ(testing::At(data, "source.definition").string_value(), "KL_NATS");
  EXPECT_EQ(testing::At(data, "tokens.1.0").string_value(), kHostile);
  EXPECT_EQ(testing::At(data, "pairs.0.kl").number_value(), 0.5);
  EXPECT_EQ(testing::At(data, "pairs.0.changes.0.b").number_value(), 0.75);
  EXPECT_EQ(testing::At(data, "head_divergence.0").list_value().values_size(), 2);
  Export file = CompareExport(answer, {});
  EXPECT_EQ(file.metadata["definition"], "KL_NATS");
  EXPECT_EQ(file.metadata["model_a"], "other");
  EXPECT_EQ(file.metadata["head_divergence_nats_axes"], R"(["layer","head"])");
}

TEST(IntervenePageTest, HasEveryRunWithWhatItMovesAndSays) {
  v1::InterveneResponse answer;
  AddToken(answer.mutable_prompt(), kHostile);
  AddToken(answer.mutable_prompt(), "b");
  answer.mutable_base()->add_values(0.25);
  *answer.mutable_base()->add_candidates() = MakeCandidate(kHostile, 0.25);
  v1::InterveneResult& moved = *answer.add_results();
  moved.set_name(kHostile);
  moved.add_values(0.75);
  moved.add_deltas(0.5);
  moved.set_counterfactual_mask(true);
  answer.add_results()->set_problem("no numbers");
  NamedMetrics metrics;
  metrics.names = {"\u00b7were"};
  metrics.metrics.resize(1);
  metrics.metrics[0].mutable_probability()->set_text(" were");
  metrics.metrics[0].set_position(-1);
  const auto data = CheckedData(IntervenePage(answer, {metrics, {"focus=0"}, "at"}));
  EXPECT_EQ(testing::At(data, "position").number_value(), 1);
  EXPECT_EQ(testing::At(data, "at_or_after").string_value(), "at");
  EXPECT_EQ(testing::At(data, "metrics.0.name").string_value(), "probability of \u00b7were");
  EXPECT_EQ(testing::At(data, "metrics.0.kind").string_value(), "probability");
  EXPECT_EQ(testing::At(data, "base.candidates.0.token").string_value(), kHostile);
  EXPECT_EQ(testing::At(data, "results.0.name").string_value(), kHostile);
  EXPECT_EQ(testing::At(data, "results.0.changes.0").number_value(), 0.5);
  EXPECT_TRUE(testing::At(data, "results.0.counterfactual").bool_value());
  EXPECT_EQ(testing::At(data, "results.1.values").list_value().values_size(), 0);
  EXPECT_EQ(testing::At(data, "results.1.problem").string_value(), "no numbers");
  EXPECT_EQ(testing::At(data, "source.edits.0").string_value(), "focus=0");
  Export file = InterveneExport(answer, metrics, {"focus=0"});
  EXPECT_THAT(file.axes[0].labels, ElementsAre("(none)", kHostile, ""));
  EXPECT_THAT(file.tensors[0].values, ElementsAre(0.25F, 0.75F, ::testing::IsNan()));
  EXPECT_THAT(file.tensors[1].values, ElementsAre(0, 0.5F, ::testing::IsNan()));
  EXPECT_EQ(file.metadata["position"], "1");
}

TEST(ExplorePageTest, MessagesAreProtobufsJson) {
  ExplorePageData explore{.server = "127.0.0.1:1"};
  AddToken(explore.response.mutable_opened()->mutable_prompt(), kHostile);
  v1::ExplainRowResponse& row = *explore.response.mutable_hovered()->mutable_row();
  row.set_key_count(1);
  *row.mutable_weights() = MakeTensor({1}, {1});
  const auto data = CheckedData(ExplorePage(explore));
  EXPECT_EQ(testing::At(data, "response.opened.prompt.tokens.0.text").string_value(), kHostile);
  EXPECT_EQ(testing::At(data, "response.hovered.row.keyCount").string_value(), "1");
  EXPECT_EQ(testing::At(data, "response.hovered.row.weights.data").string_value(), "AACAPw==");
  EXPECT_EQ(testing::At(data, "response.hovered.row.query").string_value(), "0");
}

TEST(PageTest, MatricesAreRows) {
  std::ostringstream out;
  JsonWriter json(out);
  WriteMatrix(json, {1, 2, 3, NAN}, 2);
  EXPECT_EQ(out.str(), "[[1,2],[3,null]]");
}

}  // namespace
}  // namespace heed::cli
