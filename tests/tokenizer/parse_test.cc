// Damaged and hostile tokenizer.json files: refused with the path of what is wrong, never a crash.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "model/tokenizer/tokenizer.h"
#include "tests/tokenizer/golden_cases.h"

namespace heed {
namespace {

using testing::HasSubstr;

const char kGood[] = R"({
"version":"1.0","truncation":null,"padding":null,
"added_tokens":[{"id":5,"content":"<s>","single_word":false,"lstrip":false,"rstrip":false,
  "normalized":false,"special":true}],
"normalizer":{"type":"NFC"},
"pre_tokenizer":{"type":"Sequence","pretokenizers":[
  {"type":"Split","pattern":{"Regex":"\\d+"},"behavior":"Isolated","invert":false},
  {"type":"ByteLevel","add_prefix_space":false,"trim_offsets":true,"use_regex":false}]},
"post_processor":{"type":"TemplateProcessing",
  "single":[{"SpecialToken":{"id":"<s>","type_id":0}},{"Sequence":{"id":"A","type_id":0}}],
  "pair":[],"special_tokens":{"<s>":{"id":"<s>","ids":[5],"tokens":["<s>"]}}},
"decoder":{"type":"ByteLevel","add_prefix_space":true},
"model":{"type":"BPE","dropout":null,"unk_token":null,"continuing_subword_prefix":null,
  "end_of_word_suffix":null,"fuse_unk":false,"byte_fallback":false,"ignore_merges":false,
  "vocab":{"a":0,"b":1,"c":2,"ab":3,"abc":4},
  "merges":[["a","b"],["ab","c"]]}})";

// The good file with one place changed.
std::string With(const std::string& from, const std::string& to) {
  std::string json = kGood;
  const size_t at = json.find(from);
  EXPECT_NE(at, std::string::npos) << from;
  EXPECT_EQ(json.find(from, at + 1), std::string::npos) << from << " is there twice";
  return json.replace(at, from.size(), to);
}

void ExpectRefused(const std::string& json, absl::StatusCode code, const std::string& message) {
  const absl::Status status = ParseTokenizerJson(json).status();
  EXPECT_EQ(status.code(), code) << status << "\nof " << json.substr(0, 2000);
  EXPECT_THAT(std::string(status.message()), HasSubstr(message));
  EXPECT_THAT(std::string(status.message()), testing::StartsWith("tokenizer.json"));
}

void ExpectInvalid(const std::string& json, const std::string& message) {
  ExpectRefused(json, absl::StatusCode::kInvalidArgument, message);
}

void ExpectUnimplemented(const std::string& json, const std::string& message) {
  ExpectRefused(json, absl::StatusCode::kUnimplemented, message);
}

TEST(ParseTokenizerJsonTest, TheUndamagedFileWorks) {
  const auto tokenizer = ParseTokenizerJson(kGood);
  ASSERT_TRUE(tokenizer.ok()) << tokenizer.status();
  EXPECT_EQ((*tokenizer)->Encode("abca<s>", {})->ids, (std::vector<TokenId>{5, 4, 0, 5}));
  EXPECT_EQ((*tokenizer)->vocab_size(), 6);
}

TEST(ParseTokenizerJsonTest, AFileCutShortAnywhereIsRefused) {
  const std::string good = kGood;
  for (size_t size = 0; size < good.size(); ++size) {
    const absl::Status status = ParseTokenizerJson(good.substr(0, size)).status();
    ASSERT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << size << ": " << status;
  }
}

TEST(ParseTokenizerJsonTest, TextThatIsNoJsonIsRefused) {
  ExpectInvalid("", "not valid JSON");
  ExpectInvalid("tokenizer", "not valid JSON");
  ExpectInvalid(absl::StrCat(kGood, "x"), "not valid JSON");
  ExpectInvalid(With(R"("a":0)", "\"\xff\":0"), "not valid JSON");
  ExpectInvalid(std::string("\0", 1), "not valid JSON");
  ExpectInvalid("[]", "tokenizer.json is []; it must be an object");
  ExpectInvalid("null", "tokenizer.json is null; it must be an object");
  ExpectInvalid("{}", "tokenizer.json: has no key \"model\"");
}

TEST(ParseTokenizerJsonTest, DeepNestingIsRefused) {
  for (const int depth : {65, 1000, 1'000'000}) {
    const std::string nested = std::string(depth, '[') + std::string(depth, ']');
    ExpectInvalid(nested, "nested more than 64 deep");
    ExpectInvalid(With(R"("truncation":null)", absl::StrCat(R"("truncation":)", nested)),
                  "nested more than 64 deep");
  }
}

TEST(ParseTokenizerJsonTest, NestedSequencesWithinTheLimitWork) {
  std::string normalizer = R"({"type":"NFC"})";
  for (int i = 0; i < 25; ++i)
    normalizer = absl::StrCat(R"({"type":"Sequence","normalizers":[)", normalizer, "]}");
  EXPECT_TRUE(ParseTokenizerJson(With(R"({"type":"NFC"})", normalizer)).ok());
}

TEST(ParseTokenizerJsonTest, VersionsOtherThanOneAreRefused) {
  ExpectUnimplemented(With(R"("1.0")", R"("2.0")"),
                      "version: heed reads version \"1.0\", not \"2.0\"");
  ExpectInvalid(With(R"("version":"1.0")", R"("version":1)"), "version is 1; it must be a string");
}

TEST(ParseTokenizerJsonTest, UnknownComponentsAreNamedWithTheirPath) {
  ExpectUnimplemented(With(R"("NFC")", R"("Other")"),
                      "normalizer: heed has no normalizer \"Other\"");
  ExpectUnimplemented(With(R"("Split")", R"("Other")"),
                      "pre_tokenizer.pretokenizers[0]: heed has no pre-tokenizer \"Other\"");
  ExpectUnimplemented(With(R"("TemplateProcessing")", R"("Other")"),
                      "post_processor: heed has no post-processor");
  ExpectUnimplemented(With(R"("decoder":{"type":"ByteLevel")", R"("decoder":{"type":"Other")"),
                      "decoder: heed has no decoder \"Other\"");
  ExpectUnimplemented(With(R"("BPE")", R"("Other")"),
                      "model: heed has no tokenizer model \"Other\"");
  ExpectUnimplemented(With(R"("dropout":null)", R"("dropout":0.1)"), "model.dropout");
  ExpectUnimplemented(
      With(R"(\\d+)", R"((?s)a)"),
      "pre_tokenizer.pretokenizers[0].pattern.Regex: the pattern uses the flags (?s)");
}

TEST(ParseTokenizerJsonTest, WrongIdsAreRefused) {
  ExpectInvalid(With(R"("c":2)", R"("c":-1)"),
                "model.vocab.c is -1; it must be an integer from 0 to");
  ExpectInvalid(With(R"("c":2)", R"("c":2.5)"), "model.vocab.c is 2.5; it must be an integer");
  ExpectInvalid(With(R"("c":2)", R"("c":"2")"), "model.vocab.c is \"2\"; it must be an integer");
  ExpectInvalid(With(R"("c":2)", R"("c":1)"),
                "model.vocab.c: has the id 1, which belongs to \"b\"");
  ExpectInvalid(With(R"("c":2)", R"("c":4000000)"),
                "model.vocab: has an id 4000000 but only 5 pieces");
  ExpectInvalid(With(R"("c":2)", R"("c":4294967296)"), "model.vocab.c is 4294967296; it must be");
  ExpectInvalid(With(R"("c":2)", R"("c":99999999999999999999)"), "not valid JSON");
  ExpectInvalid(With(R"("c":2)", R"("c":2,"c":6)"), "model.vocab has the key \"c\" more than once");
  ExpectInvalid(With(R"("id":5)", R"("id":-5)"), "added_tokens[0].id is -5");
  ExpectInvalid(With(R"("ids":[5])", R"("ids":[6])"),
                "post_processor.special_tokens.<s>.ids[0]: is 6, which is no token");
}

TEST(ParseTokenizerJsonTest, HolesAreAllowedUnlessAnAddedTokenFallsOnAPiece) {
  EXPECT_TRUE(ParseTokenizerJson(With(R"("c":2)", R"("c":100)")).ok());
  ExpectInvalid(With(R"("abc":4)", R"("abc":5)"), "added_tokens[0]: would get the id 5");
}

TEST(ParseTokenizerJsonTest, WrongMergesAreRefused) {
  const std::string merges = R"([["a","b"],["ab","c"]])";
  const std::pair<const char*, const char*> cases[] = {
      {R"([["a","b"],["ab","x"]])", R"(model.merges[1]: needs the piece "x")"},
      {R"([["x","b"]])", R"(model.merges[0]: needs the piece "x")"},
      {R"([["b","a"]])", R"(model.merges[0]: needs the piece "ba")"},
      {R"([["a","b"],["a","b"]])", R"(model.merges[1]: merges "a" and "b", as merge 0 does)"},
      {R"([["a","b","c"]])", R"(model.merges[0]: has 3 elements)"},
      {R"([["a"]])", R"(model.merges[0]: has 1 elements)"},
      {R"([["a",1]])", R"(model.merges[0][1] is 1; it must be a string)"},
      {R"([["a",""]])", R"(model.merges[0]: merges "a" and "")"},
      {R"([["","a"]])", R"(model.merges[0]: merges "" and "a")"},
      {R"(["a b c"])", R"(model.merges[0]: is "a b c"; expected two pieces)"},
      {R"(["ab"])", R"(model.merges[0]: is "ab"; expected two pieces)"},
      {R"([" b"])", R"(model.merges[0]: merges "" and "b")"},
      {R"([1])", R"(model.merges[0] is 1; it must be a string)"},
      {R"({"a":"b"})", R"(model.merges is an object; it must be a list)"},
      {R"(null)", R"(model.merges is null)"},
  };
  for (const auto& [damaged, message] : cases) ExpectInvalid(With(merges, damaged), message);
  ExpectInvalid(With(absl::StrCat(",\n  \"merges\":", merges), ""), "model has no key \"merges\"");
}

TEST(ParseTokenizerJsonTest, FieldsThatAppearTwiceAreRefused) {
  ExpectInvalid(With(R"("fuse_unk":false)", R"("fuse_unk":false,"fuse_unk":true)"),
                "model has the key \"fuse_unk\" more than once");
  ExpectInvalid(With(R"("padding":null)", R"("padding":null,"version":"1.0")"),
                "has the key \"version\" more than once");
}

TEST(ParseTokenizerJsonTest, EmptyVocabulariesAreRead) {
  const auto tokenizer = ParseTokenizerJson(R"({"model":{"vocab":{},"merges":[]}})");
  ASSERT_TRUE(tokenizer.ok()) << tokenizer.status();
  EXPECT_EQ((*tokenizer)->vocab_size(), 0);
  EXPECT_TRUE((*tokenizer)->Encode("abc", {})->ids.empty());
}

// End of the JSON value that begins at `at`.
size_t EndOfValue(const std::string& json, size_t at) {
  bool in_string = false;
  int depth = 0;
  for (size_t i = at; i < json.size(); ++i) {
    const char c = json[i];
    if (in_string) {
      if (c == '\\') ++i;
      if (c == '"') in_string = false;
      continue;
    }
    if (depth == 0 && i > at && (c == ',' || c == '}' || c == ']')) return i;
    if (c == '"') in_string = true;
    if (c == '[' || c == '{') ++depth;
    if (c == ']' || c == '}') --depth;
  }
  return json.size();
}

// Puts every other kind of JSON value in the place of each value of the file.
TEST(ParseTokenizerJsonTest, WrongTypesAnywhereAreRefusedOrHarmless) {
  const std::string good = kGood;
  int n_refused = 0;
  bool in_string = false;
  for (size_t i = 0; i + 1 < good.size(); ++i) {
    if (good[i] == '"' && good[i - 1] != '\\') in_string = !in_string;
    if (in_string || (good[i] != ':' && good[i] != '[' && good[i] != ',')) continue;
    const size_t end = EndOfValue(good, i + 1);
    for (const char* const other : {"null", "true", "7", "-1", "1e300", "\"x\"", "\"\"", "[]",
                                    "[[]]", "{}", "{\"type\":0}"}) {
      const std::string json = good.substr(0, i + 1) + other + good.substr(end);
      const auto tokenizer = ParseTokenizerJson(json);
      if (tokenizer.ok()) {
        const absl::Status status = (*tokenizer)->Encode("abc 12 <s>", {}).status();
        EXPECT_TRUE(status.ok() || absl::IsInvalidArgument(status)) << status << "\nof " << json;
        continue;
      }
      ++n_refused;
      EXPECT_TRUE(absl::IsInvalidArgument(tokenizer.status()) ||
                  absl::IsUnimplemented(tokenizer.status()))
          << tokenizer.status() << "\nof " << json;
    }
  }
  EXPECT_GT(n_refused, 500);
}

TEST(ParseTokenizerJsonTest, RandomDamageNeverCrashes) {
  const std::string good =
      ReadFileOrDie(HEED_SOURCE_DIR "/tests/golden/tokenizers/awkward/tokenizer.json");
  uint32_t state = 17;
  const auto random = [&state](size_t n) {
    state = state * 1664525 + 1013904223;
    return (state >> 8) % n;
  };
  constexpr char kBytes[] = "\"\\{}[]:,0159aeu -.";
  for (int round = 0; round < 400; ++round) {
    std::string json = good;
    for (size_t n = 1 + random(3); n > 0; --n)
      json[random(json.size())] = kBytes[random(sizeof(kBytes) - 1)];
    const auto tokenizer = ParseTokenizerJson(json);
    if (!tokenizer.ok()) {
      EXPECT_TRUE(absl::IsInvalidArgument(tokenizer.status()) ||
                  absl::IsUnimplemented(tokenizer.status()))
          << tokenizer.status();
      continue;
    }
    (*tokenizer)->Encode("The keys  to\tthe cabinet <mask> caf\u00e9 \xff", {}).IgnoreError();
  }
}

TEST(ParseTokenizerJsonTest, AMillionWrongMergesAreRefusedAtTheFirst) {
  std::string merges = "[";
  for (int i = 0; i < 1'000'000; ++i) absl::StrAppend(&merges, i == 0 ? "" : ",", "\"x", i, " y\"");
  ExpectInvalid(With(R"([["a","b"],["ab","c"]])", merges + "]"),
                "model.merges[0]: needs the piece \"x0\"");
}

TEST(ParseTokenizerJsonTest, AVeryLongAddedTokenIsFound) {
  const std::string content(1 << 20, 'q');
  const auto tokenizer =
      ParseTokenizerJson(With(R"("content":"<s>")", absl::StrCat(R"("content":")", content, "\"")));
  ASSERT_TRUE(tokenizer.ok()) << tokenizer.status();
  EXPECT_EQ((*tokenizer)->Encode(content + "a", {.add_special_tokens = false})->ids,
            (std::vector<TokenId>{5, 0}));
  EXPECT_TRUE((*tokenizer)->Encode(content.substr(1), {.add_special_tokens = false})->ids.empty());
}

}  // namespace
}  // namespace heed
