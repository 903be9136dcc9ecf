// Between the wire's messages and the client's structs. Internal to the client.
#ifndef HEED_CLIENT_CONVERT_H_
#define HEED_CLIENT_CONVERT_H_

#include <optional>

#include "absl/status/statusor.h"
#include "client/types.h"
#include "heed/v1/embedding.pb.h"
#include "heed/v1/inspection.pb.h"
#include "heed/v1/model.pb.h"
#include "heed/v1/prediction.pb.h"

namespace heed {
inline namespace client {

// Requests. INVALID_ARGUMENT when fields that exclude each other are set; every value is left for
// the server to judge.
v1::TokenizeRequest ToWire(const TokenizeRequest& request);
v1::DetokenizeRequest ToWire(const DetokenizeRequest& request);
absl::StatusOr<v1::PredictRequest> ToWire(const PredictRequest& request);
absl::StatusOr<v1::GenerateRequest> ToWire(const GenerateRequest& request);
absl::StatusOr<v1::GetAttentionRequest> ToWire(const AttentionRequest& request);
absl::StatusOr<v1::EmbedRequest> ToWire(const EmbedRequest& request);

// Replies. INTERNAL when a tensor's type, shape and bytes do not agree.
ModelInfo FromWire(const v1::Model& model);
TokenizeResult FromWire(const v1::TokenizeResponse& response);
DetokenizeResult FromWire(const v1::DetokenizeResponse& response);
absl::StatusOr<PredictResult> FromWire(const v1::PredictResponse& response);
absl::StatusOr<GenerateEvent> FromWire(const v1::GenerateResponse& response);
absl::StatusOr<AttentionEvent> FromWire(const v1::GetAttentionResponse& response);
absl::StatusOr<EmbedResult> FromWire(const v1::EmbedResponse& response);

}  // namespace client
}  // namespace heed

#endif  // HEED_CLIENT_CONVERT_H_
