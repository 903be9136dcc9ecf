// What the verbs about traces and experiments have in common: prompts and edits from the command
// line to the wire's messages.
#ifndef HEED_CLIENT_CLI_INSPECT_CALLS_H_
#define HEED_CLIENT_CLI_INSPECT_CALLS_H_

#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "client/cli/arguments.h"
#include "client/cli/session.h"
#include "client/inspector.h"
#include "google/protobuf/message.h"

namespace heed::cli {

// The prompt of the command, as the wire has it.
absl::StatusOr<v1::Prompt> ReadWirePrompt(const Arguments& arguments, Session& session);
// The same of a text that is not the first operand.
absl::StatusOr<v1::Prompt> WirePromptOf(const std::string& text, const Arguments& arguments,
                                        Session& session);

// --layer, --head and --query, for verbs that have them.
std::vector<OptionSpec> SelectionOptions();
absl::Status ReadIndices(const Arguments& arguments, const std::string& option,
                         google::protobuf::RepeatedField<int32_t>* out);
absl::Status ReadPositions(const Arguments& arguments, const std::string& option,
                           google::protobuf::RepeatedField<int64_t>* out);

// --cut, --ablate, --focus and so on.
std::vector<OptionSpec> EditOptions();
// An edit and how it reads.
struct NamedEdit {
  std::string name;
  v1::Intervention edit;
};
// One for each time that an option was given, in the order of EditOptions; --layer and --head,
// where given, say which heads they are for. Words are looked up in the prompt's tokens, which the
// server is asked for only if some are named.
absl::StatusOr<std::vector<NamedEdit>> ReadEdits(const Arguments& arguments,
                                                 const v1::Prompt& prompt, Session& session);

// A token as the command line names it: a number is an id, everything else a text, which after a
// word is read as the word behind a space where that is a token.
absl::StatusOr<v1::TokenChoice> ReadTokenChoice(const std::string& text, const v1::Prompt& prompt,
                                                Session& session);
// Adds those of an option that may be repeated.
absl::Status ReadTokenChoices(const Arguments& arguments, const std::string& option,
                              const v1::Prompt& prompt, Session& session,
                              google::protobuf::RepeatedPtrField<v1::TokenChoice>* out);

// The client's Inspector.
absl::StatusOr<Inspector> MakeInspector(Session& session);

// Asks by one of Inspector's methods.
template <typename Request, typename Response>
absl::StatusOr<Response> Ask(absl::StatusOr<Response> (Inspector::*method)(const Request&,
                                                                           const CallOptions&)
                                 const,
                             const Request& request, Session& session) {
  const auto inspector = MakeInspector(session);
  if (!inspector.ok()) return inspector.status();
  return ((*inspector).*method)(request, session.call_options());
}

// With --json, prints an answer as it came on a line; false without.
bool PrintedAsJson(const google::protobuf::Message& answer, Session& session);

// Tokens of the wire as people read them.
std::string VisibleWireToken(const v1::Token& token);
std::vector<std::string> VisibleWireTokens(const v1::PromptInfo& prompt);

// The floats of a tensor.
std::vector<float> TensorFloats(const v1::Tensor& tensor);

// "decoder sha256:0123 · 6 tokens · TL_MUL · 1 edit · 3.4 ms", and a line more for what is not the
// model's own.
void PrintProvenance(const v1::Provenance& provenance, const v1::PromptInfo& prompt,
                     const v1::Timings& timings, Session& session);

}  // namespace heed::cli

#endif  // HEED_CLIENT_CLI_INSPECT_CALLS_H_
