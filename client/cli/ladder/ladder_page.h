// The ladder as one page for a browser: a single file without any address to load from.
#ifndef HEED_CLIENT_CLI_LADDER_LADDER_PAGE_H_
#define HEED_CLIENT_CLI_LADDER_LADDER_PAGE_H_

#include <string>

#include "client/cli/ladder/ladder.h"

namespace heed::cli {

// The whole page. `server` is the address that was asked, for the errors of single rungs;
// everything from the server is escaped.
std::string LadderPage(const Ladder& ladder, const std::string& server);

}  // namespace heed::cli

#endif  // HEED_CLIENT_CLI_LADDER_LADDER_PAGE_H_
