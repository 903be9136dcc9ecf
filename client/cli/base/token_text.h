// Tokens and text from a model as people can read them, and as a terminal can safely show them: no
// byte of a model's output may reach a terminal as a control sequence.
#ifndef HEED_CLIENT_CLI_BASE_TOKEN_TEXT_H_
#define HEED_CLIENT_CLI_BASE_TOKEN_TEXT_H_

#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "client/types.h"

namespace heed::cli {

// One token on one line: spaces as ·, line ends as ↵, tabs as ⇥, bytes that are not whole
// characters as <E2>, other invisible characters as <U+200B>. Control tokens and tokens without
// bytes show the vocabulary's spelling.
std::string VisibleToken(const Token& token);
std::vector<std::string> VisibleTokens(const std::vector<Token>& tokens);

// Tokens for programs: their text as it is, the vocabulary's spelling of those without any.
std::vector<std::string> PlainTexts(const std::vector<Token>& tokens);

// Running text: spaces, tabs and line ends stay; everything else as above.
std::string SafeText(absl::string_view text);

// Several tokens as one line of text.
std::string VisibleLine(const std::vector<Token>& tokens);

// Which model answered: "decoder sha256:0123456789ab".
std::string ModelText(const ModelIdentity& model);

}  // namespace heed::cli

#endif  // HEED_CLIENT_CLI_BASE_TOKEN_TEXT_H_
