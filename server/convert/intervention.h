// Interventions from the wire to the core's.
#ifndef HEED_SERVER_CONVERT_INTERVENTION_H_
#define HEED_SERVER_CONVERT_INTERVENTION_H_

#include <memory>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "google/protobuf/repeated_field.h"
#include "heed/v1/intervention.pb.h"
#include "model/inspect/intervention.h"
#include "model/inspect/intervention_set.h"
#include "server/convert/violations.h"
#include "server/engine/registry.h"
#include "server/engine/trace_store.h"

namespace heed {

using WireInterventions = google::protobuf::RepeatedPtrField<v1::Intervention>;

// The core's site; nullopt, with a violation, for a value that is none. SITE_UNSPECIFIED is
// `fallback`.
std::optional<Site> ReadSite(absl::string_view field, v1::Site site, std::optional<Site> fallback,
                             Violations* violations);

// The same of a value that was checked; nullopt for one that is none.
std::optional<Site> SiteOf(v1::Site site, std::optional<Site> fallback = std::nullopt);

// The elements of an F32 tensor of `size` finite elements; a violation for anything else.
std::vector<float> ReadVector(absl::string_view field, const v1::Tensor& tensor, int64_t size,
                              Violations* violations);

// A violation where there are more spans than any prompt has use for.
void CheckSpans(absl::string_view field, const google::protobuf::RepeatedPtrField<v1::Span>& spans,
                Violations* violations);
std::vector<PositionSpan> ReadSpans(const google::protobuf::RepeatedPtrField<v1::Span>& spans);

// What the wire says, without looking at the prompt; `field` is the list's own path. NOT_FOUND for
// a trace that a patch names, unless `traces` is null: then no traces are looked up, and the result
// is only for its violations. Everything else goes to `violations`, and InterventionSet::Create
// checks the rest.
//
// Patches keep the traces that they take rows from, which count as read as long as the result
// lives. Whoever may keep it for longer than a call takes memory for them instead: with
// `source_bytes`, to which what each patch keeps is added, they count as read no more.
absl::StatusOr<std::vector<Intervention>> ReadInterventions(
    absl::string_view field, const WireInterventions& wire, const ModelConfig& config,
    TraceStore* traces, Violations* violations, int64_t* source_bytes = nullptr);

// Null when nothing is to be edited. Errors as InterventionSet::Create.
absl::StatusOr<std::shared_ptr<InterventionSet>> MakeInterventionSet(
    absl::string_view field, absl::Span<const Intervention> interventions,
    const ModelConfig& config, const EditedRun& run);

}  // namespace heed

#endif  // HEED_SERVER_CONVERT_INTERVENTION_H_
