// Unigram: of all ways to spell a text with pieces, the one whose scores have the largest sum.
#ifndef HEED_MODEL_TOKENIZER_UNIGRAM_H_
#define HEED_MODEL_TOKENIZER_UNIGRAM_H_

#include <array>
#include <memory>
#include <optional>
#include <vector>

#include "absl/status/statusor.h"
#include "model/tokenizer/piece_trie.h"
#include "model/tokenizer/token_model.h"

namespace heed {

struct UnigramOptions {
  std::optional<TokenId> unk_id;  // stands for a run of characters that no piece spells
  bool byte_fallback = false;     // spell such a run as <0xNN> where all those pieces exist
  std::vector<bool> matched;      // by id: pieces that are found in a text; empty: all of them
};

class UnigramModel : public TokenModel {
 public:
  // `scores` are log probabilities by id, one for each of `pieces`. INVALID_ARGUMENT for an unk_id
  // outside them, and for a piece that is too long to look for at every place of a text.
  static absl::StatusOr<std::unique_ptr<UnigramModel>> Create(PieceTable pieces,
                                                              std::vector<double> scores,
                                                              UnigramOptions options);
  // The "model" object of a tokenizer.json.
  static absl::StatusOr<std::unique_ptr<UnigramModel>> Parse(const JsonValue& json);

  const PieceTable& pieces() const override { return pieces_; }
  std::unique_ptr<ModelWorker> NewWorker() const override;
  absl::string_view name() const override { return "Unigram"; }

 private:
  friend class UnigramWorker;
  UnigramModel() = default;
  bool IsMatched(TokenId id) const { return options_.matched.empty() || options_.matched[id]; }

  PieceTable pieces_;
  std::vector<double> scores_;
  UnigramOptions options_;
  double unk_score_ = 0;
  PieceTrie trie_;
  std::array<TokenId, 256> byte_ids_{};  // of <0xNN>; kNoToken: none
};

}  // namespace heed

#endif  // HEED_MODEL_TOKENIZER_UNIGRAM_H_
