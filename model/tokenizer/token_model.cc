#include "model/tokenizer/token_model.h"

#include <optional>
#include <string>

#include "absl/strings/str_cat.h"
#include "model/base/status_macros.h"
#include "model/tokenizer/bpe.h"

namespace heed {
namespace {

// Old files do not say their model's type.
absl::StatusOr<std::string> ModelType(const JsonNode& json) {
  HEED_ASSIGN_OR_RETURN(std::string type, json.StringOr("type", ""));
  if (!type.empty()) return type;
  HEED_ASSIGN_OR_RETURN(const std::optional<JsonNode> merges, json.Find("merges"));
  if (merges.has_value()) return "BPE";
  HEED_ASSIGN_OR_RETURN(const JsonNode vocab, json.Get("vocab"));
  if (vocab.type() == JsonType::kArray) return "Unigram";
  HEED_ASSIGN_OR_RETURN(const std::optional<JsonNode> prefix,
                        json.Find("continuing_subword_prefix"));
  return prefix.has_value() ? "WordPiece" : "WordLevel";
}

}  // namespace

absl::StatusOr<std::unique_ptr<TokenModel>> ParseTokenModel(const JsonNode& json) {
  HEED_ASSIGN_OR_RETURN(const std::string type, ModelType(json));
  if (type == "BPE") return BpeModel::Parse(json);
  return json.Unsupported(absl::StrCat("heed has no tokenizer model \"", type, "\""));
}

}  // namespace heed
