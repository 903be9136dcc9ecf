#include "tests/tokenizer/text_families.h"

#include <cstdint>

#include "absl/strings/str_cat.h"
#include "model/base/utf8.h"

namespace heed {
namespace {

std::string Fill(const std::string& unit, size_t bytes) {
  std::string text;
  while (text.size() + unit.size() <= bytes) text += unit;
  return text;
}

// The same numbers in each run.
class Random {
 public:
  uint32_t operator()(uint32_t n) {
    state_ = state_ * 1664525 + 1013904223;
    return (state_ >> 8) % n;
  }

 private:
  uint32_t state_ = 7;
};

std::string RandomBytes(size_t bytes) {
  Random random;
  std::string text;
  while (text.size() < bytes) text.push_back(static_cast<char>(random(256)));
  return text;
}

std::string RandomLetters(size_t bytes) {
  Random random;
  std::string text;
  while (text.size() < bytes) text.push_back(static_cast<char>('a' + random(26)));
  return text;
}

std::string RandomCharacters(size_t bytes) {
  Random random;
  std::string text;
  while (text.size() < bytes) AppendUtf8(0x20 + random(0xD000), &text);
  return text;
}

}  // namespace

std::vector<TextFamily> TextFamilies(size_t bytes) {
  return {
      {"one_character", Fill("a", bytes)},
      {"two_alternating", Fill("ab", bytes)},
      {"spaces", Fill(" ", bytes)},
      {"spaces_then_word", absl::StrCat(Fill(" ", bytes), "x")},
      {"newlines", Fill("\n", bytes)},
      {"carriage_returns", Fill("\r\n", bytes)},
      {"spaces_and_newlines", Fill(" \n", bytes)},
      {"space_runs", Fill("          x", bytes)},
      {"tabs", Fill("\t", bytes)},
      {"digits", Fill("1234567890", bytes)},
      {"cjk", Fill("\u4eca\u5929\u5929\u6c14", bytes)},
      {"one_base_many_marks", absl::StrCat("e", Fill("\u0301", bytes))},
      {"marks_out_of_order", absl::StrCat("a", Fill("\u0301\u0323", bytes))},
      {"composable", Fill("e\u0323\u0301", bytes)},
      {"jamo", Fill("\u1112\u1161\u11ab", bytes)},
      {"emoji_joined", Fill("\U0001f468\u200d\U0001f469\u200d\U0001f467", bytes)},
      {"no_utf8", Fill("\xff", bytes)},
      {"cut_characters", Fill("\xf0\x9f\x98", bytes)},
      {"nul", std::string(bytes, '\0')},
      {"special_tokens", Fill("<|endoftext|>", bytes)},
      {"special_tokens_cut_short", Fill("<|endoftext|", bytes)},
      {"swallowed_spaces", Fill("<sep>   ", bytes)},
      {"apostrophes", Fill("'", bytes)},
      {"contractions", Fill("'s", bytes)},
      {"prose", Fill("The keeper of the lighthouse wrote down the weather every morning. ", bytes)},
      {"random_bytes", RandomBytes(bytes)},
      {"random_letters", RandomLetters(bytes)},
      {"random_characters", RandomCharacters(bytes)},
      {"accented", Fill("\u00e9\u1ec7\u00f1", bytes)},
      {"punctuation", Fill(".,;!?-", bytes)},
      {"metaspaces", Fill("\u2581", bytes)},
      {"byte_tokens", Fill("<0x41>", bytes)},
      {"words_of_100", Fill(std::string(100, 'a') + " ", bytes)},
      {"fullwidth", Fill("\uff28\uff45\u3000\u2122", bytes)},
      {"nearly_merging", Fill("thethethe antiantii", bytes)},
  };
}

}  // namespace heed
