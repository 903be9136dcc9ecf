#include "model/tokenizer/decoder.h"

#include "absl/strings/str_cat.h"
#include "model/base/status_macros.h"
#include "model/tokenizer/byte_alphabet.h"

namespace heed {
namespace {

// Adds one step. Once pieces are fused, a byte-level step would look at all of them together.
absl::Status AddStep(const JsonNode& json, bool* fused, Decoder* decoder) {
  HEED_ASSIGN_OR_RETURN(const absl::string_view type, json.StringAt("type"));
  if (type == "Sequence") {
    HEED_ASSIGN_OR_RETURN(const JsonNode steps, json.Get("decoders"));
    return steps.ForEachElement(
        [&](int64_t, const JsonNode& step) { return AddStep(step, fused, decoder); });
  }
  if (type == "ByteLevel") {
    if (*fused) return json.Unsupported("heed has no ByteLevel decoder after another decoder");
    decoder->byte_level = true;
  } else if (type != "Fuse") {
    return json.Unsupported(absl::StrCat("heed has no decoder \"", type, "\""));
  }
  *fused = true;
  return absl::OkStatus();
}

}  // namespace

std::string Decoder::Bytes(absl::string_view piece) const {
  return byte_level ? SpelledBytes(piece) : std::string(piece);
}

absl::StatusOr<Decoder> ParseDecoder(const JsonNode& json) {
  if (json.is_null()) return Decoder{.byte_level = false, .separator = " "};
  Decoder decoder;
  bool fused = false;
  HEED_RETURN_IF_ERROR(AddStep(json, &fused, &decoder));
  return decoder;
}

}  // namespace heed
