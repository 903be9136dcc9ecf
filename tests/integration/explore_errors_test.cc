// The Explore stream over the wire: however it goes wrong, it says how.
#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/integration/exploration.h"

namespace heed {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

grpc::Status ErrorOf(const v1::ExploreResponse& response) {
  return grpc::Status(static_cast<grpc::StatusCode>(response.error().code()),
                      response.error().message(), response.error().SerializeAsString());
}

TEST_F(ExploreRpcTest, AWrongRequestChangesNothingAndTheSessionGoesOn) {
  Exploration session(*shared_);
  session.Ask(OpenPrompt());
  const v1::ExploreResponse edited = session.Ask(Dial(5));

  const auto wrong = [&](const v1::ExploreRequest& request, grpc::StatusCode code,
                         const std::string& field) {
    const v1::ExploreResponse response = session.Ask(request);
    EXPECT_EQ(response.error().code(), code) << response.error().message();
    EXPECT_THAT(WrongFields(ErrorOf(response)), testing::Contains(field))
        << response.error().message();
    EXPECT_FALSE(response.has_edits());
    EXPECT_THAT(response.predictions(), IsEmpty());
  };
  v1::ExploreRequest layer = Dial(2, 99);
  *layer.mutable_hover() = HoverAt(0, 0, 0).hover();
  wrong(layer, grpc::INVALID_ARGUMENT, "edits.interventions[0].layers[0]");
  wrong(Dial(-1), grpc::INVALID_ARGUMENT, "edits.interventions[0].scale_scores.beta");
  wrong(HoverAt(0, 4, 0), grpc::INVALID_ARGUMENT, "hover.head");
  wrong(HoverAt(0, 0, 99), grpc::OUT_OF_RANGE, "hover.query");
  wrong(OpenPrompt(), grpc::INVALID_ARGUMENT, "open");
  wrong({}, grpc::INVALID_ARGUMENT, "edits");
  v1::ExploreRequest watch;
  watch.mutable_watch()->set_top_k(101);
  watch.mutable_watch()->add_metrics();
  watch.mutable_watch()->add_rows()->add_heads(-5);
  wrong(watch, grpc::INVALID_ARGUMENT, "watch.top_k");
  wrong(watch, grpc::INVALID_ARGUMENT, "watch.metrics[0]");
  wrong(watch, grpc::INVALID_ARGUMENT, "watch.rows[0].heads[0]");
  v1::ExploreRequest long_list;
  long_list.mutable_watch()->add_rows()->mutable_queries()->Resize(65537, 0);
  wrong(long_list, grpc::INVALID_ARGUMENT, "watch.rows");
  v1::ExploreRequest far;
  far.mutable_watch()->add_positions(kTokens);
  wrong(far, grpc::OUT_OF_RANGE, "watch.positions[0]");
  v1::ExploreRequest patch;
  patch.mutable_edits()->add_interventions()->mutable_patch_site()->set_trace_id("gone");
  EXPECT_EQ(ReasonOf(ErrorOf(session.Ask(patch))), "TRACE_NOT_FOUND");
  // Edits that leave no numbers.
  v1::ExploreRequest huge;
  v1::AddVector& add = *huge.mutable_edits()->add_interventions()->mutable_add_vector();
  const std::vector<float> vector(40, 3e38f);
  add.mutable_vector()->set_dtype(v1::DATA_TYPE_F32);
  add.mutable_vector()->add_shape(static_cast<int64_t>(vector.size()));
  add.mutable_vector()->set_data(vector.data(), vector.size() * sizeof(float));
  const v1::ExploreResponse overflown = session.Ask(huge);
  EXPECT_EQ(ReasonOf(ErrorOf(overflown)), "NONFINITE_LOGITS") << overflown.error().message();

  // The edits are still those of before.
  const v1::ExploreResponse again = session.Ask(Dial(5));
  EXPECT_FALSE(again.has_error());
  EXPECT_THAT(again.predictions(), IsEmpty());
  EXPECT_EQ(again.sequence(), 16);
}

TEST_F(ExploreRpcTest, AWrongBeginningEndsTheCall) {
  const auto ends = [&](const v1::ExploreRequest& request, grpc::StatusCode code,
                        const std::string& field) {
    Exploration session(*shared_);
    EXPECT_TRUE(session.Send(request));
    const grpc::Status status = session.End();
    EXPECT_EQ(status.error_code(), code) << status.error_message();
    if (!field.empty()) {
      EXPECT_THAT(WrongFields(status), testing::Contains(field));
    }
  };
  ends(Dial(2), grpc::INVALID_ARGUMENT, "open");
  ends(OpenPrompt("nobody"), grpc::NOT_FOUND, "");
  v1::ExploreRequest no_prompt;
  no_prompt.mutable_open();
  ends(no_prompt, grpc::INVALID_ARGUMENT, "open.prompt");
  v1::ExploreRequest edited = OpenPrompt();
  edited.mutable_edits()->add_interventions();
  edited.mutable_hover()->set_layer(77);
  ends(edited, grpc::INVALID_ARGUMENT, "edits.interventions[0]");
  ends(edited, grpc::INVALID_ARGUMENT, "hover.layer");
  v1::ExploreRequest base = OpenPrompt();
  base.mutable_open()->add_interventions()->add_layers(77);
  base.mutable_open()->mutable_interventions(0)->mutable_knock_out();
  ends(base, grpc::INVALID_ARGUMENT, "open.interventions[0].layers[0]");
  v1::ExploreRequest two = OpenPrompt();
  two.mutable_open()->set_trace_id(Open());
  ends(two, grpc::INVALID_ARGUMENT, "open.prompt");

  Exploration session(*shared_);
  v1::ExploreRequest numbered = OpenPrompt();
  numbered.set_sequence(7);
  EXPECT_EQ(session.Ask(numbered).sequence(), 7);
  EXPECT_EQ(session.Ask(Dial(2)).sequence(), 8);
  numbered = Dial(3);
  numbered.set_sequence(8);
  EXPECT_TRUE(session.Send(numbered));
  const grpc::Status status = session.End();
  EXPECT_EQ(status.error_code(), grpc::INVALID_ARGUMENT);
  EXPECT_THAT(WrongFields(status), ElementsAre("sequence"));

  Exploration silent(*shared_);
  silent.HalfClose();
  EXPECT_TRUE(silent.End().ok());
}

}  // namespace
}  // namespace heed
