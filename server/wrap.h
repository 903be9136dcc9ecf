// Running text for people at a terminal.
#ifndef HEED_SERVER_WRAP_H_
#define HEED_SERVER_WRAP_H_

#include <cstddef>
#include <string>

#include "absl/strings/string_view.h"

namespace heed {

constexpr size_t kNoWidth = ~size_t{0};

// How many columns a line on this file descriptor may take: COLUMNS or as wide as its terminal is;
// kNoWidth where it is none.
size_t LineWidth(int fd);

// `text` behind `lead`, in lines of at most `width` columns, each ended: broken where it has
// spaces, a longer word anywhere. The lines after the first are indented by as much as the lead
// takes, which is less than `width`.
std::string Wrapped(absl::string_view lead, absl::string_view text, size_t width);

}  // namespace heed

#endif  // HEED_SERVER_WRAP_H_
