#include "client/cli/request/candidates.h"

#include <optional>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "client/cli/base/mask.h"
#include "client/cli/base/token_text.h"

namespace heed::cli {
namespace {

bool IsInsideText(const std::string& text) {
  if (text.empty() || absl::ascii_isspace(static_cast<unsigned char>(text.back()))) return false;
  const std::vector<TextRange> masks = FindMasks(text, {"[MASK]"});
  return masks.empty() || masks.front().begin > 0;
}

bool BeginsWord(const std::string& text) {
  if (text.empty()) return false;
  const auto first = static_cast<unsigned char>(text.front());
  return absl::ascii_isalnum(first) || first >= 0x80;
}

// The one token that `text` is; nothing when it is several.
absl::StatusOr<std::optional<Token>> OnlyToken(const std::string& model, const std::string& text,
                                               Client& client, const CallOptions& options) {
  auto result = client.Tokenize(
      {.model = model, .text = text, .add_special_tokens = false, .parse_special_tokens = false},
      options);
  if (!result.ok()) return result.status();
  if (result->tokens.size() != 1) return std::nullopt;
  return result->tokens.front();
}

}  // namespace

absl::StatusOr<std::string> PreferWords(PredictRequest& request, Client& client,
                                        const CallOptions& options) {
  if (!IsInsideText(request.text)) return "";
  std::vector<std::string> chosen;
  std::vector<std::string> other_ids;
  for (std::string& candidate : request.candidate_texts) {
    if (!BeginsWord(candidate)) continue;
    const auto word = OnlyToken(request.model, absl::StrCat(" ", candidate), client, options);
    if (!word.ok()) return word.status();
    if (!word->has_value()) continue;
    const auto bare = OnlyToken(request.model, candidate, client, options);
    if (!bare.ok()) return bare.status();
    candidate = absl::StrCat(" ", candidate);
    if (!bare->has_value()) continue;
    chosen.push_back(VisibleToken(**word));
    other_ids.push_back(absl::StrCat((*bare)->id));
  }
  if (chosen.empty()) return "";
  return absl::StrCat(
      "read as ", absl::StrJoin(chosen, ", "),
      ", words after a space; without it: --candidate-ids=", absl::StrJoin(other_ids, ","));
}

}  // namespace heed::cli
