// What `heed explore` shows in a terminal, and what keys do to it.
#ifndef HEED_CLIENT_CLI_EXPLORE_EXPLORE_VIEW_H_
#define HEED_CLIENT_CLI_EXPLORE_EXPLORE_VIEW_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "client/cli/base/terminal.h"
#include "heed/v1/experiment.pb.h"

namespace heed::cli {

// One head's row under an edit of it, and what the model says then.
class ExploreView {
 public:
  // What the row's head is edited with.
  enum class Edit { kFocus, kUniform, kLastWord, kAblate };

  // `request` opened the session, with one watched position and a hover; `response` answered.
  ExploreView(const v1::ExploreRequest& request, const v1::ExploreResponse& response);

  // What a key asks of the session; without parts: nothing. A key may be an escape sequence.
  v1::ExploreRequest OnKey(absl::string_view key);
  // True for the keys that end it: q, Escape, Ctrl-C, Ctrl-D.
  static bool IsQuit(absl::string_view key);

  // Takes in what changed. `milliseconds`: from key to answer.
  void OnResponse(const v1::ExploreResponse& response, double milliseconds);

  // At most `height` lines.
  std::vector<std::string> Render(const Terminal& terminal, int height) const;

 private:
  v1::ExploreRequest Look(int layer, int head, int64_t query);
  v1::ExploreRequest SetEdit(Edit edit, double beta);
  std::vector<std::string> RowLines(const Terminal& terminal, int width, int height) const;
  std::vector<std::string> WordLines(const Terminal& terminal, int width, int height) const;
  std::string EditText() const;

  v1::ExploreOpened opened_;
  std::vector<std::string> tokens_;
  v1::ExploreHover hover_;  // resolved
  v1::ExplainRowResponse row_, base_;
  v1::ExplorePrediction prediction_;
  Edit edit_ = Edit::kFocus;
  double beta_ = 1;
  std::string problem_;
  double milliseconds_ = 0;
};

}  // namespace heed::cli

#endif  // HEED_CLIENT_CLI_EXPLORE_EXPLORE_VIEW_H_
