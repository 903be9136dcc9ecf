// EstimateCost: what a call would take, by the same checks and sums that the call itself goes by.
#ifndef HEED_SERVER_INSPECT_ESTIMATE_COST_H_
#define HEED_SERVER_INSPECT_ESTIMATE_COST_H_

#include "absl/status/status.h"
#include "heed/v1/experiment.pb.h"
#include "server/calls/service_context.h"

namespace heed {

absl::Status EstimateCost(const ServiceContext& context, const v1::EstimateCostRequest& request,
                          v1::EstimateCostResponse* response);

}  // namespace heed

#endif  // HEED_SERVER_INSPECT_ESTIMATE_COST_H_
