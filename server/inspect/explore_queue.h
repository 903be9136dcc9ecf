// Requests of an Explore session that came while another one was computed.
#ifndef HEED_SERVER_INSPECT_EXPLORE_QUEUE_H_
#define HEED_SERVER_INSPECT_EXPLORE_QUEUE_H_

#include <cstdint>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "heed/v1/experiment.pb.h"

namespace heed {

// Not thread-safe.
class ExploreQueue {
 public:
  // When there are so many, skipped ones included, no more should be read until they are taken.
  static constexpr size_t kMaxWaiting = 1024;

  struct Batch {
    std::vector<v1::ExploreRequest>
        requests;                  // by sequence; without the parts that newer ones have
    std::vector<int64_t> skipped;  // sequences of requests of which nothing was left, ascending
    absl::Time arrived;            // of the oldest
  };

  // Numbers a request that came without a number. INVALID_ARGUMENT when its number is not more than
  // the one before.
  absl::Status Push(v1::ExploreRequest request, absl::Time now);

  bool empty() const { return waiting_.requests.empty(); }
  bool full() const { return waiting_.requests.size() + waiting_.skipped.size() >= kMaxWaiting; }

  // All that wait. Not when it is empty.
  Batch Take();

  // What answering them takes, as one request: the parts that they have, and where there are edits
  // all that is watched and hovered, which is read again.
  v1::ExploreRequest Waiting() const;

 private:
  int64_t last_sequence_ = 0;
  Batch waiting_;
  v1::ExploreRequest newest_;  // the watch and the hover that came last
};

}  // namespace heed

#endif  // HEED_SERVER_INSPECT_EXPLORE_QUEUE_H_
