// The tokenizer of a folder, by what the folder has.
#ifndef HEED_MODEL_TOKENIZER_TOKENIZER_FOLDER_H_
#define HEED_MODEL_TOKENIZER_TOKENIZER_FOLDER_H_

#include <memory>
#include <optional>
#include <string>

#include "absl/functional/function_ref.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "model/tokenizer/tokenizer.h"

namespace heed {

// The contents of a file of the folder; absent when there is no such file.
using TokenizerFileReader =
    absl::FunctionRef<absl::StatusOr<std::optional<std::string>>(absl::string_view name)>;

// Takes the first of these that the folder has, with what tokenizer_config.json says about it:
//   tokenizer.json               alone: it says everything
//   a SentencePiece model        tokenizer.model, spiece.model, sentencepiece.bpe.model; the
//   classes
//                                of XLM-RoBERTa, CamemBERT and ALBERT put their own ids around it
//   vocab.json and merges.txt    byte-level BPE with GPT-2's pattern, or with that of Qwen2's class
//   vocab.txt                    WordPiece with BERT's rules
// Where tokenizer_config.json names no class, the model type of config.json tells it.
// Null when there is none. Errors as ParseTokenizerJson and those of `read`.
absl::StatusOr<std::unique_ptr<Tokenizer>> LoadTokenizerFolder(TokenizerFileReader read);

}  // namespace heed

#endif  // HEED_MODEL_TOKENIZER_TOKENIZER_FOLDER_H_
