#include "model/tokenizer/gguf_patterns.h"

#include "absl/container/flat_hash_map.h"
#include "absl/strings/str_cat.h"
#include "model/base/json.h"

namespace heed {
namespace {

using Steps = std::vector<std::string>;

constexpr absl::string_view kContractions = "(?i:'s|'t|'re|'ve|'m|'ll|'d)";
constexpr absl::string_view kWordEnd = R"( ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";
constexpr absl::string_view kUpper = R"([^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}])";
constexpr absl::string_view kLower = R"([\p{Ll}\p{Lm}\p{Lo}\p{M}])";
constexpr absl::string_view kCasedEnd = R"( ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+)";

std::string Split(absl::string_view regex) {
  return absl::StrCat(R"({"type":"Split","pattern":{"Regex":)", QuoteJson(regex),
                      R"(},"behavior":"Isolated","invert":false})");
}

std::string ByteLevel(bool use_regex) {
  return absl::StrCat(R"({"type":"ByteLevel","add_prefix_space":false,"use_regex":)",
                      use_regex ? "true" : "false", "}");
}

std::string Digits(bool individual) {
  return absl::StrCat(R"({"type":"Digits","individual_digits":)", individual ? "true" : "false",
                      "}");
}

// The patterns one after another, then the byte alphabet.
Steps Splits(const std::vector<std::string>& regexes) {
  Steps steps;
  for (const std::string& regex : regexes) steps.push_back(Split(regex));
  steps.push_back(ByteLevel(false));
  return steps;
}

// Contractions, words with a character before them, numbers of up to so many digits, the rest.
std::string WordsPattern(absl::string_view number) {
  return absl::StrCat(kContractions, R"(|[^\r\n\p{L}\p{N}]?\p{L}+|)", number, "|", kWordEnd);
}

// Words that change from upper to lower case at most once, perhaps with a contraction.
std::string CasedPattern(absl::string_view contraction, absl::string_view number) {
  return absl::StrCat(kUpper, "*", kLower, "+", contraction, "|", kUpper, "+", kLower, "*",
                      contraction, "|", number, "|", kCasedEnd);
}

Steps DeepseekV3Steps() {
  return Splits(
      {R"(\p{N}{1,3})", "[\u4e00-\u9fa5\u3040-\u309f\u30a0-\u30ff]+",
       R"([!"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+)"
       R"(| ?[\p{P}\p{S}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)"});
}

Steps DeepseekCoderSteps() {
  return Splits({R"([\r\n])", R"(\s?\p{L}+)", R"(\s?\p{P}+)",
                 "[\u4e00-\u9fa5\u0800-\u4e00\uac00-\ud7ff]+", R"(\p{N})"});
}

Steps FalconSteps() {
  return {R"({"type":"Punctuation","behavior":"Contiguous"})", ByteLevel(true), Digits(false),
          Split("[0-9][0-9][0-9]")};
}

Steps BloomSteps() {
  return Splits({R"( ?[^(\s|.,!?)"
                 "\u2026\u3002\uff0c\u3001\u0964\u06d4\u060c)]+"});
}

// What llama.cpp takes for files that name nothing.
Steps DefaultSteps() {
  return {Split(R"([\p{P}\$\+<=>\^~\|]+)"),
          Split(R"('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+)"
                R"(| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+)"),
          Split(R"(\p{N}+)"), Split("[0-9][0-9][0-9]"), ByteLevel(false)};
}

using Table = absl::flat_hash_map<std::string, GgufPreTokenizer>;

void Add(const std::vector<absl::string_view>& names, const GgufPreTokenizer& pre, Table* table) {
  for (const absl::string_view name : names) table->emplace(name, pre);
}

Table MakeTable() {
  const std::string nfc = R"({"type":"NFC"})";
  const Steps llama3 = Splits({WordsPattern(R"(\p{N}{1,3})")});
  const Steps qwen2 = Splits({WordsPattern(R"(\p{N})")});
  Table table;
  Add({"", "default"}, {{}, DefaultSteps()}, &table);
  Add({"gpt-2", "phi-2", "mpt", "olmo", "jais", "trillion", "jina-es", "jina-de", "jina-v1-en",
       "jina-v2-es", "jina-v2-de", "jina-v2-code", "roberta-bpe", "gigachat", "a.x-4.0", "mellum"},
      {{}, {ByteLevel(true)}}, &table);
  Add({"llama3", "llama-v3", "llama-bpe", "falcon3", "falcon-h1", "pixtral-llama3"},
      {{}, llama3, true, true}, &table);
  Add({"dbrx", "smaug-bpe", "chatglm-bpe", "glm4"}, {{}, llama3}, &table);
  // The tokenizer that these models were trained with composes characters; llama.cpp does not.
  Add({"qwen2", "deepseek-r1-qwen", "megrez"}, {{nfc}, qwen2}, &table);
  Add({"stablelm2", "hunyuan"}, {{}, qwen2}, &table);
  Add({"starcoder", "refact", "command-r", "smollm", "codeshell", "exaone", "minerva-7b"},
      {{}, {Digits(true), ByteLevel(true)}}, &table);
  Add({"falcon"}, {{}, FalconSteps()}, &table);
  Add({"deepseek-coder"}, {{}, DeepseekCoderSteps()}, &table);
  Add({"deepseek-v3", "hunyuan-dense"}, {{}, DeepseekV3Steps()}, &table);
  Add({"bloom", "poro-chat", "gpt3-finnish"}, {{}, BloomSteps()}, &table);
  Add({"tekken"}, {{}, Splits({CasedPattern("", R"(\p{N})")}), true, true}, &table);
  const std::string contraction = absl::StrCat(kContractions, "?");
  Add({"gpt-4o", "llama4"}, {{}, Splits({CasedPattern(contraction, R"(\p{N}{1,3})")})}, &table);
  return table;
}

}  // namespace

const GgufPreTokenizer* FindGgufPreTokenizer(absl::string_view name) {
  static const Table* const table = new Table(MakeTable());
  const auto found = table->find(name);
  return found == table->end() ? nullptr : &found->second;
}

}  // namespace heed
