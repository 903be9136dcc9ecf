// Between the pages of `heed explore` and Explore sessions: posts of a page go into a session of
// its own, and what the server says to them comes back. Knows no HTTP but its codes.
#ifndef HEED_CLIENT_CLI_EXPLORE_EXPLORE_BRIDGE_H_
#define HEED_CLIENT_CLI_EXPLORE_EXPLORE_BRIDGE_H_

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "absl/synchronization/mutex.h"
#include "client/client.h"

namespace heed::cli {

// What a post gets (explore_page.h).
struct PostAnswer {
  int code = 200;
  std::string json;  // empty with 204
};

// {"error": google.rpc.Status} as JSON.
PostAnswer PostError(int code, const absl::Status& error);

// Thread-safe; destroyed when no post is under way.
class ExploreBridge {
 public:
  // More pages than these, and the one that was silent for the longest time loses its session.
  static constexpr size_t kMaxPages = 16;

  // `client` outlives this. Cancelling `options` ends all sessions.
  ExploreBridge(Client* client, const CallOptions& options) : client_(client), options_(options) {}
  ~ExploreBridge();

  // One post of a page: an ExploreRequest as JSON. Waits for its answer.
  PostAnswer Post(const std::string& page, absl::string_view body);

 private:
  class PageSession;
  struct Page {
    std::string name;
    std::shared_ptr<PageSession> session;
  };

  // The page's session; a new one in place of it when `opens`. Null: there is none.
  std::shared_ptr<PageSession> FindSession(const std::string& page, bool opens);

  Client* const client_;
  const CallOptions options_;
  absl::Mutex mutex_;
  std::vector<Page> pages_ ABSL_GUARDED_BY(mutex_);  // that posted last comes last
};

}  // namespace heed::cli

#endif  // HEED_CLIENT_CLI_EXPLORE_EXPLORE_BRIDGE_H_
