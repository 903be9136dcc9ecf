#include "server/wrap.h"

#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"

namespace heed {
namespace {

constexpr size_t kLeastWidth = 20;

bool BeginsCharacter(char byte) {
  return (static_cast<unsigned char>(byte) & 0xC0) != 0x80;
}

size_t CountCharacters(absl::string_view utf8) {
  return static_cast<size_t>(std::count_if(utf8.begin(), utf8.end(), BeginsCharacter));
}

// The bytes of the first `n` characters.
size_t BytesOf(absl::string_view utf8, size_t n) {
  size_t end = 0;
  while (end < utf8.size() && (!BeginsCharacter(utf8[end]) || n-- > 0)) ++end;
  return end;
}

}  // namespace

size_t LineWidth(int fd) {
  if (isatty(fd) == 0) return kNoWidth;
  size_t columns = 0;
  const char* const variable = std::getenv("COLUMNS");
  if (variable == nullptr || !absl::SimpleAtoi(variable, &columns) || columns == 0) {
    winsize size{};
    if (ioctl(fd, TIOCGWINSZ, &size) != 0 || size.ws_col == 0) return kNoWidth;
    columns = size.ws_col;
  }
  return std::max(columns, kLeastWidth);
}

std::string Wrapped(absl::string_view lead, absl::string_view text, size_t width) {
  const size_t indent = CountCharacters(lead);
  std::string lines(lead);
  size_t used = indent;
  const auto begin_line = [&] {
    absl::StrAppend(&lines, "\n", std::string(indent, ' '));
    used = indent;
  };
  for (absl::string_view word : absl::StrSplit(text, ' ')) {
    if (used > indent && used + 1 + CountCharacters(word) <= width) {
      absl::StrAppend(&lines, " ");
      ++used;
    } else if (used > indent) {
      begin_line();
    }
    for (; used + CountCharacters(word) > width; begin_line()) {
      const size_t end = BytesOf(word, width - used);
      absl::StrAppend(&lines, word.substr(0, end));
      word.remove_prefix(end);
    }
    absl::StrAppend(&lines, word);
    used += CountCharacters(word);
  }
  return lines + "\n";
}

}  // namespace heed
