// Small tokenizer.json files made to order.
#ifndef HEED_TESTS_TOKENIZER_MINI_TOKENIZER_H_
#define HEED_TESTS_TOKENIZER_MINI_TOKENIZER_H_

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "model/tokenizer/token_model.h"
#include "model/tokenizer/tokenizer.h"

namespace heed {

// A byte-level BPE tokenizer whose parts are JSON texts. The vocabulary is the byte alphabet (ids
// 0..255, in the order of the bytes), the results of the merges, then `more_pieces`.
struct MiniTokenizer {
  std::string added_tokens = "[]";
  std::string normalizer = "null";
  std::string pre_tokenizer =
      R"({"type":"ByteLevel","add_prefix_space":false,"trim_offsets":true})";
  std::string post_processor = "null";
  std::string decoder = R"({"type":"ByteLevel"})";
  std::string model_options = "";  // members with a trailing comma
  std::vector<std::pair<std::string, std::string>> merges;
  std::vector<std::string> more_pieces;

  std::string Json() const;
  // Fails the test when the file does not parse.
  std::unique_ptr<Tokenizer> Build() const;
};

// One element of added_tokens; `flags` are the names of those that are true.
std::string AddedTokenJson(int id, const std::string& content,
                           const std::vector<std::string>& flags);

// The tokens of one piece.
absl::Status Collect(ModelWorker& worker, absl::string_view piece, std::vector<ModelToken>* tokens);

// The pieces of a text, and the text behind each.
std::vector<std::string> Pieces(const Tokenizer& tokenizer, const std::string& text,
                                const EncodeOptions& options = {});
std::vector<std::string> Covered(const Tokenizer& tokenizer, const std::string& text,
                                 const EncodeOptions& options = {});

}  // namespace heed

#endif  // HEED_TESTS_TOKENIZER_MINI_TOKENIZER_H_
