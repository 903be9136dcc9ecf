#include "tests/integration/all_rpcs.h"

#include <utility>

namespace heed {
namespace {

using google::protobuf::Message;

template <typename Request, typename Response, typename Stub>
Rpc UnaryRpc(const std::string& name, const Request& valid, Stub* stub,
             grpc::Status (Stub::*method)(grpc::ClientContext*, const Request&, Response*)) {
  return {name, std::make_shared<Request>(valid), [=](const Message& request, Answers* answers) {
            grpc::ClientContext context;
            const auto response = std::make_shared<Response>();
            const grpc::Status status =
                (stub->*method)(&context, static_cast<const Request&>(request), response.get());
            if (answers != nullptr && status.ok()) answers->push_back(response);
            return status;
          }};
}

template <typename Request, typename Response>
Rpc StreamRpc(const std::string& name, const Request& valid,
              std::function<Stream<Response>(const Request&)> call) {
  return {name, std::make_shared<Request>(valid), [=](const Message& request, Answers* answers) {
            Stream<Response> stream = call(static_cast<const Request&>(request));
            if (answers == nullptr) return stream.status;
            for (Response& message : stream.messages) {
              answers->push_back(std::make_shared<Response>(std::move(message)));
            }
            return stream.status;
          }};
}

}  // namespace

std::vector<Rpc> AllRpcs(RawServer& server, const std::string& model) {
  v1::GetModelRequest get_model;
  get_model.set_model(model);
  v1::TokenizeRequest tokenize;
  tokenize.set_model(model);
  tokenize.set_text("hello");
  v1::DetokenizeRequest detokenize;
  detokenize.set_model(model);
  detokenize.add_ids(7);
  v1::PredictRequest predict;
  predict.set_model(model);
  predict.mutable_prompt()->set_text("hello [MASK]");
  v1::GenerateRequest generate;
  generate.set_model(model);
  generate.mutable_prompt()->set_text("hello");
  generate.mutable_stopping()->set_max_tokens(2);
  v1::GetAttentionRequest attention;
  attention.set_model(model);
  attention.mutable_prompt()->set_text("hello");
  v1::EmbedRequest embed;
  embed.set_model(model);
  embed.add_prompts()->set_text("hello");
  v1::OpenTraceRequest open_trace;
  open_trace.set_model(model);
  open_trace.mutable_prompt()->set_text("hello");
  open_trace.add_interventions()->mutable_knock_out();
  const auto on_prompt = [&](auto request) {
    request.set_model(model);
    request.mutable_prompt()->set_text("hello there");
    return request;
  };
  auto detect_heads = on_prompt(v1::DetectHeadsRequest());
  detect_heads.set_known(v1::HEAD_PATTERN_PREVIOUS_TOKEN);
  auto activations = on_prompt(v1::GetActivationsRequest());
  activations.set_site(v1::SITE_RESIDUAL);
  auto intervene = on_prompt(v1::InterveneRequest());
  intervene.add_sets()->add_interventions()->mutable_knock_out();
  intervene.add_metrics()->mutable_kl_from_base();
  auto sweep = on_prompt(v1::SweepRequest());
  sweep.mutable_metric()->mutable_kl_from_base();
  sweep.mutable_focus_dial()->add_betas(2);
  v1::CompareRequest compare;
  *compare.mutable_a() = on_prompt(v1::CompareSide());
  *compare.mutable_b() = on_prompt(v1::CompareSide());
  v1::EstimateCostRequest estimate;
  *estimate.mutable_open_trace() = open_trace;
  v1::InspectionService::Stub* const inspection = server.inspection.get();
  v1::ExperimentService::Stub* const experiment = server.experiment.get();
  using Experiment = v1::ExperimentService::Stub;
  using Inspection = v1::InspectionService::Stub;
  return {
      UnaryRpc("OpenTrace", open_trace, inspection, &Inspection::OpenTrace),
      UnaryRpc("RenewTrace", v1::RenewTraceRequest(), inspection, &Inspection::RenewTrace),
      UnaryRpc("CloseTrace", v1::CloseTraceRequest(), inspection, &Inspection::CloseTrace),
      UnaryRpc("ExplainRow", on_prompt(v1::ExplainRowRequest()), inspection,
               &Inspection::ExplainRow),
      UnaryRpc("GetHeadStats", on_prompt(v1::GetHeadStatsRequest()), inspection,
               &Inspection::GetHeadStats),
      UnaryRpc("DetectHeads", detect_heads, inspection, &Inspection::DetectHeads),
      UnaryRpc("LogitLens", on_prompt(v1::LogitLensRequest()), inspection, &Inspection::LogitLens),
      UnaryRpc("AttributeLogits", on_prompt(v1::AttributeLogitsRequest()), inspection,
               &Inspection::AttributeLogits),
      UnaryRpc("Rollout", on_prompt(v1::RolloutRequest()), inspection, &Inspection::Rollout),
      UnaryRpc("DecomposeAttention", on_prompt(v1::DecomposeAttentionRequest()), inspection,
               &Inspection::DecomposeAttention),
      StreamRpc<v1::GetActivationsRequest, v1::GetActivationsResponse>(
          "GetActivations", activations,
          [inspection](const v1::GetActivationsRequest& request) {
            grpc::ClientContext context;
            return ReadAll(inspection->GetActivations(&context, request));
          }),
      UnaryRpc("Intervene", intervene, experiment, &Experiment::Intervene),
      StreamRpc<v1::SweepRequest, v1::SweepResponse>("Sweep", sweep,
                                                     [experiment](const v1::SweepRequest& request) {
                                                       grpc::ClientContext context;
                                                       return ReadAll(
                                                           experiment->Sweep(&context, request));
                                                     }),
      UnaryRpc("Compare", compare, experiment, &Experiment::Compare),
      UnaryRpc("EstimateCost", estimate, experiment, &Experiment::EstimateCost),
      UnaryRpc("ListModels", v1::ListModelsRequest(), server.models.get(),
               &v1::ModelService::Stub::ListModels),
      UnaryRpc("GetModel", get_model, server.models.get(), &v1::ModelService::Stub::GetModel),
      UnaryRpc("Tokenize", tokenize, server.models.get(), &v1::ModelService::Stub::Tokenize),
      UnaryRpc("Detokenize", detokenize, server.models.get(), &v1::ModelService::Stub::Detokenize),
      UnaryRpc("Predict", predict, server.prediction.get(), &v1::PredictionService::Stub::Predict),
      StreamRpc<v1::GenerateRequest, v1::GenerateResponse>(
          "Generate", generate,
          [&server](const v1::GenerateRequest& request) { return Generate(server, request); }),
      StreamRpc<v1::GetAttentionRequest, v1::GetAttentionResponse>(
          "GetAttention", attention,
          [&server](const v1::GetAttentionRequest& request) {
            return GetAttention(server, request);
          }),
      UnaryRpc("Embed", embed, server.embedding.get(), &v1::EmbeddingService::Stub::Embed),
  };
}

}  // namespace heed
