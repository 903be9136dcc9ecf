// The running server: models behind gRPC services, health and reflection, and an orderly end.
#ifndef HEED_SERVER_SERVER_H_
#define HEED_SERVER_SERVER_H_

#include <cstdint>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "server/config.h"
#include "server/engine/registry.h"
#include "server/engine/scheduler.h"

namespace heed {

class Server {
 public:
  // Serves `registry`, which holds at least one model, on config.listen. INVALID_ARGUMENT without a
  // model, UNAVAILABLE when the address cannot be had.
  static absl::StatusOr<std::unique_ptr<Server>> Start(const ServerConfig& config,
                                                       Registry registry);

  // Shuts down at once if Shutdown was not called.
  ~Server();

  // The port in use; chosen by the system when config.listen asked for port 0.
  int port() const;

  // What the engine has done and is doing.
  SchedulerStats stats() const;

  // Calls in progress, of any service but health and reflection.
  int64_t calls() const;

  // Attention data that live calls hold, in bytes.
  int64_t attention_bytes() const;

  // Health says NOT_SERVING and new calls are refused with UNAVAILABLE; returns when the live ones
  // are done, or at now + `grace`, when the rest are ended with UNAVAILABLE. Then it closes what
  // connections are left. Returns how many sequences were ended early. Once.
  int64_t Shutdown(absl::Duration grace);

 private:
  class Impl;
  explicit Server(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace heed

#endif  // HEED_SERVER_SERVER_H_
