// The run that a command asks about: a prompt, which is run for it, or a trace (--trace), which is
// not run again; and the words of that run as the command line names them.
#ifndef HEED_CLIENT_CLI_REQUEST_RUN_SOURCE_H_
#define HEED_CLIENT_CLI_REQUEST_RUN_SOURCE_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "client/cli/base/arguments.h"
#include "client/cli/base/session.h"
#include "google/protobuf/repeated_field.h"
#include "heed/v1/inspection.pb.h"

namespace heed::cli {

// --trace, --estimate and how a prompt is read.
std::vector<OptionSpec> RunOptions();

class RunSource {
 public:
  // The first operand or --ids, or the trace of `trace_option`. A usage error when there is neither
  // or both.
  static absl::StatusOr<RunSource> Read(const Arguments& arguments, Session& session,
                                        const std::string& trace_option = "trace");
  // A text that is not the first operand.
  static absl::StatusOr<RunSource> OfText(const std::string& text, const std::string& model,
                                          const Arguments& arguments, Session& session);
  static RunSource OfPrompt(const v1::Prompt& prompt, const std::string& model, Session& session);
  static RunSource OfTrace(const std::string& trace_id, Session& session);

  bool is_trace() const { return !trace_id_.empty(); }
  const std::string& trace_id() const { return trace_id_; }
  const v1::Prompt& prompt() const { return prompt_; }
  Session& session() const { return *session_; }

  // Fills the fields that say which run is meant; `Request` is any message that has them.
  template <typename Request>
  void ApplyTo(Request* request) const {
    if (is_trace()) {
      request->set_trace_id(trace_id_);
    } else {
      request->set_model(model_);
      *request->mutable_prompt() = prompt_;
    }
  }

  // Where a word stands: a number is a position, "*" all, anything else every token that reads so
  // but for spaces around it. The server is asked for the tokens only when words are named.
  absl::StatusOr<std::vector<v1::Span>> Find(absl::string_view word);
  // The positions of an option: numbers or words, separated by commas; -1 is the last.
  absl::Status ReadPositions(const Arguments& arguments, const std::string& option,
                             google::protobuf::RepeatedField<int64_t>* out);
  // The same as spans of one position each.
  absl::Status ReadSpans(const Arguments& arguments, const std::string& option,
                         google::protobuf::RepeatedPtrField<v1::Span>* out);
  // The one position of an option; PredictedPosition where it is not given.
  absl::StatusOr<int64_t> ReadPosition(const Arguments& arguments, const std::string& option);
  // A token: a number is an id, everything else a text, also a number behind a space; which after a
  // word is read as the word behind a space where that is a token.
  absl::StatusOr<v1::TokenChoice> Choice(const std::string& text);
  // How many tokens the run has: no run is needed to know.
  absl::StatusOr<int64_t> TokenCount();
  // Where the model predicts when no position is given: at the first mask of a prompt that it fills
  // in, and else at -1, the last.
  absl::StatusOr<int64_t> PredictedPosition();
  // Adds those of an option that may be repeated.
  absl::Status ReadChoices(const Arguments& arguments, const std::string& option,
                           google::protobuf::RepeatedPtrField<v1::TokenChoice>* out);

 private:
  explicit RunSource(Session& session) : session_(&session) {}
  absl::Status Load();
  absl::Status LoadIds();
  absl::Status LoadTrace();
  absl::Status LoadPrompt();

  Session* session_;
  std::string model_;
  v1::Prompt prompt_;
  std::string trace_id_;
  std::vector<std::string> words_;          // of the run's tokens, once they are asked for
  std::vector<std::string> visible_words_;  // the same as people read them
  std::vector<int32_t> ids_;                // theirs; a prompt of ids has them without words
  std::string text_;                        // the words together
};

}  // namespace heed::cli

#endif  // HEED_CLIENT_CLI_REQUEST_RUN_SOURCE_H_
