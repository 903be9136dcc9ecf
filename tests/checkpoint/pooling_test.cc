#include "model/checkpoint/pooling.h"

#include <filesystem>
#include <optional>
#include <ostream>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/checkpoint/checkpoint_builder.h"
#include "tests/checkpoint/status_matchers.h"

namespace heed {
namespace {

constexpr int64_t kWidth = 384;

std::string Module(int index, const std::string& type, const std::string& path) {
  return absl::StrCat(R"({"idx": )", index, R"(, "name": ")", index, R"(", "path": ")", path,
                      R"(", "type": "sentence_transformers.models.)", type, R"("})");
}

const std::string& Normalized() {
  static const auto* const modules = new std::string(
      absl::StrCat("[", Module(0, "Transformer", ""), ", ", Module(1, "Pooling", "1_Pooling"), ", ",
                   Module(2, "Normalize", "2_Normalize"), "]"));
  return *modules;
}

const std::string& NotNormalized() {
  static const auto* const modules = new std::string(absl::StrCat(
      "[", Module(0, "Transformer", ""), ", ", Module(1, "Pooling", "1_Pooling"), "]"));
  return *modules;
}

// As sentence-transformers wrote it until its fifth release.
std::string Switches(const std::string& on) {
  std::string text = R"({"word_embedding_dimension": 384)";
  for (const char* name : {"cls_token", "mean_tokens", "max_tokens", "mean_sqrt_len_tokens",
                           "weightedmean_tokens", "lasttoken"}) {
    absl::StrAppend(&text, R"(, "pooling_mode_)", name, "\": ", name == on ? "true" : "false");
  }
  return text + R"(, "include_prompt": true})";
}

absl::StatusOr<std::optional<PoolingConfig>> Read(const std::string& modules,
                                                  const std::string& pooling) {
  const TestFolder folder;
  folder.Write("modules.json", modules);
  std::filesystem::create_directory(folder.File("1_Pooling"));
  if (!pooling.empty()) folder.Write("1_Pooling/config.json", pooling);
  return ReadPoolingConfig(folder.path(), kWidth);
}

TEST(PoolingTest, AFolderWithoutModulesSaysNothing) {
  const TestFolder folder;
  const auto pooling = ReadPoolingConfig(folder.path(), kWidth);
  ASSERT_THAT(pooling, IsOk());
  EXPECT_FALSE(pooling->has_value());
}

TEST(PoolingTest, ReadsTheSwitchesOfOlderFiles) {
  const std::pair<const char*, PoolingKind> ways[] = {{"mean_tokens", PoolingKind::kMean},
                                                      {"cls_token", PoolingKind::kFirst},
                                                      {"lasttoken", PoolingKind::kLast}};
  for (const auto& [name, kind] : ways) {
    const auto pooling = Read(Normalized(), Switches(name));
    ASSERT_THAT(pooling, IsOk()) << name;
    EXPECT_EQ(*pooling, (PoolingConfig{kind, true})) << name;
  }
}

TEST(PoolingTest, ReadsTheNameOfNewerFiles) {
  const std::pair<const char*, PoolingKind> ways[] = {{"mean", PoolingKind::kMean},
                                                      {"cls", PoolingKind::kFirst},
                                                      {"lasttoken", PoolingKind::kLast}};
  for (const auto& [name, kind] : ways) {
    const auto pooling = Read(NotNormalized(), absl::StrCat(R"({"embedding_dimension": 384,
        "pooling_mode": ")",
                                                            name, R"("})"));
    ASSERT_THAT(pooling, IsOk()) << name;
    EXPECT_EQ(*pooling, (PoolingConfig{kind, false})) << name;
  }
}

struct Refusal {
  const char* name;
  std::string modules;
  std::string pooling;
  absl::StatusCode code;
  std::string message;  // a part of it
};

void PrintTo(const Refusal& refusal, std::ostream* out) {
  *out << refusal.name;
}

class PoolingDamageTest : public testing::TestWithParam<Refusal> {};

TEST_P(PoolingDamageTest, IsRefused) {
  EXPECT_THAT(Read(GetParam().modules, GetParam().pooling),
              IsError(GetParam().code, GetParam().message));
}

std::string Modules(const std::vector<std::string>& modules) {
  return absl::StrCat("[", absl::StrJoin(modules, ","), "]");
}

std::string ReadsFrom(const std::string& path) {
  return Modules({Module(0, "Transformer", ""), Module(1, "Pooling", path)});
}

std::string Good() {
  return Switches("mean_tokens");
}

// What heed cannot compute, by name.
INSTANTIATE_TEST_SUITE_P(
    Unknown, PoolingDamageTest,
    testing::Values(
        Refusal{"Max", Normalized(), Switches("max_tokens"), kUnimplemented,
                "1_Pooling/config.json: pooling_mode_max_tokens is true; heed supports exactly"},
        Refusal{"WeightedMean", Normalized(), Switches("weightedmean_tokens"), kUnimplemented,
                "pooling_mode_weightedmean_tokens is true"},
        Refusal{"MeanOfRoots", Normalized(), Switches("mean_sqrt_len_tokens"), kUnimplemented,
                "pooling_mode_mean_sqrt_len_tokens is true"},
        Refusal{"TwoWays", Normalized(),
                R"({"pooling_mode_mean_tokens": true, "pooling_mode_cls_token": true})",
                kUnimplemented, "pooling_mode_cls_token is true; heed supports exactly one of"},
        Refusal{"WayOfTomorrow", Normalized(), R"({"pooling_mode_of_tomorrow": true})",
                kUnimplemented, "pooling_mode_of_tomorrow"},
        Refusal{"NameOfMax", Normalized(), R"({"pooling_mode": "max"})", kUnimplemented,
                R"(pooling_mode is "max"; heed supports "mean", "cls" and "lasttoken")"},
        Refusal{"Dense",
                Modules({Module(0, "Transformer", ""), Module(1, "Pooling", "1_Pooling"),
                         Module(2, "Dense", "2_Dense")}),
                Good(), kUnimplemented,
                R"(modules.json: [2].type is "sentence_transformers.models.Dense"; heed supports)"},
        Refusal{"NormalizedTwice",
                Modules({Module(0, "Transformer", ""), Module(1, "Pooling", "1_Pooling"),
                         Module(2, "Normalize", "2"), Module(3, "Normalize", "3")}),
                Good(), kUnimplemented, "[3].type"},
        Refusal{"PooledTwice",
                Modules({Module(0, "Transformer", ""), Module(1, "Pooling", "1_Pooling"),
                         Module(2, "Pooling", "1_Pooling")}),
                Good(), kUnimplemented, "[2].type"},
        Refusal{"NormalizedBeforePooling",
                Modules({Module(0, "Transformer", ""), Module(1, "Normalize", "1_Pooling"),
                         Module(2, "Pooling", "1_Pooling")}),
                Good(), kUnimplemented, "[1].type"},
        Refusal{"WordsInsteadOfATransformer",
                Modules({Module(0, "WordEmbeddings", ""), Module(1, "Pooling", "1_Pooling")}),
                Good(), kUnimplemented, "[0].type"}),
    [](const auto& info) { return info.param.name; });

INSTANTIATE_TEST_SUITE_P(
    Damaged, PoolingDamageTest,
    testing::Values(
        Refusal{"EmptyModules", "", Good(), kInvalid, "modules.json"},
        Refusal{"ModulesAreAnObject", "{}", Good(), kInvalid, "modules.json"},
        Refusal{"NoModules", "[]", Good(), kInvalid, "modules.json: lists 0 modules"},
        Refusal{"OneModule", Modules({Module(0, "Transformer", "")}), Good(), kInvalid,
                "lists 1 modules"},
        Refusal{"ModulesAreNumbers", "[1, 2]", Good(), kInvalid, "modules.json"},
        Refusal{"CutModules", Normalized().substr(0, 50), Good(), kInvalid, "modules.json: not"},
        Refusal{"TypeIsANumber", R"([{"type": 7}])", Good(), kInvalid, "[0].type"},
        Refusal{"NoType", R"([{"path": ""}])", Good(), kInvalid, "type"},
        Refusal{"EmptyPath", ReadsFrom(""), Good(), kInvalid,
                "[1].path is \"\"; it must be the plain name of a folder"},
        Refusal{"Dot", ReadsFrom("."), Good(), kInvalid, "[1].path"},
        Refusal{"Parent", ReadsFrom("../1_Pooling"), Good(), kInvalid, "[1].path"},
        Refusal{"Absolute", ReadsFrom("/etc"), Good(), kInvalid, "[1].path"},
        Refusal{"SubFolder", ReadsFrom("a/b"), Good(), kInvalid, "[1].path"},
        Refusal{"TwoDots", ReadsFrom(".."), Good(), kInvalid, "[1].path"},
        Refusal{"Backslash", ReadsFrom("1_Pooling\\\\a"), Good(), kInvalid, "[1].path"},
        Refusal{"Nul", ReadsFrom("1_Pooling\\u0000"), Good(), kInvalid, "[1].path"},
        Refusal{"NoSuchFolder", ReadsFrom("elsewhere"), Good(), kNotFound, "elsewhere/config.json"},
        Refusal{"NoPoolingFile", Normalized(), "", kNotFound, "1_Pooling/config.json"},
        Refusal{"CutPooling", Normalized(), "{", kInvalid, "1_Pooling/config.json"},
        Refusal{"PoolingIsAList", Normalized(), "[]", kInvalid, "1_Pooling/config.json"},
        Refusal{"NoWay", Normalized(), "{}", kInvalid,
                "1_Pooling/config.json: says no way of pooling"},
        Refusal{"AllSwitchesOff", Normalized(), Switches("none"), kInvalid,
                "says no way of pooling"},
        Refusal{"SwitchIsANumber", Normalized(), R"({"pooling_mode_mean_tokens": 1})", kInvalid,
                "pooling_mode_mean_tokens"},
        Refusal{"WayIsAList", Normalized(), R"({"pooling_mode": ["mean"]})", kInvalid,
                "pooling_mode"},
        Refusal{"AnotherWidth", Normalized(),
                R"({"word_embedding_dimension": 768, "pooling_mode_mean_tokens": true})", kInvalid,
                "word_embedding_dimension is 768; it must be an integer from 384 to 384"}),
    [](const auto& info) { return info.param.name; });

TEST(PoolingTest, FilesThatAreTooLongAreNotRead) {
  EXPECT_THAT(Read(std::string((1 << 20) + 1, ' '), Switches("mean_tokens")),
              IsError(kInvalid, "modules.json"));
}

}  // namespace
}  // namespace heed
