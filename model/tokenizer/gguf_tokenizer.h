// The tokenizer that a GGUF file carries in its metadata.
//
// Where llama.cpp and the tokenizer that the model was trained with differ, heed follows the
// latter, so that a model answers alike from a GGUF file and from a Hugging Face folder:
//   gpt2   characters are composed for qwen2 (NFC); Falcon cuts digits and punctuation as its
//          tokenizer.json does; a merge that needs a missing piece is an error
//   bert   words of more than 100 characters are unknown
//   t5     the precompiled map works on grapheme clusters
//   all    of tokens found in a text the one that begins first counts, then the longest; llama.cpp
//          looks for longer tokens everywhere first
// For llama, pairs are merged by score as in llama.cpp, where both halves are pieces themselves.
#ifndef HEED_MODEL_TOKENIZER_GGUF_TOKENIZER_H_
#define HEED_MODEL_TOKENIZER_GGUF_TOKENIZER_H_

#include <memory>

#include "absl/status/statusor.h"
#include "model/base/gguf_tokenizer_facts.h"
#include "model/tokenizer/tokenizer.h"

namespace heed {

// INVALID_ARGUMENT for facts that contradict each other and UNIMPLEMENTED for kinds that heed does
// not know, each naming the key.
absl::StatusOr<std::unique_ptr<Tokenizer>> BuildGgufTokenizer(const GgufTokenizerFacts& facts);

}  // namespace heed

#endif  // HEED_MODEL_TOKENIZER_GGUF_TOKENIZER_H_
