#include "model/checkpoint/pooling.h"

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
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
  std::string modules;
  std::string pooling;
  absl::StatusCode code;
  std::string message;  // a part of it
};

TEST(PoolingTest, RefusesByNameWhatItCannotCompute) {
  const std::string dense =
      absl::StrCat("[", Module(0, "Transformer", ""), ",", Module(1, "Pooling", "1_Pooling"), ",",
                   Module(2, "Dense", "2_Dense"), "]");
  const std::string last =
      absl::StrCat("[", Module(0, "Transformer", ""), ",", Module(1, "Pooling", "1_Pooling"), ",",
                   Module(2, "Normalize", "2"), ",", Module(3, "Normalize", "3"), "]");
  const std::string backwards =
      absl::StrCat("[", Module(0, "Transformer", ""), ",", Module(1, "Normalize", "1_Pooling"), ",",
                   Module(2, "Pooling", "1_Pooling"), "]");
  const Refusal refusals[] = {
      {Normalized(), Switches("max_tokens"), kUnimplemented,
       "1_Pooling/config.json: pooling_mode_max_tokens is true; heed supports exactly one of"},
      {Normalized(), Switches("weightedmean_tokens"), kUnimplemented,
       "pooling_mode_weightedmean_tokens is true"},
      {Normalized(), R"({"pooling_mode_mean_tokens": true, "pooling_mode_cls_token": true})",
       kUnimplemented, "pooling_mode_cls_token is true; heed supports exactly one of"},
      {Normalized(), R"({"pooling_mode_of_tomorrow": true})", kUnimplemented,
       "pooling_mode_of_tomorrow"},
      {Normalized(), R"({"pooling_mode": "max"})", kUnimplemented,
       R"(pooling_mode is "max"; heed supports "mean", "cls" and "lasttoken")"},
      {dense, Switches("mean_tokens"), kUnimplemented,
       R"(modules.json: [2].type is "sentence_transformers.models.Dense"; heed supports)"},
      {last, Switches("mean_tokens"), kUnimplemented, "[3].type"},
      {backwards, Switches("mean_tokens"), kUnimplemented, "[1].type"},
  };
  for (const Refusal& refusal : refusals) {
    EXPECT_THAT(Read(refusal.modules, refusal.pooling), IsError(refusal.code, refusal.message));
  }
}

TEST(PoolingTest, RefusesDamage) {
  const auto with_path = [](const std::string& path) {
    return absl::StrCat("[", Module(0, "Transformer", ""), ",", Module(1, "Pooling", path), "]");
  };
  const std::string good = Switches("mean_tokens");
  const Refusal refusals[] = {
      {"", good, kInvalid, "modules.json"},
      {"{}", good, kInvalid, "modules.json"},
      {"[]", good, kInvalid, "modules.json: lists 0 modules"},
      {absl::StrCat("[", Module(0, "Transformer", ""), "]"), good, kInvalid, "lists 1 modules"},
      {"[1, 2]", good, kInvalid, "modules.json"},
      {R"([{"type": 7}])", good, kInvalid, "[0].type"},
      {R"([{"path": ""}])", good, kInvalid, "type"},
      {with_path(""), good, kInvalid, "[1].path is \"\"; it must be the plain name of a folder"},
      {with_path("."), good, kInvalid, "[1].path"},
      {with_path("../1_Pooling"), good, kInvalid, "[1].path"},
      {with_path("/etc"), good, kInvalid, "[1].path"},
      {with_path("a/b"), good, kInvalid, "[1].path"},
      {with_path("1_Pooling\\\\.."), good, kInvalid, "[1].path"},
      {with_path("1_Pooling\\u0000"), good, kInvalid, "[1].path"},
      {with_path("elsewhere"), good, kNotFound, "elsewhere/config.json"},
      {Normalized(), "", kNotFound, "1_Pooling/config.json"},
      {Normalized(), "{", kInvalid, "1_Pooling/config.json"},
      {Normalized(), "[]", kInvalid, "1_Pooling/config.json"},
      {Normalized(), "{}", kInvalid, "1_Pooling/config.json: says no way of pooling"},
      {Normalized(), Switches("none"), kInvalid, "says no way of pooling"},
      {Normalized(), R"({"pooling_mode_mean_tokens": 1})", kInvalid, "pooling_mode_mean_tokens"},
      {Normalized(), R"({"pooling_mode": ["mean"]})", kInvalid, "pooling_mode"},
      {Normalized(), R"({"word_embedding_dimension": 768, "pooling_mode_mean_tokens": true})",
       kInvalid, "word_embedding_dimension is 768; it must be an integer from 384 to 384"},
  };
  for (const Refusal& refusal : refusals) {
    EXPECT_THAT(Read(refusal.modules, refusal.pooling), IsError(refusal.code, refusal.message))
        << refusal.modules << " " << refusal.pooling;
  }
}

TEST(PoolingTest, FilesThatAreTooLongAreNotRead) {
  EXPECT_THAT(Read(std::string((1 << 20) + 1, ' '), Switches("mean_tokens")),
              IsError(kInvalid, "modules.json"));
}

}  // namespace
}  // namespace heed
