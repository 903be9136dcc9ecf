// Turning generated tokens into text that may be shown: whole characters only, and nothing that may
// yet turn out to be the beginning of a stop text.
#ifndef HEED_MODEL_GENERATE_TEXT_STREAM_H_
#define HEED_MODEL_GENERATE_TEXT_STREAM_H_

#include <cstddef>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"

namespace heed {

// The answer and where it stops do not depend on how its bytes are cut into tokens. Not
// thread-safe.
class TextStream {
 public:
  // `stop_texts` are non-empty UTF-8.
  explicit TextStream(std::vector<std::string> stop_texts);

  struct Delta {
    std::string
        text;  // well-formed UTF-8; bytes that can never become a character appear as U+FFFD
    int stopped_by =
        -1;  // index of the stop text that ended the answer; `text` ends where it begins
  };

  // Adds one token's bytes. After a stop, further bytes are ignored. The stop text that is complete
  // first wins, so that no token more than needed is generated; of several that are complete at the
  // same byte, the longest.
  Delta Append(absl::string_view bytes);

  // The text held back, with U+FFFD for an unfinished character, which may complete a stop text.
  // Bytes appended later are ignored.
  Delta Finish();

 private:
  Delta Release(absl::string_view text);
  size_t UndecidedSuffix() const;

  std::vector<std::string> stop_texts_;
  std::string unfinished_;  // the bytes so far of a character that is not complete
  std::string held_;        // text that may be the beginning of a stop text
  bool stopped_ = false;
};

}  // namespace heed

#endif  // HEED_MODEL_GENERATE_TEXT_STREAM_H_
