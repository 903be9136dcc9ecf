// GGUF models as checkpoints: names, order of rows, facts, split files, and which path is what.
#include <algorithm>
#include <filesystem>
#include <functional>
#include <ostream>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "model/checkpoint/checkpoint.h"
#include "tests/checkpoint/checkpoint_builder.h"
#include "tests/checkpoint/gguf_builder.h"
#include "tests/checkpoint/row_ranges.h"
#include "tests/checkpoint/status_matchers.h"

namespace heed {
namespace {

using testing::ElementsAre;
using testing::ElementsAreArray;

class GgufCheckpointTest : public testing::Test {
 protected:
  absl::StatusOr<std::unique_ptr<Checkpoint>> Open(const TestGguf& file) {
    folder_.Write("m.gguf", file.Bytes());
    return OpenCheckpoint(folder_.File("m.gguf"));
  }

  std::unique_ptr<Checkpoint> OpenOrDie(const TestGguf& file) {
    auto checkpoint = Open(file);
    EXPECT_THAT(checkpoint, IsOk());
    return checkpoint.ok() ? *std::move(checkpoint) : nullptr;
  }

  TestFolder folder_;
};

std::vector<float> Read(const Checkpoint& checkpoint, absl::string_view name,
                        const std::vector<int64_t>& shape) {
  std::vector<float> values(static_cast<size_t>(ElementsOf(shape)));
  const absl::Status status = checkpoint.ReadF32(name, shape, absl::MakeSpan(values));
  EXPECT_THAT(status, IsOk()) << name;
  return values;
}

TEST_F(GgufCheckpointTest, Gpt2HasTheFolderNamesAndFacts) {
  const auto checkpoint = OpenOrDie(TinyGguf("gpt2"));
  ASSERT_NE(checkpoint, nullptr);
  const ModelConfig& config = checkpoint->config();
  EXPECT_EQ(config.architecture, "gpt2");
  EXPECT_EQ(config.n_layers, 2);
  EXPECT_EQ(config.n_heads, 2);
  EXPECT_EQ(config.head_dim, 4);
  EXPECT_EQ(config.width, 8);
  EXPECT_EQ(config.ffn_width, 16);
  EXPECT_EQ(config.vocab_size, 11);
  EXPECT_EQ(config.context_window, 16);
  EXPECT_EQ(config.norm, NormKind::kLayerNorm);
  EXPECT_EQ(config.norm_eps, 1e-5);
  EXPECT_EQ(config.position, PositionKind::kLearned);
  EXPECT_EQ(config.activation, Activation::kGeluTanh);
  EXPECT_EQ(config.attention_scale, 0.5);
  EXPECT_TRUE(config.causal && config.tied_embeddings && config.has_head && config.output_major);
  EXPECT_THAT(config.eos_ids, ElementsAre(10));
  EXPECT_EQ(checkpoint->dtype(), DType::kF32);
  EXPECT_EQ(checkpoint->gguf_tokenizer(), nullptr);
  EXPECT_THAT(Read(*checkpoint, "wte.weight", {11, 8}), ElementsAreArray(TestValues(88, 0)));
  EXPECT_THAT(Read(*checkpoint, "h.0.attn.c_attn.weight", {24, 8}),
              ElementsAreArray(TestValues(192, 4)));
  ASSERT_NE(checkpoint->Find("h.1.mlp.c_proj.bias"), nullptr);
  EXPECT_THAT(checkpoint->Find("h.1.mlp.c_proj.bias")->shape, ElementsAre(8));
  EXPECT_EQ(checkpoint->Find("h.2.mlp.c_proj.bias"), nullptr);
}

// Pairs of neighbouring rows of a head become rows of its two halves.
TEST_F(GgufCheckpointTest, LlamaQueriesAndKeysGetTheFoldersOrder) {
  const TestGguf file = TinyGguf("llama");
  const auto checkpoint = OpenOrDie(file);
  ASSERT_NE(checkpoint, nullptr);
  EXPECT_EQ(checkpoint->config().n_kv_heads, 1);
  EXPECT_FALSE(checkpoint->config().tied_embeddings);
  EXPECT_EQ(checkpoint->config().bos_id, 9);
  const std::vector<float> stored = TestValues(64, 4);  // of 2 heads of 4 rows of 8
  const std::vector<float> query = Read(*checkpoint, "layers.0.self_attn.q_proj.weight", {8, 8});
  const std::vector<int> order = {0, 2, 1, 3, 4, 6, 5, 7};
  for (int row = 0; row < 8; ++row) {
    for (int i = 0; i < 8; ++i) EXPECT_EQ(query[8 * row + i], stored[8 * order[row] + i]);
  }
  const std::vector<float> value = Read(*checkpoint, "layers.0.self_attn.v_proj.weight", {4, 8});
  EXPECT_THAT(value, ElementsAreArray(TestValues(32, 6)));
}

TEST_F(GgufCheckpointTest, StoredBytesAreInTheSameOrder) {
  const auto checkpoint = OpenOrDie(TinyGguf("llama"));
  ASSERT_NE(checkpoint, nullptr);
  for (const char* name : {"layers.1.self_attn.k_proj.weight", "layers.1.mlp.up_proj.weight"}) {
    const std::vector<int64_t>& shape = checkpoint->Find(name)->shape;
    const std::vector<float> want = Read(*checkpoint, name, shape);
    std::vector<float> got(want.size());
    const absl::Span<char> bytes(reinterpret_cast<char*>(got.data()), 4 * got.size());
    const RowRange all = RowRange::All(shape);
    EXPECT_THAT(checkpoint->ReadStoredRows(name, all, bytes), IsOk());
    EXPECT_THAT(got, ElementsAreArray(want));
    EXPECT_THAT(checkpoint->ReadStoredRows(name, all, bytes.subspan(1)),
                IsError(kInvalid, "there is room"));
  }
}

// Rows that the file has in another order, and rows that it has in that of the model.
TEST_F(GgufCheckpointTest, AnyRowsAreThoseOfTheWholeTensor) {
  const auto checkpoint = OpenOrDie(TinyGguf("llama"));
  ASSERT_NE(checkpoint, nullptr);
  for (const char* name : {"layers.1.self_attn.q_proj.weight", "layers.1.mlp.up_proj.weight",
                           "layers.0.input_layernorm.weight"}) {
    ExpectAnyRowsAreThoseOfTheWhole(*checkpoint, name);
  }
}

TEST_F(GgufCheckpointTest, BertIsABaseModel) {
  const auto checkpoint = OpenOrDie(TinyGguf("bert"));
  ASSERT_NE(checkpoint, nullptr);
  const ModelConfig& config = checkpoint->config();
  EXPECT_FALSE(config.causal || config.has_head || config.tied_embeddings);
  EXPECT_EQ(config.norm_placement, NormPlacement::kPost);
  EXPECT_EQ(config.activation, Activation::kGeluErf);
  EXPECT_EQ(config.token_types, 2);
  EXPECT_FALSE(checkpoint->pooling().has_value());
  Read(*checkpoint, "encoder.layer.1.attention.output.LayerNorm.bias", {8});
}

TEST_F(GgufCheckpointTest, PoolingIsWhatTheFileSays) {
  const std::vector<PoolingKind> kinds = {PoolingKind::kMean, PoolingKind::kFirst,
                                          PoolingKind::kLast};
  for (uint32_t type = 0; type <= 3; ++type) {
    TestGguf file = TinyGguf("bert");
    file.Set("bert.pooling_type", GgufU32(type));
    const auto checkpoint = OpenOrDie(file);
    ASSERT_NE(checkpoint, nullptr);
    ASSERT_EQ(checkpoint->pooling().has_value(), type > 0);
    if (type == 0) continue;
    EXPECT_EQ(checkpoint->pooling()->kind, kinds[type - 1]);
  }
}

TEST_F(GgufCheckpointTest, ACopyOfTheEmbeddingIsTied) {
  TestGguf file = TinyGguf("gpt2");
  file.tensors.push_back(F32Tensor("output.weight", {11, 8}, 0));
  auto checkpoint = OpenOrDie(file);
  ASSERT_NE(checkpoint, nullptr);
  EXPECT_TRUE(checkpoint->config().tied_embeddings);
  file.tensors.back().bytes[80] ^= 1;
  checkpoint = OpenOrDie(file);
  ASSERT_NE(checkpoint, nullptr);
  EXPECT_FALSE(checkpoint->config().tied_embeddings);
  Read(*checkpoint, "lm_head.weight", {11, 8});
}

TEST_F(GgufCheckpointTest, OptionalKeysAreRead) {
  TestGguf file = TinyGguf("llama");
  file.Set("llama.vocab_size", GgufU32(11));
  file.Set("llama.attention.head_count_kv", GgufI32s({1, 1}));
  file.Set("llama.feed_forward_length", GgufI32s({16, 16}));
  file.Set("llama.attention.key_length", GgufU32(4));
  file.Set("llama.attention.value_length", GgufU32(4));
  file.Set("llama.rope.freq_base", GgufF32(5000));
  file.Set("llama.rope.scaling.type", GgufText("linear"));
  file.Set("llama.rope.scaling.factor", GgufF32(4));
  file.Set("llama.attention.sliding_window", GgufU32(16));
  file.Set("llama.attention.scale", GgufF32(0.25f));
  file.Set("llama.expert_count", GgufU32(0));
  file.Set("tokenizer.ggml.eot_token_id", GgufU32(7));
  file.Set("tokenizer.ggml.bos_token_id", GgufU32(4294967295u));
  file.tensors.push_back(F32Tensor("rope_freqs.weight", {2}, 1));
  file.tensors.back().bytes = LittleEndianBytes(0x3F800000, 4) + LittleEndianBytes(0x40000000, 4);
  const auto checkpoint = OpenOrDie(file);
  ASSERT_NE(checkpoint, nullptr);
  const ModelConfig& config = checkpoint->config();
  EXPECT_EQ(config.rope_theta, 5000);
  EXPECT_EQ(config.rope_scaling.kind, RopeScaling::Kind::kLinear);
  EXPECT_EQ(config.rope_scaling.factor, 4);
  EXPECT_THAT(config.rope_scaling.divisors, ElementsAre(1, 2));
  EXPECT_EQ(config.attention_scale, 0.25);
  EXPECT_THAT(config.eos_ids, ElementsAre(10, 7));
  EXPECT_FALSE(config.bos_id.has_value());
}

TEST_F(GgufCheckpointTest, TokenizerFactsAreRead) {
  TestGguf file = TinyGguf("llama");
  std::vector<std::string> tokens;
  for (int i = 0; i < 11; ++i) tokens.push_back(absl::StrCat("t", i));
  file.Set("tokenizer.ggml.model", GgufText("llama"));
  file.Set("tokenizer.ggml.pre", GgufText("default"));
  file.Set("tokenizer.ggml.tokens", GgufTexts(tokens));
  file.Set("tokenizer.ggml.scores", GgufF32s(std::vector<float>(11, -1.5f)));
  file.Set("tokenizer.ggml.token_type", GgufI32s(std::vector<int32_t>(11, 1)));
  file.Set("tokenizer.ggml.merges", GgufTexts({"a b"}));
  file.Set("tokenizer.ggml.seperator_token_id", GgufU32(3));
  file.Set("tokenizer.ggml.padding_token_id", GgufU32(4294967295u));
  file.Set("tokenizer.ggml.add_bos_token", GgufBool(true));
  const auto checkpoint = OpenOrDie(file);
  ASSERT_NE(checkpoint, nullptr);
  const GgufTokenizerFacts* facts = checkpoint->gguf_tokenizer();
  ASSERT_NE(facts, nullptr);
  EXPECT_EQ(facts->model, "llama");
  EXPECT_EQ(facts->pre, "default");
  EXPECT_THAT(facts->tokens, ElementsAreArray(tokens));
  EXPECT_EQ(facts->scores[10], -1.5f);
  EXPECT_EQ(facts->token_types[10], 1);
  EXPECT_THAT(facts->merges, ElementsAre("a b"));
  EXPECT_EQ(facts->bos_token_id, 9);
  EXPECT_EQ(facts->eos_token_id, 10);
  EXPECT_EQ(facts->separator_token_id, 3);
  EXPECT_EQ(facts->padding_token_id, 4294967295);
  EXPECT_EQ(facts->add_bos_token, true);
  EXPECT_FALSE(facts->add_eos_token.has_value());
}

TEST_F(GgufCheckpointTest, DigestIsOverTheFileAndLeftOutOnRequest) {
  TestGguf file = TinyGguf("gpt2");
  const std::string first = OpenOrDie(file)->digest();
  EXPECT_EQ(first.size(), 71);
  file.Set("general.name", GgufText("tony"));
  EXPECT_NE(OpenOrDie(file)->digest(), first);
  const auto without = OpenCheckpoint(folder_.File("m.gguf"), {.compute_digest = false});
  ASSERT_THAT(without, IsOk());
  EXPECT_EQ((*without)->digest(), "");
  EXPECT_EQ(*(*without)->ComputeDigest(nullptr, StopSignal()), OpenOrDie(file)->digest());
}

TEST_F(GgufCheckpointTest, WrongQuestionsAreRefused) {
  const auto checkpoint = OpenOrDie(TinyGguf("gpt2"));
  ASSERT_NE(checkpoint, nullptr);
  std::vector<float> values(88);
  const absl::Span<float> out = absl::MakeSpan(values);
  EXPECT_THAT(
      checkpoint->ReadF32("wte.weight", {8, 11}, out),
      IsError(kInvalid, "m.gguf: tensor \"token_embd.weight\" has shape [11, 8], expected"));
  EXPECT_THAT(checkpoint->ReadF32("wte.weight", {11, 8}, out.subspan(1)),
              IsError(kInvalid, "take 88 values, but there is room for 87"));
  EXPECT_THAT(checkpoint->ReadF32("wxe.weight", {11, 8}, out),
              IsError(kNotFound, "m.gguf: has no tensor for \"wxe.weight\""));
}

TEST_F(GgufCheckpointTest, ValuesThatAreNotFiniteAreDataLoss) {
  TestGguf file = TinyGguf("gpt2");
  file.Tensor("token_embd.weight").bytes.replace(4 * 13, 4, LittleEndianBytes(0x7F800000, 4));
  const auto checkpoint = OpenOrDie(file);
  ASSERT_NE(checkpoint, nullptr);
  std::vector<float> values(88);
  EXPECT_THAT(checkpoint->ReadF32("wte.weight", {11, 8}, absl::MakeSpan(values)),
              IsError(absl::StatusCode::kDataLoss,
                      "m.gguf: tensor \"token_embd.weight\" is inf at value 13"));
}

// Bytes between the tensors that belong to nobody: a size is wrong.
TEST_F(GgufCheckpointTest, PaddingIsZero) {
  TestGguf file = TinyGguf("llama");
  file.tensors.push_back(F32Tensor("rope_freqs.weight", {2}, 1));
  file.tensors.back().bytes = std::string("\0\0\x80\x3F\0\0\x80\x3F", 8);
  ASSERT_THAT(Open(file), IsOk());
  std::string bytes = file.Bytes();
  bytes[bytes.size() - 24] = 'x';  // right behind the last tensor
  folder_.Write("m.gguf", bytes);
  EXPECT_THAT(OpenCheckpoint(folder_.File("m.gguf")),
              IsError(kInvalid, absl::StrCat("m.gguf: the padding at byte ", bytes.size() - 24,
                                             " is 120; it must be 0")));
}

TEST_F(GgufCheckpointTest, AFileThatIsCutWhileItIsOpenIsDataLoss) {
  const TestGguf file = TinyGguf("gpt2");
  const auto checkpoint = OpenOrDie(file);
  ASSERT_NE(checkpoint, nullptr);
  folder_.Overwrite("m.gguf", file.Bytes().substr(0, 100));
  std::vector<float> values(88);
  EXPECT_THAT(checkpoint->ReadF32("wte.weight", {11, 8}, absl::MakeSpan(values)),
              IsError(absl::StatusCode::kDataLoss, "m.gguf: "));
}

std::string PartName(int number, int count) {
  return absl::StrFormat("m-%05d-of-%05d.gguf", number, count);
}

// A tiny Llama in three parts.
std::vector<TestGguf> SplitLlama() {
  const TestGguf whole = TinyGguf("llama");
  std::vector<TestGguf> parts(3);
  parts[0].keys = whole.keys;
  for (size_t i = 0; i < whole.tensors.size(); ++i)
    parts[i % 3].tensors.push_back(whole.tensors[i]);
  for (uint16_t i = 0; i < 3; ++i) {
    parts[i].Set("split.no", GgufU16(i));
    parts[i].Set("split.count", GgufU16(3));
    parts[i].Set("split.tensors.count", GgufI32(static_cast<int32_t>(whole.tensors.size())));
  }
  return parts;
}

void WriteParts(const TestFolder& folder, const std::vector<TestGguf>& parts) {
  for (int i = 0; i < 3; ++i) folder.Write(PartName(i + 1, 3), parts[i].Bytes());
}

TEST(GgufSplitTest, PartsAreOneModelWhicheverIsNamed) {
  const TestFolder folder;
  WriteParts(folder, SplitLlama());
  const TestFolder whole_folder;
  whole_folder.Write("w.gguf", TinyGguf("llama").Bytes());
  const auto whole = OpenCheckpoint(whole_folder.File("w.gguf"));
  ASSERT_THAT(whole, IsOk());
  for (const std::string& path :
       {folder.path(), folder.File(PartName(1, 3)), folder.File(PartName(3, 3))}) {
    const auto parts = OpenCheckpoint(path);
    ASSERT_THAT(parts, IsOk()) << path;
    for (const char* name :
         {"layers.1.mlp.down_proj.weight", "embed_tokens.weight", "norm.weight"}) {
      const std::vector<int64_t>& shape = (*whole)->Find(name)->shape;
      EXPECT_EQ(Read(**parts, name, shape), Read(**whole, name, shape));
    }
  }
}

struct SplitDamage {
  const char* name;
  std::function<void(std::vector<TestGguf>&)> damage;
  const char* message;
};

void PrintTo(const SplitDamage& damage, std::ostream* out) {
  *out << damage.name;
}

class GgufSplitDamageTest : public testing::TestWithParam<SplitDamage> {};

TEST_P(GgufSplitDamageTest, IsRefused) {
  const TestFolder folder;
  std::vector<TestGguf> parts = SplitLlama();
  GetParam().damage(parts);
  WriteParts(folder, parts);
  EXPECT_THAT(OpenCheckpoint(folder.File(PartName(1, 3))), IsError(kInvalid, GetParam().message));
}

using Parts = std::vector<TestGguf>;

INSTANTIATE_TEST_SUITE_P(
    Parts, GgufSplitDamageTest,
    testing::Values(
        SplitDamage{"WrongNumber", [](Parts& p) { p[1].Set("split.no", GgufU16(2)); },
                    "m-00002-of-00003.gguf: split.no is 2 (u16); it must be 1, as the file's name"},
        SplitDamage{"WrongCount", [](Parts& p) { p[2].Set("split.count", GgufU16(4)); },
                    "m-00003-of-00003.gguf: split.count is 4 (u16); it must be 3"},
        SplitDamage{"NoNumber", [](Parts& p) { p[1].RemoveKey("split.no"); },
                    "m-00002-of-00003.gguf: has no key \"split.no\""},
        SplitDamage{"NoCount", [](Parts& p) { p[0].RemoveKey("split.count"); },
                    "has no key \"split.count\""},
        SplitDamage{"NoTensorCount", [](Parts& p) { p[0].RemoveKey("split.tensors.count"); },
                    "has no key \"split.tensors.count\""},
        SplitDamage{"WrongTensorCount",
                    [](Parts& p) { p[0].Set("split.tensors.count", GgufI32(20)); },
                    "split.tensors.count is 20 (i32); it must be 21, the number of tensors in the"},
        SplitDamage{"TextAsNumber", [](Parts& p) { p[1].Set("split.no", GgufText("1")); },
                    "split.no is \"1\" (string)"},
        SplitDamage{"TensorTwice",
                    [](Parts& p) {
                      p[2].tensors.push_back(p[0].tensors[0]);
                      p[0].Set("split.tensors.count", GgufI32(22));
                    },
                    "m-00003-of-00003.gguf: has the tensor \"token_embd.weight\", which is in "
                    "m-00001-of-00003.gguf too"},
        SplitDamage{"PartCut", [](Parts& p) { p[1].tensors.back().bytes.resize(4); },
                    "m-00002-of-00003.gguf: tensor"}),
    [](const auto& info) { return info.param.name; });

TEST(GgufSplitTest, MissingPartsAreNamed) {
  const TestFolder folder;
  WriteParts(folder, SplitLlama());
  folder.Remove(PartName(2, 3));
  EXPECT_THAT(OpenCheckpoint(folder.File(PartName(1, 3))),
              IsError(kNotFound, "m-00002-of-00003.gguf: there is no such file"));
}

TEST(GgufSplitTest, APartByAnotherNameIsNoModel) {
  const TestFolder folder;
  folder.Write("m.gguf", SplitLlama()[1].Bytes());
  EXPECT_THAT(OpenCheckpoint(folder.File("m.gguf")),
              IsError(kInvalid,
                      "m.gguf: is part 2 of 3 of a model; the parts must lie in one "
                      "folder and be named NAME-00001-of-00003.gguf"));
  for (const char* name : {"m-00000-of-00003.gguf", "m-00004-of-00003.gguf",
                           "m-00001-of-00999.gguf", "m-00001-of-00000.gguf"}) {
    folder.Write(name, SplitLlama()[1].Bytes());
    EXPECT_THAT(OpenCheckpoint(folder.File(name)), IsError(kInvalid, "is named as part"));
  }
}

TEST(OpenCheckpointTest, PicksTheFormatByWhatIsThere) {
  const TestFolder folder;
  EXPECT_THAT(OpenCheckpoint(folder.path()), IsError(kNotFound, "the folder is empty"));
  folder.Write("a.gguf", TinyGguf("llama").Bytes());
  auto checkpoint = OpenCheckpoint(folder.path());
  ASSERT_THAT(checkpoint, IsOk());
  EXPECT_EQ((*checkpoint)->config().architecture, "llama");
  folder.Write("b.GGUF", TinyGguf("llama").Bytes());
  EXPECT_THAT(OpenCheckpoint(folder.path()),
              IsError(kInvalid, "the folder has 2 GGUF models: \"a.gguf\", \"b.GGUF\"; give the"));
  EXPECT_THAT(OpenCheckpoint(folder.File("b.GGUF")), IsOk());
  WriteTinyModel(folder, "gpt2");
  checkpoint = OpenCheckpoint(folder.path());
  ASSERT_THAT(checkpoint, IsOk());
  EXPECT_EQ((*checkpoint)->config().architecture, "gpt2");
}

TEST(OpenCheckpointTest, OtherPathsAreRefused) {
  const TestFolder folder;
  EXPECT_THAT(OpenCheckpoint(folder.File("x.gguf")),
              IsError(kNotFound, "x.gguf: there is no such"));
  EXPECT_THAT(OpenCheckpoint(folder.File("x")), IsError(kNotFound, "there is no such folder"));
  folder.Write("notes.txt", "hello");
  EXPECT_THAT(OpenCheckpoint(folder.File("notes.txt")), IsError(kInvalid, "is not a folder"));
  std::filesystem::create_directory(folder.File("d.gguf"));
  EXPECT_THAT(OpenGguf(folder.File("d.gguf")),
              IsError(kInvalid, "d.gguf: is a folder; it must be"));
}

}  // namespace
}  // namespace heed
