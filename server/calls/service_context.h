// What the services share.
#ifndef HEED_SERVER_CALLS_SERVICE_CONTEXT_H_
#define HEED_SERVER_CALLS_SERVICE_CONTEXT_H_

#include <memory>
#include <string>

#include "absl/time/time.h"
#include "grpcpp/server_context.h"
#include "model/base/stop_signal.h"
#include "server/calls/call_count.h"
#include "server/calls/reply_thread.h"
#include "server/convert/request_limits.h"
#include "server/engine/byte_budget.h"
#include "server/engine/registry.h"
#include "server/engine/scheduler.h"
#include "server/engine/trace_store.h"
#include "server/engine/worker_pool.h"

namespace heed {

// All pointers outlive the services and every call.
struct ServiceContext {
  const Registry* registry = nullptr;
  Scheduler* scheduler = nullptr;
  ReplyThread* replies = nullptr;
  CallCount* calls = nullptr;  // all but health checks and reflection
  ByteBudget* attention_budget = nullptr;
  TraceStore* traces = nullptr;
  WorkerPool* workers = nullptr;
  RequestLimits limits;
  absl::Duration stall_timeout = absl::Seconds(30);
};

// Who asks, as far as quotas go: the address without the port.
inline std::string ClientOf(const grpc::ServerContextBase& context) {
  const std::string peer = context.peer();
  const size_t colon = peer.rfind(':');
  const bool has_port = peer.rfind("ipv", 0) == 0 && colon != std::string::npos;
  return has_port ? peer.substr(0, colon) : peer;
}

// Fires at the deadline that the client gave.
inline std::shared_ptr<StopSignal> MakeStopSignal(const grpc::ServerContextBase& context) {
  const auto deadline = context.deadline();
  return std::make_shared<StopSignal>(deadline == std::chrono::system_clock::time_point::max()
                                          ? absl::InfiniteFuture()
                                          : absl::FromChrono(deadline));
}

}  // namespace heed

#endif  // HEED_SERVER_CALLS_SERVICE_CONTEXT_H_
