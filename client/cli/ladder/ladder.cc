#include "client/cli/ladder/ladder.h"

#include <utf8proc.h>

#include <algorithm>
#include <cmath>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "client/cli/base/arguments.h"
#include "client/cli/base/format.h"
#include "client/cli/base/mask.h"

namespace heed::cli {
namespace {

// What the rungs of one head do; the others are described by their shape.
constexpr const char* kMeanings[] = {
    "only the last word counts",
    "every word counts the same",
    "some words count more, wherever they stand",
    "the last word picks what counts, but sees no order",
    "the same, and every word has a place: order counts",
};

const ModelInfo* FindModel(const std::vector<ModelInfo>& loaded, absl::string_view name) {
  const auto it = std::find_if(loaded.begin(), loaded.end(),
                               [&](const ModelInfo& model) { return model.identity.name == name; });
  return it == loaded.end() ? nullptr : &*it;
}

std::string ShapeMeaning(const ModelInfo& model) {
  const char* sees = model.direction == AttentionDirection::kBidirectional
                         ? "a word sees those after it too"
                         : "a word sees those before it";
  return absl::StrCat(Plural(model.layer_count, "layer"), " of ", Plural(model.head_count, "head"),
                      "; ", sees);
}

Rung MakeRung(const ModelInfo& model) {
  Rung rung{.model = model};
  const std::vector<std::string>& names = LadderNames();
  const auto it = std::find(names.begin(), names.end(), model.identity.name);
  if (it != names.end()) rung.number = static_cast<int>(it - names.begin());
  const bool one_head = model.layer_count == 1 && model.head_count == 1;
  const bool has_meaning = rung.number && *rung.number < static_cast<int>(std::size(kMeanings));
  rung.meaning = has_meaning && one_head ? kMeanings[*rung.number] : ShapeMeaning(model);
  return rung;
}

std::string JoinNames(const std::vector<ModelInfo>& models) {
  return absl::StrJoin(models, ", ", [](std::string* out, const ModelInfo& model) {
    absl::StrAppend(out, model.identity.name);
  });
}

absl::Status NotLoaded(const std::string& name, const std::vector<ModelInfo>& loaded) {
  std::vector<std::string> known;
  for (const ModelInfo& model : loaded) known.push_back(model.identity.name);
  const auto nearest = Nearest(name, known);
  return absl::NotFoundError(
      absl::StrCat("model \"", name, "\" is not loaded. Loaded: ", JoinNames(loaded), ".",
                   nearest ? absl::StrCat("\nDid you mean \"", *nearest, "\"?") : ""));
}

absl::Status NoRungs(const std::vector<ModelInfo>& loaded) {
  std::string message =
      absl::StrCat("none of the ladder's models is loaded: ", absl::StrJoin(LadderNames(), ", "));
  if (loaded.empty()) return absl::NotFoundError(message);
  return absl::NotFoundError(
      absl::StrCat(message, ".\nLoaded: ", JoinNames(loaded),
                   ". Choose any of them: --models=", loaded.front().identity.name));
}

absl::StatusOr<AskedPrompt> CutAtMask(absl::string_view prompt, TextRange mask) {
  const absl::string_view before = absl::StripTrailingAsciiWhitespace(prompt.substr(0, mask.begin));
  const absl::string_view after = absl::StripAsciiWhitespace(prompt.substr(mask.end));
  if (before.empty()) {
    return absl::InvalidArgumentError(
        "nothing stands before the mask, and this model sees nothing else");
  }
  return AskedPrompt{
      .text = std::string(before),
      .at_mask = true,
      .note = after.empty()
                  ? "asked at the mask, with the words before it"
                  : absl::StrCat("asked at the mask, with the words before it; it cannot see \"",
                                 after, "\"")};
}

// Letters, digits and symbols stand together; so do punctuation marks, and spaces.
enum class Kind { kSpace, kPunctuation, kWord };

Kind KindOf(utf8proc_int32_t code) {
  const utf8proc_category_t category = utf8proc_category(code);
  if (category >= UTF8PROC_CATEGORY_PC && category <= UTF8PROC_CATEGORY_PO) {
    return Kind::kPunctuation;
  }
  const bool is_separator = category >= UTF8PROC_CATEGORY_ZS && category <= UTF8PROC_CATEGORY_ZP;
  return is_separator || category == UTF8PROC_CATEGORY_CC ? Kind::kSpace : Kind::kWord;
}

struct Run {
  size_t begin = 0;
  size_t end = 0;
  Kind kind = Kind::kSpace;
};

// Single characters of punctuation, and words as wide as they are.
std::vector<Run> SplitRuns(absl::string_view text) {
  std::vector<Run> runs;
  for (size_t i = 0; i < text.size();) {
    utf8proc_int32_t code = -1;
    const auto length = std::max<utf8proc_ssize_t>(
        1, utf8proc_iterate(reinterpret_cast<const utf8proc_uint8_t*>(text.data()) + i,
                            static_cast<utf8proc_ssize_t>(text.size() - i), &code));
    const size_t end = i + static_cast<size_t>(length);
    const Kind kind = KindOf(code);
    if (!runs.empty() && kind == Kind::kWord && runs.back().kind == kind) {
      runs.back().end = end;
    } else {
      runs.push_back({i, end, kind});
    }
    i = end;
  }
  return runs;
}

// The tokens that a text was read as, by id, without those that stand for no text.
std::vector<int32_t> PlainIds(const std::vector<Token>& tokens) {
  std::vector<int32_t> ids;
  for (const Token& token : tokens) {
    if (!token.special) ids.push_back(token.id);
  }
  return ids;
}

// The same as sorted words without the spaces before them.
std::vector<std::string> SortedWords(const std::vector<Token>& tokens) {
  std::vector<std::string> words;
  for (const Token& token : tokens) {
    if (!token.special) words.emplace_back(absl::StripLeadingAsciiWhitespace(token.bytes));
  }
  std::sort(words.begin(), words.end());
  return words;
}

Likeness LikenessOf(const std::vector<Token>& a, const std::vector<Token>& b) {
  std::vector<int32_t> a_ids = PlainIds(a);
  std::vector<int32_t> b_ids = PlainIds(b);
  if (a_ids.empty() || b_ids.empty()) return Likeness::kNone;
  if (a_ids == b_ids) return Likeness::kSameText;
  const bool same_end = a_ids.back() == b_ids.back();
  std::sort(a_ids.begin(), a_ids.end());
  std::sort(b_ids.begin(), b_ids.end());
  if (a_ids == b_ids) return Likeness::kReordered;
  if (SortedWords(a) == SortedWords(b)) return Likeness::kReorderedButForSpaces;
  return same_end ? Likeness::kSameLastWord : Likeness::kNone;
}

}  // namespace

const std::vector<std::string>& LadderNames() {
  static const auto* const names = new std::vector<std::string>{
      "last-word", "average", "weighted", "attention", "attention-pos", "decoder", "encoder"};
  return *names;
}

absl::StatusOr<RungChoice> ChooseRungs(const std::vector<ModelInfo>& loaded,
                                       const std::vector<std::string>& names) {
  RungChoice choice;
  for (const std::string& name : names.empty() ? LadderNames() : names) {
    const ModelInfo* model = FindModel(loaded, name);
    if (model != nullptr) {
      choice.rungs.push_back(MakeRung(*model));
    } else if (names.empty()) {
      choice.missing.push_back(name);
    } else {
      return NotLoaded(name, loaded);
    }
  }
  if (choice.rungs.empty()) return NoRungs(loaded);
  return choice;
}

std::vector<std::string> MaskTexts(const std::vector<Rung>& rungs) {
  std::vector<std::string> texts = {"[MASK]"};
  for (const Rung& rung : rungs) {
    std::string text = MaskText(rung.model);
    if (!text.empty() && text != texts.front()) texts.push_back(std::move(text));
  }
  return texts;
}

absl::StatusOr<AskedPrompt> AdaptPrompt(absl::string_view prompt, const ModelInfo& model,
                                        const std::vector<std::string>& mask_texts) {
  const std::vector<TextRange> masks = FindMasks(prompt, mask_texts);
  if (model.direction != AttentionDirection::kBidirectional) {
    if (masks.empty()) return AskedPrompt{.text = std::string(prompt)};
    return CutAtMask(prompt, masks.front());
  }
  const std::string mask = MaskText(model);
  if (mask.empty()) {
    return absl::InvalidArgumentError(
        "this model sees both ways but has no mask token, so there is no place to ask it at");
  }
  if (!masks.empty()) {
    return AskedPrompt{.text = ReplaceRanges(prompt, masks, mask), .at_mask = true};
  }
  const bool has_space = absl::EndsWith(prompt, " ");
  return AskedPrompt{.text = absl::StrCat(prompt, has_space ? "" : " ", mask),
                     .at_mask = true,
                     .note = absl::StrCat("asked with ", mask, " put at the end, which it fills")};
}

bool RungReport::ok() const {
  return std::all_of(answers.begin(), answers.end(),
                     [](const RungAnswer& answer) { return answer.ok(); }) &&
         (!comparison || comparison->status.ok());
}

absl::StatusOr<int32_t> CompareDistributions(const std::vector<float>& log_a,
                                             const std::vector<float>& log_b,
                                             Comparison& comparison) {
  if (log_a.size() != log_b.size() || log_a.empty()) {
    return absl::InternalError("the server sent distributions of different lengths");
  }
  comparison.identical = log_a == log_b;
  int32_t furthest = 0;
  for (size_t id = 0; id < log_a.size(); ++id) {
    const double a = std::exp(static_cast<double>(log_a[id]));
    const double b = std::exp(static_cast<double>(log_b[id]));
    if (id > 0 && !(std::abs(a - b) > comparison.largest_difference)) continue;
    furthest = static_cast<int32_t>(id);
    comparison.largest_difference = std::abs(a - b);
    comparison.probabilities[0] = a;
    comparison.probabilities[1] = b;
  }
  return furthest;
}

std::vector<SplitWord> FindSplitWords(absl::string_view text, const std::vector<Token>& tokens) {
  std::vector<SplitWord> words;
  for (const Run& run : SplitRuns(text)) {
    if (run.kind == Kind::kSpace) continue;
    SplitWord word{.word = std::string(text.substr(run.begin, run.end - run.begin))};
    for (const Token& token : tokens) {
      const bool covers = token.byte_begin < static_cast<int64_t>(run.end) &&
                          token.byte_end > static_cast<int64_t>(run.begin);
      if (covers && !token.special) word.pieces.push_back(token);
    }
    const bool known = std::any_of(words.begin(), words.end(),
                                   [&](const SplitWord& other) { return other.word == word.word; });
    if (word.pieces.size() > 1 && !known) words.push_back(std::move(word));
  }
  return words;
}

Likeness FindLikeness(const Ladder& ladder) {
  for (const RungReport& report : ladder.rungs) {
    if (report.answers.size() != 2) return Likeness::kNone;
    if (!report.answers[0].status.ok() || !report.answers[1].status.ok()) continue;
    return LikenessOf(report.answers[0].result.prompt.tokens,
                      report.answers[1].result.prompt.tokens);
  }
  return Likeness::kNone;
}

}  // namespace heed::cli
