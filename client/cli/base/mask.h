// Places in a text that a masked language model is to fill in.
#ifndef HEED_CLIENT_CLI_BASE_MASK_H_
#define HEED_CLIENT_CLI_BASE_MASK_H_

#include <cstddef>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "client/types.h"

namespace heed::cli {

// The bytes [begin, end) of a text.
struct TextRange {
  size_t begin = 0;
  size_t end = 0;
  friend bool operator==(const TextRange&, const TextRange&) = default;
};

// The blanks of `text`, which is UTF-8: runs of three or more underscores that touch no letter,
// digit or mark.
std::vector<TextRange> FindBlanks(absl::string_view text);

// Blanks and whatever equals one of `mask_texts`, in order.
std::vector<TextRange> FindMasks(absl::string_view text,
                                 const std::vector<std::string>& mask_texts);

// `text` with `replacement` in place of each of `ranges`, which are in order.
std::string ReplaceRanges(absl::string_view text, const std::vector<TextRange>& ranges,
                          absl::string_view replacement);

// How a text to this model spells the token to be filled in; empty for models that fill none.
std::string MaskText(const ModelInfo& model);

}  // namespace heed::cli

#endif  // HEED_CLIENT_CLI_BASE_MASK_H_
