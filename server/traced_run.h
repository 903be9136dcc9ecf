// A forward pass of a whole prompt, kept for reading.
#ifndef HEED_SERVER_TRACED_RUN_H_
#define HEED_SERVER_TRACED_RUN_H_

#include <memory>

#include "model/inspect/intervention.h"
#include "model/inspect/trace.h"
#include "server/convert_prompt.h"

namespace heed {

// Immutable, and read from several threads at once.
struct TracedRun {
  // Of a generation: prompt and answer.
  ResolvedPrompt prompt;
  std::shared_ptr<const Trace> trace;
  int intervention_count = 0;
  bool counterfactual_mask = false;
};

}  // namespace heed

#endif  // HEED_SERVER_TRACED_RUN_H_
