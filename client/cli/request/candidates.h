// Candidates of a prediction as the command line gives them.
#ifndef HEED_CLIENT_CLI_REQUEST_CANDIDATES_H_
#define HEED_CLIENT_CLI_REQUEST_CANDIDATES_H_

#include <string>

#include "absl/status/statusor.h"
#include "client/client.h"

namespace heed::cli {

// After a word comes a space, so a candidate that begins with a letter or digit is put behind one
// where that is a token of the model: "were" becomes " were". Not at the beginning of a text, nor
// after one that ends in a space. Returns what to tell people about candidates that are tokens both
// ways; empty when there are none.
absl::StatusOr<std::string> PreferWords(PredictRequest& request, Client& client,
                                        const CallOptions& options);

}  // namespace heed::cli

#endif  // HEED_CLIENT_CLI_REQUEST_CANDIDATES_H_
