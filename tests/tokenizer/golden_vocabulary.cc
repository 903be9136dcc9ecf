#include "tests/tokenizer/golden_vocabulary.h"

#include <gtest/gtest.h>

#include <optional>
#include <utility>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "model/base/json.h"
#include "model/tokenizer/gguf_tokenizer.h"
#include "tests/tokenizer/golden_cases.h"

namespace heed {

std::string GoldenFolder(const std::string& name) {
  return absl::StrCat(HEED_SOURCE_DIR, "/tests/golden/tokenizers/", name);
}

Contents ReadContents(const std::string& name) {
  const JsonDocument document =
      JsonDocument::Parse(name, ReadFileOrDie(GoldenFolder(name) + "/tokenizer.json")).value();
  Contents contents;
  const JsonValue model = document.root().Get("model").value();
  const JsonValue vocab = model.Get("vocab").value();
  const auto read_piece = [&](absl::string_view piece, const JsonValue& id) {
    contents.pieces[static_cast<TokenId>(id.Int().value())] = std::string(piece);
    return absl::OkStatus();
  };
  const auto read_scored_piece = [&](int64_t id, const JsonValue& entry) {
    const std::vector<JsonValue> parts = entry.Array().value();
    contents.pieces[static_cast<TokenId>(id)] = std::string(parts[0].String().value());
    contents.scores.push_back(parts[1].Double().value());
    return absl::OkStatus();
  };
  const auto read_merge = [&](int64_t, const JsonValue& merge) {
    if (merge.IsString()) {
      contents.merges.emplace_back(merge.String().value());
      return absl::OkStatus();
    }
    const std::vector<JsonValue> parts = merge.Array().value();
    contents.merges.push_back(absl::StrCat(*parts[0].String(), " ", *parts[1].String()));
    return absl::OkStatus();
  };
  const auto read_added = [&](int64_t, const JsonValue& token) {
    const TokenId id = static_cast<TokenId>(token.Get("id")->Int().value());
    contents.pieces[id] = std::string(token.StringAt("content").value());
    contents.added[id] = token.BoolAt("special").value();
    return absl::OkStatus();
  };
  EXPECT_TRUE(
      (vocab.IsArray() ? vocab.ForEachElement(read_scored_piece) : vocab.ForEachMember(read_piece))
          .ok());
  const std::optional<JsonValue> merges = model.Find("merges");
  if (merges.has_value()) {
    EXPECT_TRUE(merges->ForEachElement(read_merge).ok());
  }
  EXPECT_TRUE(document.root().Get("added_tokens")->ForEachElement(read_added).ok());
  const JsonValue normalizer = document.root().Get("normalizer").value();
  if (const auto charsmap = normalizer.Find("precompiled_charsmap")) {
    EXPECT_TRUE(absl::Base64Unescape(*charsmap->String(), &contents.charsmap));
  }
  return contents;
}

GgufTokenizerFacts FactsOf(const Contents& contents, const std::string& model) {
  GgufTokenizerFacts facts;
  facts.model = model;
  for (const auto& [id, piece] : contents.pieces) {
    EXPECT_EQ(id, static_cast<TokenId>(facts.tokens.size()));
    facts.tokens.push_back(piece);
    const auto added = contents.added.find(id);
    facts.token_types.push_back(added == contents.added.end() ? 1 : added->second ? 3 : 4);
  }
  facts.merges = contents.merges;
  return facts;
}

GgufTokenizerFacts BertFacts() {
  GgufTokenizerFacts facts = FactsOf(ReadContents("wordpiece-style"), "bert");
  for (size_t id = 0; id < facts.tokens.size(); ++id) {
    absl::string_view token = facts.tokens[id];
    if (facts.token_types[id] != 1) continue;
    facts.tokens[id] =
        absl::ConsumePrefix(&token, "##") ? std::string(token) : absl::StrCat("\u2581", token);
  }
  facts.unknown_token_id = 1;
  facts.cls_token_id = 2;
  facts.separator_token_id = 3;
  facts.mask_token_id = 4;
  facts.padding_token_id = 4294967295;
  return facts;
}

GgufTokenizerFacts T5Facts() {
  const Contents contents = ReadContents("t5-style");
  GgufTokenizerFacts facts = FactsOf(contents, "t5");
  facts.scores.assign(contents.scores.begin(), contents.scores.end());
  facts.scores.resize(facts.tokens.size());
  facts.precompiled_charsmap = contents.charsmap;
  facts.token_types[2] = 2;
  facts.unknown_token_id = 2;
  facts.eos_token_id = 1;
  facts.remove_extra_whitespaces = true;
  return facts;
}

std::unique_ptr<Tokenizer> BuildGguf(const GgufTokenizerFacts& facts) {
  absl::StatusOr<std::unique_ptr<Tokenizer>> tokenizer = BuildGgufTokenizer(facts);
  EXPECT_TRUE(tokenizer.ok()) << tokenizer.status();
  return tokenizer.ok() ? *std::move(tokenizer) : nullptr;
}

}  // namespace heed
