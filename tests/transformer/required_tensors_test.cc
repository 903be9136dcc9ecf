// The list of what a model needs against what is really read when it is loaded.
#include "model/transformer/required_tensors.h"

#include <algorithm>
#include <filesystem>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "model/transformer/language_model.h"
#include "tests/checkpoint/checkpoint_builder.h"
#include "tests/checkpoint/status_matchers.h"
#include "tests/transformer/forwarding_checkpoint.h"

namespace heed {
namespace {

namespace fs = std::filesystem;

using NameAndShape = std::pair<std::string, std::vector<int64_t>>;

// Takes down which tensors are read, and how large they are said to be.
class RecordingCheckpoint final : public ForwardingCheckpoint {
 public:
  using ForwardingCheckpoint::ForwardingCheckpoint;

  const std::vector<NameAndShape>& reads() const { return reads_; }

  absl::Status ReadF32(absl::string_view name, absl::Span<const int64_t> shape,
                       absl::Span<float> out) const override {
    reads_.push_back({std::string(name), {shape.begin(), shape.end()}});
    return ForwardingCheckpoint::ReadF32(name, shape, out);
  }

 private:
  mutable std::vector<NameAndShape> reads_;
};

// Every folder and every GGUF file among the goldens.
std::vector<std::string> AllGoldens() {
  std::vector<std::string> paths;
  const std::string root = absl::StrCat(HEED_SOURCE_DIR, "/tests/golden/");
  for (const auto& entry : fs::directory_iterator(root + "models")) {
    paths.push_back(entry.path().string());
  }
  for (const auto& entry : fs::recursive_directory_iterator(root + "gguf")) {
    if (absl::EndsWith(entry.path().string(), ".gguf")) paths.push_back(entry.path().string());
  }
  std::sort(paths.begin(), paths.end());
  return paths;
}

TEST(RequiredTensorsTest, AreWhatLoadingReads) {
  int64_t models = 0;
  for (const std::string& path : AllGoldens()) {
    SCOPED_TRACE(path);
    const auto checkpoint = OpenCheckpoint(path, {.compute_digest = false});
    ASSERT_THAT(checkpoint, IsOk());
    const RecordingCheckpoint recording(**checkpoint);
    const auto model = LoadLanguageModel(recording, ReferenceBackend());
    ASSERT_THAT(model, IsOk());
    const auto required = RequiredTensors((*checkpoint)->config());
    ASSERT_THAT(required, IsOk());
    std::vector<NameAndShape> expected;
    int64_t parameters = 0;
    for (const RequiredTensor& tensor : *required) {
      expected.push_back({tensor.name, tensor.shape});
      parameters += ElementsOf(tensor.shape);
    }
    EXPECT_EQ(recording.reads(), expected);
    EXPECT_EQ((*model)->parameter_count(), parameters);
    EXPECT_THAT(CheckTensors(**checkpoint), testing::IsEmpty());
    ++models;
  }
  EXPECT_GT(models, 40);
}

TEST(RequiredTensorsTest, EveryProblemIsNamedAndTheFirstIsLoadings) {
  const TestFolder folder;
  folder.Write("config.json", TinyConfig("llama"));
  std::vector<TestTensor> tensors = TinyTensors("llama");
  std::erase_if(tensors, [](const TestTensor& tensor) {
    return tensor.name == "model.layers.1.mlp.up_proj.weight" || tensor.name == "model.norm.weight";
  });
  tensors.front() = RandomTensor(tensors.front().name, "F32", {8, 11}, 1);
  WriteWeights(folder, tensors);
  const auto checkpoint = OpenCheckpoint(folder.path());
  ASSERT_THAT(checkpoint, IsOk());
  const std::vector<absl::Status> problems = CheckTensors(**checkpoint);
  ASSERT_EQ(problems.size(), 3);
  EXPECT_THAT(problems[0], IsError(absl::StatusCode::kInvalidArgument,
                                   "model.safetensors: tensor \"model.embed_tokens.weight\" has "
                                   "shape [8, 11], expected [11, 8]"));
  EXPECT_THAT(problems[1], IsError(absl::StatusCode::kNotFound,
                                   "model.safetensors: has no tensor "
                                   "\"layers.1.mlp.up_proj.weight\", which must have shape"));
  EXPECT_THAT(problems[2], IsError(absl::StatusCode::kNotFound, "\"norm.weight\""));
  EXPECT_EQ(LoadLanguageModel(**checkpoint, ReferenceBackend()).status(), problems[0]);
}

}  // namespace
}  // namespace heed
