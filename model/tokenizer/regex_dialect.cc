#include "model/tokenizer/regex_dialect.h"

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "model/base/status_macros.h"

namespace heed {
namespace {

// The insides of a class. White_Space, which is \s without U+180E.
constexpr absl::string_view kSpace =
    R"(\x{9}-\x{d}\x{20}\x{85}\x{a0}\x{1680}\x{2000}-\x{200a}\x{2028}\x{2029}\x{202f}\x{205f})"
    R"(\x{3000})";
// Alphabetic, marks, decimal digits and connector punctuation.
constexpr absl::string_view kWord =
    R"(\p{L}\p{M}\p{Nd}\p{Nl}\p{Pc}\x{24b6}-\x{24e9}\x{1f130}-\x{1f149}\x{1f150}-\x{1f169})"
    R"(\x{1f170}-\x{1f189})";

class Translator {
 public:
  explicit Translator(absl::string_view pattern) : rest_(pattern) {}

  absl::StatusOr<std::string> Run() {
    while (!rest_.empty()) HEED_RETURN_IF_ERROR(Step());
    return std::move(out_);
  }

 private:
  absl::Status Step() {
    if (rest_[0] == '\\') return Escape();
    if (in_class_) return InClass();
    if (rest_[0] == '[') return OpenClass();
    if (rest_[0] == '(') return OpenGroup();
    Copy(1);
    return absl::OkStatus();
  }

  absl::Status Escape() {
    if (rest_.size() < 2) return absl::InvalidArgumentError("the pattern ends with a backslash");
    const char c = rest_[1];
    if (c == 's' || c == 'w') return Shorthand(c == 's' ? kSpace : kWord, false);
    if (c == 'S' || c == 'W') return Shorthand(c == 'S' ? kSpace : kWord, true);
    if (c == 'h' || c == 'H') return Unsupported(rest_.substr(0, 2));
    Copy(2);
    return absl::OkStatus();
  }

  absl::Status Shorthand(absl::string_view members, bool negated) {
    if (in_class_ && negated)
      return Unsupported(absl::StrCat(rest_.substr(0, 2), " inside a class"));
    if (in_class_) {
      absl::StrAppend(&out_, members);
    } else {
      absl::StrAppend(&out_, negated ? "[^" : "[", members, "]");
    }
    rest_.remove_prefix(2);
    return absl::OkStatus();
  }

  // A "]" that comes first in a class is a member of it.
  absl::Status OpenClass() {
    in_class_ = true;
    Copy(1);
    if (!rest_.empty() && rest_[0] == '^') Copy(1);
    if (!rest_.empty() && rest_[0] == ']') Copy(1);
    return absl::OkStatus();
  }

  absl::Status InClass() {
    if (rest_.substr(0, 2) == "&&") return Unsupported("&& inside a class");
    if (rest_.substr(0, 2) == "[:") return PosixClass();
    if (rest_[0] == '[') return Unsupported("a class inside a class");
    if (rest_[0] == ']') in_class_ = false;
    Copy(1);
    return absl::OkStatus();
  }

  absl::Status PosixClass() {
    const size_t end = rest_.find(":]");
    if (end == absl::string_view::npos) return Unsupported("a class inside a class");
    Copy(end + 2);
    return absl::OkStatus();
  }

  // Inline flags: "(?i:" and "(?i-x)" are the same in both, but m means what s means in PCRE2.
  absl::Status OpenGroup() {
    Copy(1);
    if (rest_.empty() || rest_[0] != '?') return absl::OkStatus();
    const size_t flags = rest_.find_first_not_of("imxs-", 1);
    if (rest_.substr(1, flags - 1).find_first_of("ms") != absl::string_view::npos) {
      return Unsupported(absl::StrCat("the flags (", rest_.substr(0, flags), ")"));
    }
    return absl::OkStatus();
  }

  absl::Status Unsupported(absl::string_view what) {
    return absl::UnimplementedError(
        absl::StrCat("the pattern uses ", what, ", which heed does not translate"));
  }

  void Copy(size_t count) {
    absl::StrAppend(&out_, rest_.substr(0, count));
    rest_.remove_prefix(count);
  }

  absl::string_view rest_;
  std::string out_;
  bool in_class_ = false;
};

}  // namespace

absl::StatusOr<std::string> ToPcre2Dialect(absl::string_view pattern) {
  return Translator(pattern).Run();
}

}  // namespace heed
