// A logit as a sum of what each part of the model wrote to the stream, read through the final norm
// at the scale it had (direct logit attribution; Elhage et al. 2021).
#ifndef HEED_MODEL_INSPECT_ATTRIBUTION_H_
#define HEED_MODEL_INSPECT_ATTRIBUTION_H_

#include <cstdint>
#include <optional>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "model/inspect/attention_read.h"
#include "model/inspect/trace.h"
#include "model/tokenizer/tokenizer.h"
#include "model/transformer/language_model.h"

namespace heed {

enum class AttributionUnit { kComponent, kHead, kHeadAndSource };

struct AttributionRequest {
  int64_t position = 0;
  TokenId token = 0;
  std::optional<TokenId> against;  // the difference of the two tokens' logits
  AttributionUnit unit = AttributionUnit::kComponent;
};

struct LogitPart {
  enum class Kind {
    kEmbedding,  // the stream that enters layer 0
    kAttention,  // of kComponent
    kMlp,
    kHead,           // of the others
    kAttentionBias,  // the output projection's, and what its norm adds; of the others
    kEdit,           // what edits of the stream put into it, in a layer or right behind it
    kFinalBias,      // of norms behind a sum, of the final norm and of the head
  };
  Kind kind = Kind::kEmbedding;
  int layer = -1;
  int head = -1;
  double value = 0;
  std::vector<float> by_source;  // [size], of a head with kHeadAndSource; sums to value
};

struct LogitAttribution {
  std::vector<LogitPart> parts;  // in the order of the forward pass
  double logit = 0;              // what the model gave, before a cap on logits
  double residual_error = 0;     // logit - sum of the parts: of rounding, that of the activations
                                 // in front of 8- or 4-bit weights too
  bool before_cap = false;       // the model caps its logits
};

// FAILED_PRECONDITION: the head is not linear or there is none (reason HEAD_NOT_LINEAR, NO_HEAD).
absl::Status CheckLinearHead(const LanguageModel& model);

// FAILED_PRECONDITION (SITE_NOT_KEPT): the trace did not keep what SitesForAttribution says, or of
// an edited run SitesUnderEdits.
absl::Status CheckAttributable(const LanguageModel& model, const Trace& trace);

// FAILED_PRECONDITION: as CheckLinearHead and CheckAttributable.
absl::StatusOr<LogitAttribution> AttributeLogit(const LanguageModel& model, const Trace& trace,
                                                const AttributionRequest& request);
SiteSet SitesForAttribution(const ModelConfig& config);

// One attention row from query to logit.
struct RowExplanation {
  std::vector<float> query;                // [head_dim]
  std::vector<float> keys, values;         // [key_count, head_dim]; query and keys are empty where
                                           // WhyNotInModel says that there are none
  std::vector<float> raw, scaled, capped;  // [key_count]
  std::vector<float> masked, weights;      // [key_count]
  std::vector<float> value_norms;          // [key_count], |v W_O|
  std::vector<float> weighted_norms;       // [key_count]
  std::vector<float> context;              // [head_dim], the blended values
  std::vector<float> projection;           // [width], the blend through the head's W_O
  double entropy = 0;                      // nats
  int64_t key_count = 0;                   // that the row sees, from position 0 on
  struct Share {
    TokenId token = 0;
    double share = 0;           // of the row in the token's logit at its position, directly
    std::vector<float> by_key;  // [key_count], sums to share
  };
  std::vector<Share> shares;  // in the order asked for
};

// Errors as AttributeLogit's when tokens are asked for; what the trace must have kept for these
// says SitesForRowTokens: nothing where no norm follows a sum, since no other is on the way of the
// row.
absl::StatusOr<RowExplanation> ExplainRow(const LanguageModel& model, const Trace& trace, int layer,
                                          int head, int64_t query,
                                          absl::Span<const TokenId> tokens);
SiteSet SitesForRowTokens(const ModelConfig& config);

}  // namespace heed

#endif  // HEED_MODEL_INSPECT_ATTRIBUTION_H_
