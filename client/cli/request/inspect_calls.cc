#include "client/cli/request/inspect_calls.h"

#include <cstring>

#include "absl/strings/str_cat.h"
#include "client/cli/base/format.h"
#include "client/cli/base/token_text.h"
#include "client/cli/base/wire_json.h"
#include "client/cli/request/prompt.h"
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

std::string PlainWireText(const v1::Token& token) {
  return token.text().empty() ? token.piece() : token.text();
}

std::vector<std::string> PlainWireTexts(const v1::PromptInfo& prompt) {
  std::vector<std::string> texts;
  for (const v1::Token& token : prompt.tokens()) texts.push_back(PlainWireText(token));
  return texts;
}

std::vector<float> TensorFloats(const v1::Tensor& tensor) {
  std::vector<float> values(tensor.data().size() / sizeof(float));
  if (!values.empty()) {
    std::memcpy(values.data(), tensor.data().data(), values.size() * sizeof(float));
  }
  return values;
}

void PrintProvenance(const v1::Provenance& provenance, const v1::PromptInfo& prompt,
                     const v1::Timings& timings, Session& session, const std::string& before) {
  const auto millis = [](const google::protobuf::Duration& duration) {
    return absl::Seconds(duration.seconds()) + absl::Nanoseconds(duration.nanos());
  };
  std::vector<std::string> facts = {
      ModelText({provenance.model().name(), provenance.model().digest()}),
      Plural(prompt.tokens_size(), "token")};
  if (!provenance.definition().empty()) facts.push_back(SafeText(provenance.definition()));
  if (provenance.intervention_count() > 0) {
    facts.push_back(Plural(provenance.intervention_count(), "edit"));
  }
  facts.push_back(FormatMillis(millis(timings.tokenize()) + millis(timings.queue()) +
                               millis(timings.compute())));
  session.out() << JoinItems(session.terminal(), facts, " · ", 0, before) << "\n";
  if (provenance.counterfactual_mask()) PrintCounterfactual(session);
}

std::string AtOrAfter(const ModelInfo& model) {
  return model.direction == AttentionDirection::kBidirectional ? "at" : "after";
}

absl::StatusOr<std::string> AtOrAfter(const v1::Provenance& provenance, Session& session) {
  const auto client = session.client();
  if (!client.ok()) return client.status();
  const auto model = (*client)->GetModel(provenance.model().name(), session.call_options());
  if (!model.ok()) return model.status();
  return AtOrAfter(*model);
}

void PrintCounterfactual(Session& session) {
  session.out() << Paragraph(session.terminal(),
                             "Rows saw what the model never shows them: a counterfactual.");
}

}  // namespace heed::cli
