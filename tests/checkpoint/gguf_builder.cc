#include "tests/checkpoint/gguf_builder.h"

#include <algorithm>
#include <bit>

#include "absl/strings/str_cat.h"
#include "gtest/gtest.h"
#include "tests/checkpoint/checkpoint_builder.h"

namespace heed {
namespace {

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

std::string GgufBools(const std::vector<bool>& values) {
  std::string elements;
  for (const bool v : values) elements.push_back(v ? 1 : 0);
  return Array(7, values.size(), elements);
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

}  // namespace heed
