// The tokenizer's part of a GGUF file's metadata.
#ifndef HEED_MODEL_CHECKPOINT_GGUF_TOKENIZER_READER_H_
#define HEED_MODEL_CHECKPOINT_GGUF_TOKENIZER_READER_H_

#include <optional>

#include "absl/status/statusor.h"
#include "model/base/gguf_tokenizer_facts.h"
#include "model/checkpoint/gguf.h"

namespace heed {

// Nothing when the file has no tokenizer. INVALID_ARGUMENT for values of the wrong type and for
// lists by id that do not have `vocab_size` elements, as many as the embedding has rows.
absl::StatusOr<std::optional<GgufTokenizerFacts>> ReadGgufTokenizer(const GgufHeader& header,
                                                                    int64_t vocab_size);

}  // namespace heed

#endif  // HEED_MODEL_CHECKPOINT_GGUF_TOKENIZER_READER_H_
