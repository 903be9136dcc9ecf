#include "model/base/utf8.h"

#include <algorithm>
#include <cstring>

namespace heed {
namespace {

constexpr char32_t kReplacement = 0xFFFD;

// What may follow a lead byte (Unicode 15, table 3-7).
struct LeadByte {
  int length;         // of the whole character; 0: no character begins with this byte
  unsigned char low;  // range of the second byte; later ones are 80..BF
  unsigned char high;
};

LeadByte Lead(unsigned char byte) {
  if (byte < 0x80) return {1, 0, 0};
  if (byte < 0xC2) return {0, 0, 0};
  if (byte < 0xE0) return {2, 0x80, 0xBF};
  if (byte == 0xE0) return {3, 0xA0, 0xBF};
  if (byte == 0xED) return {3, 0x80, 0x9F};
  if (byte < 0xF0) return {3, 0x80, 0xBF};
  if (byte == 0xF0) return {4, 0x90, 0xBF};
  if (byte < 0xF4) return {4, 0x80, 0xBF};
  if (byte == 0xF4) return {4, 0x80, 0x8F};
  return {0, 0, 0};
}

unsigned char At(absl::string_view text, size_t i) {
  return static_cast<unsigned char>(text[i]);
}

// Bytes at the front of `text` that begin like a character with this lead byte, the lead included.
int MatchingBytes(absl::string_view text, const LeadByte& lead) {
  const int available = static_cast<int>(std::min<size_t>(text.size(), lead.length));
  unsigned char low = lead.low;
  unsigned char high = lead.high;
  for (int i = 1; i < available; ++i) {
    if (At(text, i) < low || At(text, i) > high) return i;
    low = 0x80;
    high = 0xBF;
  }
  return available;
}

char32_t Combine(absl::string_view text, int length) {
  constexpr unsigned char kLeadMask[5] = {0, 0x7F, 0x1F, 0x0F, 0x07};
  char32_t code_point = At(text, 0) & kLeadMask[length];
  for (int i = 1; i < length; ++i) code_point = code_point << 6 | (At(text, i) & 0x3F);
  return code_point;
}

// Length of the longest ASCII prefix.
size_t AsciiPrefix(absl::string_view text) {
  size_t i = 0;
  uint64_t word;
  for (; i + sizeof(word) <= text.size(); i += sizeof(word)) {
    std::memcpy(&word, text.data() + i, sizeof(word));
    if (word & 0x8080808080808080u) break;
  }
  while (i < text.size() && At(text, i) < 0x80) ++i;
  return i;
}

// Length of the longest well-formed prefix.
size_t ValidPrefix(absl::string_view text) {
  size_t i = 0;
  while (true) {
    i += AsciiPrefix(text.substr(i));
    if (i == text.size()) return i;
    const Utf8Char c = DecodeUtf8(text.substr(i));
    if (!c.valid) return i;
    i += c.length;
  }
}

}  // namespace

Utf8Char DecodeMultibyteUtf8(absl::string_view text) {
  const unsigned char first = At(text, 0);
  if (first >= 0xC2 && first < 0xE0 && text.size() > 1 && (At(text, 1) & 0xC0) == 0x80) {
    return {static_cast<char32_t>((first & 0x1F) << 6 | (At(text, 1) & 0x3F)), 2, true};
  }
  const LeadByte lead = Lead(At(text, 0));
  if (lead.length == 0) return {kReplacement, 1, false};
  const int matching = MatchingBytes(text, lead);
  if (matching < lead.length) return {kReplacement, matching, false};
  return {Combine(text, lead.length), lead.length, true};
}

void AppendUtf8(char32_t code_point, std::string* out) {
  auto byte = [out](char32_t value) { out->push_back(static_cast<char>(value)); };
  auto continuation = [&](int shift) { byte(0x80 | ((code_point >> shift) & 0x3F)); };
  if (code_point < 0x80) {
    byte(code_point);
  } else if (code_point < 0x800) {
    byte(0xC0 | code_point >> 6);
    continuation(0);
  } else if (code_point < 0x10000) {
    byte(0xE0 | code_point >> 12);
    continuation(6);
    continuation(0);
  } else {
    byte(0xF0 | code_point >> 18);
    continuation(12);
    continuation(6);
    continuation(0);
  }
}

bool IsValidUtf8(absl::string_view text) {
  return ValidPrefix(text) == text.size();
}

std::string ReplaceInvalidUtf8(absl::string_view text) {
  std::string result;
  result.reserve(text.size());
  while (true) {
    const size_t valid = ValidPrefix(text);
    result.append(text.data(), valid);
    text.remove_prefix(valid);
    if (text.empty()) return result;
    AppendUtf8(kReplacement, &result);
    text.remove_prefix(DecodeUtf8(text).length);
  }
}

size_t CompleteUtf8Prefix(absl::string_view text) {
  for (size_t tail = 1; tail <= 3 && tail <= text.size(); ++tail) {
    const absl::string_view end = text.substr(text.size() - tail);
    const LeadByte lead = Lead(At(end, 0));
    if (lead.length <= static_cast<int>(tail)) continue;
    if (MatchingBytes(end, lead) == static_cast<int>(tail)) return text.size() - tail;
  }
  return text.size();
}

}  // namespace heed
