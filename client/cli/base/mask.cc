#include "client/cli/base/mask.h"

#include <utf8proc.h>

#include <algorithm>
#include <tuple>

#include "absl/strings/str_cat.h"

namespace heed::cli {
namespace {

constexpr size_t kBlankColumns = 3;

bool IsWordCharacter(utf8proc_int32_t code) {
  const utf8proc_category_t category = utf8proc_category(code);
  return category >= UTF8PROC_CATEGORY_LU && category <= UTF8PROC_CATEGORY_NO;
}

// The character of a text that begins at `begin`, and the one that ends at `end`.
utf8proc_int32_t CharacterAt(absl::string_view text, size_t begin) {
  utf8proc_int32_t code = -1;
  utf8proc_iterate(reinterpret_cast<const utf8proc_uint8_t*>(text.data()) + begin,
                   static_cast<utf8proc_ssize_t>(text.size() - begin), &code);
  return code;
}

utf8proc_int32_t CharacterBefore(absl::string_view text, size_t end) {
  size_t begin = end - 1;
  while (begin > 0 && (static_cast<unsigned char>(text[begin]) & 0xC0) == 0x80) --begin;
  return CharacterAt(text, begin);
}

bool StandsAlone(absl::string_view text, TextRange range) {
  if (range.begin > 0 && IsWordCharacter(CharacterBefore(text, range.begin))) return false;
  return range.end == text.size() || !IsWordCharacter(CharacterAt(text, range.end));
}

}  // namespace

std::vector<TextRange> FindBlanks(absl::string_view text) {
  std::vector<TextRange> blanks;
  for (size_t begin = text.find('_'); begin != absl::string_view::npos;) {
    const size_t end = std::min(text.find_first_not_of('_', begin), text.size());
    const TextRange range{begin, end};
    if (end - begin >= kBlankColumns && StandsAlone(text, range)) blanks.push_back(range);
    begin = text.find('_', end);
  }
  return blanks;
}

std::vector<TextRange> FindMasks(absl::string_view text,
                                 const std::vector<std::string>& mask_texts) {
  std::vector<TextRange> found = FindBlanks(text);
  for (const std::string& mask : mask_texts) {
    if (mask.empty()) continue;
    for (size_t begin = text.find(mask); begin != absl::string_view::npos;) {
      const TextRange range{begin, begin + mask.size()};
      if (std::find(found.begin(), found.end(), range) == found.end()) found.push_back(range);
      begin = text.find(mask, range.end);
    }
  }
  std::sort(found.begin(), found.end(), [](const TextRange& a, const TextRange& b) {
    return std::tie(a.begin, a.end) < std::tie(b.begin, b.end);
  });
  return found;
}

std::string ReplaceRanges(absl::string_view text, const std::vector<TextRange>& ranges,
                          absl::string_view replacement) {
  std::string result;
  size_t done = 0;
  for (const TextRange& range : ranges) {
    absl::StrAppend(&result, text.substr(done, range.begin - done), replacement);
    done = range.end;
  }
  absl::StrAppend(&result, text.substr(done));
  return result;
}

std::string MaskText(const ModelInfo& model) {
  const bool fills = model.direction == AttentionDirection::kBidirectional;
  return fills ? model.tokenizer.mask_text : "";
}

}  // namespace heed::cli
