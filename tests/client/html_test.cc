#include "client/cli/html.h"

#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/client/fake_weights.h"

namespace heed::cli {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

AttentionMaps Maps() {
  return FakeMaps(1, 2, {{.25F, .25F, .5F}, {0, 1, 0}});
}

TEST(HtmlTest, ContainsTheDataAndWhereItComesFrom) {
  const std::string page = AttentionPage(Maps(), {.layer = 0, .head = 1, .reason = "it is sharp"});
  EXPECT_THAT(page, HasSubstr("<title>heed attention: t0t1t2</title>"));
  EXPECT_THAT(page, HasSubstr(R"("tokens":["t0","t1","t2"])"));
  EXPECT_THAT(page, HasSubstr(R"("digest":"sha256:0123456789abcdef")"));
  EXPECT_THAT(page, HasSubstr(R"("first":{"layer":0,"head":1,"reason":"it is sharp"})"));
  EXPECT_THAT(page, HasSubstr(R"("weights_u16_base64":"AEAAQACA)"));
  EXPECT_THAT(page, Not(HasSubstr("{{")));
}

TEST(HtmlTest, LoadsNothingFromAnywhere) {
  const std::string page = AttentionPage(Maps(), {});
  for (const char* address : {"http:", "https:", "//cdn", "src=", "href=", "@import", "url(",
                              "fetch(", "XMLHttpRequest", "import("}) {
    EXPECT_THAT(page, Not(HasSubstr(address))) << address;
  }
}

TEST(HtmlTest, TokensCannotBreakOutOfThePage) {
  AttentionMaps maps = Maps();
  maps.header.prompt.tokens[0].bytes = "</script><script>alert(1)</script>";
  maps.header.model.name = "<b>{{DATA}}</b>";
  const std::string page = AttentionPage(maps, {});
  EXPECT_THAT(page, Not(HasSubstr("<script>alert")));
  EXPECT_THAT(page, Not(HasSubstr("<b>{{")));
  EXPECT_THAT(page, HasSubstr("&lt;/script&gt;"));
  EXPECT_THAT(page, HasSubstr(R"(\u003c/script\u003e)"));
}

TEST(HtmlTest, PacksOnlyWhatAQueryCanSee) {
  AttentionMaps maps = Maps();
  maps.header.queries = {1};
  // Of a causal row at position 1, two keys; of a bidirectional one, all three.
  EXPECT_EQ(PackWeights(maps), std::string("\x00\x40\x00\x40\x00\x00\xFF\xFF", 8));
  maps.header.causal = false;
  EXPECT_EQ(PackWeights(maps).size(), 12u);
}

}  // namespace
}  // namespace heed::cli
