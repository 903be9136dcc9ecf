// Sentences about a ladder, the same for the terminal and the page.
#include <algorithm>
#include <cmath>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "client/cli/base/format.h"
#include "client/cli/base/token_text.h"
#include "client/cli/ladder/ladder_output.h"

namespace heed::cli {
namespace {

enum class Outcome { kUnknown, kIdentical, kRounding, kDifferent };

Outcome OutcomeOf(const RungReport& report) {
  if (!report.comparison || !report.comparison->status.ok()) return Outcome::kUnknown;
  if (report.comparison->identical) return Outcome::kIdentical;
  return report.comparison->largest_difference <= kRoundingDifference ? Outcome::kRounding
                                                                      : Outcome::kDifferent;
}

// The names of the rungs with this outcome; empty when there are none.
std::string NamesWith(const Ladder& ladder, Outcome outcome) {
  std::vector<std::string> names;
  for (const RungReport& report : ladder.rungs) {
    if (OutcomeOf(report) == outcome) names.push_back(SafeText(report.rung.model.identity.name));
  }
  return absl::StrJoin(names, ", ");
}

std::string LikenessLine(Likeness likeness) {
  switch (likeness) {
    case Likeness::kSameText:
      return "A and B are the same text.";
    case Likeness::kReordered:
      return "A and B have the same words in another order: what only adds them up cannot tell.";
    case Likeness::kReorderedButForSpaces:
      return "A and B have the same words in another order, but the first word of a text is "
             "another token without a space before it; begin both with the same word to compare "
             "the order alone.";
    case Likeness::kSameLastWord:
      return "A and B end in the same word: what sees nothing else cannot tell.";
    case Likeness::kNone:
      break;
  }
  return "";
}

// Sentences in the order they came, each once with the models that it is about.
class LinesByModel {
 public:
  using Line = std::pair<std::string, std::vector<std::string>>;

  void Add(const std::string& text, const std::string& model) {
    const auto it = std::find_if(lines_.begin(), lines_.end(),
                                 [&](const Line& line) { return line.first == text; });
    Line& line = it == lines_.end() ? lines_.emplace_back(text, std::vector<std::string>()) : *it;
    if (line.second.empty() || line.second.back() != model) line.second.push_back(model);
  }
  const std::vector<Line>& lines() const { return lines_; }

 private:
  std::vector<Line> lines_;
};

std::string SplitLine(const SplitWord& word) {
  return absl::StrCat("\"", SafeText(word.word), "\" is not one token; it is read as ",
                      absl::StrJoin(VisibleTokens(word.pieces), " "));
}

}  // namespace

std::string RungTitle(const Rung& rung) {
  return absl::StrCat(rung.number ? absl::StrCat(*rung.number) : "-", " ",
                      SafeText(rung.model.identity.name));
}

bool HasOneHead(const Rung& rung) {
  return rung.model.layer_count * rung.model.head_count <= 1;
}

std::string LookTitle(const Rung& rung, const Look& look) {
  if (HasOneHead(rung)) return "looks at";
  return absl::StrCat("layer ", look.layer, " head ", look.head);
}

std::string Verdict(const Comparison& comparison) {
  if (comparison.identical) return "= the same answer, bit for bit";
  if (comparison.largest_difference <= kRoundingDifference) {
    return absl::StrFormat("= the same answer, but for rounding (%.1e)",
                           comparison.largest_difference);
  }
  return absl::StrCat("≠ up to ", FormatProbability(comparison.largest_difference),
                      " apart: ", VisibleToken(comparison.token), " ",
                      FormatProbability(comparison.probabilities[0]), " in A, ",
                      FormatProbability(comparison.probabilities[1]), " in B");
}

std::vector<std::string> Lesson(const Ladder& ladder) {
  if (ladder.prompts.size() != 2) return {};
  std::vector<std::string> lines;
  if (std::string line = LikenessLine(FindLikeness(ladder)); !line.empty()) lines.push_back(line);
  const std::pair<const char*, Outcome> sentences[] = {
      {"Cannot tell A from B: ", Outcome::kIdentical},
      {"Cannot tell A from B (the same but for rounding): ", Outcome::kRounding},
      {"Tells them apart: ", Outcome::kDifferent}};
  for (const auto& [begin, outcome] : sentences) {
    const std::string names = NamesWith(ladder, outcome);
    if (!names.empty()) lines.push_back(absl::StrCat(begin, names, "."));
  }
  return lines;
}

std::vector<std::string> NoteLines(const Ladder& ladder) {
  LinesByModel lines;
  for (const RungReport& report : ladder.rungs) {
    for (const RungAnswer& answer : report.answers) {
      for (const std::string& note : {answer.asked.note, FormatDropped(answer.result.prompt)}) {
        if (note.empty()) continue;
        lines.Add(SafeText(note), SafeText(report.rung.model.identity.name));
      }
    }
  }
  std::vector<std::string> result;
  for (const auto& [note, names] : lines.lines()) {
    result.push_back(absl::StrCat(absl::StrJoin(names, ", "), ": ", note, "."));
  }
  return result;
}

std::vector<std::string> PieceLines(const Ladder& ladder) {
  LinesByModel lines;
  size_t model_count = 0;
  for (const RungReport& report : ladder.rungs) {
    if (report.answers.front().status.ok()) ++model_count;
    for (const RungAnswer& answer : report.answers) {
      for (const SplitWord& word : FindSplitWords(answer.asked.text, answer.result.prompt.tokens)) {
        lines.Add(SplitLine(word), SafeText(report.rung.model.identity.name));
      }
    }
  }
  std::vector<std::string> result;
  for (const auto& [line, names] : lines.lines()) {
    const bool all = names.size() >= model_count;
    result.push_back(
        absl::StrCat(line, all ? "" : absl::StrCat(" (", absl::StrJoin(names, ", "), ")"), "."));
  }
  return result;
}

std::string LadderLegend(const Ladder& ladder) {
  std::string legend =
      "looks at: how much the place that predicts reads from each word; a row adds up to 1, * is "
      "its largest weight.";
  const bool has_heads =
      std::any_of(ladder.rungs.begin(), ladder.rungs.end(),
                  [](const RungReport& report) { return !HasOneHead(report.rung); });
  if (has_heads) {
    absl::StrAppend(&legend,
                    " Of several heads the one is shown that looks hardest at a word past its "
                    "neighbour and the first.");
  }
  const double vocabulary = std::max(1, ladder.rungs.front().rung.model.vocabulary_size);
  return absl::StrCat(legend, " nats: the answer's entropy, from 0 (certain) to ",
                      absl::StrFormat("%.1f", std::log(vocabulary)), " (any token alike).");
}

std::string MissingLine(const Ladder& ladder) {
  if (ladder.missing.empty()) return "";
  return absl::StrCat("Not loaded: ", absl::StrJoin(ladder.missing, ", "), ".");
}

}  // namespace heed::cli
