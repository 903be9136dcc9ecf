// The prompt of a command: text, standard input or token ids, with the options about reading it.
#ifndef HEED_CLIENT_CLI_REQUEST_PROMPT_H_
#define HEED_CLIENT_CLI_REQUEST_PROMPT_H_

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "client/cli/base/arguments.h"
#include "client/cli/base/session.h"
#include "client/types.h"

namespace heed::cli {

struct PromptInput {
  std::string text;
  std::vector<int32_t> token_ids;
  std::optional<bool> add_special_tokens;
  std::optional<bool> parse_special_tokens;
  Truncation truncation = Truncation::kRefuse;

  // Fills the fields of the same names; `Request` is any request with a prompt.
  template <typename Request>
  void ApplyTo(Request& request) const {
    request.text = text;
    request.token_ids = token_ids;
    request.add_special_tokens = add_special_tokens;
    request.parse_special_tokens = parse_special_tokens;
    request.truncation = truncation;
  }
};

// --no-special and --literal, which also make sense without a model run.
std::vector<OptionSpec> ReadingOptions();
// The above with --ids and --truncate.
std::vector<OptionSpec> PromptOptions();

// --truncate.
OptionSpec TruncateOption();

// The text operand, where "-" stands for standard input without its last line end. A usage error
// when it is not UTF-8.
absl::StatusOr<std::string> ReadText(const std::string& operand, Session& session);

// The value of --truncate, or the empty string for none.
absl::StatusOr<Truncation> ParseTruncation(const std::string& text);

// Text or ids as the command line gives them. A usage error when there is neither or both.
absl::StatusOr<PromptInput> ReadPrompt(const Arguments& arguments, Session& session);

// Puts the mask of the session's model in place of the blanks of `text`, ____. For a model that
// fills no masks they stay text, which a line on standard error says. Asks the server only when
// there are blanks.
absl::Status FillBlanks(std::string& text, Session& session);

}  // namespace heed::cli

#endif  // HEED_CLIENT_CLI_REQUEST_PROMPT_H_
