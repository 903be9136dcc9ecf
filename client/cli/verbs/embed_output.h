// What `heed embed` prints: the vectors' sizes and how near they are to each other, which is what
// one wants to see of them; the numbers themselves are for programs.
#ifndef HEED_CLIENT_CLI_VERBS_EMBED_OUTPUT_H_
#define HEED_CLIENT_CLI_VERBS_EMBED_OUTPUT_H_

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/types/span.h"
#include "client/cli/base/session.h"
#include "client/types.h"

namespace heed::cli {

// Euclidean length.
double Norm(absl::Span<const float> vector);

// Of the angle between two vectors of the same size, in [-1, 1]; nothing when one of them is zeros.
std::optional<double> Cosine(absl::Span<const float> a, absl::Span<const float> b);

// The position in `other` of the token at `position` of `text`: the n-th of its kind there when it
// is the n-th of its kind here.
std::optional<int64_t> SameToken(const TextEmbedding& text, int64_t position,
                                 const TextEmbedding& other);

// `texts` are the texts as they were typed; empty for token ids. `tokens`: each token's own vector
// was asked for.
void PrintEmbeddings(const EmbedResult& result, const std::vector<std::string>& texts, bool tokens,
                     Session& session);
void WriteEmbeddingsJson(const EmbedResult& result, bool tokens, Session& session);

}  // namespace heed::cli

#endif  // HEED_CLIENT_CLI_VERBS_EMBED_OUTPUT_H_
