// ModelService's answers on a tokenizer made up here.
#include "server/services/model_service.h"

#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "absl/strings/string_view.h"
#include "gtest/gtest.h"
#include "tests/server/fake_language_model.h"

namespace heed {
namespace {

// Every token stands for the same bytes, and every token that is decoded is counted.
class LongTokens : public Tokenizer {
 public:
  LongTokens(std::string bytes, int* decoded) : bytes_(std::move(bytes)), decoded_(decoded) {}

  absl::StatusOr<TokenizedText> Encode(absl::string_view, const EncodeOptions&) const override {
    return TokenizedText{};
  }
  std::string Decode(absl::Span<const TokenId>, bool) const override { return ""; }
  std::unique_ptr<TokenStream> NewStream(bool) const override {
    return std::make_unique<Stream>(*this);
  }
  absl::string_view TokenBytes(TokenId) const override { return bytes_; }
  absl::string_view Piece(TokenId) const override { return bytes_; }
  std::optional<TokenId> FindPiece(absl::string_view) const override { return std::nullopt; }
  bool IsSpecial(TokenId) const override { return false; }
  int vocab_size() const override { return 23; }
  int added_special_count() const override { return 0; }
  std::optional<TokenId> mask_id() const override { return std::nullopt; }
  absl::string_view kind() const override { return "long"; }

 private:
  class Stream : public TokenStream {
   public:
    explicit Stream(const LongTokens& tokenizer) : tokenizer_(tokenizer) {}
    std::string Append(TokenId) override {
      ++*tokenizer_.decoded_;
      return tokenizer_.bytes_;
    }
    std::string Finish() override { return "."; }

   private:
    const LongTokens& tokenizer_;
  };

  const std::string bytes_;
  int* const decoded_;
};

class DetokenizeTest : public testing::Test {
 protected:
  absl::Status Detokenize(const std::string& token, int n_ids) {
    auto served = std::make_shared<ServedModel>();
    served->name = "long";
    served->model = std::make_unique<FakeLanguageModel>(FakeConfig());
    served->tokenizer = std::make_unique<LongTokens>(token, &decoded_);
    Registry registry;
    EXPECT_TRUE(registry.Add(std::move(served)).ok());
    ServiceContext context;
    context.registry = &registry;
    v1::DetokenizeRequest request;
    for (int i = 0; i < n_ids; ++i) request.add_ids(3);
    return heed::Detokenize(context, request, &response_);
  }

  int decoded_ = 0;
  v1::DetokenizeResponse response_;
};

TEST_F(DetokenizeTest, WhatIsHeldBackBelongsToTheLastToken) {
  ASSERT_TRUE(Detokenize("ab", 2).ok());
  EXPECT_EQ(response_.bytes(), "abab.");
  ASSERT_EQ(response_.tokens_size(), 2);
  EXPECT_EQ(response_.tokens(0).byte_end(), 2);
  EXPECT_EQ(response_.tokens(1).byte_begin(), 2);
  EXPECT_EQ(response_.tokens(1).byte_end(), 5);
}

TEST_F(DetokenizeTest, NothingIsDecodedPastTheLimitOfAReply) {
  const absl::Status status = Detokenize(std::string(1 << 20, 'a'), 50);
  EXPECT_TRUE(absl::IsResourceExhausted(status)) << status;
  EXPECT_LE(decoded_, 5);
}

}  // namespace
}  // namespace heed
