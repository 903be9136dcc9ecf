#include "server/server.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "grpcpp/ext/proto_server_reflection_plugin.h"
#include "grpcpp/grpcpp.h"
#include "grpcpp/health_check_service_interface.h"
#include "grpcpp/resource_quota.h"
#include "model/base/status_macros.h"
#include "server/calls/call_count.h"
#include "server/calls/reply_thread.h"
#include "server/calls/service_context.h"
#include "server/engine/byte_budget.h"
#include "server/services/embedding_service.h"
#include "server/services/experiment_service.h"
#include "server/services/inspection_service.h"
#include "server/services/model_service.h"
#include "server/services/prediction_service.h"

namespace heed {
namespace {

constexpr int64_t kCallsWithFullAttention = 4;

SchedulerOptions SchedulerOptionsFrom(const ServerConfig& config) {
  SchedulerOptions options;
  options.max_queued_sequences = config.max_queued;
  options.max_live_sequences = config.max_batch_sequences;
  options.max_step_tokens = config.max_step_tokens;
  options.prefill_chunk_tokens = config.prefill_chunk;
  options.prefix_cache = config.prefix_cache;
  options.max_draft_tokens = config.draft_tokens;
  options.stall_timeout = config.stall_timeout;
  options.threads = config.threads;
  return options;
}

TraceStoreOptions TraceOptionsFrom(const ServerConfig& config) {
  TraceStoreOptions options;
  options.max_bytes = config.trace_memory_mib << 20;
  options.max_client_bytes = std::min(config.trace_client_mib << 20, options.max_bytes);
  options.max_ttl = config.trace_ttl;
  return options;
}

RequestLimits LimitsFrom(const ServerConfig& config) {
  RequestLimits limits;
  limits.max_prompt_bytes = config.max_prompt_bytes;
  limits.max_attention_bytes = config.max_attention_bytes;
  return limits;
}

int Milliseconds(absl::Duration duration) {
  return static_cast<int>(absl::ToInt64Milliseconds(duration));
}

// Bounds on what one connection can cost, whoever is behind it.
void SetChannelArguments(const ServerConfig& config, grpc::ServerBuilder* builder) {
  constexpr int64_t kSmallestMaxMessageBytes = int64_t{4} << 20;
  constexpr int64_t kRoomBesideText = int64_t{1} << 20;
  const int64_t max_message =
      std::max(kSmallestMaxMessageBytes, config.max_prompt_bytes + kRoomBesideText);
  builder->SetMaxReceiveMessageSize(static_cast<int>(max_message));

  // Messages that are still arriving count against the quota, so a declared length alone buys no
  // memory.
  constexpr size_t kQuotaBytes = size_t{256} << 20;
  grpc::ResourceQuota quota("heed-server");
  quota.Resize(std::max(kQuotaBytes, static_cast<size_t>(4 * max_message)));
  builder->SetResourceQuota(quota);

  const std::pair<const char*, int> arguments[] = {
      {GRPC_ARG_MAX_CONCURRENT_STREAMS, 100},
      {GRPC_ARG_MAX_METADATA_SIZE, 8 << 10},
      {GRPC_ARG_HTTP2_HPACK_TABLE_SIZE_DECODER, 0},
      {GRPC_ARG_SERVER_HANDSHAKE_TIMEOUT_MS, Milliseconds(absl::Seconds(10))},
      {GRPC_ARG_KEEPALIVE_TIME_MS, Milliseconds(absl::Seconds(30))},
      {GRPC_ARG_KEEPALIVE_TIMEOUT_MS, Milliseconds(absl::Seconds(10))},
      {GRPC_ARG_KEEPALIVE_PERMIT_WITHOUT_CALLS, 1},
      {GRPC_ARG_HTTP2_MIN_RECV_PING_INTERVAL_WITHOUT_DATA_MS, Milliseconds(absl::Seconds(10))},
      {GRPC_ARG_HTTP2_MAX_PING_STRIKES, 2},
      {GRPC_ARG_MAX_CONNECTION_IDLE_MS, Milliseconds(absl::Minutes(5))},
      // A second server on the same port would take half of the calls.
      {GRPC_ARG_ALLOW_REUSEPORT, 0},
  };
  for (const auto& [name, value] : arguments) builder->AddChannelArgument(name, value);
}

}  // namespace

class Server::Impl {
 public:
  Impl(const ServerConfig& config, Registry registry)
      : registry_(std::move(registry)),
        attention_budget_(kCallsWithFullAttention * config.max_attention_bytes),
        traces_(TraceOptionsFrom(config)),
        replies_(std::min(absl::Seconds(1), config.stall_timeout / 4)),
        workers_(static_cast<int>(config.inspect_threads), config.max_queued, config.threads),
        scheduler_(SchedulerOptionsFrom(config)),
        context_{.registry = &registry_,
                 .scheduler = &scheduler_,
                 .replies = &replies_,
                 .calls = &calls_,
                 .attention_budget = &attention_budget_,
                 .traces = &traces_,
                 .workers = &workers_,
                 .limits = LimitsFrom(config),
                 .stall_timeout = config.stall_timeout},
        model_service_(context_),
        prediction_service_(context_),
        inspection_service_(context_),
        experiment_service_(context_),
        embedding_service_(context_) {}

  absl::Status Listen(const ServerConfig& config) {
    grpc::EnableDefaultHealthCheckService(true);
    grpc::reflection::InitProtoReflectionServerBuilderPlugin();
    grpc::ServerBuilder builder;
    builder.AddListeningPort(config.listen, grpc::InsecureServerCredentials(), &port_);
    builder.RegisterService(&model_service_);
    builder.RegisterService(&prediction_service_);
    builder.RegisterService(&inspection_service_);
    builder.RegisterService(&experiment_service_);
    builder.RegisterService(&embedding_service_);
    SetChannelArguments(config, &builder);
    server_ = builder.BuildAndStart();
    if (server_ == nullptr || port_ == 0) {
      return absl::UnavailableError(absl::StrCat(
          "cannot listen on ", config.listen,
          ": the address is taken or not this machine's; choose another with --listen"));
    }
    SetServing(true);
    for (const auto& model : registry_.models()) scheduler_.Expect(model);
    return absl::OkStatus();
  }

  int64_t Shutdown(absl::Duration grace) {
    if (server_ == nullptr) return 0;
    const absl::Time deadline = absl::Now() + grace;
    server_->GetHealthCheckService()->Shutdown();
    const int64_t ended = scheduler_.Drain(deadline);
    // What was ended early still has its last messages and its status to send.
    constexpr absl::Duration kLastWords = absl::Seconds(1);
    calls_.AwaitNone(std::max(deadline, absl::Now() + kLastWords));
    // gRPC waits for every client to close its connection, and one without a call in progress may
    // not look at it for long. Those that do look see here that the server goes, and read what was
    // sent last.
    constexpr absl::Duration kFarewell = absl::Milliseconds(250);
    server_->Shutdown(absl::ToChronoTime(absl::Now() + kFarewell));
    server_->Wait();
    server_.reset();
    return ended;
  }

  int port() const { return port_; }
  SchedulerStats stats() const { return scheduler_.stats(); }
  int64_t calls() const { return calls_.value(); }
  int64_t attention_bytes() const { return attention_budget_.used(); }

 private:
  void SetServing(bool serving) {
    grpc::HealthCheckServiceInterface* const health = server_->GetHealthCheckService();
    health->SetServingStatus(serving);
    for (absl::string_view service :
         {v1::ModelService::service_full_name(), v1::PredictionService::service_full_name(),
          v1::InspectionService::service_full_name(), v1::ExperimentService::service_full_name(),
          v1::EmbeddingService::service_full_name()}) {
      health->SetServingStatus(std::string(service), serving);
    }
  }

  // Destroyed from the last to the first: gRPC, then the services, then the engine, then the
  // threads that its ends are posted to.
  Registry registry_;
  ByteBudget attention_budget_;
  TraceStore traces_;
  CallCount calls_;
  ReplyThread replies_;
  WorkerPool workers_;
  Scheduler scheduler_;
  const ServiceContext context_;
  ModelServiceHandler model_service_;
  PredictionServiceHandler prediction_service_;
  InspectionServiceHandler inspection_service_;
  ExperimentServiceHandler experiment_service_;
  EmbeddingServiceHandler embedding_service_;
  int port_ = 0;
  std::unique_ptr<grpc::Server> server_;
};

Server::Server(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}

Server::~Server() {
  impl_->Shutdown(absl::ZeroDuration());
}

absl::StatusOr<std::unique_ptr<Server>> Server::Start(const ServerConfig& config,
                                                      Registry registry) {
  if (registry.models().empty()) {
    return absl::InvalidArgumentError("there is no model to serve; give one: --model=name=folder");
  }
  HEED_RETURN_IF_ERROR(ValidateSchedulerOptions(SchedulerOptionsFrom(config)));
  auto impl = std::make_unique<Impl>(config, std::move(registry));
  HEED_RETURN_IF_ERROR(impl->Listen(config));
  return std::unique_ptr<Server>(new Server(std::move(impl)));
}

int Server::port() const {
  return impl_->port();
}

SchedulerStats Server::stats() const {
  return impl_->stats();
}

int64_t Server::calls() const {
  return impl_->calls();
}

int64_t Server::attention_bytes() const {
  return impl_->attention_bytes();
}

int64_t Server::Shutdown(absl::Duration grace) {
  return impl_->Shutdown(grace);
}

}  // namespace heed
