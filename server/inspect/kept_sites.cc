#include "server/inspect/kept_sites.h"

#include <vector>

#include "model/base/status_macros.h"
#include "model/inspect/activations.h"
#include "model/inspect/attribution.h"
#include "server/convert/indices.h"
#include "server/convert/intervention.h"

namespace heed {
namespace {

absl::Status CheckReadable(const LanguageModel& model, const Trace& trace, Site site,
                           absl::Span<const int> layers) {
  for (int layer : layers) HEED_RETURN_IF_ERROR(CheckReadable(model, trace, site, layer));
  return absl::OkStatus();
}

}  // namespace

absl::Status CheckKept(const v1::ExplainRowRequest& request, const LanguageModel& model,
                       const Trace& trace) {
  const bool needs_stream = SitesForRowTokens(model.config()).Has(Site::kResidual);
  if (request.tokens().empty() || !needs_stream) return absl::OkStatus();
  return CheckAttributable(model, trace);
}

absl::Status CheckKept(const v1::GetActivationsRequest& request, const LanguageModel& model,
                       const Trace& trace) {
  const Site site = *SiteOf(request.site());
  return CheckReadable(model, trace, site,
                       ResolveIndices(request.layers(), SiteLayers(model.config(), site)));
}

absl::Status CheckKept(const v1::LogitLensRequest& request, const LanguageModel& model,
                       const Trace& trace) {
  return CheckReadable(model, trace, Site::kResidual,
                       ResolveIndices(request.layers(), model.config().n_layers + 1));
}

absl::Status CheckKept(const v1::AttributeLogitsRequest&, const LanguageModel& model,
                       const Trace& trace) {
  return CheckAttributable(model, trace);
}

absl::Status CheckKept(const v1::DecomposeAttentionRequest& request, const LanguageModel& model,
                       const Trace& trace) {
  if (request.method() <= v1::DecomposeAttentionRequest::METHOD_ATTENTION_NORM) {
    return absl::OkStatus();
  }
  const int layer = ResolveIndex(request.layer(), model.config().n_layers);
  return CheckReadable(model, trace, Site::kResidual, layer);
}

}  // namespace heed
