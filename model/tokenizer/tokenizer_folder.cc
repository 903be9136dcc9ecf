#include "model/tokenizer/tokenizer_folder.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "model/base/error.h"
#include "model/base/json.h"
#include "model/base/status_macros.h"
#include "model/base/utf8.h"
#include "model/tokenizer/bpe.h"
#include "model/tokenizer/sentencepiece.h"
#include "model/tokenizer/tokenizer_builder.h"
#include "model/tokenizer/word_models.h"

namespace heed {
namespace {

constexpr absl::string_view kSentencePieceNames[] = {"tokenizer.model", "spiece.model",
                                                     "sentencepiece.bpe.model"};

absl::Status Invalid(absl::string_view problem) {
  return MakeError(absl::StatusCode::kInvalidArgument, "CHECKPOINT_INVALID", problem);
}

absl::Status Unsupported(absl::string_view problem) {
  return MakeError(absl::StatusCode::kUnimplemented, "CHECKPOINT_UNSUPPORTED", problem);
}

struct NamedToken {
  std::string key;  // "mask_token"
  std::string content;
  bool lstrip = false;
};

// What tokenizer_config.json says that changes ids.
struct TokenizerConfig {
  std::string tokenizer_class;
  std::optional<bool> add_bos_token;
  std::optional<bool> add_eos_token;
  std::optional<bool> add_prefix_space;
  std::optional<bool> do_lower_case;
  std::optional<bool> strip_accents;
  std::optional<bool> tokenize_chinese_chars;
  std::vector<AddedTokenText> added_tokens;  // with their ids
  std::vector<NamedToken> named;
};

absl::Status ReadFlag(const JsonValue& json, absl::string_view key, std::optional<bool>* flag) {
  const std::optional<JsonValue> value = json.Find(key);
  if (!value.has_value() || value->IsNull()) return absl::OkStatus();
  HEED_ASSIGN_OR_RETURN(*flag, value->Bool());
  return absl::OkStatus();
}

// {"7": {"content": "<a>", "special": true, ...}, ...}
absl::Status ReadAddedTokens(const JsonValue& json, std::vector<AddedTokenText>* tokens) {
  return json.ForEachMember([&](absl::string_view key, const JsonValue& value) -> absl::Status {
    AddedTokenText token;
    if (!absl::SimpleAtoi(key, &token.id) || token.id < 0) {
      return value.Error("has a key that is no id");
    }
    HEED_ASSIGN_OR_RETURN(const absl::string_view content, value.StringAt("content"));
    token.content = std::string(content);
    HEED_ASSIGN_OR_RETURN(token.special, value.BoolOr("special", false));
    HEED_ASSIGN_OR_RETURN(token.lstrip, value.BoolOr("lstrip", false));
    tokens->push_back(std::move(token));
    return absl::OkStatus();
  });
}

// A special token is a string or an object with its content.
absl::Status ReadNamed(const JsonValue& json, TokenizerConfig* config) {
  for (const char* const key : {"bos_token", "eos_token", "unk_token", "sep_token", "cls_token",
                                "pad_token", "mask_token"}) {
    const std::optional<JsonValue> value = json.Find(key);
    if (!value.has_value() || value->IsNull()) continue;
    NamedToken token = {key, "", false};
    if (value->IsObject()) {
      HEED_ASSIGN_OR_RETURN(const absl::string_view content, value->StringAt("content"));
      token.content = std::string(content);
      HEED_ASSIGN_OR_RETURN(token.lstrip, value->BoolOr("lstrip", false));
    } else {
      HEED_ASSIGN_OR_RETURN(const absl::string_view content, value->String());
      token.content = std::string(content);
    }
    config->named.push_back(std::move(token));
  }
  return absl::OkStatus();
}

absl::StatusOr<TokenizerConfig> ParseConfig(const std::optional<std::string>& text) {
  TokenizerConfig config;
  if (!text.has_value()) return config;
  HEED_ASSIGN_OR_RETURN(const JsonDocument document,
                        JsonDocument::Parse("tokenizer_config.json", *text));
  const JsonValue json = document.root();
  HEED_ASSIGN_OR_RETURN(config.tokenizer_class, json.StringOr("tokenizer_class", ""));
  if (absl::EndsWith(config.tokenizer_class, "Fast")) {
    config.tokenizer_class.resize(config.tokenizer_class.size() - 4);
  }
  HEED_RETURN_IF_ERROR(ReadFlag(json, "add_bos_token", &config.add_bos_token));
  HEED_RETURN_IF_ERROR(ReadFlag(json, "add_eos_token", &config.add_eos_token));
  HEED_RETURN_IF_ERROR(ReadFlag(json, "add_prefix_space", &config.add_prefix_space));
  HEED_RETURN_IF_ERROR(ReadFlag(json, "do_lower_case", &config.do_lower_case));
  HEED_RETURN_IF_ERROR(ReadFlag(json, "strip_accents", &config.strip_accents));
  HEED_RETURN_IF_ERROR(ReadFlag(json, "tokenize_chinese_chars", &config.tokenize_chinese_chars));
  HEED_RETURN_IF_ERROR(ReadNamed(json, &config));
  const std::optional<JsonValue> added = json.Find("added_tokens_decoder");
  if (added.has_value()) HEED_RETURN_IF_ERROR(ReadAddedTokens(*added, &config.added_tokens));
  return config;
}

std::optional<std::string> NameOf(const TokenizerConfig& config, absl::string_view key) {
  for (const NamedToken& token : config.named) {
    if (token.key == key) return token.content;
  }
  return std::nullopt;
}

std::vector<TokenId> IdsOf(const PieceTable& pieces, const std::optional<std::string>& content) {
  if (!content.has_value()) return {};
  const std::optional<TokenId> id = pieces.Find(*content);
  return id.has_value() ? std::vector<TokenId>{*id} : std::vector<TokenId>();
}

// The tokens that the configuration names, and those that it adds, in the order of their ids.
void FillAddedTokens(const TokenizerConfig& config, const PieceTable& pieces, TokenizerText* text) {
  text->added_tokens = config.added_tokens;
  const auto is_known = [&](const std::string& content) {
    return std::any_of(text->added_tokens.begin(), text->added_tokens.end(),
                       [&](const AddedTokenText& token) { return token.content == content; });
  };
  for (const NamedToken& token : config.named) {
    const std::optional<TokenId> id = pieces.Find(token.content);
    if (!id.has_value() || is_known(token.content)) continue;
    text->added_tokens.push_back({*id, token.content, true, token.lstrip});
  }
  std::stable_sort(text->added_tokens.begin(), text->added_tokens.end(),
                   [](const AddedTokenText& a, const AddedTokenText& b) { return a.id < b.id; });
}

// Tokens that a class has unless the configuration names others.
void AddDefaults(absl::Span<const NamedToken> defaults, TokenizerConfig* config) {
  for (const NamedToken& token : defaults) {
    if (!NameOf(*config, token.key).has_value()) config->named.push_back(token);
  }
}

// Classes whose ids are not those of their model file, or that change its text.
bool HasOwnIds(absl::string_view tokenizer_class) {
  constexpr absl::string_view kNames[] = {
      "XLMRobertaTokenizer", "CamembertTokenizer", "BarthezTokenizer", "MBartTokenizer",
      "MBart50Tokenizer",    "M2M100Tokenizer",    "NllbTokenizer",    "PegasusTokenizer",
      "BigBirdTokenizer",    "XLNetTokenizer",     "AlbertTokenizer",  "DebertaV2Tokenizer"};
  return std::find(std::begin(kNames), std::end(kNames), tokenizer_class) != std::end(kNames);
}

// The id of a named token; `absent` where the configuration or the model does not have it.
std::optional<TokenId> NamedId(const TokenizerConfig& config, absl::string_view key,
                               const SentencePieceFacts& facts, std::optional<TokenId> absent) {
  const std::optional<std::string> content = NameOf(config, key);
  if (!content.has_value()) return absent;
  const auto found = std::find(facts.pieces.begin(), facts.pieces.end(), *content);
  if (found == facts.pieces.end()) return absent;
  return static_cast<TokenId>(found - facts.pieces.begin());
}

absl::StatusOr<std::unique_ptr<Tokenizer>> FromSentencePiece(absl::string_view name,
                                                             absl::string_view bytes,
                                                             const TokenizerConfig& config) {
  if (HasOwnIds(config.tokenizer_class)) {
    return Unsupported(absl::StrCat(name, ": heed does not read it for the class ",
                                    config.tokenizer_class,
                                    "; save the tokenizer as tokenizer.json"));
  }
  HEED_ASSIGN_OR_RETURN(SentencePieceFacts facts, ParseSentencePieceModel(name, bytes));
  const bool is_t5 = absl::StrContains(config.tokenizer_class, "T5");
  facts.add_bos = config.add_bos_token.value_or(facts.is_bpe && !is_t5);
  facts.add_eos = config.add_eos_token.value_or(is_t5);
  if (config.add_prefix_space.has_value()) facts.add_dummy_prefix = *config.add_prefix_space;
  facts.bos_id = NamedId(config, "bos_token", facts, facts.bos_id);
  facts.eos_id = NamedId(config, "eos_token", facts, facts.eos_id);
  facts.added_tokens = config.added_tokens;
  std::stable_sort(facts.added_tokens.begin(), facts.added_tokens.end(),
                   [](const AddedTokenText& a, const AddedTokenText& b) { return a.id < b.id; });
  return BuildSentencePieceTokenizer(facts);
}

// One merge a line, after a line with the version that may be missing.
absl::StatusOr<std::vector<BpeModel::MergeRule>> ParseMerges(absl::string_view text,
                                                             const PieceTable& pieces) {
  std::vector<BpeModel::MergeRule> rules;
  int64_t line_number = 0;
  for (absl::string_view line : absl::StrSplit(text, '\n')) {
    ++line_number;
    absl::ConsumeSuffix(&line, "\r");
    if (line.empty() || (line_number == 1 && absl::StartsWith(line, "#version"))) continue;
    const std::vector<absl::string_view> parts = absl::StrSplit(line, ' ');
    if (parts.size() != 2 || parts[0].empty() || parts[1].empty()) {
      return Invalid(absl::StrCat("merges.txt: line ", line_number, " is ", Quoted(line),
                                  "; it must be two pieces with a space between them"));
    }
    const std::optional<TokenId> left = pieces.Find(parts[0]);
    const std::optional<TokenId> right = pieces.Find(parts[1]);
    const std::optional<TokenId> merged = pieces.Find(absl::StrCat(parts[0], parts[1]));
    if (!left.has_value() || !right.has_value() || !merged.has_value()) {
      return Invalid(absl::StrCat("merges.txt: line ", line_number, " is ", Quoted(line),
                                  ", which needs a piece that vocab.json does not have"));
    }
    rules.push_back({*left, *right, *merged, static_cast<int32_t>(rules.size())});
  }
  return rules;
}

// The tokens around a text.
void FillAround(const TokenizerConfig& config, const PieceTable& pieces, bool is_roberta,
                TokenizerText* text) {
  if (is_roberta) {
    text->before = IdsOf(pieces, NameOf(config, "cls_token"));
    text->after = IdsOf(pieces, NameOf(config, "sep_token"));
    return;
  }
  if (config.add_bos_token == true) text->before = IdsOf(pieces, NameOf(config, "bos_token"));
  if (config.add_eos_token == true) text->after = IdsOf(pieces, NameOf(config, "eos_token"));
}

absl::StatusOr<std::unique_ptr<Tokenizer>> FromBpeFiles(absl::string_view vocab,
                                                        absl::string_view merges,
                                                        TokenizerConfig config) {
  if (absl::StrContains(config.tokenizer_class, "Qwen2")) {
    return Unsupported(
        "vocab.json: heed does not read it for the class Qwen2Tokenizer; save the tokenizer as "
        "tokenizer.json");
  }
  HEED_ASSIGN_OR_RETURN(const JsonDocument document, JsonDocument::Parse("vocab.json", vocab));
  HEED_ASSIGN_OR_RETURN(PieceTable pieces, PieceTable::Parse(document.root()));
  HEED_ASSIGN_OR_RETURN(const std::vector<BpeModel::MergeRule> rules, ParseMerges(merges, pieces));
  const bool is_roberta = absl::StrContains(config.tokenizer_class, "Roberta");
  if (is_roberta) {
    AddDefaults({{"bos_token", "<s>"},
                 {"eos_token", "</s>"},
                 {"cls_token", "<s>"},
                 {"sep_token", "</s>"},
                 {"unk_token", "<unk>"},
                 {"pad_token", "<pad>"},
                 {"mask_token", "<mask>", true}},
                &config);
  } else {
    AddDefaults({{"bos_token", "<|endoftext|>"}, {"eos_token", "<|endoftext|>"}}, &config);
  }
  TokenizerText text;
  FillAddedTokens(config, pieces, &text);
  FillAround(config, pieces, is_roberta, &text);
  const bool prefix = config.add_prefix_space.value_or(false);
  text.pre_tokenizers = {
      absl::StrCat(R"({"type":"ByteLevel","add_prefix_space":)", prefix ? "true" : "false", "}")};
  text.decoders = {R"({"type":"ByteLevel"})"};
  absl::StatusOr<std::unique_ptr<BpeModel>> model =
      BpeModel::Create(std::move(pieces), BpeOptions{}, rules);
  if (!model.ok()) return Invalid(absl::StrCat("merges.txt: ", model.status().message()));
  return BuildTokenizer("vocab.json", text.Json(), *std::move(model));
}

// One piece a line; the ids are the line numbers.
absl::StatusOr<PieceTable> ParseVocabLines(absl::string_view text) {
  std::vector<std::string> pieces;
  for (absl::string_view line : absl::StrSplit(absl::StripSuffix(text, "\n"), '\n')) {
    absl::ConsumeSuffix(&line, "\r");
    if (!IsValidUtf8(line)) {
      return Invalid(absl::StrCat("vocab.txt: line ", pieces.size() + 1, " is ", Quoted(line),
                                  "; it must be UTF-8"));
    }
    pieces.emplace_back(line);
  }
  absl::StatusOr<PieceTable> table = PieceTable::FromList(std::move(pieces));
  if (!table.ok()) return Invalid(absl::StrCat("vocab.txt: ", table.status().message()));
  return table;
}

std::string BertNormalizerJson(const TokenizerConfig& config) {
  const auto flag = [](bool value) { return value ? "true" : "false"; };
  const bool lowercase = config.do_lower_case.value_or(true);
  return absl::StrCat(R"({"type":"BertNormalizer","lowercase":)", flag(lowercase),
                      R"(,"strip_accents":)", flag(config.strip_accents.value_or(lowercase)),
                      R"(,"handle_chinese_chars":)",
                      flag(config.tokenize_chinese_chars.value_or(true)), "}");
}

absl::StatusOr<std::unique_ptr<Tokenizer>> FromVocabLines(absl::string_view vocab,
                                                          TokenizerConfig config) {
  HEED_ASSIGN_OR_RETURN(PieceTable pieces, ParseVocabLines(vocab));
  AddDefaults({{"unk_token", "[UNK]"},
               {"cls_token", "[CLS]"},
               {"sep_token", "[SEP]"},
               {"pad_token", "[PAD]"},
               {"mask_token", "[MASK]"}},
              &config);
  TokenizerText text;
  FillAddedTokens(config, pieces, &text);
  text.before = IdsOf(pieces, NameOf(config, "cls_token"));
  text.after = IdsOf(pieces, NameOf(config, "sep_token"));
  text.normalizers = {BertNormalizerJson(config)};
  text.pre_tokenizers = {R"({"type":"BertPreTokenizer"})"};
  text.decoders = {R"({"type":"WordPiece","prefix":"##","cleanup":true})"};
  WordPieceOptions options;
  options.unk_token = *NameOf(config, "unk_token");
  return BuildTokenizer("vocab.txt", text.Json(),
                        std::make_unique<WordPieceModel>(std::move(pieces), std::move(options)));
}

}  // namespace

absl::StatusOr<std::unique_ptr<Tokenizer>> LoadTokenizerFolder(TokenizerFileReader read) {
  HEED_ASSIGN_OR_RETURN(const std::optional<std::string> json, read("tokenizer.json"));
  if (json.has_value()) return ParseTokenizerJson(*json);
  HEED_ASSIGN_OR_RETURN(const std::optional<std::string> config_text,
                        read("tokenizer_config.json"));
  HEED_ASSIGN_OR_RETURN(TokenizerConfig config, ParseConfig(config_text));
  for (const absl::string_view name : kSentencePieceNames) {
    HEED_ASSIGN_OR_RETURN(const std::optional<std::string> bytes, read(name));
    if (bytes.has_value()) return FromSentencePiece(name, *bytes, config);
  }
  HEED_ASSIGN_OR_RETURN(const std::optional<std::string> vocab, read("vocab.json"));
  HEED_ASSIGN_OR_RETURN(const std::optional<std::string> merges, read("merges.txt"));
  if (vocab.has_value() && merges.has_value()) {
    return FromBpeFiles(*vocab, *merges, std::move(config));
  }
  HEED_ASSIGN_OR_RETURN(const std::optional<std::string> lines, read("vocab.txt"));
  if (lines.has_value()) return FromVocabLines(*lines, std::move(config));
  return nullptr;
}

}  // namespace heed
