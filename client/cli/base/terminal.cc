#include "client/cli/base/terminal.h"

#include <sys/ioctl.h>
#include <unistd.h>
#include <utf8proc.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <limits>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"

namespace heed::cli {
namespace {

constexpr char kReset[] = "\033[0m";

const char* Code(Emphasis emphasis) {
  switch (emphasis) {
    case Emphasis::kBold:
      return "\033[1m";
    case Emphasis::kDim:
      return "\033[2m";
    case Emphasis::kRed:
      return "\033[31m";
    case Emphasis::kGreen:
      return "\033[32m";
    case Emphasis::kYellow:
      return "\033[33m";
    case Emphasis::kCyan:
      return "\033[36m";
  }
  return "";
}

// The length of the escape sequence (CSI) that `text` begins with; 0 for none.
size_t EscapeLength(absl::string_view text) {
  if (!absl::StartsWith(text, "\033[")) return 0;
  size_t end = 2;
  while (end < text.size() && (text[end] < '@' || text[end] > '~')) ++end;
  return std::min(end + 1, text.size());
}

// Calls `f(begin, end, columns)` for each character until it returns false. A byte that is not
// UTF-8 counts one column, an escape sequence none.
template <typename F>
void ForEachCharacter(absl::string_view text, F f) {
  size_t begin = 0;
  while (begin < text.size()) {
    if (const size_t length = EscapeLength(text.substr(begin)); length > 0) {
      if (!f(begin, begin + length, 0)) return;
      begin += length;
      continue;
    }
    utf8proc_int32_t code = 0;
    const utf8proc_ssize_t length =
        utf8proc_iterate(reinterpret_cast<const utf8proc_uint8_t*>(text.data()) + begin,
                         static_cast<utf8proc_ssize_t>(text.size() - begin), &code);
    const size_t end = begin + std::max<utf8proc_ssize_t>(length, 1);
    if (!f(begin, end, length > 0 ? utf8proc_charwidth(code) : 1)) return;
    begin = end;
  }
}

// How bright a colour looks, in [0, 255].
double Luminance(Rgb color) {
  return 0.2126 * color.red + 0.7152 * color.green + 0.0722 * color.blue;
}

int SquaredDistance(Rgb a, Rgb b) {
  const int red = a.red - b.red;
  const int green = a.green - b.green;
  const int blue = a.blue - b.blue;
  return red * red + green * green + blue * blue;
}

}  // namespace

ColorDepth DetectColor(bool is_terminal, ColorChoice choice, const TerminalVariables& variables) {
  if (choice == ColorChoice::kNever) return ColorDepth::kNone;
  if (choice == ColorChoice::kAuto &&
      (!is_terminal || !variables.no_color.empty() || variables.term == "dumb")) {
    return ColorDepth::kNone;
  }
  const bool true_color = variables.colorterm == "truecolor" || variables.colorterm == "24bit" ||
                          absl::StrContains(variables.term, "direct") ||
                          absl::StrContains(variables.term, "kitty");
  return true_color ? ColorDepth::kTrueColor : ColorDepth::k256;
}

bool HasDarkBackground(const TerminalVariables& variables) {
  const size_t separator = variables.colorfgbg.rfind(';');
  int background = 0;
  if (separator == std::string::npos ||
      !absl::SimpleAtoi(variables.colorfgbg.substr(separator + 1), &background)) {
    return true;
  }
  return background < 7 || background == 8;
}

bool IsTerminal(int fd) {
  return isatty(fd) == 1;
}

int TerminalWidth(int fd) {
  int columns = 0;
  const char* variable = std::getenv("COLUMNS");
  if (variable != nullptr && absl::SimpleAtoi(variable, &columns) && columns > 0) {
    return std::clamp(columns, 20, 1000);
  }
  winsize size{};
  if (ioctl(fd, TIOCGWINSZ, &size) == 0 && size.ws_col > 0) {
    return std::max<int>(size.ws_col, 20);
  }
  return 80;
}

std::string Styled(const Terminal& terminal, Emphasis emphasis, absl::string_view text) {
  if (terminal.color == ColorDepth::kNone || text.empty()) return std::string(text);
  return absl::StrCat(Code(emphasis), text, kReset);
}

std::string OnBackground(const Terminal& terminal, Rgb background, bool bold,
                         absl::string_view text) {
  if (terminal.color == ColorDepth::kNone) return std::string(text);
  const bool black_text = Luminance(background) > 120;
  std::string codes = bold ? "\033[1m" : "";
  if (terminal.color == ColorDepth::kTrueColor) {
    absl::StrAppend(&codes, black_text ? "\033[38;2;0;0;0m" : "\033[38;2;255;255;255m",
                    "\033[48;2;", static_cast<int>(background.red), ";",
                    static_cast<int>(background.green), ";", static_cast<int>(background.blue),
                    "m");
  } else {
    absl::StrAppend(&codes, black_text ? "\033[38;5;16m" : "\033[38;5;231m", "\033[48;5;",
                    NearestPaletteColor(background), "m");
  }
  return absl::StrCat(codes, text, kReset);
}

int NearestPaletteColor(Rgb color) {
  constexpr int kLevels[] = {0, 95, 135, 175, 215, 255};
  const auto nearest_level = [&](int value) {
    int best = 0;
    for (int i = 1; i < 6; ++i) {
      if (std::abs(kLevels[i] - value) < std::abs(kLevels[best] - value)) best = i;
    }
    return best;
  };
  const int red = nearest_level(color.red);
  const int green = nearest_level(color.green);
  const int blue = nearest_level(color.blue);
  const Rgb cube{static_cast<uint8_t>(kLevels[red]), static_cast<uint8_t>(kLevels[green]),
                 static_cast<uint8_t>(kLevels[blue])};
  const int grey_index =
      std::clamp(((color.red + color.green + color.blue) / 3 - 8 + 5) / 10, 0, 23);
  const auto grey_level = static_cast<uint8_t>(8 + 10 * grey_index);
  const Rgb grey{grey_level, grey_level, grey_level};
  if (SquaredDistance(color, grey) < SquaredDistance(color, cube)) return 232 + grey_index;
  return 16 + 36 * red + 6 * green + blue;
}

int DisplayWidth(absl::string_view text) {
  int width = 0;
  ForEachCharacter(text, [&](size_t, size_t, int columns) {
    width += columns;
    return true;
  });
  return width;
}

std::string Fit(absl::string_view text, int width) {
  if (DisplayWidth(text) <= width) return std::string(text);
  size_t kept_bytes = 0;
  int used = 0;
  ForEachCharacter(text, [&](size_t, size_t end, int columns) {
    if (used + columns > width - 1) return false;
    used += columns;
    kept_bytes = end;
    return true;
  });
  const bool is_styled = absl::StrContains(text, '\033');
  return absl::StrCat(text.substr(0, kept_bytes), width > 0 ? "…" : "", is_styled ? kReset : "");
}

std::string FitItems(absl::string_view text, int width) {
  if (DisplayWidth(text) <= width) return std::string(text);
  size_t kept = 0;
  for (size_t gap = text.find("  "); gap != text.npos; gap = text.find("  ", gap + 1)) {
    if (DisplayWidth(text.substr(0, gap)) + 2 > width) break;
    kept = gap;
  }
  const absl::string_view items = absl::StripTrailingAsciiWhitespace(text.substr(0, kept));
  if (items.empty()) return Fit(text, width);
  return absl::StrCat(items, absl::StrContains(text, '\033') ? kReset : "", " …");
}

std::string PadRight(absl::string_view text, int width) {
  return absl::StrCat(text, std::string(std::max(0, width - DisplayWidth(text)), ' '));
}

std::string PadLeft(absl::string_view text, int width) {
  return absl::StrCat(std::string(std::max(0, width - DisplayWidth(text)), ' '), text);
}

std::vector<std::string> Wrap(absl::string_view paragraph, int width) {
  std::vector<std::string> lines(1);
  for (absl::string_view word : absl::StrSplit(paragraph, ' ')) {
    const bool fits = DisplayWidth(lines.back()) + 1 + DisplayWidth(word) <= width;
    if (lines.back().empty()) {
      lines.back() = std::string(word);
    } else if (fits) {
      absl::StrAppend(&lines.back(), " ", word);
    } else {
      lines.emplace_back(word);
    }
  }
  return lines;
}

int TextWidth(const Terminal& terminal) {
  return terminal.is_terminal ? terminal.width : std::numeric_limits<int>::max();
}

std::string Paragraph(const Terminal& terminal, absl::string_view text) {
  return absl::StrCat(absl::StrJoin(Wrap(text, TextWidth(terminal)), "\n"), "\n");
}

std::string JoinItems(const Terminal& terminal, const std::vector<std::string>& items,
                      absl::string_view separator, int indent, absl::string_view lead) {
  const int width = TextWidth(terminal);
  std::string text(lead);
  int used = DisplayWidth(lead);
  for (size_t i = 0; i < items.size(); ++i) {
    const std::string item = Fit(items[i], width - indent);
    const absl::string_view before = i > 0 ? separator : "";
    // Of a separator at the end of a line only the mark remains.
    const absl::string_view after = i + 1 < items.size() ? separator : "";
    const int columns =
        DisplayWidth(item) + DisplayWidth(absl::StripTrailingAsciiWhitespace(after));
    if (used > indent && columns > width - used - DisplayWidth(before)) {
      absl::StrAppend(&text, before);
      absl::StripTrailingAsciiWhitespace(&text);
      absl::StrAppend(&text, "\n", std::string(indent, ' '));
      used = indent;
    } else {
      absl::StrAppend(&text, before);
      used += DisplayWidth(before);
    }
    text += item;
    used += DisplayWidth(item);
  }
  return text;
}

std::string Bar(double fraction, int max_columns) {
  constexpr const char* kEighths[] = {"", "▏", "▎", "▍", "▌", "▋", "▊", "▉"};
  if (!(fraction > 0)) return "";
  const double columns = std::min(fraction, 1.0) * max_columns;
  const int eighths = std::max(1, static_cast<int>(std::lround(columns * 8)));
  std::string bar;
  for (int i = 0; i < eighths / 8; ++i) bar += "█";
  return bar + kEighths[eighths % 8];
}

}  // namespace heed::cli
