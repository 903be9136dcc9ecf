// What one Explore session holds: its base, what it is edited with, and what was reported of that
// last.
#ifndef HEED_SERVER_INSPECT_EXPLORE_SESSION_H_
#define HEED_SERVER_INSPECT_EXPLORE_SESSION_H_

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "heed/v1/experiment.pb.h"
#include "model/base/stop_signal.h"
#include "model/inspect/intervene.h"
#include "model/inspect/prediction.h"
#include "model/inspect/trace.h"
#include "server/convert/violations.h"
#include "server/inspect/experiment_methods.h"
#include "server/inspect/run_source.h"

namespace heed {

// Used by one thread at a time.
class ExploreSession {
 public:
  static constexpr int32_t kDefaultTopK = 5;

  // What a session holds besides its run, and for what it watches: the edited run that was reported
  // and the one that takes its place, and what they are made with.
  static int64_t EditedBytes(const ModelConfig& config, int64_t n_tokens);

  // What is wrong with a request's edits, watch and hover as far as the prompt's length does not
  // matter, and the sites that its run must keep.
  static SiteSet Check(const v1::ExploreRequest& request, const ServedModel& model,
                       Violations* violations);
  // OUT_OF_RANGE for positions, FAILED_PRECONDITION (NO_HEAD), RESOURCE_EXHAUSTED for too many
  // rows.
  static absl::Status CheckLength(const v1::ExploreRequest& request, const ModelConfig& config,
                                  int64_t n_tokens);

  // What is wrong with a request that is not the first, as far as it shows without the model and
  // the run: a list that is too long, no part, or one that only the first has. Costs nothing,
  // however much the request holds. INVALID_ARGUMENT.
  static absl::Status CheckForm(const v1::ExploreRequest& request);

  // The run came with EditedBytes. `stop` outlives this.
  static absl::StatusOr<std::unique_ptr<ExploreSession>> Create(ReadableRun run,
                                                                const StopSignal* stop);
  ~ExploreSession();

  // Makes the parts of a request, the first or one that passed CheckForm, the session's, running
  // what they need. An error changes nothing.
  absl::Status Take(const v1::ExploreRequest& request);

  // Fills in what changed since the last report; the first one has `opened`. An error puts the
  // session back to where it was reported last.
  absl::Status Report(v1::ExploreResponse* response);

  // How many succeeded.
  int64_t reports() const { return reports_; }

  const EngineTimings& run_timings() const { return run_.timings; }
  absl::Duration tokenize_time() const { return run_.tokenize_time; }

 private:
  struct Watch;
  struct Hover;
  struct Reading;
  // What requests have made of the session.
  struct State {
    std::shared_ptr<const Trace> trace;
    v1::ExploreEdits edits;
    std::shared_ptr<const Watch> watch;
    std::shared_ptr<const Hover> hover;  // null: none
  };
  // Of each part the bytes that were sent last.
  struct Sent {
    std::vector<std::string> predictions, rows;
    std::string metrics, hovered;
  };

  explicit ExploreSession(ReadableRun run) : run_(std::move(run)) {}
  const ModelConfig& config() const { return run_.model->model->config(); }
  const Trace& base() const { return *run_.run->trace; }

  absl::Status SetEdits(const v1::InterventionSet& wire, State* next);
  absl::Status SetWatch(const v1::ExploreWatch& wire, State* next) const;
  absl::Status SetHover(const v1::ExploreHover& wire, State* next) const;

  absl::Status Read(Reading* reading) const;
  absl::Status ReadPredictions(Reading* reading) const;
  void ReadRows(Reading* reading) const;
  void FillCandidate(const Prediction& base, const Prediction& now, TokenId id,
                     v1::ExploreCandidate* out) const;
  void FillOpened(v1::ExploreOpened* out) const;

  const ReadableRun run_;
  int64_t held_bytes_ = 0;
  std::unique_ptr<ExperimentBench> bench_;
  State state_, reported_;
  Sent sent_;
  int64_t reports_ = 0;
  bool edits_replaced_ = true;
};

}  // namespace heed

#endif  // HEED_SERVER_INSPECT_EXPLORE_SESSION_H_
