#include "client/cli/request/run_source.h"

#include <algorithm>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "absl/types/span.h"
#include "client/cli/base/mask.h"
#include "client/cli/base/token_text.h"
#include "client/cli/request/candidates.h"
#include "client/cli/request/estimate.h"
#include "client/cli/request/inspect_calls.h"
#include "client/cli/request/prompt.h"

namespace heed::cli {
namespace {

v1::Span SpanAt(int64_t position) {
  v1::Span span;
  span.set_begin(position);
  if (position != -1) span.set_end(position + 1);
  return span;
}

// "cabinet,-1" as its parts; a comma alone is a word.
std::vector<std::string> WordsOf(const std::string& text) {
  if (text == ",") return {text};
  return absl::StrSplit(text, ',', absl::SkipEmpty());
}

// The first of many, and how many more there are.
std::string ListWords(const std::vector<std::string>& words) {
  constexpr size_t kShown = 32;
  const auto shown = absl::MakeConstSpan(words).subspan(0, kShown);
  std::string list = absl::StrJoin(shown, " ");
  if (shown.size() < words.size()) {
    absl::StrAppend(&list, " … and ", words.size() - shown.size(), " more");
  }
  return list;
}

}  // namespace

std::vector<OptionSpec> RunOptions() {
  std::vector<OptionSpec> options = {
      {"trace", "ID", "Read this trace in place of a PROMPT; heed traces opens one."},
      EstimateOption()};
  for (OptionSpec& option : PromptOptions()) options.push_back(option);
  return options;
}

absl::StatusOr<RunSource> RunSource::Read(const Arguments& arguments, Session& session,
                                          const std::string& trace_option) {
  if (!arguments.Has(trace_option)) {
    auto prompt = ReadWirePrompt(arguments, session);
    if (!prompt.ok()) return prompt.status();
    RunSource source(session);
    source.model_ = session.model();
    source.prompt_ = *std::move(prompt);
    return source;
  }
  if (!arguments.positionals().empty() || arguments.Has("ids")) {
    return UsageError(absl::StrCat("both a prompt and --", trace_option,
                                   " are given; a trace has its own prompt. Give one of them."));
  }
  if (arguments.String(trace_option).empty()) {
    return UsageError(absl::StrCat("--", trace_option, " is empty; heed traces open gives an id."));
  }
  if (!session.model().empty()) {
    return UsageError("both --model and --trace are given; a trace has its own model.");
  }
  return OfTrace(arguments.String(trace_option), session);
}

absl::StatusOr<RunSource> RunSource::OfText(const std::string& text, const std::string& model,
                                            const Arguments& arguments, Session& session) {
  auto prompt = WirePromptOf(text, arguments, session);
  if (!prompt.ok()) return prompt.status();
  RunSource source(session);
  source.model_ = model;
  source.prompt_ = *std::move(prompt);
  return source;
}

RunSource RunSource::OfPrompt(const v1::Prompt& prompt, const std::string& model,
                              Session& session) {
  RunSource source(session);
  source.model_ = model;
  source.prompt_ = prompt;
  return source;
}

RunSource RunSource::OfTrace(const std::string& trace_id, Session& session) {
  RunSource source(session);
  source.trace_id_ = trace_id;
  return source;
}

absl::StatusOr<std::vector<v1::Span>> RunSource::Find(absl::string_view word) {
  int64_t position = 0;
  if (word == "*") return std::vector<v1::Span>(1);
  if (absl::SimpleAtoi(word, &position)) return std::vector<v1::Span>{SpanAt(position)};
  if (absl::Status status = Load(); !status.ok()) return status;
  std::vector<v1::Span> found;
  for (size_t i = 0; i < words_.size(); ++i) {
    if (absl::StripAsciiWhitespace(words_[i]) == word) {
      found.push_back(SpanAt(static_cast<int64_t>(i)));
    }
  }
  if (!found.empty()) return found;
  return UsageError(absl::StrCat(
      "\"", word, "\" is no token of the prompt.\nIts tokens are: ", ListWords(visible_words_),
      "\nA position, such as 3 or -1, names a token too."));
}

absl::Status RunSource::ReadPositions(const Arguments& arguments, const std::string& option,
                                      google::protobuf::RepeatedField<int64_t>* out) {
  google::protobuf::RepeatedPtrField<v1::Span> spans;
  if (absl::Status status = ReadSpans(arguments, option, &spans); !status.ok()) return status;
  for (const v1::Span& span : spans) out->Add(span.begin());
  return absl::OkStatus();
}

absl::StatusOr<int64_t> RunSource::ReadPosition(const Arguments& arguments,
                                                const std::string& option) {
  google::protobuf::RepeatedField<int64_t> positions;
  if (absl::Status s = ReadPositions(arguments, option, &positions); !s.ok()) return s;
  if (positions.size() > 1) {
    return UsageError(absl::StrCat("--", option, " names several places; give one."));
  }
  if (positions.empty()) return PredictedPosition();
  return positions[0];
}

absl::Status RunSource::ReadSpans(const Arguments& arguments, const std::string& option,
                                  google::protobuf::RepeatedPtrField<v1::Span>* out) {
  for (const std::string& text : arguments.Strings(option)) {
    const std::vector<std::string> words = WordsOf(text);
    if (words.empty()) {
      return UsageError(absl::StrCat(
          "--", option, " is empty; expected positions or words, such as 1,2 or keys."));
    }
    for (const std::string& word : words) {
      if (word == "*") continue;
      auto spans = Find(word);
      if (!spans.ok()) return spans.status();
      for (v1::Span& span : *spans) *out->Add() = std::move(span);
    }
  }
  return absl::OkStatus();
}

absl::StatusOr<v1::TokenChoice> RunSource::Choice(const std::string& text) {
  v1::TokenChoice choice;
  int32_t id = 0;
  const bool has_space = absl::StripAsciiWhitespace(text) != text;  // " 5" is a word
  if (!has_space && absl::SimpleAtoi(text, &id)) {
    choice.set_id(id);
    return choice;
  }
  if (is_trace()) {
    if (absl::Status status = Load(); !status.ok()) return status;
  }
  const auto client = session_->client();
  if (!client.ok()) return client.status();
  PredictRequest request{.model = model_, .text = is_trace() ? text_ : prompt_.text()};
  request.candidate_texts = {text};
  const auto note = PreferWords(request, **client, session_->call_options());
  if (!note.ok()) return note.status();
  choice.set_text(request.candidate_texts.front());
  return choice;
}

absl::Status RunSource::ReadChoices(const Arguments& arguments, const std::string& option,
                                    google::protobuf::RepeatedPtrField<v1::TokenChoice>* out) {
  for (const std::string& text : arguments.Strings(option)) {
    auto choice = Choice(text);
    if (!choice.ok()) return choice.status();
    *out->Add() = *std::move(choice);
  }
  return absl::OkStatus();
}

absl::StatusOr<int64_t> RunSource::TokenCount() {
  if (absl::Status status = LoadIds(); !status.ok()) return status;
  const auto count = static_cast<int64_t>(ids_.size());
  if (prompt_.truncation() == v1::TRUNCATION_UNSPECIFIED) return count;
  const auto client = session_->client();
  if (!client.ok()) return client.status();
  const auto model = (*client)->GetModel(model_, session_->call_options());
  if (!model.ok()) return model.status();
  return std::min(count, model->context_window);
}

absl::StatusOr<int64_t> RunSource::PredictedPosition() {
  if (is_trace()) {
    if (absl::Status status = LoadTrace(); !status.ok()) return status;
  }
  const auto client = session_->client();
  if (!client.ok()) return client.status();
  const auto model = (*client)->GetModel(model_, session_->call_options());
  if (!model.ok()) return model.status();
  if (MaskText(*model).empty() || !model->tokenizer.mask_id) return -1;
  if (absl::Status status = LoadIds(); !status.ok()) return status;
  const auto mask = std::find(ids_.begin(), ids_.end(), *model->tokenizer.mask_id);
  if (mask == ids_.end()) return -1;
  // What is cut off on the left leaves the distance from the end as it is.
  return prompt_.truncation() == v1::TRUNCATION_LEFT ? mask - ids_.end() : mask - ids_.begin();
}

absl::Status RunSource::LoadIds() {
  if (is_trace() || prompt_.has_text()) return Load();
  ids_.assign(prompt_.tokens().ids().begin(), prompt_.tokens().ids().end());
  return absl::OkStatus();
}

absl::Status RunSource::Load() {
  if (!words_.empty()) return absl::OkStatus();
  return is_trace() ? LoadTrace() : LoadPrompt();
}

// No call asks for a trace's tokens alone; one attention row comes with them.
absl::Status RunSource::LoadTrace() {
  if (!words_.empty()) return absl::OkStatus();
  v1::ExplainRowRequest request;
  request.set_trace_id(trace_id_);
  request.set_query(-1);
  const auto row = Ask(&Inspector::ExplainRow, request, *session_);
  if (!row.ok()) return row.status();
  model_ = row->provenance().model().name();
  for (const v1::Token& token : row->prompt().tokens()) {
    words_.push_back(token.text());
    ids_.push_back(token.id());
    visible_words_.push_back(VisibleWireToken(token));
    if (!token.special()) text_ += token.text();
  }
  return absl::OkStatus();
}

absl::Status RunSource::LoadPrompt() {
  if (!prompt_.has_text()) {
    return UsageError("a prompt of ids has no words to name.\nName positions, such as 3 or -1.");
  }
  auto client = session_->client();
  if (!client.ok()) return client.status();
  TokenizeRequest request{.model = model_, .text = prompt_.text()};
  if (prompt_.has_add_special_tokens()) request.add_special_tokens = prompt_.add_special_tokens();
  if (prompt_.has_parse_special_tokens()) {
    request.parse_special_tokens = prompt_.parse_special_tokens();
  }
  auto tokens = (*client)->Tokenize(request, session_->call_options());
  if (!tokens.ok()) return tokens.status();
  for (const Token& token : tokens->tokens) {
    words_.push_back(token.text);
    ids_.push_back(token.id);
  }
  visible_words_ = VisibleTokens(tokens->tokens);
  return absl::OkStatus();
}

}  // namespace heed::cli
