// heed explore: one head's row, and what becomes of the prediction when it is turned.
#include <unistd.h>

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/synchronization/notification.h"
#include "client/cli/base/terminal.h"
#include "client/cli/explore/explore_bridge.h"
#include "client/cli/explore/explore_command.h"
#include "client/cli/explore/explore_http.h"
#include "client/cli/explore/explore_page.h"
#include "client/cli/explore/explore_terminal.h"
#include "client/cli/pages/page.h"
#include "client/cli/request/edits.h"
#include "client/cli/request/estimate.h"
#include "client/cli/request/inspect_calls.h"
#include "client/cli/request/run_source.h"
#include "client/cli/verbs/verbs.h"
#include "client/explore_session.h"

namespace heed::cli {
namespace {

constexpr int kWords = 10;
constexpr int kFollowedWords = 3;
constexpr double kRecordedBetas[] = {0, 0.25, 0.5, 0.75, 1, 1.5, 2, 4, 8, 16};

// What opens the session, but for the tokens to follow.
absl::StatusOr<v1::ExploreRequest> ReadRequest(const Arguments& arguments, RunSource& source) {
  v1::ExploreRequest request;
  request.set_sequence(1);
  if (absl::Status s = FillRun(arguments, source, request.mutable_open(), "open."); !s.ok()) {
    return s;
  }
  const auto layer = arguments.Int("layer", INT32_MIN, INT32_MAX);
  if (!layer.ok()) return layer.status();
  const auto head = arguments.Int("head", INT32_MIN, INT32_MAX);
  if (!head.ok()) return head.status();
  const auto query = source.ReadPosition(arguments, "query");
  if (!query.ok()) return query.status();
  v1::ExploreHover& hover = *request.mutable_hover();
  hover.set_layer(static_cast<int32_t>(layer->value_or(-1)));
  hover.set_head(static_cast<int32_t>(head->value_or(0)));
  hover.set_query(*query);
  hover.set_vectors(true);
  request.mutable_watch()->add_positions(hover.query());
  request.mutable_watch()->set_top_k(kWords);
  return request;
}

// Opens the session. The row is followed to the most probable words, and the whole row is in the
// response.
absl::StatusOr<v1::ExploreResponse> Open(ExploreSession& explore, v1::ExploreRequest* request) {
  auto opened = explore.Ask(*request);
  if (!opened.ok()) return opened;
  v1::ExploreRequest follow;
  *follow.mutable_hover() = request->hover();
  for (const v1::ExplorePrediction& prediction : opened->predictions()) {
    for (const v1::ExploreCandidate& word : prediction.base_candidates()) {
      if (follow.hover().tokens_size() == kFollowedWords) break;
      follow.mutable_hover()->add_tokens()->set_id(word.candidate().token().id());
    }
  }
  // A model whose logits are no sums of what its heads write has nothing to follow.
  auto followed = explore.Ask(follow);
  if (!followed.ok()) {
    if (absl::IsFailedPrecondition(followed.status())) return opened;
    return followed;
  }
  *request->mutable_hover() = follow.hover();
  if (followed->has_hovered()) *opened->mutable_hovered() = followed->hovered();
  return opened;
}

// The answers along the focus dial of the hovered head's row.
absl::Status RecordDial(ExploreSession& explore, ExplorePageData* data) {
  const v1::ExplainRowResponse& row = data->response.hovered().row();
  for (double beta : kRecordedBetas) {
    v1::ExploreRequest none;
    none.mutable_edits();
    if (const auto reset = explore.Ask(none); !reset.ok()) return reset.status();
    v1::ExploreRequest request;
    v1::Intervention& edit = *request.mutable_edits()->add_interventions();
    edit.add_layers(row.layer());
    edit.add_heads(row.head());
    edit.add_positions()->set_begin(row.query());
    edit.mutable_positions(0)->set_end(row.query() + 1);
    edit.mutable_scale_scores()->set_beta(beta);
    auto response = explore.Ask(request);
    if (!response.ok()) return response.status();
    data->recorded.emplace_back(std::move(request), *std::move(response));
  }
  return absl::OkStatus();
}

// Serves the page until Ctrl-C.
absl::Status Serve(const Arguments& arguments, const ExplorePageData& data, Session& session) {
  const auto port = arguments.Int("port", 0, 65535);
  if (!port.ok()) return port.status();
  const auto client = session.client();
  if (!client.ok()) return client.status();
  const CallOptions options = session.call_options();
  ExploreBridge bridge(*client, options);
  auto server = ExploreHttpServer::Start(
      static_cast<int>(port->value_or(0)), ExplorePage(data),
      [&](const std::string& page, const std::string& body) { return bridge.Post(page, body); });
  if (!server.ok()) return server.status();
  absl::Notification interrupted;
  if (options.cancel == nullptr) return absl::OkStatus();
  const int64_t key = options.cancel->Add([&] { interrupted.Notify(); });
  session.out() << "http://127.0.0.1:" << (*server)->port() << "/\n" << std::flush;
  session.err() << "heed: the page is served on this machine only; Ctrl-C ends it.\n";
  interrupted.WaitForNotification();
  options.cancel->Remove(key);
  return absl::OkStatus();
}

absl::Status RunExplore(const Arguments& arguments, Session& session) {
  const bool serves = arguments.Has("serve") || arguments.Has("port");
  const bool draws =
      !serves && !arguments.Has("estimate") && !arguments.Has("html") && !session.json();
  if (draws && (!session.terminal().is_terminal || !IsTerminal(STDIN_FILENO))) {
    return UsageError(
        "heed explore draws in a terminal, and this is none.\n"
        "--serve serves a page for a browser, --html=FILE writes one, --json prints the row.");
  }
  auto source = RunSource::Read(arguments, session);
  if (!source.ok()) return source.status();
  auto request = ReadRequest(arguments, *source);
  if (!request.ok()) return request.status();
  if (arguments.Has("estimate")) return PrintEstimate(*request, session);
  const auto client = session.client();
  if (!client.ok()) return client.status();
  ExploreSession explore(**client, session.call_options());
  auto response = Open(explore, &*request);
  if (!response.ok()) return response.status();
  if (PrintedAsJson(*response, session)) return absl::OkStatus();
  if (draws) return RunExploreTerminal(*request, *response, explore, session);
  ExplorePageData data;
  data.live = serves;
  data.server = session.server();
  const auto at_or_after = AtOrAfter(response->opened().provenance(), session);
  if (!at_or_after.ok()) return at_or_after.status();
  data.at_or_after = *at_or_after;
  const auto edits = ReadEdits(arguments, *source);
  if (!edits.ok()) return edits.status();
  for (const NamedEdit& edit : *edits) data.edits.push_back(edit.name);
  data.request = *std::move(request);
  data.response = *std::move(response);
  if (serves) return Serve(arguments, data, session);
  data.command = ExploreCommand(arguments, *source, data.response.hovered().row());
  if (absl::Status s = RecordDial(explore, &data); !s.ok()) return s;
  return WritePage(arguments, session, ExplorePage(data));
}

}  // namespace

Verb ExploreVerb() {
  const std::vector<OptionSpec> options = {
      {"layer", "L", "The layer; default -1, the last."},
      {"head", "H", "The head; default 0."},
      {"query", "WORD",
       "The row, by word or position; default that of the mask to fill in, else the last."},
      {"serve", "", "Serve a page for a browser on this machine, and print its address."},
      {"port", "N", "The same on a port of this number; default a free one."},
      HtmlOption()};
  return {
      .name = "explore",
      .operands = "PROMPT",
      .max_operands = 1,
      .summary = "Turn a head's attention and watch the prediction follow.",
      .description =
          "Draws one head's row and what the model predicts, and redraws both at each key: "
          "another layer, head or word, the focus dial, weights by rule, the head taken out. "
          "The base is what the options' edits make of the prompt. A page for a browser does "
          "the same with the mouse, for single weights too.",
      .example = "heed explore \"the keys to the cabinet\" --layer=2 --head=3 --html=explore.html",
      .options = JoinOptions({options, EditOptions(), EditScopeOptions(), RunOptions()}),
      .run = RunExplore};
}

}  // namespace heed::cli
