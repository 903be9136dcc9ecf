#include "model/checkpoint/shard_index.h"

#include <ostream>
#include <string>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/checkpoint/status_matchers.h"

namespace heed {
namespace {

using ::testing::ElementsAre;
using ::testing::Pair;

struct Damage {
  const char* name;
  std::string text;
  const char* message;
};

void PrintTo(const Damage& damage, std::ostream* out) {
  *out << damage.name;
}

TEST(ShardIndexTest, GroupsTensorsByShard) {
  const auto index = ParseShardIndex(
      "i.json",
      R"({"metadata": {"total_size": 3}, "weight_map": {"b": "2.safetensors", "a": "1.safetensors",
          "c": "2.safetensors"}})");
  ASSERT_THAT(index, IsOk());
  EXPECT_THAT(*index, ElementsAre(Pair("1.safetensors", ElementsAre("a")),
                                  Pair("2.safetensors", ElementsAre("b", "c"))));
}

TEST(ShardIndexTest, MillionTensorsAreFine) {
  std::string text = "{\"weight_map\": {\"t\": \"s.safetensors\"";
  for (int i = 0; i < 1000000; ++i) absl::StrAppend(&text, ",\"", i, "\":\"s.safetensors\"");
  const auto index = ParseShardIndex("i.json", text + "}}");
  ASSERT_THAT(index, IsOk());
  EXPECT_EQ(index->at("s.safetensors").size(), 1000001);
}

std::string MapTo(absl::string_view shard) {
  return absl::StrCat(R"({"weight_map": {"t": )", shard, "}}");
}

std::string ManyShards(int n) {
  std::string text = R"({"weight_map": {"t": "s.safetensors")";
  for (int i = 1; i < n; ++i) absl::StrAppend(&text, ",\"", i, "\":\"", i, ".safetensors\"");
  return text + "}}";
}

class ShardIndexDamageTest : public testing::TestWithParam<Damage> {};

TEST_P(ShardIndexDamageTest, IsRefused) {
  EXPECT_THAT(ParseShardIndex("i.json", GetParam().text),
              IsError(absl::StatusCode::kInvalidArgument, GetParam().message));
}

constexpr char kPlain[] = "it must be the plain name of a .safetensors file in the same folder";

INSTANTIATE_TEST_SUITE_P(
    All, ShardIndexDamageTest,
    testing::Values(
        Damage{"Empty", "", "i.json: not valid JSON"},
        Damage{"NotAnObject", "[]", "i.json is []; it must be an object"},
        Damage{"NoWeightMap", "{}", "i.json: has no key \"weight_map\""},
        Damage{"MapIsAList", R"({"weight_map": []})", "weight_map is []; it must be an object"},
        Damage{"MapIsEmpty", R"({"weight_map": {}})", "weight_map names no tensor"},
        Damage{"TensorTwice", R"({"weight_map": {"t": "a.safetensors", "t": "b.safetensors"}})",
               "weight_map has the key \"t\" more than once"},
        Damage{"ShardIsANumber", MapTo("7"), "i.json: weight_map.t is 7; it must be a string"},
        Damage{"ShardIsEmpty", MapTo(R"("")"), kPlain},
        Damage{"OnlyTheEnding", MapTo(R"(".safetensors")"), kPlain},
        Damage{"Parent", MapTo(R"("../s.safetensors")"), kPlain},
        Damage{"ParentInside", MapTo(R"("a/../../s.safetensors")"), kPlain},
        Damage{"DotDot", MapTo(R"("..safetensors")"), kPlain},
        Damage{"Absolute", MapTo(R"("/etc/s.safetensors")"), kPlain},
        Damage{"SubFolder", MapTo(R"("a/s.safetensors")"), kPlain},
        Damage{"Backslash", MapTo(R"("..\\s.safetensors")"), kPlain},
        Damage{"Nul", MapTo(R"("s\u0000.safetensors")"), kPlain},
        Damage{"Pickle", MapTo(R"("pytorch_model-1.bin")"), kPlain},
        Damage{"TooManyShards", ManyShards(513), "names more than 512 shards"}),
    [](const auto& info) { return info.param.name; });

TEST(ShardIndexTest, AsManyShardsAsAllowed) {
  EXPECT_THAT(ParseShardIndex("i.json", ManyShards(512)), IsOk());
}

}  // namespace
}  // namespace heed
