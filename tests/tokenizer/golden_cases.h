// Golden files of the tokenizers library: folders with a tokenizer.json and a cases.json
// (tests/golden).
#ifndef HEED_TESTS_TOKENIZER_GOLDEN_CASES_H_
#define HEED_TESTS_TOKENIZER_GOLDEN_CASES_H_

#include <optional>
#include <string>
#include <vector>

#include "model/tokenizer/tokenizer.h"

namespace heed {

// One text and what the library says about it.
struct GoldenCase {
  std::string name;
  std::string text;  // perhaps not valid UTF-8
  std::vector<TokenId> ids;
  std::vector<TokenId> ids_with_special;
  std::optional<std::vector<TokenId>> ids_specials_as_text;  // absent: as ids
  std::vector<ByteRange> offsets_with_special;  // in the text with U+FFFD for what is not UTF-8
  std::string decoded;
  std::string decoded_all;
};

// Terminates the test program when the file cannot be read.
std::vector<GoldenCase> ReadGoldenCases(const std::string& path);
std::string ReadFileOrDie(const std::string& path);

// Folders in `path` that hold a cases.json, by name.
std::vector<std::string> GoldenFolders(const std::string& path);

// For each byte of ReplaceInvalidUtf8(text), and for its end, where that byte's character begins in
// `text`.
std::vector<int64_t> OriginalPositions(const std::string& text);

}  // namespace heed

#endif  // HEED_TESTS_TOKENIZER_GOLDEN_CASES_H_
