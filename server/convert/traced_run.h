// A forward pass of a whole prompt, kept for reading.
#ifndef HEED_SERVER_CONVERT_TRACED_RUN_H_
#define HEED_SERVER_CONVERT_TRACED_RUN_H_

#include <memory>
#include <vector>

#include "model/inspect/intervention.h"
#include "model/inspect/trace.h"
#include "server/convert/prompt.h"

namespace heed {

// Immutable, and read from several threads at once.
struct TracedRun {
  // Of a generation: prompt and answer.
  ResolvedPrompt prompt;
  std::shared_ptr<const Trace> trace;
  std::vector<Intervention> interventions;  // that it was made under
  bool counterfactual_mask = false;
  // Of the trace, and of the traces that its patches keep alive.
  int64_t held_bytes = 0;
};

// Its trace, whose holder holds the whole run: a run that is kept counts as memory until then.
inline std::shared_ptr<const Trace> SharedTrace(const std::shared_ptr<const TracedRun>& run) {
  return {run, run->trace.get()};
}

}  // namespace heed

#endif  // HEED_SERVER_CONVERT_TRACED_RUN_H_
