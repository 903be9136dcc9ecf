// Traces that clients have opened: found by id, limited in memory and time.
#ifndef HEED_SERVER_ENGINE_TRACE_STORE_H_
#define HEED_SERVER_ENGINE_TRACE_STORE_H_

#include <cstdint>
#include <functional>
#include <list>
#include <map>
#include <memory>
#include <string>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"

namespace heed {

struct ServedModel;
struct TracedRun;  // trace_run.h

struct TraceStoreOptions {
  int64_t max_bytes = int64_t{1} << 30;           // of all traces together
  int64_t max_client_bytes = int64_t{512} << 20;  // of one client's
  absl::Duration max_ttl = absl::Minutes(10);
  // A trace that nobody reads, and that was neither opened, renewed nor read for this long, gives
  // way, least recently used first, when another needs its memory.
  absl::Duration idle_time = absl::Seconds(30);
  std::function<absl::Time()> now = absl::Now;
};

struct TraceFacts {
  std::string id;
  absl::Time expires;
  int64_t bytes = 0;
};

// Thread-safe. Must outlive its reservations and the runs that it hands out: a run's memory counts,
// closed or expired, until the last who reads it lets go.
//
// A trace does not keep its model alive: it is gone when the model is.
class TraceStore {
 public:
  // Memory taken for a run that is being traced, or was and is kept; given back on destruction.
  class Reservation {
   public:
    Reservation() = default;
    Reservation(Reservation&& other) noexcept
        : store_(std::exchange(other.store_, nullptr)),
          client_(std::move(other.client_)),
          bytes_(other.bytes_) {}
    Reservation& operator=(Reservation&& other) noexcept {
      std::swap(store_, other.store_);
      std::swap(client_, other.client_);
      std::swap(bytes_, other.bytes_);
      return *this;
    }
    ~Reservation();

   private:
    friend class TraceStore;
    Reservation(TraceStore* store, std::string client, int64_t bytes)
        : store_(store), client_(std::move(client)), bytes_(bytes) {}
    TraceStore* store_ = nullptr;
    std::string client_;
    int64_t bytes_ = 0;
  };

  explicit TraceStore(const TraceStoreOptions& options) : options_(options) {}

  // Takes `bytes` for a run of `client`, for which expired and idle traces may have to give way.
  // RESOURCE_EXHAUSTED (TRACE_QUOTA) names which limit it was.
  absl::StatusOr<Reservation> Reserve(absl::string_view client, int64_t bytes);

  // OK when Reserve would take that much of an empty store.
  absl::Status CheckBytes(int64_t bytes) const;

  // Keeps a finished run under a new id for min(ttl, max_ttl). It may hold fewer bytes than were
  // reserved; the rest is given back.
  TraceFacts Keep(Reservation reservation, std::shared_ptr<const TracedRun> run,
                  std::weak_ptr<const ServedModel> model, int64_t bytes, absl::Duration ttl);

  struct Found {
    std::shared_ptr<const TracedRun> run;
    std::shared_ptr<const ServedModel> model;
  };

  // The run of a trace, which counts as used now and as long as it is held; its holder may go on
  // reading when the trace is closed or expires. NOT_FOUND (TRACE_NOT_FOUND).
  absl::StatusOr<Found> Find(absl::string_view id);

  // NOT_FOUND (TRACE_NOT_FOUND).
  absl::StatusOr<TraceFacts> Renew(absl::string_view id, absl::Duration ttl);
  // Returns the bytes it held, of which nothing is given back before its last reader lets go.
  // NOT_FOUND (TRACE_NOT_FOUND).
  absl::StatusOr<int64_t> Close(absl::string_view id);

  int64_t used_bytes() const;
  int64_t size() const;
  const TraceStoreOptions& options() const { return options_; }

 private:
  // A run and its memory, which is given back behind it. Shared by its entry and its readers.
  struct Held {
    Reservation memory;
    std::shared_ptr<const TracedRun> run;
  };
  struct Entry {
    std::string id;
    std::shared_ptr<Held> held;
    std::weak_ptr<const ServedModel> model;
    absl::Time expires;
    absl::Time used;

    const std::string& client() const { return held->memory.client_; }
    int64_t bytes() const { return held->memory.bytes_; }
    // Readers come with the lock held and go when they like.
    bool is_read() const { return held.use_count() > 1; }
  };
  using Entries = std::list<Entry>;  // least recently used first

  void Give(const std::string& client, int64_t bytes) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  bool Fits(const std::string& client, int64_t bytes) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // Dropped runs go to `dropped`: they are destroyed without the lock. The memory of one that is
  // read is not given back yet.
  void Drop(Entries::iterator entry, Entries* dropped) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void DropDead(absl::Time now, Entries* dropped) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void MakeRoom(const std::string& client, int64_t bytes, absl::Time now, Entries* dropped)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  absl::StatusOr<Entries::iterator> Look(absl::string_view id, Entries* dropped)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  const TraceStoreOptions options_;
  mutable absl::Mutex mutex_;
  std::map<std::string, Entries::iterator, std::less<>> by_id_ ABSL_GUARDED_BY(mutex_);
  std::map<std::string, int64_t> client_bytes_ ABSL_GUARDED_BY(mutex_);
  int64_t used_bytes_ ABSL_GUARDED_BY(mutex_) = 0;
  Entries entries_ ABSL_GUARDED_BY(mutex_);  // last: they give their memory back as they go
};

}  // namespace heed

#endif  // HEED_SERVER_ENGINE_TRACE_STORE_H_
