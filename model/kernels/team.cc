#include "model/kernels/team.h"

#include <utility>

namespace heed {
namespace {

constexpr int kLooks = 512;

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
  for (int look = 0; look < kLooks; ++look) {
    const uint32_t now = value.load(std::memory_order_acquire);
    if (now != old) return now;
    Pause();
  }
  value.wait(old, std::memory_order_acquire);
  return value.load(std::memory_order_acquire);
}

}  // namespace

void Team::Run(int64_t n, absl::FunctionRef<void(int64_t)> fn) {
  if (n < 1) return;
  n_ = n;
  fn_ = &fn;
  const auto items = static_cast<uint32_t>(n);
  undone_.store(items, std::memory_order_relaxed);
  untaken_.store(items, std::memory_order_release);
  round_.fetch_add(1);
  round_.notify_all();
  TakeItems();
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

void Team::Help() {
  uint32_t round = 0;
  while (true) {
    round = AwaitChange(round_, round);
    if (dismissed_.load(std::memory_order_relaxed)) return;
    TakeItems();
  }
}

void Team::TakeItems() {
  uint32_t untaken = untaken_.load(std::memory_order_relaxed);
  while (untaken > 0) {
    if (!untaken_.compare_exchange_weak(untaken, untaken - 1, std::memory_order_acquire)) continue;
    RunItem(n_ - untaken);
    if (undone_.fetch_sub(1) == 1) undone_.notify_one();
    untaken = untaken_.load(std::memory_order_relaxed);
  }
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
