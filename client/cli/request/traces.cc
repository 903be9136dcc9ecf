#include "client/cli/request/traces.h"

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "client/cli/base/format.h"
#include "client/cli/base/token_text.h"
#include "client/cli/request/edits.h"
#include "client/cli/request/inspect_calls.h"

namespace heed::cli {

std::vector<OptionSpec> KeepOptions() {
  return {
      {"residual", "",
       "Keep the residual stream too, which lens, attribute, decompose and patches need."},
      {"site", "NAME", "Keep one more site, for patches: residual-mid, attention, mlp or mixed.",
       true},
      {"ttl", "TIME", "How long to keep it, for example 5m; default the server's --trace-ttl."}};
}

absl::Status ReadKeep(const Arguments& arguments, v1::KeepTrace* keep) {
  keep->set_keep_residual(arguments.Has("residual"));
  for (const std::string& name : arguments.Strings("site")) {
    const auto site = ParseSite(name);
    if (!site.ok()) return site.status();
    keep->add_sites(*site);
  }
  const auto ttl = arguments.Duration("ttl");
  if (!ttl.ok()) return ttl.status();
  if (ttl->has_value()) {
    const absl::Duration time = **ttl;
    keep->mutable_ttl()->set_seconds(absl::ToInt64Seconds(time));
    keep->mutable_ttl()->set_nanos(static_cast<int32_t>(
        (time - absl::Seconds(absl::ToInt64Seconds(time))) / absl::Nanoseconds(1)));
  }
  return absl::OkStatus();
}

void KeepSite(v1::Site site, v1::KeepTrace* keep) {
  if (site == v1::SITE_RESIDUAL) {
    keep->set_keep_residual(true);
  } else if (site != v1::SITE_QUERY && site != v1::SITE_KEY && site != v1::SITE_VALUE) {
    keep->add_sites(site);
  }
}

std::string DescribeTrace(const v1::TraceInfo& trace) {
  const absl::Time expires = absl::FromUnixSeconds(trace.expire_time().seconds()) +
                             absl::Nanoseconds(trace.expire_time().nanos());
  const absl::Duration left = expires - absl::Now();
  const absl::Duration unit = left > absl::Seconds(1) ? absl::Seconds(1) : absl::Milliseconds(1);
  return absl::StrCat("trace ", SafeText(trace.trace_id()), ": ",
                      Plural(trace.token_count(), "token"), ", ", FormatBytes(trace.held_bytes()),
                      trace.keeps_residual() ? ", with the residual stream" : "", ", until ",
                      absl::FormatTime("%H:%M:%S", expires, absl::LocalTimeZone()), " (",
                      absl::FormatDuration(absl::Ceil(left, unit)), ")");
}

TraceCloser::~TraceCloser() {
  for (const std::string& trace_id : trace_ids_) {
    v1::CloseTraceRequest request;
    request.set_trace_id(trace_id);
    // Without the session's cancel token: an interrupted command closes its traces too.
    const auto inspector = MakeInspector(session_);
    if (inspector.ok()) inspector->CloseTrace(request, {absl::Seconds(2)}).IgnoreError();
  }
}

}  // namespace heed::cli
