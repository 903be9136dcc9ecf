#include "model/tokenizer/post_processor.h"

#include <limits>
#include <optional>

#include "absl/strings/str_cat.h"
#include "model/base/status_macros.h"

namespace heed {
namespace {

class Parser {
 public:
  explicit Parser(absl::FunctionRef<bool(TokenId)> is_token) : is_token_(is_token) {}

  absl::Status Parse(const JsonValue& json) {
    HEED_ASSIGN_OR_RETURN(const absl::string_view type, json.StringAt("type"));
    if (type == "Sequence") return ParseSequence(json);
    if (type == "ByteLevel") return ParseTrim(json);
    if (type == "TemplateProcessing") return ParseTemplate(json);
    if (type == "BertProcessing") return ParsePair(json);
    if (type == "RobertaProcessing") {
      HEED_RETURN_IF_ERROR(ParseTrim(json));
      return ParsePair(json);
    }
    return json.Unsupported(absl::StrCat("heed has no post-processor \"", type, "\""));
  }

  PostProcessor Take() { return std::move(result_); }

 private:
  absl::Status ParseSequence(const JsonValue& json) {
    HEED_ASSIGN_OR_RETURN(const JsonValue steps, json.Get("processors"));
    return steps.ForEachElement([this](int64_t, const JsonValue& step) { return Parse(step); });
  }

  absl::Status ParseTrim(const JsonValue& json) {
    HEED_ASSIGN_OR_RETURN(const bool trim, json.BoolAt("trim_offsets"));
    HEED_ASSIGN_OR_RETURN(const bool add_prefix_space, json.BoolAt("add_prefix_space"));
    if (trim) result_.trims.push_back({add_prefix_space});
    return absl::OkStatus();
  }

  absl::Status BeginTemplate(const JsonValue& json) {
    if (has_template_)
      return json.Unsupported("heed has no second post-processor that adds tokens");
    has_template_ = true;
    return absl::OkStatus();
  }

  // "cls" before the text and "sep" after it, each ["[CLS]", 101].
  absl::Status ParsePair(const JsonValue& json) {
    HEED_RETURN_IF_ERROR(BeginTemplate(json));
    HEED_ASSIGN_OR_RETURN(const JsonValue cls, json.Get("cls"));
    HEED_RETURN_IF_ERROR(ParseNamedToken(cls, &result_.before));
    HEED_ASSIGN_OR_RETURN(const JsonValue sep, json.Get("sep"));
    return ParseNamedToken(sep, &result_.after);
  }

  absl::Status ParseNamedToken(const JsonValue& json, std::vector<TokenId>* ids) {
    int64_t count = 0;
    HEED_RETURN_IF_ERROR(json.ForEachElement([&](int64_t index, const JsonValue& part) {
      ++count;
      return index == 0 ? part.String().status() : ParseId(part, ids);
    }));
    return count == 2 ? absl::OkStatus() : json.Error("expected a piece and its id");
  }

  absl::Status ParseId(const JsonValue& json, std::vector<TokenId>* ids) {
    HEED_ASSIGN_OR_RETURN(const int64_t id, json.Int(0, std::numeric_limits<TokenId>::max()));
    if (!is_token_(static_cast<TokenId>(id))) {
      return json.Error(absl::StrCat("is ", id, ", which is no token of this vocabulary"));
    }
    ids->push_back(static_cast<TokenId>(id));
    return absl::OkStatus();
  }

  absl::Status ParseTemplate(const JsonValue& json) {
    HEED_RETURN_IF_ERROR(BeginTemplate(json));
    HEED_ASSIGN_OR_RETURN(const JsonValue special_tokens, json.Get("special_tokens"));
    HEED_ASSIGN_OR_RETURN(const JsonValue single, json.Get("single"));
    bool has_text = false;
    HEED_RETURN_IF_ERROR(single.ForEachElement([&](int64_t, const JsonValue& piece) {
      return ParseTemplatePiece(piece, special_tokens, &has_text);
    }));
    return has_text ? absl::OkStatus() : single.Error("has no place for the text (the sequence A)");
  }

  absl::Status ParseTemplatePiece(const JsonValue& json, const JsonValue& special_tokens,
                                  bool* has_text) {
    const std::optional<JsonValue> sequence = json.Find("Sequence");
    if (sequence.has_value()) {
      HEED_ASSIGN_OR_RETURN(const absl::string_view id, sequence->StringAt("id"));
      if (id != "A")
        return sequence->Error(absl::StrCat("has the id \"", id, "\"; expected \"A\""));
      if (*has_text) return sequence->Unsupported("heed has no template with the text twice");
      *has_text = true;
      return absl::OkStatus();
    }
    const std::optional<JsonValue> special = json.Find("SpecialToken");
    if (!special.has_value()) return json.Error("has neither \"Sequence\" nor \"SpecialToken\"");
    HEED_ASSIGN_OR_RETURN(const absl::string_view name, special->StringAt("id"));
    HEED_ASSIGN_OR_RETURN(const JsonValue token, special_tokens.Get(name));
    HEED_ASSIGN_OR_RETURN(const JsonValue ids, token.Get("ids"));
    std::vector<TokenId>* const side = *has_text ? &result_.after : &result_.before;
    return ids.ForEachElement([&](int64_t, const JsonValue& id) { return ParseId(id, side); });
  }

  absl::FunctionRef<bool(TokenId)> is_token_;
  PostProcessor result_;
  bool has_template_ = false;
};

}  // namespace

absl::StatusOr<PostProcessor> ParsePostProcessor(const JsonValue& json,
                                                 absl::FunctionRef<bool(TokenId)> is_token) {
  Parser parser(is_token);
  if (!json.IsNull()) HEED_RETURN_IF_ERROR(parser.Parse(json));
  return parser.Take();
}

}  // namespace heed
