#include "client/cli/bench/bench_load.h"

#include <algorithm>
#include <cmath>
#include <deque>
#include <limits>
#include <string>
#include <thread>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/strings/str_cat.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/clock.h"

namespace heed::cli {
namespace {

// Between the calls of a stream that nobody answers.
constexpr absl::Duration kPauseWithoutServer = absl::Milliseconds(100);

// In [0, 1), the same with every standard library.
double Uniform(std::mt19937_64& random) {
  return static_cast<double>(random() >> 11) * 0x1p-53;
}

int64_t Draw(const LengthRange& range, std::mt19937_64& random) {
  const auto choices = static_cast<double>(range.most - range.least + 1);
  return range.least + static_cast<int64_t>(choices * Uniform(random));
}

// The threads that make the calls, and what they have seen.
class LoadGenerator {
 public:
  LoadGenerator(absl::Span<Client* const> clients, const CallOptions& options, const LoadPlan& plan,
                const std::function<void(double)>& progress)
      : clients_(clients),
        options_(options),
        plan_(plan),
        progress_(progress),
        start_(absl::Now()),
        begin_(start_ + plan.warm_up),
        end_(plan.calls ? absl::InfiniteFuture() : begin_ + plan.duration) {}

  LoadResult Run() {
    // Ctrl-C has something to cancel between calls too, and does not end the process.
    const int64_t cancel_key = options_.cancel != nullptr ? options_.cancel->Add([] {}) : 0;
    plan_.rate ? RunOpenLoop() : RunClosedLoop();
    for (std::thread& thread : threads_) thread.join();
    if (options_.cancel != nullptr) options_.cancel->Remove(cancel_key);
    LoadResult result{.interrupted = interrupted()};
    absl::MutexLock lock(&mutex_);
    result.calls = std::move(calls_);
    if (plan_.calls) LeaveOutWarmUp(result.calls);
    result.window = {WindowBegin(result.calls), WindowEnd(result.calls)};
    return result;
  }

 private:
  struct Ticket {
    int64_t index;
    absl::Time due;
  };

  bool interrupted() const { return options_.cancel != nullptr && options_.cancel->cancelled(); }

  // The client of a thread, by the thread's number.
  Client& ClientOf(int thread) const { return *clients_[thread / kCallsPerConnection]; }

  // So many calls are what is measured: those of the warm-up, which end after it, are not of them.
  void LeaveOutWarmUp(std::vector<BenchCall>& calls) const {
    calls.erase(std::remove_if(calls.begin(), calls.end(),
                               [&](const BenchCall& call) { return call.due < begin_; }),
                calls.end());
  }

  // Of so many calls, the window begins when the first is due: until then streams may wait for
  // answers of the warm-up.
  absl::Time WindowBegin(absl::Span<const BenchCall> calls) const {
    if (!plan_.calls || calls.empty()) return begin_;
    absl::Time first = calls.front().due;
    for (const BenchCall& call : calls) first = std::min(first, call.due);
    return first;
  }

  // Where that was not known before, the window ends with the last answer.
  absl::Time WindowEnd(absl::Span<const BenchCall> calls) const {
    absl::Time last = begin_;
    for (const BenchCall& call : calls) last = std::max(last, call.end + absl::Nanoseconds(1));
    return plan_.calls || interrupted() ? std::min(last, end_) : end_;
  }

  // The next call, due at `due`; nothing when there are to be no more.
  std::optional<Ticket> NextTicket(absl::Time due) {
    if (interrupted() || due >= end_) return std::nullopt;
    absl::MutexLock lock(&mutex_);
    if (due >= begin_ && plan_.calls && counted_++ >= *plan_.calls) return std::nullopt;
    return Ticket{next_index_++, due};
  }

  void RunClosedLoop() {
    for (int i = 0; i < plan_.streams; ++i) {
      threads_.emplace_back([this, &client = ClientOf(i)] {
        while (const std::optional<Ticket> ticket = NextTicket(absl::Now())) {
          // Where nobody listens calls fail at once, and would be no load but on this machine.
          if (!Make(client, *ticket)) SleepUntil(absl::Now() + kPauseWithoutServer);
        }
      });
    }
  }

  // This thread is the clock; the others make the calls, as many as it takes.
  void RunOpenLoop() {
    PoissonArrivals arrivals(*plan_.rate, plan_.seed);
    absl::Time due = start_ + arrivals.NextGap();
    while (const std::optional<Ticket> ticket = NextTicket(due)) {
      if (!SleepUntil(due)) break;
      Dispatch(*ticket);
      due += arrivals.NextGap();
    }
    absl::MutexLock lock(&mutex_);
    all_sent_ = true;
  }

  // False when the run was interrupted meanwhile.
  bool SleepUntil(absl::Time time) const {
    for (absl::Time now = absl::Now(); now < time; now = absl::Now()) {
      if (interrupted()) return false;
      absl::SleepFor(std::min(time - now, absl::Milliseconds(50)));
    }
    return !interrupted();
  }

  void Dispatch(const Ticket& ticket) {
    absl::MutexLock lock(&mutex_);
    if (queue_.size() >= idle_threads_) {
      if (threads_.size() >= kMaxCallsInFlight) return Refuse(ticket);
      threads_.emplace_back(
          [this, &client = ClientOf(static_cast<int>(threads_.size()))] { Serve(client); });
      ++idle_threads_;
    }
    queue_.push_back(ticket);
  }

  void Refuse(const Ticket& ticket) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    calls_.push_back({.due = ticket.due,
                      .end = ticket.due,
                      .status = absl::ResourceExhaustedError(absl::StrCat(
                          "not sent: ", kMaxCallsInFlight, " calls wait for answers already"))});
  }

  // A thread of the open loop; counted as idle when it starts.
  void Serve(Client& client) {
    while (true) {
      Ticket ticket;
      {
        absl::MutexLock lock(&mutex_);
        mutex_.Await(absl::Condition(
            +[](LoadGenerator* self) ABSL_NO_THREAD_SAFETY_ANALYSIS {
              return !self->queue_.empty() || self->all_sent_;
            },
            this));
        if (queue_.empty()) return;
        ticket = queue_.front();
        queue_.pop_front();
        --idle_threads_;
      }
      Make(client, ticket);
      absl::MutexLock lock(&mutex_);
      ++idle_threads_;
    }
  }

  // False when there was no server.
  bool Make(Client& client, const Ticket& ticket) {
    const GenerateRequest request = MakeBenchRequest(plan_, ticket.index);
    BenchCall call{.due = ticket.due,
                   .prompt_tokens = static_cast<int64_t>(request.token_ids.size())};
    const auto result = client.Generate(
        request,
        [&](const GenerateEvent& event) {
          if (std::holds_alternative<GeneratedToken>(event)) call.tokens.push_back(absl::Now());
          if (const auto* end = std::get_if<GenerateEnd>(&event)) {
            call.cached_tokens = end->timings.cached_token_count;
            call.accepted_tokens = end->timings.accepted_token_count;
          }
        },
        options_);
    call.end = absl::Now();
    call.status = result.status();
    call.cut = absl::IsCancelled(call.status) && interrupted();
    Report(std::move(call));
    return !IsConnectionError(result.status());
  }

  void Report(BenchCall call) {
    double done = 0;
    {
      absl::MutexLock lock(&mutex_);
      answered_ += call.due >= begin_ ? 1 : 0;
      done = plan_.calls ? static_cast<double>(answered_) / static_cast<double>(*plan_.calls)
                         : absl::FDivDuration(call.end - start_, end_ - start_);
      calls_.push_back(std::move(call));
    }
    progress_(std::clamp(done, 0.0, 1.0));
  }

  const absl::Span<Client* const> clients_;
  const CallOptions options_;
  const LoadPlan& plan_;
  const std::function<void(double)>& progress_;
  const absl::Time start_, begin_, end_;  // end_: no call is due from then on

  absl::Mutex mutex_;
  std::vector<BenchCall> calls_ ABSL_GUARDED_BY(mutex_);
  int64_t next_index_ ABSL_GUARDED_BY(mutex_) = 0;
  int64_t counted_ ABSL_GUARDED_BY(mutex_) = 0;       // due after the warm-up
  int64_t answered_ ABSL_GUARDED_BY(mutex_) = 0;      // of those
  std::deque<Ticket> queue_ ABSL_GUARDED_BY(mutex_);  // of the open loop, as the next two
  size_t idle_threads_ ABSL_GUARDED_BY(mutex_) = 0;
  bool all_sent_ ABSL_GUARDED_BY(mutex_) = false;
  std::vector<std::thread> threads_;  // touched by Run's thread only
};

}  // namespace

int ConnectionCount(const LoadPlan& plan) {
  const int calls = plan.rate ? kMaxCallsInFlight : plan.streams;
  return (calls + kCallsPerConnection - 1) / kCallsPerConnection;
}

GenerateRequest MakeBenchRequest(const LoadPlan& plan, int64_t index) {
  std::mt19937_64 shared(static_cast<uint64_t>(plan.seed));
  std::seed_seq seeds{plan.seed, index, int64_t{1}};
  std::mt19937_64 own(seeds);
  GenerateRequest request{.model = plan.model};
  const int64_t prompt_tokens = Draw(plan.prompt_tokens, own);
  for (int64_t i = 0; i < prompt_tokens; ++i) {
    std::mt19937_64& random = i < plan.shared_tokens ? shared : own;
    request.token_ids.push_back(static_cast<int32_t>(Draw({0, plan.vocabulary_size - 1}, random)));
  }
  request.max_tokens = static_cast<int32_t>(Draw(plan.new_tokens, own));
  request.ignore_end_of_text = true;
  request.temperature = plan.temperature;
  request.top_p = plan.top_p;
  if (plan.temperature || plan.top_p) {
    request.seed = Draw({0, std::numeric_limits<int32_t>::max()}, own);
  }
  return request;
}

absl::Duration PoissonArrivals::NextGap() {
  return absl::Seconds(-std::log1p(-Uniform(random_)) / rate_);
}

LoadResult RunLoad(absl::Span<Client* const> clients, const CallOptions& options,
                   const LoadPlan& plan, const std::function<void(double)>& progress) {
  return LoadGenerator(clients, options, plan, progress).Run();
}

}  // namespace heed::cli
