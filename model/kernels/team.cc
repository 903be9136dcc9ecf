#include "model/kernels/team.h"

#include <chrono>
#include <utility>

namespace heed {
namespace {

constexpr std::chrono::microseconds kLookFor(250);
constexpr int kLooksAtOnce = 16;  // between two looks at the clock

// Between two looks at what another thread is to write: some 40 ns.
void Pause() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  asm volatile("isb");
#endif
}

// Returns what `value` is once it is no longer `old`.
uint32_t AwaitChange(const std::atomic<uint32_t>& value, uint32_t old) {
  std::optional<std::chrono::steady_clock::time_point> end;
  while (true) {
    for (int look = 0; look < kLooksAtOnce; ++look) {
      const uint32_t now = value.load(std::memory_order_acquire);
      if (now != old) return now;
      Pause();
    }
    const auto now = std::chrono::steady_clock::now();
    if (!end.has_value()) end = now + kLookFor;
    if (now >= *end) break;
  }
  value.wait(old, std::memory_order_acquire);
  return value.load(std::memory_order_acquire);
}

constexpr uint64_t Pack(uint64_t first, uint64_t last) {
  return first << 32 | last;
}

}  // namespace

void Team::Share::Fill(uint32_t first, uint32_t last) {
  left_.store(Pack(first, last), std::memory_order_release);
}

std::optional<uint32_t> Team::Share::TakeFirst() {
  uint64_t left = left_.load(std::memory_order_relaxed);
  while (true) {
    const uint32_t first = left >> 32, last = static_cast<uint32_t>(left);
    if (first == last) return std::nullopt;
    const uint64_t rest = Pack(first + 1, last);
    if (left_.compare_exchange_weak(left, rest, std::memory_order_acquire)) return first;
  }
}

std::optional<uint32_t> Team::Share::TakeLast() {
  uint64_t left = left_.load(std::memory_order_relaxed);
  while (true) {
    const uint32_t first = left >> 32, last = static_cast<uint32_t>(left);
    if (first == last) return std::nullopt;
    const uint64_t rest = Pack(first, last - 1);
    if (left_.compare_exchange_weak(left, rest, std::memory_order_acquire)) return last - 1;
  }
}

Team::Team(int64_t threads) : shares_(threads) {}

void Team::Run(int64_t n, absl::FunctionRef<void(int64_t)> fn) {
  if (n < 1) return;
  fn_ = &fn;
  undone_.store(static_cast<uint32_t>(n), std::memory_order_relaxed);
  const auto threads = static_cast<int64_t>(shares_.size());
  for (int64_t t = 0; t < threads; ++t) {
    shares_[t].Fill(static_cast<uint32_t>(n * t / threads),
                    static_cast<uint32_t>(n * (t + 1) / threads));
  }
  round_.fetch_add(1);
  round_.notify_all();
  TakeItems(0);
  for (uint32_t undone = undone_.load(std::memory_order_acquire); undone > 0;) {
    undone = AwaitChange(undone_, undone);
  }
  if (failed_.load(std::memory_order_relaxed)) {
    failed_.store(false, std::memory_order_relaxed);
    std::rethrow_exception(std::exchange(error_, nullptr));
  }
}

void Team::Dismiss() {
  dismissed_.store(true, std::memory_order_relaxed);
  round_.fetch_add(1);
  round_.notify_all();
}

void Team::Help(int64_t index) {
  uint32_t round = 0;
  while (true) {
    round = AwaitChange(round_, round);
    if (dismissed_.load(std::memory_order_relaxed)) return;
    TakeItems(index);
  }
}

// Says what it has done at the end only: until then no other work can begin.
void Team::TakeItems(int64_t index) {
  uint32_t done = 0;
  const auto run = [&](uint32_t i) {
    RunItem(i);
    ++done;
  };
  const auto threads = static_cast<int64_t>(shares_.size());
  while (const std::optional<uint32_t> i = shares_[index].TakeFirst()) run(*i);
  for (int64_t t = 1; t < threads; ++t) {
    while (const std::optional<uint32_t> i = shares_[(index + t) % threads].TakeLast()) run(*i);
  }
  if (done > 0 && undone_.fetch_sub(done) == done) undone_.notify_one();
}

void Team::RunItem(int64_t i) {
  if (failed_.load(std::memory_order_relaxed)) return;
  try {
    (*fn_)(i);
  } catch (...) {
    if (!failed_.exchange(true, std::memory_order_relaxed)) error_ = std::current_exception();
  }
}

}  // namespace heed
