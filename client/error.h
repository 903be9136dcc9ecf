// Errors of calls, for programs. Every call returns absl::Status or StatusOr; what the server said
// beyond the code and the message is read with GetServerError.
#ifndef HEED_CLIENT_ERROR_H_
#define HEED_CLIENT_ERROR_H_

#include <map>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"

namespace heed {
inline namespace client {

// One wrong field of a request, by its path on the wire ("sampling.top_p", "positions[3]").
struct WrongField {
  std::string field;
  std::string description;
};

struct ServerError {
  std::string reason;  // stable, for example "MODEL_NOT_FOUND"; empty: not an answer of heed's
  std::map<std::string, std::string> metadata;  // the values behind the message
  std::vector<WrongField> wrong_fields;
  absl::Duration
      retry_after;  // how long the server asks to wait before trying again; zero: it did not say
};

// The details of a status returned by heed::Client. Empty for an OK status and for errors that did
// not come from a heed server (no connection, a deadline that passed on this side, a request
// refused before it was sent).
ServerError GetServerError(const absl::Status& status);

// True when the call never got an answer because there was no connection: nothing listens there, a
// name that does not resolve, a server that went away. False for an UNAVAILABLE that a heed server
// sent itself while it drains.
bool IsConnectionError(const absl::Status& status);

}  // namespace client
}  // namespace heed

#endif  // HEED_CLIENT_ERROR_H_
