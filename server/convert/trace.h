// What a trace keeps and for how long, and what is said of it.
#ifndef HEED_SERVER_CONVERT_TRACE_H_
#define HEED_SERVER_CONVERT_TRACE_H_

#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "google/protobuf/duration.pb.h"
#include "heed/v1/inspection.pb.h"
#include "server/convert/intervention.h"
#include "server/convert/traced_run.h"
#include "server/convert/violations.h"
#include "server/engine/trace_store.h"

namespace heed {

// The sites that a trace is to keep besides those of every trace: with the stream, every site that
// some read needs. `field` is the message's own path.
SiteSet SitesToKeep(absl::string_view field, const v1::KeepTrace& keep, const ModelConfig& config,
                    Violations* violations);

// The lifetime asked for; the longest one when it was not set. Adds a violation for one outside
// (0, max_ttl].
absl::Duration ReadTtl(absl::string_view field, bool has_ttl, const google::protobuf::Duration& ttl,
                       const TraceStoreOptions& options, Violations* violations);

void FillTraceInfo(const TraceFacts& facts, const TracedRun& run, v1::TraceInfo* out);

}  // namespace heed

#endif  // HEED_SERVER_CONVERT_TRACE_H_
