// Safetensors files with every truncation, every flipped bit of the header and a hundred thousand
// random changes, and shard indices with as many: each is refused with a reason or read as it is,
// none crashes, and none takes much memory.
#include <filesystem>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "gtest/gtest.h"
#include "model/base/error.h"
#include "model/base/status_macros.h"
#include "model/base/utf8.h"
#include "model/checkpoint/checkpoint.h"
#include "model/checkpoint/file.h"
#include "model/checkpoint/safetensors.h"
#include "model/checkpoint/shard_index.h"
#include "tests/base/fuzzing.h"
#include "tests/checkpoint/allocation_peak.h"
#include "tests/checkpoint/checkpoint_builder.h"
#include "tests/checkpoint/memory_file.h"
#include "tests/checkpoint/status_matchers.h"

namespace heed {
namespace {

constexpr int kRuns = 100'000;

// What reading takes whatever the file's size.
constexpr int64_t kFixedBytes = 16 << 10;

void ExpectReason(const absl::Status& status, absl::string_view data) {
  ASSERT_EQ(GetErrorDetails(status).reason, "CHECKPOINT_INVALID") << status << "\nof " << data;
  ASSERT_TRUE(IsValidUtf8(status.message())) << data;
}

// Bits of a value, as the format's documentation lists them.
int BitsOf(const std::string& dtype) {
  static const auto* const bits = new std::map<std::string, int>{
      {"F4", 4},          {"F6_E2M3", 6},     {"F6_E3M2", 6}, {"BOOL", 8},    {"U8", 8},
      {"I8", 8},          {"F8_E5M2", 8},     {"F8_E4M3", 8}, {"F8_E8M0", 8}, {"I16", 16},
      {"U16", 16},        {"F16", 16},        {"BF16", 16},   {"I32", 32},    {"U32", 32},
      {"F32", 32},        {"F64", 64},        {"I64", 64},    {"U64", 64},    {"C64", 64},
      {"F8_E4M3FNUZ", 8}, {"F8_E5M2FNUZ", 8},
  };
  const auto found = bits->find(dtype);
  return found == bits->end() ? 0 : found->second;
}

// The tensors fill the file from the header's end to its own, each with the bytes that its shape
// and type take.
void ExpectWholeFile(const std::vector<StoredTensor>& tensors, const std::string& file) {
  uint64_t header = 0;
  for (int i = 7; i >= 0; --i) header = header << 8 | static_cast<uint8_t>(file[i]);
  auto end = static_cast<int64_t>(8 + header);
  for (const StoredTensor& tensor : tensors) {
    ASSERT_EQ(tensor.offset, end) << file;
    int64_t bits = BitsOf(tensor.dtype_name);
    ASSERT_GT(bits, 0) << tensor.dtype_name;
    for (const int64_t size : tensor.info.shape) bits *= size;
    ASSERT_EQ(8 * tensor.bytes, bits) << file;
    ASSERT_EQ(DTypeName(tensor.info.dtype) == tensor.dtype_name,
              tensor.info.dtype != DType::kOther);
    end += tensor.bytes;
  }
  ASSERT_EQ(end, static_cast<int64_t>(file.size())) << file;
}

class SafetensorsFuzzTest : public testing::Test {
 protected:
  absl::StatusOr<std::vector<StoredTensor>> Read(const std::string& bytes) {
    file_.Write(bytes);
    const auto file = File::Open(file_.path(), "m");
    EXPECT_THAT(file, IsOk());
    const AllocationPeak peak;
    auto tensors = ReadSafetensorsHeader(**file);
    EXPECT_LE(peak.bytes(), 2 * static_cast<int64_t>(bytes.size()) + kFixedBytes);
    return tensors;
  }

  MemoryFile file_;
};

TEST_F(SafetensorsFuzzTest, AHundredThousandRandomChangesAreRefusedOrWhole) {
  const std::vector<std::string> seeds = ReadSeeds("tests/checkpoint/seeds/safetensors");
  ASSERT_GE(seeds.size(), 7);
  for (const std::string& seed : seeds) ASSERT_THAT(Read(seed), IsOk()) << seed;
  const std::vector<std::string> words = {
      "null", "0",    "-1",      "1",       "2",    "1e999",      "9223372036854775807",
      "4.0",  "\"\"", "[]",      "{}",      ",",    "\"dtype\":", "18446744073709551616",
      "[0]",  "\xff", "\\u0000", "\\ud800", "F16",  "\"F4\"",     "\"__metadata__\":",
      " ",    "}",    "{",       "[4,4]",   "[0,0]"};
  FuzzRandom random;
  int loaded = 0;
  for (int run = 0; run < kRuns; ++run) {
    std::string data = DamagedSeed(seeds, words, &random);
    // Half of the time with the size that the header now has, so that more than that is looked at.
    const size_t end = data.rfind('}');
    if (random(2) == 0 && data.size() > 8 && end != std::string::npos && end > 8) {
      const uint64_t size = end - 7;
      for (int i = 0; i < 8; ++i) data[static_cast<size_t>(i)] = static_cast<char>(size >> (8 * i));
    }
    const auto tensors = Read(data);
    if (!tensors.ok()) {
      ExpectReason(tensors.status(), data);
    } else {
      ++loaded;
      ExpectWholeFile(*tensors, data);
    }
    if (HasFatalFailure()) return;
  }
  EXPECT_GT(loaded, kRuns / 50);
  EXPECT_LT(loaded, kRuns / 2);
}

// A header of nothing but the smallest tensors there are, and as much of it as may be beside
// little data.
TEST_F(SafetensorsFuzzTest, TheMemoryForASmallHeaderIsBounded) {
  constexpr int64_t kMostForASmallHeader = 24 * kSmallSafetensorsHeaderBytes;
  std::string header = "{";
  for (int i = 0; header.size() < kSmallSafetensorsHeaderBytes - 100; ++i) {
    absl::StrAppend(&header, i == 0 ? "" : ",", "\"", i,
                    "\":{\"dtype\":\"U8\",\"shape\":[0],\"data_offsets\":[0,0]}");
  }
  file_.Write(SafetensorsFile(header + "}", ""));
  const auto file = File::Open(file_.path(), "m");
  ASSERT_THAT(file, IsOk());
  const AllocationPeak peak;
  EXPECT_THAT(ReadSafetensorsHeader(**file), IsOk());
  EXPECT_LE(peak.bytes(), kMostForASmallHeader);
}

TEST_F(SafetensorsFuzzTest, AHeaderTooLargeForItsFileTakesNoMemory) {
  const std::string header(2 * kSmallSafetensorsHeaderBytes, '{');
  file_.Write(SafetensorsFile(header, ""));
  const auto file = File::Open(file_.path(), "m");
  ASSERT_THAT(file, IsOk());
  const AllocationPeak peak;
  EXPECT_THAT(ReadSafetensorsHeader(**file),
              IsError(absl::StatusCode::kInvalidArgument, "may be at most 1/16 of the file"));
  EXPECT_LE(peak.bytes(), kFixedBytes);
}

// A tiny GPT-2 whose weights are in memory.
class DamagedWeightsTest : public testing::Test {
 protected:
  void SetUp() override {
    folder_.Write("config.json", TinyConfig("gpt2"));
    std::filesystem::create_symlink(file_.path(), folder_.File("model.safetensors"));
  }

  // The values of all tensors, one after another, or why there are none.
  absl::StatusOr<std::vector<float>> Load(const std::string& bytes) {
    file_.Write(bytes);
    HEED_ASSIGN_OR_RETURN(const auto checkpoint, OpenCheckpoint(folder_.path(), {false}));
    std::vector<float> all;
    for (const TestTensor& tensor : tensors_) {
      std::vector<float> values(static_cast<size_t>(ElementsOf(tensor.shape)));
      HEED_RETURN_IF_ERROR(checkpoint->ReadF32(absl::StripPrefix(tensor.name, "transformer."),
                                               tensor.shape, absl::MakeSpan(values)));
      all.insert(all.end(), values.begin(), values.end());
    }
    return all;
  }

  // Refused for a reason of the checkpoint's, or loaded as it was.
  void ExpectRefusedOrEqual(const std::string& bytes, const std::vector<float>& right) {
    const auto values = Load(bytes);
    if (values.ok()) {
      ++loaded_;
      ASSERT_EQ(*values, right);
    } else {
      ASSERT_TRUE(absl::StartsWith(GetErrorDetails(values.status()).reason, "CHECKPOINT_"))
          << values.status();
    }
  }

  const TestFolder folder_;
  MemoryFile file_;
  const std::vector<TestTensor> tensors_ = TinyTensors("gpt2");
  const std::string whole_ = SafetensorsFile(tensors_);
  const size_t header_bytes_ = 8 + SafetensorsHeader(tensors_).size();
  int loaded_ = 0;
};

TEST_F(DamagedWeightsTest, EveryTruncationIsRefused) {
  const auto right = Load(whole_);
  ASSERT_THAT(right, IsOk());
  ASSERT_GT(right->size(), 1000);
  for (size_t size = 0; size < whole_.size(); ++size) {
    SCOPED_TRACE(size);
    ExpectRefusedOrEqual(whole_.substr(0, size), *right);
    if (HasFatalFailure()) return;
  }
  EXPECT_EQ(loaded_, 0);
}

// Only the texts of the metadata, "format" and "pt", may have other letters.
TEST_F(DamagedWeightsTest, EveryFlippedBitOfTheHeaderIsRefusedOrHarmless) {
  const auto right = Load(whole_);
  ASSERT_THAT(right, IsOk());
  for (size_t bit = 0; bit < 8 * header_bytes_; ++bit) {
    SCOPED_TRACE(bit);
    std::string bytes = whole_;
    bytes[bit / 8] = static_cast<char>(bytes[bit / 8] ^ (1 << (bit % 8)));
    ExpectRefusedOrEqual(bytes, *right);
    if (HasFatalFailure()) return;
  }
  EXPECT_EQ(loaded_, 7 * static_cast<int>(absl::string_view("formatpt").size()));
}

TEST(ShardIndexFuzzTest, AHundredThousandRandomChangesAreRefusedOrPlainNames) {
  const std::vector<std::string> seeds = {
      R"({"metadata": {"total_size": 34}, "weight_map": {"a": "model-00001-of-00002.safetensors",
          "b": "model-00002-of-00002.safetensors", "c": "model-00001-of-00002.safetensors"}})",
      R"({"weight_map":{"t":"s.safetensors"}})",
      R"({"weight_map":{"\u00e9":"\u0061.safetensors","x":"b.safetensors"},"metadata":null})"};
  const std::vector<std::string> words = {
      "null", "1",  "\"\"", "[]", "{}",      ",",       "..",      "/", "../", ".safetensors",
      "\xff", "\\", "\"",   ":",  "\\u0000", "\\u002f", "\\u002e", "}", "{",   "\"weight_map\":"};
  FuzzRandom random;
  int loaded = 0;
  for (int run = 0; run < kRuns; ++run) {
    const std::string data = DamagedSeed(seeds, words, &random);
    const AllocationPeak peak;
    const auto index = ParseShardIndex("i.json", data);
    ASSERT_LE(peak.bytes(), 2 * static_cast<int64_t>(data.size()) + kFixedBytes) << data;
    if (!index.ok()) {
      ExpectReason(index.status(), data);
      if (HasFatalFailure()) return;
      continue;
    }
    ++loaded;
    ASSERT_FALSE(index->empty());
    for (const auto& [shard, names] : *index) {
      ASSERT_TRUE(absl::EndsWith(shard, ".safetensors")) << data;
      ASSERT_EQ(shard.find('/'), std::string::npos) << data;
      ASSERT_EQ(shard.find(".."), std::string::npos) << data;
      ASSERT_EQ(shard.find('\0'), std::string::npos) << data;
      ASSERT_FALSE(names.empty()) << data;
    }
  }
  EXPECT_GT(loaded, kRuns / 50);
  EXPECT_LT(loaded, kRuns / 2);
}

}  // namespace
}  // namespace heed
