#include "tests/tokenizer/mini_tokenizer.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "model/base/json.h"
#include "model/tokenizer/byte_alphabet.h"

namespace heed {

std::string MiniTokenizer::Json() const {
  std::vector<std::string> pieces;
  for (int byte = 0; byte < 256; ++byte) {
    pieces.push_back(std::string(ByteLevelChar(static_cast<unsigned char>(byte))));
  }
  for (const auto& [left, right] : merges) pieces.push_back(left + right);
  pieces.insert(pieces.end(), more_pieces.begin(), more_pieces.end());
  std::vector<std::string> vocab;
  for (const std::string& piece : pieces)
    vocab.push_back(absl::StrCat(QuoteJson(piece), ":", vocab.size()));
  std::vector<std::string> merge_list;
  for (const auto& [left, right] : merges) {
    merge_list.push_back(absl::StrCat("[", QuoteJson(left), ",", QuoteJson(right), "]"));
  }
  return absl::StrCat(R"({"version":"1.0","added_tokens":)", added_tokens, R"(,"normalizer":)",
                      normalizer, R"(,"pre_tokenizer":)", pre_tokenizer, R"(,"post_processor":)",
                      post_processor, R"(,"decoder":)", decoder, R"(,"model":{"type":"BPE",)",
                      model_options, R"("vocab":{)", absl::StrJoin(vocab, ","), R"(},"merges":[)",
                      absl::StrJoin(merge_list, ","), "]}}");
}

std::unique_ptr<Tokenizer> MiniTokenizer::Build() const {
  absl::StatusOr<std::unique_ptr<Tokenizer>> tokenizer = ParseTokenizerJson(Json());
  EXPECT_TRUE(tokenizer.ok()) << tokenizer.status();
  return tokenizer.ok() ? *std::move(tokenizer) : nullptr;
}

std::string AddedTokenJson(int id, const std::string& content,
                           const std::vector<std::string>& flags) {
  std::string json = absl::StrCat(R"({"id":)", id, R"(,"content":)", QuoteJson(content));
  for (const char* const flag : {"single_word", "lstrip", "rstrip", "normalized", "special"}) {
    const bool set = std::find(flags.begin(), flags.end(), flag) != flags.end();
    absl::StrAppend(&json, ",\"", flag, "\":", set ? "true" : "false");
  }
  return absl::StrCat(json, "}");
}

namespace {

TokenizedText EncodeOrFail(const Tokenizer& tokenizer, const std::string& text,
                           const EncodeOptions& options) {
  absl::StatusOr<TokenizedText> result = tokenizer.Encode(text, options);
  EXPECT_TRUE(result.ok()) << result.status();
  return result.ok() ? *std::move(result) : TokenizedText{};
}

}  // namespace

absl::Status Collect(ModelWorker& worker, absl::string_view piece,
                     std::vector<ModelToken>* tokens) {
  tokens->clear();
  return worker.Tokenize(piece, [&](const ModelToken& token) { tokens->push_back(token); });
}

std::vector<std::string> Pieces(const Tokenizer& tokenizer, const std::string& text,
                                const EncodeOptions& options) {
  std::vector<std::string> pieces;
  for (const TokenId id : EncodeOrFail(tokenizer, text, options).ids) {
    pieces.push_back(std::string(tokenizer.Piece(id)));
  }
  return pieces;
}

std::vector<std::string> Covered(const Tokenizer& tokenizer, const std::string& text,
                                 const EncodeOptions& options) {
  std::vector<std::string> covered;
  for (const ByteRange& range : EncodeOrFail(tokenizer, text, options).offsets) {
    covered.push_back(text.substr(range.begin, range.end - range.begin));
  }
  return covered;
}

}  // namespace heed
