// Single components of a tokenizer.json with every option, against what the tokenizers library
// makes of the same texts and tokens (tests/golden/tokenizer_components.py).
#include <gtest/gtest.h>

#include <optional>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "model/base/json.h"
#include "model/base/utf8.h"
#include "model/tokenizer/decoder.h"
#include "model/tokenizer/normalizer.h"
#include "model/tokenizer/pre_tokenizer.h"
#include "tests/tokenizer/golden_cases.h"

namespace heed {
namespace {

// A piece of pre-tokenized text and the bytes it comes from.
struct Cut {
  std::string text;
  int64_t begin = 0;
  int64_t end = 0;
  friend bool operator==(const Cut&, const Cut&) = default;
};

void PrintTo(const Cut& cut, std::ostream* out) {
  *out << "\"" << cut.text << "\" " << cut.begin << ".." << cut.end;
}

std::vector<std::string> Strings(const JsonValue& json) {
  std::vector<std::string> strings;
  const std::vector<JsonValue> elements = json.Array().value();
  for (const JsonValue& element : elements) {
    strings.emplace_back(element.String().value());
  }
  return strings;
}

// [text, first character, one past the last], the characters counted in `source`.
std::vector<Cut> Cuts(const JsonValue& json, const std::string& source) {
  std::vector<int64_t> bytes;
  for (size_t at = 0; at < source.size();) {
    bytes.push_back(static_cast<int64_t>(at));
    at += static_cast<size_t>(DecodeUtf8(absl::string_view(source).substr(at)).length);
  }
  bytes.push_back(static_cast<int64_t>(source.size()));
  std::vector<Cut> cuts;
  const std::vector<JsonValue> elements = json.Array().value();
  for (const JsonValue& element : elements) {
    const std::vector<JsonValue> parts = element.Array().value();
    cuts.push_back({std::string(parts[0].String().value()), bytes.at(parts[1].Int().value()),
                    bytes.at(parts[2].Int().value())});
  }
  return cuts;
}

PieceList Whole(const std::string& text) {
  return PieceList::Whole(AlignedText::FromUntrusted(text, 1 << 20));
}

class ComponentsTest : public testing::Test {
 protected:
  void SetUp() override {
    const std::string path = HEED_SOURCE_DIR "/tests/golden/tokenizers/components.json";
    document_.emplace(JsonDocument::Parse("components.json", ReadFileOrDie(path)).value());
    texts_ = Strings(document_->root().Get("texts").value());
    const std::vector<JsonValue> tokens = document_->root().Get("tokens")->Array().value();
    for (const JsonValue& list : tokens) tokens_.push_back(Strings(list));
  }

  // Calls `check(component, answers)` for every component of a kind. Returns how many there were.
  template <typename Parse, typename Check>
  int ForEach(absl::string_view kind, Parse parse, Check check) {
    int count = 0;
    const std::vector<JsonValue> rows = document_->root().Get("components")->Array().value();
    for (const JsonValue& row : rows) {
      const std::vector<JsonValue> parts = row.Array().value();
      if (parts[0].String().value() != kind) continue;
      SCOPED_TRACE(absl::StrCat("component ", count++, ": ", Name(parts[1])));
      const auto component = parse(parts[1]);
      EXPECT_TRUE(component.ok()) << component.status();
      if (component.ok()) check(*component, parts[2].Array().value());
    }
    return count;
  }

  static std::string Name(const JsonValue& component) {
    std::string name(component.StringAt("type").value());
    if (const auto pattern = component.Find("pattern")) {
      for (const char* const key : {"String", "Regex"}) {
        if (const auto text = pattern->Find(key)) {
          absl::StrAppend(&name, " ", key, " ", *text->String());
        }
      }
    }
    return name;
  }

  std::optional<JsonDocument> document_;
  std::vector<std::string> texts_;
  std::vector<std::vector<std::string>> tokens_;
};

TEST_F(ComponentsTest, NormalizersRewriteAsTheLibrary) {
  const int count = ForEach("normalizer", ParseNormalizers,
                            [&](const Normalizers& steps, const std::vector<JsonValue>& answers) {
                              for (size_t i = 0; i < texts_.size(); ++i) {
                                PieceList list = Whole(texts_[i]);
                                ASSERT_TRUE(ApplyAll(steps, &list).ok());
                                EXPECT_EQ(list.text.text(), *answers.at(i).String()) << texts_[i];
                              }
                            });
  EXPECT_GE(count, 100);
}

TEST_F(ComponentsTest, PreTokenizersCutAsTheLibrary) {
  const int count =
      ForEach("pre_tokenizer", ParsePreTokenizers,
              [&](const PreTokenizers& steps, const std::vector<JsonValue>& answers) {
                for (size_t i = 0; i < texts_.size(); ++i) {
                  PieceList list = Whole(texts_[i]);
                  for (const auto& step : steps) ASSERT_TRUE(step->Apply(&list).ok());
                  std::vector<Cut> cuts;
                  for (const Piece& piece : list.pieces) {
                    const Origin origin = list.text.OriginOf(piece.begin, piece.end);
                    cuts.push_back({std::string(list.Text(piece)), origin.begin, origin.end});
                  }
                  EXPECT_EQ(cuts, Cuts(answers.at(i), texts_[i])) << texts_[i];
                }
              });
  EXPECT_GE(count, 150);
}

// Also in steps, and to the end where the library stops in a panic.
TEST_F(ComponentsTest, DecodersJoinAsTheLibrary) {
  const int count = ForEach(
      "decoder", ParseDecoder, [&](const Decoder& decoder, const std::vector<JsonValue>& answers) {
        for (size_t i = 0; i < tokens_.size(); ++i) {
          Decoder::Run run(decoder);
          std::string text;
          for (const std::string& token : tokens_[i]) text += run.Push(token);
          text += run.Finish();
          if (answers.at(i).IsNull()) continue;
          EXPECT_EQ(ReplaceInvalidUtf8(text), *answers.at(i).String()) << "tokens " << i;
        }
      });
  EXPECT_GE(count, 60);
}

}  // namespace
}  // namespace heed
