// The patterns that cut a text before byte-level BPE, by the names that GGUF files give them.
#ifndef HEED_MODEL_TOKENIZER_GGUF_PATTERNS_H_
#define HEED_MODEL_TOKENIZER_GGUF_PATTERNS_H_

#include <string>
#include <vector>

#include "absl/strings/string_view.h"

namespace heed {

// What "tokenizer.ggml.pre" stands for.
struct GgufPreTokenizer {
  std::vector<std::string> normalizers;     // JSON texts of a tokenizer.json's steps
  std::vector<std::string> pre_tokenizers;  // ending with the byte alphabet
  bool ignore_merges = false;
  bool add_bos = false;  // unless the file says otherwise
};

// Null for a name that heed does not know. An empty name is "default".
const GgufPreTokenizer* FindGgufPreTokenizer(absl::string_view name);

}  // namespace heed

#endif  // HEED_MODEL_TOKENIZER_GGUF_PATTERNS_H_
