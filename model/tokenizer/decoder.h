// From pieces of a vocabulary back to bytes.
#ifndef HEED_MODEL_TOKENIZER_DECODER_H_
#define HEED_MODEL_TOKENIZER_DECODER_H_

#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "model/tokenizer/json.h"

namespace heed {

// What all supported decoders come to: each piece stands for its own bytes, with a separator
// between pieces.
struct Decoder {
  bool byte_level = false;  // pieces are spelled in the byte-level alphabet
  std::string separator;    // " " for a tokenizer without a decoder, else empty

  std::string Bytes(absl::string_view piece) const;
};

// `json` is null, ByteLevel, Fuse or a Sequence of these. INVALID_ARGUMENT and UNIMPLEMENTED name
// the path.
absl::StatusOr<Decoder> ParseDecoder(const JsonNode& json);

}  // namespace heed

#endif  // HEED_MODEL_TOKENIZER_DECODER_H_
