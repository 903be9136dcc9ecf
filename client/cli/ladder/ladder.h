// The ladder: one prompt, or two to be told apart, put to a row of models, each of which can do one
// thing more than the one before it.
#ifndef HEED_CLIENT_CLI_LADDER_LADDER_H_
#define HEED_CLIENT_CLI_LADDER_LADDER_H_

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "client/types.h"

namespace heed::cli {

// ---- Which models, and what they are asked ------------------------------------------------------

// The shipped models, lowest rung first.
const std::vector<std::string>& LadderNames();

struct Rung {
  std::optional<int> number;  // on the shipped ladder; absent for any other model
  ModelInfo model;
  std::string meaning;  // what it can do, in one line
};

struct RungChoice {
  std::vector<Rung> rungs;
  std::vector<std::string> missing;  // rungs of the shipped ladder that are not loaded
};

// The models of `names` in that order, or, when there are none, those of the shipped ladder that
// are loaded. NOT_FOUND names the first one that is not, or says that no rung at all is loaded.
absl::StatusOr<RungChoice> ChooseRungs(const std::vector<ModelInfo>& loaded,
                                       const std::vector<std::string>& names);

// The spellings of a mask that the prompt of these rungs may use, beside a blank.
std::vector<std::string> MaskTexts(const std::vector<Rung>& rungs);

// A prompt as one model gets it.
struct AskedPrompt {
  std::string text;
  bool at_mask = false;  // the answer is for the place of a mask, given or added
  std::string note;      // what was changed, as a sentence without its full stop; empty for nothing
};

// A causal model is asked at the mask, if there is one, with the words before it; a bidirectional
// one gets a mask at the end, if there is none. `prompt` has at most one mask. INVALID_ARGUMENT
// when nothing stands before the mask, or the model has no mask.
absl::StatusOr<AskedPrompt> AdaptPrompt(absl::string_view prompt, const ModelInfo& model,
                                        const std::vector<std::string>& mask_texts);

// ---- What came back -----------------------------------------------------------------------------

// What the position that predicts looked at: one head's row, and what all heads of the last layer
// do together.
struct Look {
  int32_t layer = 0;
  int32_t head = 0;
  std::string reason;               // why this head; empty when there is only one
  std::vector<float> weights;       // [n_tokens]
  std::vector<float> mean_weights;  // [n_tokens], the mean over the heads of the last layer
};

// One model's answer to one prompt.
struct RungAnswer {
  AskedPrompt asked;
  absl::Status status;   // of the prediction
  PredictResult result;  // one prediction when the status is OK
  absl::Status look_status;
  Look look;
  // [vocabulary_size] when two prompts are compared.
  absl::StatusOr<std::vector<float>> log_probabilities = std::vector<float>();

  bool ok() const { return status.ok() && look_status.ok(); }
  const PositionPrediction& prediction() const { return result.predictions.front(); }
};

// How far the answers to two prompts are apart.
struct Comparison {
  absl::Status status;
  bool identical = false;         // every probability is the same number
  double largest_difference = 0;  // of one token's probability
  Token token;                    // that one, unless identical
  double probabilities[2] = {0, 0};
};

// Differences no larger than this come from adding the same numbers in another order.
inline constexpr double kRoundingDifference = 1e-6;

struct RungReport {
  Rung rung;
  std::vector<RungAnswer> answers;       // one for each prompt
  std::optional<Comparison> comparison;  // of two

  bool ok() const;
};

struct Ladder {
  std::vector<std::string> prompts;  // one or two
  std::vector<std::string> missing;
  std::vector<RungReport> rungs;
};

// Where the distributions are furthest apart. INTERNAL when they are not of one model. Fills all
// but the token, of which it returns the id.
absl::StatusOr<int32_t> CompareDistributions(const std::vector<float>& log_a,
                                             const std::vector<float>& log_b,
                                             Comparison& comparison);

// ---- What there is to learn from it -------------------------------------------------------------

// A word that the tokenizer does not know whole.
struct SplitWord {
  std::string word;
  std::vector<Token> pieces;
};

// Words of `text` that its tokens cut in pieces, in order and each once. Punctuation marks are cut
// only when single characters are.
std::vector<SplitWord> FindSplitWords(absl::string_view text, const std::vector<Token>& tokens);

// How two prompts are alike.
enum class Likeness {
  kNone,
  kSameText,
  kReordered,              // the same tokens in another order
  kReorderedButForSpaces,  // a word without a space before it is another token than with one
  kSameLastWord,
};

// To the first model that read both.
Likeness FindLikeness(const Ladder& ladder);

}  // namespace heed::cli

#endif  // HEED_CLIENT_CLI_LADDER_LADDER_H_
