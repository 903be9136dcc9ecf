// Intervene, Sweep and Compare: what each checks, and how its answer is made of the core's.
#ifndef HEED_SERVER_INSPECT_EXPERIMENT_METHODS_H_
#define HEED_SERVER_INSPECT_EXPERIMENT_METHODS_H_

#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "heed/v1/experiment.pb.h"
#include "model/base/stop_signal.h"
#include "model/inspect/intervene.h"
#include "model/inspect/metric.h"
#include "model/inspect/sweep.h"
#include "model/transformer/kv_cache.h"
#include "server/calls/unary_call.h"
#include "server/inspect/run_source.h"

namespace heed {

// A Method of ReadCall.
struct InterveneMethod {
  using Request = v1::InterveneRequest;
  using Response = v1::InterveneResponse;
  static SiteSet Check(const Request& request, const ServedModel& model, Violations* violations);
  static absl::Status CheckLength(const Request& request, const ModelConfig& config,
                                  int64_t n_tokens);
  static absl::Status Answer(const Request& request, const ReadableRun& run, const StopSignal& stop,
                             Response* response);
};

// What edited runs of a base need: caches of their own, so that they take no pages from calls that
// the engine serves. Their memory counts as the client's traces do.
class ExperimentBench {
 public:
  // `run` and `stop`, which may be null, outlive this. `metrics` are of the run's prompt. Takes
  // memory for the caches, RESOURCE_EXHAUSTED (TRACE_QUOTA), unless the run came with it.
  static absl::StatusOr<std::unique_ptr<ExperimentBench>> Create(const ReadableRun& run,
                                                                 MetricReader metrics,
                                                                 const StopSignal* stop);
  // Of the caches, for a prompt of that many tokens.
  static int64_t CacheBytes(const ModelConfig& config, int64_t n_tokens);

  EditedRuns& runs() { return *runs_; }
  Workspace* workspace() { return workspace_.get(); }
  const std::shared_ptr<const Trace>& base() const { return base_; }

 private:
  ExperimentBench() = default;

  std::shared_ptr<const Trace> base_;
  TraceStore::Reservation memory_;
  std::unique_ptr<KvPool> pool_;
  std::unique_ptr<Workspace> workspace_;
  std::optional<EditedRuns> runs_;
};

// A Method of ReadStreamCall: some cells in each message.
class SweepStream {
 public:
  using Request = v1::SweepRequest;
  using Response = v1::SweepResponse;
  static SiteSet Check(const Request& request, const ServedModel& model, Violations* violations);
  static absl::Status CheckLength(const Request& request, const ModelConfig& config,
                                  int64_t n_tokens);
  static absl::StatusOr<std::unique_ptr<SweepStream>> Create(const Request& request,
                                                             ReadableRun* run,
                                                             const StopSignal* stop);
  absl::StatusOr<bool> Next(Response* out);

 private:
  explicit SweepStream(ReadableRun* run) : run_(run) {}
  void FillHeader(v1::SweepHeader* out) const;

  ReadableRun* const run_;
  std::unique_ptr<ExperimentBench> bench_;
  std::optional<Sweep> sweep_;
  bool header_sent_ = false;
  bool end_sent_ = false;
  int64_t next_cell_ = 0;
};

class CompareCall final : public UnaryCall {
 public:
  using UnaryCall::UnaryCall;

 private:
  struct Side {
    std::optional<PlannedRun> plan;  // still to be run
    ReadableRun run;
  };

  absl::Status Submit(const grpc::ByteBuffer& request_bytes) override;
  absl::Status Prepare(const v1::CompareSide& wire, const std::string& name, Side* side);
  // Runs what is still to be run, then answers on a worker.
  absl::Status GoOn(bool continues_call);
  void OnRun(Side* side, absl::StatusOr<ReadableRun> run);
  absl::StatusOr<grpc::ByteBuffer> Answer() const;
  void Fail(const absl::Status& status);

  v1::CompareRequest request_;
  Side a_, b_;
};

}  // namespace heed

#endif  // HEED_SERVER_INSPECT_EXPERIMENT_METHODS_H_
