// Where the server listens.
#ifndef HEED_SERVER_LISTEN_ADDRESS_H_
#define HEED_SERVER_LISTEN_ADDRESS_H_

#include <string>

#include "absl/status/status.h"

namespace heed {

// Takes `address`, host:port, and lets go of it. UNAVAILABLE, saying why, when that cannot be done.
absl::Status CheckListenAddress(const std::string& address);

}  // namespace heed

#endif  // HEED_SERVER_LISTEN_ADDRESS_H_
