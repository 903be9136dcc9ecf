#include "server/convert/prompt.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "model/base/error.h"
#include "model/base/status_macros.h"
#include "model/base/utf8.h"
#include "server/convert/model.h"

namespace heed {
namespace {

// The tokens a tokenizer puts around a text.
struct Frame {
  int64_t leading = 0;
  int64_t trailing = 0;
};

// Added tokens cover no bytes, and control tokens spelled out in the text do.
Frame FindFrame(const TokenizedText& text) {
  const auto covers_text = [](const ByteRange& range) { return range.begin != range.end; };
  const int64_t n = static_cast<int64_t>(text.offsets.size());
  Frame frame;
  while (frame.leading < n && !covers_text(text.offsets[frame.leading])) ++frame.leading;
  while (frame.trailing < n - frame.leading && !covers_text(text.offsets[n - 1 - frame.trailing])) {
    ++frame.trailing;
  }
  return frame;
}

absl::StatusOr<TokenizedText> EncodeText(const v1::Prompt& prompt, const Tokenizer& tokenizer) {
  EncodeOptions options;
  if (prompt.has_add_special_tokens()) options.add_special_tokens = prompt.add_special_tokens();
  if (prompt.has_parse_special_tokens()) {
    options.parse_special_tokens = prompt.parse_special_tokens();
  }
  return tokenizer.Encode(prompt.text(), options);
}

// `given` between the tokens that the tokenizer puts around a text.
absl::StatusOr<TokenizedText> AddFrame(const std::vector<TokenId>& given,
                                       const Tokenizer& tokenizer, Frame* frame) {
  HEED_ASSIGN_OR_RETURN(TokenizedText framed, tokenizer.Encode("a", EncodeOptions{}));
  *frame = FindFrame(framed);
  std::vector<TokenId>& ids = framed.ids;
  ids.erase(ids.begin() + frame->leading, ids.end() - frame->trailing);
  ids.insert(ids.begin() + frame->leading, given.begin(), given.end());
  framed.offsets.assign(ids.size(), ByteRange{});
  return framed;
}

absl::StatusOr<TokenizedText> ReadPrompt(const v1::Prompt& prompt, const ServedModel& model,
                                         Frame* frame) {
  if (prompt.input_case() == v1::Prompt::kText) {
    HEED_ASSIGN_OR_RETURN(const Tokenizer* tokenizer, RequireTokenizer(model));
    HEED_ASSIGN_OR_RETURN(TokenizedText text, EncodeText(prompt, *tokenizer));
    *frame = FindFrame(text);
    return text;
  }
  const std::vector<TokenId> given(prompt.tokens().ids().begin(), prompt.tokens().ids().end());
  if (!prompt.add_special_tokens()) {
    return TokenizedText{given, std::vector<ByteRange>(given.size())};
  }
  HEED_ASSIGN_OR_RETURN(const Tokenizer* tokenizer, RequireTokenizer(model));
  return AddFrame(given, *tokenizer, frame);
}

// How the sentence goes on after "the prompt has 1311 tokens".
std::string WindowText(const ServedModel& model, int64_t room) {
  const int64_t window = model.model->config().context_window;
  std::string text = absl::StrCat(model.name, " takes ", window);
  if (room == 1) absl::StrAppend(&text, " with the generated token");
  if (room > 1) absl::StrAppend(&text, " with the ", room, " tokens to generate");
  return text;
}

absl::Status WindowExceeded(const ServedModel& model, absl::string_view field, int64_t n_tokens,
                            int64_t room) {
  const bool only_one = field == "prompt";
  return MakeError(absl::StatusCode::kFailedPrecondition, "CONTEXT_WINDOW_EXCEEDED",
                   absl::StrCat("context window exceeded: ", only_one ? "the prompt" : field,
                                " has ", n_tokens, " tokens, ", WindowText(model, room)),
                   {{"prompt", std::string(field)},
                    {"prompt_tokens", absl::StrCat(n_tokens)},
                    {"context_window", absl::StrCat(model.model->config().context_window)}});
}

template <typename T>
void EraseRange(std::vector<T>& list, int64_t begin, int64_t count) {
  list.erase(list.begin() + begin, list.begin() + begin + count);
}

// Drops tokens of the text between the frame's, so that `limit` are left.
void Truncate(v1::Truncation side, const Frame& frame, int64_t limit, ResolvedPrompt* prompt) {
  prompt->dropped = prompt->size() - limit;
  prompt->truncation = side;
  const int64_t begin = side == v1::TRUNCATION_LEFT
                            ? frame.leading
                            : prompt->size() - frame.trailing - prompt->dropped;
  EraseRange(prompt->ids, begin, prompt->dropped);
  EraseRange(prompt->offsets, begin, prompt->dropped);
}

}  // namespace

void CheckIds(absl::string_view field, const google::protobuf::RepeatedField<int32_t>& ids,
              int64_t vocab_size, int64_t max_count, Violations* violations) {
  if (!CheckCount(field, ids.size(), max_count, violations)) return;
  for (int i = 0; i < ids.size(); ++i) {
    if (ids[i] >= 0 && ids[i] < vocab_size) continue;
    violations->AddElement(field, i, [&] {
      return absl::StrCat("is ", ids[i], "; the vocabulary is [0, ", vocab_size, ")");
    });
  }
}

void CheckText(absl::string_view field, absl::string_view text, int64_t max_bytes,
               Violations* violations) {
  if (static_cast<int64_t>(text.size()) > max_bytes) {
    violations->Add(field, absl::StrCat("has ", text.size(), " bytes; at most ", max_bytes));
  } else if (!IsValidUtf8(text)) {
    violations->Add(field, "is not well-formed UTF-8");
  }
}

absl::StatusOr<const Tokenizer*> RequireTokenizer(const ServedModel& model) {
  if (model.tokenizer != nullptr) return model.tokenizer.get();
  return MakeError(absl::StatusCode::kFailedPrecondition, "NO_TOKENIZER",
                   absl::StrCat("model \"", model.name,
                                "\" has no tokenizer, so it reads no text; give token ids"),
                   {{"model", model.name}});
}

void CheckPrompt(const v1::Prompt& prompt, const ServedModel& model, const RequestLimits& limits,
                 Violations* violations, absl::string_view field) {
  switch (prompt.input_case()) {
    case v1::Prompt::kText:
      CheckText(absl::StrCat(field, ".text"), prompt.text(), limits.max_prompt_bytes, violations);
      break;
    case v1::Prompt::kTokens:
      CheckIds(absl::StrCat(field, ".tokens.ids"), prompt.tokens().ids(),
               model.model->config().vocab_size, limits.max_prompt_bytes, violations);
      break;
    case v1::Prompt::INPUT_NOT_SET:
      violations->Add(field,
                      absl::StrCat("is missing; give ", field, ".text or ", field, ".tokens"));
      break;
  }
  if (!v1::Truncation_IsValid(prompt.truncation())) {
    violations->Add(absl::StrCat(field, ".truncation"),
                    absl::StrCat("is ", static_cast<int>(prompt.truncation()),
                                 "; must be a value of heed.v1.Truncation"));
  }
}

absl::StatusOr<ResolvedPrompt> ResolvePrompt(const v1::Prompt& prompt, const ServedModel& model,
                                             int64_t room, absl::string_view field) {
  const absl::Time start = absl::Now();
  Frame frame;
  HEED_ASSIGN_OR_RETURN(TokenizedText text, ReadPrompt(prompt, model, &frame));
  ResolvedPrompt resolved;
  resolved.ids = std::move(text.ids);
  resolved.offsets = std::move(text.offsets);
  resolved.tokenize_time = absl::Now() - start;
  if (resolved.ids.empty()) {
    return InvalidFields({{absl::StrCat(field, prompt.has_text() ? ".text" : ".tokens.ids"),
                           "holds no token; give at least one"}});
  }
  const int64_t limit = model.model->config().context_window - room;
  if (resolved.size() <= limit) return resolved;
  const bool cut =
      prompt.truncation() == v1::TRUNCATION_LEFT || prompt.truncation() == v1::TRUNCATION_RIGHT;
  // At least one token of the text itself must be left.
  if (!cut || limit <= frame.leading + frame.trailing) {
    return WindowExceeded(model, field, resolved.size(), room);
  }
  Truncate(prompt.truncation(), frame, limit, &resolved);
  return resolved;
}

void FillPromptInfo(const ResolvedPrompt& prompt, const ServedModel& model, v1::PromptInfo* out) {
  for (size_t i = 0; i < prompt.ids.size(); ++i) {
    FillToken(model.tokenizer.get(), prompt.ids[i], prompt.offsets[i], out->add_tokens());
  }
  out->set_dropped_token_count(prompt.dropped);
  out->set_truncation(prompt.truncation);
}

}  // namespace heed
