// What a GGUF file says about its tokenizer: read by model/checkpoint, acted on by model/tokenizer.
#ifndef HEED_MODEL_BASE_GGUF_TOKENIZER_FACTS_H_
#define HEED_MODEL_BASE_GGUF_TOKENIZER_FACTS_H_

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace heed {

// The values of the keys "tokenizer.ggml.*" as they stand in the file, unchecked. Absent keys are
// empty.
struct GgufTokenizerFacts {
  std::string model;                 // "gpt2", "llama", "bert" or "t5"
  std::string pre;                   // which patterns cut a text, for gpt2: "llama-bpe", "qwen2"
  std::vector<std::string> tokens;   // by id
  std::vector<float> scores;         // by id; needed by llama and t5
  std::vector<int32_t> token_types;  // by id: 1 normal, 2 unknown, 3 control, 4 user-defined,
                                     // 5 unused, 6 byte; empty: all are normal
  std::vector<std::string> merges;   // "left right"; needed by gpt2
  std::string precompiled_charsmap;  // bytes; t5 only

  // Ids; -1 and 4294967295 mean that there is none.
  std::optional<int64_t> bos_token_id;
  std::optional<int64_t> eos_token_id;
  std::optional<int64_t> unknown_token_id;
  std::optional<int64_t> separator_token_id;  // also spelled "seperator_token_id" in files
  std::optional<int64_t> padding_token_id;
  std::optional<int64_t> cls_token_id;
  std::optional<int64_t> mask_token_id;

  std::optional<bool> add_bos_token;
  std::optional<bool> add_eos_token;
  std::optional<bool> add_space_prefix;
  std::optional<bool> remove_extra_whitespaces;
};

}  // namespace heed

#endif  // HEED_MODEL_BASE_GGUF_TOKENIZER_FACTS_H_
