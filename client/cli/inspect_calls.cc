#include "client/cli/inspect_calls.h"

#include <cstring>

#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "client/cli/candidates.h"
#include "client/cli/format.h"
#include "client/cli/prompt.h"
#include "client/cli/token_text.h"
#include "client/cli/wire_json.h"
#include "client/convert.h"

namespace heed::cli {
namespace {

absl::StatusOr<v1::Prompt> ToWirePrompt(const PromptInput& input) {
  PredictRequest request;
  input.ApplyTo(request);
  const auto wire = ToWire(request);
  if (!wire.ok()) return wire.status();
  return wire->prompt();
}

// Finds words of the prompt by what they say.
class WordFinder {
 public:
  WordFinder(const v1::Prompt& prompt, Session& session) : prompt_(prompt), session_(session) {}

  // Positions of `word`: a number is a position, "*" all, and anything else every token that reads
  // so but for spaces around it.
  absl::StatusOr<std::vector<v1::Span>> Find(absl::string_view word) {
    int64_t position = 0;
    if (word == "*") return std::vector<v1::Span>(1);
    if (absl::SimpleAtoi(word, &position)) return std::vector<v1::Span>{At(position)};
    if (absl::Status status = Load(); !status.ok()) return status;
    std::vector<v1::Span> found;
    for (size_t i = 0; i < tokens_.size(); ++i) {
      if (absl::StripAsciiWhitespace(tokens_[i].text) == word) {
        found.push_back(At(static_cast<int64_t>(i)));
      }
    }
    if (!found.empty()) return found;
    std::vector<std::string> words;
    for (const Token& token : tokens_) words.push_back(VisibleToken(token));
    return UsageError(absl::StrCat(
        "\"", word, "\" is no token of the prompt.\nIts tokens are: ", absl::StrJoin(words, " "),
        "\nA position, such as 3 or -1, names a token too."));
  }

 private:
  static v1::Span At(int64_t position) {
    v1::Span span;
    span.set_begin(position);
    if (position != -1) span.set_end(position + 1);
    return span;
  }

  absl::Status Load() {
    if (!tokens_.empty()) return absl::OkStatus();
    auto client = session_.client();
    if (!client.ok()) return client.status();
    if (!prompt_.has_text()) {
      return UsageError("a prompt of ids has no words to name.\nName positions: --cut=\"3->1\".");
    }
    TokenizeRequest request{.model = session_.model(), .text = prompt_.text()};
    if (prompt_.has_add_special_tokens()) {
      request.add_special_tokens = prompt_.add_special_tokens();
    }
    if (prompt_.has_parse_special_tokens()) {
      request.parse_special_tokens = prompt_.parse_special_tokens();
    }
    auto tokens = (*client)->Tokenize(request, session_.call_options());
    if (!tokens.ok()) return tokens.status();
    tokens_ = std::move(tokens->tokens);
    return absl::OkStatus();
  }

  const v1::Prompt& prompt_;
  Session& session_;
  std::vector<Token> tokens_;
};

void AddSpans(const std::vector<v1::Span>& spans,
              google::protobuf::RepeatedPtrField<v1::Span>* out) {
  for (const v1::Span& span : spans) {
    if (span.has_begin()) *out->Add() = span;
  }
}

// "cabinet->keys".
absl::StatusOr<v1::Intervention> ReadCut(const std::string& text, WordFinder& finder) {
  const std::vector<std::string> ends = absl::StrSplit(text, absl::MaxSplits("->", 1));
  if (ends.size() != 2 || ends[0].empty() || ends[1].empty()) {
    return UsageError(absl::StrCat("--cut=\"", text,
                                   "\" is no edge.\nFor example: --cut=\"cabinet->keys\", or "
                                   "--cut=\"-1->2\" by positions."));
  }
  const auto queries = finder.Find(ends[0]);
  if (!queries.ok()) return queries.status();
  const auto keys = finder.Find(ends[1]);
  if (!keys.ok()) return keys.status();
  v1::Intervention edit;
  edit.mutable_knock_out();
  AddSpans(*queries, edit.mutable_positions());
  AddSpans(*keys, edit.mutable_keys());
  return edit;
}

// "2.3": layer and head; "2": a whole layer's.
absl::StatusOr<v1::Intervention> ReadAblate(const std::string& option, const std::string& text) {
  const std::vector<std::string> parts = absl::StrSplit(text, '.');
  int32_t layer = 0;
  int32_t head = 0;
  const bool reads = !parts.empty() && parts.size() <= 2 && absl::SimpleAtoi(parts[0], &layer) &&
                     (parts.size() == 1 || absl::SimpleAtoi(parts[1], &head));
  if (!reads) {
    return UsageError(absl::StrCat("--", option, "=", text, " is no head.\nFor example: --", option,
                                   "=2.3 for head 3 of layer 2, or --", option,
                                   "=2 for all of layer 2."));
  }
  v1::Intervention edit;
  edit.add_layers(layer);
  if (parts.size() == 2) edit.add_heads(head);
  if (option == "ablate") {
    edit.mutable_scale_site()->set_factor(0);
  } else {
    edit.mutable_mean_site();
  }
  return edit;
}

absl::StatusOr<v1::Intervention> ReadPreset(const std::string& text) {
  const std::pair<const char*, v1::WeightPreset> presets[] = {
      {"last-word", v1::WEIGHT_PRESET_LAST_WORD},
      {"uniform", v1::WEIGHT_PRESET_UNIFORM},
      {"identity", v1::WEIGHT_PRESET_IDENTITY},
      {"first-word", v1::WEIGHT_PRESET_FIRST_WORD}};
  for (const auto& [name, preset] : presets) {
    if (text != name) continue;
    v1::Intervention edit;
    edit.set_weight_preset(preset);
    return edit;
  }
  return UsageError(
      absl::StrCat("--preset=", text, " is not one of last-word, uniform, identity, first-word."));
}

}  // namespace

absl::StatusOr<v1::Prompt> ReadWirePrompt(const Arguments& arguments, Session& session) {
  auto input = ReadPrompt(arguments, session);
  if (!input.ok()) return input.status();
  if (!arguments.Has("literal")) {
    if (absl::Status status = FillBlanks(input->text, session); !status.ok()) return status;
  }
  return ToWirePrompt(*input);
}

absl::StatusOr<v1::Prompt> WirePromptOf(const std::string& text, const Arguments& arguments,
                                        Session& session) {
  PromptInput input;
  auto read = ReadText(text, session);
  if (!read.ok()) return read.status();
  input.text = *std::move(read);
  if (arguments.Has("no-special")) input.add_special_tokens = false;
  if (arguments.Has("literal")) input.parse_special_tokens = false;
  if (!arguments.Has("literal")) {
    if (absl::Status status = FillBlanks(input.text, session); !status.ok()) return status;
  }
  return ToWirePrompt(input);
}

std::vector<OptionSpec> SelectionOptions() {
  return {{"layer", "L", "Layers, for example 0,2 or -1 for the last; default all.", true},
          {"head", "H", "Heads, in the same way; default all.", true}};
}

absl::Status ReadIndices(const Arguments& arguments, const std::string& option,
                         google::protobuf::RepeatedField<int32_t>* out) {
  if (!arguments.Has(option)) return absl::OkStatus();
  const auto values = arguments.Ints(option);
  if (!values.ok()) return values.status();
  out->Add(values->begin(), values->end());
  return absl::OkStatus();
}

absl::Status ReadPositions(const Arguments& arguments, const std::string& option,
                           google::protobuf::RepeatedField<int64_t>* out) {
  if (!arguments.Has(option)) return absl::OkStatus();
  const auto values = arguments.Ints(option);
  if (!values.ok()) return values.status();
  out->Add(values->begin(), values->end());
  return absl::OkStatus();
}

std::vector<OptionSpec> EditOptions() {
  return {
      {"cut", "FROM->TO",
       "Cut the edge from one word to another, by word or position; * is any. Repeat it for more.",
       true},
      {"ablate", "L.H", "Take a head out: 2.3 is head 3 of layer 2, 2 all of layer 2.", true},
      {"mean-ablate", "L.H", "Put a head's mean over the prompt in its place.", true},
      {"focus", "BETA",
       "Multiply scores: 0 looks everywhere alike, 1 changes nothing, 10 is sharp.", true},
      {"preset", "NAME",
       "Weights in place of the model's: last-word, uniform, identity, first-word.", true},
      {"bidirectional", "",
       "Let every word see later ones too: not what the model was trained for."},
  };
}

absl::StatusOr<std::vector<NamedEdit>> ReadEdits(const Arguments& arguments,
                                                 const v1::Prompt& prompt, Session& session) {
  std::vector<NamedEdit> edits;
  WordFinder finder(prompt, session);
  const auto add = [&](const std::string& name,
                       absl::StatusOr<v1::Intervention> edit) -> absl::Status {
    if (!edit.ok()) return edit.status();
    if (edit->layers().empty()) {
      if (absl::Status s = ReadIndices(arguments, "layer", edit->mutable_layers()); !s.ok()) {
        return s;
      }
      if (absl::Status s = ReadIndices(arguments, "head", edit->mutable_heads()); !s.ok()) return s;
    }
    edits.push_back({name, *std::move(edit)});
    return absl::OkStatus();
  };
  for (const std::string& text : arguments.Strings("cut")) {
    if (absl::Status s = add("cut " + text, ReadCut(text, finder)); !s.ok()) return s;
  }
  for (const std::string option : {"ablate", "mean-ablate"}) {
    for (const std::string& text : arguments.Strings(option)) {
      if (absl::Status s = add(option + " " + text, ReadAblate(option, text)); !s.ok()) return s;
    }
  }
  for (const std::string& text : arguments.Strings("focus")) {
    v1::Intervention edit;
    double beta = 0;
    if (!absl::SimpleAtod(text, &beta)) {
      return UsageError(absl::StrCat("--focus=", text, " is not a number."));
    }
    edit.mutable_scale_scores()->set_beta(beta);
    if (absl::Status s = add("focus " + text, std::move(edit)); !s.ok()) return s;
  }
  for (const std::string& text : arguments.Strings("preset")) {
    if (absl::Status s = add("preset " + text, ReadPreset(text)); !s.ok()) return s;
  }
  if (arguments.Has("bidirectional")) {
    v1::Intervention edit;
    edit.mutable_replace_mask()->set_kind(v1::ReplaceMask::KIND_BIDIRECTIONAL);
    if (absl::Status s = add("bidirectional", std::move(edit)); !s.ok()) return s;
  }
  return edits;
}

absl::StatusOr<v1::TokenChoice> ReadTokenChoice(const std::string& text, const v1::Prompt& prompt,
                                                Session& session) {
  v1::TokenChoice choice;
  int32_t id = 0;
  if (absl::SimpleAtoi(text, &id)) {
    choice.set_id(id);
    return choice;
  }
  const auto client = session.client();
  if (!client.ok()) return client.status();
  PredictRequest request{.model = session.model(), .text = prompt.text()};
  request.candidate_texts = {text};
  const auto note = PreferWords(request, **client, session.call_options());
  if (!note.ok()) return note.status();
  choice.set_text(request.candidate_texts.front());
  return choice;
}

absl::Status ReadTokenChoices(const Arguments& arguments, const std::string& option,
                              const v1::Prompt& prompt, Session& session,
                              google::protobuf::RepeatedPtrField<v1::TokenChoice>* out) {
  for (const std::string& text : arguments.Strings(option)) {
    auto choice = ReadTokenChoice(text, prompt, session);
    if (!choice.ok()) return choice.status();
    *out->Add() = *std::move(choice);
  }
  return absl::OkStatus();
}

absl::StatusOr<Inspector> MakeInspector(Session& session) {
  const auto client = session.client();
  if (!client.ok()) return client.status();
  return Inspector(**client);
}

bool PrintedAsJson(const google::protobuf::Message& answer, Session& session) {
  if (!session.json()) return false;
  JsonWriter json(session.out());
  WriteWireMessage(json, answer);
  json.EndLine();
  return true;
}

std::string VisibleWireToken(const v1::Token& token) {
  return VisibleToken({.id = token.id(),
                       .text = token.text(),
                       .bytes = token.bytes(),
                       .piece = token.piece(),
                       .special = token.special()});
}

std::vector<std::string> VisibleWireTokens(const v1::PromptInfo& prompt) {
  std::vector<std::string> tokens;
  for (const v1::Token& token : prompt.tokens()) tokens.push_back(VisibleWireToken(token));
  return tokens;
}

std::vector<float> TensorFloats(const v1::Tensor& tensor) {
  std::vector<float> values(tensor.data().size() / sizeof(float));
  std::memcpy(values.data(), tensor.data().data(), values.size() * sizeof(float));
  return values;
}

void PrintProvenance(const v1::Provenance& provenance, const v1::PromptInfo& prompt,
                     const v1::Timings& timings, Session& session) {
  const auto millis = [](const google::protobuf::Duration& duration) {
    return absl::Seconds(duration.seconds()) + absl::Nanoseconds(duration.nanos());
  };
  session.out() << SafeText(provenance.model().name()) << " "
                << SafeText(ShortDigest(provenance.model().digest())) << " · "
                << Plural(prompt.tokens_size(), "token");
  if (!provenance.definition().empty()) session.out() << " · " << SafeText(provenance.definition());
  if (provenance.intervention_count() > 0) {
    session.out() << " · " << Plural(provenance.intervention_count(), "edit");
  }
  session.out() << " · "
                << FormatMillis(millis(timings.tokenize()) + millis(timings.queue()) +
                                millis(timings.compute()))
                << "\n";
  if (provenance.counterfactual_mask()) {
    session.out() << "Rows saw what the model never shows them: a counterfactual.\n";
  }
}

}  // namespace heed::cli
