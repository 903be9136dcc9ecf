// What a read may ask of a prompt of some length, told before anything is run.
#include "gtest/gtest.h"
#include "model/base/error.h"
#include "server/inspect/activations_call.h"

namespace heed {
namespace {

TEST(ReadLengthTest, CosinesOfOneRunAreAsManyAsItsTokens) {
  ModelConfig config;
  config.n_layers = 2;
  config.width = 64;
  config.context_window = int64_t{1} << 20;
  v1::GetActivationsRequest request;
  request.set_site(v1::SITE_RESIDUAL);
  request.mutable_cosines();
  EXPECT_TRUE(ActivationsStream::CheckLength(request, config, 5).ok());
  // A row of them is at most a message.
  EXPECT_EQ(GetErrorDetails(ActivationsStream::CheckLength(request, config, 262145)).reason,
            "ATTENTION_BUDGET");
  request.add_positions(3);
  EXPECT_TRUE(ActivationsStream::CheckLength(request, config, 262145).ok());
  // Another run may be as long as the model's context.
  request.mutable_cosines()->set_other_trace_id("0123");
  EXPECT_EQ(GetErrorDetails(ActivationsStream::CheckLength(request, config, 5)).reason,
            "ATTENTION_BUDGET");
}

}  // namespace
}  // namespace heed
