// The steps that decoders are made of.
#ifndef HEED_MODEL_TOKENIZER_DECODER_STEPS_H_
#define HEED_MODEL_TOKENIZER_DECODER_STEPS_H_

#include <cstdint>
#include <memory>
#include <string>

#include "model/tokenizer/decoder.h"
#include "model/tokenizer/pattern.h"

namespace heed {

using DecoderStepPtr = std::unique_ptr<DecoderStep>;

// A separator before each token but the first.
DecoderStepPtr NewSeparatorStep(std::string separator);
// The bytes that tokens spell in the byte-level alphabet.
DecoderStepPtr NewByteLevelStep();
// A space before each token but the first, unless it begins with `prefix`, which goes. `cleanup`
// takes out spaces before punctuation and within English contractions.
DecoderStepPtr NewWordPieceStep(std::string prefix, bool cleanup);
// `replacement`, one character, becomes a space; in the first token nothing if
// `drops_in_first`.
DecoderStepPtr NewMetaspaceStep(std::string replacement, bool drops_in_first);
// `suffix` becomes a space; in the last token nothing.
DecoderStepPtr NewBpeStep(std::string suffix);
// A run of tokens <0xNN> becomes the characters that its bytes spell, or one U+FFFD for each byte
// when they are not well-formed UTF-8.
DecoderStepPtr NewByteFallbackStep();
// Takes up to `start` characters `content` from the beginning of each token, and up to `stop` from
// its end.
DecoderStepPtr NewStripStep(std::string content, int64_t start, int64_t stop);
// The same at the beginning of the text that all tokens make.
DecoderStepPtr NewLeadingStripStep(std::string content, int64_t start);
// Replaces a pattern within each token.
DecoderStepPtr NewReplaceStep(std::unique_ptr<Pattern> pattern, std::string content);
// Drops repeated tokens and padding, as models of speech need it.
struct CtcOptions {
  std::string pad_token = "<pad>";
  std::string word_delimiter_token = "|";
  bool cleanup = true;
};
DecoderStepPtr NewCtcStep(CtcOptions options);
// All tokens as one, at the end.
DecoderStepPtr NewCollectStep();

}  // namespace heed

#endif  // HEED_MODEL_TOKENIZER_DECODER_STEPS_H_
