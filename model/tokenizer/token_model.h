// The model of a tokenizer: from one piece of pre-tokenized text to the ids of a vocabulary.
#ifndef HEED_MODEL_TOKENIZER_TOKEN_MODEL_H_
#define HEED_MODEL_TOKENIZER_TOKEN_MODEL_H_

#include <cstdint>
#include <memory>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "model/base/json.h"
#include "model/tokenizer/piece_table.h"
#include "model/tokenizer/tokenizer.h"

namespace heed {

// A token and the bytes [begin, end) of the piece that it stands for.
struct ModelToken {
  TokenId id = 0;
  uint32_t begin = 0;
  uint32_t end = 0;
  friend bool operator==(const ModelToken&, const ModelToken&) = default;
};

using TokenSink = absl::FunctionRef<void(const ModelToken& token)>;

// The working memory of one thread's use of a model.
class ModelWorker {
 public:
  virtual ~ModelWorker() = default;

  // Gives the tokens of `piece`, which is valid UTF-8 and not empty, to `sink` in turn. O(n log n)
  // in its bytes. After an error the sink may have had some tokens.
  virtual absl::Status Tokenize(absl::string_view piece, TokenSink sink) = 0;
};

// Immutable.
class TokenModel {
 public:
  virtual ~TokenModel() = default;
  virtual const PieceTable& pieces() const = 0;
  virtual std::unique_ptr<ModelWorker> NewWorker() const = 0;
  // A worker for text that is still to be spelled in the byte-level alphabet: it finds what
  // NewWorker's finds in the spelled text, and its ranges are those of the text as given. Null
  // where the model has no short cut to that.
  virtual std::unique_ptr<ModelWorker> NewByteLevelWorker() const { return nullptr; }
  virtual absl::string_view name() const = 0;  // "BPE"
};

// The "model" of a tokenizer.json, of any kind that heed knows. INVALID_ARGUMENT and UNIMPLEMENTED
// name the path.
absl::StatusOr<std::unique_ptr<TokenModel>> ParseTokenModel(const JsonValue& json);

}  // namespace heed

#endif  // HEED_MODEL_TOKENIZER_TOKEN_MODEL_H_
