// Folders that must be refused, each for its own reason.
#include <sys/stat.h>

#include <ostream>

#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "model/base/error.h"
#include "model/checkpoint/checkpoint.h"
#include "tests/checkpoint/checkpoint_builder.h"
#include "tests/checkpoint/status_matchers.h"

namespace heed {
namespace {

namespace fs = std::filesystem;

struct Damage {
  const char* name;
  std::function<void(const TestFolder&)> damage;  // to a tiny GPT-2 with a tokenizer
  absl::StatusCode code;
  const char* message;
};

void PrintTo(const Damage& damage, std::ostream* out) {
  *out << damage.name;
}

class HfFolderDamageTest : public testing::TestWithParam<Damage> {};

TEST_P(HfFolderDamageTest, IsRefused) {
  const TestFolder folder;
  WriteTinyModel(folder, "gpt2");
  folder.Write("tokenizer.json", "{}");
  ASSERT_THAT(OpenHuggingFaceFolder(folder.path()), IsOk());
  GetParam().damage(folder);
  const absl::Status status = OpenHuggingFaceFolder(folder.path()).status();
  EXPECT_THAT(status, IsError(GetParam().code, GetParam().message));
  EXPECT_TRUE(absl::StartsWith(GetErrorDetails(status).reason, "CHECKPOINT_")) << status;
}

std::function<void(const TestFolder&)> Writes(const char* file, std::string bytes) {
  return [=](const TestFolder& folder) { folder.Write(file, bytes); };
}

std::function<void(const TestFolder&)> Removes(const char* file) {
  return [=](const TestFolder& folder) { folder.Remove(file); };
}

std::function<void(const TestFolder&)> ReplacesByFolder(const char* file) {
  return [=](const TestFolder& folder) {
    folder.Remove(file);
    fs::create_directory(folder.File(file));
  };
}

std::function<void(const TestFolder&)> ReplacesByPipe(const char* file) {
  return [=](const TestFolder& folder) {
    folder.Remove(file);
    EXPECT_EQ(mkfifo(folder.File(file).c_str(), 0600), 0);
  };
}

std::function<void(const TestFolder&)> ReplacesByLink(const char* file, const char* target) {
  return [=](const TestFolder& folder) {
    folder.Remove(file);
    fs::create_symlink(target, folder.File(file));
  };
}

std::function<void(const TestFolder&)> Makes(const char* file, int64_t size) {
  return [=](const TestFolder& folder) {
    folder.Write(file, "");
    fs::resize_file(folder.File(file), static_cast<uintmax_t>(size));  // sparse
  };
}

// Weights in another file only.
std::function<void(const TestFolder&)> WeightsAre(const char* file) {
  return [=](const TestFolder& folder) {
    folder.Remove("model.safetensors");
    folder.Write(file, "weights");
  };
}

std::function<void(const TestFolder&)> IndexSays(const char* weight_map) {
  return [=](const TestFolder& folder) {
    fs::rename(folder.File("model.safetensors"), folder.File("a.safetensors"));
    folder.Write("model.safetensors.index.json",
                 absl::StrCat("{\"weight_map\": ", weight_map, "}"));
  };
}

std::function<void(const TestFolder&)> EmptiesFolder() {
  return [](const TestFolder& folder) {
    for (const char* file : {"config.json", "model.safetensors", "tokenizer.json"}) {
      folder.Remove(file);
    }
  };
}

INSTANTIATE_TEST_SUITE_P(
    Files, HfFolderDamageTest,
    testing::Values(
        Damage{"Emptied", EmptiesFolder(), kNotFound, "the folder is empty"},
        Damage{"NoConfig", Removes("config.json"), kNotFound,
               "there is no config.json, which a Hugging Face folder must have, among "
               "\"model.safetensors\", \"tokenizer.json\""},
        Damage{"EmptyConfig", Writes("config.json", ""), kInvalid,
               "config.json: not valid JSON: the file is empty"},
        Damage{"CutConfig", Writes("config.json", "{\"model_type\": \"gp"), kInvalid,
               "config.json: not valid JSON: a string is not closed"},
        Damage{"ConfigIsAFolder", ReplacesByFolder("config.json"), kInvalid,
               "config.json: is a folder; it must be a regular file"},
        Damage{"ConfigIsAPipe", ReplacesByPipe("config.json"), kInvalid, "config.json: is a pipe"},
        Damage{"ConfigIsADevice", ReplacesByLink("config.json", "/dev/zero"), kInvalid,
               "config.json: is a device"},
        Damage{"ConfigLinksToNothing", ReplacesByLink("config.json", "blob"), kNotFound,
               "config.json: is a symbolic link to a file that does not exist"},
        Damage{"HugeConfig", Makes("config.json", INT64_C(5) << 20), kInvalid,
               "config.json: has 5242880 bytes; at most 4194304 are allowed"},
        Damage{"UnknownArchitecture", Writes("config.json", R"({"model_type": "t5"})"),
               kUnimplemented, "config.json: model_type is \"t5\"; heed supports \"gpt2\""},
        Damage{"BrokenGenerationConfig", Writes("generation_config.json", "{]"), kInvalid,
               "generation_config.json: not valid JSON"},
        Damage{"GenerationConfigIsAFolder", ReplacesByFolder("generation_config.json"), kInvalid,
               "generation_config.json: is a folder"},
        Damage{"TokenizerIsAFolder", ReplacesByFolder("tokenizer.json"), kInvalid,
               "tokenizer.json: is a folder"},
        Damage{"HugeTokenizer", Makes("tokenizer.json", (INT64_C(128) << 20) + 1), kInvalid,
               "tokenizer.json: has 134217729 bytes; at most"}),
    [](const auto& info) { return info.param.name; });

INSTANTIATE_TEST_SUITE_P(
    Weights, HfFolderDamageTest,
    testing::Values(
        Damage{"NoWeights", Removes("model.safetensors"), kNotFound,
               "there is neither model.safetensors nor model.safetensors.index.json among "
               "\"config.json\", \"tokenizer.json\""},
        Damage{"EmptyWeights", Writes("model.safetensors", ""), kInvalid,
               "model.safetensors: has 0 bytes"},
        Damage{"ZeroWeights", Makes("model.safetensors", 4096), kInvalid,
               "model.safetensors: the header must begin with '{'"},
        Damage{"HugeSparseWeights", Makes("model.safetensors", INT64_C(1) << 40), kInvalid,
               "model.safetensors: the header must begin with '{'"},
        Damage{"WeightsAreAFolder", ReplacesByFolder("model.safetensors"), kInvalid,
               "model.safetensors: is a folder"},
        Damage{"WeightsAreAPipe", ReplacesByPipe("model.safetensors"), kInvalid,
               "model.safetensors: is a pipe"},
        Damage{"WeightsAreADevice", ReplacesByLink("model.safetensors", "/dev/zero"), kInvalid,
               "model.safetensors: is a device"},
        Damage{"WeightsLinkToNothing", ReplacesByLink("model.safetensors", "../blobs/0123"),
               kNotFound, "model.safetensors: is a symbolic link to a file that does not exist"},
        Damage{"LfsPointer", Writes("model.safetensors", "version https://git-lfs.github.com/"),
               kInvalid, "model.safetensors: is a Git LFS pointer"},
        Damage{"NoTensors", Writes("model.safetensors", SafetensorsFile("{}", "")), kInvalid,
               "config.json: describes a model of "},
        Damage{
            "Pickle", WeightsAre("pytorch_model.bin"), kUnimplemented,
            "there is no model.safetensors. \"pytorch_model.bin\" is a pickle, which can run code "
            "when it is read, so heed does not read it; convert it to safetensors"},
        Damage{"PickleShards", WeightsAre("pytorch_model-00001-of-00002.bin"), kUnimplemented,
               "convert it to safetensors"},
        Damage{"Pt", WeightsAre("consolidated.00.pt"), kUnimplemented, "convert it to safetensors"},
        Damage{"Pth", WeightsAre("consolidated.00.pth"), kUnimplemented,
               "\"consolidated.00.pth\" is"},
        Damage{"Gguf", WeightsAre("model-Q4_K_M.gguf"), kUnimplemented,
               "\"model-Q4_K_M.gguf\" is a GGUF file; give its own path instead of the folder's"},
        Damage{"OtherSafetensors", WeightsAre("adapter_model.safetensors"), kNotFound,
               "there is neither model.safetensors nor"}),
    [](const auto& info) { return info.param.name; });

INSTANTIATE_TEST_SUITE_P(
    Shards, HfFolderDamageTest,
    testing::Values(
        Damage{"MissingShard", IndexSays(R"({"t": "b.safetensors"})"), kNotFound,
               "model.safetensors.index.json: b.safetensors: there is no such file"},
        Damage{"TensorNotInShard", IndexSays(R"({"t": "a.safetensors"})"), kInvalid,
               "says that tensor \"t\" is in a.safetensors, where it is not"},
        Damage{"Traversal", IndexSays(R"({"t": "../a.safetensors"})"), kInvalid,
               "model.safetensors.index.json: weight_map.t is \"../a.safetensors\"; it must be"},
        Damage{"AbsoluteShard", IndexSays(R"({"t": "/a.safetensors"})"), kInvalid,
               "it must be the plain"},
        Damage{"EmptyMap", IndexSays("{}"), kInvalid, "weight_map names no tensor"},
        Damage{"TooFewTensors", IndexSays(R"({"transformer.ln_f.weight": "a.safetensors"})"),
               kInvalid, "config.json: describes a model of "},
        Damage{"SameTensorTwice", IndexSays(R"({"transformer.ln_f.weight": "a.safetensors",
                                               "transformer.ln_f.weight": "a.safetensors"})"),
               kInvalid, "weight_map has the key \"transformer.ln_f.weight\" more than once"}),
    [](const auto& info) { return info.param.name; });

TEST(HfFolderTest, ShardsAreCheckedLikeSingleFiles) {
  const TestFolder folder;
  WriteTinyModel(folder, "llama", "F32", 2);
  const std::string shard = "model-00002-of-00002.safetensors";
  const std::string bytes = ReadTestFile(folder.File(shard));
  folder.Write(shard, bytes.substr(0, bytes.size() - 1));
  EXPECT_THAT(OpenHuggingFaceFolder(folder.path()),
              IsError(kInvalid, absl::StrCat(shard, ": the header describes")));
  folder.Write(shard, "");
  EXPECT_THAT(OpenHuggingFaceFolder(folder.path()),
              IsError(kInvalid, absl::StrCat(shard, ": has 0")));
  ReplacesByPipe(shard.c_str())(folder);
  EXPECT_THAT(OpenHuggingFaceFolder(folder.path()),
              IsError(kInvalid, absl::StrCat(shard, ": is a pipe")));
  ReplacesByLink(shard.c_str(), "model-00001-of-00002.safetensors")(folder);
  EXPECT_THAT(OpenHuggingFaceFolder(folder.path()), IsError(kInvalid, "where it is not"));
}

TEST(HfFolderTest, WhatIsNoFolderIsRefused) {
  const TestFolder folder;
  folder.Write("model.gguf", "GGUF");
  folder.Write("model.pt", "");
  folder.Write("config.json", "{}");
  EXPECT_THAT(OpenHuggingFaceFolder(folder.File("nothing")),
              IsError(kNotFound, "there is no such folder"));
  EXPECT_THAT(OpenHuggingFaceFolder(folder.File("config.json/x")),
              IsError(kNotFound, "there is no such folder"));
  EXPECT_THAT(OpenHuggingFaceFolder(""), IsError(kNotFound, "there is no such folder"));
  EXPECT_THAT(
      OpenHuggingFaceFolder(folder.File("config.json")),
      IsError(kInvalid, "is not a folder; it must be a Hugging Face folder with config.json"));
  EXPECT_THAT(OpenHuggingFaceFolder(folder.File("model.gguf")), IsError(kInvalid, "is a GGUF"));
  EXPECT_THAT(OpenHuggingFaceFolder(folder.File("model.pt")), IsError(kInvalid, "is a pickle"));
  folder.Remove("config.json");
  EXPECT_THAT(OpenHuggingFaceFolder(folder.path()),
              IsError(kNotFound,
                      "there is no config.json, which a Hugging Face folder must have, "
                      "among \"model.gguf\", \"model.pt\". \"model.gguf\" is a GGUF"));
}

// A model a thousand times as large as what is stored would make others allocate by its sizes.
TEST(HfFolderTest, ConfigMustBelongToTheTensors) {
  const TestFolder folder;
  WriteTinyModel(folder, "gpt2");
  const auto open_with = [&folder](absl::string_view from, absl::string_view to) {
    const std::string config = absl::StrReplaceAll(TinyConfig("gpt2"), {{from, to}});
    EXPECT_NE(config, TinyConfig("gpt2"));
    folder.Write("config.json", config);
    return OpenHuggingFaceFolder(folder.path()).status();
  };
  constexpr char kMessage[] = "but the tensors hold only";
  EXPECT_THAT(open_with("\"vocab_size\": 11", "\"vocab_size\": 67108864"),
              IsError(kInvalid, kMessage));
  EXPECT_THAT(open_with("\"n_layer\": 2", "\"n_layer\": 1000"), IsError(kInvalid, kMessage));
  EXPECT_THAT(open_with("\"n_inner\": 16", "\"n_inner\": 100000"), IsError(kInvalid, kMessage));
  EXPECT_THAT(open_with("\"n_embd\": 8", "\"n_embd\": 800"), IsError(kInvalid, kMessage));
  EXPECT_THAT(open_with("\"n_positions\": 16", "\"n_positions\": 1000000"),
              IsError(kInvalid, kMessage));
  // A smaller contradiction is named at its tensor.
  EXPECT_THAT(open_with("\"vocab_size\": 11", "\"vocab_size\": 12"), IsOk());
}

TEST(HfFolderTest, EveryTruncationOfTheWeightsIsRefused) {
  const TestFolder folder;
  WriteTinyModel(folder, "llama", "BF16");
  const std::string bytes = ReadTestFile(folder.File("model.safetensors"));
  for (size_t size = bytes.size(); size-- > 0;) {
    fs::resize_file(folder.File("model.safetensors"), size);
    EXPECT_THAT(OpenHuggingFaceFolder(folder.path()), IsError(kInvalid, "model.safetensors: "))
        << size;
  }
}

TEST(HfFolderTest, EveryTruncationOfTheConfigIsRefused) {
  const TestFolder folder;
  WriteTinyModel(folder, "gpt2");
  const std::string text = TinyConfig("gpt2");
  for (size_t size = 0; size < text.size(); ++size) {
    folder.Write("config.json", text.substr(0, size));
    EXPECT_THAT(OpenHuggingFaceFolder(folder.path()), IsError(kInvalid, "config.json: not valid"));
  }
}

// Whatever one flipped bit does, opening and reading every tensor ends in a status.
TEST(HfFolderTest, EveryFlippedBitOfConfigAndIndexIsHandled) {
  const TestFolder folder;
  WriteTinyModel(folder, "llama", "F32", 2);
  for (const char* file : {"config.json", "model.safetensors.index.json"}) {
    const std::string right = ReadTestFile(folder.File(file));
    for (size_t i = 0; i < right.size(); ++i) {
      for (int bit = 0; bit < 8; ++bit) {
        std::string flipped = right;
        flipped[i] = static_cast<char>(flipped[i] ^ (1 << bit));
        folder.Write(file, flipped);
        const auto checkpoint = OpenHuggingFaceFolder(folder.path());
        std::vector<float> values(8);
        if (checkpoint.ok()) {
          (*checkpoint)->ReadF32("norm.weight", {8}, absl::MakeSpan(values)).IgnoreError();
        }
      }
    }
    folder.Write(file, right);
  }
}

}  // namespace
}  // namespace heed
