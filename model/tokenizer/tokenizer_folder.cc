#include "model/tokenizer/tokenizer_folder.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "absl/strings/ascii.h"
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
#include "model/tokenizer/gguf_patterns.h"
#include "model/tokenizer/sentencepiece.h"
#include "model/tokenizer/tokenizer_builder.h"
#include "model/tokenizer/tokenizer_config.h"
#include "model/tokenizer/unigram.h"
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

absl::StatusOr<PieceTable> TableOf(absl::string_view source, std::vector<std::string> pieces) {
  absl::StatusOr<PieceTable> table = PieceTable::FromList(std::move(pieces));
  if (!table.ok()) return Invalid(absl::StrCat(source, ": ", table.status().message()));
  return table;
}

// Classes that change the ids or the text of their model file in ways that heed does not know.
bool HasOtherIds(absl::string_view tokenizer_class) {
  constexpr absl::string_view kNames[] = {
      "BarthezTokenizer", "MBartTokenizer", "MBart50Tokenizer",
      "M2M100Tokenizer",  "NllbTokenizer",  "PegasusTokenizer",
      "BigBirdTokenizer", "XLNetTokenizer", "DebertaV2Tokenizer"};
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

// Encoders that were trained with SentencePiece and put a vocabulary of their own around its
// pieces. In all of them words are separated by whitespace of any kind and begin with a mark.
struct SentencePieceClass {
  absl::string_view name;
  std::vector<std::string> first;  // pieces with the first ids
  size_t n_dropped;                // of the file's own first pieces, which these replace
  std::string unk, cls, sep, mask;
  bool adds_mask;  // behind the last piece
  bool is_albert;  // prepares the text before the file's own map does
};

const SentencePieceClass* FindSentencePieceClass(absl::string_view tokenizer_class) {
  static const auto* const kClasses = new std::vector<SentencePieceClass>{
      {"XLMRobertaTokenizer",
       {"<s>", "<pad>", "</s>", "<unk>"},
       3,
       "<unk>",
       "<s>",
       "</s>",
       "<mask>",
       true,
       false},
      {"CamembertTokenizer",
       {"<s>NOTUSED", "<pad>", "</s>NOTUSED", "<unk>", "<unk>NOTUSED"},
       1,
       "<unk>",
       "<s>",
       "</s>",
       "<mask>",
       true,
       false},
      {"AlbertTokenizer", {}, 0, "<unk>", "[CLS]", "[SEP]", "[MASK]", false, true},
  };
  for (const SentencePieceClass& known : *kClasses) {
    if (known.name == tokenizer_class) return &known;
  }
  return nullptr;
}

std::string ReplaceJson(absl::string_view pattern, absl::string_view content) {
  return absl::StrCat(R"({"type":"Replace","pattern":)", pattern, R"(,"content":)",
                      QuoteJson(content), "}");
}

std::vector<std::string> AlbertNormalizers(const TokenizerConfig& config) {
  std::vector<std::string> steps = {ReplaceJson(R"({"String":"``"})", "\""),
                                    ReplaceJson(R"({"String":"''"})", "\"")};
  if (!config.keep_accents.value_or(false)) {
    steps.push_back(R"({"type":"NFKD"})");
    steps.push_back(R"({"type":"StripAccents"})");
  }
  if (config.do_lower_case.value_or(true)) steps.push_back(R"({"type":"Lowercase"})");
  return steps;
}

// A number with a comma behind it: such pieces are only taken where nothing else spells the text.
bool IsNumberWithComma(absl::string_view piece) {
  return piece.size() > 1 && piece.back() == ',' && absl::ascii_isdigit(piece[piece.size() - 2]);
}

absl::StatusOr<std::unique_ptr<Tokenizer>> FromSentencePieceClass(const SentencePieceClass& known,
                                                                  SentencePieceFacts facts,
                                                                  TokenizerConfig config) {
  if (facts.is_bpe) {
    return Invalid(absl::StrCat(facts.source, ": is a BPE model; ", known.name, " needs unigram"));
  }
  if (facts.pieces.size() < known.n_dropped) {
    return Invalid(absl::StrCat(facts.source, ": has ", facts.pieces.size(), " pieces; ",
                                known.name, " needs at least ", known.n_dropped));
  }
  constexpr double kCommaPenalty = 100;
  std::vector<std::string> pieces = known.first;
  std::vector<double> scores(pieces.size());
  UnigramOptions options;
  TokenizerText text;
  for (size_t i = known.n_dropped; i < facts.pieces.size(); ++i) {
    const TokenId id = static_cast<TokenId>(pieces.size());
    const bool found_first =
        facts.kinds[i] == PieceKind::kControl || facts.kinds[i] == PieceKind::kUserDefined;
    if (found_first) {
      text.added_tokens.push_back({id, facts.pieces[i], facts.kinds[i] == PieceKind::kControl});
    }
    const bool penalised = known.is_albert && IsNumberWithComma(facts.pieces[i]);
    scores.push_back(facts.scores[i] - (penalised ? kCommaPenalty : 0));
    pieces.push_back(facts.pieces[i]);
  }
  if (known.adds_mask) {
    pieces.push_back(known.mask);
    scores.push_back(0);
  }
  HEED_ASSIGN_OR_RETURN(PieceTable table, TableOf(facts.source, std::move(pieces)));
  AddDefaults({{"bos_token", known.cls},
               {"eos_token", known.sep},
               {"unk_token", known.unk},
               {"sep_token", known.sep},
               {"cls_token", known.cls},
               {"pad_token", "<pad>"},
               {"mask_token", known.mask, true}},
              &config);
  MergeAddedTokens(config, table, &text);
  options.unk_id = table.Find(*NameOf(config, "unk_token"));
  text.before = IdsOf(table, NameOf(config, "cls_token"));
  text.after = IdsOf(table, NameOf(config, "sep_token"));
  if (known.is_albert) text.normalizers = AlbertNormalizers(config);
  if (!facts.charsmap.empty()) text.normalizers.push_back(PrecompiledJson(facts.charsmap));
  const bool prefix = config.add_prefix_space.value_or(true);
  const std::string metaspace =
      absl::StrCat(R"({"type":"Metaspace","replacement":"▁","prepend_scheme":")",
                   prefix ? "always" : "never", "\"}");
  text.pre_tokenizers = {R"({"type":"WhitespaceSplit"})", metaspace};
  text.decoders = {metaspace};
  absl::StatusOr<std::unique_ptr<UnigramModel>> model =
      UnigramModel::Create(std::move(table), std::move(scores), std::move(options));
  if (!model.ok()) return Invalid(absl::StrCat(facts.source, ": ", model.status().message()));
  return BuildTokenizer(facts.source, text.Json(), *std::move(model));
}

absl::StatusOr<std::unique_ptr<Tokenizer>> FromSentencePiece(absl::string_view name,
                                                             absl::string_view bytes,
                                                             const TokenizerConfig& config) {
  if (HasOtherIds(config.tokenizer_class)) {
    return Unsupported(absl::StrCat(name, ": heed does not read it for the class ",
                                    config.tokenizer_class,
                                    "; save the tokenizer as tokenizer.json"));
  }
  HEED_ASSIGN_OR_RETURN(SentencePieceFacts facts, ParseSentencePieceModel(name, bytes));
  if (const SentencePieceClass* const known = FindSentencePieceClass(config.tokenizer_class)) {
    return FromSentencePieceClass(*known, std::move(facts), config);
  }
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
  MergeAddedTokens(config, pieces, &text);
  FillAround(config, pieces, is_roberta, &text);
  const bool prefix = config.add_prefix_space.value_or(false);
  if (absl::StrContains(config.tokenizer_class, "Qwen2")) {
    const GgufPreTokenizer* const qwen2 = FindGgufPreTokenizer("qwen2");
    text.normalizers = qwen2->normalizers;
    text.pre_tokenizers = qwen2->pre_tokenizers;
  } else {
    text.pre_tokenizers = {
        absl::StrCat(R"({"type":"ByteLevel","add_prefix_space":)", prefix ? "true" : "false", "}")};
  }
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
  return TableOf("vocab.txt", std::move(pieces));
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
  MergeAddedTokens(config, pieces, &text);
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

// The class that belongs to a model, for folders that do not name it.
absl::string_view ClassOfModel(absl::string_view model_type) {
  constexpr std::pair<absl::string_view, absl::string_view> kClasses[] = {
      {"albert", "AlbertTokenizer"},         {"camembert", "CamembertTokenizer"},
      {"qwen2", "Qwen2Tokenizer"},           {"qwen3", "Qwen2Tokenizer"},
      {"roberta", "RobertaTokenizer"},       {"t5", "T5Tokenizer"},
      {"xlm-roberta", "XLMRobertaTokenizer"}};
  for (const auto& [type, name] : kClasses) {
    if (type == model_type) return name;
  }
  return "";
}

absl::StatusOr<TokenizerConfig> ReadConfig(TokenizerFileReader read) {
  TokenizerConfig config;
  HEED_ASSIGN_OR_RETURN(const std::optional<std::string> text, read("tokenizer_config.json"));
  if (text.has_value()) {
    HEED_ASSIGN_OR_RETURN(config, ParseTokenizerConfig(*text));
  }
  if (!config.tokenizer_class.empty()) return config;
  HEED_ASSIGN_OR_RETURN(const std::optional<std::string> model, read("config.json"));
  if (!model.has_value()) return config;
  HEED_ASSIGN_OR_RETURN(const JsonDocument document, JsonDocument::Parse("config.json", *model));
  HEED_ASSIGN_OR_RETURN(const std::string type, document.root().StringOr("model_type", ""));
  config.tokenizer_class = std::string(ClassOfModel(type));
  return config;
}

}  // namespace

absl::StatusOr<std::unique_ptr<Tokenizer>> LoadTokenizerFolder(TokenizerFileReader read) {
  HEED_ASSIGN_OR_RETURN(const std::optional<std::string> json, read("tokenizer.json"));
  if (json.has_value()) return ParseTokenizerJson(*json);
  HEED_ASSIGN_OR_RETURN(TokenizerConfig config, ReadConfig(read));
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
