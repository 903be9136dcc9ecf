// Attention selections from the wire, validated and priced, and attention weights on their way
// back.
#ifndef HEED_SERVER_CONVERT_ATTENTION_H_
#define HEED_SERVER_CONVERT_ATTENTION_H_

#include <cstdint>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "heed/v1/inspection.pb.h"
#include "model/inspect/attention_tile.h"
#include "server/convert/prompt.h"
#include "server/convert/violations.h"
#include "server/engine/registry.h"

namespace heed {

// Checks all that can be told without knowing the prompt's length. `field` is the selection's own
// path.
void CheckSelection(absl::string_view field, const v1::AttentionSelection& selection,
                    const ModelConfig& config, Violations* violations);

// Adds a violation for what only reads of whole runs offer: other stages and encodings.
void CheckPlainSelection(absl::string_view field, const v1::AttentionSelection& selection,
                         Violations* violations);

// Layers, heads and encoding of a selection that passed CheckSelection; queries are left empty.
AttentionChoice ResolveHeads(const v1::AttentionSelection& selection, const ModelConfig& config);

// The same with the queries. OUT_OF_RANGE (POSITION_OUT_OF_RANGE) for a query past the prompt.
absl::StatusOr<AttentionChoice> ResolveSelection(const v1::AttentionSelection& selection,
                                                 const ModelConfig& config, int64_t prompt_length);

// Bytes of tile data of all chosen rows of `key_count` keys.
int64_t SelectionBytes(const AttentionChoice& choice, int64_t key_count);

// RESOURCE_EXHAUSTED (ATTENTION_BUDGET), with both numbers and how to ask for less, when bytes >
// limit.
absl::Status CheckAttentionBytes(int64_t bytes, int64_t limit);

// The same for a row of `key_count` keys that fits no tile.
absl::Status CheckRowBytes(const AttentionChoice& choice, int64_t key_count);

void FillHeader(const ServedModel& model, const ResolvedPrompt& prompt,
                const AttentionChoice& choice, v1::AttentionHeader* out);
void FillTile(const AttentionTile& tile, v1::AttentionTile* out);

// The position that `value`, which may count from the end, means in a prompt. OUT_OF_RANGE
// (POSITION_OUT_OF_RANGE).
absl::StatusOr<int64_t> ResolvePosition(absl::string_view field, int64_t value,
                                        int64_t prompt_length);
// The same of the end of a range, which may be the prompt's.
absl::StatusOr<int64_t> ResolveEnd(absl::string_view field, int64_t value, int64_t prompt_length);

}  // namespace heed

#endif  // HEED_SERVER_CONVERT_ATTENTION_H_
