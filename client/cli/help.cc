#include "client/cli/help.h"

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "client/cli/base/table.h"

namespace heed::cli {
namespace {

constexpr int kWidth = 100;
constexpr int kLeastMeaning = 32;  // columns that are worth a column of their own
constexpr int kNameIndent = 2;
constexpr int kMeaningIndent = 6;

// Where help is wrapped: nowhere beyond kWidth, and alike in a file.
Terminal HelpTerminal(const Terminal& terminal) {
  return {.is_terminal = true, .width = std::min(kWidth, TextWidth(terminal))};
}

// Names with what they mean beside them, or below them where there is too little room.
std::string Meanings(const std::vector<std::pair<std::string, std::string>>& meanings,
                     const Terminal& terminal) {
  int columns = 0;
  for (const auto& [name, meaning] : meanings) columns = std::max(columns, DisplayWidth(name));
  if (terminal.width - columns >= kLeastMeaning) {
    Table table({{"", Align::kLeft, 0, Narrow::kKeep}, {"", Align::kLeft, 0, Narrow::kWrap}});
    for (const auto& [name, meaning] : meanings) table.AddRow({name, meaning});
    return table.Render(terminal);
  }
  std::string text;
  for (const auto& [name, meaning] : meanings) {
    int indent = kNameIndent;
    for (const std::string& line :
         Wrap(absl::StripLeadingAsciiWhitespace(name), terminal.width - 2 * kNameIndent)) {
      absl::StrAppend(&text, std::string(indent, ' '), line, "\n");
      indent = 2 * kNameIndent;
    }
    for (const std::string& line : Wrap(meaning, terminal.width - kMeaningIndent)) {
      absl::StrAppend(&text, std::string(kMeaningIndent, ' '), line, "\n");
    }
  }
  return text;
}

std::string OptionTable(const std::vector<OptionSpec>& options, const Terminal& terminal) {
  std::vector<std::pair<std::string, std::string>> meanings;
  for (const OptionSpec& option : options) {
    meanings.emplace_back(
        absl::StrCat("  --", option.name, option.value.empty() ? "" : "=", option.value),
        option.help);
  }
  return Meanings(meanings, terminal);
}

}  // namespace

std::string GeneralHelp(const std::vector<Verb>& verbs, const Terminal& out) {
  const Terminal terminal = HelpTerminal(out);
  std::string help = absl::StrCat(
      Paragraph(terminal, "heed asks a heed server what comes next, and what the model looked at."),
      "\nUsage: heed VERB [OPTIONS]\n\nVerbs:\n");
  std::vector<std::pair<std::string, std::string>> meanings;
  for (const Verb& verb : verbs) {
    meanings.emplace_back(
        absl::StrCat("  ", verb.name, verb.operands.empty() ? "" : " ", verb.operands),
        verb.summary);
  }
  meanings.emplace_back("  help [VERB]", "Show this, or the options of a verb with an example.");
  absl::StrAppend(&help, Meanings(meanings, terminal), "\nOptions of every verb:\n",
                  OptionTable(GlobalOptions(), terminal), "\n",
                  Paragraph(terminal,
                            "Exit codes: 0 done, 1 the server answered with an error, 2 wrong "
                            "usage, 3 could not reach the server, 130 interrupted."),
                  "\nExample:\n  heed predict \"the keys to the cabinet\"\n");
  return help;
}

std::string VerbHelp(const Verb& verb, const Terminal& out) {
  const Terminal terminal = HelpTerminal(out);
  const std::string usage = absl::StrCat(
      "Usage: heed ", verb.name, verb.operands.empty() ? "" : " ", verb.operands, " [OPTIONS]");
  std::string help =
      absl::StrCat(Paragraph(terminal, verb.summary), "\n", Paragraph(terminal, usage));
  if (!verb.description.empty()) {
    absl::StrAppend(&help, "\n", Paragraph(terminal, verb.description));
  }
  if (!verb.options.empty()) {
    absl::StrAppend(&help, "\nOptions:\n", OptionTable(verb.options, terminal));
  }
  absl::StrAppend(&help, "\nOptions of every verb:\n", OptionTable(GlobalOptions(), terminal),
                  "\nExample:\n  ", verb.example, "\n");
  return help;
}

}  // namespace heed::cli
