// How calls that read a run begin, whether they answer with one message or a stream.
#ifndef HEED_SERVER_INSPECT_START_READ_H_
#define HEED_SERVER_INSPECT_START_READ_H_

#include <memory>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "server/engine/worker_pool.h"
#include "server/inspect/call_cost.h"
#include "server/inspect/kept_sites.h"
#include "server/inspect/run_source.h"

namespace heed {

// StartRun of a request of `Method`, which has
//   using Request;
//   // As RunChecks::fields: a SiteSet, or absl::StatusOr of one where some models have no answer.
//   static SiteSet Check(const Request&, const ServedModel&, Violations*);
//   // Errors that the number of tokens leads to.
//   static absl::Status CheckLength(const Request&, const ModelConfig&, int64_t n_tokens);
// What CostOf says comes with the run; a trace must pass CheckKept.
template <typename Method>
absl::Status StartRead(const ServiceContext& context, const typename Method::Request& request,
                       const std::string& client, const std::shared_ptr<StopSignal>& stop,
                       RunCallback done) {
  const auto fields = [&](const ServedModel& model,
                          Violations* violations) -> absl::StatusOr<SiteSet> {
    return Method::Check(request, model, violations);
  };
  const auto length = [&](const ModelConfig& config, int64_t n_tokens) {
    return Method::CheckLength(request, config, n_tokens);
  };
  const auto cost = [&](const LanguageModel& model, int64_t n_tokens) {
    return CostOf(request, model, n_tokens);
  };
  const auto kept = [&](const LanguageModel& model, const Trace& trace) {
    return CheckKept(request, model, trace);
  };
  return StartRun(context, RunInputOf(request), {fields, length, cost, kept}, client, stop,
                  std::move(done));
}

// Of a client's work that takes so much.
inline WorkKind KindOf(const CallCost& cost, const std::string& client) {
  return {client, cost.flops > kLongFlops};
}

}  // namespace heed

#endif  // HEED_SERVER_INSPECT_START_READ_H_
