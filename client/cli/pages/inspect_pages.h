// The pages of heed lens, attribute and compare, and the same answers as files of numbers.
#ifndef HEED_CLIENT_CLI_PAGES_INSPECT_PAGES_H_
#define HEED_CLIENT_CLI_PAGES_INSPECT_PAGES_H_

#include <string>
#include <vector>

#include "client/cli/base/arguments.h"
#include "client/cli/pages/export.h"
#include "client/cli/request/run_source.h"
#include "heed/v1/experiment.pb.h"
#include "heed/v1/inspection.pb.h"

namespace heed::cli {

// The edits of the command, as it names them; none where they do not read.
std::vector<std::string> EditNames(const Arguments& arguments, RunSource& source,
                                   const std::string& layer_option = "edit-layer",
                                   const std::string& head_option = "edit-head");

// `edits` are those of the run, as the command line names them.

// `layer_names` one for each of the answer's layers.
// What the page of a lens says beside its answer.
struct LensPageFacts {
  std::vector<std::string> layer_names;
  std::vector<std::string> edits;
  std::string at_or_after = "after";  // where the model predicts: at a word, or after it
  int64_t position = -1;              // the place to show first; negative: from the end
};
std::string LensPage(const v1::LogitLensResponse& lens, const LensPageFacts& facts);
Export LensExport(const v1::LogitLensResponse& lens, const std::vector<std::string>& edits);

// `part_names` one for each of the answer's parts.
struct AttributePageFacts {
  std::vector<std::string> part_names;
  std::vector<std::string> edits;
  bool begins_with_heads = false;
  std::string at_or_after = "after";
};
std::string AttributePage(const v1::AttributeLogitsResponse& answer,
                          const AttributePageFacts& facts);
// By part, or by part and source token where the heads are split so.
Export AttributeExport(const v1::AttributeLogitsResponse& answer,
                       const std::vector<std::string>& part_names,
                       const std::vector<std::string>& edits);

// `edits` are those of the second side, and so is where it predicts: at a word, or after it.
std::string ComparePage(const v1::CompareResponse& answer, const std::vector<std::string>& edits,
                        const std::string& at_or_after = "after");
Export CompareExport(const v1::CompareResponse& answer, const std::vector<std::string>& edits);

// Every stage of one row by key; in safetensors the vectors too.
Export ExplainExport(const v1::ExplainRowResponse& row, const std::vector<std::string>& edits);

}  // namespace heed::cli

#endif  // HEED_CLIENT_CLI_PAGES_INSPECT_PAGES_H_
