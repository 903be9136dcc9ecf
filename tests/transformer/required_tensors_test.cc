// The list of what a model needs against what is really read when it is loaded.
#include "model/transformer/required_tensors.h"

#include <algorithm>
#include <filesystem>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/synchronization/mutex.h"
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

// Takes down which tensors are read, how large they are said to be, and how many of their rows.
class RecordingCheckpoint final : public ForwardingCheckpoint {
 public:
  using ForwardingCheckpoint::ForwardingCheckpoint;

  std::map<NameAndShape, int64_t> rows_read() const {
    absl::MutexLock lock(&mutex_);
    return rows_read_;
  }

  absl::Status ReadRows(absl::string_view name, absl::Span<const int64_t> shape, RowRange rows,
                        absl::Span<float> out) const override {
    {
      absl::MutexLock lock(&mutex_);
      rows_read_[{std::string(name), {shape.begin(), shape.end()}}] += rows.count;
    }
    return ForwardingCheckpoint::ReadRows(name, shape, rows, out);
  }

 private:
  mutable absl::Mutex mutex_;
  mutable std::map<NameAndShape, int64_t> rows_read_;
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
    std::map<NameAndShape, int64_t> expected;
    int64_t parameters = 0;
    for (const RequiredTensor& tensor : *required) {
      expected[{tensor.name, tensor.shape}] += tensor.shape.front();
      parameters += ElementsOf(tensor.shape);
    }
    EXPECT_EQ(recording.rows_read(), expected);
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
