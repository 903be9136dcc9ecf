// GetAttention as the command line asks for it: every stage and every encoding of the wire. Plain
// weights become AttentionMaps, which all pictures and files take; the other forms have pictures of
// their own here.
#ifndef HEED_CLIENT_CLI_ATTENTION_ATTENTION_FORMS_H_
#define HEED_CLIENT_CLI_ATTENTION_ATTENTION_FORMS_H_

#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "client/cli/base/arguments.h"
#include "client/cli/base/session.h"
#include "client/cli/request/run_source.h"
#include "client/types.h"
#include "heed/v1/inspection.pb.h"

namespace heed::cli {

// --stage, --keys, --fuse, --top-k, --threshold, --pool, --spans and so on.
std::vector<OptionSpec> AttentionFormOptions();
absl::Status ReadAttentionForm(const Arguments& arguments, RunSource& source,
                               v1::AttentionSelection* selection);

// Whether the answer is AttentionMaps: the heads' own weights, all of a row's or the largest.
bool IsPlain(const v1::AttentionSelection& selection);
// A plain answer. INTERNAL when it is not what was asked for.
absl::StatusOr<AttentionMaps> FetchAttentionMaps(const v1::GetAttentionRequest& request,
                                                 Session& session);

// Any answer, as it came.
struct AttentionAnswer {
  v1::AttentionHeader header;
  std::vector<v1::AttentionTile> tiles;
  v1::AttentionEnd end;
};
absl::StatusOr<AttentionAnswer> FetchAttention(const v1::GetAttentionRequest& request,
                                               Session& session);
// With --json header, tiles and end; otherwise a picture of each head.
void PrintAttentionForm(const AttentionAnswer& answer, const v1::AttentionSelection& selection,
                        Session& session);

}  // namespace heed::cli

#endif  // HEED_CLIENT_CLI_ATTENTION_ATTENTION_FORMS_H_
