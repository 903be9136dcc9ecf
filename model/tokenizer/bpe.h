// Byte pair encoding: characters are merged pair by pair, in the order in which the pairs were
// learnt.
#ifndef HEED_MODEL_TOKENIZER_BPE_H_
#define HEED_MODEL_TOKENIZER_BPE_H_

#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "model/tokenizer/token_model.h"

namespace heed {

struct BpeOptions {
  std::string unk_token;  // stands for characters outside the vocabulary; empty: they are dropped
  bool fuse_unk = false;  // one unk_token for a run of them
  bool byte_fallback = false;  // spell them as <0xNN> where all those pieces exist
  bool ignore_merges = false;  // a piece that is in the vocabulary as a whole is not merged
  std::string continuing_subword_prefix;  // before every character but the first
  std::string end_of_word_suffix;         // after the last character
};

class BpeModel : public TokenModel {
 public:
  // Of two merges that are possible at once the one with the smaller rank comes first, and of two
  // with the same rank the one further left.
  struct MergeRule {
    TokenId left = 0;
    TokenId right = 0;
    TokenId merged = 0;
    int32_t rank = 0;  // less than the number of rules
  };

  // INVALID_ARGUMENT when two rules merge the same pair.
  static absl::StatusOr<std::unique_ptr<BpeModel>> Create(PieceTable pieces, BpeOptions options,
                                                          absl::Span<const MergeRule> rules);
  // The "model" object of a tokenizer.json.
  static absl::StatusOr<std::unique_ptr<BpeModel>> Parse(const JsonValue& json);

  const PieceTable& pieces() const override { return pieces_; }
  std::unique_ptr<ModelWorker> NewWorker() const override;
  // Null unless every character of the byte-level alphabet is a piece, without prefix or suffix.
  std::unique_ptr<ModelWorker> NewByteLevelWorker() const override;
  absl::string_view name() const override { return "BPE"; }

 private:
  friend class BpeWorker;

  static constexpr char32_t kDirectChars = 0x144;  // the byte-level alphabet is below

  // The merge of a pair. The smaller rank was learnt earlier.
  struct Merge {
    int32_t rank = 0;
    TokenId merged = 0;
  };

  // The first and the last character of a piece.
  struct Ends {
    char32_t first = 0;
    char32_t last = 0;
    bool merges = false;  // some merge has it as a part
  };

  static uint64_t Pair(TokenId left, TokenId right) {
    return static_cast<uint64_t>(static_cast<uint32_t>(left)) << 32 | static_cast<uint32_t>(right);
  }
  // Where two characters stand side by side in the text of a piece that a merge makes, by a hash of
  // them. A false alarm does no harm.
  static constexpr int kJoinBits = 18;
  static size_t JoinBit(char32_t before, char32_t after) {
    const uint32_t hash = before * 0x9E3779B1u + after * 0x85EBCA77u;
    return (hash ^ hash >> 15) & ((size_t{1} << kJoinBits) - 1);
  }
  // False when no merge, now or later, joins a token that ends with `left` to one that begins with
  // `right`: then the two sides can be merged one after the other.
  bool MayJoin(TokenId left, TokenId right) const {
    return ends_[left].merges && ends_[right].merges &&
           joins_[JoinBit(ends_[left].last, ends_[right].first)];
  }
  const Merge* FindMerge(TokenId left, TokenId right) const {
    const auto found = merges_.find(Pair(left, right));
    return found == merges_.end() ? nullptr : &found->second;
  }

  absl::Status ParseMerges(const JsonValue& json);
  absl::Status AddMerge(const JsonValue& json, absl::string_view left, absl::string_view right);
  absl::Status ParseOptions(const JsonValue& json);
  void Finish();
  void FillJoins();

  PieceTable pieces_;
  BpeOptions options_;
  bool plain_ = true;  // neither prefix nor suffix
  absl::flat_hash_map<uint64_t, Merge> merges_;
  std::vector<Ends> ends_;  // by id
  std::vector<bool> joins_;
  std::array<TokenId, kDirectChars> direct_ids_{};  // of single characters; kNoToken: none
  std::array<TokenId, 256> byte_ids_{};             // of <0xNN>; kNoToken: none
  std::array<TokenId, 256> alphabet_ids_{};  // of the byte-level alphabet, by byte; kNoToken: none
  std::optional<TokenId> unk_id_;
};

}  // namespace heed

#endif  // HEED_MODEL_TOKENIZER_BPE_H_
