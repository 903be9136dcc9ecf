#include "tests/bench/local_server.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "model/base/status_macros.h"
#include "server/config.h"
#include "server/engine/registry.h"
#include "server/server.h"

namespace heed::bench {
namespace {

class RunningServer : public LocalServer {
 public:
  explicit RunningServer(std::unique_ptr<Server> server) : server_(std::move(server)) {}
  std::string address() const override { return absl::StrCat("127.0.0.1:", server_->port()); }

 private:
  std::unique_ptr<Server> server_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<LocalServer>> LocalServer::Start(const std::string& folder,
                                                                WeightFormat weights,
                                                                KvType kv_type, int threads) {
  ServerConfig config;
  config.listen = "127.0.0.1:0";
  config.threads = threads;
  Registry registry;
  HEED_ASSIGN_OR_RETURN(auto model,
                        LoadServedModel("model", folder, {.weights = weights, .kv_type = kv_type}));
  HEED_RETURN_IF_ERROR(registry.Add(std::move(model)));
  HEED_ASSIGN_OR_RETURN(std::unique_ptr<Server> server, Server::Start(config, std::move(registry)));
  return std::make_unique<RunningServer>(std::move(server));
}

}  // namespace heed::bench
