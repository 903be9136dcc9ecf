// Golden files of the tokenizers library: folders with a tokenizer.json, and a cases.json or an
// answers.json to the texts that all folders share (tests/golden).
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

// The same from an answers.json and the texts.json in the folder above it.
std::vector<GoldenCase> ReadGoldenAnswers(const std::string& path);

// The shared texts with the ids of an ids.json: no more than `text` and `ids_with_special`.
std::vector<GoldenCase> ReadGoldenIds(const std::string& texts_path, const std::string& path);

// Files with this name in the folders in `path`, by folder.
std::vector<std::string> GoldenFiles(const std::string& path, const std::string& name);

// For each byte of ReplaceInvalidUtf8(text), and for its end, where that byte's character begins in
// `text`.
std::vector<int64_t> OriginalPositions(const std::string& text);

}  // namespace heed

#endif  // HEED_TESTS_TOKENIZER_GOLDEN_CASES_H_
