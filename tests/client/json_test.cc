#include "client/cli/base/json.h"

#include <limits>
#include <sstream>

#include "gtest/gtest.h"

namespace heed::cli {
namespace {

TEST(JsonTest, EscapesWhatMustBe) {
  EXPECT_EQ(JsonString("a\"b\\c\n\r\t"), R"("a\"b\\c\n\r\t")");
  EXPECT_EQ(JsonString(std::string("\0\x1f\x7f", 3)), R"("\u0000\u001f\u007f")");
  EXPECT_EQ(JsonString("</script>&"), R"("\u003c/script\u003e\u0026")");
  EXPECT_EQ(JsonString("\xE2\x80\xA8"), R"("\u2028")");
  EXPECT_EQ(JsonString("漢·"), "\"漢·\"");
  EXPECT_EQ(JsonString("a\xFF\xE2\x82"), "\"a\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD\"");
}

TEST(JsonTest, NumbersAreShortAndExact) {
  EXPECT_EQ(JsonNumber(0.1), "0.1");
  EXPECT_EQ(JsonNumber(1e300), "1e+300");
  EXPECT_EQ(JsonNumber(-0.25), "-0.25");
  EXPECT_EQ(JsonNumber(std::numeric_limits<double>::infinity()), "null");
  EXPECT_EQ(JsonNumber(std::numeric_limits<double>::quiet_NaN()), "null");
}

TEST(JsonTest, NestsWithCommasInTheRightPlaces) {
  std::ostringstream out;
  JsonWriter json(out);
  json.BeginObject();
  json.Key("a").BeginArray().Int(1).Float(0.1F).BeginObject().EndObject().EndArray();
  json.Key("b").Bool(true).Key("c").Null().Key("d").String("x").Key("e").BeginArray().EndArray();
  json.EndObject();
  json.EndLine();
  json.Number(2);
  json.EndLine();
  EXPECT_EQ(out.str(), "{\"a\":[1,0.1,{}],\"b\":true,\"c\":null,\"d\":\"x\",\"e\":[]}\n2\n");
}

TEST(JsonTest, ValuesThatAreJsonAlreadyCannotEndAScript) {
  std::ostringstream out;
  JsonWriter json(out);
  json.BeginArray().Int(1).Raw(R"({"a":"</script>"})").EndArray();
  EXPECT_EQ(out.str(), R"([1,{"a":"\u003c/script>"}])");
}

}  // namespace
}  // namespace heed::cli
