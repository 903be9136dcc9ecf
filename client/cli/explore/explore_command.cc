#include "client/cli/explore/explore_command.h"

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "client/cli/base/session.h"
#include "client/cli/request/edits.h"

namespace heed::cli {
namespace {

// A text as one word of a shell, in double quotes where they leave it as it is.
std::string ShellWord(const std::string& text) {
  constexpr char kPlain[] =
      "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-=.,:/@%+";
  if (!text.empty() && text.find_first_not_of(kPlain) == std::string::npos) return text;
  if (text.find_first_of("\"\\$`!") == std::string::npos) return absl::StrCat("\"", text, "\"");
  return absl::StrCat("'", absl::StrReplaceAll(text, {{"'", R"('\'')"}}), "'");
}

void AppendOption(const Arguments& arguments, const OptionSpec& option, std::string* command) {
  if (option.value.empty()) {
    if (arguments.Has(option.name)) absl::StrAppend(command, " --", option.name);
    return;
  }
  for (const std::string& value : arguments.Strings(option.name)) {
    absl::StrAppend(command, " ", ShellWord(absl::StrCat("--", option.name, "=", value)));
  }
}

}  // namespace

std::string ExploreCommand(const Arguments& arguments, const RunSource& source,
                           const v1::ExplainRowResponse& row) {
  std::string prompt = arguments.positionals().empty() ? "" : arguments.positionals().front();
  if (prompt == "-") prompt = source.prompt().text();
  const bool is_like_an_option = absl::StartsWith(prompt, "-");
  std::string command = "heed explore";
  if (!prompt.empty() && !is_like_an_option) absl::StrAppend(&command, " ", ShellWord(prompt));
  for (const OptionSpec& option : GlobalOptions()) {
    if (option.name == "server" || option.name == "model") {
      AppendOption(arguments, option, &command);
    }
  }
  absl::StrAppend(&command, " --layer=", row.layer(), " --head=", row.head(),
                  " --query=", row.query());
  for (const OptionSpec& option : JoinOptions({EditOptions(), EditScopeOptions(), RunOptions()})) {
    if (option.name != "estimate") AppendOption(arguments, option, &command);
  }
  absl::StrAppend(&command, " --serve");
  if (is_like_an_option) absl::StrAppend(&command, " -- ", ShellWord(prompt));
  return command;
}

}  // namespace heed::cli
