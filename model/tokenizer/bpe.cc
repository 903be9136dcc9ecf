#include "model/tokenizer/bpe.h"

#include <algorithm>
#include <array>
#include <limits>
#include <string>

#include "absl/strings/str_cat.h"
#include "model/base/status_macros.h"
#include "model/base/utf8.h"
#include "model/tokenizer/aligned_text.h"
#include "model/tokenizer/byte_alphabet.h"
#include "model/tokenizer/merge_queue.h"

namespace heed {
namespace {

constexpr size_t kShortRun = 32;
constexpr int32_t kNoRank = std::numeric_limits<int32_t>::max();

struct MergeSymbol {
  TokenId id = kNoToken;  // kNoToken: merged into an earlier one
  uint32_t begin = 0;
  uint32_t end = 0;
  int32_t rank = kNoRank;     // of the merge with the next symbol
  TokenId merged = kNoToken;  // what it makes
  int32_t previous = -1;      // for long pieces; -1: none
  int32_t next = -1;
};

}  // namespace

// Merges within one piece after another. A piece is cut into runs where nothing can be joined;
// short runs are merged by looking for the best pair again and again, long ones in the same order
// with a queue.
class BpeWorker : public ModelWorker {
 public:
  BpeWorker(const BpeModel& model, bool spells_bytes)
      : model_(model), spells_bytes_(spells_bytes) {}

  absl::Status Tokenize(absl::string_view piece, TokenSink sink) override {
    if (model_.options_.ignore_merges) {
      if (const auto id = FindWhole(piece)) {
        sink({*id, 0, static_cast<uint32_t>(piece.size())});
        return absl::OkStatus();
      }
    }
    sink_ = &sink;
    piece_bytes_ = piece.size();
    symbols_.clear();
    if (spells_bytes_) {
      SpellAlphabet(piece);
    } else {
      HEED_RETURN_IF_ERROR(Spell(piece));
    }
    MergeRun();
    return absl::OkStatus();
  }

 private:
  // A character that is not in the vocabulary, or a run of them.
  struct Unknown {
    bool pending = false;
    uint32_t begin = 0;
    uint32_t end = 0;
  };

  std::optional<TokenId> FindWhole(absl::string_view piece) {
    if (piece.size() > model_.pieces_.longest()) return std::nullopt;
    if (!spells_bytes_) return model_.pieces_.Find(piece);
    spelled_.clear();
    for (const char c : piece) {
      absl::StrAppend(&spelled_, ByteLevelChar(static_cast<unsigned char>(c)));
    }
    return model_.pieces_.Find(spelled_);
  }

  void Push(TokenId id, uint32_t begin, uint32_t end) {
    if (!symbols_.empty() && !model_.MayJoin(symbols_.back().id, id)) MergeRun();
    MakeRoom(begin);
    symbols_.push_back({.id = id, .begin = begin, .end = end});
  }

  // A run has no more symbols than the piece has bytes from here on. One that has become long gets
  // room for all of them at once: memory that is not used costs nothing, and moving it does.
  void MakeRoom(uint32_t begin) {
    constexpr size_t kLongRun = 4096;
    const size_t size = symbols_.size();
    if (size < symbols_.capacity()) return;
    const size_t rest = piece_bytes_ - begin;
    symbols_.reserve(size + (size < kLongRun ? std::min(size + kShortRun, rest) : rest));
  }

  // Merges the symbols since the last run and adds what they come to.
  void MergeRun() {
    if (symbols_.size() > kShortRun) {
      MergeLong();
    } else if (symbols_.size() > 1) {
      MergeShort();
    }
    for (const MergeSymbol& symbol : symbols_) {
      if (symbol.id != kNoToken) (*sink_)({symbol.id, symbol.begin, symbol.end});
    }
    symbols_.clear();
  }

  void SpellAlphabet(absl::string_view piece) {
    for (uint32_t at = 0; at < piece.size(); ++at) {
      Push(model_.alphabet_ids_[static_cast<unsigned char>(piece[at])], at, at + 1);
    }
  }

  // The symbols of the piece before any merge.
  absl::Status Spell(absl::string_view piece) {
    unknown_.pending = false;
    for (size_t at = 0; at < piece.size();) {
      const Utf8Char c = DecodeValidUtf8(piece.substr(at));
      const uint32_t begin = static_cast<uint32_t>(at);
      at += c.length;
      const TokenId id = CharId(piece, c, begin);
      if (id != kNoToken) {
        FlushUnknown();
        Push(id, begin, static_cast<uint32_t>(at));
      } else {
        HEED_RETURN_IF_ERROR(SpellUnknown(piece, begin, static_cast<uint32_t>(at)));
      }
    }
    FlushUnknown();
    return absl::OkStatus();
  }

  TokenId CharId(absl::string_view piece, const Utf8Char& c, uint32_t begin) {
    if (model_.plain_ && c.code_point < BpeModel::kDirectChars)
      return model_.direct_ids_[c.code_point];
    const absl::string_view text = piece.substr(begin, c.length);
    if (model_.plain_) return PlainCharId(c.code_point, text);
    return model_.pieces_.Find(Decorated(piece, text, begin)).value_or(kNoToken);
  }

  // Texts repeat their characters.
  TokenId PlainCharId(char32_t c, absl::string_view text) {
    KnownChar& known = known_chars_[c % known_chars_.size()];
    if (known.c != c) known = {c, model_.pieces_.Find(text).value_or(kNoToken)};
    return known.id;
  }

  std::string Decorated(absl::string_view piece, absl::string_view text, uint32_t begin) const {
    const bool is_first = begin == 0;
    const bool is_last = begin + text.size() == piece.size();
    return absl::StrCat(is_first ? "" : model_.options_.continuing_subword_prefix, text,
                        is_last ? model_.options_.end_of_word_suffix : "");
  }

  absl::Status SpellUnknown(absl::string_view piece, uint32_t begin, uint32_t end) {
    if (model_.options_.byte_fallback && SpellBytes(piece, begin, end)) return absl::OkStatus();
    if (model_.options_.unk_token.empty()) return absl::OkStatus();
    if (!model_.unk_id_.has_value()) {
      return absl::InvalidArgumentError(absl::StrCat(
          "the text has a character outside the vocabulary, and so is the unk_token \"",
          model_.options_.unk_token, "\" of tokenizer.json"));
    }
    if (unknown_.pending && model_.options_.fuse_unk) {
      unknown_.end = end;
      return absl::OkStatus();
    }
    FlushUnknown();
    unknown_ = {true, begin, end};
    return absl::OkStatus();
  }

  // Spells one character byte by byte, unless a piece for that is missing. With a prefix or suffix,
  // these are spelled too and count as the character's last byte. An unknown that is pending stays
  // so: the reference does it in this order.
  bool SpellBytes(absl::string_view piece, uint32_t begin, uint32_t end) {
    const absl::string_view plain = piece.substr(begin, end - begin);
    const std::string text = model_.plain_ ? std::string(plain) : Decorated(piece, plain, begin);
    for (const char c : text) {
      if (model_.byte_ids_[static_cast<unsigned char>(c)] == kNoToken) return false;
    }
    for (const char c : text) {
      const uint32_t at = std::min(begin, end - 1);
      Push(model_.byte_ids_[static_cast<unsigned char>(c)], at, at + 1);
      ++begin;
    }
    return true;
  }

  void FlushUnknown() {
    if (unknown_.pending) Push(*model_.unk_id_, unknown_.begin, unknown_.end);
    unknown_.pending = false;
  }

  // Looks up the merge of two neighbours; the left one remembers it.
  void Pair(MergeSymbol* left, const MergeSymbol& right) const {
    const BpeModel::Merge* merge = model_.FindMerge(left->id, right.id);
    left->rank = merge == nullptr ? kNoRank : merge->rank;
    left->merged = merge == nullptr ? kNoToken : merge->merged;
  }

  static void Join(MergeSymbol* left, const MergeSymbol& right) {
    left->id = left->merged;
    left->begin = std::min(left->begin, right.begin);
    left->end = std::max(left->end, right.end);
  }

  void PairAll() {
    for (size_t i = 0; i + 1 < symbols_.size(); ++i) Pair(&symbols_[i], symbols_[i + 1]);
    symbols_.back().rank = kNoRank;
  }

  void MergeShort() {
    PairAll();
    const auto by_rank = [](const MergeSymbol& a, const MergeSymbol& b) { return a.rank < b.rank; };
    while (symbols_.size() > 1) {
      const auto best = std::min_element(symbols_.begin(), symbols_.end(), by_rank);
      if (best->rank == kNoRank) break;
      Join(&*best, best[1]);
      symbols_.erase(best + 1);
      if (best != symbols_.begin()) Pair(&best[-1], *best);
      if (best + 1 != symbols_.end()) {
        Pair(&*best, best[1]);
      } else {
        best->rank = kNoRank;
      }
    }
  }

  // A merge changes the pairs of its two neighbours; their old places in the queue are recognised
  // when their turn comes.
  void MergeLong() {
    PairAll();
    const int32_t count = static_cast<int32_t>(symbols_.size());
    queue_.Reset(model_.merges_.size());
    for (int32_t i = 0; i < count; ++i) {
      symbols_[i].previous = i - 1;
      symbols_[i].next = i + 1 < count ? i + 1 : -1;
      if (symbols_[i].rank != kNoRank) queue_.Push(symbols_[i].rank, i);
    }
    while (const std::optional<MergeQueue::Item> item = queue_.Pop()) {
      const MergeSymbol& left = symbols_[item->position];
      if (left.id != kNoToken && left.rank == item->rank) MergeAt(item->position);
    }
  }

  void MergeAt(int32_t position) {
    MergeSymbol& left = symbols_[position];
    MergeSymbol& right = symbols_[left.next];
    Join(&left, right);
    left.next = right.next;
    right.id = kNoToken;
    left.rank = kNoRank;
    if (left.next >= 0) {
      symbols_[left.next].previous = position;
      Requeue(position);
    }
    if (left.previous >= 0) Requeue(left.previous);
  }

  void Requeue(int32_t position) {
    MergeSymbol& left = symbols_[position];
    Pair(&left, symbols_[left.next]);
    if (left.rank != kNoRank) queue_.Push(left.rank, position);
  }

  struct KnownChar {
    char32_t c = 0;
    TokenId id = kNoToken;
  };

  const BpeModel& model_;
  const bool spells_bytes_;
  const TokenSink* sink_ = nullptr;  // of the piece
  size_t piece_bytes_ = 0;
  std::vector<MergeSymbol> symbols_;  // of the run
  std::array<KnownChar, 256> known_chars_;
  std::string spelled_;
  MergeQueue queue_;
  Unknown unknown_;
};

std::unique_ptr<ModelWorker> BpeModel::NewWorker() const {
  return std::make_unique<BpeWorker>(*this, false);
}

std::unique_ptr<ModelWorker> BpeModel::NewByteLevelWorker() const {
  const bool complete =
      std::find(alphabet_ids_.begin(), alphabet_ids_.end(), kNoToken) == alphabet_ids_.end();
  if (!complete || !plain_) return nullptr;
  return std::make_unique<BpeWorker>(*this, true);
}

}  // namespace heed
