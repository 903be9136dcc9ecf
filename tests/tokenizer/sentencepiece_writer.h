// SentencePiece model files made to order.
#ifndef HEED_TESTS_TOKENIZER_SENTENCEPIECE_WRITER_H_
#define HEED_TESTS_TOKENIZER_SENTENCEPIECE_WRITER_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"

namespace heed {

// Parts of the wire form of a protocol buffer.
std::string WireVarint(int field, uint64_t value);
std::string WireFloat(int field, float value);
std::string WireBytes(int field, absl::string_view bytes);

struct SentencePieceFile {
  struct Piece {
    std::string text;
    float score = 0;
    int kind = 1;
  };
  std::vector<Piece> pieces;
  int model_type = 1;  // 1 unigram, 2 BPE
  bool byte_fallback = false;
  bool add_dummy_prefix = true;
  bool remove_extra_whitespaces = true;
  std::string charsmap;
  std::string more;  // appended as it is

  std::string Bytes() const;
};

}  // namespace heed

#endif  // HEED_TESTS_TOKENIZER_SENTENCEPIECE_WRITER_H_
