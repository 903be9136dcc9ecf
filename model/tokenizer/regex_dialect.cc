#include "model/tokenizer/regex_dialect.h"

#include <algorithm>
#include <optional>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/strip.h"
#include "model/base/status_macros.h"
#include "model/base/utf8.h"

namespace heed {
namespace {

constexpr int kMaxNesting = 16;  // of classes

// Some characters, as the insides of a class: those listed, or with `negated` all others.
struct CharSet {
  absl::string_view members;
  bool negated = false;
};

// White_Space, which is \s without U+180E.
constexpr absl::string_view kSpace =
    R"(\x{9}-\x{d}\x{20}\x{85}\x{a0}\x{1680}\x{2000}-\x{200a}\x{2028}\x{2029}\x{202f}\x{205f})"
    R"(\x{3000})";
// Alphabetic, marks, decimal digits and connector punctuation.
constexpr absl::string_view kWord =
    R"(\p{L}\p{M}\p{Nd}\p{Nl}\p{Pc}\x{24b6}-\x{24e9}\x{1f130}-\x{1f149}\x{1f150}-\x{1f169})"
    R"(\x{1f170}-\x{1f189})";
// \w by itself and \b know Latin-1's superscripts and fractions also; \w in a class does not.
constexpr absl::string_view kWordAlone =
    R"(\p{L}\p{M}\p{Nd}\p{Nl}\p{Pc}\x{24b6}-\x{24e9}\x{1f130}-\x{1f149}\x{1f150}-\x{1f169})"
    R"(\x{1f170}-\x{1f189}\x{b2}\x{b3}\x{b9}\x{bc}-\x{be})";
constexpr absl::string_view kHexDigit = "0-9a-fA-F";

// What Oniguruma's names for kinds of characters stand for, in [:name:] and in \p{name}.
struct NamedSet {
  absl::string_view name;
  CharSet set;
};
constexpr NamedSet kNamedSets[] = {
    {"alnum", {R"(\p{Alphabetic}\p{Nd})"}},
    {"alpha", {R"(\p{Alphabetic})"}},
    {"ascii", {R"(\x{0}-\x{7f})"}},
    {"blank", {R"(\t\p{Zs})"}},
    {"cntrl", {R"(\p{Cc})"}},
    {"digit", {R"(\p{Nd})"}},
    {"graph", {R"(\p{Cc}\p{Cn}\p{Cs}\p{Z})", true}},
    {"lower", {R"(\p{Lowercase})"}},
    {"print", {R"(\p{Cc}\p{Cn}\p{Cs}\p{Zl}\p{Zp})", true}},
    {"punct", {R"(\p{P}\p{S})"}},
    {"space", {kSpace}},
    {"upper", {R"(\p{Uppercase})"}},
    {"word", {kWord}},
    {"xdigit", {kHexDigit}},
};

std::optional<CharSet> FindNamedSet(absl::string_view name, bool negated) {
  if (absl::ConsumePrefix(&name, "^")) negated = !negated;
  for (const NamedSet& known : kNamedSets) {
    if (!absl::EqualsIgnoreCase(known.name, name)) continue;
    return CharSet{known.set.members, known.set.negated != negated};
  }
  return std::nullopt;
}

// An escape at the beginning of `text`, as far as it means something else in PCRE2.
struct Escape {
  size_t bytes = 2;            // of the escape
  std::optional<CharSet> set;  // what it stands for
  std::string spelling;        // or how PCRE2 spells it
};

size_t CountDigits(absl::string_view text, size_t from, size_t most, absl::string_view digits) {
  text = text.substr(from, most);
  return std::min(text.find_first_not_of(digits), text.size());
}

// \uHHHH, \xHH and in a class \OOO, each with an end of its own: the digits of the last two are
// fewer where another character follows.
void ReadNumber(absl::string_view text, bool in_class, Escape* escape) {
  constexpr absl::string_view kHexDigits = "0123456789abcdefABCDEF";
  const bool is_hex = text[1] == 'u' || text[1] == 'x';
  const size_t begin = is_hex ? 2 : 1;
  size_t count = 0;
  if (text[1] == 'u') count = CountDigits(text, begin, 4, kHexDigits) / 4 * 4;
  if (text[1] == 'x') count = CountDigits(text, begin, 2, kHexDigits);
  if (in_class && !is_hex) count = CountDigits(text, begin, 3, "01234567");
  if (count == 0) return;
  escape->bytes = begin + count;
  escape->spelling = absl::StrCat(is_hex ? "\\x{" : "\\o{", text.substr(begin, count), "}");
}

// \p{name} and \P{name}. A script's name by itself means its extensions in PCRE2 from 10.40 on.
void ReadProperty(absl::string_view name, bool negated, absl::string_view word,
                  IsScriptName is_script, Escape* escape) {
  escape->set = FindNamedSet(name, negated);
  if (escape->set.has_value()) {
    // The property is narrower than the bracket.
    if (escape->set->members == R"(\p{P}\p{S})") escape->set->members = R"(\p{P})";
    if (escape->set->members == kWord) escape->set->members = word;
    return;
  }
  if (absl::ConsumePrefix(&name, "^")) negated = !negated;
  if (is_script(name)) escape->spelling = absl::StrCat(negated ? "\\P" : "\\p", "{sc:", name, "}");
}

Escape ReadEscape(absl::string_view text, bool in_class, IsScriptName is_script) {
  Escape escape;
  const char letter = text[1];
  const absl::string_view word = in_class ? kWord : kWordAlone;
  if (letter == 's' || letter == 'S') escape.set = {kSpace, letter == 'S'};
  if (letter == 'w' || letter == 'W') escape.set = {word, letter == 'W'};
  if (letter == 'h' || letter == 'H') escape.set = {kHexDigit, letter == 'H'};
  ReadNumber(text, in_class, &escape);
  if (letter == 'v') escape.spelling = R"(\x{b})";
  const bool has_brace = text.substr(2, 1) == "{";
  const bool is_literal =
      absl::StrContains("EQV", letter) || (absl::StrContains("pP", letter) && !has_brace);
  if (is_literal) escape.spelling = std::string(1, letter);
  const size_t end = text.find('}');
  const bool has_argument = absl::StrContains("pPxog", letter) && has_brace;
  if (!has_argument || end == absl::string_view::npos) return escape;
  escape.bytes = end + 1;
  if (letter != 'p' && letter != 'P') return escape;
  ReadProperty(text.substr(3, end - 3), letter == 'P', word, is_script, &escape);
  return escape;
}

std::string Class(CharSet set) {
  return absl::StrCat(set.negated ? "[^" : "[", set.members, "]");
}

absl::Status Unsupported(absl::string_view what) {
  return absl::UnimplementedError(
      absl::StrCat("the pattern uses ", what, ", which heed does not translate"));
}

// A class of Oniguruma, which may hold other classes and intersections: "[\w&&[^\d]]". PCRE2 has
// neither, so such a class becomes a group that matches one character.
class ClassTranslator {
 public:
  // `rest` begins with the class and is left behind it.
  static absl::StatusOr<std::string> Run(absl::string_view* rest, IsScriptName is_script,
                                         int depth = 0) {
    if (depth == kMaxNesting) return Unsupported("classes nested deeply");
    ClassTranslator translator(rest, is_script, depth);
    HEED_RETURN_IF_ERROR(translator.Parse());
    return translator.Emit();
  }

 private:
  ClassTranslator(absl::string_view* rest, IsScriptName is_script, int depth)
      : rest_(*rest), is_script_(is_script), depth_(depth) {}

  // What a hyphen means depends on what stands before it. kRange is also a class.
  enum class Before { kNothing, kValue, kSet, kHyphen, kRange };

  absl::Status Parse() {
    Skip(1);
    if (absl::StartsWith(rest_, "^")) {
      negated_ = true;
      Skip(1);
    }
    // A "]" that comes first in a class is a member of it.
    if (absl::StartsWith(rest_, "]")) AddChar();
    while (!rest_.empty() && rest_[0] != ']') HEED_RETURN_IF_ERROR(Member());
    if (rest_.empty()) return absl::InvalidArgumentError("the pattern has a class without an end");
    Skip(1);
    CloseOperand();
    return absl::OkStatus();
  }

  absl::Status Member() {
    if (absl::StartsWith(rest_, "&&")) {
      Skip(2);
      CloseOperand();
      return absl::OkStatus();
    }
    if (rest_[0] == '\\') return AddEscape();
    if (rest_[0] == '-') return AddHyphen();
    if (rest_[0] != '[') {
      AddChar();
      return absl::OkStatus();
    }
    const size_t posix_end =
        absl::StartsWith(rest_, "[:") ? rest_.find(":]") : absl::string_view::npos;
    if (posix_end != absl::string_view::npos) {
      const std::optional<CharSet> set = FindNamedSet(rest_.substr(2, posix_end - 2), false);
      if (set.has_value()) {
        Skip(posix_end + 2);
        return AddSet(*set);
      }
    }
    if (before_ == Before::kHyphen) return Unsupported("a range that ends with a class");
    HEED_ASSIGN_OR_RETURN(alternatives_.emplace_back(), Run(&rest_, is_script_, depth_ + 1));
    before_ = Before::kRange;
    return absl::OkStatus();
  }

  absl::Status AddEscape() {
    if (rest_.size() < 2) return absl::InvalidArgumentError("the pattern ends with a backslash");
    const Escape escape = ReadEscape(rest_, true, is_script_);
    const absl::string_view copied = rest_.substr(0, escape.bytes);
    const std::string spelling = escape.spelling.empty() ? std::string(copied) : escape.spelling;
    const bool is_set = spelling[0] == '\\' && absl::StrContains("dDpP", spelling[1]);
    Skip(escape.bytes);
    if (escape.set.has_value()) return AddSet(*escape.set);
    if (is_set) return AddSet({spelling});
    AddValue(spelling);
    return absl::OkStatus();
  }

  // Between two values a hyphen makes them a range, elsewhere it is a member of the class.
  absl::Status AddHyphen() {
    const bool is_last = absl::StartsWith(rest_, "-]") || absl::StartsWith(rest_, "-&&");
    if (before_ == Before::kSet && !is_last) {
      return absl::InvalidArgumentError("the pattern has a range that begins with a set");
    }
    if (before_ != Before::kValue || is_last) {
      AddChar();
      return absl::OkStatus();
    }
    simple_.push_back('-');
    before_ = Before::kHyphen;
    Skip(1);
    return absl::OkStatus();
  }

  absl::Status AddSet(const CharSet& set) {
    if (before_ == Before::kHyphen) {
      return absl::InvalidArgumentError("the pattern has a range that ends with a set");
    }
    before_ = Before::kSet;
    if (set.negated) {
      alternatives_.push_back(Class(set));
    } else {
      absl::StrAppend(&simple_, set.members);
    }
    return absl::OkStatus();
  }

  // A character as itself, wherever in the class it comes to stand.
  void AddChar() {
    const size_t bytes = static_cast<size_t>(DecodeUtf8(rest_).length);
    AddValue(absl::StrCat(absl::ascii_ispunct(rest_[0]) ? "\\" : "", rest_.substr(0, bytes)));
    Skip(bytes);
  }

  void AddValue(absl::string_view spelling) {
    absl::StrAppend(&simple_, spelling);
    before_ = before_ == Before::kHyphen ? Before::kRange : Before::kValue;
  }

  // One side of an intersection, or all there is: plain members and what must be tried beside them.
  void CloseOperand() {
    if (!simple_.empty()) alternatives_.insert(alternatives_.begin(), Class({simple_}));
    operands_.push_back(std::exchange(alternatives_, {}));
    last_simple_ = std::exchange(simple_, "");
    before_ = Before::kNothing;
  }

  absl::StatusOr<std::string> Emit() const {
    const bool plain = operands_.size() == 1 && operands_[0].size() == 1 && !last_simple_.empty();
    if (plain) return Class({last_simple_, negated_});
    std::vector<std::string> groups;
    for (const std::vector<std::string>& operand : operands_) {
      if (operand.empty()) return absl::InvalidArgumentError("the pattern has an empty class");
      groups.push_back(absl::StrCat("(?:", absl::StrJoin(operand, "|"), ")"));
    }
    std::string body;
    for (size_t i = 0; i + 1 < groups.size(); ++i) absl::StrAppend(&body, "(?=", groups[i], ")");
    absl::StrAppend(&body, groups.back());
    return negated_ ? absl::StrCat("(?:(?!", body, ")(?s:.))") : absl::StrCat("(?:", body, ")");
  }

  void Skip(size_t bytes) { rest_.remove_prefix(std::min(bytes, rest_.size())); }

  absl::string_view& rest_;
  const IsScriptName is_script_;
  const int depth_;
  bool negated_ = false;
  Before before_ = Before::kNothing;
  std::string simple_;                     // plain members of the operand
  std::vector<std::string> alternatives_;  // of the operand: patterns of one character each
  std::vector<std::vector<std::string>> operands_;
  std::string last_simple_;
};

class Translator {
 public:
  Translator(absl::string_view pattern, IsScriptName is_script)
      : rest_(pattern), is_script_(is_script) {}

  absl::StatusOr<std::string> Run() {
    while (!rest_.empty()) HEED_RETURN_IF_ERROR(Step());
    return std::move(out_);
  }

 private:
  absl::Status Step() {
    switch (rest_[0]) {
      case '\\':
        return AddEscape();
      case '[':
        return CharacterClass();
      case '(':
        return OpenGroup();
      case ')':
        CloseGroup();
        return absl::OkStatus();
      case '{':
        Interval();
        return absl::OkStatus();
      case '*':
      case '+':
      case '?':
        Copy(1);
        return absl::OkStatus();
      default:
        BeginAtom();
        Copy(1);
        while (!rest_.empty() && (static_cast<unsigned char>(rest_[0]) & 0xC0) == 0x80) Copy(1);
        return absl::OkStatus();
    }
  }

  absl::Status AddEscape() {
    BeginAtom();
    if (rest_.size() < 2) return absl::InvalidArgumentError("the pattern ends with a backslash");
    if (rest_[1] == 'b' || rest_[1] == 'B') {
      WordBoundary(rest_[1] == 'b');
      return absl::OkStatus();
    }
    const Escape escape = ReadEscape(rest_, false, is_script_);
    if (escape.set.has_value()) {
      absl::StrAppend(&out_, Class(*escape.set));
    } else if (!escape.spelling.empty()) {
      absl::StrAppend(&out_, escape.spelling);
    } else {
      Copy(escape.bytes);
      return absl::OkStatus();
    }
    rest_.remove_prefix(escape.bytes);
    return absl::OkStatus();
  }

  // Between a word character and another, or for \\B between two of the same kind.
  void WordBoundary(bool differ) {
    const std::string word = Class({kWordAlone});
    absl::StrAppend(&out_, "(?:(?<=", word, ")(?", differ ? "!" : "=", word, ")|(?<!", word, ")(?",
                    differ ? "=" : "!", word, "))");
    rest_.remove_prefix(2);
  }

  absl::Status CharacterClass() {
    BeginAtom();
    HEED_ASSIGN_OR_RETURN(const std::string translated, ClassTranslator::Run(&rest_, is_script_));
    absl::StrAppend(&out_, translated);
    return absl::OkStatus();
  }

  // Inline flags: "(?i:" and "(?i-x)" are the same in both, but the dot's newline is m in Ruby and
  // s in PCRE2.
  absl::Status OpenGroup() {
    groups_.push_back(out_.size());
    Copy(1);
    if (!absl::StartsWith(rest_, "?")) return absl::OkStatus();
    const size_t end = rest_.find_first_not_of("imxs-", 1);
    const bool has_flags =
        end != absl::string_view::npos && (rest_[end] == ':' || rest_[end] == ')');
    if (!has_flags) return absl::OkStatus();
    std::string flags(rest_.substr(0, end));
    if (absl::StrContains(flags, 's')) return Unsupported(absl::StrCat("the flags (", flags, ")"));
    std::replace(flags.begin(), flags.end(), 'm', 's');
    absl::StrAppend(&out_, flags);
    rest_.remove_prefix(end);
    return absl::OkStatus();
  }

  void CloseGroup() {
    atom_ = groups_.empty() ? out_.size() : groups_.back();
    if (!groups_.empty()) groups_.pop_back();
    Copy(1);
  }

  // {n}, {n,}, {n,m} and {,m}. A plus behind one repeats the whole again in Ruby; in PCRE2 it would
  // forbid to give anything back.
  void Interval() {
    size_t end = 1;
    while (end < rest_.size() && (absl::ascii_isdigit(rest_[end]) || rest_[end] == ',')) ++end;
    if (end == 1 || end == rest_.size() || rest_[end] != '}') {
      BeginAtom();
      return Copy(1);
    }
    Copy(1);
    if (rest_[0] == ',') out_.push_back('0');
    Copy(end);
    if (!absl::StartsWith(rest_, "+")) return;
    out_.insert(atom_, "(?:");
    out_.push_back(')');
  }

  void BeginAtom() { atom_ = out_.size(); }

  void Copy(size_t count) {
    absl::StrAppend(&out_, rest_.substr(0, count));
    rest_.remove_prefix(std::min(count, rest_.size()));
  }

  absl::string_view rest_;
  const IsScriptName is_script_;
  std::string out_;
  size_t atom_ = 0;             // where what a repetition repeats begins in out_
  std::vector<size_t> groups_;  // where the open groups begin in out_
};

}  // namespace

absl::StatusOr<std::string> ToPcre2Dialect(absl::string_view pattern, IsScriptName is_script) {
  return Translator(pattern, is_script).Run();
}

}  // namespace heed
