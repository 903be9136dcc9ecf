// What the services share.
#ifndef HEED_SERVER_SERVICE_CONTEXT_H_
#define HEED_SERVER_SERVICE_CONTEXT_H_

#include <memory>

#include "absl/time/time.h"
#include "grpcpp/server_context.h"
#include "model/base/stop_signal.h"
#include "server/byte_budget.h"
#include "server/registry.h"
#include "server/reply_thread.h"
#include "server/request_limits.h"
#include "server/scheduler.h"

namespace heed {

// All pointers outlive the services and every call.
struct ServiceContext {
  const Registry* registry = nullptr;
  Scheduler* scheduler = nullptr;
  ReplyThread* replies = nullptr;
  ByteBudget* attention_budget = nullptr;
  RequestLimits limits;
  absl::Duration stall_timeout = absl::Seconds(30);
};

// Fires at the deadline that the client gave.
inline std::shared_ptr<StopSignal> MakeStopSignal(const grpc::ServerContextBase& context) {
  const auto deadline = context.deadline();
  return std::make_shared<StopSignal>(deadline == std::chrono::system_clock::time_point::max()
                                          ? absl::InfiniteFuture()
                                          : absl::FromChrono(deadline));
}

}  // namespace heed

#endif  // HEED_SERVER_SERVICE_CONTEXT_H_
