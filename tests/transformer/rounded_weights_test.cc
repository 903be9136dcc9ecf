// What rounding the weights to 8 and 4 bits costs, and what running a quantised file as it is does.
#include <algorithm>
#include <cmath>
#include <fstream>
#include <limits>
#include <memory>
#include <ostream>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "model/base/cpu.h"
#include "model/tokenizer/tokenizer.h"
#include "tests/checkpoint/checkpoint_builder.h"
#include "tests/transformer/forwarding_checkpoint.h"
#include "tests/transformer/model_testing.h"

namespace heed {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

using Logits = std::vector<float>;

// How surprised a model is by a text, and what it expects most at each place.
struct Reading {
  double nats = 0;  // summed over the places
  std::vector<TokenId> best;
  std::vector<float> margin;  // by how much the best logit exceeds the second best

  double Perplexity() const { return std::exp(nats / static_cast<double>(best.size())); }
};

double LogSumExp(absl::Span<const float> logits) {
  const double most = *std::max_element(logits.begin(), logits.end());
  double sum = 0;
  for (float logit : logits) sum += std::exp(logit - most);
  return most + std::log(sum);
}

// Adds the place with these logits, whose token is `token`.
void ReadPlace(absl::Span<float> logits, TokenId token, Reading& out) {
  out.nats += LogSumExp(logits) - logits[token];
  const auto best = std::max_element(logits.begin(), logits.end());
  out.best.push_back(static_cast<TokenId>(best - logits.begin()));
  const float best_logit = std::exchange(*best, -std::numeric_limits<float>::infinity());
  out.margin.push_back(best_logit - *std::max_element(logits.begin(), logits.end()));
}

// All tokens but the document's first.
void Read(const LanguageModel& model, const std::vector<TokenId>& document, Reading& out) {
  const size_t vocab = model.config().vocab_size;
  Logits logits = Runner(&model).Append(document);
  for (size_t i = 0; i + 1 < document.size(); ++i) {
    ReadPlace({logits.data() + i * vocab, vocab}, document[i + 1], out);
  }
}

// Each fifth token, masked.
void ReadMasked(const LanguageModel& model, const std::vector<TokenId>& document, TokenId mask,
                Reading& out) {
  const size_t vocab = model.config().vocab_size;
  std::vector<TokenId> masked = document;
  for (size_t i = 2; i < document.size(); i += 5) masked[i] = mask;
  Logits logits = Runner(&model).Append(masked);
  for (size_t i = 2; i < document.size(); i += 5) {
    ReadPlace({logits.data() + i * vocab, vocab}, document[i], out);
  }
}

// The share of places where both expect the same most, of those where `b` prefers it by more than
// `margin`.
double ShareEqual(const Reading& a, const Reading& b, float margin) {
  double equal = 0, all = 0;
  for (size_t i = 0; i < a.best.size(); ++i) {
    if (b.margin[i] <= margin) continue;
    all += 1;
    equal += a.best[i] == b.best[i];
  }
  return equal / all;
}

std::string ReadFile(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return std::string(std::istreambuf_iterator<char>(file), {});
}

// The documents of tests/golden/zoo/held_out.txt, one a line, which no shipped model ever saw.
std::vector<std::vector<TokenId>> HeldOutDocuments(const std::string& model = "decoder") {
  const auto tokenizer =
      ParseTokenizerJson(ReadFile(HEED_SOURCE_DIR "/model/zoo/" + model + "/tokenizer.json"));
  EXPECT_TRUE(tokenizer.ok()) << tokenizer.status();
  std::vector<std::vector<TokenId>> documents;
  std::ifstream lines(HEED_SOURCE_DIR "/tests/golden/zoo/held_out.txt");
  for (std::string line; std::getline(lines, line);) {
    const auto tokens = (*tokenizer)->Encode(line, {});
    EXPECT_TRUE(tokens.ok()) << tokens.status();
    documents.push_back(tokens->ids);
  }
  return documents;
}

Reading ReadHeldOut(WeightFormat weights, const std::string& compute_dtype,
                    KvType kv_type = KvType::kF32, const Backend* backend = DefaultBackend()) {
  const auto model = LoadFolder(HEED_SOURCE_DIR "/model/zoo/decoder", backend, weights, kv_type);
  EXPECT_EQ(model->compute_dtype(), compute_dtype);
  EXPECT_THAT(model->notes(), IsEmpty());
  Reading reading;
  for (const auto& document : HeldOutDocuments()) Read(*model, document, reading);
  return reading;
}

TEST(RoundedWeightsTest, PerplexityRisesLittleAndTheBestTokenSeldomChanges) {
  const Reading f32 = ReadHeldOut(WeightFormat::kF32, "F32");
  const Reading f16 = ReadHeldOut(WeightFormat::kF16, "F16");
  const Reading int8 = ReadHeldOut(WeightFormat::kInt8, "INT8");
  const Reading int4 = ReadHeldOut(WeightFormat::kInt4, "INT4");
  ASSERT_GT(f32.best.size(), 1500u);
  EXPECT_NEAR(f16.Perplexity(), f32.Perplexity(), f32.Perplexity() * 1e-4);
  EXPECT_GT(ShareEqual(f16, f32, /*margin=*/0), 0.995);
  EXPECT_LT(int8.Perplexity(), f32.Perplexity() * 1.005);
  EXPECT_LT(int4.Perplexity(), f32.Perplexity() * 1.04);
  // The corpus draws many of its words by lot: at one place in five the best two are as good as
  // each other.
  EXPECT_GT(ShareEqual(int8, f32, /*margin=*/0), 0.99);
  EXPECT_GT(ShareEqual(int8, f32, /*margin=*/0.1), 0.99);
  EXPECT_GT(ShareEqual(int4, f32, /*margin=*/0), 0.88);
  EXPECT_GT(ShareEqual(int4, f32, /*margin=*/0.5), 0.99);
}

TEST(RoundedWeightsTest, TheEncoderFillsMaskedPlacesAlike) {
  constexpr TokenId kMask = 1;
  const auto read = [](WeightFormat weights) {
    const auto model = LoadFolder(HEED_SOURCE_DIR "/model/zoo/encoder", DefaultBackend(), weights);
    Reading reading;
    for (const auto& document : HeldOutDocuments("encoder"))
      ReadMasked(*model, document, kMask, reading);
    return reading;
  };
  const Reading f32 = read(WeightFormat::kF32), int8 = read(WeightFormat::kInt8);
  const Reading int4 = read(WeightFormat::kInt4);
  ASSERT_GT(f32.best.size(), 300u);
  EXPECT_LT(int8.Perplexity(), f32.Perplexity() * 1.005);
  EXPECT_LT(int4.Perplexity(), f32.Perplexity() * 1.03);
  EXPECT_GT(ShareEqual(int8, f32, /*margin=*/0), 0.98);
  EXPECT_GT(ShareEqual(int8, f32, /*margin=*/0.1), 0.99);
  EXPECT_GT(ShareEqual(int4, f32, /*margin=*/0), 0.88);
  EXPECT_GT(ShareEqual(int4, f32, /*margin=*/0.5), 0.96);
}

// What machines without tiles of bfloat16 compute.
TEST(RoundedWeightsTest, ActivationsOf8BitsCostALittleMore) {
  const Backend* const backend = BackendFor(std::min(DetectCpu().isa, Isa::kAvx2));
  const Reading f32 = ReadHeldOut(WeightFormat::kF32, "F32");
  const Reading int8 = ReadHeldOut(WeightFormat::kInt8, "INT8", KvType::kF32, backend);
  EXPECT_LT(int8.Perplexity(), f32.Perplexity() * 1.001);
  EXPECT_GT(ShareEqual(int8, f32, /*margin=*/0), 0.99);
  EXPECT_GT(ShareEqual(int8, f32, /*margin=*/0.1), 0.999);
}

TEST(RoundedKeysAndValuesTest, PerplexityHardlyRisesAndTheBestTokenSeldomChanges) {
  const Reading f32 = ReadHeldOut(WeightFormat::kF32, "F32");
  const Reading f16 = ReadHeldOut(WeightFormat::kF32, "F32", KvType::kF16);
  const Reading int8 = ReadHeldOut(WeightFormat::kF32, "F32", KvType::kInt8);
  EXPECT_NE(f16.nats, f32.nats);
  EXPECT_LT(f16.Perplexity(), f32.Perplexity() * 1.0002);
  EXPECT_LT(int8.Perplexity(), f32.Perplexity() * 1.002);
  EXPECT_GT(ShareEqual(f16, f32, /*margin=*/0), 0.99);
  EXPECT_GT(ShareEqual(int8, f32, /*margin=*/0), 0.95);
  EXPECT_GT(ShareEqual(int8, f32, /*margin=*/0.1), 0.99);
}

std::unique_ptr<const LanguageModel> LoadGguf(const std::string& name, WeightFormat weights) {
  const auto checkpoint = OpenCheckpoint(HEED_SOURCE_DIR "/tests/golden/gguf/quantized/" + name);
  EXPECT_TRUE(checkpoint.ok()) << checkpoint.status();
  auto model = LoadLanguageModel(**checkpoint, DefaultBackend(), {.weights = weights});
  EXPECT_TRUE(model.ok()) << model.status();
  return *std::move(model);
}

// The root of the mean square of a - b, relative to that of b.
double Distance(const Logits& a, const Logits& b) {
  double difference = 0, size = 0;
  for (size_t i = 0; i < a.size(); ++i) {
    difference += std::pow(a[i] - b[i], 2);
    size += std::pow(b[i], 2);
  }
  return std::sqrt(difference / size);
}

// A quantised file, how it is run as it is, and how far that is from its values in f32: by the
// rounding of activations, and where blocks are rounded again, of weights.
struct StoredFile {
  std::string name, compute_dtype;
  double most;
};

void PrintTo(const StoredFile& file, std::ostream* out) {
  *out << file.name;
}

class StoredBlocksTest : public testing::TestWithParam<StoredFile> {};

TEST_P(StoredBlocksTest, RunAsTheyAre) {
  const auto& [name, compute_dtype, most] = GetParam();
  const auto exact = LoadGguf(name, WeightFormat::kF32);
  const auto stored = LoadGguf(name, WeightFormat::kAsStored);
  EXPECT_EQ(exact->compute_dtype(), "F32");
  EXPECT_EQ(stored->compute_dtype(), compute_dtype);
  EXPECT_LT(stored->weight_bytes(), exact->weight_bytes() / 2);
  EXPECT_EQ(stored->parameter_count(), exact->parameter_count());
  const std::vector<TokenId> ids = {3, 14, 15, 9, 2, 6, 5, 13, 8, 9, 7, 9};
  const Logits want = Runner(exact.get()).Append(ids), got = Runner(stored.get()).Append(ids);
  EXPECT_GT(Distance(got, want), 0);
  EXPECT_LT(Distance(got, want), most);
}

INSTANTIATE_TEST_SUITE_P(
    Files, StoredBlocksTest,
    testing::Values(StoredFile{"Q8_0.gguf", "Q8_0", 0.02}, StoredFile{"Q4_0.gguf", "Q4_0", 0.02},
                    StoredFile{"Q6_K.gguf", "INT8", 0.05}, StoredFile{"Q4_K_M.gguf", "INT8", 0.05}),
    [](const auto& info) { return info.param.name.substr(0, info.param.name.find('.')); });

// A checkpoint with a tensor of which one weight in 32 is far too large.
class SpikedCheckpoint final : public ForwardingCheckpoint {
 public:
  SpikedCheckpoint(const Checkpoint& checkpoint, std::string name, float spike)
      : ForwardingCheckpoint(checkpoint), name_(std::move(name)), spike_(spike) {}

  absl::Status ReadRows(absl::string_view name, absl::Span<const int64_t> shape, RowRange rows,
                        absl::Span<float> out) const override {
    const absl::Status status = ForwardingCheckpoint::ReadRows(name, shape, rows, out);
    if (status.ok() && name == name_) {
      for (size_t i = 0; i < out.size(); i += 32) out[i] = spike_ * (i % 64 == 0 ? 1 : -1);
    }
    return status;
  }

 private:
  const std::string name_;
  const float spike_;
};

std::unique_ptr<const LanguageModel> LoadSpiked(const std::string& tensor, WeightFormat weights,
                                                const std::string& packed_copy = "",
                                                float spike = 40) {
  const auto checkpoint = OpenCheckpoint(GoldenFolder("llama-gqa-f32"));
  EXPECT_TRUE(checkpoint.ok()) << checkpoint.status();
  auto model = LoadLanguageModel(SpikedCheckpoint(**checkpoint, tensor, spike), DefaultBackend(),
                                 {.weights = weights, .packed_copy = packed_copy});
  EXPECT_TRUE(model.ok()) << model.status();
  return *std::move(model);
}

TEST(RoundedWeightsTest, ALayerThatWouldLoseTooMuchIsHeldInMoreBits) {
  constexpr char kTensor[] = "layers.1.mlp.down_proj.weight";
  for (WeightFormat weights : {WeightFormat::kInt8, WeightFormat::kInt4}) {
    const auto model = LoadSpiked(kTensor, weights);
    EXPECT_THAT(model->notes(),
                ElementsAre(HasSubstr(absl::StrCat("holds ", kTensor, " in 32 bits: "))));
    EXPECT_EQ(model->compute_dtype(), weights == WeightFormat::kInt8 ? "INT8" : "INT4");
    const TestFolder folder;
    for (int time = 0; time < 2; ++time) {
      EXPECT_EQ(LoadSpiked(kTensor, weights, folder.File("copy"))->notes(), model->notes());
    }
  }
  EXPECT_THAT(LoadSpiked("no.such.tensor", WeightFormat::kInt4)->notes(), IsEmpty());
}

TEST(RoundedWeightsTest, ALayerBeyondHalfPrecisionIsHeldInF32) {
  constexpr char kTensor[] = "layers.1.mlp.down_proj.weight";
  EXPECT_THAT(LoadSpiked(kTensor, WeightFormat::kF16)->notes(), IsEmpty());
  const TestFolder folder;
  for (int time = 0; time < 2; ++time) {
    const auto model = LoadSpiked(kTensor, WeightFormat::kF16, folder.File("copy"), 70000);
    EXPECT_THAT(model->notes(),
                ElementsAre(absl::StrCat("holds ", kTensor,
                                         " in 32 bits: 16 cannot hold its largest weights")));
    EXPECT_EQ(model->compute_dtype(), "F16");
  }
  EXPECT_THAT(LoadSpiked(kTensor, WeightFormat::kF16, "", 1e-7f)->notes(), IsEmpty());
}

TEST(RoundedWeightsTest, MixingModelsAreExactAlways) {
  const auto model = LoadGolden("mixing-attention-pos", DefaultBackend(), WeightFormat::kInt8);
  EXPECT_EQ(model->compute_dtype(), "F32");
}

}  // namespace
}  // namespace heed
