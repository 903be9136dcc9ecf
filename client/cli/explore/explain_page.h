// The page of `heed explain`: that of `heed explore` (explore_page.h) as a file, with one row.
#ifndef HEED_CLIENT_CLI_EXPLORE_EXPLAIN_PAGE_H_
#define HEED_CLIENT_CLI_EXPLORE_EXPLAIN_PAGE_H_

#include <string>
#include <vector>

#include "client/cli/base/session.h"
#include "heed/v1/experiment.pb.h"
#include "heed/v1/inspection.pb.h"

namespace heed::cli {

// What the model predicts at the row's position; empty for a model without a language-model head.
// Without tokens to follow, the request gets the most probable ones.
std::vector<v1::ExplorePrediction> PredictionsOf(v1::ExplainRowRequest* request, Session& session);

// What the page says beside the answer; the fields are those of ExplorePageData.
struct ExplainPageFacts {
  std::string command;
  std::string at_or_after = "after";
  std::vector<std::string> edits;
};
std::string ExplainPage(const v1::ExplainRowResponse& row,
                        const std::vector<v1::ExplorePrediction>& predictions,
                        const ExplainPageFacts& facts);

}  // namespace heed::cli

#endif  // HEED_CLIENT_CLI_EXPLORE_EXPLAIN_PAGE_H_
