#include "model/tokenizer/token_model.h"

#include <optional>
#include <string>

#include "absl/strings/str_cat.h"
#include "model/base/status_macros.h"
#include "model/tokenizer/bpe.h"
#include "model/tokenizer/unigram.h"
#include "model/tokenizer/word_models.h"

namespace heed {
namespace {

// Old files do not say their model's type.
absl::StatusOr<std::string> ModelType(const JsonValue& json) {
  HEED_ASSIGN_OR_RETURN(std::string type, json.StringOr("type", ""));
  if (!type.empty()) return type;
  const std::optional<JsonValue> merges = json.Find("merges");
  if (merges.has_value()) return "BPE";
  HEED_ASSIGN_OR_RETURN(const JsonValue vocab, json.Get("vocab"));
  if (vocab.IsArray()) return "Unigram";
  const std::optional<JsonValue> prefix = json.Find("continuing_subword_prefix");
  return prefix.has_value() ? "WordPiece" : "WordLevel";
}

}  // namespace

absl::StatusOr<std::unique_ptr<TokenModel>> ParseTokenModel(const JsonValue& json) {
  HEED_ASSIGN_OR_RETURN(const std::string type, ModelType(json));
  if (type == "BPE") return BpeModel::Parse(json);
  if (type == "WordPiece") return WordPieceModel::Parse(json);
  if (type == "WordLevel") return WordLevelModel::Parse(json);
  if (type == "Unigram") return UnigramModel::Parse(json);
  return json.Unsupported(absl::StrCat("heed has no tokenizer model \"", type, "\""));
}

}  // namespace heed
