#include "server/engine/trace_store.h"

#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <iterator>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "model/base/error.h"
#include "model/base/status_macros.h"

namespace heed {
namespace {

constexpr size_t kIdBytes = 16;

// Known to nobody who was not told.
std::string NewId() {
  char random[kIdBytes];
  if (getentropy(random, sizeof(random)) != 0) std::abort();  // only for a bad buffer
  return absl::BytesToHexString(absl::string_view(random, sizeof(random)));
}

absl::Status NotFound(absl::string_view id) {
  const std::string shown(id.substr(0, 64));
  return MakeError(absl::StatusCode::kNotFound, "TRACE_NOT_FOUND",
                   absl::StrCat("there is no trace \"", absl::Utf8SafeCHexEscape(shown),
                                "\": it expired, was closed, gave way to newer ones, or its model "
                                "is not loaded any more; open it again"));
}

absl::Status OverQuota(int64_t bytes, int64_t used, int64_t limit, absl::string_view whose) {
  const std::string problem =
      bytes > limit
          ? absl::StrCat(", more than the ", limit, " that ", whose, " may; shorten the prompt")
          : absl::StrCat(", and ", whose, " hold ", used, " of ", limit,
                         "; close traces and end the calls that read them, wait until some "
                         "expire, or shorten the prompt");
  return MakeError(absl::StatusCode::kResourceExhausted, "TRACE_QUOTA",
                   absl::StrCat("this would hold ", bytes, " bytes", problem),
                   {{"requested_bytes", absl::StrCat(bytes)},
                    {"used_bytes", absl::StrCat(used)},
                    {"limit_bytes", absl::StrCat(limit)}});
}

}  // namespace

TraceStore::Reservation::~Reservation() {
  if (store_ == nullptr) return;
  absl::MutexLock lock(&store_->mutex_);
  store_->Give(client_, bytes_);
}

absl::Status TraceStore::CheckBytes(int64_t bytes) const {
  const int64_t limit = std::min(options_.max_bytes, options_.max_client_bytes);
  return bytes <= limit ? absl::OkStatus() : OverQuota(bytes, 0, limit, "your traces");
}

absl::StatusOr<TraceStore::Reservation> TraceStore::Reserve(absl::string_view client,
                                                            int64_t bytes) {
  HEED_RETURN_IF_ERROR(CheckBytes(bytes));
  if (bytes == 0) return Reservation();
  std::string name(client);
  Entries dropped;
  absl::MutexLock lock(&mutex_);
  const absl::Time now = options_.now();
  DropDead(now, &dropped);
  if (!Fits(name, bytes)) MakeRoom(name, bytes, now, &dropped);
  const int64_t own = client_bytes_[name];
  if (own == 0) client_bytes_.erase(name);
  if (bytes > options_.max_client_bytes - own) {
    return OverQuota(bytes, own, options_.max_client_bytes, "your traces");
  }
  if (bytes > options_.max_bytes - used_bytes_) {
    return OverQuota(bytes, used_bytes_, options_.max_bytes, "all clients' traces");
  }
  client_bytes_[name] += bytes;
  used_bytes_ += bytes;
  return Reservation(this, std::move(name), bytes);
}

TraceFacts TraceStore::Keep(Reservation reservation, std::shared_ptr<const TracedRun> run,
                            std::weak_ptr<const ServedModel> model, int64_t bytes,
                            absl::Duration ttl) {
  Entry entry;
  entry.id = NewId();
  entry.held = std::make_shared<Held>();
  entry.held->run = std::move(run);
  entry.model = std::move(model);
  absl::MutexLock lock(&mutex_);
  entry.used = options_.now();
  entry.expires = entry.used + std::min(ttl, options_.max_ttl);
  if (bytes < reservation.bytes_) {
    Give(reservation.client_, reservation.bytes_ - bytes);
    reservation.bytes_ = bytes;
  }
  entry.held->memory = std::move(reservation);
  entries_.push_back(std::move(entry));
  const auto kept = std::prev(entries_.end());
  by_id_[kept->id] = kept;
  return {kept->id, kept->expires, kept->bytes()};
}

absl::StatusOr<TraceStore::Found> TraceStore::Find(absl::string_view id) {
  Entries dropped;
  absl::MutexLock lock(&mutex_);
  HEED_ASSIGN_OR_RETURN(const Entries::iterator entry, Look(id, &dropped));
  // Its own pointer to the run, with a share of all that is held.
  Found found{{entry->held, entry->held->run.get()}, entry->model.lock()};
  if (found.model == nullptr) return NotFound(id);
  return found;
}

absl::StatusOr<TraceFacts> TraceStore::Renew(absl::string_view id, absl::Duration ttl) {
  Entries dropped;
  absl::MutexLock lock(&mutex_);
  HEED_ASSIGN_OR_RETURN(const Entries::iterator entry, Look(id, &dropped));
  entry->expires = options_.now() + std::min(ttl, options_.max_ttl);
  return TraceFacts{entry->id, entry->expires, entry->bytes()};
}

absl::StatusOr<int64_t> TraceStore::Close(absl::string_view id) {
  Entries dropped;
  absl::MutexLock lock(&mutex_);
  HEED_ASSIGN_OR_RETURN(const Entries::iterator entry, Look(id, &dropped));
  const int64_t bytes = entry->bytes();
  Drop(entry, &dropped);
  return bytes;
}

int64_t TraceStore::used_bytes() const {
  absl::MutexLock lock(&mutex_);
  return used_bytes_;
}

int64_t TraceStore::size() const {
  absl::MutexLock lock(&mutex_);
  return static_cast<int64_t>(entries_.size());
}

void TraceStore::Give(const std::string& client, int64_t bytes) {
  used_bytes_ -= bytes;
  const auto own = client_bytes_.find(client);
  own->second -= bytes;
  if (own->second == 0) client_bytes_.erase(own);
}

bool TraceStore::Fits(const std::string& client, int64_t bytes) const {
  const auto own = client_bytes_.find(client);
  const int64_t client_bytes = own == client_bytes_.end() ? 0 : own->second;
  return bytes <= options_.max_client_bytes - client_bytes &&
         bytes <= options_.max_bytes - used_bytes_;
}

void TraceStore::Drop(Entries::iterator entry, Entries* dropped) {
  Reservation& memory = entry->held->memory;
  if (!entry->is_read() && memory.store_ != nullptr) {
    Give(memory.client_, memory.bytes_);
    memory.store_ = nullptr;
  }
  by_id_.erase(entry->id);
  dropped->splice(dropped->end(), entries_, entry);
}

void TraceStore::DropDead(absl::Time now, Entries* dropped) {
  for (auto entry = entries_.begin(); entry != entries_.end();) {
    const auto next = std::next(entry);
    if (entry->expires <= now || entry->model.expired()) Drop(entry, dropped);
    entry = next;
  }
}

// Only as much as it takes, and nothing where it would not do: the client's own idle traces while
// its quota is full, then anybody's.
void TraceStore::MakeRoom(const std::string& client, int64_t bytes, absl::Time now,
                          Entries* dropped) {
  const auto is_idle = [&](const Entry& entry) {
    return !entry.is_read() && now - entry.used >= options_.idle_time;
  };
  const auto own = client_bytes_.find(client);
  int64_t left = used_bytes_;  // once all idle traces are gone
  int64_t own_left = own == client_bytes_.end() ? 0 : own->second;
  for (const Entry& entry : entries_) {
    if (!is_idle(entry)) continue;
    left -= entry.bytes();
    if (entry.client() == client) own_left -= entry.bytes();
  }
  if (bytes > options_.max_client_bytes - own_left || bytes > options_.max_bytes - left) return;
  for (const bool only_own : {true, false}) {
    for (auto entry = entries_.begin(); entry != entries_.end() && !Fits(client, bytes);) {
      const auto next = std::next(entry);
      if (is_idle(*entry) && (!only_own || entry->client() == client)) Drop(entry, dropped);
      entry = next;
    }
  }
}

absl::StatusOr<TraceStore::Entries::iterator> TraceStore::Look(absl::string_view id,
                                                               Entries* dropped) {
  const absl::Time now = options_.now();
  DropDead(now, dropped);
  const auto found = by_id_.find(id);
  if (found == by_id_.end()) return NotFound(id);
  const Entries::iterator entry = found->second;
  entry->used = now;
  entries_.splice(entries_.end(), entries_, entry);
  return entry;
}

}  // namespace heed
