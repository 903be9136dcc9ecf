// Embed from the wire, validated and with every default filled in, and its answer back.
#ifndef HEED_SERVER_CONVERT_EMBED_H_
#define HEED_SERVER_CONVERT_EMBED_H_

#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "heed/v1/embedding.pb.h"
#include "server/convert/prompt.h"
#include "server/convert/request_limits.h"
#include "server/engine/embed_task.h"
#include "server/engine/registry.h"

namespace heed {

struct ResolvedEmbed {
  std::vector<ResolvedPrompt> prompts;
  EmbedJob job;

  // What the engine runs.
  std::vector<std::vector<TokenId>> TokenLists() const;
};

// All wrong fields come back in one INVALID_ARGUMENT. Then errors as ResolvePrompt, with the path
// of the prompt they are about, and RESOURCE_EXHAUSTED (EMBEDDING_BUDGET) for too many vectors.
absl::StatusOr<ResolvedEmbed> ConvertEmbed(const v1::EmbedRequest& request,
                                           const ServedModel& model, const RequestLimits& limits);

// All of the answer that is known before anything is computed. RESOURCE_EXHAUSTED (REPLY_TOO_LARGE)
// when it could not be sent once the vectors are in it.
absl::Status BeginEmbedResponse(const ResolvedEmbed& resolved, const ServedModel& model,
                                v1::EmbedResponse* out);

// The rest. `texts` are the engine's, one for each prompt.
void FinishEmbedResponse(const ResolvedEmbed& resolved, absl::Span<const EmbeddedText> texts,
                         const EngineTimings& timings, v1::EmbedResponse* out);

}  // namespace heed

#endif  // HEED_SERVER_CONVERT_EMBED_H_
