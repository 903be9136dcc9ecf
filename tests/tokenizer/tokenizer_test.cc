// Whole tokenizers made to order: what golden files do not reach.
#include "model/tokenizer/tokenizer.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "tests/tokenizer/mini_tokenizer.h"

namespace heed {
namespace {

using Strings = std::vector<std::string>;
constexpr int kFirstNew = 256;  // the first id after the byte alphabet

std::string Added(const std::vector<std::string>& tokens) {
  return absl::StrCat("[", absl::StrJoin(tokens, ","), "]");
}

TEST(AddedTokensTest, LongestOfThoseThatBeginFirst) {
  MiniTokenizer mini;
  mini.added_tokens = Added({AddedTokenJson(256, "<|end", {}), AddedTokenJson(257, "<|end|>", {}),
                             AddedTokenJson(258, "end|>x", {})});
  EXPECT_EQ(Pieces(*mini.Build(), "<|end|>x<|endx"), (Strings{"<|end|>", "x", "<|end", "x"}));
}

TEST(AddedTokensTest, SpecialTokensStayTextWhenAskedOthersDoNot) {
  MiniTokenizer mini;
  mini.added_tokens =
      Added({AddedTokenJson(256, "<s>", {"special"}), AddedTokenJson(257, "<t>", {})});
  const auto tokenizer = mini.Build();
  EXPECT_EQ(Pieces(*tokenizer, "<s><t>"), (Strings{"<s>", "<t>"}));
  EXPECT_EQ(Pieces(*tokenizer, "<s><t>", {.parse_special_tokens = false}),
            (Strings{"<", "s", ">", "<t>"}));
  EXPECT_TRUE(tokenizer->IsSpecial(256));
  EXPECT_FALSE(tokenizer->IsSpecial(257));
}

TEST(AddedTokensTest, WhitespaceIsTakenAlongOnTheChosenSides) {
  MiniTokenizer mini;
  mini.added_tokens =
      Added({AddedTokenJson(256, "<l>", {"lstrip"}), AddedTokenJson(257, "<r>", {"rstrip"}),
             AddedTokenJson(258, "<b>", {"lstrip", "rstrip"})});
  const auto tokenizer = mini.Build();
  EXPECT_EQ(Covered(*tokenizer, "a \u3000<l> b"), (Strings{"a", " \u3000<l>", " ", "b"}));
  EXPECT_EQ(Covered(*tokenizer, "a <r> \nb"), (Strings{"a", " ", "<r> \n", "b"}));
  EXPECT_EQ(Covered(*tokenizer, " <b> <b> "), (Strings{" <b> ", "<b> "}));
  EXPECT_EQ(Covered(*tokenizer, "<r>  <l>"), (Strings{"<r>  ", "<l>"}));
}

TEST(AddedTokensTest, AMatchInsideWhitespaceThatWasTakenAlongIsLeftOut) {
  MiniTokenizer mini;
  mini.added_tokens =
      Added({AddedTokenJson(256, "<r>", {"rstrip"}), AddedTokenJson(257, "  ", {})});
  EXPECT_EQ(Covered(*mini.Build(), "<r>    a  b"), (Strings{"<r>    ", "a", "  ", "b"}));
}

TEST(AddedTokensTest, SingleWordsHaveNoWordCharacterBesideThem) {
  MiniTokenizer mini;
  mini.added_tokens = Added({AddedTokenJson(256, "ab", {"single_word"})});
  const auto tokenizer = mini.Build();
  for (const std::string text : {"ab", " ab.", "(ab)", "-ab-", "\u2603ab\u2603"}) {
    EXPECT_NE(absl::StrJoin(Pieces(*tokenizer, text), "|").find("ab"), std::string::npos) << text;
  }
  for (const std::string text : {"xab", "abx", "_ab", "ab1", "\u00e9ab", "ab\u0301", "\u6771ab"}) {
    EXPECT_EQ(absl::StrJoin(Pieces(*tokenizer, text), "|").find("ab"), std::string::npos) << text;
  }
}

TEST(AddedTokensTest, NormalizedTokensAreFoundInNormalizedText) {
  MiniTokenizer mini;
  mini.normalizer = R"({"type":"Lowercase"})";
  mini.added_tokens =
      Added({AddedTokenJson(256, "Day", {"normalized"}), AddedTokenJson(257, "[X]", {})});
  const auto tokenizer = mini.Build();
  EXPECT_EQ(Pieces(*tokenizer, "MonDAY"), (Strings{"m", "o", "n", "Day"}));
  EXPECT_EQ(Covered(*tokenizer, "MonDAY"), (Strings{"M", "o", "n", "DAY"}));
  EXPECT_EQ(Pieces(*tokenizer, "[X][x]"), (Strings{"[X]", "[", "x", "]"}));
  EXPECT_EQ(tokenizer->TokenBytes(256), "day");
}

TEST(AddedTokensTest, ContentInTheVocabularyKeepsItsIdAndOthersGetTheNext) {
  MiniTokenizer mini;
  mini.more_pieces = {"<known>"};
  mini.added_tokens =
      Added({AddedTokenJson(7, "<known>", {"special"}), AddedTokenJson(300, "<new>", {})});
  const auto tokenizer = mini.Build();
  EXPECT_EQ(tokenizer->FindPiece("<known>"), kFirstNew);
  EXPECT_EQ(tokenizer->FindPiece("<new>"), kFirstNew + 1);
  EXPECT_EQ(tokenizer->vocab_size(), kFirstNew + 2);
  EXPECT_TRUE(tokenizer->IsSpecial(kFirstNew));
}

TEST(AddedTokensTest, DamageIsRefused) {
  const auto code = [](const std::vector<std::string>& tokens) {
    MiniTokenizer mini;
    mini.added_tokens = Added(tokens);
    return ParseTokenizerJson(mini.Json()).status().code();
  };
  const std::string token = AddedTokenJson(256, "<a>", {});
  EXPECT_EQ(code({token}), absl::StatusCode::kOk);
  EXPECT_EQ(code({token, token}), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(code({token, AddedTokenJson(257, "<a>", {"lstrip"})}),
            absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(code({token, AddedTokenJson(256, "<b>", {})}), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(code({AddedTokenJson(-1, "<a>", {})}), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(code({R"({"id":256,"content":"<a>"})"}), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(code({"7"}), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(code({AddedTokenJson(256, "", {})}),
            absl::StatusCode::kOk);  // never found, as in the reference
}

TEST(PostProcessorTest, TemplatesPutTokensOnBothSides) {
  MiniTokenizer mini;
  mini.more_pieces = {"<s>", "</s>"};
  mini.post_processor =
      R"({"type":"TemplateProcessing","single":[{"SpecialToken":{"id":"B","type_id":0}},
      {"Sequence":{"id":"A","type_id":0}},{"SpecialToken":{"id":"E","type_id":0}}],"pair":[],
      "special_tokens":{"B":{"id":"B","ids":[256,256],"tokens":["<s>","<s>"]},
                        "E":{"id":"E","ids":[257],"tokens":["</s>"]}}})";
  const auto tokenizer = mini.Build();
  EXPECT_EQ(Pieces(*tokenizer, "a"), (Strings{"<s>", "<s>", "a", "</s>"}));
  EXPECT_EQ(Covered(*tokenizer, "a"), (Strings{"", "", "a", ""}));
  EXPECT_EQ(Pieces(*tokenizer, ""), (Strings{"<s>", "<s>", "</s>"}));
  EXPECT_EQ(Pieces(*tokenizer, "a", {.add_special_tokens = false}), Strings{"a"});
  EXPECT_EQ(tokenizer->added_special_count(), 3);
}

TEST(PostProcessorTest, BertAndRobertaNameTheirTokens) {
  MiniTokenizer mini;
  mini.more_pieces = {"[CLS]", "[SEP]"};
  mini.post_processor = R"({"type":"BertProcessing","sep":["[SEP]",257],"cls":["[CLS]",256]})";
  EXPECT_EQ(Pieces(*mini.Build(), "a"), (Strings{"[CLS]", "a", "[SEP]"}));
  mini.post_processor = R"({"type":"RobertaProcessing","sep":["[SEP]",257],"cls":["[CLS]",256],
      "trim_offsets":true,"add_prefix_space":false})";
  EXPECT_EQ(Covered(*mini.Build(), "a b"), (Strings{"", "a", "", "b", ""}));
}

TEST(PostProcessorTest, TrimmedOffsetsLeaveSpacesOut) {
  MiniTokenizer mini;
  mini.merges = {{"\u0120", "a"}, {"\u0120", "b"}};
  mini.added_tokens = Added({AddedTokenJson(258, "<m>", {"lstrip", "rstrip"})});
  mini.pre_tokenizer = R"({"type":"ByteLevel","add_prefix_space":true,"use_regex":true})";
  mini.post_processor = R"({"type":"ByteLevel","add_prefix_space":true,"trim_offsets":true})";
  const auto tokenizer = mini.Build();
  EXPECT_EQ(Covered(*tokenizer, "a b"), (Strings{"a", "b"}));  // the first space is not in the text
  EXPECT_EQ(Covered(*tokenizer, "a \u3000 <m> \u3000b"), (Strings{"a", "<m>", ""}));
}

TEST(PostProcessorTest, DamageIsRefused) {
  const auto code = [](const std::string& post_processor) {
    MiniTokenizer mini;
    mini.post_processor = post_processor;
    return ParseTokenizerJson(mini.Json()).status().code();
  };
  const auto with_template = [](const std::string& single, const std::string& special) {
    return absl::StrCat(R"({"type":"TemplateProcessing","single":[)", single,
                        R"(],"special_tokens":{)", special, "}}");
  };
  const std::string text = R"({"Sequence":{"id":"A","type_id":0}})";
  const std::string begin = R"({"SpecialToken":{"id":"B","type_id":0}},)";
  EXPECT_EQ(code(with_template(text, "")), absl::StatusCode::kOk);
  EXPECT_EQ(code(with_template(begin + text, R"("B":{"id":"B","ids":[7],"tokens":["x"]})")),
            absl::StatusCode::kOk);
  EXPECT_EQ(code(with_template(begin + text, R"("B":{"id":"B","ids":[256],"tokens":["x"]})")),
            absl::StatusCode::kInvalidArgument);  // no such token
  EXPECT_EQ(code(with_template(begin + text, R"("B":{"id":"B","ids":[-1],"tokens":["x"]})")),
            absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(code(with_template(begin + text, "")), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(code(with_template("", "")), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(code(with_template(R"({"Sequence":{"id":"B","type_id":0}})", "")),
            absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(code(with_template("{}", "")), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(code(with_template(text + "," + text, "")), absl::StatusCode::kUnimplemented);
  const std::string whole = with_template(text, "");
  EXPECT_EQ(code(absl::StrCat(R"({"type":"Sequence","processors":[)", whole, ",", whole, "]}")),
            absl::StatusCode::kUnimplemented);
  EXPECT_EQ(code(R"({"type":"BertProcessing","sep":["x"],"cls":["x",1]})"),
            absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(code(R"({"type":"BertProcessing","sep":["x",999],"cls":["x",1]})"),
            absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(code(R"({"type":"BertProcessing","sep":[1,1],"cls":["x",1]})"),
            absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(code(R"({"type":"ByteLevel"})"), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(code(R"({"type":"Unheard"})"), absl::StatusCode::kUnimplemented);
}

TEST(DecoderTest, BytesOfEachKind) {
  MiniTokenizer mini;
  mini.merges = {{"\u00c3", "\u00a9"}};
  mini.added_tokens = Added({AddedTokenJson(257, "<\u6771>", {"special"})});
  auto tokenizer = mini.Build();
  EXPECT_EQ(tokenizer->kind(), "byte-level BPE");
  EXPECT_EQ(tokenizer->TokenBytes(256), "\u00e9");
  EXPECT_EQ(tokenizer->TokenBytes(0xC3), "\xC3");     // half a character
  EXPECT_EQ(tokenizer->TokenBytes(257), "<\u6771>");  // spelled outside the alphabet: as it is
  EXPECT_EQ(tokenizer->Decode({256, 257, 0xC3}, false), "\u00e9<\u6771>\xC3");
  EXPECT_EQ(tokenizer->Decode({256, 257, 0xC3}, true), "\u00e9\xC3");
  EXPECT_EQ(tokenizer->Decode({-1, 258, 1'000'000}, false), "");
  EXPECT_EQ(tokenizer->TokenBytes(-1), "");
  EXPECT_EQ(tokenizer->Piece(258), "");
  mini.decoder = R"({"type":"Sequence","decoders":[{"type":"ByteLevel"},{"type":"Fuse"}]})";
  EXPECT_EQ(mini.Build()->Decode({256, 97}, false),
            "\u00e9"
            "a");
  mini.decoder = R"({"type":"Fuse"})";
  EXPECT_EQ(mini.Build()->Decode({256, 97}, false),
            "\u00c3\u00a9"
            "a");
  mini.decoder = "null";
  EXPECT_EQ(mini.Build()->Decode({97, 98}, false), "a b");
  EXPECT_EQ(mini.Build()->kind(), "BPE");
}

TEST(DecoderTest, OthersAreRefused) {
  MiniTokenizer mini;
  mini.decoder = R"({"type":"Sequence","decoders":[{"type":"Fuse"},{"type":"Other"}]})";
  EXPECT_EQ(ParseTokenizerJson(mini.Json()).status().code(), absl::StatusCode::kUnimplemented);
}

TEST(TokenizerTest, MaskTokenIsFoundByItsConventionalSpellings) {
  MiniTokenizer mini;
  EXPECT_EQ(mini.Build()->mask_id(), std::nullopt);
  mini.more_pieces = {"<mask>"};
  EXPECT_EQ(mini.Build()->mask_id(), kFirstNew);
  mini.added_tokens = Added({AddedTokenJson(257, "[MASK]", {"special"})});
  EXPECT_EQ(mini.Build()->mask_id(), kFirstNew + 1);
}

TEST(TokenizerTest, RunawayPatternOfTheFileEndsInResourceExhausted) {
  MiniTokenizer mini;
  mini.pre_tokenizer =
      R"({"type":"Split","pattern":{"Regex":"(?:a+)+$"},"behavior":"Isolated","invert":false})";
  const absl::Status status = mini.Build()->Encode(std::string(100, 'a') + "b", {}).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kResourceExhausted) << status;
}

TEST(TokenizerTest, TooLongTextsAreRefused) {
  const absl::Status status =
      MiniTokenizer().Build()->Encode(std::string((32 << 20) + 1, 'a'), {}).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kResourceExhausted) << status;
}

}  // namespace
}  // namespace heed
