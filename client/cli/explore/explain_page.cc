#include "client/cli/explore/explain_page.h"

#include <utility>

#include "client/cli/explore/explore_page.h"
#include "client/cli/request/inspect_calls.h"

namespace heed::cli {
namespace {

constexpr int kPageWords = 8;
constexpr int kFollowedWords = 3;

// A run without edits beside itself.
v1::ExploreCandidate Unchanged(const v1::Candidate& candidate) {
  v1::ExploreCandidate same;
  *same.mutable_candidate() = candidate;
  same.set_base_probability(candidate.probability());
  same.set_base_rank(candidate.rank());
  return same;
}

}  // namespace

std::vector<v1::ExplorePrediction> PredictionsOf(v1::ExplainRowRequest* request, Session& session) {
  v1::LogitLensRequest lens;
  lens.set_model(request->model());
  if (request->has_prompt()) *lens.mutable_prompt() = request->prompt();
  lens.set_trace_id(request->trace_id());
  *lens.mutable_interventions() = request->interventions();
  *lens.mutable_tokens() = request->tokens();
  lens.add_layers(-1);
  lens.add_positions(request->query());
  lens.set_top_k(kPageWords);
  const auto answer = Ask(&Inspector::LogitLens, lens, session);
  if (!answer.ok() || answer->cells_size() != 1) return {};
  const v1::LensCell& cell = answer->cells(0);
  for (int i = 0; i < cell.candidates_size() && request->tokens_size() < kFollowedWords; ++i) {
    if (!lens.tokens().empty()) break;
    request->add_tokens()->set_id(cell.candidates(i).token().id());
  }
  v1::ExplorePrediction prediction;
  prediction.set_position(cell.position());
  prediction.set_entropy(cell.entropy());
  prediction.set_base_entropy(cell.entropy());
  for (const v1::Candidate& candidate : cell.candidates()) {
    *prediction.add_candidates() = Unchanged(candidate);
    *prediction.add_base_candidates() = prediction.candidates(prediction.candidates_size() - 1);
  }
  for (const v1::Candidate& candidate : cell.followed()) {
    *prediction.add_followed() = Unchanged(candidate);
  }
  return {prediction};
}

std::string ExplainPage(const v1::ExplainRowResponse& row,
                        const std::vector<v1::ExplorePrediction>& predictions,
                        const ExplainPageFacts& facts) {
  v1::ExploreResponse response;
  v1::ExploreOpened& opened = *response.mutable_opened();
  *opened.mutable_provenance() = row.provenance();
  *opened.mutable_prompt() = row.prompt();
  opened.set_layer_count(row.layer() + 1);
  opened.set_head_count(row.head() + 1);
  for (const v1::ExplorePrediction& prediction : predictions) {
    *response.add_predictions() = prediction;
  }
  v1::ExplainRowResponse& shown = *response.mutable_hovered()->mutable_row();
  shown = row;
  shown.clear_prompt();
  shown.clear_provenance();
  return ExplorePage({.command = facts.command,
                      .at_or_after = facts.at_or_after,
                      .response = std::move(response),
                      .edits = facts.edits});
}

}  // namespace heed::cli
