#include "model/generate/text_stream.h"

#include <algorithm>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "model/base/utf8.h"

namespace heed {
namespace {

// Where a stop text stands.
struct Match {
  size_t begin = std::string::npos;
  size_t end = std::string::npos;
  int stop = -1;
};

// The match that ends first, and of those the one that begins first.
Match FirstMatch(absl::string_view text, const std::vector<std::string>& stop_texts) {
  Match first;
  for (size_t i = 0; i < stop_texts.size(); ++i) {
    const size_t begin = text.find(stop_texts[i]);
    if (begin == absl::string_view::npos) continue;
    const size_t end = begin + stop_texts[i].size();
    if (std::pair(end, begin) < std::pair(first.end, first.begin)) {
      first = {begin, end, static_cast<int>(i)};
    }
  }
  return first;
}

}  // namespace

TextStream::TextStream(std::vector<std::string> stop_texts) : stop_texts_(std::move(stop_texts)) {}

TextStream::Delta TextStream::Append(absl::string_view bytes) {
  if (stopped_) return {};
  absl::StrAppend(&unfinished_, bytes);
  const size_t complete = CompleteUtf8Prefix(unfinished_);
  Delta delta = Release(absl::string_view(unfinished_).substr(0, complete));
  unfinished_.erase(0, complete);
  return delta;
}

TextStream::Delta TextStream::Finish() {
  if (stopped_) return {};
  Delta delta = Release(std::exchange(unfinished_, ""));
  if (!stopped_) absl::StrAppend(&delta.text, held_);
  stopped_ = true;
  return delta;
}

// Adds `text`, in which no character is unfinished, and gives what is certain by now.
TextStream::Delta TextStream::Release(absl::string_view text) {
  absl::StrAppend(&held_, ReplaceInvalidUtf8(text));
  const Match match = FirstMatch(held_, stop_texts_);
  stopped_ = match.stop >= 0;
  const size_t certain = stopped_ ? match.begin : held_.size() - UndecidedSuffix();
  Delta delta = {held_.substr(0, certain), match.stop};
  held_.erase(0, certain);
  return delta;
}

// Length of the longest end of held_ with which a stop text begins.
size_t TextStream::UndecidedSuffix() const {
  size_t longest = 0;
  for (const std::string& stop : stop_texts_) {
    for (size_t size = std::min(stop.size() - 1, held_.size()); size > longest; --size) {
      if (absl::EndsWith(held_, absl::string_view(stop).substr(0, size))) longest = size;
    }
  }
  return longest;
}

}  // namespace heed
