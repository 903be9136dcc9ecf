#include "model/tokenizer/decoder.h"

#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "model/base/json.h"
#include "model/base/utf8.h"
#include "model/generate/text_stream.h"

namespace heed {
namespace {

using Strings = std::vector<std::string>;

absl::StatusOr<Decoder> TryParse(const std::string& json) {
  const JsonDocument document = JsonDocument::Parse("json", json).value();
  return ParseDecoder(document.root());
}

// What each token adds, and at last what was held back.
Strings Steps(const std::string& json, const Strings& tokens) {
  absl::StatusOr<Decoder> decoder = TryParse(json);
  EXPECT_TRUE(decoder.ok()) << decoder.status();
  if (!decoder.ok()) return {};
  Decoder::Run run(*decoder);
  Strings steps;
  for (const std::string& token : tokens) steps.push_back(run.Push(token));
  steps.push_back(run.Finish());
  return steps;
}

std::string Sequence(const Strings& steps) {
  std::string list;
  for (const std::string& step : steps) absl::StrAppend(&list, list.empty() ? "" : ",", step);
  return absl::StrCat(R"({"type":"Sequence","decoders":[)", list, "]}");
}

const char kMetaspace[] = R"({"type":"Metaspace","replacement":"▁","prepend_scheme":"always"})";
const char kByteFallback[] = R"({"type":"ByteFallback"})";
const char kFuse[] = R"({"type":"Fuse"})";
const char kReplaceMark[] = R"({"type":"Replace","pattern":{"String":"▁"},"content":" "})";
const char kStripOne[] = R"({"type":"Strip","content":" ","start":1,"stop":0})";

TEST(DecoderTest, NoDecoderPutsSpacesBetweenPieces) {
  EXPECT_EQ(Steps("null", {"a", "b"}), (Strings{"a", " b", ""}));
}

TEST(DecoderTest, MetaspaceDropsTheFirstTokensMarks) {
  EXPECT_EQ(Steps(kMetaspace, {"▁a", "▁b", "c▁"}), (Strings{"a", " b", "c ", ""}));
  EXPECT_EQ(
      Steps(R"({"type":"Metaspace","replacement":"▁","prepend_scheme":"never"})", {"▁a", "▁b"}),
      (Strings{" a", " b", ""}));
}

TEST(DecoderTest, WordPiecePutsSpacesBeforeWords) {
  EXPECT_EQ(
      Steps(R"({"type":"WordPiece","prefix":"##","cleanup":false})", {"##a", "b", "##c", ","}),
      (Strings{"##a", " b", "c", " ,", ""}));
  EXPECT_EQ(Steps(R"({"type":"WordPiece","prefix":"##","cleanup":true})",
                  {"do", "n't", ",", "it", "'s", "?"}),
            (Strings{"do", "n't", ",", " it", "'s", "?", ""}));
}

TEST(DecoderTest, BpeSuffixesAreSpacesButForTheLast) {
  EXPECT_EQ(Steps(R"({"type":"BPEDecoder","suffix":"</w>"})", {"a", "b</w>", "c</w>"}),
            (Strings{"", "a", "b ", "c"}));
}

TEST(DecoderTest, ByteRunsWaitUntilTheyEnd) {
  EXPECT_EQ(Steps(kByteFallback, {"<0xE5>", "<0x8F>", "<0xAB>", "a"}),
            (Strings{"", "", "", "\u53eba", ""}));
  EXPECT_EQ(Steps(kByteFallback, {"<0xE5>", "<0x8F>", "a"}),
            (Strings{"", "", "\ufffd\ufffda", ""}));
  EXPECT_EQ(Steps(kByteFallback, {"a", "<0xE5>"}), (Strings{"a", "", "\ufffd"}));
  EXPECT_EQ(Steps(kByteFallback, {"<0xZZ>", "<0x4>", "<0x+1>"}),
            (Strings{"<0xZZ>", "<0x4>", "<0x+1>", ""}));
}

TEST(DecoderTest, LlamasChainStreams) {
  const std::string json = Sequence({kReplaceMark, kByteFallback, kFuse, kStripOne});
  EXPECT_EQ(Steps(json, {"▁▁a", "▁b", "<0xC3>", "<0xA9>", "▁"}),
            (Strings{" a", " b", "", "", "\u00e9 ", ""}));
  EXPECT_EQ(Steps(json, {"▁", "▁a"}), (Strings{"", " a", ""}));
}

TEST(DecoderTest, StepsAfterFuseSeeTheWholeText) {
  const std::string replace = R"({"type":"Replace","pattern":{"String":"ab"},"content":"x"})";
  EXPECT_EQ(Steps(Sequence({kFuse, replace}), {"a", "b", "ab"}), (Strings{"", "", "", "xx"}));
  EXPECT_EQ(Steps(Sequence({replace, kFuse}), {"a", "b", "ab"}), (Strings{"a", "b", "x", ""}));
  const std::string strip = R"({"type":"Strip","content":" ","start":1,"stop":2})";
  EXPECT_EQ(Steps(Sequence({kFuse, strip}), {"  a", " ", " ", " "}),
            (Strings{"", "", "", "", " a "}));
  EXPECT_EQ(Steps(Sequence({strip}), {"  a  ", " b"}), (Strings{" a", "b", ""}));
  EXPECT_EQ(Steps(Sequence({R"({"type":"ByteLevel"})", strip}), {"\u0120a", "\u00c3", "\u0120"}),
            (Strings{"", "", "", "a\ufffd"}));
}

TEST(DecoderTest, CtcDropsRepetitionsAndPadding) {
  EXPECT_EQ(Steps(R"({"type":"CTC","pad_token":"<pad>","word_delimiter_token":"|","cleanup":true})",
                  {"<pad>", "h", "h", "e", "l", "<pad>", "l", "|", "|", "o"}),
            (Strings{"", "h", "", "e", "l", "", "l", " ", "", "o", ""}));
}

TEST(DecoderTest, InnerBytesAreThoseInTheMiddleOfAText) {
  const auto inner = [](const std::string& json, const std::string& piece) {
    return TryParse(json)->InnerBytes(piece);
  };
  EXPECT_EQ(inner(kMetaspace, "▁a"), " a");
  EXPECT_EQ(inner(R"({"type":"WordPiece","prefix":"##"})", "a"), " a");
  EXPECT_EQ(inner(R"({"type":"WordPiece","prefix":"##"})", "##a"), "a");
  EXPECT_EQ(inner(kByteFallback, "<0xE5>"), "\xE5");
  EXPECT_EQ(inner(Sequence({kReplaceMark, kByteFallback, kFuse, kStripOne}), "▁a"), " a");
  EXPECT_EQ(inner(R"({"type":"ByteLevel"})", "\u0120a"), " a");
}

// What a reader sees: only whole characters, and together the same text.
TEST(DecoderTest, AStreamShowsWholeCharactersOnly) {
  const Strings tokens = {"▁a", "<0xF0>", "<0x9F>", "<0x98>", "<0x80>", "▁b", "<0xE5>"};
  absl::StatusOr<Decoder> decoder =
      TryParse(Sequence({kReplaceMark, kByteFallback, kFuse, kStripOne}));
  ASSERT_TRUE(decoder.ok());
  Decoder::Run run(*decoder);
  TextStream stream({});
  std::string shown;
  for (const std::string& token : tokens) {
    const std::string delta = stream.Append(run.Push(token)).text;
    EXPECT_TRUE(IsValidUtf8(delta));
    shown += delta;
  }
  shown += stream.Append(run.Finish()).text;
  shown += stream.Finish().text;
  EXPECT_EQ(shown, "a\U0001f600 b\ufffd");
}

TEST(DecoderTest, DamageIsRefused) {
  for (const std::string json :
       {R"({"type":"Metaspace"})", R"({"type":"Metaspace","replacement":""})",
        R"({"type":"Metaspace","replacement":"ab"})",
        R"({"type":"Metaspace","replacement":"_","prepend_scheme":"last"})",
        R"({"type":"Strip","content":" "})",
        R"({"type":"Strip","content":"ab","start":1,"stop":0})",
        R"({"type":"Strip","content":" ","start":-1,"stop":0})",
        R"({"type":"Replace","content":""})", R"({"type":"Sequence"})",
        R"({"type":"CTC","pad_token":7})", R"({"type":"WordPiece","cleanup":"no"})", "7", "{}"}) {
    EXPECT_TRUE(absl::IsInvalidArgument(TryParse(json).status())) << json;
  }
  EXPECT_TRUE(absl::IsUnimplemented(TryParse(R"({"type":"Other"})").status()));
  EXPECT_TRUE(absl::IsUnimplemented(TryParse(Sequence(Strings(65, kByteFallback))).status()));
}

}  // namespace
}  // namespace heed
