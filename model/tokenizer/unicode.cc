#include "model/tokenizer/unicode.h"

#include <utf8proc.h>

#include <algorithm>
#include <cstdint>
#include <optional>
#include <vector>

#include "model/base/utf8.h"

namespace heed {
namespace {

constexpr char32_t kFirstComposing =
    0x300;  // no character below takes part in a composition as the second

int CombiningClass(char32_t c) {
  return c < kFirstComposing
             ? 0
             : utf8proc_get_property(static_cast<utf8proc_int32_t>(c))->combining_class;
}

// Letters that are neither category L nor marks: circled and squared letters.
bool IsOtherAlphabetic(char32_t c) {
  return (c >= 0x24B6 && c <= 0x24E9) || (c >= 0x1F130 && c <= 0x1F149) ||
         (c >= 0x1F150 && c <= 0x1F169) || (c >= 0x1F170 && c <= 0x1F189);
}

std::optional<char32_t> Compose(char32_t first, char32_t second) {
  if (second < kFirstComposing) return std::nullopt;
  utf8proc_int32_t pair[2] = {static_cast<utf8proc_int32_t>(first),
                              static_cast<utf8proc_int32_t>(second)};
  const auto options = static_cast<utf8proc_option_t>(UTF8PROC_STABLE | UTF8PROC_COMPOSE);
  if (utf8proc_normalize_utf32(pair, 2, options) != 1) return std::nullopt;
  return static_cast<char32_t>(pair[0]);
}

// A stage of the way text -> decomposed and ordered -> composed.
class Composer {
 public:
  explicit Composer(RewriteSink sink) : sink_(sink) {}

  void Add(RewrittenChar c) {
    const int combining_class = CombiningClass(c.code_point);
    if (!starter_.has_value()) {
      if (combining_class == 0) {
        starter_ = c;
      } else {
        sink_(c);
      }
      return;
    }
    if (!Blocked(combining_class) && Absorb(c)) return;
    if (combining_class == 0) {
      Flush();
      starter_ = c;
    } else {
      marks_.push_back(c);
      last_class_ = combining_class;
    }
  }

  void Flush() {
    if (starter_.has_value()) sink_(*starter_);
    for (const RewrittenChar& mark : marks_) sink_(mark);
    starter_.reset();
    marks_.clear();
    last_class_ = 0;
  }

 private:
  // Whether a mark since the starter keeps a character of this class from reaching it.
  bool Blocked(int combining_class) const {
    return !marks_.empty() && last_class_ >= combining_class;
  }

  bool Absorb(RewrittenChar c) {
    const std::optional<char32_t> composed = Compose(starter_->code_point, c.code_point);
    if (!composed.has_value()) return false;
    starter_ = {*composed, starter_->change + c.change - 1};
    return true;
  }

  RewriteSink sink_;
  std::optional<RewrittenChar> starter_;
  std::vector<RewrittenChar> marks_;  // not composed, after the starter
  int last_class_ = 0;                // of the last of them
};

// Decomposes characters and hands them on in canonical order.
class Decomposer {
 public:
  Decomposer(bool compatible, RewriteSink sink)
      : options_(static_cast<utf8proc_option_t>(UTF8PROC_STABLE | UTF8PROC_DECOMPOSE |
                                                (compatible ? UTF8PROC_COMPAT : 0))),
        compatible_(compatible),
        sink_(sink) {}

  void Add(char32_t c) {
    if (c < (compatible_ ? 0xA0 : 0xC0)) return Push({c, 0});
    utf8proc_int32_t parts[32];
    int boundary = 0;
    const auto count =
        utf8proc_decompose_char(static_cast<utf8proc_int32_t>(c), parts, 32, options_, &boundary);
    if (count <= 0 || count > 32) return Push({c, 0});
    for (int i = 0; i < count; ++i) Push({static_cast<char32_t>(parts[i]), i == 0 ? 0 : 1});
  }

  void Flush() {
    std::stable_sort(marks_.begin(), marks_.end(), [](const Mark& a, const Mark& b) {
      return a.combining_class < b.combining_class;
    });
    for (const Mark& mark : marks_) sink_(mark.c);
    marks_.clear();
  }

 private:
  struct Mark {
    int combining_class;
    RewrittenChar c;
  };

  void Push(RewrittenChar c) {
    const int combining_class = CombiningClass(c.code_point);
    if (combining_class != 0) {
      marks_.push_back({combining_class, c});
      return;
    }
    if (!marks_.empty()) Flush();
    sink_(c);
  }

  const utf8proc_option_t options_;
  const bool compatible_;
  RewriteSink sink_;
  std::vector<Mark> marks_;  // since the last starter
};

void Decompose(bool compatible, absl::string_view text, RewriteSink sink) {
  Decomposer decomposer(compatible, sink);
  while (!text.empty()) {
    const Utf8Char c = DecodeValidUtf8(text);
    decomposer.Add(c.code_point);
    text.remove_prefix(c.length);
  }
  decomposer.Flush();
}

// Whether a character is never changed by the form and never joins what stands before it: a text
// can be cut in front of it. What follows may still join it.
bool IsStable(NormalForm form, char32_t c) {
  const char32_t limit = form == NormalForm::kNfc ? 0x300 : form == NormalForm::kNfd ? 0xC0 : 0xA0;
  if (c < limit) return true;
  const bool composes = form == NormalForm::kNfc || form == NormalForm::kNfkc;
  const bool ideograph = c >= 0x4E00 && c <= 0x9FFF;
  const bool syllable = composes && c >= 0xAC00 && c <= 0xD7A3;
  return ideograph || syllable || c == 0xFFFD;
}

struct StableText {
  size_t bytes = 0;
  size_t last_char_bytes = 0;
};

// The stable characters with which `text` begins.
StableText StablePrefix(NormalForm form, absl::string_view text) {
  StableText result;
  while (result.bytes < text.size()) {
    const Utf8Char c = DecodeValidUtf8(text.substr(result.bytes));
    if (!IsStable(form, c.code_point)) break;
    result.last_char_bytes = static_cast<size_t>(c.length);
    result.bytes += result.last_char_bytes;
  }
  return result;
}

}  // namespace

bool IsWhitespace(char32_t c) {
  if (c < 0x80) return c == ' ' || (c >= '\t' && c <= '\r');
  return c == 0x85 || c == 0xA0 || c == 0x1680 || (c >= 0x2000 && c <= 0x200A) || c == 0x2028 ||
         c == 0x2029 || c == 0x202F || c == 0x205F || c == 0x3000;
}

bool IsWordChar(char32_t c) {
  switch (utf8proc_category(static_cast<utf8proc_int32_t>(c))) {
    case UTF8PROC_CATEGORY_LU:
    case UTF8PROC_CATEGORY_LL:
    case UTF8PROC_CATEGORY_LT:
    case UTF8PROC_CATEGORY_LM:
    case UTF8PROC_CATEGORY_LO:
    case UTF8PROC_CATEGORY_MN:
    case UTF8PROC_CATEGORY_MC:
    case UTF8PROC_CATEGORY_ME:
    case UTF8PROC_CATEGORY_ND:
    case UTF8PROC_CATEGORY_NL:
    case UTF8PROC_CATEGORY_PC:
      return true;
    default:
      return c == 0x200C || c == 0x200D || IsOtherAlphabetic(c);
  }
}

bool IsNumeric(char32_t c) {
  const utf8proc_category_t category = utf8proc_category(static_cast<utf8proc_int32_t>(c));
  return category == UTF8PROC_CATEGORY_ND || category == UTF8PROC_CATEGORY_NL ||
         category == UTF8PROC_CATEGORY_NO;
}

bool IsPunctuation(char32_t c) {
  if (c < 0x80)
    return (c >= '!' && c <= '/') || (c >= ':' && c <= '@') || (c >= '[' && c <= '`') ||
           (c >= '{' && c <= '~');
  const utf8proc_category_t category = utf8proc_category(static_cast<utf8proc_int32_t>(c));
  return category >= UTF8PROC_CATEGORY_PC && category <= UTF8PROC_CATEGORY_PO;
}

bool IsMark(char32_t c) {
  const utf8proc_category_t category = utf8proc_category(static_cast<utf8proc_int32_t>(c));
  return category >= UTF8PROC_CATEGORY_MN && category <= UTF8PROC_CATEGORY_ME;
}

bool IsNonspacingMark(char32_t c) {
  return utf8proc_category(static_cast<utf8proc_int32_t>(c)) == UTF8PROC_CATEGORY_MN;
}

bool IsOther(char32_t c) {
  const utf8proc_category_t category = utf8proc_category(static_cast<utf8proc_int32_t>(c));
  return category >= UTF8PROC_CATEGORY_CC && category <= UTF8PROC_CATEGORY_CO;
}

size_t GraphemeClusterBytes(absl::string_view text) {
  const bool two_ascii = text.size() > 1 && static_cast<unsigned char>(text[0]) < 0x80 &&
                         static_cast<unsigned char>(text[1]) < 0x80;
  if (two_ascii && text[0] != '\r') return 1;
  Utf8Char previous = DecodeValidUtf8(text);
  size_t size = static_cast<size_t>(previous.length);
  utf8proc_int32_t state = 0;
  while (size < text.size()) {
    const Utf8Char next = DecodeValidUtf8(text.substr(size));
    if (utf8proc_grapheme_break_stateful(static_cast<utf8proc_int32_t>(previous.code_point),
                                         static_cast<utf8proc_int32_t>(next.code_point), &state)) {
      break;
    }
    size += static_cast<size_t>(next.length);
    previous = next;
  }
  return size;
}

bool IsNormalized(NormalForm form, absl::string_view text) {
  return StablePrefix(form, text).bytes == text.size();
}

size_t NormalizedPrefix(NormalForm form, absl::string_view text) {
  const StableText stable = StablePrefix(form, text);
  // What follows may join the last character.
  return stable.bytes == text.size() ? stable.bytes : stable.bytes - stable.last_char_bytes;
}

size_t SeparablePrefix(NormalForm form, absl::string_view text) {
  size_t bytes = static_cast<size_t>(DecodeValidUtf8(text).length);
  while (bytes < text.size()) {
    const Utf8Char c = DecodeValidUtf8(text.substr(bytes));
    if (IsStable(form, c.code_point)) break;
    bytes += static_cast<size_t>(c.length);
  }
  return bytes;
}

void Normalize(NormalForm form, absl::string_view text, RewriteSink sink) {
  const bool compatible = form == NormalForm::kNfkc || form == NormalForm::kNfkd;
  if (form == NormalForm::kNfd || form == NormalForm::kNfkd)
    return Decompose(compatible, text, sink);
  Composer composer(sink);
  Decompose(compatible, text, [&composer](RewrittenChar c) { composer.Add(c); });
  composer.Flush();
}

void Lowercase(char32_t c, RewriteSink sink) {
  if (c == 0x130) {
    sink({'i', 0});
    sink({0x307, 1});
    return;
  }
  sink({static_cast<char32_t>(utf8proc_tolower(static_cast<utf8proc_int32_t>(c))), 0});
}

}  // namespace heed
