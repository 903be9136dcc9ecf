// The order in which byte pair encoding merges: by rank, and from left to right within a rank.
#ifndef HEED_MODEL_TOKENIZER_MERGE_QUEUE_H_
#define HEED_MODEL_TOKENIZER_MERGE_QUEUE_H_

#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

namespace heed {

// A priority queue of (rank, position). One bucket holds each rank's positions and a small heap the
// ranks in use, so that a million equal pairs cost no more than sorting their positions. Cheapest
// when a rank that has begun to be taken gets no further positions until it is empty: that is how
// merging goes, since a merge only makes pairs of longer pieces.
class MergeQueue {
 public:
  struct Item {
    int32_t rank = 0;
    int32_t position = 0;
  };

  // Empties the queue for ranks in [0, n_ranks).
  void Reset(size_t n_ranks);

  void Push(int32_t rank, int32_t position);

  // Takes the smallest rank's smallest position.
  std::optional<Item> Pop();

 private:
  struct Bucket {
    int32_t rank = 0;
    bool sorted = true;  // positions [taken, end)
    size_t taken = 0;
    std::vector<int32_t> positions;
  };

  Bucket* BucketOf(int32_t rank);

  std::vector<int32_t> bucket_of_rank_;  // -1: none
  std::vector<Bucket> buckets_;          // the first n_buckets_ are in use
  size_t n_buckets_ = 0;
  std::vector<int32_t> ranks_;  // a heap of the ranks whose bucket is not empty, smallest first
};

}  // namespace heed

#endif  // HEED_MODEL_TOKENIZER_MERGE_QUEUE_H_
