#include "model/generate/prompt_lookup.h"

#include <algorithm>

namespace heed {
namespace {

// Drafts come of a place where at least so many tokens are those at the text's end.
constexpr int64_t kMinMatch = 2;
// Of places with this many it is as good as any.
constexpr int64_t kMaxMatch = 8;
// How far back one is looked for, so that a look stays short beside any pass.
constexpr int64_t kMaxDistance = int64_t{1} << 14;

constexpr int64_t kFirstLength = 2;
constexpr int64_t kMaxPause = 63;

// How many tokens before `end` are those at the end of `tokens`, at most kMaxMatch.
int64_t MatchBefore(absl::Span<const TokenId> tokens, int64_t end) {
  const int64_t size = static_cast<int64_t>(tokens.size());
  const int64_t most = std::min(end, kMaxMatch);
  int64_t count = 0;
  while (count < most && tokens[end - 1 - count] == tokens[size - 1 - count]) ++count;
  return count;
}

// The place behind the longest such match, of several the latest; 0: there is none.
int64_t FindPlace(absl::Span<const TokenId> tokens) {
  const int64_t size = static_cast<int64_t>(tokens.size());
  int64_t place = 0, longest = kMinMatch - 1;
  const int64_t first = std::max(size - kMaxDistance, kMinMatch);
  for (int64_t end = size - 1; end >= first && longest < kMaxMatch; --end) {
    if (tokens[end - 1] != tokens[size - 1]) continue;
    const int64_t match = MatchBefore(tokens, end);
    if (match <= longest) continue;
    longest = match;
    place = end;
  }
  return place;
}

}  // namespace

PromptLookup::PromptLookup(int64_t max_drafts)
    : max_drafts_(max_drafts), length_(std::min(kFirstLength, max_drafts)) {
  drafts_.reserve(max_drafts);
}

void PromptLookup::Look(absl::Span<const TokenId> tokens, int64_t room) {
  drafts_.clear();
  if (to_pass_by_ > 0) {
    --to_pass_by_;
    return;
  }
  const int64_t count = std::min(length_, room);
  if (count <= 0) return;
  const int64_t place = FindPlace(tokens);
  if (place == 0) return;
  const int64_t size = static_cast<int64_t>(tokens.size());
  // Behind the end of the text it goes on with what was just guessed, as a text that repeats itself
  // does.
  for (int64_t at = place; at < place + count; ++at) {
    drafts_.push_back(at < size ? tokens[at] : drafts_[at - size]);
  }
}

void PromptLookup::Learn(int64_t count, int64_t accepted) {
  if (count == 0) return;
  if (accepted > 0) {
    pause_ = 0;
    length_ = accepted == count ? std::min(2 * length_ + 1, max_drafts_) : accepted;
  } else if (length_ > 1) {
    length_ /= 2;
  } else {
    to_pass_by_ = pause_ = std::min(2 * pause_ + 1, kMaxPause);
  }
}

}  // namespace heed
