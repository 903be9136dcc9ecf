#include "client/cli/request/prompt.h"

#include <utf8proc.h>

#include <cstddef>
#include <iterator>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "client/cli/base/mask.h"
#include "client/cli/base/token_text.h"

namespace heed::cli {
namespace {

// A usage error that says where the text stops being UTF-8: the wire carries nothing else.
absl::Status CheckUtf8(const std::string& text) {
  const auto* bytes = reinterpret_cast<const utf8proc_uint8_t*>(text.data());
  for (size_t i = 0; i < text.size();) {
    utf8proc_int32_t code_point = 0;
    const utf8proc_ssize_t length =
        utf8proc_iterate(bytes + i, static_cast<utf8proc_ssize_t>(text.size() - i), &code_point);
    if (length <= 0) {
      return UsageError(absl::StrCat("the text is not well-formed UTF-8: byte ", i, " is 0x",
                                     absl::Hex(bytes[i], absl::kZeroPad2),
                                     ". Convert it first, for example with iconv -t UTF-8."));
    }
    i += static_cast<size_t>(length);
  }
  return absl::OkStatus();
}

}  // namespace

std::vector<OptionSpec> ReadingOptions() {
  return {
      {"no-special", "", "Add no beginning-of-text or other special tokens around the text."},
      {"literal", "", "Read control tokens spelled out in the text as plain text."},
  };
}

std::vector<OptionSpec> PromptOptions() {
  std::vector<OptionSpec> options = {
      {"ids", "1,2,3", "Token ids instead of PROMPT.", /*repeatable=*/true},
      TruncateOption(),
  };
  for (OptionSpec& option : ReadingOptions()) options.push_back(option);
  return options;
}

OptionSpec TruncateOption() {
  return {"truncate", "SIDE",
          "Cut a prompt that is too long: left keeps its end, right its beginning."};
}

absl::StatusOr<Truncation> ParseTruncation(const std::string& text) {
  if (text.empty() || text == "refuse") return Truncation::kRefuse;
  if (text == "left") return Truncation::kLeft;
  if (text == "right") return Truncation::kRight;
  return UsageError(absl::StrCat("--truncate is \"", text,
                                 "\"; expected left (keep the end), right (keep the beginning) "
                                 "or refuse."));
}

absl::StatusOr<std::string> ReadText(const std::string& operand, Session& session) {
  std::string text = operand;
  if (operand == "-") {
    text.assign(std::istreambuf_iterator<char>(session.in()), {});
    if (absl::EndsWith(text, "\n")) text.pop_back();
    if (absl::EndsWith(text, "\r")) text.pop_back();
  }
  if (absl::Status status = CheckUtf8(text); !status.ok()) return status;
  return text;
}

absl::StatusOr<PromptInput> ReadPrompt(const Arguments& arguments, Session& session) {
  PromptInput prompt;
  const bool has_text = !arguments.positionals().empty();
  if (has_text == arguments.Has("ids")) {
    return UsageError(has_text ? "both a prompt and --ids are given; give one of them."
                               : "no prompt. Give it in quotes, or - for standard input, "
                                 "or token ids with --ids=1,2,3.");
  }
  if (has_text) {
    auto text = ReadText(arguments.positionals().front(), session);
    if (!text.ok()) return text.status();
    prompt.text = *std::move(text);
  } else {
    auto ids = arguments.Ints("ids");
    if (!ids.ok()) return ids.status();
    prompt.token_ids = *std::move(ids);
  }
  auto truncation = ParseTruncation(arguments.String("truncate"));
  if (!truncation.ok()) return truncation.status();
  prompt.truncation = *truncation;
  if (arguments.Has("no-special")) prompt.add_special_tokens = false;
  if (arguments.Has("literal")) prompt.parse_special_tokens = false;
  return prompt;
}

absl::Status FillBlanks(std::string& text, Session& session) {
  const std::vector<TextRange> blanks = FindBlanks(text);
  if (blanks.empty()) return absl::OkStatus();
  auto client = session.client();
  if (!client.ok()) return client.status();
  const auto model = (*client)->GetModel(session.model(), session.call_options());
  if (!model.ok()) return model.status();
  const std::string mask = MaskText(*model);
  if (mask.empty()) {
    session.err() << "heed: " << SafeText(model->identity.name)
                  << " looks back only and reads ____ as text; --model=encoder fills it in.\n";
  } else {
    text = ReplaceRanges(text, blanks, mask);
  }
  return absl::OkStatus();
}

}  // namespace heed::cli
