// Runs a tokenizer.json: added tokens, normalizer, added tokens in normalized text, pre-tokenizer,
// model, post-processor; and the decoder on the way back. Truncation and padding in the file are
// left to the caller.
#include <algorithm>
#include <utility>

#include "absl/functional/function_ref.h"
#include "absl/strings/str_cat.h"
#include "model/base/json.h"
#include "model/base/status_macros.h"
#include "model/base/utf8.h"
#include "model/tokenizer/added_tokens.h"
#include "model/tokenizer/aligned_text.h"
#include "model/tokenizer/decoder.h"
#include "model/tokenizer/normalizer.h"
#include "model/tokenizer/post_processor.h"
#include "model/tokenizer/pre_tokenizer.h"
#include "model/tokenizer/token_model.h"
#include "model/tokenizer/tokenizer.h"
#include "model/tokenizer/tokenizer_builder.h"
#include "model/tokenizer/unicode.h"

namespace heed {
namespace {

constexpr size_t kMaxTextBytes = size_t{32} << 20;
// Compatibility decomposition lengthens a text by up to 11, and the byte alphabet by up to 2.
constexpr size_t kMaxGrowth = 24;
constexpr size_t kFreeGrowthBytes = 64 << 10;

constexpr char32_t kSpacedSpace = 0x120;  // the byte-level alphabet's space

bool IsTrimmed(char32_t c) {
  return c == kSpacedSpace || IsWhitespace(c);
}

// Characters at the beginning and end of a token's text that its offsets leave out.
struct TrimCounts {
  int32_t leading = 0;
  int32_t trailing = 0;
};

TrimCounts CountTrimmed(absl::string_view text) {
  TrimCounts counts;
  bool only_trimmed = true;
  while (!text.empty()) {
    const Utf8Char c = DecodeUtf8(text);
    const bool trimmed = IsTrimmed(c.code_point);
    only_trimmed = only_trimmed && trimmed;
    counts.leading += only_trimmed ? 1 : 0;
    counts.trailing = trimmed ? counts.trailing + 1 : 0;
    text.remove_prefix(c.length);
  }
  return counts;
}

// Bytes of the first `count` characters of `text`, or of all if it has fewer.
size_t BytesOfChars(absl::string_view text, int64_t count) {
  size_t at = 0;
  for (; count > 0 && at < text.size(); --count) at += DecodeUtf8(text.substr(at)).length;
  return at;
}

int64_t CountChars(absl::string_view text) {
  int64_t count = 0;
  for (; !text.empty(); ++count) text.remove_prefix(DecodeUtf8(text).length);
  return count;
}

void TrimRange(absl::string_view text, TrimCounts counts, ByteRange* range) {
  absl::string_view covered = text.substr(range->begin, range->end - range->begin);
  range->begin += static_cast<int64_t>(BytesOfChars(covered, counts.leading));
  covered = text.substr(range->begin, range->end - range->begin);
  const int64_t kept = std::max<int64_t>(0, CountChars(covered) - counts.trailing);
  range->end = range->begin + static_cast<int64_t>(BytesOfChars(covered, kept));
}

// Room for the tokens to come if the rest of a text goes on as its first `done` of `total` bytes,
// once there are enough of them to tell.
void MakeRoom(size_t done, size_t total, TokenizedText* tokens) {
  constexpr size_t kSample = 16 << 10;
  const size_t size = tokens->ids.size();
  if (size < tokens->ids.capacity()) return;
  size_t room = std::min(total / 4 + 16, kSample);
  if (size > 0) {
    const size_t expected = std::min(total, size * total / std::max<size_t>(done, 1));
    room = std::max(expected + expected / 8, 2 * size);
  }
  tokens->ids.reserve(room);
  tokens->offsets.reserve(room);
}

class JsonTokenizer : public Tokenizer {
 public:
  // Everything but the model is read from `json`.
  static absl::StatusOr<std::unique_ptr<Tokenizer>> Build(const JsonValue& json,
                                                          std::unique_ptr<TokenModel> model);

  absl::StatusOr<TokenizedText> Encode(absl::string_view text,
                                       const EncodeOptions& options) const override;
  std::string Decode(absl::Span<const TokenId> ids, bool skip_special_tokens) const override;
  std::unique_ptr<TokenStream> NewStream(bool skip_special_tokens) const override;
  absl::string_view TokenBytes(TokenId id) const override {
    return Contains(id) ? absl::string_view(entries_[id].bytes) : absl::string_view();
  }
  absl::string_view Piece(TokenId id) const override {
    return Contains(id) ? absl::string_view(entries_[id].piece) : absl::string_view();
  }
  std::optional<TokenId> FindPiece(absl::string_view piece) const override;
  bool IsSpecial(TokenId id) const override { return Contains(id) && entries_[id].special; }
  int vocab_size() const override { return static_cast<int>(entries_.size()); }
  int added_special_count() const override {
    return static_cast<int>(post_processor_.before.size() + post_processor_.after.size());
  }
  std::optional<TokenId> mask_id() const override { return mask_id_; }
  absl::string_view kind() const override { return kind_; }

 private:
  struct Entry {
    bool present = false;
    bool special = false;
    std::string piece;    // the vocabulary's spelling
    std::string decoded;  // what the decoder sees, if not the piece
    std::string bytes;    // what the decoder makes of it in the middle of a text
  };

  class Stream;

  bool Contains(TokenId id) const { return id >= 0 && id < vocab_size() && entries_[id].present; }
  void LeaveSpellingToModel();
  void FillEntries();
  absl::StatusOr<PieceList> Cut(absl::string_view text, const EncodeOptions& options) const;
  absl::Status Tokenize(absl::string_view text, const PieceList& list, TokenizedText* result) const;
  ByteRange Trimmed(absl::string_view text, TrimCounts counts, bool is_first,
                    ByteRange range) const;
  void AddSpecialTokens(TokenizedText* tokens) const;

  AddedTokens added_;
  Normalizers normalizers_;
  PreTokenizers pre_tokenizers_;
  std::unique_ptr<TokenModel> model_;
  bool model_spells_bytes_ = false;  // in place of the last pre-tokenizer
  PostProcessor post_processor_;
  Decoder decoder_;
  std::string kind_;
  std::vector<Entry> entries_;           // by id
  std::vector<TrimCounts> model_trims_;  // of the model's pieces, by id
  std::optional<TokenId> mask_id_;
};

absl::StatusOr<TokenizedText> JsonTokenizer::Encode(absl::string_view text,
                                                    const EncodeOptions& options) const {
  if (text.size() > kMaxTextBytes) {
    return absl::ResourceExhaustedError(absl::StrCat(
        "the text has ", text.size(), " bytes; at most ", kMaxTextBytes, " are tokenized"));
  }
  HEED_ASSIGN_OR_RETURN(const PieceList list, Cut(text, options));
  TokenizedText result;
  HEED_RETURN_IF_ERROR(Tokenize(text, list, &result));
  if (options.add_special_tokens) AddSpecialTokens(&result);
  return result;
}

absl::StatusOr<PieceList> JsonTokenizer::Cut(absl::string_view text,
                                             const EncodeOptions& options) const {
  const size_t max_bytes = kMaxGrowth * text.size() + kFreeGrowthBytes;
  PieceList list = PieceList::Whole(AlignedText::FromUntrusted(text, max_bytes));
  added_.Extract(false, options.parse_special_tokens, &list);
  HEED_RETURN_IF_ERROR(ApplyAll(normalizers_, &list));
  added_.Extract(true, options.parse_special_tokens, &list);
  for (const auto& step : pre_tokenizers_) HEED_RETURN_IF_ERROR(step->Apply(&list));
  return list;
}

absl::Status JsonTokenizer::Tokenize(absl::string_view text, const PieceList& list,
                                     TokenizedText* result) const {
  const bool trims = !post_processor_.trims.empty();
  // `begin` and `end` are bytes of the list's text.
  const auto append = [&](TokenId id, size_t begin, size_t end,
                          absl::FunctionRef<TrimCounts()> counts) {
    MakeRoom(begin, list.text.size(), result);
    const Origin origin = list.text.OriginOf(begin, end);
    ByteRange range = {origin.begin, origin.end};
    if (trims) range = Trimmed(text, counts(), result->ids.empty(), range);
    result->ids.push_back(id);
    result->offsets.push_back(range);
  };
  const std::unique_ptr<ModelWorker> worker =
      model_spells_bytes_ ? model_->NewByteLevelWorker() : model_->NewWorker();
  for (const heed::Piece& piece : list.pieces) {
    if (piece.token != kNoToken) {
      append(piece.token, piece.begin, piece.end, [&] { return CountTrimmed(list.Text(piece)); });
      continue;
    }
    HEED_RETURN_IF_ERROR(worker->Tokenize(list.Text(piece), [&](const ModelToken& token) {
      append(token.id, piece.begin + token.begin, piece.begin + token.end,
             [&] { return model_trims_[token.id]; });
    }));
  }
  return absl::OkStatus();
}

// The range of a token without the whitespace that its own text has at its ends.
ByteRange JsonTokenizer::Trimmed(absl::string_view text, TrimCounts counts, bool is_first,
                                 ByteRange range) const {
  if (counts.leading == 0 && counts.trailing == 0) return range;
  for (const OffsetTrim& trim : post_processor_.trims) {
    TrimCounts trimmed = counts;
    const bool begins_text = is_first || range.begin == 0;
    if (begins_text && trim.add_prefix_space && counts.leading == 1) trimmed.leading = 0;
    TrimRange(text, trimmed, &range);
  }
  return range;
}

void JsonTokenizer::AddSpecialTokens(TokenizedText* tokens) const {
  const auto& [trims, before, after] = post_processor_;
  tokens->ids.insert(tokens->ids.begin(), before.begin(), before.end());
  tokens->offsets.insert(tokens->offsets.begin(), before.size(), ByteRange{});
  tokens->ids.insert(tokens->ids.end(), after.begin(), after.end());
  tokens->offsets.insert(tokens->offsets.end(), after.size(), ByteRange{});
}

class JsonTokenizer::Stream : public TokenStream {
 public:
  Stream(const JsonTokenizer& tokenizer, bool skip_special_tokens)
      : tokenizer_(tokenizer), skip_special_(skip_special_tokens), run_(tokenizer.decoder_) {}

  std::string Append(TokenId id) override {
    if (!tokenizer_.Contains(id)) return "";
    const Entry& entry = tokenizer_.entries_[id];
    if (skip_special_ && entry.special) return "";
    return run_.Push(entry.decoded.empty() ? entry.piece : entry.decoded);
  }

  std::string Finish() override { return run_.Finish(); }

 private:
  const JsonTokenizer& tokenizer_;
  const bool skip_special_;
  Decoder::Run run_;
};

std::unique_ptr<TokenStream> JsonTokenizer::NewStream(bool skip_special_tokens) const {
  return std::make_unique<Stream>(*this, skip_special_tokens);
}

std::string JsonTokenizer::Decode(absl::Span<const TokenId> ids, bool skip_special_tokens) const {
  Stream stream(*this, skip_special_tokens);
  std::string text;
  for (const TokenId id : ids) text += stream.Append(id);
  return text + stream.Finish();
}

std::optional<TokenId> JsonTokenizer::FindPiece(absl::string_view piece) const {
  const std::optional<TokenId> added = added_.Find(piece);
  return added.has_value() ? added : model_->pieces().Find(piece);
}

// The byte-level alphabet makes a text up to twice as long, so a model that can do without it
// should.
void JsonTokenizer::LeaveSpellingToModel() {
  if (pre_tokenizers_.empty() || !pre_tokenizers_.back()->only_spells_bytes()) return;
  if (model_->NewByteLevelWorker() == nullptr) return;
  pre_tokenizers_.pop_back();
  model_spells_bytes_ = true;
}

void JsonTokenizer::FillEntries() {
  const PieceTable& pieces = model_->pieces();
  TokenId size = pieces.size();
  for (const AddedToken& token : added_.tokens()) size = std::max(size, token.id + 1);
  entries_.resize(size);
  model_trims_.resize(pieces.size());
  for (TokenId id = 0; id < pieces.size(); ++id) {
    if (!pieces.Contains(id)) continue;
    const absl::string_view piece = pieces.Piece(id);
    model_trims_[id] = CountTrimmed(piece);
    entries_[id] = {true, false, std::string(piece), "", decoder_.InnerBytes(piece)};
  }
  for (const AddedToken& token : added_.tokens()) {
    Entry& entry = entries_[token.id];
    entry = {true, token.special, token.content, "", decoder_.InnerBytes(token.normalized_content)};
    if (token.normalized_content != token.content) entry.decoded = token.normalized_content;
  }
  mask_id_ = FindPiece("[MASK]");
  if (!mask_id_.has_value()) mask_id_ = FindPiece("<mask>");
}

// A top-level part that may be null or absent.
template <typename ParseFunction>
auto ParsePart(const JsonValue& json, absl::string_view key, const JsonValue& null_value,
               ParseFunction parse) -> decltype(parse(json)) {
  const std::optional<JsonValue> part = json.Find(key);
  return parse(part.has_value() ? *part : null_value);
}

absl::Status CheckVersion(const JsonValue& json) {
  const std::optional<JsonValue> version = json.Find("version");
  if (!version.has_value()) return absl::OkStatus();
  HEED_ASSIGN_OR_RETURN(const absl::string_view text, version->String());
  return text == "1.0"
             ? absl::OkStatus()
             : version->Unsupported(absl::StrCat("heed reads version \"1.0\", not \"", text, "\""));
}

absl::StatusOr<std::unique_ptr<Tokenizer>> JsonTokenizer::Build(const JsonValue& json,
                                                                std::unique_ptr<TokenModel> model) {
  HEED_RETURN_IF_ERROR(CheckVersion(json));
  HEED_ASSIGN_OR_RETURN(const JsonDocument null_document,
                        JsonDocument::Parse("tokenizer.json", "null"));
  const JsonValue absent = null_document.root();
  auto tokenizer = std::make_unique<JsonTokenizer>();
  tokenizer->model_ = std::move(model);
  HEED_ASSIGN_OR_RETURN(tokenizer->normalizers_,
                        ParsePart(json, "normalizer", absent, ParseNormalizers));
  const std::optional<JsonValue> added = json.Find("added_tokens");
  if (added.has_value()) {
    HEED_ASSIGN_OR_RETURN(tokenizer->added_, AddedTokens::Parse(*added, tokenizer->model_->pieces(),
                                                                tokenizer->normalizers_));
  }
  HEED_ASSIGN_OR_RETURN(tokenizer->pre_tokenizers_,
                        ParsePart(json, "pre_tokenizer", absent, ParsePreTokenizers));
  tokenizer->LeaveSpellingToModel();
  HEED_ASSIGN_OR_RETURN(tokenizer->decoder_, ParsePart(json, "decoder", absent, ParseDecoder));
  tokenizer->kind_ = absl::StrCat(tokenizer->decoder_.byte_level() ? "byte-level " : "",
                                  tokenizer->model_->name());
  tokenizer->FillEntries();
  HEED_ASSIGN_OR_RETURN(tokenizer->post_processor_,
                        ParsePart(json, "post_processor", absent, [&](const JsonValue& part) {
                          return ParsePostProcessor(
                              part, [&](TokenId id) { return tokenizer->Contains(id); });
                        }));
  return tokenizer;
}

}  // namespace

absl::StatusOr<std::unique_ptr<Tokenizer>> ParseTokenizerJson(absl::string_view json) {
  HEED_ASSIGN_OR_RETURN(const JsonDocument document, JsonDocument::Parse("tokenizer.json", json));
  HEED_ASSIGN_OR_RETURN(const JsonValue model_json, document.root().Get("model"));
  HEED_ASSIGN_OR_RETURN(std::unique_ptr<TokenModel> model, ParseTokenModel(model_json));
  return JsonTokenizer::Build(document.root(), std::move(model));
}

absl::StatusOr<std::unique_ptr<Tokenizer>> BuildTokenizer(absl::string_view source,
                                                          absl::string_view json,
                                                          std::unique_ptr<TokenModel> model) {
  HEED_ASSIGN_OR_RETURN(const JsonDocument document, JsonDocument::Parse(source, json));
  return JsonTokenizer::Build(document.root(), std::move(model));
}

}  // namespace heed
