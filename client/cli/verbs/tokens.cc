// heed tokenize, heed detokenize: how a model reads text.
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "client/cli/base/format.h"
#include "client/cli/base/json_parts.h"
#include "client/cli/base/table.h"
#include "client/cli/base/token_text.h"
#include "client/cli/request/prompt.h"
#include "client/cli/verbs/verbs.h"

namespace heed::cli {
namespace {

void PrintTokens(const std::vector<Token>& tokens, Session& session) {
  Table table({{"position", Align::kRight},
               {"id", Align::kRight},
               {"token"},
               {"piece", Align::kLeft, 1},
               {"bytes", Align::kRight}});
  for (size_t i = 0; i < tokens.size(); ++i) {
    const Token& token = tokens[i];
    const std::string range = token.byte_begin == token.byte_end
                                  ? "added"
                                  : absl::StrCat(token.byte_begin, "-", token.byte_end);
    table.AddRow({absl::StrCat(i), absl::StrCat(token.id), VisibleToken(token),
                  SafeText(token.piece), range});
  }
  session.out() << table.Render(session.terminal());
}

absl::Status RunTokenize(const Arguments& arguments, Session& session) {
  auto text = ReadText(arguments.positionals().front(), session);
  if (!text.ok()) return text.status();
  TokenizeRequest request{.model = session.model(), .text = *std::move(text)};
  if (arguments.Has("no-special")) request.add_special_tokens = false;
  if (arguments.Has("literal")) request.parse_special_tokens = false;
  auto client = session.client();
  if (!client.ok()) return client.status();
  const auto result = (*client)->Tokenize(request, session.call_options());
  if (!result.ok()) return result.status();
  if (session.json()) {
    JsonWriter json(session.out());
    json.BeginObject().Key("model");
    WriteIdentity(json, result->model);
    json.Key("tokens");
    WriteTokens(json, result->tokens);
    json.Key("timings_ms");
    WriteTimings(json, result->timings);
    json.EndObject();
    json.EndLine();
    return absl::OkStatus();
  }
  PrintTokens(result->tokens, session);
  return absl::OkStatus();
}

void WriteDetokenized(const DetokenizeResult& result, Session& session) {
  JsonWriter json(session.out());
  json.BeginObject().Key("model");
  WriteIdentity(json, result.model);
  json.Key("text").String(result.text);
  json.Key("tokens");
  WriteTokens(json, result.tokens);
  json.Key("timings_ms");
  WriteTimings(json, result.timings);
  json.EndObject();
  json.EndLine();
}

absl::Status RunDetokenize(const Arguments& arguments, Session& session) {
  auto text = ReadText(arguments.positionals().front(), session);
  if (!text.ok()) return text.status();
  auto ids = ParseInts(*text, "IDS");
  if (!ids.ok()) return ids.status();
  auto client = session.client();
  if (!client.ok()) return client.status();
  const auto result = (*client)->Detokenize({.model = session.model(),
                                             .ids = *std::move(ids),
                                             .skip_special_tokens = arguments.Has("skip-special")},
                                            session.call_options());
  if (!result.ok()) return result.status();
  if (session.json()) {
    WriteDetokenized(*result, session);
  } else if (session.terminal().is_terminal) {
    session.out() << SafeText(result->text) << "\n";
  } else {
    session.out() << result->bytes << "\n";
  }
  return absl::OkStatus();
}

}  // namespace

Verb TokenizeVerb() {
  return {.name = "tokenize",
          .operands = "TEXT",
          .min_operands = 1,
          .max_operands = 1,
          .summary = "Show the tokens of a text, as the model reads it.",
          .description =
              "TEXT is the text, or - for standard input. `bytes` is the range of the "
              "text that a token covers; tokens that the tokenizer added cover none.",
          .example = "heed tokenize \"the keys to the cabinet\"",
          .options = ReadingOptions(),
          .run = RunTokenize};
}

Verb DetokenizeVerb() {
  return {.name = "detokenize",
          .operands = "IDS",
          .min_operands = 1,
          .max_operands = 1,
          .summary = "Show the text of token ids.",
          .description =
              "IDS are whole numbers separated by commas or spaces, or - for standard "
              "input. Written to a file or a pipe, the bytes come exactly as they are.",
          .example = "heed detokenize 1,2,3",
          .options = {{"skip-special", "", "Leave control tokens out of the text."}},
          .run = RunDetokenize};
}

}  // namespace heed::cli
