#include "model/tokenizer/merge_queue.h"

#include <algorithm>
#include <functional>

namespace heed {

void MergeQueue::Reset(size_t n_ranks) {
  for (size_t i = 0; i < n_buckets_; ++i) bucket_of_rank_[buckets_[i].rank] = -1;
  bucket_of_rank_.resize(n_ranks, -1);
  n_buckets_ = 0;
  ranks_.clear();
}

MergeQueue::Bucket* MergeQueue::BucketOf(int32_t rank) {
  int32_t& index = bucket_of_rank_[rank];
  if (index < 0) {
    index = static_cast<int32_t>(n_buckets_++);
    if (buckets_.size() < n_buckets_) buckets_.emplace_back();
    Bucket& bucket = buckets_[index];
    bucket.rank = rank;
    bucket.sorted = true;
    bucket.taken = 0;
    bucket.positions.clear();
  }
  return &buckets_[index];
}

void MergeQueue::Push(int32_t rank, int32_t position) {
  Bucket* const bucket = BucketOf(rank);
  if (bucket->taken == bucket->positions.size()) {
    bucket->positions.clear();
    bucket->taken = 0;
    bucket->sorted = true;
    ranks_.push_back(rank);
    std::push_heap(ranks_.begin(), ranks_.end(), std::greater<>());
  } else if (bucket->positions.back() > position) {
    bucket->sorted = false;
  }
  bucket->positions.push_back(position);
}

std::optional<MergeQueue::Item> MergeQueue::Pop() {
  if (ranks_.empty()) return std::nullopt;
  Bucket* const bucket = BucketOf(ranks_.front());
  if (!bucket->sorted) {
    std::sort(bucket->positions.begin() + static_cast<std::ptrdiff_t>(bucket->taken),
              bucket->positions.end());
    bucket->sorted = true;
  }
  const Item item = {bucket->rank, bucket->positions[bucket->taken++]};
  if (bucket->taken == bucket->positions.size()) {
    std::pop_heap(ranks_.begin(), ranks_.end(), std::greater<>());
    ranks_.pop_back();
  }
  return item;
}

}  // namespace heed
