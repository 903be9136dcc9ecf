// The page of `heed explore`: a row of attention to drag at, and what the model says to that.
//
// client/cli/pages/explore.js draws it, which is also the page of `heed explain`. The data is one
// JSON object, with what page.h writes for all pages and
//
//   live       true: served by `heed explore`, and POST /explore answers; false: a file on a disk
//   server     the address of the server behind it, to be shown
//   command    for a file: what shows the row live
//   at_or_after  where the model predicts: "at" a word, or "after" it
//   request    the heed.v1.ExploreRequest that opens the session: open, watch and hover
//   response   the heed.v1.ExploreResponse to it, all parts of it set, so that there is something
//              to show before, and without, an answer of one's own
//   recorded   for a file: the dial of the hovered head, as [{"request": .., "response": ..}], in
//              the order of beta; each response as if it came right after `response`
//
// Messages are protobuf's own JSON (https://protobuf.dev/programming-guides/json): camelCase names,
// int64 as strings, bytes in base64, numbers of 0 written out, messages that are not set left out.
//
// A page posts ExploreRequests to /explore, one session for each page:
//
//   Content-Type: application/json   and   X-Heed-Page: a random text of its own, at most 64
//   characters, the same in all its posts.
//
// Its first post has `open`; a later one with `open` ends the session and begins another. Posts are
// numbered by `sequence`, from 1, each more than the one before, also across sessions. Answers:
//
//   200  the ExploreResponse; it may have `error`, and the session goes on
//   204  a newer post's answer has it all; several may be under way at once, and the newest wins
//   else {"error": google.rpc.Status}: the post reached no session (400, 403, 413, 415), or the
//        session is over (410: it was idle, the server went away): post `open` again
#ifndef HEED_CLIENT_CLI_EXPLORE_EXPLORE_PAGE_H_
#define HEED_CLIENT_CLI_EXPLORE_EXPLORE_PAGE_H_

#include <string>
#include <utility>
#include <vector>

#include "google/protobuf/message.h"
#include "heed/v1/experiment.pb.h"

namespace heed::cli {

struct ExplorePageData {
  bool live = false;
  std::string server;
  std::string command;
  std::string at_or_after = "after";
  v1::ExploreRequest request;
  v1::ExploreResponse response;
  std::vector<std::pair<v1::ExploreRequest, v1::ExploreResponse>> recorded;
  std::vector<std::string> edits;  // of `open`, as the command line names them
};

std::string ExplorePage(const ExplorePageData& data);

// Protobuf's own JSON of a message, as the page has it.
std::string ToWireJson(const google::protobuf::Message& message);

}  // namespace heed::cli

#endif  // HEED_CLIENT_CLI_EXPLORE_EXPLORE_PAGE_H_
