// The texts of --help, as wide as the terminal they are for and no wider than is good to read.
#ifndef HEED_CLIENT_CLI_HELP_H_
#define HEED_CLIENT_CLI_HELP_H_

#include <string>
#include <vector>

#include "client/cli/verbs/verbs.h"

namespace heed::cli {

std::string GeneralHelp(const std::vector<Verb>& verbs, const Terminal& out);
std::string VerbHelp(const Verb& verb, const Terminal& out);

}  // namespace heed::cli

#endif  // HEED_CLIENT_CLI_HELP_H_
