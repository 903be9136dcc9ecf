#include "server/inspect/explore_queue.h"

#include <algorithm>
#include <limits>
#include <utility>

#include "absl/strings/str_cat.h"
#include "server/convert/violations.h"
#include "server/inspect/explore_session.h"

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

ExploreQueue::Entry ExploreQueue::EntryOf(v1::ExploreRequest request, bool is_first) {
  Entry entry{std::move(request), {}};
  entry.request.DiscardUnknownFields();
  if (entry.request.hover().off()) {
    v1::ExploreHover off;  // the other fields are not looked at
    off.set_off(true);
    *entry.request.mutable_hover() = std::move(off);
  }
  if (!is_first) entry.error = ExploreSession::CheckForm(entry.request);
  if (!entry.error.ok()) {
    v1::ExploreRequest number;
    number.set_sequence(entry.request.sequence());
    entry.request = std::move(number);
  }
  return entry;
}

absl::Status ExploreQueue::Push(Entry entry, absl::Time now) {
  v1::ExploreRequest& request = entry.request;
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
  std::vector<Entry>& older = waiting_.requests;
  for (Entry& one : older) {
    if (Replace(request, &one.request)) waiting_.skipped.push_back(one.request.sequence());
  }
  std::sort(waiting_.skipped.begin(), waiting_.skipped.end());
  older.erase(std::remove_if(older.begin(), older.end(),
                             [&](const Entry& one) {
                               return std::binary_search(waiting_.skipped.begin(),
                                                         waiting_.skipped.end(),
                                                         one.request.sequence());
                             }),
              older.end());
  older.push_back(std::move(entry));
  return absl::OkStatus();
}

v1::ExploreRequest ExploreQueue::Waiting() const {
  const auto any = [&](bool (v1::ExploreRequest::*has)() const) {
    return std::any_of(waiting_.requests.begin(), waiting_.requests.end(),
                       [&](const Entry& one) { return (one.request.*has)(); });
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
