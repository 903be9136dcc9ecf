// The texts of --help.
#ifndef HEED_CLIENT_CLI_HELP_H_
#define HEED_CLIENT_CLI_HELP_H_

#include <string>
#include <vector>

#include "client/cli/verbs/verbs.h"

namespace heed::cli {

std::string GeneralHelp(const std::vector<Verb>& verbs);
std::string VerbHelp(const Verb& verb);

}  // namespace heed::cli

#endif  // HEED_CLIENT_CLI_HELP_H_
