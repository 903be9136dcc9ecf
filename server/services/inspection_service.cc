#include "server/services/inspection_service.h"

#include <memory>

#include "server/calls/answer_now.h"
#include "server/inspect/activations_call.h"
#include "server/inspect/attention_call.h"
#include "server/inspect/read_call.h"
#include "server/inspect/read_methods.h"
#include "server/inspect/trace_calls.h"

namespace heed {
namespace {

template <typename Call>
grpc::ServerUnaryReactor* BeginUnary(const ServiceContext& context,
                                     grpc::CallbackServerContext* call,
                                     const grpc::ByteBuffer* request, grpc::ByteBuffer* response) {
  return UnaryCall::Begin(std::make_shared<Call>(context, call, response), *request);
}

}  // namespace

grpc::ServerUnaryReactor* InspectionServiceHandler::OpenTrace(Call* call, const Bytes* request,
                                                              Bytes* response) {
  return BeginUnary<OpenTraceCall>(context_, call, request, response);
}

grpc::ServerUnaryReactor* InspectionServiceHandler::RenewTrace(Call* call, const Bytes* request,
                                                               Bytes* response) {
  return AnswerNow(context_, &heed::RenewTrace, call, *request, response);
}

grpc::ServerUnaryReactor* InspectionServiceHandler::CloseTrace(Call* call, const Bytes* request,
                                                               Bytes* response) {
  return AnswerNow(context_, &heed::CloseTrace, call, *request, response);
}

grpc::ServerWriteReactor<grpc::ByteBuffer>* InspectionServiceHandler::GetAttention(
    Call* call, const Bytes* request) {
  return BeginAttention(context_, call, *request);
}

grpc::ServerWriteReactor<grpc::ByteBuffer>* InspectionServiceHandler::GetActivations(
    Call* call, const Bytes* request) {
  return BeginActivations(context_, call, *request);
}

grpc::ServerUnaryReactor* InspectionServiceHandler::ExplainRow(Call* call, const Bytes* request,
                                                               Bytes* response) {
  return BeginUnary<ReadCall<ExplainRowMethod>>(context_, call, request, response);
}

grpc::ServerUnaryReactor* InspectionServiceHandler::GetHeadStats(Call* call, const Bytes* request,
                                                                 Bytes* response) {
  return BeginUnary<ReadCall<HeadStatsMethod>>(context_, call, request, response);
}

grpc::ServerUnaryReactor* InspectionServiceHandler::DetectHeads(Call* call, const Bytes* request,
                                                                Bytes* response) {
  return BeginUnary<ReadCall<DetectHeadsMethod>>(context_, call, request, response);
}

grpc::ServerUnaryReactor* InspectionServiceHandler::LogitLens(Call* call, const Bytes* request,
                                                              Bytes* response) {
  return BeginUnary<ReadCall<LogitLensMethod>>(context_, call, request, response);
}

grpc::ServerUnaryReactor* InspectionServiceHandler::AttributeLogits(Call* call,
                                                                    const Bytes* request,
                                                                    Bytes* response) {
  return BeginUnary<ReadCall<AttributeLogitsMethod>>(context_, call, request, response);
}

grpc::ServerUnaryReactor* InspectionServiceHandler::Rollout(Call* call, const Bytes* request,
                                                            Bytes* response) {
  return BeginUnary<ReadCall<RolloutMethod>>(context_, call, request, response);
}

grpc::ServerUnaryReactor* InspectionServiceHandler::DecomposeAttention(Call* call,
                                                                       const Bytes* request,
                                                                       Bytes* response) {
  return BeginUnary<ReadCall<DecomposeAttentionMethod>>(context_, call, request, response);
}

}  // namespace heed
