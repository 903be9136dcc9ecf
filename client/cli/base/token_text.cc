#include "client/cli/base/token_text.h"

#include <utf8proc.h>

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_replace.h"
#include "client/cli/base/format.h"

namespace heed::cli {
namespace {

// True for characters that leave no mark or rearrange others: controls, formats (direction marks,
// joiners), separators of lines, private and unassigned ones.
bool IsInvisible(utf8proc_int32_t code) {
  switch (utf8proc_category(code)) {
    case UTF8PROC_CATEGORY_CC:
    case UTF8PROC_CATEGORY_CF:
    case UTF8PROC_CATEGORY_CS:
    case UTF8PROC_CATEGORY_CO:
    case UTF8PROC_CATEGORY_CN:
    case UTF8PROC_CATEGORY_ZL:
    case UTF8PROC_CATEGORY_ZP:
      return true;
    case UTF8PROC_CATEGORY_ZS:
      return code != ' ';
    default:
      return false;
  }
}

bool IsCombining(utf8proc_int32_t code) {
  const utf8proc_category_t category = utf8proc_category(code);
  return category == UTF8PROC_CATEGORY_MN || category == UTF8PROC_CATEGORY_ME;
}

const char* WhitespaceSign(utf8proc_int32_t code) {
  switch (code) {
    case ' ':
      return "·";
    case '\n':
      return "↵";
    case '\t':
      return "⇥";
    case '\r':
      return "␍";
    default:
      return nullptr;
  }
}

// `text` made safe. With `keep_whitespace`, spaces, tabs and line feeds stay themselves.
std::string MakeVisible(absl::string_view text, bool keep_whitespace) {
  std::string result;
  while (!text.empty()) {
    utf8proc_int32_t code = 0;
    const utf8proc_ssize_t length =
        utf8proc_iterate(reinterpret_cast<const utf8proc_uint8_t*>(text.data()),
                         static_cast<utf8proc_ssize_t>(text.size()), &code);
    if (length <= 0) {
      absl::StrAppend(&result, absl::StrFormat("<%02X>", static_cast<uint8_t>(text[0])));
      text.remove_prefix(1);
      continue;
    }
    const absl::string_view character = text.substr(0, length);
    text.remove_prefix(length);
    const char* sign = WhitespaceSign(code);
    if (keep_whitespace && (code == ' ' || code == '\n' || code == '\t')) {
      absl::StrAppend(&result, character);
    } else if (sign != nullptr) {
      result.append(sign);
    } else if (IsInvisible(code)) {
      absl::StrAppend(&result,
                      absl::StrFormat(code < 0x80 ? "<%02X>" : "<U+%04X>", static_cast<int>(code)));
    } else if (result.empty() && IsCombining(code)) {
      absl::StrAppend(&result, "◌", character);
    } else {
      absl::StrAppend(&result, character);
    }
  }
  return result;
}

}  // namespace

std::string VisibleToken(const Token& token) {
  if (token.special || token.bytes.empty()) {
    return MakeVisible(token.piece.empty() ? absl::StrCat("#", token.id) : token.piece, false);
  }
  return MakeVisible(token.bytes, false);
}

std::vector<std::string> VisibleTokens(const std::vector<Token>& tokens) {
  std::vector<std::string> result;
  result.reserve(tokens.size());
  for (const Token& token : tokens) result.push_back(VisibleToken(token));
  return result;
}

std::vector<std::string> PlainTexts(const std::vector<Token>& tokens) {
  std::vector<std::string> texts;
  texts.reserve(tokens.size());
  for (const Token& token : tokens) texts.push_back(token.text.empty() ? token.piece : token.text);
  return texts;
}

std::string SafeText(absl::string_view text) {
  return MakeVisible(text, true);
}

std::string VisibleLine(const std::vector<Token>& tokens) {
  std::string bytes;
  for (const Token& token : tokens) {
    bytes += token.special ? token.piece : token.bytes;
  }
  std::replace(bytes.begin(), bytes.end(), '\t', ' ');
  return absl::StrReplaceAll(MakeVisible(bytes, true), {{"\n", "↵"}});
}

std::string ModelText(const ModelIdentity& model) {
  return SafeText(absl::StrCat(model.name, " ", ShortDigest(model.digest)));
}

}  // namespace heed::cli
