#include "server/explore_queue.h"

#include <algorithm>
#include <limits>
#include <utility>

#include "absl/strings/str_cat.h"
#include "server/violations.h"

namespace heed {
namespace {

// Takes the parts that `newer` has out of `older`; true when that left nothing.
bool Replace(const v1::ExploreRequest& newer, v1::ExploreRequest* older) {
  bool replaced = false;
  if (newer.has_edits() && older->has_edits()) {
    older->clear_edits();
    replaced = true;
  }
  if (newer.has_watch() && older->has_watch()) {
    older->clear_watch();
    replaced = true;
  }
  if (newer.has_hover() && older->has_hover()) {
    older->clear_hover();
    replaced = true;
  }
  return replaced && !older->has_open() && !older->has_edits() && !older->has_watch() &&
         !older->has_hover();
}

}  // namespace

absl::Status ExploreQueue::Push(v1::ExploreRequest request, absl::Time now) {
  if (request.sequence() == 0 && last_sequence_ < std::numeric_limits<int64_t>::max()) {
    request.set_sequence(last_sequence_ + 1);
  }
  if (request.sequence() <= last_sequence_) {
    Violations violations;
    violations.Add("sequence", absl::StrCat("is ", request.sequence(), "; must be more than ",
                                            last_sequence_, ", the one before, or 0"));
    return violations.ToStatus();
  }
  last_sequence_ = request.sequence();
  if (empty()) waiting_.arrived = now;
  std::vector<v1::ExploreRequest>& older = waiting_.requests;
  for (v1::ExploreRequest& one : older) {
    if (Replace(request, &one)) waiting_.skipped.push_back(one.sequence());
  }
  std::sort(waiting_.skipped.begin(), waiting_.skipped.end());
  older.erase(std::remove_if(older.begin(), older.end(),
                             [&](const v1::ExploreRequest& one) {
                               return std::binary_search(waiting_.skipped.begin(),
                                                         waiting_.skipped.end(), one.sequence());
                             }),
              older.end());
  older.push_back(std::move(request));
  return absl::OkStatus();
}

ExploreQueue::Batch ExploreQueue::Take() {
  return std::exchange(waiting_, {});
}

}  // namespace heed
