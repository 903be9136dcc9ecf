// GetAttention as the command line asks for it: every stage and every encoding of the wire. Plain
// weights become AttentionMaps, which all pictures and files take; the other forms have pictures of
// their own here.
#ifndef HEED_CLIENT_CLI_ATTENTION_ATTENTION_FORMS_H_
#define HEED_CLIENT_CLI_ATTENTION_ATTENTION_FORMS_H_

#include <cstdint>
#include <string>
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

// One head's numbers as a table.
struct HeadMatrix {
  int layer = 0;
  int head = 0;                  // -1: all of a layer's as one
  std::vector<int64_t> queries;  // of the rows; the first one of a row for several
  int64_t columns = 0;
  std::vector<float> values;       // [queries, columns]
  std::vector<std::string> lines;  // in place of values: a row's strongest keys as text
};
std::vector<HeadMatrix> Matrices(const AttentionAnswer& answer);

// The positions that a row or column stands for: one, or those of a block or group.
struct KeyRange {
  int64_t begin = 0;
  int64_t end = 0;
};
std::vector<KeyRange> RowRanges(const AttentionAnswer& answer, const HeadMatrix& matrix,
                                const v1::AttentionSelection& selection);
std::vector<KeyRange> ColumnRanges(const AttentionAnswer& answer, const HeadMatrix& matrix,
                                   const v1::AttentionSelection& selection);
std::string RangeText(const KeyRange& range);  // "2-5", "2"

// A stage as the command line names it, and what its numbers are.
struct StageText {
  const char* name;
  v1::AttentionStage stage;
  const char* meaning;
};
const StageText* FindStage(v1::AttentionStage stage);  // null for one that is not known
// What a cell has of its words, as the meaning of a stage goes on: "; the mean of each block".
std::string CellText(const v1::AttentionSelection& selection);
// Which head, as "Layer 2" goes on: " head 3", ", the mean over heads".
std::string HeadText(const HeadMatrix& matrix, const v1::AttentionSelection& selection);

// With --json header, tiles and end; otherwise a picture of each head.
void PrintAttentionForm(const AttentionAnswer& answer, const v1::AttentionSelection& selection,
                        Session& session);

}  // namespace heed::cli

#endif  // HEED_CLIENT_CLI_ATTENTION_ATTENTION_FORMS_H_
