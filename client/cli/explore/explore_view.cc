#include "client/cli/explore/explore_view.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "client/cli/base/format.h"
#include "client/cli/base/token_text.h"
#include "client/cli/request/inspect_calls.h"

namespace heed::cli {
namespace {

constexpr double kDialStep = 1.25;
constexpr double kLeastBeta = 0.05;  // the step below it is 0
constexpr double kMostBeta = 100;
constexpr int kTokenColumns = 16;
constexpr int kBarColumns = 24;
constexpr int kWordBarColumns = 12;
constexpr int kRowNumbers = 22;  // position, weight and what it was, with spaces
constexpr int kRowColumns = 2 + kRowNumbers + kTokenColumns + kBarColumns;
constexpr int kWordNumbers = 16;  // probability and change
constexpr int kFrameLines = 5;    // around the two lists, with one problem and without the keys
constexpr int kLeastRoom = 8;     // of the two lists: before it all keys are explained

constexpr absl::string_view kKeys[] = {"q quit",    "↑↓ layer",    "←→ head",
                                       "[ ] word",  "- + focus",   "0 the model's own",
                                       "u average", "l last word", "x without the head"};

// What the keys do, on as many lines as that takes.
std::vector<std::string> KeyLines(int width) {
  constexpr absl::string_view kBetween = "   ";
  std::vector<std::string> lines;
  for (absl::string_view key : kKeys) {
    const bool fits =
        !lines.empty() &&
        DisplayWidth(lines.back()) + DisplayWidth(key) + static_cast<int>(kBetween.size()) <= width;
    if (fits) {
      absl::StrAppend(&lines.back(), kBetween, key);
    } else {
      lines.emplace_back(key);
    }
  }
  return lines;
}

// What is left of a line of `width` columns for a token and a bar beside `others`, shared between
// them.
struct LineRoom {
  LineRoom(int width, int others, int most_bar)
      : token(std::clamp((width - others) * 2 / 3, 6, kTokenColumns)),
        bar(std::clamp(width - others - token, 2, most_bar)) {}
  int token;
  int bar;
};

double Sharper(double beta) {
  return beta < kLeastBeta ? kLeastBeta : std::min(beta * kDialStep, kMostBeta);
}
double Flatter(double beta) {
  return beta / kDialStep < kLeastBeta ? 0 : beta / kDialStep;
}

}  // namespace

ExploreView::ExploreView(const v1::ExploreRequest& request, const v1::ExploreResponse& response)
    : opened_(response.opened()),
      tokens_(VisibleWireTokens(response.opened().prompt())),
      hover_(request.hover()) {
  OnResponse(response, 0);
  hover_.set_layer(row_.layer());
  hover_.set_head(row_.head());
  hover_.set_query(row_.query());
}

bool ExploreView::IsQuit(absl::string_view key) {
  return key == "q" || key == "\x1b" || key == "\x03" || key == "\x04";
}

v1::ExploreRequest ExploreView::OnKey(absl::string_view key) {
  const int layers = opened_.layer_count();
  const int heads = opened_.head_count();
  const int64_t n = opened_.prompt().tokens_size();
  const int layer = hover_.layer();
  const int head = hover_.head();
  const int64_t query = hover_.query();
  if (key == "\x1b[A") return Look((layer + 1) % layers, head, query);
  if (key == "\x1b[B") return Look((layer + layers - 1) % layers, head, query);
  if (key == "\x1b[C") return Look(layer, (head + 1) % heads, query);
  if (key == "\x1b[D") return Look(layer, (head + heads - 1) % heads, query);
  if (key == "]") return Look(layer, head, (query + 1) % n);
  if (key == "[") return Look(layer, head, (query + n - 1) % n);
  if (key == "+" || key == "=") return SetEdit(Edit::kFocus, Sharper(beta_));
  if (key == "-") return SetEdit(Edit::kFocus, Flatter(beta_));
  if (key == "0") return SetEdit(Edit::kFocus, 1);
  if (key == "u") return SetEdit(Edit::kUniform, 1);
  if (key == "l") return SetEdit(Edit::kLastWord, 1);
  if (key == "x") return SetEdit(Edit::kAblate, 1);
  return {};
}

v1::ExploreRequest ExploreView::Look(int layer, int head, int64_t query) {
  const bool other_query = query != hover_.query();
  hover_.set_layer(layer);
  hover_.set_head(head);
  hover_.set_query(query);
  // The edit goes with the head that is looked at.
  v1::ExploreRequest request = SetEdit(edit_, beta_);
  *request.mutable_hover() = hover_;
  if (other_query) {
    request.mutable_watch()->add_positions(query);
    request.mutable_watch()->set_top_k(prediction_.base_candidates_size());
  }
  return request;
}

v1::ExploreRequest ExploreView::SetEdit(Edit edit, double beta) {
  // The steps up and down meet at 1 but for rounding.
  edit_ = edit;
  beta_ = std::abs(beta - 1) < 1e-9 ? 1 : beta;
  v1::ExploreRequest request;
  request.mutable_edits();
  if (edit_ == Edit::kFocus && beta_ == 1) return request;
  v1::Intervention& one = *request.mutable_edits()->add_interventions();
  one.add_layers(hover_.layer());
  one.add_heads(hover_.head());
  switch (edit_) {
    case Edit::kFocus:
      one.mutable_scale_scores()->set_beta(beta_);
      break;
    case Edit::kUniform:
      one.set_weight_preset(v1::WEIGHT_PRESET_UNIFORM);
      break;
    case Edit::kLastWord:
      one.set_weight_preset(v1::WEIGHT_PRESET_LAST_WORD);
      break;
    case Edit::kAblate:
      one.mutable_scale_site()->set_factor(0);
      break;
  }
  return request;
}

void ExploreView::OnResponse(const v1::ExploreResponse& response, double milliseconds) {
  problem_ = response.error().message();
  milliseconds_ = milliseconds;
  if (response.has_error()) return;
  if (response.hovered().has_row()) row_ = response.hovered().row();
  if (response.hovered().has_base()) base_ = response.hovered().base();
  if (response.predictions_size() > 0) prediction_ = response.predictions(0);
}

std::string ExploreView::EditText() const {
  switch (edit_) {
    case Edit::kUniform:
      return "every word alike";
    case Edit::kLastWord:
      return "the last word alone";
    case Edit::kAblate:
      return "without this head";
    case Edit::kFocus:
      break;
  }
  if (beta_ == 1) return "focus × 1: the model's own";
  return absl::StrFormat("focus × %.3g: %s", beta_, beta_ < 1 ? "more diffuse" : "sharper");
}

std::vector<std::string> ExploreView::RowLines(const Terminal& terminal, int width,
                                               int height) const {
  const std::vector<float> now = TensorFloats(row_.weights());
  const std::vector<float> was = TensorFloats(base_.weights());
  std::vector<size_t> keys(now.size());
  std::iota(keys.begin(), keys.end(), size_t{0});
  const auto most = [&](size_t key) {
    return std::max(now[key], key < was.size() ? was[key] : 0.0F);
  };
  // Those that matter most, in the order of the text.
  if (static_cast<int>(keys.size()) > height) {
    std::stable_sort(keys.begin(), keys.end(),
                     [&](size_t a, size_t b) { return most(a) > most(b); });
    keys.resize(static_cast<size_t>(std::max(height - 1, 0)));
    std::sort(keys.begin(), keys.end());
  }
  const LineRoom room(terminal.width, kRowNumbers, kBarColumns);
  std::vector<std::string> lines;
  for (size_t key : keys) {
    const bool is_query = static_cast<int64_t>(key) == row_.query();
    const std::string token = PadRight(Fit(tokens_[key], room.token), room.token);
    std::string line =
        absl::StrCat(PadLeft(absl::StrCat(key), 4), " ",
                     is_query ? Styled(terminal, Emphasis::kBold, token) : token, " ",
                     Styled(terminal, Emphasis::kCyan, PadRight(Bar(now[key], room.bar), room.bar)),
                     " ", absl::StrFormat("%.3f", now[key]));
    if (key < was.size() && std::abs(was[key] - now[key]) >= 0.0005) {
      absl::StrAppend(&line,
                      Styled(terminal, Emphasis::kDim, absl::StrFormat(" was %.3f", was[key])));
    }
    lines.push_back(PadRight(std::move(line), width));
  }
  if (keys.size() < now.size()) {
    lines.push_back(
        PadRight(Styled(terminal, Emphasis::kDim,
                        absl::StrCat("     and ",
                                     Plural(static_cast<int64_t>(now.size() - keys.size()), "word"),
                                     " with less")),
                 width));
  }
  return lines;
}

std::vector<std::string> ExploreView::WordLines(const Terminal& terminal, int width,
                                                int height) const {
  std::vector<std::string> lines;
  if (prediction_.base_candidates_size() == 0) return {"(no words to predict)"};
  const LineRoom room(terminal.width, kWordNumbers, kWordBarColumns);
  // The base's words in their places, then those that have come up.
  std::vector<const v1::ExploreCandidate*> words;
  for (const auto& word : prediction_.base_candidates()) words.push_back(&word);
  for (const auto& word : prediction_.candidates()) {
    const auto is_same = [&](const v1::ExploreCandidate* other) {
      return other->candidate().token().id() == word.candidate().token().id();
    };
    if (std::none_of(words.begin(), words.end(), is_same)) words.push_back(&word);
  }
  for (const v1::ExploreCandidate* word : words) {
    if (static_cast<int>(lines.size()) >= height) break;
    const double now = word->candidate().probability();
    const double was = word->base_probability();
    const bool is_top = word->candidate().rank() == 1;
    const std::string token =
        PadRight(Fit(VisibleWireToken(word->candidate().token()), room.token), room.token);
    std::string line =
        absl::StrCat(is_top ? Styled(terminal, Emphasis::kBold, token) : token, " ",
                     PadRight(Bar(now, room.bar), room.bar), " ", FormatProbability(now));
    if (std::abs(now - was) >= 0.0005) {
      const std::string change = absl::StrFormat(" %+.3f", now - was);
      absl::StrAppend(&line,
                      Styled(terminal, now > was ? Emphasis::kGreen : Emphasis::kRed, change));
    }
    lines.push_back(PadRight(std::move(line), width));
  }
  return lines;
}

std::vector<std::string> ExploreView::Render(const Terminal& terminal, int height) const {
  const int64_t query = hover_.query();
  const auto token = [&](int64_t position) { return tokens_[static_cast<size_t>(position)]; };
  std::vector<std::string> lines;
  lines.push_back(Styled(
      terminal, Emphasis::kBold,
      Fit(absl::StrCat(SafeText(opened_.provenance().model().name()), " · layer ", hover_.layer(),
                       " of ", opened_.layer_count(), " · head ", hover_.head(), " of ",
                       opened_.head_count(), " · what ", token(query), " (", query, ") reads"),
          terminal.width)));
  lines.push_back(
      Fit(absl::StrFormat("%s · entropy %.2f nats (the model's %.2f) · KL %.4f nats · %.1f ms",
                          EditText(), row_.entropy(), base_.entropy(), prediction_.kl_from_base(),
                          milliseconds_),
          terminal.width));
  lines.push_back("");
  const bool side_by_side = terminal.width >= kRowColumns + kTokenColumns + kWordBarColumns + 16;
  std::vector<std::string> keys = KeyLines(terminal.width);
  if (height - kFrameLines - static_cast<int>(keys.size()) < kLeastRoom) keys.resize(1);
  const int room = std::max(height - kFrameLines - static_cast<int>(keys.size()), 2);
  const int word_room =
      side_by_side ? room : std::min(room / 2, prediction_.base_candidates_size());
  std::vector<std::string> row =
      RowLines(terminal, side_by_side ? kRowColumns : 0, side_by_side ? room : room - word_room);
  const std::vector<std::string> words = WordLines(terminal, 0, word_room);
  if (side_by_side) {
    row.resize(std::max(row.size(), words.size()), std::string(kRowColumns, ' '));
    for (size_t i = 0; i < words.size(); ++i) absl::StrAppend(&row[i], "  ", words[i]);
  } else {
    if (static_cast<int>(row.size() + words.size()) < room) row.emplace_back();
    row.insert(row.end(), words.begin(), words.end());
  }
  lines.insert(lines.end(), row.begin(), row.end());
  lines.push_back("");
  lines.push_back(problem_.empty()
                      ? ""
                      : Styled(terminal, Emphasis::kRed, Fit(SafeText(problem_), terminal.width)));
  for (const std::string& line : keys) lines.push_back(Styled(terminal, Emphasis::kDim, line));
  return lines;
}

}  // namespace heed::cli
