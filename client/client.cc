#include "client/client.h"

#include <utility>

#include "client/attention_assembler.h"
#include "client/call.h"
#include "client/channel.h"
#include "client/convert.h"
#include "client/reply_check.h"
#include "client/status.h"
#include "client/stream_reader.h"
#include "grpc/health/v1/health.grpc.pb.h"
#include "heed/v1/embedding.grpc.pb.h"
#include "heed/v1/inspection.grpc.pb.h"
#include "heed/v1/model.grpc.pb.h"
#include "heed/v1/prediction.grpc.pb.h"

namespace heed {
inline namespace client {
namespace {

// Hands every event of a reader to `on_event`.
template <typename Event, typename OnEvent>
absl::Status ForEachEvent(EventReader<Event>& reader, OnEvent on_event) {
  while (true) {
    absl::StatusOr<std::optional<Event>> event = reader.Next();
    if (!event.ok()) return event.status();
    if (!event->has_value()) return absl::OkStatus();
    if (absl::Status status = on_event(**event); !status.ok()) return status;
  }
}

// Adds an event to the whole of the generation.
void Collect(const GenerateEvent& event, GenerateResult& result) {
  if (const auto* start = std::get_if<GenerateStart>(&event)) {
    result.start = *start;
  } else if (const auto* token = std::get_if<GeneratedToken>(&event)) {
    result.text += token->text_delta;
    result.tokens.push_back(*token);
  } else if (const auto* end = std::get_if<GenerateEnd>(&event)) {
    result.text += end->text_delta;
    result.end = *end;
  }
}

}  // namespace

class Client::Impl {
 public:
  Impl(std::shared_ptr<grpc::Channel> channel, const ClientOptions& options)
      : options(options),
        channel(channel),
        models(channel),
        predictions(channel),
        inspections(channel),
        embeddings(channel),
        health(channel) {}

  // Runs one unary call: `method` of `stub` with `request`.
  template <typename Response, typename Stub, typename Request>
  absl::StatusOr<Response> Run(Stub& stub,
                               grpc::Status (Stub::*method)(grpc::ClientContext*, const Request&,
                                                            Response*),
                               const Request& request, const CallOptions& call_options) {
    Call call(call_options, options.unary_deadline);
    Response response;
    const absl::Status status = FromGrpcStatus((stub.*method)(call.context(), request, &response));
    if (!status.ok()) return status;
    if (absl::Status broken = CheckReply(request, response); !broken.ok()) return broken;
    return response;
  }

  const ClientOptions options;
  const std::shared_ptr<grpc::Channel> channel;
  v1::ModelService::Stub models;
  v1::PredictionService::Stub predictions;
  v1::InspectionService::Stub inspections;
  v1::EmbeddingService::Stub embeddings;
  grpc::health::v1::Health::Stub health;
};

absl::StatusOr<std::unique_ptr<Client>> Client::Connect(const std::string& target,
                                                        const ClientOptions& options) {
  absl::StatusOr<std::shared_ptr<grpc::Channel>> channel = MakeChannel(target, options);
  if (!channel.ok()) return channel.status();
  if (options.connect_timeout > absl::ZeroDuration()) {
    const absl::Status status = WaitForConnection(**channel, target, options.connect_timeout);
    if (!status.ok()) return status;
  }
  return std::unique_ptr<Client>(new Client(std::make_shared<Impl>(*channel, options)));
}

Client::Client(std::shared_ptr<Impl> impl) : impl_(std::move(impl)) {}
Client::~Client() = default;

std::shared_ptr<grpc::Channel> Client::channel() const {
  return impl_->channel;
}

const ClientOptions& Client::options() const {
  return impl_->options;
}

absl::StatusOr<std::vector<ModelInfo>> Client::ListModels(const CallOptions& options) {
  auto response = impl_->Run(impl_->models, &v1::ModelService::Stub::ListModels,
                             v1::ListModelsRequest(), options);
  if (!response.ok()) return response.status();
  std::vector<ModelInfo> models;
  for (const v1::Model& model : response->models()) models.push_back(FromWire(model));
  return models;
}

absl::StatusOr<ModelInfo> Client::GetModel(absl::string_view name, const CallOptions& options) {
  v1::GetModelRequest request;
  request.set_model(std::string(name));
  auto response = impl_->Run(impl_->models, &v1::ModelService::Stub::GetModel, request, options);
  if (!response.ok()) return response.status();
  return FromWire(response->model());
}

absl::StatusOr<TokenizeResult> Client::Tokenize(const TokenizeRequest& request,
                                                const CallOptions& options) {
  auto response =
      impl_->Run(impl_->models, &v1::ModelService::Stub::Tokenize, ToWire(request), options);
  if (!response.ok()) return response.status();
  return FromWire(*response);
}

absl::StatusOr<DetokenizeResult> Client::Detokenize(const DetokenizeRequest& request,
                                                    const CallOptions& options) {
  auto response =
      impl_->Run(impl_->models, &v1::ModelService::Stub::Detokenize, ToWire(request), options);
  if (!response.ok()) return response.status();
  return FromWire(*response);
}

absl::StatusOr<PredictResult> Client::Predict(const PredictRequest& request,
                                              const CallOptions& options) {
  const auto wire = ToWire(request);
  if (!wire.ok()) return wire.status();
  auto response =
      impl_->Run(impl_->predictions, &v1::PredictionService::Stub::Predict, *wire, options);
  if (!response.ok()) return response.status();
  return FromWire(*response);
}

absl::StatusOr<EmbedResult> Client::Embed(const EmbedRequest& request, const CallOptions& options) {
  const auto wire = ToWire(request);
  if (!wire.ok()) return wire.status();
  auto response = impl_->Run(impl_->embeddings, &v1::EmbeddingService::Stub::Embed, *wire, options);
  if (!response.ok()) return response.status();
  return FromWire(*response);
}

absl::StatusOr<std::unique_ptr<GenerateReader>> Client::StartGenerate(
    const GenerateRequest& request, const CallOptions& options) {
  const auto wire = ToWire(request);
  if (!wire.ok()) return wire.status();
  using Reader = StreamReader<GenerateEvent, GenerateEnd, v1::GenerateResponse, Impl>;
  return std::make_unique<Reader>(
      impl_, options, impl_->options.stream_deadline,
      [&](grpc::ClientContext* context) { return impl_->predictions.Generate(context, *wire); });
}

absl::StatusOr<GenerateResult> Client::Generate(
    const GenerateRequest& request, absl::FunctionRef<void(const GenerateEvent&)> on_event,
    const CallOptions& options) {
  auto reader = StartGenerate(request, options);
  if (!reader.ok()) return reader.status();
  GenerateResult result;
  const absl::Status status = ForEachEvent(**reader, [&](const GenerateEvent& event) {
    on_event(event);
    Collect(event, result);
    return absl::OkStatus();
  });
  if (!status.ok()) return status;
  return result;
}

absl::StatusOr<GenerateResult> Client::Generate(const GenerateRequest& request,
                                                const CallOptions& options) {
  return Generate(
      request, [](const GenerateEvent&) {}, options);
}

absl::StatusOr<std::unique_ptr<AttentionReader>> Client::StartAttention(
    const AttentionRequest& request, const CallOptions& options) {
  const auto wire = ToWire(request);
  if (!wire.ok()) return wire.status();
  using Reader = StreamReader<AttentionEvent, AttentionEnd, v1::GetAttentionResponse, Impl>;
  return std::make_unique<Reader>(impl_, options, impl_->options.stream_deadline,
                                  [&](grpc::ClientContext* context) {
                                    return impl_->inspections.GetAttention(context, *wire);
                                  });
}

absl::Status Client::GetAttention(const AttentionRequest& request,
                                  absl::FunctionRef<void(const AttentionEvent&)> on_event,
                                  const CallOptions& options) {
  auto reader = StartAttention(request, options);
  if (!reader.ok()) return reader.status();
  return ForEachEvent(**reader, [&](const AttentionEvent& event) {
    on_event(event);
    return absl::OkStatus();
  });
}

absl::StatusOr<AttentionMaps> Client::Attention(const AttentionRequest& request,
                                                const CallOptions& options) {
  return Attention(
      request, [](const AttentionEvent&) {}, options);
}

absl::StatusOr<AttentionMaps> Client::Attention(
    const AttentionRequest& request, absl::FunctionRef<void(const AttentionEvent&)> on_event,
    const CallOptions& options) {
  auto reader = StartAttention(request, options);
  if (!reader.ok()) return reader.status();
  AttentionAssembler assembler(request.top_k);
  const absl::Status status = ForEachEvent(**reader, [&](const AttentionEvent& event) {
    on_event(event);
    return assembler.Add(event);
  });
  if (!status.ok()) return status;
  return std::move(assembler).Finish();
}

absl::StatusOr<Serving> Client::Health(absl::string_view service, const CallOptions& options) {
  grpc::health::v1::HealthCheckRequest request;
  request.set_service(std::string(service));
  auto response =
      impl_->Run(impl_->health, &grpc::health::v1::Health::Stub::Check, request, options);
  if (absl::IsNotFound(response.status())) return Serving::kServiceUnknown;
  if (!response.ok()) return response.status();
  switch (response->status()) {
    case grpc::health::v1::HealthCheckResponse::SERVING:
      return Serving::kServing;
    case grpc::health::v1::HealthCheckResponse::NOT_SERVING:
      return Serving::kNotServing;
    default:
      return Serving::kUnknown;
  }
}

}  // namespace client
}  // namespace heed
