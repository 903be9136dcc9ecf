// Descriptions of models, and that their verdict is what loading says.
#include "server/describe_model.h"

#include <algorithm>
#include <filesystem>
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "model/base/json.h"
#include "model/base/layer_kinds.h"
#include "server/engine/registry.h"
#include "tests/checkpoint/checkpoint_builder.h"
#include "tests/checkpoint/config_values.h"
#include "tests/checkpoint/gguf_builder.h"
#include "tests/checkpoint/status_matchers.h"

namespace heed {
namespace {

namespace fs = std::filesystem;

using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;

const LoadOptions& kSmallCache = *new LoadOptions{.kv_cache_bytes = int64_t{1} << 20};

ModelDescription Describe(const std::string& path) {
  const auto description = DescribeModel(path, kSmallCache);
  EXPECT_THAT(description, IsOk());
  return description.value_or(ModelDescription{});
}

std::string Golden(const std::string& name) {
  return absl::StrCat(HEED_SOURCE_DIR, "/tests/golden/", name);
}

TEST(DescribeModelTest, AGgufFileInFull) {
  EXPECT_EQ(
      DescriptionText(Describe(Golden("gguf/llama3-bf16/model.gguf"))),
      "format       GGUF, 1 file of 26.7 kB\n"
      "architecture llama\n"
      "parameters   11,816 in 28 tensors\n"
      "  BF16       11,520 in 15 tensors, 23 kB\n"
      "  F32        296 in 13 tensors, 1.18 kB\n"
      "besides      1 tensor that the configuration makes known: \"rope_freqs.weight\"\n"
      "tokenizer    none: token ids only\n"
      "layers       2 layers of 4 heads on 2 key heads of 8, width 24, feed-forward 40\n"
      "vocabulary   48 rows, also the unembedding\n"
      "context      64 tokens, causal\n"
      "memory       47.3 kB of weights, 256 B of keys and values per token, 16.4 kB for a whole "
      "context\n"
      "embeddings   of a text: last of its tokens\n"
      "heed         can serve it\n");
}

TEST(DescribeModelTest, TokenizersAndModelsWithoutAHead) {
  const ModelDescription bert = Describe(Golden("gguf/bert/model.gguf"));
  EXPECT_THAT(DescriptionText(bert),
              AllOf(HasSubstr("300 tokens, from GGUF\n"),
                    HasSubstr("300 rows, no head: embeddings, but no predict"),
                    HasSubstr("context      32 tokens, bidirectional\n")));
  const ModelDescription llama = Describe(Golden("models/llama-gqa-f32"));
  EXPECT_EQ(llama.tokenizer_kind, "byte-level BPE");
  EXPECT_EQ(llama.tokenizer_tokens, 312);
}

TEST(DescribeModelTest, QuantizedTypesAreCounted) {
  const ModelDescription description = Describe(Golden("gguf/quantized/Q4_K_M.gguf"));
  EXPECT_EQ(description.stored.front().dtype, "Q4_K");
  EXPECT_LT(description.bytes(), description.values());
  EXPECT_THAT(DescriptionText(description), HasSubstr("\n  Q6_K       "));
}

TEST(DescribeModelTest, ATiedTensorStoredTwiceIsCountedOnce) {
  const TestFolder folder;
  std::vector<TestTensor> tensors = TinyTensors("gpt2");
  WriteTinyModel(folder, "gpt2");
  const int64_t once = Describe(folder.path()).values();
  tensors.push_back(RandomTensor("lm_head.weight", "F32", {11, 8}, 1));
  tensors.push_back(RandomTensor("transformer.h.0.attn.masked_bias", "F32", {1}, 2));
  tensors.push_back(RandomTensor("classifier.weight", "F16", {2, 8}, 3));
  WriteWeights(folder, tensors);
  const ModelDescription description = Describe(folder.path());
  EXPECT_EQ(description.values(), once);
  EXPECT_EQ(description.stored.size(), 1);
  EXPECT_THAT(
      DescriptionText(description),
      AllOf(HasSubstr("besides      1 tensor with the embedding again, counted once: "
                      "\"lm_head.weight\"\n"),
            HasSubstr("1 tensor that the configuration makes known: \"transformer.h.0.attn.mas"),
            HasSubstr("1 tensor that heed does not use: \"classifier.weight\"\n"),
            HasSubstr("heed         can serve it\n")));
}

TEST(DescribeModelTest, EveryMissingTensorIsNamed) {
  const TestFolder folder;
  std::vector<TestTensor> tensors = TinyTensors("llama");
  std::erase_if(tensors, [](const TestTensor& t) { return absl::StrContains(t.name, "norm"); });
  folder.Write("config.json", TinyConfig("llama"));
  WriteWeights(folder, tensors);
  const ModelDescription description = Describe(folder.path());
  EXPECT_EQ(description.problems.size(), 5);
  const std::string text = DescriptionText(description);
  EXPECT_THAT(text,
              HasSubstr("heed         refuses it: model.safetensors: has no tensor \"layers"));
  EXPECT_THAT(text,
              HasSubstr("             and: model.safetensors: has no tensor \"norm.weight\""));
}

TEST(DescribeModelTest, EveryMissingTensorOfAGgufFileIsNamed) {
  const TestFolder folder;
  TestGguf file = TinyGguf("llama");
  file.RemoveTensor("blk.0.attn_q.weight");
  file.RemoveTensor("blk.1.ffn_up.weight");
  folder.Write("m.gguf", file.Bytes());
  const ModelDescription description = Describe(folder.path());
  ASSERT_EQ(description.problems.size(), 2);
  EXPECT_THAT(description.problems[0], IsError(kNotFound, "\"blk.0.attn_q.weight\""));
  EXPECT_THAT(description.problems[1], IsError(kNotFound, "\"blk.1.ffn_up.weight\""));
}

TEST(DescribeModelTest, ManyReasonsAreCutForPeopleOnly) {
  const TestFolder folder;
  folder.Write("config.json", TinyConfig("llama"));
  std::vector<TestTensor> tensors = {RandomTensor("a", "F32", {1000}, 1)};
  WriteWeights(folder, tensors);
  const ModelDescription description = Describe(folder.path());
  EXPECT_GT(description.problems.size(), 15);
  EXPECT_THAT(DescriptionText(description),
              HasSubstr(absl::StrCat("             and ", description.problems.size() - 8,
                                     " more such reasons\n")));
  const std::string json = DescriptionJson(description);
  EXPECT_THAT(json, HasSubstr("lm_head.weight"));
}

TEST(DescribeModelTest, WhatHeedDoesNotKnowIsRefusedByName) {
  const TestFolder folder;
  WriteTinyModel(folder, "gpt2");
  folder.Write("config.json", "{\"model_type\": \"\\u001b[31m\"}");
  const ModelDescription description = Describe(folder.path());
  EXPECT_EQ(description.tensors(), 28);
  EXPECT_THAT(description.extra, IsEmpty());
  const std::string text = DescriptionText(description);
  EXPECT_THAT(text, HasSubstr("heed         refuses it: config.json: model_type is"));
  EXPECT_THAT(text, Not(HasSubstr("\033")));
}

TEST(DescribeModelTest, SizesAreReadable) {
  ModelDescription description;
  description.stored = {{"F32", 1, 1234567890, 4938271560}, {"F16", 2, 999, 1998}};
  const std::string text = DescriptionText(description);
  EXPECT_THAT(text, HasSubstr("parameters   1,234,568,889 in 3 tensors\n"));
  EXPECT_THAT(text, HasSubstr("  F32        1,234,567,890 in 1 tensor, 4.94 GB\n"));
  EXPECT_THAT(text, HasSubstr("  F16        999 in 2 tensors, 2 kB\n"));
}

TEST(DescribeModelTest, NarrowLinesBreakLongWordsBetweenCharacters) {
  ModelDescription description;
  description.files.architecture = "éééééééé of length";
  EXPECT_THAT(DescriptionText(description, 20), HasSubstr("\narchitecture \"éééééé\n"
                                                          "             éé of\n"
                                                          "             length\"\n"));
}

TEST(DescribeModelTest, JsonHasTheSameFacts) {
  const std::string text = DescriptionJson(Describe(Golden("models/bert-f32")));
  const auto document = JsonDocument::Parse("json", text);
  ASSERT_THAT(document, IsOk());
  const JsonValue root = document->root();
  EXPECT_EQ(*root.StringAt("format"), "safetensors");
  EXPECT_EQ(*root.StringAt("architecture"), "bert");
  EXPECT_EQ(*root.Find("parameter_count")->Int(), 30284);
  EXPECT_EQ(*root.Find("tokenizer")->Find("token_count")->Int(), 300);
  EXPECT_EQ(*root.Find("model")->BoolAt("causal"), false);
  EXPECT_EQ(*root.Find("memory")->Find("weight_bytes")->Int(), 4 * 30284);
  EXPECT_EQ(root.Find("extra_tensors")->Array()->size(), 1);
  EXPECT_EQ(*root.BoolAt("servable"), true);
  EXPECT_THAT(*root.Find("problems")->Array(), IsEmpty());
  const TestFolder folder;
  WriteTinyModel(folder, "gpt2");
  folder.Write("config.json", "{");
  const std::string refused = DescriptionJson(Describe(folder.path()));
  EXPECT_THAT(JsonDocument::Parse("json", refused), IsOk());
  EXPECT_THAT(refused,
              AllOf(HasSubstr("\"servable\":false"), HasSubstr("\"model\":null"),
                    HasSubstr("\"code\":\"INVALID_ARGUMENT\",\"reason\":\"CHECKPOINT_INVALID\"")));
}

// The verdict.

// Every model folder and every GGUF file below the goldens and the zoo.
std::vector<std::string> AllModels() {
  std::vector<std::string> paths;
  for (const char* root : {"tests/golden/models", "tests/golden/gguf", "model/zoo"}) {
    const std::string folder = absl::StrCat(HEED_SOURCE_DIR, "/", root);
    for (const auto& entry : fs::recursive_directory_iterator(folder)) {
      if (entry.path().extension() == ".gguf") paths.push_back(entry.path().string());
      if (entry.path().filename() == "config.json" &&
          fs::exists(entry.path().parent_path() / "model.safetensors")) {
        paths.push_back(entry.path().parent_path().string());
      }
    }
  }
  std::sort(paths.begin(), paths.end());
  return paths;
}

// Whether it was refused.
bool ExpectSameVerdict(const std::string& path) {
  const auto model = LoadServedModel("m", path, kSmallCache);
  const auto description = DescribeModel(path, kSmallCache);
  if (!description.ok()) {  // nothing to describe, so nothing to load
    EXPECT_FALSE(model.ok()) << description.status();
    return true;
  }
  if (!model.ok()) {
    EXPECT_FALSE(description->servable()) << model.status();
    if (description->servable()) return true;
    EXPECT_EQ(description->problems.front(), model.status());
    return true;
  }
  EXPECT_TRUE(description->servable()) << description->problems.front();
  EXPECT_EQ(description->values(), (*model)->model->parameter_count());
  EXPECT_EQ(description->tokenizer_kind.empty(), (*model)->tokenizer == nullptr);
  EXPECT_EQ(description->pooling, (*model)->pooling);
  return false;
}

TEST(DescribeVerdictTest, OfAllGoldenModels) {
  const std::vector<std::string> paths = AllModels();
  EXPECT_GT(paths.size(), 45);
  for (const std::string& path : paths) {
    SCOPED_TRACE(path);
    EXPECT_FALSE(ExpectSameVerdict(path));
  }
}

// The estimate is of values and scales alone; what packing adds to a model of any size is small.
TEST(DescribeVerdictTest, TheMemoryOfTheWeightsIsWhatLoadingTakes) {
  const std::string path = absl::StrCat(HEED_SOURCE_DIR, "/model/zoo/decoder");
  for (const WeightFormat format : {WeightFormat::kAsStored, WeightFormat::kF32, WeightFormat::kF16,
                                    WeightFormat::kInt8, WeightFormat::kInt4}) {
    LoadOptions options = kSmallCache;
    options.weights = format;
    const auto model = LoadServedModel("m", path, options);
    ASSERT_THAT(model, IsOk());
    const auto description = DescribeModel(path, options);
    ASSERT_THAT(description, IsOk());
    const auto loaded = static_cast<double>((*model)->model->weight_bytes());
    EXPECT_NEAR(static_cast<double>(description->weight_memory_bytes), loaded, 0.1 * loaded)
        << static_cast<int>(format);
  }
}

TEST(DescribeVerdictTest, KeysAndValuesTakeWhatTheirTypeTakes) {
  const std::string path = Golden("models/gpt2-f32");
  const auto text = [&](KvType type) {
    LoadOptions options = kSmallCache;
    options.kv_type = type;
    const auto description = DescribeModel(path, options);
    EXPECT_THAT(description, IsOk());
    const ModelConfig& config = *description->config;
    EXPECT_EQ(description->cache_bytes_per_token() * kPageTokens,
              config.n_layers * KvPartBytes(type, config.n_kv_heads, config.head_dim));
    return DescriptionText(*description);
  };
  EXPECT_THAT(text(KvType::kF32), HasSubstr("of keys and values per token"));
  EXPECT_THAT(text(KvType::kInt8), HasSubstr("of keys and values in int8 per token"));
}

// What is held as it is stored takes as much; the rows of a model as small as these fill less than
// half of what they are packed in.
TEST(DescribeVerdictTest, QuantizedFilesTakeTheMemoryOfTheirBlocks) {
  for (const char* name : {"Q8_0", "Q4_0"}) {
    const std::string path = Golden(absl::StrCat("gguf/quantized/", name, ".gguf"));
    const auto model = LoadServedModel("m", path, kSmallCache);
    ASSERT_THAT(model, IsOk());
    const ModelDescription description = Describe(path);
    EXPECT_NEAR(static_cast<double>(description.weight_memory_bytes),
                static_cast<double>(description.bytes()),
                0.05 * static_cast<double>(description.bytes()))
        << name;
    EXPECT_LT(description.weight_memory_bytes, (*model)->model->weight_bytes()) << name;
    EXPECT_GT(2 * description.weight_memory_bytes, (*model)->model->weight_bytes()) << name;
  }
}

// Every tensor in turn missing, turned, renamed and of another type.
TEST(DescribeVerdictTest, OfFoldersWithAnyTensorWrong) {
  for (const char* type : {"gpt2", "llama", "bert", "heed_mixing"}) {
    const TestFolder folder;
    folder.Write("config.json", TinyConfig(type));
    const std::vector<TestTensor> right = TinyTensors(type);
    int refused = 0;
    for (size_t i = 0; i < right.size(); ++i) {
      SCOPED_TRACE(absl::StrCat(type, " ", right[i].name));
      std::vector<TestTensor> tensors = right;
      tensors.erase(tensors.begin() + static_cast<std::ptrdiff_t>(i));
      WriteWeights(folder, tensors);
      refused += ExpectSameVerdict(folder.path());
      tensors = right;
      tensors[i].shape.push_back(1);
      std::reverse(tensors[i].shape.begin(), tensors[i].shape.end());
      WriteWeights(folder, tensors);
      refused += ExpectSameVerdict(folder.path());
      tensors = right;
      tensors[i].dtype = "I32";
      WriteWeights(folder, tensors);
      refused += ExpectSameVerdict(folder.path());
      tensors = right;
      tensors[i].name += "x";
      WriteWeights(folder, tensors);
      refused += ExpectSameVerdict(folder.path());
    }
    EXPECT_GT(refused, static_cast<int>(right.size())) << type;
  }
}

// Every size and option in turn another.
TEST(DescribeVerdictTest, OfFoldersWithAnyKeyWrong) {
  const std::vector<std::string> nonsense = {"",   "null", "true", "0",   "-1",    "1",
                                             "2",  "3",    "4",    "8",   "16",    "12",
                                             "\"", "[]",   "{}",   "1e9", "\"x\"", "1000000"};
  for (const char* type : {"gpt2", "llama", "bert"}) {
    const TestFolder folder;
    WriteTinyModel(folder, type);
    const auto config = JsonDocument::Parse("config.json", TinyConfig(type));
    ASSERT_THAT(config, IsOk());
    Values right;
    const auto members = config->root().Object();
    ASSERT_THAT(members, IsOk());
    for (const auto& [key, value] : *members) {
      right[std::string(key)] = value.IsString() ? QuoteJson(*value.String()) : value.ToString();
    }
    for (const char* key :
         {"n_kv_heads", "num_key_value_heads", "head_dim", "tie_word_embeddings", "architectures",
          "eos_token_id", "is_decoder", "position_embedding_type", "rope_scaling", "attention_bias",
          "intermediate_size", "n_inner"}) {
      right.try_emplace(key, "");
    }
    int refused = 0, served = 0;
    for (const auto& [key, unused] : right) {
      for (const std::string& value : nonsense) {
        SCOPED_TRACE(absl::StrCat(type, " ", key, ": ", value));
        Values values = right;
        values[key] = value;
        folder.Write("config.json", ToJson(values));
        ++(ExpectSameVerdict(folder.path()) ? refused : served);
      }
    }
    EXPECT_GT(refused, 50) << type;
    EXPECT_GT(served, 5) << type;
  }
}

// Damage to the files beside the weights, and to the weights' own.
TEST(DescribeVerdictTest, OfFoldersWithAnyFileWrong) {
  using Damage = std::function<void(const TestFolder&)>;
  const auto writes = [](std::string file, std::string bytes) -> Damage {
    return [=](const TestFolder& folder) { folder.Write(file, bytes); };
  };
  const std::vector<std::pair<std::string, Damage>> damages = {
      {"no config", [](const TestFolder& folder) { folder.Remove("config.json"); }},
      {"no weights", [](const TestFolder& folder) { folder.Remove("model.safetensors"); }},
      {"empty config", writes("config.json", "")},
      {"empty weights", writes("model.safetensors", "")},
      {"cut weights", writes("model.safetensors", std::string(100, '\0'))},
      {"generation config", writes("generation_config.json", "[]")},
      {"end outside", writes("generation_config.json", R"({"eos_token_id": 11})")},
      {"tokenizer", writes("tokenizer.json", "{}")},
      {"tokenizer of another model",
       writes("tokenizer.json", ReadTestFile(Golden("models/gpt2-f32/tokenizer.json")))},
      {"vocabulary of more words", writes("vocab.txt", "[UNK]\n1\n2\n3\n4\n5\n6\n7\n8\n9\na\nb\n")},
      {"words without merges", writes("vocab.json", "{}")},
      {"SentencePiece", writes("tokenizer.model", "\xff")},
      {"modules", writes("modules.json", "{}")},
      {"modules without files", writes("modules.json", R"([{"idx": 0, "name": "0", "path": "",
                                   "type": "sentence_transformers.models.Transformer"},
                                  {"idx": 1, "name": "1", "path": "1_Pooling",
                                   "type": "sentence_transformers.models.Pooling"}])")},
      {"a GGUF file beside", writes("model.gguf", "GGUF")},
      {"an index beside", writes("model.safetensors.index.json", "{")},
  };
  int refused = 0;
  for (const auto& [name, damage] : damages) {
    SCOPED_TRACE(name);
    const TestFolder folder;
    WriteTinyModel(folder, "bert");
    damage(folder);
    refused += ExpectSameVerdict(folder.path());
  }
  EXPECT_EQ(refused, 13);
}

TEST(DescribeVerdictTest, OfDamagedGgufFiles) {
  for (const char* type : {"gpt2", "llama", "bert"}) {
    const TestFolder folder;
    const std::string path = folder.File("m.gguf");
    const TestGguf right = TinyGguf(type);
    int refused = 0;
    const auto expect_same = [&](const TestGguf& file) {
      folder.Write("m.gguf", file.Bytes());
      refused += ExpectSameVerdict(path);
    };
    for (size_t i = 0; i < right.tensors.size(); ++i) {
      SCOPED_TRACE(absl::StrCat(type, " ", right.tensors[i].name));
      TestGguf file = right;
      file.tensors.erase(file.tensors.begin() + static_cast<std::ptrdiff_t>(i));
      expect_same(file);
      file = right;
      file.tensors[i].dimensions.insert(file.tensors[i].dimensions.begin(), 1);
      expect_same(file);
      file = right;
      file.tensors[i].name += "x";
      expect_same(file);
    }
    // Without an unembedding of its own, a model has the embedding's.
    EXPECT_GE(refused, 3 * static_cast<int>(right.tensors.size()) - 1) << type;
    for (size_t i = 0; i < right.keys.size(); ++i) {
      for (const std::string& value : {GgufU32(0), GgufU32(3), GgufText("x"), GgufBool(true),
                                       GgufF32(0.5), GgufTexts({"a", "b"})}) {
        SCOPED_TRACE(absl::StrCat(type, " ", right.keys[i].key));
        TestGguf file = right;
        file.keys[i].value = value;
        expect_same(file);
      }
      TestGguf file = right;
      file.keys.erase(file.keys.begin() + static_cast<std::ptrdiff_t>(i));
      expect_same(file);
    }
    const std::string bytes = right.Bytes();
    for (size_t size = 0; size < bytes.size(); size += 61) {
      SCOPED_TRACE(size);
      folder.Write("m.gguf", bytes.substr(0, size));
      EXPECT_TRUE(ExpectSameVerdict(path));
    }
  }
}

// A cache of so few bytes holds no page.
TEST(DescribeVerdictTest, OfACacheThatIsTooSmall) {
  const std::string path = Golden("models/llama-gqa-f32");
  const LoadOptions options = {.kv_cache_bytes = 100};
  const auto description = DescribeModel(path, options);
  ASSERT_THAT(description, IsOk());
  EXPECT_THAT(description->problems, ElementsAre(LoadServedModel("m", path, options).status()));
}

// Only reading them shows what values are.
TEST(DescribeVerdictTest, ValuesAreNotLookedAt) {
  const TestFolder folder;
  std::vector<TestTensor> tensors = TinyTensors("gpt2");
  tensors.back().bytes = std::string(tensors.back().bytes.size(), '\xff');
  folder.Write("config.json", TinyConfig("gpt2"));
  WriteWeights(folder, tensors);
  EXPECT_TRUE(Describe(folder.path()).servable());
  EXPECT_THAT(LoadServedModel("m", folder.path(), kSmallCache),
              IsError(absl::StatusCode::kDataLoss, "every value must be finite"));
}

}  // namespace
}  // namespace heed
