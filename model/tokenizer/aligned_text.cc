#include "model/tokenizer/aligned_text.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "model/base/status_macros.h"
#include "model/base/utf8.h"

namespace heed {

size_t AsciiPrefix(absl::string_view text) {
  size_t size = 0;
  while (size < text.size() && static_cast<unsigned char>(text[size]) < 0x80) ++size;
  return size;
}

AlignedText AlignedText::FromUntrusted(absl::string_view text, size_t max_bytes) {
  AlignedText result(max_bytes);
  result.Reserve(std::min(IsValidUtf8(text) ? text.size() : 3 * text.size(), max_bytes));
  for (size_t at = 0; at < text.size();) {
    const size_t ascii = AsciiPrefix(text.substr(at));
    result.AppendAscii(text.substr(at, ascii), static_cast<uint32_t>(at));
    at += ascii;
    if (at == text.size()) break;
    const Utf8Char c = DecodeUtf8(text.substr(at));
    const Origin origin = {static_cast<uint32_t>(at), static_cast<uint32_t>(at + c.length)};
    result.Append(c.valid ? text.substr(at, c.length) : absl::string_view("\uFFFD"), origin);
    at += c.length;
  }
  return result;
}

void AlignedText::Reserve(size_t bytes) {
  text_.reserve(bytes);
  origins_.reserve(bytes);
}

void AlignedText::AppendAscii(absl::string_view ascii, uint32_t begin) {
  if (!HasRoom(ascii.size())) return;
  text_.append(ascii.data(), ascii.size());
  const size_t size = origins_.size();
  origins_.resize(size + ascii.size());
  for (uint32_t i = 0; i < ascii.size(); ++i) {
    origins_[size + i] = Pack({begin + i, begin + i + 1});
  }
}

void AlignedText::AppendRange(const AlignedText& source, size_t begin, size_t end) {
  AppendAs(source.text().substr(begin, end - begin), source, begin);
}

void AlignedText::AppendAs(absl::string_view bytes, const AlignedText& source, size_t begin) {
  if (!HasRoom(bytes.size())) return;
  text_.append(bytes.data(), bytes.size());
  const auto from = source.origins_.begin() + static_cast<std::ptrdiff_t>(begin);
  origins_.insert(origins_.end(), from, from + static_cast<std::ptrdiff_t>(bytes.size()));
}

PieceList PieceList::Whole(AlignedText text) {
  const uint32_t size = static_cast<uint32_t>(text.size());
  PieceList list = {std::move(text), {}};
  if (size > 0) list.pieces.push_back({0, size, kNoToken});
  return list;
}

absl::Status RewritePieces(RewriteFunction rewrite, PieceList* list) {
  return RewritePieces(rewrite, list->text.size(), list);
}

absl::Status RewritePieces(RewriteFunction rewrite, size_t expected_bytes, PieceList* list) {
  AlignedText out(list->text.max_bytes());
  // Some more: a prefix must not make everything move.
  out.Reserve(std::min(expected_bytes + expected_bytes / 16 + 16, list->text.max_bytes()));
  size_t kept = 0;
  for (const Piece& piece : list->pieces) {
    const uint32_t begin = static_cast<uint32_t>(out.size());
    if (piece.token != kNoToken) {
      out.AppendRange(list->text, piece.begin, piece.end);
    } else {
      HEED_RETURN_IF_ERROR(rewrite(list->text, piece, &out));
    }
    if (out.overflowed()) {
      return absl::ResourceExhaustedError(absl::StrCat(
          "the tokenizer's rules lengthen this text to more than ", out.max_bytes(), " bytes"));
    }
    const uint32_t end = static_cast<uint32_t>(out.size());
    if (begin < end) list->pieces[kept++] = {begin, end, piece.token};
  }
  list->pieces.resize(kept);
  list->text = std::move(out);
  return absl::OkStatus();
}

}  // namespace heed
