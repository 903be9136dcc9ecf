// What a stream of output can show: colours, width, and how many columns a text takes.
#ifndef HEED_CLIENT_CLI_BASE_TERMINAL_H_
#define HEED_CLIENT_CLI_BASE_TERMINAL_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"

namespace heed::cli {

enum class ColorDepth { kNone, k256, kTrueColor };

struct Terminal {
  bool is_terminal = false;
  int width = 80;  // columns
  ColorDepth color = ColorDepth::kNone;
  bool dark_background = true;
};

// When to use colours, as --color says.
enum class ColorChoice { kAuto, kAlways, kNever };

// The environment variables that matter, empty when unset. https://no-color.org asks for NO_COLOR.
struct TerminalVariables {
  std::string term;       // TERM
  std::string colorterm;  // COLORTERM
  std::string no_color;   // NO_COLOR
  std::string colorfgbg;  // COLORFGBG, "foreground;background" as some terminals set it
};

// The colours of a stream: none unless it is a terminal or the choice is "always"; 24-bit when
// COLORTERM or TERM says so.
ColorDepth DetectColor(bool is_terminal, ColorChoice choice, const TerminalVariables& variables);

// False when COLORFGBG names one of the light backgrounds.
bool HasDarkBackground(const TerminalVariables& variables);

// Whether the file descriptor is a terminal, and its width (COLUMNS, then the terminal's own, then
// 80).
bool IsTerminal(int fd);
int TerminalWidth(int fd);

struct Rgb {
  uint8_t red = 0;
  uint8_t green = 0;
  uint8_t blue = 0;
};

enum class Emphasis { kBold, kDim, kRed, kGreen, kYellow, kCyan };

// `text` in the given style; unchanged without colours.
std::string Styled(const Terminal& terminal, Emphasis emphasis, absl::string_view text);

// `text` on a coloured background, black or white, whichever reads better. Unchanged without
// colours.
std::string OnBackground(const Terminal& terminal, Rgb background, bool bold,
                         absl::string_view text);

// The nearest of the 256-colour palette's 6 x 6 x 6 cube and greys.
int NearestPaletteColor(Rgb color);

// Columns that `text` takes in a terminal: wide characters two, combining marks and escape
// sequences none.
int DisplayWidth(absl::string_view text);

// `text` cut to at most `width` columns, with an ellipsis in place of what was cut.
std::string Fit(absl::string_view text, int width);

// The same for a list whose items stand two spaces apart: only whole items stay, if one fits.
std::string FitItems(absl::string_view text, int width);

// `text` filled with spaces to `width` columns, on the right or on the left; never cut.
std::string PadRight(absl::string_view text, int width);
std::string PadLeft(absl::string_view text, int width);

// A paragraph as lines of at most `width` columns, broken where it has spaces; a longer word has a
// line of its own.
std::vector<std::string> Wrap(absl::string_view paragraph, int width);

// How long a line of running text may be: as the terminal is wide; elsewhere without limit.
int TextWidth(const Terminal& terminal);

// A paragraph on as many lines as it takes there, each ending with a line feed.
std::string Paragraph(const Terminal& terminal, absl::string_view text);

// The items behind `lead`, with `separator` between them, on as many lines of TextWidth as they
// take, of which those after the first are indented. An item goes on one line, cut only when it is
// longer than that. No line feed at the end.
std::string JoinItems(const Terminal& terminal, const std::vector<std::string>& items,
                      absl::string_view separator, int indent = 0, absl::string_view lead = "");

// A bar of `fraction` times `max_columns` columns, in eighths, never empty when the fraction is
// positive.
std::string Bar(double fraction, int max_columns);

}  // namespace heed::cli

#endif  // HEED_CLIENT_CLI_BASE_TERMINAL_H_
