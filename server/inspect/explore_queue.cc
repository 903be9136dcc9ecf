#include "server/inspect/explore_queue.h"

#include <algorithm>
#include <limits>
#include <utility>

#include "absl/strings/str_cat.h"
#include "server/convert/violations.h"

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
  if (request.has_watch()) *newest_.mutable_watch() = request.watch();
  if (request.has_hover()) *newest_.mutable_hover() = request.hover();
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

v1::ExploreRequest ExploreQueue::Waiting() const {
  const auto any = [&](bool (v1::ExploreRequest::*has)() const) {
    return std::any_of(waiting_.requests.begin(), waiting_.requests.end(),
                       [&](const v1::ExploreRequest& request) { return (request.*has)(); });
  };
  v1::ExploreRequest work;
  const bool edits = any(&v1::ExploreRequest::has_edits);
  if (edits) work.mutable_edits();
  if (any(&v1::ExploreRequest::has_open)) work.mutable_open();
  const bool watch = edits || any(&v1::ExploreRequest::has_watch);
  const bool hover = edits || any(&v1::ExploreRequest::has_hover);
  if (watch && newest_.has_watch()) *work.mutable_watch() = newest_.watch();
  if (hover && newest_.has_hover()) *work.mutable_hover() = newest_.hover();
  return work;
}

ExploreQueue::Batch ExploreQueue::Take() {
  return std::exchange(waiting_, {});
}

}  // namespace heed
