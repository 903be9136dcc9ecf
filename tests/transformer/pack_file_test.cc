// Packed copies of weights: that a model from one is the same to the bit, and that none that is
// damaged or of something else is believed.
#include "model/transformer/pack_file.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <filesystem>
#include <fstream>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/checkpoint/checkpoint_builder.h"
#include "tests/checkpoint/status_matchers.h"
#include "tests/transformer/forwarding_checkpoint.h"
#include "tests/transformer/model_testing.h"

namespace heed {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

namespace fs = std::filesystem;

std::string ReadFile(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return std::string(std::istreambuf_iterator<char>(file), {});
}

// A model, how it came to be, and what it answers.
struct Loaded {
  std::unique_ptr<const LanguageModel> model;
  LoadReport report;
  std::vector<float> logits;
};

class PackFileTest : public testing::Test {
 protected:
  std::string path() const { return folder_.File("copies/m.heedpack"); }

  Loaded Load(const std::string& checkpoint_path, WeightFormat weights,
              const Backend* backend = DefaultBackend()) const {
    const auto checkpoint = OpenCheckpoint(checkpoint_path);
    EXPECT_THAT(checkpoint, IsOk());
    return Load(**checkpoint, weights, backend);
  }

  Loaded Load(const Checkpoint& checkpoint, WeightFormat weights,
              const Backend* backend = DefaultBackend()) const {
    Loaded loaded;
    auto model = LoadLanguageModel(
        checkpoint, backend, {.weights = weights, .packed_copy = path(), .report = &loaded.report});
    EXPECT_THAT(model, IsOk());
    loaded.model = *std::move(model);
    loaded.logits = Runner(loaded.model.get()).Append({1, 5, 3, 2, 7, 4});
    return loaded;
  }

  TestFolder folder_;
};

TEST_F(PackFileTest, TheSecondTimeIsTheSameToTheBit) {
  for (const char* name : {"gpt2-f32", "llama-gqa-f32", "neox-f16", "bert-f32", "albert-f16"}) {
    for (const auto weights :
         {WeightFormat::kF32, WeightFormat::kF16, WeightFormat::kInt8, WeightFormat::kInt4}) {
      SCOPED_TRACE(absl::StrCat(name, ", format ", static_cast<int>(weights)));
      fs::remove_all(folder_.File("copies"));
      const Loaded first = Load(GoldenFolder(name), weights);
      EXPECT_TRUE(first.report.made_packed_copy);
      EXPECT_FALSE(first.report.from_packed_copy);
      const Loaded second = Load(GoldenFolder(name), weights);
      EXPECT_FALSE(second.report.made_packed_copy);
      EXPECT_TRUE(second.report.from_packed_copy);
      EXPECT_EQ(second.logits, first.logits);
      EXPECT_EQ(second.model->parameter_count(), first.model->parameter_count());
      EXPECT_EQ(second.model->weight_bytes(), first.model->weight_bytes());
      EXPECT_EQ(second.model->compute_dtype(), first.model->compute_dtype());
      EXPECT_THAT(first.model->notes(), IsEmpty());
      EXPECT_THAT(second.model->notes(), IsEmpty());
    }
  }
}

TEST_F(PackFileTest, StoredBlocksToo) {
  for (const char* file : {"Q8_0.gguf", "Q4_0.gguf"}) {
    const std::string gguf = absl::StrCat(HEED_SOURCE_DIR, "/tests/golden/gguf/quantized/", file);
    const Loaded first = Load(gguf, WeightFormat::kAsStored);
    const Loaded second = Load(gguf, WeightFormat::kAsStored);
    EXPECT_TRUE(second.report.from_packed_copy);
    EXPECT_EQ(second.logits, first.logits);
    EXPECT_EQ(second.model->compute_dtype(), first.model->compute_dtype());
  }
}

// As processes leave them that are ended while they write one.
TEST_F(PackFileTest, CopiesThatNobodyFinishesAreRemovedByTheNext) {
  fs::create_directories(folder_.File("copies"));
  const std::string abandoned = folder_.File("copies/other.heedpack.aB3dEf");
  const std::string busy = folder_.File("copies/m.heedpack.XyZ123");
  const std::string foreign = folder_.File("copies/notes.txt.backup");
  for (const std::string& name : {abandoned, busy, foreign}) std::ofstream(name) << "half";
  const int writer = open(busy.c_str(), O_RDWR);
  ASSERT_EQ(flock(writer, LOCK_EX | LOCK_NB), 0);
  const Loaded first = Load(GoldenFolder("gpt2-f32"), WeightFormat::kF32);
  EXPECT_TRUE(first.report.made_packed_copy);
  EXPECT_FALSE(fs::exists(abandoned));
  EXPECT_TRUE(fs::exists(busy));
  EXPECT_TRUE(fs::exists(foreign));
  close(writer);
}

// A checkpoint of which one tensor is another.
class OtherCheckpoint final : public ForwardingCheckpoint {
 public:
  OtherCheckpoint(const Checkpoint& checkpoint, std::string digest, std::string stamp)
      : ForwardingCheckpoint(checkpoint), digest_(std::move(digest)), stamp_(std::move(stamp)) {}
  const std::string& digest() const override { return digest_; }
  const std::string& stamp() const override { return stamp_; }
  absl::Status ReadRows(absl::string_view name, absl::Span<const int64_t> shape, RowRange rows,
                        absl::Span<float> out) const override {
    ++reads;
    return ForwardingCheckpoint::ReadRows(name, shape, rows, out);
  }
  mutable std::atomic<int64_t> reads = 0;

 private:
  const std::string digest_, stamp_;
};

TEST_F(PackFileTest, AnotherCheckpointFormatOrMachineIsPackedAnew) {
  const auto checkpoint = OpenCheckpoint(GoldenFolder("llama-gqa-f32"));
  ASSERT_THAT(checkpoint, IsOk());
  Load(**checkpoint, WeightFormat::kInt8);
  const OtherCheckpoint other(**checkpoint, "sha256:other", (*checkpoint)->stamp());
  const Loaded changed = Load(other, WeightFormat::kInt8);
  EXPECT_TRUE(changed.report.made_packed_copy);
  EXPECT_THAT(changed.model->notes(), ElementsAre(HasSubstr("was packed anew: the packed copy")));
  EXPECT_THAT(changed.model->notes(), ElementsAre(HasSubstr("is of another checkpoint")));
  const Loaded in_4_bits = Load(other, WeightFormat::kInt4);
  EXPECT_THAT(in_4_bits.model->notes(), ElementsAre(HasSubstr("is of another form")));
  const Loaded elsewhere = Load(other, WeightFormat::kInt4, ReferenceBackend());
  EXPECT_THAT(elsewhere.model->notes(), ElementsAre(HasSubstr("is of another form")));
  EXPECT_TRUE(Load(other, WeightFormat::kInt4, ReferenceBackend()).report.from_packed_copy);
}

TEST_F(PackFileTest, FilesThatWereOnlyMovedKeepTheirCopyWhichRemembersThem) {
  const auto checkpoint = OpenCheckpoint(GoldenFolder("llama-gqa-f32"));
  ASSERT_THAT(checkpoint, IsOk());
  Load(**checkpoint, WeightFormat::kInt8);
  const std::string stamp(64, '7');
  const OtherCheckpoint moved(**checkpoint, (*checkpoint)->digest(), stamp);
  EXPECT_TRUE(Load(moved, WeightFormat::kInt8).report.from_packed_copy);
  const auto identity = ReadPackIdentity(path());
  ASSERT_THAT(identity, IsOk());
  EXPECT_EQ(identity->stamp, stamp);
  EXPECT_EQ(identity->digest, (*checkpoint)->digest());
  const Loaded again = Load(moved, WeightFormat::kInt8);
  EXPECT_TRUE(again.report.from_packed_copy);
}

// Linear layers are not read from the checkpoint again.
TEST_F(PackFileTest, SparesReadingTheLayers) {
  const auto checkpoint = OpenCheckpoint(GoldenFolder("llama-gqa-f32"));
  ASSERT_THAT(checkpoint, IsOk());
  const OtherCheckpoint counted(**checkpoint, (*checkpoint)->digest(), (*checkpoint)->stamp());
  Load(counted, WeightFormat::kInt8);
  const int64_t first = counted.reads.exchange(0);
  Load(counted, WeightFormat::kInt8);
  EXPECT_LT(counted.reads, first / 2);
}

TEST_F(PackFileTest, DamageIsFoundAndMended) {
  const auto checkpoint = OpenCheckpoint(GoldenFolder("gpt2-f32"));
  ASSERT_THAT(checkpoint, IsOk());
  const Loaded whole = Load(**checkpoint, WeightFormat::kInt8);
  const std::string bytes = ReadFile(path());
  ASSERT_GT(bytes.size(), 4000);
  const auto expect_mended = [&](const std::string& damaged, const std::string& what) {
    SCOPED_TRACE(what);
    folder_.Write("copies/m.heedpack", damaged);
    const Loaded mended = Load(**checkpoint, WeightFormat::kInt8);
    EXPECT_TRUE(mended.report.made_packed_copy);
    EXPECT_EQ(mended.logits, whole.logits);
    EXPECT_EQ(mended.model->parameter_count(), whole.model->parameter_count());
    EXPECT_THAT(mended.model->notes(), ElementsAre(HasSubstr("was packed anew: ")));
    EXPECT_TRUE(ReadFile(path()) == bytes);
  };
  for (size_t at = 0; at < bytes.size(); at += at < 400 ? 11 : 4999) {
    std::string damaged = bytes;
    damaged[at] = static_cast<char>(damaged[at] ^ 1 << at % 8);
    expect_mended(damaged, absl::StrCat("bit flipped in byte ", at));
  }
  for (size_t size = 0; size < bytes.size(); size += size < 400 ? 37 : 6007) {
    expect_mended(bytes.substr(0, size), absl::StrCat("cut to ", size));
  }
  expect_mended(bytes.substr(0, bytes.size() - 1), "last byte lost");
  expect_mended(bytes + '\0', "a byte more");
}

TEST_F(PackFileTest, WhereNothingCanBeWrittenTheModelIsLoadedAllTheSame) {
  folder_.Write("copies", "a file, not a folder");
  const Loaded loaded = Load(GoldenFolder("gpt2-f32"), WeightFormat::kF32);
  EXPECT_FALSE(loaded.report.made_packed_copy);
  EXPECT_THAT(loaded.model->notes(), ElementsAre(HasSubstr("has no packed copy: cannot write ")));
}

// Nothing is left of a copy whose model could not be loaded.
TEST_F(PackFileTest, NoHalfCopiesStay) {
  TestFolder model;
  WriteTinyModel(model, "llama");
  std::vector<TestTensor> tensors = TinyTensors("llama");
  std::erase_if(tensors, [](const TestTensor& t) { return t.name == "model.norm.weight"; });
  WriteWeights(model, tensors);
  const auto checkpoint = OpenCheckpoint(model.path());
  ASSERT_THAT(checkpoint, IsOk());
  EXPECT_THAT(LoadLanguageModel(**checkpoint, DefaultBackend(), {.packed_copy = path()}),
              IsError(kNotFound, "norm.weight"));
  EXPECT_TRUE(fs::is_empty(folder_.File("copies")));
}

}  // namespace
}  // namespace heed
