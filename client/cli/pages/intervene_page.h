// The page of heed intervene, and the same answer as a file of numbers.
#ifndef HEED_CLIENT_CLI_PAGES_INTERVENE_PAGE_H_
#define HEED_CLIENT_CLI_PAGES_INTERVENE_PAGE_H_

#include <string>
#include <vector>

#include "client/cli/pages/export.h"
#include "client/cli/request/metrics.h"
#include "heed/v1/experiment.pb.h"

namespace heed::cli {

// What a page of edits says beside its answer.
struct IntervenePageFacts {
  NamedMetrics metrics;
  std::vector<std::string> base_edits;  // those of --under, as the command line names them
  std::string at_or_after = "after";    // where the model predicts: at a word, or after it
};
std::string IntervenePage(const v1::InterveneResponse& answer, const IntervenePageFacts& facts);

// By edit, of which the first is none, and metric: the values, and how far they are from the base.
Export InterveneExport(const v1::InterveneResponse& answer, const NamedMetrics& metrics,
                       const std::vector<std::string>& base_edits);

}  // namespace heed::cli

#endif  // HEED_CLIENT_CLI_PAGES_INTERVENE_PAGE_H_
