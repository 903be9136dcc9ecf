#include "tests/checkpoint/checkpoint_builder.h"

#include <bit>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <utility>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "gtest/gtest.h"

namespace heed {
namespace {

using Shape = std::vector<int64_t>;
using NamedShapes = std::vector<std::pair<std::string, Shape>>;

std::string LittleEndian(uint64_t value, int bytes) {
  std::string out;
  for (int i = 0; i < bytes; ++i) out.push_back(static_cast<char>(value >> (8 * i)));
  return out;
}

uint16_t HalfBits(float value) {
  const auto bits = std::bit_cast<uint32_t>(value);
  if ((bits & 0x7FFFFFFF) == 0) return static_cast<uint16_t>(bits >> 16);
  const uint32_t magnitude = ((bits & 0x7FFFFFFF) >> 13) - (112u << 10);
  return static_cast<uint16_t>(((bits >> 16) & 0x8000) | magnitude);
}

std::string Encode(absl::string_view dtype, float value) {
  const auto bits = std::bit_cast<uint32_t>(value);
  if (dtype == "F32") return LittleEndian(bits, 4);
  return LittleEndian(dtype == "F16" ? HalfBits(value) : bits >> 16, 2);
}

NamedShapes Gpt2Shapes() {
  NamedShapes shapes = {{"transformer.wte.weight", {11, 8}}, {"transformer.wpe.weight", {16, 8}}};
  for (int layer = 0; layer < 2; ++layer) {
    const std::string h = absl::StrCat("transformer.h.", layer, ".");
    for (const char* norm : {"ln_1", "ln_2"}) {
      shapes.push_back({absl::StrCat(h, norm, ".weight"), {8}});
      shapes.push_back({absl::StrCat(h, norm, ".bias"), {8}});
    }
    shapes.insert(shapes.end(), {{h + "attn.c_attn.weight", {8, 24}},
                                 {h + "attn.c_attn.bias", {24}},
                                 {h + "attn.c_proj.weight", {8, 8}},
                                 {h + "attn.c_proj.bias", {8}},
                                 {h + "mlp.c_fc.weight", {8, 16}},
                                 {h + "mlp.c_fc.bias", {16}},
                                 {h + "mlp.c_proj.weight", {16, 8}},
                                 {h + "mlp.c_proj.bias", {8}}});
  }
  shapes.push_back({"transformer.ln_f.weight", {8}});
  shapes.push_back({"transformer.ln_f.bias", {8}});
  return shapes;
}

NamedShapes LlamaShapes() {
  NamedShapes shapes = {{"model.embed_tokens.weight", {11, 8}}};
  for (int layer = 0; layer < 2; ++layer) {
    const std::string l = absl::StrCat("model.layers.", layer, ".");
    shapes.insert(shapes.end(), {{l + "input_layernorm.weight", {8}},
                                 {l + "self_attn.q_proj.weight", {8, 8}},
                                 {l + "self_attn.k_proj.weight", {4, 8}},
                                 {l + "self_attn.v_proj.weight", {4, 8}},
                                 {l + "self_attn.o_proj.weight", {8, 8}},
                                 {l + "post_attention_layernorm.weight", {8}},
                                 {l + "mlp.gate_proj.weight", {16, 8}},
                                 {l + "mlp.up_proj.weight", {16, 8}},
                                 {l + "mlp.down_proj.weight", {8, 16}}});
  }
  shapes.push_back({"model.norm.weight", {8}});
  shapes.push_back({"lm_head.weight", {11, 8}});
  return shapes;
}

void AddLinear(NamedShapes& shapes, const std::string& name, int64_t out, int64_t in) {
  shapes.push_back({name + ".weight", {out, in}});
  shapes.push_back({name + ".bias", {out}});
}

void AddLayerNorm(NamedShapes& shapes, const std::string& name) {
  shapes.push_back({name + ".weight", {8}});
  shapes.push_back({name + ".bias", {8}});
}

NamedShapes BertShapes() {
  const std::string e = "bert.embeddings.";
  NamedShapes shapes = {{e + "word_embeddings.weight", {11, 8}},
                        {e + "position_embeddings.weight", {16, 8}},
                        {e + "token_type_embeddings.weight", {2, 8}}};
  AddLayerNorm(shapes, e + "LayerNorm");
  for (int layer = 0; layer < 2; ++layer) {
    const std::string l = absl::StrCat("bert.encoder.layer.", layer, ".");
    for (const char* part : {"query", "key", "value"}) {
      AddLinear(shapes, absl::StrCat(l, "attention.self.", part), 8, 8);
    }
    AddLinear(shapes, l + "attention.output.dense", 8, 8);
    AddLayerNorm(shapes, l + "attention.output.LayerNorm");
    AddLinear(shapes, l + "intermediate.dense", 16, 8);
    AddLinear(shapes, l + "output.dense", 8, 16);
    AddLayerNorm(shapes, l + "output.LayerNorm");
  }
  AddLinear(shapes, "cls.predictions.transform.dense", 8, 8);
  AddLayerNorm(shapes, "cls.predictions.transform.LayerNorm");
  shapes.push_back({"cls.predictions.bias", {11}});
  return shapes;
}

NamedShapes MixingShapes() {
  return {{"embed_tokens.weight", {11, 8}}, {"position_embedding.weight", {16, 8}},
          {"word_scores.weight", {11}},     {"q_proj.weight", {8, 8}},
          {"k_proj.weight", {8, 8}},        {"v_proj.weight", {8, 8}}};
}

std::string ShardName(int shard, int n_shards) {
  return absl::StrFormat("model-%05d-of-%05d.safetensors", shard + 1, n_shards);
}

}  // namespace

TestFolder::TestFolder() : path_(absl::StrCat(testing::TempDir(), "/heed_checkpoint_XXXXXX")) {
  if (mkdtemp(path_.data()) == nullptr) ADD_FAILURE() << "cannot make " << path_;
}

TestFolder::~TestFolder() {
  std::error_code ignored;
  std::filesystem::remove_all(path_, ignored);
}

std::string TestFolder::File(absl::string_view name) const {
  return absl::StrCat(path_, "/", name);
}

void TestFolder::Write(absl::string_view name, absl::string_view bytes) const {
  // Filesystems flush a file that is cut and written again, which takes longer than a test may.
  Remove(name);
  Overwrite(name, bytes);
}

void TestFolder::Overwrite(absl::string_view name, absl::string_view bytes) const {
  std::ofstream file(File(name), std::ios::binary | std::ios::trunc);
  file.write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
  file.close();
  if (!file) ADD_FAILURE() << "cannot write " << File(name);
}

void TestFolder::Remove(absl::string_view name) const {
  std::filesystem::remove_all(File(name));
}

std::string ReadTestFile(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) ADD_FAILURE() << "cannot read " << path;
  return std::string(std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>());
}

int64_t ElementsOf(absl::Span<const int64_t> shape) {
  int64_t count = 1;
  for (const int64_t size : shape) count *= size;
  return count;
}

std::vector<float> TestValues(int64_t count, uint64_t seed) {
  std::vector<float> values;
  uint64_t state = seed * 2 + 1;
  for (int64_t i = 0; i < count; ++i) {
    state = state * 6364136223846793005u + 1442695040888963407u;
    values.push_back(static_cast<float>(static_cast<int>(state >> 56) - 128) / 128);
  }
  return values;
}

TestTensor MakeTensor(absl::string_view name, absl::string_view dtype, Shape shape,
                      absl::Span<const float> values) {
  TestTensor tensor{std::string(name), std::string(dtype), std::move(shape), ""};
  for (const float value : values) tensor.bytes += Encode(dtype, value);
  return tensor;
}

TestTensor RandomTensor(absl::string_view name, absl::string_view dtype, Shape shape,
                        uint64_t seed) {
  const int64_t count = ElementsOf(shape);
  return MakeTensor(name, dtype, std::move(shape), TestValues(count, seed));
}

std::string SafetensorsHeader(absl::Span<const TestTensor> tensors) {
  std::string header = R"({"__metadata__":{"format":"pt"})";
  size_t offset = 0;
  for (const TestTensor& tensor : tensors) {
    absl::StrAppend(&header, ",\"", tensor.name, R"(":{"dtype":")", tensor.dtype, R"(","shape":[)",
                    absl::StrJoin(tensor.shape, ","), R"(],"data_offsets":[)", offset, ",",
                    offset + tensor.bytes.size(), "]}");
    offset += tensor.bytes.size();
  }
  header += "}";
  while (header.size() % 8 != 0) header += " ";
  return header;
}

std::string SafetensorsFile(absl::string_view header, absl::string_view data) {
  return absl::StrCat(LittleEndian(header.size(), 8), header, data);
}

std::string SafetensorsFile(absl::Span<const TestTensor> tensors) {
  std::string data;
  for (const TestTensor& tensor : tensors) data += tensor.bytes;
  return SafetensorsFile(SafetensorsHeader(tensors), data);
}

void WriteWeights(const TestFolder& folder, absl::Span<const TestTensor> tensors, int n_shards) {
  if (n_shards == 1) return folder.Write("model.safetensors", SafetensorsFile(tensors));
  std::vector<std::vector<TestTensor>> shards(static_cast<size_t>(n_shards));
  std::vector<std::string> entries;
  for (size_t i = 0; i < tensors.size(); ++i) {
    const size_t shard = i % shards.size();
    shards[shard].push_back(tensors[i]);
    entries.push_back(absl::StrCat("\"", tensors[i].name, "\": \"",
                                   ShardName(static_cast<int>(shard), n_shards), "\""));
  }
  for (int shard = 0; shard < n_shards; ++shard) {
    folder.Write(ShardName(shard, n_shards), SafetensorsFile(shards[static_cast<size_t>(shard)]));
  }
  folder.Write("model.safetensors.index.json",
               absl::StrCat(R"({"metadata": {"total_size": 1}, "weight_map": {)",
                            absl::StrJoin(entries, ", "), "}}"));
}

std::string TinyConfig(absl::string_view model_type) {
  if (model_type == "gpt2") {
    return R"({"model_type": "gpt2", "n_layer": 2, "n_embd": 8, "n_head": 2, "n_inner": 16,
               "vocab_size": 11, "n_positions": 16, "eos_token_id": 10, "bos_token_id": 10})";
  }
  if (model_type == "llama") {
    return R"({"model_type": "llama", "num_hidden_layers": 2, "hidden_size": 8,
               "num_attention_heads": 2, "num_key_value_heads": 1, "intermediate_size": 16,
               "vocab_size": 11, "max_position_embeddings": 16, "eos_token_id": 10,
               "bos_token_id": 9})";
  }
  if (model_type == "heed_mixing") {
    return R"({"model_type": "heed_mixing", "mixing": "attention", "position_encoding": "learned",
               "hidden_size": 8, "vocab_size": 11, "max_position_embeddings": 16})";
  }
  return R"({"model_type": "bert", "num_hidden_layers": 2, "hidden_size": 8,
             "num_attention_heads": 2, "intermediate_size": 16, "vocab_size": 11,
             "max_position_embeddings": 16})";
}

std::vector<TestTensor> TinyTensors(absl::string_view model_type, absl::string_view dtype) {
  const NamedShapes shapes = model_type == "gpt2"          ? Gpt2Shapes()
                             : model_type == "llama"       ? LlamaShapes()
                             : model_type == "heed_mixing" ? MixingShapes()
                                                           : BertShapes();
  std::vector<TestTensor> tensors;
  for (const auto& [name, shape] : shapes) {
    tensors.push_back(RandomTensor(name, dtype, shape, tensors.size()));
  }
  return tensors;
}

void WriteTinyModel(const TestFolder& folder, absl::string_view model_type, absl::string_view dtype,
                    int n_shards) {
  folder.Write("config.json", TinyConfig(model_type));
  WriteWeights(folder, TinyTensors(model_type, dtype), n_shards);
}

}  // namespace heed
