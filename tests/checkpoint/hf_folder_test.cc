#include <chrono>
#include <filesystem>
#include <functional>
#include <ostream>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/strip.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "model/checkpoint/checkpoint.h"
#include "model/checkpoint/tensor_names.h"
#include "tests/checkpoint/checkpoint_builder.h"
#include "tests/checkpoint/row_ranges.h"
#include "tests/checkpoint/status_matchers.h"

namespace heed {
namespace {

namespace fs = std::filesystem;

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::IsNull;
using ::testing::MatchesRegex;
using ::testing::NotNull;
using ::testing::Pair;

constexpr auto kDataLoss = absl::StatusCode::kDataLoss;

absl::StatusOr<std::vector<float>> ReadTensor(const Checkpoint& checkpoint, absl::string_view name,
                                              const std::vector<int64_t>& shape) {
  std::vector<float> values(static_cast<size_t>(ElementsOf(shape)), -99.0f);
  const absl::Status status = checkpoint.ReadF32(name, shape, absl::MakeSpan(values));
  if (!status.ok()) return status;
  return values;
}

struct Storage {
  const char* model_type;
  const char* dtype;
  int n_shards;
};

void PrintTo(const Storage& storage, std::ostream* out) {
  *out << storage.model_type << " " << storage.dtype << " in " << storage.n_shards;
}

class RoundTripTest : public testing::TestWithParam<Storage> {};

TEST_P(RoundTripTest, EveryTensorComesBack) {
  const TestFolder folder;
  const auto& [model_type, dtype, n_shards] = GetParam();
  WriteTinyModel(folder, model_type, dtype, n_shards);
  const auto checkpoint = OpenHuggingFaceFolder(folder.path());
  ASSERT_THAT(checkpoint, IsOk());
  EXPECT_EQ((*checkpoint)->config().architecture, model_type);
  EXPECT_EQ(DTypeName((*checkpoint)->dtype()), dtype);
  uint64_t seed = 0;
  for (const TestTensor& tensor : TinyTensors(model_type, dtype)) {
    const std::string name(absl::StripPrefix(tensor.name, BaseModelPrefix(model_type)));
    const TensorInfo* info = (*checkpoint)->Find(name);
    ASSERT_THAT(info, NotNull()) << name;
    EXPECT_EQ(info->shape, tensor.shape);
    EXPECT_EQ(DTypeName(info->dtype), dtype);
    const auto values = ReadTensor(**checkpoint, name, tensor.shape);
    ASSERT_THAT(values, IsOk());
    EXPECT_EQ(*values, TestValues(ElementsOf(tensor.shape), seed++)) << name;
  }
}

INSTANTIATE_TEST_SUITE_P(All, RoundTripTest,
                         testing::Values(Storage{"gpt2", "F32", 1}, Storage{"gpt2", "F16", 1},
                                         Storage{"gpt2", "BF16", 3}, Storage{"llama", "F32", 4},
                                         Storage{"llama", "F16", 2}, Storage{"llama", "BF16", 1},
                                         Storage{"bert", "F32", 1}, Storage{"bert", "F16", 5},
                                         Storage{"bert", "BF16", 1}),
                         [](const auto& info) {
                           return absl::StrCat(info.param.model_type, info.param.dtype, "x",
                                               info.param.n_shards);
                         });

TEST(HfFolderTest, TensorsLongerThanAChunkComeBack) {
  const TestFolder folder;
  folder.Write("config.json", R"({"model_type": "llama", "num_hidden_layers": 1,
      "hidden_size": 6, "num_attention_heads": 1, "intermediate_size": 1, "vocab_size": 50001,
      "max_position_embeddings": 16})");
  for (const char* dtype : {"F32", "F16", "BF16"}) {
    const std::vector<int64_t> shape = {50001, 6};
    const std::vector<float> values = TestValues(ElementsOf(shape), 5);
    WriteWeights(folder, {RandomTensor("odd", "F16", {1}, 1),
                          MakeTensor("embed_tokens.weight", dtype, shape, values)});
    const auto checkpoint = OpenHuggingFaceFolder(folder.path());
    ASSERT_THAT(checkpoint, IsOk());
    EXPECT_EQ(*ReadTensor(**checkpoint, "embed_tokens.weight", shape), values);
  }
}

TEST(HfFolderTest, DataNeedNoAlignment) {
  const TestFolder folder;
  folder.Write("config.json", TinyConfig("llama"));
  std::vector<TestTensor> tensors = TinyTensors("llama", "BF16");
  tensors.insert(tensors.begin(), TestTensor{"one_byte", "U8", {1}, "x"});
  WriteWeights(folder, tensors);
  const auto checkpoint = OpenHuggingFaceFolder(folder.path());
  ASSERT_THAT(checkpoint, IsOk());
  EXPECT_EQ(*ReadTensor(**checkpoint, "embed_tokens.weight", {11, 8}), TestValues(88, 0));
  EXPECT_EQ((*checkpoint)->dtype(), DType::kBF16);
  EXPECT_EQ((*checkpoint)->Find("one_byte")->dtype, DType::kOther);
}

TEST(HfFolderTest, NamesLoseThePrefixAndOldNamesOfNorms) {
  const TestFolder folder;
  folder.Write("config.json", TinyConfig("bert"));
  std::vector<TestTensor> tensors;
  for (TestTensor tensor : TinyTensors("bert")) {
    tensor.name = absl::StrReplaceAll(tensor.name, {{"bert.", ""},
                                                    {"LayerNorm.weight", "LayerNorm.gamma"},
                                                    {"LayerNorm.bias", "LayerNorm.beta"}});
    tensors.push_back(tensor);
  }
  tensors.push_back(TestTensor{"embeddings.position_ids", "I64", {1, 1}, std::string(8, '\0')});
  WriteWeights(folder, tensors);
  const auto checkpoint = OpenHuggingFaceFolder(folder.path());
  ASSERT_THAT(checkpoint, IsOk());
  EXPECT_THAT((*checkpoint)->Find("embeddings.LayerNorm.weight"), NotNull());
  EXPECT_THAT((*checkpoint)->Find("encoder.layer.1.output.LayerNorm.bias"), NotNull());
  EXPECT_THAT((*checkpoint)->Find("embeddings.LayerNorm.gamma"), IsNull());
  EXPECT_THAT((*checkpoint)->Find("embeddings.position_ids"), IsNull());
}

TEST(HfFolderTest, OneTensorUnderTwoNamesIsRefused) {
  const TestFolder folder;
  folder.Write("config.json", TinyConfig("gpt2"));
  std::vector<TestTensor> tensors = TinyTensors("gpt2");
  tensors.push_back(RandomTensor("wte.weight", "F32", {11, 8}, 1));
  WriteWeights(folder, tensors);
  EXPECT_THAT(OpenHuggingFaceFolder(folder.path()),
              IsError(kInvalid,
                      "model.safetensors: tensor \"wte.weight\" and "
                      "\"transformer.wte.weight\" are two names of one tensor"));
}

TEST(HfFolderTest, TokenizerAndGenerationConfigAreOptional) {
  const TestFolder folder;
  WriteTinyModel(folder, "llama");
  const auto without = OpenHuggingFaceFolder(folder.path());
  ASSERT_THAT(without, IsOk());
  EXPECT_THAT((*without)->tokenizer_json(), IsEmpty());
  EXPECT_THAT((*without)->tokenizer_files(), IsEmpty());
  EXPECT_THAT((*without)->config().eos_ids, ElementsAre(10));
  folder.Write("vocab.txt", "a\xff");
  folder.Write("tokenizer_config.json", "{}");
  const auto older = OpenHuggingFaceFolder(folder.path());
  ASSERT_THAT(older, IsOk());
  EXPECT_THAT((*older)->tokenizer_files(),
              ElementsAre(Pair("tokenizer_config.json", "{}"), Pair("vocab.txt", "a\xff")));
  folder.Write("tokenizer.json", "");  // as a download that failed leaves it
  EXPECT_THAT(OpenHuggingFaceFolder(folder.path()),
              IsError(kInvalid, "tokenizer.json: not valid JSON: the file is empty"));
  folder.Write("tokenizer.json", "any bytes: \xff");
  folder.Write("generation_config.json", R"({"eos_token_id": [3, 4]})");
  const auto with = OpenHuggingFaceFolder(folder.path());
  ASSERT_THAT(with, IsOk());
  EXPECT_EQ((*with)->tokenizer_json(), "any bytes: \xff");
  EXPECT_THAT((*with)->tokenizer_files(), IsEmpty());
  EXPECT_THAT((*with)->config().eos_ids, ElementsAre(3, 4));
}

TEST(HfFolderTest, TrailingSlashAndLinkedFilesAreFine) {
  const TestFolder blobs;
  const TestFolder folder;
  WriteTinyModel(blobs, "gpt2");
  fs::create_symlink(blobs.File("config.json"), folder.File("config.json"));
  fs::create_symlink(blobs.File("model.safetensors"), folder.File("model.safetensors"));
  EXPECT_THAT(OpenHuggingFaceFolder(folder.path() + "/"), IsOk());
}

TEST(HfFolderTest, ExtraTensorsOfAShardAreNotPartOfTheModel) {
  const TestFolder folder;
  WriteTinyModel(folder, "llama", "F32", 2);
  std::string index = ReadTestFile(folder.File("model.safetensors.index.json"));
  index = absl::StrReplaceAll(index, {{"model.norm.weight", "model.norm.weight.gone"}});
  EXPECT_TRUE(absl::StrContains(index, "gone"));
  folder.Write("model.safetensors.index.json", index);
  EXPECT_THAT(OpenHuggingFaceFolder(folder.path()),
              IsError(kInvalid,
                      "model.safetensors.index.json: says that tensor "
                      "\"model.norm.weight.gone\" is in model-00002-of-00002.safetensors"));
  index = absl::StrReplaceAll(
      index, {{R"("model.norm.weight.gone": "model-00002-of-00002.safetensors", )", ""}});
  EXPECT_FALSE(absl::StrContains(index, "gone"));
  folder.Write("model.safetensors.index.json", index);
  const auto checkpoint = OpenHuggingFaceFolder(folder.path());
  ASSERT_THAT(checkpoint, IsOk());
  EXPECT_THAT((*checkpoint)->Find("norm.weight"), IsNull());
}

TEST(ReadF32Test, WrongShapeNamesBothShapes) {
  const TestFolder folder;
  WriteTinyModel(folder, "gpt2");
  const auto checkpoint = OpenHuggingFaceFolder(folder.path());
  ASSERT_THAT(checkpoint, IsOk());
  EXPECT_THAT(ReadTensor(**checkpoint, "h.1.attn.c_attn.weight", {24, 8}),
              IsError(kInvalid,
                      "model.safetensors: tensor \"transformer.h.1.attn.c_attn.weight\" "
                      "has shape [8, 24], expected [24, 8]"));
  EXPECT_THAT(ReadTensor(**checkpoint, "h.1.attn.c_attn.weight", {192}),
              IsError(kInvalid, "[192]"));
  EXPECT_THAT(ReadTensor(**checkpoint, "h.1.attn.c_attn.weight", {8, 24, 1}),
              IsError(kInvalid, "expected [8, 24, 1]"));
}

TEST(ReadF32Test, MissingTensorIsNotFound) {
  const TestFolder folder;
  WriteTinyModel(folder, "gpt2");
  const auto checkpoint = OpenHuggingFaceFolder(folder.path());
  ASSERT_THAT(checkpoint, IsOk());
  EXPECT_THAT(ReadTensor(**checkpoint, "h.2.ln_1.weight", {8}),
              IsError(kNotFound,
                      "model.safetensors: has no tensor \"h.2.ln_1.weight\", which must "
                      "have shape [8]"));
}

TEST(ReadF32Test, RoomMustBeThatOfTheShape) {
  const TestFolder folder;
  WriteTinyModel(folder, "gpt2");
  const auto checkpoint = OpenHuggingFaceFolder(folder.path());
  ASSERT_THAT(checkpoint, IsOk());
  for (const size_t room : {0, 7, 9}) {
    std::vector<float> values(room);
    EXPECT_THAT((*checkpoint)->ReadF32("ln_f.bias", {8}, absl::MakeSpan(values)),
                IsError(kInvalid, "take 8 values, but there is room for"));
  }
}

TEST(ReadRowsTest, AnyRowsAreThoseOfTheWholeTensor) {
  const TestFolder folder;
  WriteTinyModel(folder, "gpt2");
  const auto checkpoint = OpenHuggingFaceFolder(folder.path());
  ASSERT_THAT(checkpoint, IsOk());
  ExpectAnyRowsAreThoseOfTheWhole(**checkpoint, "h.1.attn.c_attn.weight");
  ExpectAnyRowsAreThoseOfTheWhole(**checkpoint, "ln_f.bias");
}

TEST(ReadF32Test, OtherTypesAreRefusedByName) {
  const TestFolder folder;
  folder.Write("config.json", TinyConfig("gpt2"));
  for (const char* dtype : {"I64", "F64"}) {
    std::vector<TestTensor> tensors = TinyTensors("gpt2");
    tensors[0].dtype = dtype;
    tensors[0].bytes += tensors[0].bytes;
    WriteWeights(folder, tensors);
    const auto checkpoint = OpenHuggingFaceFolder(folder.path());
    ASSERT_THAT(checkpoint, IsOk());
    EXPECT_THAT(ReadTensor(**checkpoint, "wte.weight", {11, 8}),
                IsError(kInvalid, absl::StrCat("\"transformer.wte.weight\" is stored as ", dtype,
                                               "; it must be F32, F16 or BF16")));
  }
}

TEST(ReadF32Test, ScalarsAndEmptyTensors) {
  const TestFolder folder;
  folder.Write("config.json", TinyConfig("gpt2"));
  std::vector<TestTensor> tensors = TinyTensors("gpt2");
  tensors.push_back(MakeTensor("scalar", "F32", {}, {2.5f}));
  tensors.push_back(MakeTensor("empty", "BF16", {0, 3}, absl::Span<const float>()));
  WriteWeights(folder, tensors);
  const auto checkpoint = OpenHuggingFaceFolder(folder.path());
  ASSERT_THAT(checkpoint, IsOk());
  EXPECT_THAT(*ReadTensor(**checkpoint, "scalar", {}), ElementsAre(2.5f));
  EXPECT_THAT(*ReadTensor(**checkpoint, "empty", {0, 3}), IsEmpty());
}

// The bytes of one value in each type, little-endian.
struct BadValue {
  const char* dtype;
  std::string bytes;
  const char* shown;
};

TEST(ReadF32Test, NonFiniteValuesAreRefusedWithTheirPlace) {
  const TestFolder folder;
  folder.Write("config.json", TinyConfig("gpt2"));
  for (const BadValue& bad : {BadValue{"F32", std::string("\0\0\x80\x7f", 4), "inf"},
                              BadValue{"F32", std::string("\0\0\x80\xff", 4), "-inf"},
                              BadValue{"F32", std::string("\1\0\x80\x7f", 4), "nan"},
                              BadValue{"F16", std::string("\0\x7c", 2), "inf"},
                              BadValue{"F16", std::string("\0\xfc", 2), "-inf"},
                              BadValue{"F16", std::string("\1\x7c", 2), "nan"},
                              BadValue{"BF16", std::string("\x80\x7f", 2), "inf"},
                              BadValue{"BF16", std::string("\xc0\x7f", 2), "nan"}}) {
    for (const size_t at : {0, 43, 87}) {
      std::vector<TestTensor> tensors = TinyTensors("gpt2", bad.dtype);
      tensors[0].bytes.replace(at * bad.bytes.size(), bad.bytes.size(), bad.bytes);
      WriteWeights(folder, tensors);
      const auto checkpoint = OpenHuggingFaceFolder(folder.path());
      ASSERT_THAT(checkpoint, IsOk());
      EXPECT_THAT(
          ReadTensor(**checkpoint, "wte.weight", {11, 8}),
          IsError(kDataLoss, absl::StrCat("tensor \"transformer.wte.weight\" is ", bad.shown,
                                          " at [", at / 8, ", ", at % 8, "]; every")));
      EXPECT_THAT(ReadTensor(**checkpoint, "wpe.weight", {16, 8}), IsOk());
    }
  }
}

TEST(ReadF32Test, SeesThatTheFileChanged) {
  const TestFolder folder;
  WriteTinyModel(folder, "gpt2");
  const std::string path = folder.File("model.safetensors");
  const std::string bytes = ReadTestFile(path);
  const auto change = [&](const std::function<void()>& action) {
    folder.Write("model.safetensors", bytes);
    fs::last_write_time(path, fs::file_time_type(std::chrono::seconds(1000000000)));
    const auto checkpoint = OpenHuggingFaceFolder(folder.path());
    EXPECT_THAT(ReadTensor(**checkpoint, "ln_f.bias", {8}), IsOk());
    action();
    return ReadTensor(**checkpoint, "ln_f.bias", {8}).status();
  };
  const std::string other(bytes.size(), '\xff');
  EXPECT_THAT(change([&] { folder.Overwrite("model.safetensors", other); }),
              IsError(kDataLoss, "model.safetensors: was changed"));
  EXPECT_THAT(change([&] { folder.Overwrite("model.safetensors", ""); }),
              IsError(kDataLoss, "model.safetensors: ends at byte"));
  EXPECT_THAT(change([&] { fs::resize_file(path, bytes.size() + 1); }),
              IsError(kDataLoss, "model.safetensors: was changed"));
  EXPECT_THAT(change([&] { folder.Remove("model.safetensors"); }), IsOk());
}

TEST(ReadF32Test, ManyThreadsReadAtOnce) {
  const TestFolder folder;
  WriteTinyModel(folder, "llama", "BF16", 3);
  const auto checkpoint = OpenHuggingFaceFolder(folder.path());
  ASSERT_THAT(checkpoint, IsOk());
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&checkpoint] {
      for (int i = 0; i < 50; ++i) {
        EXPECT_EQ(*ReadTensor(**checkpoint, "embed_tokens.weight", {11, 8}), TestValues(88, 0));
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
}

TEST(DigestTest, IsTheSameLaterAndMayBeStopped) {
  const TestFolder folder;
  WriteTinyModel(folder, "llama", "F32", 2);
  const auto with = OpenHuggingFaceFolder(folder.path());
  const auto without = OpenHuggingFaceFolder(folder.path(), {.compute_digest = false});
  ASSERT_THAT(without, IsOk());
  EXPECT_EQ((*without)->digest(), "");
  int64_t done = 0, total = 0;
  const auto note = [&](int64_t so_far, int64_t of) {
    EXPECT_GT(so_far, done);
    done = so_far;
    total = of;
  };
  StopSignal stop;
  EXPECT_EQ(*(*without)->ComputeDigest(note, stop), (*with)->digest());
  EXPECT_GT(total, 0);
  EXPECT_EQ(done, total);
  stop.Cancel();
  EXPECT_EQ((*without)->ComputeDigest(nullptr, stop).status().code(), absl::StatusCode::kCancelled);
}

TEST(DigestTest, DependsOnEveryFileThatIsUsedAndOnNoOther) {
  const TestFolder folder;
  WriteTinyModel(folder, "llama", "F32", 2);
  const auto digest = [&folder] { return (*OpenHuggingFaceFolder(folder.path()))->digest(); };
  const std::string first = digest();
  EXPECT_THAT(first, MatchesRegex("sha256:[0-9a-f]{64}"));
  EXPECT_EQ(digest(), first);
  folder.Write("README.md", "of no importance");
  EXPECT_EQ(digest(), first);
  std::set<std::string> seen = {first};
  const auto is_new = [&] { return seen.insert(digest()).second; };
  folder.Write("tokenizer.json", "{}");
  EXPECT_TRUE(is_new());
  folder.Write("generation_config.json", "{}");
  EXPECT_TRUE(is_new());
  folder.Write("config.json", TinyConfig("llama") + " ");
  EXPECT_TRUE(is_new());
  const std::string index = ReadTestFile(folder.File("model.safetensors.index.json"));
  folder.Write("model.safetensors.index.json", index + " ");
  EXPECT_TRUE(is_new());
  for (const char* shard :
       {"model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"}) {
    std::string bytes = ReadTestFile(folder.File(shard));
    bytes.back() = static_cast<char>(bytes.back() ^ 1);
    folder.Write(shard, bytes);
    EXPECT_TRUE(is_new()) << shard;
  }
}

TEST(DigestTest, DoesNotDependOnTheFolder) {
  const TestFolder a;
  const TestFolder b;
  WriteTinyModel(a, "gpt2");
  WriteTinyModel(b, "gpt2");
  EXPECT_EQ((*OpenHuggingFaceFolder(a.path()))->digest(),
            (*OpenHuggingFaceFolder(b.path()))->digest());
}

}  // namespace
}  // namespace heed
