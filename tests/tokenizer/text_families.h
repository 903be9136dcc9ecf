// Large texts of the kinds that trip tokenizers.
#ifndef HEED_TESTS_TOKENIZER_TEXT_FAMILIES_H_
#define HEED_TESTS_TOKENIZER_TEXT_FAMILIES_H_

#include <cstddef>
#include <string>
#include <vector>

namespace heed {

struct TextFamily {
  const char* name;
  std::string text;
};

// One text of each kind, of about `bytes` bytes.
std::vector<TextFamily> TextFamilies(size_t bytes);

}  // namespace heed

#endif  // HEED_TESTS_TOKENIZER_TEXT_FAMILIES_H_
