// From pieces of a vocabulary back to text.
#ifndef HEED_MODEL_TOKENIZER_DECODER_H_
#define HEED_MODEL_TOKENIZER_DECODER_H_

#include <memory>
#include <string>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "model/base/json.h"

namespace heed {

// One decoding by one step: tokens go in, and come out rewritten, sometimes later or fewer.
class DecoderRun {
 public:
  using Sink = absl::FunctionRef<void(std::string token)>;

  virtual ~DecoderRun() = default;
  virtual void Push(std::string token, Sink sink) = 0;
  // Gives out what was held back.
  virtual void Finish(Sink sink) {}
};

// One step. Immutable.
class DecoderStep {
 public:
  virtual ~DecoderStep() = default;
  virtual std::unique_ptr<DecoderRun> NewRun() const = 0;
  // What becomes of a token in the middle of a text.
  virtual std::string Inner(std::string token) const = 0;
};

// Immutable.
class Decoder {
 public:
  // The bytes that a piece adds in the middle of a text; perhaps part of a character.
  std::string InnerBytes(absl::string_view piece) const;

  // One decoding. The bytes given out by all calls together are the text; each call gives out what
  // no later token can change. The decoder must outlive it.
  class Run {
   public:
    explicit Run(const Decoder& decoder);
    std::string Push(absl::string_view piece);
    std::string Finish();

   private:
    void PushTo(size_t step, std::string token, std::string* out);

    std::vector<std::unique_ptr<DecoderRun>> runs_;
  };

  // Pieces are spelled in the byte-level alphabet.
  bool byte_level() const { return byte_level_; }

 private:
  friend class DecoderParser;

  std::vector<std::unique_ptr<DecoderStep>> steps_;
  bool byte_level_ = false;
};

// `json` is null (pieces with spaces between them), ByteLevel, WordPiece, Metaspace, BPEDecoder,
// ByteFallback, Fuse, Strip, Replace, CTC or a Sequence of these. INVALID_ARGUMENT and
// UNIMPLEMENTED name the path.
absl::StatusOr<Decoder> ParseDecoder(const JsonValue& json);

}  // namespace heed

#endif  // HEED_MODEL_TOKENIZER_DECODER_H_
