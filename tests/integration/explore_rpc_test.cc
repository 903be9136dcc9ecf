// The Explore stream over the wire: what it answers equals what the other calls answer, only what
// changed is sent, and however it goes wrong it says how.
#include <map>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/integration/inspection_fixture.h"

namespace heed {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;
using testing::SizeIs;

// One stream of a test.
class Exploration {
 public:
  explicit Exploration(RawServer& server) : stream_(server.experiment->Explore(&context)) {}
  ~Exploration() {
    context.TryCancel();
    End();
  }

  bool Send(const v1::ExploreRequest& request) { return stream_->Write(request); }

  v1::ExploreResponse Read() {
    v1::ExploreResponse response;
    EXPECT_TRUE(stream_->Read(&response)) << "the stream is over";
    return response;
  }

  bool TryRead(v1::ExploreResponse* response) { return stream_->Read(response); }

  v1::ExploreResponse Ask(const v1::ExploreRequest& request) {
    EXPECT_TRUE(Send(request));
    return Read();
  }

  void HalfClose() { stream_->WritesDone(); }

  // How the stream ends; what comes before is dropped.
  grpc::Status End() {
    if (stream_ == nullptr) return status_;
    v1::ExploreResponse ignored;
    while (stream_->Read(&ignored)) {
    }
    status_ = stream_->Finish();
    stream_.reset();
    return status_;
  }

  grpc::ClientContext context;

 private:
  std::unique_ptr<grpc::ClientReaderWriter<v1::ExploreRequest, v1::ExploreResponse>> stream_;
  grpc::Status status_;
};

v1::ExploreRequest OpenPrompt(const std::string& model = "llama") {
  v1::ExploreRequest request;
  *request.mutable_open() = OnPrompt<v1::ExploreOpen>(model);
  return request;
}

v1::ExploreRequest Dial(double beta, int layer = 1) {
  v1::ExploreRequest request;
  v1::Intervention& edit = *request.mutable_edits()->add_interventions();
  edit.add_layers(layer);
  edit.mutable_scale_scores()->set_beta(beta);
  return request;
}

v1::ExploreRequest HoverAt(int layer, int head, int64_t query) {
  v1::ExploreRequest request;
  request.mutable_hover()->set_layer(layer);
  request.mutable_hover()->set_head(head);
  request.mutable_hover()->set_query(query);
  return request;
}

using ExploreRpcTest = InspectionRpcTest;

grpc::Status ErrorOf(const v1::ExploreResponse& response) {
  return grpc::Status(static_cast<grpc::StatusCode>(response.error().code()),
                      response.error().message(), response.error().SerializeAsString());
}

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
  EXPECT_EQ(again.sequence(), 15);
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

// Bytes of the tensors and candidates of a message, as EstimateCost counts them.
int64_t SentBytes(const google::protobuf::Message& message) {
  const auto* const tensor = dynamic_cast<const v1::Tensor*>(&message);
  int64_t bytes = tensor == nullptr ? 0 : static_cast<int64_t>(tensor->data().size());
  bytes += dynamic_cast<const v1::Candidate*>(&message) != nullptr ? 24 : 0;
  std::vector<const google::protobuf::FieldDescriptor*> fields;
  const auto* const reflection = message.GetReflection();
  reflection->ListFields(message, &fields);
  for (const auto* field : fields) {
    if (field->cpp_type() != google::protobuf::FieldDescriptor::CPPTYPE_MESSAGE) continue;
    if (!field->is_repeated()) bytes += SentBytes(reflection->GetMessage(message, field));
    for (int i = 0; field->is_repeated() && i < reflection->FieldSize(message, field); ++i) {
      bytes += SentBytes(reflection->GetRepeatedMessage(message, field, i));
    }
  }
  return bytes;
}

v1::EstimateCostResponse Estimate(RawServer& server, const v1::ExploreRequest& open) {
  v1::EstimateCostRequest request;
  *request.mutable_explore() = open;
  v1::EstimateCostResponse cost;
  const grpc::Status status =
      Ask(server.experiment.get(), &v1::ExperimentService::Stub::EstimateCost, request, &cost);
  EXPECT_TRUE(status.ok()) << status.error_message();
  return cost;
}

TEST_F(ExploreRpcTest, IsEstimatedByWhatItHoldsAndSends) {
  for (const std::string model : {"llama", "bert"}) {
    SCOPED_TRACE(model);
    v1::ExploreRequest open = OpenPrompt(model);
    const v1::EstimateCostResponse plain = Estimate(*shared_, open);
    EXPECT_EQ(plain.held_bytes(), Exploration(*shared_).Ask(open).opened().held_bytes());
    open.MergeFrom(HoverAt(-1, 2, -1));
    open.mutable_hover()->set_vectors(true);
    if (model == "llama") open.mutable_hover()->add_tokens()->set_id(9);  // its head is linear
    open.mutable_watch()->add_positions(-1);
    open.mutable_watch()->add_positions(3);
    open.mutable_watch()->add_metrics()->mutable_logit()->set_id(3);
    open.mutable_watch()->mutable_metrics(0)->set_position(0);
    open.mutable_watch()->add_tokens()->set_id(7);
    open.mutable_watch()->add_rows()->add_queries(-1);
    const v1::EstimateCostResponse cost = Estimate(*shared_, open);
    const v1::ExploreResponse opened = Exploration(*shared_).Ask(open);
    EXPECT_TRUE(cost.allowed()) << cost.reason();
    EXPECT_EQ(cost.held_bytes(), opened.opened().held_bytes());
    EXPECT_GT(cost.held_bytes(), plain.held_bytes());
    EXPECT_GE(cost.sent_bytes(), SentBytes(opened));
    EXPECT_LT(cost.sent_bytes(), 2 * SentBytes(opened));
    // An edit runs the model again, as opening the session ran it once.
    EXPECT_EQ(cost.edit_flops(), cost.flops());
    EXPECT_GT(cost.flops(), plain.flops());
  }
}

TEST_F(ExploreRpcTest, ASessionOnATraceIsEstimatedWithoutItsRun) {
  const std::string trace = Open();
  v1::ExploreRequest open;
  open.mutable_open()->set_trace_id(trace);
  const v1::EstimateCostResponse cost = Estimate(*shared_, open);
  EXPECT_EQ(cost.held_bytes(), Exploration(*shared_).Ask(open).opened().held_bytes());
  EXPECT_LT(cost.flops(), cost.edit_flops());
}

TEST_F(ExploreRpcTest, AnEstimateNamesWhatIsWrong) {
  v1::EstimateCostRequest request;
  v1::EstimateCostResponse cost;
  const auto estimate = [&] {
    return Ask(shared_->experiment.get(), &v1::ExperimentService::Stub::EstimateCost, request,
               &cost);
  };
  request.mutable_explore()->mutable_hover();
  EXPECT_THAT(WrongFields(estimate()), ElementsAre("explore.open"));
  *request.mutable_explore() = OpenPrompt();
  request.mutable_explore()->mutable_watch()->set_top_k(101);
  EXPECT_THAT(WrongFields(estimate()), ElementsAre("explore.watch.top_k"));
}

TEST(ExploreLifetimeTest, ASessionHoldsMemoryAndGivesItBack) {
  ServerConfig config;
  config.trace_client_mib = 1;
  RawServer server(config);
  std::vector<std::unique_ptr<Exploration>> sessions;
  v1::ExploreRequest open = OpenPrompt();
  for (int i = 0; i < 100; ++i) open.mutable_open()->mutable_prompt()->mutable_tokens()->add_ids(i);
  grpc::Status refused;
  while (refused.ok() && sessions.size() < 100) {
    sessions.push_back(std::make_unique<Exploration>(server));
    EXPECT_TRUE(sessions.back()->Send(open));
    v1::ExploreResponse response;
    if (!sessions.back()->TryRead(&response)) refused = sessions.back()->End();
  }
  EXPECT_EQ(refused.error_code(), grpc::RESOURCE_EXHAUSTED);
  EXPECT_EQ(ReasonOf(refused), "TRACE_QUOTA");
  EXPECT_GT(sessions.size(), 1u);
  sessions.clear();
  EXPECT_TRUE(Eventually([&] {
    Exploration session(server);
    EXPECT_TRUE(session.Send(open));
    v1::ExploreResponse response;
    return session.TryRead(&response);
  }));
}

TEST(ExploreLifetimeTest, ThatIsTooLargeIsRefusedAsAWholeBeforeItsPromptIsRun) {
  ServerConfig config;
  config.trace_memory_mib = 0;
  RawServer server(config);
  const v1::EstimateCostResponse cost = Estimate(server, OpenPrompt());
  EXPECT_FALSE(cost.allowed());
  Exploration session(server);
  ASSERT_TRUE(session.Send(OpenPrompt()));
  const grpc::Status status = session.End();
  EXPECT_EQ(ReasonOf(status), "TRACE_QUOTA");
  // All but the logits of what is watched, which each ExploreWatch takes anew.
  const auto info = Detail<google::rpc::ErrorInfo>(status);
  ASSERT_TRUE(info.has_value());
  EXPECT_EQ(info->metadata().at("requested_bytes"), absl::StrCat(cost.held_bytes() - 320 * 4));
}

TEST(ExploreLifetimeTest, AnIdleSessionEnds) {
  ServerConfig config;
  config.trace_ttl = absl::Milliseconds(1);
  config.stall_timeout = absl::Milliseconds(40);  // looks at calls a quarter of this apart
  RawServer server(config);
  Exploration session(server);
  EXPECT_TRUE(session.Send(OpenPrompt()));
  const grpc::Status status = session.End();
  EXPECT_EQ(status.error_code(), grpc::ABORTED);
  EXPECT_EQ(ReasonOf(status), "SESSION_IDLE");
}

TEST(ExploreLifetimeTest, ADrainingServerEndsSessionsThatWait) {
  ServerConfig config;
  config.stall_timeout = absl::Milliseconds(40);
  RawServer server(config);
  Exploration session(server);
  session.Ask(OpenPrompt());
  std::thread stopping([&] { server.server().Shutdown(absl::InfiniteDuration()); });
  const grpc::Status status = session.End();
  stopping.join();
  EXPECT_EQ(status.error_code(), grpc::UNAVAILABLE);
  EXPECT_EQ(ReasonOf(status), "DRAINING");
}

TEST(ExploreLifetimeTest, ACancelledSessionLeavesNothingBehind) {
  RawServer server;
  {
    Exploration session(server);
    session.Ask(OpenPrompt());
    for (int i = 0; i < 50; ++i) session.Send(Dial(i));
    session.context.TryCancel();
    EXPECT_EQ(session.End().error_code(), grpc::CANCELLED);
  }
  // Nothing waits for the session when the server ends.
  server.server().Shutdown(absl::InfiniteDuration());
}

}  // namespace
}  // namespace heed
