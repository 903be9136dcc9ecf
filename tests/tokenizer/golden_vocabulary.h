// The vocabularies of the golden tokenizers, for writing them as other files have them.
#ifndef HEED_TESTS_TOKENIZER_GOLDEN_VOCABULARY_H_
#define HEED_TESTS_TOKENIZER_GOLDEN_VOCABULARY_H_

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "model/base/gguf_tokenizer_facts.h"
#include "model/tokenizer/tokenizer.h"

namespace heed {

// Where the golden tokenizer `name` is.
std::string GoldenFolder(const std::string& name);

// The parts of a tokenizer.json that other files hold too.
struct Contents {
  std::map<TokenId, std::string> pieces;
  std::vector<double> scores;  // of a unigram
  std::vector<std::string> merges;
  std::map<TokenId, bool> added;  // whether it is special
  std::string charsmap;
};

Contents ReadContents(const std::string& name);

// What a GGUF file would say about a vocabulary.
GgufTokenizerFacts FactsOf(const Contents& contents, const std::string& model);

// The golden WordPiece vocabulary as the converter writes it: "##x" as "x" and others with a mark.
GgufTokenizerFacts BertFacts();

// The golden unigram vocabulary, with its precompiled map.
GgufTokenizerFacts T5Facts();

// Fails the test when the facts make no tokenizer.
std::unique_ptr<Tokenizer> BuildGguf(const GgufTokenizerFacts& facts);

}  // namespace heed

#endif  // HEED_TESTS_TOKENIZER_GOLDEN_VOCABULARY_H_
