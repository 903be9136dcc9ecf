// GGUF files as served models.
#include <algorithm>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "model/base/error.h"
#include "server/convert/model.h"
#include "server/convert/predict.h"
#include "server/engine/registry.h"

namespace heed {
namespace {

std::shared_ptr<const ServedModel> Load(const std::string& path) {
  auto model = LoadServedModel("m", absl::StrCat(HEED_SOURCE_DIR, "/tests/golden/gguf/", path),
                               LoadOptions{});
  EXPECT_TRUE(model.ok()) << model.status();
  return model.ok() ? *model : nullptr;
}

std::vector<int> Capabilities(const ServedModel& model) {
  v1::Model out;
  FillModel(model, &out);
  return {out.capabilities().begin(), out.capabilities().end()};
}

TEST(GgufModelTest, ServesWhatTheFolderServesWithTheFilesOwnTokenizer) {
  const auto folder = Load("gpt2"), gguf = Load("gpt2/model.gguf");
  ASSERT_NE(folder, nullptr);
  ASSERT_NE(gguf, nullptr);
  ASSERT_NE(gguf->tokenizer, nullptr);
  EXPECT_EQ(gguf->tokenizer->vocab_size(), folder->tokenizer->vocab_size());
  for (const char* text :
       {"Hello, world!", "  the keys\n\nto 42 cabinets", "naïve \xF0\x9F\x98\x80"}) {
    const auto want = folder->tokenizer->Encode(text, {}), got = gguf->tokenizer->Encode(text, {});
    ASSERT_TRUE(want.ok() && got.ok()) << want.status() << got.status();
    EXPECT_EQ(got->ids, want->ids) << text;
  }
  EXPECT_EQ(Capabilities(*gguf), Capabilities(*folder));
  EXPECT_NE(gguf->digest, folder->digest);
  EXPECT_EQ(gguf->checkpoint_dtype, DType::kF32);
}

TEST(GgufModelTest, AModelWithoutAHeadPredictsNothing) {
  const auto model = Load("bert/model.gguf");
  ASSERT_NE(model, nullptr);
  EXPECT_THAT(Capabilities(*model),
              testing::Not(testing::Contains(static_cast<int>(v1::CAPABILITY_PREDICT))));
  EXPECT_THAT(Capabilities(*model), testing::Contains(static_cast<int>(v1::CAPABILITY_ATTENTION)));
  v1::PredictRequest request;
  request.mutable_prompt()->mutable_tokens()->add_ids(2);
  const absl::Status status = ConvertPredict(request, *model, RequestLimits{}).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition) << status;
  EXPECT_EQ(GetErrorDetails(status).reason, "NOT_PREDICTIVE");
}

TEST(GgufModelTest, QuantizedModelsSayHowTheyAreStored) {
  const auto model = Load("quantized/Q4_0.gguf");
  ASSERT_NE(model, nullptr);
  EXPECT_EQ(model->tokenizer, nullptr);
  EXPECT_EQ(model->checkpoint_dtype, DType::kQ4_0);
}

}  // namespace
}  // namespace heed
