// Serves the page of `heed explore` to the browser on this machine.
#ifndef HEED_CLIENT_CLI_EXPLORE_EXPLORE_HTTP_H_
#define HEED_CLIENT_CLI_EXPLORE_EXPLORE_HTTP_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "client/cli/explore/explore_bridge.h"

namespace heed::cli {

// GET / and POST /explore on 127.0.0.1 and nowhere else. It takes what comes from its own page: a
// request that names another host (as after DNS rebinding), or a post that comes from another
// origin, gets 403, so that no site can have a browser ask through it.
class ExploreHttpServer {
 public:
  using PostFn = std::function<PostAnswer(const std::string& page, const std::string& body)>;

  static constexpr size_t kMaxBodyBytes = size_t{1} << 20;

  // Serves from now on until it is destroyed, which waits for posts that are under way. `port` 0: a
  // free one. UNAVAILABLE when it cannot be had. `post` is called from several threads.
  static absl::StatusOr<std::unique_ptr<ExploreHttpServer>> Start(int port, std::string page,
                                                                  PostFn post);
  ~ExploreHttpServer();

  int port() const;

 private:
  class Impl;
  explicit ExploreHttpServer(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace heed::cli

#endif  // HEED_CLIENT_CLI_EXPLORE_EXPLORE_HTTP_H_
