#include "server/convert/trace.h"

#include <cstdint>
#include <cstdlib>
#include <optional>
#include <string>

#include "absl/strings/str_cat.h"
#include "model/inspect/activations.h"
#include "model/inspect/attribution.h"

namespace heed {

SiteSet SitesToKeep(absl::string_view field, const v1::KeepTrace& keep, const ModelConfig& config,
                    Violations* violations) {
  SiteSet sites;
  if (keep.keep_residual()) {
    sites = SitesForAttribution(config);
    sites.Add(Site::kResidual);
    if (SitesNeeded(config, Site::kMlpOut).Has(Site::kMlpOut)) sites.Add(Site::kMlpOut);
  }
  for (int i = 0; i < keep.sites_size(); ++i) {
    const std::string path = absl::StrCat(field, ".", Element("sites", i));
    const std::optional<Site> site = ReadSite(path, keep.sites(i), std::nullopt, violations);
    if (site.has_value()) sites.Add(*site);
  }
  return sites;
}

absl::Duration ReadTtl(absl::string_view field, bool has_ttl, const google::protobuf::Duration& ttl,
                       const TraceStoreOptions& options, Violations* violations) {
  if (!has_ttl) return options.max_ttl;
  // As duration.proto defines it.
  const bool is_whole = std::abs(int64_t{ttl.nanos()}) < 1'000'000'000;
  const bool have_one_sign =
      ttl.seconds() == 0 || (ttl.seconds() < 0 ? ttl.nanos() <= 0 : ttl.nanos() >= 0);
  if (!is_whole || !have_one_sign) {
    violations->Add(field, absl::StrCat("has ", ttl.seconds(), " seconds and ", ttl.nanos(),
                                        " nanos; nanos must be within 999999999 of 0 and have the "
                                        "sign of seconds"));
    return options.max_ttl;
  }
  const absl::Duration asked = absl::Seconds(ttl.seconds()) + absl::Nanoseconds(ttl.nanos());
  if (asked <= absl::ZeroDuration() || asked > options.max_ttl) {
    violations->Add(field, absl::StrCat("is ", absl::FormatDuration(asked), "; must be in (0, ",
                                        absl::FormatDuration(options.max_ttl), "]"));
  }
  return asked;
}

void FillTraceInfo(const TraceFacts& facts, const TracedRun& run, v1::TraceInfo* out) {
  out->set_trace_id(facts.id);
  const int64_t nanoseconds = absl::ToUnixNanos(facts.expires);
  out->mutable_expire_time()->set_seconds(nanoseconds / 1'000'000'000);
  out->mutable_expire_time()->set_nanos(static_cast<int32_t>(nanoseconds % 1'000'000'000));
  out->set_held_bytes(facts.bytes);
  out->set_token_count(run.prompt.size());
  out->set_keeps_residual(run.trace->Has(Site::kResidual, 0));
}

}  // namespace heed
