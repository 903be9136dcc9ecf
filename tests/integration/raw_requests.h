// Requests and readers that tests of the generated stubs share.
#ifndef HEED_TESTS_INTEGRATION_RAW_REQUESTS_H_
#define HEED_TESTS_INTEGRATION_RAW_REQUESTS_H_

#include <cstring>
#include <string>
#include <vector>

#include "heed/v1/inspection.pb.h"
#include "heed/v1/prediction.pb.h"
#include "heed/v1/types.pb.h"

namespace heed {

inline std::vector<float> Floats(const v1::Tensor& tensor) {
  std::vector<float> values(tensor.data().size() / sizeof(float));
  std::memcpy(values.data(), tensor.data().data(), tensor.data().size());
  return values;
}

inline v1::PredictRequest PredictText(const std::string& model, const std::string& text) {
  v1::PredictRequest request;
  request.set_model(model);
  request.mutable_prompt()->set_text(text);
  return request;
}

inline v1::GenerateRequest GenerateText(const std::string& model, const std::string& text,
                                        int max_tokens) {
  v1::GenerateRequest request;
  request.set_model(model);
  request.mutable_prompt()->set_text(text);
  request.mutable_stopping()->set_max_tokens(max_tokens);
  request.mutable_stopping()->set_ignore_end_of_text(true);
  return request;
}

// All weights of a long prompt: several times what gRPC sends to a client that does not read.
inline v1::GetAttentionRequest BulkyAttention() {
  v1::GetAttentionRequest request;
  request.set_model("llama");
  for (int i = 0; i < 128; ++i) request.mutable_prompt()->mutable_tokens()->add_ids(i);
  return request;
}

// A generation of as many tokens as fit, each with all its attention and the whole vocabulary
// ranked.
inline v1::GenerateRequest BulkyGeneration() {
  v1::GenerateRequest request;
  request.set_model("llama");
  request.mutable_prompt()->mutable_tokens()->add_ids(1);
  request.mutable_stopping()->set_max_tokens(127);
  request.mutable_stopping()->set_ignore_end_of_text(true);
  request.mutable_attention()->mutable_dense();
  request.set_top_candidates(320);
  return request;
}

}  // namespace heed

#endif  // HEED_TESTS_INTEGRATION_RAW_REQUESTS_H_
