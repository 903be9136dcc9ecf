#include "tests/checkpoint/gguf_builder.h"

#include <algorithm>
#include <bit>

#include "absl/strings/str_cat.h"
#include "gtest/gtest.h"
#include "tests/checkpoint/checkpoint_builder.h"

namespace heed {
namespace {

using Shape = std::vector<int64_t>;

std::string Typed(uint32_t type, std::string value) {
  return LittleEndianBytes(type, 4) + value;
}

std::string Sized(absl::string_view text) {
  return absl::StrCat(LittleEndianBytes(text.size(), 8), text);
}

std::string Array(uint32_t element_type, size_t size, const std::string& elements) {
  return Typed(9, LittleEndianBytes(element_type, 4) + LittleEndianBytes(size, 8) + elements);
}

void Pad(std::string& bytes, uint32_t alignment) {
  while (bytes.size() % alignment != 0) bytes.push_back('\0');
}

// Adds tensors of a model one after another.
class ModelBuilder {
 public:
  explicit ModelBuilder(TestGguf* file) : file_(*file) {}

  void Weight(const std::string& name, Shape shape) {
    file_.tensors.push_back(F32Tensor(name + ".weight", shape, file_.tensors.size()));
  }
  void Bias(const std::string& name, int64_t size) {
    file_.tensors.push_back(F32Tensor(name + ".bias", {size}, file_.tensors.size()));
  }
  void Linear(const std::string& name, int64_t out, int64_t in) {
    Weight(name, {out, in});
    Bias(name, out);
  }
  void LayerNorm(const std::string& name) {
    Weight(name, {8});
    Bias(name, 8);
  }

 private:
  TestGguf& file_;
};

void AddGpt2(ModelBuilder model) {
  model.Weight("token_embd", {11, 8});
  model.Weight("position_embd", {16, 8});
  for (int layer = 0; layer < 2; ++layer) {
    const std::string blk = absl::StrCat("blk.", layer, ".");
    model.LayerNorm(blk + "attn_norm");
    model.Linear(blk + "attn_qkv", 24, 8);
    model.Linear(blk + "attn_output", 8, 8);
    model.LayerNorm(blk + "ffn_norm");
    model.Linear(blk + "ffn_up", 16, 8);
    model.Linear(blk + "ffn_down", 8, 16);
  }
  model.LayerNorm("output_norm");
}

void AddLlama(ModelBuilder model) {
  model.Weight("token_embd", {11, 8});
  model.Weight("output_norm", {8});
  model.Weight("output", {11, 8});
  for (int layer = 0; layer < 2; ++layer) {
    const std::string blk = absl::StrCat("blk.", layer, ".");
    model.Weight(blk + "attn_norm", {8});
    model.Weight(blk + "attn_q", {8, 8});
    model.Weight(blk + "attn_k", {4, 8});
    model.Weight(blk + "attn_v", {4, 8});
    model.Weight(blk + "attn_output", {8, 8});
    model.Weight(blk + "ffn_norm", {8});
    model.Weight(blk + "ffn_gate", {16, 8});
    model.Weight(blk + "ffn_up", {16, 8});
    model.Weight(blk + "ffn_down", {8, 16});
  }
}

void AddBert(ModelBuilder model) {
  model.Weight("token_embd", {11, 8});
  model.Weight("position_embd", {16, 8});
  model.Weight("token_types", {2, 8});
  model.LayerNorm("token_embd_norm");
  for (int layer = 0; layer < 2; ++layer) {
    const std::string blk = absl::StrCat("blk.", layer, ".");
    for (const char* part : {"attn_q", "attn_k", "attn_v", "attn_output"}) {
      model.Linear(blk + part, 8, 8);
    }
    model.LayerNorm(blk + "attn_output_norm");
    model.Linear(blk + "ffn_up", 16, 8);
    model.Linear(blk + "ffn_down", 8, 16);
    model.LayerNorm(blk + "layer_output_norm");
  }
}

}  // namespace

std::string LittleEndianBytes(uint64_t value, int bytes) {
  std::string out;
  for (int i = 0; i < bytes; ++i) out.push_back(static_cast<char>(value >> (8 * i)));
  return out;
}

std::string GgufU32(uint32_t value) {
  return Typed(4, LittleEndianBytes(value, 4));
}

std::string GgufI32(int32_t value) {
  return Typed(5, LittleEndianBytes(static_cast<uint32_t>(value), 4));
}

std::string GgufU64(uint64_t value) {
  return Typed(10, LittleEndianBytes(value, 8));
}

std::string GgufU16(uint16_t value) {
  return Typed(2, LittleEndianBytes(value, 2));
}

std::string GgufF32(float value) {
  return Typed(6, LittleEndianBytes(std::bit_cast<uint32_t>(value), 4));
}

std::string GgufBool(bool value) {
  return Typed(7, LittleEndianBytes(value ? 1 : 0, 1));
}

std::string GgufText(absl::string_view text) {
  return Typed(8, Sized(text));
}

std::string GgufTexts(const std::vector<std::string>& texts) {
  std::string elements;
  for (const std::string& text : texts) elements += Sized(text);
  return Array(8, texts.size(), elements);
}

std::string GgufF32s(const std::vector<float>& values) {
  std::string elements;
  for (const float v : values) elements += LittleEndianBytes(std::bit_cast<uint32_t>(v), 4);
  return Array(6, values.size(), elements);
}

std::string GgufI32s(const std::vector<int32_t>& values) {
  std::string elements;
  for (const int32_t v : values) elements += LittleEndianBytes(static_cast<uint32_t>(v), 4);
  return Array(5, values.size(), elements);
}

TestGgufKey& TestGguf::Key(absl::string_view key) {
  for (TestGgufKey& entry : keys) {
    if (entry.key == key) return entry;
  }
  return keys.emplace_back(TestGgufKey{std::string(key), ""});
}

void TestGguf::Set(absl::string_view key, std::string value) {
  Key(key).value = std::move(value);
}

void TestGguf::RemoveKey(absl::string_view key) {
  const size_t removed = std::erase_if(keys, [key](const auto& entry) { return entry.key == key; });
  EXPECT_EQ(removed, 1) << key;
}

TestGgufTensor& TestGguf::Tensor(absl::string_view name) {
  for (TestGgufTensor& tensor : tensors) {
    if (tensor.name == name) return tensor;
  }
  ADD_FAILURE() << "no tensor " << name;
  return tensors.front();
}

void TestGguf::RemoveTensor(absl::string_view name) {
  const size_t removed =
      std::erase_if(tensors, [name](const auto& tensor) { return tensor.name == name; });
  EXPECT_EQ(removed, 1) << name;
}

std::string TestGguf::Header() const {
  std::string out = magic + LittleEndianBytes(version, 4) +
                    LittleEndianBytes(tensor_count.value_or(tensors.size()), 8) +
                    LittleEndianBytes(key_count.value_or(keys.size()), 8);
  for (const TestGgufKey& entry : keys) out += Sized(entry.key) + entry.value;
  uint64_t offset = 0;
  for (const TestGgufTensor& tensor : tensors) {
    out += Sized(tensor.name) + LittleEndianBytes(tensor.dimensions.size(), 4);
    for (const uint64_t dimension : tensor.dimensions) out += LittleEndianBytes(dimension, 8);
    out += LittleEndianBytes(tensor.type, 4) + LittleEndianBytes(tensor.offset.value_or(offset), 8);
    offset = (offset + tensor.bytes.size() + alignment - 1) / alignment * alignment;
  }
  Pad(out, alignment);
  return out;
}

std::string TestGguf::Bytes() const {
  std::string out = Header();
  for (const TestGgufTensor& tensor : tensors) {
    out += tensor.bytes;
    Pad(out, alignment);
  }
  return out;
}

TestGgufTensor F32Tensor(absl::string_view name, absl::Span<const int64_t> shape, uint64_t seed) {
  TestGgufTensor tensor{std::string(name), {shape.rbegin(), shape.rend()}};
  for (const float value : TestValues(ElementsOf(shape), seed)) {
    tensor.bytes += LittleEndianBytes(std::bit_cast<uint32_t>(value), 4);
  }
  return tensor;
}

TestGguf TinyGguf(absl::string_view architecture) {
  TestGguf file;
  const std::string a = absl::StrCat(architecture, ".");
  file.Set("general.architecture", GgufText(architecture));
  file.Set("general.name", GgufText("tiny"));
  file.Set(a + "block_count", GgufU32(2));
  file.Set(a + "context_length", GgufU32(16));
  file.Set(a + "embedding_length", GgufU32(8));
  file.Set(a + "feed_forward_length", GgufU32(16));
  file.Set(a + "attention.head_count", GgufU32(2));
  if (architecture == "llama") {
    file.Set(a + "attention.head_count_kv", GgufU32(1));
    file.Set(a + "attention.layer_norm_rms_epsilon", GgufF32(1e-6f));
    file.Set(a + "rope.dimension_count", GgufU32(4));
    file.Set("tokenizer.ggml.bos_token_id", GgufU32(9));
    AddLlama(ModelBuilder(&file));
  } else {
    file.Set(a + "attention.layer_norm_epsilon", GgufF32(1e-5f));
    (architecture == "gpt2" ? AddGpt2 : AddBert)(ModelBuilder(&file));
  }
  if (architecture == "bert") file.Set("bert.attention.causal", GgufBool(false));
  if (architecture != "bert") file.Set("tokenizer.ggml.eos_token_id", GgufU32(10));
  return file;
}

}  // namespace heed
