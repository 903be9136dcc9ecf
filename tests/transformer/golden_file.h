// Reads a golden.safetensors file; see tests/golden/README.md for what it holds.
#ifndef HEED_TESTS_TRANSFORMER_GOLDEN_FILE_H_
#define HEED_TESTS_TRANSFORMER_GOLDEN_FILE_H_

#include <cstdint>
#include <cstring>
#include <fstream>
#include <iterator>
#include <map>
#include <string>
#include <vector>

#include "gtest/gtest.h"
#include "model/checkpoint/safetensors.h"

namespace heed {

class GoldenFile {
 public:
  explicit GoldenFile(const std::string& path) {
    std::ifstream in(path, std::ios::binary);
    bytes_.assign(std::istreambuf_iterator<char>(in), {});
    uint64_t header_bytes = 0;
    EXPECT_GE(bytes_.size(), sizeof(header_bytes)) << path;
    if (bytes_.size() < sizeof(header_bytes)) return;
    std::memcpy(&header_bytes, bytes_.data(), sizeof(header_bytes));
    data_begin_ = static_cast<int64_t>(sizeof(header_bytes) + header_bytes);
    const int64_t data = static_cast<int64_t>(bytes_.size() - sizeof(header_bytes) - header_bytes);
    auto tensors =
        ParseSafetensorsHeader(path, bytes_.substr(sizeof(header_bytes), header_bytes), data);
    EXPECT_TRUE(tensors.ok()) << tensors.status();
    if (!tensors.ok()) return;
    for (StoredTensor& tensor : *tensors) tensors_[tensor.name] = tensor;
  }

  bool Has(const std::string& name) const { return tensors_.contains(name); }
  const std::vector<int64_t>& Shape(const std::string& name) const {
    return tensors_.at(name).info.shape;
  }

  // The values of a tensor whose elements are T's size; F32 as float, I64 as int64_t.
  template <typename T>
  std::vector<T> Read(const std::string& name) const {
    const StoredTensor& tensor = tensors_.at(name);
    std::vector<T> values(tensor.bytes / sizeof(T));
    std::memcpy(values.data(), bytes_.data() + data_begin_ + tensor.offset, tensor.bytes);
    return values;
  }

 private:
  std::string bytes_;
  int64_t data_begin_ = 0;
  std::map<std::string, StoredTensor> tensors_;
};

}  // namespace heed

#endif  // HEED_TESTS_TRANSFORMER_GOLDEN_FILE_H_
