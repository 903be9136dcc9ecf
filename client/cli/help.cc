#include "client/cli/help.h"

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "client/cli/base/table.h"

namespace heed::cli {
namespace {

constexpr int kWidth = 100;

std::string OptionTable(const std::vector<OptionSpec>& options) {
  std::vector<std::string> names;
  int columns = 0;
  for (const OptionSpec& option : options) {
    names.push_back(
        absl::StrCat("  --", option.name, option.value.empty() ? "" : "=", option.value));
    columns = std::max(columns, DisplayWidth(names.back()));
  }
  Table table({{""}, {""}});
  for (size_t i = 0; i < options.size(); ++i) {
    std::string name = names[i];
    for (const std::string& line : Wrap(options[i].help, kWidth - columns - 2)) {
      table.AddRow({std::exchange(name, ""), line});
    }
  }
  return table.Render(Terminal());
}

}  // namespace

std::string GeneralHelp(const std::vector<Verb>& verbs) {
  std::string help =
      "heed asks a heed server what comes next, and what the model looked at.\n\n"
      "Usage: heed VERB [OPTIONS]\n\n"
      "Verbs:\n";
  Table table({{""}, {""}});
  for (const Verb& verb : verbs) {
    table.AddRow({absl::StrCat("  ", verb.name, verb.operands.empty() ? "" : " ", verb.operands),
                  verb.summary});
  }
  table.AddRow({"  help [VERB]", "Show this, or the options of a verb with an example."});
  absl::StrAppend(&help, table.Render(Terminal()), "\nOptions of every verb:\n",
                  OptionTable(GlobalOptions()),
                  "\nExit codes: 0 done, 1 the server answered with an error, 2 wrong usage, "
                  "3 could not reach the\nserver, 130 interrupted.\n"
                  "\nExample:\n  heed predict \"the keys to the cabinet\"\n");
  return help;
}

std::string VerbHelp(const Verb& verb) {
  std::string help = absl::StrCat(verb.summary, "\n\nUsage: heed ", verb.name,
                                  verb.operands.empty() ? "" : " ", verb.operands, " [OPTIONS]\n");
  if (!verb.description.empty())
    absl::StrAppend(&help, "\n", absl::StrJoin(Wrap(verb.description, kWidth), "\n"), "\n");
  if (!verb.options.empty()) {
    absl::StrAppend(&help, "\nOptions:\n", OptionTable(verb.options));
  }
  absl::StrAppend(&help, "\nOptions of every verb:\n", OptionTable(GlobalOptions()),
                  "\nExample:\n  ", verb.example, "\n");
  return help;
}

}  // namespace heed::cli
