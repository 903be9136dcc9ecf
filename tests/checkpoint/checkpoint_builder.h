// Writes Hugging Face folders for tests: right ones, and ones that are wrong in any way a test
// wants.
#ifndef HEED_TESTS_CHECKPOINT_CHECKPOINT_BUILDER_H_
#define HEED_TESTS_CHECKPOINT_CHECKPOINT_BUILDER_H_

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/string_view.h"
#include "absl/types/span.h"

namespace heed {

// A folder of its own under testing::TempDir(), removed with everything in it at the end.
class TestFolder {
 public:
  TestFolder();
  TestFolder(const TestFolder&) = delete;
  TestFolder& operator=(const TestFolder&) = delete;
  ~TestFolder();

  const std::string& path() const { return path_; }
  std::string File(absl::string_view name) const;
  // A new file in place of what was there; whoever has the old one open keeps it.
  void Write(absl::string_view name, absl::string_view bytes) const;
  // The same file with other bytes.
  void Overwrite(absl::string_view name, absl::string_view bytes) const;
  void Remove(absl::string_view name) const;

 private:
  std::string path_;
};

std::string ReadTestFile(const std::string& path);

struct TestTensor {
  std::string name;
  std::string dtype;  // as safetensors names it
  std::vector<int64_t> shape;
  std::string bytes;
};

int64_t ElementsOf(absl::Span<const int64_t> shape);

// `count` reproducible values in [-1, 1) that F32, F16 and BF16 all represent exactly.
std::vector<float> TestValues(int64_t count, uint64_t seed);

// A tensor of F32, F16 or BF16; F16 and BF16 truncate what they cannot represent, F16 takes only 0
// and normal numbers.
TestTensor MakeTensor(absl::string_view name, absl::string_view dtype, std::vector<int64_t> shape,
                      absl::Span<const float> values);
// The same with TestValues.
TestTensor RandomTensor(absl::string_view name, absl::string_view dtype, std::vector<int64_t> shape,
                        uint64_t seed);

// The header of a safetensors file that holds `tensors` in this order.
std::string SafetensorsHeader(absl::Span<const TestTensor> tensors);
// A file with this header and these data.
std::string SafetensorsFile(absl::string_view header, absl::string_view data);
std::string SafetensorsFile(absl::Span<const TestTensor> tensors);

// Writes model.safetensors, or with n_shards > 1 an index and its shards, tensors dealt out in
// turn.
void WriteWeights(const TestFolder& folder, absl::Span<const TestTensor> tensors, int n_shards = 1);

// Configurations of models with 2 layers, width 8, 2 heads, feed-forward width 16, 11 tokens and 16
// positions, and their tensors, named as transformers names them. "heed_mixing" has one layer and
// no feed-forward part, "attention" for its pattern, learned positions, and the tensors of all
// patterns.
std::string TinyConfig(absl::string_view model_type);
std::vector<TestTensor> TinyTensors(absl::string_view model_type, absl::string_view dtype = "F32");
// config.json and weights.
void WriteTinyModel(const TestFolder& folder, absl::string_view model_type,
                    absl::string_view dtype = "F32", int n_shards = 1);

}  // namespace heed

#endif  // HEED_TESTS_CHECKPOINT_CHECKPOINT_BUILDER_H_
