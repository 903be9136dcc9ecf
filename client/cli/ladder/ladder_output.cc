#include "client/cli/ladder/ladder_output.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "client/cli/base/format.h"
#include "client/cli/base/report.h"
#include "client/cli/base/terminal.h"
#include "client/cli/base/token_text.h"
#include "client/cli/pictures/weight_table.h"

namespace heed::cli {
namespace {

constexpr int kMaxTextColumns = 120;   // of running text, however wide the terminal is
constexpr int kLeastTextColumns = 10;  // beside the labels, however narrow the terminal is
constexpr char kPromptNames[] = "AB";

constexpr char kTellApart[] = "heed ladder \"the big cat sat on the\" \"the small dog ran to the\"";
constexpr char kTellOrder[] = "heed ladder \"the keys to the cabinet\" \"the cabinet to the keys\"";

// Rungs that read one prompt in the same way share a table of weights.
struct Group {
  std::vector<std::string> words;
  std::vector<size_t> rungs;
  std::vector<std::vector<float>> rows;
};

bool IsBeginning(const std::vector<std::string>& a, const std::vector<std::string>& b) {
  return a.size() <= b.size() && std::equal(a.begin(), a.end(), b.begin());
}

std::vector<Group> GroupByWords(const Ladder& ladder, size_t prompt) {
  std::vector<Group> groups;
  for (size_t i = 0; i < ladder.rungs.size(); ++i) {
    const RungAnswer& answer = ladder.rungs[i].answers[prompt];
    if (!answer.ok()) continue;
    std::vector<std::string> words = VisibleTokens(answer.result.prompt.tokens);
    auto group = std::find_if(groups.begin(), groups.end(), [&](const Group& other) {
      return IsBeginning(words, other.words) || IsBeginning(other.words, words);
    });
    if (group == groups.end()) group = groups.insert(groups.end(), Group());
    if (words.size() > group->words.size()) group->words = std::move(words);
    group->rungs.push_back(i);
    group->rows.push_back(answer.look.weights);
  }
  return groups;
}

// "1 average", "5 decoder L3 H4".
std::string ShortLookTitle(const Rung& rung, const Look& look) {
  if (HasOneHead(rung)) return RungTitle(rung);
  return absl::StrCat(RungTitle(rung), " L", look.layer, " H", look.head);
}

// Prints one ladder; what stands left of all text is as wide as the longest of it.
class Printer {
 public:
  Printer(const Ladder& ladder, Session& session)
      : ladder_(ladder),
        out_(session.out()),
        terminal_(session.terminal()),
        server_(session.server()) {
    for (const RungReport& report : ladder_.rungs) WidenFor(report);
  }

  void PrintOne();
  void PrintTwo();

 private:
  int text_columns() const { return std::min(terminal_.width, kMaxTextColumns); }
  bool is_two() const { return ladder_.prompts.size() == 2; }
  std::string Dim(const std::string& text) const { return Styled(terminal_, Emphasis::kDim, text); }

  void WidenFor(const RungReport& report);
  void PrintName(const RungReport& report);
  void PrintLabelled(const std::string& label, Emphasis emphasis, const std::string& text);
  void PrintExpected(const std::string& label, const RungAnswer& answer);
  void PrintLookError(const RungAnswer& answer);
  void PrintLooks(size_t prompt);
  void PrintParagraph(const std::string& text);
  void PrintEnd();

  const Ladder& ladder_;
  std::ostream& out_;
  const Terminal& terminal_;
  const std::string& server_;
  int label_columns_ = 17;
};

void Printer::WidenFor(const RungReport& report) {
  int columns = DisplayWidth(RungTitle(report.rung)) + 2;
  for (const RungAnswer& answer : report.answers) {
    const std::string title = is_two() ? ShortLookTitle(report.rung, answer.look)
                                       : absl::StrCat("  ", LookTitle(report.rung, answer.look));
    columns = std::max(columns, DisplayWidth(title) + 1);
  }
  label_columns_ = std::max(label_columns_, columns);
}

// "1 average        every word counts the same                     4.20 nats".
void Printer::PrintName(const RungReport& report) {
  const int columns = text_columns() - label_columns_;
  std::vector<std::string> lines = {report.rung.meaning};
  if (terminal_.is_terminal) lines = Wrap(report.rung.meaning, columns);
  if (!is_two() && report.answers.front().status.ok()) {
    const std::string entropy = FormatNats(report.answers.front().prediction().entropy);
    const int room = columns - DisplayWidth(lines.back());
    if (room > DisplayWidth(entropy) + 1) {
      lines.back() += PadLeft(entropy, room);
    } else if (terminal_.is_terminal) {
      lines.push_back(entropy);
    } else {
      absl::StrAppend(&lines.back(), "  ", entropy);
    }
  }
  std::string title =
      Styled(terminal_, Emphasis::kBold, PadRight(RungTitle(report.rung), label_columns_));
  for (const std::string& line : lines) {
    out_ << title << line << "\n";
    title = std::string(label_columns_, ' ');
  }
}

// Wraps `text` to the right of its label.
void Printer::PrintLabelled(const std::string& label, Emphasis emphasis, const std::string& text) {
  bool first = true;
  for (const std::string& line :
       Wrap(text, std::max(kLeastTextColumns, text_columns() - label_columns_))) {
    out_ << PadRight(first ? label : "", label_columns_) << Styled(terminal_, emphasis, line)
         << "\n";
    first = false;
  }
}

// The top words, on as many lines as they take.
void Printer::PrintExpected(const std::string& label, const RungAnswer& answer) {
  if (!answer.status.ok()) {
    PrintLabelled(is_two() ? label : "  no answer", Emphasis::kRed,
                  SafeText(ErrorSummary(answer.status, server_)));
    return;
  }
  std::string line = PadRight(label, label_columns_);
  int used = label_columns_;
  for (const Candidate& candidate : answer.prediction().candidates) {
    const std::string number = FormatProbability(candidate.probability);
    const int room = text_columns() - label_columns_ - 1 - DisplayWidth(number);
    const std::string token =
        Fit(VisibleToken(candidate.token), std::max(kLeastTextColumns - 6, room));
    const int columns = DisplayWidth(token) + 1 + DisplayWidth(number);
    if (used > label_columns_ && used + 2 + columns > text_columns()) {
      out_ << line << "\n";
      line = PadRight("", label_columns_);
      used = label_columns_;
    }
    if (used > label_columns_) {
      line += "  ";
      used += 2;
    }
    absl::StrAppend(&line, Styled(terminal_, Emphasis::kCyan, token), " ", number);
    used += columns;
  }
  out_ << line << "\n";
}

void Printer::PrintLookError(const RungAnswer& answer) {
  if (!answer.status.ok() || answer.look_status.ok()) return;
  PrintLabelled("  looks at", Emphasis::kRed, SafeText(ErrorSummary(answer.look_status, server_)));
}

void Printer::PrintOne() {
  const std::vector<Group> groups = GroupByWords(ladder_, 0);
  std::vector<WeightTable> tables;
  std::vector<int> table_of(ladder_.rungs.size(), -1);
  for (const Group& group : groups) {
    for (size_t rung : group.rungs) table_of[rung] = static_cast<int>(tables.size());
    tables.emplace_back(group.words, group.rows, label_columns_, terminal_);
  }
  int shown_titles = -1;
  for (size_t i = 0; i < ladder_.rungs.size(); ++i) {
    const RungReport& report = ladder_.rungs[i];
    const RungAnswer& answer = report.answers.front();
    const int table = table_of[i];
    if (table >= 0 && table != shown_titles) {
      out_ << tables[table].Titles("") << "\n";
      shown_titles = table;
    }
    PrintName(report);
    if (table >= 0) {
      const std::string label = absl::StrCat("  ", LookTitle(report.rung, answer.look));
      out_ << tables[table].Row(label, answer.look.weights) << "\n";
    }
    PrintLookError(answer);
    PrintExpected(answer.asked.at_mask ? "  at the mask" : "  expects", answer);
  }
  out_ << "\n";
  for (const WeightTable& table : tables) PrintParagraph(table.Note());
  PrintEnd();
}

// What all rungs looked at in one of two prompts.
void Printer::PrintLooks(size_t prompt) {
  const std::string name = absl::StrCat("looked at in ", std::string(1, kPromptNames[prompt]));
  for (const Group& group : GroupByWords(ladder_, prompt)) {
    const WeightTable table(group.words, group.rows, label_columns_, terminal_);
    out_ << Dim(table.Titles(name)) << "\n";
    for (size_t i : group.rungs) {
      const RungReport& report = ladder_.rungs[i];
      const Look& look = report.answers[prompt].look;
      out_ << table.Row(ShortLookTitle(report.rung, look), look.weights) << "\n";
    }
    PrintParagraph(table.Note());
  }
  out_ << "\n";
}

void Printer::PrintTwo() {
  for (size_t i = 0; i < 2; ++i) {
    out_ << Styled(terminal_, Emphasis::kBold, std::string(1, kPromptNames[i])) << "  "
         << Fit(SafeText(ladder_.prompts[i]), TextWidth(terminal_) - 3) << "\n";
  }
  out_ << "\n";
  for (const RungReport& report : ladder_.rungs) {
    PrintName(report);
    for (size_t i = 0; i < 2; ++i) {
      const RungAnswer& answer = report.answers[i];
      std::string label = absl::StrCat("  ", std::string(1, kPromptNames[i]));
      if (answer.status.ok())
        absl::StrAppend(&label, "  ", FormatNats(answer.prediction().entropy));
      PrintExpected(label, answer);
      PrintLookError(answer);
    }
    if (!report.comparison) continue;
    const bool compared = report.comparison->status.ok();
    PrintLabelled("", compared ? Emphasis::kBold : Emphasis::kRed,
                  compared ? Verdict(*report.comparison)
                           : SafeText(ErrorSummary(report.comparison->status, server_)));
  }
  out_ << "\n";
  for (size_t i = 0; i < 2; ++i) PrintLooks(i);
  PrintEnd();
}

void Printer::PrintParagraph(const std::string& text) {
  if (text.empty()) return;
  for (const std::string& line : Wrap(text, text_columns())) out_ << Dim(line) << "\n";
}

void Printer::PrintEnd() {
  for (const auto& lines : {NoteLines(ladder_), PieceLines(ladder_), Lesson(ladder_)}) {
    for (const std::string& line : lines) {
      for (const std::string& part : Wrap(line, text_columns())) out_ << part << "\n";
    }
  }
  PrintParagraph(LadderLegend(ladder_));
  if (const std::string line = MissingLine(ladder_); !line.empty()) {
    out_ << Paragraph(terminal_, Styled(terminal_, Emphasis::kYellow, line));
  }
  const char* question = "What can each rung tell apart?";
  const char* command = kTellApart;
  if (is_two()) {
    if (FindLikeness(ladder_) == Likeness::kReordered) return;
    question = "And the same words in another order?";
    command = kTellOrder;
  }
  out_ << question << "\n  " << command << "\n";
}

}  // namespace

void PrintLadder(const Ladder& ladder, Session& session) {
  Printer printer(ladder, session);
  ladder.prompts.size() == 2 ? printer.PrintTwo() : printer.PrintOne();
}

}  // namespace heed::cli
