// What the verbs about traces and experiments have in common: prompts from the command line to the
// wire's messages, calls, and the line below an answer.
#ifndef HEED_CLIENT_CLI_REQUEST_INSPECT_CALLS_H_
#define HEED_CLIENT_CLI_REQUEST_INSPECT_CALLS_H_

#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "client/cli/base/arguments.h"
#include "client/cli/base/session.h"
#include "client/inspector.h"
#include "client/types.h"
#include "google/protobuf/message.h"

namespace heed::cli {

// The prompt of the command, as the wire has it.
absl::StatusOr<v1::Prompt> ReadWirePrompt(const Arguments& arguments, Session& session);
// The same of a text that is not the first operand.
absl::StatusOr<v1::Prompt> WirePromptOf(const std::string& text, const Arguments& arguments,
                                        Session& session);

// --layer and --head, for verbs that have them.
std::vector<OptionSpec> SelectionOptions();
absl::Status ReadIndices(const Arguments& arguments, const std::string& option,
                         google::protobuf::RepeatedField<int32_t>* out);

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

// Tokens of the wire as programs read them.
std::string PlainWireText(const v1::Token& token);
std::vector<std::string> PlainWireTexts(const v1::PromptInfo& prompt);
// The same as people read them.
std::string VisibleWireToken(const v1::Token& token);
std::vector<std::string> VisibleWireTokens(const v1::PromptInfo& prompt);

// The floats of a tensor.
std::vector<float> TensorFloats(const v1::Tensor& tensor);

// "decoder sha256:0123 · 6 tokens · TL_MUL · 1 edit · 3.4 ms", and a line more for what is not the
// model's own.
void PrintProvenance(const v1::Provenance& provenance, const v1::PromptInfo& prompt,
                     const v1::Timings& timings, Session& session, const std::string& before = "");

// Where a model predicts, in words: "at" a word for those that read both ways and fill in, "after"
// it for those that go on.
std::string AtOrAfter(const ModelInfo& model);
absl::StatusOr<std::string> AtOrAfter(const v1::Provenance& provenance, Session& session);

// Says that rows saw what the model never shows them.
void PrintCounterfactual(Session& session);

}  // namespace heed::cli

#endif  // HEED_CLIENT_CLI_REQUEST_INSPECT_CALLS_H_
