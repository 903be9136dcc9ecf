// Grids, curves and the JSON of wire messages.
#include <cmath>
#include <limits>
#include <sstream>
#include <string>
#include <vector>

#include "absl/time/clock.h"
#include "client/cli/base/wire_json.h"
#include "client/cli/pictures/head_grid.h"
#include "client/cli/pictures/scatter.h"
#include "client/cli/request/traces.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "heed/v1/inspection.pb.h"

namespace heed::cli {
namespace {

using ::testing::ContainsRegex;
using ::testing::HasSubstr;
using ::testing::Not;

TEST(GridTest, MarksTheStrongestAndShadesWithoutColours) {
  const Grid grid{"layer", {"0", "1"}, {"0", "1"}, {0.0f, 0.5f, 1.0f, 0.25f}};
  EXPECT_EQ(RenderGrid(grid, {}),
            "layer       0       1\n"
            "    0       0 ▓   .50\n"
            "    1 █ *1.00 ▒   .25\n");
}

TEST(GridTest, TheStrongestOfSignedNumbersIsTheFarthestFromZero) {
  const Grid grid{"layer", {"0"}, {"0", "1", "2"}, {0.5f, -2.0f, 1.0f}, /*is_signed=*/true};
  EXPECT_THAT(RenderGrid(grid, {}), HasSubstr("█*-2.00"));
}

TEST(GridTest, TheLegendSaysWhatTheMarkIsWhereThereIsOne) {
  constexpr float kUnknown = std::numeric_limits<float>::quiet_NaN();
  const Grid unknown{"layer", {"0"}, {"0"}, {kUnknown}};
  EXPECT_EQ(MarkText(unknown), "");
  EXPECT_THAT(RenderGrid(unknown, {}), Not(HasSubstr("*")));
  EXPECT_EQ(MarkText({"layer", {"0"}, {"0", "1"}, {0.0f, 0.0f}}), "");
  EXPECT_EQ(MarkText({"layer", {"0"}, {"0", "1"}, {0.0f, 0.5f}}), "; * the largest");
  const Grid below{"layer", {"0"}, {"0", "1"}, {kUnknown, -0.5f}, /*is_signed=*/true};
  EXPECT_EQ(MarkText(below), "; * furthest from 0");
  EXPECT_THAT(RenderGrid(below, {}), HasSubstr("*-.50"));
}

TEST(GridTest, SmallNumbersShareAPowerOfTen) {
  const Grid grid{"layer", {"0"}, {"0", "1"}, {2e-6f, 1e-6f}};
  const std::string text = RenderGrid(grid, {});
  EXPECT_THAT(text, HasSubstr("*2.00"));
  EXPECT_THAT(text, HasSubstr("multiples of 1e-6"));
}

TEST(GridTest, ColumnsThatDoNotFitComeBelowAndUnknownCellsAreMarked) {
  Grid grid{"layer", {"0"}, {}, {}};
  for (int i = 0; i < 12; ++i) {
    grid.columns.push_back(std::to_string(i));
    grid.values.push_back(i == 3 ? std::numeric_limits<float>::quiet_NaN() : 1.0f);
  }
  Terminal narrow;
  narrow.width = 40;
  const std::string text = RenderGrid(grid, narrow);
  EXPECT_THAT(text, HasSubstr("?"));
  EXPECT_THAT(text, HasSubstr("\n\nlayer"));
  EXPECT_THAT(text, HasSubstr("11"));
}

TEST(GridTest, CellsWithNothingInThemAreDotsAndCountForNothing) {
  const float nothing = -std::numeric_limits<float>::infinity();
  const Grid grid{"", {"0", "1"}, {"0", "1"}, {1.0f, nothing, 0.5f, 0.25f}};
  EXPECT_EQ(RenderGrid(grid, {}),
            "        0       1\n"
            "0 █ *1.00       ·\n"
            "1 ▒   .50     .25\n");
}

TEST(ScatterTest, PointsStandWhereTheyAreWithTheirNames) {
  Terminal narrow;
  narrow.width = 23;
  EXPECT_EQ(RenderScatter({{0, 0, "a"}, {1, 1, "b"}, {0.5, 0, "c"}}, 3, narrow),
            "                   b●\n"
            "\n"
            "●a        ●c\n");
  EXPECT_EQ(
      RenderScatter({{0, 0, "a"}, {0, 0, "b"}, {0, 0, "cc"}, {0, 0, "d"}, {0, 0, "e"}}, 1, narrow),
      "         b●a\n3 names had no room.\n");
}

TEST(CurveTest, BarsAreInProportion) {
  const std::string text = RenderCurve({{"0", 0.0}, {"0.5", 1.0}, {"1", -2.0}}, {});
  EXPECT_THAT(text, HasSubstr("  0           0\n"));
  EXPECT_THAT(text, HasSubstr("-2  ░░░░░░░░"));
  const std::string parts =
      RenderCurve({{"a", 7.436}, {"b", -0.08837}, {"c", 0}, {"d", 4e-7}}, Terminal{.width = 40});
  EXPECT_THAT(parts, HasSubstr("a       7.436  ██"));
  EXPECT_THAT(parts, HasSubstr("b      -0.088  ░\n"));
  EXPECT_THAT(parts, HasSubstr("c           0\n"));
  EXPECT_THAT(parts, HasSubstr("d     4.0e-07  ▏"));
  const Terminal colors{.width = 40, .color = ColorDepth::k256};
  EXPECT_THAT(RenderCurve({{"a", -1.0}}, colors),
              HasSubstr("████"));  // red says that it is below 0
  const std::string shares = RenderCurve({{"a", 0.25}}, Terminal{.width = 23}, 1);
  EXPECT_THAT(shares, HasSubstr("a      0.2500  ██\n"));  // of eight
}

TEST(WireJsonTest, TensorsAreNumbersAndBytesAreLeftOut) {
  v1::GetHeadStatsResponse message;
  message.add_layers(2);
  v1::Tensor& tensor = *message.mutable_entropy();
  tensor.set_dtype(v1::DATA_TYPE_F32);
  tensor.add_shape(2);
  const float values[] = {0.5f, std::numeric_limits<float>::infinity()};
  tensor.set_data(values, sizeof(values));
  message.mutable_prompt()->add_tokens()->set_bytes("x");
  message.mutable_prompt()->set_truncation(v1::TRUNCATION_LEFT);
  message.mutable_timings()->mutable_compute()->set_nanos(2500000);
  std::ostringstream out;
  JsonWriter json(out);
  WriteWireMessage(json, message);
  EXPECT_THAT(out.str(), HasSubstr(R"("layers":[2])"));
  EXPECT_THAT(out.str(), HasSubstr(R"("entropy_nats":{"shape":[2],"values":[0.5,null]})"));
  EXPECT_THAT(out.str(), HasSubstr(R"("truncation":"left")"));
  EXPECT_THAT(out.str(), HasSubstr(R"("timings_ms":{)"));
  EXPECT_THAT(out.str(), HasSubstr(R"("compute":2.5)"));
  EXPECT_THAT(out.str(), Not(HasSubstr("bytes\":")));
}

TEST(TraceTest, ShortTimesAreNotRoundedToSeconds) {
  const auto describe = [](absl::Duration left) {
    const int64_t nanos = absl::ToUnixNanos(absl::Now() + left);
    v1::TraceInfo trace;
    trace.mutable_expire_time()->set_seconds(nanos / 1'000'000'000);
    trace.mutable_expire_time()->set_nanos(static_cast<int32_t>(nanos % 1'000'000'000));
    return DescribeTrace(trace);
  };
  EXPECT_THAT(describe(absl::Milliseconds(900)), ContainsRegex("\\([0-9]{3}ms\\)"));
  EXPECT_THAT(describe(absl::Hours(1)), HasSubstr("(1h)"));
}

}  // namespace
}  // namespace heed::cli
