// Attention weights as files for other tools.
#ifndef HEED_CLIENT_CLI_ATTENTION_ATTENTION_EXPORT_H_
#define HEED_CLIENT_CLI_ATTENTION_ATTENTION_EXPORT_H_

#include <ostream>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "client/cli/base/arguments.h"
#include "client/cli/base/session.h"
#include "client/cli/pages/export.h"
#include "client/types.h"

namespace heed::cli {

// [layers, heads, queries, keys] of dense `maps`.
Export AttentionExport(const AttentionMaps& maps, const std::vector<std::string>& edits);

// What BertViz (github.com/jessevig/bertviz) puts in place of PYTHON_PARAMS in head_view.js and
// model_view.js: attention[0].attn is [layers, heads, queries, keys], left_text the queries,
// right_text the keys. In Python, torch.tensor(params["attention"][0]["attn"]) with a dimension
// for the batch is what head_view and model_view take.
absl::Status WriteBertViz(std::ostream& out, const AttentionMaps& maps);

// The properties of CircuitsVis's AttentionHeads (github.com/TransformerLensOrg/CircuitsVis), whose
// maps are [heads, destinations, sources]: all layers' heads one after the other, named L0H0 and so
// on. `maps` has every position as a query.
absl::Status WriteCircuitsVis(std::ostream& out, const AttentionMaps& maps);

// --output, --format, --npy.
std::vector<OptionSpec> AttentionFileOptions();
// A usage error when the options do not go together or --output has no format that is known.
absl::Status CheckAttentionFileOptions(const Arguments& arguments);
// Writes --html, --npy and --output where they are given. True when one was. `edits` are those of
// the run, as the command names them.
absl::StatusOr<bool> WriteAttentionFiles(const AttentionMaps& maps,
                                         const std::vector<std::string>& edits,
                                         const Arguments& arguments, Session& session);

}  // namespace heed::cli

#endif  // HEED_CLIENT_CLI_ATTENTION_ATTENTION_EXPORT_H_
