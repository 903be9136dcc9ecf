// Requests of an Explore session that wait while another one is computed.
#ifndef HEED_SERVER_INSPECT_EXPLORE_QUEUE_H_
#define HEED_SERVER_INSPECT_EXPLORE_QUEUE_H_

#include <cstdint>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "heed/v1/experiment.pb.h"

namespace heed {

// Not thread-safe. Each part of a request is there once at most, that of the newest which has it:
// what a client can make it hold is no more than a few messages, however many it sends.
class ExploreQueue {
 public:
  // When there are so many, skipped ones included, no more should be read until they are taken.
  static constexpr size_t kMaxWaiting = 1024;

  struct Entry {
    v1::ExploreRequest request;
    // What is wrong with it, and is to be answered: then nothing is left of it but its number.
    absl::Status error = absl::OkStatus();
  };

  struct Batch {
    std::vector<Entry> requests;   // by sequence; without the parts that newer ones have
    std::vector<int64_t> skipped;  // sequences of requests of which nothing was left, ascending
    absl::Time arrived;            // of the oldest
  };

  // What is to wait of a request that came: fields that say nothing do not.
  static Entry EntryOf(v1::ExploreRequest request, bool is_first);

  // Numbers a request that came without a number. INVALID_ARGUMENT when its number is not more than
  // the one before.
  absl::Status Push(Entry entry, absl::Time now);

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
