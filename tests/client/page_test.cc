#include "client/cli/page.h"

#include <cstring>
#include <string>
#include <vector>

#include "client/cli/attention_page.h"
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

TEST(PageTest, MatricesAreRows) {
  std::ostringstream out;
  JsonWriter json(out);
  WriteMatrix(json, {1, 2, 3, NAN}, 2);
  EXPECT_EQ(out.str(), "[[1,2],[3,null]]");
}

}  // namespace
}  // namespace heed::cli
