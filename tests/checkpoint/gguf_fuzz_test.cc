// GGUF files with every truncation, every flipped bit and a hundred thousand random changes: each
// is refused with a reason or loads, none crashes, and none takes much memory.
#include <algorithm>
#include <iterator>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "gtest/gtest.h"
#include "model/base/error.h"
#include "model/checkpoint/checkpoint.h"
#include "tests/checkpoint/allocation_peak.h"
#include "tests/checkpoint/gguf_builder.h"
#include "tests/checkpoint/memory_file.h"
#include "tests/checkpoint/status_matchers.h"

namespace heed {
namespace {

// What opening takes whatever the file's size: buffers for reading and hashing, and messages.
constexpr int64_t kFixedBytes = 512 << 10;

// The values of all tensors of a tiny GPT-2, one after another.
std::vector<float> ReadAll(const Checkpoint& checkpoint) {
  std::vector<float> all;
  std::vector<std::string> names = {"wte.weight", "wpe.weight", "ln_f.weight", "ln_f.bias"};
  for (int layer = 0; layer < 2; ++layer) {
    for (const char* part :
         {"ln_1", "attn.c_attn", "attn.c_proj", "ln_2", "mlp.c_fc", "mlp.c_proj"}) {
      names.push_back(absl::StrCat("h.", layer, ".", part, ".weight"));
      names.push_back(absl::StrCat("h.", layer, ".", part, ".bias"));
    }
  }
  for (const std::string& name : names) {
    const TensorInfo* info = checkpoint.Find(name);
    if (info == nullptr) continue;
    int64_t count = 1;
    for (const int64_t size : info->shape) count *= size;
    std::vector<float> values(static_cast<size_t>(count));
    if (!checkpoint.ReadF32(name, info->shape, absl::MakeSpan(values)).ok()) continue;
    all.insert(all.end(), values.begin(), values.end());
  }
  return all;
}

class GgufFuzzTest : public testing::Test {
 protected:
  // Opens the bytes and looks after memory and the reason of a refusal.
  absl::StatusOr<std::unique_ptr<Checkpoint>> Open(const std::string& bytes,
                                                   bool compute_digest = false) {
    file_.Write(bytes);
    const AllocationPeak peak;
    auto checkpoint = OpenGguf(file_.path(), {.compute_digest = compute_digest});
    const int64_t taken = peak.bytes();
    EXPECT_LE(taken, 2 * static_cast<int64_t>(bytes.size()) + kFixedBytes);
    if (!checkpoint.ok()) {
      EXPECT_TRUE(absl::StartsWith(GetErrorDetails(checkpoint.status()).reason, "CHECKPOINT_"))
          << checkpoint.status();
    }
    return checkpoint;
  }

  MemoryFile file_;
};

TEST_F(GgufFuzzTest, EveryTruncationIsRefusedOrEqual) {
  const std::string whole = TinyGguf("gpt2").Bytes();
  const std::vector<float> values = ReadAll(**Open(whole));
  ASSERT_GT(values.size(), 1000);
  for (size_t size = 0; size < whole.size(); ++size) {
    const auto checkpoint = Open(whole.substr(0, size));
    if (!checkpoint.ok()) continue;
    ASSERT_EQ(ReadAll(**checkpoint), values) << size;  // only padding is missing
    ASSERT_GT(size, whole.size() - 32);
  }
}

// A flipped bit that goes unnoticed is one of a value of the metadata: no tensor is read wrong.
TEST_F(GgufFuzzTest, EveryFlippedBitOfTheHeaderIsRefusedOrHarmless) {
  const TestGguf file = TinyGguf("gpt2");
  const std::string whole = file.Bytes();
  const std::vector<float> values = ReadAll(**Open(whole));
  int loaded = 0;
  for (size_t bit = 0; bit < 8 * file.Header().size(); ++bit) {
    std::string bytes = whole;
    bytes[bit / 8] = static_cast<char>(bytes[bit / 8] ^ (1 << (bit % 8)));
    const auto checkpoint = Open(bytes);
    if (!checkpoint.ok()) continue;
    ASSERT_EQ(ReadAll(**checkpoint), values) << "bit " << bit % 8 << " of byte " << bit / 8;
    ++loaded;
  }
  EXPECT_GT(loaded, 0);
  EXPECT_LT(loaded, 700);
}

TEST_F(GgufFuzzTest, EveryFlippedBitOfOtherModelsIsSurvived) {
  for (const char* architecture : {"llama", "gemma3", "gptneox", "bert", "modern-bert"}) {
    const TestGguf file = TinyGguf(architecture);
    const std::string whole = file.Bytes();
    for (size_t bit = 0; bit < 8 * file.Header().size(); ++bit) {
      std::string bytes = whole;
      bytes[bit / 8] = static_cast<char>(bytes[bit / 8] ^ (1 << (bit % 8)));
      Open(bytes).IgnoreError();
    }
  }
}

// Files whose headers are nothing but many of the smallest things there are.
TEST_F(GgufFuzzTest, ManySmallThingsTakeLittleMemory) {
  constexpr int kCount = 100000;
  TestGguf keys = TinyGguf("gpt2");
  for (int i = 0; i < kCount; ++i) keys.keys.push_back({absl::StrCat("k", i), GgufBool(true)});
  EXPECT_THAT(Open(keys.Bytes()), IsOk());
  TestGguf tensors = TinyGguf("gpt2");
  tensors.alignment = 1;
  tensors.Set("general.alignment", GgufU32(1));
  for (int i = 0; i < kCount; ++i) tensors.tensors.push_back({absl::StrCat("t", i), {}, 24, "x"});
  EXPECT_FALSE(Open(tensors.Bytes()).ok());
  TestGguf same_names = TinyGguf("gpt2");
  for (int i = 0; i < kCount; ++i) same_names.tensors.push_back({"t", {}, 24, "x"});
  EXPECT_FALSE(Open(same_names.Bytes()).ok());
  TestGguf texts = TinyGguf("gpt2");
  texts.Set("x", GgufTexts(std::vector<std::string>(10 * kCount)));
  EXPECT_THAT(Open(texts.Bytes()), IsOk());
}

// Reproducible noise.
class Random {
 public:
  explicit Random(uint64_t seed) : state_(seed * 2 + 1) {}
  uint64_t Next() {
    state_ = state_ * 6364136223846793005u + 1442695040888963407u;
    return state_ >> 33;
  }
  uint64_t Below(uint64_t bound) { return bound == 0 ? 0 : Next() % bound; }

 private:
  uint64_t state_;
};

// One change of the kinds that break parsers: bits, boundary numbers, lost, moved and copied bytes.
void Mutate(Random& random, std::string& bytes, size_t header_bytes) {
  constexpr uint64_t kNumbers[] = {0,          1,          0x7F,       0x80,       0xFF,
                                   0xFFFF,     0x7FFFFFFF, 0x80000000, 0xFFFFFFFF, 1ull << 32,
                                   1ull << 62, 1ull << 63, ~0ull,      13,         64};
  if (bytes.empty()) return;
  // Most of what there is to break is in the header.
  const size_t range = random.Below(8) == 0 ? bytes.size() : std::min(header_bytes, bytes.size());
  const size_t at = random.Below(range);
  const size_t size = std::min<size_t>(1 + random.Below(64), bytes.size() - at);
  switch (random.Below(7)) {
    case 0:
      bytes[at] = static_cast<char>(bytes[at] ^ (1 << random.Below(8)));
      break;
    case 1:
      bytes[at] = static_cast<char>(random.Next());
      break;
    case 2:
    case 3: {
      const size_t width = size_t{1} << random.Below(4);
      const uint64_t number = kNumbers[random.Below(std::size(kNumbers))];
      const std::string text = LittleEndianBytes(number, static_cast<int>(width));
      bytes.replace(at, std::min(width, bytes.size() - at), text);
      break;
    }
    case 4:
      bytes.erase(at, size);
      break;
    case 5:
      bytes.insert(random.Below(bytes.size()), bytes.substr(at, size));
      break;
    default:
      if (random.Below(4) == 0) bytes.resize(at);
  }
}

TEST_F(GgufFuzzTest, AHundredThousandRandomChangesAreSurvived) {
  constexpr int kRuns = 100000;
  std::vector<std::string> files;
  std::vector<size_t> headers;
  for (const char* architecture : {"gpt2", "llama", "bert"}) {
    TestGguf file = TinyGguf(architecture);
    file.Set("tokenizer.ggml.model", GgufText("gpt2"));
    file.Set("tokenizer.ggml.tokens", GgufTexts(std::vector<std::string>(11, "t")));
    file.Set("tokenizer.ggml.token_type", GgufI32s(std::vector<int32_t>(11, 1)));
    files.push_back(file.Bytes());
    headers.push_back(file.Header().size());
  }
  Random random(1);
  int loaded = 0;
  for (int run = 0; run < kRuns; ++run) {
    const size_t which = random.Below(files.size());
    std::string bytes = files[which];
    for (uint64_t n = 1 + random.Below(3); n > 0; --n) Mutate(random, bytes, headers[which]);
    const auto checkpoint = Open(bytes);
    if (!checkpoint.ok()) continue;
    ++loaded;
    if (loaded % 8 == 0) ReadAll(**checkpoint);
  }
  EXPECT_GT(loaded, kRuns / 100);
  EXPECT_LT(loaded, kRuns / 2);
}

}  // namespace
}  // namespace heed
