#include "client/cli/pages/export.h"

#include <cmath>
#include <cstring>
#include <sstream>
#include <string>
#include <vector>

#include "client/cli/attention/attention_export.h"
#include "client/cli/pages/grid_page.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "model/checkpoint/safetensors.h"
#include "tests/client/fake_weights.h"
#include "tests/client/json_check.h"

namespace heed::cli {
namespace {

using ::heed::testing::At;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

Export TwoByTwo() {
  Export data;
  data.axes = {NumberAxis("layer", std::vector<int>{0, 3}), TokenAxis("key", {"a,\"b", " the"})};
  data.tensors = {{"weight", {0.1F, 1, NAN, -INFINITY}, {}}, {"other", {1, 2, 3, 4e-9F}, {}}};
  data.others = {{"vector", {5, 6, 7}, {3}}};
  return data;
}

TEST(CsvTest, HasARowForEachCellAndQuotesWhatNeedsIt) {
  std::ostringstream out;
  ASSERT_TRUE(WriteCsv(out, TwoByTwo()).ok());
  EXPECT_EQ(out.str(),
            "layer,key,key_token,weight,other\r\n"
            "0,0,\"a,\"\"b\",0.1,1\r\n"
            "0,1, the,1,2\r\n"
            "3,0,\"a,\"\"b\",nan,3\r\n"
            "3,1, the,-inf,4e-09\r\n");
}

TEST(SafetensorsExportTest, IsReadBackByTheReaderOfCheckpoints) {
  std::ostringstream out;
  Export data = TwoByTwo();
  AddSource({.model = {"decoder", "sha256:01"}, .definition = "TL_MUL"}, {"<s>", "a"}, &data);
  ASSERT_TRUE(WriteSafetensors(out, data).ok());
  const std::string file = out.str();
  uint64_t header_bytes = 0;
  std::memcpy(&header_bytes, file.data(), sizeof(header_bytes));
  EXPECT_EQ(header_bytes % 8, 0u);
  const std::string header = file.substr(8, header_bytes);
  const auto tensors = ParseSafetensorsHeader("x.safetensors", header,
                                              static_cast<int64_t>(file.size() - 8 - header_bytes));
  ASSERT_TRUE(tensors.ok()) << tensors.status();
  ASSERT_EQ(tensors->size(), 3u);
  EXPECT_EQ((*tensors)[1].name, "other");
  EXPECT_EQ((*tensors)[1].dtype_name, "F32");
  EXPECT_THAT((*tensors)[1].info.shape, ElementsAre(2, 2));
  EXPECT_EQ((*tensors)[2].name, "vector");
  EXPECT_THAT((*tensors)[2].info.shape, ElementsAre(3));
  std::vector<float> values(4);
  std::memcpy(values.data(), file.data() + 8 + header_bytes + 16, 16);
  EXPECT_THAT(values, ElementsAre(1, 2, 3, 4e-9F));
  bool ok = false;
  const auto json = testing::ParseJson(header, &ok);
  ASSERT_TRUE(ok);
  EXPECT_EQ(At(json, "__metadata__.definition").string_value(), "TL_MUL");
  EXPECT_EQ(At(json, "__metadata__.tokens").string_value(), R"(["\u003cs\u003e","a"])");
  EXPECT_EQ(At(json, "__metadata__.axes").string_value(), R"(["layer","key"])");
}

TEST(ExportTest, AFullDiskIsAnError) {
  std::ostringstream out;
  out.setstate(std::ios::badbit);
  EXPECT_TRUE(absl::IsDataLoss(WriteCsv(out, TwoByTwo())));
  EXPECT_TRUE(absl::IsDataLoss(WriteSafetensors(out, TwoByTwo())));
}

// Two heads over three tokens, all queries.
AttentionMaps Maps() {
  AttentionMaps maps = FakeMaps(1, 2, {{1, 0, 0}, {1, 0, 0}});
  maps.header.queries = {0, 1, 2};
  maps.weights = {1, 0, 0, .5F,  .5F,  0, .25F, .25F, .5F,  //
                  1, 0, 0, .75F, .25F, 0, 0,    1,    0};
  return maps;
}

TEST(AttentionExportTest, BertVizHasTheFieldsThatItsScriptsRead) {
  std::ostringstream out;
  ASSERT_TRUE(WriteBertViz(out, Maps()).ok());
  bool ok = false;
  const auto json = testing::ParseJson(out.str(), &ok);
  ASSERT_TRUE(ok);
  // head_view.js and model_view.js: attention[filter].attn[layer][head][query][key].
  EXPECT_EQ(At(json, "attention.0.attn.0.1.1.0").number_value(), 0.75);
  EXPECT_EQ(At(json, "attention.0.attn.0").list_value().values_size(), 2);
  EXPECT_EQ(At(json, "attention.0.left_text.2").string_value(), "t2");
  EXPECT_EQ(At(json, "attention.0.right_text").list_value().values_size(), 3);
  EXPECT_EQ(At(json, "default_filter").string_value(), "0");
  EXPECT_EQ(At(json, "include_layers").list_value().values_size(), 1);
  EXPECT_EQ(At(json, "include_heads.1").number_value(), 1);
  EXPECT_EQ(At(json, "total_heads").number_value(), 2);
  EXPECT_TRUE(At(json, "root_div_id").has_string_value());
}

TEST(AttentionExportTest, CircuitsVisHasTheHeadsOneAfterTheOther) {
  std::ostringstream out;
  ASSERT_TRUE(WriteCircuitsVis(out, Maps()).ok());
  bool ok = false;
  const auto json = testing::ParseJson(out.str(), &ok);
  ASSERT_TRUE(ok);
  EXPECT_EQ(At(json, "attention").list_value().values_size(), 2);
  EXPECT_EQ(At(json, "attention.1.2.1").number_value(), 1);
  EXPECT_EQ(At(json, "attentionHeadNames.1").string_value(), "L0H1");
  EXPECT_EQ(At(json, "tokens").list_value().values_size(), 3);
  EXPECT_TRUE(At(json, "maskUpperTri").bool_value());
  AttentionMaps some = Maps();
  some.header.queries = {2};
  EXPECT_TRUE(absl::IsInvalidArgument(WriteCircuitsVis(out, some)));
}

TEST(AttentionExportTest, RowsCarryTheirTokens) {
  std::ostringstream out;
  ASSERT_TRUE(WriteCsv(out, AttentionExport(Maps(), {})).ok());
  EXPECT_THAT(out.str(), HasSubstr("layer,head,query,query_token,key,key_token,weight\r\n"));
  EXPECT_THAT(out.str(), HasSubstr("\r\n0,1,1,t1,0,t0,0.75\r\n"));
}

TEST(GridExportTest, TheChosenNumberComesFirst) {
  const GridPageData data{.row_name = "layer",
                          .column_name = "head",
                          .rows = {"0"},
                          .columns = {"0", "1"},
                          .grids = {{"entropy", "", {1, 2}}, {"first weight", "", {3, 4}}},
                          .first = 1};
  std::ostringstream out;
  ASSERT_TRUE(WriteCsv(out, GridExport(data)).ok());
  EXPECT_EQ(out.str(), "layer,head,first_weight,entropy\r\n0,0,3,1\r\n0,1,4,2\r\n");
}

}  // namespace
}  // namespace heed::cli
