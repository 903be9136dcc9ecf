// Writes GGUF files for tests: right ones, and ones that are wrong in any way a test wants.
#ifndef HEED_TESTS_CHECKPOINT_GGUF_BUILDER_H_
#define HEED_TESTS_CHECKPOINT_GGUF_BUILDER_H_

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "absl/types/span.h"

namespace heed {

// `value` in little-endian bytes.
std::string LittleEndianBytes(uint64_t value, int bytes);

// A metadata value with its type in front.
std::string GgufU32(uint32_t value);
std::string GgufI32(int32_t value);
std::string GgufU64(uint64_t value);
std::string GgufU16(uint16_t value);
std::string GgufF32(float value);
std::string GgufBool(bool value);
std::string GgufText(absl::string_view text);
std::string GgufTexts(const std::vector<std::string>& texts);
std::string GgufF32s(const std::vector<float>& values);
std::string GgufI32s(const std::vector<int32_t>& values);
std::string GgufBools(const std::vector<bool>& values);

struct TestGgufKey {
  std::string key;
  std::string value;  // with its type
};

struct TestGgufTensor {
  std::string name;
  std::vector<uint64_t> dimensions;  // in the file's order: innermost first
  uint32_t type = 0;
  std::string bytes;
  std::optional<uint64_t> offset;  // in place of the right one
};

struct TestGguf {
  std::string magic = "GGUF";
  uint32_t version = 3;
  std::optional<uint64_t> tensor_count, key_count;  // in place of the right ones
  std::vector<TestGgufKey> keys;
  std::vector<TestGgufTensor> tensors;
  uint32_t alignment = 32;  // by which it is laid out; a key must say so if it is not 32

  TestGgufKey& Key(absl::string_view key);
  void Set(absl::string_view key, std::string value);
  void RemoveKey(absl::string_view key);
  TestGgufTensor& Tensor(absl::string_view name);
  void RemoveTensor(absl::string_view name);

  std::string Header() const;  // with the padding behind it
  std::string Bytes() const;
};

// An F32 tensor of reproducible values. `shape` is outermost first.
TestGgufTensor F32Tensor(absl::string_view name, absl::Span<const int64_t> shape, uint64_t seed);

// Models of the architectures that heed reads, with 2 layers, width 8, 2 heads, feed-forward width
// 16, 11 tokens and 16 positions, as llama.cpp's converter names and orders things. Those shaped
// like Llama have one key head.
TestGguf TinyGguf(absl::string_view architecture);

// All of their names.
const std::vector<std::string>& TinyGgufArchitectures();

}  // namespace heed

#endif  // HEED_TESTS_CHECKPOINT_GGUF_BUILDER_H_
