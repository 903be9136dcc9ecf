// Whether a trace keeps what a call would read of it, before anything is computed or sent.
#ifndef HEED_SERVER_INSPECT_KEPT_SITES_H_
#define HEED_SERVER_INSPECT_KEPT_SITES_H_

#include "absl/status/status.h"
#include "heed/v1/inspection.pb.h"
#include "model/inspect/trace.h"
#include "model/transformer/language_model.h"

namespace heed {

// Requests that passed RunChecks::fields. FAILED_PRECONDITION (SITE_NOT_KEPT), which names the
// first site and layer that is missing.
absl::Status CheckKept(const v1::ExplainRowRequest& request, const LanguageModel& model,
                       const Trace& trace);
absl::Status CheckKept(const v1::GetActivationsRequest& request, const LanguageModel& model,
                       const Trace& trace);
absl::Status CheckKept(const v1::LogitLensRequest& request, const LanguageModel& model,
                       const Trace& trace);
absl::Status CheckKept(const v1::AttributeLogitsRequest& request, const LanguageModel& model,
                       const Trace& trace);
absl::Status CheckKept(const v1::DecomposeAttentionRequest& request, const LanguageModel& model,
                       const Trace& trace);

// The others read what every trace keeps, or run again what they miss.
template <typename Request>
absl::Status CheckKept(const Request&, const LanguageModel&, const Trace&) {
  return absl::OkStatus();
}

}  // namespace heed

#endif  // HEED_SERVER_INSPECT_KEPT_SITES_H_
