// heed ladder: one prompt through every rung, or two to be told apart.
#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "client/cli/base/format.h"
#include "client/cli/base/json.h"
#include "client/cli/base/mask.h"
#include "client/cli/base/output_file.h"
#include "client/cli/base/progress.h"
#include "client/cli/ladder/ladder.h"
#include "client/cli/ladder/ladder_calls.h"
#include "client/cli/ladder/ladder_output.h"
#include "client/cli/ladder/ladder_page.h"
#include "client/cli/request/prompt.h"
#include "client/cli/verbs/verbs.h"

namespace heed::cli {
namespace {

constexpr int32_t kDefaultTop = 4;
constexpr int32_t kMaxTop = 100;

// The names of --models; empty for the whole ladder.
absl::StatusOr<std::vector<std::string>> ReadNames(const Arguments& arguments) {
  std::vector<std::string> names;
  for (const std::string& list : arguments.Strings("models")) {
    for (absl::string_view part : absl::StrSplit(list, ',', absl::SkipWhitespace())) {
      std::string name(absl::StripAsciiWhitespace(part));
      if (std::find(names.begin(), names.end(), name) != names.end()) {
        return UsageError(absl::StrCat("--models names ", name, " twice."));
      }
      names.push_back(std::move(name));
    }
  }
  if (arguments.Has("models") && names.empty()) {
    return UsageError("--models is empty; expected names such as average,attention.");
  }
  return names;
}

absl::StatusOr<LadderQuestion> ReadQuestion(const Arguments& arguments, Session& session) {
  LadderQuestion question;
  for (const std::string& operand : arguments.positionals()) {
    auto text = ReadText(operand, session);
    if (!text.ok()) return text.status();
    if (text->empty()) {
      return UsageError(
          "the prompt is empty. Give the words to look at in quotes, or - for standard input.");
    }
    question.prompts.push_back(*std::move(text));
  }
  const auto top = arguments.Int("top", 1, kMaxTop);
  if (!top.ok()) return top.status();
  question.top_k = static_cast<int32_t>(top->value_or(kDefaultTop));
  const auto truncation = ParseTruncation(arguments.String("truncate"));
  if (!truncation.ok()) return truncation.status();
  question.truncation = *truncation;
  return question;
}

absl::Status CheckMasks(const std::vector<std::string>& prompts, const std::vector<Rung>& rungs) {
  for (const std::string& prompt : prompts) {
    const size_t count = FindMasks(prompt, MaskTexts(rungs)).size();
    if (count <= 1) continue;
    return UsageError(
        absl::StrCat("the prompt has ", count,
                     " masks; the ladder asks at one place.\nSeveral are filled in by ",
                     "heed predict --model=encoder."));
  }
  return absl::OkStatus();
}

absl::StatusOr<Ladder> Ask(const LadderQuestion& question, const std::vector<std::string>& names,
                           Session& session) {
  auto client = session.client();
  if (!client.ok()) return client.status();
  Progress progress(session, "asking the ladder");
  const auto models = (*client)->ListModels(session.call_options());
  if (!models.ok()) return models.status();
  auto choice = ChooseRungs(*models, names);
  if (!choice.ok()) return choice.status();
  if (absl::Status status = CheckMasks(question.prompts, choice->rungs); !status.ok()) {
    return status;
  }
  Ladder ladder{.prompts = question.prompts, .missing = std::move(choice->missing)};
  ladder.rungs = AskRungs(**client, choice->rungs, question, session.call_options());
  return ladder;
}

// What the whole command ends with when some rungs failed and others did not.
absl::Status Summary(const Ladder& ladder) {
  std::vector<std::string> failed;
  for (const RungReport& report : ladder.rungs) {
    if (!report.ok()) failed.push_back(report.rung.model.identity.name);
  }
  if (failed.empty()) return absl::OkStatus();
  return absl::UnknownError(
      absl::StrCat(failed.size(), " of ", ladder.rungs.size(),
                   " models could not answer: ", absl::StrJoin(failed, ", ")));
}

// The error to end with instead of showing answers: there are none, or Ctrl-C was pressed.
absl::Status NothingToShow(const Ladder& ladder, const Session& session) {
  if (session.cancelled()) return absl::CancelledError("cancelled");
  const auto answered = [](const RungReport& report) {
    return std::any_of(report.answers.begin(), report.answers.end(),
                       [](const RungAnswer& answer) { return answer.status.ok(); });
  };
  if (std::any_of(ladder.rungs.begin(), ladder.rungs.end(), answered)) return absl::OkStatus();
  return ladder.rungs.front().answers.front().status;
}

absl::Status WritePage(const Ladder& ladder, const std::string& path, Session& session) {
  const std::string page = LadderPage(ladder, session.server());
  return WriteOutputFile(
      session, path,
      absl::StrCat(FormatBytes(static_cast<int64_t>(page.size())), ", open it in a browser"),
      [&](std::ostream& file) {
        file << page;
        return absl::OkStatus();
      });
}

absl::Status RunLadder(const Arguments& arguments, Session& session) {
  if (!session.model().empty()) {
    return UsageError(absl::StrCat(
        "--model names one model, and a ladder has several; choose with --models=", session.model(),
        ",…"));
  }
  const auto names = ReadNames(arguments);
  if (!names.ok()) return names.status();
  const auto question = ReadQuestion(arguments, session);
  if (!question.ok()) return question.status();
  const auto ladder = Ask(*question, *names, session);
  if (!ladder.ok()) return ladder.status();
  if (absl::Status status = NothingToShow(*ladder, session); !status.ok()) return status;
  if (arguments.Has("html")) {
    absl::Status status = WritePage(*ladder, arguments.String("html"), session);
    if (!status.ok()) return status;
  }
  if (session.json()) {
    JsonWriter json(session.out());
    WriteLadderJson(*ladder, json);
    json.EndLine();
  } else if (!arguments.Has("html")) {
    PrintLadder(*ladder, session);
  }
  session.out() << std::flush;
  return Summary(*ladder);
}

}  // namespace

Verb LadderVerb() {
  return {
      .name = "ladder",
      .operands = "PROMPT [PROMPT]",
      .min_operands = 1,
      .max_operands = 2,
      .summary = "Put a prompt to every model from last word to transformer.",
      .description =
          "Shows side by side what each rung expects next and what it looked at: the last word "
          "alone, the average of all words, a weighted sum, attention, attention with positions, "
          "a decoder, and an encoder that sees both ways. With two prompts, whether a rung can "
          "tell them apart at all. A place to fill in is written ____ or [MASK]. - reads standard "
          "input.",
      .example = "heed ladder \"the big cat sat on the\" \"the small dog ran to the\"",
      .options = {{"models", "A,B,C", "Ask these models in this order; default the whole ladder.",
                   /*repeatable=*/true},
                  {"top", "N", "Show the N most probable tokens; default 4."},
                  {"html", "FILE", "Write one self-contained page to open in a browser."},
                  TruncateOption()},
      .run = RunLadder};
}

}  // namespace heed::cli
