// What goes into and comes out of heed's calls, as plain structs. Positions, token ids, layers and
// heads count from 0; negative positions, layers and heads count from the end; probabilities are in
// [0, 1], logarithms natural, entropies in nats. The wire contract behind each field, with its
// ranges and errors, is in share/heed/proto/heed/v1.
#ifndef HEED_CLIENT_TYPES_H_
#define HEED_CLIENT_TYPES_H_

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "absl/time/time.h"

namespace heed {
inline namespace client {

// ---- Shared parts -------------------------------------------------------------------------------

struct ModelIdentity {
  std::string name;
  std::string
      digest;  // "sha256:..." over the checkpoint; equal digests mean equal weights and tokenizer
};

// How an answer came about, beside the model that gave it.
struct Provenance {
  std::string compute_dtype;         // as ModelInfo has it
  std::string definition;            // that each number follows; empty for plain ones
  int32_t intervention_count = 0;    // edits that changed the forward pass
  bool counterfactual_mask = false;  // rows saw what the model never shows them
  std::string trace_id;              // of the trace that was read; empty: none
};

// Where the server spent the time of a call.
struct Timings {
  absl::Duration tokenize;
  absl::Duration queue;
  absl::Duration compute;
  int64_t cached_token_count = 0;    // of the prompt, that an earlier call had computed
  int64_t draft_token_count = 0;     // of the answer, that were guessed and run along
  int64_t accepted_token_count = 0;  // of those, that the model drew
};

struct Token {
  int32_t id = 0;
  std::string text;   // U+FFFD stands for bytes that are not whole UTF-8 characters
  std::string bytes;  // the same, exactly
  std::string piece;  // the vocabulary's own spelling
  int64_t byte_begin = 0;
  int64_t byte_end = 0;
  bool special = false;
};

// What to do with a prompt longer than the model's context window.
enum class Truncation { kRefuse, kLeft, kRight };

// What became of the prompt.
struct PromptInfo {
  std::vector<Token> tokens;  // those the model saw
  int64_t dropped_token_count = 0;
  Truncation truncation =
      Truncation::kRefuse;  // which end they were dropped from; kRefuse: none were
};

// One token and how likely the model finds it.
struct Candidate {
  Token token;
  double probability = 0;
  double log_probability = 0;
  int32_t rank = 0;  // 1 for the most probable token
};

// ---- Models -------------------------------------------------------------------------------------

enum class AttentionDirection { kUnknown, kCausal, kBidirectional };

enum class Capability { kUnknown, kPredict, kGenerate, kAttention, kEmbed };

// Where the weights come from with which a position mixes what it sees: queries and keys, the
// position alone, the same for all, or one learned score for each word.
enum class Mixing { kUnknown, kAttention, kLastWord, kAverage, kWeighted };

struct TokenizerInfo {
  std::string kind;
  int32_t vocabulary_size = 0;
  int32_t added_special_token_count = 0;
  std::vector<int32_t> end_of_text_ids;
  std::optional<int32_t> mask_id;
  std::string mask_text;  // how that token is written in a text; empty without one
};

struct ModelInfo {
  ModelIdentity identity;
  std::string architecture;
  AttentionDirection direction = AttentionDirection::kUnknown;
  int64_t parameter_count = 0;
  int32_t layer_count = 0;
  int32_t head_count = 0;
  int32_t kv_head_count = 0;
  int32_t head_dim = 0;
  int32_t hidden_size = 0;
  int32_t feed_forward_size = 0;
  int32_t vocabulary_size = 0;
  int64_t context_window = 0;  // tokens
  std::string checkpoint_dtype;
  std::string compute_dtype;
  std::string kv_cache_dtype;  // empty: the server does not say
  int64_t weight_bytes = 0;
  TokenizerInfo tokenizer;
  std::vector<Capability> capabilities;
  Mixing mixing = Mixing::kUnknown;
};

// ---- Text and tokens ----------------------------------------------------------------------------

struct TokenizeRequest {
  std::string model;  // empty: the server's default model; so in every request
  std::string text;
  std::optional<bool> add_special_tokens;    // default true
  std::optional<bool> parse_special_tokens;  // default true
};

struct TokenizeResult {
  ModelIdentity model;
  std::vector<Token> tokens;
  Timings timings;
};

struct DetokenizeRequest {
  std::string model;
  std::vector<int32_t> ids;
  bool skip_special_tokens = false;
};

struct DetokenizeResult {
  ModelIdentity model;
  std::string text;
  std::string bytes;
  std::vector<Token> tokens;
  Timings timings;
};

// ---- What comes next ----------------------------------------------------------------------------

// The prompt is `text`, or `token_ids` when that is not empty; both at once are refused.
struct PredictRequest {
  std::string model;
  std::string text;
  std::vector<int32_t> token_ids;
  std::optional<bool> add_special_tokens;  // default true for text, false for ids
  std::optional<bool> parse_special_tokens;
  Truncation truncation = Truncation::kRefuse;
  // Where to predict. Neither set: the last position of a causal model, every mask of a
  // bidirectional one.
  std::vector<int64_t> positions;
  bool all_positions = false;
  // What to report; at most one of these. None set: the ten most probable tokens.
  std::optional<int32_t> top_k;
  std::vector<int32_t> candidate_ids;
  std::vector<std::string> candidate_texts;
  bool full_distribution = false;
};

struct PositionPrediction {
  int64_t position = 0;  // in the prompt, after any truncation
  std::vector<Candidate> candidates;
  std::vector<float>
      log_probabilities;  // [vocabulary_size] when the full distribution was asked for
  double entropy = 0;
  std::optional<Candidate> actual;  // the token that really stands there
};

struct PredictResult {
  ModelIdentity model;
  Provenance provenance;
  PromptInfo prompt;
  std::vector<PositionPrediction> predictions;
  Timings timings;
};

// ---- What a text means, as a vector -------------------------------------------------------------

// How the vectors of a text's tokens become one: the mean over all, the first token, the last, or
// as the model's folder says.
enum class Pooling { kDefault, kMean, kCls, kLast };

// The texts are `texts`, or `token_ids` when that is not empty; both at once are refused. The
// options about reading a text are for all of them.
struct EmbedRequest {
  std::string model;
  std::vector<std::string> texts;
  std::vector<std::vector<int32_t>> token_ids;
  std::optional<bool> add_special_tokens;  // default true for texts, false for ids
  std::optional<bool> parse_special_tokens;
  Truncation truncation = Truncation::kRefuse;
  Pooling pooling = Pooling::kDefault;
  std::optional<bool> normalize;      // default: as the model's folder says, else false
  std::optional<int32_t> dimensions;  // the first ones are kept; default all
  bool token_vectors = false;         // each token's own vector too
};

struct TextEmbedding {
  PromptInfo prompt;
  std::vector<float> vector;         // [dimensions]
  std::vector<float> token_vectors;  // [prompt.tokens, hidden_size] when asked for
};

struct EmbedResult {
  ModelIdentity model;
  std::vector<TextEmbedding> embeddings;  // one for each text, in order
  Pooling pooling = Pooling::kDefault;    // the way that was used
  bool normalized = false;
  Timings timings;
};

// ---- Attention ----------------------------------------------------------------------------------

// The last `count` positions, for example `.queries = heed::Last(1)`.
inline std::vector<int64_t> Last(int64_t count) {
  std::vector<int64_t> positions;
  for (int64_t i = count; i > 0; --i) positions.push_back(-i);
  return positions;
}

// Which weights: empty lists mean all.
struct AttentionSelection {
  std::vector<int32_t> layers;
  std::vector<int32_t> heads;
  std::vector<int64_t> queries;
  int32_t top_k = 0;  // 0: every weight; otherwise the k largest of each row
};

struct AttentionRequest {
  std::string model;
  std::string text;
  std::vector<int32_t> token_ids;
  std::optional<bool> add_special_tokens;
  std::optional<bool> parse_special_tokens;
  Truncation truncation = Truncation::kRefuse;
  std::vector<int32_t> layers;
  std::vector<int32_t> heads;
  std::vector<int64_t> queries;
  int32_t top_k = 0;
};

// The first message of an answer.
struct AttentionHeader {
  ModelIdentity model;
  PromptInfo prompt;
  std::vector<int32_t> layers;  // the selection resolved: ascending, no repeats
  std::vector<int32_t> heads;
  std::vector<int64_t> queries;
  int64_t key_count = 0;
  bool causal = false;  // query i sees only keys 0..i
  int64_t total_bytes = 0;
  Provenance provenance;
};

// Some rows of one head: dense, or the largest weights of each row.
struct AttentionTile {
  int32_t layer = 0;
  int32_t head = 0;
  std::vector<int64_t> queries;
  int32_t top_k = 0;                // 0: dense
  std::vector<float> weights;       // [rows, key_count], or [rows, top_k] largest first
  std::vector<int32_t> keys;        // [rows, top_k]; -1 pads; empty when dense
  std::vector<float> dropped_mass;  // [rows]; empty when dense
};

// The last message of an answer.
struct AttentionEnd {
  int64_t tile_count = 0;
  Timings timings;
};

using AttentionEvent = std::variant<AttentionHeader, AttentionTile, AttentionEnd>;

// A whole answer, assembled.
struct AttentionMaps {
  AttentionHeader header;
  int32_t top_k = 0;           // 0: dense
  std::vector<float> weights;  // [layers, heads, queries, keys], or [layers, heads, queries, top_k]
  std::vector<int32_t> keys;   // [layers, heads, queries, top_k]; empty when dense
  std::vector<float> dropped_mass;  // [layers, heads, queries]; empty when dense
  Timings timings;

  // Index of the first weight of a row; the arguments index header.layers, header.heads and
  // header.queries.
  int64_t RowOffset(int64_t layer, int64_t head, int64_t query) const {
    const auto heads = static_cast<int64_t>(header.heads.size());
    const auto queries = static_cast<int64_t>(header.queries.size());
    return ((layer * heads + head) * queries + query) * (top_k > 0 ? top_k : header.key_count);
  }
};

// ---- Generation ---------------------------------------------------------------------------------

struct GenerateRequest {
  std::string model;
  std::string text;
  std::vector<int32_t> token_ids;
  std::optional<bool> add_special_tokens;
  std::optional<bool> parse_special_tokens;
  Truncation truncation = Truncation::kRefuse;
  // Sampling. Without any of these: greedy.
  std::optional<float> temperature;
  std::optional<int32_t> top_k;
  std::optional<float> top_p;
  std::optional<float> min_p;
  std::optional<float> repetition_penalty;
  std::optional<float> presence_penalty;
  std::optional<float> frequency_penalty;
  std::optional<int64_t> seed;
  std::map<int32_t, float> logit_bias;
  // Stopping.
  std::optional<int32_t> max_tokens;
  std::vector<std::string> stop_texts;
  std::vector<int32_t> stop_ids;
  bool ignore_end_of_text = false;
  // Reporting.
  int32_t top_candidates = 0;  // alternatives beside each token
  std::optional<AttentionSelection>
      attention;  // the row that predicted each token; `queries` must be empty
};

enum class FinishReason { kUnknown, kLength, kContext, kEndOfText, kStopText, kStopId };

struct GenerateStart {
  ModelIdentity model;
  PromptInfo prompt;
  std::optional<int64_t> seed;  // absent when greedy
  Provenance provenance;
};

struct GeneratedToken {
  int64_t position = 0;
  Token token;
  double probability = 0;  // before sampling parameters; so are the next three
  double log_probability = 0;
  int32_t rank = 0;
  double entropy = 0;
  std::vector<Candidate> alternatives;
  std::string text_delta;  // whole characters that became certain; may be empty
  std::vector<AttentionTile> attention;
};

struct GenerateEnd {
  FinishReason finish_reason = FinishReason::kUnknown;
  std::string stop_text;
  std::optional<int32_t> stop_id;
  std::string text_delta;
  int64_t generated_token_count = 0;
  Timings timings;
};

using GenerateEvent = std::variant<GenerateStart, GeneratedToken, GenerateEnd>;

// A whole generation.
struct GenerateResult {
  GenerateStart start;
  std::vector<GeneratedToken> tokens;
  std::string text;  // all deltas together
  GenerateEnd end;
};

// ---- Health -------------------------------------------------------------------------------------

enum class Serving { kUnknown, kServing, kNotServing, kServiceUnknown };

}  // namespace client
}  // namespace heed

#endif  // HEED_CLIENT_TYPES_H_
