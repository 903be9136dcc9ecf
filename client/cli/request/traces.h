// Traces that a command opens for itself, and what to keep in them.
#ifndef HEED_CLIENT_CLI_REQUEST_TRACES_H_
#define HEED_CLIENT_CLI_REQUEST_TRACES_H_

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "client/cli/base/arguments.h"
#include "client/cli/base/session.h"
#include "heed/v1/inspection.pb.h"

namespace heed::cli {

// --residual, --site and --ttl.
std::vector<OptionSpec> KeepOptions();
absl::Status ReadKeep(const Arguments& arguments, v1::KeepTrace* keep);

// Asks for what reads of `site` need.
void KeepSite(v1::Site site, v1::KeepTrace* keep);

// "trace ID: 5 tokens, 120.0 KiB, with the residual stream, until 14:05:00 (10m)".
std::string DescribeTrace(const v1::TraceInfo& trace);

// Closes traces when it goes, whatever happened; of errors nobody hears.
class TraceCloser {
 public:
  explicit TraceCloser(Session& session) : session_(session) {}
  ~TraceCloser();
  TraceCloser(const TraceCloser&) = delete;
  TraceCloser& operator=(const TraceCloser&) = delete;

  void Close(const std::string& trace_id) { trace_ids_.push_back(trace_id); }

 private:
  Session& session_;
  std::vector<std::string> trace_ids_;
};

}  // namespace heed::cli

#endif  // HEED_CLIENT_CLI_REQUEST_TRACES_H_
