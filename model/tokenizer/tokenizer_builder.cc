#include "model/tokenizer/tokenizer_builder.h"

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "model/base/json.h"

namespace heed {
namespace {

std::string AddedTokenJson(const AddedTokenText& token) {
  return absl::StrCat(R"({"id":)", token.id, R"(,"content":)", QuoteJson(token.content),
                      R"(,"single_word":false,"lstrip":)", token.lstrip ? "true" : "false",
                      R"(,"rstrip":false,"normalized":false,"special":)",
                      token.special ? "true" : "false", "}");
}

// A Sequence of steps, or null.
std::string SequenceJson(absl::string_view key, const std::vector<std::string>& steps) {
  if (steps.empty()) return "null";
  return absl::StrCat(R"({"type":"Sequence",")", key, R"(":[)", absl::StrJoin(steps, ","), "]}");
}

std::string TemplateJson(const std::vector<TokenId>& before, const std::vector<TokenId>& after) {
  if (before.empty() && after.empty()) return "null";
  std::vector<std::string> pieces;
  std::vector<std::string> tokens;
  const auto add = [&](absl::string_view name, const std::vector<TokenId>& ids) {
    if (ids.empty()) return;
    pieces.push_back(absl::StrCat(R"({"SpecialToken":{"id":")", name, R"("}})"));
    tokens.push_back(absl::StrCat("\"", name, R"(":{"ids":[)", absl::StrJoin(ids, ","), "]}"));
  };
  add("before", before);
  pieces.emplace_back(R"({"Sequence":{"id":"A"}})");
  add("after", after);
  return absl::StrCat(R"({"type":"TemplateProcessing","single":[)", absl::StrJoin(pieces, ","),
                      R"(],"special_tokens":{)", absl::StrJoin(tokens, ","), "}}");
}

}  // namespace

std::string TokenizerText::Json() const {
  const auto token_json = [](std::string* out, const AddedTokenText& token) {
    absl::StrAppend(out, AddedTokenJson(token));
  };
  return absl::StrCat(R"({"added_tokens":[)", absl::StrJoin(added_tokens, ",", token_json),
                      R"(],"normalizer":)", SequenceJson("normalizers", normalizers),
                      R"(,"pre_tokenizer":)", SequenceJson("pretokenizers", pre_tokenizers),
                      R"(,"post_processor":)", TemplateJson(before, after), R"(,"decoder":)",
                      SequenceJson("decoders", decoders), "}");
}

}  // namespace heed
