#include "model/tokenizer/gguf_tokenizer.h"

#include <limits>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "model/base/error.h"
#include "model/base/json.h"
#include "model/base/status_macros.h"
#include "model/base/utf8.h"
#include "model/tokenizer/bpe.h"
#include "model/tokenizer/gguf_patterns.h"
#include "model/tokenizer/sentencepiece.h"
#include "model/tokenizer/tokenizer_builder.h"
#include "model/tokenizer/word_models.h"

namespace heed {
namespace {

constexpr absl::string_view kSource = "tokenizer.ggml";
constexpr absl::string_view kWordMark = "\u2581";

absl::Status Invalid(absl::string_view problem) {
  return MakeError(absl::StatusCode::kInvalidArgument, "CHECKPOINT_INVALID",
                   absl::StrCat(kSource, ".", problem));
}

absl::Status Unsupported(absl::string_view problem) {
  return MakeError(absl::StatusCode::kUnimplemented, "CHECKPOINT_UNSUPPORTED",
                   absl::StrCat(kSource, ".", problem));
}

absl::Status CheckTokens(const GgufTokenizerFacts& facts) {
  if (facts.tokens.empty()) return Invalid("tokens: is empty; expected the vocabulary");
  for (size_t id = 0; id < facts.tokens.size(); ++id) {
    if (IsValidUtf8(facts.tokens[id])) continue;
    return Invalid(
        absl::StrCat("tokens[", id, "] is ", Quoted(facts.tokens[id]), "; it must be UTF-8"));
  }
  return absl::OkStatus();
}

absl::StatusOr<std::vector<PieceKind>> KindsOf(const GgufTokenizerFacts& facts) {
  const size_t n = facts.tokens.size();
  if (facts.token_types.empty()) return std::vector<PieceKind>(n, PieceKind::kNormal);
  if (facts.token_types.size() != n) {
    return Invalid(absl::StrCat("token_type: has ", facts.token_types.size(), " values for ", n,
                                " tokens; expected one each"));
  }
  std::vector<PieceKind> kinds;
  for (size_t id = 0; id < n; ++id) {
    const int32_t type = facts.token_types[id];
    if (type < 1 || type > 6) {
      return Invalid(absl::StrCat("token_type[", id, "] is ", type, "; it must be 1 to 6"));
    }
    kinds.push_back(static_cast<PieceKind>(type));
  }
  return kinds;
}

// The token of an id key; -1, in either width, means that there is none.
absl::StatusOr<std::optional<TokenId>> TokenOf(const GgufTokenizerFacts& facts,
                                               const std::optional<int64_t>& id,
                                               absl::string_view key) {
  constexpr int64_t kNone = std::numeric_limits<uint32_t>::max();
  if (!id.has_value() || *id == -1 || *id == kNone) return std::optional<TokenId>();
  if (*id < 0 || *id >= static_cast<int64_t>(facts.tokens.size())) {
    return Invalid(absl::StrCat(key, " is ", *id, "; it must be less than the ",
                                facts.tokens.size(), " tokens"));
  }
  return std::optional<TokenId>(static_cast<TokenId>(*id));
}

// Fills the special tokens around a text: `before` if `add_before`, `after` if `add_after`.
absl::Status FillAround(const GgufTokenizerFacts& facts, bool add_before, bool add_after,
                        TokenizerText* text) {
  HEED_ASSIGN_OR_RETURN(const auto bos, TokenOf(facts, facts.bos_token_id, "bos_token_id"));
  HEED_ASSIGN_OR_RETURN(const auto eos, TokenOf(facts, facts.eos_token_id, "eos_token_id"));
  if (facts.add_bos_token.value_or(add_before) && bos.has_value()) text->before.push_back(*bos);
  if (facts.add_eos_token.value_or(add_after) && eos.has_value()) text->after.push_back(*eos);
  return absl::OkStatus();
}

// Control and user-defined tokens, which are found in a text before anything else.
void FillAddedTokens(const GgufTokenizerFacts& facts, const std::vector<PieceKind>& kinds,
                     const PieceTable& pieces, TokenizerText* text) {
  for (size_t i = 0; i < kinds.size(); ++i) {
    const TokenId id = static_cast<TokenId>(i);
    const bool special = kinds[i] == PieceKind::kControl || kinds[i] == PieceKind::kUnknown;
    if (!special && kinds[i] != PieceKind::kUserDefined) continue;
    if (pieces.Find(facts.tokens[i]) != id) continue;
    text->added_tokens.push_back({id, facts.tokens[i], special, false});
  }
}

absl::StatusOr<PieceTable> TableOf(std::vector<std::string> pieces) {
  absl::StatusOr<PieceTable> table = PieceTable::FromList(std::move(pieces));
  if (!table.ok()) return Invalid(absl::StrCat("tokens: ", table.status().message()));
  return table;
}

absl::StatusOr<std::vector<BpeModel::MergeRule>> MergesOf(const GgufTokenizerFacts& facts,
                                                          const PieceTable& pieces) {
  std::vector<BpeModel::MergeRule> rules;
  for (size_t i = 0; i < facts.merges.size(); ++i) {
    const absl::string_view merge = facts.merges[i];
    const size_t space = merge.find(' ', 1);
    const bool has_two = space != absl::string_view::npos && space + 1 < merge.size();
    if (!has_two) {
      return Invalid(absl::StrCat("merges[", i, "] is ", Quoted(merge),
                                  "; it must be two pieces with a space between them"));
    }
    const absl::string_view left = merge.substr(0, space);
    const absl::string_view right = merge.substr(space + 1);
    BpeModel::MergeRule rule;
    rule.rank = static_cast<int32_t>(i);
    const std::pair<std::string, TokenId*> parts[] = {{std::string(left), &rule.left},
                                                      {std::string(right), &rule.right},
                                                      {absl::StrCat(left, right), &rule.merged}};
    for (const auto& [piece, id] : parts) {
      const std::optional<TokenId> found = pieces.Find(piece);
      if (!found.has_value()) {
        return Invalid(absl::StrCat("merges[", i, "] needs the piece ", Quoted(piece),
                                    ", which is not among the tokens"));
      }
      *id = *found;
    }
    rules.push_back(rule);
  }
  return rules;
}

absl::StatusOr<std::unique_ptr<Tokenizer>> BuildByteLevel(const GgufTokenizerFacts& facts) {
  HEED_ASSIGN_OR_RETURN(const std::vector<PieceKind> kinds, KindsOf(facts));
  const GgufPreTokenizer* const pre = FindGgufPreTokenizer(facts.pre);
  if (pre == nullptr) {
    return Unsupported(absl::StrCat("pre: heed has no patterns named ", Quoted(facts.pre)));
  }
  HEED_ASSIGN_OR_RETURN(PieceTable pieces, TableOf(facts.tokens));
  HEED_ASSIGN_OR_RETURN(const std::vector<BpeModel::MergeRule> rules, MergesOf(facts, pieces));
  TokenizerText text;
  FillAddedTokens(facts, kinds, pieces, &text);
  HEED_RETURN_IF_ERROR(FillAround(facts, pre->add_bos, false, &text));
  text.normalizers = pre->normalizers;
  text.pre_tokenizers = pre->pre_tokenizers;
  if (facts.add_space_prefix.value_or(false)) {
    return Unsupported("add_space_prefix is true, which heed does not know for the model gpt2");
  }
  text.decoders = {R"({"type":"ByteLevel"})"};
  BpeOptions options;
  options.ignore_merges = pre->ignore_merges;
  absl::StatusOr<std::unique_ptr<BpeModel>> model =
      BpeModel::Create(std::move(pieces), std::move(options), rules);
  if (!model.ok()) return Invalid(absl::StrCat("merges: ", model.status().message()));
  return BuildTokenizer(kSource, text.Json(), *std::move(model));
}

absl::StatusOr<std::unique_ptr<Tokenizer>> BuildSentencePiece(const GgufTokenizerFacts& facts,
                                                              bool is_bpe) {
  if (facts.scores.size() != facts.tokens.size()) {
    return Invalid(absl::StrCat("scores: has ", facts.scores.size(), " values for ",
                                facts.tokens.size(), " tokens; expected one each"));
  }
  SentencePieceFacts out;
  out.source = std::string(kSource);
  out.is_bpe = is_bpe;
  out.pieces = facts.tokens;
  out.scores = facts.scores;
  HEED_ASSIGN_OR_RETURN(out.kinds, KindsOf(facts));
  out.add_dummy_prefix = facts.add_space_prefix.value_or(true);
  out.remove_extra_whitespaces = !is_bpe && facts.remove_extra_whitespaces.value_or(false);
  if (!is_bpe) out.charsmap = facts.precompiled_charsmap;
  for (const PieceKind kind : out.kinds) {
    out.byte_fallback = out.byte_fallback || kind == PieceKind::kByte;
  }
  HEED_ASSIGN_OR_RETURN(out.unk_id, TokenOf(facts, facts.unknown_token_id, "unknown_token_id"));
  HEED_ASSIGN_OR_RETURN(out.bos_id, TokenOf(facts, facts.bos_token_id, "bos_token_id"));
  HEED_ASSIGN_OR_RETURN(out.eos_id, TokenOf(facts, facts.eos_token_id, "eos_token_id"));
  for (size_t id = 0; !out.unk_id.has_value() && id < out.kinds.size(); ++id) {
    if (out.kinds[id] == PieceKind::kUnknown) out.unk_id = static_cast<TokenId>(id);
  }
  out.add_bos = facts.add_bos_token.value_or(is_bpe);
  out.add_eos = facts.add_eos_token.value_or(!is_bpe);
  return BuildSentencePieceTokenizer(out);
}

// The converter took "##" from pieces inside a word and put a mark before those that begin one.
std::string BertPiece(absl::string_view token, PieceKind kind) {
  if (absl::ConsumePrefix(&token, kWordMark)) return std::string(token);
  const bool bracketed =
      token.size() > 2 && absl::StartsWith(token, "[") && absl::EndsWith(token, "]");
  if (bracketed || kind != PieceKind::kNormal) return std::string(token);
  return absl::StrCat("##", token);
}

absl::StatusOr<std::unique_ptr<Tokenizer>> BuildBert(const GgufTokenizerFacts& facts) {
  HEED_ASSIGN_OR_RETURN(const std::vector<PieceKind> kinds, KindsOf(facts));
  GgufTokenizerFacts plain = facts;
  for (size_t id = 0; id < kinds.size(); ++id) {
    plain.tokens[id] = BertPiece(facts.tokens[id], kinds[id]);
  }
  HEED_ASSIGN_OR_RETURN(const auto unk, TokenOf(plain, plain.unknown_token_id, "unknown_token_id"));
  HEED_ASSIGN_OR_RETURN(const auto cls, TokenOf(plain, plain.cls_token_id, "cls_token_id"));
  HEED_ASSIGN_OR_RETURN(const auto bos, TokenOf(plain, plain.bos_token_id, "bos_token_id"));
  HEED_ASSIGN_OR_RETURN(const auto sep,
                        TokenOf(plain, plain.separator_token_id, "seperator_token_id"));
  HEED_ASSIGN_OR_RETURN(const auto mask, TokenOf(plain, plain.mask_token_id, "mask_token_id"));
  HEED_ASSIGN_OR_RETURN(PieceTable pieces, TableOf(plain.tokens));
  TokenizerText text;
  std::vector<PieceKind> known = kinds;
  for (const std::optional<TokenId>& id : {unk, cls, bos, sep, mask}) {
    if (id.has_value()) known[*id] = PieceKind::kControl;
  }
  FillAddedTokens(plain, known, pieces, &text);
  const std::optional<TokenId> first = cls.has_value() ? cls : bos;
  if (plain.add_bos_token.value_or(true) && first.has_value()) text.before.push_back(*first);
  if (plain.add_eos_token.value_or(true) && sep.has_value()) text.after.push_back(*sep);
  text.normalizers = {R"({"type":"BertNormalizer","lowercase":true,"strip_accents":true})"};
  text.pre_tokenizers = {R"({"type":"BertPreTokenizer"})"};
  text.decoders = {R"({"type":"WordPiece","prefix":"##","cleanup":true})"};
  WordPieceOptions options;
  if (unk.has_value()) options.unk_token = plain.tokens[*unk];
  return BuildTokenizer(kSource, text.Json(),
                        std::make_unique<WordPieceModel>(std::move(pieces), std::move(options)));
}

}  // namespace

absl::StatusOr<std::unique_ptr<Tokenizer>> BuildGgufTokenizer(const GgufTokenizerFacts& facts) {
  HEED_RETURN_IF_ERROR(CheckTokens(facts));
  if (facts.model == "gpt2") return BuildByteLevel(facts);
  if (facts.model == "llama") return BuildSentencePiece(facts, true);
  if (facts.model == "t5") return BuildSentencePiece(facts, false);
  if (facts.model == "bert") return BuildBert(facts);
  return Unsupported(absl::StrCat("model: heed has no tokenizer ", Quoted(facts.model),
                                  "; it has gpt2, llama, bert and t5"));
}

}  // namespace heed
