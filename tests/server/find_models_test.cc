#include "server/find_models.h"

#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace heed {
namespace {

namespace fs = std::filesystem;

using testing::AllOf;
using testing::ElementsAre;
using testing::EndsWith;
using testing::HasSubstr;
using testing::IsEmpty;

// A folder with these files, none of which is more than its name.
fs::path MakeModelsDir(const std::string& name, const std::vector<std::string>& files) {
  const fs::path dir = fs::path(testing::TempDir()) / name;
  fs::remove_all(dir);
  fs::create_directories(dir);
  for (const std::string& file : files) {
    fs::create_directories((dir / file).parent_path());
    std::ofstream(dir / file) << "{}";
  }
  return dir;
}

// Names, and paths below the folder, as "name: path".
std::vector<std::string> Found(const fs::path& dir) {
  std::vector<std::string> warnings;
  const auto found = FindModels(dir.string(), &warnings);
  EXPECT_THAT(warnings, IsEmpty());
  EXPECT_TRUE(found.ok()) << found.status();
  std::vector<std::string> models;
  if (!found.ok()) return models;
  for (const ModelSource& source : *found) {
    models.push_back(source.name + ": " + fs::path(source.folder).lexically_relative(dir).string());
  }
  return models;
}

std::string Refusal(const fs::path& dir) {
  std::vector<std::string> warnings;
  return std::string(FindModels(dir.string(), &warnings).status().message());
}

TEST(FindModelsTest, PutsTheDecoderFirstThenTheLadderThenTheRest) {
  const fs::path dir = MakeModelsDir(
      "find_order", {"zebra/config.json", "encoder/config.json", "attention-pos/config.json",
                     "apple.gguf", "average/config.json", "weighted/config.json",
                     "decoder/config.json", "last-word/config.json", "attention/config.json"});
  EXPECT_THAT(Found(dir), ElementsAre("decoder: decoder", "last-word: last-word",
                                      "average: average", "weighted: weighted",
                                      "attention: attention", "attention-pos: attention-pos",
                                      "encoder: encoder", "apple: apple.gguf", "zebra: zebra"));
}

// A folder that lost its config.json is found, so that loading it says so; one that never was a
// model is not.
TEST(FindModelsTest, FindsDamagedFolders) {
  const fs::path dir = MakeModelsDir(
      "find_damaged",
      {"whole/config.json", "weights/model.safetensors", "shards/model.safetensors.index.json",
       "words/tokenizer.json", "notes/README.md", ".cache/config.json", ".x.gguf", "readme.txt"});
  EXPECT_THAT(Found(dir),
              ElementsAre("shards: shards", "weights: weights", "whole: whole", "words: words"));
}

TEST(FindModelsTest, FindsGgufFilesAndCountsTheirPartsAsOne) {
  const fs::path dir =
      MakeModelsDir("find_gguf", {"TinyLlama-1.1B-Q4_K_M.gguf", "Big-00001-of-00003.gguf",
                                  "Big-00002-of-00003.gguf", "Big-00003-of-00003.gguf",
                                  "folder/config.json", "upper.GGUF"});
  EXPECT_THAT(Found(dir), ElementsAre("big: Big-00001-of-00003.gguf", "folder: folder",
                                      "tinyllama-1.1b-q4_k_m: TinyLlama-1.1B-Q4_K_M.gguf",
                                      "upper: upper.GGUF"));
}

// The first part, which is not there, is what loading will ask for.
TEST(FindModelsTest, FindsAModelWhoseFirstPartIsMissing) {
  const fs::path dir = MakeModelsDir("find_parts", {"m-00002-of-00002.gguf"});
  EXPECT_THAT(Found(dir), ElementsAre("m: m-00001-of-00002.gguf"));
}

TEST(FindModelsTest, FindsTheGgufFilesOfAFolder) {
  const fs::path dir = MakeModelsDir(
      "find_gguf_folders",
      {"one/weights.gguf", "one/config.json", "parts/p-00001-of-00002.gguf",
       "parts/p-00002-of-00002.gguf", "several/A-Q4.gguf", "several/A-Q8.gguf",
       "several/config.json", "both/model.safetensors", "both/a.gguf", "both/b.gguf"});
  EXPECT_THAT(Found(dir), ElementsAre("a-q4: several/A-Q4.gguf", "a-q8: several/A-Q8.gguf",
                                      "both: both", "one: one", "parts: parts"));
}

TEST(FindModelsTest, TwoWithTheSameNameAreAnErrorThatNamesBoth) {
  const fs::path dir = MakeModelsDir("find_twice", {"Llama.gguf", "llama/config.json"});
  EXPECT_THAT(Refusal(dir),
              AllOf(HasSubstr("two models are called \"llama\": "),
                    HasSubstr((dir / "Llama.gguf").string()), HasSubstr((dir / "llama").string()),
                    HasSubstr("--model=other=")));
}

TEST(FindModelsTest, WithoutAnyIsAnError) {
  const fs::path dir = MakeModelsDir("find_none", {"notes/README.md"});
  EXPECT_THAT(Refusal(dir), EndsWith("a model is a folder with a config.json, or a GGUF file"));
  EXPECT_THAT(Refusal(dir / "absent"), AllOf(HasSubstr("absent: "), HasSubstr("no such folder")));
  EXPECT_THAT(Refusal(dir / "notes/README.md"), EndsWith("README.md: it is not a folder"));
}

// Root may read everything, so this is done as somebody else.
TEST(FindModelsTest, WhatMayNotBeReadIsSaid) {
  const fs::path dir = MakeModelsDir("find_closed", {"closed/config.json", "open/config.json"});
  fs::permissions(dir / "closed", fs::perms::none);
  const bool is_root = geteuid() == 0;
  ASSERT_EQ(is_root ? seteuid(65534) : 0, 0);
  std::vector<std::string> warnings;
  const auto found = FindModels(dir.string(), &warnings);
  const std::string refusal = Refusal(dir / "closed");
  ASSERT_EQ(is_root ? seteuid(0) : 0, 0);
  fs::permissions(dir / "closed", fs::perms::owner_all);
  ASSERT_TRUE(found.ok()) << found.status();
  EXPECT_EQ(found->size(), 1);
  EXPECT_THAT(warnings, ElementsAre(EndsWith("closed: the folder cannot be read: Permission "
                                             "denied")));
  EXPECT_THAT(refusal, EndsWith("closed: the folder cannot be read: Permission denied"));
}

TEST(FindModelsTest, AFileOfWhichNoNameCanBeMadeIsAnError) {
  const fs::path dir = MakeModelsDir("find_nameless", {"---.gguf"});
  EXPECT_THAT(Refusal(dir), HasSubstr("no name for a model can be made of this"));
}

TEST(ModelNameTest, IsMadeOfThePath) {
  const struct {
    const char* path;
    const char* name;
  } cases[] = {
      {"/models/gpt2", "gpt2"},
      {"/models/gpt2/", "gpt2"},
      {"./a/../b", "b"},
      {"Qwen3-0.6B", "qwen3-0.6b"},
      {"/x/TinyLlama-1.1B-Chat.Q4_K_M.gguf", "tinyllama-1.1b-chat.q4_k_m"},
      {"/x/DeepSeek-00002-of-00009.gguf", "deepseek"},
      {"Bad Name (1)", "bad-name--1"},
      {"_-.x.-_", "x"},
      {"\xc3\xa9t\xc3\xa9", "t"},
      {"...", ""},
      {"/", ""},
      {"", ""},
      {".gguf", ""},
  };
  for (const auto& c : cases) EXPECT_EQ(ModelNameOf(c.path), c.name) << c.path;
  EXPECT_EQ(ModelNameOf(std::string(63, 'a') + "-b"), std::string(63, 'a'));
}

}  // namespace
}  // namespace heed
