// The Explore stream over the wire: what it answers equals what the other calls answer, and only
// what changed is sent.
#include <map>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/integration/exploration.h"

namespace heed {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;
using testing::SizeIs;

// Watched rows by layer and head, as a client knows them that takes in what changed.
using RowBytes = std::map<std::pair<int, int>, std::string>;

// The same questions by the calls that have one answer.
void ExpectSameAsOtherCalls(RawServer& server, const std::string& model,
                            const v1::ExploreRequest& open, const v1::ExploreRequest& edits,
                            const v1::ExploreResponse& response, RowBytes& rows) {
  for (const v1::ExploreRow& row : response.rows()) {
    rows[{row.layer(), row.head()}] = row.weights().data();
  }
  v1::InterveneRequest request;
  request.set_model(model);
  *request.mutable_prompt() = open.open().prompt();
  *request.mutable_interventions() = open.open().interventions();
  *request.add_sets() = edits.edits();
  *request.mutable_metrics() = open.watch().metrics();
  request.set_top_k(open.watch().top_k());
  grpc::ClientContext context;
  v1::InterveneResponse intervened;
  const grpc::Status status = server.experiment->Intervene(&context, request, &intervened);
  ASSERT_TRUE(status.ok()) << status.error_message();
  const v1::InterveneResult& result = intervened.results(0);
  EXPECT_THAT(response.metrics().values(), testing::ElementsAreArray(result.values()));
  EXPECT_THAT(response.metrics().deltas(), testing::ElementsAreArray(result.deltas()));
  const v1::ExplorePrediction& last = response.predictions(response.predictions_size() - 1);
  ASSERT_EQ(last.candidates_size(), result.candidates_size());
  for (int i = 0; i < last.candidates_size(); ++i) {
    EXPECT_EQ(last.candidates(i).candidate().SerializeAsString(),
              result.candidates(i).SerializeAsString());
    EXPECT_EQ(last.base_candidates(i).candidate().token().id(),
              intervened.base().candidates(i).token().id());
    EXPECT_EQ(last.base_candidates(i).base_probability(),
              intervened.base().candidates(i).probability());
    EXPECT_EQ(last.base_candidates(i).base_rank(), i + 1);
  }
  EXPECT_EQ(last.kl_from_base(), result.values(0));

  // A trace under both lists of edits is the edited run.
  v1::ExplainRowRequest explain;
  explain.set_model(model);
  *explain.mutable_prompt() = request.prompt();
  *explain.mutable_interventions() = request.interventions();
  explain.mutable_interventions()->MergeFrom(edits.edits().interventions());
  explain.set_layer(open.hover().layer());
  explain.set_head(open.hover().head());
  explain.set_query(open.hover().query());
  v1::ExplainRowResponse row;
  ASSERT_TRUE(Ask(server.inspection.get(), &InspectionStub::ExplainRow, explain, &row).ok());
  row.clear_provenance();
  row.clear_prompt();
  row.clear_timings();
  EXPECT_EQ(response.hovered().row().SerializeAsString(), row.SerializeAsString());
  v1::GetAttentionRequest attention;
  attention.set_model(model);
  *attention.mutable_prompt() = request.prompt();
  *attention.mutable_interventions() = explain.interventions();
  attention.mutable_selection()->add_queries(-1);
  const auto tiles = GetAttention(server, attention);
  for (const auto& message : tiles.messages) {
    if (!message.has_tile()) continue;
    const v1::AttentionTile& tile = message.tile();
    EXPECT_EQ(rows.at({tile.layer(), tile.head()}), tile.weights().data());
  }
}

TEST_F(ExploreRpcTest, AnswersWhatTheOtherCallsAnswer) {
  for (const std::string model : {"llama", "gpt2", "bert"}) {
    SCOPED_TRACE(model);
    v1::ExploreRequest open = OpenPrompt(model);
    // The base is edited itself.
    open.mutable_open()->add_interventions()->add_layers(0);
    open.mutable_open()->mutable_interventions(0)->mutable_scale_site()->set_factor(0.5);
    v1::ExploreWatch& watch = *open.mutable_watch();
    watch.set_top_k(7);
    watch.add_positions(2);
    watch.add_positions(-1);
    watch.add_metrics()->mutable_kl_from_base();
    watch.add_metrics()->mutable_rank()->set_id(11);
    watch.add_metrics()->mutable_logit()->set_id(3);
    watch.mutable_metrics(2)->set_position(0);
    watch.add_rows();
    *open.mutable_hover() = HoverAt(-1, 1, -1).hover();
    open.mutable_hover()->set_vectors(true);
    Exploration session(*shared_);
    const v1::ExploreResponse opened = session.Ask(open);
    ASSERT_FALSE(opened.has_error()) << opened.error().message();
    EXPECT_EQ(opened.sequence(), 1);
    EXPECT_EQ(opened.opened().prompt().tokens_size(), kTokens);
    EXPECT_EQ(opened.opened().causal(), model != "bert");
    EXPECT_EQ(opened.opened().provenance().intervention_count(), 1);
    EXPECT_GT(opened.opened().held_bytes(), 0);
    EXPECT_THAT(opened.predictions(), SizeIs(2));
    EXPECT_THAT(opened.rows(),
                SizeIs(opened.opened().layer_count() * opened.opened().head_count()));
    EXPECT_EQ(opened.hovered().row().SerializeAsString(),
              opened.hovered().base().SerializeAsString());
    RowBytes rows;
    ExpectSameAsOtherCalls(*shared_, model, open, {}, opened, rows);
    for (int layer = 0; layer < opened.opened().layer_count(); ++layer) {
      SCOPED_TRACE(layer);
      const v1::ExploreRequest dial = Dial(3 + layer, layer);
      const v1::ExploreResponse edited = session.Ask(dial);
      ASSERT_FALSE(edited.has_error()) << edited.error().message();
      EXPECT_EQ(edited.edits().intervention_count(), 1);
      EXPECT_EQ(edited.edits().first_layer(), layer);
      EXPECT_FALSE(edited.has_opened());
      ExpectSameAsOtherCalls(*shared_, model, open, dial, edited, rows);
      // Layers before the edit and the one before it are as they were.
      for (const v1::ExploreRow& row : edited.rows())
        EXPECT_GE(row.layer(), std::max(layer - 1, 0));
    }
  }
}

TEST_F(ExploreRpcTest, SendsWhatChangedAndNothingElse) {
  Exploration session(*shared_);
  v1::ExploreRequest open = OpenPrompt();
  open.mutable_watch()->add_rows()->add_layers(0);
  open.mutable_watch()->mutable_rows(0)->add_layers(2);
  open.mutable_watch()->add_metrics()->mutable_kl_from_base();
  const v1::ExploreResponse opened = session.Ask(open);
  EXPECT_THAT(opened.rows(), SizeIs(8));
  EXPECT_EQ(opened.rows(0).weights().data(), opened.rows(0).base_weights().data());
  EXPECT_EQ(opened.rows(0).entropy(), opened.rows(0).base_entropy());

  const v1::ExploreResponse edited = session.Ask(Dial(5));
  EXPECT_EQ(edited.sequence(), 2);
  EXPECT_THAT(edited.predictions(), SizeIs(1));
  EXPECT_THAT(edited.rows(), SizeIs(4));  // of layer 2
  EXPECT_FALSE(edited.rows(0).has_base_weights());
  EXPECT_GT(edited.metrics().deltas(0), 0);

  const v1::ExploreResponse same = session.Ask(Dial(5));
  EXPECT_EQ(same.sequence(), 3);
  EXPECT_TRUE(same.has_edits());
  EXPECT_THAT(same.predictions(), IsEmpty());
  EXPECT_THAT(same.rows(), IsEmpty());
  EXPECT_FALSE(same.has_metrics());

  const v1::ExploreResponse hovered = session.Ask(HoverAt(0, 1, -1));
  EXPECT_FALSE(hovered.has_edits());
  EXPECT_THAT(hovered.predictions(), IsEmpty());
  EXPECT_EQ(hovered.hovered().row().query(), kTokens - 1);
  EXPECT_FALSE(hovered.hovered().row().has_key_vectors());
  // The row of layer 0 does not see an edit of layer 2.
  EXPECT_FALSE(session.Ask(Dial(7, 2)).has_hovered());
  const v1::ExploreResponse moved = session.Ask(Dial(7, 0));
  EXPECT_TRUE(moved.hovered().has_row());
  EXPECT_FALSE(moved.hovered().has_base());
  v1::ExploreRequest off;
  off.mutable_hover()->set_off(true);
  EXPECT_FALSE(session.Ask(off).has_hovered());
  EXPECT_FALSE(session.Ask(Dial(8, 0)).has_hovered());
  v1::ExploreRequest vectors = HoverAt(0, 1, 4);
  vectors.mutable_hover()->set_vectors(true);
  const v1::ExploreResponse with_vectors = session.Ask(vectors);
  EXPECT_THAT(with_vectors.hovered().row().key_vectors().shape(), ElementsAre(5, 12));
  EXPECT_THAT(with_vectors.hovered().base().value_vectors().shape(), ElementsAre(5, 12));
  EXPECT_NE(with_vectors.hovered().row().weights().data(),
            with_vectors.hovered().base().weights().data());

  // Without edits everything is the base's again.
  v1::ExploreRequest none;
  none.mutable_edits();
  const v1::ExploreResponse back = session.Ask(none);
  EXPECT_EQ(back.predictions(0).SerializeAsString(), opened.predictions(0).SerializeAsString());
  EXPECT_EQ(back.predictions(0).kl_from_base(), 0);
  EXPECT_EQ(back.metrics().deltas(0), 0);
  EXPECT_EQ(back.edits().first_layer(), opened.opened().layer_count());

  // What is watched is another thing now, and is reported as it is.
  v1::ExploreRequest watch;
  watch.mutable_watch()->set_top_k(0);
  watch.mutable_watch()->add_tokens()->set_id(9);
  const v1::ExploreResponse watched = session.Ask(watch);
  ASSERT_THAT(watched.predictions(), SizeIs(1));
  EXPECT_THAT(watched.predictions(0).candidates(), IsEmpty());
  EXPECT_EQ(watched.predictions(0).followed(0).candidate().token().id(), 9);
  EXPECT_THAT(watched.rows(), IsEmpty());

  session.HalfClose();
  EXPECT_TRUE(session.End().ok());
}

TEST_F(ExploreRpcTest, ATraceIsExploredAsItsPromptIs) {
  Exploration by_prompt(*shared_);
  const v1::ExploreResponse opened = by_prompt.Ask(OpenPrompt());
  const v1::ExploreResponse edited = by_prompt.Ask(Dial(4));
  for (bool keeps_stream : {true, false}) {
    const std::string trace = Open("llama", keeps_stream);
    v1::ExploreRequest open;
    open.mutable_open()->set_trace_id(trace);
    Exploration session(*shared_);
    const v1::ExploreResponse of_trace = session.Ask(open);
    EXPECT_EQ(of_trace.opened().provenance().trace_id(), trace);
    EXPECT_EQ(of_trace.predictions(0).SerializeAsString(),
              opened.predictions(0).SerializeAsString());
    // Closed or not, the session has it.
    v1::CloseTraceRequest close;
    close.set_trace_id(trace);
    Read(&InspectionStub::CloseTrace, close);
    const v1::ExploreResponse dialled = session.Ask(Dial(4));
    EXPECT_EQ(dialled.predictions(0).SerializeAsString(),
              edited.predictions(0).SerializeAsString());
    EXPECT_EQ(dialled.edits().first_layer(), keeps_stream ? 1 : 0);
  }
}

TEST_F(ExploreRpcTest, EveryRequestIsAnsweredAndTheNewestEditWins) {
  Exploration session(*shared_);
  session.Ask(OpenPrompt());
  // Whichever of these wait for others: what comes out is in order, complete, and ends in the state
  // of the last ones.
  constexpr int kRequests = 400;
  std::thread sender([&] {
    for (int i = 0; i < kRequests; ++i) {
      EXPECT_TRUE(session.Send(i % 10 == 9 ? HoverAt(i % 3, 0, 0) : Dial(0.01 * i + 2)));
    }
    EXPECT_TRUE(session.Send(Dial(1.5)));
    session.HalfClose();
  });
  int64_t answered = 1;
  v1::ExploreResponse last;
  while (answered < kRequests + 2) {
    v1::ExploreResponse response = session.Read();
    ASSERT_GT(response.sequence(), answered);
    int64_t skipped = answered;
    for (int64_t sequence : response.skipped_sequences()) {
      EXPECT_GT(sequence, skipped);
      EXPECT_LT(sequence, response.sequence());
      skipped = sequence;
    }
    answered = response.sequence();
    last = std::move(response);
  }
  sender.join();
  EXPECT_TRUE(session.End().ok());
  Exploration other(*shared_);
  other.Ask(OpenPrompt());
  EXPECT_EQ(other.Ask(Dial(1.5)).predictions(0).SerializeAsString(),
            last.predictions(0).SerializeAsString());
}

TEST_F(ExploreRpcTest, SessionsDoNotDisturbEachOther) {
  Exploration a(*shared_);
  Exploration b(*shared_);
  const std::string plain = a.Ask(OpenPrompt()).predictions(0).SerializeAsString();
  EXPECT_EQ(b.Ask(OpenPrompt()).predictions(0).SerializeAsString(), plain);
  const std::string dialled = a.Ask(Dial(6)).predictions(0).SerializeAsString();
  EXPECT_NE(dialled, plain);
  EXPECT_NE(b.Ask(Dial(7)).predictions(0).SerializeAsString(), dialled);
  EXPECT_EQ(b.Ask(Dial(6)).predictions(0).SerializeAsString(), dialled);
}

}  // namespace
}  // namespace heed
