#include "client/cli/app.h"

#include <algorithm>
#include <optional>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "client/cli/base/report.h"
#include "client/cli/help.h"
#include "client/cli/verbs/verbs.h"

namespace heed::cli {
namespace {

constexpr int kMostQuoted = 60;  // columns of what was typed, in an error
constexpr char kNotWritten[] = "the output could not be written";

std::vector<Verb> AllVerbs() {
  return {ModelsVerb(),    DescribeVerb(),  TokenizeVerb(), DetokenizeVerb(), PredictVerb(),
          GenerateVerb(),  AttentionVerb(), StatsVerb(),    DetectVerb(),     LensVerb(),
          AttributeVerb(), ExplainVerb(),   RolloutVerb(),  DecomposeVerb(),  ActivationsVerb(),
          InterveneVerb(), SweepVerb(),     CompareVerb(),  ExploreVerb(),    TracesVerb(),
          LadderVerb(),    EmbedVerb(),     BenchVerb(),    HealthVerb(),     VersionVerb()};
}

// The place of the verb: the first word that is neither an option nor the value of a global one.
std::optional<size_t> FindVerb(const std::vector<std::string>& words) {
  const std::vector<OptionSpec> globals = GlobalOptions();
  for (size_t i = 0; i < words.size(); ++i) {
    if (!absl::StartsWith(words[i], "-")) return i;
    const auto takes_value = [&](const OptionSpec& option) {
      return !option.value.empty() && words[i] == "--" + option.name;
    };
    if (std::any_of(globals.begin(), globals.end(), takes_value)) ++i;
  }
  return std::nullopt;
}

const Verb* FindByName(const std::vector<Verb>& verbs, const std::string& name) {
  const auto it =
      std::find_if(verbs.begin(), verbs.end(), [&](const Verb& verb) { return verb.name == name; });
  return it == verbs.end() ? nullptr : &*it;
}

absl::Status UnknownVerb(const std::string& name, const std::vector<Verb>& verbs) {
  std::vector<std::string> names = {"help"};
  for (const Verb& verb : verbs) names.push_back(verb.name);
  const auto nearest = Nearest(name, names);
  return UsageError(absl::StrCat(
      "unknown verb \"", name, "\".\n",
      nearest ? absl::StrCat("Did you mean \"", *nearest, "\"?") : "heed --help lists the verbs."));
}

absl::Status CheckOperands(const Verb& verb, const std::vector<std::string>& operands) {
  const auto count = static_cast<int>(operands.size());
  if (count < verb.min_operands) {
    return UsageError(absl::StrCat("heed ", verb.name, " needs ", verb.operands,
                                   ".\nFor example: ", verb.example));
  }
  if (count <= verb.max_operands) return absl::OkStatus();
  if (verb.max_operands == 0) {
    return UsageError(
        absl::StrCat("heed ", verb.name, " takes no argument, but got \"", operands[0], "\"."));
  }
  const std::string takes = verb.max_operands == 1
                                ? " takes one argument"
                                : absl::StrCat(" takes at most ", verb.max_operands, " arguments");
  return UsageError(absl::StrCat(
      "heed ", verb.name, takes, ", but got ", count,
      ".\nPut a text of several words in quotes: \"",
      Fit(absl::StrCat(operands[0], " ", operands[1], count > 2 ? " …" : ""), kMostQuoted), "\""));
}

// Prints why a command failed, and gives its exit code.
int Fail(const absl::Status& status, const Environment& environment, const std::string& server,
         bool json, const FieldNames& names = {}) {
  const bool interrupted = environment.cancel != nullptr && environment.cancel->cancelled();
  // gRPC's own word for it is the code, once more.
  const absl::Status said = interrupted && absl::IsCancelled(status)
                                ? absl::CancelledError("cancelled; the server was told to stop")
                                : status;
  *environment.err << (json ? FormatErrorJson(said)
                            : FormatError(status, server, interrupted, environment.err_terminal,
                                          names))
                   << std::flush;
  if (IsUsageError(status)) return kExitUsage;
  if (interrupted && absl::IsCancelled(status)) return kExitInterrupted;
  return IsConnectionError(status) ? kExitUnreachable : kExitServerError;
}

int ShowHelp(const std::string& text, const Environment& environment) {
  *environment.out << text << std::flush;
  if (*environment.out) return kExitDone;
  return Fail(absl::DataLossError(kNotWritten), environment, "", false);
}

int RunVerb(const Verb& verb, const std::vector<std::string>& words,
            const Environment& environment) {
  std::vector<OptionSpec> options = verb.options;
  for (OptionSpec& option : GlobalOptions()) options.push_back(option);
  const auto arguments = Arguments::Parse(words, options, "heed " + verb.name);
  const bool json = std::find(words.begin(), words.end(), "--json") != words.end();
  if (!arguments.ok()) return Fail(arguments.status(), environment, "", json);
  if (arguments->Has("help")) {
    return ShowHelp(VerbHelp(verb, environment.out_terminal), environment);
  }
  if (absl::Status status = CheckOperands(verb, arguments->positionals()); !status.ok()) {
    return Fail(status, environment, "", json);
  }
  auto session = Session::Create(*arguments, environment);
  if (!session.ok()) return Fail(session.status(), environment, "", json);
  absl::Status status = verb.run(*arguments, *session);
  session->out() << std::flush;
  if (status.ok() && !session->out()) status = absl::DataLossError(kNotWritten);
  return status.ok() ? kExitDone
                     : Fail(status, environment, session->server(), json, session->field_names());
}

// `heed help`, `heed help VERB`, `heed --help`.
int RunHelp(const std::vector<Verb>& verbs, const std::vector<std::string>& words,
            const Environment& environment) {
  if (words.empty() || absl::StartsWith(words[0], "-")) {
    return ShowHelp(GeneralHelp(verbs, environment.out_terminal), environment);
  }
  const Verb* verb = FindByName(verbs, words[0]);
  if (verb == nullptr) return Fail(UnknownVerb(words[0], verbs), environment, "", false);
  return ShowHelp(VerbHelp(*verb, environment.out_terminal), environment);
}

}  // namespace

int RunHeed(const std::vector<std::string>& words, const Environment& environment) {
  const std::vector<Verb> verbs = AllVerbs();
  if (words.empty()) {
    *environment.err << GeneralHelp(verbs, environment.err_terminal);
    return kExitUsage;
  }
  const std::optional<size_t> place = FindVerb(words);
  const std::string name = place ? words[*place] : words[0];
  std::vector<std::string> rest = words;
  rest.erase(rest.begin() + static_cast<std::ptrdiff_t>(place.value_or(0)));
  if (name == "help" || name == "--help" || name == "-h") return RunHelp(verbs, rest, environment);
  if (name == "--version") return RunVerb(VersionVerb(), rest, environment);
  const Verb* verb = FindByName(verbs, name);
  if (verb == nullptr) {
    return Fail(place ? UnknownVerb(name, verbs)
                      : UsageError(absl::StrCat("no verb.\nheed --help lists the verbs.")),
                environment, "", false);
  }
  return RunVerb(*verb, rest, environment);
}

}  // namespace heed::cli
